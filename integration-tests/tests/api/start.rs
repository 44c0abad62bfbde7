//! The command line, and what keeps the service from starting.

use std::time::Duration;

use bcs_integration_tests::ports::Port;
use bcs_integration_tests::servers::zookeeper::ZooKeeper;
use bcs_integration_tests::service::ServiceSpec;
use bcs_integration_tests::wait::LOAD;
use serde_json::json;

use crate::backend::Backend;
use crate::harness::{ADMIN, Registrar, spec, until_status};

#[tokio::test]
async fn the_command_line() {
    let help = ServiceSpec::new("bcs-api").args(&["--help"]).output().await;
    assert_eq!(help.code, Some(0));
    for flag in
        ["--mysql-dsn", "--bkiam-auth-host", "--mesos-webconsole-proxy-port", "--webconsole-allow", "-f, --file"]
    {
        assert!(help.stderr.contains(flag), "{flag} is not in\n{}", help.stderr);
    }
    let version = ServiceSpec::new("bcs-api").args(&["--version"]).output().await;
    assert!(version.stdout.starts_with("Version  :") && version.code == Some(0));
    let unknown = ServiceSpec::new("bcs-api").args(&["--no-such-flag"]).output().await;
    assert_eq!((unknown.code, unknown.stdout.trim()), (Some(2), "unknown flag: --no-such-flag"));
}

#[tokio::test]
async fn configurations_that_cannot_work() {
    let taken = Backend::start().await;
    let port = taken.address().port();
    let refused = Port::claim().number();
    for (keys, code, text) in [
        (json!({"server_cert_file": "none.pem", "server_key_file": "none.pem"}), 1, "server_cert_file"),
        (json!({"verify_client_tls": true, "server_cert_file": "a", "server_key_file": "a"}), 1, "ca_file"),
        (json!({"insecure_port": port}), 1, "listen tcp"),
        (json!({"webconsole_allow": ["10.0.0.0/99"]}), 1, "webconsole_allow"),
        (json!({"bcs_zookeeper": "zk:99999"}), 1, "bcs_zookeeper"),
        (json!({"tls_verify": "chain"}), 1, "ca_file"),
        (json!({"bke": {"mysql_dsn": "u:hunter2@tcp(h"}}), 255, "bke.mysql_dsn"),
        (json!({"bke": {"mysql_dsn": format!("u:hunter2@tcp(127.0.0.1:{refused})/d")}}), 255, "database"),
        (
            json!({"bke": {"bootstrap_users": [{"name": "ann", "tokens": ["aHVudGVyMg=="]}]}}),
            1,
            "bke.bootstrap_users[0]",
        ),
        (
            json!({"bkiam_auth": {"auth": true, "remote_check": true, "apigw_rsa_file": "none.pem"}}),
            1,
            "apigw_rsa_file",
        ),
    ] {
        let output = spec(&keys).output().await;
        assert_eq!(output.code, Some(code), "{keys}: {}", output.stderr);
        assert!(output.stderr.contains(text), "{keys}: {}", output.stderr);
        assert!(!output.stderr.contains("hunter2"), "{keys}: {}", output.stderr);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn zookeeper_may_come_later() {
    let mut zookeeper = ZooKeeper::start().await;
    let address = zookeeper.address().to_string();
    zookeeper.daemon().kill();
    let mut service = spec(&json!({"bcs_zookeeper": address})).start().await;
    let metrics = service.metrics().await;
    let client = service.client();

    // What needs no ZooKeeper is served, and the service says what it lacks.
    let user = http::Request::get("/rest/users/nobody").header("Authorization", format!("Bearer {ADMIN}"));
    let answer = client.request(user.body(Default::default()).unwrap()).await.unwrap();
    assert_eq!(answer.status, 404, "{}", answer.text());
    assert_eq!(client.get("/bcsapi/v4/storage/x").await.unwrap().status, 502);
    let ready = metrics.get("/readyz").await.unwrap();
    assert_eq!(ready.status, 503);
    assert_eq!(ready.json()["parts"]["database"], "ok");
    assert_ne!(ready.json()["parts"]["zookeeper"], "ok");

    zookeeper.daemon().start_again().await;
    let registrar = Registrar::new(&address);
    let backend = Backend::start().await;
    let _registration = registrar.register("storage", &backend).await;
    until_status(&service, "/bcsapi/v4/storage/x", 200).await;
    assert_eq!(metrics.get("/readyz").await.unwrap().status, 200);
    let nodes = registrar.nodes("apiserver", 1).await;
    let info = nodes[0].info.as_ref().unwrap();
    assert_eq!((info.ip.as_str(), info.scheme.as_str()), ("127.0.0.1", "http"));
    assert_eq!(info.port, u32::from(service.port("insecure_port")));
    assert_eq!(info.metric_port, u32::from(service.port("metric_port")));

    let took = service.stop().await;
    assert!(took < Duration::from_secs(10) + LOAD, "{took:?}");
    // At once, not when its session expires.
    registrar.nodes("apiserver", 0).await;
}
