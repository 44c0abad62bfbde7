//! Whole checks of files.

use std::net::TcpListener;
use std::path::Path;

use bcs_common::errors::chain;
use serde_json::json;

use super::*;

/// The report and the error of a check.
fn check(dir: &Path, service: ServiceName, config: &str, offline: bool) -> (String, Option<String>) {
    let file = dir.join("config.json");
    std::fs::write(&file, config).unwrap();
    let args = ConfigCheckArgs { file, service, offline };
    let mut stdout = Vec::new();
    let outcome = run(&args, &mut stdout);
    (String::from_utf8(stdout).unwrap(), outcome.err().map(|error| chain(&*error)))
}

#[test]
fn a_broken_file_is_named_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let (_, error) = check(dir.path(), ServiceName::Storage, "{\n\"port\": \"x\"}", true);
    let error = error.unwrap();
    assert!(error.contains("config.json:2: key \"port\""), "{error}");
    let (_, error) = check(dir.path(), ServiceName::UserManager, "{\"bootstrap_users\": [7]}", true);
    assert!(error.unwrap().contains("bootstrap_users"));
}

#[test]
fn an_embedded_service_with_free_ports_is_fine() {
    let dir = tempfile::tempdir().unwrap();
    let config = json!({"address": "127.0.0.1", "port": 0, "metric_port": 0, "data_dir": dir.path(), "metric_prot": 1});
    let (report, error) = check(dir.path(), ServiceName::Storage, &config.to_string(), false);
    assert_eq!(error, None, "{report}");
    assert!(report.contains("databases: embedded SQLite in "), "{report}");
    assert!(report.contains("did you mean \"metric_port\"?"), "{report}");
}

#[test]
fn what_cannot_work_is_said_and_secrets_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = json!({
        "insecure_address": "127.0.0.1", "insecure_port": taken.local_addr().unwrap().port(),
        "metric_port": 1, "address": "192.0.2.1", "server_cert_file": "/nowhere.pem", "server_key_file": "/nowhere.key",
        "mysql_dsn": format!("u:hunter2@tcp({free})/bcs"), "bcs_zookeeper": free.to_string(),
        "tke": {"secret_id": "hunter2"},
        "etcdRegistry": {"etcd_feature": true, "etcd_address": taken.local_addr().unwrap().to_string()},
    });
    let (report, error) = check(dir.path(), ServiceName::UserManager, &config.to_string(), false);
    for wanted in [
        "FAILED  server certificate: ",
        "/nowhere.pem",
        "FAILED  tke.secret_id: ",
        "warning plain API cannot listen on 127.0.0.1:",
        "FAILED  metrics cannot listen on 192.0.2.1:1 (metric_port): ",
        "FAILED  mysql_dsn: ",
        "FAILED  ZooKeeper of bcs_zookeeper: ",
        "ok      etcd of etcdRegistry.etcd_address: 127.0.0.1:",
    ] {
        assert!(report.contains(wanted), "{wanted} is not in\n{report}");
    }
    assert!(!report.contains("hunter2"), "{report}");
    assert!(error.unwrap().contains("of the checks above failed"));
}

#[test]
fn database_files_are_followed() {
    let dir = tempfile::tempdir().unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let databases = dir.path().join("db.conf");
    let text = format!("[mongodb/event]\nAddr = {free}\nPassword = hunter2\n[zk/watch]\nAddr = {free}\n[other]\n");
    std::fs::write(&databases, text).unwrap();
    let config = json!({"port": 0, "metric_port": 0, "database_config_file": databases, "queue_config_file": "/none"});
    let (report, error) = check(dir.path(), ServiceName::Storage, &config.to_string(), false);
    for wanted in [
        "FAILED  [mongodb/event] Password: ",
        "FAILED  ZooKeeper of [zk/watch]: ",
        "warning section [other]",
        "FAILED  queue_config_file: /none: ",
    ] {
        assert!(report.contains(wanted), "{wanted} is not in\n{report}");
    }
    assert!(error.is_some());
}

#[test]
fn cluster_manager_has_keys_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = json!({
        "address": "127.0.0.1", "port": taken.local_addr().unwrap().port(), "httpport": free.port(), "metricport": 1,
        "servercert": "/nowhere.pem", "serverkey": "/nowhere.key", "clientca": "/n", "clientcert": "/nowhere.pem",
        "clientkey": "/n", "etcd": {"endpoints": taken.local_addr().unwrap().to_string(), "cert": "/n"},
        "mongo": {"address": free.to_string(), "database": "d"}, "metric_port": 7
    });
    let (report, error) = check(dir.path(), ServiceName::ClusterManager, &config.to_string(), false);
    for wanted in [
        "config.json: key \"metric_port\" is ignored",
        "warning tunnel.peertoken is the default",
        "warning no server certificate: serverca is not set",
        "FAILED  client certificate: ",
        "warning no client certificate for etcd: etcd.ca, etcd.key is not set",
        "ok      etcd of etcd.endpoints: 127.0.0.1:",
        "warning gRPC cannot listen on 127.0.0.1:",
        "ok      HTTP can listen on 127.0.0.1:",
        "FAILED  MongoDB of mongo.address: 127.0.0.1:",
    ] {
        assert!(report.contains(wanted), "{wanted} is not in\n{report}");
    }
    assert!(error.is_some());

    let embedded = json!({"data_dir": dir.path()}).to_string();
    let (report, error) = check(dir.path(), ServiceName::ClusterManager, &embedded, true);
    assert_eq!(error, None, "{report}");
    assert!(
        report.contains("databases: embedded SQLite in ") && report.contains("etcd.endpoints is empty"),
        "{report}"
    );
    let secret = json!({"mongo": {"database": "d", "password": "hunter2!"}}).to_string();
    let (report, error) = check(dir.path(), ServiceName::ClusterManager, &secret, true);
    assert!(report.contains("FAILED  key \"mongo.password\"") && !report.contains("hunter2"), "{report}");
    assert!(error.is_some());
    let (_, error) = check(dir.path(), ServiceName::ClusterManager, "{\"port\": [1]}", true);
    assert!(error.unwrap().contains("key \"port\": want a number"));
}
