//! A backend: how to connect to it, and requests over kept connections.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bcs_common::http::Body;
use bcs_common::shutdown::Shutdown;
use bcs_common::tls::{self, TlsError};
use http::header::{HOST, PROXY_AUTHORIZATION};
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, Response, Uri};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::address::{Address, AddressError};
use super::error::{ProxyError, Stage};
use super::outbound::{HttpProxies, Via};
use super::pool::{Pool, Pooled};
use crate::client::Stream;
use crate::server::TunnelServer;

/// For a TCP connection.
const DIAL: Duration = Duration::from_secs(30);
/// For the TLS handshake.
const TLS: Duration = Duration::from_secs(10);
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// For a connection between two requests; it is given up if its backend is still taking the body of the last one.
const SETTLE: Duration = Duration::from_millis(100);

/// How to reach a backend.
#[derive(Clone, Debug)]
pub enum Route {
    /// By TCP.
    Direct,
    /// By TCP, through the HTTP proxy on the way to the address, if there is one.
    Proxied(HttpProxies),
    /// Through the tunnel of an agent.
    Tunnel {
        /// Where the agents are.
        server: TunnelServer,
        /// The client key of the agent.
        key: String,
    },
}

/// Whose certificates are accepted of an `https` backend.
#[derive(Clone)]
pub enum Trust {
    /// Those of the authorities of the operating system; the name must match.
    System,
    /// Those of the authorities in this PEM text only; the name must match. Without any in it nothing is accepted.
    Pem(Vec<u8>),
    /// What this configuration says.
    Config(Arc<ClientConfig>),
}

impl PartialEq for Trust {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::System, Self::System) => true,
            (Self::Pem(a), Self::Pem(b)) => a == b,
            (Self::Config(a), Self::Config(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System => "System",
            Self::Pem(_) => "Pem",
            Self::Config(_) => "Config",
        })
    }
}

/// What makes a backend.
#[derive(Clone, Debug)]
pub struct UpstreamSettings {
    /// URLs of it, at least one; their paths are ignored. Where the first refuses, the next is tried at once.
    pub addresses: Vec<String>,
    /// For `https`.
    pub trust: Trust,
    /// The name in its certificate; None: the host of the address.
    pub server_name: Option<String>,
    /// How to get there.
    pub route: Route,
    /// Idle connections that are kept.
    pub max_idle: usize,
}

impl PartialEq for UpstreamSettings {
    fn eq(&self, other: &Self) -> bool {
        let same_route = match (&self.route, &other.route) {
            (Route::Direct, Route::Direct) => true,
            (Route::Proxied(a), Route::Proxied(b)) => a == b,
            (Route::Tunnel { key: a, .. }, Route::Tunnel { key: b, .. }) => a == b,
            _ => false,
        };
        same_route
            && self.addresses == other.addresses
            && self.trust == other.trust
            && self.server_name == other.server_name
            && self.max_idle == other.max_idle
    }
}

/// The settings make no backend.
#[derive(Debug, Error)]
pub enum UpstreamError {
    /// An address is no URL.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// There is no address.
    #[error("no address")]
    NoAddress,
    /// The name cannot be one of a certificate.
    #[error("{0:?} is no name of a server")]
    ServerName(String),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A backend with its kept connections.
pub struct Upstream {
    endpoints: Vec<Endpoint>,
    /// The endpoint that answered last.
    current: AtomicUsize,
    route: Route,
    pool: Arc<Pool>,
    shutdown: Shutdown,
}

struct Endpoint {
    address: Address,
    host_port: String,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    via: Option<Via>,
}

/// What a connection is for: a plain `http` backend behind a proxy gets requests from the proxy, and everything else
/// through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Requests,
    Stream,
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.endpoints.iter().map(|endpoint| &endpoint.address)).finish()
    }
}

impl Upstream {
    /// A backend without connections.
    ///
    /// # Errors
    /// See [`UpstreamError`].
    pub fn new(settings: &UpstreamSettings, shutdown: Shutdown) -> Result<Self, UpstreamError> {
        let addresses: Vec<Address> =
            settings.addresses.iter().map(|text| text.parse()).collect::<Result<_, AddressError>>()?;
        if addresses.is_empty() {
            return Err(UpstreamError::NoAddress);
        }
        let tls = match addresses.iter().any(|address| address.tls) {
            true => Some(TlsConnector::from(client_config(&settings.trust)?)),
            false => None,
        };
        let endpoint = |address: Address| {
            let name = settings.server_name.as_ref().unwrap_or(&address.host);
            let tls = match (&tls, address.tls) {
                (Some(tls), true) => Some((tls.clone(), server_name(name)?)),
                _ => None,
            };
            let via = match &settings.route {
                Route::Proxied(proxies) => proxies.to(&address),
                Route::Direct | Route::Tunnel { .. } => None,
            };
            Ok::<_, UpstreamError>(Endpoint { host_port: address.host_port(), tls, via, address })
        };
        Ok(Self {
            endpoints: addresses.into_iter().map(endpoint).collect::<Result<_, _>>()?,
            current: AtomicUsize::new(0),
            route: settings.route.clone(),
            pool: Pool::new(settings.max_idle),
            shutdown,
        })
    }

