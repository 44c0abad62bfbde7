//! Moves the bytes of a session between its socket and its [`Core`](super::core::Core), in one task.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{self, Duration};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, Sleep, sleep, timeout};
use tokio_util::io::poll_read_buf;
use tokio_util::sync::CancellationToken;

use super::core::Pressure;
use super::stream::TunnelStream;
use super::{Opening, Session, SessionError};
use crate::websocket::codec::{Decoder, Encoder, Event, Opcode, Role};

/// For the close frame.
const CLOSE: Duration = Duration::from_secs(1);
/// How often a session under pressure is looked at.
const PRESSURE_TICK: Duration = Duration::from_millis(250);
/// The receive buffer when little and when much arrives.
const SMALL: usize = 4 << 10;
const LARGE: usize = 256 << 10;

/// Serves what the far end asks to open; `Err` ends the session.
pub(crate) type Opener = Box<dyn Fn(Opening, TunnelStream) -> Result<(), SessionError> + Send + Sync>;

/// Runs a session on `io` until it ends or `stop` is cancelled. Its connections have ended then; the far end has still to
/// be told, which may take a moment.
pub(crate) async fn run<I>(
    io: I,
    role: Role,
    session: Arc<Session>,
    opener: Opener,
    stop: CancellationToken,
) -> (SessionError, Goodbye<I>)
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    let mut driver = Driver::new(io, role, session, opener);
    let reason = tokio::select! {
        biased;
        () = stop.cancelled() => SessionError::Shutdown,
        reason = poll_fn(|cx| driver.poll(cx)) => reason,
    };
    driver.session.end();
    let goodbye = driver.goodbye(&reason);
    (reason, goodbye)
}

/// The end of a socket whose session has ended.
#[must_use = "the socket stays open"]
pub(crate) struct Goodbye<I> {
    io: I,
    /// The rest of what was being sent, and the close frame.
    last: BytesMut,
}

impl<I: AsyncWrite + Unpin> Goodbye<I> {
    /// Says it and closes the socket, also after a protocol error: the far end must notice at once.
    pub async fn say(mut self) {
        let goodbye = async {
            self.io.write_all(&self.last).await?;
            self.io.flush().await?;
            self.io.shutdown().await
        };
        // The far end may be gone already.
        let _ = timeout(CLOSE, goodbye).await;
    }
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
    tick: Pin<Box<Sleep>>,
}

impl<I: AsyncRead + AsyncWrite + Unpin> Driver<I> {
    fn new(io: I, role: Role, session: Arc<Session>, opener: Opener) -> Self {
        let (now, keep_alive) = (Instant::now(), session.keep_alive);
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
            next_ping: now + keep_alive.ping,
            tick: Box::pin(sleep(keep_alive.ping.min(keep_alive.silence))),
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
        let (now, arrived) = (Instant::now(), time::Instant::now());
        while let Some(event) = self.decoder.decode(&mut self.received)? {
            match event {
                Event::Binary(message) => {
                    let opening = self.session.core.lock().receive(&message, arrived)?;
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
                    self.heard(now);
                }
                Event::Pong => self.heard(now),
                Event::Close => return Err(SessionError::Closed),
            }
        }
        self.relieve();
        Ok(())
    }

    fn relieve(&mut self) -> Pressure {
        let pressure = self.session.core.lock().relieve(time::Instant::now());
        if pressure != Pressure::None {
            let next = Instant::now() + PRESSURE_TICK;
            if self.tick.deadline() > next {
                self.tick.as_mut().reset(next);
            }
        }
        pressure
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
        let (now, keep_alive) = (Instant::now(), self.session.keep_alive);
        if now.duration_since(self.heard) >= keep_alive.silence {
            return Err(SessionError::Silent);
        }
        let mut next = (now + keep_alive.ping).min(self.heard + keep_alive.silence);
        if !self.sending.is_empty() {
            if now.duration_since(self.sent) >= keep_alive.write {
                return Err(SessionError::WriteTimeout);
            }
            next = next.min(self.sent + keep_alive.write);
        }
        if self.role == Role::Client && now >= self.next_ping {
            self.session.core.lock().control(Opcode::Ping);
            self.next_ping = now + keep_alive.ping;
        }
        if self.role == Role::Client {
            next = next.min(self.next_ping);
        }
        self.tick.as_mut().reset(next);
        self.relieve();
        Ok(())
    }

    fn goodbye(mut self, reason: &SessionError) -> Goodbye<I> {
        let code = match reason {
            SessionError::Closed => 1000,
            SessionError::Shutdown => 1001,
            SessionError::Websocket(error) => error.close_code(),
            SessionError::TextMessage => 1003,
            _ => 1002,
        };
        self.session.metrics.not_transmitted(self.sending.len());
        Encoder::new(self.role).close(&mut self.sending, code);
        Goodbye { io: self.io, last: self.sending }
    }
}

#[cfg(test)]
mod tests;
