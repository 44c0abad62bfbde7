//! bcs-storage and bcs-user-manager started out of their image trees with the environment of the charts (D-20 to D-33, D-42).

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bcs_common::secret;
use bcs_integration_tests::certs::Certs;
use bcs_integration_tests::daemon::{Daemon, Ready};
use bcs_integration_tests::http::Client;
use bcs_integration_tests::ports::Port;
use bcs_integration_tests::process::command;
use bcs_integration_tests::servers::etcd::Etcd;
use bcs_integration_tests::storage::{pod, pod_watch};
use bcs_integration_tests::wait::{eventually, eventually_some};
use bcs_integration_tests::workdir::programs;
use http::Method;
use serde_json::{Value, json};

use crate::chart_env::with;
use crate::listening::listening;
use crate::started::{GRACE, SOON, Started, curl, guide_certificate, nobody, text, without_databases};
use crate::tree::{Tree, assemble};

/// The services in etcd: key and value.
async fn registered(etcd: &Client) -> Vec<(String, Value)> {
    let (first, end) = (STANDARD.encode("/micro/registry/"), STANDARD.encode("/micro/registry0"));
    let found = etcd.post("/v3/kv/range", &json!({"key": first, "range_end": end})).await.unwrap().json();
    let bytes = |value: &Value| STANDARD.decode(value.as_str().unwrap()).unwrap();
    let pairs = found["kvs"].as_array().cloned().unwrap_or_default();
    let pair = |pair: &Value| {
        (String::from_utf8(bytes(&pair["key"])).unwrap(), serde_json::from_slice(&bytes(&pair["value"])).unwrap())
    };
    pairs.iter().map(pair).collect()
}

#[tokio::test]
async fn storage_serves_as_the_chart_starts_it() {
    let etcd = Etcd::start_tls().await;
    let etcd_certs = etcd.certs().unwrap();
    let etcd_client = Client::with_tls(&format!("https://localhost:{}", etcd.address().port()), etcd_certs);
    let certs = Certs::generate();
    let files = [
        ("caFile", text(&certs.ca())),
        ("serverCertFile", text(&certs.server_cert())),
        ("serverKeyFile", text(&certs.server_key())),
        ("bcsEtcdHost", etcd.address().to_string()),
        ("bcsEtcdCAFile", text(&etcd_certs.ca())),
        ("bcsEtcdCertFile", text(&etcd_certs.client_cert())),
        ("bcsEtcdKeyFile", text(&etcd_certs.client_key())),
        // The embedded store: MongoDB has tests of its own.
        ("storageDbConfig", String::new()),
        ("bcsZkHost", nobody()),
    ];
    let values: Vec<_> = files.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let env = with("bcs-storage", &values);
    let mut storage = Started::new("bcs-storage", &env, &["bcsStoragePort", "bcsStorageMetricPort"]).await;

    let metrics = Client::new(&storage.url("http", 1)).get("/metrics").await.unwrap();
    assert_eq!(metrics.status, 200);
    assert!(metrics.headers["content-type"].to_str().unwrap().starts_with("text/plain"));
    let pid = storage.pid();
    assert_eq!(listening(pid), storage.ports.iter().map(Port::address).collect());
    assert_eq!(std::fs::read_to_string(storage.home.join("bcs-storage.pid")).unwrap(), pid.to_string());

    let info = storage.home.join("../logs/bcs/bcs-storage.INFO");
    eventually("the log", SOON, async || std::fs::read_to_string(&info).is_ok_and(|log| !log.is_empty())).await;
    let listening_line = "listening on https://127.0.0.1:";
    eventually("the log on standard error", SOON, async || storage.log().contains(listening_line)).await;

    let (key, value) = eventually_some("the registration", SOON, async || registered(&etcd_client).await.pop()).await;
    assert!(key.starts_with("/micro/registry/storage.bkbcs.tencent.com/storage.bkbcs.tencent.com-"), "{key}");
    assert_eq!(value["nodes"][0]["address"], storage.ports[0].address().to_string());

    // It must stop in time whatever its clients hold open.
    let api = storage.url("https", 0);
    let client = Client::with_tls(&api, &certs);
    let mut watch = client.stream(Method::POST, &pod_watch("BCS-K8S-00000"), Some(&json!({}))).await.unwrap();
    client.put(&pod("BCS-K8S-00000", "p"), &json!({"data": {}})).await.unwrap();
    assert_eq!(watch.next(SOON).await.unwrap().unwrap()["type"], 1);
    let idle: Vec<_> = (0..10).map(|_| Client::with_tls(&api, &certs)).collect();
    for client in &idle {
        assert_eq!(client.get("/bcsstorage/v1/events").await.unwrap().status, 200);
    }
    storage.stops_within(GRACE).await;
    assert_eq!(registered(&etcd_client).await, []);
}

