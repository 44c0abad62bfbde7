//! RBAC objects in clusters over TLS: what the IAM's push server sends, and what the configuration says.

use std::net::SocketAddr;
use std::sync::Arc;

use bcs_common::http::Body;
use bcs_common::tls::{self, ServerTls};
use bcs_integration_tests::certs::Certs;
use bcs_integration_tests::wait::eventually;
use bcs_tunnel::websocket::codec::{Decoder, Encoder, Event, Opcode, Role};
use bcs_tunnel::websocket::upgrade;
use bytes::BytesMut;
use http::{HeaderName, Method, Request};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::backend::Backend;
use crate::harness::{SOON, config, spec};
use crate::users::Api;

const API: &str = "/apis/rbac.authorization.k8s.io/v1";

/// TLS in front of a backend.
async fn with_tls(certs: &Certs, backend: SocketAddr) -> (SocketAddr, JoinSet<()>) {
    let server =
        ServerTls { cert_file: Some(certs.server_cert()), key_file: Some(certs.server_key()), ..ServerTls::default() };
    let acceptor = TlsAcceptor::from(Arc::clone(&tls::server_config(&server, &["http/1.1"]).unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((client, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            connections.spawn(async move {
                // Who does not trust the certificate leaves.
                let Ok(mut client) = acceptor.accept(client).await else { return };
                let mut backend = TcpStream::connect(backend).await.unwrap();
                let _ = copy_bidirectional(&mut client, &mut backend).await;
            });
        }
    });
    (address, tasks)
}

/// The push server's side of a subscription.
struct Subscription {
    stream: TcpStream,
    received: BytesMut,
    decoder: Decoder,
}

impl Subscription {
    /// Takes the next subscriber; the request line and its credentials are checked.
    async fn accept(listener: &TcpListener) -> Self {
        let (mut stream, _) = timeout(SOON, listener.accept()).await.unwrap().unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("GET /subscribers/bcs-api/sub HTTP/1.1\r\n"), "{head}");
        let mut request = Request::new(Body::empty());
        for (name, value) in head.lines().skip(1).filter_map(|line| line.split_once(": ")) {
            request.headers_mut().insert(HeaderName::try_from(name).unwrap(), value.parse().unwrap());
        }
        assert_eq!(request.headers()["authorization"], "Basic YmNzOmh1c2g=");
        let accept = upgrade::check(&request).unwrap();
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n\r\n",
            accept.to_str().unwrap()
        );
        stream.write_all(answer.as_bytes()).await.unwrap();
        Self { stream, received: BytesMut::new(), decoder: Decoder::new(Role::Server) }
    }

    async fn send(&mut self, id: u32, operation: &str, cluster: &str) {
        let data = json!({
            "operation": operation, "principal": {"principal_type": "user", "principal_id": "bob"},
            "action": "cluster-readonly", "resource_type": "cluster",
            "resource_instance": {"cluster": cluster, "namespace": ""}, "policy_from": "common",
        });
        let message =
            json!({"app_code": "bcs", "type": "data", "worker_id": "w", "data_id": id, "data": data.to_string()});
        let mut frame = BytesMut::new();
        Encoder::new(Role::Server).encode(&mut frame, Opcode::Text, message.to_string().as_bytes(), b"");
        self.stream.write_all(&frame).await.unwrap();
    }

    /// The id of the next message that is acknowledged.
    async fn acknowledged(&mut self) -> Value {
        loop {
            match self.decoder.decode(&mut self.received).unwrap() {
                Some(Event::Text(text)) => {
                    let ack: Value = serde_json::from_slice(&text).unwrap();
                    assert_eq!((&ack["type"], &ack["worker_id"]), (&json!("ack"), &json!("w")));
                    return ack["data_id"].clone();
                }
                Some(other) => panic!("{other:?}"),
                None => {
                    let read = timeout(SOON, self.stream.read_buf(&mut self.received)).await.unwrap().unwrap();
                    assert_ne!(read, 0, "the subscriber left");
                }
            }
        }
    }
}

