//! The protocol's state machine (common.md 7.3), without I/O: messages and calls of the streams go in, bytes to send
//! and wake-ups come out.
//!
//! The protocol has no flow control of its own. A reader that does not keep up may leave [`Limits::connection`] bytes
//! lying for [`Limits::grace`]; then its connection is closed with `backed up reader`. All connections of a session
//! together may leave [`Limits::session`] bytes lying. Beyond that the one with the most is judged: if its reader has
//! not moved for [`Limits::patience`] it is closed, else the session reads on only when that reader has made room. So
//! memory is bounded, a slow reader gets all its bytes, and a stalled one does not hold up the others.

use std::collections::{HashMap, HashSet};
use std::io;
use std::str;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use tokio::io::ReadBuf;

use super::inbox::Inbox;
use super::{Opening, SessionError};
use crate::frame::{Head, Kind};
use crate::metrics::SessionMetrics;
use crate::websocket::codec::{Encoder, Opcode, Role};

/// The text of a normal end.
pub(crate) const EOF: &str = "EOF";
/// What connections say when their session ended.
pub(crate) const DISCONNECT: &str = "tunnel disconnect";
const BACKED_UP: &str = "backed up reader";

/// The longest payload of one Data message.
const MAX_DATA: usize = 32 << 10;
/// What waits for the socket: writers of the whole session, and one writer, get no further in one batch.
const BATCH: usize = 1 << 20;
const WRITER_BATCH: usize = 128 << 10;
/// Above this, with answers to messages that nobody asked for, nothing more is read until the far end takes some.
const MAX_UNSENT: usize = 4 * BATCH;
/// Texts are short; a longer one is cut.
const MAX_TEXT: usize = 4 << 10;
/// Keys that one replica may announce.
const MAX_ANNOUNCED: usize = 1 << 17;

/// How much may lie unread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Bytes of one connection that may lie for longer than `grace`.
    pub connection: usize,
    /// Bytes of all connections.
    pub session: usize,
    /// How long the reader of a connection above its limit may take nothing.
    pub grace: Duration,
    /// How long the reader of the largest connection may take nothing while the session is above its limit.
    pub patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connection: 16 << 20,
            session: 32 << 20,
            grace: Duration::from_secs(15),
            patience: Duration::from_secs(1),
        }
    }
}

/// How full a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pressure {
    /// All is well.
    None,
    /// Some connection may have to be closed soon: look again.
    Some,
    /// As `Some`, and nothing must be read from the socket.
    Pause,
}

struct Connection {
    inbox: Inbox,
    /// Why it ended, for its reader; None while it is open.
    end: Option<String>,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// What the writer has put into which batch.
    batch: u64,
    in_batch: usize,
}

impl Connection {
    fn new(now: Instant) -> Self {
        Self { inbox: Inbox::new(now), end: None, reader: None, writer: None, batch: 0, in_batch: 0 }
    }

    /// Ends it for both directions. What has arrived can still be read.
    fn end(&mut self, text: &str) {
        self.end = Some(text.to_owned());
        for waker in [self.reader.take(), self.writer.take()].into_iter().flatten() {
            waker.wake();
        }
    }
}

/// The state of one session.
pub(crate) struct Core {
    role: Role,
    /// `<client key>/<session key>`, as it appears in error texts.
    name: String,
    encoder: Encoder,
    limits: Limits,
    connections: HashMap<i64, Connection>,
    last_connection: i64,
    /// Bytes for the socket, and how many times they were taken.
    out: BytesMut,
    batch: u64,
    waiting_writers: Vec<i64>,
    /// Sum of all inboxes.
    unread: usize,
    paused: bool,
    /// Client keys that a replica announced, with their session keys.
    announced: HashMap<String, HashSet<i64>>,
    ended: bool,
    metrics: SessionMetrics,
}

impl Core {
    /// A session that `role` says which end of it this is. `name` is `<client key>/<session key>`.
    pub fn new(role: Role, name: String, metrics: SessionMetrics) -> Self {
        Self {
            role,
            name,
            encoder: Encoder::new(role),
            limits: Limits::default(),
            connections: HashMap::new(),
            last_connection: 1,
            out: BytesMut::new(),
            batch: 0,
            waiting_writers: Vec::new(),
            unread: 0,
            paused: false,
            announced: HashMap::new(),
            ended: false,
            metrics,
        }
    }

    fn send(&mut self, connection: i64, kind: Kind, deadline: Duration, body: &[u8]) {
        let deadline = i64::try_from(deadline.as_millis()).unwrap_or(i64::MAX);
        let head = Head::new(connection, kind, deadline).encode();
        let length = self.encoder.encode(&mut self.out, Opcode::Binary, head.as_bytes(), body);
        self.metrics.transmitted(length);
    }

    fn send_text(&mut self, connection: i64, kind: Kind, deadline: Duration, text: &str) {
        self.send(connection, kind, deadline, text.as_bytes());
    }

    /// Queues a ping, or the answer to one: without a payload both.
    pub fn control(&mut self, opcode: Opcode) {
        self.encoder.encode(&mut self.out, opcode, &[], &[]);
    }

