//! The metric listener: `/healthz`, `/metrics` and a page that links to them (check.md 7, common.md 5.2).

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bcs_common::http::server::{Listener, ServerOptions, serve};
use bcs_common::http::{Body, text};
use bcs_common::registry::election::Role;
use bcs_common::shutdown::Shutdown;
use bcs_common::version;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use serde::Serialize;
use serde_json::ser::{PrettyFormatter, Serializer};
use tokio::sync::watch;
use tracing::error;

use crate::metrics::Metrics;

/// A scraper and a watchdog need one connection each.
const MAX_CONNECTIONS: usize = 256;

/// What the listener shows.
pub struct Status {
    /// BCS cluster id.
    pub cluster: String,
    /// The registered address.
    pub ip: String,
    /// The configured ZooKeeper of the election.
    pub zookeeper: String,
    /// The part that this instance plays.
    pub role: watch::Receiver<Role>,
    /// The metrics.
    pub metrics: Metrics,
}

/// The answer of `/healthz`, keys in the original's order.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Health<'a> {
    run_mode: &'static str,
    module: &'static str,
    #[serde(rename = "clusterID")]
    cluster: &'a str,
    ip: &'a str,
    #[serde(rename = "current_role")]
    role: &'static str,
    healthy: bool,
    message: String,
    at_time: u64,
}

impl Status {
    /// Serves until the shutdown.
    pub async fn serve(self, listener: Listener, shutdown: Shutdown) {
        let options = ServerOptions { max_connections: MAX_CONNECTIONS, ..ServerOptions::default() };
        let status = Arc::new(self);
        let service = tower::service_fn(move |request: Request<Body>| {
            let answer = status.answer(request.uri().path());
            async move { Ok::<_, Infallible>(answer) }
        });
        serve(listener, service, options, shutdown).await;
    }

    fn answer(&self, path: &str) -> Response<Body> {
        match path {
            "/healthz" => with_type("application/json", self.health()),
            "/metrics" => match self.metrics.text() {
                Ok(metrics) => with_type("text/plain; version=0.0.4; charset=utf-8", metrics),
                Err(cause) => {
                    error!("the metrics cannot be written: {cause}");
                    text(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be written\n")
                }
            },
            _ => with_type("text/html; charset=utf-8", page()),
        }
    }

    fn health(&self) -> Vec<u8> {
        let role = *self.role.borrow();
        let healthy = role != Role::Unknown;
        let message = if healthy {
            String::new()
        } else {
            format!("bcs-check {} register zk {} failed", self.ip, self.zookeeper)
        };
        let health = Health {
            run_mode: "master-slave",
            module: "check",
            cluster: &self.cluster,
            ip: &self.ip,
            role: role.as_str(),
            healthy,
            message,
            at_time: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()),
        };
        let mut json = Vec::new();
        let mut serializer = Serializer::with_formatter(&mut json, PrettyFormatter::with_indent(b"    "));
        // Texts, numbers and a bool: there is nothing that could fail.
        let _ = health.serialize(&mut serializer);
        json
    }
}

fn with_type(content_type: &'static str, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// The page for browsers.
fn page() -> String {
    let (version, tag, hash, time) = (version::VERSION, version::TAG, version::GIT_HASH, version::BUILD_TIME);
    format!(
        "<html><head><title>check Details</title></head><body><h1>check Details</h1>\n\
         <p>Version: {version}</p>\n<p>Tag: {tag}</p>\n<p>Git Hash: {hash}</p>\n<p>Build Hash: {time}</p>\n\
         <p><a href=\"/metrics\">metrics</a></p>\n<p><a href=\"/healthz\">healthz</a></p>\n</body></html>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_is_laid_out_as_the_original_does() {
        let (role, receiver) = watch::channel(Role::Unknown);
        let status = Status {
            cluster: "BCS-MESOS-10001".into(),
            ip: "127.0.0.1".into(),
            zookeeper: "zk:2181".into(),
            role: receiver,
            metrics: Metrics::new("c", "i").unwrap(),
        };
        let text = String::from_utf8(status.health()).unwrap();
        assert!(text.contains("\"message\": \"bcs-check 127.0.0.1 register zk zk:2181 failed\""), "{text}");
        role.send_replace(Role::Slave);
        let text = String::from_utf8(status.health()).unwrap();
        let expected = "{\n    \"runMode\": \"master-slave\",\n    \"module\": \"check\",\n    \"clusterID\": \"BCS-MESOS-10001\",\n    \
            \"ip\": \"127.0.0.1\",\n    \"current_role\": \"slave\",\n    \"healthy\": true,\n    \"message\": \"\",\n    \"atTime\": ";
        assert!(text.starts_with(expected), "{text}");
    }
}
