//! Connects to an etcd server with our own TLS settings. The client library's own TLS cannot skip the name check that
//! the documented certificates (without SAN) fail.

use std::io;
use std::sync::Arc;

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tower::Service;
use tower::util::service_fn;

use super::super::address::Address;

/// A connection, with or without TLS.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

type Io = TokioIo<Box<dyn Stream>>;

/// The settings with HTTP/2 as the only protocol to agree on: etcd refuses a client that offers none.
pub(super) fn for_http2(tls: &ClientConfig) -> Arc<ClientConfig> {
    let mut tls = tls.clone();
    tls.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(tls)
}

/// What makes a new connection to the server whenever one is needed.
pub(super) fn connector(
    address: Address,
    tls: Option<Arc<ClientConfig>>,
) -> impl Service<Uri, Response = Io, Error = io::Error, Future: Send> + Send + 'static {
    service_fn(move |_uri| connect(address.clone(), tls.clone()))
}

async fn connect(address: Address, tls: Option<Arc<ClientConfig>>) -> io::Result<Io> {
    let stream = TcpStream::connect((address.host.as_str(), address.port)).await?;
    stream.set_nodelay(true)?;
    let Some(tls) = tls else {
        return Ok(TokioIo::new(Box::new(stream)));
    };
    let name = ServerName::try_from(address.host).map_err(io::Error::other)?;
    let stream = TlsConnector::from(tls).connect(name, stream).await?;
    Ok(TokioIo::new(Box::new(stream)))
}
