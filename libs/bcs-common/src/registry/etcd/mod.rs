//! etcd, in the layout of go-micro v2 (common.md 4).

mod client;
mod connector;
mod discover;
mod lock;
mod messages;
mod record;
mod register;

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use tokio::sync::watch;

use self::client::EtcdClient;
pub use self::client::EtcdError;
pub use self::lock::LockError;
use self::record::Record;
use self::register::OwnKey;
use super::{Node, Registration, Registry, ServiceRegistration};
use crate::shutdown::Shutdown;

/// How to reach etcd and how long a registration lasts without a renewal.
#[derive(Clone, Debug)]
pub struct EtcdOptions {
    /// `host[:port]` list separated by commas or semicolons; a scheme is dropped.
    pub servers: String,
    /// TLS with these settings; none is plaintext. The protocol list in it is replaced by HTTP/2.
    pub tls: Option<Arc<ClientConfig>>,
    /// How long a key outlives a process that died. Whole seconds.
    pub ttl: Duration,
    /// Time between two renewals.
    pub interval: Duration,
}

impl EtcdOptions {
    /// Options with the 40 s and 30 s of bcs-storage and bcs-user-manager (common.md 4.2).
    pub fn new(servers: impl Into<String>, tls: Option<Arc<ClientConfig>>) -> Self {
        Self { servers: servers.into(), tls, ttl: Duration::from_secs(40), interval: Duration::from_secs(30) }
    }
}

/// The registry of the gateway and of services that left ZooKeeper.
#[derive(Clone)]
pub struct EtcdRegistry {
    client: EtcdClient,
    ttl: Duration,
    interval: Duration,
    shutdown: Shutdown,
}

impl EtcdRegistry {
    /// A registry that connects when first used. Call it within a tokio runtime.
    ///
    /// # Errors
    /// The server list is empty or malformed.
    pub fn new(options: &EtcdOptions, shutdown: &Shutdown) -> Result<Self, EtcdError> {
        let client = EtcdClient::new(&options.servers, options.tls.as_deref())?;
        Ok(Self { client, ttl: options.ttl, interval: options.interval, shutdown: shutdown.clone() })
    }
}

impl EtcdRegistry {
    /// Runs `work` while nobody else holds the lock in `directory` (without a `/` at its end), in the layout of etcd's own
    /// `concurrency` package. Waits for the lock for `limit` at most; the work itself has no limit here.
    ///
    /// # Errors
    /// See [`LockError`]. Where the lease was lost the work has been dropped in the middle.
    pub async fn locked<T>(
        &self,
        directory: &str,
        limit: Duration,
        work: impl Future<Output = T> + Send,
    ) -> Result<T, LockError> {
        lock::hold(&self.client, directory, limit, work).await
    }
}

impl Registry for EtcdRegistry {
    fn register(&self, service: ServiceRegistration) -> Registration {
        let own = OwnKey {
            client: self.client.clone(),
            record: Record::new(&service),
            ttl: self.ttl,
            interval: self.interval,
            lease: None,
        };
        Registration::spawn(&self.shutdown, "etcd registration", |state, stop| own.keep(state, stop))
    }

    fn discover(&self, module: &str) -> watch::Receiver<Vec<Node>> {
        let (sender, receiver) = watch::channel(Vec::new());
        let (client, prefix) = (self.client.clone(), record::prefix(module));
        let token = self.shutdown.token();
        let follow = async move {
            tokio::select! {
                () = discover::follow(client, prefix, &sender) => {}
                () = sender.closed() => {}
                () = token.cancelled() => {}
            }
        };
        self.shutdown.spawn("etcd discovery", follow);
        receiver
    }
}
