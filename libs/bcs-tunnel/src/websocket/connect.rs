//! The dialling side of the handshake (RFC 6455 section 4.1).

use std::io;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bcs_common::http::Body;
use bcs_common::http::body::collect;
use bcs_common::shutdown::Shutdown;
use http::header::{CONNECTION, HOST, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use hyper::client::conn::http1;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::upgrade::accept_value;

/// For the connection, TLS and the handshake together.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Of a refusal's body that is shown.
const MAX_TEXT: usize = 4 << 10;

/// Why there is no websocket.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The authority is no `host:port`.
    #[error("{0:?} is no host and port")]
    Address(String),
    /// No connection, or no TLS.
    #[error("cannot connect")]
    Connect(#[from] io::Error),
    /// The far end does not speak HTTP.
    #[error("no answer")]
    Http(#[from] hyper::Error),
    /// It answered something else than 101.
    #[error("refused with {status}: {text}")]
    Refused {
        /// The status.
        status: StatusCode,
        /// The body.
        text: String,
    },
    /// The 101 does not belong to this request.
    #[error("the answer is no websocket handshake")]
    NoWebsocket,
    /// Not within ten seconds.
    #[error("no handshake within {} s", HANDSHAKE.as_secs())]
    TimedOut,
}

/// Where to dial.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint<'a> {
    /// `host:port`.
    pub authority: &'a str,
    /// The path, with a slash in front.
    pub path: &'a str,
}

/// Dials a websocket, over TLS if there is a configuration. `headers` go along with the handshake.
///
/// # Errors
/// See [`ConnectError`]; within ten seconds.
pub async fn connect(
    endpoint: Endpoint<'_>,
    headers: HeaderMap,
    tls: Option<Arc<ClientConfig>>,
    shutdown: &Shutdown,
) -> Result<TokioIo<Upgraded>, ConnectError> {
    let handshake = async {
        let tcp = TcpStream::connect(endpoint.authority).await?;
        tcp.set_nodelay(true)?;
        match tls {
            None => shake_hands(tcp, endpoint, headers, shutdown).await,
            Some(tls) => {
                let stream = TlsConnector::from(tls).connect(server_name(endpoint.authority)?, tcp).await?;
                shake_hands(stream, endpoint, headers, shutdown).await
            }
        }
    };
    timeout(HANDSHAKE, handshake).await.map_err(|_| ConnectError::TimedOut)?
}

fn server_name(authority: &str) -> Result<ServerName<'static>, ConnectError> {
    let no_address = || ConnectError::Address(authority.to_owned());
    let (host, _) = authority.rsplit_once(':').ok_or_else(no_address)?;
    ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).map_err(|_| no_address())
}

async fn shake_hands<I>(
    io: I,
    endpoint: Endpoint<'_>,
    headers: HeaderMap,
    shutdown: &Shutdown,
) -> Result<TokioIo<Upgraded>, ConnectError>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let key = STANDARD.encode(rand::random::<[u8; 16]>());
    let mut request = Request::new(Body::empty());
    let path = endpoint.path.parse().map_err(|_| ConnectError::Address(endpoint.path.to_owned()))?;
    *request.uri_mut() = path;
    *request.headers_mut() = headers;
    let value = |text: &str| HeaderValue::try_from(text).map_err(|_| ConnectError::Address(text.to_owned()));
    for (name, text) in [
        (HOST, endpoint.authority),
        (CONNECTION, "Upgrade"),
        (UPGRADE, "websocket"),
        (SEC_WEBSOCKET_VERSION, "13"),
        (SEC_WEBSOCKET_KEY, &key),
    ] {
        request.headers_mut().insert(name, value(text)?);
    }
    let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await?;
    // It ends with the upgrade, or with this future, which owns the sender.
    shutdown.spawn("websocket handshake", connection.with_upgrades());
    let response = sender.send_request(request).await?;
    let status = response.status();
    if status != StatusCode::SWITCHING_PROTOCOLS {
        let body = collect(Body::new(response.into_body()), MAX_TEXT).await.unwrap_or_default();
        return Err(ConnectError::Refused { status, text: String::from_utf8_lossy(&body).into_owned() });
    }
    if response.headers().get(SEC_WEBSOCKET_ACCEPT) != Some(&accept_value(key.as_bytes())) {
        return Err(ConnectError::NoWebsocket);
    }
    Ok(TokioIo::new(hyper::upgrade::on(response).await?))
}
