//! Moves the bytes of a session between its socket and its [`Core`](super::core::Core), in one task.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Sleep, sleep, timeout};
use tokio_util::io::poll_read_buf;
use tokio_util::sync::CancellationToken;

use super::core::Pressure;
use super::stream::TunnelStream;
use super::{Opening, Session, SessionError};
use crate::websocket::codec::{Decoder, Encoder, Event, Opcode, Role};

/// The dialling side pings so often.
const PING: Duration = Duration::from_secs(5);
/// Without a ping or pong for so long a session is over.
const SILENCE: Duration = Duration::from_secs(60);
/// The far end must take something within this time.
const WRITE: Duration = Duration::from_secs(60);
/// For the close frame.
const CLOSE: Duration = Duration::from_secs(1);
/// How often a session under pressure is looked at.
const PRESSURE_TICK: Duration = Duration::from_millis(250);
/// The receive buffer when little and when much arrives.
const SMALL: usize = 4 << 10;
const LARGE: usize = 256 << 10;

/// Serves what the far end asks to open; `Err` ends the session.
pub(crate) type Opener = Box<dyn Fn(Opening, TunnelStream) -> Result<(), SessionError> + Send + Sync>;

/// Runs a session on `io` until it ends or `stop` is cancelled. Its connections have ended then and the socket is closed.
pub(crate) async fn run<I>(
    io: I,
    role: Role,
    session: Arc<Session>,
    opener: Opener,
    stop: CancellationToken,
) -> SessionError
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    let mut driver = Driver::new(io, role, session, opener);
    let reason = tokio::select! {
        biased;
        () = stop.cancelled() => SessionError::Shutdown,
        reason = poll_fn(|cx| driver.poll(cx)) => reason,
    };
    driver.close(&reason).await;
    reason
}

struct Driver<I> {
    io: I,
    role: Role,
    session: Arc<Session>,
    opener: Opener,
    decoder: Decoder,
    received: BytesMut,
    /// The size of the next read.
    read_size: usize,
    sending: BytesMut,
    unflushed: bool,
    /// When the socket last took bytes, or when there were none to take.
    sent: Instant,
    /// When the last ping or pong arrived.
    heard: Instant,
    next_ping: Instant,
    /// When the ping was sent that is not answered yet.
    pinged: Option<Instant>,
    tick: Pin<Box<Sleep>>,
}

