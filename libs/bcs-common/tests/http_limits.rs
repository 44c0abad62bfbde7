//! What cuts a connection, and what must not: slow heads, handshakes and bodies, idleness, streams, the connection cap.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a failed test is a failed test

mod http_support;

use std::convert::Infallible;
use std::time::{Duration, Instant};

use bcs_common::http::body::{BodyError, collect};
use bcs_common::http::router::{Call, Router};
use bcs_common::http::server::ServerOptions;
use bcs_common::http::{Body, text};
use futures::StreamExt;
use http::{Method, Response, StatusCode};
use http_support::{Client, Server, Tls, soon};
use tokio::net::TcpStream;

const SHORT: Duration = Duration::from_millis(150);
const LONG: Duration = Duration::from_secs(600);

/// No limit is near.
fn patient() -> ServerOptions {
    ServerOptions {
        header_timeout: LONG,
        handshake_timeout: LONG,
        body_timeout: LONG,
        idle_timeout: LONG,
        max_connections: 100,
        drain_timeout: LONG,
        ..ServerOptions::default()
    }
}

async fn upload((): (), call: Call) -> Response<Body> {
    match collect(call.body, 4 << 20).await {
        Ok(body) => text(StatusCode::OK, format!("{} bytes", body.len())),
        Err(BodyError::Timeout) => text(StatusCode::REQUEST_TIMEOUT, "stalled"),
        Err(error) => text(StatusCode::BAD_REQUEST, error.to_string()),
    }
}

/// `/m/ok`, `/m/upload` and `/m/watch`, which sends `one` and then nothing for as long as the client is there.
fn router() -> Router<()> {
    Router::new("/m")
        .route(Method::GET, "/ok", |(), _| async { text(StatusCode::OK, "fine") })
        .route(Method::POST, "/upload", upload)
        .route(Method::GET, "/watch", |(), _| async {
            let first = futures::stream::iter([Ok::<_, Infallible>("one\n")]);
            Response::new(Body::from_stream(first.chain(futures::stream::pending())))
        })
}

async fn assert_serves(client: &mut Client<TcpStream>) {
    let (head, body) = client.get("/m/ok").await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert_eq!(body, "fine");
}

#[tokio::test]
async fn a_half_sent_head_is_cut_and_others_go_on() {
    let server = Server::start(router(), ServerOptions { header_timeout: SHORT, ..patient() }).await;
    let started = Instant::now();
    let mut good = server.connect().await;
    assert_serves(&mut good).await;
    let mut slow = server.connect().await;
    slow.send("GET /m/ok HTTP/1.1\r\nhost: te").await;
    assert_eq!(slow.read_to_close().await, "");
    assert!(started.elapsed() >= SHORT);
    assert_serves(&mut good).await;
    // The next head on a connection that has served is timed, too.
    good.send("GET /m/ok HT").await;
    assert_eq!(good.read_to_close().await, "");
    server.stop().await;
}

#[tokio::test]
async fn a_silent_connection_is_cut() {
    let server = Server::start(router(), ServerOptions { handshake_timeout: SHORT, ..patient() }).await;
    let mut silent = server.connect().await;
    assert_eq!(silent.read_to_close().await, "");
    let mut begun = server.connect().await;
    begun.send("P").await;
    assert_eq!(begun.read_to_close().await, "");
    server.stop().await;
}

#[tokio::test]
async fn a_half_sent_handshake_is_cut() {
    let tls = Tls::new();
    // The good handshake must fit into it on a machine with other work.
    let options = ServerOptions { handshake_timeout: Duration::from_secs(2), ..patient() };
    let server = Server::start_with(router(), options, Some(tls.server.clone())).await;
    let mut half = server.connect().await;
    half.send("\x16\x03\x01\x01").await; // the start of a record header
    assert_eq!(half.read_to_close().await, "");
    let mut good = Client::new(tls.connect(server.address, &[]).await);
    assert_eq!(good.get("/m/ok").await.1, "fine");
    server.stop().await;
}

#[tokio::test]
async fn a_stalled_body_is_an_error_for_the_handler() {
    let server = Server::start(router(), ServerOptions { body_timeout: SHORT, ..patient() }).await;
    let mut client = server.connect().await;
    client.send("POST /m/upload HTTP/1.1\r\nhost: test\r\ncontent-length: 10\r\n\r\n12345").await;
    let (head, body) = client.response().await;
    assert!(head.starts_with("HTTP/1.1 408 "), "{head}");
    assert_eq!(body, "stalled");
    assert_eq!(client.read_to_close().await, "", "the rest of the body cannot be told from a request");
    server.stop().await;
}

