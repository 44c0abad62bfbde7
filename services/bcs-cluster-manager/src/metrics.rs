//! Prometheus metrics (cluster-manager.md 10), under the names that dashboards know.

use std::sync::Arc;
use std::time::Duration;

use bcs_docstore::mongo::Observer;
use bcs_proto::{Method, Rpc};
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};

const API_BUCKETS: [f64; 9] = [0.01, 0.1, 0.5, 0.75, 1.0, 2.0, 3.0, 5.0, 10.0];
const DRIVER_BUCKETS: [f64; 13] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0];

/// All metrics but those of the tunnels.
#[derive(Clone)]
pub(crate) struct Metrics {
    requests: IntCounterVec,
    seconds: HistogramVec,
    driver: IntCounterVec,
    driver_seconds: HistogramVec,
}

impl Metrics {
    /// Registers them.
    ///
    /// # Errors
    /// If the metric library refuses one.
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let api = ["handler", "method", "status"];
        let lib = ["system", "handler", "method", "status"];
        let driver = ["method", "status"];
        let named = |name: &str| format!("bkbcs_clustermanager_{name}");
        let counter = |name: String, help: &str, labels: &[&str]| {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone())).map(|()| counter)
        };
        let histogram = |name: String, help: &str, buckets: &[f64], labels: &[&str]| {
            let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
            let histogram = HistogramVec::new(options, labels)?;
            registry.register(Box::new(histogram.clone())).map(|()| histogram)
        };
        // Registered by the original, too, and never used.
        counter(named("lib_request_total_num"), "Requests to other systems.", &lib)?;
        histogram(named("lib_request_latency_time"), "Seconds they took.", &API_BUCKETS, &lib)?;
        let driver_name = |name: &str| format!("bkbcs_storage_driver_{name}");
        Ok(Self {
            requests: counter(named("api_request_total_num"), "Requests.", &api)?,
            seconds: histogram(named("api_request_latency_time"), "Seconds a request took.", &API_BUCKETS, &api)?,
            driver: counter(driver_name("mongdb_total"), "MongoDB operations.", &driver)?,
            driver_seconds: histogram(
                driver_name("mongodb_latency_seconds"),
                "Seconds a MongoDB operation took.",
                &DRIVER_BUCKETS,
                &driver,
            )?,
        })
    }

    /// An rpc was answered with this code.
    pub(crate) fn called(&self, method: &Method, code: u64, elapsed: Duration) {
        self.answered(handler(method.rpc), "grpc", &code.to_string(), elapsed);
    }

    /// A request outside of the rpcs was answered.
    pub(crate) fn answered(&self, handler: &str, method: &str, status: &str, elapsed: Duration) {
        let labels = [handler, method, status];
        self.requests.with_label_values(&labels).inc();
        self.seconds.with_label_values(&labels).observe(elapsed.as_secs_f64());
    }

    /// What the MongoDB store calls after each operation.
    pub(crate) fn driver_observer(&self) -> Observer {
        let (driver, seconds) = (self.driver.clone(), self.driver_seconds.clone());
        Arc::new(move |method, succeeded, elapsed| {
            // Where the original upserts a whole document, fields of it are set.
            let method = if method == "updateMany" { "upsert" } else { method };
            let labels = [method, if succeeded { "SUCCESS" } else { "FAILURE" }];
            driver.with_label_values(&labels).inc();
            seconds.with_label_values(&labels).observe(elapsed.as_secs_f64());
        })
    }
}

/// The name of an rpc in the metrics.
fn handler(rpc: Rpc) -> &'static str {
    match rpc {
        Rpc::CreateCluster => "createcluster",
        Rpc::UpdateCluster => "updatecluster",
        Rpc::DeleteCluster => "deletecluster",
        Rpc::GetCluster => "getcluster",
        Rpc::ListCluster => "listcluster",
        Rpc::InitFederationCluster => "initfederationcluster",
        Rpc::AddFederatedCluster => "addfederatedcluster",
        Rpc::GetClusterCredential => "getclustercredential",
        Rpc::UpdateClusterCredential => "updateclustercredential",
        Rpc::DeleteClusterCredential => "deleteclustercredential",
        Rpc::ListClusterCredential => "listclustercredential",
        Rpc::CreateNamespace => "createnamespace",
        Rpc::UpdateNamespace => "updatenamespace",
        Rpc::DeleteNamespace => "deletenamespace",
        Rpc::GetNamespace => "getnamespace",
        Rpc::ListNamespace => "listnamespace",
        Rpc::CreateNamespaceQuota => "createquota",
        Rpc::UpdateNamespaceQuota => "updatequota",
        Rpc::DeleteNamespaceQuota => "deletequota",
        Rpc::GetNamespaceQuota => "getquota",
        Rpc::ListNamespaceQuota => "listquota",
        Rpc::CreateNamespaceWithQuota => "createnamespacequota",
    }
}

#[cfg(test)]
mod tests {
    use prometheus::TextEncoder;

    use super::*;

    #[test]
    fn names_labels_and_buckets_are_those_of_the_dashboards() {
        let registry = Registry::new();
        let metrics = Metrics::register(&registry).unwrap();
        metrics.called(Method::named("ListNamespaceQuota").unwrap(), 1_405_420, Duration::from_millis(50));
        metrics.answered("AddTkeCidr", "http", "200", Duration::from_millis(5));
        metrics.driver_observer()("updateMany", false, Duration::from_millis(2));
        let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        for line in [
            r#"bkbcs_clustermanager_api_request_total_num{handler="listquota",method="grpc",status="1405420"} 1"#,
            r#"bkbcs_clustermanager_api_request_latency_time_bucket{handler="listquota",method="grpc",status="1405420",le="0.1"} 1"#,
            r#"bkbcs_clustermanager_api_request_total_num{handler="AddTkeCidr",method="http",status="200"} 1"#,
            r#"bkbcs_storage_driver_mongdb_total{method="upsert",status="FAILURE"} 1"#,
            r#"bkbcs_storage_driver_mongodb_latency_seconds_bucket{method="upsert",status="FAILURE",le="0.0025"} 1"#,
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
