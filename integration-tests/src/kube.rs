//! A stand-in for kube-apiserver, in the test's own process: what a proxy can get wrong, over TLS or without.
//!
//! | path | answer |
//! |---|---|
//! | `/echo…` | JSON of method, path, query, headers and body |
//! | `/size/N`, `/chunk/N` | N bytes, with `Content-Length` or chunked |
//! | `/status/CODE` | that status and `{"code":CODE}` |
//! | `/watch?n=3&ms=200` | chunked JSON lines `{"n":1}` …, one per interval |
//! | `/hang` | no answer |
//! | `/redirect?to=URL` | 302 with that `Location` |
//! | `/cors` | CORS headers |
//! | `/cut?after=N` | promises 1,000,000 bytes, sends N and cuts the connection |
//! | upgrade requests | 101 (SPDY, WebSocket), then every byte comes back; `/noupgrade/CODE` refuses |

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, StreamExt};
use http::header::{CONNECTION, CONTENT_TYPE, HeaderName, LOCATION, SEC_WEBSOCKET_KEY, UPGRADE};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::certs::Certs;

type Answer = Response<BoxBody<Bytes, std::io::Error>>;

/// A running stand-in; it ends with this value.
pub struct Kube {
    address: SocketAddr,
    tls: bool,
    counters: Arc<Counters>,
    stop: CancellationToken,
}

#[derive(Default)]
struct Counters {
    accepted: AtomicUsize,
    open: AtomicUsize,
    requests: AtomicUsize,
}

impl Kube {
    /// Without TLS.
    pub async fn start() -> Self {
        Self::serve(None).await
    }

