//! Delivers reports over kept-alive connections (check.md 6.3, 6.4).

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{Method, Request, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use serde::Deserialize;
use tokio::time::timeout;
use tower::Service;

use crate::net::{self, ConnectError, Stream};

/// Time limits of check.md 6.4.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
const TLS_LIMIT: Duration = Duration::from_secs(5);
const TOTAL_LIMIT: Duration = Duration::from_secs(30);
/// Refreshes come all the time; whoever is idle for longer is not needed.
const IDLE_LIMIT: Duration = Duration::from_secs(60);
/// The answers are a few dozen bytes.
const MAX_ANSWER: usize = 64 << 10;

/// How a delivery ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The scheduler has it.
    Delivered,
    /// The scheduler does not want it, for this reason. Sending it again would not help.
    Refused(String),
    /// No connection: the scheduler has not seen it.
    Unreachable(String),
    /// The scheduler may or may not have it.
    Failed(String),
}

/// Sends reports. Clones share the connections.
#[derive(Clone)]
pub struct ReportClient {
    client: Client<Connector, Full<Bytes>>,
}

impl ReportClient {
    /// A client that keeps at most `connections` idle ones.
    pub fn new(tls: Arc<ClientConfig>, connections: usize) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_LIMIT)
            .pool_max_idle_per_host(connections)
            .pool_timer(TokioTimer::new())
            .build(Connector { tls });
        Self { client }
    }

    /// Sends one report to the scheduler at `base`.
    pub async fn deliver(&self, base: &str, body: Vec<u8>) -> Outcome {
        match timeout(TOTAL_LIMIT, self.post(base, body)).await {
            Ok(outcome) => outcome,
            Err(_) => Outcome::Failed("no answer in time".to_owned()),
        }
    }

    async fn post(&self, base: &str, body: Vec<u8>) -> Outcome {
        let Ok(uri) = format!("{base}/v1/healthcheck").parse::<Uri>() else {
            return Outcome::Unreachable(format!("{base} is no URL"));
        };
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri;
        let json = http::HeaderValue::from_static("application/json");
        request.headers_mut().insert(CONTENT_TYPE, json.clone());
        request.headers_mut().insert(ACCEPT, json);
        let response = match self.client.request(request).await {
            Ok(response) => response,
            Err(error) if error.is_connect() => return Outcome::Unreachable(causes(&error)),
            Err(error) => return Outcome::Failed(causes(&error)),
        };
        let status = response.status();
        let answer = match Limited::new(response.into_body(), MAX_ANSWER).collect().await {
            Ok(answer) => answer.to_bytes(),
            Err(error) => return Outcome::Failed(format!("the answer broke off: {error}")),
        };
        judge(status.as_u16(), &answer)
    }
}

/// What an answer means (check.md 6.3).
fn judge(status: u16, answer: &[u8]) -> Outcome {
    #[derive(Deserialize)]
    struct Answer {
        result: Option<bool>,
        message: Option<String>,
    }
    match status {
        200..300 if answer.is_empty() => Outcome::Failed("an empty answer: it is not the master".to_owned()),
        200..300 => match serde_json::from_slice::<Answer>(answer) {
            Ok(Answer { result: Some(false), message }) => Outcome::Refused(message.unwrap_or_default()),
            _ => Outcome::Delivered,
        },
        400..500 => Outcome::Refused(format!("HTTP {status}")),
        _ => Outcome::Failed(format!("HTTP {status}")),
    }
}

fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// Opens connections for the pool.
#[derive(Clone)]
struct Connector {
    tls: Arc<ClientConfig>,
}

type Connecting = Pin<Box<dyn Future<Output = Result<Pooled, ConnectError>> + Send>>;

impl Service<Uri> for Connector {
    type Response = Pooled;
    type Error = ConnectError;
    type Future = Connecting;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Connecting {
        Box::pin(connect(uri, Arc::clone(&self.tls)))
    }
}

async fn connect(uri: Uri, tls: Arc<ClientConfig>) -> Result<Pooled, ConnectError> {
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let secure = uri.scheme_str() == Some("https");
    let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let timed_out = |_| ConnectError::Dial { address: format!("{host}:{port}"), reason: "i/o timeout" };
    let stream = timeout(CONNECT_LIMIT, net::dial(host, port)).await.map_err(timed_out)??;
    // A report is one small write; there is nothing to wait for. Without it, it is only later.
    let _ = stream.set_nodelay(true);
    let stream: Box<dyn Stream> =
        if secure { net::secure(stream, host, &tls, TLS_LIMIT).await? } else { Box::new(stream) };
    Ok(Pooled(TokioIo::new(stream)))
}

/// A connection of the pool.
struct Pooled(TokioIo<Box<dyn Stream>>);

impl Connection for Pooled {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Pooled {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(cx, buf)
    }
}

impl Write for Pooled {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        let ok = br#"{"result":true,"code":0,"message":"success","data":null}"#;
        assert_eq!(judge(200, ok), Outcome::Delivered);
        assert_eq!(judge(200, b"fine"), Outcome::Delivered);
        assert!(matches!(judge(200, b""), Outcome::Failed(_)));
        assert_eq!(judge(200, br#"{"result":false,"message":"no"}"#), Outcome::Refused("no".into()));
        assert_eq!(judge(404, b"x"), Outcome::Refused("HTTP 404".into()));
        assert!(matches!(judge(500, ok), Outcome::Failed(_)));
        assert!(matches!(judge(302, b""), Outcome::Failed(_)));
    }
}
