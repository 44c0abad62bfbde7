//! One websocket session: the protocol's state ([`core`]), its streams ([`stream`]) and the task that moves the bytes
//! ([`driver`]).

pub(crate) mod core;
pub(crate) mod driver;
pub(crate) mod inbox;
pub(crate) mod stream;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::task::AtomicWaker;
use parking_lot::Mutex;
use thiserror::Error;

use self::core::Core;
use self::stream::TunnelStream;
use crate::frame::{FrameError, Kind};
use crate::metrics::SessionMetrics;
use crate::websocket::codec::WebsocketError;

/// How long the far end may take to reach an address; also the deadline that is sent with a Connect.
pub const DIAL_DEADLINE: Duration = Duration::from_secs(15);

/// What keeps a session alive, and what ends it (common.md 7.3). Both ends must agree on it: the default is that of the
/// original.
#[derive(Clone, Copy, Debug)]
pub struct KeepAlive {
    /// The dialling side pings so often.
    pub ping: Duration,
    /// Without a ping or pong for so long a session is over, whatever else arrives.
    pub silence: Duration,
    /// The far end must take something of what is sent within this time.
    pub write: Duration,
}

impl Default for KeepAlive {
    fn default() -> Self {
        Self { ping: Duration::from_secs(5), silence: Duration::from_secs(60), write: Duration::from_secs(60) }
    }
}

/// Why a session ended.
#[derive(Debug, Error)]
pub enum SessionError {
    /// A message that is no message.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A Connect where none is allowed, or to an address that is not.
    #[error("connect not allowed")]
    ConnectNotAllowed,
    /// The body of a Connect has no slash.
    #[error("failed to parse connect address")]
    ConnectAddress,
    /// A Connect with the number of a connection that is open.
    #[error("connection number in use")]
    ConnectionInUse,
    /// The body of an AddClient or RemoveClient is no `<client key>/<number>`.
    #[error("failed to parse session announcement")]
    Announcement,
    /// A text message.
    #[error("wrong websocket message type")]
    TextMessage,
    /// The far end does not keep to RFC 6455.
    #[error(transparent)]
    Websocket(#[from] WebsocketError),
    /// The socket broke.
    #[error("connection broken")]
    Io(#[from] io::Error),
    /// The far end closed.
    #[error("closed by the far end")]
    Closed,
    /// Neither ping nor pong for [`KeepAlive::silence`].
    #[error("no ping in time")]
    Silent,
    /// The far end took nothing of what was sent for [`KeepAlive::write`].
    #[error("write timed out")]
    WriteTimeout,
    /// The answer to the handshake did not become a websocket.
    #[error("the upgrade failed: {0}")]
    Upgrade(String),
    /// This process stops.
    #[error("shutting down")]
    Shutdown,
}

/// A request of the far end to open a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// The number that the far end gave it.
    pub(crate) connection: i64,
    /// `tcp`, `unix`, or `<client key>::<network>` between replicas.
    pub network: String,
    /// Where to connect to.
    pub address: String,
    /// How long that may take.
    pub deadline: Duration,
}

/// A session as its streams and its driver share it.
pub(crate) struct Session {
    /// The client key; `client` on dialling sessions.
    pub key: String,
    /// The random number that tells sessions of the same key apart.
    pub session_key: i64,
    pub metrics: SessionMetrics,
    pub keep_alive: KeepAlive,
    core: Mutex<Core>,
    driver: AtomicWaker,
}

impl Session {
    pub fn new(key: &str, session_key: i64, core: Core, metrics: SessionMetrics, keep_alive: KeepAlive) -> Arc<Self> {
        let (key, core) = (key.to_owned(), Mutex::new(core));
        Arc::new(Self { key, session_key, metrics, keep_alive, core, driver: AtomicWaker::new() })
    }

    /// Opens a connection through the tunnel. None: the session has ended.
    pub fn open(self: &Arc<Self>, network: &str, address: &str, deadline: Duration) -> Option<TunnelStream> {
        let connection = self.core.lock().open(network, address, deadline)?;
        self.driver.wake();
        Some(TunnelStream::new(Arc::clone(self), connection, network, address))
    }

    /// Tells the far end that a session of `key` came or went.
    pub fn announce(&self, kind: Kind, key: &str, session_key: i64) {
        self.core.lock().announce(kind, key, session_key);
        self.driver.wake();
    }

    /// Whether the far end announced a session of `key`.
    pub fn reaches(&self, key: &str) -> bool {
        self.core.lock().reaches(key)
    }

    /// Ends all connections. Later ones are refused.
    pub fn end(&self) {
        self.core.lock().end();
    }

    fn now() -> Instant {
        Instant::now()
    }
}
