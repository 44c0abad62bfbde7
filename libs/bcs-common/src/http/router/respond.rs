//! The answers of the router itself.

use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body::Body as _;

use super::path::encode;
use crate::http::{Body, text};

/// 404 inside of a mount.
pub(super) fn no_route() -> Response<Body> {
    text(StatusCode::NOT_FOUND, "404: Page Not Found")
}

/// What Go's server answers to a target it cannot parse.
pub(super) fn bad_request() -> Response<Body> {
    let mut response = text(StatusCode::BAD_REQUEST, "400 Bad Request");
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// 405 with the methods that would do.
pub(super) fn method_not_allowed(methods: &[&Method]) -> Response<Body> {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "405: Method Not Allowed");
    let names: Vec<&str> = methods.iter().map(|method| method.as_str()).collect();
    if let Ok(allow) = HeaderValue::try_from(names.join(", ")) {
        response.headers_mut().insert(ALLOW, allow);
    }
    response
}

/// 406 with the media types there are.
pub(super) fn not_acceptable(produces: &[&str]) -> Response<Body> {
    let body = format!("406: Not Acceptable\n\nAvailable representations: {}", produces.join(", "));
    text(StatusCode::NOT_ACCEPTABLE, body)
}

/// The answer to a request whose `Content-Type` names none of the media types: 415 if there is a body, else 406 with an
/// empty list, unless there is no type either. A comma list may hold several; parameters are ignored. Methods whose bodies
/// mean nothing may have one without a type.
pub(super) fn refuse_media_type(request: &Request<Body>, consumes: &[&str]) -> Option<Response<Body>> {
    let value = request.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let named = value.split(|b| *b == b',').any(|entry| {
        let name = entry.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
        consumes.iter().any(|media_type| media_type.as_bytes() == name)
    });
    let has_body = !request.body().is_end_stream();
    let needs_none =
        matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS | Method::DELETE | Method::TRACE);
    match (named, has_body) {
        (true, _) => None,
        (false, _) if value.is_empty() && needs_none => None,
        (false, true) => Some(text(StatusCode::UNSUPPORTED_MEDIA_TYPE, "415: Unsupported Media Type")),
        (false, false) if value.is_empty() => None,
        (false, false) => Some(not_acceptable(&[])),
    }
}

/// Whether the `Accept` header names one of the media types or `*/*`. Only the first header line counts; parameters
/// such as `;q=0` are ignored, `application/*` is not understood.
pub(super) fn accepts(headers: &HeaderMap, produces: &[&str]) -> bool {
    let accept = headers.get(http::header::ACCEPT).map(HeaderValue::as_bytes).unwrap_or_default();
    accept.is_empty()
        || accept.split(|b| *b == b',').any(|entry| {
            let name = entry.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
            name == b"*/*" || produces.iter().any(|media_type| media_type.as_bytes() == name)
        })
}

/// 301 to the clean path, the query kept.
pub(super) fn moved(clean: &str, method: &Method, uri: &Uri, headers: &HeaderMap, page: bool) -> Response<Body> {
    let mut location = encode(clean);
    if let Some(query) = uri.query() {
        location.push('?');
        location.push_str(query);
    }
    let mut response = Response::new(Body::empty());
    // Go sends the page only to readers, and only if the request has no content type.
    if page && !headers.contains_key(CONTENT_TYPE) && (method == Method::GET || method == Method::HEAD) {
        response =
            Response::new(Body::from(format!("<a href=\"{}\">Moved Permanently</a>.\n\n", html_escaped(&location))));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    }
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

fn html_escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}
