//! Replays the recorded conversations of bcs-storage, on its embedded store and on MongoDB with ZooKeeper.

use bcs_integration_tests::golden::Replay;
use bcs_integration_tests::servers::mongodb::MongoDb;
use bcs_integration_tests::servers::zookeeper::ZooKeeper;
use bcs_integration_tests::service::ServiceSpec;
use serde_json::json;

/// Steps in all conversations together: a replay that finds fewer has lost some.
const STEPS: usize = 436;

#[tokio::test]
async fn the_embedded_store_answers_as_recorded() {
    let mut storage =
        ServiceSpec::new("bcs-storage").ports(&["port", "metric_port"]).config(&json!({})).start().await;
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
    assert_eq!(Replay::new(&storage.url()).conversation("storage").run().await, STEPS);
    storage.stop().await;
}
