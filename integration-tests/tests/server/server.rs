//! A running `bcs server` on free ports.

use std::path::PathBuf;
use std::process::{Command, Output};

use bcs_integration_tests::http::{Client, Response};
use bcs_integration_tests::process::command;
use bcs_integration_tests::service::{Service, ServiceSpec};
use bcs_integration_tests::workdir::programs;
use http::{Method, Request};
use http_body_util::Full;
use serde_json::Value;

/// The server with the token of its admin.
pub struct Server {
    pub service: Service,
    pub token: String,
    pub client: Client,
}

impl Server {
    pub async fn start() -> Self {
        let ports = [
            "console",
            "api",
            "api-metric",
            "storage",
            "storage-metric",
            "user-manager",
            "user-manager-metric",
            "cluster-manager",
            "cluster-manager-grpc",
            "cluster-manager-metric",
        ];
        let flags = ports.map(|port| format!("--{port}-port=${{{port}}}"));
        let flags: Vec<_> = ["server", "--data-dir=data"].into_iter().chain(flags.iter().map(String::as_str)).collect();
        let service = ServiceSpec::new("bcs").ports(&ports).args(&flags).start().await;
        let token = std::fs::read_to_string(service.dir().path().join("data/admin-token")).unwrap();
        let client = service.client();
        Self { service, token: token.trim().to_owned(), client }
    }

    pub fn data(&self) -> PathBuf {
        self.service.dir().path().join("data")
    }

    /// A request with a token.
    pub async fn call(&self, method: Method, path: &str, token: &str, body: &Value) -> Response {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        let request = request.header("authorization", format!("Bearer {token}"));
        self.client.request(request.body(Full::from(body)).unwrap()).await.unwrap()
    }

    /// Runs `bcs` with these arguments in the server's directory.
    pub fn bcs(&self, args: &[&str]) -> Output {
        let mut bcs: Command = command(programs().join("bcs"), self.service.dir().path());
        bcs.args(args).output().unwrap()
    }
}
