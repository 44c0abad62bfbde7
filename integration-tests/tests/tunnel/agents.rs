//! Agents: how they come in, what ends their sessions, and many of them.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use bcs_integration_tests::chaos::ChaosProxy;
use bcs_integration_tests::kube::Kube;
use bcs_integration_tests::process::{Process, command};
use bcs_integration_tests::tunnel_agent::{Agent, AgentOptions};
use bcs_integration_tests::wait::{eventually, eventually_some};
use bcs_integration_tests::workdir::{WorkDir, repository};
use bcs_tunnel::SessionError;
use bcs_tunnel::websocket::connect::ConnectError;
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::service::{CONNECT, Service};

pub const SOON: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_comes_and_goes() {
    let (service, kube) = (Service::start().await, Kube::start().await);
    assert!(!service.tunnels.has_session("c1"));
    let agent = Agent::start(AgentOptions::new(service.authority(), "c1", kube.url())).await.unwrap();
    // No wait: the session is there before the agent knows it.
    assert!(service.tunnels.has_session("c1"));
    let answer = service.client().get(&Service::path("c1", "/echo/x?a=1")).await.unwrap();
    assert_eq!((answer.status, answer.json()["path"].as_str()), (StatusCode::OK, Some("/echo/x")));
    let second = Agent::start(AgentOptions::new(service.authority(), "c1", kube.url())).await.unwrap();
    agent.stop().await;
    eventually("the first session is gone", SOON, async || {
        *service.agents.ended.lock().unwrap() == [("c1".to_owned(), false)]
    })
    .await;
    let answer = service.client().get(&Service::path("c1", "/echo")).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK, "the younger session takes over");
    second.stop().await;
    eventually("both are gone", SOON, async || !service.tunnels.has_session("c1")).await;
    eventually("the last one is reported as such", SOON, async || {
        service.agents.ended.lock().unwrap().last() == Some(&("c1".to_owned(), true))
    })
    .await;
    let metrics = service.metrics();
    for line in [
        r#"bcs_api_session_server_total_add_websocket_session{clientkey="c1",peer="false"} 2"#,
        r#"bcs_api_session_server_total_remove_websocket_session{clientkey="c1",peer="false"} 2"#,
        &format!(
            r#"bcs_api_session_server_total_add_connections{{addr="{}",clientkey="c1",proto="tcp"}} 2"#,
            kube.address()
        ),
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_agents_do_is_known() {
    let (service, kube) = (Service::start().await, Kube::start().await);
    let before = SystemTime::now();
    let agents = ["c2", "c1"].map(|cluster| Agent::start(AgentOptions::new(service.authority(), cluster, kube.url())));
    let [first, second] = agents;
    let (first, second) = (first.await.unwrap(), second.await.unwrap());
    let answer = service.client().get(&Service::path("c1", "/size/100000")).await.unwrap();
    assert_eq!(answer.body.len(), 100_000);
    // They are asked back with their first ping.
    let sessions = eventually_some("the round trips are known", SOON, async || {
        let sessions = service.tunnels.agent_sessions();
        sessions.iter().all(|session| session.round_trip.is_some()).then_some(sessions)
    })
    .await;
    let [used, idle] = &*sessions else { panic!("{sessions:?}") };
    assert_eq!((&*used.key, &*idle.key), ("c1", "c2"));
    assert!((100_000..102_000).contains(&used.received) && used.transmitted > 100, "{used:?}");
    assert_eq!((used.connections, idle.connections, idle.received, idle.transmitted), (1, 0, 0, 0));
    for session in &sessions {
        assert!(session.since >= before && session.since <= SystemTime::now());
        let round_trip = session.round_trip.unwrap();
        assert!(round_trip > Duration::ZERO && round_trip < SOON);
    }
    let report: serde_json::Value = serde_json::from_slice(&service.tunnels.report()).unwrap();
    let since = used.since.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    assert_eq!((&report[0]["key"], &report[0]["since"]), (&"c1".into(), &since.into()));
    assert!(report[0]["round_trip_ms"].as_f64().unwrap() < 20_000.0);
    first.stop().await;
    second.stop().await;
    eventually("nobody is left", SOON, async || service.tunnels.agent_sessions().is_empty()).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_have_their_texts() {
    let service = Service::start().await;
    let client = service.client();
    let plain = client.get(CONNECT).await.unwrap();
    assert_eq!((plain.status, plain.text().as_str()), (StatusCode::BAD_REQUEST, "module empty"));

    let mut options = AgentOptions::new(service.authority(), "c1", "http://127.0.0.1:1");
    options.token = "wrong".to_owned();
    match Agent::start(options).await.err() {
        Some(ConnectError::Refused { status: StatusCode::UNAUTHORIZED, text }) => {
            assert_eq!(text, "failed authentication");
        }
        other => panic!("{other:?}"),
    }

    // All is right but the upgrade.
    let request = Request::builder()
        .method(Method::GET)
        .uri(CONNECT)
        .header("BCS-API-Tunnel-Module", "kubeagent")
        .header("BCS-API-Tunnel-ClusterId", "c1")
        .header("BCS-API-Tunnel-Params", "e30=")
        .body(Full::default())
        .unwrap();
    let answer = client.request(request).await.unwrap();
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let reason =
        "websocket: the client is not using the websocket protocol: 'upgrade' token not found in 'Connection' header";
    assert_eq!(answer.text(), format!("{reason}Error during upgrade for host [c1]: {reason}"));
    assert!(!service.tunnels.has_session("c1"));
}

/// A websocket by hand: its socket, after the 101.
async fn raw(service: &Service, cluster: &str) -> TcpStream {
    let mut stream = TcpStream::connect(service.address).await.unwrap();
    let head = format!(
        "GET {CONNECT} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nBCS-API-Tunnel-Module: kubeagent\r\n\
         BCS-API-Tunnel-ClusterId: {cluster}\r\nBCS-API-Tunnel-Params: e30=\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.unwrap());
    }
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    assert!(answer.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{answer}");
    stream
}

/// A frame masked with zeros.
fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    [&[0x80 | opcode, 0x80 | length, 0, 0, 0, 0], payload].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pongs_are_empty() {
    let service = Service::start().await;
    let mut stream = raw(&service, "c1").await;
    stream.write_all(&frame(9, b"payload")).await.unwrap();
    let mut answer = [0; 2];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, [0x8a, 0x00]);
    assert!(service.tunnels.has_session("c1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_protocol_error_ends_the_session_and_the_socket() {
    let service = Service::start().await;
    // Connect, an announcement without a number, a text, nothing, a number without an end, an unknown opcode, no mask.
    let connect = [&[0x02, 0x04, 0x04, 0x00][..], b"tcp/x:1"].concat();
    let bad = [
        frame(2, &connect),
        frame(2, &[&[0x02, 0x00, 0x08][..], b"key"].concat()),
        frame(1, b"text"),
        frame(2, b""),
        frame(2, &[0x80; 12]),
        frame(3, b""),
        vec![0x82, 0x01, 0x00],
    ];
    for (n, bytes) in bad.iter().enumerate() {
        let key = format!("c{n}");
        let mut stream = raw(&service, &key).await;
        // Without effect: an unknown type, an Error and an announcement.
        stream.write_all(&frame(2, &[0x02, 0x04, 0x20])).await.unwrap();
        stream.write_all(&frame(2, &[0x02, 0x04, 0x06, b'x'])).await.unwrap();
        stream.write_all(&frame(2, &[0x02, 0x00, 0x08, b'k', b'/', b'1'])).await.unwrap();
        assert!(!service.tunnels.has_session("k"), "an agent's announcement");
        stream.write_all(bytes).await.unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest[0], 0x88, "a close frame for {bytes:x?}, got {rest:x?}");
        eventually("the session is gone", SOON, async || !service.tunnels.has_session(&key)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_ends_the_session_and_its_requests() {
    let (service, kube) = (Service::start().await, Kube::start().await);
    let line = ChaosProxy::start(service.address);
    let agent = Agent::start(AgentOptions::new(line.address().to_string(), "c1", kube.url())).await.unwrap();
    let client = service.client();
    let mut hanging = JoinSet::new();
    hanging.spawn(async move { client.get(&Service::path("c1", "/hang")).await.unwrap() });
    eventually("the request is under way", SOON, async || kube.requests() == 1).await;
    line.cut().await;
    let answer = hanging.join_next().await.unwrap().unwrap();
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.text(), "Error trying to reach service: 'tunnel disconnect'");
    assert!(!service.tunnels.has_session("c1"));
    assert!(matches!(agent.ended().await, SessionError::Io(_) | SessionError::Closed));
    eventually("the backend's connection is gone", SOON, async || kube.open() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_idle_agents() {
    let (service, kube) = (Service::start().await, Kube::start().await);
    let mut agents = Vec::new();
    for n in 0..1000 {
        agents.push(Agent::start(AgentOptions::new(service.authority(), format!("c{n}"), kube.url())).await.unwrap());
    }
    let client = service.client();
    for n in [0, 499, 999] {
        assert_eq!(client.get(&Service::path(&format!("c{n}"), "/echo")).await.unwrap().status, StatusCode::OK);
    }
    for agent in agents {
        agent.stop().await;
    }
    eventually("all are gone", SOON, async || service.agents.ended.lock().unwrap().len() == 1000).await;
    service.stop().await;
}

/// `tools/tunnel_agent.py`, which speaks the protocol on its own.
pub fn python_agent(dir: &WorkDir, args: &[&str]) -> Process {
    let python = repository().join(".cache/python/bin/python");
    assert!(python.exists(), "{} is missing: run 'make test-deps'", python.display());
    let mut agent = command(&python, dir.path());
    agent.arg("-B").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/tunnel_agent.py")).args(args);
    Process::spawn("tunnel_agent.py", agent, dir.path())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_is_not_ours() {
    let (service, kube) = (Service::start().await, Kube::start().await);
    let dir = WorkDir::new("tunnel-agent");
    let (url, target) = (format!("ws://{}{CONNECT}", service.address), kube.address().to_string());
    let _agent = python_agent(&dir, &["--url", &url, "--cluster-id", "py", "--target", &target]);
    eventually("the session", SOON, async || service.tunnels.has_session("py")).await;
    let client = service.client();
    let started = Instant::now();
    for _ in 0..50 {
        assert_eq!(client.get(&Service::path("py", "/echo")).await.unwrap().status, StatusCode::OK);
    }
    let big = client.get(&Service::path("py", "/size/3000000")).await.unwrap();
    assert_eq!(big.body.len(), 3_000_000);
    assert!(kube.accepted() <= 2, "connections are used again: {} in {:?}", kube.accepted(), started.elapsed());
}
