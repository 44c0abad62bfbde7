//! bcs-storage keeps watch resources in ZooKeeper (storage.md 8.5) and registers there (common.md 3).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests: a panic is a failed test"
)]

use std::time::{Duration, Instant};

use bcs_integration_tests::golden::Replay;
use bcs_integration_tests::http::Client;
use bcs_integration_tests::servers::zookeeper::ZooKeeper;
use bcs_integration_tests::service::ServiceSpec;
use bcs_integration_tests::storage::storage;
use bcs_integration_tests::wait::{LOAD, eventually, eventually_some};
use http::Method;
use serde_json::{Value, json};
use zookeeper_client::{Acl, Acls, AuthId, CreateMode, Permission};

const SOON: Duration = Duration::from_secs(60);

/// Credentials of the community edition, and the only ones that any node is for.
const AUTH: (&str, &[u8]) = ("digest", b"bcsce:bcsce@community2019");
const OWNER: &str = "bcsce:n6AK5IylGI53+8xs1i567hzCPeg=";

/// The session timeout in seconds, and the limit of an operation.
const TIMEOUT: u64 = 2;

const NODES: &str = "/bcsstorage/v1/k8s/watch/clusters/BCS-ZK/namespaces/ns/exportservice";

/// bcs-storage whose watch resources are in this ZooKeeper; it has no other store.
fn spec(zookeeper: &ZooKeeper) -> ServiceSpec {
    let section =
        format!("[zk/watch]\nAddr = {}\nConnectTimeout = {TIMEOUT}\nDatabase = etc/cluster\n", zookeeper.address());
    storage(&json!({"database_config_file": "databases.conf"})).file("databases.conf", section)
}

async fn owner(zookeeper: &ZooKeeper) -> zookeeper_client::Client {
    let client = zookeeper_client::Client::connect(&zookeeper.address().to_string()).await.unwrap();
    client.auth(AUTH.0, AUTH.1).await.unwrap();
    client
}

async fn assert_owned(client: &zookeeper_client::Client, path: &str) {
    let (acl, _) = client.get_acl(path).await.unwrap();
    assert_eq!(acl, [Acl::new(Permission::ALL, AuthId::new("digest", OWNER))], "{path}");
}

#[tokio::test]
async fn watch_resources_answer_as_recorded_and_are_nodes_of_the_original() {
    let zookeeper = ZooKeeper::start().await;
    let mut service = spec(&zookeeper).start().await;
    let steps = Replay::new(&service.url()).conversation("storage/12-zk-watch-resources.json").run().await;
    let recording: Value = serde_json::from_str(include_str!("../golden/storage/12-zk-watch-resources.json")).unwrap();
    assert_eq!(steps, recording["steps"].as_array().unwrap().len());

    let client = service.client();
    let data = json!({"data": {"name": "svc", "port": 80, "nested": {"$a.b": [1.5]}}});
    assert_eq!(client.put(&format!("{NODES}/svc"), &data).await.unwrap().json()["code"], 0);
    let nodes = owner(&zookeeper).await;
    let path = "/etc/cluster/k8s/BCS-ZK/exportservice/ns.svc";
    let (stored, stat) = nodes.get_data(path).await.unwrap();
    let mut stored: Value = serde_json::from_slice(&stored).unwrap();
    assert!(stored["updateTime"].is_string(), "{stored}");
    stored.as_object_mut().unwrap().remove("updateTime");
    assert_eq!((stored, stat.ephemeral_owner), (data["data"].clone(), 0));
    for path in [path, "/etc/cluster/k8s/BCS-ZK/exportservice", "/etc/cluster", "/etc"] {
        assert_owned(&nodes, path).await;
    }
    assert_eq!(nodes.get_data("/etc/cluster/k8s").await.unwrap().0, b"");
    let stranger = zookeeper_client::Client::connect(&zookeeper.address().to_string()).await.unwrap();
    assert!(stranger.get_data(path).await.is_err());

    assert_eq!(client.delete(&format!("{NODES}/svc")).await.unwrap().json()["code"], 0);
    assert!(nodes.check_stat(path).await.unwrap().is_none());
    service.stop().await;
}

/// The codes of PUT, GET, list and DELETE, asked for at once.
async fn codes(client: &Client) -> [u64; 4] {
    let one = format!("{NODES}/down");
    let body = json!({"data": {"a": 1}});
    let ask = async |method: Method, path: &str| {
        let body = (method == Method::PUT).then_some(&body);
        client.send(method, path, body).await.unwrap().json()["code"].as_u64().unwrap()
    };
    let (put, get, list, delete) = tokio::join!(
        ask(Method::PUT, &one),
        ask(Method::GET, &one),
        ask(Method::GET, NODES),
        ask(Method::DELETE, &one),
    );
    [put, get, list, delete]
}