#[tokio::test]
async fn storage_starts_and_serves_with_no_secret_and_no_backend() {
    let nobody = nobody();
    let env = with(
        "bcs-storage",
        &[
            ("mongodbHost", &nobody),
            ("ConfigDbHost", &nobody),
            ("bcsZkHost", &nobody),
            ("bcsEtcdFeature", "false"),
            ("caFile", &guide_certificate("bcs-ca.pem")),
            ("serverCertFile", &guide_certificate("bcs-server.pem")),
            ("serverKeyFile", &guide_certificate("bcs-server-key.pem")),
        ],
    );
    let mut storage = Started::new("bcs-storage", &env, &["bcsStoragePort", "bcsStorageMetricPort"]).await;
    let (cert, key) = (guide_certificate("bcs-client.pem"), guide_certificate("bcs-client-key.pem"));
    let nothing_there = format!("{}/bcsstorage/v1", storage.url("https", 0));
    let shown = ["--cert", &cert, "--key", &key];
    assert_eq!(curl(&[&shown[..], &[&nothing_there]].concat()), 404);
    assert_eq!(curl(&[&shown[..], &["--tls-max", "1.2", &nothing_there]].concat()), 404);
    assert_eq!(curl(&[&nothing_there]), 0, "a client without a certificate");
    let health = Client::new(&storage.url("http", 1));
    assert_eq!(health.get("/healthz").await.unwrap().status, 200);
    assert_ne!(health.get("/readyz").await.unwrap().status, 200);
    storage.stops_within(GRACE).await;
}

#[tokio::test]
async fn user_manager_serves_as_the_chart_starts_it() {
    let token = "0123456789abcdef0123456789abcdef";
    let env = with(
        "bcs-user-manager",
        &[
            ("bcsEtcdFeature", "false"),
            ("bcsZkHost", ""),
            ("coreDatabaseDsn", &secret::encrypt("sqlite:").unwrap()),
            ("adminToken", &secret::encrypt(token).unwrap()),
            ("caFile", &guide_certificate("bcs-ca.pem")),
            ("serverCertFile", &guide_certificate("bcs-server.pem")),
            ("serverKeyFile", &guide_certificate("bcs-server-key.pem")),
        ],
    );
    let ports = ["bcsUserManagerPort", "bcsUserManagerMetricPort", "bcsUserManagerInsecurePort"];
    let mut service = Started::new("bcs-user-manager", &env, &ports).await;
    let pid = service.pid();
    eventually("it listens", SOON, async || listening(pid).len() == 3).await;
    assert_eq!(listening(pid), service.ports.iter().map(Port::address).collect());
    // The plug-in of the gateway shows no certificate.
    let bearer = format!("Authorization: Bearer {token}");
    for base in [service.url("https", 0), service.url("http", 2)] {
        assert_eq!(curl(&["-H", &bearer, &format!("{base}/usermanager/v1/users/admin/admin")]), 200, "{base}");
    }
    assert_eq!(curl(&[&format!("{}/metrics", service.url("http", 1))]), 200);
    assert!(!service.log().contains(token));
    service.stops_within(GRACE).await;
}

