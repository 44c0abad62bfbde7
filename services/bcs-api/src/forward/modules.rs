//! metric, netservice and clusterkeeper: the backend gets method, path and body (api.md 5.4).

use bcs_common::http::Body;
use bcs_common::http::body::BodyError;
use bcs_common::http::code::{self, Code};
use bcs_common::http::router::Call;
use http::Response;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};

use super::answer::{Failure, too_large};
use super::send::{Outgoing, exchange, read_body};
use super::{Family, V4};
use crate::discovery::Module;
use crate::metrics::Outcome;
use crate::path;

/// Codes and texts for a module that is missing, and one that does not answer.
fn failures(module: Module) -> (Code, &'static str, &'static str) {
    match module {
        Module::MetricService => (code::API_GET_METRICS_FAIL, "bcs metrics not found", "request metric failed"),
        Module::ClusterKeeper => {
            (code::API_GET_NETSERVICE_FAIL, "clusterkeeper not found", "request clusterkeeper failed")
        }
        _ => (code::API_GET_NETSERVICE_FAIL, "bcs netservice not found", "request netservice failed"),
    }
}

/// Sends the request on, without the client's headers.
pub(super) async fn forward(v4: &V4, call: Call, family: &Family, module: Module) -> (Response<Body>, Option<Outcome>) {
    let failed = |failure: Failure| (failure.as_bad_request(), Some(Outcome::Error));
    let (code, missing, unanswered) = failures(module);
    let body = match read_body(call.body, v4.max_body_size).await {
        Ok(body) => body,
        Err(BodyError::TooLarge { .. }) => return (too_large(v4.max_body_size), Some(Outcome::Error)),
        Err(_) => return failed(Failure::of(code::COMM_HTTP_READ_BODY_FAIL)),
    };
    let Some(backend) = v4.discovery.backend(module) else { return failed(Failure::new(code, missing)) };
    let uri = &call.parts.uri;
    let rest = family.rest(uri.path()).trim_end_matches('/');
    let Some(target) = path::target(family.prefix, rest, uri) else { return failed(Failure::internal()) };
    let mut headers = HeaderMap::new();
    if !body.is_empty() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    let outgoing = Outgoing { method: call.parts.method, target, headers, body, head_limit: None };
    match exchange(&v4.dialer, backend, outgoing).await {
        Ok(response) => (response, Some(Outcome::Success)),
        Err(_) => failed(Failure::new(code, unanswered)),
    }
}
