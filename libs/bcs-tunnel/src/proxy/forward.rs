//! The way of a request through the proxy.

use std::time::Duration;

use bcs_common::http::request_id::Origin;
use bcs_common::http::{self as bcs_http, Body};
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, AUTHORIZATION, CONNECTION, HOST, HeaderMap, HeaderName, LOCATION, UPGRADE,
};
use http::{HeaderValue, Request, Response, StatusCode, Uri, Version};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use tracing::debug;

use super::error::ProxyError;
use super::headers::{is_upgrade, remove_hop_by_hop, remove_prefixed};
use super::pool::Pooled;
use super::rules::Rules;
use super::upstream::Upstream;
use crate::splice::splice;

/// For the ends of both sides of an upgraded connection.
const GOODBYE: Duration = Duration::from_secs(1);

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Sends a client's request to a backend and gives back its answer; both bodies are streamed. An upgrade goes over a
/// connection of its own; once the backend has switched protocols the bytes are piped both ways.
///
/// The request's future is dropped when its client goes away, and so is the connection to the backend then. If the
/// backend cuts its answer, the client's connection is cut too.
///
/// # Errors
/// If no answer begins. [`ProxyError`] makes the answers that the original gives.
pub async fn forward(upstream: &Upstream, request: Request<Body>, rules: &Rules) -> Result<Response<Body>, ProxyError> {
    let host = host_of(&request);
    let mut response = match is_upgrade(request.headers()) && request.version() <= Version::HTTP_11 {
        true => {
            let answer = forward_upgrade(upstream, request, rules).await;
            answer.map_err(ProxyError::of_upgrade)?
        }
        false => {
            let mut response = upstream.send(prepare(request, rules, host.clone())).await?;
            remove_hop_by_hop(response.headers_mut());
            response
        }
    };
    *response.version_mut() = Version::HTTP_11;
    let headers = response.headers_mut();
    if rules.drop_cors {
        drop_cors(headers);
    }
    if let Some(prefix) = &rules.location_prefix {
        prefix_location(headers, prefix, |authority| {
            upstream.is_host(authority) || host.as_ref().is_some_and(|host| host == authority)
        });
    }
    Ok(response)
}

/// The host that the client asked for: HTTP/2 has it in the URI.
fn host_of(request: &Request<Body>) -> Option<HeaderValue> {
    let of_uri = || request.uri().authority().and_then(|authority| HeaderValue::try_from(authority.as_str()).ok());
    request.headers().get(HOST).cloned().or_else(of_uri)
}

fn prepare(request: Request<Body>, rules: &Rules, host: Option<HeaderValue>) -> Request<Body> {
    let (mut parts, body) = request.into_parts();
    let upgrade = parts.headers.get(UPGRADE).filter(|_| is_upgrade(&parts.headers)).cloned();
    let headers = &mut parts.headers;
    remove_hop_by_hop(headers);
    if let Some(upgrade) = upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, upgrade);
    }
    if !rules.keep_impersonation {
        remove_prefixed(headers, "impersonate-");
    }
    if let Some(origin) = parts.extensions.get::<Origin>() {
        append_forwarded_for(headers, &origin.peer.ip().to_canonical().to_string());
    }
    if let Some(proto) = rules.forwarded_proto {
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(proto));
    }
    if let Some(host) = host {
        headers.insert(HOST, host);
    }
    for (name, value) in &rules.set {
        headers.insert(name, value.clone());
    }
    if headers.get(AUTHORIZATION).is_some_and(HeaderValue::is_empty) {
        headers.remove(AUTHORIZATION);
    }
    let mut prepared = Request::new(body);
    *prepared.method_mut() = parts.method;
    *prepared.uri_mut() = Uri::from(rules.target.clone());
    *prepared.headers_mut() = parts.headers;
    prepared
}

/// Appends the client to the list, as Go's reverse proxy does.
fn append_forwarded_for(headers: &mut HeaderMap, client: &str) {
    let mut list = String::new();
    for value in headers.get_all(X_FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok()) {
        list.push_str(value);
        list.push_str(", ");
    }
    list.push_str(client);
    if let Ok(value) = HeaderValue::try_from(list) {
        headers.insert(X_FORWARDED_FOR, value);
    }
}

