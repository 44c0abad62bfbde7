//! Figures of bcs-storage against the bars of docs/PERFORMANCE.md: `make bench`.
//!
//! The load comes from this process, over loopback, so client and service share the machine's cores. Nothing here
//! fails for being slow.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    missing_docs,
    reason = "a benchmark: a panic is a failed run, and it prints its table"
)]

mod floor;
mod load;
mod watch;

use std::time::{Duration, Instant};

use bcs_integration_tests::servers::mongodb::MongoDb;
use bcs_integration_tests::service::{Service, ServiceSpec};
use serde_json::json;

use load::{Load, Request};

const CLIENTS: usize = 64;
const SECONDS: Duration = Duration::from_secs(5);
const PODS: &str = "/bcsstorage/v1/k8s/dynamic/namespace_resources/clusters/BCS-K8S-00000/namespaces/default/Pod";

#[tokio::main]
async fn main() {
    println!("| store | what | measured | bar |\n|---|---|---|---|");
    let pod = pod();
    let floor = floor::puts_per_second(&pod, CLIENTS);
    row(
        "–",
        "bare rusqlite loop, 64 upserts of the same document size a commit",
        &format!("{floor:.0}/s"),
        "the floor",
    );

    let starts: Vec<Duration> = futures::future::join_all((0..1).map(|_| start_time())).await;
    row("SQLite", "process start → first answer", &format!("{:.0} ms", millis(starts[0])), "≤ 20 ms");
    let mut embedded = spec().start().await;
    row("SQLite", "RSS after start", &megabytes(&mut embedded), "≤ 10 MB");
    measure("SQLite", &mut embedded, &pod, Some(floor)).await;
    watch::fan_out("SQLite", &mut embedded).await;
    embedded.stop().await;

    let mongo = MongoDb::start().await;
    let mut service = spec().file("storage-database.conf", sections(&mongo)).start().await;
    measure("MongoDB wire", &mut service, &pod, None).await;
    watch::fan_out("MongoDB wire", &mut service).await;
    service.stop().await;
}

fn spec() -> ServiceSpec {
    let config = json!({ "log_dir": "logs", "alsologtostderr": false });
    ServiceSpec::new("bcs-storage").config(&config).ports(&["port", "metric_port"])
}

fn sections(mongo: &MongoDb) -> String {
    ["dynamic", "event", "alarm", "metric", "host", "clusterConfig"]
        .iter()
        .map(|name| {
            let database = mongo.database(name);
            format!("[mongodb/{name}]\nAddr = {}\nConnectTimeout = 5\nDatabase = {database}\n", mongo.hosts())
        })
        .collect()
}

async fn start_time() -> Duration {
    let before = Instant::now();
    let mut service = spec().start().await;
    service.client().get(&format!("{PODS}/none")).await.unwrap();
    let taken = before.elapsed();
    service.stop().await;
    taken
}

async fn measure(store: &str, service: &mut Service, pod: &str, floor: Option<f64>) {
    let address = service.daemon().address();
    let process = service.daemon().process().id();
    let bars = |embedded: &'static str| if floor.is_some() { embedded } else { "–" };
    let body: std::sync::Arc<str> = pod.into();
    let put = move |client: usize, number: usize| {
        Request::with_body("PUT", &format!("{PODS}/pod-{client}-{}", number % 50), &body)
    };

    let cpu = load::cpu(process);
    let load = Load::run(address, CLIENTS, SECONDS, put).await;
    let cpu = load::cpu(process).saturating_sub(cpu).as_secs_f64() * 1e6 / load.answers() as f64;
    let of_floor =
        floor.map_or(String::new(), |floor| format!(", {:.0} % of the floor", 100.0 * load.per_second() / floor));
    row(
        store,
        "PUT of a 3 KB Pod, 64 clients",
        &format!("{load}, {cpu:.0} CPU-µs each{of_floor}"),
        bars("≥ 10,000/s, ≥ 50 % of the floor"),
    );

    let get = |client: usize, _| Request::new("GET", &format!("{PODS}/pod-{client}-1"));
    row(store, "GET one", &Load::run(address, CLIENTS, SECONDS, get).await.to_string(), bars("≥ 25,000/s"));
    let list = |_, _| Request::new("GET", &format!("{PODS}?limit=100"));
    row(store, "list of 100 (300 KB)", &Load::run(address, 16, SECONDS, list).await.to_string(), bars("≥ 2,500/s"));
    let names = |_, _| Request::new("GET", &format!("{PODS}?field=resourceName"));
    row(store, "list of all names (k8s-watch's check)", &Load::run(address, 16, SECONDS, names).await.to_string(), "–");
    let query = |_, _| {
        Request::new("GET", "/bcsstorage/v1/query/k8s/dynamic/clusters/BCS-K8S-00000/pod?status=Running&limit=10")
    };
    row(store, "query by phase, first 10", &Load::run(address, 16, SECONDS, query).await.to_string(), "–");
    row(store, "RSS under load", &megabytes(service), "–");
}

fn row(store: &str, what: &str, measured: &str, bar: &str) {
    println!("| {store} | {what} | {measured} | {bar} |");
}

fn megabytes(service: &mut Service) -> String {
    format!("{:.1} MB", service.daemon().process().resident_bytes() as f64 / 1e6)
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// The body of a PUT: a Pod of about 3 KB.
fn pod() -> String {
    let containers: Vec<_> = (0..8)
        .map(|number| {
            json!({
                "name": format!("container-{number}"), "image": format!("registry.example/team/app-{number}:1.19.{number}"),
                "ports": [{ "containerPort": 8080 + number, "protocol": "TCP" }],
                "env": [{ "name": "POD_NAME", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } }],
                "resources": { "limits": { "cpu": "500m", "memory": "512Mi" }, "requests": { "cpu": "100m" } },
            })
        })
        .collect();
    json!({ "data": {
        "metadata": {
            "name": "pod", "namespace": "default", "uid": "0c7e5a9e-9f0b-4c53-8f6f-0d9f8f6f2a11", "resourceVersion": "1042",
            "creationTimestamp": "2021-06-02T10:00:00Z", "labels": { "app": "web", "tier": "front" },
        },
        "spec": { "nodeName": "node-1", "restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "containers": containers },
        "status": { "phase": "Running", "podIP": "10.0.0.1", "hostIP": "192.168.0.1", "startTime": "2021-06-02T10:00:01Z" },
    } })
    .to_string()
}
