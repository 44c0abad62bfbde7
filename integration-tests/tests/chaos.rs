//! The proxy breaks connections as ordered, and is transparent otherwise.

#![allow(clippy::unwrap_used, reason = "helpers of tests: a panic is a failed test")]

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bcs_integration_tests::chaos::ChaosProxy;
use bcs_integration_tests::wait::eventually;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

const SOON: Duration = Duration::from_secs(60);

/// Long enough for anything on loopback that is not held back.
const QUIET: Duration = Duration::from_millis(200);

/// A server that sends back what it gets. It ends with the value.
struct Echo {
    address: SocketAddr,
    _task: AbortOnDropHandle<()>,
}

impl Echo {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut connections = tokio::task::JoinSet::new();
        let task = tokio_util::task::TaskTracker::new().spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                connections.spawn(async move {
                    let (mut reads, mut writes) = stream.split();
                    tokio::io::copy(&mut reads, &mut writes).await
                });
            }
        });
        Self { address, _task: AbortOnDropHandle::new(task) }
    }
}

async fn echo(stream: &mut TcpStream, text: &str) -> std::io::Result<String> {
    stream.write_all(text.as_bytes()).await?;
    let mut back = vec![0; text.len()];
    stream.read_exact(&mut back).await?;
    Ok(String::from_utf8(back).unwrap())
}

async fn assert_reset(stream: &mut TcpStream) {
    let read = timeout(SOON, stream.read(&mut [0])).await.unwrap();
    assert_eq!(read.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn passes_on_and_closes_like_the_ends() {
    let server = Echo::start().await;
    let proxy = ChaosProxy::start(server.address);
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    let text = "0123456789".repeat(100_000);
    let (mut reads, mut writes) = stream.split();
    let mut back = String::new();
    let send = async {
        writes.write_all(text.as_bytes()).await.unwrap();
        writes.shutdown().await.unwrap();
    };
    tokio::join!(send, async { reads.read_to_string(&mut back).await.unwrap() });
    assert!(back == text, "{} of {} bytes", back.len(), text.len());
    eventually("the connection is closed", SOON, async || proxy.open_connections() == 0).await;
}

#[tokio::test]
async fn cut_resets_connections_and_takes_new_ones() {
    let server = Echo::start().await;
    let proxy = ChaosProxy::start(server.address);
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(echo(&mut stream, "one").await.unwrap(), "one");
    assert_eq!(proxy.open_connections(), 1);
    proxy.cut().await;
    assert_eq!(proxy.open_connections(), 0);
    assert_reset(&mut stream).await;
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(echo(&mut stream, "two").await.unwrap(), "two");
}

#[tokio::test]
async fn refuse_looks_like_a_server_that_is_down() {
    let server = Echo::start().await;
    let proxy = ChaosProxy::start(server.address);
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(echo(&mut stream, "one").await.unwrap(), "one");
    proxy.refuse().await;
    assert_reset(&mut stream).await;
    let refused = TcpStream::connect(proxy.address()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    proxy.accept().await;
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(echo(&mut stream, "two").await.unwrap(), "two");
}

#[tokio::test]
async fn pause_holds_old_and_new_connections() {
    let server = Echo::start().await;
    let proxy = ChaosProxy::start(server.address);
    let mut old = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(echo(&mut old, "one").await.unwrap(), "one");
    proxy.pause();
    let mut new = TcpStream::connect(proxy.address()).await.unwrap();
    old.write_all(b"two").await.unwrap();
    new.write_all(b"new").await.unwrap();
    for stream in [&mut old, &mut new] {
        assert!(timeout(QUIET, stream.read(&mut [0])).await.is_err(), "something came through");
    }
    proxy.resume();
    let mut back = [0; 3];
    old.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"two");
    new.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"new");
}

#[tokio::test]
async fn cut_reaches_paused_connections() {
    let server = Echo::start().await;
    let proxy = ChaosProxy::start(server.address);
    proxy.pause();
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    eventually("the connection is there", SOON, async || proxy.open_connections() == 1).await;
    proxy.cut().await;
    assert_reset(&mut stream).await;
}

#[tokio::test]
async fn delay_holds_both_directions() {
    let server = Echo::start().await;
    let proxy = ChaosProxy::start(server.address);
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    proxy.delay(QUIET);
    let start = Instant::now();
    assert_eq!(echo(&mut stream, "one").await.unwrap(), "one");
    assert!(start.elapsed() >= 2 * QUIET);
}

#[tokio::test]
async fn a_target_that_is_down_resets() {
    let server = Echo::start().await;
    let proxy = ChaosProxy::start(server.address);
    drop(server);
    eventually("the target is down", SOON, async || first_echo(&proxy).await.is_err()).await;
    // The reset may arrive before the connection was seen to stand, so it is the connect that fails now and then.
    assert_eq!(first_echo(&proxy).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

/// The echo over a new connection.
async fn first_echo(proxy: &ChaosProxy) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(proxy.address()).await?;
    echo(&mut stream, "one").await
}
