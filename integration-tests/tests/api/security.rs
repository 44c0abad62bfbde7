//! What a hostile client may try.

use bcs_integration_tests::servers::zookeeper::ZooKeeper;
use bcs_integration_tests::service::Service;
use serde_json::json;

use crate::backend::Backend;
use crate::harness::{ADMIN, Registrar, raw, spec, status, until_status};

struct World {
    service: Service,
    backend: Backend,
    _registrations: Vec<bcs_common::registry::Registration>,
    _zookeeper: ZooKeeper,
}

async fn world() -> World {
    let zookeeper = ZooKeeper::start().await;
    let address = zookeeper.address().to_string();
    let registrar = Registrar::new(&address);
    let backend = Backend::start().await;
    let mut registrations = Vec::new();
    for module in ["storage", "metricservice", "mesosdriver/BCS-MESOS-1"] {
        registrations.push(registrar.register(module, &backend).await);
    }
    let service = spec(&json!({"bcs_zookeeper": address})).start().await;
    until_status(&service, "/bcsapi/v4/storage/x", 200).await;
    until_status(&service, "/bcsapi/v4/metric/x", 200).await;
    World { service, backend, _registrations: registrations, _zookeeper: zookeeper }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_reach_backends_as_one_request_or_not_at_all() {
    let world = world().await;
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n";
    for path in ["/bcsapi/v4/storage/x", "/bcsapi/v4/metric/x", "/bcsapi/v4/scheduler/mesos/x"] {
        for headers in [
            format!("Content-Length: 0\r\nContent-Length: {}", smuggled.len()),
            format!("Content-Length: {}, 0", smuggled.len()),
            "Content-Length: +5".to_owned(),
            "Content-Length: 0x10".to_owned(),
            "Content-Length: -1".to_owned(),
            "Transfer-Encoding: xchunked".to_owned(),
            "Transfer-Encoding: chunked, identity".to_owned(),
            "Transfer-Encoding: identity, chunked, chunkedx".to_owned(),
            "Transfer-Encoding : chunked".to_owned(),
            "X-A: b\r\n Transfer-Encoding: chunked".to_owned(),
            "X-A: b\rTransfer-Encoding: chunked".to_owned(),
            "X-A\0: b".to_owned(),
        ] {
            let request =
                format!("POST {path} HTTP/1.1\r\nHost: h\r\nBCS-ClusterID: BCS-MESOS-1\r\n{headers}\r\n\r\n{smuggled}");
            let answer = raw(&world.service, request.as_bytes()).await;
            // What follows a request that was understood is the client's next request, to this service.
            let answers = answer.matches("HTTP/1.1 ").count();
            assert!(answers <= 2, "{headers:?}: {answer}");
        }
        // Both lengths: the body is chunked, and the connection does not go on with the rest.
        let both = format!(
            "POST {path} HTTP/1.1\r\nHost: h\r\nBCS-ClusterID: BCS-MESOS-1\r\nContent-Length: 4\r\n\
             Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}"
        );
        raw(&world.service, both.as_bytes()).await;
    }
    let heads = world.backend.heads();
    assert!(heads.iter().all(|head| !head.contains("smuggled")), "{heads:?}");
    for head in heads {
        let lower = head.to_ascii_lowercase();
        let lengths = lower.matches("content-length:").count() + lower.matches("transfer-encoding:").count();
        assert!(lengths <= 1, "{head}");
    }
    assert_eq!(world.service.client().get("/bcsapi/v4/storage/x").await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_targets_and_heads() {
    let world = world().await;
    let send = async |line: &str, headers: &str| {
        let request = format!("{line} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n");
        raw(&world.service, request.as_bytes()).await
    };

    // A target with a host is an ordinary request for this service, whatever the host is.
    let answer = send("GET http://elsewhere:1/bcsapi/v4/storage/absolute", "Host: h\r\n").await;
    assert_eq!(status(&answer), 200, "{answer}");
    let heads = world.backend.heads();
    let head = heads.last().unwrap();
    assert!(head.starts_with("GET /bcsstorage/v1/absolute HTTP/1.1"), "{head}");

    for (line, statuses) in [
        ("CONNECT 127.0.0.1:22", &[301, 400, 404, 405][..]),
        ("CONNECT /bcsapi/v4/storage/x", &[400, 405]),
        ("OPTIONS *", &[400, 404]),
        ("GET bcsapi", &[400, 404]),
        ("GET /bcsapi/v4/storage/%", &[400]),
        ("GET /bcsapi/v4/storage/%zz", &[400]),
        ("BREW /bcsapi/v4/storage/x", &[405]),
        ("HEAD /bcsapi/v4/storage/x", &[405]),
    ] {
        let answer = send(line, "Host: h\r\n").await;
        assert!(statuses.contains(&status(&answer)), "{line}: {answer}");
    }

    // Nothing climbs out of its part of a backend.
    let before = world.backend.heads().len();
    for path in [
        "/bcsapi/v4/storage/../secret",
        "/bcsapi/v4/storage/a/../../../secret",
        "/bcsapi/v4/storage/%2e%2e/secret",
        "/bcsapi/v4/storage/a/.%2e/%2e./secret",
        "/bcsapi/v4/storage/a/..%2f..%2fsecret",
        "/bcsapi/v4/storage/a%2f..%2f..%2fsecret",
        "/bcsapi/v4/storage//secret",
        "/bcsapi/v4/storage/%2fsecret",
        "/bcsapi/v4/storage/./secret",
        "//bcsapi/v4/storage/x",
        "/bcsapi/v4/metric/../../rest/users",
        "/bcsapi/v4/scheduler/mesos/..%2Fsecret",
        "/tunnels/clusters/../../rest/users",
        "/tunnels/clusters/a/../../../x",
        "/bcsapi/v1/webconsole/..%2f..%2fx?host_ip=127.0.0.1",
    ] {
        let answer = send(&format!("GET {path}"), "Host: h\r\nBCS-ClusterID: BCS-MESOS-1\r\n").await;
        assert_eq!(status(&answer), 301, "{path}: {answer}");
        let location =
            answer.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("location: ").map(str::to_owned));
        assert!(location.is_some_and(|location| !location.contains("..")), "{path}: {answer}");
    }
    assert_eq!(world.backend.heads().len(), before);
    // Twice escaped is a name, and stays one.
    send("GET /bcsapi/v4/storage/%252e%252e/x", "Host: h\r\n").await;
    let heads = world.backend.heads();
    assert!(heads.last().unwrap().starts_with("GET /bcsstorage/v1/%252e%252e/x "), "{heads:?}");

    // A head without an end.
    let long = format!("GET /bcsapi/v4/storage/x HTTP/1.1\r\nHost: h\r\nX-Long: {}\r\n\r\n", "x".repeat(2 << 20));
    let answer = raw(&world.service, long.as_bytes()).await;
    assert!([0, 400, 431].contains(&status(&answer)), "{}", &answer[..answer.len().min(200)]);
    assert_eq!(world.service.client().get("/bcsapi/v4/storage/x").await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn web_consoles_are_no_open_relay() {
    let target = Backend::start().await;
    let port = target.address().port();
    let ask = async |service: &Service, host: &str| {
        let request = format!(
            "GET /bcsapi/v1/webconsole/create_exec?host_ip={host} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
        );
        status(&raw(service, request.as_bytes()).await)
    };
    let service = spec(&json!({"mesos_webconsole_proxy_port": port})).start().await;
    for (host, want) in [
        ("127.0.0.1", 403),
        ("127.1.2.3", 403),
        ("0.0.0.0", 403),
        ("169.254.169.254", 403),
        ("224.0.0.1", 403),
        ("::1", 403),
        ("::ffff:127.0.0.1", 403),
        ("fe80::1", 403),
        ("", 400),
        ("localhost", 400),
        ("127.1", 400),
        ("2130706433", 400),
        ("0x7f000001", 400),
        ("127.0.0.1:22", 400),
        ("127.0.0.1%2f", 400),
        ("127.0.0.1%00", 400),
        ("user@127.0.0.1", 400),
    ] {
        assert_eq!(ask(&service, host).await, want, "{host}");
    }
    assert!(target.heads().is_empty());

    let allowing = json!({"mesos_webconsole_proxy_port": port, "webconsole_allow": ["127.0.0.1"]});
    let service = spec(&allowing).start().await;
    assert_eq!((ask(&service, "127.0.0.1").await, ask(&service, "127.0.0.2").await), (200, 403));
    assert!(target.heads()[0].starts_with("GET /bcsapi/v1/consoleproxy/create_exec?host_ip=127.0.0.1 "));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clusters_are_for_users() {
    let service = spec(&json!({})).start().await;
    let ask = async |path: &str, headers: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\n{headers}Connection: close\r\n\r\n");
        status(&raw(&service, request.as_bytes()).await)
    };
    let upper = ADMIN.to_uppercase();
    for (authorization, want) in [
        (String::new(), 401),
        ("Authorization: Bearer garbage\r\n".to_owned(), 401),
        ("Authorization: Bearer\r\n".to_owned(), 401),
        (format!("Authorization: Bearer  {ADMIN}\r\n"), 401),
        (format!("Authorization: Bearer {upper}\r\n"), 401),
        (format!("Authorization: Basic {ADMIN}\r\n"), 401),
        (format!("Authorization: {ADMIN}\r\n"), 401),
        (format!("X-Bcs-User-Token: {ADMIN}\r\n"), 401),
        (format!("Authorization: Bearer {ADMIN}\r\n"), 404),
        (format!("Authorization: bearer {ADMIN}\r\n"), 404),
    ] {
        assert_eq!(ask("/tunnels/clusters/nobody/version", &authorization).await, want, "{authorization}");
    }
}
