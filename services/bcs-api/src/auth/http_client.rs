//! Short calls to other services over kept-alive connections.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bcs_common::errors::chain;
use bytes::Bytes;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower::Service;

/// Limit of a connection attempt.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How long an unused connection is kept.
const IDLE_LIMIT: Duration = Duration::from_secs(60);
/// Longest answer in bytes.
const MAX_ANSWER: usize = 4 << 20;

/// Why a call brought no answer. Holds neither the path nor the query: they may be secret.
#[derive(Debug, Error)]
pub(crate) enum CallError {
    /// What is configured or asked for makes no URL.
    #[error("that makes no URL")]
    Url,
    /// No connection, or it broke.
    #[error("{host}: {reason}")]
    Transport { host: String, reason: String },
    /// No answer in time.
    #[error("{host}: no answer within {} s", .limit.as_secs())]
    Timeout { host: String, limit: Duration },
}

/// Calls services over HTTP and HTTPS. Clones share the connections.
#[derive(Clone)]
pub(crate) struct HttpClient {
    client: Client<Connector, Full<Bytes>>,
}

impl HttpClient {
    /// A client that checks servers as `tls` says.
    pub fn new(tls: Arc<ClientConfig>) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_LIMIT)
            .pool_timer(TokioTimer::new())
            .build(Connector { tls: TlsConnector::from(tls) });
        Self { client }
    }

    /// Sends a request; status and body of the answer.
    pub async fn call(&self, request: Request<Full<Bytes>>, limit: Duration) -> Result<(StatusCode, Bytes), CallError> {
        let uri = request.uri();
        let host = uri.authority().ok_or(CallError::Url)?.to_string();
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(CallError::Url);
        }
        match tokio::time::timeout(limit, self.exchange(request)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(reason)) => Err(CallError::Transport { host, reason }),
            Err(_) => Err(CallError::Timeout { host, limit }),
        }
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), String> {
        let response = self.client.request(request).await.map_err(|error| chain(&error))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
        Ok((status, body.map_err(|error| chain(&*error))?.to_bytes()))
    }
}

/// Opens connections for the pool.
#[derive(Clone)]
struct Connector {
    tls: TlsConnector,
}

impl Service<Uri> for Connector {
    type Response = Pooled;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = std::io::Result<Pooled>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let tls = self.tls.clone();
        Box::pin(async move {
            let late = |_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut));
            tokio::time::timeout(CONNECT_LIMIT, connect(&uri, &tls)).await.unwrap_or_else(late)
        })
    }
}

async fn connect(uri: &Uri, tls: &TlsConnector) -> std::io::Result<Pooled> {
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let is_secure = uri.scheme_str() == Some("https");
    let port = uri.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    if !is_secure {
        return Ok(Pooled::Plain(TokioIo::new(stream)));
    }
    let name = ServerName::try_from(host.to_owned()).map_err(std::io::Error::other)?;
    Ok(Pooled::Secure(Box::new(TokioIo::new(tls.connect(name, stream).await?))))
}

/// A connection of the pool.
enum Pooled {
    Plain(TokioIo<TcpStream>),
    Secure(Box<TokioIo<TlsStream<TcpStream>>>),
}

impl Connection for Pooled {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Pooled {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Secure(stream) => Pin::new(stream.as_mut()).poll_read(context, buffer),
        }
    }
}

impl Write for Pooled {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Secure(stream) => Pin::new(stream.as_mut()).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Secure(stream) => Pin::new(stream.as_mut()).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Secure(stream) => Pin::new(stream.as_mut()).poll_shutdown(context),
        }
    }
}
