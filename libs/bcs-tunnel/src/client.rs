//! The dialling side of a session: what agents are, and replicas towards each other.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use bcs_common::shutdown::Shutdown;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::session::core::{Core, EOF};
use crate::session::driver::{self, Opener};
use crate::session::stream::TunnelStream;
use crate::session::{DIAL_DEADLINE, KeepAlive, Opening, Session, SessionError};
use crate::splice::splice;
use crate::websocket::codec::Role;

/// The client key of dialling sessions, in metrics and texts.
const KEY: &str = "client";

/// A byte stream in both directions.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Makes the connections that the accepting side asks for.
#[async_trait]
pub trait Dial: Send + Sync + 'static {
    /// Whether to dial at all; a request that is not allowed ends the session.
    fn allows(&self, opening: &Opening) -> bool;

    /// Dials.
    ///
    /// # Errors
    /// The text that goes back through the tunnel.
    async fn dial(&self, opening: &Opening) -> Result<Box<dyn Stream>, String>;
}

/// Dials what an agent dials: any TCP address, and the socket of docker.
#[derive(Clone, Copy, Debug)]
pub struct AgentDial;

const DOCKER: &str = "/var/run/docker.sock";

#[async_trait]
impl Dial for AgentDial {
    fn allows(&self, opening: &Opening) -> bool {
        opening.network == "tcp" || (opening.network == "unix" && opening.address == DOCKER)
    }

    async fn dial(&self, opening: &Opening) -> Result<Box<dyn Stream>, String> {
        self.connect(opening).await.map_err(|error| error_text(opening, &error))
    }
}

impl AgentDial {
    async fn connect(self, opening: &Opening) -> io::Result<Box<dyn Stream>> {
        if opening.network == "unix" {
            return Ok(Box::new(UnixStream::connect(&opening.address).await?));
        }
        let stream = TcpStream::connect(&opening.address).await?;
        stream.set_nodelay(true)?;
        Ok(Box::new(stream))
    }
}

/// A dialling session that does not run yet.
pub(crate) fn session(metrics: &Metrics, keep_alive: KeepAlive) -> Arc<Session> {
    let metrics = metrics.of_session(KEY);
    Session::new(KEY, 0, Core::new(Role::Client, format!("{KEY}/0"), metrics.clone()), metrics, keep_alive)
}

/// Serves the far end of a websocket that was dialled, until the session ends or `stop` is cancelled.
pub async fn serve<I>(
    io: I,
    dial: Arc<dyn Dial>,
    metrics: &Metrics,
    keep_alive: KeepAlive,
    shutdown: &Shutdown,
    stop: CancellationToken,
) -> SessionError
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    run(io, session(metrics, keep_alive), dial, shutdown, stop).await
}

pub(crate) async fn run<I>(
    io: I,
    session: Arc<Session>,
    dial: Arc<dyn Dial>,
    shutdown: &Shutdown,
    stop: CancellationToken,
) -> SessionError
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    let tasks = shutdown.clone();
    let opener: Opener = Box::new(move |opening, stream| {
        if !dial.allows(&opening) {
            return Err(SessionError::ConnectNotAllowed);
        }
        tasks.spawn("tunnel connection", connection(Arc::clone(&dial), opening, stream));
        Ok(())
    });
    let (reason, goodbye) = driver::run(io, Role::Client, session, opener, stop).await;
    goodbye.say().await;
    reason
}

/// One connection from the dial to its end. It ends with its session at the latest.
async fn connection(dial: Arc<dyn Dial>, opening: Opening, mut stream: TunnelStream) {
    let deadline = if opening.deadline.is_zero() { DIAL_DEADLINE } else { opening.deadline };
    let mut target = match timeout(deadline, dial.dial(&opening)).await {
        Ok(Ok(target)) => target,
        Ok(Err(text)) => return stream.close(&text),
        Err(_) => return stream.close(&format!("dial {} {}: i/o timeout", opening.network, opening.address)),
    };
    match splice(&mut stream, &mut target).await {
        Ok(()) => stream.close(EOF),
        // If it is the stream's own error there is nobody left to tell.
        Err(error) => stream.close(&error.to_string()),
    }
}

/// As Go words it.
fn error_text(opening: &Opening, error: &io::Error) -> String {
    let reason = match error.kind() {
        io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        io::ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
        io::ErrorKind::NetworkUnreachable => "connect: network is unreachable".to_owned(),
        _ => error.to_string(),
    };
    format!("dial {} {}: {reason}", opening.network, opening.address)
}