impl<I: AsyncRead + AsyncWrite + Unpin> Driver<I> {
    fn new(io: I, role: Role, session: Arc<Session>, opener: Opener) -> Self {
        let now = Instant::now();
        Self {
            io,
            role,
            session,
            opener,
            decoder: Decoder::new(role),
            received: BytesMut::new(),
            read_size: SMALL,
            sending: BytesMut::new(),
            unflushed: false,
            sent: now,
            heard: now,
            next_ping: now + PING,
            pinged: None,
            tick: Box::pin(sleep(PING)),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<SessionError> {
        match self.try_poll(cx) {
            Ok(()) => Poll::Pending,
            Err(reason) => Poll::Ready(reason),
        }
    }

    fn try_poll(&mut self, cx: &mut Context<'_>) -> Result<(), SessionError> {
        self.session.driver.register(cx.waker());
        loop {
            while self.write(cx)? | self.read(cx)? {}
            if self.tick.as_mut().poll(cx).is_pending() {
                return Ok(());
            }
            self.on_tick()?;
        }
    }

    /// Sends until the socket takes no more or all is sent; whether it sent anything.
    fn write(&mut self, cx: &mut Context<'_>) -> Result<bool, SessionError> {
        let mut progress = false;
        loop {
            if self.sending.is_empty() {
                let mut sent = std::mem::take(&mut self.sending);
                sent.clear();
                match self.session.core.lock().take_out(sent) {
                    Some(next) => {
                        self.sending = next;
                        if !progress {
                            self.sent = Instant::now();
                        }
                    }
                    None => break,
                }
            }
            match Pin::new(&mut self.io).poll_write(cx, &self.sending) {
                Poll::Pending => return Ok(progress),
                Poll::Ready(Ok(0)) => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                Poll::Ready(Ok(length)) => {
                    self.sending.advance(length);
                    self.unflushed = true;
                    self.sent = Instant::now();
                    progress = true;
                }
                Poll::Ready(Err(error)) => return Err(error.into()),
            }
        }
        if self.unflushed {
            match Pin::new(&mut self.io).poll_flush(cx) {
                Poll::Pending => {}
                Poll::Ready(Ok(())) => self.unflushed = false,
                Poll::Ready(Err(error)) => return Err(error.into()),
            }
        }
        Ok(progress)
    }

    /// One read and what it brought; whether there was anything.
    fn read(&mut self, cx: &mut Context<'_>) -> Result<bool, SessionError> {
        let is_paused = self.session.core.lock().is_paused();
        if is_paused && self.relieve() == Pressure::Pause {
            return Ok(false);
        }
        if self.received.capacity() - self.received.len() < self.read_size {
            self.received.reserve(self.read_size);
        }
        match poll_read_buf(Pin::new(&mut self.io), cx, &mut self.received) {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(0)) => Err(SessionError::Closed),
            Poll::Ready(Ok(length)) => {
                if length >= self.read_size {
                    self.read_size = (self.read_size * 4).min(LARGE);
                }
                self.receive()?;
                Ok(true)
            }
            Poll::Ready(Err(error)) => Err(error.into()),
        }
    }

    fn receive(&mut self) -> Result<(), SessionError> {
        let now = Instant::now();
        while let Some(event) = self.decoder.decode(&mut self.received)? {
            match event {
                Event::Binary(message) => {
                    let opening = self.session.core.lock().receive(&message, now)?;
                    if let Some(opening) = opening {
                        let (network, address) = (opening.network.clone(), opening.address.clone());
                        let stream =
                            TunnelStream::new(Arc::clone(&self.session), opening.connection, &network, &address);
                        (self.opener)(opening, stream)?;
                    }
                }
                Event::Text(_) => return Err(SessionError::TextMessage),
                Event::Ping => {
                    self.session.core.lock().control(Opcode::Pong);
                    // Only the dialling side pings by itself. Asked back, it tells how far away it is.
                    if self.role == Role::Server {
                        self.ping(now);
                    }
                    self.heard(now);
                }
                Event::Pong => {
                    if let Some(pinged) = self.pinged.take() {
                        *self.session.round_trip.lock() = Some(now.duration_since(pinged));
                    }
                    self.heard(now);
                }
                Event::Close => return Err(SessionError::Closed),
            }
        }
        self.relieve();
        Ok(())
    }

    fn relieve(&mut self) -> Pressure {
        let pressure = self.session.core.lock().relieve(Instant::now());
        if pressure != Pressure::None {
            let next = (Instant::now() + PRESSURE_TICK).into();
            if self.tick.deadline() > next {
                self.tick.as_mut().reset(next);
            }
        }
        pressure
    }

    /// One at a time on the accepting side: a far end that pings without end gets no more than its answers. The dialling
    /// side keeps to its period, which keeps the session alive.
    fn ping(&mut self, now: Instant) {
        if self.role == Role::Server && self.pinged.is_some() {
            return;
        }
        self.session.core.lock().control(Opcode::Ping);
        self.pinged.get_or_insert(now);
    }

    fn heard(&mut self, now: Instant) {
        self.heard = now;
        // Once per ping: give back the memory of a burst.
        if self.received.len() <= 2 && self.read_size > SMALL {
            self.read_size = SMALL;
            self.received = BytesMut::from(&*self.received);
        }
    }

    fn on_tick(&mut self) -> Result<(), SessionError> {
        let now = Instant::now();
        if now.duration_since(self.heard) >= SILENCE {
            return Err(SessionError::Silent);
        }
        if !self.sending.is_empty() && now.duration_since(self.sent) >= WRITE {
            return Err(SessionError::WriteTimeout);
        }
        if self.role == Role::Client && now >= self.next_ping {
            self.ping(now);
            self.next_ping = now + PING;
        }
        let mut next = (now + PING).min(self.heard + SILENCE);
        if self.role == Role::Client {
            next = next.min(self.next_ping);
        }
        self.tick.as_mut().reset(next.into());
        self.relieve();
        Ok(())
    }

    /// Says goodbye and closes the socket, also after a protocol error: the far end must notice at once.
    async fn close(mut self, reason: &SessionError) {
        self.session.end();
        let code = match reason {
            SessionError::Closed => 1000,
            SessionError::Shutdown => 1001,
            SessionError::Websocket(error) => error.close_code(),
            SessionError::TextMessage => 1003,
            _ => 1002,
        };
        self.session.metrics.not_transmitted(self.sending.len());
        Encoder::new(self.role).close(&mut self.sending, code);
        let goodbye = async {
            self.io.write_all(&self.sending).await?;
            self.io.flush().await?;
            self.io.shutdown().await
        };
        // The far end may be gone already.
        let _ = timeout(CLOSE, goodbye).await;
    }
}
