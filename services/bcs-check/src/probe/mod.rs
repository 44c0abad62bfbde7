//! Probes: what an attempt does at its target, and what it says about it (check.md 5.3, 5.4).

mod http;
mod target;
#[cfg(test)]
mod tests;

use std::net::SocketAddrV4;
use std::sync::Arc;

use rustls::ClientConfig;
use tokio::time::timeout;

pub use self::http::{Hop, HttpError};
use crate::definition::{Definition, HttpTarget, Kind, Readiness};
use crate::engine::State;
use crate::net::{self, ConnectError};

/// Makes attempts. Clones share the TLS settings.
#[derive(Clone, Debug)]
pub struct Prober {
    tls: Arc<ClientConfig>,
}

/// What an attempt saw.
#[derive(Debug)]
pub struct Seen {
    /// What it means.
    pub state: State,
    /// The answers, redirects first; empty for TCP and failed attempts.
    pub hops: Vec<Hop>,
}

impl Prober {
    /// A prober that uses these settings for https targets.
    pub fn new(tls: Arc<ClientConfig>) -> Self {
        Self { tls }
    }

    /// Makes one attempt, within the check's time limit.
    pub async fn attempt(&self, definition: &Definition) -> Seen {
        let endpoint = definition.endpoint();
        let unhealthy = |message| Seen { state: State { healthy: false, message }, hops: Vec::new() };
        let address = match &definition.readiness {
            Readiness::Ready(address) => *address,
            // The engine does not ask for these.
            Readiness::Held(held) => return unhealthy(held.reason().to_owned()),
            Readiness::Invalid(reason) => return unhealthy(reason.clone()),
        };
        let attempt = async {
            match &definition.kind {
                Kind::Tcp => connect(address).await.map_err(|error| error.to_string()),
                Kind::Http(http) => self.ask(address, http).await.map_err(|error| error.to_string()),
            }
        };
        let hops = match timeout(definition.timing.timeout, attempt).await {
            Ok(Ok(hops)) => hops,
            Ok(Err(error)) => return unhealthy(format!("check endpoint {endpoint} failed: {error}")),
            Err(_) => {
                let error = match definition.kind {
                    Kind::Tcp => format!("dial tcp {endpoint}: i/o timeout"),
                    Kind::Http(_) => "request timeout".to_owned(),
                };
                return unhealthy(format!("check endpoint {endpoint} failed: {error}"));
            }
        };
        let code = hops.last().map(|hop| hop.status.as_u16());
        let state = match code {
            Some(code) if !(200..400).contains(&code) => {
                State { healthy: false, message: format!("check endpoint {endpoint} resp httpcode {code}") }
            }
            _ => State { healthy: true, message: format!("check endpoint {endpoint} {} ok", definition.kind.scheme()) },
        };
        Seen { state, hops }
    }

    async fn ask(&self, address: SocketAddrV4, http: &HttpTarget) -> Result<Vec<Hop>, HttpError> {
        http::exchange((&address.ip().to_string(), address.port()), http, &self.tls).await
    }
}

/// Connects and closes at once.
async fn connect(address: SocketAddrV4) -> Result<Vec<Hop>, ConnectError> {
    net::dial(&address.ip().to_string(), address.port()).await?;
    Ok(Vec::new())
}
