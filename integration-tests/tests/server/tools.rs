//! `bcs status`, `bcs snapshot`, `bcs config check`, `bcs completions`.

use std::process::Output;

use bcs_integration_tests::process::command;
use bcs_integration_tests::storage::pod;
use bcs_integration_tests::workdir::{WorkDir, programs};
use http::Method;
use serde_json::{Value, json};

use crate::server::Server;

/// Exit code, standard output and standard error.
fn texts(output: Output) -> (Option<i32>, String, String) {
    (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[tokio::test]
async fn status_follows_the_server() {
    let mut server = Server::start().await;
    let status = |server: &Server| texts(server.bcs(&["status", "--data-dir", "data"]));
    bcs_integration_tests::wait::eventually("all is ready", std::time::Duration::from_secs(20), async || {
        status(&server).0 == Some(0)
    })
    .await;
    let (_, stdout, _) = status(&server);
    let address = format!("http://127.0.0.1:{}", server.service.port("storage"));
    let storage = stdout.lines().find(|line| line.contains("bcs-storage")).unwrap();
    assert!(storage.contains(&address) && storage.ends_with(" ready"), "{stdout}");
    assert!(stdout.contains(&format!("console              http://127.0.0.1:{}/", server.service.port("console"))));
    server.service.stop().await;
    let (code, _, stderr) = status(&server);
    assert_eq!((code, stderr.as_str()), (Some(1), "no server runs on data\n"));
}

#[tokio::test]
async fn a_snapshot_of_a_running_server_starts_a_new_one() {
    let mut server = Server::start().await;
    let storage =
        bcs_integration_tests::http::Client::new(&format!("http://127.0.0.1:{}", server.service.port("storage")));
    let put = async |name: &str| storage.put(&pod("c", name), &json!({"data": {"n": name}})).await.unwrap().json();
    assert_eq!(put("before").await["code"], 0);
    let (code, stdout, stderr) = texts(server.bcs(&["snapshot", "save", "--data-dir", "data", "snap"]));
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    assert_eq!(put("after").await["code"], 0);
    let (code, stdout, _) = texts(server.bcs(&["snapshot", "verify", "snap"]));
    assert!(code == Some(0) && stdout.starts_with("snap is sound: "), "{stdout}");
    let (code, _, stderr) = texts(server.bcs(&["snapshot", "restore", "snap", "--data-dir", "data"]));
    assert!(code == Some(1) && stderr.contains("data is not empty"), "{stderr}");

    server.service.stop().await;
    std::fs::rename(server.data(), server.service.dir().path().join("old")).unwrap();
    let (code, _, stderr) = texts(server.bcs(&["snapshot", "restore", "snap", "--data-dir", "data"]));
    assert_eq!(code, Some(0), "{stderr}");
    server.service.daemon().start_again().await;
    let read = async |name: &str| storage.get(&pod("c", name)).await.unwrap().json()["code"].clone();
    assert_eq!(read("before").await, 0);
    assert_ne!(read("after").await, 0);
    // The users are there too.
    let path = "/bcsapi/v4/usermanager/v1/users/admin/admin";
    let user = server.call(Method::GET, path, &server.token, &Value::Null).await.json();
    assert_eq!(user["data"]["user_token"], json!(server.token));
}

#[tokio::test]
async fn a_config_is_checked_before_it_is_used() {
    let server = Server::start().await;
    let own =
        json!({"address": "127.0.0.1", "port": server.service.port("storage"), "metric_port": 0, "metric_potr": 1});
    server.service.dir().write("good.json", own.to_string());
    let (code, stdout, stderr) = texts(server.bcs(&["config", "check", "good.json", "--service", "bcs-storage"]));
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    for wanted in ["did you mean \"metric_port\"?", "if the service runs already, this is its own port"] {
        assert!(stdout.contains(wanted), "{wanted} is not in\n{stdout}");
    }
    server.service.dir().write("bad.json", "{\n  \"port\": true\n}");
    let (code, _, stderr) = texts(server.bcs(&["config", "check", "bad.json", "--service", "storage"]));
    assert!(code == Some(1) && stderr.starts_with("bad.json:2: key \"port\": "), "{stderr}");
    let (code, _, _) = texts(server.bcs(&["config", "check", "bad.json", "--service", "other"]));
    assert_eq!(code, Some(2));
    for shell in ["bash", "zsh", "fish"] {
        let (code, stdout, _) = texts(server.bcs(&["completions", shell]));
        assert!(code == Some(0) && stdout.contains("snapshot"), "{shell}");
    }
}

#[test]
fn completions_that_cannot_be_written_are_an_error() {
    let dir = WorkDir::new("completions");
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let mut bcs = command(programs().join("bcs"), dir.path());
    let (code, _, stderr) = texts(bcs.args(["completions", "bash"]).stdout(full).output().unwrap());
    assert_eq!((code, stderr.as_str()), (Some(1), "No space left on device (os error 28)\n"));
}

#[test]
fn a_data_directory_that_cannot_be_used_is_named() {
    let dir = WorkDir::new("no-data");
    dir.write("file", "");
    let output = command(programs().join("bcs"), dir.path()).args(["server", "--data-dir", "file"]).output().unwrap();
    let (code, _, stderr) = texts(output);
    assert_eq!(code, Some(1));
    assert!(stderr.starts_with("cannot use the data directory file: File exists"), "{stderr}");
}
