//! Replicas: an agent that sits on the other one.

use bcs_integration_tests::kube::Kube;
use bcs_integration_tests::ports::Port;
use bcs_integration_tests::tunnel_agent::{Agent, AgentOptions};
use bcs_integration_tests::wait::eventually;
use bcs_integration_tests::workdir::WorkDir;
use bcs_tunnel::Peer;
use http::StatusCode;

use crate::agents::{SOON, python_agent};
use crate::service::{CONNECT, PEER_TOKEN, Service};

fn peer(id: impl ToString) -> Peer {
    Peer { id: id.to_string(), tls: false }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_share_their_agents() {
    let (one, two, kube) = (Service::start().await, Service::start().await, Kube::start().await);
    let early = Agent::start(AgentOptions::new(one.authority(), "early", kube.url())).await.unwrap();
    let all = vec![peer(one.address), peer(two.address)];
    one.tunnels.set_peers(all.clone());
    two.tunnels.set_peers(all.clone());
    two.tunnels.set_peers(Vec::new());
    eventually("the agent is announced", SOON, async || two.tunnels.has_session("early")).await;
    let late = Agent::start(AgentOptions::new(one.authority(), "late", kube.url())).await.unwrap();
    eventually("the later one too", SOON, async || two.tunnels.has_session("late")).await;
    // `two` has no credential of its own in this test: dial by hand.
    let mut stream = two.tunnels.dial("late", "tcp", &kube.address().to_string()).unwrap();
    assert_eq!(get(&mut stream).await, "HTTP/1.1 200 OK");
    let refused = Port::claim().address().to_string();
    let mut stream = two.tunnels.dial("late", "tcp", &refused).unwrap();
    let error = tokio::io::AsyncReadExt::read_u8(&mut stream).await.unwrap_err();
    assert_eq!(error.to_string(), format!("dial tcp {refused}: connect: connection refused"));
    late.stop().await;
    eventually("the announcement is taken back", SOON, async || !two.tunnels.has_session("late")).await;
    early.stop().await;
    assert!(two.tunnels.dial("late", "tcp", "127.0.0.1:1").is_err());
    assert!(
        one.metrics().contains(&format!(r#"total_add_websocket_session{{clientkey="{}",peer="true"}} 1"#, two.address))
    );
    one.stop().await;
    two.stop().await;
}

async fn get(stream: &mut bcs_tunnel::TunnelStream) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    stream.write_all(b"GET /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.lines().next().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_is_not_ours_dials_us() {
    let (service, kube, dir) = (Service::start().await, Kube::start().await, WorkDir::new("peer"));
    service.tunnels.set_peers(vec![peer("127.0.0.1:1")]);
    let (url, target) = (format!("ws://{}{CONNECT}", service.address), kube.address().to_string());
    let known = ["--url", &url, "--peer-id", "127.0.0.1:1", "--cluster-id", "there", "--target", &target];
    // Neither a stranger with the token nor a known one without it.
    for (id, token) in [("127.0.0.1:2", PEER_TOKEN), ("127.0.0.1:1", "wrong")] {
        let mut refused =
            python_agent(&dir, &["--url", &url, "--once", "--peer-id", id, "--peer-token", token, "--target", &target]);
        assert_eq!(refused.exited(SOON).await.code(), Some(1));
    }
    let _peer = python_agent(&dir, &[&known[..], &["--peer-token", PEER_TOKEN]].concat());
    eventually("the announcement", SOON, async || service.tunnels.has_session("there")).await;
    let mut stream = service.tunnels.dial("there", "tcp", "10.1.1.1:99").unwrap();
    assert_eq!(get(&mut stream).await, "HTTP/1.1 200 OK");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn we_dial_a_replica_that_is_not_ours() {
    let (service, kube, dir) = (Service::start().await, Kube::start().await, WorkDir::new("acceptor"));
    let port = Port::claim();
    let probe = format!("here={}", kube.address());
    let acceptor = python_agent(&dir, &["--accept", &port.number().to_string(), "--probe", &probe]);
    let _agent = Agent::start(AgentOptions::new(service.authority(), "here", kube.url())).await.unwrap();
    service.tunnels.set_peers(vec![peer(port.address())]);
    eventually("the probe through us", SOON, async || {
        let [out, _] = acceptor.output();
        out.contains(&format!("probe {probe}")) && out.contains(&StatusCode::OK.as_u16().to_string())
    })
    .await;
    let [out, _] = acceptor.output();
    assert!(out.contains(PEER_TOKEN) && out.contains(&service.authority()), "{out}");
}
