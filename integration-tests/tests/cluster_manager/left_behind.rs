//! What many requests, upgrades and agents leave behind in the process: nothing.
//!
//! `BCS_TEST_SOAK=1` makes many more of them (docs/ROBUSTNESS.md).

use std::net::SocketAddr;

use bcs_integration_tests::kube::Kube;
use bcs_integration_tests::service::Service;
use bcs_integration_tests::soak::count;
use bcs_integration_tests::tunnel_agent::{Agent, AgentOptions};
use bcs_integration_tests::wait::eventually;
use http::StatusCode;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::support::{SOON, start};

const CLUSTER: &str = "BCS-K8S-00001";
const CLIENTS: usize = 16;
/// Memory that a process may keep of what came and went, whatever its number: caches, and what the allocator holds.
const KEPT: u64 = 8 << 20;
/// Files of the store that are opened when many ask at once.
const STORE_FILES: usize = 3 * CLIENTS;
/// Memory of an idle agent, its socket's task and its place in the lists.
const PER_AGENT: u64 = 48 << 10;

struct World {
    service: Service,
    kube: Kube,
    _agent: Agent,
}

impl World {
    async fn start() -> Self {
        let config = json!({});
        let (service, kube) = tokio::join!(start(&config), Kube::start());
        // Its last socket is there before any is counted.
        service.metrics().await;
        let _agent = agent(&service, CLUSTER, &kube).await;
        Self { service, kube, _agent }
    }

    /// Does something `few` times, so that pools and caches are there, and then `many` times. Files and memory must be
    /// as before.
    async fn leaves_nothing<F>(&mut self, few: usize, many: usize, each: impl Fn(&Service) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let sockets = self.service.daemon().process().open_sockets();
        for (number, is_first) in [(few, true), (many, false)] {
            let process = self.service.daemon().process();
            let (files, memory) = (process.open_files(), process.resident_bytes());
            let mut clients = JoinSet::new();
            for _ in 0..CLIENTS {
                let works: Vec<F> = (0..number / CLIENTS).map(|_| each(&self.service)).collect();
                clients.spawn(async move {
                    for work in works {
                        work.await;
                    }
                });
            }
            clients.join_all().await;
            let process = self.service.daemon().process();
            eventually("its sockets are closed", SOON, async || process.open_sockets() <= sockets).await;
            let grown = process.resident_bytes().saturating_sub(memory);
            // The first ones open the store's connections; a few more may be needed later.
            let opened = process.open_files().saturating_sub(files);
            assert!(is_first || opened <= STORE_FILES, "{opened} more files after {number} times");
            assert!(is_first || grown < KEPT, "{grown} bytes more after {number} times");
        }
    }
}

async fn agent(service: &Service, cluster: &str, kube: &Kube) -> Agent {
    let server = format!("127.0.0.1:{}", service.port("httpport"));
    Agent::start(AgentOptions::new(server, cluster, kube.url())).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_leave_nothing() {
    let mut world = World::start().await;
    // Each brings a connection of its own for ten requests.
    let ten = |service: &Service| {
        let client = service.client();
        async move {
            for _ in 0..10 {
                let answer = client.get(&format!("/clustermanager/clusters/{CLUSTER}/size/1024")).await.unwrap();
                assert_eq!((answer.status, answer.body.len()), (StatusCode::OK, 1024));
            }
        }
    };
    world.leaves_nothing(160, count(800, 10_000), ten).await;
    eventually("ten connections to the backend are kept", SOON, async || world.kube.open() <= 10).await;
}

/// An upgraded connection whose bytes come back, and that its client leaves.
async fn upgrade(address: SocketAddr) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let path = format!("/clustermanager/clusters/{CLUSTER}/api/v1/namespaces/a/pods/b/exec");
    let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.unwrap());
    }
    assert!(answer.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&answer));
    stream.write_all(b"hello").await.unwrap();
    let mut back = [0; 5];
    stream.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"hello");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upgrades_leave_nothing() {
    let mut world = World::start().await;
    let address = world.service.daemon().address();
    world.leaves_nothing(160, count(640, 5_008), |_| upgrade(address)).await;
    eventually("the backend is left", SOON, async || world.kube.open() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_idle_agents_are_cheap_and_leave_nothing() {
    const AGENTS: usize = 1000;
    let mut world = World::start().await;
    let process = world.service.daemon().process();
    let (sockets, memory) = (process.open_sockets(), process.resident_bytes());
    let mut agents = Vec::new();
    for number in 0..AGENTS {
        agents.push(agent(&world.service, &format!("BCS-K8S-{:05}", 10_000 + number), &world.kube).await);
    }
    let client = world.service.client();
    for number in [0, 499, 999] {
        let path = format!("/clustermanager/clusters/BCS-K8S-{:05}/echo", 10_000 + number);
        assert_eq!(client.get(&path).await.unwrap().status, StatusCode::OK);
    }
    let process = world.service.daemon().process();
    assert!(process.open_sockets() >= sockets + AGENTS, "each has its socket");
    let each = process.resident_bytes().saturating_sub(memory) / AGENTS as u64;
    assert!(each <= PER_AGENT, "an idle agent costs {each} bytes");
    drop(client);
    for agent in agents {
        agent.stop().await;
    }
    eventually("their sockets are closed", SOON, async || process.open_sockets() <= sockets).await;
}
