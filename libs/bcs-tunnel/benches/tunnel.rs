//! Figures of the tunnel and the proxy against the bars of docs/PERFORMANCE.md: `make bench BENCHES=tunnel`.
//!
//! Load, service, agent and backend are one process on the machine's cores, so the rates are lower bounds. nginx, if it
//! is installed, proxies the same load to the same backend. Nothing here fails for being slow.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a benchmark: a panic is a failed run, and it prints its table"
)]

use std::convert::Infallible;
use std::fs;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bcs_common::http::Body;
use bcs_common::http::server::{Listener, ServerOptions, serve};
use bcs_common::shutdown::Shutdown;
use bcs_tunnel::proxy::{self, Route, Rules, Trust, Upstream, UpstreamSettings};
use bcs_tunnel::websocket::connect::{Endpoint, connect};
use bcs_tunnel::{Admission, Agents, KeepAlive, Metrics, Refusal, TunnelOptions, TunnelServer, client};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use prometheus::Registry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const SECONDS: Duration = Duration::from_secs(4);
const CONNECT: &str = "/connect";
const MEGABYTES: u64 = 100;
/// Streams beside a stalled one, and how often both are measured, in turns.
const BESIDE: usize = 99;
const TURNS: usize = 2;

#[tokio::main]
async fn main() {
    println!("| what | measured | bar |\n|---|---|---|");
    let backend = backend().await;
    let nginx = Nginx::start(backend);
    let direct = service(|_| Route::Direct, backend).await;
    let tunnel = service(|server| Route::Tunnel { server, key: "c".to_owned() }, backend).await;
    let agents = vec![agent(tunnel, "c".to_owned()).await];

    row("backend alone, GET 1 KB, 32 connections", &rate(backend, 32).await, "–");
    let of_nginx = match &nginx {
        Some(nginx) => Some(requests(nginx.address, 32).await),
        None => None,
    };
    if let Some(rate) = of_nginx {
        row("nginx, GET 1 KB, 32 connections", &format!("{rate:.0}/s"), "the measure");
    }
    let direct_rate = requests(direct, 32).await;
    let share = of_nginx.map_or_else(String::new, |nginx| format!(", {:.0} % of nginx", 100.0 * direct_rate / nginx));
    row("direct, GET 1 KB, 32 connections", &format!("{direct_rate:.0}/s{share}"), "≥ 80 % of nginx");
    row("tunnel, GET 1 KB, 16 connections", &rate(tunnel, 16).await, "≥ 10,000/s");
    if let Some(nginx) = &nginx {
        row("nginx, 100 MB", &megabytes_per_second(nginx.address).await, "the measure");
    }
    row("direct, 100 MB", &megabytes_per_second(direct).await, "≥ nginx");
    row("tunnel, one stream of 100 MB", &megabytes_per_second(tunnel).await, "≥ 500 MB/s");
    beside_a_stalled_stream(tunnel).await;
    idle(tunnel, agents).await;
}

fn row(what: &str, measured: &str, bar: &str) {
    println!("| {what} | {measured} | {bar} |");
}

/// `/size/N`: N bytes.
async fn backend() -> SocketAddr {
    let piece = Bytes::from(vec![b'x'; 64 << 10]);
    start(move |request: Request<Body>| {
        let length: u64 = request.uri().path().rsplit('/').next().unwrap().parse().unwrap();
        let piece = piece.clone();
        if length <= 64 << 10 {
            return Response::new(Body::from(piece.slice(..usize::try_from(length).unwrap())));
        }
        let pieces = (0..length / (64 << 10)).map(move |_| Ok::<_, Infallible>(Frame::data(piece.clone())));
        Response::new(Body::new(StreamBody::new(futures::stream::iter(pieces))))
    })
    .await
}

async fn start<F>(answer: F) -> SocketAddr
where
    F: Fn(Request<Body>) -> Response<Body> + Clone + Send + Sync + 'static,
{
    start_async(move |request| std::future::ready(answer(request))).await
}

