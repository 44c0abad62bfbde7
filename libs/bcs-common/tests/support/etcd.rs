//! A real etcd server, and a look into it through its JSON gateway.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::process::{Process, eventually, free_port, require};

const PROGRAM: &str = "/usr/bin/etcd";
const START_LIMIT: Duration = Duration::from_secs(60);

/// One etcd that is its own cluster.
pub struct EtcdServer {
    directory: TempDir,
    port: u16,
    process: Option<Process>,
}

/// Certificate files of a server that demands a client certificate.
pub struct TlsFiles<'a> {
    pub ca: &'a Path,
    pub cert: &'a Path,
    pub key: &'a Path,
}

impl EtcdServer {
    /// A server that does not run yet.
    pub fn stopped() -> Self {
        require(PROGRAM, "etcd-server");
        Self { directory: tempfile::tempdir().unwrap(), port: free_port(), process: None }
    }

    pub async fn started() -> Self {
        let mut server = Self::stopped();
        server.start().await;
        server
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Starts with the data of the last run and waits until it serves.
    pub async fn start(&mut self) {
        self.launch("http", |_| {}).await;
        eventually("etcd serves", START_LIMIT, async || {
            self.ask("/v3/kv/range", json!({"key": STANDARD.encode("/")})).await.map(|_| ())
        })
        .await;
    }

    /// Starts with TLS and waits until it accepts connections.
    pub async fn start_tls(&mut self, files: &TlsFiles<'_>) {
        let options = |command: &mut Command| {
            command.arg("--client-cert-auth").arg("--trusted-ca-file").arg(files.ca);
            command.arg("--cert-file").arg(files.cert).arg("--key-file").arg(files.key);
        };
        self.launch("https", options).await;
    }

    async fn launch(&mut self, scheme: &str, options: impl FnOnce(&mut Command)) {
        let directory = self.directory.path();
        let url = format!("{scheme}://{}", self.address());
        let peer_url = format!("http://127.0.0.1:{}", free_port());
        let mut command = Command::new(PROGRAM);
        command.arg("--data-dir").arg(directory.join("data")).args(["--listen-client-urls", &url]);
        command.args(["--advertise-client-urls", &url, "--listen-peer-urls", &peer_url, "--unsafe-no-fsync"]);
        options(&mut command);
        let mut process = Process::start(&mut command, directory);
        let log = directory.join("log");
        eventually("etcd listens", START_LIMIT, async || {
            assert!(!process.has_exited(), "etcd has exited, see {}", log.display());
            TcpStream::connect(self.address()).await.ok()
        })
        .await;
        self.process = Some(process);
    }

    pub fn stop(&mut self) {
        self.process = None;
    }

    /// All keys of the registry with their values and leases.
    pub async fn keys(&self) -> Vec<(String, String, String)> {
        self.keys_between("/micro/", "/micro0").await
    }

    /// The keys from one on to before another, with values and leases.
    pub async fn keys_between(&self, from: &str, to: &str) -> Vec<(String, String, String)> {
        let range = json!({"key": STANDARD.encode(from), "range_end": STANDARD.encode(to)});
        let answer = self.ask("/v3/kv/range", range).await.expect("etcd answers");
        let text =
            |value: &Value| String::from_utf8(STANDARD.decode(value.as_str().unwrap_or_default()).unwrap()).unwrap();
        let lease = |kv: &Value| kv["lease"].as_str().unwrap_or_default().to_owned();
        let keys = answer["kvs"].as_array().cloned().unwrap_or_default();
        keys.iter().map(|kv| (text(&kv["key"]), text(&kv["value"]), lease(kv))).collect()
    }

    pub async fn put(&self, key: &str, value: &str) {
        let request = json!({"key": STANDARD.encode(key), "value": STANDARD.encode(value)});
        self.ask("/v3/kv/put", request).await.expect("etcd answers");
    }

    pub async fn delete(&self, key: &str) {
        self.ask("/v3/kv/deleterange", json!({"key": STANDARD.encode(key)})).await.expect("etcd answers");
    }

    pub async fn revoke(&self, lease: &str) {
        self.ask("/v3/lease/revoke", json!({"ID": lease})).await.expect("etcd answers");
    }

    /// The granted seconds of a lease and the seconds it has left; none if it is gone.
    pub async fn time_to_live(&self, lease: &str) -> Option<(u64, u64)> {
        let answer = self.ask("/v3/lease/timetolive", json!({"ID": lease})).await.expect("etcd answers");
        let seconds = |key: &str| answer[key].as_str().and_then(|text| text.parse().ok());
        Some((seconds("grantedTTL")?, seconds("TTL")?))
    }

    async fn ask(&self, path: &str, body: Value) -> Option<Value> {
        let body = body.to_string();
        let request = format!(
            "POST {path} HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut stream = TcpStream::connect(self.address()).await.ok()?;
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        head.starts_with("HTTP/1.0 200").then(|| serde_json::from_str(body).unwrap())
    }
}
