//! How the AMQP library reaches the broker: plain, or over TLS that checks no certificate, as the original does it.
//!
//! The library's own TLS always checks certificates (and brings a score of crates for it), so it is given a runtime whose
//! connections are encrypted already.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_rs::traits::{Executor, Reactor, RuntimeKit};
use async_rs::util::Task;
use async_rs::{Runtime, Tokio};
use bcs_common::tls::{self, ClientTls, Verify};
use futures::Stream;
use futures::io::{AsyncRead, AsyncWrite};
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{Connection, ConnectionProperties};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::compat::TokioAsyncReadCompatExt;

/// Opens a connection to the broker.
pub(super) async fn connect(uri: AMQPUri) -> lapin::Result<Connection> {
    let tls = match uri.scheme {
        AMQPScheme::AMQP => None,
        AMQPScheme::AMQPS => Some(Tls::for_host(&uri.authority.host)?),
    };
    let uri = AMQPUri { scheme: AMQPScheme::AMQP, ..uri };
    let runtime = Runtime::new(Transport { tokio: Tokio::current(), tls });
    Connection::connect_uri_with_runtime(uri, ConnectionProperties::default(), runtime).await
}

#[derive(Clone)]
struct Tls {
    config: Arc<ClientConfig>,
    host: ServerName<'static>,
}

impl Tls {
    fn for_host(host: &str) -> io::Result<Self> {
        let options = ClientTls { verify: Some(Verify::None), ..ClientTls::default() };
        let config = tls::client_config(&options, &[]).map_err(io::Error::other)?;
        Ok(Self { config, host: ServerName::try_from(host.to_owned()).map_err(io::Error::other)? })
    }
}

/// The tokio runtime, with encrypted connections where TLS is set.
#[derive(Clone)]
struct Transport {
    tokio: Tokio,
    tls: Option<Tls>,
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").field("tls", &self.tls.is_some()).finish_non_exhaustive()
    }
}

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

impl RuntimeKit for Transport {}

impl Executor for Transport {
    type Task<T: Send + 'static> = <Tokio as Executor>::Task<T>;

    fn block_on<T, F: Future<Output = T>>(&self, future: F) -> T {
        self.tokio.block_on(future)
    }

    fn spawn<T: Send + 'static, F: Future<Output = T> + Send + 'static>(&self, future: F) -> Task<Self::Task<T>> {
        self.tokio.spawn(future)
    }

    fn spawn_blocking<T: Send + 'static, F: FnOnce() -> T + Send + 'static>(&self, work: F) -> Task<Self::Task<T>> {
        self.tokio.spawn_blocking(work)
    }
}

impl Reactor for Transport {
    type TcpStream = Box<dyn Duplex>;
    type Sleep = <Tokio as Reactor>::Sleep;

    fn register<H: io::Read + io::Write + AsFd + AsRawFd + Send + 'static>(
        &self,
        socket: H,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        self.tokio.register(socket)
    }

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        self.tokio.sleep(duration)
    }

    fn interval(&self, duration: Duration) -> impl Stream<Item = Instant> + Send + 'static {
        self.tokio.interval(duration)
    }

    fn tcp_connect_addr(
        &self,
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::TcpStream>> + Send + 'static {
        let tls = self.tls.clone();
        async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let stream: Box<dyn Duplex> = match tls {
                None => Box::new(stream.compat()),
                Some(Tls { config, host }) => {
                    Box::new(TlsConnector::from(config).connect(host, stream).await?.compat())
                }
            };
            Ok(stream)
        }
    }
}
