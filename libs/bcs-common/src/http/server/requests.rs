//! What happens around the service for every request: its id, its span, the watch over its body, its panic.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::FutureExt;
use http::header::COOKIE;
use http::{HeaderMap, HeaderValue, Request, Response, Version};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use tower::{Service, ServiceExt};
use tracing::{Instrument, error, info_span};

use super::ServerOptions;
use super::activity::Activity;
use crate::http::body::Watched;
use crate::http::request_id::{Origin, RequestId, X_REQUEST_ID};
use crate::http::{Body, envelope};
use crate::shutdown::panic_text;

/// The service as hyper calls it on one connection.
pub(super) struct Requests<S> {
    pub service: S,
    pub activity: Arc<Activity>,
    pub options: Arc<ServerOptions>,
    pub peer: SocketAddr,
    pub tls: bool,
}

impl<S> Requests<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    /// Answers one request. It never fails: a panic becomes a response.
    pub fn answer(
        &self,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<Counted>, Infallible>> + Send + use<S> {
        let guard = InFlight::new(&self.activity);
        let id = RequestId::of(request.headers());
        let span = info_span!("request", id = %id, method = %request.method(), path = request.uri().path());
        let version = request.version();
        let mut request = request.map(|body| self.watched(body, version));
        if version == Version::HTTP_2 {
            join_cookies(request.headers_mut());
        }
        request.extensions_mut().insert(Origin { id: id.clone(), peer: self.peer, tls: self.tls });
        let program = self.options.program;
        // No async block: it would keep the request twice.
        let answer = AssertUnwindSafe(self.service.clone().oneshot(request)).catch_unwind();
        let answer = answer.map(move |outcome| match outcome {
            Ok(Ok(response)) => response,
            Ok(Err(never)) => match never {},
            Err(panic) => {
                error!("the handler panicked: {}", panic_text(panic.as_ref()));
                envelope::internal_error(program)
            }
        });
        answer.instrument(span).map(move |mut response| {
            // The answer of a backend keeps the id it came with.
            response.headers_mut().entry(X_REQUEST_ID).or_insert_with(|| id.header());
            Ok(response.map(|body| Counted { body, _guard: guard }))
        })
    }

    fn watched(&self, body: Incoming, version: Version) -> Body {
        if body.is_end_stream() {
            return Body::empty();
        }
        let body = Watched::new(body, self.options.body_timeout);
        match version {
            // There it is the stream that ends, not the connection.
            Version::HTTP_2 => Body::new(body),
            _ => Body::new(Received { body, ended: false, activity: Arc::clone(&self.activity) }),
        }
    }
}

/// HTTP/2 lets a client cut its cookies into several headers; who goes on in HTTP/1 must put them together again (RFC 9113,
/// 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let all: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(joined) = HeaderValue::from_bytes(&all.join(&b"; "[..])) {
        headers.insert(COOKIE, joined);
    }
}

/// Counts a request as in flight while it lives.
struct InFlight(Arc<Activity>);

impl InFlight {
    fn new(activity: &Arc<Activity>) -> Self {
        activity.request_begins();
        Self(Arc::clone(activity))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.request_ends();
    }
}

/// A request body that tells whether it was read to its end: a connection with the rest of one cannot just be closed.
struct Received {
    body: Watched<Incoming>,
    ended: bool,
    activity: Arc<Activity>,
}

impl HttpBody for Received {
    type Data = Bytes;
    type Error = <Watched<Incoming> as HttpBody>::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        self.ended |= matches!(frame, Poll::Ready(None));
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        if !self.ended && !self.body.is_end_stream() {
            self.activity.body_left_unread();
        }
    }
}

/// A response body; the request is in flight until it has been taken whole.
pub(super) struct Counted {
    body: Body,
    _guard: InFlight,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
