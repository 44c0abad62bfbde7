//! The metrics of the API (user-manager.md 10).

use std::collections::HashMap;
use std::sync::OnceLock;

use bcs_common::http::router::{Observer, Served};
use http::Method;
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry};

const NAMESPACE: &str = "bkbcs_usermanager";
const LABELS: [&str; 3] = ["handler", "method", "status"];

/// Counts requests and measures their time, by handler, method and whether they succeeded.
pub(crate) struct ApiMetrics {
    requests: IntCounterVec,
    latency: HistogramVec,
    series: HashMap<(Method, &'static str), Handler>,
}

/// The series of one handler: of success, then of failure. They exist from the first request on, as in the original.
struct Handler {
    name: &'static str,
    series: [OnceLock<(IntCounter, Histogram)>; 2],
}

impl ApiMetrics {
    /// For handlers by method and full template.
    ///
    /// # Errors
    /// The registry has these metrics already.
    pub fn new(
        registry: &Registry,
        handlers: impl Iterator<Item = (Method, &'static str, &'static str)>,
    ) -> prometheus::Result<Self> {
        let requests = IntCounterVec::new(
            Opts::new("api_request_total_num", "Counter of requests to bcs-user-manager.").namespace(NAMESPACE),
            &LABELS,
        )?;
        let latency = HistogramVec::new(
            HistogramOpts::new("api_request_latency_time", "Histogram of the time (in seconds) each request took.")
                .namespace(NAMESPACE)
                .buckets(prometheus::exponential_buckets(0.00025, 2.0, 16)?),
            &LABELS,
        )?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(latency.clone()))?;
        let series = handlers
            .map(|(method, template, name)| ((method, template), Handler { name, series: Default::default() }))
            .collect();
        Ok(Self { requests, latency, series })
    }
}

impl Observer for ApiMetrics {
    fn finished(&self, served: &Served<'_>) {
        let Some(handler) = self.series.get(&(served.method.clone(), served.template)) else { return };
        let succeeded = served.status.is_some_and(|status| status.as_u16() < 400);
        let [success, failure] = &handler.series;
        let (series, status) = if succeeded { (success, "success") } else { (failure, "failure") };
        let (requests, latency) = series.get_or_init(|| {
            let labels = [handler.name, served.method.as_str(), status];
            (self.requests.with_label_values(&labels), self.latency.with_label_values(&labels))
        });
        requests.inc();
        latency.observe(served.elapsed.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::StatusCode;

    use super::*;

    #[test]
    fn series_appear_with_the_first_request() {
        let registry = Registry::new();
        let metrics = ApiMetrics::new(&registry, [(Method::GET, "/x", "GetX")].into_iter()).unwrap();
        assert!(registry.gather().is_empty());
        let served = |template, status| {
            let elapsed = Duration::from_millis(3);
            metrics.finished(&Served { method: &Method::GET, template, status, elapsed, response_bytes: 0 });
        };
        served("/x", Some(StatusCode::OK));
        served("/x", Some(StatusCode::UNAUTHORIZED));
        served("/x", None);
        served("/unknown", Some(StatusCode::OK));
        let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        for line in [
            r#"bkbcs_usermanager_api_request_total_num{handler="GetX",method="GET",status="success"} 1"#,
            r#"bkbcs_usermanager_api_request_total_num{handler="GetX",method="GET",status="failure"} 2"#,
            r#"bkbcs_usermanager_api_request_latency_time_bucket{handler="GetX",method="GET",status="success",le="0.004"} 1"#,
            r#"bkbcs_usermanager_api_request_latency_time_bucket{handler="GetX",method="GET",status="success",le="8.192"} 1"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line} not in\n{text}");
        }
    }
}
