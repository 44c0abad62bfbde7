//! Mesos drivers behind their tunnels.

use bcs_integration_tests::http::Response;
use bcs_integration_tests::kube::Kube;
use bcs_integration_tests::ports::Port;
use bcs_integration_tests::service::Service;
use bcs_integration_tests::tunnel_agent::{Agent, AgentOptions};
use bcs_integration_tests::wait::eventually;
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{FakeKube, PythonAgent, SOON, start};

const CLUSTER: &str = "BCS-MESOS-10001";

async fn ask(service: &Service, method: Method, path: &str, cluster: &str) -> Response {
    let request = Request::builder().method(method).uri(path).header("bcs-clusterid", cluster);
    service.client().request(request.body(Full::from("{}")).unwrap()).await.unwrap()
}

#[tokio::test]
async fn calls_reach_the_driver_under_its_own_path() {
    let config = json!({});
    let (service, driver) = tokio::join!(start(&config), FakeKube::start());
    let address = format!("{}/echo", driver.url());
    let args = ["--module", "mesosdriver", "--address", &address];
    let _agent = PythonAgent::start_with(&service, CLUSTER, driver.address(), &args).await;
    let path = "/clustermanager/mesosdriver/v4/apps?x=1";
    let answer = ask(&service, Method::PUT, path, CLUSTER).await;
    assert_eq!(answer.status, StatusCode::OK);
    let seen = answer.json();
    assert_eq!((&seen["method"], &seen["path"]), (&json!("PUT"), &json!("/echo/mesosdriver/v4/apps")));
    assert_eq!((&seen["query"], &seen["body"]), (&json!("x=1"), &json!("{}")));
    let other = ask(&service, Method::GET, path, "BCS-MESOS-2").await;
    assert_eq!((other.status, &other.json()["code"]), (StatusCode::OK, &json!(1_405_051)));
    assert_eq!(ask(&service, Method::PATCH, path, CLUSTER).await.status, StatusCode::METHOD_NOT_ALLOWED);
    // The stand-in has nothing there; that it says so came through the tunnel.
    let console = ask(&service, Method::GET, "/mesosdriver/v4/webconsole/x", CLUSTER).await;
    assert_eq!((console.status, &console.json()["kind"]), (StatusCode::NOT_FOUND, &json!("Status")));
}

/// The agent of a driver.
async fn driver(service: &Service, cluster: &str, address: String) -> Agent {
    let options = AgentOptions::new(format!("127.0.0.1:{}", service.port("httpport")), cluster, address);
    Agent::start(AgentOptions { module: "mesosdriver".to_owned(), ..options }).await.unwrap()
}

#[tokio::test]
async fn yaml_becomes_json_on_the_way() {
    let config = json!({});
    let (service, backend) = tokio::join!(start(&config), Kube::start());
    let _agent = driver(&service, CLUSTER, backend.url()).await;
    let send = async |body: &'static str| {
        let request = Request::post("/clustermanager/mesosdriver/v4/namespaces/ns/applications")
            .header("bcs-clusterid", CLUSTER)
            .header("content-type", "application/x-yaml");
        service.client().request(request.body(Full::from(body)).unwrap()).await.unwrap()
    };
    let seen = send("kind: application\nspec:\n  instance: 2\n").await.json();
    assert_eq!(seen["path"], "/mesosdriver/v4/namespaces/ns/applications");
    assert_eq!(seen["body"], r#"{"kind":"application","spec":{"instance":2}}"#);
    let refused = send("a: [1").await;
    assert_eq!((refused.status, &refused.json()["code"]), (StatusCode::OK, &json!(1_405_065)));
    assert_eq!(backend.requests(), 1);
}

#[tokio::test]
async fn web_consoles_go_through_the_tunnel() {
    let config = json!({});
    let (mut service, backend, dead) = (start(&config).await, Kube::start().await, Port::claim());
    let _agent = driver(&service, CLUSTER, backend.url()).await;
    let path = "/mesosdriver/v4/webconsole/create_exec?host_ip=10.0.0.1";
    let seen = ask(&service, Method::POST, path, CLUSTER).await.json();
    assert_eq!(
        (&seen["path"], &seen["query"]),
        (&json!("/mesosdriver/v4/webconsole/create_exec"), &json!("host_ip=10.0.0.1"))
    );
    assert_eq!((&seen["headers"]["bcs-clusterid"], &seen["body"]), (&json!(CLUSTER), &json!("{}")));

    let mut console = TcpStream::connect(service.daemon().address()).await.unwrap();
    let head = format!(
        "GET /mesosdriver/v4/webconsole/start_exec?exec_id=1 HTTP/1.1\r\nHost: x\r\nBCS-ClusterID: {CLUSTER}\r\n\
         Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: key==\r\n\r\n"
    );
    console.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(console.read_u8().await.unwrap());
    }
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 101") && answer.contains("x-key: key=="), "{answer}");
    let sent = vec![b'z'; 200_000];
    let mut back = vec![0; sent.len()];
    let (mut read, mut write) = console.split();
    let (wrote, got) = tokio::join!(write.write_all(&sent), read.read_exact(&mut back));
    wrote.unwrap();
    got.unwrap();
    assert_eq!(sent, back);
    drop(console);
    eventually("the driver's end is closed", SOON, async || backend.open() <= 1).await;

    let nobody = ask(&service, Method::GET, path, "").await;
    assert_eq!((nobody.status, &nobody.json()["code"]), (StatusCode::BAD_REQUEST, &json!(1_405_007)));
    let unknown = ask(&service, Method::GET, path, "BCS-MESOS-2").await;
    let text = "no tunnel could be found for cluster BCS-MESOS-2\n";
    assert_eq!((unknown.status, unknown.text().as_str()), (StatusCode::BAD_REQUEST, text));
    let _dead = driver(&service, "BCS-MESOS-3", format!("http://{}", dead.address())).await;
    let down = ask(&service, Method::GET, path, "BCS-MESOS-3").await;
    assert_eq!(down.status, StatusCode::SERVICE_UNAVAILABLE);
    let text = "errcode: 1405064, couldn't dial to remote backend url ";
    assert!(down.text().starts_with(text) && down.text().contains("connection refused"), "{}", down.text());
}
