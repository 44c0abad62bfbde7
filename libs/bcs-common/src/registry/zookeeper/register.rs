//! Registers an instance as a protected ephemeral sequential node and keeps it there (common.md 3.3).
//!
//! The id in the node name stays the same for the life of the registration. So whatever happened before, a lost
//! answer, a lost session or an operation that arrived late, listing the directory shows all own nodes, and one rule
//! mends everything: keep the oldest node of the current session, create one if there is none, delete the others.

use std::pin::pin;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;
use zookeeper_client::{Acls, Client, CreateMode, Error, SessionState};

use super::nodes::is_connection_trouble;
use super::session::Session;
use super::{BASE_PATH, Registration, ServiceRegistration, ZooKeeper};
use crate::registry::RegistrationState;
use crate::registry::sequence;

/// Pause after ZooKeeper refused the registration.
const REFUSED_PAUSE: Duration = Duration::from_secs(5);
/// Pause after the connection was lost while registering.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// Even without a sign of trouble, look this often whether exactly one own node is there.
const CHECK_EVERY: Duration = Duration::from_secs(30);
/// Time for taking the registration back.
const DEREGISTER_LIMIT: Duration = Duration::from_secs(1);

/// Registers in the background.
pub(super) fn register(zookeeper: &ZooKeeper, service: &ServiceRegistration) -> Registration {
    let directory = format!("{BASE_PATH}/{}", service.module);
    let own = OwnNode {
        zookeeper: zookeeper.clone(),
        prefix: format!("_c_{}-{}", Uuid::new_v4().simple(), service.instance),
        directory,
        data: service.info.to_json().into_bytes(),
    };
    Registration::spawn(&zookeeper.shared.shutdown, "ZooKeeper registration", |state, stop| own.keep(state, stop))
}

/// The node of one registration.
struct OwnNode {
    zookeeper: ZooKeeper,
    directory: String,
    /// Node name up to its sequence number.
    prefix: String,
    data: Vec<u8>,
}

impl OwnNode {
    /// Keeps the node in place until told to stop, then deletes it.
    async fn keep(self, state: watch::Sender<RegistrationState>, stop: CancellationToken) {
        loop {
            let session = tokio::select! {
                () = stop.cancelled() => break,
                session = self.zookeeper.session() => session,
            };
            // Held for one turn only, or a lost session would be kept open.
            let Some(session) = session else { break };
            let mut kept = pin!(self.keep_in_session(&session, &state));
            tokio::select! {
                // At shutdown both end at once; the node is deleted first.
                biased;
                () = stop.cancelled() => {
                    self.take_back(&session.client).await;
                    break;
                }
                () = session.ended.cancelled() => {}
                () = &mut kept => {}
            }
            state.send_replace(RegistrationState::Failed("ZooKeeper session lost".into()));
        }
        state.send_replace(RegistrationState::Ended);
    }

    /// Keeps the node in place for as long as the session lasts.
    async fn keep_in_session(&self, session: &Session, state: &watch::Sender<RegistrationState>) {
        let client = &session.client;
        loop {
            match self.settle(client).await {
                Ok(name) => {
                    let registered = RegistrationState::Registered(name.clone());
                    if state.send_replace(registered.clone()) != registered {
                        info!("registered in ZooKeeper as {}/{name}", self.directory);
                    }
                    self.stay(client, &name, state).await;
                }
                Err(error) => {
                    state.send_replace(RegistrationState::Failed(error.to_string()));
                    if is_connection_trouble(&error) {
                        sleep(RETRY_PAUSE).await;
                    } else {
                        warn!("cannot register in ZooKeeper as {}/{}: {error}", self.directory, self.prefix);
                        sleep(REFUSED_PAUSE).await;
                    }
                }
            }
        }
    }

    /// Ends when the node is gone or no longer the only one.
    async fn stay(&self, client: &Client, name: &str, state: &watch::Sender<RegistrationState>) {
        // One future all the time: dropping it sends a request to remove its watch, which ZooKeeper before 3.5 does
        // not know and answers by closing the connection.
        let mut disturbed = pin!(self.disturbed(client, name));
        loop {
            tokio::select! {
                () = &mut disturbed => return,
                () = lasting_disconnection(client) => {
                    state.send_replace(RegistrationState::Failed("ZooKeeper does not answer".into()));
                    reconnected(client).await;
                }
                () = sleep(CHECK_EVERY) => {}
            }
            match self.settle(client).await {
                Ok(found) if found == name => {
                    state.send_replace(RegistrationState::Registered(found));
                }
                Err(error) if is_connection_trouble(&error) => sleep(RETRY_PAUSE).await,
                _ => return,
            }
        }
    }

