//! mesos and k8s: to the driver of a cluster, through its tunnel or by its address in ZooKeeper (api.md 5.2, 5.3).

use std::time::Duration;

use bcs_common::errors::chain;
use bcs_common::http::body::BodyError;
use bcs_common::http::router::Call;
use bcs_common::http::{Body, code, text};
use bcs_common::yaml;
use bcs_tunnel::proxy::{self, Route, Rules, UpstreamSettings};
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response, StatusCode};
use rand::seq::SliceRandom;
use tracing::{error, warn};

use super::answer::{Failure, too_large};
use super::send::{Outgoing, client_headers, exchange, read_body};
use super::{Family, V4};
use crate::discovery::{Backend, Driver, Reach};
use crate::metrics::Outcome;
use crate::path;

/// Names the cluster.
const CLUSTER_ID: HeaderName = HeaderName::from_static("bcs-clusterid");
/// Where mesos requests may be upgraded: the path behind the family's prefix.
const UPGRADES: &str = "webconsole/";
/// How long a driver may take until its answer begins, see [`head_limit`].
const HEAD_LIMIT: Duration = Duration::from_secs(30);
/// Idle connections that are kept through a tunnel.
const MAX_IDLE: usize = 10;

/// Sends the request to the driver of its cluster. The answer is always 200; errors are told in the body. Without an
/// outcome the request is not counted.
pub(super) async fn forward(v4: &V4, call: Call, family: &Family, driver: Driver) -> (Response<Body>, Option<Outcome>) {
    let failed = |failure: &Failure| (failure.as_text(), Some(Outcome::Error));
    let rest = family.rest(call.parts.uri.path());
    let Some(target) = path::target(family.prefix, rest, &call.parts.uri) else {
        return failed(&Failure::internal());
    };
    if driver == Driver::Mesos && rest.starts_with(UPGRADES) && proxy::is_upgrade(&call.parts.headers) {
        return upgrade(v4, call, driver, Rules::backend(target)).await;
    }
    let body = match read_body(call.body, v4.max_body_size).await {
        Ok(body) => body,
        Err(BodyError::TooLarge { .. }) => return (too_large(v4.max_body_size), Some(Outcome::Error)),
        Err(_) => return failed(&Failure::of(code::COMM_HTTP_READ_BODY_FAIL)),
    };
    let mut headers = call.parts.headers;
    let Some(body) = (match driver {
        Driver::Mesos => converted(&headers, body),
        Driver::Kubernetes => Some(body),
    }) else {
        return (Failure::of(code::API_MEDIA_TYPE_ERROR).as_text(), None);
    };
    let backend = match find(v4, &headers, driver).await {
        Ok(backend) => backend,
        Err(failure) => return failed(&failure),
    };
    let json = HeaderValue::from_static("application/json");
    headers = client_headers(headers);
    headers.entry(CONTENT_TYPE).or_insert_with(|| json.clone());
    headers.entry(ACCEPT).or_insert(json);
    let head_limit = head_limit(&backend);
    let outgoing = Outgoing { method: call.parts.method, target, headers, body, head_limit };
    match exchange(&v4.dialer, backend, outgoing).await {
        Ok(response) => (response, Some(Outcome::Success)),
        Err(_) => failed(&Failure::of(code::API_REQUEST_MESOS_API_FAIL)),
    }
}

/// Only drivers that are reached directly and over TLS are hurried (api.md 5.2).
fn head_limit(backend: &Backend) -> Option<Duration> {
    (backend.is_https() && backend.reach == Reach::Direct).then_some(HEAD_LIMIT)
}

/// The body as JSON if it is said to be YAML; none if it is not even that.
fn converted(headers: &HeaderMap, body: Bytes) -> Option<Bytes> {
    yaml::body_as_json(headers, body).inspect_err(|error| warn!("a YAML body cannot be converted: {error}")).ok()
}

/// Pipes a web console; the request otherwise goes as every other one.
async fn upgrade(v4: &V4, call: Call, driver: Driver, rules: Rules) -> (Response<Body>, Option<Outcome>) {
    let failed = |failure: &Failure| (failure.as_text(), Some(Outcome::Error));
    let backend = match find(v4, &call.parts.headers, driver).await {
        Ok(backend) => backend,
        Err(failure) => return failed(&failure),
    };
    let mut request = Request::from_parts(call.parts, call.body);
    // Drivers are not told who the client is.
    request.extensions_mut().remove::<bcs_common::http::request_id::Origin>();
    if let Ok(host) = HeaderValue::try_from(backend.authority()) {
        request.headers_mut().insert(HOST, host);
    }
    match proxy::forward(&backend.upstream, request, &rules).await {
        Ok(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS => (response, Some(Outcome::Success)),
        Ok(response) => (text(StatusCode::OK, response.into_body()), Some(Outcome::Success)),
        Err(error) => {
            warn!("{backend:?} does not answer: {error}");
            failed(&Failure::of(code::API_REQUEST_MESOS_API_FAIL))
        }
    }
}

/// The driver of the cluster that the request names: one behind a tunnel, else one in ZooKeeper.
async fn find(v4: &V4, headers: &HeaderMap, driver: Driver) -> Result<Backend, Failure> {
    let cluster = headers.get(CLUSTER_ID).map(|value| String::from_utf8_lossy(value.as_bytes())).unwrap_or_default();
    if cluster.is_empty() {
        return Err(Failure::new(code::COMM_HTTP_PARAMETERS_FAILED, "http header BCS-ClusterID can't be empty"));
    }
    if let Some(backend) = tunnelled(v4, &cluster).await? {
        return Ok(backend);
    }
    v4.discovery.driver(driver, &cluster).ok_or_else(|| match driver {
        Driver::Mesos => Failure::new(code::API_GET_MESOS_API_FAIL, format!("mesos cluster {cluster} not found")),
        Driver::Kubernetes => Failure::new(code::API_GET_K8S_API_FAIL, format!("k8s cluster {cluster} not found")),
    })
}

/// A driver of the cluster that has a tunnel, whichever of the two kinds it is.
async fn tunnelled(v4: &V4, cluster: &str) -> Result<Option<Backend>, Failure> {
    if !v4.tunnels.has_sessions() {
        return Ok(None);
    }
    let mut rows = v4.store.driver_tunnels(cluster).await.map_err(|failure| {
        error!("the tunnels of {cluster} cannot be read: {}", chain(&failure));
        Failure::internal()
    })?;
    rows.shuffle(&mut rand::rng());
    let Some(row) = rows.into_iter().find(|row| v4.tunnels.has_session(&row.server_key)) else { return Ok(None) };
    let settings = UpstreamSettings {
        addresses: vec![row.server_address.clone()],
        trust: v4.dialer.trust(),
        server_name: None,
        route: Route::Tunnel { server: v4.tunnels.clone(), key: row.server_key.clone() },
        max_idle: MAX_IDLE,
    };
    let upstream = v4.upstreams.get(&row.server_key, &settings).map_err(|failure| {
        warn!("the agent {} gave an address that is none: {failure}", row.server_key);
        Failure::of(code::API_REQUEST_MESOS_API_FAIL)
    })?;
    // Without the path of the address, as the pool takes it.
    let origin = row.server_address.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
    Ok(Some(Backend { url: origin.into(), upstream, reach: Reach::Tunnel }))
}
