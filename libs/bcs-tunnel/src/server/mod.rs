//! The accepting side: agents and replicas dial, the service dials through them (common.md 7.1, 7.5).

pub mod peers;
mod sessions;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bcs_common::errors::chain;
use bcs_common::http::{self as bcs_http, Body};
use bcs_common::shutdown::Shutdown;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{HeaderMap, Request, Response, StatusCode};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use prometheus::Registry;
use rustls::ClientConfig;
use thiserror::Error;
use tracing::{debug, info};

use self::peers::{Peer, Peers};
use self::sessions::{Origin, Sessions};
use crate::handshake::{PEER_ID, TOKEN, text};
use crate::metrics::Metrics;
use crate::session::core::Core;
use crate::session::driver::{self, Opener};
use crate::session::stream::TunnelStream;
use crate::session::{DIAL_DEADLINE, KeepAlive, Session, SessionError};
use crate::websocket::codec::Role;
use crate::websocket::upgrade;

/// How a tunnel server finds and meets its peers, and what its sessions live on.
#[derive(Clone)]
pub struct TunnelOptions {
    /// The id under which peers know this instance: `host:port`.
    pub peer_id: String,
    /// The token that all instances share; empty: no peers.
    pub peer_token: String,
    /// The path at which peers accept.
    pub peer_path: &'static str,
    /// For peers that accept over TLS.
    pub peer_tls: Option<Arc<ClientConfig>>,
    /// Of the sessions of agents and of peers.
    pub keep_alive: KeepAlive,
}

/// The token is a secret.
impl fmt::Debug for TunnelOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TunnelOptions")
            .field("peer_id", &self.peer_id)
            .field("peer_path", &self.peer_path)
            .finish_non_exhaustive()
    }
}

/// The service behind a tunnel server: knows which agents to let in.
#[async_trait]
pub trait Agents: Send + Sync + 'static {
    /// Looks at the headers of a connect request that comes from no known peer.
    ///
    /// # Errors
    /// The answer to the agent.
    async fn admit(&self, headers: &HeaderMap) -> Result<Admission, Refusal>;

    /// An agent's session has ended. `last`: no other session of this key is left, here or at a peer.
    async fn session_ended(&self, key: &str, last: bool) {
        let _ = (key, last);
    }
}

/// An agent may come in.
pub struct Admission {
    key: String,
    before_accept: Option<BoxFuture<'static, Result<(), Refusal>>>,
}

impl Admission {
    /// As a session with this client key.
    pub fn new(key: impl Into<String>) -> Self {
        Self { key: key.into(), before_accept: None }
    }

    /// What to do once it is clear that the request is a websocket handshake, before it is accepted. An error refuses it.
    #[must_use]
    pub fn before_accept(mut self, action: impl Future<Output = Result<(), Refusal>> + Send + 'static) -> Self {
        self.before_accept = Some(action.boxed());
        self
    }
}

/// An agent may not come in: the answer, a plain text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status.
    pub status: StatusCode,
    /// The body; no newline is added.
    pub text: String,
}

impl Refusal {
    /// 400 with this text.
    pub fn bad_request(text: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, text: text.into() }
    }

    /// 401 `failed authentication`.
    pub fn unauthorized() -> Self {
        Self { status: StatusCode::UNAUTHORIZED, text: "failed authentication".to_owned() }
    }

    fn into_response(self) -> Response<Body> {
        bcs_http::text(self.status, self.text)
    }
}

/// No agent serves the key, neither here nor at a peer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("failed to find Session for client {key}")]
pub struct NoSession {
    /// The key.
    pub key: String,
}

/// Accepts tunnels and opens connections through them. Clones share the sessions.
#[derive(Clone)]
pub struct TunnelServer {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    options: TunnelOptions,
    agents: Arc<dyn Agents>,
    metrics: Metrics,
    shutdown: Shutdown,
    sessions: Mutex<Sessions>,
    peers: Mutex<Peers>,
}

impl fmt::Debug for TunnelServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TunnelServer").field("options", &self.inner.options).finish_non_exhaustive()
    }
}

impl TunnelServer {
    /// A server without sessions and peers; its metrics go into `registry`.
    ///
    /// # Errors
    /// If `registry` holds one of the metrics already.
    pub fn new(
        options: TunnelOptions,
        agents: Arc<dyn Agents>,
        registry: &Registry,
        shutdown: Shutdown,
    ) -> prometheus::Result<Self> {
        let metrics = Metrics::register(registry)?;
        let (sessions, peers) = (Mutex::default(), Mutex::default());
        Ok(Self { inner: Arc::new(Inner { options, agents, metrics, shutdown, sessions, peers }) })
    }

    /// Answers a request for a tunnel: 101 and a session, or the refusal (common.md 7.1).
    pub async fn accept(&self, mut request: Request<Body>) -> Response<Body> {
        let accepted = match self.known_peer(request.headers()) {
            Some(id) => self.upgrade(&id, Origin::Peer, &mut request),
            None => self.accept_agent(&mut request).await,
        };
        accepted.unwrap_or_else(Refusal::into_response)
    }

    async fn accept_agent(&self, request: &mut Request<Body>) -> Result<Response<Body>, Refusal> {
        let admission = self.inner.agents.admit(request.headers()).await?;
        check_upgrade(&admission.key, request)?;
        if let Some(action) = admission.before_accept {
            action.await?;
        }
        self.upgrade(&admission.key, Origin::Agent, request)
    }