    /// Whether this host, with or without port, is the one of the backend.
    pub(super) fn is_host(&self, authority: &str) -> bool {
        self.endpoints.iter().any(|endpoint| {
            endpoint.address.authority.eq_ignore_ascii_case(authority)
                || endpoint.host_port.eq_ignore_ascii_case(authority)
        })
    }

    pub(super) fn shutdown(&self) -> &Shutdown {
        &self.shutdown
    }

    /// Closes the connections that are not in use; those in use are closed after their answer.
    pub fn close(&self) {
        self.pool.close();
    }

    /// A new connection, over TLS if the address says so. The addresses are tried in turn, from the one that answered
    /// last.
    ///
    /// # Errors
    /// That of the last address.
    pub async fn connect(&self) -> Result<Box<dyn Stream>, ProxyError> {
        self.connect_for(Purpose::Stream).await
    }

    async fn connect_for(&self, purpose: Purpose) -> Result<Box<dyn Stream>, ProxyError> {
        let first = self.current.load(Ordering::Relaxed);
        let mut error = ProxyError::connect("no address");
        for step in 0..self.endpoints.len() {
            let index = (first + step) % self.endpoints.len();
            let Some(endpoint) = self.endpoints.get(index) else { continue };
            match self.connect_to(endpoint, purpose).await {
                Ok(stream) => {
                    self.current.store(index, Ordering::Relaxed);
                    return Ok(stream);
                }
                Err(reason) => error = reason,
            }
        }
        Err(error)
    }

    /// Whether there is another address to go to.
    pub(super) fn has_choice(&self) -> bool {
        self.endpoints.len() > 1
    }

    /// Looks whether the address in use still answers, and takes the first other one that does if not. Connections that
    /// are kept to an address that went silent are closed: a request would wait on them.
    pub(super) async fn probe(&self, limit: Duration) {
        let answers = async |index: usize| match self.endpoints.get(index) {
            Some(endpoint) => matches!(timeout(limit, self.connect_to(endpoint, Purpose::Requests)).await, Ok(Ok(_))),
            None => false,
        };
        let current = self.current.load(Ordering::Relaxed);
        if answers(current).await {
            return;
        }
        for index in (0..self.endpoints.len()).filter(|index| *index != current) {
            if answers(index).await {
                self.current.store(index, Ordering::Relaxed);
                self.pool.clear();
                return;
            }
        }
    }

    async fn connect_to(&self, endpoint: &Endpoint, purpose: Purpose) -> Result<Box<dyn Stream>, ProxyError> {
        let stream: Box<dyn Stream> = match &self.route {
            Route::Tunnel { server, key } => {
                let stream = server.dial(key, "tcp", &endpoint.host_port);
                Box::new(stream.map_err(|error| ProxyError::new(Stage::Connect, &error))?)
            }
            Route::Direct | Route::Proxied(_) => Box::new(endpoint.dial(purpose).await?),
        };
        let Some((tls, name)) = &endpoint.tls else { return Ok(stream) };
        match timeout(TLS, tls.connect(name.clone(), stream)).await {
            Ok(Ok(stream)) => Ok(Box::new(stream)),
            // What the tunnel reports arrives here too.
            Ok(Err(error)) => {
                let reason = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
                Err(match reason {
                    Some(rustls::Error::Other(rustls::OtherError(ours))) => ProxyError::new(Stage::Tls, &**ours),
                    Some(reason) => ProxyError::new(Stage::Tls, reason),
                    None => ProxyError::new(Stage::Exchange, &error),
                })
            }
            Err(_) => Err(ProxyError::new(Stage::Tls, &io::Error::other("TLS handshake timeout"))),
        }
    }

    /// A new connection that is ready for a request that upgrades it.
    pub(super) async fn open_for_upgrade(&self) -> Result<SendRequest<Body>, ProxyError> {
        self.open(Purpose::Stream).await
    }

