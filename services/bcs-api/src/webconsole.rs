//! Web consoles of mesos slaves: `/bcsapi/v1/webconsole/<sub>?host_ip=<ip>` (api.md 6).

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use bcs_common::http::query::Query;
use bcs_common::http::request_id::Origin;
use bcs_common::http::{Body, text};
use bcs_tunnel::proxy::{self, Rules};
use http::header::{
    CONNECTION, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, SET_COOKIE, UPGRADE,
};
use http::{Request, Response, StatusCode, Uri};
use tracing::{debug, warn};

use crate::discovery::{Backend, Dialer, Reach};
use crate::metrics::{ApiMetrics, Outcome, RequestType, WEBSOCKET, method_label};
use crate::networks::Allowed;
use crate::path;

/// Slashes of `/bcsapi/v1/webconsole/`.
const SLASHES: usize = 4;
/// The path at the slaves' proxy.
const PREFIX: &str = "/bcsapi/v1/consoleproxy/";
/// The code of a backend that cannot be reached.
const CODE: u32 = 1_405_064;
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// What the slave's proxy gets to see of a WebSocket client.
const TO_BACKEND: [HeaderName; 9] = [
    ORIGIN,
    SEC_WEBSOCKET_PROTOCOL,
    COOKIE,
    HOST,
    X_FORWARDED_FOR,
    CONNECTION,
    UPGRADE,
    SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION,
];
/// What the client gets to see of the slave's proxy when the protocols have been switched.
const TO_CLIENT: [HeaderName; 5] = [CONNECTION, UPGRADE, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL, SET_COOKIE];

/// The proxy to the consoles.
pub(crate) struct Webconsole {
    pub allowed: Allowed,
    /// Port of the proxies on the slaves.
    pub port: u16,
    /// `https` if this service has a certificate to show them.
    pub scheme: &'static str,
    pub dialer: Dialer,
    pub metrics: ApiMetrics,
}

impl Webconsole {
    /// Answers a request.
    pub async fn serve(&self, request: Request<Body>) -> Response<Body> {
        let started = Instant::now();
        let method = request.method().clone();
        let is_upgrade = proxy::is_upgrade(request.headers());
        let (response, outcome) = match self.backend(request.uri()) {
            Err(refusal) => (*refusal, Outcome::Error),
            Ok(backend) if is_upgrade => self.websocket(&backend, request).await,
            Ok(backend) => plain(&backend, request).await,
        };
        let method = if is_upgrade { WEBSOCKET } else { method_label(&method) };
        self.metrics.record(RequestType::MesosWebconsole, method, outcome, started.elapsed());
        response
    }

    /// The slave that the query names. Its connections are not kept: callers could name a million of them.
    fn backend(&self, uri: &Uri) -> Result<Backend, Box<Response<Body>>> {
        let refused = |status, message: &'static str| Box::new(text(status, message));
        let query = Query::parse(uri.query().unwrap_or_default());
        let host = query.get("host_ip").unwrap_or_default();
        if host.is_empty() {
            return Err(refused(StatusCode::BAD_REQUEST, "param host_ip must not be empty\n"));
        }
        let Ok(address) = host.parse::<IpAddr>() else {
            return Err(refused(StatusCode::BAD_REQUEST, "param host_ip must be an ip address\n"));
        };
        if !self.allowed.contains(address) {
            warn!("a web console of {address} is asked for, which webconsole_allow does not allow");
            return Err(refused(StatusCode::FORBIDDEN, "param host_ip is not allowed\n"));
        }
        let url = format!("{}://{}", self.scheme, SocketAddr::new(address, self.port));
        self.dialer.backend(&url, Reach::Proxied).ok_or_else(|| refused(StatusCode::BAD_GATEWAY, ""))
    }

    async fn websocket(&self, backend: &Backend, request: Request<Body>) -> (Response<Body>, Outcome) {
        let (mut parts, body) = request.into_parts();
        let is_tls = parts.extensions.get::<Origin>().is_some_and(|origin| origin.tls);
        let Some(mut rules) = rules(&parts.uri) else { return (page(StatusCode::BAD_GATEWAY), Outcome::Error) };
        rules.forwarded_proto = Some(if is_tls { "https" } else { "http" });
        parts.headers = only(&parts.headers, &TO_BACKEND);
        match proxy::forward(&backend.upstream, Request::from_parts(parts, body), &rules).await {
            Ok(mut response) => {
                if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                    *response.headers_mut() = only(response.headers(), &TO_CLIENT);
                }
                (response, Outcome::Success)
            }
            Err(error) => {
                debug!("{backend:?} does not answer: {error}");
                let message = format!("errcode: {CODE}, couldn't dial to remote backend url {error}\n");
                let mut response = text(StatusCode::SERVICE_UNAVAILABLE, message);
                let nosniff = HeaderValue::from_static("nosniff");
                response.headers_mut().insert(http::header::X_CONTENT_TYPE_OPTIONS, nosniff);
                (response, Outcome::Error)
            }
        }
    }
}

async fn plain(backend: &Backend, request: Request<Body>) -> (Response<Body>, Outcome) {
    let Some(rules) = rules(request.uri()) else { return (page(StatusCode::BAD_GATEWAY), Outcome::Error) };
    match proxy::forward(&backend.upstream, request, &rules).await {
        Ok(response) => (response, Outcome::Success),
        Err(error) => {
            debug!("{backend:?} does not answer: {error}");
            (error.bad_gateway(), Outcome::Error)
        }
    }
}

fn rules(uri: &Uri) -> Option<Rules> {
    let rest = path::after_slashes(uri.path(), SLASHES)?;
    path::target(PREFIX, rest, uri).map(Rules::backend)
}

fn page(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// The headers of these names, all values of them.
fn only(headers: &HeaderMap, names: &[HeaderName]) -> HeaderMap {
    let mut kept = HeaderMap::with_capacity(names.len());
    for name in names {
        for value in headers.get_all(name) {
            kept.append(name, value.clone());
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consoles_have_a_path_of_their_own() {
        let target = |uri: &'static str| rules(&Uri::from_static(uri)).unwrap().target.to_string();
        assert_eq!(
            target("/bcsapi/v1/webconsole/create_exec?host_ip=10.0.0.1&x=%2F"),
            "/bcsapi/v1/consoleproxy/create_exec?host_ip=10.0.0.1&x=%2F"
        );
        assert_eq!(target("/bcsapi/v1/webconsole/a/webconsole/b"), "/bcsapi/v1/consoleproxy/a/webconsole/b");
    }

    #[test]
    fn all_values_of_a_header_are_kept() {
        let mut headers = HeaderMap::new();
        for (name, value) in [(COOKIE, "a=1"), (COOKIE, "b=2"), (ORIGIN, "o"), (HOST, "h")] {
            headers.append(name, value.parse().unwrap());
        }
        let kept = only(&headers, &[COOKIE, HOST]);
        assert_eq!((kept.len(), kept.get_all(COOKIE).iter().count()), (3, 2));
    }
}
