//! Accepting of connections.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tower::Service;
use tracing::{debug, warn};

use super::connection::Connection;
use super::{Listener, ServerOptions};
use crate::http::Body;
use crate::shutdown::Shutdown;

/// As Go's server: a client that vanished is noticed after about (9 + 1) × 15 s.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// The pause after the first accept error; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

pub(super) async fn run<S>(listener: Listener, service: S, options: Arc<ServerOptions>, shutdown: Shutdown)
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    let limit = options.max_connections.clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
    let places = Arc::new(Semaphore::new(limit));
    let mut pause = FIRST_PAUSE;
    loop {
        let place = tokio::select! {
            biased;
            () = shutdown.triggered() => break,
            place = Arc::clone(&places).acquire_owned() => place,
        };
        // The semaphore is never closed.
        let Ok(place) = place else { break };
        let accepted = tokio::select! {
            biased;
            () = shutdown.triggered() => break,
            accepted = listener.socket.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                pause = FIRST_PAUSE;
                set_options(&stream);
                let connection = Connection {
                    peer,
                    tls: listener.tls.clone(),
                    place,
                    service: service.clone(),
                    options: Arc::clone(&options),
                    shutdown: shutdown.clone(),
                };
                shutdown.spawn("http connection", connection.run(stream));
            }
            Err(error) if concerns_one_connection(&error) => debug!("accept: {error}"),
            Err(error) => {
                // Mostly no file descriptors left (EMFILE): wait until connections have ended.
                warn!(pause_ms = pause.as_millis(), "accept on {} failed: {error}", listener.address);
                tokio::select! {
                    () = shutdown.triggered() => break,
                    () = tokio::time::sleep(pause) => {}
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
    drop(listener);
    // Every connection ends by itself within the drain timeout; a little more for the last ones to be cut.
    let all = u32::try_from(limit).unwrap_or(u32::MAX);
    let ended =
        tokio::time::timeout(options.drain_timeout + Duration::from_millis(200), places.acquire_many(all)).await;
    if ended.is_err() {
        debug!("connections that were upgraded are still open");
    }
}

fn set_options(stream: &TcpStream) {
    let keep_alive = TcpKeepalive::new().with_time(KEEP_ALIVE).with_interval(KEEP_ALIVE);
    let result = stream.set_nodelay(true).and_then(|()| SockRef::from(stream).set_tcp_keepalive(&keep_alive));
    if let Err(error) = result {
        // The client has gone already.
        debug!("socket options: {error}");
    }
}

fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}