    /// A new connection that is ready for a request.
    async fn open(&self, purpose: Purpose) -> Result<SendRequest<Body>, ProxyError> {
        let stream = self.connect_for(purpose).await?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| ProxyError::exchange(&error))?;
        // It ends when its sender is dropped: with the pool, or with the answer it carries.
        self.shutdown.spawn("upstream connection", connection.with_upgrades());
        Ok(sender)
    }

    /// Sends a request over a kept or a new connection. Its URI is the target alone; `Host` is added if there is none.
    /// A kept connection that turns out to be closed is replaced, if the request was not sent or may be sent twice.
    ///
    /// # Errors
    /// If no answer begins.
    pub async fn send(&self, mut request: Request<Body>) -> Result<Response<Body>, ProxyError> {
        self.address(&mut request);
        loop {
            let (mut sender, reused) = match self.kept().await {
                Some(sender) => (sender, true),
                None => (self.open(Purpose::Requests).await?, false),
            };
            let again = if reused { repeatable(&request) } else { None };
            match sender.try_send_request(request).await {
                Ok(response) => return Ok(self.pooled(response, sender)),
                Err(mut error) => {
                    request = match (error.take_message(), again) {
                        (Some(unsent), _) if reused => unsent,
                        (None, Some(again)) if error.error().is_incomplete_message() => again,
                        _ => return Err(ProxyError::exchange(&error.into_error())),
                    };
                }
            }
        }
    }

    /// A kept connection. The task behind it may need a moment to notice that an answer was taken whole.
    async fn kept(&self) -> Option<SendRequest<Body>> {
        while let Some(mut sender) = self.pool.take() {
            if sender.is_ready() || matches!(timeout(SETTLE, sender.ready()).await, Ok(Ok(()))) {
                return Some(sender);
            }
        }
        None
    }

    fn pooled(&self, response: Response<Incoming>, sender: SendRequest<Body>) -> Response<Body> {
        response.map(|body| Body::new(Pooled::new(body, sender, &self.pool)))
    }

    /// Adds `Host` where there is none; a proxy also wants to know where to go.
    fn address(&self, request: &mut Request<Body>) {
        let Some(endpoint) = self.endpoints.get(self.current.load(Ordering::Relaxed)) else { return };
        let authority = &endpoint.address.authority;
        if !request.headers().contains_key(HOST)
            && let Ok(host) = HeaderValue::try_from(authority)
        {
            request.headers_mut().insert(HOST, host);
        }
        let Some(via) = endpoint.via.as_ref().filter(|_| endpoint.tls.is_none()) else { return };
        let target = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
        if let Ok(uri) = Uri::builder().scheme("http").authority(authority.as_str()).path_and_query(target).build() {
            *request.uri_mut() = uri;
        }
        if let Some(authorization) = &via.authorization {
            request.headers_mut().insert(PROXY_AUTHORIZATION, authorization.clone());
        }
    }
}

impl Endpoint {
    /// A TCP connection to the backend, or to the proxy that sends requests on to it.
    async fn dial(&self, purpose: Purpose) -> Result<TcpStream, ProxyError> {
        let failed = |what: &str, error: &io::Error| ProxyError::connect(format!("{what}: {}", reason(error)));
        let Some(via) = &self.via else {
            return dial(&self.host_port)
                .await
                .map_err(|error| failed(&format!("dial tcp {}", self.host_port), &error));
        };
        let mut stream = dial(&via.host_port)
            .await
            .map_err(|error| failed(&format!("proxyconnect tcp: dial tcp {}", via.host_port), &error))?;
        if self.tls.is_some() || purpose == Purpose::Stream {
            let through = timeout(DIAL, via.connect_through(&mut stream, &self.host_port)).await;
            through
                .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
                .map_err(|error| failed(&format!("proxyconnect tcp: {}", via.host_port), &error))?;
        }
        Ok(stream)
    }
}

/// A copy, if sending it twice does no harm.
fn repeatable(request: &Request<Body>) -> Option<Request<Body>> {
    let harmless = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if !harmless || !request.body().is_end_stream() {
        return None;
    }
    let mut copy = Request::new(Body::empty());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    Some(copy)
}

fn client_config(trust: &Trust) -> Result<Arc<ClientConfig>, TlsError> {
    match trust {
        Trust::System => tls::system_client_config(),
        Trust::Pem(pem) => tls::pinned_client_config(pem),
        Trust::Config(config) => Ok(Arc::clone(config)),
    }
}

fn server_name(name: &str) -> Result<ServerName<'static>, UpstreamError> {
    ServerName::try_from(name.to_owned()).map_err(|_| UpstreamError::ServerName(name.to_owned()))
}

async fn dial(host_port: &str) -> io::Result<TcpStream> {
    let stream = timeout(DIAL, TcpStream::connect(host_port)).await.map_err(|_| io::ErrorKind::TimedOut)??;
    stream.set_nodelay(true)?;
    let keep_alive = TcpKeepalive::new().with_time(KEEP_ALIVE).with_interval(KEEP_ALIVE);
    SockRef::from(&stream).set_tcp_keepalive(&keep_alive)?;
    Ok(stream)
}

/// As Go words it.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        io::ErrorKind::TimedOut => "i/o timeout".to_owned(),
        _ => error.to_string(),
    }
}
