//! bcs-api as the HTTPS entry of `bcs server`.

use std::time::Duration;

use bcs_integration_tests::http::{Client, Response};
use bcs_integration_tests::storage::pod;
use bcs_integration_tests::wait::LOAD;
use http::{Method, Request};
use http_body_util::Full;
use serde_json::{Value, json};

use crate::server::Server;

/// A client of the entry that trusts the server's own CA, and no other.
fn entry(server: &Server) -> Client {
    let url = format!("https://127.0.0.1:{}", server.service.port("api"));
    Client::with_ca(&url, &server.data().join("certs/bcs-ca.pem"))
}

async fn call(client: &Client, method: Method, path: &str, token: &str, body: &Value) -> Response {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    let request = request.header("authorization", format!("Bearer {token}"));
    client.request(request.body(Full::from(body)).unwrap()).await.unwrap()
}

#[tokio::test]
async fn one_entry_leads_to_every_service_by_https() {
    let mut server = Server::start().await;
    let client = entry(&server);
    let token = server.token.clone();
    let get = async |path: &str, token: &str| call(&client, Method::GET, path, token, &Value::Null).await;

    // Its own users: the admin's token is the one of bcs-user-manager.
    let made = call(&client, Method::POST, "/rest/users", &token, &json!({"user_name": "ann"})).await;
    assert_eq!((made.status.as_u16(), &made.json()["Name"]), (200, &json!("plain:ann")), "{}", made.text());
    assert_eq!(get("/rest/users/ann", "wrong").await.status, 401);

    let path = pod("BCS-K8S-1", "p");
    let through = path.replace("/bcsstorage/v1", "/bcsapi/v4/storage");
    let put = call(&client, Method::PUT, &through, &token, &json!({"data": {"kind": "Pod"}})).await;
    assert_eq!(put.json()["code"], 0, "{}", put.text());
    let users = "/usermanager/v1/users/admin/admin";
    let cluster = "/clustermanager/v1/cluster/BCS-K8S-1";
    for (port, direct, through) in [
        ("storage", path.as_str(), through),
        ("user-manager", users, format!("/bcsapi/v4{users}")),
        ("cluster-manager", cluster, format!("/bcsapi/v4{cluster}")),
    ] {
        let service = Client::new(&format!("http://127.0.0.1:{}", server.service.port(port)));
        let direct = call(&service, Method::GET, direct, &token, &Value::Null).await;
        let through = get(&through, &token).await;
        assert_eq!((through.status.as_u16(), through.json()), (200, direct.json()), "{port}");
    }
    assert_eq!(get("/bcsapi/v4/usermanager/v1/users/admin/admin", "wrong").await.status, 401);

    // The certificate and the admin stay those of the first start.
    assert!(server.service.stop().await < Duration::from_secs(6) + LOAD);
    server.service.daemon().start_again().await;
    assert_eq!(get("/rest/users/ann", &token).await.status, 200);
    let [stdout, stderr] = server.service.daemon().process().output();
    assert!(stdout.contains(&format!("https://127.0.0.1:{}", server.service.port("api"))), "{stdout}");
    assert!(!stderr.contains(&token));
}
