//! The rules of a session, byte by byte.

use std::task::{Context, Poll, Waker};

use prometheus::Registry;
use proptest::prelude::*;

use super::*;
use crate::frame::Head;
use crate::metrics::Metrics;
use crate::websocket::codec::{Decoder, Event};

/// A session with what it would send.
struct Session {
    core: Core,
    now: Instant,
    decoder: Decoder,
}

type Sent = (i64, Kind, i64, Vec<u8>);

impl Session {
    fn new(role: Role) -> Self {
        let metrics = Metrics::register(&Registry::new()).unwrap().of_session("c");
        let core = Core::new(role, "BCS-K8S-00000/42".to_owned(), metrics);
        let far_end = if role == Role::Server { Role::Client } else { Role::Server };
        Self { core, now: Instant::now(), decoder: Decoder::new(far_end) }
    }

    fn message(connection: i64, kind: Kind, body: &[u8]) -> Bytes {
        [Head::new(connection, kind, 15_000).encode().as_bytes(), body].concat().into()
    }

    fn receive(&mut self, connection: i64, kind: Kind, body: &[u8]) -> Result<Option<Opening>, SessionError> {
        self.core.receive(&Self::message(connection, kind, body), self.now)
    }

    fn data(&mut self, connection: i64, body: &[u8]) {
        assert!(self.receive(connection, Kind::Data, body).unwrap().is_none());
    }

    /// All messages since the last call.
    fn sent(&mut self) -> Vec<Sent> {
        let mut sent = Vec::new();
        let mut bytes = self.core.take_out(BytesMut::new()).unwrap_or_default();
        while let Some(event) = self.decoder.decode(&mut bytes).unwrap() {
            let Event::Binary(message) = event else { continue };
            let (head, body) = Head::decode(&message).unwrap();
            sent.push((head.connection, head.kind, head.deadline, body.to_vec()));
        }
        sent
    }

    fn read(&mut self, connection: i64) -> Poll<io::Result<Vec<u8>>> {
        let mut space = vec![0; 64 << 10];
        let mut buf = ReadBuf::new(&mut space);
        let result = self.core.poll_read(connection, &context(), &mut buf, self.now);
        result.map(|result| result.map(|()| buf.filled().to_vec()))
    }

    fn read_text(&mut self, connection: i64) -> String {
        match self.read(connection) {
            Poll::Pending => "pending".to_owned(),
            Poll::Ready(Ok(bytes)) if bytes.is_empty() => "end".to_owned(),
            Poll::Ready(Ok(bytes)) => String::from_utf8(bytes).unwrap(),
            Poll::Ready(Err(error)) => format!("error {error}"),
        }
    }

    fn write(&mut self, connection: i64, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.core.poll_write(connection, &context(), bytes)
    }

    fn open(&mut self) -> i64 {
        self.core.open("tcp", "10.0.0.1:6443", Duration::from_secs(15)).unwrap()
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }
}

fn context() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

fn error(connection: i64, text: &str) -> Sent {
    (connection, Kind::Error, 0, text.as_bytes().to_vec())
}

#[test]
fn connections_are_numbered_from_two_and_need_no_answer() {
    let mut session = Session::new(Role::Server);
    assert_eq!((session.open(), session.open()), (2, 3));
    assert!(matches!(session.write(2, b"GET /"), Poll::Ready(Ok(5))));
    let connect = |id| (id, Kind::Connect, 15_000, b"tcp/10.0.0.1:6443".to_vec());
    assert_eq!(session.sent(), [connect(2), connect(3), (2, Kind::Data, 0, b"GET /".to_vec())]);
    assert_eq!(session.read_text(2), "pending");
    session.data(2, b"HTTP");
    session.data(2, b"/1.1");
    assert_eq!(session.read_text(2), "HTTP/1.1");
}

