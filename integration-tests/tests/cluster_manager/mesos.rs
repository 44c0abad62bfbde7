//! Mesos drivers behind their tunnels.

use bcs_integration_tests::http::Response;
use bcs_integration_tests::service::Service;
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use serde_json::json;

use crate::support::{FakeKube, PythonAgent, start};

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
