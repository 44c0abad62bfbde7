//! Requests through the tunnel to a kube-apiserver.

use std::fs;
use std::time::Duration;

use bcs_integration_tests::certs::Certs;
use bcs_integration_tests::http::Error;
use bcs_integration_tests::kube::Kube;
use bcs_integration_tests::ports::Port;
use bcs_integration_tests::tunnel_agent::{Agent, AgentOptions};
use bcs_integration_tests::wait::eventually;
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::agents::SOON;
use crate::service::Service;

/// A service with one agent, `c1`, whose cluster is a stand-in.
pub struct World {
    pub service: Service,
    pub kube: Kube,
    pub agent: Agent,
}

impl World {
    pub async fn start() -> Self {
        Self::with(Kube::start().await, "\n".to_owned()).await
    }

    async fn with(kube: Kube, ca: String) -> Self {
        let service = Service::start().await;
        let mut options = AgentOptions::new(service.authority(), "c1", kube.url());
        options.ca = ca;
        let agent = Agent::start(options).await.unwrap();
        Self { service, kube, agent }
    }

    async fn get(&self, path: &str) -> bcs_integration_tests::http::Response {
        self.service.client().get(&Service::path("c1", path)).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_arrive_as_they_were_sent() {
    let world = World::start().await;
    let request = Request::builder()
        .method(Method::POST)
        .uri(Service::path("c1", "/echo/a%2Fb%20c/?x=1&y=%zz;z"))
        .header("Authorization", "Bearer mine")
        .header("Impersonate-User", "root")
        .header("Impersonate-Group", "system:masters")
        .header("X-Custom", "abc")
        .header("X-Forwarded-For", "10.1.1.1")
        .header("Connection", "X-Hop")
        .header("X-Hop", "1")
        .header("Te", "trailers")
        .body(Full::new(Bytes::from_static(b"{\"k\":1}")))
        .unwrap();
    let answer = world.service.client().request(request).await.unwrap();
    let json = answer.json();
    assert_eq!((json["method"].as_str(), json["body"].as_str()), (Some("POST"), Some("{\"k\":1}")));
    assert_eq!((json["path"].as_str(), json["query"].as_str()), (Some("/echo/a%2Fb%20c/"), Some("x=1&y=%zz;z")));
    let headers = json["headers"].as_object().unwrap();
    let mut names: Vec<_> = headers.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["authorization", "content-length", "host", "x-custom", "x-forwarded-for", "x-forwarded-proto"]);
    assert_eq!(headers["authorization"], "Bearer agent-user-token");
    assert_eq!(headers["x-forwarded-for"], "10.1.1.1, 127.0.0.1");
    assert_eq!(headers["host"], world.service.authority());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_come_back_as_they_are() {
    let world = World::start().await;
    for status in [200_u16, 204, 404, 409, 503] {
        assert_eq!(world.get(&format!("/status/{status}")).await.status.as_u16(), status);
    }
    assert_eq!(world.get("/size/3000000").await.body.len(), 3_000_000);
    assert_eq!(world.get("/chunk/3000000").await.body.len(), 3_000_000);
    let cors = world.get("/cors").await;
    assert!(cors.headers.get("access-control-allow-origin").is_none());
    assert_eq!(cors.headers["x-kept"], "1");
    let moved = world.get("/redirect?to=/echo/z").await;
    assert_eq!(moved.headers["location"], Service::path("c1", "/echo/z"));
    let elsewhere = world.get("/redirect?to=https://example.com/x").await;
    assert_eq!(elsewhere.headers["location"], "https://example.com/x");
    let head = world.service.client().send(Method::HEAD, &Service::path("c1", "/size/5"), None).await.unwrap();
    assert_eq!((head.status, &head.headers["content-length"]), (StatusCode::OK, &"5".parse().unwrap()));
    assert_eq!(world.kube.accepted(), 1, "one connection served all");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_is_flushed_at_once() {
    let world = World::start().await;
    let client = world.service.client();
    let mut stream = client.stream(Method::GET, &Service::path("c1", "/watch?n=3&ms=300"), None).await.unwrap();
    for n in 1..=3 {
        assert_eq!(stream.next(SOON).await.unwrap().unwrap()["n"], n);
    }
    assert_eq!(stream.next(SOON).await.unwrap(), None);
    // One that its client leaves ends at the backend too.
    let mut left = client.stream(Method::GET, &Service::path("c1", "/watch?n=1000&ms=50"), None).await.unwrap();
    left.next(SOON).await.unwrap();
    drop(left);
    eventually("the watch is over at the backend", SOON, async || world.kube.open() <= 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_answer_cuts_the_client() {
    let world = World::start().await;
    let client = world.service.client();
    let cut = client.get(&Service::path("c1", "/cut?after=1000")).await;
    assert!(matches!(cut, Err(Error::Http(_))), "{cut:?}");
    let none = client.get(&Service::path("c1", "/cut?after=0")).await.unwrap();
    assert_eq!(none.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(none.text(), "Error trying to reach service: 'EOF'");
    assert_eq!(world.get("/echo").await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreachable_backend_is_told_in_the_words_of_the_agent() {
    let service = Service::start().await;
    let port = Port::claim();
    let url = format!("http://{}", port.address());
    let _agent = Agent::start(AgentOptions::new(service.authority(), "c1", url)).await.unwrap();
    let text = format!("dial tcp {}: connect: connection refused", port.address());
    let answer = service.client().get(&Service::path("c1", "/echo")).await.unwrap();
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers["content-type"], "text/plain");
    assert_eq!(answer.text(), format!("Error trying to reach service: '{text}'"));
    let upgrade = upgrade_request("/exec");
    let answer = service.client().request(upgrade).await.unwrap();
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(answer.text(), format!("{text}\n"));
}

fn upgrade_request(path: &str) -> Request<Full<Bytes>> {
    Request::builder()
        .uri(Service::path("c1", path))
        .header("Connection", "Upgrade")
        .header("Upgrade", "SPDY/3.1")
        .body(Full::default())
        .unwrap()
}

/// Upgrades by hand and gives the head of the answer.
async fn upgrade(world: &World, protocol: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(world.service.address).await.unwrap();
    let path = Service::path("c1", "/api/v1/namespaces/a/pods/b/exec?command=sh");
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\nContent-Length: 0\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.unwrap());
    }
    (stream, String::from_utf8(answer).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upgrades_are_piped_both_ways() {
    let world = World::start().await;
    for protocol in ["SPDY/3.1", "websocket"] {
        let (mut stream, head) = upgrade(&world, protocol).await;
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        assert!(head.contains(&format!("upgrade: {protocol}")), "{head}");
        assert!(head.contains("x-authorization: Bearer agent-user-token"), "{head}");
        for size in [5, 200_000] {
            let sent = vec![b'z'; size];
            let mut back = vec![0; size];
            let (mut read, mut write) = stream.split();
            let (wrote, got) = tokio::join!(write.write_all(&sent), read.read_exact(&mut back));
            wrote.unwrap();
            got.unwrap();
            assert_eq!(sent, back);
        }
        drop(stream);
        eventually("the backend's end is closed", SOON, async || world.kube.open() == 0).await;
    }
    let refused = world.service.client().request(upgrade_request("/noupgrade/403")).await.unwrap();
    assert_eq!((refused.status, refused.text().as_str()), (StatusCode::FORBIDDEN, r#"{"code":403}"#));
    let ignored = world.service.client().request(upgrade_request("/noupgrade/200")).await.unwrap();
    assert_eq!(ignored.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(ignored.text(), "invalid upgrade response: status code 200\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stored_ca_decides_about_tls() {
    let (certs, others) = (Certs::generate(), Certs::generate());
    let ca = fs::read_to_string(certs.ca()).unwrap();
    let world = World::with(Kube::start_tls(&certs).await, ca).await;
    assert_eq!(world.get("/echo").await.status, StatusCode::OK);
    let (stream, head) = upgrade(&world, "SPDY/3.1").await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    drop(stream);
    for ca in [fs::read_to_string(others.ca()).unwrap(), "\n".to_owned()] {
        let world = World::with(Kube::start_tls(&certs).await, ca).await;
        let answer = world.get("/echo").await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.text().contains("the certificate of 127.0.0.1 is refused"), "{}", answer.text());
        let answer = world.service.client().request(upgrade_request("/exec")).await.unwrap();
        assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(answer.text().starts_with("error dialing backend: the certificate"), "{}", answer.text());
    }
}

/// One client after the other needs one connection; on a loaded machine another may be made.
const POOLED: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_behind() {
    let world = World::start().await;
    let client = world.service.client();
    let get = async |count: usize| {
        for _ in 0..count {
            assert_eq!(client.get(&Service::path("c1", "/size/1024")).await.unwrap().status, StatusCode::OK);
        }
    };
    get(100).await;
    for _ in 0..20 {
        drop(upgrade(&world, "SPDY/3.1").await);
    }
    eventually("the upgrades are over", SOON, async || world.kube.open() <= POOLED).await;
    get(2000).await;
    for _ in 0..200 {
        drop(upgrade(&world, "SPDY/3.1").await);
    }
    eventually("the upgrades are over", SOON, async || world.kube.open() <= POOLED).await;
    let accepted = world.kube.accepted();
    assert!(accepted <= 220 + POOLED, "requests share connections, each upgrade has its own: {accepted}");
    world.agent.stop().await;
    eventually("the pool went with the session", SOON, async || world.kube.open() == 0).await;
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_ends_streams_and_sessions() {
    let world = World::start().await;
    let client = world.service.client();
    let mut watch = client.stream(Method::GET, &Service::path("c1", "/watch?n=1000&ms=50"), None).await.unwrap();
    watch.next(SOON).await.unwrap();
    let (_exec, _) = upgrade(&world, "SPDY/3.1").await;
    world.service.stop().await;
    let _ = world.agent.ended().await;
    eventually("the backend is left", Duration::from_secs(20), async || world.kube.open() == 0).await;
}
