//! The recorded conversations of bcs-user-manager, on both databases.

use std::path::{Path, PathBuf};

use bcs_integration_tests::certs::Certs;
use bcs_integration_tests::golden::Replay;
use bcs_integration_tests::servers::mariadb::MariaDb;
use bcs_integration_tests::workdir::WorkDir;
use serde_json::{Value, json};

use crate::api::{ADMIN, config, start};

/// The longest pause that is kept. The original's pauses of a minute wait for its cache of permissions; here a grant counts
/// at once.
const MAX_SLEEP: f64 = 2.0;

/// Copies of the conversations without the long pauses.
fn conversations(dir: &WorkDir) -> Vec<PathBuf> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/user-manager");
    let files = std::fs::read_dir(golden).unwrap().map(|entry| entry.unwrap().path());
    let mut copies: Vec<PathBuf> = files
        .map(|file| {
            let mut conversation: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
            for step in conversation["steps"].as_array_mut().unwrap() {
                if step["sleep"].as_f64().is_some_and(|seconds| seconds > MAX_SLEEP) {
                    step.as_object_mut().unwrap().remove("sleep");
                }
            }
            dir.write(file.file_name().unwrap().to_str().unwrap(), conversation.to_string())
        })
        .collect();
    copies.sort();
    assert_eq!(copies.len(), 8);
    copies
}

async fn replay(config: &Value) {
    let certs = Certs::generate();
    let mut config = config.clone();
    config["server_cert_file"] = json!(certs.server_cert());
    config["server_key_file"] = json!(certs.server_key());
    let service = start(&config).await;
    let dir = WorkDir::new("conversations");
    let files = conversations(&dir);
    for base in [service.url(), format!("https://127.0.0.1:{}", service.port("port"))] {
        let replay = Replay::new(&base).var("ADMIN_TOKEN", ADMIN);
        let steps = files.iter().fold(replay, Replay::conversation).run().await;
        assert!(steps > 150, "{steps} steps");
    }
}

#[tokio::test]
async fn on_the_embedded_database() {
    replay(&config("")).await;
}

#[tokio::test]
async fn on_mariadb() {
    let mariadb = MariaDb::start().await;
    let dsn = mariadb.create_database("bcs").await;
    replay(&config(&dsn)).await;
}
