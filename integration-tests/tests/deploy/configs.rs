//! Configurations of local installations, and the operator's tools (D-27, D-40 to D-44).

use std::process::{Command, Output};

use bcs_integration_tests::ports::Port;
use bcs_integration_tests::service::ServiceSpec;
use bcs_integration_tests::wait::eventually;
use bcs_integration_tests::workdir::{WorkDir, programs};
use serde_json::{Value, json};

use crate::started::SOON;
use crate::tree::assemble;

/// Database sections as configurations of the community edition have them: no `mongodb/clusterConfig`.
fn community_databases(server: &str) -> String {
    let sections = ["dynamic", "event", "alarm", "metric", "host"].map(|name| {
        format!(
            "[mongodb/{name}]\nAddr = {server} # one server\nConnectTimeout = 1\nDatabase = {name}\nUsername = bcs\n\
             Password = pd1kCEot9nkqG7lQgAEUUg==\nIsListener = true\nListenerName = commonWatcher\n\n"
        )
    });
    format!(
        "# databases\n{}[zk/watch]\nAddr = {server}\nConnectTimeout = 5\nDatabase = etc/cluster\n",
        sections.concat()
    )
}

#[tokio::test]
async fn storage_loads_the_configuration_of_the_install_guide() {
    let nobody = format!("127.0.0.1:{}", Port::claim().number());
    // Neither queue_config_file nor etcdRegistry.
    let config = json!({"bcs_zookeeper": nobody, "database_config_file": "storage-database.conf", "event_max_day": 7,
        "event_max_cap": 10000, "alarm_max_day": 7, "alarm_max_cap": 10000, "pid_dir": "pid", "ca_file": "",
        "server_cert_file": "", "server_key_file": "", "v": "3"});
    let spec = ServiceSpec::new("bcs-storage").ports(&["port", "metric_port"]).config(&config);
    let mut storage = spec.file("storage-database.conf", community_databases(&nobody)).start().await;
    let answer = storage.client().get("/bcsstorage/v1/cluster_config/services/s").await.unwrap();
    assert_ne!(answer.json()["code"], 0);
    storage.stop().await;
}

#[tokio::test]
async fn check_loads_the_configuration_of_the_install_guide() {
    let nobody = format!("127.0.0.1:{}", Port::claim().number());
    // Neither log_dir nor pid_dir; the harness adds the address and log_dir.
    let config = json!({"port": 43000, "bcs_zookeeper": nobody, "ca_file": "", "client_cert_file": "",
        "client_key_file": "", "server_cert_file": "", "server_key_file": "", "mesos_zookeeper": nobody,
        "cluster": "BCS-MESOS-10001"});
    let mut check = ServiceSpec::new("bcs-check").ports(&["metric_port"]).config(&config).start().await;
    assert!(check.dir().path().join("pid/bcs-check.pid").is_file());
    check.stop().await;
}

#[tokio::test]
async fn api_loads_the_configuration_of_the_install_guide() {
    let nobody = format!("127.0.0.1:{}", Port::claim().number());
    // Neither v nor alsologtostderr; the harness adds the latter.
    let config = json!({"edition": "ee", "insecure_address": "127.0.0.1", "bcs_zookeeper": nobody, "ca_file": "",
        "server_cert_file": "", "server_key_file": "", "client_cert_file": "", "client_key_file": "",
        "local_ip": "127.0.0.1", "pid_dir": "pid",
        "bkiam_auth": {"auth": false, "bkiam_auth_host": "", "bkiam_auth_app_code": "", "bkiam_auth_app_secret": ""},
        "bke": {"mysql_dsn": "", "bootstrap_users": [{"name": "admin", "is_super_user": true, "tokens": ["pd1kCEot9nkqG7lQgAEUUg=="]}],
            "turn_on_rbac": false, "turn_on_auth": false, "turn_on_conf": false}});
    let ports = ["insecure_port", "port", "metric_port", "mesos_webconsole_proxy_port"];
    let mut api = ServiceSpec::new("bcs-api").ports(&ports).config(&config).start().await;
    assert_eq!(api.client().get("/rest/users/admin").await.unwrap().status, 401);
    let pid = api.dir().path().join("pid/bcs-api.pid");
    // The last thing of the start, so it may serve already.
    eventually("the pid file is there", SOON, async || pid.is_file()).await;
    api.stop().await;
}

