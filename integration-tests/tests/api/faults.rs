//! Backends that come, go and fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bcs_integration_tests::servers::zookeeper::ZooKeeper;
use bcs_integration_tests::wait::eventually;
use http::{Method, Request};
use http_body_util::Full;
use serde_json::json;
use tokio::task::JoinSet;

use crate::backend::Backend;
use crate::harness::{Registrar, SOON, spec, until_status};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_changes_under_load_loses_no_request() {
    let zookeeper = ZooKeeper::start().await;
    let address = zookeeper.address().to_string();
    let registrar = Registrar::new(&address);
    let always = Backend::start().await;
    let _always = registrar.register("storage", &always).await;
    let service = spec(&json!({"bcs_zookeeper": address})).start().await;
    until_status(&service, "/bcsapi/v4/storage/x", 200).await;

    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut clients = JoinSet::new();
    for _ in 0..8 {
        let (client, stop, answered) = (service.client(), Arc::clone(&stop), Arc::clone(&answered));
        clients.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let answer = client.post("/bcsapi/v4/storage/x", &json!({"a": 1})).await.unwrap();
                assert_eq!(answer.status, 200, "{}", answer.text());
                answered.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    for _ in 0..4 {
        let other = Backend::start().await;
        let registration = registrar.register("storage", &other).await;
        eventually("the new backend gets requests", SOON, async || other.heads().len() > 10).await;
        registration.deregister().await;
        // It goes on answering until nobody asks any more.
        let mut before = other.heads().len();
        eventually("the old backend gets no requests", SOON, async || {
            tokio::time::sleep(Duration::from_millis(200)).await;
            std::mem::replace(&mut before, other.heads().len()) == other.heads().len()
        })
        .await;
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    assert!(answered.load(Ordering::Relaxed) > 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drivers_answer_or_the_reason_is_told() {
    let zookeeper = ZooKeeper::start().await;
    let address = zookeeper.address().to_string();
    let registrar = Registrar::new(&address);
    let driver = Backend::start().await;
    let _mesos = registrar.register("mesosdriver/BCS-MESOS-1", &driver).await;
    let _metric = registrar.register("metricservice", &driver).await;
    let service = spec(&json!({"bcs_zookeeper": address, "max_body_size": 1000})).start().await;
    let client = service.client();
    let call = async |method: Method, path: &str, cluster: &str, body: Vec<u8>| {
        let request = Request::builder().method(method).uri(path).header("BCS-ClusterID", cluster);
        client.request(request.body(Full::new(body.into())).unwrap()).await.unwrap()
    };
    eventually("the driver is found", SOON, async || {
        call(Method::GET, "/bcsapi/v4/scheduler/mesos/x", "BCS-MESOS-1", vec![]).await.json()["code"] == 0
    })
    .await;

    // As bcs-client uses it: whatever happens, the status is 200 and the code tells.
    for (path, cluster, code) in [
        ("/bcsapi/v4/scheduler/mesos/namespaces/a/applications", "BCS-MESOS-1", 0),
        ("/bcsapi/v4/scheduler/mesos/reset", "BCS-MESOS-1", 1_405_053),
        ("/bcsapi/v4/scheduler/mesos/cut", "BCS-MESOS-1", 1_405_053),
        ("/bcsapi/v4/scheduler/mesos/cut-chunked", "BCS-MESOS-1", 1_405_053),
        ("/bcsapi/v4/scheduler/mesos/x", "bcs-mesos-1", 1_405_051),
        ("/bcsapi/v4/scheduler/k8s/x", "BCS-MESOS-1", 1_405_056),
        ("/bcsapi/v4/scheduler/mesos/x", "", 1_405_007),
    ] {
        let answer = call(Method::POST, path, cluster, b"{}".to_vec()).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (200, &json!(code)), "{path} {cluster}");
    }
    // A body that would have to be kept in memory has a limit, an answer has none.
    let large = call(Method::POST, "/bcsapi/v4/scheduler/mesos/x", "BCS-MESOS-1", vec![b'x'; 1001]).await;
    assert_eq!(large.status, 413);
    let long = call(Method::GET, "/bcsapi/v4/scheduler/mesos/size/5000000", "BCS-MESOS-1", vec![]).await;
    assert_eq!((long.status.as_u16(), long.body.len()), (200, 5_000_000));

    eventually("the metric service is found", SOON, async || {
        call(Method::GET, "/bcsapi/v4/metric/x", "", vec![]).await.status == 200
    })
    .await;
    let reset = call(Method::GET, "/bcsapi/v4/metric/reset", "", vec![]).await;
    assert_eq!((reset.status.as_u16(), &reset.json()["code"]), (400, &json!("10")));
    let missing = call(Method::GET, "/bcsapi/v4/netservice/x", "", vec![]).await;
    assert_eq!((missing.status.as_u16(), &missing.json()["code"]), (400, &json!("10")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_environment_names_the_proxy_to_backends_that_are_elsewhere() {
    let zookeeper = ZooKeeper::start().await;
    let address = zookeeper.address().to_string();
    let registrar = Registrar::new(&address);
    // It answers for hosts that do not exist.
    let proxy = Backend::start().await;
    let _storage = registrar.register_at("storage", "192.0.2.1", 50024).await;
    let _mesos = registrar.register_at("mesosdriver/BCS-MESOS-1", "192.0.2.2", 8080).await;
    let metric = Backend::start().await;
    let _metric = registrar.register("metricservice", &metric).await;
    let service = spec(&json!({"bcs_zookeeper": address}))
        .env("HTTP_PROXY", &format!("http://{}", proxy.address()))
        .env("NO_PROXY", "192.0.2.128/25,.intern")
        .start()
        .await;
    until_status(&service, "/bcsapi/v4/storage/x?a=%2F", 200).await;
    let client = service.client();
    eventually("the driver is found", SOON, async || {
        let request = Request::get("/bcsapi/v4/scheduler/mesos/y").header("BCS-ClusterID", "BCS-MESOS-1");
        client.request(request.body(Full::default()).unwrap()).await.unwrap().json()["code"] == 0
    })
    .await;
    until_status(&service, "/bcsapi/v4/metric/z", 200).await;
    let lines: Vec<String> = proxy.heads().iter().filter_map(|head| head.lines().next().map(str::to_owned)).collect();
    assert_eq!(
        lines,
        [
            "GET http://192.0.2.1:50024/bcsstorage/v1/x?a=%2F HTTP/1.1",
            "GET http://192.0.2.2:8080/mesosdriver/v4/y HTTP/1.1",
        ]
    );
    assert!(!metric.heads().is_empty());
}
