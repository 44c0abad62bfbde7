//! The server side of the handshake (RFC 6455 section 4.2).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bcs_common::http::Body;
use http::header::{
    CONNECTION, HeaderMap, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use sha1::{Digest, Sha1};

const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Checks that a request asks for a websocket; returns the value of `Sec-WebSocket-Accept`.
///
/// # Errors
/// The status and the text of the library that the original uses.
pub fn check(request: &Request<Body>) -> Result<HeaderValue, (StatusCode, &'static str)> {
    let bad = |text| Err((StatusCode::BAD_REQUEST, text));
    let headers = request.headers();
    if !has_token(headers, &CONNECTION, "upgrade") || request.version() != Version::HTTP_11 {
        return bad(
            "websocket: the client is not using the websocket protocol: 'upgrade' token not found in 'Connection' header",
        );
    }
    if !has_token(headers, &UPGRADE, "websocket") {
        return bad(
            "websocket: the client is not using the websocket protocol: 'websocket' token not found in 'Upgrade' header",
        );
    }
    if request.method() != Method::GET {
        return Err((
            StatusCode::METHOD_NOT_ALLOWED,
            "websocket: the client is not using the websocket protocol: request method is not GET",
        ));
    }
    if !has_token(headers, &SEC_WEBSOCKET_VERSION, "13") {
        return bad("websocket: unsupported version: 13 not found in 'Sec-Websocket-Version' header");
    }
    match headers.get(SEC_WEBSOCKET_KEY) {
        Some(key) if !key.is_empty() => Ok(accept_value(key.as_bytes())),
        _ => bad("websocket: not a websocket handshake: 'Sec-WebSocket-Key' header is missing or blank"),
    }
}

/// The 101 that accepts the request.
pub fn switching_protocols(accept: HeaderValue) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    response
}

/// What a server answers to this `Sec-WebSocket-Key`.
pub(crate) fn accept_value(key: &[u8]) -> HeaderValue {
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    // Base64 is always a valid value.
    HeaderValue::try_from(STANDARD.encode(digest)).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// Whether a comma-separated header holds a token, in any case.
pub(crate) fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|word| word.trim().eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_the_key_of_the_rfc() {
        assert_eq!(accept_value(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    fn request(headers: &[(&str, &str)]) -> Request<Body> {
        let mut request = Request::new(Body::empty());
        for (name, value) in headers {
            request.headers_mut().append(HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        request
    }

    const GOOD: [(&str, &str); 4] = [
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "WebSocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];

    #[test]
    fn says_what_is_missing() {
        assert!(check(&request(&GOOD)).is_ok());
        for (missing, word) in
            ["'Connection'", "'Upgrade'", "'Sec-Websocket-Version'", "'Sec-WebSocket-Key'"].iter().enumerate()
        {
            let headers: Vec<_> = GOOD.iter().enumerate().filter(|(n, _)| *n != missing).map(|(_, h)| *h).collect();
            let (status, text) = check(&request(&headers)).unwrap_err();
            assert_eq!(status, StatusCode::BAD_REQUEST);
            assert!(text.contains(word), "{text}");
        }
        let mut post = request(&GOOD);
        *post.method_mut() = Method::POST;
        assert_eq!(check(&post).unwrap_err().0, StatusCode::METHOD_NOT_ALLOWED);
    }
}
