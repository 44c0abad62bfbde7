//! bcs-storage as a process: how it starts, registers, loses and finds its database, and stops.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests: a panic is a failed test")]

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bcs_integration_tests::certs::Certs;
use bcs_integration_tests::http::Client;
use bcs_integration_tests::servers::etcd::Etcd;
use bcs_integration_tests::servers::mongodb::MongoDb;
use bcs_integration_tests::servers::zookeeper::ZooKeeper;
use bcs_integration_tests::service::{Service, ServiceSpec};
use bcs_integration_tests::wait::{LOAD, eventually, eventually_some};
use http::Method;
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(60);
const PODS: &str = "/bcsstorage/v1/k8s/dynamic/namespace_resources/clusters/c/namespaces/ns/Pod";
const WATCH: &str = "/bcsstorage/v1/dynamic/watch/c/Pod";

fn spec(config: &Value) -> ServiceSpec {
    ServiceSpec::new("bcs-storage").ports(&["port", "metric_port"]).config(config)
}

fn put_ok() -> Value {
    json!({ "result": true, "code": 0, "message": "success", "data": {} })
}

async fn put(client: &Client, name: &str) -> Value {
    client.put(&format!("{PODS}/{name}"), &json!({ "data": { "name": name } })).await.unwrap().json()
}

#[tokio::test]
async fn a_stop_is_quick_and_ends_the_streams() {
    let mut storage = spec(&json!({})).start().await;
    let client = storage.client();
    let mut watch = client.stream(Method::POST, WATCH, Some(&json!({}))).await.unwrap();
    assert_eq!(put(&client, "p").await, put_ok());
    let event = watch.next(SOON).await.unwrap().unwrap();
    assert_eq!((&event["type"], &event["value"]["resourceName"]), (&json!(1), &json!("p")));
    let took = storage.stop().await;
    assert!(took < Duration::from_secs(3) + LOAD, "{took:?}");
    assert_eq!(watch.next(SOON).await.unwrap(), Some(json!({ "type": -1, "value": null })));
    assert_eq!(watch.next(SOON).await.unwrap(), None);
    storage.daemon().start_again().await;
    let list = storage.client().get(&format!("{PODS}?field=resourceName")).await.unwrap().json();
    assert_eq!(list["data"][0]["resourceName"], "p", "{list}");
}

#[tokio::test]
async fn metrics_and_readiness_have_a_port_of_their_own() {
    let storage = spec(&json!({})).start().await;
    put(&storage.client(), "p").await;
    let metrics = storage.metrics().await;
    let text = metrics.get("/metrics").await.unwrap().text();
    let handler = "/bcsstorage/v1/k8s/dynamic/namespace_resources/clusters/{clusterId}/namespaces/{namespace}/{resourceType}/{resourceName}";
    let line = format!(r#"bkbcs_storage_api_request_total_num{{handler="{handler}",method="PUT",status="2xx"}} 1"#);
    assert!(text.contains(&line), "{text}");
    assert!(text.contains("process_resident_memory_bytes"), "{text}");
    eventually("readiness", SOON, async || metrics.get("/readyz").await.unwrap().status == 200).await;
}

#[tokio::test]
async fn a_named_database_file_must_be_there() {
    let output = spec(&json!({ "database_config_file": "none.conf" })).output().await;
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains("database_config_file: open none.conf: no such file or directory"), "{output:?}");
}

#[tokio::test]
async fn a_taken_port_ends_it() {
    let storage = spec(&json!({})).start().await;
    let port = storage.port("port");
    let output = ServiceSpec::new("bcs-storage").config(&json!({ "port": port })).output().await;
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains(&format!("cannot listen on 127.0.0.1:{port}")), "{output:?}");
}

#[tokio::test]
async fn a_database_that_is_away_is_an_error_in_time_and_comes_back() {
    let mut mongo = MongoDb::start_own().await;
    mongo.daemon().stop().await;
    let section = format!("[mongodb/dynamic]\nAddr = {}\nConnectTimeout = 1\nDatabase = dynamic\n", mongo.address());
    let mut storage = spec(&json!({ "database_config_file": "db.conf" })).file("db.conf", section).start().await;
    let client = storage.client();
    let started = Instant::now();
    let answer = put(&client, "p").await;
    assert_eq!(answer["code"], 1_405_082, "{answer}");
    let list = client.get(PODS).await.unwrap().json();
    assert_eq!((&list["code"], &list["data"]), (&json!(1_405_085), &json!([])), "{list}");
    assert!(started.elapsed() < Duration::from_secs(5) + LOAD, "{:?}", started.elapsed());
    // Sections that are missing only fail their own routes.
    let events = client.get("/bcsstorage/v1/events").await.unwrap().json();
    assert_eq!((&events["code"], &events["total"]), (&json!(1_405_085), &json!(0)));
    mongo.daemon().start_again().await;
    eventually("the database is found", SOON, async || put(&client, "p").await == put_ok()).await;
    let list = client.get(PODS).await.unwrap().json();
    assert_eq!(list["data"][0]["data"], json!({ "name": "p" }), "{list}");
    storage.stop().await;
}

