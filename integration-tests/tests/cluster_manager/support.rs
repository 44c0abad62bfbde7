//! What the tests of this program share.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bcs_integration_tests::certs::Certs;
use bcs_integration_tests::daemon::{Daemon, Ready};
use bcs_integration_tests::http::{Client, Response};
use bcs_integration_tests::ports::Port;
use bcs_integration_tests::process::{Process, command};
use bcs_integration_tests::servers::mongodb::MongoDb;
use bcs_integration_tests::service::{Service, ServiceSpec};
use bcs_integration_tests::wait::eventually;
use bcs_integration_tests::workdir::{WorkDir, python};
use http::Method;
use serde_json::{Value, json};

/// Far more than anything here takes.
pub const SOON: Duration = Duration::from_secs(30);

/// The contract.
pub fn proto() -> PathBuf {
    bcs_integration_tests::workdir::repository().join("proto/proto/clustermanager.proto")
}

/// The log goes to files and to standard error.
fn logged(config: &Value) -> Value {
    let mut config = config.clone();
    config["bcslog"] = json!({"dir": "logs", "alsotostderr": true, "v": 3});
    config
}

/// A service with a config. Its first port is that of HTTP.
pub fn spec(config: &Value) -> ServiceSpec {
    ServiceSpec::new("bcs-cluster-manager").config(&logged(config)).ports(&["httpport", "port", "metricport"])
}

/// Starts a service with a config.
pub async fn start(config: &Value) -> Service {
    spec(config).start().await
}

/// The config key `mongo` for a database of this server.
pub fn mongo(server: &MongoDb) -> Value {
    json!({"address": server.hosts(), "database": "clustermanager"})
}

/// A config with TLS in both directions.
pub fn with_tls(certs: &Certs) -> Value {
    json!({
        "serverca": certs.ca(), "servercert": certs.server_cert(), "serverkey": certs.server_key(),
        "clientca": certs.ca(), "clientcert": certs.client_cert(), "clientkey": certs.client_key()
    })
}

/// The ports of a service as clients of gRPC name them.
pub fn grpc_target(service: &Service) -> String {
    format!("127.0.0.1:{}", service.port("port"))
}

/// A call of REST; its JSON.
pub async fn call(client: &Client, method: Method, path: &str, body: &Value) -> Value {
    let body = (!body.is_null()).then_some(body);
    let response = client.send(method, &format!("/clustermanager/v1/{path}"), body).await.unwrap();
    assert_eq!(response.status.as_u16(), 200, "{path}: {}", response.text());
    response.json()
}

/// A cluster that may be created.
pub fn cluster() -> Value {
    json!({
        "clusterName": "c1", "provider": "local", "region": "r1", "projectID": "p1", "businessID": "100",
        "environment": "prod", "engineType": "k8s", "isExclusive": true, "clusterType": "single",
        "labels": {"app.kubernetes.io/name": "x", "": "y"}, "operators": ["op1"]
    })
}

/// The stand-in of several API servers.
pub struct FakeKube {
    _daemon: Daemon,
    port: Port,
}

impl FakeKube {
    /// Starts it without TLS.
    pub async fn start() -> Self {
        let port = Port::claim();
        let tool = tool("fake_kube.py");
        let number = port.number().to_string();
        let make = move |dir: &Path| {
            let mut kube = command(python(), dir);
            kube.arg("-B").arg(&tool).args(["--port", &number]);
            kube
        };
        let daemon = Daemon::start("fake_kube.py", WorkDir::new("kube"), port.address(), Ready::Listens, make).await;
        Self { _daemon: daemon, port }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }
}

/// A tool of the repository.
pub fn tool(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tools").join(name)
}

/// An agent as a process of its own.
pub struct PythonAgent {
    _process: Process,
    _dir: WorkDir,
}

impl PythonAgent {
    /// Dials the HTTP port of `service` for a cluster whose API server is at `target`, and waits for the session.
    pub async fn start(service: &Service, cluster: &str, target: SocketAddr) -> Self {
        Self::start_with(service, cluster, target, &[]).await
    }

    /// The same with more arguments of `tunnel_agent.py`.
    pub async fn start_with(service: &Service, cluster: &str, target: SocketAddr, args: &[&str]) -> Self {
        let dir = WorkDir::new("agent");
        let ready = dir.path().join("ready");
        let url = format!("ws://127.0.0.1:{}/clustermanager/v1/websocket/connect", service.port("httpport"));
        let mut agent = command(python(), dir.path());
        agent.arg("-B").arg(tool("tunnel_agent.py"));
        agent.args(["--url", &url, "--cluster-id", cluster, "--target", &target.to_string(), "--token", "t"]);
        agent.args(["--user-token", "agent-user-token", "--ready-file"]).arg(&ready).args(args);
        let process = Process::spawn("tunnel_agent.py", agent, dir.path());
        eventually("the agent has its session", SOON, async || ready.exists()).await;
        Self { _process: process, _dir: dir }
    }
}

/// What the proxy of a cluster answers to GET.
pub async fn proxied(service: &Service, cluster: &str, path: &str) -> Response {
    let client = Client::new(&format!("http://127.0.0.1:{}", service.port("httpport")));
    client.get(&format!("/clustermanager/clusters/{cluster}{path}")).await.unwrap()
}
