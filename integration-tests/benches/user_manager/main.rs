//! Figures of bcs-user-manager against the bars of docs/PERFORMANCE.md: `make bench`.
//!
//! The load comes from this process, over loopback, so client and service share the machine's cores. Nothing here
//! fails for being slow.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    missing_docs,
    reason = "a benchmark: a panic is a failed run, and it prints its table"
)]

#[path = "../storage/load.rs"]
mod load;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bcs_common::secret;
use bcs_integration_tests::servers::mariadb::MariaDb;
use bcs_integration_tests::service::{Service, ServiceSpec};
use http::Method;
use serde_json::{Value, json};

use load::{Connection, Load, Request};

const CLIENTS: usize = 32;
const USERS: usize = 200;
const SECONDS: Duration = Duration::from_secs(5);
const ADMIN: &str = "0123456789abcdefghijABCDEFGHIJ01";
const PREFIX: &str = "/usermanager/v1";

#[tokio::main]
async fn main() {
    println!("| database | what | measured | bar |\n|---|---|---|---|");
    row("SQLite", "process start → first answer", &format!("{:.0} ms", millis(start_time().await)), "≤ 20 ms");
    let mut embedded = spec("").start().await;
    row("SQLite", "RSS after start", &megabytes(&mut embedded), "≤ 10 MB");
    measure("SQLite", &mut embedded, "≥ 20,000/s").await;
    embedded.stop().await;

    let mariadb = MariaDb::start().await;
    let dsn = mariadb.create_database("bench").await;
    let mut service = spec(&dsn).start().await;
    measure("MariaDB", &mut service, "≥ 9,150/s (3 × the original)").await;
    service.stop().await;
}

fn spec(dsn: &str) -> ServiceSpec {
    let encrypted = |text: &str| if text.is_empty() { String::new() } else { secret::encrypt(text).unwrap() };
    let config = json!({
        "insecure_address": "127.0.0.1", "alsologtostderr": false, "mysql_dsn": encrypted(dsn),
        "bootstrap_users": [{"name": "admin", "user_type": "admin", "token": encrypted(ADMIN)}],
    });
    ServiceSpec::new("bcs-user-manager").config(&config).ports(&["insecure_port", "port", "metric_port"])
}

async fn start_time() -> Duration {
    let before = Instant::now();
    let mut service = spec("").start().await;
    service.client().get(PREFIX).await.unwrap();
    let taken = before.elapsed();
    service.stop().await;
    taken
}

async fn measure(database: &str, service: &mut Service, bar: &str) {
    let address = service.daemon().address();
    let process = service.daemon().process().id();
    let tokens: Arc<[String]> = make_users(service).await.into();

    let verify = move |client: usize, number: usize| {
        let token = &tokens[(client * 31 + number) % tokens.len()];
        let body =
            json!({"user_token": token, "resource_type": "cluster", "resource": "BCS-K8S-00001", "action": "GET"});
        Request::with_body("GET", &format!("{PREFIX}/permissions/verify"), &body.to_string()).with_token(ADMIN)
    };
    let cpu = load::cpu(process);
    let load = Load::run(address, CLIENTS, SECONDS, verify.clone()).await;
    let cpu = load::cpu(process).saturating_sub(cpu).as_secs_f64() * 1e6 / load.answers() as f64;
    row(database, "verify, 32 clients", &format!("{load}, {cpu:.0} CPU-µs each"), bar);
    row(database, "verify, 1 client", &Load::run(address, 1, SECONDS, verify).await.to_string(), "–");
    let get = |_, _| Request::new("GET", &format!("{PREFIX}/users/plain/user-1")).with_token(ADMIN);
    row(database, "GET one user", &Load::run(address, CLIENTS, SECONDS, get).await.to_string(), "–");
    let create = |client: usize, number: usize| {
        Request::with_body("POST", &format!("{PREFIX}/users/plain/new-{client}-{number}"), "").with_token(ADMIN)
    };
    row(database, "token creation", &Load::run(address, CLIENTS, SECONDS, create).await.to_string(), "–");
    let grant = |client: usize, number: usize| {
        let body = permission(&format!("user-{client}"), &format!("BCS-K8S-{number}"));
        Request::with_body("POST", &format!("{PREFIX}/permissions"), &body.to_string()).with_token(ADMIN)
    };
    row(database, "grant", &Load::run(address, CLIENTS, SECONDS, grant).await.to_string(), "–");
    row(database, "RSS under load", &megabytes(service), "–");
}

/// Users that may GET one cluster; their tokens.
async fn make_users(service: &Service) -> Vec<String> {
    let client = service.client();
    let call = async |method: Method, path: String, body: Value| {
        let request =
            http::Request::builder().method(method).uri(path).header("authorization", format!("Bearer {ADMIN}"));
        let body = http_body_util::Full::from(body.to_string());
        client.request(request.body(body).unwrap()).await.unwrap().json()
    };
    let mut connection = Connection::open(service.url()["http://".len()..].parse().unwrap()).await;
    let mut tokens = Vec::new();
    for number in 0..USERS {
        let name = format!("user-{number}");
        let user = call(Method::POST, format!("{PREFIX}/users/plain/{name}"), Value::Null).await;
        tokens.push(user["data"]["user_token"].as_str().unwrap().to_owned());
        let body = permission(&name, "BCS-K8S-00001").to_string();
        connection.ask(&Request::with_body("POST", &format!("{PREFIX}/permissions"), &body).with_token(ADMIN)).await;
    }
    tokens
}

fn permission(user: &str, resource: &str) -> Value {
    let entry = json!({"user_name": user, "resource_type": "cluster", "resource": resource, "role": "viewer"});
    json!({"apiVersion": "v1", "kind": "permission", "spec": {"permissions": [entry]}})
}

fn row(database: &str, what: &str, measured: &str, bar: &str) {
    println!("| {database} | {what} | {measured} | {bar} |");
}

fn megabytes(service: &mut Service) -> String {
    format!("{:.1} MB", service.daemon().process().resident_bytes() as f64 / 1e6)
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
