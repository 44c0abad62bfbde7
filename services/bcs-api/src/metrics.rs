//! The metrics of requests (api.md 14).

use std::time::Duration;

use http::Method;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};

const NAMESPACE: &str = "bcs_api";
const LABELS: [&str; 2] = ["type", "method"];
/// The `method` of upgraded connections.
pub(crate) const WEBSOCKET: &str = "websocket";

/// What a request was for: the label `type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestType {
    Storage,
    Detection,
    Mesos,
    K8sDriver,
    Metrics,
    NetService,
    ClusterKeeper,
    MesosWebconsole,
    /// The kube proxy.
    K8sNative,
    /// The BKE REST API.
    K8sRest,
}

impl RequestType {
    fn label(self) -> &'static str {
        match self {
            Self::Storage => "storage",
            Self::Detection => "detection",
            Self::Mesos => "mesos",
            Self::K8sDriver => "k8s_driver",
            Self::Metrics => "metrics",
            Self::NetService => "net_service",
            Self::ClusterKeeper => "cluster_keeper",
            Self::MesosWebconsole => "mesos_webconsole",
            Self::K8sNative => "k8s_native",
            Self::K8sRest => "k8s_rest",
        }
    }
}

/// How a request ended. A backend that answers with an error has answered: that is a success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Success,
    Error,
}

/// The value of the label `method`; a word that a client invented does not become a series.
pub(crate) fn method_label(method: &Method) -> &str {
    match method.as_str() {
        known @ ("GET" | "POST" | "PUT" | "DELETE" | "PATCH" | "HEAD" | "OPTIONS") => known,
        _ => "OTHER",
    }
}

/// Counts requests and measures their time. Clones share the series.
#[derive(Clone)]
pub(crate) struct ApiMetrics {
    count: IntCounterVec,
    latency: HistogramVec,
    error_count: IntCounterVec,
    error_latency: HistogramVec,
}

impl ApiMetrics {
    /// # Errors
    /// The registry has these metrics already.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let counter = |name, help| IntCounterVec::new(Opts::new(name, help).namespace(NAMESPACE), &LABELS);
        let histogram = |name, help| {
            let buckets = prometheus::exponential_buckets(0.00025, 2.0, 16)?;
            HistogramVec::new(HistogramOpts::new(name, help).namespace(NAMESPACE).buckets(buckets), &LABELS)
        };
        let metrics = Self {
            count: counter("request_count_total", "Requests that were answered.")?,
            latency: histogram("request_latency_seconds", "Time of requests that were answered.")?,
            error_count: counter("request_err_count_total", "Requests that failed.")?,
            error_latency: histogram("request_error_latency_seconds", "Time of requests that failed.")?,
        };
        registry.register(Box::new(metrics.count.clone()))?;
        registry.register(Box::new(metrics.latency.clone()))?;
        registry.register(Box::new(metrics.error_count.clone()))?;
        registry.register(Box::new(metrics.error_latency.clone()))?;
        Ok(metrics)
    }

    /// Tells how a request went; `method` comes from [`method_label`] or is [`WEBSOCKET`].
    pub fn record(&self, request_type: RequestType, method: &str, outcome: Outcome, elapsed: Duration) {
        let labels = [request_type.label(), method];
        let (count, latency) = match outcome {
            Outcome::Success => (&self.count, &self.latency),
            Outcome::Error => (&self.error_count, &self.error_latency),
        };
        count.with_label_values(&labels).inc();
        latency.with_label_values(&labels).observe(elapsed.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_labels_are_the_originals() {
        let registry = Registry::new();
        let metrics = ApiMetrics::new(&registry).unwrap();
        let spent = Duration::from_millis(3);
        metrics.record(RequestType::K8sDriver, method_label(&Method::PATCH), Outcome::Success, spent);
        metrics.record(RequestType::K8sNative, WEBSOCKET, Outcome::Error, spent);
        metrics.record(RequestType::K8sNative, method_label(&"BREW".parse().unwrap()), Outcome::Error, spent);
        let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        for line in [
            r#"bcs_api_request_count_total{method="PATCH",type="k8s_driver"} 1"#,
            r#"bcs_api_request_latency_seconds_bucket{method="PATCH",type="k8s_driver",le="0.004"} 1"#,
            r#"bcs_api_request_latency_seconds_bucket{method="PATCH",type="k8s_driver",le="8.192"} 1"#,
            r#"bcs_api_request_err_count_total{method="websocket",type="k8s_native"} 1"#,
            r#"bcs_api_request_error_latency_seconds_count{method="OTHER",type="k8s_native"} 1"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line} not in\n{text}");
        }
    }
}
