//! Requests passed on to a service of this process, bodies as they come.

use std::net::SocketAddr;

use bcs_common::errors;
use bcs_common::http::Body;
use http::header::{CONNECTION, CONTENT_LENGTH, COOKIE, HOST, HeaderName, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, Request, Response, StatusCode, Version};
use tracing::warn;

use bcs_console::client::{Client, uri};

/// What is between two neighbours only.
const HOP_BY_HOP: [HeaderName; 5] = [CONNECTION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];

/// Sends the request to `target` of the service and gives back its answer.
pub async fn to(client: &Client, service: SocketAddr, target: &str, request: Request<Body>) -> Response<Body> {
    let (mut head, body) = request.into_parts();
    head.uri = uri(service, target);
    head.version = Version::HTTP_11;
    strip(&mut head.headers);
    head.headers.remove(HOST);
    head.headers.remove(COOKIE);
    // The length that belongs to the body is set anew.
    head.headers.remove(CONTENT_LENGTH);
    match client.send(Request::from_parts(head, body)).await {
        Ok(answer) => {
            let (mut head, body) = answer.into_parts();
            strip(&mut head.headers);
            Response::from_parts(head, Body::new(body))
        }
        Err(error) => {
            warn!("the service at {service} cannot be reached: {}", errors::chain(&error));
            bcs_console::error(StatusCode::BAD_GATEWAY, "the service does not answer")
        }
    }
}

/// Takes away what is for this hop, and what its `Connection` header names.
fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
    headers.remove("keep-alive");
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn headers_of_the_hop_stay_behind() {
        let mut headers = HeaderMap::new();
        for (name, value) in
            [("connection", "close, X-Own"), ("x-own", "1"), ("x-other", "2"), ("te", "trailers"), ("keep-alive", "5")]
        {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        strip(&mut headers);
        assert_eq!(headers.keys().collect::<Vec<_>>(), ["x-other"]);
    }
}
