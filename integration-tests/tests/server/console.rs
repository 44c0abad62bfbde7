//! The console in Chromium.

use bcs_integration_tests::browser::Browser;
use bcs_integration_tests::http::Client;
use bcs_integration_tests::kube::Kube;
use bcs_integration_tests::storage::pod;
use bcs_integration_tests::tunnel_agent::{Agent, AgentOptions};
use serde_json::{Value, json};

use crate::server::Server;

/// Keeps a picture for who wants to look: BCS_TEST_SCREENSHOTS names a directory.
fn picture(browser: &mut Browser, name: &str) {
    let png = browser.screenshot();
    assert!(png.starts_with(b"\x89PNG"));
    if let Some(dir) = std::env::var_os("BCS_TEST_SCREENSHOTS") {
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(std::path::Path::new(&dir).join(format!("{name}.png")), png).unwrap();
    }
}

fn says(text: &str) -> String {
    format!("document.body.innerText.includes({})", json!(text))
}

async fn put_pod(storage: &Client, name: &str, phase: &str) {
    // What would be markup or code if the console were careless.
    let data = json!({"kind": "Pod", "status": {"phase": phase}, "note": "<img src=x onerror=alert(1)>"});
    assert_eq!(storage.put(&pod("BCS-K8S-00000", name), &json!({"data": data})).await.unwrap().json()["code"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn people_sign_in_and_see_changes_as_they_happen() {
    let mut server = Server::start().await;
    let storage = Client::new(&format!("http://127.0.0.1:{}", server.service.port("storage")));
    put_pod(&storage, "first", "Pending").await;
    let base = server.service.url();
    let mut browser = Browser::start();

    browser.open(&base);
    browser.until("document.activeElement?.name === 'token'");
    browser.insert("wrong");
    browser.press("Enter");
    browser.until(&says("The token is not one of an admin."));
    browser.take_errors(); // The browser reports every answer 401.
    picture(&mut browser, "sign-in");
    browser.evaluate("document.activeElement.value = ''");
    browser.insert(&server.token);
    browser.press("Enter");
    browser.until(&says("bcs-user-manager"));
    browser.until("document.querySelectorAll('.good').length === 4");
    picture(&mut browser, "services");

    // The keyboard alone is enough.
    browser.press("3");
    browser.until(&says("Choose a cluster and a kind."));
    browser.evaluate("document.querySelector('[name=cluster]').focus()");
    browser.insert("BCS-K8S-00000");
    browser.press("Enter");
    browser.until(&says("● live"));
    browser.until(&says("Pending"));
    put_pod(&storage, "first", "Running").await;
    browser.until(&says("Running"));
    put_pod(&storage, "second", "<b>bold</b>").await;
    browser.until(&says("<b>bold</b>"));
    browser.until(&says("2 / 2 rows"));
    picture(&mut browser, "resources");
    storage.delete(&pod("BCS-K8S-00000", "second")).await.unwrap();
    browser.until(&says("1 / 1 rows"));
    browser.evaluate("document.activeElement.blur()");
    browser.press("j");
    browser.press("Enter");
    browser.until("document.querySelector('dialog pre')?.innerText.includes('onerror=alert(1)')");
    assert_eq!(browser.evaluate("document.querySelectorAll('img[src=x], td b').length"), 0);
    picture(&mut browser, "json");
    browser.press("Escape");
    browser.until("!document.querySelector('dialog')");

    storage.put("/bcsstorage/v1/events", &json!({"env": "k8s", "kind": "Pod", "level": "Warning", "component": "kubelet",
        "type": "BackOff", "clusterId": "BCS-K8S-00000", "eventTime": 1_622_592_000, "describe": "restarting", "data": {}}))
        .await
        .unwrap();
    browser.press("4");
    browser.until(&says("restarting"));
    picture(&mut browser, "events");

    browser.press("5");
    browser.until("document.querySelector('[name=name]')");
    browser.evaluate("document.querySelector('[name=name]').focus()");
    browser.insert("admin");
    browser.press("Enter");
    browser.until(&says("Permissions"));
    browser.until(&says("Nothing here."));
    let token_is_hidden = format!("!{}", says(&server.token));
    browser.until(&token_is_hidden);
    picture(&mut browser, "users");

    browser.evaluate("document.activeElement.blur()");
    browser.press("7");
    browser.until(&says("/bcsstorage/v1/dynamic/watch/{clusterId}/{resourceType}"));
    picture(&mut browser, "api");

    browser.evaluate(
        "{ const s = document.querySelector('header select'); s.value = 'zh'; s.dispatchEvent(new Event('change')); }",
    );
    browser.until("document.documentElement.lang === 'zh-CN'");
    browser.press("1");
    browser.until(&says("就绪"));
    picture(&mut browser, "services-zh");

    // The token is in no URL, and in nothing that outlives the tab.
    let kept = browser.evaluate("location.href + JSON.stringify(localStorage) + document.cookie");
    assert!(!kept.as_str().unwrap().contains(&server.token), "{kept}");
    assert_eq!(browser.take_errors(), Vec::<String>::new());
    drop(browser);
    server.service.stop().await;
    let [stdout, stderr] = server.service.daemon().process().output();
    assert_eq!(stdout.matches(&server.token).count(), 1, "once, at the first start");
    assert!(!stderr.contains(&server.token));
}

#[tokio::test(flavor = "multi_thread")]
async fn clusters_are_shown_with_the_agents_that_are_connected() {
    let server = Server::start().await;
    let manager = format!("127.0.0.1:{}", server.service.port("cluster-manager"));
    let client = Client::new(&format!("http://{manager}"));
    let cluster = json!({"clusterName": "<b>first</b>", "provider": "local", "region": "r1", "projectID": "p1",
        "businessID": "100", "environment": "prod", "engineType": "k8s", "isExclusive": true, "clusterType": "single"});
    for id in ["BCS-K8S-00001", "BCS-K8S-00002"] {
        let made = client.post(&format!("/clustermanager/v1/cluster/{id}"), &cluster).await.unwrap().json();
        assert_eq!(made["code"], "0", "{made}");
    }
    let mut browser = Browser::start();
    browser.open(&server.service.url());
    browser.until("document.activeElement?.name === 'token'");
    browser.insert(&server.token);
    browser.press("Enter");
    browser.until(&says("bcs-user-manager"));
    browser.press("2");
    browser.until(&says("BCS-K8S-00002"));
    browser.until(&says("<b>first</b>"));
    browser.until(&says("No agent is connected."));

    // The page follows by itself: who comes, what it moves, who goes.
    let kube = Kube::start().await;
    let agent =
        Agent::start(AgentOptions { token: "t".into(), ..AgentOptions::new(&*manager, "BCS-K8S-00001", kube.url()) });
    let agent = agent.await.unwrap();
    let read = client.get("/clustermanager/clusters/BCS-K8S-00001/size/3000000").await.unwrap();
    assert_eq!(read.body.len(), 3_000_000);
    // A bit more than the 2.9 MiB of the body; the round trip is measured after the agent's first ping.
    browser.until("document.querySelectorAll('.good').length === 1");
    browser.until(r"/bcs-cluster-manager\t.*\t[\d.]+ ms\t1\t[\d.]+ (B|KiB)\t2\.9 MiB/.test(document.body.innerText)");
    picture(&mut browser, "clusters");
    agent.stop().await;
    browser.until(&says("No agent is connected."));
    assert_eq!(browser.evaluate("document.querySelectorAll('td b').length"), 0);
    browser.evaluate(
        "{ const s = document.querySelector('header select'); s.value = 'zh'; s.dispatchEvent(new Event('change')); }",
    );
    browser.until(&says("没有已连接的代理。"));
    picture(&mut browser, "clusters-zh");
    assert_eq!(browser.take_errors(), Vec::<String>::new());
}

#[tokio::test]
async fn the_page_forbids_what_it_does_not_need() {
    let server = Server::start().await;
    let page = server.client.get("/").await.unwrap();
    let header = |name: &str| page.headers[name].to_str().unwrap().to_owned();
    assert!(header("content-security-policy").starts_with("default-src 'none'; script-src 'self'; "));
    assert_eq!((header("x-frame-options"), header("referrer-policy")), ("DENY".to_owned(), "no-referrer".to_owned()));
    assert!(!page.text().contains("<script>"));
    assert_eq!(server.client.post("/", &Value::Null).await.unwrap().status, 404);
}
