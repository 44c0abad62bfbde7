//! bcs-storage as the tests use it: configurations, paths, metrics.

use serde_json::{Value, json};

use crate::http::Client;
use crate::servers::mongodb::MongoDb;
use crate::service::{Service, ServiceSpec};

/// The file with the databases of [`storage_on_mongodb`].
const DATABASES: &str = "databases.conf";

/// bcs-storage with this config, on the embedded store unless that names a file of databases.
pub fn storage(config: &Value) -> ServiceSpec {
    ServiceSpec::new("bcs-storage").ports(&["port", "metric_port"]).config(config)
}

/// bcs-storage with all its databases on a MongoDB that is reached at `hosts`, for example through a proxy.
pub fn storage_on_mongodb(databases: &[(&str, String)], hosts: &str) -> ServiceSpec {
    let sections = databases.iter().map(|(section, database)| {
        format!("[mongodb/{section}]\nAddr = {hosts}\nConnectTimeout = 1\nDatabase = {database}\n")
    });
    let file: String = sections.collect();
    storage(&json!({"database_config_file": DATABASES})).file(DATABASES, file)
}

/// Fresh databases, by the names of their sections in the configuration.
pub fn databases(mongo: &MongoDb) -> Vec<(&'static str, String)> {
    let sections = ["dynamic", "event", "alarm", "metric", "host", "clusterConfig"];
    sections.map(|section| (section, mongo.database(section))).into()
}

/// The path of a Pod in the namespace `ns`.
pub fn pod(cluster: &str, name: &str) -> String {
    format!("/bcsstorage/v1/k8s/dynamic/namespace_resources/clusters/{cluster}/namespaces/ns/Pod/{name}")
}

/// The path of the watch of a cluster's Pods.
pub fn pod_watch(cluster: &str) -> String {
    format!("/bcsstorage/v1/dynamic/watch/{cluster}/Pod")
}

/// A client of the metrics port.
pub fn metrics(service: &Service) -> Client {
    Client::new(&format!("http://127.0.0.1:{}", service.port("metric_port")))
}

/// The value of a metric, given with its labels as `/metrics` writes them; 0 if it is not there.
///
/// # Panics
/// When there are no metrics.
pub async fn metric(service: &Service, name: &str) -> f64 {
    let text = metrics(service).get("/metrics").await.unwrap().text();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.map_or(0.0, |value| value.parse().unwrap())
}
