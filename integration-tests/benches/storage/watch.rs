//! One change, a thousand watchers: how long until each has it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bcs_integration_tests::service::Service;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::load::{Connection, Request, percentile};
use crate::{PODS, megabytes, millis, row};

const WATCHERS: usize = 1000;
const EVENTS: usize = 20;

/// Puts one document after the other; waits each time until every watcher has seen it.
pub async fn fan_out(store: &str, service: &mut Service) {
    let address = service.daemon().address();
    let (seen, mut sightings) = mpsc::channel(WATCHERS * 2);
    let mut watchers = tokio::task::JoinSet::new();
    for _ in 0..WATCHERS {
        let stream = subscribe(address).await;
        watchers.spawn(follow(stream, seen.clone()));
    }
    let mut writer = Connection::open(address).await;
    let mut latencies = Vec::new();
    let mut out_of_order = 0;
    for event in 0..EVENTS {
        let body = format!("{{\"data\":{{\"event\":{event},\"filling\":\"{}\"}}}}", "x".repeat(2000));
        let put = Request::with_body("PUT", &format!("{PODS}/watched"), &body);
        let written = Instant::now();
        writer.ask(&put).await;
        for _ in 0..WATCHERS {
            let sighting = tokio::time::timeout(Duration::from_secs(30), sightings.recv()).await;
            let (number, at): (usize, Instant) = sighting.expect("every watcher sees every change").unwrap();
            out_of_order += usize::from(number != event);
            latencies.push(at.duration_since(written));
        }
    }
    latencies.sort_unstable();
    let [median, high] = [50, 99].map(|part| millis(percentile(&latencies, part)));
    row(
        store,
        "watch: PUT → each of 1,000 watchers",
        &format!("p50 {median:.0} ms, p99 {high:.0} ms, {} delivered, {out_of_order} out of order", latencies.len()),
        "p99 ≤ 100 ms, all, in order",
    );
    row(store, "RSS with 1,000 watchers", &megabytes(service), "≤ 30 MB");
    watchers.abort_all();
}

async fn subscribe(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head =
        "POST /bcsstorage/v1/dynamic/watch/BCS-K8S-00000/Pod HTTP/1.1\r\nHost: bench\r\nContent-Length: 2\r\n\r\n{}";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0);
    }
    stream
}

/// Reports the number of each event with the time its last byte came.
async fn follow(mut stream: TcpStream, seen: mpsc::Sender<(usize, Instant)>) {
    let mut text = String::new();
    let mut buffer = vec![0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
        text.push_str(&String::from_utf8_lossy(&buffer[..length]));
        // An event is one chunk; its end is the end of the chunk.
        while let Some(end) = text.find("}}\r\n") {
            let number = text[..end].split("\"event\":").nth(1).and_then(|rest| rest.split(',').next()?.parse().ok());
            let _ = seen.send((number.expect("an event of the bench"), Instant::now())).await;
            text.drain(..end + 4);
        }
    }
}
