//! The metric listener.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a failed test is a failed test

mod http_support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use bcs_common::http::server::Listener;
use bcs_common::metrics::{Health, MetricServer};
use bcs_common::shutdown::Shutdown;
use http_support::{Client, soon};
use prometheus::{IntCounter, Registry};
use tokio::net::TcpStream;

struct Metrics {
    address: SocketAddr,
    shutdown: Shutdown,
    health: Health,
    level: Arc<AtomicI32>,
    registry: Registry,
}

impl Metrics {
    async fn start() -> Self {
        let (registry, health, level) = (Registry::new(), Health::new(), Arc::new(AtomicI32::new(0)));
        let set = Arc::clone(&level);
        let set_level = move |v| set.store(v, Ordering::SeqCst);
        let server = MetricServer::new(registry.clone(), health.clone(), "Version  :1\n", set_level).unwrap();
        let server = server.openapi(r#"{"openapi":"3.0.3"}"#.to_owned());
        let listener = Listener::bind("127.0.0.1:0", None).await.unwrap();
        let (address, shutdown) = (listener.local_addr(), Shutdown::new());
        shutdown.spawn("metrics", server.serve(listener, shutdown.clone()));
        Self { address, shutdown, health, level, registry }
    }

    async fn ask(&self, request: &str) -> (String, String) {
        let mut client = Client::new(TcpStream::connect(self.address).await.unwrap());
        client.send(request).await;
        client.response().await
    }

    async fn get(&self, target: &str) -> (String, String) {
        self.ask(&format!("GET {target} HTTP/1.1\r\nhost: test\r\n\r\n")).await
    }

    async fn put_level(&self, target: &str, body: &str) -> String {
        let length = body.len();
        let (head, _) =
            self.ask(&format!("PUT {target} HTTP/1.1\r\nhost: test\r\ncontent-length: {length}\r\n\r\n{body}")).await;
        head.lines().next().unwrap().to_owned()
    }

    async fn stop(self) {
        assert!(soon(self.shutdown.drain(std::time::Duration::from_secs(10))).await);
    }
}

#[tokio::test]
async fn scrapes_tell_all_in_the_text_format() {
    let metrics = Metrics::start().await;
    let counter = IntCounter::new("bkbcs_test_total", "Help.").unwrap();
    metrics.registry.register(Box::new(counter.clone())).unwrap();
    counter.inc_by(3);
    let (head, body) = metrics.get("/metrics").await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(head.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{head}");
    for line in [
        "# TYPE bkbcs_test_total counter",
        "bkbcs_test_total 3",
        "promhttp_metric_handler_requests_total{code=\"200\"} 0",
        "promhttp_metric_handler_requests_in_flight 1",
        "# TYPE process_cpu_seconds_total counter",
        "# TYPE process_resident_memory_bytes gauge",
    ] {
        assert!(body.lines().any(|given| given == line), "{line} is not in\n{body}");
    }
    let (_, body) = metrics.get("/metrics").await;
    assert!(body.contains("promhttp_metric_handler_requests_total{code=\"200\"} 1\n"), "{body}");
    metrics.stop().await;
}

#[tokio::test]
async fn readiness_follows_the_parts() {
    let metrics = Metrics::start().await;
    assert!(metrics.get("/readyz").await.0.starts_with("HTTP/1.1 200 "));
    metrics.health.set("store", Err("no connection".to_owned()));
    let (head, body) = metrics.get("/readyz").await;
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    assert_eq!(body, r#"{"ready":false,"parts":{"store":"no connection"}}"#);
    assert_eq!(metrics.get("/healthz").await.1, "ok\n", "alive all the same");
    metrics.stop().await;
}

#[tokio::test]
async fn the_log_level_can_be_put() {
    let metrics = Metrics::start().await;
    assert_eq!(metrics.put_level("/log-level?v=3", "").await, "HTTP/1.1 200 OK");
    assert_eq!(metrics.level.load(Ordering::SeqCst), 3);
    assert_eq!(metrics.put_level("/log-level", " 5\n").await, "HTTP/1.1 200 OK");
    assert_eq!(metrics.level.load(Ordering::SeqCst), 5);
    for bad in ["", "-1", "high", "99999999999"] {
        assert_eq!(metrics.put_level("/log-level", bad).await, "HTTP/1.1 400 Bad Request", "{bad}");
    }
    assert_eq!(metrics.level.load(Ordering::SeqCst), 5);
    metrics.stop().await;
}

#[tokio::test]
async fn the_rest() {
    let metrics = Metrics::start().await;
    assert_eq!(metrics.get("/version").await.1, "Version  :1\n");
    let (head, body) = metrics.get("/openapi.json").await;
    assert!(head.contains("content-type: application/json\r\n") && body.starts_with(r#"{"openapi":"#), "{head}{body}");
    for target in ["/", "/debug/pprof/", "/log-level", "/metrics/"] {
        assert_eq!(metrics.get(target).await.1, "404 page not found\n", "{target}");
    }
    metrics.stop().await;
}
