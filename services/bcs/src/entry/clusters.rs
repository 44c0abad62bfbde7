//! The clusters, and the agents that are connected for them.

use std::net::SocketAddr;

use bcs_common::errors;
use bcs_common::http::Body;
use bcs_common::http::envelope::json_response;
use bcs_console::ServiceAt;
use bcs_console::client::{AskError, Client};
use http::{Response, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Clusters in one answer of bcs-cluster-manager, at most.
const PAGE: usize = 1000;

#[derive(Serialize)]
struct Clusters<'a> {
    clusters: Vec<Value>,
    tunnels: Vec<Tunnel<'a>>,
}

/// An agent that is connected to a service.
#[derive(Serialize)]
struct Tunnel<'a> {
    service: &'a str,
    #[serde(flatten)]
    session: Map<String, Value>,
}

/// The part of an answer of bcs-cluster-manager that counts.
#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    message: String,
    data: Option<Vec<Value>>,
}

/// Why there is no list.
#[derive(Debug, thiserror::Error)]
enum ListError {
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error("the list of clusters cannot be read")]
    Json(#[from] serde_json::Error),
    #[error("{0}")]
    Refused(String),
}

/// All clusters and tunnels, asked now.
pub async fn answer(client: &Client, cluster_manager: SocketAddr, services: &[ServiceAt]) -> Response<Body> {
    let clusters = match clusters(client, cluster_manager).await {
        Ok(clusters) => clusters,
        Err(error) => return bcs_console::error(StatusCode::BAD_GATEWAY, &errors::chain(&error)),
    };
    let mut tunnels = Vec::new();
    for service in services {
        let sessions = sessions(client, service).await;
        tunnels.extend(sessions.into_iter().map(|session| Tunnel { service: &service.name, session }));
    }
    match serde_json::to_vec(&Clusters { clusters, tunnels }) {
        Ok(body) => json_response(body),
        Err(_) => bcs_console::error(StatusCode::INTERNAL_SERVER_ERROR, "the list of clusters cannot be written"),
    }
}

async fn clusters(client: &Client, cluster_manager: SocketAddr) -> Result<Vec<Value>, ListError> {
    let mut all = Vec::new();
    loop {
        let path = format!("/clustermanager/v1/cluster?limit={PAGE}&offset={}", all.len());
        let (status, body) = client.get(cluster_manager, &path).await?;
        let Page { message, data } = serde_json::from_slice(&body)?;
        let Some(page) = data.filter(|_| status == StatusCode::OK) else { return Err(ListError::Refused(message)) };
        let is_last = page.len() < PAGE;
        all.extend(page);
        if is_last {
            return Ok(all);
        }
    }
}

/// The sessions of a service; none if it has no tunnels or does not answer.
async fn sessions(client: &Client, service: &ServiceAt) -> Vec<Map<String, Value>> {
    let Some(metrics) = service.metrics else { return Vec::new() };
    match client.get(metrics, "/tunnels").await {
        Ok((StatusCode::OK, body)) => serde_json::from_slice(&body).unwrap_or_default(),
        _ => Vec::new(),
    }
}
