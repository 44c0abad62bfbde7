//! Tokens of users of the IAM in ZooKeeper: read on every tick, and written for the users seen since the last one.

use std::sync::Arc;
use std::time::Duration;

use bcs_common::build_constants;
use bcs_common::errors::chain;
use bcs_common::registry::zookeeper::{ZooKeeper, ZooKeeperError, ZooKeeperOptions};
use bcs_common::shutdown::Shutdown;
use chrono::Utc;
use tracing::{error, warn};

use super::FilterError;
use super::token_cache::{Record, TokenCache};

/// Below it, a node per user.
const TOKENS: &str = "/bcs/services/auth/token";
/// Below it, a node per token: it is taken.
const KEYS: &str = "/bcs/services/auth/key";
/// How often another token is tried for a new user.
const TRIES: usize = 3;
/// As the original.
const SESSION_TIMEOUT: Duration = Duration::from_secs(60);

/// Keeps a cache and ZooKeeper the same until the shutdown.
pub(super) fn start(
    servers: &str,
    period: Duration,
    cache: Arc<TokenCache>,
    shutdown: &Shutdown,
) -> Result<(), FilterError> {
    let (user, password) = (build_constants::zookeeper_client_user(), build_constants::zookeeper_client_pwd());
    let options =
        ZooKeeperOptions { session_timeout: SESSION_TIMEOUT, ..ZooKeeperOptions::new(servers, user, password) };
    let zookeeper = ZooKeeper::start(options, shutdown).map_err(|failure| FilterError::ZooKeeper(chain(&failure)))?;
    let stop = shutdown.token();
    shutdown.spawn("IAM token store", async move {
        let mut ticks = tokio::time::interval(period);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = stop.cancelled() => return,
            }
            let round = async {
                read(&zookeeper, &cache).await?;
                write(&zookeeper, &cache).await
            };
            tokio::select! {
                outcome = round => if let Err(failure) = outcome {
                    error!("the token store of the IAM: {}", chain(&failure));
                },
                () = stop.cancelled() => return,
            }
        }
    });
    Ok(())
}

async fn read(zookeeper: &ZooKeeper, cache: &TokenCache) -> Result<(), ZooKeeperError> {
    let mut records = Vec::new();
    for name in zookeeper.list(TOKENS).await?.unwrap_or_default() {
        let Some(data) = zookeeper.get(&format!("{TOKENS}/{name}")).await? else { continue };
        match serde_json::from_slice::<Record>(&data) {
            Ok(record) if record.username == name && !record.token.is_empty() => records.push(record),
            _ => warn!("{TOKENS}/{name} holds no token"),
        }
    }
    cache.replace(records);
    Ok(())
}

async fn write(zookeeper: &ZooKeeper, cache: &TokenCache) -> Result<(), ZooKeeperError> {
    for username in cache.take_seen() {
        let outcome = write_user(zookeeper, cache, &username).await;
        if outcome.is_err() {
            // Once more with the next tick.
            cache.see(&username);
            return outcome;
        }
    }
    Ok(())
}

async fn write_user(zookeeper: &ZooKeeper, cache: &TokenCache, username: &str) -> Result<(), ZooKeeperError> {
    if username.contains('/') || username.starts_with('.') {
        warn!("a user of the IAM whose name makes no node gets no token");
        return Ok(());
    }
    let record = match cache.of_user(username) {
        Some(record) => record.extended(Utc::now()),
        None => match new_record(zookeeper, username).await? {
            Some(record) => record,
            None => return Ok(()),
        },
    };
    let data = serde_json::to_vec(&record).unwrap_or_default();
    zookeeper.set_or_create(&format!("{TOKENS}/{username}"), &data).await?;
    cache.put(record);
    Ok(())
}

/// A record whose token nobody has.
async fn new_record(zookeeper: &ZooKeeper, username: &str) -> Result<Option<Record>, ZooKeeperError> {
    for _ in 0..TRIES {
        let record = Record::new(username, Utc::now());
        let key = format!("{KEYS}/{}", record.token);
        if zookeeper.get(&key).await?.is_none() {
            zookeeper.set_or_create(&key, record.token.as_bytes()).await?;
            return Ok(Some(record));
        }
    }
    warn!("no free token for a user of the IAM");
    Ok(None)
}