#[test]
fn an_error_is_echoed_once_and_read_after_the_data() {
    for (text, read) in [
        ("EOF", "end"),
        (
            "dial tcp 10.0.0.1:6443: connect: connection refused",
            "error dial tcp 10.0.0.1:6443: connect: connection refused",
        ),
    ] {
        let mut session = Session::new(Role::Server);
        let id = session.open();
        session.sent();
        session.data(id, b"rest");
        for _ in 0..2 {
            session.receive(id, Kind::Error, text.as_bytes()).unwrap();
        }
        assert_eq!(session.sent(), [error(id, text)]);
        assert_eq!(session.read_text(id), "rest");
        assert_eq!(session.read_text(id), read);
        assert!(matches!(session.write(id, b"x"), Poll::Ready(Err(_))));
        session.core.release(id);
        assert_eq!(session.sent(), []);
    }
}

#[test]
fn data_for_an_unknown_connection_is_answered() {
    let mut session = Session::new(Role::Server);
    session.data(9, b"x");
    assert_eq!(session.sent(), [error(9, "connection not found BCS-K8S-00000/42/9")]);
    session.receive(9, Kind::Error, b"EOF").unwrap();
    session.receive(9, Kind::Unknown(77), b"x").unwrap();
    assert_eq!(session.sent(), []);
}

#[test]
fn a_dropped_stream_tells_the_far_end() {
    let mut session = Session::new(Role::Server);
    let id = session.open();
    session.sent();
    session.core.close(id, EOF);
    session.core.release(id);
    assert_eq!(session.sent(), [error(id, "EOF")]);
    // The far end may still have sent something.
    session.receive(id, Kind::Error, b"EOF").unwrap();
    assert_eq!(session.sent(), []);
}

#[test]
fn only_a_dialling_side_takes_connects() {
    let refused = Session::new(Role::Server).receive(2, Kind::Connect, b"tcp/x:1");
    assert!(matches!(refused, Err(SessionError::ConnectNotAllowed)));
    let mut agent = Session::new(Role::Client);
    let opening = agent.receive(2, Kind::Connect, b"BCS-K8S-00000::tcp/10.0.0.1:6443").unwrap().unwrap();
    assert_eq!((opening.network.as_str(), opening.address.as_str()), ("BCS-K8S-00000::tcp", "10.0.0.1:6443"));
    assert_eq!(opening.deadline, Duration::from_secs(15));
    assert!(matches!(agent.receive(3, Kind::Connect, b"tcp"), Err(SessionError::ConnectAddress)));
    assert!(matches!(agent.receive(2, Kind::Connect, b"tcp/x:1"), Err(SessionError::ConnectionInUse)));
}

#[test]
fn announcements_count_sessions() {
    let mut session = Session::new(Role::Server);
    for (kind, text, reaches) in [
        (Kind::AddClient, "a/1", true),
        (Kind::AddClient, "a/2", true),
        (Kind::RemoveClient, "a/1", true),
        (Kind::RemoveClient, "b/7", true),
        (Kind::RemoveClient, "a/2", false),
    ] {
        session.receive(0, kind, text.as_bytes()).unwrap();
        assert_eq!(session.core.reaches("a"), reaches, "{text}");
    }
    for text in ["a", "a/", "a/x", "a/1/2", "/"] {
        assert!(
            matches!(session.receive(0, Kind::AddClient, text.as_bytes()), Err(SessionError::Announcement)),
            "{text}"
        );
    }
    // A long key is not cut, as Go's receivers do.
    let long = "k".repeat(300);
    session.receive(0, Kind::AddClient, format!("{long}/1").as_bytes()).unwrap();
    assert!(session.core.reaches(&long));
    // Ignored on the dialling side, whatever it says.
    Session::new(Role::Client).receive(0, Kind::AddClient, b"a").unwrap();
}

#[test]
fn what_is_announced_is_sent() {
    let mut session = Session::new(Role::Client);
    session.core.announce(Kind::AddClient, "BCS-K8S-00000", 42);
    session.core.announce(Kind::RemoveClient, "BCS-K8S-00000", 42);
    let text = b"BCS-K8S-00000/42".to_vec();
    assert_eq!(session.sent(), [(0, Kind::AddClient, 0, text.clone()), (0, Kind::RemoveClient, 0, text)]);
}

