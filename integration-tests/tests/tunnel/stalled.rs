//! Readers that do not keep up.

use std::time::Duration;

use bcs_integration_tests::kube::Kube;
use bcs_integration_tests::wait::eventually;
use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::proxy::World;
use crate::service::Service;

/// Asks for a download and reads nothing of it.
async fn stall(world: &World, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(world.service.address).await.unwrap();
    let path = Service::path("c1", path);
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_stalled_stream_does_not_stop_the_others() {
    let (world, source) = (World::start().await, Kube::start().await);
    let mut stalled = world.service.tunnels.dial("c1", "tcp", &source.address().to_string()).unwrap();
    // More than may lie unread: it ends with `backed up reader`.
    stalled.write_all(b"GET /chunk/400000000 HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    stalled.read_exact(&mut [0; 100]).await.unwrap();
    let mut others = JoinSet::new();
    for _ in 0..99 {
        let client = world.service.client();
        others.spawn(async move {
            for _ in 0..10 {
                let answer = client.get(&Service::path("c1", "/size/20000")).await.unwrap();
                assert_eq!((answer.status, answer.body.len()), (StatusCode::OK, 20_000));
            }
        });
    }
    while let Some(other) = others.join_next().await {
        other.unwrap();
    }
    eventually("the stalled download is given up", Duration::from_secs(60), async || source.open() == 0).await;
    let error = stalled.read_to_end(&mut Vec::new()).await.unwrap_err();
    assert_eq!(error.to_string(), "backed up reader");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_gets_everything() {
    let world = World::start().await;
    let mut slow = stall(&world, "/size/100000000").await;
    let mut block = vec![0; 1 << 20];
    let mut total = 0;
    while total < 100_000_000 {
        let length = slow.read(&mut block).await.unwrap();
        assert!(length > 0, "ended after {total} bytes");
        total += length;
        if total % 7 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}