    /// How many connections are open.
    pub fn connections(&self) -> usize {
        self.connections.values().filter(|connection| connection.end.is_none()).count()
    }

    /// Announces a session, or takes the announcement back.
    pub fn announce(&mut self, kind: Kind, key: &str, session_key: i64) {
        if !self.ended {
            self.send_text(0, kind, Duration::ZERO, &format!("{key}/{session_key}"));
        }
    }

    /// Whether the far end announced the key.
    pub fn reaches(&self, key: &str) -> bool {
        !self.ended && self.announced.contains_key(key)
    }

    /// Opens a connection; None after the end of the session.
    pub fn open(&mut self, network: &str, address: &str, deadline: Duration) -> Option<i64> {
        if self.ended {
            return None;
        }
        self.last_connection = self.last_connection.checked_add(1)?;
        let id = self.last_connection;
        self.connections.insert(id, Connection::new(Instant::now()));
        self.send_text(id, Kind::Connect, deadline, &format!("{network}/{address}"));
        Some(id)
    }

    /// Takes a message of the far end. `Some`: it asks for a connection, which exists from now on.
    ///
    /// # Errors
    /// What ends the session.
    pub fn receive(&mut self, message: &Bytes, now: Instant) -> Result<Option<Opening>, SessionError> {
        let (head, body) = Head::decode(message)?;
        self.metrics.received(body.len());
        match head.kind {
            Kind::Data => self.receive_data(head.connection, message.slice_ref(body), now),
            Kind::Error => self.receive_error(head.connection, body),
            Kind::Connect => return self.receive_connect(&head, body, now).map(Some),
            Kind::AddClient | Kind::RemoveClient if self.role == Role::Server => {
                self.receive_announcement(head.kind, body)?;
            }
            Kind::AddClient | Kind::RemoveClient | Kind::Unknown(_) => {}
        }
        Ok(None)
    }

    fn receive_data(&mut self, id: i64, payload: Bytes, now: Instant) {
        match self.connections.get_mut(&id) {
            Some(connection) if connection.end.is_none() => {
                if payload.is_empty() {
                    return;
                }
                self.unread += connection.inbox.push(payload, now);
                if let Some(reader) = connection.reader.take() {
                    reader.wake();
                }
            }
            _ => {
                let text = format!("connection not found {}/{id}", self.name);
                self.send_text(id, Kind::Error, Duration::ZERO, &text);
            }
        }
    }

    /// One echo for a known connection, none for an unknown one: that ends the exchange.
    fn receive_error(&mut self, id: i64, body: &[u8]) {
        let text = String::from_utf8_lossy(cut(body)).into_owned();
        if let Some(connection) = self.connections.get_mut(&id).filter(|connection| connection.end.is_none()) {
            connection.end(&text);
            self.send_text(id, Kind::Error, Duration::ZERO, &text);
        }
    }

    fn receive_connect(&mut self, head: &Head, body: &[u8], now: Instant) -> Result<Opening, SessionError> {
        if self.role == Role::Server {
            return Err(SessionError::ConnectNotAllowed);
        }
        let text = str::from_utf8(cut(body)).map_err(|_| SessionError::ConnectAddress)?;
        let (network, address) = text.split_once('/').ok_or(SessionError::ConnectAddress)?;
        if self.connections.contains_key(&head.connection) {
            return Err(SessionError::ConnectionInUse);
        }
        self.connections.insert(head.connection, Connection::new(now));
        Ok(Opening {
            connection: head.connection,
            network: network.to_owned(),
            address: address.to_owned(),
            deadline: Duration::from_millis(u64::try_from(head.deadline).unwrap_or(0)),
        })
    }

    fn receive_announcement(&mut self, kind: Kind, body: &[u8]) -> Result<(), SessionError> {
        let text = str::from_utf8(cut(body)).map_err(|_| SessionError::Announcement)?;
        let (key, number) = text.split_once('/').ok_or(SessionError::Announcement)?;
        let number: i64 = number.parse().map_err(|_| SessionError::Announcement)?;
        if kind == Kind::AddClient {
            if self.announced.len() >= MAX_ANNOUNCED {
                return Err(SessionError::Announcement);
            }
            self.announced.entry(key.to_owned()).or_default().insert(number);
        } else if let Some(numbers) = self.announced.get_mut(key) {
            numbers.remove(&number);
            if numbers.is_empty() {
                self.announced.remove(key);
            }
        }
        Ok(())
    }

    /// Reads of a connection; nothing and no error at its normal end.
    pub fn poll_read(
        &mut self,
        id: i64,
        cx: &Context<'_>,
        buf: &mut ReadBuf<'_>,
        now: Instant,
    ) -> Poll<io::Result<()>> {
        let Some(connection) = self.connections.get_mut(&id) else { return Poll::Ready(Err(closed(EOF))) };
        if !connection.inbox.is_empty() {
            self.unread -= connection.inbox.take(buf, now);
            return Poll::Ready(Ok(()));
        }
        match connection.end.as_deref() {
            Some(EOF) => Poll::Ready(Ok(())),
            Some(text) => Poll::Ready(Err(closed(text))),
            None => {
                remember(&mut connection.reader, cx);
                Poll::Pending
            }
        }
    }

