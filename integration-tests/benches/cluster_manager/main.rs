//! Figures of bcs-cluster-manager against the bars of docs/PERFORMANCE.md: `make bench`.
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

#[path = "../storage/load.rs"]
mod load;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bcs_integration_tests::servers::mongodb::MongoDb;
use bcs_integration_tests::service::{Service, ServiceSpec};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use load::{Load, Request};

const CLIENTS: usize = 32;
/// Connections of gRPC, and calls at a time on each.
const GRPC: (usize, usize) = (4, 8);
const CLUSTERS: usize = 200;
const SECONDS: Duration = Duration::from_secs(5);
const PREFIX: &str = "/clustermanager/v1";

#[tokio::main]
async fn main() {
    println!("| store | what | measured | bar |\n|---|---|---|---|");
    let (new, old) = start_times().await;
    let text = format!("{:.0} ms on a new data directory, {:.0} ms on one that is there", millis(new), millis(old));
    row("SQLite", "process start → first answer", &text, "≤ 20 ms");
    let mut embedded = spec(&Value::Null).start().await;
    row("SQLite", "RSS after start", &megabytes(&mut embedded), "≤ 10 MB");
    measure("SQLite", &mut embedded).await;
    embedded.stop().await;

    let server = MongoDb::start().await;
    let mongo = json!({"address": server.hosts(), "database": "bench"});
    let mut service = spec(&mongo).start().await;
    measure("MongoDB stand-in", &mut service).await;
    service.stop().await;
}

fn spec(mongo: &Value) -> ServiceSpec {
    let config = json!({"mongo": mongo, "bcslog": {"dir": "logs"}});
    ServiceSpec::new("bcs-cluster-manager").config(&config).ports(&["httpport", "port", "metricport"])
}

async fn start_times() -> (Duration, Duration) {
    let before = Instant::now();
    let mut service = spec(&Value::Null).start().await;
    service.client().get(&format!("{PREFIX}/cluster")).await.unwrap();
    let new = before.elapsed();
    service.stop().await;
    let before = Instant::now();
    service.daemon().start_again().await;
    service.client().get(&format!("{PREFIX}/cluster")).await.unwrap();
    let old = before.elapsed();
    service.stop().await;
    (new, old)
}

async fn measure(store: &str, service: &mut Service) {
    let address = service.daemon().address();
    let process = service.daemon().process().id();
    let body = |number: usize| {
        json!({
            "clusterName": format!("cluster {number}"), "provider": "local", "region": "r1", "vpcID": "vpc-1",
            "projectID": "p1", "businessID": "100", "environment": "prod", "engineType": "k8s", "isExclusive": true,
            "clusterType": "single", "labels": {"team": "a"}, "operators": ["op1"]
        })
    };
    for number in 0..CLUSTERS {
        let path = format!("{PREFIX}/cluster/BCS-K8S-{number:05}");
        let answer = service.client().post(&path, &body(number)).await.unwrap().json();
        assert_eq!(answer["code"], "0", "{answer}");
    }
    let one = |client: usize, number: usize| {
        Request::new("GET", &format!("{PREFIX}/cluster/BCS-K8S-{:05}", (client * 31 + number) % CLUSTERS))
    };
    let cpu = load::cpu(process);
    let load = Load::run(address, CLIENTS, SECONDS, one).await;
    let cpu = load::cpu(process).saturating_sub(cpu).as_secs_f64() * 1e6 / load.answers() as f64;
    row(store, "REST, GET one", &format!("{load}, {cpu:.0} CPU-µs each"), "≥ 20,000/s");
    let list = |_, _| Request::new("GET", &format!("{PREFIX}/cluster"));
    let size = service.client().get(&format!("{PREFIX}/cluster")).await.unwrap().body.len() / 1000;
    let load = Load::run(address, CLIENTS, SECONDS, list).await;
    row(store, &format!("REST, list {CLUSTERS} ({size} KB)"), &load.to_string(), "≥ 2,000/s");
    let grpc = format!("127.0.0.1:{}", service.port("port"));
    // GetClusterReq: the id is field 2.
    let get = [b"\x12\x0d".as_slice(), b"BCS-K8S-00007"].concat();
    row(store, "gRPC, GetCluster", &format!("{:.0}/s", calls(&grpc, "GetCluster", get).await), "≥ 20,000/s");
    row(
        store,
        "gRPC, ListCluster of 200",
        &format!("{:.0}/s", calls(&grpc, "ListCluster", Vec::new()).await),
        "≥ 2,000/s",
    );
    let put = move |client: usize, number: usize| {
        let path = format!("{PREFIX}/cluster/BCS-K8S-{:05}", (client * 31 + number) % CLUSTERS);
        Request::with_body("PUT", &path, &body(number).to_string())
    };
    row(store, "REST, UpdateCluster", &Load::run(address, CLIENTS, SECONDS, put).await.to_string(), "–");
    row(store, "RSS under load", &megabytes(service), "–");
}

/// Unary calls in a second.
async fn calls(address: &str, method: &str, message: Vec<u8>) -> f64 {
    let mut frame = vec![0];
    frame.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(&message);
    let (frame, answers, done) = (Bytes::from(frame), Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let uri = format!("http://{address}/clustermanager.ClusterManager/{method}");
    let mut tasks = JoinSet::new();
    for _ in 0..GRPC.0 {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(16 << 20)
            .handshake::<_, Full<Bytes>>(TokioIo::new(stream))
            .await
            .unwrap();
        tasks.spawn(async move { connection.await.unwrap_or_default() });
        for _ in 0..GRPC.1 {
            let (mut sender, uri, frame) = (sender.clone(), uri.clone(), frame.clone());
            let (answers, done) = (Arc::clone(&answers), Arc::clone(&done));
            tasks.spawn(async move {
                while !done.load(Ordering::Relaxed) {
                    let request = http::Request::post(&uri).header("content-type", "application/grpc");
                    let request = request.header("te", "trailers").body(Full::new(frame.clone())).unwrap();
                    let answer = sender.send_request(request).await.unwrap().into_body().collect().await.unwrap();
                    assert_eq!(answer.trailers().unwrap()["grpc-status"], "0");
                    answers.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    }
    let start = Instant::now();
    tokio::time::sleep(SECONDS).await;
    done.store(true, Ordering::Relaxed);
    let rate = answers.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64();
    tasks.abort_all();
    rate
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