async fn forward_upgrade(
    upstream: &Upstream,
    mut request: Request<Body>,
    rules: &Rules,
) -> Result<Response<Body>, ProxyError> {
    let client = hyper::upgrade::on(&mut request);
    let host = host_of(&request);
    let mut sender = upstream.open_for_upgrade().await?;
    let answer = sender.send_request(prepare(request, rules, host)).await;
    let mut response = answer.map_err(|error| ProxyError::exchange(&error))?;
    let status = response.status();
    if status == StatusCode::SWITCHING_PROTOCOLS {
        let backend = hyper::upgrade::on(&mut response);
        let stop = upstream.shutdown().token().child_token();
        upstream.shutdown().spawn("upgraded connection", async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = pipe(client, backend) => {}
            }
        });
        return Ok(response.map(|_| Body::empty()));
    }
    if rules.verbatim_upgrade_refusal || status.is_client_error() || status.is_server_error() {
        remove_hop_by_hop(response.headers_mut());
        return Ok(response.map(|body| Body::new(Pooled::unpooled(body, sender))));
    }
    let text = format!("invalid upgrade response: status code {}\n", status.as_u16());
    Ok(bcs_http::text(StatusCode::INTERNAL_SERVER_ERROR, text))
}

async fn pipe(client: OnUpgrade, backend: OnUpgrade) {
    let (client, backend) = match tokio::try_join!(client, backend) {
        Ok(both) => both,
        Err(error) => return debug!("the upgrade failed: {error}"),
    };
    let (mut client, mut backend) = (TokioIo::new(client), TokioIo::new(backend));
    if let Err(error) = splice(&mut client, &mut backend).await {
        debug!("upgraded connection ended: {error}");
    }
    // Neither the tunnel nor the original knows half-closed streams.
    let _ = timeout(GOODBYE, async { tokio::join!(client.shutdown(), backend.shutdown()) }).await;
}

fn drop_cors(headers: &mut HeaderMap) {
    for name in [
        ACCESS_CONTROL_ALLOW_CREDENTIALS,
        ACCESS_CONTROL_ALLOW_HEADERS,
        ACCESS_CONTROL_ALLOW_METHODS,
        ACCESS_CONTROL_ALLOW_ORIGIN,
    ] {
        headers.remove(name);
    }
}

fn prefix_location(headers: &mut HeaderMap, prefix: &str, is_own_host: impl Fn(&str) -> bool) {
    let Some(location) = headers.get(LOCATION).and_then(|value| value.to_str().ok()) else { return };
    let path = if location.starts_with('/') && !location.starts_with("//") {
        Some(location.to_owned())
    } else {
        let uri = location.parse::<Uri>().ok();
        let own = uri.filter(|uri| uri.authority().is_some_and(|authority| is_own_host(authority.as_str())));
        own.map(|uri| uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string))
    };
    if let Some(value) = path.and_then(|path| HeaderValue::try_from(format!("{prefix}{path}")).ok()) {
        headers.insert(LOCATION, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_locations_get_the_prefix() {
        let own = |authority: &str| authority == "kube:6443";
        for (given, expected) in [
            ("/a?b=c", "/p/a?b=c"),
            ("https://kube:6443/a", "/p/a"),
            ("https://kube:6443", "/p/"),
            ("https://other/a", "https://other/a"),
            ("//other/a", "//other/a"),
            ("relative", "relative"),
        ] {
            let mut headers = HeaderMap::from_iter([(LOCATION, given.parse().unwrap())]);
            prefix_location(&mut headers, "/p", own);
            assert_eq!(headers[LOCATION], expected);
        }
    }

    #[test]
    fn the_client_is_appended_to_the_list() {
        let mut headers = HeaderMap::new();
        append_forwarded_for(&mut headers, "1.2.3.4");
        assert_eq!(headers[X_FORWARDED_FOR], "1.2.3.4");
        append_forwarded_for(&mut headers, "::1");
        assert_eq!(headers[X_FORWARDED_FOR], "1.2.3.4, ::1");
    }
}
