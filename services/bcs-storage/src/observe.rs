//! Prometheus metrics of the service (storage.md 10), under the names that dashboards know.

use std::sync::Arc;
use std::time::Duration;

use bcs_common::http::router::{Observer, Served};
use http::Method;
use prometheus::{
    DEFAULT_BUCKETS, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    exponential_buckets,
};

use crate::queue;

const BACKEND_BUCKETS: [f64; 13] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0];

/// All metrics of one service.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    seconds: HistogramVec,
    response_bytes: HistogramVec,
    in_flight: IntGaugeVec,
    watchers: IntGaugeVec,
    event_bytes: HistogramVec,
    pushed: IntCounterVec,
    push_seconds: HistogramVec,
    driver: IntCounterVec,
    driver_seconds: HistogramVec,
}

impl Metrics {
    /// The metrics in a registry of their own.
    ///
    /// # Errors
    /// If the metric library refuses one.
    pub fn new() -> prometheus::Result<Self> {
        let request = ["handler", "method", "status"];
        let watch = ["handler", "table"];
        let bytes = exponential_buckets(100.0, 10.0, 8)?;
        let backend = BACKEND_BUCKETS.to_vec();
        let metrics = Self {
            registry: Registry::new(),
            requests: counter("api_request_total_num", "Requests.", &request)?,
            seconds: histogram(
                "api_request_duration_time",
                "Seconds a request took.",
                DEFAULT_BUCKETS.to_vec(),
                &request,
            )?,
            response_bytes: histogram("api_response_size_bytes", "Size of responses.", bytes.clone(), &request)?,
            in_flight: gauge("api_requests_inflight", "Requests being served.", &["handler", "method"])?,
            watchers: gauge("watch_request_total_num", "Watch connections.", &watch)?,
            event_bytes: histogram("watch_response_size_bytes", "Size of watch events.", bytes, &watch)?,
            pushed: counter("queue_push_total", "Messages for the queue.", &["name", "status"])?,
            push_seconds: histogram(
                "queue_latency_seconds",
                "Seconds until the broker had a message.",
                backend.clone(),
                &["name", "status"],
            )?,
            driver: counter("driver_mongdb_total", "MongoDB operations.", &["method", "status"])?,
            driver_seconds: histogram(
                "driver_mongodb_latency_seconds",
                "Seconds a MongoDB operation took.",
                backend,
                &["method", "status"],
            )?,
        };
        let Self { registry, requests, pushed, driver, in_flight, watchers, .. } = &metrics;
        for counter in [requests, pushed, driver] {
            registry.register(Box::new(counter.clone()))?;
        }
        for gauge in [in_flight, watchers] {
            registry.register(Box::new(gauge.clone()))?;
        }
        let Self { seconds, response_bytes, event_bytes, push_seconds, driver_seconds, .. } = &metrics;
        for histogram in [seconds, response_bytes, event_bytes, push_seconds, driver_seconds] {
            registry.register(Box::new(histogram.clone()))?;
        }
        Ok(metrics)
    }

    /// Where they are registered.
    pub fn registry(&self) -> Registry {
        self.registry.clone()
    }

    /// Counts a watch connection until it is dropped.
    pub fn watching(&self, handler: &str, table: &str) -> Watching {
        let watchers = self.watchers.with_label_values(&[handler, table]);
        watchers.inc();
        Watching { watchers, event_bytes: self.event_bytes.with_label_values(&[handler, table]) }
    }

    /// What the MongoDB store calls after each operation.
    pub fn driver_observer(&self) -> Arc<dyn Fn(&'static str, bool, Duration) + Send + Sync> {
        let (driver, seconds) = (self.driver.clone(), self.driver_seconds.clone());
        Arc::new(move |method, succeeded, elapsed| {
            let labels = [method, if succeeded { "SUCCESS" } else { "FAILURE" }];
            driver.with_label_values(&labels).inc();
            seconds.with_label_values(&labels).observe(elapsed.as_secs_f64());
        })
    }
}

fn named(name: &str) -> String {
    format!("bkbcs_storage_{name}")
}

fn counter(name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
    IntCounterVec::new(Opts::new(named(name), help), labels)
}

