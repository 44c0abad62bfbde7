//! bcs-storage as a process: its command line and configuration, files, TLS, registration in etcd, metrics.
//! More of it is in `storage_service.rs`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests: a panic is a failed test"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bcs_integration_tests::certs::Certs;
use bcs_integration_tests::http::{Client, Error};
use bcs_integration_tests::servers::etcd::Etcd;
use bcs_integration_tests::service::{Output, Service, ServiceSpec};
use bcs_integration_tests::storage::{metrics, pod, pod_watch, storage};
use bcs_integration_tests::wait::{LOAD, eventually, eventually_some};
use http::Method;
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(60);

/// What the chart gives before it kills.
const GRACE: Duration = Duration::from_secs(3);

const VERSION: &str = "\
Version  :17.03.28
Tag      :2017-03-28 Release
BuildTime:  2017-03-28 19:50:00
GitHash:  unknown
";

async fn run(args: &[&str]) -> Output {
    ServiceSpec::new("bcs-storage").args(args).output().await
}

/// Runs it with this text as its configuration.
async fn run_with_file(content: &str) -> Output {
    ServiceSpec::new("bcs-storage").file("x.json", content).args(&["-f", "x.json"]).output().await
}

#[tokio::test]
async fn version_and_help_end_well() {
    let version = run(&["--version"]).await;
    assert_eq!((version.code, version.stdout.as_str(), version.stderr.as_str()), (Some(0), VERSION, ""));
    for flag in ["--help", "-h"] {
        let help = run(&[flag]).await;
        assert_eq!((help.code, help.stdout.as_str()), (Some(0), ""));
        assert!(help.stderr.contains("Usage of bcs-storage:\n"), "{}", help.stderr);
        for known in
            ["-f, --file string", "-p, --port uint", "--metric-port", "--etcd-feature", "--database-config-file"]
        {
            assert!(help.stderr.contains(known), "{known} is not in {}", help.stderr);
        }
    }
}