#[tokio::test]
async fn it_registers_and_takes_that_back() {
    let (etcd, zookeeper) = (Etcd::start_tls().await, ZooKeeper::start().await);
    let certs = etcd.certs().unwrap();
    let mut storage = spec(&json!({
        "bcs_zookeeper": zookeeper.address().to_string(),
        "etcdRegistry": {
            "etcd_feature": true,
            "etcd_address": etcd.address().to_string(),
            "etcd_ca": certs.ca(),
            "etcd_cert": certs.client_cert(),
            "etcd_key": certs.client_key(),
        },
    }))
    .start()
    .await;
    let port = storage.port("port");
    let keys = Client::with_tls(&format!("https://localhost:{}", etcd.address().port()), certs);
    let node = eventually_some("the etcd key", SOON, async || etcd_nodes(&keys).await.pop()).await;
    let uuid = node["nodes"][0]["metadata"]["UUID"].as_str().unwrap().to_owned();
    assert_eq!(node["name"], "storage.bkbcs.tencent.com");
    assert_eq!(
        node["nodes"],
        json!([{
            "id": format!("storage.bkbcs.tencent.com-{uuid}"),
            "address": format!("127.0.0.1:{port}"),
            "metadata": { "UUID": uuid },
        }])
    );
    let nodes = zookeeper_client::Client::connect(&zookeeper.address().to_string()).await.unwrap();
    nodes.auth("digest", b"bcsce:bcsce@community2019").await.unwrap();
    let parent = "/bcs/services/endpoints/storage";
    let name = eventually_some("the node", SOON, async || nodes.list_children(parent).await.ok()?.pop()).await;
    assert!(name.starts_with("_c_") && name.contains("-127.0.0.1"), "{name}");
    let (data, _) = nodes.get_data(&format!("{parent}/{name}")).await.unwrap();
    let info: Value = serde_json::from_slice(&data).unwrap();
    assert_eq!((&info["ip"], &info["port"], &info["scheme"]), (&json!("127.0.0.1"), &json!(port), &json!("http")));
    assert_eq!(info["metric_port"], storage.port("metric_port"));
    storage.stop().await;
    assert_eq!(etcd_nodes(&keys).await, Vec::<Value>::new());
    assert_eq!(nodes.list_children(parent).await.unwrap(), Vec::<String>::new());
}

/// The registrations in etcd.
async fn etcd_nodes(client: &Client) -> Vec<Value> {
    let (first, last) = (STANDARD.encode("/micro/registry/storage"), STANDARD.encode("/micro/registry/storagf"));
    let found = client.post("/v3/kv/range", &json!({ "key": first, "range_end": last })).await.unwrap().json();
    let pairs = found["kvs"].as_array().cloned().unwrap_or_default();
    let value = |pair: &Value| STANDARD.decode(pair["value"].as_str().unwrap()).unwrap();
    pairs.iter().map(|pair| serde_json::from_slice(&value(pair)).unwrap()).collect()
}

#[tokio::test]
async fn with_a_ca_only_certificates_of_it_get_in() {
    let (certs, strangers) = (Certs::generate(), Certs::generate());
    let config = json!({
        "ca_file": certs.ca(), "server_cert_file": certs.server_cert(), "server_key_file": certs.server_key(),
    });
    let storage: Service = spec(&config).start().await;
    let client = Client::with_tls(&storage.https_url(), &certs);
    assert_eq!(put(&client, "p").await, put_ok());
    assert!(Client::with_tls(&storage.https_url(), &strangers).get(PODS).await.is_err());
    let plain = storage.client().get(PODS).await.unwrap();
    assert_eq!(plain.status, 400);
    assert_eq!(plain.text(), "Client sent an HTTP request to an HTTPS server.\n");
}