#[tokio::test]
async fn user_manager_says_what_the_defaults_of_the_chart_lack() {
    let env = with("bcs-user-manager", &[("bcsEtcdFeature", "false"), ("serverCertFile", ""), ("bcsZkHost", "")]);
    let ports = ["bcsUserManagerInsecurePort", "bcsUserManagerMetricPort"];
    let mut service = Started::new("bcs-user-manager", &env, &ports).await;
    let log = service.log();
    assert!(log.contains("user [admin] is not created: key \"bootstrap_users[0].token\" is empty"), "{log}");
    assert!(log.contains("database: embedded SQLite") && !log.contains("panic"), "{log}");
    service.stops_within(GRACE).await;
}

#[test]
fn an_encrypted_key_needs_its_password() {
    let tree = Tree::new("bcs-storage");
    let key = text(&tree.root().join("key.pem"));
    let plain = guide_certificate("bcs-server-key.pem");
    let encrypt = ["rsa", "-aes256", "-traditional", "-passout", "pass:hunter2", "-in", &plain, "-out", &key];
    assert!(Command::new("openssl").args(encrypt).output().unwrap().status.success());
    assert!(std::fs::read_to_string(&key).unwrap().contains("DEK-Info: AES-256-CBC"));
    let mut env = with(
        "bcs-storage",
        &[
            ("caFile", &guide_certificate("bcs-ca.pem")),
            ("serverCertFile", &guide_certificate("bcs-server.pem")),
            ("serverKeyFile", &key),
            ("storageDbConfig", ""),
            ("bcsEtcdFeature", "false"),
            ("bcsZkHost", ""),
            // With the right password the port is the next thing that is wrong.
            ("localIp", "192.0.2.1"),
        ],
    );
    env.insert("log_dir".to_owned(), "logs".to_owned());
    for (password, wanted) in [("", "key.pem"), ("wrong", "key.pem"), ("hunter2", "cannot listen on 192.0.2.1:")] {
        env.insert("bcs_server_cert_pwd".to_owned(), password.to_owned());
        let output = tree.run(&env, &["-f", "bcs-storage.json"]);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains(wanted) && !stderr.contains("hunter2"), "{password}: {stderr}");
    }
}

/// Runs in a directory that every user can enter; cargo's target directory may be in a private home.
#[tokio::test]
async fn any_user_can_run_an_image() {
    let root = tempfile::tempdir().unwrap();
    std::fs::set_permissions(root.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    assemble("bcs-storage", &programs(), root.path());
    let ports = [Port::claim(), Port::claim()];
    let mut env = with(
        "bcs-storage",
        &[
            ("bcsStoragePort", &ports[0].number().to_string()),
            ("bcsStorageMetricPort", &ports[1].number().to_string()),
            ("log_dir", &text(&root.path().join("data/bcs/logs/bcs"))),
            ("caFile", ""),
            ("serverCertFile", ""),
            ("serverKeyFile", ""),
            ("storageDbConfig", ""),
            ("bcsEtcdFeature", "false"),
            ("bcsZkHost", ""),
        ],
    );
    env.insert("PATH".to_owned(), "/usr/bin:/bin".to_owned());
    let home = root.path().join("data/bcs/bcs-storage");
    without_databases(&home);
    let script = home.join("container-start.sh");
    let is_root = rustix::process::getuid().is_root();
    let make = move |dir: &Path| {
        let mut start = command("setpriv", dir);
        if is_root {
            start.args(["--reuid=34567", "--regid=34567", "--clear-groups"]);
        }
        start.args(["--no-new-privs", "--pdeathsig=KILL", "--"]);
        start.arg(&script).args(["-f", "bcs-storage.json"]).envs(&env);
        start
    };
    let logs = bcs_integration_tests::workdir::WorkDir::new("any-user");
    let mut daemon = Daemon::start("bcs-storage", logs, ports[0].address(), Ready::Listens, make).await;
    let client = Client::new(&format!("http://{}", ports[0].address()));
    assert_eq!(client.put(&pod("c", "p"), &json!({"data": {}})).await.unwrap().json()["code"], 0);
    let pid = std::fs::read_to_string(home.join("bcs-storage.pid")).unwrap();
    assert_eq!(pid, daemon.process().id().to_string());
    let (status, _) = daemon.stop().await;
    assert_eq!(status.code(), Some(0));
    assert!(root.path().join("data/bcs/logs/bcs/bcs-storage.INFO").exists());
}
