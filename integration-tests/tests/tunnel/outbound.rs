//! Backends behind an HTTP proxy, and backends of which one address does not answer.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bcs_common::http::{Body, body};
use bcs_common::shutdown::Shutdown;
use bcs_common::tls;
use bcs_integration_tests::certs::Certs;
use bcs_integration_tests::kube::Kube;
use bcs_integration_tests::wait::eventually;
use bcs_tunnel::proxy::{self, HttpProxies, Route, Rules, Trust, Upstream, UpstreamSettings, Upstreams};
use http::{Method, Request, StatusCode};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::agents::SOON;

/// A proxy: whatever it is asked for, it asks `target`. It remembers the first lines of what it was asked.
struct HttpProxy {
    url: String,
    seen: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl HttpProxy {
    async fn start(target: std::net::SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://user:pass@{}", listener.local_addr().unwrap());
        let (seen, mut tasks) = (Arc::new(Mutex::new(Vec::new())), JoinSet::new());
        let shared = Arc::clone(&seen);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(serve(client, target, Arc::clone(&shared)));
            }
        });
        Self { url, seen, _tasks: tasks }
    }

    fn seen(&self) -> Vec<String> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

async fn serve(mut client: TcpStream, target: std::net::SocketAddr, seen: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let line = head.lines().next().unwrap().to_owned();
    let is_known = head.lines().any(|line| line.eq_ignore_ascii_case("proxy-authorization: Basic dXNlcjpwYXNz"));
    seen.lock().unwrap().push(format!("{line} {}", if is_known { "known" } else { "unknown" }));
    let mut backend = TcpStream::connect(target).await.unwrap();
    if line.starts_with("CONNECT ") {
        client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
    } else {
        backend.write_all(head.as_bytes()).await.unwrap();
    }
    // The end of the test.
    let _ = copy_bidirectional(&mut client, &mut backend).await;
}

fn upstream(address: &str, trust: Trust, proxies: &HttpProxies) -> Upstream {
    let settings = UpstreamSettings {
        addresses: vec![address.to_owned()],
        trust,
        server_name: Some("localhost".to_owned()),
        route: Route::Proxied(proxies.clone()),
        max_idle: 10,
    };
    Upstream::new(&settings, Shutdown::new()).unwrap()
}

async fn echo(upstream: &Upstream) -> Value {
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = "/echo/x?y=1".parse().unwrap();
    let answer = upstream.send(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    serde_json::from_slice(&body::collect(answer.into_body(), 1 << 20).await.unwrap()).unwrap()
}

#[tokio::test]
async fn a_proxy_is_asked_for_the_url_and_led_through_for_tls_and_upgrades() {
    tls::install_provider();
    let kube = Kube::start().await;
    let proxy = HttpProxy::start(kube.address()).await;
    let proxies = HttpProxies::new(&proxy.url, "", "");
    let plain = upstream("http://192.0.2.1:8080", Trust::System, &proxies);
    for _ in 0..2 {
        let seen = echo(&plain).await;
        assert_eq!((&seen["query"], &seen["headers"]["host"]), (&"y=1".into(), &"192.0.2.1:8080".into()));
    }
    assert_eq!(proxy.seen(), ["GET http://192.0.2.1:8080/echo/x?y=1 HTTP/1.1 known"], "the connection is kept");
    let request = Request::builder().method(Method::GET).header("connection", "Upgrade").header("upgrade", "echo");
    let rules = Rules::backend("/exec".parse().unwrap());
    let answer = proxy::forward(&plain, request.body(Body::empty()).unwrap(), &rules).await.unwrap();
    assert_eq!(answer.status(), StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(proxy.seen(), ["CONNECT 192.0.2.1:8080 HTTP/1.1 known"]);

    let certs = Certs::generate();
    let kube = Kube::start_tls(&certs).await;
    let proxy = HttpProxy::start(kube.address()).await;
    let ca = Trust::Pem(std::fs::read(certs.ca()).unwrap());
    echo(&upstream("https://192.0.2.1:6443", ca.clone(), &HttpProxies::new("", &proxy.url, ""))).await;
    assert_eq!(proxy.seen(), ["CONNECT 192.0.2.1:6443 HTTP/1.1 known"]);

    // This machine's own addresses are never asked of a proxy.
    echo(&upstream(&kube.url(), ca, &HttpProxies::new(&proxy.url, &proxy.url, ""))).await;
    assert_eq!(proxy.seen(), Vec::<String>::new());
}

#[tokio::test]
async fn an_address_that_goes_silent_is_left_before_a_request_waits_for_it() {
    tls::install_provider();
    let certs = Certs::generate();
    let kube = Kube::start_tls(&certs).await;
    // Connections are made, and nothing is ever said on them.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = UpstreamSettings {
        addresses: vec![format!("https://{}", silent.local_addr().unwrap()), kube.url()],
        trust: Trust::Pem(std::fs::read(certs.ca()).unwrap()),
        server_name: Some("localhost".to_owned()),
        route: Route::Direct,
        max_idle: 10,
    };
    let upstreams = Upstreams::new(Shutdown::new());
    let upstream = upstreams.get("cluster", &settings).unwrap();
    eventually("the other address has been found", SOON, async || kube.accepted() > 0).await;
    eventually("requests are answered at once", SOON, async || {
        let started = Instant::now();
        echo(&upstream).await;
        started.elapsed() < Duration::from_secs(2)
    })
    .await;
}
