//! Web consoles behind TLS, as a gateway with a client certificate reaches them.

use bcs_integration_tests::certs::Certs;
use bcs_integration_tests::kube::Kube;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::harness::{SOON, spec};

const PATH: &str = "/bcsapi/v1/webconsole/start_exec?host_ip=127.0.0.1&exec_id=e%2F1";

#[tokio::test]
async fn a_console_behind_tls_is_reached_and_piped() {
    let certs = Certs::generate();
    // It answers as the proxy on a slave could: with what it got, or with every byte.
    let slave = Kube::start_tls(&certs).await;
    let keys = json!({
        "ca_file": certs.ca(),
        "client_cert_file": certs.client_cert(),
        "client_key_file": certs.client_key(),
        "mesos_webconsole_proxy_port": slave.address().port(),
        "webconsole_allow": ["127.0.0.0/8"],
    });
    let service = spec(&keys).start().await;
    let seen = service.client().get(PATH).await.unwrap().json();
    assert_eq!(seen["path"], "/bcsapi/v1/consoleproxy/start_exec");
    assert_eq!(seen["query"], "host_ip=127.0.0.1&exec_id=e%2F1");

    let mut console = TcpStream::connect(format!("127.0.0.1:{}", service.port("insecure_port"))).await.unwrap();
    let request = format!(
        "GET {PATH} HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    console.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(timeout(SOON, console.read_u8()).await.unwrap().unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let sent: Vec<u8> = (0..1_000_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    let (mut read, mut write) = console.into_split();
    let mut echoed = vec![0; sent.len()];
    let (written, received) = tokio::join!(write.write_all(&sent), timeout(SOON, read.read_exact(&mut echoed)));
    written.unwrap();
    received.unwrap().unwrap();
    assert!(echoed == sent, "every byte, in order");
}
