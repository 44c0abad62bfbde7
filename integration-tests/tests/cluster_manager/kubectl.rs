//! kubectl through a tunnel: what operators do.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::{Command, Output};
use std::sync::Arc;

use bcs_common::shutdown::Shutdown;
use bcs_integration_tests::process;
use bcs_integration_tests::service::Service;
use bcs_integration_tests::workdir::WorkDir;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Mutex;

use crate::support::{FakeKube, PythonAgent, start};

/// The one cluster of these tests.
pub const CLUSTER: &str = "BCS-K8S-00001";

type ConfigMaps = Arc<Mutex<BTreeMap<String, Value>>>;

/// As much of a kube-apiserver as kubectl wants for config maps.
struct Api {
    address: SocketAddr,
}

impl Api {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let maps = ConfigMaps::default();
        // It ends with the runtime of the test.
        let tasks = Shutdown::new();
        tasks.clone().spawn("api", async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let maps = Arc::clone(&maps);
                let service = service_fn(move |request| answer(Arc::clone(&maps), request));
                tasks.spawn("connection", http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address }
    }
}

async fn answer(maps: ConfigMaps, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    const ALL: &str = "/api/v1/namespaces/default/configmaps";
    let bearer = request.headers().get("authorization").cloned();
    assert_eq!(bearer.unwrap(), "Bearer agent-user-token");
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let body = request.into_body().collect().await?.to_bytes();
    let mut maps = maps.lock().await;
    let (status, value) = match (method, path.as_str(), path.strip_prefix(ALL).and_then(|rest| rest.strip_prefix('/')))
    {
        (_, "/api", _) => (200, json!({"kind": "APIVersions", "versions": ["v1"]})),
        (_, "/apis", _) => (200, json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": []})),
        (_, "/api/v1", _) => {
            let verbs = ["create", "delete", "get", "list", "watch"];
            let maps = json!({"name": "configmaps", "singularName": "configmap", "namespaced": true, "kind": "ConfigMap", "verbs": verbs});
            (200, json!({"kind": "APIResourceList", "groupVersion": "v1", "resources": [maps]}))
        }
        (_, "/version", _) => (200, json!({"major": "1", "minor": "20", "gitVersion": "v1.20.0"})),
        (Method::POST, ALL, _) => {
            let mut map: Value = serde_json::from_slice(&body).unwrap();
            map["metadata"]["resourceVersion"] = json!("1");
            maps.insert(map["metadata"]["name"].as_str().unwrap().to_owned(), map.clone());
            (201, map)
        }
        (Method::GET, ALL, _) => {
            let items: Vec<&Value> = maps.values().collect();
            (200, json!({"kind": "ConfigMapList", "apiVersion": "v1", "metadata": {}, "items": items}))
        }
        (Method::GET, _, Some(name)) if maps.contains_key(name) => (200, maps[name].clone()),
        (Method::DELETE, _, Some(name)) if maps.contains_key(name) => {
            maps.remove(name);
            (200, json!({"kind": "Status", "apiVersion": "v1", "status": "Success"}))
        }
        _ => (
            404,
            json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404, "message": "not found"}),
        ),
    };
    let mut response = Response::new(Full::from(value.to_string()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response.headers_mut().insert("content-type", "application/json".parse().unwrap());
    Ok(response)
}

/// kubectl for the cluster.
pub fn command(service: &Service, home: &WorkDir, args: &[&str]) -> Command {
    let server = format!("http://127.0.0.1:{}/clustermanager/clusters/{CLUSTER}", service.port("httpport"));
    let mut kubectl = process::command("kubectl", home.path());
    kubectl.args(["--server", &server, "--token", "client-token"]).args(args);
    kubectl
}

/// Runs it to its end.
pub async fn output(mut kubectl: Command) -> Output {
    tokio::task::spawn_blocking(move || kubectl.output()).await.unwrap().unwrap()
}

async fn kubectl(service: &Service, home: &WorkDir, args: &[&str]) -> Output {
    output(command(service, home, args)).await
}

fn text(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    assert!(output.status.success(), "{out}{err}");
    out
}

#[tokio::test]
async fn objects_are_created_listed_and_deleted() {
    let config = json!({});
    let (service, api) = tokio::join!(start(&config), Api::start());
    let _agent = PythonAgent::start(&service, CLUSTER, api.address).await;
    let home = WorkDir::new("kubectl");
    let run = async |args: &[&str]| text(&kubectl(&service, &home, args).await);
    assert!(run(&["version"]).await.contains("v1.20.0"));
    // From a file, because kubectl sends what it makes itself as protobuf.
    let map =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"color": "blue"}});
    home.write("map.json", map.to_string());
    let file = home.path().join("map.json");
    let created = run(&["create", "--validate=false", "-f", file.to_str().unwrap()]).await;
    assert_eq!(created, "configmap/settings created\n");
    assert_eq!(run(&["get", "configmaps", "-o", "name"]).await, "configmap/settings\n");
    assert_eq!(run(&["get", "configmap", "settings", "-o", "jsonpath={.data.color}"]).await, "blue");
    assert!(run(&["delete", "configmap", "settings", "--wait=false"]).await.contains("\"settings\" deleted"));
    let missing = kubectl(&service, &home, &["get", "configmap", "settings"]).await;
    assert!(!missing.status.success());
    assert!(String::from_utf8_lossy(&missing.stderr).contains("not found"));
}

#[tokio::test]
async fn raw_requests_stream() {
    let config = json!({});
    let (service, kube) = tokio::join!(start(&config), FakeKube::start());
    let _agent = PythonAgent::start(&service, CLUSTER, kube.address()).await;
    let home = WorkDir::new("kubectl");
    // A raw path begins at the server's root.
    let path = format!("/clustermanager/clusters/{CLUSTER}/watch?n=3&ms=20");
    let events = text(&kubectl(&service, &home, &["get", "--raw", &path]).await);
    let numbers: Vec<Value> = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(numbers, [json!({"n": 1}), json!({"n": 2}), json!({"n": 3})]);
}

#[tokio::test]
async fn a_cluster_without_agent_is_not_found() {
    let service = start(&json!({})).await;
    let home = WorkDir::new("kubectl");
    let output = kubectl(&service, &home, &["get", "configmaps"]).await;
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("(NotFound)"), "{errors}");
}