    /// Makes sure that exactly one node of this registration exists, that the current session owns it and that it
    /// holds the right data; returns its name.
    async fn settle(&self, client: &Client) -> Result<String, Error> {
        let (mut kept, mut stale) = (None, Vec::new());
        for name in self.own_nodes(client).await? {
            let path = self.path(&name);
            let Some(stat) = client.check_stat(&path).await? else { continue };
            if kept.is_none() && stat.ephemeral_owner == client.session_id().0 {
                kept = Some(name);
            } else {
                stale.push(path);
            }
        }
        let name = match kept {
            Some(name) => name,
            None => self.create(client).await?,
        };
        // Only now: readers must find one at any time.
        for path in stale {
            info!("deleting the stale own node {path}");
            delete(client, &path).await?;
        }
        Ok(name)
    }

    /// The existing nodes of this registration, oldest first.
    async fn own_nodes(&self, client: &Client) -> Result<Vec<String>, Error> {
        let mut names = match client.list_children(&self.directory).await {
            Ok(names) => names,
            Err(Error::NoNode) => Vec::new(),
            Err(error) => return Err(error),
        };
        names.retain(|name| name.starts_with(&self.prefix));
        names.sort_by_key(|name| sequence(name));
        Ok(names)
    }

    /// Creates the node. After a lost answer the caller looks for it by its id before it tries again.
    async fn create(&self, client: &Client) -> Result<String, Error> {
        let path = self.path(&self.prefix);
        let options = CreateMode::EphemeralSequential.with_acls(Acls::new(&self.zookeeper.shared.acl));
        let created = match client.create(&path, &self.data, &options).await {
            Err(Error::NoNode) => {
                self.zookeeper.make_parents(client, &path).await?;
                client.create(&path, &self.data, &options).await
            }
            created => created,
        };
        let (_stat, sequence) = created?;
        Ok(format!("{}{sequence}", self.prefix))
    }

    /// Ends when the node is gone; foreign data in it is put right.
    async fn disturbed(&self, client: &Client, name: &str) {
        let path = self.path(name);
        loop {
            let watched = client.get_and_watch_data(&path).await;
            match watched {
                Ok((data, _stat, watcher)) if data == self.data => {
                    watcher.changed().await;
                }
                Ok(_) => {
                    warn!("{path} was overwritten; restoring it");
                    if client.set_data(&path, &self.data, None).await.is_err() {
                        return sleep(RETRY_PAUSE).await;
                    }
                }
                Err(Error::NoNode) => return,
                Err(_) => return sleep(RETRY_PAUSE).await,
            }
        }
    }

    /// Deletes the node before the session ends.
    async fn take_back(&self, client: &Client) {
        if timeout(DEREGISTER_LIMIT, self.remove_all(client)).await.is_err() {
            warn!("{} is not deleted in time; ZooKeeper drops it with the session", self.prefix);
        }
    }

    async fn remove_all(&self, client: &Client) {
        let removal = async {
            for name in self.own_nodes(client).await? {
                delete(client, &self.path(&name)).await?;
            }
            Ok::<_, Error>(())
        };
        if let Err(error) = removal.await {
            warn!("cannot delete {} in ZooKeeper: {error}; it goes with the session", self.prefix);
        }
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.directory)
    }
}

/// Deletes a node that may be gone already.
async fn delete(client: &Client, path: &str) -> Result<(), Error> {
    match client.delete(path, None).await {
        Err(Error::NoNode) => Ok(()),
        result => result,
    }
}

/// Ends once the connection has been away for so long that the servers may soon end the session and others may take
/// the instance for gone: the library reports the loss 2/5 of the session timeout after the last answer at the latest.
async fn lasting_disconnection(client: &Client) {
    let grace = client.session_timeout() * 2 / 5;
    let mut states = client.state_watcher();
    let mut state = states.peek_state();
    loop {
        if state == SessionState::Disconnected {
            match timeout(grace, states.changed()).await {
                Ok(next) => state = next,
                Err(_) => return,
            }
        } else {
            state = states.changed().await;
        }
    }
}

async fn reconnected(client: &Client) {
    let mut states = client.state_watcher();
    let mut state = states.peek_state();
    while state == SessionState::Disconnected {
        state = states.changed().await;
    }
}
