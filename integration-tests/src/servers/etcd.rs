//! etcd, one member.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::certs::Certs;
use crate::daemon::{Daemon, Ready};
use crate::http::Client;
use crate::ports::Port;
use crate::process::command;
use crate::workdir::WorkDir;

/// An etcd server.
pub struct Etcd {
    daemon: Daemon,
    certs: Option<Certs>,
    _ports: [Port; 2],
}

impl Etcd {
    /// Starts an empty one without TLS.
    pub async fn start() -> Self {
        Self::launch(None).await
    }

    /// Starts an empty one that wants client certificates of [`Self::certs`].
    pub async fn start_tls() -> Self {
        Self::start_with(Certs::generate()).await
    }

    /// The same with these.
    pub async fn start_with(certs: Certs) -> Self {
        Self::launch(Some(certs)).await
    }

    async fn launch(certs: Option<Certs>) -> Self {
        let ports = [Port::claim(), Port::claim()];
        let [client, peer] = [ports[0].address(), ports[1].address()];
        let tls = certs.as_ref().map(|certs| {
            [
                ("--cert-file", certs.server_cert()),
                ("--key-file", certs.server_key()),
                ("--trusted-ca-file", certs.ca()),
            ]
        });
        let make = move |dir: &Path| {
            let mut etcd = member(dir, client, peer, tls.is_some());
            for (flag, path) in tls.iter().flatten() {
                etcd.arg(flag).arg(path);
            }
            etcd
        };
        // It serves clients only once the member leads.
        let daemon = Daemon::start("etcd", WorkDir::new("etcd"), client, Ready::Listens, make).await;
        Self { daemon, certs, _ports: ports }
    }

    /// Where clients connect, `host:port`.
    pub fn address(&self) -> SocketAddr {
        self.daemon.address()
    }

    /// The certificates of a server with TLS.
    pub fn certs(&self) -> Option<&Certs> {
        self.certs.as_ref()
    }

    /// The keys below a prefix with their values.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn keys(&self, prefix: &str) -> Vec<(String, String)> {
        // The prefix ends in a letter or slash, so the next character is the end of the range.
        let mut end = prefix.as_bytes().to_vec();
        *end.last_mut().unwrap() += 1;
        let range = json!({"key": BASE64_STANDARD.encode(prefix), "range_end": BASE64_STANDARD.encode(end)});
        let client = match &self.certs {
            None => Client::new(&format!("http://{}", self.address())),
            Some(certs) => Client::with_config(&format!("https://{}", self.address()), certs.client_config()),
        };
        let answer = client.post("/v3/kv/range", &range).await.unwrap().json();
        let text = |value: &Value| {
            String::from_utf8(BASE64_STANDARD.decode(value.as_str().unwrap_or_default()).unwrap()).unwrap()
        };
        let keys = answer["kvs"].as_array().cloned().unwrap_or_default();
        keys.iter().map(|kv| (text(&kv["key"]), text(&kv["value"]))).collect()
    }

    /// The process, to stop, freeze and start it again. Its data stays.
    pub fn daemon(&mut self) -> &mut Daemon {
        &mut self.daemon
    }
}

fn member(dir: &Path, client: SocketAddr, peer: SocketAddr, tls: bool) -> Command {
    let scheme = if tls { "https" } else { "http" };
    let mut etcd = command("etcd", dir);
    etcd.args(["--name", "one", "--data-dir", "data"])
        .args(["--listen-client-urls", &format!("{scheme}://{client}")])
        .args(["--advertise-client-urls", &format!("{scheme}://{client}")])
        .args(["--listen-peer-urls", &format!("http://{peer}")])
        .args(["--initial-advertise-peer-urls", &format!("http://{peer}")])
        .args(["--initial-cluster", &format!("one=http://{peer}")]);
    if tls {
        etcd.arg("--client-cert-auth");
    }
    etcd
}
