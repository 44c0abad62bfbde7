//! etcd: the registration, the lock, and replicas that find each other.

use std::time::Duration;

use bcs_integration_tests::certs::Certs;
use bcs_integration_tests::http::{Client, tls_config};
use bcs_integration_tests::kube::Kube;
use bcs_integration_tests::servers::etcd::Etcd;
use bcs_integration_tests::servers::mongodb::MongoDb;
use bcs_integration_tests::service::Service;
use bcs_integration_tests::tunnel_agent::{Agent, AgentOptions};
use bcs_integration_tests::wait::{LOAD, eventually_some};
use http::Method;
use serde_json::{Value, json};

use crate::support::{FakeKube, PythonAgent, SOON, call, mongo, proxied, start, with_tls};

const PREFIX: &str = "/micro/registry/clustermanager.bkbcs.tencent.com/clustermanager.bkbcs.tencent.com-";

async fn registered(etcd: &Etcd, count: usize) -> Vec<(String, Value)> {
    eventually_some("the service is registered", SOON, async || {
        let keys = etcd.keys("/micro/registry/clustermanager.").await;
        (keys.len() == count)
            .then(|| keys.into_iter().map(|(key, value)| (key, serde_json::from_str(&value).unwrap())).collect())
    })
    .await
}

#[tokio::test]
async fn the_key_is_that_of_go_micro_and_goes_with_the_service() {
    let etcd = Etcd::start().await;
    let config = json!({"etcd": {"endpoints": format!("http://{}", etcd.address())}});
    let mut service = start(&config).await;
    let keys = registered(&etcd, 1).await;
    let (key, value) = &keys[0];
    assert!(key.starts_with(PREFIX) && key.len() == PREFIX.len() + 36, "{key}");
    let node = &value["nodes"][0];
    assert_eq!(node["address"], format!("127.0.0.1:{}", service.port("port")));
    assert_eq!(node["id"], key.rsplit('/').next().unwrap());
    let metadata = json!({
        "broker": "http", "httpport": service.port("httpport").to_string(), "protocol": "grpc", "registry": "etcd",
        "server": "grpc", "transport": "grpc"
    });
    assert_eq!((&node["metadata"], &value["metadata"]), (&metadata, &Value::Null));
    assert_eq!(value["endpoints"].as_array().unwrap().len(), 22);
    assert!(service.stop().await < Duration::from_secs(5) + LOAD);
    registered(&etcd, 0).await;
}

#[tokio::test]
async fn without_etcd_it_serves_and_cidrs_say_why_not() {
    let mut etcd = Etcd::start().await;
    let config = json!({"etcd": {"endpoints": etcd.address().to_string()}});
    etcd.daemon().kill();
    let mut service = start(&config).await;
    let client = service.client();
    assert_eq!(call(&client, Method::GET, "cluster", &Value::Null).await["code"], "0");
    let apply = json!({"vpc": "v", "cluster": "c", "ip_number": 1});
    let answer = client.post("/clustermanager/v1/tke/cidr/apply_cidr", &apply).await.unwrap();
    assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (400, &json!(1_405_402)));
    assert!(answer.text().contains("lock.bkbcs.tencent.com"), "{}", answer.text());
    // That it registers once etcd is there is tested where the registry is, in bcs-common.
    assert!(service.stop().await < Duration::from_secs(5) + LOAD);
}

#[tokio::test]
async fn replicas_exclude_each_other_and_reach_each_others_agents() {
    let (etcd, server, kube) = tokio::join!(Etcd::start(), MongoDb::start(), FakeKube::start());
    let config = json!({
        "etcd": {"endpoints": etcd.address().to_string()}, "mongo": mongo(&server), "tunnel": {"peertoken": "secret"}
    });
    let (one, two) = tokio::join!(start(&config), start(&config));
    registered(&etcd, 2).await;

    let entries: Vec<Value> = (0..16).map(|n| json!({"cidr": format!("10.1.{n}.0/24"), "ip_number": 256})).collect();
    let add = json!({"vpc": "v", "tke_cidrs": entries});
    one.client().post("/clustermanager/v1/tke/cidr/add_cidr", &add).await.unwrap();
    let apply = json!({"vpc": "v", "cluster": "c", "ip_number": 256});
    let clients = [one.client(), two.client()];
    let calls = (0..16).map(|n| clients[n % 2].post("/clustermanager/v1/tke/cidr/apply_cidr", &apply));
    let answers = futures::future::join_all(calls).await.into_iter().map(|answer| answer.unwrap().json());
    let mut given: Vec<String> = answers.filter_map(|it| Some(it["data"]["cidr"].as_str()?.to_owned())).collect();
    given.sort();
    given.dedup();
    assert_eq!(given.len(), 16);
    assert!(etcd.keys("/lock.bkbcs.tencent.com/").await.is_empty(), "every lock is released");

    let _agent = PythonAgent::start(&one, "BCS-K8S-1", kube.address()).await;
    let answer = eventually_some("the other replica reaches the agent", SOON, async || {
        let answer = proxied(&two, "BCS-K8S-1", "/echo/x?y=1").await;
        (answer.status.as_u16() == 200).then_some(answer)
    })
    .await;
    assert_eq!(answer.json()["path"], "/echo/x");
    assert_eq!(proxied(&one, "BCS-K8S-1", "/size/100000").await.body.len(), 100_000);
    assert_eq!(proxied(&two, "BCS-K8S-1", "/size/100000").await.body.len(), 100_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_with_tls_reach_each_others_agents() {
    let certs = Certs::generate();
    let (etcd, server, kube) = tokio::join!(Etcd::start(), MongoDb::start(), Kube::start_tls(&certs));
    let mut config = with_tls(&certs);
    config["etcd"] = json!({"endpoints": etcd.address().to_string()});
    config["mongo"] = mongo(&server);
    config["tunnel"] = json!({"peertoken": "secret"});
    let (one, two) = tokio::join!(start(&config), start(&config));
    let options = AgentOptions {
        tls: Some(tls_config(&certs.ca(), Some(&certs))),
        ca: std::fs::read_to_string(certs.ca()).unwrap(),
        ..AgentOptions::new(format!("127.0.0.1:{}", one.port("httpport")), "BCS-K8S-1", kube.url())
    };
    let _agent = Agent::start(options).await.unwrap();
    let client = |service: &Service| Client::with_tls(&service.https_url(), &certs);
    let (near, far) = (client(&one), client(&two));
    let path = "/clustermanager/clusters/BCS-K8S-1";
    assert_eq!(near.get(&format!("{path}/size/100000")).await.unwrap().body.len(), 100_000);
    let answer = eventually_some("the other replica reaches the agent", SOON, async || {
        let answer = far.get(&format!("{path}/echo/x?y=1")).await.unwrap();
        (answer.status.as_u16() == 200).then_some(answer)
    })
    .await;
    assert_eq!(answer.json()["headers"]["authorization"], "Bearer agent-user-token");
    assert_eq!(far.get(&format!("{path}/size/100000")).await.unwrap().body.len(), 100_000);
    // Nobody gets in without a certificate, not even with the token.
    let stranger = Client::with_tls_anonymous(&one.https_url(), &certs);
    stranger.get("/clustermanager/v1/websocket/connect").await.unwrap_err();
}