async fn start_async<F, A>(answer: F) -> SocketAddr
where
    F: Fn(Request<Body>) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Response<Body>> + Send + 'static,
{
    let listener = Listener::bind("127.0.0.1:0", None).await.unwrap();
    let address = listener.local_addr();
    let service = tower::service_fn(move |request| {
        let answer = answer(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let shutdown = Shutdown::new();
    shutdown.spawn("server", serve(listener, service, ServerOptions::default(), shutdown.clone()));
    address
}

struct Everybody;

#[async_trait]
impl Agents for Everybody {
    async fn admit(&self, headers: &HeaderMap) -> Result<Admission, Refusal> {
        Ok(Admission::new(headers["key"].to_str().unwrap()))
    }
}

async fn service(route: impl Fn(TunnelServer) -> Route, backend: SocketAddr) -> SocketAddr {
    let shutdown = Shutdown::new();
    let options = TunnelOptions {
        peer_id: String::new(),
        peer_token: String::new(),
        peer_path: CONNECT,
        peer_tls: None,
        keep_alive: KeepAlive::default(),
    };
    let tunnels = TunnelServer::new(options, Arc::new(Everybody), &Registry::new(), shutdown.clone()).unwrap();
    let settings = UpstreamSettings {
        addresses: vec![format!("http://{backend}")],
        trust: Trust::System,
        server_name: None,
        route: route(tunnels.clone()),
        max_idle: 64,
    };
    let upstream = Arc::new(Upstream::new(&settings, shutdown).unwrap());
    start_async(move |request: Request<Body>| {
        let (tunnels, upstream) = (tunnels.clone(), Arc::clone(&upstream));
        async move {
            if request.uri().path() == CONNECT {
                return tunnels.accept(request).await;
            }
            let mut rules = Rules::kube(request.uri().path_and_query().unwrap().clone());
            rules.bearer("token");
            proxy::forward(&upstream, request, &rules).await.unwrap_or_else(|error| error.service_unavailable())
        }
    })
    .await
}

async fn agent(service: SocketAddr, key: String) -> tokio::task::JoinHandle<()> {
    let shutdown = Shutdown::new();
    let headers = HeaderMap::from_iter([(HeaderName::from_static("key"), HeaderValue::try_from(key).unwrap())]);
    let authority = service.to_string();
    let io = connect(Endpoint { authority: &authority, path: CONNECT }, headers, None, &shutdown).await.unwrap();
    tokio::spawn(async move {
        let metrics = Metrics::register(&Registry::new()).unwrap();
        let stop = shutdown.token();
        client::serve(io, Arc::new(client::AgentDial), &metrics, KeepAlive::default(), &shutdown, stop).await;
    })
}

async fn rate(address: SocketAddr, connections: usize) -> String {
    format!("{:.0}/s", requests(address, connections).await)
}

async fn requests(address: SocketAddr, connections: usize) -> f64 {
    let started = Instant::now();
    let total = latencies(address, connections).await.len();
    total as f64 / started.elapsed().as_secs_f64()
}

async fn latencies(address: SocketAddr, connections: usize) -> Vec<Duration> {
    let started = Instant::now();
    let load = |_| {
        tokio::spawn(async move {
            let mut sender = connection(address).await;
            let mut latencies = Vec::new();
            while started.elapsed() < SECONDS {
                let asked = Instant::now();
                get(&mut sender, "/size/1024").await;
                latencies.push(asked.elapsed());
            }
            latencies
        })
    };
    let all = futures::future::join_all((0..connections).map(load)).await;
    all.into_iter().flat_map(Result::unwrap).collect()
}

/// One client of the tunnel asks for much and reads nothing of it; what do the others notice?
async fn beside_a_stalled_stream(address: SocketAddr) {
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        alone.extend(latencies(address, BESIDE).await);
        let mut stalled = TcpStream::connect(address).await.unwrap();
        let request = format!("GET /size/{} HTTP/1.1\r\nHost: bench\r\n\r\n", (10 * MEGABYTES) << 20);
        stalled.write_all(request.as_bytes()).await.unwrap();
        stalled.read_exact(&mut [0; 100]).await.unwrap();
        beside.extend(latencies(address, BESIDE).await);
    }
    let [(without, text), (with, beside)] = [alone, beside].map(|mut latencies| {
        latencies.sort_unstable();
        let millis = |latency: Duration| latency.as_secs_f64() * 1e3;
        let p99 = millis(latencies[latencies.len() * 99 / 100]);
        let (rate, longest) = (latencies.len() as f64 / (SECONDS * TURNS as u32).as_secs_f64(), latencies.last());
        (p99, format!("p99 {p99:.1} ms, longest {:.0} ms, {rate:.0}/s", millis(*longest.unwrap())))
    });
    row(&format!("tunnel, GET 1 KB, {BESIDE} connections"), &text, "the measure");
    row("the same beside a stalled download", &format!("{beside}, p99 {:.2} ×", with / without), "p99 ≤ 1.5 ×");
}

async fn connection(address: SocketAddr) -> http1::SendRequest<Empty<Bytes>> {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn get(sender: &mut http1::SendRequest<Empty<Bytes>>, path: &str) -> u64 {
    sender.ready().await.unwrap();
    let request = Request::builder().uri(path).header("host", "bench").body(Empty::new()).unwrap();
    let mut answer = sender.send_request(request).await.unwrap();
    assert_eq!(answer.status(), 200);
    let mut length = 0;
    while let Some(frame) = answer.body_mut().frame().await {
        length += frame.unwrap().data_ref().map_or(0, Bytes::len);
    }
    u64::try_from(length).unwrap()
}

async fn megabytes_per_second(address: SocketAddr) -> String {
    let mut best = 0.0_f64;
    for _ in 0..5 {
        let mut sender = connection(address).await;
        let started = Instant::now();
        let length = get(&mut sender, &format!("/size/{}", MEGABYTES << 20)).await;
        assert_eq!(length, MEGABYTES << 20);
        best = best.max(length as f64 / 1e6 / started.elapsed().as_secs_f64());
    }
    format!("{best:.0} MB/s, RSS {} MB", resident() >> 10)
}

/// Both ends of every tunnel are in this process.
async fn idle(service: SocketAddr, mut agents: Vec<tokio::task::JoinHandle<()>>) {
    const COUNT: usize = 1000;
    let before = resident();
    for n in 0..COUNT {
        agents.push(agent(service, format!("idle-{n}")).await);
    }
    let each = (resident().saturating_sub(before)) as f64 / COUNT as f64;
    row("idle tunnel, both ends", &format!("{each:.1} KB"), "–");
}

/// KB.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

struct Nginx {
    address: SocketAddr,
    child: Child,
    dir: tempfile::TempDir,
}

impl Nginx {
    /// None: there is none on this machine.
    fn start(backend: SocketAddr) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let path = dir.path().display();
        let config = format!(
            "daemon off; worker_processes 2; error_log stderr; pid {path}/pid;\n\
             events {{ worker_connections 1024; }}\n\
             http {{ access_log off; client_body_temp_path {path}/b; proxy_temp_path {path}/p; fastcgi_temp_path {path}/f;\n\
             uwsgi_temp_path {path}/u; scgi_temp_path {path}/s; keepalive_requests 1000000000;\n\
             upstream backend {{ server {backend}; keepalive 64; keepalive_requests 1000000000; }}\n\
             server {{ listen {address}; location / {{ proxy_pass http://backend; proxy_http_version 1.1;\n\
             proxy_set_header Connection \"\"; proxy_buffering off; }} }} }}\n"
        );
        let file = dir.path().join("nginx.conf");
        fs::write(&file, config).unwrap();
        let child = Command::new("nginx").arg("-c").arg(&file).stderr(Stdio::null()).spawn().ok()?;
        let nginx = Self { address, child, dir };
        let end = Instant::now() + Duration::from_secs(5);
        while std::net::TcpStream::connect(address).is_err() {
            if Instant::now() > end {
                return None;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(nginx)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // A kill would leave its workers behind.
        let config = self.dir.path().join("nginx.conf");
        let _ = Command::new("nginx").arg("-c").arg(config).args(["-s", "quit"]).stderr(Stdio::null()).status();
        let _ = self.child.wait();
    }
}
