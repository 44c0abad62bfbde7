//! The life of one connection.

use std::convert::Infallible;
use std::error::Error as StdError;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tower::Service;
use tracing::debug;

use super::activity::{Activity, Verdict};
use super::requests::Requests;
use super::stream::{ServerStream, Transport};
use super::{MAX_HEAD, ServerOptions};
use crate::http::Body;
use crate::shutdown::Shutdown;

/// How an HTTP/2 client with prior knowledge begins.
const HTTP2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// As Go's server.
const HTTP2_MAX_STREAMS: u32 = 250;
/// What an HTTP/2 client may send before a handler takes it, per stream and per connection. Bounds the memory of one.
const HTTP2_STREAM_WINDOW: u32 = 256 << 10;
const HTTP2_CONNECTION_WINDOW: u32 = 1 << 20;

/// An accepted connection with all it needs.
pub(super) struct Connection<S> {
    pub peer: SocketAddr,
    pub tls: Option<Arc<rustls::ServerConfig>>,
    pub place: OwnedSemaphorePermit,
    pub service: S,
    pub options: Arc<ServerOptions>,
    pub shutdown: Shutdown,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Http1,
    Http2,
}

impl<S> Connection<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    /// Serves the connection to its end.
    pub async fn run(self, stream: TcpStream) {
        let peer = self.peer;
        let handshake = Box::pin(timeout(self.options.handshake_timeout, shake_hands(stream, self.tls.clone())));
        let shaken = tokio::select! {
            () = self.shutdown.triggered() => return,
            shaken = handshake => shaken,
        };
        let (guard, driven) = match shaken {
            Err(_) => return debug!(%peer, "no handshake in time"),
            Ok(Err(error)) => return debug!(%peer, "handshake failed: {error}"),
            Ok(Ok((transport, read_ahead, protocol))) => self.start(transport, read_ahead, protocol),
        };
        guard.watch(driven).await;
    }

    /// Hands the connection to hyper. No future: what is large is made in its place on the heap once, and the task of an
    /// idle connection is little more than a timer.
    fn start(self, transport: Transport, read_ahead: Bytes, protocol: Protocol) -> (Guard, Driven) {
        let activity = Arc::new(Activity::new());
        let io = TokioIo::new(ServerStream::new(transport, read_ahead, Arc::clone(&activity), self.place));
        let requests = Requests {
            service: self.service,
            activity: Arc::clone(&activity),
            options: Arc::clone(&self.options),
            peer: self.peer,
            tls: self.tls.is_some(),
        };
        let service = service_fn(move |request: Request<Incoming>| requests.answer(request));
        let driven: Driven = match protocol {
            Protocol::Http1 => Box::pin(http1_builder().serve_connection(io, service).with_upgrades()),
            Protocol::Http2 => {
                activity.ignore_heads();
                Box::pin(http2_builder(self.shutdown.clone()).serve_connection(io, service))
            }
        };
        (Guard { peer: self.peer, activity, options: self.options, shutdown: self.shutdown }, driven)
    }
}

/// Finds out what the client speaks, through TLS if there is a configuration.
async fn shake_hands(
    mut stream: TcpStream,
    tls: Option<Arc<rustls::ServerConfig>>,
) -> io::Result<(Transport, Bytes, Protocol)> {
    if let Some(tls) = tls {
        if speaks_plain_http(&stream).await? {
            refuse_plain_http(&mut stream).await?;
            return Err(io::Error::new(io::ErrorKind::InvalidData, "plain HTTP on a TLS listener"));
        }
        let stream = TlsAcceptor::from(tls).accept(stream).await?;
        let protocol = match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => Protocol::Http2,
            _ => Protocol::Http1,
        };
        return Ok((Transport::Tls(Box::new(stream)), Bytes::new(), protocol));
    }
    let mut head = Vec::with_capacity(HTTP2_PREFACE.len());
    while head.len() < HTTP2_PREFACE.len() && HTTP2_PREFACE.starts_with(&head) {
        let mut rest = (&mut stream).take(u64::try_from(HTTP2_PREFACE.len() - head.len()).unwrap_or(0));
        if rest.read_buf(&mut head).await? == 0 {
            break;
        }
    }
    let protocol = if head == HTTP2_PREFACE { Protocol::Http2 } else { Protocol::Http1 };
    Ok((Transport::Plain(stream), Bytes::from(head), protocol))
}

