//! A load of HTTP/1.1 requests over kept connections, with as little client as possible.

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The bytes of a request.
pub struct Request(Vec<u8>);

impl Request {
    pub fn new(method: &str, path: &str) -> Self {
        Self(format!("{method} {path} HTTP/1.1\r\nHost: bench\r\n\r\n").into_bytes())
    }

    pub fn with_body(method: &str, path: &str, body: &str) -> Self {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: bench\r\nContent-Length: {}\r\n\r\n", body.len());
        Self([head.as_bytes(), body.as_bytes()].concat())
    }

    /// Sends a bearer token along.
    #[allow(dead_code, reason = "not every bench has users")]
    pub fn with_token(self, token: &str) -> Self {
        let host = b"Host: bench\r\n";
        let at = self.0.windows(host.len()).position(|part| part == host).unwrap() + host.len();
        let (head, rest) = self.0.split_at(at);
        Self([head, format!("Authorization: Bearer {token}\r\n").as_bytes(), rest].concat())
    }
}

/// A kept connection.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::with_capacity(1 << 16) }
    }

    /// Sends a request and reads its answer, which must be a success with a length.
    pub async fn ask(&mut self, request: &Request) {
        self.stream.write_all(&request.0).await.unwrap();
        self.buffer.clear();
        let mut whole = usize::MAX;
        while self.buffer.len() < whole {
            assert_ne!(self.stream.read_buf(&mut self.buffer).await.unwrap(), 0, "the service closed the connection");
            if whole == usize::MAX
                && let Some(head) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n")
            {
                whole = head + 4 + content_length(&self.buffer[..head]);
            }
        }
        assert!(self.buffer.starts_with(b"HTTP/1.1 200"));
        let body = &self.buffer[whole - whole.min(self.buffer.len()).min(200)..];
        assert!(!body.starts_with(b"{\"result\":false"), "{}", String::from_utf8_lossy(body));
    }
}

fn content_length(head: &[u8]) -> usize {
    let head = std::str::from_utf8(head).unwrap().to_ascii_lowercase();
    let (_, rest) = head.split_once("content-length: ").expect("an answer with a length");
    rest.split("\r\n").next().unwrap().parse().unwrap()
}

/// What a load came to.
pub struct Load {
    latencies: Vec<Duration>,
    taken: Duration,
}

impl Load {
    /// `clients` connections ask one request after the other for `duration`.
    pub async fn run(
        address: SocketAddr,
        clients: usize,
        duration: Duration,
        request: impl Fn(usize, usize) -> Request + Clone + Send + 'static,
    ) -> Self {
        let started = Instant::now();
        let mut tasks = tokio::task::JoinSet::new();
        for client in 0..clients {
            let request = request.clone();
            tasks.spawn(async move {
                let mut connection = Connection::open(address).await;
                let mut latencies = Vec::new();
                for number in 0.. {
                    let asked = Instant::now();
                    if asked.duration_since(started) > duration {
                        break;
                    }
                    connection.ask(&request(client, number)).await;
                    latencies.push(asked.elapsed());
                }
                latencies
            });
        }
        let mut latencies: Vec<Duration> = tasks.join_all().await.into_iter().flatten().collect();
        latencies.sort_unstable();
        Self { latencies, taken: started.elapsed() }
    }

    pub fn answers(&self) -> usize {
        self.latencies.len()
    }

    pub fn per_second(&self) -> f64 {
        self.answers() as f64 / self.taken.as_secs_f64()
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [median, high] = [50, 99].map(|part| super::millis(percentile(&self.latencies, part)));
        write!(f, "{:.0}/s, p50 {median:.1} ms, p99 {high:.1} ms", self.per_second())
    }
}

/// The value below which `part` of a hundred lie; of a sorted list.
pub fn percentile(sorted: &[Duration], part: usize) -> Duration {
    sorted[(sorted.len() * part / 100).min(sorted.len() - 1)]
}

/// Processor time a process has used, in user and system mode.
pub fn cpu(process: u32) -> Duration {
    const TICKS_PER_SECOND: u64 = 100; // of /proc on Linux, on every architecture we build for
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let ticks: u64 = fields.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND)
}