    /// Queues bytes of a connection; how many, or waits until the socket has taken the last batch.
    pub fn poll_write(&mut self, id: i64, cx: &Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Some(connection) = self.connections.get_mut(&id) else { return Poll::Ready(Err(closed(EOF))) };
        if let Some(text) = connection.end.as_deref() {
            return Poll::Ready(Err(closed(text)));
        }
        if connection.batch != self.batch {
            connection.batch = self.batch;
            connection.in_batch = 0;
        }
        if connection.in_batch >= WRITER_BATCH || self.out.len() >= BATCH {
            if connection.writer.is_none() {
                self.waiting_writers.push(id);
            }
            remember(&mut connection.writer, cx);
            return Poll::Pending;
        }
        let piece = bytes.get(..bytes.len().min(MAX_DATA)).unwrap_or_default();
        if !piece.is_empty() {
            connection.in_batch += piece.len();
            self.send(id, Kind::Data, Duration::ZERO, piece);
        }
        Poll::Ready(Ok(piece.len()))
    }

    /// Ends a connection from this side. What has arrived and was not read is thrown away.
    pub fn close(&mut self, id: i64, text: &str) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        self.unread -= connection.inbox.clear();
        if connection.end.is_none() {
            connection.end(text);
            self.send_text(id, Kind::Error, Duration::ZERO, text);
        }
    }

    /// Forgets a connection whose stream is gone.
    pub fn release(&mut self, id: i64) {
        self.close(id, EOF);
        self.connections.remove(&id);
    }

    /// Ends all connections and refuses new ones.
    pub fn end(&mut self) {
        self.ended = true;
        self.announced = HashMap::new();
        self.metrics.not_transmitted(self.out.len());
        self.out = BytesMut::new();
        for connection in self.connections.values_mut().filter(|connection| connection.end.is_none()) {
            connection.end(DISCONNECT);
        }
    }

    /// The bytes to send next; `sent` is an empty buffer to use again. Writers may go on.
    pub fn take_out(&mut self, sent: BytesMut) -> Option<BytesMut> {
        if self.out.is_empty() {
            return None;
        }
        self.batch = self.batch.wrapping_add(1);
        for id in std::mem::take(&mut self.waiting_writers) {
            if let Some(writer) = self.connections.get_mut(&id).and_then(|connection| connection.writer.take()) {
                writer.wake();
            }
        }
        Some(std::mem::replace(&mut self.out, sent))
    }

    /// Closes connections whose readers stand still; says whether to go on reading.
    pub fn relieve(&mut self, now: Instant) -> Pressure {
        if self.out.len() > MAX_UNSENT {
            self.paused = true;
            return Pressure::Pause;
        }
        self.paused = false;
        if self.unread <= self.limits.connection {
            return Pressure::None;
        }
        let Limits { connection: limit, grace, .. } = self.limits;
        self.close_stalled(|inbox| inbox.size() > limit && now.duration_since(inbox.taken()) >= grace);
        while self.unread > self.limits.session {
            let Some(largest) = self.connections.values().map(|c| c.inbox.size()).max() else { break };
            let patience = self.limits.patience;
            let closed =
                self.close_stalled(|inbox| inbox.size() == largest && now.duration_since(inbox.taken()) >= patience);
            if closed == 0 {
                self.paused = true;
                return Pressure::Pause;
            }
        }
        if self.unread > self.limits.connection { Pressure::Some } else { Pressure::None }
    }

    fn close_stalled(&mut self, is_stalled: impl Fn(&Inbox) -> bool) -> usize {
        let stalled: Vec<i64> =
            self.connections.iter().filter(|(_, c)| is_stalled(&c.inbox)).map(|(id, _)| *id).collect();
        for id in &stalled {
            self.close(*id, BACKED_UP);
            // Also if the far end had ended it well: what it sent is not whole any more.
            if let Some(connection) = self.connections.get_mut(id) {
                connection.end(BACKED_UP);
            }
        }
        stalled.len()
    }

    /// Whether the driver reads nothing until [`relieve`](Self::relieve) says otherwise.
    pub fn is_paused(&self) -> bool {
        self.paused
    }
}

fn cut(text: &[u8]) -> &[u8] {
    text.get(..text.len().min(MAX_TEXT)).unwrap_or_default()
}

fn closed(text: &str) -> io::Error {
    match text {
        EOF => io::Error::new(io::ErrorKind::BrokenPipe, EOF),
        DISCONNECT => io::Error::new(io::ErrorKind::ConnectionReset, DISCONNECT),
        text => io::Error::other(text.to_owned()),
    }
}

fn remember(place: &mut Option<Waker>, cx: &Context<'_>) {
    match place {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *place = Some(cx.waker().clone()),
    }
}

#[cfg(test)]
mod tests;
