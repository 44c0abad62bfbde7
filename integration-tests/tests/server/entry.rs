//! Who may pass the one port for people, and what is behind it.

use std::collections::BTreeSet;
use std::time::Duration;

use bcs_integration_tests::http::Client;
use bcs_integration_tests::process::{Process, command};
use bcs_integration_tests::wait::{LOAD, eventually};
use bcs_integration_tests::workdir::WorkDir;
use http::Method;
use serde_json::{Value, json};

use crate::server::Server;

const SOON: Duration = Duration::from_secs(20);
const POD: &str = "/bcsapi/v4/storage/k8s/dynamic/namespace_resources/clusters/BCS-K8S-1/namespaces/ns/Pod/p";
const EVERYTHING: [&str; 4] =
    ["/console/overview", "/console/clusters", POD, "/bcsapi/v4/usermanager/v1/users/admin/admin"];

#[tokio::test]
async fn only_who_is_allowed_passes() {
    let server = Server::start().await;
    let nothing = Value::Null;
    for path in EVERYTHING {
        for token in ["", "wrong", &server.token.to_uppercase()] {
            let answer = server.call(Method::GET, path, token, &nothing).await;
            assert_eq!(answer.status, 401, "{path} with {token:?}: {}", answer.text());
        }
        assert_eq!(server.client.get(path).await.unwrap().status, 401, "{path}");
        assert_eq!(server.call(Method::GET, path, &server.token, &nothing).await.status, 200, "{path}");
    }

    // A user with a grant may what its role says, at once, and no more once it is taken back.
    let users = "/bcsapi/v4/usermanager/v1";
    let made = server.call(Method::POST, &format!("{users}/users/plain/viewer"), &server.token, &nothing).await.json();
    let token = made["data"]["user_token"].as_str().unwrap();
    assert_eq!(server.call(Method::GET, POD, token, &nothing).await.status, 401);
    let grant = json!({"apiVersion": "v1", "kind": "permission", "metadata": {"name": "p"}, "spec": {"permissions":
        [{"user_name": "viewer", "resource_type": "storage", "resource": "*", "role": "viewer"}]}});
    assert_eq!(
        server.call(Method::POST, &format!("{users}/permissions"), &server.token, &grant).await.json()["code"],
        0
    );
    assert_eq!(server.call(Method::GET, POD, token, &nothing).await.status, 200);
    assert_eq!(server.call(Method::PUT, POD, token, &json!({"data": {}})).await.status, 401);
    assert_eq!(server.call(Method::GET, "/console/overview", token, &nothing).await.status, 401);
    let listed = "/console/permissions?user_name=viewer&resource_type=storage";
    assert_eq!(server.call(Method::GET, listed, &server.token, &nothing).await.json()["data"][0]["role"], "viewer");
    server.call(Method::DELETE, &format!("{users}/permissions"), &server.token, &grant).await;
    assert_eq!(server.call(Method::GET, POD, token, &nothing).await.status, 401);
}

