//! Requests to services, plain HTTP.

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use bcs_common::http::Body;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client as Pooled;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use thiserror::Error;
use tokio::time::timeout;

/// Limit of a whole exchange of [`Client::ask`].
const ASK_LIMIT: Duration = Duration::from_secs(5);
const CONNECT_LIMIT: Duration = Duration::from_secs(3);
const IDLE_LIMIT: Duration = Duration::from_secs(60);
/// The answers that are read as a whole are reports and lists of routes.
const MAX_ANSWER: usize = 4 << 20;

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum AskError {
    /// No connection, or it broke.
    #[error("no answer")]
    Client(#[from] hyper_util::client::legacy::Error),
    /// The answer broke off or is too long.
    #[error("no complete answer")]
    Body(#[source] Box<dyn Error + Send + Sync>),
    /// It took too long.
    #[error("no answer in time")]
    TimedOut,
}

/// A client with kept connections; clones share them.
#[derive(Clone)]
pub struct Client(Pooled<HttpConnector, Body>);

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

impl Client {
    /// A client without connections yet.
    #[must_use]
    pub fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_LIMIT));
        let client = Pooled::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_LIMIT)
            .pool_timer(TokioTimer::new())
            .build(connector);
        Self(client)
    }

    /// Sends a request; the answer's body comes as it arrives.
    ///
    /// # Errors
    /// No connection, or no head of an answer.
    pub async fn send(
        &self,
        request: Request<Body>,
    ) -> Result<http::Response<Incoming>, hyper_util::client::legacy::Error> {
        self.0.request(request).await
    }

    /// Sends a request and reads the whole answer, all in a few seconds.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn ask(&self, request: Request<Body>) -> Result<(StatusCode, Bytes), AskError> {
        let exchange = async {
            let answer = self.send(request).await?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await.map_err(AskError::Body)?;
            Ok((status, body.to_bytes()))
        };
        timeout(ASK_LIMIT, exchange).await.map_err(|_| AskError::TimedOut)?
    }

    /// GET of a path.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn get(&self, address: SocketAddr, path: &str) -> Result<(StatusCode, Bytes), AskError> {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = uri(address, path);
        self.ask(request).await
    }
}

/// The URL of a path with its query, as it is.
pub fn uri(address: SocketAddr, path_and_query: &str) -> http::Uri {
    let uri = http::Uri::builder().scheme("http").authority(address.to_string()).path_and_query(path_and_query);
    uri.build().unwrap_or_default()
}
