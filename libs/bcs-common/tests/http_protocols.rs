//! HTTP/1.1 and HTTP/2, plain and over TLS; bodies, pipelining, upgrades, panics, request ids.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a failed test is a failed test

mod http_support;

use bcs_common::http::body::collect;
use bcs_common::http::envelope::Program;
use bcs_common::http::router::{Call, Router};
use bcs_common::http::server::{Listener, ServerOptions, host_port};
use bcs_common::http::{Body, text};
use bcs_common::shutdown::Shutdown;
use http::{Method, Request, Response, StatusCode, Version};
use http_support::{Client, Server, Tls, soon};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

fn router() -> Router<()> {
    let tasks = Shutdown::new();
    Router::new("/m")
        .route(Method::GET, "/about", |(), call: Call| async move {
            let origin = call.origin().unwrap();
            text(StatusCode::OK, format!("{:?} tls={} {}", call.parts.version, origin.tls, origin.id))
        })
        .route(Method::POST, "/echo", |(), call: Call| async move {
            Response::new(Body::from(collect(call.body, 1 << 20).await.unwrap()))
        })
        .route(Method::GET, "/backend", |(), call: Call| async move {
            let cookies: Vec<_> =
                call.parts.headers.get_all("cookie").iter().map(|value| value.to_str().unwrap()).collect();
            let mut response = text(StatusCode::OK, cookies.join(" | "));
            response.headers_mut().insert("x-request-id", "of the backend".parse().unwrap());
            response
        })
        .route(Method::GET, "/panic", |(), _| async { panic!("on purpose") })
        .route(Method::GET, "/upgrade", move |(), call: Call| {
            let response = upgrade(&tasks, call);
            async { response }
        })
}

/// Echoes one line in upper case on the upgraded connection.
fn upgrade(tasks: &Shutdown, call: Call) -> Response<Body> {
    let upgraded = hyper::upgrade::on(Request::from_parts(call.parts, ()));
    tasks.spawn("upgraded", async move {
        let mut io = TokioIo::new(upgraded.await.unwrap());
        let mut line = [0; 5];
        io.read_exact(&mut line).await.unwrap();
        io.write_all(&line.to_ascii_uppercase()).await.unwrap();
    });
    let switching = Response::builder().status(101).header("connection", "upgrade").header("upgrade", "echo");
    switching.body(Body::empty()).unwrap()
}

async fn start() -> Server {
    Server::start(router(), options()).await
}

fn options() -> ServerOptions {
    ServerOptions { program: Program::new("bcs-test"), ..ServerOptions::default() }
}

async fn ask_http2<T: AsyncRead + AsyncWrite + Unpin + Send + 'static>(io: T, targets: &[&str]) -> Vec<(u16, String)> {
    let (mut sender, connection) = soon(http2::handshake(TokioExecutor::new(), TokioIo::new(io))).await.unwrap();
    let driver = Shutdown::new().spawn("client", connection);
    let mut answers = Vec::new();
    for target in targets {
        let request = Request::get(format!("http://localhost{target}")).header("cookie", "a=1").header("cookie", "b=2");
        let request = request.body(Body::empty()).unwrap();
        let response = soon(sender.send_request(request)).await.unwrap();
        assert_eq!(response.version(), Version::HTTP_2);
        let status = response.status().as_u16();
        let body = soon(collect(Body::new(response.into_body()), 1 << 20)).await.unwrap();
        answers.push((status, String::from_utf8(body.to_vec()).unwrap()));
    }
    drop(sender);
    soon(driver).await.unwrap().unwrap();
    answers
}

