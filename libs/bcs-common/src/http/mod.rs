//! The HTTP server that all services share (common.md 6): listener, router, response envelope and request helpers.

pub mod body;
pub mod code;
pub mod document;
pub mod envelope;
pub mod json;
pub mod query;
pub mod request_id;
pub mod router;
pub mod server;

use http::header::{CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::{Response, StatusCode};

pub use axum::body::Body;

/// `text/plain; charset=utf-8`, as Go's server sends it.
pub(crate) const TEXT_PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// A plain text response, sent as it is (no newline is added).
pub fn text(status: StatusCode, text: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, TEXT_PLAIN);
    response
}

/// What Go's server answers for a path that nobody has registered: 404 `404 page not found` and a newline.
pub fn page_not_found() -> Response<Body> {
    let mut response = text(StatusCode::NOT_FOUND, "404 page not found\n");
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
