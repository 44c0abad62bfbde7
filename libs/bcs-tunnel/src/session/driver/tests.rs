//! What ends a session that nobody closed. The clock of these tests jumps to the next timer when all is quiet.

use prometheus::Registry;
use tokio::io::{AsyncReadExt, DuplexStream, duplex};
use tokio::task::JoinHandle;

use super::*;
use crate::frame::{Head, Kind};
use crate::metrics::Metrics;
use crate::session::KeepAlive;
use crate::session::core::Core;

/// More than a test writes into a session's socket without reading.
const ROOM: usize = 64 << 10;

struct World {
    session: Arc<Session>,
    far: DuplexStream,
    driver: JoinHandle<SessionError>,
    began: Instant,
}

impl World {
    fn new(role: Role) -> Self {
        let metrics = Metrics::register(&Registry::new()).unwrap().of_session("c");
        let core = Core::new(role, "c/1".to_owned(), metrics.clone());
        let session = Session::new("c", 1, core, metrics, KeepAlive::default());
        let (far, io) = duplex(ROOM);
        let opener: Opener = Box::new(|_, _| Ok(()));
        let (running, stop) = (Arc::clone(&session), CancellationToken::new());
        let running = async move {
            let (reason, goodbye) = run(io, role, running, opener, stop).await;
            goodbye.say().await;
            reason
        };
        #[allow(clippy::disallowed_methods, reason = "the runtime of the test ends it")]
        let driver = tokio::spawn(running);
        Self { session, far, driver, began: Instant::now() }
    }

    /// As the dialling side.
    async fn send(&mut self, opcode: Opcode, message: &[u8]) {
        let mut bytes = BytesMut::new();
        Encoder::new(Role::Client).encode(&mut bytes, opcode, &[], message);
        self.far.write_all(&bytes).await.unwrap();
    }

    /// Why it ended, and after how many seconds.
    async fn ended(&mut self) -> (String, u64) {
        let reason = (&mut self.driver).await.unwrap();
        (reason.to_string(), self.began.elapsed().as_secs())
    }
}

#[tokio::test(start_paused = true)]
async fn silence_ends_it_after_a_minute() {
    let mut world = World::new(Role::Server);
    let mut stream = world.session.open("tcp", "10.0.0.1:443", Duration::from_secs(15)).unwrap();
    let (read, ended) = tokio::join!(stream.read_u8(), world.ended());
    assert_eq!(ended, ("no ping in time".to_owned(), 60));
    assert_eq!(read.unwrap_err().to_string(), "tunnel disconnect");
    assert!(world.session.open("tcp", "10.0.0.1:443", Duration::from_secs(15)).is_none());
    let mut said = Vec::new();
    world.far.read_to_end(&mut said).await.unwrap();
    // The Connect and the close frame: the socket does not stay open.
    assert_eq!(said[said.len() - 4..], [0x88, 2, 0x03, 0xea], "{said:x?}");
}

#[tokio::test(start_paused = true)]
async fn only_pings_and_pongs_are_signs_of_life() {
    for (opcode, lasts) in [(Opcode::Ping, 400), (Opcode::Pong, 400), (Opcode::Binary, 60)] {
        let mut world = World::new(Role::Server);
        // For a connection that is not there: answered, and of no effect.
        let data = Head::new(7, Kind::Data, 0).encode();
        let message = if opcode == Opcode::Binary { data.as_bytes() } else { &[] };
        while world.began.elapsed() <= Duration::from_secs(340) && !world.driver.is_finished() {
            world.send(opcode, message).await;
            sleep(Duration::from_secs(20)).await;
        }
        assert_eq!(world.ended().await.0, "no ping in time");
        let seconds = world.began.elapsed().as_secs();
        // The clock has moved on by up to the pause between two messages.
        assert!((lasts..=lasts + 20).contains(&seconds), "{opcode:?}: {seconds} s");
    }
}

#[tokio::test(start_paused = true)]
async fn a_far_end_that_pings_but_takes_nothing_is_given_up() {
    let mut world = World::new(Role::Server);
    let mut stream = world.session.open("tcp", "10.0.0.1:443", Duration::from_secs(15)).unwrap();
    #[allow(clippy::disallowed_methods, reason = "the runtime of the test ends it")]
    let writer = tokio::spawn(async move { stream.write_all(&vec![0; 100 * ROOM]).await });
    while !world.driver.is_finished() {
        world.send(Opcode::Ping, &[]).await;
        sleep(Duration::from_secs(5)).await;
    }
    let (reason, seconds) = world.ended().await;
    assert_eq!(reason, "write timed out");
    // The driver says goodbye for a second, and the clock moves in steps of five.
    assert!((60..=70).contains(&seconds), "{seconds} s");
    assert_eq!(writer.await.unwrap().unwrap_err().to_string(), "tunnel disconnect");
}

#[tokio::test(start_paused = true)]
async fn the_dialling_side_pings_and_gives_up_too() {
    let mut world = World::new(Role::Client);
    assert_eq!(world.ended().await, ("no ping in time".to_owned(), 60));
    let mut said = BytesMut::new();
    while world.far.read_buf(&mut said).await.unwrap() > 0 {}
    let (mut decoder, mut pings) = (Decoder::new(Role::Server), 0);
    while let Some(event) = decoder.decode(&mut said).unwrap() {
        pings += usize::from(event == Event::Ping);
    }
    assert_eq!(pings, 11, "one each five seconds");
}
