//! The recorded conversations, on the embedded database over HTTP and on MariaDB over HTTPS.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bcs_integration_tests::golden::Replay;
use bcs_integration_tests::ports::Port;
use bcs_integration_tests::process::{Process, command};
use bcs_integration_tests::servers::mariadb::MariaDb;
use bcs_integration_tests::servers::zookeeper::ZooKeeper;
use bcs_integration_tests::service::{Service, ServiceSpec};
use bcs_integration_tests::workdir::WorkDir;
use serde_json::{Value, json};

use crate::harness::SOON;

/// What is replayed.
const FILES: [&str; 14] = [
    "01-routing",
    "02-storage-detection",
    "03-no-backend",
    "04-mesos-driver",
    "05-k8s-metric-netservice-keeper",
    "06-users",
    "07-clusters",
    "08-credentials",
    "09-kube-proxy",
    "10-webconsole-tunnel",
    "11-tke-cidr",
    "12-auth-config",
    "13-access-token",
    "14-tunnel",
];
/// The recorded ports of the driver with an external address, and of web consoles, which an answer names.
const EXTERNAL_PORT: &str = "29085";
const WEBCONSOLE_PORT: &str = "29083";

/// The ports that both the service and the stubs of the recordings need to know.
struct Ports {
    webconsole: Port,
    fixture: Port,
    paas: Port,
    external: Port,
}

/// Certificates as the stubs make them.
async fn make_certs(dir: &WorkDir) -> PathBuf {
    let certs = dir.path().join("certs");
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/backend_stub.py");
    let mut python = command("python3", dir.path());
    python.arg("-B").arg(tool).arg("--certs").arg(&certs).arg("--make-certs");
    let mut process = Process::spawn("backend_stub.py", python, dir.path());
    let status = process.exited(SOON).await;
    assert!(status.success(), "{status}: {:?}", process.output());
    certs
}

/// A service with a recorded configuration, on ports of its own.
async fn start(template: &str, values: &[(&str, &str)], ports: &Ports) -> Service {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/api").join(template);
    let mut text = std::fs::read_to_string(golden).unwrap();
    for (name, value) in values {
        text = text.replace(&format!("${{{name}}}"), value);
    }
    let mut config: Value = serde_json::from_str(&text).unwrap();
    let keys = config.as_object_mut().unwrap();
    for key in ["port", "insecure_port", "metric_port", "log_dir", "pid_dir", "address"] {
        keys.remove(key);
    }
    keys.insert("mesos_webconsole_proxy_port".into(), ports.webconsole.number().into());
    let paas = format!("http://127.0.0.1:{}", ports.paas.number());
    config["bkiam_auth"]["bkiam_auth_host"] = json!(paas);
    if let Some(fixtures) = config["bke"]["cluster_credentials_fixtures"]["credentials"].as_array_mut() {
        for fixture in fixtures {
            fixture["server"] = json!(format!("https://127.0.0.1:{}", ports.fixture.number()));
        }
    }
    let spec = ServiceSpec::new("bcs-api").config(&config);
    spec.ports(&["insecure_port", "port", "metric_port"]).start().await
}

async fn replay(dsn: [&str; 2], scheme: &str) {
    let zookeeper = ZooKeeper::start().await;
    let zk = zookeeper.address().to_string();
    let dir = WorkDir::new("conversations");
    let certs = make_certs(&dir).await;
    let ca = STANDARD.encode(std::fs::read(certs.join("ca.pem")).unwrap());
    let ports =
        Ports { webconsole: Port::claim(), fixture: Port::claim(), paas: Port::claim(), external: Port::claim() };
    let certs = certs.to_str().unwrap();
    let common = [("ZK", &*zk), ("CERTS", certs), ("CA_B64", &*ca), ("RUN_DIR", ".")];
    let main = start("config-main.json.tmpl", &[&common[..], &[("DSN", dsn[0])]].concat(), &ports).await;
    let auth = start("config-auth.json.tmpl", &[&common[..], &[("DSN", dsn[1])]].concat(), &ports).await;
    let http = main.url();
    let https = format!("https://127.0.0.1:{}", main.port("port"));
    let base = if scheme == "https" { &https } else { &http };
    main.metrics().await;
    let (webconsole, external) = (ports.webconsole.number().to_string(), ports.external.number().to_string());
    let mut replay = Replay::new(base)
        .option("--zk", &zk)
        .option("--certs", certs)
        .var("HTTP_BASE", &http)
        .var("HTTPS_BASE", &https)
        .var("METRICS_BASE", &format!("http://127.0.0.1:{}", main.port("metric_port")))
        .var("AUTH_BASE", &auth.url())
        .var("WEBCONSOLE_PORT", &webconsole)
        .var("FIXTURE_PORT", &ports.fixture.number().to_string())
        .var("PAAS_PORT", &ports.paas.number().to_string())
        .var("EXTERNAL_PORT", &external);
    for file in FILES {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("golden/api/{file}.json"));
        let text = std::fs::read_to_string(golden).unwrap();
        let text = text.replace(EXTERNAL_PORT, &external).replace(WEBCONSOLE_PORT, &webconsole);
        replay = replay.conversation(dir.write(&format!("{file}.json"), text));
    }
    let steps = replay.run().await;
    assert!(steps > 250, "{steps} steps");
}

#[tokio::test]
async fn on_the_embedded_database() {
    replay(["", ""], "http").await;
}

#[tokio::test]
async fn on_mariadb() {
    let mariadb = MariaDb::start().await;
    let (main, auth) = (mariadb.create_database("bke_main").await, mariadb.create_database("bke_auth").await);
    replay([&main, &auth], "https").await;
}
