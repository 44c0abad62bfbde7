//! Replays the recorded conversations of bcs-storage, on its embedded store and on MongoDB with ZooKeeper.

#![allow(clippy::unwrap_used, reason = "helpers of tests: a panic is a failed test")]

use std::path::Path;

use bcs_integration_tests::golden::Replay;
use bcs_integration_tests::servers::mongodb::{MongoDb, URI_VARIABLE};
use bcs_integration_tests::servers::zookeeper::ZooKeeper;
use bcs_integration_tests::service::ServiceSpec;
use serde_json::json;

/// Steps in all conversations together: a replay that finds fewer has lost some.
const STEPS: usize = 436;

/// Streams in which a soft deletion shows: the stand-in does not tell what an update changed, a real MongoDB does.
const NEED_REAL_MONGODB: [&str; 2] = ["08-dynamic-watch.json", "11-metrics.json"];

#[tokio::test]
async fn the_embedded_store_answers_as_recorded() {
    let mut storage = ServiceSpec::new("bcs-storage").ports(&["port", "metric_port"]).config(&json!({})).start().await;
    assert_eq!(Replay::new(&storage.url()).conversation("storage").run().await, STEPS);
    storage.stop().await;
}

#[tokio::test]
async fn mongodb_and_zookeeper_answer_as_recorded() {
    let (mongo, zookeeper) = (MongoDb::start().await, ZooKeeper::start().await);
    let mut databases = String::new();
    for section in ["dynamic", "event", "alarm", "metric", "host", "clusterConfig"] {
        let (hosts, database) = (mongo.hosts(), mongo.database(section));
        databases += &format!("[mongodb/{section}]\nAddr = {hosts}\nConnectTimeout = 3\nDatabase = {database}\n");
    }
    databases += &format!("[zk/watch]\nAddr = {}\nConnectTimeout = 10\nDatabase = etc/cluster\n", zookeeper.address());
    let mut storage = ServiceSpec::new("bcs-storage")
        .ports(&["port", "metric_port"])
        .file("databases.conf", databases)
        .config(&json!({ "database_config_file": "databases.conf" }))
        .start()
        .await;
    let mut replay = Replay::new(&storage.url());
    for file in conversations() {
        replay = replay.conversation(format!("storage/{file}"));
    }
    let passed = replay.run().await;
    assert!(passed > STEPS * 3 / 4, "{passed} of {STEPS} steps");
    storage.stop().await;
}

/// The files to replay on the MongoDB there is.
fn conversations() -> Vec<String> {
    let is_real = std::env::var_os(URI_VARIABLE).is_some();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/storage");
    let names = std::fs::read_dir(golden).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> =
        names.filter(|name| name.ends_with(".json") && (is_real || !NEED_REAL_MONGODB.contains(&&**name))).collect();
    names.sort();
    names
}