/// A cluster whose apiserver is at `address`.
async fn cluster(api: &Api, id: &str, address: SocketAddr, ca: &str) -> String {
    let cluster = api.create_cluster(id).await;
    let path = format!("/clusters/{cluster}");
    let token = api.data(Method::POST, &format!("{path}/register_tokens"), &Value::Null).await;
    let body = json!({"register_token": token[0]["token"], "server_addresses": format!("https://{address}"),
        "cacert_data": ca, "user_token": "sa-token"});
    api.data(Method::PUT, &format!("{path}/credentials"), &body).await;
    cluster
}

/// Requests that change something, as the apiserver saw them.
fn writes(kube: &Backend) -> Vec<String> {
    let heads = kube.heads();
    assert!(heads.iter().all(|head| head.to_lowercase().contains("\r\nauthorization: bearer sa-token\r\n")));
    let lines = heads.iter().filter(|head| !head.starts_with("GET "));
    lines.map(|head| head.split(" HTTP/").next().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn permissions_reach_clusters_that_prove_who_they_are() {
    let push = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (certs, others) = (Certs::generate(), Certs::generate());
    let ca = |certs: &Certs| std::fs::read_to_string(certs.ca()).unwrap();
    let kube = Backend::start().await;
    let (address, _tasks) = with_tls(&certs, kube.address()).await;
    let mut keys = json!({"bkiam_auth": {"bkiam_auth_sub_server": push.local_addr().unwrap().to_string(),
        "bkiam_auth_app_code": "bcs", "bkiam_auth_app_secret": "hush"}});
    keys["bke"] = config(&json!({}))["bke"].clone();
    keys["bke"]["turn_on_auth"] = json!(true);
    let mut service = spec(&keys).start().await;
    let mut subscription = Subscription::accept(&push).await;
    let api = Api::admin(&service);
    let good = cluster(&api, "BCS-K8S-1", address, &ca(&certs)).await;
    cluster(&api, "BCS-K8S-2", address, &ca(&others)).await;

    subscription.send(1, "add", "BCS-K8S-1").await;
    assert_eq!(subscription.acknowledged().await, 1);
    let done = writes(&kube);
    assert!(done.contains(&format!("PUT {API}/clusterroles/bke-cluster-readonly")), "{done:?}");
    assert!(done.ends_with(&[format!("POST {API}/clusterrolebindings")]), "{done:?}");

    // A server with a certificate of somebody else is told nothing, and that is not acknowledged.
    subscription.send(2, "add", "BCS-K8S-2").await;
    subscription.send(3, "add", "BCS-K8S-1").await;
    assert_eq!(subscription.acknowledged().await, 3);
    let [_, stderr] = service.daemon().process().output();
    assert!(stderr.contains("a permission of the push server is not set"), "{stderr}");

    // The subscription is made anew when the push server has been away.
    drop(subscription);
    let mut subscription = Subscription::accept(&push).await;
    subscription.send(4, "delete", "BCS-K8S-1").await;
    assert_eq!(subscription.acknowledged().await, 4);

    // The same at the start, as configured.
    let before = writes(&kube).len();
    let text = std::fs::read_to_string(service.dir().path().join("config.json")).unwrap();
    let mut config: Value = serde_json::from_str(&text).unwrap();
    config["bke"]["turn_on_auth"] = json!(false);
    config["bke"]["turn_on_conf"] = json!(true);
    config["bke"]["rbac_data"] = json!([{"user_name": "admin", "cluster_id": good, "roles": ["cluster-manage"]}]);
    service.stop().await;
    service.dir().write("config.json", config.to_string());
    service.daemon().start_again().await;
    eventually("the role is bound", SOON, async || {
        writes(&kube).split_off(before).ends_with(&[format!("POST {API}/clusterrolebindings")])
    })
    .await;
    let [stdout, stderr] = service.daemon().process().output();
    for secret in ["sa-token", "hush", "YmNzOmh1c2g="] {
        assert!(!stdout.contains(secret) && !stderr.contains(secret), "{secret}");
    }
}
