//! Bodies of any size pass in constant memory, at once, and whole or not at all.

use std::time::Duration;

use bcs_integration_tests::servers::zookeeper::ZooKeeper;
use bcs_integration_tests::service::Service;
use bcs_integration_tests::wait::eventually;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::backend::Backend;
use crate::harness::{Registrar, SOON, spec, until_status};

const SIZE: usize = 1 << 30;
/// More than the buffers of four sockets.
const STALLED: usize = 128 << 20;
/// What the service may grow by while a body passes that is many times as large.
const GROWTH: u64 = 16 << 20;

async fn setup() -> (ZooKeeper, Backend, bcs_common::registry::Registration, Service) {
    let zookeeper = ZooKeeper::start().await;
    let address = zookeeper.address().to_string();
    let backend = Backend::start().await;
    let registration = Registrar::new(&address).register("storage", &backend).await;
    let service = spec(&json!({"bcs_zookeeper": address})).start().await;
    until_status(&service, "/bcsapi/v4/storage/x", 200).await;
    (zookeeper, backend, registration, service)
}

async fn connect(service: &Service) -> TcpStream {
    TcpStream::connect(format!("127.0.0.1:{}", service.port("insecure_port"))).await.unwrap()
}

/// Reads a head.
async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(timeout(SOON, stream.read_u8()).await.unwrap().unwrap());
    }
    String::from_utf8(head).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_pass_as_they_come() {
    let (_zookeeper, backend, _registration, mut service) = setup().await;
    let before = service.daemon().process().resident_bytes();

    // A download.
    let mut stream = connect(&service).await;
    let request = format!("GET /bcsapi/v4/storage/size/{SIZE} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    assert!(head(&mut stream).await.starts_with("HTTP/1.1 200"));
    let received = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await.unwrap();
    assert_eq!(received, SIZE as u64);

    // An upload.
    let mut stream = connect(&service).await;
    let request = format!("PUT /bcsapi/v4/storage/up HTTP/1.1\r\nHost: h\r\nContent-Length: {SIZE}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..SIZE / piece.len() {
        stream.write_all(&piece).await.unwrap();
    }
    assert!(head(&mut stream).await.starts_with("HTTP/1.1 200"));
    let mut body = vec![0; 200];
    let length = stream.read(&mut body).await.unwrap();
    assert!(String::from_utf8_lossy(&body[..length]).contains(&format!("\"data\":{SIZE}")));

    // A client that reads nothing of a long answer.
    let mut lazy = connect(&service).await;
    let request = format!("GET /bcsapi/v4/storage/size/{SIZE} HTTP/1.1\r\nHost: h\r\n\r\n");
    lazy.write_all(request.as_bytes()).await.unwrap();
    assert!(head(&mut lazy).await.starts_with("HTTP/1.1 200"));
    for _ in 0..20 {
        assert_eq!(service.client().get("/bcsapi/v4/storage/x").await.unwrap().status, 200);
    }
    drop(lazy);

    // A backend that reads nothing of a long body: its client has to wait, and nobody else.
    let mut hasty = connect(&service).await;
    let request = format!("PUT /bcsapi/v4/storage/stall HTTP/1.1\r\nHost: h\r\nContent-Length: {STALLED}\r\n\r\n");
    hasty.write_all(request.as_bytes()).await.unwrap();
    let mut sent = 0;
    while let Ok(written) = timeout(Duration::from_millis(500), hasty.write(&piece)).await {
        sent += written.unwrap();
        assert!(sent < STALLED, "all of it was taken");
    }
    for _ in 0..20 {
        assert_eq!(service.client().get("/bcsapi/v4/storage/x").await.unwrap().status, 200);
    }
    let after = service.daemon().process().resident_bytes();
    assert!(after < before + GROWTH, "{before} bytes before, {after} after");
    backend.go_on();
    while sent < STALLED {
        let length = piece.len().min(STALLED - sent);
        sent += timeout(SOON, hasty.write(&piece[..length])).await.unwrap().unwrap();
    }
    assert!(head(&mut hasty).await.starts_with("HTTP/1.1 200"));
    let length = hasty.read(&mut body).await.unwrap();
    assert!(String::from_utf8_lossy(&body[..length]).contains(&format!("\"data\":{STALLED}")));

    // The first piece of an answer comes before the second is made.
    let mut stream = connect(&service).await;
    stream.write_all(b"GET /bcsapi/v4/storage/wait HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    head(&mut stream).await;
    let mut first = [0; 11];
    timeout(SOON, stream.read_exact(&mut first)).await.unwrap().unwrap();
    assert_eq!(&first, b"6\r\nfirst\n\r\n");
    backend.go_on();
    let mut second = [0; 12];
    timeout(SOON, stream.read_exact(&mut second)).await.unwrap().unwrap();
    assert_eq!(&second, b"7\r\nsecond\n\r\n");

    // A backend that dies in the middle cuts the client too: no answer looks complete that is not.
    for path in ["cut", "cut-chunked"] {
        let mut stream = connect(&service).await;
        let request = format!("GET /bcsapi/v4/storage/{path} HTTP/1.1\r\nHost: h\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let head = head(&mut stream).await.to_ascii_lowercase();
        let mut rest = Vec::new();
        // An orderly end or a reset, both before the promised end.
        let _ = timeout(SOON, stream.read_to_end(&mut rest)).await.unwrap();
        let rest = String::from_utf8_lossy(&rest);
        assert!(rest.contains("only this") && !rest.contains("\r\n0\r\n"), "{rest}");
        assert!(head.contains("content-length: 1000") || head.contains("transfer-encoding: chunked"), "{head}");
    }
    let reset = service.client().get("/bcsapi/v4/storage/reset").await.unwrap();
    assert_eq!((reset.status.as_u16(), reset.body.len()), (502, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_frees_the_backend() {
    let (_zookeeper, _backend, _registration, mut service) = setup().await;
    let mut watches = Vec::new();
    for _ in 0..20 {
        let mut stream = connect(&service).await;
        stream.write_all(b"GET /bcsapi/v4/storage/wait HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
        head(&mut stream).await;
        watches.push(stream);
    }
    let open = service.daemon().process().open_files();
    drop(watches);
    eventually("the connections are closed on both sides", Duration::from_secs(20), async || {
        service.daemon().process().open_files() <= open - 40
    })
    .await;
}
