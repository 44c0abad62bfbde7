//! One attempt of an HTTP check (check.md 5.3).

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::{Either, select};
use http::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, HOST, LOCATION, TRAILER, TRANSFER_ENCODING, USER_AGENT,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;

use super::target::{BadUrl, Target, request_target};
use crate::definition::HttpTarget;
use crate::net::{self, ConnectError, Stream};

/// Requests of one attempt, redirects included.
const MAX_REQUESTS: usize = 10;
/// A longer body counts as read.
const MAX_BODY: usize = 1 << 20;
/// The deadline of the attempt is the real limit.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(3600);

/// Why an attempt failed before there was a final status code.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// A path or a redirect is no URL.
    #[error(transparent)]
    Url(#[from] BadUrl),
    /// A header of the definition cannot be sent.
    #[error("net/http: invalid header field {0:?}")]
    Header(String),
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The connection ended without an answer.
    #[error("EOF")]
    NoAnswer,
    /// The body ended early.
    #[error("unexpected EOF")]
    ShortBody,
    /// The server reset the connection.
    #[error("read: connection reset by peer")]
    Reset,
    /// The answer is not HTTP.
    #[error("malformed HTTP response")]
    Malformed,
    /// One redirect too many.
    #[error("stopped after 10 redirects")]
    TooManyRedirects,
}

/// One answer of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// Who was asked: `host:port`, without a port if it is the scheme's own.
    pub authority: String,
    /// For what.
    pub path_and_query: String,
    /// What it said.
    pub status: StatusCode,
}

/// Asks, follows redirects, and reads the last answer to its end. Returns all answers; the last one counts.
pub async fn exchange(address: (&str, u16), http: &HttpTarget, tls: &Arc<ClientConfig>) -> Result<Vec<Hop>, HttpError> {
    let path_and_query = request_target(&http.path)?;
    let first = Target { tls: http.scheme == "https", host: address.0.to_owned(), port: address.1, path_and_query };
    let (headers, host) = headers(http)?;
    let mut target = first.clone();
    let mut hops = Vec::new();
    while hops.len() < MAX_REQUESTS {
        let own_host = host.as_ref().filter(|_| target.same_server(&first));
        let (status, next) = ask(&target, headers.clone(), own_host, tls).await?;
        hops.push(Hop { authority: target.authority(), path_and_query: target.path_and_query.clone(), status });
        match next {
            Some(location) => target = target.redirected(&location)?,
            None => return Ok(hops),
        }
    }
    Err(HttpError::TooManyRedirects)
}

/// The headers of all requests, and the `Host` for the first server.
fn headers(http: &HttpTarget) -> Result<(HeaderMap, Option<HeaderValue>), HttpError> {
    let mut headers = HeaderMap::new();
    // What the original sends without being told.
    headers.insert(USER_AGENT, HeaderValue::from_static("Go-http-client/1.1"));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    let mut host = None;
    for (name, value) in &http.headers {
        let bad = || HttpError::Header(name.clone());
        let value = HeaderValue::from_str(value.trim()).or_else(|_| HeaderValue::from_bytes(value.as_bytes()));
        let value = value.map_err(|_| bad())?;
        match HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())? {
            name if name == HOST => host = Some(value).filter(|value| !value.is_empty()),
            // These describe a body, and there is none.
            name if [CONTENT_LENGTH, TRANSFER_ENCODING, TRAILER].contains(&name) => {}
            name => drop(headers.insert(name, value)),
        }
    }
    Ok((headers, host))
}

/// One request on a connection of its own; its status, and where it redirects to.
async fn ask(
    target: &Target,
    mut headers: HeaderMap,
    host: Option<&HeaderValue>,
    tls: &Arc<ClientConfig>,
) -> Result<(StatusCode, Option<String>), HttpError> {
    let host = match host {
        Some(host) => host.clone(),
        None => HeaderValue::from_str(&target.authority()).map_err(|_| BadUrl::Host)?,
    };
    headers.insert(HOST, host);
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.method_mut() = Method::GET;
    *request.uri_mut() = target.path_and_query.parse().map_err(|_| BadUrl::Control)?;
    *request.headers_mut() = headers;
    let stream = net::dial(&target.host, target.port).await?;
    let stream: Box<dyn Stream> =
        if target.tls { net::secure(stream, &target.host, tls, HANDSHAKE_LIMIT).await? } else { Box::new(stream) };
    let mut builder = hyper::client::conn::http1::Builder::new();
    // Go reads folded headers, too.
    builder.title_case_headers(true).allow_obsolete_multiline_headers_in_responses(true);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(|e| answer_error(&e))?;
    let answer = async move {
        let response = sender.send_request(request).await.map_err(|e| answer_error(&e))?;
        let status = response.status();
        if let Some(location) = location(status, response.headers()) {
            return Ok((status, Some(location)));
        }
        read(response.into_body()).await?;
        Ok((status, None))
    };
    // The connection has to be polled for the answer to come; it may end before the body is taken out of it.
    match select(pin!(answer), pin!(connection)).await {
        Either::Left((answer, _)) => answer,
        Either::Right((_, answer)) => answer.await,
    }
}

fn location(status: StatusCode, headers: &HeaderMap) -> Option<String> {
    let redirects = matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308);
    let location = headers.get(LOCATION).filter(|location| redirects && !location.is_empty())?;
    Some(String::from_utf8_lossy(location.as_bytes()).into_owned())
}

async fn read(mut body: Incoming) -> Result<(), HttpError> {
    let mut length = 0;
    while length <= MAX_BODY {
        match body.frame().await {
            None => break,
            Some(Ok(frame)) => length += frame.data_ref().map_or(0, Bytes::len),
            Some(Err(error)) if is_reset(&error) => return Err(HttpError::Reset),
            Some(Err(_)) => return Err(HttpError::ShortBody),
        }
    }
    Ok(())
}

fn answer_error(error: &hyper::Error) -> HttpError {
    if is_reset(error) {
        HttpError::Reset
    } else if error.is_parse() {
        HttpError::Malformed
    } else {
        HttpError::NoAnswer
    }
}

fn is_reset(error: &hyper::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(current) = cause {
        let reset = current
            .downcast_ref::<io::Error>()
            .is_some_and(|error| matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe));
        if reset {
            return true;
        }
        cause = current.source();
    }
    false
}
