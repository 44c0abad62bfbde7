//! A kube-apiserver with one pod, `web` in `default`, as far as `kubectl exec` and `kubectl port-forward` want one, in
//! the test's own process. Both work over SPDY/3.1 and over WebSocket, as kubectl chooses.

mod exec;
mod forward;
mod spdy;
mod websocket;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bcs_common::http::Body;
use bcs_tunnel::websocket::upgrade;
use http::header::{CONNECTION, CONTENT_TYPE, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const POD: &str = "/api/v1/namespaces/default/pods/web";
const STREAM_PROTOCOL: HeaderName = HeaderName::from_static("x-stream-protocol-version");
/// Over both; the newest that the other side names is taken.
const EXEC: [&str; 2] = ["v5.channel.k8s.io", "v4.channel.k8s.io"];
const FORWARD: &str = "portforward.k8s.io";
const FORWARD_IN_MESSAGES: &str = "SPDY/3.1+portforward.k8s.io";

/// A running stand-in; it ends with this value.
pub struct PodApi {
    address: SocketAddr,
    server: Arc<Server>,
}

struct Server {
    token: String,
    upgrades: Mutex<Vec<String>>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl PodApi {
    /// It answers who shows this bearer token.
    pub async fn start(token: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Arc::new(Server {
            token: format!("Bearer {token}"),
            upgrades: Mutex::default(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        let accepting = Arc::clone(&server);
        server.spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                tcp.set_nodelay(true).unwrap();
                let server = Arc::clone(&accepting);
                let service = service_fn(move |request| {
                    let server = Arc::clone(&server);
                    async move { Ok::<_, Infallible>(server.answer(request)) }
                });
                let connection = http1::Builder::new().serve_connection(TokioIo::new(tcp), service).with_upgrades();
                accepting.spawn(async move { drop(connection.await) });
            }
        });
        Self { address, server }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The protocols of the upgrades so far, in order.
    pub fn upgrades(&self) -> Vec<String> {
        self.server.upgrades.lock().unwrap().clone()
    }

    /// Forgets the upgrades so far.
    pub fn forget(&self) {
        self.server.upgrades.lock().unwrap().clear();
    }
}

impl Drop for PodApi {
    fn drop(&mut self) {
        self.server.stop.cancel();
    }
}

impl Server {
    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(self.stop.clone().run_until_cancelled_owned(work));
    }

    fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        if request.headers().get("authorization").is_none_or(|token| token != self.token.as_str()) {
            return answer(StatusCode::UNAUTHORIZED, json!({"kind": "Status", "status": "Failure", "code": 401}));
        }
        let path = request.uri().path().to_owned();
        match path.strip_prefix(POD) {
            Some("/exec") => self.exec(request),
            Some("/portforward") => self.forward(request),
            Some("") => answer(
                StatusCode::OK,
                json!({
                    "kind": "Pod", "apiVersion": "v1", "metadata": {"name": "web", "namespace": "default"},
                    "spec": {"containers": [{"name": "main", "image": "web"}]}, "status": {"phase": "Running"},
                }),
            ),
            _ => answer(StatusCode::OK, discovery(&path)),
        }
    }

    fn exec(&self, mut request: Request<Incoming>) -> Response<Body> {
        let query: Vec<(String, String)> = query(&request);
        let of =
            |name: &str| query.iter().filter(|(n, _)| n == name).map(|(_, value)| value.clone()).collect::<Vec<_>>();
        let command = of("command");
        let offered = offered(request.headers(), &SEC_WEBSOCKET_PROTOCOL);
        if let Some(accepted) = accept(&request, EXEC.into_iter().find(|protocol| offered.contains(protocol))) {
            self.upgrade("websocket exec", &mut request, move |io| exec::over_websocket(command, io));
            return accepted;
        }
        let wanted = 1 + ["stdin", "stdout", "stderr"].iter().filter(|name| of(name) == ["true"]).count();
        let offered = offered_spdy(request.headers());
        let Some(protocol) = EXEC.into_iter().find(|protocol| offered.contains(protocol)) else { return refusal() };
        self.upgrade("spdy exec", &mut request, move |io| async move {
            let (opened, streams) = mpsc::channel(8);
            tokio::join!(spdy::serve(io, opened), exec::over_spdy(command, wanted, streams));
        });
        switch(protocol)
    }

    fn forward(&self, mut request: Request<Incoming>) -> Response<Body> {
        let (opened, streams) = mpsc::channel(8);
        let offers = offered(request.headers(), &SEC_WEBSOCKET_PROTOCOL).contains(&FORWARD_IN_MESSAGES);
        if let Some(accepted) = accept(&request, offers.then_some(FORWARD_IN_MESSAGES)) {
            self.upgrade("websocket forward", &mut request, move |io| async move {
                let (ours, theirs) = tokio::io::duplex(64 << 10);
                tokio::join!(websocket::tunnel(io, theirs), spdy::serve(ours, opened), forward::serve(streams));
            });
            return accepted;
        }
        if !offered_spdy(request.headers()).contains(&FORWARD) {
            return refusal();
        }
        self.upgrade("spdy forward", &mut request, move |io| async move {
            tokio::join!(spdy::serve(io, opened), forward::serve(streams));
        });
        switch(FORWARD)
    }

    fn upgrade<F, W>(&self, what: &str, request: &mut Request<Incoming>, serve: F)
    where
        F: FnOnce(TokioIo<hyper::upgrade::Upgraded>) -> W + Send + 'static,
        W: Future<Output = ()> + Send,
    {
        self.upgrades.lock().unwrap().push(what.to_owned());
        let upgraded = hyper::upgrade::on(request);
        self.spawn(async move {
            if let Ok(io) = upgraded.await {
                serve(TokioIo::new(io)).await;
            }
        });
    }
}

/// The 101 to a WebSocket handshake that offers a protocol which is spoken here.
fn accept(request: &Request<Incoming>, protocol: Option<&'static str>) -> Option<Response<Body>> {
    let mut head = Request::new(Body::empty());
    *head.headers_mut() = request.headers().clone();
    let mut response = upgrade::switching_protocols(upgrade::check(&head).ok()?);
    response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol?));
    Some(response)
}