#[tokio::test]
async fn requests_and_streams_go_through_unchanged() {
    let mut server = Server::start().await;
    let body = json!({"data": {"kind": "Pod", "text": "a<b>&\u{fc}"}});
    assert_eq!(server.call(Method::PUT, POD, &server.token, &body).await.json()["code"], 0);
    let direct = Client::new(&format!("http://127.0.0.1:{}", server.service.port("storage")));
    let path = POD.replace("/bcsapi/v4/storage", "/bcsstorage/v1");
    let (through, straight) =
        (server.call(Method::GET, POD, &server.token, &Value::Null).await, direct.get(&path).await.unwrap());
    assert_eq!((through.status, &through.body), (straight.status, &straight.body));
    assert_eq!(through.json()["data"]["data"], body["data"]);
    let list = "/bcsapi/v4/storage/k8s/dynamic/all_resources/clusters/BCS-K8S-1/Pod?field=resourceName";
    let list = server.call(Method::GET, list, &server.token, &Value::Null).await.json();
    assert_eq!(list["data"][0]["resourceName"], "p");
    assert_eq!(server.call(Method::GET, "/bcsapi/v4/storage/nothing", &server.token, &Value::Null).await.status, 404);
    assert_eq!(server.client.get("/bcsapi/v4/other/x").await.unwrap().status, 404);

    // A watch that is open does not keep the server from stopping.
    let url =
        format!("http://127.0.0.1:{}/bcsapi/v4/storage/dynamic/watch/BCS-K8S-1/Pod", server.service.port("console"));
    let bearer = format!("Authorization: Bearer {}", server.token);
    let logs = WorkDir::new("curl");
    let mut curl = command("curl", logs.path());
    curl.args(["-sN", "-X", "POST", "-d", "{}", "-H", &bearer, &url]);
    let mut curl = Process::spawn("curl", curl, logs.path());
    eventually("the watch sees a change", SOON, async || {
        server.call(Method::PUT, POD, &server.token, &json!({"data": {"n": 1}})).await;
        curl.output()[0].contains(r#""n":1"#)
    })
    .await;
    assert!(server.service.stop().await < Duration::from_secs(6) + LOAD);
    curl.exited(SOON).await;
}

#[tokio::test]
async fn the_overview_and_the_routes_are_those_of_the_services() {
    let server = Server::start().await;
    let overview = server.call(Method::GET, "/console/overview", &server.token, &Value::Null).await.json();
    let services = overview["services"].as_array().unwrap();
    let names: Vec<_> = services.iter().map(|service| service["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["bcs-api", "bcs-storage", "bcs-user-manager", "bcs-cluster-manager"]);
    for service in services {
        assert!(service["address"].is_string(), "{service}");
        assert_eq!(service["certificate"].is_null(), service["scheme"] == "http", "{service}");
    }

    let storage = server.client.get("/console/openapi/bcs-storage").await.unwrap().json();
    let routes = include_str!("../../../services/bcs-storage/src/routes/routes.txt");
    let wanted: BTreeSet<String> = routes
        .lines()
        .flat_map(|line| {
            let (methods, path) = line.split_once(' ').unwrap();
            methods.split(',').map(move |method| format!("{} {path}", method.to_lowercase())).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(operations(&storage), wanted);

    let users = server.client.get("/console/openapi/bcs-user-manager").await.unwrap().json();
    let wanted = bcs_user_manager::ROUTES
        .iter()
        .map(|route| format!("{} {}{}", route.method.as_str().to_lowercase(), bcs_user_manager::MOUNT, route.template));
    assert_eq!(operations(&users), wanted.collect());
    let clusters = server.client.get("/console/openapi/bcs-cluster-manager").await.unwrap().json();
    let contract = include_str!("../../../proto/proto/clustermanager.proto");
    let rpcs: BTreeSet<String> = contract.lines().filter_map(annotated).collect();
    assert_eq!(rpcs.len(), 22);
    let listed = operations(&clusters);
    assert!(listed.is_superset(&rpcs), "{:?} are missing", rpcs.difference(&listed));
    assert!(listed.contains("get /clustermanager/v1/websocket/connect"));
    assert_eq!(server.client.get("/console/openapi/other").await.unwrap().status, 404);
}

/// `method path` of a line of the contract with an annotation.
fn annotated(line: &str) -> Option<String> {
    let (_, annotation) = line.split_once("(google.api.http) = { ")?;
    let (method, rest) = annotation.split_once(": \"")?;
    Some(format!("{method} {}", rest.split('"').next()?))
}

/// `method path` of every operation.
fn operations(document: &Value) -> BTreeSet<String> {
    let paths = document["paths"].as_object().unwrap();
    let all = paths.iter().flat_map(|(path, item)| {
        item.as_object()
            .unwrap()
            .keys()
            .filter(|key| *key != "parameters")
            .map(move |method| format!("{method} {path}"))
    });
    all.collect()
}
