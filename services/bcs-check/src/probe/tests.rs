//! Attempts at servers that behave in all the ways servers do.

use std::collections::BTreeMap;
use std::net::{SocketAddr, SocketAddrV4};
use std::time::Duration;

use bcs_common::tls::{self, ClientTls, Verify};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;
use crate::definition::{Inert, Timing};

/// A server that gives the n-th request (the last one again and again) its answer, and then closes the connection, or
/// keeps it open.
struct Server {
    address: SocketAddrV4,
    requests: tokio::sync::mpsc::Receiver<String>,
    _tasks: JoinSet<()>,
}

impl Server {
    async fn start(answers: &'static [&'static [u8]], keep_open: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let SocketAddr::V4(address) = listener.local_addr().unwrap() else { panic!("not IPv4") };
        let (sender, requests) = tokio::sync::mpsc::channel(64);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut open = Vec::new();
            for number in 0.. {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let Ok(byte) = stream.read_u8().await else { break };
                    head.push(byte);
                }
                sender.send(String::from_utf8_lossy(&head).into_owned()).await.unwrap();
                let answer = answers.get(number).or(answers.last()).unwrap();
                let answer = String::from_utf8_lossy(answer).replace("{self}", &address.to_string());
                // The client may have left.
                let _ = stream.write_all(answer.as_bytes()).await;
                if keep_open {
                    open.push(stream);
                }
            }
        });
        Self { address, requests, _tasks: tasks }
    }
}

fn prober() -> Prober {
    let unverified = ClientTls { verify: Some(Verify::None), ..ClientTls::default() };
    Prober::new(tls::client_config(&unverified, &[]).unwrap())
}

fn http(address: SocketAddrV4, path: &str, headers: &[(&str, &str)]) -> Definition {
    let headers: BTreeMap<_, _> = headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    let kind = Kind::Http(HttpTarget { scheme: "http".into(), path: path.into(), headers });
    let timeout = Duration::from_secs(10);
    Definition {
        index: 0,
        task: "t".into(),
        kind,
        ip: address.ip().to_string(),
        port: address.port().into(),
        timing: Timing { grace: timeout, interval: timeout, timeout },
        inert: Inert::default(),
        readiness: Readiness::Ready(address),
    }
}

/// The message of an attempt without `check endpoint <address> `, and whether it was good.
async fn attempt(answers: &'static [&'static [u8]], keep_open: bool) -> (bool, String) {
    let server = Server::start(answers, keep_open).await;
    let seen = prober().attempt(&http(server.address, "/", &[])).await;
    let prefix = format!("check endpoint {} ", server.address);
    (seen.state.healthy, seen.state.message.strip_prefix(&prefix).unwrap().to_owned())
}

#[tokio::test]
async fn good_answers() {
    let answers: [(&[u8], bool); 8] = [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", true),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", false),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n2;a=b\r\nok\r\n0\r\nX: y\r\n\r\n", true),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", true),
        (b"HTTP/1.1 200 OK\r\nX-Folded: a\r\n b\r\nContent-Length: 0\r\n\r\n", true),
        (b"HTTP/1.1 304 Not Modified\r\n\r\n", true),
        (b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", true),
        (b"HTTP/1.1 399 Odd\r\nContent-Length: 0\r\n\r\n", true),
    ];
    for (answer, keep_open) in answers {
        let answers: &'static [&'static [u8]] = Box::leak(Box::new([answer]));
        assert_eq!(attempt(answers, keep_open).await, (true, "http ok".into()), "{}", String::from_utf8_lossy(answer));
    }
}

#[tokio::test]
async fn bad_answers() {
    let answers: [(&[u8], &str); 5] = [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "resp httpcode 404"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", "failed: unexpected EOF"),
        (b"", "failed: EOF"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "failed: malformed HTTP response"),
        (b"HTTP/1.1 302 Found\r\nLocation: ftp://x/\r\n\r\n", "failed: unsupported protocol scheme \"ftp\""),
    ];
    for (answer, message) in answers {
        let answers: &'static [&'static [u8]] = Box::leak(Box::new([answer]));
        assert_eq!(attempt(answers, false).await, (false, message.into()));
    }
}

