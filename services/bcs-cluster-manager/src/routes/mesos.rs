//! The Mesos driver of a cluster through its tunnel (cluster-manager.md 8.6): always 200, errors are in the body.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bcs_common::errors::chain;
use bcs_common::http::Body;
use bcs_common::http::body::{self, DEFAULT_LIMIT};
use bcs_common::http::code::{self, Code};
use bcs_common::http::envelope::{EMPTY_OBJECT, Program};
use bcs_common::yaml;
use bcs_proto::messages::ClusterCredential;
use bcs_tunnel::proxy::{Route, Upstream};
use bytes::Bytes;
use http::header::{
    ACCEPT, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING,
};
use http::{Method, Request, Response};
use rand::seq::SliceRandom as _;

use crate::app::App;
use crate::failure::Failure;
use crate::{credentials, kube};

/// Where the driver's API is.
pub(super) const DRIVER: &str = "/clustermanager/mesosdriver/v4/";
/// What only this service puts in front of the driver's paths (Q7).
const OWN_PREFIX: &str = "/clustermanager";
/// Names the cluster.
pub(super) const CLUSTER_ID: HeaderName = HeaderName::from_static("bcs-clusterid");
/// What it takes.
pub(super) const METHODS: &[Method] = &[Method::GET, Method::POST, Method::PUT, Method::DELETE];
const CALL_LIMIT: Duration = Duration::from_secs(60);

/// A session of a cluster's drivers.
pub(super) struct Driver {
    pub upstream: Arc<Upstream>,
    /// The path of its address.
    pub base: String,
}

/// Answers a call of the driver's API.
pub(super) async fn answer(app: &Arc<App>, request: Request<Body>) -> Response<Body> {
    let start = Instant::now();
    let method = request.method().clone();
    if !METHODS.contains(&method) {
        return super::line(http::StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
    }
    let outcome = forward(app, request).await;
    let status = if outcome.is_ok() { "success" } else { "failure" };
    app.metrics.answered("mesos_tunnel_request", method.as_str(), status, start.elapsed());
    outcome.unwrap_or_else(|refusal| refusal.response())
}

/// A code and its text.
pub(super) struct Refusal {
    code: Code,
    text: String,
}

impl Refusal {
    pub(super) fn new(code: Code, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }

    pub(super) fn no_cluster_id() -> Self {
        Self::new(code::COMM_HTTP_PARAMETERS_FAILED, "http header BCS-ClusterID can't be empty")
    }

    pub(super) fn response(&self) -> Response<Body> {
        program().failure_with(self.code, &self.text, EMPTY_OBJECT)
    }
}

/// In the messages of the original it is the folder of the program, `data` in its container.
fn program() -> Program {
    const PROGRAM: Program = Program::new("data");
    PROGRAM
}

async fn forward(app: &Arc<App>, request: Request<Body>) -> Result<Response<Body>, Refusal> {
    let cluster = cluster_of(request.headers()).ok_or_else(Refusal::no_cluster_id)?;
    let driver =
        driver(app, &cluster).await.map_err(|failure| Refusal::new(code::API_GET_MESOS_API_FAIL, failure.message))?;
    let not_found = || Refusal::new(code::API_GET_MESOS_API_FAIL, format!("mesos cluster {cluster} not found"));
    let driver = driver.ok_or_else(not_found)?;
    let (parts, body) = request.into_parts();
    let body = body::collect(body, DEFAULT_LIMIT).await;
    let body = body.map_err(|_| Refusal::new(code::COMM_HTTP_READ_BODY_FAIL, code::COMM_HTTP_READ_BODY_FAIL.text))?;
    let body = yaml::body_as_json(&parts.headers, body).map_err(|error| {
        tracing::warn!("a YAML body for {cluster} cannot be converted: {error}");
        Refusal::new(code::API_MEDIA_TYPE_ERROR, code::API_MEDIA_TYPE_ERROR.text)
    })?;
    let target = parts.uri.path_and_query().map(|target| target.as_str()).unwrap_or_default();
    let target = target.strip_prefix(OWN_PREFIX).unwrap_or(target);
    let mut sent = Request::new(Body::from(body));
    *sent.method_mut() = parts.method;
    *sent.headers_mut() = end_to_end(parts.headers);
    let failed = |reason: String| {
        tracing::warn!("mesos driver of {cluster}: {reason}");
        Refusal::new(code::API_REQUEST_MESOS_API_FAIL, code::API_REQUEST_MESOS_API_FAIL.text)
    };
    *sent.uri_mut() = format!("{}{target}", driver.base).parse().map_err(|error| failed(format!("{error}")))?;
    let exchange = async {
        let answer = driver.upstream.send(sent).await.map_err(|error| chain(&error))?;
        body::collect(answer.into_body(), DEFAULT_LIMIT).await.map_err(|error| chain(&error))
    };
    let answer: Bytes = match tokio::time::timeout(CALL_LIMIT, exchange).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(reason)) => return Err(failed(reason)),
        Err(_) => return Err(failed("no answer in time".to_owned())),
    };
    let is_json = matches!(answer.first(), Some(b'{' | b'['));
    let media_type = if is_json { "application/json" } else { "text/plain; charset=utf-8" };
    let mut response = Response::new(Body::from(answer));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    Ok(response)
}

/// The header that names the cluster, unless it is empty.
pub(super) fn cluster_of(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(CLUSTER_ID)?.to_str().ok()?;
    (!id.is_empty()).then(|| id.to_owned())
}

/// The session of a driver of the cluster, of several a random one.
pub(super) async fn driver(app: &Arc<App>, cluster: &str) -> Result<Option<Driver>, Failure> {
    let mut drivers = credentials::of_mesos(&app.stores.credentials, cluster).await?;
    drivers.shuffle(&mut rand::rng());
    let connected = |driver: &ClusterCredential| app.tunnels.has_session(&driver.server_key);
    let Some(credential) = drivers.into_iter().find(connected) else { return Ok(None) };
    let key = credential.server_key.clone();
    let route = Route::Tunnel { server: app.tunnels.clone(), key: key.clone() };
    let upstream = app.upstreams.get(&super::proxy::pool(&key), &kube::settings(&credential, route));
    let upstream = upstream.map_err(|error| Failure::store(error.to_string()))?;
    let (_, base) = kube::split(&credential.server_address);
    Ok(Some(Driver { upstream, base }))
}

/// Without what belongs to one connection; with the media types the driver expects.
fn end_to_end(mut headers: HeaderMap) -> HeaderMap {
    for name in [CONNECTION, TRANSFER_ENCODING, CONTENT_LENGTH, HOST] {
        headers.remove(name);
    }
    for name in [CONTENT_TYPE, ACCEPT] {
        headers.entry(name).or_insert(HeaderValue::from_static("application/json"));
    }
    headers
}
