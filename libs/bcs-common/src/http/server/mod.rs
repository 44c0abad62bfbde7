//! The accept loop and its limits.
//!
//! axum's own `serve` lets a half-sent request head stay for ever, so this one drives hyper itself: every connection
//! has one timer that watches its handshake, its heads and its idleness, every request body is watched for progress,
//! and the number of connections is bounded. Streamed responses and upgraded connections have no time limit; TCP
//! keep-alive finds out when their client is gone.

mod accept;
mod activity;
mod connection;
mod requests;
mod stream;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use tokio::net::TcpListener;
use tower::Service;

use super::Body;
use super::envelope::Program;
use crate::shutdown::Shutdown;

/// The size of a request head (and of a chunk of responses under way) at which it is too large: 1 MiB as in Go, and
/// the room that Go adds on top.
pub(crate) const MAX_HEAD: usize = (1 << 20) + 4096;

/// The address to bind: an IPv6 address may come with or without its brackets.
///
/// ```
/// use bcs_common::http::server::host_port;
///
/// assert_eq!(host_port("127.0.0.1", 80), "127.0.0.1:80");
/// assert_eq!(host_port("::1", 80), "[::1]:80");
/// assert_eq!(host_port("[::1]", 80), "[::1]:80");
/// ```
pub fn host_port(address: &str, port: u16) -> String {
    let bare = address.trim_start_matches('[').trim_end_matches(']');
    if bare.contains(':') { format!("[{bare}]:{port}") } else { format!("{bare}:{port}") }
}

/// All addresses of the host, of both families where it has IPv6.
async fn bind_all(port: &str) -> io::Result<TcpListener> {
    match TcpListener::bind(format!("[::]:{port}")).await {
        Err(error) if error.kind() != io::ErrorKind::AddrInUse => TcpListener::bind(format!("0.0.0.0:{port}")).await,
        bound => bound,
    }
}

/// A bound socket, plain or TLS.
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    tls: Option<Arc<rustls::ServerConfig>>,
}

impl Listener {
    /// Binds `ip:port` (port 0: any free one; no ip: all addresses, as in Go). With `tls` the protocol is what ALPN
    /// agrees on, HTTP/1.1 without ALPN; without it clients may also speak HTTP/2 at once (prior knowledge, as gRPC
    /// does).
    ///
    /// # Errors
    /// If the address is malformed, not of this host, or taken.
    pub async fn bind(addr: &str, tls: Option<Arc<rustls::ServerConfig>>) -> io::Result<Self> {
        let socket = match addr.strip_prefix(':') {
            Some(port) => bind_all(port).await?,
            None => TcpListener::bind(addr).await?,
        };
        let address = socket.local_addr()?;
        Ok(Self { socket, address, tls })
    }

    /// The address it is bound to, with the real port.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// `https` or `http`.
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }
}

/// The limits of a server.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// For a request head: from the connection, or its first byte on a kept-alive one, to its end. It is checked in
    /// steps of half its length.
    pub header_timeout: Duration,
    /// For the TLS handshake, and for the first bytes of a plain connection.
    pub handshake_timeout: Duration,
    /// The gap between two pieces of a request body while the handler waits for it; after it the body ends with an error.
    pub body_timeout: Duration,
    /// How long a connection without a request is kept, or one whose client does not take a finished response.
    pub idle_timeout: Duration,
    /// Connections at a time, upgraded ones included. More wait in the backlog of the socket until one ends: they are
    /// not refused, and a flood of silent ones is over after `header_timeout`.
    pub max_connections: usize,
    /// How long requests may go on after the shutdown; then their connections are cut. Less than the grace of the
    /// charts (3 s).
    pub drain_timeout: Duration,
    /// The name in the envelope that answers a request whose handler panicked.
    pub program: Program,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(120),
            max_connections: 10_000,
            drain_timeout: Duration::from_secs(2),
            program: Program::new("bcs"),
        }
    }
}

/// Serves until the shutdown is triggered and the connections have ended, `drain_timeout` at most. From the trigger
/// on no connection is accepted, idle ones are closed, and the others end with the response they are sending.
///
/// Every request carries an [`Origin`](super::request_id::Origin) in its extensions and its id in the response. The
/// future of a request is dropped when its client goes away.
pub async fn serve<S>(listener: Listener, service: S, options: ServerOptions, shutdown: Shutdown)
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    accept::run(listener, service, Arc::new(options), shutdown).await;
}