#[tokio::test]
async fn flag_errors_end_with_2_on_both_streams() {
    let cases: [(&[&str], &str); 5] = [
        (&["--xyz"], "unknown flag: --xyz\n"),
        (&["-x"], "unknown shorthand flag: 'x' in -x\n"),
        (&["--port"], "flag needs an argument: --port\n"),
        (&["-port=1"], r#"invalid argument "ort=1" for "-p, --port" flag: "#),
        (&["--port=a"], r#"invalid argument "a" for "-p, --port" flag: "#),
    ];
    for (args, text) in cases {
        let output = run(args).await;
        assert_eq!(output.code, Some(2), "{output:?}");
        assert!(output.stdout.starts_with(text), "{args:?}: {}", output.stdout);
        assert!(output.stderr.starts_with(text), "{args:?}: {}", output.stderr);
        assert!(output.stderr.contains("Usage of bcs-storage:\n"), "{args:?}: {}", output.stderr);
    }
}

#[tokio::test]
async fn config_errors_end_with_1_and_one_line() {
    let missing = run(&["-f", "none.json"]).await;
    assert_eq!((missing.code, missing.stdout.as_str()), (Some(1), ""));
    assert_eq!(missing.stderr, "open none.json: no such file or directory\n");
    // The second is what the stand-alone chart renders.
    let cases = [
        ("", "x.json:"),
        ("{\"alsologtostderr\": ,}", "x.json:1:"),
        ("{\n\"port\": \"abc\"}", "x.json:2: key \"port\": "),
        ("{\"port\": 70000}", "x.json:1: key \"port\": "),
        ("{\"etcdRegistry\": {\"etcd_feature\": \"yes\"}}", "x.json:1: key \"etcdRegistry.etcd_feature\": "),
        ("{\"address\": {}}", "x.json:1: key \"address\": "),
        ("// comment\n{}", "x.json:1:"),
    ];
    for (content, start) in cases {
        let output = run_with_file(content).await;
        assert_eq!((output.code, output.stdout.as_str()), (Some(1), ""), "{content}");
        assert!(output.stderr.starts_with(start), "{content}: {}", output.stderr);
        assert_eq!(output.stderr.lines().count(), 1, "{content}: {}", output.stderr);
    }
}

#[tokio::test]
async fn what_it_cannot_start_with_is_named() {
    let free = storage(&json!({"database_config_file": "."})).output().await;
    assert_eq!(free.code, Some(1));
    assert!(free.stderr.contains("database_config_file: open .: "), "{}", free.stderr);

    let queue = "[queue]\nQueueFlag = true\nQueueKind = nats-streaming\n";
    let nats = storage(&json!({"queue_config_file": "queue.conf"})).file("queue.conf", queue).output().await;
    assert_eq!(nats.code, Some(1));
    let text = "queue_config_file: queue.conf: section [queue], key QueueKind: nats-streaming is not supported";
    assert!(nats.stderr.contains(text), "{}", nats.stderr);

    let tls = storage(&json!({"server_cert_file": "none.pem", "server_key_file": "none-key.pem"})).output().await;
    assert_eq!(tls.code, Some(1));
    assert!(tls.stderr.contains("server_cert_file") && tls.stderr.contains("none.pem"), "{}", tls.stderr);

    let etcd = json!({"etcdRegistry": {"etcd_feature": true, "etcd_ca": "none.pem"}});
    let etcd = storage(&etcd).output().await;
    assert_eq!(etcd.code, Some(1));
    assert!(etcd.stderr.contains("etcdRegistry.etcd_ca") && etcd.stderr.contains("none.pem"), "{}", etcd.stderr);
}

#[tokio::test]
async fn a_log_without_a_directory_is_on_standard_error() {
    let nowhere = "/dev/null/nowhere";
    let config = json!({"log_dir": nowhere, "alsologtostderr": false, "data_dir": nowhere});
    let output = storage(&config).env("TMPDIR", nowhere).output().await;
    assert_eq!(output.code, Some(1));
    let [first, second, ..] = output.stderr.lines().collect::<Vec<_>>()[..] else { panic!("{}", output.stderr) };
    assert!(first.starts_with("log: cannot write: ") && second.contains("] store: embedded, "), "{}", output.stderr);
    assert_eq!(output.stderr.matches("log: cannot write").count(), 1);
}

#[tokio::test]
async fn many_open_watches_do_not_hold_up_its_end() {
    let mut service = storage(&json!({})).start().await;
    let client = service.client();
    let mut watches = Vec::new();
    for n in 0..50 {
        let cluster = format!("BCS-{n}");
        watches.push(client.stream(Method::POST, &pod_watch(&cluster), Some(&json!({}))).await.unwrap());
    }
    let took = service.stop().await;
    assert!(took < GRACE + LOAD, "{took:?}");
    for mut watch in watches {
        assert_eq!(watch.next(SOON).await.unwrap(), Some(json!({"type": -1, "value": null})));
        assert_eq!(watch.next(SOON).await.unwrap(), None);
    }
}

/// The files of a directory whose names pass.
fn files(dir: &Path, wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| wanted(name)).map(|name| dir.join(name)).collect()
}

#[tokio::test]
async fn pid_and_logs_are_where_scripts_look_for_them() {
    let mut service = storage(&json!({"pid_dir": "pids/deep", "v": "3"})).start().await;
    let pid = service.daemon().process().id();
    let dir = service.dir().path().to_owned();
    assert_eq!(fs::read_to_string(dir.join("pids/deep/bcs-storage.pid")).unwrap(), pid.to_string());

    service.client().put(&pod("c", "p"), &json!([])).await.unwrap();
    service.client().get("/bcsstorage/v1/events").await.unwrap();
    service.stop().await;
    let logs = dir.join("logs");
    for (level, expected) in [("INFO", "listening on http://127.0.0.1:"), ("ERROR", "put resource failed. | err: ")] {
        let link = logs.join(format!("bcs-storage.{level}"));
        let target = fs::read_link(&link).unwrap();
        let name = target.to_str().unwrap();
        assert!(name.starts_with("bcs-storage.") && name.ends_with(&format!(".{pid}")), "{name}");
        assert!(name.contains(&format!(".log.{level}.")), "{name}");
        assert_eq!(files(&logs, |file| file.contains(&format!(".log.{level}."))), [logs.join(name)]);
        let text = fs::read_to_string(&link).unwrap();
        assert!(text.starts_with("Log file created at: "), "{text}");
        assert!(text.contains(expected), "{text}");
    }
    let info = fs::read_to_string(logs.join("bcs-storage.INFO")).unwrap();
    assert!(info.contains("Receive GET /bcsstorage/v1/events") && info.contains("Return [200] GET"), "{info}");
    let line = info.lines().find(|line| line.ends_with(&format!("listening on {}", service.url()))).unwrap();
    let head: Vec<_> = line.split_whitespace().collect();
    assert!(head[0].starts_with('I') && head[0].len() == 5, "{line}");
    assert_eq!((head[2], head[3].ends_with(']')), (&*pid.to_string(), true), "{line}");
}

/// Whether a request gets through.
async fn served(client: &Client) -> bool {
    match client.get("/bcsstorage/v1/events").await {
        Ok(answer) => answer.status == 200 && answer.json()["code"] == 0,
        // With TLS 1.3 a client learns of its refusal when it reads.
        Err(Error::Connect(_) | Error::Http(_)) => false,
        Err(error) => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn certificates_of_clients_are_asked_for_only_with_a_ca() {
    let certs = Certs::generate();
    let own = json!({"server_cert_file": certs.server_cert(), "server_key_file": certs.server_key()});
    let mut server_only = storage(&own).start().await;
    let anonymous = Client::with_tls_anonymous(&server_only.https_url(), &certs);
    assert!(served(&anonymous).await);
    assert!(served(&Client::with_tls(&server_only.https_url(), &certs)).await);
    assert!(!served(&server_only.client()).await, "plain HTTP");
    server_only.stop().await;

    let mut mutual = own;
    mutual["ca_file"] = json!(certs.ca());
    let mut mutual = storage(&mutual).start().await;
    let anonymous = Client::with_tls_anonymous(&mutual.https_url(), &certs);
    assert!(!served(&anonymous).await);
    assert!(served(&Client::with_tls(&mutual.https_url(), &certs)).await);
    // Metrics never have TLS.
    assert_eq!(metrics(&mutual).get("/healthz").await.unwrap().status, 200);
    mutual.stop().await;
}

/// The keys of the services in etcd, with their values as they are written.
async fn registrations(etcd: &Client) -> Vec<(String, String)> {
    let (first, end) = (STANDARD.encode("/micro/registry/"), STANDARD.encode("/micro/registry0"));
    let found = etcd.post("/v3/kv/range", &json!({"key": first, "range_end": end})).await.unwrap().json();
    let text = |value: &Value| String::from_utf8(STANDARD.decode(value.as_str().unwrap()).unwrap()).unwrap();
    let pairs = found["kvs"].as_array().cloned().unwrap_or_default();
    pairs.iter().map(|pair| (text(&pair["key"]), text(&pair["value"]))).collect()
}

#[tokio::test]
async fn etcd_holds_the_exact_key_and_value_while_it_runs() {
    let etcd = Etcd::start().await;
    let client = Client::new(&format!("http://{}", etcd.address()));
    // Names of schemes are no part of an address, but people write them.
    let config = json!({"etcdRegistry": {"etcd_feature": true, "etcd_address": format!("http://{}", etcd.address())}});
    let mut service = storage(&config).start().await;
    let (key, value) = eventually_some("the registration", SOON, async || registrations(&client).await.pop()).await;
    let name = "storage.bkbcs.tencent.com";
    let uuid = key.strip_prefix(&format!("/micro/registry/{name}/{name}-")).unwrap();
    assert_eq!(uuid.len(), 36, "{uuid}");
    let port = service.port("port");
    assert_eq!(
        value,
        format!(
            r#"{{"name":"{name}","version":"17.03.28","metadata":null,"endpoints":null,"nodes":[{{"id":"{name}-{uuid}","address":"127.0.0.1:{port}","metadata":{{"UUID":"{uuid}"}}}}]}}"#
        )
    );
    let took = service.stop().await;
    assert!(took < GRACE + LOAD, "{took:?}");
    assert_eq!(registrations(&client).await, []);
}

/// Lines of `/metrics` with all labels that storage.md 10 names, after the traffic of the test below.
const METRIC_LINES: [&str; 13] = [
    r#"bkbcs_storage_api_request_total_num{handler="/bcsstorage/v1/events",method="GET",status="2xx"} 1"#,
    r#"bkbcs_storage_api_request_total_num{handler="/bcsstorage/v1/events",method="PUT",status="2xx"} 2"#,
    r#"bkbcs_storage_api_request_duration_time_bucket{handler="/bcsstorage/v1/events",method="GET",status="2xx",le="0.005"}"#,
    r#"bkbcs_storage_api_request_duration_time_bucket{handler="/bcsstorage/v1/events",method="GET",status="2xx",le="10"} 1"#,
    r#"bkbcs_storage_api_response_size_bytes_bucket{handler="/bcsstorage/v1/events",method="GET",status="2xx",le="100"}"#,
    r#"bkbcs_storage_api_response_size_bytes_bucket{handler="/bcsstorage/v1/events",method="GET",status="2xx",le="1000000000"} 1"#,
    r#"bkbcs_storage_api_requests_inflight{handler="/bcsstorage/v1/events",method="GET"} 0"#,
    r#"bkbcs_storage_watch_request_total_num{handler="/bcsstorage/v1/dynamic/watch/{clusterId}/{resourceType}",table="Pod"} 1"#,
    r#"bkbcs_storage_watch_response_size_bytes_count{handler="/bcsstorage/v1/dynamic/watch/{clusterId}/{resourceType}",table="Pod"} 1"#,
    "process_cpu_seconds_total ",
    "process_open_fds ",
    "process_start_time_seconds ",
    r#"promhttp_metric_handler_requests_total{code="200"}"#,
];

async fn log_of(service: &mut Service) -> String {
    let [_, log] = service.daemon().process().output();
    log
}

#[tokio::test]
async fn the_metrics_port_tells_what_dashboards_and_probes_ask() {
    let mut service = storage(&json!({})).start().await;
    let (client, metrics) = (service.client(), metrics(&service));
    let events = "/bcsstorage/v1/events";
    for body in [json!({}), json!([])] {
        client.put(events, &body).await.unwrap();
    }
    client.get(events).await.unwrap();
    client.get("/bcsstorage/v1/nothing").await.unwrap();
    let mut watch = client.stream(Method::POST, &pod_watch("c"), Some(&json!({}))).await.unwrap();
    client.put(&pod("c", "p"), &json!({"data": 1})).await.unwrap();
    assert_eq!(watch.next(SOON).await.unwrap().unwrap()["type"], 1);

    let answer = metrics.get("/metrics").await.unwrap();
    assert_eq!(answer.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let text = answer.text();
    for line in METRIC_LINES {
        assert!(text.lines().any(|found| found.starts_with(line)), "{line} is not in\n{text}");
    }
    assert!(!text.contains("nothing"), "the router's refusals are not counted\n{text}");

    assert_eq!(metrics.get("/healthz").await.unwrap().text(), "ok\n");
    assert_eq!(metrics.get("/version").await.unwrap().text(), VERSION);
    assert_eq!(metrics.get("/debug/pprof/").await.unwrap().text(), "404 page not found\n");
    let ready =
        async || metrics.get("/readyz").await.unwrap().json() == json!({"ready": true, "parts": {"store": "ok"}});
    eventually("it is ready", SOON, ready).await;

    let bad = metrics.send(Method::PUT, "/log-level?v=much", None).await.unwrap();
    assert_eq!(bad.status, 400);
    assert!(!log_of(&mut service).await.contains("Receive GET"));
    let good = metrics.send(Method::PUT, "/log-level?v=3", None).await.unwrap();
    assert_eq!((good.status.as_u16(), good.text().as_str()), (200, "3\n"));
    client.get(events).await.unwrap();
    eventually("requests are logged", SOON, async || log_of(&mut service).await.contains("Receive GET")).await;
    drop(watch);
    service.stop().await;
}
