//! Figures of bcs-api beside nginx in front of the same backend: `make bench`.
//!
//! The load comes from this process, over loopback, so client, proxy and backend share the machine's cores; both proxies
//! are measured in turns. Nothing here fails for being slow. The backend is an nginx too, so that it costs little.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    missing_docs,
    reason = "a benchmark: a panic is a failed run, and it prints its table"
)]

mod client;
mod nginx;

use std::time::{Duration, Instant};

use bcs_common::build_constants;
use bcs_common::registry::zookeeper::{ZooKeeper as Registry, ZooKeeperOptions};
use bcs_common::registry::{Registry as _, ServerInfo, ServiceRegistration};
use bcs_common::shutdown::Shutdown;
use bcs_integration_tests::certs::Certs;
use bcs_integration_tests::servers::zookeeper::ZooKeeper;
use bcs_integration_tests::service::{Service, ServiceSpec};
use bcs_integration_tests::wait::eventually;
use client::Target;
use nginx::Nginx;
use serde_json::{Value, json};

const CLIENTS: usize = 32;
const SECONDS: Duration = Duration::from_secs(4);
const ROUNDS: usize = 3;
const SMALL: &str = "/bcsapi/v4/storage/small";
const BIG: &str = "/bcsapi/v4/storage/big";

#[tokio::main]
async fn main() {
    if !nginx::is_installed() {
        println!("nginx is not installed: it is the backend, and what bcs-api is compared with");
        return;
    }
    let certs = Certs::generate();
    let backend = Nginx::backend().await;
    let nginx = Nginx::proxy(&backend, &certs).await;
    let zookeeper = ZooKeeper::start().await;
    let _registration = register(&zookeeper, &backend).await;
    let mut service = start(&json!({
        "bcs_zookeeper": zookeeper.address().to_string(),
        "server_cert_file": certs.server_cert(), "server_key_file": certs.server_key(),
    }))
    .await;
    let client = service.client();
    eventually("the backend is found", Duration::from_secs(30), async || {
        client.get(SMALL).await.is_ok_and(|answer| answer.status == 200)
    })
    .await;

    println!("| what | bcs-api | nginx | bar |\n|---|---|---|---|");
    let starts = millis(start_time().await);
    println!("| process start → first answer, embedded | {starts:.0} ms | | ≤ 20 ms |");
    println!("| RSS after start | {} | {} | |", megabytes(&mut service), nginx.resident());
    let plain = [Target::plain(service.port("insecure_port")), Target::plain(nginx.http())];
    let tls = [Target::tls(service.port("port"), &certs), Target::tls(nginx.https(), &certs)];
    for (name, targets) in [("HTTP", &plain), ("HTTPS", &tls)] {
        let [ours, theirs] = in_turns(targets, async |target| target.requests(SMALL, CLIENTS, SECONDS).await).await;
        let percent = ours * 100.0 / theirs;
        println!("| 1 KB, {name}, {CLIENTS} kept connections | {ours:.0}/s | {theirs:.0}/s | ≥ 80 %: {percent:.0} % |");
    }
    println!("| RSS after that | {} | {} | ≤ 15 MB |", megabytes(&mut service), nginx.resident());
    for (name, targets) in [("HTTP", &plain), ("HTTPS", &tls)] {
        let [ours, theirs] = in_turns(targets, async |target| target.download(BIG).await).await;
        println!("| 100 MB, {name}, one connection | {ours:.0} MB/s | {theirs:.0} MB/s | ≥ nginx |");
    }
    println!("| RSS after that | {} | {} | constant |", megabytes(&mut service), nginx.resident());
    let [ours, theirs] = in_turns(&tls, async |target| target.handshakes(8, SECONDS).await).await;
    println!("| full TLS handshakes | {ours:.0}/s | {theirs:.0}/s | |");
    service.stop().await;
    nginx.stop().await;
    backend.stop().await;
}

/// The medians of both, measured one after the other again and again.
async fn in_turns(targets: &[Target; 2], measure: impl AsyncFn(&Target) -> f64) -> [f64; 2] {
    let mut measured = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (target, values) in targets.iter().zip(&mut measured) {
            values.push(measure(target).await);
        }
    }
    measured.map(|mut values| {
        values.sort_unstable_by(f64::total_cmp);
        values[values.len() / 2]
    })
}

async fn start(keys: &Value) -> Service {
    let mut config = json!({"insecure_address": "127.0.0.1", "local_ip": "127.0.0.1", "alsologtostderr": false});
    config.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    ServiceSpec::new("bcs-api").config(&config).ports(&["insecure_port", "port", "metric_port"]).start().await
}

async fn start_time() -> Duration {
    let before = Instant::now();
    let mut service = start(&json!({"bcs_zookeeper": ""})).await;
    service.client().get("/").await.unwrap();
    let taken = before.elapsed();
    service.stop().await;
    taken
}

async fn register(zookeeper: &ZooKeeper, backend: &Nginx) -> impl Sized + use<> {
    let (user, password) = (build_constants::zookeeper_client_user(), build_constants::zookeeper_client_pwd());
    let shutdown = Shutdown::new();
    let options = ZooKeeperOptions::new(zookeeper.address().to_string(), user, password);
    let registry = Registry::start(options, &shutdown).unwrap();
    let port = u32::from(backend.http());
    let info = ServerInfo { ip: "127.0.0.1".into(), port, scheme: "http".into(), ..ServerInfo::default() };
    let registration = registry.register(ServiceRegistration::new("storage", "127.0.0.1", info));
    registration.first_result().await.unwrap();
    (registration, registry, shutdown)
}

fn megabytes(service: &mut Service) -> String {
    let bytes = service.daemon().process().resident_bytes();
    format!("{:.1} MB", bytes as f64 / f64::from(1 << 20))
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