#[tokio::test]
async fn a_zookeeper_that_comes_late_or_goes_is_answered_for() {
    let mut zookeeper = ZooKeeper::start().await;
    zookeeper.daemon().kill();
    let mut service = spec(&zookeeper).start().await;
    let client = service.client();
    for round in 0..2 {
        let start = Instant::now();
        assert_eq!(codes(&client).await, [1_405_080, 1_405_083, 1_405_085, 1_405_084]);
        assert!(start.elapsed() < Duration::from_secs(TIMEOUT) + LOAD, "{:?}", start.elapsed());

        zookeeper.daemon().start_again().await;
        let path = format!("{NODES}/r{round}");
        let put = async || client.put(&path, &json!({"data": {}})).await.unwrap().json()["code"] == 0;
        eventually("ZooKeeper is found", SOON, put).await;
        let names: Vec<_> = (0..=round).map(|round| format!("ns.r{round}")).collect();
        let mut list = client.get(NODES).await.unwrap().json()["data"].as_array().unwrap().clone();
        list.sort_by_key(Value::to_string);
        assert_eq!(list, names);
        zookeeper.daemon().kill();
    }
    assert!(service.daemon().process().exit_status().is_none());
    service.stop().await;
}

#[tokio::test]
async fn its_registration_is_that_of_the_original_and_lasts_as_long_as_it_does() {
    const PARENT: &str = "/bcs/services/endpoints/storage";
    let mut zookeeper = ZooKeeper::start().await;
    // Nobody is there at first; the service starts all the same.
    zookeeper.daemon().kill();
    let config =
        json!({"bcs_zookeeper": zookeeper.address().to_string(), "external_ip": "127.0.0.2", "external_port": 8});
    let mut service = storage(&config).start().await;
    assert_eq!(service.client().get("/bcsstorage/v1/events").await.unwrap().json()["code"], 0);
    zookeeper.daemon().start_again().await;

    let nodes = owner(&zookeeper).await;
    let name = eventually_some("the node", SOON, async || nodes.list_children(PARENT).await.ok()?.pop()).await;
    let (id, rest) = name.strip_prefix("_c_").unwrap().split_once('-').unwrap();
    assert!(id.len() == 32 && id.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')), "{name}");
    let sequence = rest.strip_prefix("127.0.0.1").unwrap();
    assert!(sequence.len() == 10 && sequence.chars().all(|c| c.is_ascii_digit()), "{name}");
    let path = format!("{PARENT}/{name}");
    let (data, stat) = nodes.get_data(&path).await.unwrap();
    assert_ne!(stat.ephemeral_owner, 0);
    let version =
        "Version  :17.03.28\\nTag      :2017-03-28 Release\\nBuildTime:  2017-03-28 19:50:00\\nGitHash:  unknown\\n";
    let (port, metric_port) = (service.port("port"), service.port("metric_port"));
    let pid = service.daemon().process().id();
    assert_eq!(
        String::from_utf8(data).unwrap(),
        format!(
            r#"{{"ip":"127.0.0.1","ipv6":"","port":{port},"grpc_port":0,"metric_port":{metric_port},"hostname":"","scheme":"http","version":"{version}","cluster":"","pid":{pid},"external_ip":"127.0.0.2","external_ipv6":"","external_port":8}}"#
        )
    );
    for path in [&path, PARENT, "/bcs"] {
        assert_owned(&nodes, path).await;
    }
    service.stop().await;
    assert_eq!(nodes.list_children(PARENT).await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn an_old_registration_goes_only_after_the_new_one_is_there() {
    const PARENT: &str = "/bcs/services/endpoints/storage";
    let zookeeper = ZooKeeper::start().await;
    let service = storage(&json!({"bcs_zookeeper": zookeeper.address().to_string()})).start().await;
    let nodes = owner(&zookeeper).await;
    let name = eventually_some("the node", SOON, async || nodes.list_children(PARENT).await.ok()?.pop()).await;
    // As a session leaves it that is lost but has not ended yet.
    let old = format!("{PARENT}/{}9999999999", &name[..name.len() - 10]);
    nodes.create(&old, b"{}", &CreateMode::Persistent.with_acls(Acls::anyone_all())).await.unwrap();
    nodes.delete(&format!("{PARENT}/{name}"), None).await.unwrap();
    let new = eventually_some("a new node alone", SOON, async || {
        let mut names = nodes.list_children(PARENT).await.unwrap();
        names.retain(|found| *found != name);
        names.pop().filter(|found| names.is_empty() && !old.ends_with(found))
    })
    .await;
    // A reader that looks between the two finds one.
    let made = nodes.check_stat(&format!("{PARENT}/{new}")).await.unwrap().unwrap();
    let parent = nodes.check_stat(PARENT).await.unwrap().unwrap();
    assert!(parent.pzxid > made.czxid, "the old one went in {}, the new one came in {}", parent.pzxid, made.czxid);
    drop(service);
}