#[test]
fn the_end_of_the_session_ends_its_connections() {
    let mut session = Session::new(Role::Server);
    let id = session.open();
    session.data(id, b"rest");
    session.core.end();
    assert_eq!(session.read_text(id), "rest");
    assert_eq!(session.read_text(id), "error tunnel disconnect");
    assert_eq!(session.core.open("tcp", "x:1", Duration::ZERO), None);
}

#[test]
fn writers_take_turns() {
    let mut session = Session::new(Role::Server);
    let (first, second) = (session.open(), session.open());
    let block = vec![1; 64 << 10];
    let mut queued = 0;
    while let Poll::Ready(Ok(length)) = session.write(first, &block) {
        assert_eq!(length, MAX_DATA);
        queued += length;
    }
    assert_eq!(queued, WRITER_BATCH);
    assert!(session.write(second, &block).is_ready(), "one writer must not take the room of the others");
    session.sent();
    assert!(session.write(first, &block).is_ready());
}

#[test]
fn a_reader_that_stands_still_is_closed_after_its_grace() {
    let mut session = Session::new(Role::Server);
    let (stalled, lively) = (session.open(), session.open());
    session.core.limits.connection = 100 << 10;
    let block = [0; 32 << 10];
    for _ in 0..4 {
        session.data(stalled, &block);
    }
    let now = session.now;
    assert_eq!(session.core.relieve(now), Pressure::Some);
    session.pass(Duration::from_secs(14));
    session.data(lively, &block);
    assert_eq!(session.core.relieve(session.now), Pressure::Some);
    session.pass(Duration::from_secs(1));
    session.sent();
    assert_eq!(session.core.relieve(session.now), Pressure::None);
    assert_eq!(session.sent(), [error(stalled, "backed up reader")]);
    assert_eq!(session.read_text(stalled), "error backed up reader");
    assert!(matches!(session.read(lively), Poll::Ready(Ok(bytes)) if bytes.len() == block.len()));
}

#[test]
fn a_slow_reader_holds_the_session_only_while_it_moves() {
    let mut session = Session::new(Role::Server);
    let id = session.open();
    session.core.limits.connection = 64 << 10;
    session.core.limits.session = 128 << 10;
    let half = session.core.limits.patience / 2;
    let block = [0; 32 << 10];
    for _ in 0..4 {
        session.data(id, &block);
    }
    assert_eq!(session.core.relieve(session.now), Pressure::Pause);
    session.pass(half);
    assert!(session.read(id).is_ready());
    assert_eq!(session.core.relieve(session.now), Pressure::Some);
    for _ in 0..2 {
        session.data(id, &block);
    }
    session.pass(half);
    assert_eq!(session.core.relieve(session.now), Pressure::Pause);
    session.pass(half);
    assert_eq!(session.core.relieve(session.now), Pressure::None);
    assert_eq!(session.read_text(id), "error backed up reader");
    assert_eq!(session.core.unread, 0);
}

#[test]
fn a_cut_answer_is_no_normal_end() {
    let mut session = Session::new(Role::Server);
    let id = session.open();
    session.core.limits.connection = 1 << 10;
    session.data(id, &[0; 4 << 10]);
    session.receive(id, Kind::Error, b"EOF").unwrap();
    session.pass(Duration::from_secs(15));
    session.core.relieve(session.now);
    assert_eq!(session.read_text(id), "error backed up reader");
}

proptest! {
    #[test]
    fn any_messages_leave_the_books_right(messages in proptest::collection::vec((0_i64..6, 0_i64..7, any::<Vec<u8>>()), 0..60)) {
        let mut session = Session::new(Role::Server);
        let ids = [session.open(), session.open()];
        for (connection, kind, body) in messages {
            let _ = session.receive(connection, Kind::from(kind), &body);
        }
        session.core.relieve(session.now);
        for id in ids {
            let _ = session.read(id);
            session.core.release(id);
        }
        prop_assert_eq!(session.core.unread, 0);
        prop_assert!(session.core.connections.is_empty());
    }

    #[test]
    fn any_bytes_end_the_session_at_worst(bytes: Vec<u8>) {
        let mut session = Session::new(Role::Client);
        let now = session.now;
        let _ = session.core.receive(&Bytes::from(bytes), now);
    }
}
