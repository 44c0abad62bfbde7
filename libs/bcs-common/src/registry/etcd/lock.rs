//! A lock in the layout of etcd's `concurrency` package: every waiter has a key of its own in a directory, named by its
//! lease; the oldest key holds the lock, each waiter waits for the key before its own.

use std::time::Duration;

use tokio::time::{Instant, interval_at, timeout};
use tracing::debug;

use super::super::causes;
use super::client::{EtcdClient, EtcdError};
use super::messages::{EventKind, KeyValue};

/// How long a lock outlives a process that died.
const TTL: Duration = Duration::from_secs(5);
/// Time between two renewals of its lease.
const RENEWAL: Duration = Duration::from_millis(1500);

/// Why a lock was not held.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Others held it for all the time.
    #[error("the lock {directory} was not free within {} s", limit.as_secs())]
    Timeout {
        /// Its directory.
        directory: String,
        /// The time waited.
        limit: Duration,
    },
    /// etcd cannot be reached or refused.
    #[error("the lock {directory}")]
    Etcd {
        /// Its directory.
        directory: String,
        /// Why.
        source: EtcdError,
    },
    /// The lease ended while the lock was held.
    #[error("the lease of the lock {directory} is lost")]
    Lost {
        /// Its directory.
        directory: String,
    },
}

/// See [`super::EtcdRegistry::locked`].
pub(super) async fn hold<T>(
    client: &EtcdClient,
    directory: &str,
    limit: Duration,
    work: impl Future<Output = T> + Send,
) -> Result<T, LockError> {
    let failed = |source| LockError::Etcd { directory: directory.to_owned(), source };
    let too_late = |_| LockError::Timeout { directory: directory.to_owned(), limit };
    let end = Instant::now() + limit;
    let lease = timeout(limit, client.grant_lease(TTL)).await.map_err(too_late)?.map_err(failed)?;
    let key = format!("{directory}/{lease:x}");
    let held = async {
        let acquired = acquire(client, directory, &key, lease);
        match renewing(client, lease, tokio::time::timeout_at(end, acquired)).await {
            Some(acquired) => acquired.map_err(too_late)?.map_err(failed)?,
            None => return Err(LockError::Lost { directory: directory.to_owned() }),
        }
        renewing(client, lease, work).await.ok_or_else(|| LockError::Lost { directory: directory.to_owned() })
    };
    let outcome = held.await;
    release(client, &key, lease).await;
    outcome
}

/// Runs `work` while the lease is renewed; none if the lease is gone.
async fn renewing<T>(client: &EtcdClient, lease: i64, work: impl Future<Output = T>) -> Option<T> {
    let mut work = std::pin::pin!(work);
    let mut renewals = interval_at(Instant::now() + RENEWAL, RENEWAL);
    let renewals = async {
        loop {
            renewals.tick().await;
            // A failure is no loss yet: there is time for two more tries.
            if matches!(client.renew_lease(lease).await, Ok(false)) {
                return;
            }
        }
    };
    tokio::select! {
        biased;
        result = &mut work => Some(result),
        () = renewals => None,
    }
}

async fn acquire(client: &EtcdClient, directory: &str, key: &str, lease: i64) -> Result<(), EtcdError> {
    // No other process has this key: it is named by the lease.
    client.put(key, "", lease).await?;
    let prefix = format!("{directory}/");
    loop {
        let listing = client.list(&prefix).await?;
        let own = listing.kvs.iter().find(|kv| kv.key == key.as_bytes()).map(|kv| kv.create_revision);
        let Some(own) = own else {
            // Deleted by hand: the last in the line again.
            client.put(key, "", lease).await?;
            continue;
        };
        let before = listing.kvs.iter().filter(|kv| kv.create_revision < own).max_by_key(|kv| kv.create_revision);
        match before {
            None => return Ok(()),
            Some(before) => gone(client, before, listing.revision).await?,
        }
    }
}

/// Waits until the key is deleted.
async fn gone(client: &EtcdClient, kv: &KeyValue, revision: i64) -> Result<(), EtcdError> {
    let mut changes = client.watch(&String::from_utf8_lossy(&kv.key), revision).await?;
    loop {
        let is_end = |event: &super::messages::Event| event.kind() == EventKind::Delete;
        let of_this = |event: &super::messages::Event| event.kv.as_ref().is_some_and(|it| it.key == kv.key);
        if changes.next().await?.iter().any(|event| is_end(event) && of_this(event)) {
            return Ok(());
        }
    }
}

/// Whatever is left here ends with the lease.
async fn release(client: &EtcdClient, key: &str, lease: i64) {
    let released = async {
        client.delete(key).await?;
        client.revoke_lease(lease).await
    };
    if let Err(error) = released.await {
        debug!("{key} in etcd is not released, it expires: {}", causes(&error));
    }
}
