//! The listeners: who may connect, and what is counted of the requests.

use bcs_integration_tests::certs::Certs;
use bcs_integration_tests::process::{Process, command};
use bcs_integration_tests::servers::zookeeper::ZooKeeper;
use bcs_integration_tests::workdir::WorkDir;
use http::{Method, Request};
use http_body_util::Full;
use serde_json::{Value, json};

use crate::backend::Backend;
use crate::harness::{ADMIN, Registrar, SOON, spec, until_status};
use crate::users::Api;

/// What curl prints, if the connection is made.
async fn curl(args: &[&str]) -> Option<String> {
    let dir = WorkDir::new("curl");
    let mut curl = command("curl", dir.path());
    curl.args(["-sk", "-o", "/dev/null", "-w", "%{http_version} %{http_code}"]).args(args);
    let mut curl = Process::spawn("curl", curl, dir.path());
    let status = curl.exited(SOON).await;
    let [stdout, _] = curl.output();
    status.success().then(|| stdout.trim().to_owned())
}

#[tokio::test]
async fn client_certificates_of_the_guide_are_required_when_asked_for() {
    let (certs, others) = (Certs::of_the_guide(), Certs::of_the_guide());
    let keys = json!({
        "server_cert_file": certs.server_cert(),
        "server_key_file": certs.server_key(),
        "ca_file": certs.ca(),
        "verify_client_tls": true,
    });
    let service = spec(&keys).start().await;
    let url = format!("https://127.0.0.1:{}/rest/x", service.port("port"));
    let with = |certs: &Certs| [certs.client_cert(), certs.client_key()].map(|path| path.display().to_string());
    let ([cert, key], [wrong_cert, wrong_key]) = (with(&certs), with(&others));
    let shown = ["--cert", &cert, "--key", &key, &url];
    assert_eq!(curl(&shown).await.as_deref(), Some("2 404"), "HTTP/2 is offered");
    let old = [&["--http1.1"][..], &shown].concat();
    assert_eq!(curl(&old).await.as_deref(), Some("1.1 404"));
    assert_eq!(curl(&["--cert", &wrong_cert, "--key", &wrong_key, &url]).await, None);
    assert_eq!(curl(&[&url]).await, None);
    // The plain listener asks nobody, and has the same routes.
    assert_eq!(service.client().get("/rest/x").await.unwrap().status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_counted_as_the_original_counts_them() {
    let zookeeper = ZooKeeper::start().await;
    let address = zookeeper.address().to_string();
    let registrar = Registrar::new(&address);
    let backend = Backend::start().await;
    let _storage = registrar.register("storage", &backend).await;
    let service = spec(&json!({"bcs_zookeeper": address, "webconsole_allow": ["127.0.0.0/8"]})).start().await;
    until_status(&service, "/bcsapi/v4/storage/x", 200).await;
    let metrics = service.metrics().await;
    let series = async || metrics.get("/metrics").await.unwrap().text();
    let count = |text: &str, name: &str, method: &str, kind: &str| {
        let series = format!("bcs_api_{name}{{method=\"{method}\",type=\"{kind}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&series)?.parse::<u64>().ok()).unwrap_or(0)
    };
    let before = series().await;
    let (client, admin) = (service.client(), Api::admin(&service));
    let send = async |method: Method, path: &str, headers: &[(&str, &str)]| {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        client.request(request.body(Full::default()).unwrap()).await.unwrap().status.as_u16()
    };
    let bearer = format!("Bearer {ADMIN}");
    let authorized = [("authorization", bearer.as_str())];
    let get = Method::GET;
    // A backend that does not answer counts as a success of the way to storage, and of no other.
    for (method, path, headers, status) in [
        (Method::PUT, "/bcsapi/v4/storage/x", &[][..], 200),
        (Method::PUT, "/bcsapi/v4/storage/reset", &[], 502),
        (get.clone(), "/bcsapi/v4/detection/x", &[], 502),
        (get.clone(), "/bcsapi/v4/metric/x", &[], 400),
        (get.clone(), "/bcsapi/v4/netservice/x", &[], 400),
        (get.clone(), "/bcsapi/v4/clusterkeeper/x", &[], 400),
        (get.clone(), "/bcsapi/v4/scheduler/mesos/x", &[], 200),
        (get.clone(), "/bcsapi/v4/scheduler/k8s/x", &[], 200),
        (get.clone(), "/bcsapi/v1/webconsole/x", &[], 400),
        (get.clone(), "/tunnels/clusters/unknown/version", &[], 401),
        (get.clone(), "/tunnels/clusters/unknown/version", &authorized, 404),
        (get.clone(), "/rest/users/nobody", &authorized, 404),
        // Refused before it is looked at: not counted.
        (get, "/rest/users/nobody", &[], 401),
    ] {
        assert_eq!(send(method, path, headers).await, status, "{path}");
    }
    admin.create_user("ann").await;
    // Not counted either.
    admin.data(Method::POST, "/clusters", &json!({"id": "c"})).await;
    let yaml = [("content-type", "application/x-yaml"), ("bcs-clusterid", "c")];
    let request = Request::builder().method(Method::POST).uri("/bcsapi/v4/scheduler/mesos/x");
    let request = yaml.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let refused = client.request(request.body(Full::from("a: [")).unwrap()).await.unwrap();
    assert_eq!(refused.json()["code"], 1_405_065);

    let after = series().await;
    let grown =
        |name: &str, method: &str, kind: &str| count(&after, name, method, kind) - count(&before, name, method, kind);
    let (answered, failed) = ("request_count_total", "request_err_count_total");
    for (name, method, kind, want) in [
        (answered, "PUT", "storage", 2),
        (failed, "PUT", "storage", 0),
        (answered, "GET", "detection", 1),
        (failed, "GET", "metrics", 1),
        (failed, "GET", "net_service", 1),
        (failed, "GET", "cluster_keeper", 1),
        (failed, "GET", "mesos", 1),
        (failed, "GET", "k8s_driver", 1),
        (failed, "GET", "mesos_webconsole", 1),
        (failed, "GET", "k8s_native", 2),
        (failed, "GET", "k8s_rest", 1),
        (answered, "POST", "k8s_rest", 2),
        (failed, "POST", "mesos", 0),
        ("request_latency_seconds_count", "PUT", "storage", 2),
        ("request_error_latency_seconds_count", "GET", "k8s_native", 2),
    ] {
        assert_eq!(grown(name, method, kind), want, "{name} {method} {kind}\n{after}");
    }
    assert!(after.contains("process_resident_memory_bytes "));
    let ready: Value = metrics.get("/readyz").await.unwrap().json();
    assert_eq!((&ready["parts"]["database"], &ready["parts"]["zookeeper"]), (&json!("ok"), &json!("ok")));
}