/// The 101 to SPDY.
fn switch(protocol: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("SPDY/3.1"));
    headers.insert(STREAM_PROTOCOL, HeaderValue::from_static(protocol));
    response
}

fn refusal() -> Response<Body> {
    answer(StatusCode::FORBIDDEN, json!({"kind": "Status", "status": "Failure", "code": 403}))
}

/// The protocols that a request for SPDY offers; none without.
fn offered_spdy(headers: &HeaderMap) -> Vec<&str> {
    match headers.get(UPGRADE).is_some_and(|protocol| protocol == "SPDY/3.1") {
        true => offered(headers, &STREAM_PROTOCOL),
        false => Vec::new(),
    }
}

fn offered<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Vec<&'a str> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',').map(str::trim)).collect()
}

/// The words of these commands need no more than this.
fn query(request: &Request<Incoming>) -> Vec<(String, String)> {
    let pairs = request.uri().query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.replace('+', " "))).collect()
}

/// What kubectl asks before it knows what a pod is.
fn discovery(path: &str) -> serde_json::Value {
    match path {
        "/api" => json!({"kind": "APIVersions", "versions": ["v1"]}),
        "/api/v1" => {
            let pods =
                json!({"name": "pods", "singularName": "pod", "namespaced": true, "kind": "Pod", "verbs": ["get"]});
            json!({"kind": "APIResourceList", "groupVersion": "v1", "resources": [pods]})
        }
        _ => json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": []}),
    }
}

fn answer(status: StatusCode, json: serde_json::Value) -> Response<Body> {
    let mut response = Response::new(Body::from(json.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
