//! What runs in this process: readiness, certificates, routes.

use bcs_common::http::envelope::json_response;
use bcs_common::http::{Body, page_not_found};
use bcs_common::version;
use http::{Response, StatusCode};
use serde::Serialize;

use super::access;
use crate::certificate::{Certificate, Inspector};
use crate::http::Client;
use crate::running::ServiceAt;
use crate::status::{Readiness, readiness};

#[derive(Serialize)]
struct Overview<'a> {
    version: &'a str,
    services: Vec<State<'a>>,
}

#[derive(Serialize)]
struct State<'a> {
    #[serde(flatten)]
    service: &'a ServiceAt,
    /// None: it does not answer.
    readiness: Option<Readiness>,
    /// None: it serves without TLS.
    certificate: Option<Certificate>,
}

/// All services, each asked now.
pub async fn answer(client: &Client, inspector: &Inspector, services: &[ServiceAt]) -> Response<Body> {
    let mut states = Vec::new();
    for service in services {
        let certificate = match service.address.filter(|_| service.scheme == "https") {
            Some(address) => inspector.inspect(address).await,
            None => None,
        };
        states.push(State { service, readiness: readiness(client, service).await, certificate });
    }
    let overview = Overview { version: version::VERSION, services: states };
    match serde_json::to_vec(&overview) {
        Ok(body) => json_response(body),
        Err(_) => access::answer(StatusCode::INTERNAL_SERVER_ERROR, "the overview cannot be written"),
    }
}

/// The OpenAPI document of a service; no content if it has none.
pub async fn routes(client: &Client, services: &[ServiceAt], name: &str) -> Response<Body> {
    let Some(metrics) = services.iter().find(|service| service.name == name).and_then(|service| service.metrics) else {
        return page_not_found();
    };
    match client.get(metrics, "/openapi.json").await {
        Ok((StatusCode::OK, document)) => json_response(document),
        Ok(_) => {
            let mut nothing = Response::new(Body::empty());
            *nothing.status_mut() = StatusCode::NO_CONTENT;
            nothing
        }
        Err(_) => access::answer(StatusCode::BAD_GATEWAY, "the service does not answer"),
    }
}
