//! How the program starts and ends.

use std::time::Duration;

use bcs_integration_tests::certs::Certs;
use bcs_integration_tests::golden::Replay;
use bcs_integration_tests::http::Client;
use bcs_integration_tests::service::ServiceSpec;
use bcs_integration_tests::wait::LOAD;
use http::Method;
use serde_json::{Value, json};

use crate::support::{call, cluster, proto, spec, start, with_tls};

#[tokio::test]
async fn unusable_config_is_named_and_ends_with_1() {
    for (config, wanted) in [
        (json!({"mongo": {"address": "127.0.0.1:1"}}), "mongo database cannot be empty"),
        (json!({"mongo": {"database": "d", "password": "hunter2!"}}), "key \"mongo.password\""),
        (json!({"mongo": {"maxpoolsize": "many"}}), "key \"mongo.maxpoolsize\": want a number"),
        (json!({"address": ["a"]}), "key \"address\": want a string"),
        (json!({"address": "192.0.2.1"}), "grpc server failed: listen tcp 192.0.2.1:"),
        (json!({"serverca": "n.ca", "servercert": "nowhere.crt", "serverkey": "n.key"}), "nowhere.crt"),
        (json!({"etcd": {"endpoints": "a b"}}), "key \"etcd.endpoints\""),
        (json!({"tls_verify": "maybe"}), "tls_verify"),
    ] {
        let output = spec(&config).output().await;
        assert_eq!(output.code, Some(1), "{config}: {output:?}");
        assert!(output.stderr.contains(wanted) && !output.stderr.contains("hunter2"), "{config}: {}", output.stderr);
    }
}

#[tokio::test]
async fn help_version_and_bad_flags() {
    let run = async |args: &[&str]| ServiceSpec::new("bcs-cluster-manager").args(args).output().await;
    let help = run(&["--help"]).await;
    assert_eq!(help.code, Some(0));
    for flag in
        ["-address", "-mongo_maxpoolsize", "-etcd_endpoints", "-bcslog_alsotostderr", "-conf", "-tunnel_peertoken"]
    {
        assert!(help.stderr.contains(&format!("  {flag}")), "{flag}: {}", help.stderr);
    }
    assert!(run(&["-version"]).await.stdout.starts_with("Version  :"));
    let bad = run(&["-nosuch"]).await;
    assert_eq!(bad.code, Some(2));
    assert!(bad.stderr.starts_with("flag provided but not defined: -nosuch\nUsage of "), "{}", bad.stderr);
}

#[tokio::test]
async fn conf_is_found_under_all_its_names_and_signals_end_it() {
    let file = r#"{"address":"127.0.0.1","port":${port},"httpport":${httpport},"metricport":${metricport},"bcslog":{"dir":"${LOGS}"}}"#;
    for flag in ["-f", "-conf", "--conf"] {
        let spec = ServiceSpec::new("bcs-cluster-manager").ports(&["httpport", "port", "metricport"]);
        let mut service = spec.file("c.json", file).args(&[flag, "c.json"]).env("LOGS", "logs").start().await;
        let missing = call(&service.client(), Method::GET, "cluster/none", &Value::Null).await;
        assert_eq!(missing["code"], "1405420");
        assert!(service.stop().await < Duration::from_secs(5) + LOAD);
    }
}

#[tokio::test]
async fn both_ports_want_client_certificates() {
    let certs = Certs::generate();
    let service = start(&with_tls(&certs)).await;
    for port in ["httpport", "port"] {
        let base = format!("https://localhost:{}", service.port(port));
        let client = Client::with_tls(&base, &certs);
        assert_eq!(call(&client, Method::GET, "cluster/none", &Value::Null).await["message"], "record not found");
        assert!(Client::with_tls_anonymous(&base, &certs).get("/clustermanager/v1/cluster").await.is_err());
        let base = format!("https://127.0.0.1:{}", service.port(port));
        let replay = Replay::new(&base).client_certificate(&certs).conversation("cluster-manager/01-clusters.json");
        assert!(replay.run().await > 10);
    }
    let target = format!("127.0.0.1:{}", service.port("port"));
    let replay = Replay::grpc(&target, &proto()).flag("--tls").client_certificate(&certs);
    assert!(replay.conversation("cluster-manager/grpc.json").run().await > 40);
}

#[tokio::test]
async fn metrics_count_what_was_asked() {
    let service = start(&json!({})).await;
    let client = service.client();
    call(&client, Method::POST, "cluster/BCS-K8S-1", &cluster()).await;
    call(&client, Method::POST, "cluster/BCS-K8S-1", &cluster()).await;
    client.post("/clustermanager/v1/tke/cidr/list_count", &json!({})).await.unwrap();
    let metrics = service.metrics().await;
    let text = metrics.get("/metrics").await.unwrap().text();
    for line in [
        r#"bkbcs_clustermanager_api_request_total_num{handler="createcluster",method="grpc",status="0"} 1"#,
        r#"bkbcs_clustermanager_api_request_total_num{handler="createcluster",method="grpc",status="1405405"} 1"#,
        r#"bkbcs_clustermanager_api_request_total_num{handler="ListTkeCidrCount",method="http",status="200"} 1"#,
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn swagger_is_there_if_its_directory_is_named() {
    let service = start(&json!({"swagger": {"dir": "swagger"}})).await;
    let description = service.client().get("/swagger/clustermanager.swagger.json").await.unwrap();
    assert!(description.json()["paths"]["/clustermanager/v1/cluster/{clusterID}"]["get"].is_object());
    assert_eq!(service.client().get("/swagger/none.js").await.unwrap().status.as_u16(), 404);
}

#[tokio::test]
async fn no_secret_reaches_the_log() {
    let mut service = start(&json!({"tunnel": {"peertoken": "hunter-peer"}})).await;
    let credential = json!({
        "clusterID": "c1", "clientModule": "kubeagent", "serverAddress": "https://10.0.0.1:443",
        "caCertData": "hunter-ca", "userToken": "hunter-token"
    });
    let client = service.client();
    assert_eq!(call(&client, Method::PUT, "clustercredential/c1", &credential).await["code"], "0");
    client.get("/clustermanager/clusters/c1/version").await.unwrap();
    service.stop().await;
    let [out, log] = service.daemon().process().output();
    assert!(!log.contains("hunter") && !out.contains("hunter"), "{log}");
}
