//! Agents that are lost without a goodbye: their sessions end, others do not notice.

use std::time::Duration;

use bcs_integration_tests::chaos::ChaosProxy;
use bcs_integration_tests::http::JsonStream;
use bcs_integration_tests::kube::Kube;
use bcs_integration_tests::tunnel_agent::{Agent, AgentOptions};
use bcs_integration_tests::wait::eventually;
use bcs_tunnel::{KeepAlive, SessionError};
use http::{Method, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use crate::agents::SOON;
use crate::service::Service;

/// Twenty pings may be late before somebody is given up.
const KEEP_ALIVE: KeepAlive =
    KeepAlive { ping: Duration::from_millis(100), silence: Duration::from_secs(2), write: Duration::from_secs(2) };

/// Two agents, `near` and, behind a line that can break, `far`.
struct World {
    service: Service,
    kube: Kube,
    line: ChaosProxy,
    far: Agent,
    /// A watch of `near` that has begun.
    watch: JsonStream,
    _near: Agent,
}

impl World {
    async fn start() -> Self {
        let (service, kube) = (Service::start_with(KEEP_ALIVE).await, Kube::start().await);
        let line = ChaosProxy::start(service.address);
        let agent = async |server: String, cluster: &str| {
            let options = AgentOptions { keep_alive: KEEP_ALIVE, ..AgentOptions::new(server, cluster, kube.url()) };
            Agent::start(options).await.unwrap()
        };
        let near = agent(service.authority(), "near").await;
        let far = agent(line.address().to_string(), "far").await;
        let path = Service::path("near", "/watch?n=100000&ms=20");
        let mut watch = service.client().stream(Method::GET, &path, None).await.unwrap();
        watch.next(SOON).await.unwrap();
        Self { service, kube, line, far, watch, _near: near }
    }

    /// Streams of `far` in all states: waiting for an answer, in the middle of one, writing, just opened. They must end
    /// with an error, each.
    async fn lose_far(&self, lose: impl AsyncFnOnce(&ChaosProxy)) {
        let before = self.kube.requests();
        let mut ends = JoinSet::new();
        let client = self.service.client();
        ends.spawn(async move {
            let answer = client.get(&Service::path("far", "/hang")).await.unwrap();
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
            answer.text()
        });
        let client = self.service.client();
        let path = Service::path("far", "/watch?n=100000&ms=20");
        let mut watch = client.stream(Method::GET, &path, None).await.unwrap();
        ends.spawn(async move {
            let cut = async {
                loop {
                    match watch.next(SOON).await {
                        Ok(Some(_)) => {}
                        Ok(None) => panic!("a watch that was cut ended well"),
                        Err(_) => return,
                    }
                }
            };
            cut.await;
            "Error trying to reach service: 'tunnel disconnect'".to_owned()
        });
        eventually("both are under way", SOON, async || self.kube.requests() == before + 2).await;
        lose(&self.line).await;
        let dial = || self.service.tunnels.dial("far", "tcp", &self.kube.address().to_string());
        // After a reset there may be no session left to open anything in.
        if let (Ok(mut writing), Ok(mut opened)) = (dial(), dial()) {
            let told = |error: std::io::Error| format!("Error trying to reach service: '{error}'");
            ends.spawn(async move { told(writing.write_all(&vec![0; 100 << 20]).await.unwrap_err()) });
            ends.spawn(async move { told(opened.read_u8().await.unwrap_err()) });
        }
        while let Some(end) = ends.join_next().await {
            assert_eq!(end.unwrap(), "Error trying to reach service: 'tunnel disconnect'");
        }
        // Its streams end a moment before the session is forgotten, but nobody waits for its socket.
        eventually("the session is gone", SOON, async || !self.service.tunnels.has_session("far")).await;
    }

    /// The other session has lost nothing.
    async fn near_lives(mut self) {
        let seen = self.watch.next(SOON).await.unwrap().unwrap()["n"].as_u64().unwrap();
        for n in 1..20 {
            assert_eq!(self.watch.next(SOON).await.unwrap().unwrap()["n"], seen + n);
        }
        let answer = self.service.client().get(&Service::path("near", "/echo")).await.unwrap();
        assert_eq!(answer.status, StatusCode::OK);
        let ended = self.service.agents.ended.lock().unwrap().clone();
        assert_eq!(ended, [("far".to_owned(), true)]);
        let added = r#"total_add_websocket_session{clientkey="near",peer="false"} 1"#;
        assert!(self.service.metrics().contains(added), "it never had to come again");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_goes_silent_is_given_up() {
    let world = World::start().await;
    world.lose_far(async |line| line.pause()).await;
    // The agent's own end notices too, although its connection is still open.
    assert_eq!(world.line.open_connections(), 1);
    world.near_lives().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_notices_a_silent_service() {
    let World { service, line, far, .. } = World::start().await;
    line.pause();
    assert!(matches!(far.ended().await, SessionError::Silent));
    eventually("the service has noticed as well", SOON, async || !service.tunnels.has_session("far")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_younger_session_takes_over_from_a_silent_one() {
    let world = World::start().await;
    let options = AgentOptions::new(world.service.authority(), "far", world.kube.url());
    let _young = Agent::start(AgentOptions { keep_alive: KEEP_ALIVE, ..options }).await.unwrap();
    world.line.pause();
    let client = world.service.client();
    let waited = client.get(&Service::path("far", "/echo")).await.unwrap();
    assert_eq!(waited.text(), "Error trying to reach service: 'tunnel disconnect'");
    // At once, although the old socket has not been closed yet.
    let answer = client.get(&Service::path("far", "/echo")).await.unwrap();
    assert_eq!((answer.status, answer.json()["path"].as_str()), (StatusCode::OK, Some("/echo")), "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_is_reset_is_given_up() {
    let world = World::start().await;
    world.lose_far(async |line| line.refuse().await).await;
    world.near_lives().await;
}
