//! The socket of a connection as hyper sees it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep};
use tokio_rustls::server::TlsStream;

use super::activity::Activity;

/// How long the rest of a request body is still taken after the answer, and how long its sender may pause.
const LINGER: Duration = Duration::from_secs(30);
const LINGER_PAUSE: Duration = Duration::from_secs(2);

/// Plain or encrypted; one type, so that hyper is compiled once.
pub(super) enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A transport that reports its activity and occupies a place among the connections until it is closed, also when it
/// has been handed over to the handler of an upgrade.
pub(super) struct ServerStream {
    transport: Transport,
    /// Bytes that were read to find out the protocol.
    read_ahead: Bytes,
    activity: Arc<Activity>,
    /// Set while the rest of a request body is thrown away.
    linger: Option<Linger>,
    _place: OwnedSemaphorePermit,
}

impl ServerStream {
    pub fn new(transport: Transport, read_ahead: Bytes, activity: Arc<Activity>, place: OwnedSemaphorePermit) -> Self {
        Self { transport, read_ahead, activity, linger: None, _place: place }
    }

    fn poll_transport(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Transport::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }

    /// Throws away what the client still sends, until it closes or has had its time.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut space = [0; 16 << 10];
        loop {
            let mut buf = ReadBuf::new(&mut space);
            let read = self.poll_transport(cx, &mut buf);
            let linger = self.linger.get_or_insert_with(Linger::start);
            match read {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() && linger.go_on() => {}
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return linger.timer.as_mut().poll(cx),
            }
        }
    }

    fn written(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(_)) = &result {
            self.activity.bytes_written();
        }
        result
    }
}

/// The time that a client is given to finish a request that has been answered already.
struct Linger {
    end: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Linger {
    fn start() -> Self {
        Self { end: Instant::now() + LINGER, timer: Box::pin(sleep(LINGER_PAUSE)) }
    }

    /// The client has sent something; whether it may send more.
    fn go_on(&mut self) -> bool {
        let now = Instant::now();
        self.timer.as_mut().reset(self.end.min(now + LINGER_PAUSE));
        now < self.end
    }
}

impl AsyncRead for ServerStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.read_ahead.has_remaining() {
            let length = self.read_ahead.len().min(buf.remaining());
            let piece = self.read_ahead.split_to(length);
            buf.put_slice(&piece);
            // With what has come since: for a second read hyper would double its buffer, and keep that for as long as the
            // connection lasts.
            return match self.poll_transport(cx, buf) {
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                _ => Poll::Ready(Ok(())),
            };
        }
        let before = buf.filled().len();
        ready!(self.poll_transport(cx, buf))?;
        if buf.filled().len() > before {
            self.activity.bytes_read();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ServerStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Transport::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        };
        self.written(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Transport::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        };
        self.written(result)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.transport {
            Transport::Plain(stream) => stream.is_write_vectored(),
            Transport::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    /// A client that is still sending its request would get a reset instead of the answer if the socket were closed
    /// under it: the answer's end is sent, and the request is taken to its end.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.linger.is_none() {
            ready!(match &mut self.transport {
                Transport::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
                Transport::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            })?;
        }
        if self.activity.has_unread_body() {
            ready!(self.poll_discard(cx));
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn what_was_read_ahead_comes_with_what_has_come_since_and_waits_for_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (socket, _) = listener.accept().await.unwrap();
        let place = Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap();
        let ahead = Bytes::from_static(b"GET / HT");
        let mut stream = ServerStream::new(Transport::Plain(socket), ahead, Arc::new(Activity::new()), place);
        let mut read = [0; 64];
        assert_eq!(stream.read(&mut read[..3]).await.unwrap(), 3, "no more than there is room for");
        client.write_all(b"TP/1.1\r\n\r\n").await.unwrap();
        let Transport::Plain(socket) = &stream.transport else { unreachable!() };
        socket.readable().await.unwrap();
        let length = stream.read(&mut read[3..]).await.unwrap();
        assert_eq!(&read[..3 + length], b"GET / HTTP/1.1\r\n\r\n");

        stream.read_ahead = Bytes::from_static(b"GET");
        assert_eq!(stream.read(&mut read).await.unwrap(), 3, "nothing else is there");
    }
}
