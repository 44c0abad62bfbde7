//! As little HTTP client as possible, with and without TLS.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bcs_common::tls::{self, ClientTls};
use bcs_integration_tests::certs::Certs;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A proxy under load.
#[derive(Clone)]
pub struct Target {
    port: u16,
    tls: Option<TlsConnector>,
}

impl Target {
    pub fn plain(port: u16) -> Self {
        Self { port, tls: None }
    }

    /// Every connection makes a full handshake.
    pub fn tls(port: u16, certs: &Certs) -> Self {
        let files = ClientTls { ca_file: Some(certs.ca()), ..ClientTls::default() };
        let mut config = (*tls::client_config(&files, &["http/1.1"]).unwrap()).clone();
        config.resumption = Resumption::disabled();
        Self { port, tls: Some(TlsConnector::from(Arc::new(config))) }
    }

    async fn connect(&self) -> Box<dyn Stream> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        match &self.tls {
            None => Box::new(stream),
            Some(tls) => Box::new(tls.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap()),
        }
    }

    /// Answers a second.
    pub async fn requests(&self, path: &str, clients: usize, duration: Duration) -> f64 {
        let request: Arc<[u8]> = request(path).into();
        let started = Instant::now();
        let mut tasks = JoinSet::new();
        for _ in 0..clients {
            let (target, request) = (self.clone(), Arc::clone(&request));
            tasks.spawn(async move {
                let mut stream = target.connect().await;
                let mut buffer = Vec::with_capacity(1 << 14);
                let mut answers = 0_u32;
                while started.elapsed() < duration {
                    stream.write_all(&request).await.unwrap();
                    let left = head(&mut stream, &mut buffer).await;
                    drain(&mut stream, left).await;
                    answers += 1;
                }
                answers
            });
        }
        let answers: u32 = tasks.join_all().await.into_iter().sum();
        f64::from(answers) / started.elapsed().as_secs_f64()
    }

    /// Megabytes a second.
    pub async fn download(&self, path: &str) -> f64 {
        let started = Instant::now();
        let mut stream = self.connect().await;
        stream.write_all(&request(path)).await.unwrap();
        let left = head(&mut stream, &mut Vec::new()).await;
        drain(&mut stream, left).await;
        left as f64 / 1e6 / started.elapsed().as_secs_f64()
    }

    /// Connections a second.
    pub async fn handshakes(&self, clients: usize, duration: Duration) -> f64 {
        let started = Instant::now();
        let mut tasks = JoinSet::new();
        for _ in 0..clients {
            let target = self.clone();
            tasks.spawn(async move {
                let mut made = 0_u32;
                while started.elapsed() < duration {
                    drop(target.connect().await);
                    made += 1;
                }
                made
            });
        }
        let made: u32 = tasks.join_all().await.into_iter().sum();
        f64::from(made) / started.elapsed().as_secs_f64()
    }
}

fn request(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes()
}

/// Reads a head; how much of the body is still to come.
async fn head(stream: &mut Box<dyn Stream>, buffer: &mut Vec<u8>) -> usize {
    buffer.clear();
    loop {
        assert_ne!(stream.read_buf(buffer).await.unwrap(), 0, "the proxy closed the connection");
        let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        assert!(buffer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&buffer[..end]));
        let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
        let (_, length) = head.split_once("content-length: ").expect("an answer with a length");
        let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
        return length - (buffer.len() - end - 4);
    }
}

async fn drain(stream: &mut Box<dyn Stream>, mut left: usize) {
    let mut piece = vec![0; left.min(1 << 18)];
    while left > 0 {
        let length = stream.read(&mut piece).await.unwrap();
        assert_ne!(length, 0, "the answer is short");
        left -= length;
    }
}
