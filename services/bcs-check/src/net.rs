//! Outgoing connections, plain and TLS.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// A connection, whatever it is made of.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Why there is no connection. The texts are the same every time: no source port, no time (check.md 5.4).
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No TCP connection.
    #[error("dial tcp {address}: {reason}")]
    Dial {
        /// Whereto.
        address: String,
        /// What the system says.
        reason: &'static str,
    },
    /// The host name is unknown.
    #[error("dial tcp: lookup {host}: no such host")]
    Lookup {
        /// The name.
        host: String,
    },
    /// The TLS handshake failed.
    #[error("tls: {0}")]
    Tls(String),
    /// The TLS handshake took too long.
    #[error("net/http: TLS handshake timeout")]
    TlsTimeout,
}

/// Opens a TCP connection. A host name is looked up; all of its addresses are tried.
///
/// # Errors
/// [`ConnectError::Dial`] and [`ConnectError::Lookup`].
pub async fn dial(host: &str, port: u16) -> Result<TcpStream, ConnectError> {
    let bracketed = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    TcpStream::connect((host, port)).await.map_err(|error| {
        if error.raw_os_error().is_none() {
            ConnectError::Lookup { host: host.to_owned() }
        } else {
            ConnectError::Dial { address: bracketed, reason: dial_reason(&error) }
        }
    })
}

/// Text of an error of `connect`, as Go writes it.
pub fn dial_reason(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connect: connection refused",
        io::ErrorKind::ConnectionReset => "connect: connection reset by peer",
        io::ErrorKind::HostUnreachable => "connect: no route to host",
        io::ErrorKind::NetworkUnreachable => "connect: network is unreachable",
        io::ErrorKind::TimedOut => "i/o timeout",
        io::ErrorKind::AddrNotAvailable => "connect: cannot assign requested address",
        io::ErrorKind::PermissionDenied => "connect: permission denied",
        _ => "connect: failed",
    }
}

/// TLS on an open connection.
///
/// # Errors
/// [`ConnectError::Tls`] and [`ConnectError::TlsTimeout`].
pub async fn secure(
    stream: TcpStream,
    host: &str,
    config: &Arc<ClientConfig>,
    limit: Duration,
) -> Result<Box<dyn Stream>, ConnectError> {
    let name = ServerName::try_from(host.to_owned()).map_err(|error| ConnectError::Tls(error.to_string()))?;
    match timeout(limit, TlsConnector::from(Arc::clone(config)).connect(name, stream)).await {
        Ok(Ok(stream)) => Ok(Box::new(stream)),
        Ok(Err(error)) => Err(ConnectError::Tls(tls_reason(&error))),
        Err(_) => Err(ConnectError::TlsTimeout),
    }
}

fn tls_reason(error: &io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidMessage(_)) => "first record does not look like a TLS handshake".to_owned(),
        Some(error) => error.to_string(),
        None => match error.kind() {
            io::ErrorKind::UnexpectedEof => "EOF".to_owned(),
            io::ErrorKind::ConnectionReset => "connection reset by peer".to_owned(),
            _ => "handshake failed".to_owned(),
        },
    }
}
