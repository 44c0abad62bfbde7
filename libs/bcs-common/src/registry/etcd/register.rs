//! Keeps the key of one instance in etcd (common.md 4.3).

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::super::{RegistrationState, causes};
use super::client::{EtcdClient, EtcdError};
use super::record::Record;

/// Pauses between the tries of one tick.
const TRY_PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(600)];
/// Pause after a tick has failed. The original waits a whole interval, in which the key expires.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Time for taking the registration back.
const DEREGISTER_LIMIT: Duration = Duration::from_secs(2);

/// The key of one instance.
pub(super) struct OwnKey {
    pub client: EtcdClient,
    pub record: Record,
    pub ttl: Duration,
    pub interval: Duration,
    pub lease: Option<i64>,
}

impl OwnKey {
    /// Keeps the key in place until told to stop, then deletes it.
    pub(super) async fn keep(mut self, state: watch::Sender<RegistrationState>, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.tick_for_ever(&state) => {}
        }
        self.remove().await;
        state.send_replace(RegistrationState::Ended);
    }

    async fn tick_for_ever(&mut self, state: &watch::Sender<RegistrationState>) {
        loop {
            let (next, pause) = match self.tick().await {
                Ok(()) => (RegistrationState::Registered(self.record.id.clone()), self.interval),
                Err(error) => (RegistrationState::Failed(causes(&error)), RETRY_PAUSE),
            };
            if *state.borrow() != next {
                match &next {
                    RegistrationState::Failed(reason) => warn!("cannot register in etcd, trying on: {reason}"),
                    _ => info!("registered in etcd as {}", self.record.key),
                }
                state.send_replace(next);
            }
            sleep(pause).await;
        }
    }

    async fn tick(&mut self) -> Result<(), EtcdError> {
        for pause in TRY_PAUSES {
            match self.put_in_place().await {
                Ok(()) => return Ok(()),
                Err(_) => sleep(pause).await,
            }
        }
        self.put_in_place().await
    }

    /// Renews the lease; makes a new one and writes the key where they are missing. A key deleted or overwritten by
    /// hand comes back, unlike in the original.
    async fn put_in_place(&mut self) -> Result<(), EtcdError> {
        let lease = match self.living_lease().await? {
            Some(lease) => {
                let found = self.client.get(&self.record.key).await?;
                let value = self.record.value.as_bytes();
                if found.is_some_and(|kv| kv.lease == lease && kv.value == value) {
                    return Ok(());
                }
                lease
            }
            None => self.client.grant_lease(self.ttl).await?,
        };
        self.lease = Some(lease);
        self.client.put(&self.record.key, &self.record.value, lease).await
    }

    async fn living_lease(&mut self) -> Result<Option<i64>, EtcdError> {
        if let Some(lease) = self.lease
            && !self.client.renew_lease(lease).await?
        {
            self.lease = None;
        }
        Ok(self.lease)
    }

    async fn remove(&self) {
        let removal = async {
            self.client.delete(&self.record.key).await?;
            match self.lease {
                Some(lease) => self.client.revoke_lease(lease).await,
                None => Ok(()),
            }
        };
        match timeout(DEREGISTER_LIMIT, removal).await {
            Ok(Ok(())) => info!("deregistered {} in etcd", self.record.key),
            Ok(Err(error)) => warn!("cannot delete {} in etcd, it expires: {}", self.record.key, causes(&error)),
            Err(_) => warn!("{} is not deleted in etcd in time, it expires", self.record.key),
        }
    }
}
