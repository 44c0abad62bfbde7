//! ZooKeeper: one lasting connection, and on top of it registration, discovery and plain node operations
//! (common.md 3).
//!
//! A service must start, and keep running, while ZooKeeper is down. So [`ZooKeeper::start`] only checks the settings;
//! a background task connects, again and again, and replaces a session that is lost.

mod digest;
mod discover;
mod nodes;
mod register;
mod session;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use zookeeper_client::{Acl, Client};

use self::session::{Session, Supervisor};
use super::address::{self, AddressError};
use super::{Node, Registration, Registry, ServiceRegistration};
use crate::shutdown::Shutdown;

/// Directory of all registered services (common.md 3.6).
pub const BASE_PATH: &str = "/bcs/services/endpoints";

/// Port of a server whose address names none.
const DEFAULT_PORT: u16 = 2181;

/// How to reach ZooKeeper and as whom.
#[derive(Clone)]
pub struct ZooKeeperOptions {
    /// `host[:port]` list separated by commas (`bcs_zookeeper`).
    pub servers: String,
    /// Session timeout to ask for; also the time limit of each plain node operation.
    pub session_timeout: Duration,
    /// Digest user.
    pub user: String,
    /// Digest password.
    pub password: String,
}

impl ZooKeeperOptions {
    /// Options with the session timeout of bcs-api and bcs-check, 10 s (common.md 3.1).
    pub fn new(servers: impl Into<String>, user: impl Into<String>, password: impl Into<String>) -> Self {
        Self {
            servers: servers.into(),
            session_timeout: Duration::from_secs(10),
            user: user.into(),
            password: password.into(),
        }
    }
}

impl std::fmt::Debug for ZooKeeperOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ZooKeeperOptions")
            .field("servers", &self.servers)
            .field("session_timeout", &self.session_timeout)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// Why a ZooKeeper operation failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ZooKeeperError {
    /// The server list cannot be used.
    #[error("ZooKeeper address")]
    Address(#[from] AddressError),
    /// No answer in time; ZooKeeper may be down.
    #[error("ZooKeeper did not answer within {} s: {state}", limit.as_secs())]
    Timeout {
        /// The time limit.
        limit: Duration,
        /// How the connection stands.
        state: String,
    },
    /// ZooKeeper refused the operation.
    #[error("cannot {operation} {path} in ZooKeeper")]
    Refused {
        /// What was tried.
        operation: &'static str,
        /// The node.
        path: String,
        /// The refusal.
        source: zookeeper_client::Error,
    },
}

/// A lasting connection to ZooKeeper. Clones share it.
#[derive(Clone, Debug)]
pub struct ZooKeeper {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    sessions: watch::Receiver<Option<Session>>,
    status: watch::Receiver<Result<(), String>>,
    session_timeout: Duration,
    acl: [Acl; 1],
    /// `host:port` list, for further sessions.
    servers: String,
    options: ZooKeeperOptions,
    shutdown: Shutdown,
}

impl ZooKeeper {
    /// Starts to connect in the background.
    ///
    /// # Errors
    /// The server list is empty or malformed.
    pub fn start(options: ZooKeeperOptions, shutdown: &Shutdown) -> Result<Self, ZooKeeperError> {
        let servers = session::join(&address::parse_list(&options.servers, DEFAULT_PORT)?);
        let acl = [digest::owner_only(&options.user, &options.password)];
        let session_timeout = options.session_timeout;
        let (supervisor, sessions, status) = Supervisor::new(servers.clone(), options.clone());
        let token = shutdown.token();
        shutdown.spawn("ZooKeeper connection", supervisor.run(token));
        let shared = Shared { sessions, status, session_timeout, acl, servers, options, shutdown: shutdown.clone() };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Whether there is a connection right now, or why not; for readiness.
    pub fn status(&self) -> watch::Receiver<Result<(), String>> {
        self.shared.status.clone()
    }

    /// Opens a session of its own to the same servers, as the same user; tries each server once. For a reader with
    /// thousands of watches, whose bursts must not delay the heartbeats of the shared session. It ends when the last
    /// clone of the client is dropped.
    ///
    /// # Errors
    /// No server can be reached, or it refuses the session.
    pub async fn open_session(&self) -> Result<Client, zookeeper_client::Error> {
        session::open(&self.shared.servers, &self.shared.options).await
    }

    /// The nodes of every cluster below a module, such as `mesosdriver`, by cluster id. A cluster once seen stays,
    /// with an empty list if its directory is gone (common.md 3.6).
    pub fn discover_clusters(&self, module: &str) -> watch::Receiver<BTreeMap<String, Vec<Node>>> {
        discover::clusters(self, format!("{BASE_PATH}/{module}"))
    }

    /// The current session; waits until there is one.
    async fn session(&self) -> Option<Session> {
        let mut sessions = self.shared.sessions.clone();
        let session = sessions.wait_for(Option::is_some).await.ok()?;
        session.clone()
    }
}

impl Registry for ZooKeeper {
    fn register(&self, service: ServiceRegistration) -> Registration {
        register::register(self, &service)
    }

    fn discover(&self, module: &str) -> watch::Receiver<Vec<Node>> {
        discover::nodes(self, format!("{BASE_PATH}/{module}"))
    }
}
