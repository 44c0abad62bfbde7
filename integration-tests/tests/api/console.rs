//! The console on the HTTPS port (`console: true`), in Chromium.

use bcs_integration_tests::browser::Browser;
use bcs_integration_tests::certs::Certs;
use bcs_integration_tests::http::{Client, Response};
use bcs_integration_tests::servers::zookeeper::ZooKeeper;
use bcs_integration_tests::storage::{pod, storage};
use bcs_integration_tests::wait::eventually;
use http::{Method, Request};
use http_body_util::Full;
use serde_json::{Value, json};

use crate::harness::{ADMIN, SOON, spec};
use crate::users::Api;

async fn get(client: &Client, path: &str, token: &str) -> Response {
    let request = Request::builder().method(Method::GET).uri(path).header("authorization", format!("Bearer {token}"));
    client.request(request.body(Full::default()).unwrap()).await.unwrap()
}

fn says(text: &str) -> String {
    format!("document.body?.innerText.includes({})", json!(text))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn super_users_see_the_services_behind_this_one() {
    let zookeeper = ZooKeeper::start().await;
    let address = zookeeper.address().to_string();
    let storage = storage(&json!({"bcs_zookeeper": address})).start().await;
    let certs = Certs::generate();
    let keys = json!({
        "bcs_zookeeper": address,
        "console": true,
        "server_cert_file": certs.server_cert(),
        "server_key_file": certs.server_key(),
        "bkiam_auth": {"auth": true},
    });
    let mut service = spec(&keys).start().await;
    let base = format!("https://127.0.0.1:{}", service.port("port"));
    let client = Client::with_ca(&base, &certs.ca());
    let plain_user = Api::admin(&service).create_user("ann").await;
    let path = pod("BCS-K8S-00000", "first");
    let through = path.replace("/bcsstorage/v1", "/bcsapi/v4/storage");
    let pod = |phase: &str| json!({"data": {"kind": "Pod", "status": {"phase": phase}}});
    storage.client().put(&path, &pod("Pending")).await.unwrap();

    // Super users, and nobody else; they pass the filter too.
    eventually("storage is found", SOON, async || get(&client, &through, ADMIN).await.status == 200).await;
    for token in ["", "wrong", &plain_user] {
        assert_eq!(get(&client, "/console/overview", token).await.status, 401, "{token}");
        let refused = get(&client, &through, token).await;
        assert_eq!((refused.status.as_u16(), &refused.json()["code"]), (400, &json!(1_405_057)), "{token}");
    }
    let overview = get(&client, "/console/overview", ADMIN).await.json();
    let names: Vec<_> = overview["services"].as_array().unwrap().iter().map(|s| s["name"].clone()).collect();
    assert_eq!((names, &overview["users"]), (vec![json!("bcs-api"), json!("storage")], &json!(false)));

    // Not without TLS, and nothing else has changed.
    for (path, status) in [("/", 404), ("/console/overview", 404), ("/console/console.js", 404)] {
        assert_eq!(service.client().get(path).await.unwrap().status, status, "{path}");
    }
    assert_eq!(client.get("/console/other").await.unwrap().status, 404);
    assert_eq!(client.post("/", &Value::Null).await.unwrap().status, 404);
    assert_eq!(client.get("/console/openapi/other").await.unwrap().status, 404);

    // The routes, here and on the metric port.
    let listed = client.get("/console/openapi/bcs-api").await.unwrap().json();
    let metrics = service.metrics().await;
    assert_eq!(metrics.get("/openapi.json").await.unwrap().json(), listed);
    for route in bcs_api::REST_ROUTES {
        let method = route.method.as_str().to_lowercase();
        assert!(
            listed["paths"][format!("/rest{}", route.template)][&method].is_object(),
            "{method} {}",
            route.template
        );
    }

    let mut browser = Browser::start();
    browser.trust_any_certificate();
    browser.open(&base);
    browser.until("document.activeElement?.name === 'token'");
    browser.insert(&plain_user);
    browser.press("Enter");
    browser.until(&says("The token is not one of an admin."));
    browser.take_errors(); // The browser reports every answer 401.
    browser.evaluate("document.activeElement.value = ''");
    browser.insert(ADMIN);
    browser.press("Enter");
    browser.until("document.querySelectorAll('.good').length === 2");
    assert_eq!(browser.evaluate("document.querySelectorAll('nav a').length"), 5);
    browser.press("2");
    browser.until(&says("Choose a cluster and a kind."));
    browser.evaluate("document.querySelector('[name=cluster]').focus()");
    browser.insert("BCS-K8S-00000");
    browser.press("Enter");
    browser.until(&says("● live"));
    browser.until(&says("Pending"));
    storage.client().put(&path, &pod("Running")).await.unwrap();
    browser.until(&says("Running"));
    browser.evaluate("document.activeElement.blur()");
    browser.press("5");
    browser.until(&says("/tunnels/clusters/{cluster_identifier}/{uri}"));
    browser.until(&says("/rest/clusters/bcs/query_by_id"));
    // A page that is loaded again asks again what there is.
    browser.open(&format!("{base}/#events"));
    browser.evaluate("window.isOld = true");
    browser.reload();
    let loaded = "!window.isOld && document.querySelectorAll('nav a').length === 5";
    browser.until(&format!("{loaded} && {}", says("The latest events that clusters reported.")));
    assert_eq!(browser.take_errors(), Vec::<String>::new());
    drop(browser);
    service.stop().await;
    let [stdout, stderr] = service.daemon().process().output();
    assert!(!stdout.contains(ADMIN) && !stderr.contains(ADMIN));
}