#[tokio::test]
async fn at_most_ten_requests() {
    const REDIRECT: &[u8] = b"HTTP/1.1 302 Found\r\nLocation: /next\r\nContent-Length: 0\r\n\r\n";
    const GOOD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    const NINE: &[&[u8]] =
        &[REDIRECT, REDIRECT, REDIRECT, REDIRECT, REDIRECT, REDIRECT, REDIRECT, REDIRECT, REDIRECT, GOOD];
    assert_eq!(attempt(NINE, false).await, (true, "http ok".into()));
    assert_eq!(attempt(&[REDIRECT], false).await, (false, "failed: stopped after 10 redirects".into()));
}

#[tokio::test]
async fn headers_go_with_every_request_and_host_only_to_its_server() {
    let mut other = Server::start(&[b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"], false).await;
    let location = format!("HTTP/1.1 307 X\r\nLocation: http://{}/there\r\nContent-Length: 0\r\n\r\n", other.address);
    let location: &'static [u8] = Box::leak(location.into_bytes().into_boxed_slice());
    let answers: &'static [&'static [u8]] =
        Box::leak(Box::new([&b"HTTP/1.1 301 X\r\nLocation: here\r\nContent-Length: 0\r\n\r\n"[..], location]));
    let mut first = Server::start(answers, false).await;
    let headers = [("Host", "web.example"), ("x-check", "bcs"), ("Content-Length", "7"), ("X-Empty", "")];
    let seen = prober().attempt(&http(first.address, "/a/b?c=d", &headers)).await;
    assert!(seen.state.healthy && seen.hops.len() == 3, "{seen:?}");
    assert_eq!(seen.state.message, format!("check endpoint {} http ok", first.address));

    let request = first.requests.recv().await.unwrap();
    assert!(request.starts_with("GET /a/b?c=d HTTP/1.1\r\n"), "{request}");
    for line in ["Host: web.example", "X-Check: bcs", "X-Empty: ", "Connection: close"] {
        assert!(request.split("\r\n").any(|found| found == line), "{line} in {request}");
    }
    assert!(!request.to_lowercase().contains("content-length"), "{request}");
    let request = first.requests.recv().await.unwrap();
    assert!(request.starts_with("GET /a/here HTTP/1.1\r\n") && request.contains("Host: web.example\r\n"), "{request}");
    let request = other.requests.recv().await.unwrap();
    let host = format!("Host: {}\r\n", other.address);
    assert!(
        request.starts_with("GET /there ") && request.contains(&host) && request.contains("X-Check: bcs"),
        "{request}"
    );
}

#[tokio::test]
async fn what_cannot_be_sent_fails_without_a_request() {
    let mut server = Server::start(&[b""], false).await;
    for (path, headers) in [("/%zz", &[][..]), ("/", &[("X Y", "z")]), ("/", &[("X", "a\nb")])] {
        let seen = prober().attempt(&http(server.address, path, headers)).await;
        assert!(seen.state.message.contains(" failed: "), "{seen:?}");
    }
    assert!(server.requests.try_recv().is_err());
}

#[tokio::test]
async fn an_attempt_ends_at_its_limit() {
    let server = Server::start(&[b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nslow"], true).await;
    let mut definition = http(server.address, "/", &[]);
    definition.timing.timeout = Duration::from_millis(50);
    let seen = prober().attempt(&definition).await;
    assert_eq!(seen.state.message, format!("check endpoint {} failed: request timeout", server.address));
}

#[tokio::test]
async fn plain_servers_are_no_https_servers() {
    let server = Server::start(&[b"HTTP/1.1 400 Bad Request\r\n\r\n"], false).await;
    let mut definition = http(server.address, "/", &[]);
    definition.kind = Kind::Http(HttpTarget { scheme: "https".into(), ..HttpTarget::default() });
    definition.timing.timeout = Duration::from_secs(1);
    let seen = prober().attempt(&definition).await;
    assert!(!seen.state.healthy && seen.state.message.contains(" failed: "), "{seen:?}");
}

#[tokio::test]
async fn a_refused_connection_is_told_the_same_way_every_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let SocketAddr::V4(address) = listener.local_addr().unwrap() else { panic!("not IPv4") };
    let definition = Definition { kind: Kind::Tcp, ..http(address, "/", &[]) };
    assert_eq!(prober().attempt(&definition).await.state.message, format!("check endpoint {address} tcp ok"));
    drop(listener);
    let expected = format!("check endpoint {address} failed: dial tcp {address}: connect: connection refused");
    for _ in 0..2 {
        assert_eq!(prober().attempt(&definition).await.state.message, expected);
    }
}
