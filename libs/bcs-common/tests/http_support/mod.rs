//! A server on a free port and clients that talk to it byte by byte.

#![allow(dead_code)] // every test program uses its own part of it

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bcs_common::http::Body;
use bcs_common::http::router::Router;
use bcs_common::http::server::{Listener, ServerOptions, serve};
use bcs_common::shutdown::Shutdown;
use bytes::Bytes;
use http::Response;
use http_body::Frame;
use http_body_util::StreamBody;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// More than any test takes, even on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// The result of what must happen soon.
pub async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(DEADLINE, future).await.expect("it did not happen in time")
}

/// A running server; `stop` ends it.
pub struct Server {
    pub address: SocketAddr,
    pub shutdown: Shutdown,
    task: JoinHandle<()>,
}

impl Server {
    pub async fn start(router: Router<()>, options: ServerOptions) -> Self {
        Self::start_with(router, options, None).await
    }

    pub async fn start_with(
        router: Router<()>,
        options: ServerOptions,
        tls: Option<Arc<rustls::ServerConfig>>,
    ) -> Self {
        let listener = Listener::bind("127.0.0.1:0", tls).await.unwrap();
        let address = listener.local_addr();
        let shutdown = Shutdown::new();
        let task = shutdown.spawn("server", serve(listener, router.into_service(()), options, shutdown.clone()));
        Self { address, shutdown, task }
    }

    pub async fn connect(&self) -> Client<TcpStream> {
        Client::new(TcpStream::connect(self.address).await.unwrap())
    }

    /// Waits for the accept loop to return after the trigger.
    pub async fn ended(&mut self) {
        soon(&mut self.task).await.unwrap();
    }

    pub async fn stop(self) {
        assert!(soon(self.shutdown.drain(DEADLINE)).await, "tasks are left");
    }
}

/// One HTTP/1.1 connection, written and read as text.
pub struct Client<T> {
    pub stream: T,
    buffer: Vec<u8>,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Client<T> {
    pub fn new(stream: T) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    pub async fn send(&mut self, text: &str) {
        soon(self.stream.write_all(text.as_bytes())).await.unwrap();
        soon(self.stream.flush()).await.unwrap();
    }

    /// Everything up to and including `end`, which must come.
    pub async fn read_to(&mut self, end: &str) -> String {
        soon(async {
            loop {
                let text = String::from_utf8_lossy(&self.buffer).into_owned();
                if let Some(at) = text.find(end) {
                    let rest = self.buffer.split_off(at + end.len());
                    return String::from_utf8(std::mem::replace(&mut self.buffer, rest)).unwrap();
                }
                let count = self.stream.read_buf(&mut self.buffer).await.unwrap();
                assert_ne!(count, 0, "closed; so far: {text}");
            }
        })
        .await
    }

    /// Sends a GET and returns the head of the response and its body of known length.
    pub async fn get(&mut self, target: &str) -> (String, String) {
        self.send(&format!("GET {target} HTTP/1.1\r\nhost: test\r\n\r\n")).await;
        self.response().await
    }

    pub async fn response(&mut self) -> (String, String) {
        let head = self.read_to("\r\n\r\n").await;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect(&head);
        let length: usize = length.parse().unwrap();
        while self.buffer.len() < length {
            let count = soon(self.stream.read_buf(&mut self.buffer)).await.unwrap();
            assert_ne!(count, 0, "closed in the body");
        }
        let rest = self.buffer.split_off(length);
        (head, String::from_utf8(std::mem::replace(&mut self.buffer, rest)).unwrap())
    }

    /// What comes until the server closes, which must happen; a reset counts as closing.
    pub async fn read_to_close(&mut self) -> String {
        let mut all = std::mem::take(&mut self.buffer);
        let _ = soon(self.stream.read_to_end(&mut all)).await;
        String::from_utf8(all).unwrap()
    }

    /// Whether the connection is still open and silent after a while.
    pub async fn is_quiet_for(&mut self, time: Duration) -> bool {
        self.buffer.is_empty() && tokio::time::timeout(time, self.stream.read_buf(&mut self.buffer)).await.is_err()
    }
}

/// A streamed response and the hand that feeds it.
pub fn stream() -> (mpsc::Sender<Bytes>, Response<Body>) {
    let (sender, receiver) = mpsc::channel(16);
    let frames = futures::stream::unfold(receiver, |mut receiver| async {
        let piece: Bytes = receiver.recv().await?;
        Some((Ok::<_, Infallible>(Frame::data(piece)), receiver))
    });
    (sender, Response::new(Body::new(StreamBody::new(Box::pin(frames)))))
}

/// A self-signed server and how a client reaches it.
pub struct Tls {
    certificate: rustls::pki_types::CertificateDer<'static>,
    pub server: Arc<rustls::ServerConfig>,
}

impl Tls {
    pub fn new() -> Self {
        let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let certificate = key.cert.der().clone();
        let private = PrivateKeyDer::Pkcs8(key.signing_key.serialize_der().into());
        let mut server = rustls::ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], private)
            .unwrap();
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Self { certificate, server: Arc::new(server) }
    }

    pub async fn connect(&self, address: SocketAddr, alpn: &[&str]) -> TlsStream<TcpStream> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let mut config = rustls::ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        soon(TlsConnector::from(Arc::new(config)).connect(name, stream)).await.unwrap()
    }
}
