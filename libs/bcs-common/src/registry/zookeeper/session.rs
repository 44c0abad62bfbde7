//! Keeps one ZooKeeper session alive, and replaces it when it is lost (common.md 3.1).

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use zookeeper_client::{Client, Error, SessionState, StateWatcher};

use super::super::address::Address;
use super::{ZooKeeperOptions, digest};

/// Pause after no server could be reached.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// While ZooKeeper cannot be reached, say so this often.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);
/// How long a lost connection may take to come back by itself. The client library waits longer and longer between its
/// attempts, up to several seconds; a session of our own is up sooner once the servers answer again.
const REPLACE_AFTER: Duration = Duration::from_secs(2);
/// How long to wait at shutdown for the server to confirm the end of the session.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// One ZooKeeper session.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub client: Client,
    /// Cancelled when the session is given up. Whoever holds the client must drop it then: the session is closed when
    /// the last holder is gone.
    pub ended: CancellationToken,
}

/// The task that owns the connection.
pub(super) struct Supervisor {
    servers: String,
    options: ZooKeeperOptions,
    sessions: watch::Sender<Option<Session>>,
    status: watch::Sender<Result<(), String>>,
}

/// Why a session is no longer watched.
enum End {
    /// It expired.
    Lost,
    /// It did not come back in time and this one did.
    Replaced(Client),
    /// The process stops.
    Shutdown,
}

impl Supervisor {
    pub(super) fn new(
        servers: String,
        options: ZooKeeperOptions,
    ) -> (Self, watch::Receiver<Option<Session>>, watch::Receiver<Result<(), String>>) {
        let (sessions, session) = watch::channel(None);
        let (status, state) = watch::channel(Err("not connected yet".to_owned()));
        (Self { servers, options, sessions, status }, session, state)
    }

    /// Serves until shutdown, then closes the session once everybody has let go of it.
    pub(super) async fn run(self, shutdown: CancellationToken) {
        let mut next = None;
        loop {
            let client = match next.take() {
                Some(client) => client,
                None => tokio::select! {
                    client = self.connect() => client,
                    () = shutdown.cancelled() => return,
                },
            };
            info!("connected to ZooKeeper {}, session {}", self.servers, client.session_id());
            let states = client.state_watcher();
            let session = Session { client, ended: CancellationToken::new() };
            let ended = session.ended.clone();
            self.sessions.send_replace(Some(session));
            let end = self.watch(states.clone(), &shutdown).await;
            self.sessions.send_replace(None);
            ended.cancel();
            match end {
                End::Lost => self.disconnected("session lost"),
                End::Replaced(client) => next = Some(client),
                End::Shutdown => return closed(states).await,
            }
        }
    }

    /// Connects, however long it takes.
    async fn connect(&self) -> Client {
        let mut complained = None::<Instant>;
        loop {
            match self.try_connect().await {
                Ok(client) => return client,
                Err(error) => {
                    if complained.is_none_or(|at| at.elapsed() >= COMPLAIN_EVERY) {
                        warn!("cannot connect to ZooKeeper {}: {error}; trying on", self.servers);
                        complained = Some(Instant::now());
                    }
                    self.disconnected(&error.to_string());
                }
            }
            sleep(RETRY_PAUSE).await;
        }
    }

    async fn try_connect(&self) -> Result<Client, Error> {
        open(&self.servers, &self.options).await
    }

    /// Follows a session until its end.
    async fn watch(&self, mut states: StateWatcher, shutdown: &CancellationToken) -> End {
        let mut state = states.peek_state();
        loop {
            if state.is_terminated() {
                return End::Lost;
            }
            let up = state != SessionState::Disconnected;
            if up {
                self.connected();
            } else {
                warn!("connection to ZooKeeper {} lost", self.servers);
                self.disconnected("connection lost");
            }
            state = tokio::select! {
                state = states.changed() => state,
                client = self.replacement(), if !up => return End::Replaced(client),
                () = shutdown.cancelled() => return End::Shutdown,
            };
        }
    }

    async fn replacement(&self) -> Client {
        sleep(REPLACE_AFTER).await;
        self.connect().await
    }

    fn connected(&self) {
        self.set_status(Ok(()));
    }

    fn disconnected(&self, reason: &str) {
        self.set_status(Err(format!("ZooKeeper {}: {reason}", self.servers)));
    }

    fn set_status(&self, status: Result<(), String>) {
        self.status.send_if_modified(|current| {
            let changed = *current != status;
            *current = status;
            changed
        });
    }
}

/// Opens a session; tries each server once. `servers` is a comma list of `host:port`.
pub(super) async fn open(servers: &str, options: &ZooKeeperOptions) -> Result<Client, Error> {
    let connector = Client::connector()
        .with_session_timeout(options.session_timeout)
        .with_auth(digest::SCHEME, &digest::credentials(&options.user, &options.password))
        // Only requests that ZooKeeper 3.4 knows (check.md 2.3).
        .with_server_version(3, 4, 0)
        .with_fail_eagerly();
    connector.connect(servers).await
}

/// `host:port` of all servers, joined by commas.
pub(super) fn join(servers: &[Address]) -> String {
    servers.iter().map(Address::to_string).collect::<Vec<_>>().join(",")
}

/// Waits until the client has told the server to end the session and thus to drop its ephemeral nodes.
async fn closed(mut states: StateWatcher) {
    let end = async {
        let mut state = states.state();
        while !state.is_terminated() {
            state = states.changed().await;
        }
    };
    if timeout(CLOSE_LIMIT, end).await.is_err() {
        warn!("ZooKeeper did not confirm the end of the session in time");
    }
}