/// Whether the first bytes are those of a request rather than of a TLS record; looks at them only.
async fn speaks_plain_http(stream: &TcpStream) -> io::Result<bool> {
    let mut start = [0; 5];
    let length = stream.peek(&mut start).await?;
    let methods: [&[u8]; 6] = [b"GET /", b"HEAD ", b"POST ", b"PUT /", b"DELET", b"OPTIO"];
    Ok(methods.iter().any(|method| start.get(..length) == Some(*method)))
}

/// Answers as Go's server does. What the client sent is read first: unread bytes would reset the connection.
async fn refuse_plain_http(stream: &mut TcpStream) -> io::Result<()> {
    let mut sent = [0; 4096];
    let _ = stream.read(&mut sent).await?;
    let answer = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
    stream.write_all(answer).await?;
    stream.shutdown().await
}

fn http1_builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    // The guard times heads: hyper's own timer is set anew for every request and would also close idle connections.
    builder.header_read_timeout(None).max_buf_size(MAX_HEAD);
    builder
}

fn http2_builder(shutdown: Shutdown) -> http2::Builder<StreamExecutor> {
    let mut builder = http2::Builder::new(StreamExecutor(shutdown));
    builder
        .max_concurrent_streams(HTTP2_MAX_STREAMS)
        .max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX))
        .initial_stream_window_size(HTTP2_STREAM_WINDOW)
        .initial_connection_window_size(HTTP2_CONNECTION_WINDOW);
    builder
}

/// Runs the streams of HTTP/2 connections as tracked tasks.
#[derive(Clone)]
struct StreamExecutor(Shutdown);

impl<F> hyper::rt::Executor<F> for StreamExecutor
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn("http/2 stream", future);
    }
}

/// Drives a connection and ends it when its time is over.
struct Guard {
    peer: SocketAddr,
    activity: Arc<Activity>,
    options: Arc<ServerOptions>,
    shutdown: Shutdown,
}

impl Guard {
    async fn watch(self, mut connection: Driven) {
        // A token of its own: the common one would be a lock that all connections take at every wake-up.
        let stop = self.shutdown.token().child_token();
        let mut stopped = pin!(stop.cancelled());
        let mut timer = pin!(sleep(Duration::ZERO));
        let mut closing = false;
        loop {
            tokio::select! {
                biased;
                result = connection.as_mut() => return self.log_end(result),
                () = &mut stopped, if !closing => {
                    connection.as_mut().close_when_idle();
                    closing = true;
                    timer.as_mut().reset(Instant::now() + self.options.drain_timeout);
                }
                () = &mut timer => {
                    if closing {
                        debug!(peer = %self.peer, "connection cut, it did not end in time");
                        return;
                    }
                    match self.activity.judge(self.options.header_timeout, self.options.idle_timeout) {
                        Verdict::Fine(again) => timer.as_mut().reset(Instant::now() + again),
                        Verdict::SlowHead => {
                            debug!(peer = %self.peer, "connection cut, no request head in time");
                            return;
                        }
                        Verdict::Idle => {
                            connection.as_mut().close_when_idle();
                            closing = true;
                            timer.as_mut().reset(Instant::now() + self.options.drain_timeout);
                        }
                    }
                }
            }
        }
    }

    fn log_end(&self, result: hyper::Result<()>) {
        if let Err(error) = result {
            let cause = error.source().map(ToString::to_string).unwrap_or_default();
            debug!(peer = %self.peer, "connection ended: {error} {cause}");
        }
    }
}

/// A connection that hyper drives.
type Driven = Pin<Box<dyn Closable + Send>>;

/// A connection of hyper, of either protocol.
trait Closable: Future<Output = hyper::Result<()>> {
    /// Closes the connection as soon as it has no request.
    fn close_when_idle(self: Pin<&mut Self>);
}

impl<I, S, B> Closable for http1::UpgradeableConnection<I, S>
where
    S: hyper::service::HttpService<Incoming, ResBody = B>,
    S::Error: Into<Box<dyn StdError + Send + Sync>>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    B: http_body::Body + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    fn close_when_idle(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<I, S, B, E> Closable for http2::Connection<I, S, E>
where
    S: hyper::service::HttpService<Incoming, ResBody = B>,
    S::Error: Into<Box<dyn StdError + Send + Sync>>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    B: http_body::Body + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
    E: hyper::rt::bounds::Http2ServerConnExec<S::Future, B>,
{
    fn close_when_idle(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}