#[tokio::test]
async fn the_refusal_of_a_large_body_reaches_a_client_that_sends_all_of_it_first() {
    const BODY: usize = 16 << 20;
    let tls = Tls::new();
    let server = Server::start_with(router(), patient(), Some(tls.server.clone())).await;
    let plain = Server::start(router(), patient()).await;
    let mut encrypted = Client::new(tls.connect(server.address, &[]).await);
    let mut plainly = plain.connect().await;
    let request =
        format!("POST /m/upload HTTP/1.1\r\nhost: test\r\ncontent-length: {BODY}\r\n\r\n{}", "x".repeat(BODY));
    encrypted.send(&request).await;
    plainly.send(&request).await;
    for (head, body) in [encrypted.response().await, plainly.response().await] {
        assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
        assert_eq!(body, format!("the body is longer than {} bytes", 4 << 20));
    }
    drop((encrypted, plainly));
    server.stop().await;
    plain.stop().await;
}

#[tokio::test]
async fn a_broken_body_ends_the_request() {
    let server = Server::start(router(), patient()).await;
    let mut client = server.connect().await;
    client
        .send("POST /m/upload HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n5\r\n12345\r\nxyz\r\n")
        .await;
    let (head, body) = client.response().await;
    assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
    assert_eq!(body, "the body broke off");
    server.stop().await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_but_a_stream_is_not() {
    let options = ServerOptions { header_timeout: SHORT, idle_timeout: SHORT, ..patient() };
    let server = Server::start(router(), options).await;
    let mut watcher = server.connect().await;
    watcher.send("GET /m/watch HTTP/1.1\r\nhost: test\r\n\r\n").await;
    watcher.read_to("one\n\r\n").await;
    let mut idle = server.connect().await;
    let since = Instant::now();
    assert_serves(&mut idle).await;
    assert_eq!(idle.read_to_close().await, "");
    assert!(since.elapsed() >= SHORT);
    assert!(watcher.is_quiet_for(SHORT * 6).await, "a stream has no time limit");
    drop(watcher);
    server.stop().await;
}

#[tokio::test]
async fn a_connection_above_the_cap_waits_for_a_place() {
    let server = Server::start(router(), ServerOptions { max_connections: 2, ..patient() }).await;
    let (mut first, mut second, mut third) = (server.connect().await, server.connect().await, server.connect().await);
    assert_serves(&mut first).await;
    assert_serves(&mut second).await;
    third.send("GET /m/ok HTTP/1.1\r\nhost: test\r\n\r\n").await;
    assert!(third.is_quiet_for(SHORT).await);
    drop(first);
    assert_eq!(third.response().await.1, "fine");
    server.stop().await;
}

#[tokio::test]
async fn a_head_of_a_megabyte_is_taken_a_larger_one_refused() {
    let server = Server::start(router(), patient()).await;
    // One header may have 64 KiB; many make a large head.
    let head = |kilobytes: usize| {
        let headers: String =
            (0..kilobytes / 50).map(|n| format!("x-{n}: {}\r\n", "a".repeat(50 * 1024 - 10))).collect();
        format!("GET /m/ok HTTP/1.1\r\nhost: test\r\n{headers}\r\n")
    };
    let mut client = server.connect().await;
    client.send(&head(1000)).await;
    assert_eq!(client.response().await.1, "fine");
    assert_serves(&mut client).await;
    // Exactly as much as the server reads: bytes it leaves unread would reset the connection under the answer.
    client.send(&head(1100)[..(1 << 20) + 4096]).await;
    let answer = client.read_to_close().await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn a_handler_ends_with_its_client() {
    let (dropped_sender, mut dropped) = tokio::sync::mpsc::channel::<()>(1);
    let router = Router::new("/m").route(Method::GET, "/wait", move |(), _| {
        let alive = dropped_sender.clone();
        async move {
            alive.send(()).await.unwrap();
            let _alive = alive;
            std::future::pending().await
        }
    });
    let server = Server::start(router, patient()).await;
    let mut client = server.connect().await;
    client.send("GET /m/wait HTTP/1.1\r\nhost: test\r\n\r\n").await;
    soon(dropped.recv()).await.unwrap();
    drop(client);
    server.stop().await;
    assert_eq!(soon(dropped.recv()).await, None, "the future of the handler is gone");
}