/// The config of a service with its integers in quotes, which are accepted everywhere, and one of its switches.
fn quoted(program: &str) -> (Value, &'static str) {
    match program {
        "bcs-storage" => {
            (json!({"v": "3", "event_max_day": "7", "log_max_num": "3", "external_port": "1"}), "alsologtostderr")
        }
        "bcs-user-manager" => (json!({"v": "3", "log_max_size": "5"}), "verify_client_tls"),
        _ => (json!({"v": "3", "cluster": "BCS-MESOS-10001", "mesos_zookeeper": "127.0.0.1:1"}), "alsologtostderr"),
    }
}

#[tokio::test]
async fn integers_may_be_quoted_and_switches_may_not() {
    for (program, ports) in [
        ("bcs-storage", &["port", "metric_port"][..]),
        ("bcs-user-manager", &["insecure_port", "metric_port"]),
        ("bcs-check", &["metric_port"]),
    ] {
        let (mut config, switch) = quoted(program);
        config["insecure_address"] = json!("127.0.0.1");
        ServiceSpec::new(program).ports(ports).config(&config).start().await.stop().await;
        config[switch] = json!("true");
        let output = ServiceSpec::new(program).config(&config).output().await;
        assert_eq!(output.code, Some(1), "{output:?}");
        assert!(output.stderr.contains(&format!("key \"{switch}\"")), "{output:?}");
    }
}

#[tokio::test]
async fn every_service_prints_version_and_help() {
    for program in ["bcs-api", "bcs-storage", "bcs-user-manager", "bcs-cluster-manager", "bcs-check"] {
        let version = ServiceSpec::new(program).args(&["--version"]).output().await;
        let heads: Vec<_> = version.stdout.lines().map(|line| line.split(':').next().unwrap().trim()).collect();
        assert_eq!((version.code, heads.as_slice()), (Some(0), &["Version", "Tag", "BuildTime", "GitHash"][..]));
        assert_eq!(ServiceSpec::new(program).args(&["-h"]).output().await.code, Some(0));
    }
}

fn cryptools(args: &[&str]) -> Output {
    let root = WorkDir::new("tools");
    assemble("bcs", &programs(), root.path());
    Command::new(root.path().join("usr/local/bin/cryptools")).args(args).output().unwrap()
}

#[test]
fn cryptools_is_the_original_one() {
    let text = |output: Output| (output.status.code(), String::from_utf8(output.stdout).unwrap());
    let base64 = "pd1kCEot9nkqG7lQgAEUUg==";
    assert_eq!(text(cryptools(&["encrypt", "adminadmin"])), (Some(0), format!("Encrypt text: {base64}\n")));
    assert_eq!(text(cryptools(&["decrypt", base64])), (Some(0), "Original text: adminadmin\n".to_owned()));
    let usage = "command line arguments lost!\ntry:\n    cryptool decrypt [string]\n    cryptool encrypt [string]\n";
    for args in [&[][..], &["encrypt"], &["encrypt", "a", "b"]] {
        assert_eq!(text(cryptools(args)), (Some(0), usage.to_owned()), "{args:?}");
    }
    assert_eq!(text(cryptools(&["hash", "a"])), (Some(0), "Unkown action...\n".to_owned()));
    let (code, stdout) = text(cryptools(&["decrypt", "%"]));
    assert_eq!(code, Some(0));
    assert!(stdout.starts_with("Decrypt from Base failed: "), "{stdout}");
}
