//! Follows the nodes of a service in etcd (common.md 4.4).

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;
use tracing::warn;

use super::super::{Node, causes};
use super::client::{EtcdClient, EtcdError};
use super::messages::{Event, EventKind, KeyValue};
use super::record;

/// Pause before the list is read again after the watch broke (common.md 4.4).
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Publishes the nodes under `prefix`, ordered by age, now and after each change; never ends.
pub(super) async fn follow(client: EtcdClient, prefix: String, sender: &watch::Sender<Vec<Node>>) {
    let mut complained = false;
    loop {
        let listed = client.list(&prefix).await;
        let error = match listed {
            Ok(listing) => {
                complained = false;
                let keys = listing.kvs.into_iter().map(|kv| (kv.key.clone(), kv)).collect();
                follow_changes(&client, &prefix, keys, listing.revision, sender).await
            }
            Err(error) => error,
        };
        if !complained {
            warn!("lost {prefix} in etcd, trying on: {}", causes(&error));
            complained = true;
        }
        sleep(RETRY_PAUSE).await;
    }
}

/// Publishes `keys` and every change after `revision` until the watch breaks.
async fn follow_changes(
    client: &EtcdClient,
    prefix: &str,
    mut keys: BTreeMap<Vec<u8>, KeyValue>,
    revision: i64,
    sender: &watch::Sender<Vec<Node>>,
) -> EtcdError {
    publish(&keys, sender);
    let mut changes = match client.watch(prefix, revision).await {
        Ok(changes) => changes,
        Err(error) => return error,
    };
    loop {
        match changes.next().await {
            Ok(events) => events.into_iter().for_each(|event| apply(event, &mut keys)),
            Err(error) => return error,
        }
        publish(&keys, sender);
    }
}

fn apply(event: Event, keys: &mut BTreeMap<Vec<u8>, KeyValue>) {
    let is_delete = event.kind == EventKind::Delete as i32;
    if let Some(kv) = event.kv {
        if is_delete {
            keys.remove(&kv.key);
        } else {
            keys.insert(kv.key.clone(), kv);
        }
    }
}

fn publish(keys: &BTreeMap<Vec<u8>, KeyValue>, sender: &watch::Sender<Vec<Node>>) {
    let mut nodes = Vec::new();
    for kv in keys.values() {
        match record::nodes(kv) {
            Ok(found) => nodes.extend(found),
            Err(error) => warn!("cannot read {} in etcd: {error}", String::from_utf8_lossy(&kv.key)),
        }
    }
    nodes.sort_by(|a, b| (a.sequence, &a.name).cmp(&(b.sequence, &b.name)));
    sender.send_if_modified(|current| {
        let changed = *current != nodes;
        *current = nodes;
        changed
    });
}
