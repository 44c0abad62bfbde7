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
    let text = format!(
        "[mongodb/event]\nAddr = {free}\nPassword = hunter2\n[mongodb/alarm]\nAddr = {free}\nConnectTimeout = soon\n\
         [zk/watch]\nAddr = {free}\n[mongodb/other]\n"
    );
    std::fs::write(&databases, text).unwrap();
    let config = json!({"port": 0, "metric_port": 0, "database_config_file": databases, "queue_config_file": "/none"});
    let (report, error) = check(dir.path(), ServiceName::Storage, &config.to_string(), false);
    for wanted in [
        "FAILED  [mongodb/event] Password: ",
        "FAILED  ZooKeeper of [zk/watch]: ",
        "FAILED  [mongodb/alarm] ConnectTimeout must be a number of seconds",
        "warning section [mongodb/other]",
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

/// The lines of a check that say what will not work.
fn failures(service: ServiceName, config: &serde_json::Value) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let (report, _) = check(dir.path(), service, &config.to_string(), false);
    report.lines().filter_map(|line| line.strip_prefix("FAILED  ")).map(str::to_owned).collect()
}

#[test]
fn what_the_services_refuse_at_their_start_is_found() {
    let none = json!({"port": 0, "metric_port": 0, "bcs_zookeeper": ""});
    let with = |key: &str, value: serde_json::Value| {
        let mut config = none.clone();
        config[key] = value;
        config
    };
    let users = json!([{"name": "a", "user_type": "admin", "token": "hunter2!"}]);
    let found = failures(ServiceName::UserManager, &with("bootstrap_users", users));
    assert_eq!(
        found,
        ["error decrypting token for user [a], key \"bootstrap_users[0].token\": the value is not base64"]
    );
    let found = failures(ServiceName::UserManager, &with("bootstrap_users", json!([{"name": "a", "user_type": "x"}])));
    assert!(found[0].contains("key \"bootstrap_users[0].user_type\"") && found.len() == 1, "{found:?}");
    let users = json!({"bootstrap_users": [{"name": "a", "tokens": ["hunter2!"]}]});
    let found = failures(ServiceName::Api, &with("bke", users));
    assert_eq!(found, ["token of user [a], key \"bke.bootstrap_users[0].tokens[0]\": the value is not base64"]);
    let found = failures(ServiceName::Api, &with("webconsole_allow", json!(["x"])));
    assert_eq!(found, ["key \"webconsole_allow\": \"x\" is no network of the form address/bits"]);
    for service in [ServiceName::Storage, ServiceName::UserManager, ServiceName::Api, ServiceName::ClusterManager] {
        let found =
            failures(service, &json!({"data_dir": "/dev/null/x", "bcs_zookeeper": "", "metric_port": 0, "port": 0}));
        assert!(found.iter().any(|line| line.ends_with("/dev/null is no directory")), "{found:?}");
    }
}

#[test]
fn asking_clients_for_certificates_needs_a_ca() {
    let dir = tempfile::tempdir().unwrap();
    let files = bcs_common::certs::generate(&[]).unwrap().write(dir.path(), false).unwrap();
    let mut config = json!({"bcs_zookeeper": "", "port": 0, "metric_port": 0, "verify_client_tls": true,
        "server_cert_file": files.server, "server_key_file": files.server_key});
    for service in [ServiceName::Api, ServiceName::UserManager] {
        config.as_object_mut().unwrap().remove("ca_file");
        assert_eq!(failures(service, &config), ["verify_client_tls is true, but ca_file is not set"]);
        config["ca_file"] = json!(files.ca);
        assert!(failures(service, &config).is_empty());
    }
}

#[test]
fn one_port_is_not_enough_for_two_listeners() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for address in ["127.0.0.1", ""] {
        let config = json!({"address": address, "port": free, "metric_port": free});
        let wanted = format!("metrics cannot listen on {address}:{free} (metric_port): API has this port (port)");
        assert_eq!(failures(ServiceName::Storage, &config), [wanted]);
    }
}

#[test]
fn a_queue_is_read_as_the_service_reads_it() {
    let dir = tempfile::tempdir().unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let queue = dir.path().join("queue.conf");
    let config = json!({"port": 0, "metric_port": 0, "queue_config_file": queue});
    let whole = queue_file(&format!("amqp://u:@{free}"));
    for (text, wanted) in [
        (whole.clone(), format!("FAILED  RabbitMQ of [queue]: {free}: Connection refused")),
        (
            whole.replace("u:@", "u:hunter2!@"),
            "FAILED  nothing is published: queue: the password in Address".to_owned(),
        ),
        (whole.replace("rabbitmq", "kafka"), "FAILED  nothing is published: queue: key QueueKind".to_owned()),
        (whole.replace("u:@", "u@"), "FAILED  nothing is published: queue: key Address".to_owned()),
        (queue_file(""), "warning QueueFlag is true, but [queue] has no Address".to_owned()),
        (whole.replace("QueueFlag = true", "QueueFlag = false"), "ok      no queue".to_owned()),
    ] {
        std::fs::write(&queue, text).unwrap();
        let (report, _) = check(dir.path(), ServiceName::Storage, &config.to_string(), false);
        assert!(report.contains(&wanted) && !report.contains("hunter2"), "{wanted} is not in\n{report}");
    }
}

/// The template of the charts with this address.
fn queue_file(address: &str) -> String {
    let template = include_str!("../../../../configs/bcs-storage/queue.conf.template");
    let filled = template.replace("${queueFlag}", "true").replace("${queueKind}", "rabbitmq");
    filled.replace("${queueAddress}", address).replace("${resource}", "Pod").replace("${queueClusterId}", "")
}
