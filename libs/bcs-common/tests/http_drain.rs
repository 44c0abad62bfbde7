//! The end of a server: what is idle ends at once, what is under way may finish, within a limit.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a failed test is a failed test

mod http_support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bcs_common::http::router::Router;
use bcs_common::http::server::ServerOptions;
use bcs_common::http::text;
use http::{Method, StatusCode};
use http_support::{Server, soon, stream};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};

fn options(drain_timeout: Duration) -> ServerOptions {
    ServerOptions { drain_timeout, ..ServerOptions::default() }
}

/// `/m/slow` says when it runs and answers when it is told to.
fn slow_router(runs: mpsc::Sender<()>, go_on: Arc<Notify>) -> Router<()> {
    Router::new("/m").route(Method::GET, "/ok", |(), _| async { text(StatusCode::OK, "fine") }).route(
        Method::GET,
        "/slow",
        move |(), _| {
            let (runs, go_on) = (runs.clone(), Arc::clone(&go_on));
            async move {
                runs.send(()).await.unwrap();
                go_on.notified().await;
                text(StatusCode::OK, "slow but done")
            }
        },
    )
}

#[tokio::test]
async fn a_request_under_way_is_finished() {
    let (runs_sender, mut runs) = mpsc::channel(1);
    let go_on = Arc::new(Notify::new());
    let mut server =
        Server::start(slow_router(runs_sender, Arc::clone(&go_on)), options(Duration::from_secs(600))).await;
    let (mut idle, mut fresh, mut busy) = (server.connect().await, server.connect().await, server.connect().await);
    assert_eq!(idle.get("/m/ok").await.1, "fine");
    busy.send("GET /m/slow HTTP/1.1\r\nhost: test\r\n\r\n").await;
    soon(runs.recv()).await.unwrap();

    server.shutdown.trigger();
    assert_eq!(idle.read_to_close().await, "");
    assert_eq!(fresh.read_to_close().await, "");
    soon(async {
        while TcpStream::connect(server.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    go_on.notify_one();
    let (head, body) = busy.response().await;
    assert_eq!(body, "slow but done");
    assert!(head.contains("connection: close"), "{head}");
    assert_eq!(busy.read_to_close().await, "");
    server.ended().await;
    server.stop().await;
}

#[tokio::test]
async fn a_stream_is_cut_at_the_limit() {
    // Time enough for what is sent before it, also on a machine with other work.
    const LIMIT: Duration = Duration::from_secs(2);
    let (senders, mut streams) = mpsc::channel(1);
    let router = Router::new("/m").route(Method::GET, "/watch", move |(), _| {
        let senders = senders.clone();
        async move {
            let (sender, response) = stream();
            senders.send(sender).await.unwrap();
            response
        }
    });
    let mut server = Server::start(router, options(LIMIT)).await;
    let mut watcher = server.connect().await;
    watcher.send("GET /m/watch HTTP/1.1\r\nhost: test\r\n\r\n").await;
    let feed = soon(streams.recv()).await.unwrap();
    feed.send("before".into()).await.unwrap();
    watcher.read_to("before\r\n").await;

    let triggered = Instant::now();
    server.shutdown.trigger();
    feed.send("after".into()).await.unwrap();
    watcher.read_to("after\r\n").await;
    assert_eq!(watcher.read_to_close().await, "", "cut without the end of the chunks");
    assert!(triggered.elapsed() >= LIMIT);
    server.ended().await;
    server.stop().await;
}

#[tokio::test]
async fn a_stream_that_ends_with_the_shutdown_ends_well() {
    let (senders, mut streams) = mpsc::channel(1);
    let router = Router::new("/m").route(Method::GET, "/watch", move |(), _| {
        let senders = senders.clone();
        async move {
            let (sender, response) = stream();
            senders.send(sender).await.unwrap();
            response
        }
    });
    let server = Server::start(router, options(Duration::from_secs(600))).await;
    let mut watcher = server.connect().await;
    watcher.send("GET /m/watch HTTP/1.1\r\nhost: test\r\n\r\n").await;
    let feed = soon(streams.recv()).await.unwrap();
    watcher.read_to("\r\n\r\n").await;
    server.shutdown.trigger();
    drop(feed);
    assert_eq!(watcher.read_to_close().await, "0\r\n\r\n");
    server.stop().await;
}