fn gauge(name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntGaugeVec> {
    IntGaugeVec::new(Opts::new(named(name), help), labels)
}

fn histogram(name: &str, help: &str, buckets: Vec<f64>, labels: &[&str]) -> prometheus::Result<HistogramVec> {
    HistogramVec::new(HistogramOpts::new(named(name), help).buckets(buckets), labels)
}

/// One watch connection.
pub struct Watching {
    watchers: IntGauge,
    event_bytes: prometheus::Histogram,
}

impl Watching {
    /// An event was sent.
    pub fn sent(&self, bytes: usize) {
        self.event_bytes.observe(as_f64(u64::try_from(bytes).unwrap_or(u64::MAX)));
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.watchers.dec();
    }
}

fn as_f64(number: u64) -> f64 {
    // Sizes are far below 2^53.
    #[allow(clippy::cast_precision_loss)]
    {
        number as f64
    }
}

impl Observer for Metrics {
    fn started(&self, method: &Method, template: &'static str) {
        self.in_flight.with_label_values(&[template, method.as_str()]).inc();
    }

    fn finished(&self, served: &Served<'_>) {
        let (handler, method) = (served.template, served.method.as_str());
        self.in_flight.with_label_values(&[handler, method]).dec();
        let status = match served.status.map(|status| status.as_u16() / 100) {
            Some(1) => "1xx",
            Some(2) => "2xx",
            Some(3) => "3xx",
            Some(5) => "5xx",
            // Without a status the client went away before it was answered.
            Some(_) | None => "4xx",
        };
        let labels = [handler, method, status];
        self.requests.with_label_values(&labels).inc();
        self.seconds.with_label_values(&labels).observe(served.elapsed.as_secs_f64());
        self.response_bytes.with_label_values(&labels).observe(as_f64(served.response_bytes));
    }
}

impl queue::Stats for Metrics {
    fn published(&self, name: &str, succeeded: bool, elapsed: Duration) {
        let labels = [name, if succeeded { "succeed" } else { "failed" }];
        self.pushed.with_label_values(&labels).inc();
        self.push_seconds.with_label_values(&labels).observe(elapsed.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use prometheus::TextEncoder;

    use super::*;
    use crate::queue::Stats;

    fn text(metrics: &Metrics) -> String {
        TextEncoder::new().encode_to_string(&metrics.registry.gather()).unwrap()
    }

    #[test]
    fn names_labels_and_buckets_are_those_of_the_dashboards() {
        let metrics = Metrics::new().unwrap();
        let template = "/bcsstorage/v1/events";
        metrics.started(&Method::GET, template);
        metrics.finished(&Served {
            method: &Method::GET,
            template,
            status: Some(StatusCode::OK),
            elapsed: Duration::from_millis(7),
            response_bytes: 250,
        });
        let watching = metrics.watching("/bcsstorage/v1/events/watch", "event");
        watching.sent(50);
        metrics.published("Pod", false, Duration::from_millis(1));
        metrics.driver_observer()("findAll", true, Duration::from_millis(1));
        let text = text(&metrics);
        for line in [
            r#"bkbcs_storage_api_request_total_num{handler="/bcsstorage/v1/events",method="GET",status="2xx"} 1"#,
            r#"bkbcs_storage_api_request_duration_time_bucket{handler="/bcsstorage/v1/events",method="GET",status="2xx",le="0.01"} 1"#,
            r#"bkbcs_storage_api_request_duration_time_bucket{handler="/bcsstorage/v1/events",method="GET",status="2xx",le="10"} 1"#,
            r#"bkbcs_storage_api_response_size_bytes_bucket{handler="/bcsstorage/v1/events",method="GET",status="2xx",le="1000"} 1"#,
            r#"bkbcs_storage_api_response_size_bytes_bucket{handler="/bcsstorage/v1/events",method="GET",status="2xx",le="1000000000"} 1"#,
            r#"bkbcs_storage_api_requests_inflight{handler="/bcsstorage/v1/events",method="GET"} 0"#,
            r#"bkbcs_storage_watch_request_total_num{handler="/bcsstorage/v1/events/watch",table="event"} 1"#,
            r#"bkbcs_storage_watch_response_size_bytes_sum{handler="/bcsstorage/v1/events/watch",table="event"} 50"#,
            r#"bkbcs_storage_queue_push_total{name="Pod",status="failed"} 1"#,
            r#"bkbcs_storage_queue_latency_seconds_bucket{name="Pod",status="failed",le="3"} 1"#,
            r#"bkbcs_storage_driver_mongdb_total{method="findAll",status="SUCCESS"} 1"#,
            r#"bkbcs_storage_driver_mongodb_latency_seconds_bucket{method="findAll",status="SUCCESS",le="0.0005"} 0"#,
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        drop(watching);
        let gone = r#"bkbcs_storage_watch_request_total_num{handler="/bcsstorage/v1/events/watch",table="event"} 0"#;
        assert!(super::tests::text(&metrics).contains(gone));
    }
}