#[tokio::test]
async fn alpn_decides_over_tls() {
    let tls = Tls::new();
    let server = Server::start_with(router(), options(), Some(tls.server.clone())).await;
    for alpn in [&["h2"][..], &["h2", "http/1.1"], &["http/1.1", "h2"]] {
        let answers = ask_http2(tls.connect(server.address, alpn).await, &["/m/about"]).await;
        assert!(answers[0].1.starts_with("HTTP/2.0 tls=true"), "{answers:?}");
    }
    for alpn in [&["http/1.1"][..], &[]] {
        let mut client = Client::new(tls.connect(server.address, alpn).await);
        let (_, body) = client.get("/m/about").await;
        assert!(body.starts_with("HTTP/1.1 tls=true"), "{body}");
    }
    // The preface of HTTP/2 without ALPN is not a request of HTTP/1.1.
    let mut client = Client::new(tls.connect(server.address, &[]).await);
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    let answer = client.read_to_close().await;
    assert!(!answer.contains("200"), "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn both_protocols_without_tls() {
    let server = start().await;
    let plain = TcpStream::connect(server.address).await.unwrap();
    let answers = ask_http2(plain, &["/m/about", "/m/about", "/nope", "/m/backend"]).await;
    assert_eq!(answers[3].1, "a=1; b=2", "cookies that HTTP/2 cut are one again");
    assert!(answers[1].1.starts_with("HTTP/2.0 tls=false"), "{answers:?}");
    assert_eq!(answers[2], (404, "404 page not found\n".to_owned()));
    let mut client = server.connect().await;
    assert!(client.get("/m/about").await.1.starts_with("HTTP/1.1 tls=false"));
    server.stop().await;
}

#[tokio::test]
async fn a_panic_is_answered_and_harms_nobody() {
    const ENVELOPE: &str =
        r#"{"result":false,"code":1405050,"message":"(bcs-test):bcs apiserver internal error","data":null}"#;
    let server = start().await;
    let mut client = server.connect().await;
    for _ in 0..2 {
        let (head, body) = client.get("/m/panic").await;
        assert!(head.starts_with("HTTP/1.1 500 ") && head.contains("content-type: application/json"), "{head}");
        assert_eq!(body, ENVELOPE);
    }
    assert!(client.get("/m/about").await.0.starts_with("HTTP/1.1 200 "));
    let answers = ask_http2(TcpStream::connect(server.address).await.unwrap(), &["/m/panic", "/m/about"]).await;
    assert_eq!(answers[0], (500, ENVELOPE.to_owned()));
    assert_eq!(answers[1].0, 200);
    server.stop().await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let server = start().await;
    let mut client = server.connect().await;
    let request =
        |body: &str| format!("POST /m/echo HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    client.send(&["first", "2nd", "", "last"].map(request).concat()).await;
    for body in ["first", "2nd", "", "last"] {
        assert_eq!(client.response().await.1, body);
    }
    server.stop().await;
}

#[tokio::test]
async fn chunked_bodies_and_expectations() {
    let server = start().await;
    let mut client = server.connect().await;
    client.send("POST /m/echo HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n1;x=y\r\n \r\n5\r\nworld\r\n0\r\n\r\n").await;
    assert_eq!(client.response().await.1, "hello world");
    client.send("POST /m/echo HTTP/1.1\r\nhost: test\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n").await;
    assert_eq!(client.read_to("\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("ok").await;
    assert_eq!(client.response().await.1, "ok");
    // Nobody reads the body of a path that does not exist: no 100.
    client.send("POST /m/nope HTTP/1.1\r\nhost: test\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n").await;
    assert!(client.read_to("\r\n").await.starts_with("HTTP/1.1 404 "));
    server.stop().await;
}

#[tokio::test]
async fn connections_can_be_upgraded_and_keep_their_place() {
    let server = Server::start(router(), ServerOptions { max_connections: 1, ..options() }).await;
    let mut client = server.connect().await;
    client.send("GET /m/upgrade HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n").await;
    assert!(client.read_to("\r\n\r\n").await.starts_with("HTTP/1.1 101 "));
    let mut next = server.connect().await;
    next.send("GET /m/about HTTP/1.1\r\nhost: test\r\n\r\n").await;
    assert!(next.is_quiet_for(std::time::Duration::from_millis(100)).await);
    client.send("hello").await;
    assert_eq!(client.read_to_close().await, "HELLO");
    assert!(next.response().await.0.starts_with("HTTP/1.1 200 "));
    server.stop().await;
}

#[tokio::test]
async fn request_ids_come_back() {
    let server = start().await;
    let mut client = server.connect().await;
    client.send("GET /m/about HTTP/1.1\r\nhost: test\r\nx-request-id: abc-1\r\n\r\n").await;
    let (head, body) = client.response().await;
    assert!(head.contains("\r\nx-request-id: abc-1\r\n"), "{head}");
    assert!(body.ends_with(" abc-1"), "{body}");
    let (head, body) = client.get("/m/about").await;
    let id = head.lines().find_map(|line| line.strip_prefix("x-request-id: ")).unwrap();
    assert_eq!(id.len(), 16);
    assert!(body.ends_with(id), "{body}");
    assert!(client.get("/nope").await.0.contains("x-request-id: "), "also without a route");
    assert!(client.get("/m/backend").await.0.contains("\r\nx-request-id: of the backend\r\n"));
    server.stop().await;
}

#[tokio::test]
async fn a_taken_address_is_an_error() {
    let listener = Listener::bind("127.0.0.1:0", None).await.unwrap();
    assert_eq!(listener.scheme(), "http");
    let taken = listener.local_addr().to_string();
    assert!(Listener::bind(&taken, None).await.is_err());
    assert!(Listener::bind("no address", None).await.is_err());
}

#[tokio::test]
async fn no_address_is_every_address() {
    let listener = Listener::bind(&host_port("", 0), None).await.unwrap();
    let port = listener.local_addr().port();
    assert!(listener.local_addr().ip().is_unspecified());
    tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let error = Listener::bind(&host_port("", port), None).await.err().unwrap();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
}
