//! kubectl exec and port-forward through a tunnel, over both protocols that kubectl knows.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::process::Output;

use bcs_integration_tests::http::Client;
use bcs_integration_tests::kube::Kube;
use bcs_integration_tests::pod::PodApi;
use bcs_integration_tests::ports::Port;
use bcs_integration_tests::process::Process;
use bcs_integration_tests::service::Service;
use bcs_integration_tests::tunnel_agent::{Agent, AgentOptions};
use bcs_integration_tests::wait::{eventually, eventually_some};
use bcs_integration_tests::workdir::WorkDir;
use http::Method;
use serde_json::json;

use crate::kubectl::{CLUSTER, command, output};
use crate::support::{SOON, start};

const BYTES: usize = 3_000_000;

/// Whether kubectl asks for WebSocket (its default), and what the pod sees then.
const PROTOCOLS: [(&str, &str); 2] = [("true", "websocket"), ("false", "spdy")];

struct World {
    service: Service,
    pod: PodApi,
    agent: Agent,
    home: WorkDir,
}

impl World {
    async fn start() -> Self {
        let config = json!({});
        let (service, pod) = tokio::join!(start(&config), PodApi::start("agent-user-token"));
        let server = format!("127.0.0.1:{}", service.port("httpport"));
        let agent =
            Agent::start(AgentOptions::new(server, CLUSTER, format!("http://{}", pod.address()))).await.unwrap();
        Self { service, pod, agent, home: WorkDir::new("kubectl") }
    }

    fn kubectl(&self, websockets: &str, args: &[&str]) -> std::process::Command {
        let mut kubectl = command(&self.service, &self.home, args);
        kubectl.env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", websockets).env("KUBECTL_PORT_FORWARD_WEBSOCKETS", websockets);
        kubectl
    }

    /// `kubectl exec web`, with `input` to read if there is one.
    async fn exec(&self, websockets: &str, input: Option<&[u8]>, words: &[&str]) -> Output {
        let options: &[&str] = if input.is_some() { &["exec", "-i", "web", "--"] } else { &["exec", "web", "--"] };
        let mut kubectl = self.kubectl(websockets, &[options, words].concat());
        if let Some(input) = input {
            self.home.write("input", input);
            kubectl.stdin(File::open(self.home.path().join("input")).unwrap());
        }
        output(kubectl).await
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn exec_prints_reads_and_exits_as_the_process_does() {
    let world = World::start().await;
    for (websockets, protocol) in PROTOCOLS {
        let echo = world.exec(websockets, None, &["echo", "hello", "pod"]).await;
        assert_eq!(
            (text(&echo.stdout).as_str(), echo.status.code()),
            ("hello pod\n", Some(0)),
            "{}",
            text(&echo.stderr)
        );
        let failed = world.exec(websockets, None, &["fail", "7", "no", "luck"]).await;
        assert_eq!((text(&failed.stdout).as_str(), failed.status.code()), ("", Some(7)));
        assert!(text(&failed.stderr).starts_with("no luck\n"), "{}", text(&failed.stderr));
        let input: Vec<u8> = (0..BYTES).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let cat = world.exec(websockets, Some(&input), &["cat"]).await;
        assert_eq!(cat.status.code(), Some(0), "{}", text(&cat.stderr));
        assert!(cat.stdout == input, "{} of {BYTES} bytes came back", cat.stdout.len());
        assert!(
            world.pod.upgrades().iter().all(|seen| *seen == format!("{protocol} exec")),
            "{:?}",
            world.pod.upgrades()
        );
        world.pod.forget();
    }
}

#[tokio::test]
async fn exec_ends_with_the_session() {
    let world = World::start().await;
    // It reads a pipe that nobody writes to.
    let (input, _writer) = std::io::pipe().unwrap();
    let mut kubectl = world.kubectl("true", &["exec", "-i", "web", "--", "cat"]);
    kubectl.stdin(input);
    let mut exec = Process::spawn("kubectl", kubectl, world.home.path());
    eventually("the exec runs", SOON, async || !world.pod.upgrades().is_empty()).await;
    world.agent.stop().await;
    assert!(!exec.exited(SOON).await.success());
}

/// Where a port-forward listens, as it says.
async fn forwarded(world: &World) -> SocketAddr {
    let log = world.home.path().join("stdout.log");
    eventually_some("the forward listens", SOON, async || {
        let said = fs::read_to_string(&log).unwrap_or_default();
        said.lines().find_map(|line| line.strip_prefix("Forwarding from ")?.split(' ').next()?.parse().ok())
    })
    .await
}

#[tokio::test]
async fn port_forward_moves_bytes_both_ways() {
    for (websockets, protocol) in PROTOCOLS {
        let (world, target) = (World::start().await, Kube::start().await);
        let ports = format!(":{}", target.address().port());
        let args = ["port-forward", "--address", "127.0.0.1", "web", &ports];
        let _forward = Process::spawn("kubectl", world.kubectl(websockets, &args), world.home.path());
        let client = Client::new(&format!("http://{}", forwarded(&world).await));
        let body = json!({"text": "y".repeat(BYTES)});
        let answer = client.send(Method::POST, "/echo/x?a=1", Some(&body)).await.unwrap().json();
        assert_eq!((answer["path"].as_str(), answer["query"].as_str()), (Some("/echo/x"), Some("a=1")));
        assert_eq!(answer["body"].as_str().unwrap().len(), body.to_string().len());
        for _ in 0..5 {
            assert_eq!(client.get(&format!("/size/{BYTES}")).await.unwrap().body.len(), BYTES);
        }
        assert!(target.requests() == 6);
        assert_eq!(world.pod.upgrades(), [format!("{protocol} forward")]);
    }
}

#[tokio::test]
async fn a_port_that_nobody_listens_on_is_said() {
    let (world, port) = (World::start().await, Port::claim());
    let args = ["port-forward", "--address", "127.0.0.1", "web", &format!(":{}", port.number())];
    let _forward = Process::spawn("kubectl", world.kubectl("false", &args), world.home.path());
    let client = Client::new(&format!("http://{}", forwarded(&world).await));
    client.get("/").await.unwrap_err();
    let errors = world.home.path().join("stderr.log");
    eventually("it says so", SOON, async || {
        let said = fs::read_to_string(&errors).unwrap_or_default();
        said.contains(&format!("port {}: Connection refused", port.number()))
    })
    .await;
}