    /// The id, if the request is from a peer that was set and shows the token.
    fn known_peer(&self, headers: &HeaderMap) -> Option<String> {
        let (id, token) = (text(headers, PEER_ID), text(headers, TOKEN));
        let is_peer = !id.is_empty()
            && !token.is_empty()
            && same_secret(token, &self.inner.options.peer_token)
            && self.inner.peers.lock().knows(id);
        is_peer.then(|| id.to_owned())
    }

    /// The session is there before the agent reads the 101.
    fn upgrade(&self, key: &str, origin: Origin, request: &mut Request<Body>) -> Result<Response<Body>, Refusal> {
        let accept = check_upgrade(key, request)?;
        let upgraded = hyper::upgrade::on(request);
        let session = self.inner.add(key, origin);
        self.inner.shutdown.spawn("tunnel session", Arc::clone(&self.inner).run(session, origin, upgraded));
        Ok(upgrade::switching_protocols(accept))
    }

    /// Whether an agent serves the key, here or at a peer.
    pub fn has_session(&self, key: &str) -> bool {
        self.inner.sessions.lock().has(key)
    }

    /// Whether any agent is connected, here or at a peer. Without one there is nothing to look up.
    pub fn has_sessions(&self) -> bool {
        self.inner.sessions.lock().has_any()
    }

    /// Opens a connection to an address as the agent of `key` sees it; `network` is mostly `tcp`. It returns at once,
    /// because the protocol has no acknowledgement: a failed dial is the error of the first read.
    ///
    /// # Errors
    /// If there is no session.
    pub fn dial(&self, key: &str, network: &str, address: &str) -> Result<TunnelStream, NoSession> {
        self.inner.dial(key, network, address)
    }

    /// Says which instances there are now. Own id and instances that are known already are skipped, an empty list is
    /// ignored. A peer that is gone is not dialled again; its running session goes on.
    pub fn set_peers(&self, peers: Vec<Peer>) {
        peers::set(&self.inner, peers);
    }
}

fn check_upgrade(key: &str, request: &Request<Body>) -> Result<http::HeaderValue, Refusal> {
    upgrade::check(request).map_err(|(status, text)| Refusal {
        status,
        text: format!("{text}Error during upgrade for host [{key}]: {text}"),
    })
}

/// In a time that does not tell how much of it is right.
fn same_secret(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

impl Inner {
    fn add(&self, key: &str, origin: Origin) -> Arc<Session> {
        let session_key = rand::random::<i64>() & i64::MAX;
        let metrics = self.metrics.of_session(key);
        let core = Core::new(Role::Server, format!("{key}/{session_key}"), metrics.clone());
        let session = Session::new(key, session_key, core, metrics, self.options.keep_alive);
        self.sessions.lock().add(origin, &session);
        self.metrics.session_added(key, origin == Origin::Peer);
        info!(key, peer = origin == Origin::Peer, "tunnel session begins");
        session
    }

    async fn run(self: Arc<Self>, session: Arc<Session>, origin: Origin, upgraded: OnUpgrade) {
        // Agents ask for nothing: the state machine refuses a Connect before this.
        let opener: Opener = Box::new(|_, _| Err(SessionError::ConnectNotAllowed));
        let stop = self.shutdown.token().child_token();
        let (reason, goodbye) = match upgraded.await {
            Ok(io) => {
                let ended = driver::run(TokioIo::new(io), Role::Server, Arc::clone(&session), opener, stop).await;
                (ended.0, Some(ended.1))
            }
            Err(error) => (SessionError::Upgrade(error.to_string()), None),
        };
        session.end();
        // First: a younger session of the key must take over now, whatever becomes of this one's socket.
        self.remove(&session, origin, &reason).await;
        if let Some(goodbye) = goodbye {
            goodbye.say().await;
        }
    }

    async fn remove(&self, session: &Arc<Session>, origin: Origin, reason: &SessionError) {
        let key = session.key.as_str();
        let last = {
            let mut sessions = self.sessions.lock();
            sessions.remove(origin, session);
            !sessions.has(key)
        };
        self.metrics.session_removed(key, origin == Origin::Peer);
        info!(key, peer = origin == Origin::Peer, "tunnel session ended: {}", chain(reason));
        if origin == Origin::Agent {
            self.agents.session_ended(key, last).await;
        }
    }

    fn dial(&self, key: &str, network: &str, address: &str) -> Result<TunnelStream, NoSession> {
        if let Some(stream) = self.dial_agent(key, network, address) {
            return Ok(stream);
        }
        let no_session = || NoSession { key: key.to_owned() };
        let peer = self.sessions.lock().peer_for(key).ok_or_else(no_session)?;
        debug!(key, peer = peer.key, "dialing through a peer");
        peer.open(&format!("{key}::{network}"), address, DIAL_DEADLINE).ok_or_else(no_session)
    }

    /// Through an agent of this instance only; the oldest session is used.
    fn dial_agent(&self, key: &str, network: &str, address: &str) -> Option<TunnelStream> {
        // One that has just ended opens nothing.
        self.sessions.lock().agents(key).find_map(|session| session.open(network, address, DIAL_DEADLINE))
    }
}
