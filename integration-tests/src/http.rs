//! A small HTTP/1.1 client that keeps connections alive and reports what went wrong, for tests that break things.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_util::task::TaskTracker;

use crate::certs::Certs;

/// How long one request with its whole answer may take.
const REQUEST: Duration = Duration::from_secs(30);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection: refused, reset, or the TLS handshake failed.
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    /// The connection ended or the answer is not HTTP.
    #[error("no complete answer")]
    Http(#[from] hyper::Error),
    /// Neither an answer nor an error in time.
    #[error("no answer in time")]
    TimedOut,
    /// The stream is not a sequence of JSON documents.
    #[error("not JSON")]
    Json(#[from] serde_json::Error),
}

/// A client of one server. Clones share its connections.
#[derive(Clone)]
pub struct Client {
    server: Arc<Server>,
}

struct Server {
    host: String,
    port: u16,
    tls: Option<TlsConnector>,
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
    /// The tasks that drive the connections; each ends with its connection.
    connections: TaskTracker,
}

/// A complete answer.
#[derive(Debug)]
pub struct Response {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Response {
    /// The body as JSON.
    ///
    /// # Panics
    /// When it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("{e} in the answer {} {}", self.status, self.text()))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Client {
    /// A client of `base`, for example `http://127.0.0.1:8080`.
    ///
    /// # Panics
    /// When `base` is not such a URL.
    pub fn new(base: &str) -> Self {
        Self::with(base, None)
    }

    /// A client of an `https` server whose certificate is checked against the CA of `certs`. It shows the client
    /// certificate of `certs` to a server that asks for one.
    pub fn with_tls(base: &str, certs: &Certs) -> Self {
        Self::with(base, Some(tls_connector(&certs.ca(), Some(certs))))
    }

    /// As [`Self::with_tls`], but with no certificate of its own.
    pub fn with_tls_anonymous(base: &str, certs: &Certs) -> Self {
        Self::with_ca(base, &certs.ca())
    }

    /// A client of an `https` server whose certificate is checked against the CA in a PEM file.
    pub fn with_ca(base: &str, ca: &Path) -> Self {
        Self::with(base, Some(tls_connector(ca, None)))
    }

    /// A client of an `https` server with TLS of the caller's own.
    pub fn with_config(base: &str, tls: Arc<ClientConfig>) -> Self {
        Self::with(base, Some(tls.into()))
    }

    fn with(base: &str, tls: Option<TlsConnector>) -> Self {
        let uri: Uri = base.parse().unwrap();
        assert_eq!(uri.scheme_str() == Some("https"), tls.is_some(), "scheme of {base}");
        let server = Server {
            host: uri.host().unwrap().to_owned(),
            port: uri.port_u16().unwrap(),
            tls,
            idle: Mutex::default(),
            connections: TaskTracker::new(),
        };
        Self { server: Arc::new(server) }
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Result<Response, Error> {
        self.send(Method::GET, path, None).await
    }

    /// DELETE without a body.
    pub async fn delete(&self, path: &str) -> Result<Response, Error> {
        self.send(Method::DELETE, path, None).await
    }

    /// PUT of a JSON body.
    pub async fn put(&self, path: &str, body: &Value) -> Result<Response, Error> {
        self.send(Method::PUT, path, Some(body)).await
    }

    /// POST of a JSON body.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Response, Error> {
        self.send(Method::POST, path, Some(body)).await
    }

    /// Any method, with a JSON body or none.
    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Response, Error> {
        self.request(request(method, path, body)).await
    }

    /// Any request; its target is a path, and `Host` is added.
    pub async fn request(&self, request: Request<Full<Bytes>>) -> Result<Response, Error> {
        let exchange = async {
            let (mut sender, answer) = self.start(request).await?;
            let (head, body) = answer.into_parts();
            let body = body.collect().await?.to_bytes();
            if sender.ready().await.is_ok() {
                self.server.idle.lock().unwrap().push(sender);
            }
            Ok(Response { status: head.status, headers: head.headers, body })
        };
        timeout(REQUEST, exchange).await.map_err(|_| Error::TimedOut)?
    }

    /// Starts a request whose answer is a stream of JSON documents, on a connection of its own that ends with the
    /// stream.
    pub async fn stream(&self, method: Method, path: &str, body: Option<&Value>) -> Result<JsonStream, Error> {
        let start = self.start(request(method, path, body));
        let (sender, answer) = timeout(REQUEST, start).await.map_err(|_| Error::TimedOut)??;
        let status = answer.status();
        Ok(JsonStream {
            status,
            body: answer.into_body(),
            text: Vec::new(),
            documents: VecDeque::new(),
            _connection: sender,
        })
    }

    async fn start(
        &self,
        mut request: Request<Full<Bytes>>,
    ) -> Result<(SendRequest<Full<Bytes>>, http::Response<Incoming>), Error> {
        let host = format!("{}:{}", self.server.host, self.server.port);
        request.headers_mut().insert(HOST, host.parse().unwrap());
        loop {
            let idle = self.server.idle.lock().unwrap().pop();
            let reused = idle.is_some();
            let mut sender = match idle {
                Some(sender) => sender,
                None => self.server.connect().await?,
            };
            match sender.try_send_request(request).await {
                Ok(answer) => return Ok((sender, answer)),
                // The server closed it while it was idle, and nothing of the request was sent.
                Err(mut e) => match e.take_message() {
                    Some(unsent) if reused => request = unsent,
                    _ => return Err(e.into_error().into()),
                },
            }
        }
    }
}

impl Server {
    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Error> {
        let tcp = TcpStream::connect((&*self.host, self.port)).await.map_err(Error::Connect)?;
        tcp.set_nodelay(true).map_err(Error::Connect)?;
        let Some(tls) = &self.tls else {
            let (sender, connection) = handshake(TokioIo::new(tcp)).await?;
            self.connections.spawn(connection);
            return Ok(sender);
        };
        let name = ServerName::try_from(self.host.clone()).unwrap();
        let tls = tls.connect(name, tcp).await.map_err(Error::Connect)?;
        let (sender, connection) = handshake(TokioIo::new(tls)).await?;
        self.connections.spawn(connection);
        Ok(sender)
    }
}

fn request(method: Method, path: &str, body: Option<&Value>) -> Request<Full<Bytes>> {
    let request = Request::builder().method(method).uri(path);
    match body {
        None => request.body(Full::default()),
        Some(json) => request.header(CONTENT_TYPE, "application/json").body(Full::from(json.to_string())),
    }
    .unwrap()
}

/// `own`: what the client shows of itself.
fn tls_connector(ca: &Path, own: Option<&Certs>) -> TlsConnector {
    TlsConnector::from(tls_config(ca, own))
}

/// TLS that trusts the CA in a PEM file and shows the client certificate of `own`.
pub fn tls_config(ca: &Path, own: Option<&Certs>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(ca) {
        roots.add(certificate).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = if let Some(certs) = own {
        let key = PrivateKeyDer::from_pem_file(certs.client_key()).unwrap();
        config.with_client_auth_cert(read_certificates(&certs.client_cert()), key).unwrap()
    } else {
        config.with_no_client_auth()
    };
    Arc::new(config)
}

fn read_certificates(path: &Path) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_file_iter(path).unwrap().collect::<Result<_, _>>().unwrap()
}

/// JSON documents as they arrive, for example the events of a watch.
pub struct JsonStream {
    /// The answer's status.
    pub status: StatusCode,
    body: Incoming,
    text: Vec<u8>,
    documents: VecDeque<Value>,
    _connection: SendRequest<Full<Bytes>>,
}

impl JsonStream {
    /// The next document, or nothing when the server ended the stream.
    ///
    /// # Errors
    /// [`Error::TimedOut`] when nothing came within `deadline` (the stream can be read on), [`Error::Http`] when the
    /// connection was cut, [`Error::Json`] when something else than JSON came.
    pub async fn next(&mut self, deadline: Duration) -> Result<Option<Value>, Error> {
        timeout(deadline, self.read()).await.map_err(|_| Error::TimedOut)?
    }

    async fn read(&mut self) -> Result<Option<Value>, Error> {
        loop {
            if let Some(document) = self.documents.pop_front() {
                return Ok(Some(document));
            }
            let Some(frame) = self.body.frame().await else {
                return self.end();
            };
            if let Ok(data) = frame?.into_data() {
                self.text.extend_from_slice(&data);
                self.parse()?;
            }
        }
    }

    /// The end of the stream, which must not be in the middle of a document.
    fn end(&self) -> Result<Option<Value>, Error> {
        match &*self.text {
            [] => Ok(None),
            rest => Ok(serde_json::from_slice(rest).map(Some)?),
        }
    }

    /// Moves the complete documents out of the text.
    fn parse(&mut self) -> Result<(), Error> {
        let mut parser = serde_json::Deserializer::from_slice(&self.text).into_iter::<Value>();
        for document in parser.by_ref() {
            match document {
                Ok(document) => self.documents.push_back(document),
                Err(e) if e.is_eof() => break,
                Err(e) => return Err(e.into()),
            }
        }
        // After an unfinished document this is where it starts.
        let used = parser.byte_offset();
        self.text.drain(..used);
        Ok(())
    }
}
