//! Why a backend gave no answer, and what the client is told.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use bcs_common::http::{self as bcs_http, Body};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};

/// No answer from a backend.
#[derive(Clone, Debug)]
pub struct ProxyError {
    stage: Stage,
    text: String,
    upgrade: bool,
}

/// How far it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// There is no connection.
    Connect,
    /// The connection is there, but TLS could not be agreed on.
    Tls,
    /// The connection ended before the answer.
    Exchange,
}

impl ProxyError {
    pub(super) fn new(stage: Stage, error: &(dyn StdError + 'static)) -> Self {
        Self { stage, text: innermost(error), upgrade: false }
    }

    pub(super) fn connect(text: impl Into<String>) -> Self {
        Self { stage: Stage::Connect, text: text.into(), upgrade: false }
    }

    pub(super) fn exchange(error: &hyper::Error) -> Self {
        if error.source().is_none() && (error.is_incomplete_message() || error.is_closed() || error.is_canceled()) {
            return Self { stage: Stage::Exchange, text: "EOF".to_owned(), upgrade: false };
        }
        Self::new(Stage::Exchange, error)
    }

    /// It was an upgrade that failed: these are answered in another way.
    pub(super) fn of_upgrade(self) -> Self {
        Self { upgrade: true, ..self }
    }

    /// What went wrong: the text of the agent, of TLS, or of the socket.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether the request was certainly not sent.
    pub fn is_unsent(&self) -> bool {
        self.stage != Stage::Exchange
    }

    /// How kube-apiserver's service proxy says it: 503 `Error trying to reach service: '…'`; to an upgrade 500 and the
    /// reason.
    pub fn service_unavailable(&self) -> Response<Body> {
        if self.upgrade {
            return self.upgrade_failed();
        }
        plain(StatusCode::SERVICE_UNAVAILABLE, format!("Error trying to reach service: '{}'", self.text))
    }

    /// How bcs-api says it for a tunnel: 503 `Error: '…'` and the URL; to an upgrade 500 and the reason.
    pub fn service_unavailable_url(&self, url: &str) -> Response<Body> {
        if self.upgrade {
            return self.upgrade_failed();
        }
        plain(StatusCode::SERVICE_UNAVAILABLE, format!("Error: '{}'\nTrying to reach: '{url}'", self.text))
    }

    /// How Go's reverse proxy says it: 502 without a body.
    pub fn bad_gateway(&self) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::BAD_GATEWAY;
        response
    }

    /// To an upgrade that reached no backend: 500 `error dialing backend: …` and a newline.
    pub fn dialing_backend(&self) -> Response<Body> {
        bcs_http::text(StatusCode::INTERNAL_SERVER_ERROR, format!("error dialing backend: {}\n", self.text))
    }

    fn upgrade_failed(&self) -> Response<Body> {
        if self.stage == Stage::Tls {
            return self.dialing_backend();
        }
        bcs_http::text(StatusCode::INTERNAL_SERVER_ERROR, format!("{}\n", self.text))
    }
}

fn plain(status: StatusCode, text: String) -> Response<Body> {
    let mut response = bcs_http::text(status, text);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}

/// The first cause: the layers above only say that something went wrong. A connection that just ends is `EOF`, with TLS or
/// without.
fn innermost(error: &(dyn StdError + 'static)) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    match cause.downcast_ref::<io::Error>() {
        Some(ended) if ended.kind() == io::ErrorKind::UnexpectedEof => "EOF".to_owned(),
        _ => cause.to_string(),
    }
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl StdError for ProxyError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the request failed")]
    struct Failed(#[source] io::Error);

    #[test]
    fn a_connection_that_ends_says_no_more() {
        // What rustls says when there was no goodbye, inside of what hyper makes of it.
        let ended = io::Error::new(io::ErrorKind::UnexpectedEof, "peer closed connection, see the manual");
        let error = ProxyError::new(Stage::Exchange, &Failed(ended));
        assert_eq!(error.text(), "EOF");
        let error = ProxyError::new(Stage::Connect, &io::Error::from(io::ErrorKind::ConnectionRefused));
        assert_eq!(error.text(), "connection refused");
    }
}