    /// With the server certificate of `certs` (`localhost`, 127.0.0.1).
    pub async fn start_tls(certs: &Certs) -> Self {
        let chain = CertificateDer::pem_file_iter(certs.server_cert()).unwrap().collect::<Result<_, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_file(certs.server_key()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        Self::serve(Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn serve(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let kube = Self {
            address: listener.local_addr().unwrap(),
            tls: tls.is_some(),
            counters: Arc::default(),
            stop: CancellationToken::new(),
        };
        let (counters, stop) = (Arc::clone(&kube.counters), kube.stop.clone());
        let tasks = TaskTracker::new();
        tasks.clone().spawn(kube.stop.clone().run_until_cancelled_owned(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                tcp.set_nodelay(true).unwrap();
                let (counters, tls) = (Arc::clone(&counters), tls.clone());
                counters.accepted.fetch_add(1, Ordering::SeqCst);
                counters.open.fetch_add(1, Ordering::SeqCst);
                tasks.spawn(stop.clone().run_until_cancelled_owned(async move {
                    let open = Open(counters);
                    match tls {
                        None => serve_connection(tcp, &open).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(tcp).await {
                                serve_connection(stream, &open).await;
                            }
                        }
                    }
                }));
            }
        }));
        kube
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `https://127.0.0.1:port`, or `http`.
    pub fn url(&self) -> String {
        format!("{}://{}", if self.tls { "https" } else { "http" }, self.address)
    }

    /// Connections that were accepted so far.
    pub fn accepted(&self) -> usize {
        self.counters.accepted.load(Ordering::SeqCst)
    }

    /// Connections that are open, upgraded ones included.
    pub fn open(&self) -> usize {
        self.counters.open.load(Ordering::SeqCst)
    }

    /// Requests so far.
    pub fn requests(&self) -> usize {
        self.counters.requests.load(Ordering::SeqCst)
    }
}

impl Drop for Kube {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

struct Open(Arc<Counters>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn serve_connection<I>(io: I, open: &Open)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // The upgraded stream is served here, so that the connection is counted to its very end.
    let upgraded = Arc::new(std::sync::Mutex::new(None));
    let service = service_fn(|mut request: Request<Incoming>| {
        open.0.requests.fetch_add(1, Ordering::SeqCst);
        if request.headers().contains_key(UPGRADE) && !request.uri().path().starts_with("/noupgrade/") {
            *upgraded.lock().unwrap() = Some(hyper::upgrade::on(&mut request));
        }
        async move { answer(request).await.ok_or("cut") }
    });
    let _ = http1::Builder::new().serve_connection(TokioIo::new(io), service).with_upgrades().await;
    let upgrade = upgraded.lock().unwrap().take();
    if let Some(upgrade) = upgrade
        && let Ok(stream) = upgrade.await
    {
        let (mut read, mut write) = tokio::io::split(TokioIo::new(stream));
        let mut buffer = vec![0; 16 << 10];
        while let Ok(length @ 1..) = read.read(&mut buffer).await {
            if write.write_all(&buffer[..length]).await.is_err() || write.flush().await.is_err() {
                break;
            }
        }
        let _ = write.shutdown().await;
    }
}

/// The answer; None: the connection is cut before it.
async fn answer(request: Request<Incoming>) -> Option<Answer> {
    if request.headers().contains_key(UPGRADE) && !request.uri().path().starts_with("/noupgrade/") {
        return Some(switch(&request));
    }
    let path = request.uri().path().to_owned();
    let number = |text: &str| text.parse::<u64>().unwrap_or(0);
    let query = |name: &str| {
        let pairs = request.uri().query().unwrap_or_default().split('&');
        pairs.filter_map(|pair| pair.split_once('=')).find(|(n, _)| *n == name).map(|(_, v)| v.to_owned())
    };
    let (kind, rest) = path.trim_start_matches('/').split_once('/').unwrap_or((path.trim_start_matches('/'), ""));
    Some(match kind {
        "size" => full(StatusCode::OK, "application/octet-stream", vec![b'x'; usize::try_from(number(rest)).unwrap()]),
        "chunk" => chunked(number(rest)),
        "status" | "noupgrade" => {
            let status = StatusCode::from_u16(u16::try_from(number(rest)).unwrap()).unwrap();
            full(status, "application/json", format!(r#"{{"code":{}}}"#, status.as_u16()))
        }
        "watch" => watch(
            query("n").map_or(3, |n| number(&n)),
            Duration::from_millis(query("ms").map_or(200, |ms| number(&ms))),
        ),
        "hang" => std::future::pending().await,
        "redirect" => {
            let mut answer = full(StatusCode::FOUND, "text/plain", "moved");
            let to = query("to").unwrap_or_default();
            answer.headers_mut().insert(LOCATION, HeaderValue::try_from(to).unwrap());
            answer
        }
        "cors" => {
            let mut answer = full(StatusCode::OK, "application/json", "{}");
            for name in ["access-control-allow-origin", "access-control-allow-methods", "x-kept"] {
                answer.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static("1"));
            }
            answer
        }
        "cut" => cut(query("after").map_or(0, |after| number(&after)))?,
        _ => echo(request).await,
    })
}

fn full(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()).map_err(|never: Infallible| match never {}).boxed());
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

fn switch(request: &Request<Incoming>) -> Answer {
    let mut answer = full(StatusCode::SWITCHING_PROTOCOLS, "text/plain", "");
    let headers = answer.headers_mut();
    headers.remove(CONTENT_TYPE);
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, request.headers()[UPGRADE].clone());
    // Not the right value: whoever checks it speaks WebSocket, and this is an echo of bytes.
    if let Some(key) = request.headers().get(SEC_WEBSOCKET_KEY) {
        headers.insert("x-key", key.clone());
    }
    if let Some(authorization) = request.headers().get("authorization") {
        headers.insert("x-authorization", authorization.clone());
    }
    answer
}

fn chunked(length: u64) -> Answer {
    const PIECE: u64 = 64 << 10;
    let piece = Bytes::from(vec![b'x'; PIECE as usize]);
    let pieces = stream::iter((0..length.div_ceil(PIECE)).map(move |n| {
        let length = usize::try_from((length - n * PIECE).min(PIECE)).unwrap();
        Ok(Frame::data(piece.slice(..length)))
    }));
    Response::new(BodyExt::boxed(StreamBody::new(pieces)))
}

fn watch(events: u64, interval: Duration) -> Answer {
    let lines = stream::iter(1..=events).then(move |n| async move {
        if n > 1 {
            tokio::time::sleep(interval).await;
        }
        Ok(Frame::data(Bytes::from(format!("{{\"n\":{n}}}\n"))))
    });
    Response::new(BodyExt::boxed(StreamBody::new(lines)))
}

fn cut(after: u64) -> Option<Answer> {
    if after == 0 {
        return None;
    }
    let bytes = Bytes::from(vec![b'x'; usize::try_from(after).unwrap()]);
    // The bytes get their time to leave.
    let cut = stream::once(async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        Err(std::io::Error::other("cut on purpose"))
    });
    let pieces = stream::iter([Ok(Frame::data(bytes))]).chain(cut);
    let mut answer = Response::new(BodyExt::boxed(StreamBody::new(pieces)));
    answer.headers_mut().insert("content-length", HeaderValue::from_static("1000000"));
    Some(answer)
}

async fn echo(request: Request<Incoming>) -> Answer {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let headers: Map<String, Value> = parts
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into()))
        .collect();
    let json = json!({
        "method": parts.method.as_str(),
        "path": parts.uri.path(),
        "query": parts.uri.query().unwrap_or_default(),
        "headers": headers,
        "body": String::from_utf8_lossy(&body),
    });
    full(StatusCode::OK, "application/json", json.to_string())
}
