//! What runs: readiness, certificates, routes.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bcs_common::http::envelope::json_response;
use bcs_common::http::{Body, page_not_found};
use bcs_common::tls::TlsError;
use bcs_common::version;
use futures::future::join_all;
use http::{Response, StatusCode};
use serde::{Deserialize, Serialize};

use crate::certificate::{Certificate, Inspector};
use crate::client::Client;
use crate::error;

/// Where a service is.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct ServiceAt {
    /// Name of the program.
    pub name: String,
    /// `http` or `https`.
    pub scheme: String,
    /// Where it serves; none: it only works.
    pub address: Option<SocketAddr>,
    /// Where its metrics and its health are.
    pub metrics: Option<SocketAddr>,
}

/// The answer of `/readyz`.
#[derive(Debug, Deserialize, Serialize)]
pub struct Readiness {
    /// Whether all parts are.
    pub ready: bool,
    /// `ok` or what is wrong, by part.
    #[serde(default)]
    pub parts: BTreeMap<String, String>,
}

/// Asks a service for its readiness; none: it does not answer.
pub async fn readiness(client: &Client, service: &ServiceAt) -> Option<Readiness> {
    let (_, body) = client.get(service.metrics?, "/readyz").await.ok()?;
    serde_json::from_slice(&body).ok()
}

/// Asks services how they are.
pub struct Overview {
    client: Client,
    inspector: Inspector,
    has_users: bool,
}

#[derive(Serialize)]
struct Answer<'a> {
    version: &'a str,
    /// Whether the page can ask for users and clusters.
    users: bool,
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

impl Overview {
    /// `has_users`: the routes of bcs-user-manager are where the page is.
    ///
    /// # Errors
    /// The TLS library refuses its own defaults.
    pub fn new(client: Client, has_users: bool) -> Result<Self, TlsError> {
        Ok(Self { client, inspector: Inspector::new()?, has_users })
    }

    /// All services, asked now and all at once.
    pub async fn answer(&self, services: &[ServiceAt]) -> Response<Body> {
        let states = join_all(services.iter().map(|service| self.state(service))).await;
        let answer = Answer { version: version::VERSION, users: self.has_users, services: states };
        match serde_json::to_vec(&answer) {
            Ok(body) => json_response(body),
            Err(_) => error(StatusCode::INTERNAL_SERVER_ERROR, "the overview cannot be written"),
        }
    }

    async fn state<'a>(&self, service: &'a ServiceAt) -> State<'a> {
        let certificate = match service.address.filter(|_| service.scheme == "https") {
            Some(address) => self.inspector.inspect(address).await,
            None => None,
        };
        State { service, readiness: readiness(&self.client, service).await, certificate }
    }

    /// The OpenAPI document of a service; no content if it has none.
    pub async fn routes(&self, services: &[ServiceAt], name: &str) -> Response<Body> {
        let metrics = services.iter().find(|service| service.name == name).and_then(|service| service.metrics);
        let Some(metrics) = metrics else { return page_not_found() };
        match self.client.get(metrics, "/openapi.json").await {
            Ok((StatusCode::OK, document)) => json_response(document),
            Ok(_) => {
                let mut nothing = Response::new(Body::empty());
                *nothing.status_mut() = StatusCode::NO_CONTENT;
                nothing
            }
            Err(_) => error(StatusCode::BAD_GATEWAY, "the service does not answer"),
        }
    }
}
