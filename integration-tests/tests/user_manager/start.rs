//! How bcs-user-manager starts: config, listeners, registration, metrics.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bcs_common::secret;
use bcs_integration_tests::certs::Certs;
use bcs_integration_tests::http::Client;
use bcs_integration_tests::servers::etcd::Etcd;
use bcs_integration_tests::servers::mariadb::MariaDb;
use bcs_integration_tests::servers::zookeeper::ZooKeeper;
use bcs_integration_tests::service::{Output, ServiceSpec};
use bcs_integration_tests::wait::{eventually, eventually_some};
use http::{Method, Request};
use http_body_util::Full;
use serde_json::{Value, json};

use crate::api::{ADMIN, Api, PREFIX, config, start};

const SOON: Duration = Duration::from_secs(60);

/// Runs a config that must not stay.
async fn refused(config: &Value) -> Output {
    let spec = ServiceSpec::new("bcs-user-manager").config(config).ports(&["insecure_port", "port", "metric_port"]);
    let output = spec.output().await;
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(!output.stderr.contains("panic"), "{}", output.stderr);
    output
}

#[tokio::test]
async fn unusable_config_is_named_and_ends_with_1() {
    for (key, value, wanted) in [
        ("mysql_dsn", json!("c2VjcmV0"), "error decrypting db config and exit: key \"mysql_dsn\""),
        ("mysql_dsn", json!("root:hunter2@tcp(127.0.0.1:1"), "missing the slash separating the database name"),
        ("mysql_dsn", json!("root:hunter2@tcp(127.0.0.1:1)/bcs"), "dial tcp 127.0.0.1:1: Connection refused"),
        ("tke", json!({"secret_id": "hunter2"}), "error decrypting tke secretId and exit: key \"tke.secret_id\""),
        ("bootstrap_users", json!([{"name": "a", "user_type": "root", "token": ""}]), "invalid user type"),
        (
            "bootstrap_users",
            json!([{"name": "a", "user_type": "admin", "token": "hunter2"}]),
            "error decrypting token for user [a], key \"bootstrap_users[0].token\"",
        ),
        ("server_cert_file", json!("nowhere.crt"), "nowhere.crt"),
        ("insecure_address", json!("192.0.2.1"), "insecure server failed: listen tcp 192.0.2.1:"),
    ] {
        let mut config = config("");
        config["server_key_file"] = json!("nowhere.key");
        config[key] = value;
        let stderr = refused(&config).await.stderr;
        assert!(stderr.to_lowercase().contains(&wanted.to_lowercase()), "{key}: {stderr}");
        assert!(!stderr.contains("hunter2") && !stderr.contains("c2VjcmV0"), "{stderr}");
    }
}

#[tokio::test]
async fn login_failures_and_clashes_end_with_1() {
    let mariadb = MariaDb::start().await;
    let dsn = mariadb.create_database("bcs").await;
    let stderr = refused(&config(&dsn.replace("/bcs?", "/other?"))).await.stderr;
    assert!(stderr.contains("Error 1049: Unknown database 'other'"), "{stderr}");
    let stderr = refused(&config(&dsn.replace("root:", "nobody:hunter2"))).await.stderr;
    assert!(stderr.contains("Error 1045: Access denied for user") && !stderr.contains("hunter2"), "{stderr}");

    let mut clash = config(&dsn);
    let users = clash["bootstrap_users"].as_array_mut().unwrap();
    users.push(json!({"name": "other", "user_type": "saas", "token": secret::encrypt(ADMIN).unwrap()}));
    let stderr = refused(&clash).await.stderr;
    assert!(
        stderr.contains("error creating user [other]: Error 1062: Duplicate entry for key 'user_token'"),
        "{stderr}"
    );
    assert!(!stderr.contains(ADMIN));
}

#[tokio::test]
async fn a_taken_port_ends_with_1() {
    let first = start(&config("")).await;
    let mut second = config("");
    second["insecure_port"] = json!(first.port("insecure_port"));
    let spec = ServiceSpec::new("bcs-user-manager").config(&second).ports(&["port", "metric_port"]);
    let output = spec.output().await;
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains("insecure server failed: listen tcp 127.0.0.1:"), "{}", output.stderr);
}

#[tokio::test]
async fn both_listeners_serve_and_stop() {
    let certs = Certs::generate();
    let mut config = config("");
    config["server_cert_file"] = json!(certs.server_cert());
    config["server_key_file"] = json!(certs.server_key());
    let mut service = start(&config).await;
    let https = format!("https://localhost:{}", service.port("port"));
    let path = format!("{PREFIX}/users/admin/admin");
    for client in [service.client(), Client::with_tls(&https, &certs)] {
        let request = Request::get(&path).header("authorization", format!("Bearer {ADMIN}"));
        let answer = client.request(request.body(Full::default()).unwrap()).await.unwrap().json();
        assert_eq!(answer["data"]["user_token"], ADMIN);
    }
    let plain = Client::new(&format!("http://127.0.0.1:{}", service.port("port"))).get("/").await.unwrap();
    assert_eq!(plain.status.as_u16(), 400);
    assert!(plain.text().starts_with("Client sent an HTTP request to an HTTPS server."), "{}", plain.text());
    let pid = service.dir().path().join("pid/bcs-user-manager.pid");
    let own = service.daemon().process().id().to_string();
    // The last thing of the start, so it may serve already.
    eventually("the pid file is there", SOON, async || std::fs::read_to_string(&pid).is_ok_and(|text| text == own))
        .await;
    let database = service.dir().path().join("data/user-manager.db");
    assert_eq!(std::fs::metadata(database).unwrap().permissions().mode() & 0o777, 0o600);
    service.stop().await;
    let [_, log] = service.daemon().process().output();
    assert!(!log.contains(ADMIN));
}

