//! Two instances that find each other in ZooKeeper: agents that dial one of them are there for clients of both.

use bcs_integration_tests::certs::Certs;
use bcs_integration_tests::http::Response;
use bcs_integration_tests::kube::Kube;
use bcs_integration_tests::servers::mariadb::MariaDb;
use bcs_integration_tests::servers::zookeeper::ZooKeeper;
use bcs_integration_tests::service::Service;
use bcs_integration_tests::tunnel_agent::{Agent, AgentOptions};
use bcs_integration_tests::wait::eventually;
use http::{Method, Request};
use http_body_util::Full;
use serde_json::{Value, json};

use crate::backend::Backend;
use crate::harness::{ADMIN, Registrar, SOON, spec};
use crate::users::Api;

struct World {
    zookeeper: ZooKeeper,
    mariadb: MariaDb,
    dsn: String,
    certs: Certs,
}

impl World {
    async fn new() -> Self {
        let (zookeeper, mariadb) = (ZooKeeper::start().await, MariaDb::start().await);
        let dsn = mariadb.create_database("bke").await;
        Self { zookeeper, mariadb, dsn, certs: Certs::generate() }
    }

    /// An instance that asks who dials it for a certificate, and its peers do.
    async fn instance(&self) -> Service {
        let mut keys = json!({
            "bcs_zookeeper": self.zookeeper.address().to_string(),
            "ca_file": self.certs.ca(),
            "server_cert_file": self.certs.server_cert(),
            "server_key_file": self.certs.server_key(),
            "client_cert_file": self.certs.client_cert(),
            "client_key_file": self.certs.client_key(),
            "verify_client_tls": true,
        });
        keys["bke"] = crate::harness::config(&json!({}))["bke"].clone();
        keys["bke"]["mysql_dsn"] = json!(self.dsn);
        spec(&keys).start().await
    }

    /// Whether the database knows the agent with a key.
    async fn has_row(&self, key: &str) -> bool {
        let sql = format!("SELECT COUNT(*) FROM bke.ws_cluster_credentials WHERE server_key='{key}'");
        self.mariadb.query(&sql).await.trim() == "1"
    }
}

/// A new cluster: its BKE id, its identifier, its register token.
async fn cluster(api: &Api, id: &str) -> (String, String, String) {
    let body = json!({"id": id, "project_id": "p"});
    let made = api.data(Method::POST, "/clusters/bcs", &body).await;
    let path = format!("/clusters/{}/register_tokens", made["id"].as_str().unwrap());
    let tokens = api.data(Method::POST, &path, &Value::Null).await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&made["id"]), text(&made["identifier"]), text(&tokens[0]["token"]))
}

/// An agent of `service` that has not dialled yet.
fn agent(service: &Service, module: &str, cluster: &str, token: &str, address: String) -> AgentOptions {
    AgentOptions {
        path: "/bcsapi/v1/websocket/connect".into(),
        module: module.into(),
        token: token.into(),
        ..AgentOptions::new(format!("127.0.0.1:{}", service.port("insecure_port")), cluster, address)
    }
}

async fn get(service: &Service, path: &str, cluster: &str) -> Response {
    let request = Request::builder().method(Method::GET).uri(path).header("BCS-ClusterID", cluster);
    let request = request.header("authorization", format!("Bearer {ADMIN}"));
    service.client().request(request.body(Full::default()).unwrap()).await.unwrap()
}

async fn until(what: &str, service: &Service, path: &str, cluster: &str, fits: impl Fn(&Response) -> bool) {
    eventually(what, SOON, async || fits(&get(service, path, cluster).await)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_of_one_instance_serve_clients_of_the_other() {
    let world = World::new().await;
    let (one, mut two) = (world.instance().await, world.instance().await);
    let registrar = Registrar::new(&world.zookeeper.address().to_string());
    assert_eq!(registrar.nodes("apiserver", 2).await.len(), 2);
    let api = Api::admin(&one);
    let kube = Kube::start_tls(&world.certs).await;
    let ca = std::fs::read_to_string(world.certs.ca()).unwrap();

    // Agents of both ages, for clusters of their own.
    for (module, id) in [("kube-agent", "BCS-K8S-1"), ("kubeagent", "BCS-K8S-2")] {
        let (cluster, identifier, token) = cluster(&api, id).await;
        let options = agent(&one, module, &cluster, &token, kube.url());
        let dialled = Agent::start(AgentOptions { ca: ca.clone(), ..options }).await.unwrap();
        assert!(world.has_row(&cluster).await);
        let path = format!("/tunnels/clusters/{identifier}/echo/x?y=1");
        until("the other instance reaches the cluster", &two, &path, "", |answer| answer.status == 200).await;
        for service in [&one, &two] {
            let seen = get(service, &path, "").await.json();
            assert_eq!((&seen["path"], &seen["query"]), (&json!("/echo/x"), &json!("y=1")), "{module}");
            assert_eq!(seen["headers"]["authorization"], "Bearer agent-user-token");
        }
        let size = get(&two, &format!("/tunnels/clusters/{identifier}/size/3000000"), "").await;
        assert_eq!((size.status.as_u16(), size.body.len()), (200, 3_000_000));
        dialled.stop().await;
        until("the agent has gone", &two, &path, "", |answer| answer.status == 500).await;
        eventually("its row is deleted", SOON, async || !world.has_row(&cluster).await).await;
    }

    let driver = Backend::start().await;
    for (module, id) in [("mesos-driver", "BCS-MESOS-1"), ("mesosdriver", "BCS-MESOS-2"), ("k8s-driver", "BCS-K8S-3")] {
        let (_, _, token) = cluster(&api, id).await;
        let address = format!("http://{}", driver.address());
        let dialled = Agent::start(agent(&one, module, id, &token, address)).await.unwrap();
        let path = if module == "k8s-driver" { "/bcsapi/v4/scheduler/k8s/v" } else { "/bcsapi/v4/scheduler/mesos/v" };
        until("the driver is reached", &two, path, id, |answer| answer.json()["code"] == 0).await;
        dialled.stop().await;
        until("the driver has gone", &two, path, id, |answer| answer.json()["code"] != 0).await;
    }
    assert!(driver.heads().iter().all(|head| head.contains(&driver.address().to_string())));

    // Two agents of one cluster: the end of one is not the end of the other, wherever they are.
    let (cluster, identifier, token) = cluster(&api, "BCS-K8S-4").await;
    let dial = async |service: &Service| {
        let options = agent(service, "kubeagent", &cluster, &token, kube.url());
        Agent::start(AgentOptions { ca: ca.clone(), ..options }).await.unwrap()
    };
    let (first, second) = (dial(&one).await, dial(&two).await);
    let path = format!("/tunnels/clusters/{identifier}/echo");
    for service in [&one, &two] {
        until("the cluster is reached", service, &path, "", |answer| answer.status == 200).await;
    }
    second.stop().await;
    for service in [&one, &two] {
        until("the other agent is used", service, &path, "", |answer| answer.status == 200).await;
        assert!(world.has_row(&cluster).await);
    }

    // An instance that is killed leaves the other one as it is; it is dialled again when it is back.
    two.daemon().kill();
    assert_eq!(get(&one, &path, "").await.status, 200);
    two.daemon().start_again().await;
    until("the cluster is reached again", &two, &path, "", |answer| answer.status == 200).await;
    first.stop().await;
    until("no agent is left", &two, &path, "", |answer| answer.status == 500).await;
    eventually("no row is left", SOON, async || !world.has_row(&cluster).await).await;
}