#[tokio::test]
async fn client_certificates_are_required_when_asked_for() {
    let certs = Certs::generate();
    let mut config = config("");
    config["server_cert_file"] = json!(certs.server_cert());
    config["server_key_file"] = json!(certs.server_key());
    config["ca_file"] = json!(certs.ca());
    config["verify_client_tls"] = json!(true);
    let service = start(&config).await;
    let https = format!("https://localhost:{}", service.port("port"));
    assert_eq!(Client::with_tls(&https, &certs).get(PREFIX).await.unwrap().status.as_u16(), 404);
    let curl = std::process::Command::new("curl").args(["-sk", "-o", "/dev/null", &https]).status().unwrap();
    assert!(!curl.success());
    assert_eq!(service.client().get(PREFIX).await.unwrap().status.as_u16(), 404);
}

#[tokio::test]
async fn metrics_count_what_was_asked() {
    let service = start(&config("")).await;
    let admin = Api::admin(&service);
    let client = service.metrics().await;
    let before = client.get("/metrics").await.unwrap().text();
    assert!(!before.contains("bkbcs_usermanager") && before.contains("process_resident_memory_bytes"));
    admin.create_user("plain", "p").await;
    admin.call(Method::POST, "/users/plain/p", &Value::Null).await;
    admin.with_token("wrong").verify("x", "c").await;
    admin.call(Method::POST, "/tke/cidr/list_count", &Value::Null).await;
    let metrics = client.get("/metrics").await.unwrap().text();
    let family = "bkbcs_usermanager_api_request_total_num";
    for line in [
        format!("{family}{{handler=\"CreatePlainUser\",method=\"POST\",status=\"success\"}} 1"),
        format!("{family}{{handler=\"CreatePlainUser\",method=\"POST\",status=\"failure\"}} 1"),
        format!("{family}{{handler=\"VerifyPermission\",method=\"GET\",status=\"failure\"}} 1"),
        format!("{family}{{handler=\"ListTkeCidr\",method=\"POST\",status=\"success\"}} 1"),
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} not in\n{metrics}");
    }
    assert!(metrics.contains("bkbcs_usermanager_api_request_latency_time_bucket{handler=\"CreatePlainUser\""));
    assert_eq!(client.get("/readyz").await.unwrap().status.as_u16(), 200);
    assert_eq!(client.get("/metrics/").await.unwrap().status.as_u16(), 404);
}

/// The values of all keys below the registry of go-micro.
async fn registered(etcd: &Client) -> Vec<Value> {
    let prefix = "/micro/registry/";
    let body = json!({"key": BASE64_STANDARD.encode(prefix), "range_end": BASE64_STANDARD.encode("/micro/registry0")});
    let found = etcd.post("/v3/kv/range", &body).await.unwrap().json();
    let values = found["kvs"].as_array().into_iter().flatten();
    let decode = |value: &Value| BASE64_STANDARD.decode(value["value"].as_str().unwrap()).unwrap();
    values.map(|value| serde_json::from_slice(&decode(value)).unwrap()).collect()
}

#[tokio::test]
async fn the_gateway_finds_it_in_etcd_until_it_stops() {
    let server = Etcd::start().await;
    let etcd = Client::new(&format!("http://{}", server.address()));
    let mut config = config("");
    config["etcdRegistry"] = json!({"etcd_feature": true, "etcd_address": server.address().to_string()});
    let mut service = start(&config).await;
    let nodes = eventually_some("it is registered", SOON, async || {
        Some(registered(&etcd).await).filter(|nodes| !nodes.is_empty())
    })
    .await;
    assert_eq!((nodes.len(), &nodes[0]["name"]), (1, &json!("usermanager.bkbcs.tencent.com")));
    assert_eq!(nodes[0]["nodes"][0]["address"], format!("127.0.0.1:{}", service.port("port")));
    service.stop().await;
    assert_eq!(registered(&etcd).await, [json!(null); 0]);
}

#[tokio::test]
async fn etcd_with_half_of_its_files_ends_with_1() {
    let mut config = config("");
    config["etcdRegistry"] = json!({"etcd_feature": true, "etcd_ca": "ca.pem"});
    let stderr = refused(&config).await.stderr;
    assert!(stderr.contains("turn on etcd registry feature but configuration not correct"), "{stderr}");
}

#[tokio::test]
async fn it_registers_in_zookeeper_in_the_background() {
    let mut server = ZooKeeper::start().await;
    let address = server.address().to_string();
    server.daemon().stop().await;
    let mut config = config("");
    config["bcs_zookeeper"] = json!(address);
    config["local_ip"] = json!("10.1.2.3");
    // ZooKeeper is down: that keeps nobody from working.
    let service = start(&config).await;
    Api::admin(&service).create_user("plain", "p").await;
    server.daemon().start_again().await;
    let connector = || zookeeper_client::Client::connector().with_auth("digest", b"bcsce:bcsce@community2019");
    let looker = eventually_some("ZooKeeper answers", SOON, async || connector().connect(&address).await.ok()).await;
    eventually("it is registered", SOON, async || {
        let children = looker.list_children("/bcs/services/endpoints/usermanager").await.unwrap_or_default();
        children.iter().any(|child| child.contains("-10.1.2.3"))
    })
    .await;
}
