//! The change feed: one ring of changes a collection, shared by all that follow it.
//!
//! A change is made once and read by every follower. A follower that falls behind the ring learns it
//! ([`FeedError::Lagged`]); nothing is ever passed over in silence.

use std::sync::{Arc, OnceLock};

use bson::Document;
use bytes::Bytes;
use tokio::sync::broadcast;

/// How many changes of a collection a follower may be behind.
pub const RING: usize = 4096;

/// What happened to a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It is new.
    Insert,
    /// It was written over.
    Update {
        /// The new value of the deletion flag, if the change touched it.
        deletion_flag: Option<bool>,
        /// False if no field has another value than before.
        changed: bool,
    },
    /// It is gone from the store (not: marked as deleted).
    Delete,
}

/// One change of one document.
#[derive(Debug)]
pub struct Change {
    /// What happened.
    pub kind: ChangeKind,
    /// Top-level fields of the document afterwards that are no objects and no arrays, for filtering.
    /// Empty for [`ChangeKind::Delete`].
    pub fields: Document,
    /// The whole document afterwards as JSON, flag included and `＄` as stored; `null` for [`ChangeKind::Delete`].
    pub json: Bytes,
    wire: OnceLock<Bytes>,
}

impl Change {
    /// A change as a backend saw it.
    pub fn new(kind: ChangeKind, fields: Document, json: Bytes) -> Self {
        Self { kind, fields, json, wire: OnceLock::new() }
    }

    /// The change as it goes over the wire: `encode` runs for the first follower only.
    pub fn wire(&self, encode: impl FnOnce(&Change) -> Bytes) -> Bytes {
        self.wire.get_or_init(|| encode(self)).clone()
    }
}

/// Why a subscription ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FeedError {
    /// The follower was too slow; this many changes are lost to it.
    #[error("fell behind by {0} changes")]
    Lagged(u64),
    /// The feed ended: the collection was dropped, or the store shut down.
    #[error("the change feed ended")]
    Ended,
}

/// The changes of one collection, from the moment of [`crate::DocumentDatabase::watch`] on.
#[derive(Debug)]
pub struct Subscription {
    receiver: broadcast::Receiver<Arc<Change>>,
}

impl Subscription {
    /// The next change, in the order of the writes. After an error the subscription gives nothing more of use.
    pub async fn next(&mut self) -> Result<Arc<Change>, FeedError> {
        match self.receiver.recv().await {
            Ok(change) => Ok(change),
            Err(broadcast::error::RecvError::Lagged(missed)) => Err(FeedError::Lagged(missed)),
            Err(broadcast::error::RecvError::Closed) => Err(FeedError::Ended),
        }
    }
}

/// The sending end of a feed. Dropping it ends all subscriptions.
#[derive(Clone, Debug)]
pub struct Feed {
    sender: broadcast::Sender<Arc<Change>>,
}

impl Default for Feed {
    fn default() -> Self {
        Self { sender: broadcast::Sender::new(RING) }
    }
}

impl Feed {
    /// A new follower.
    pub fn subscribe(&self) -> Subscription {
        Subscription { receiver: self.sender.subscribe() }
    }

    /// True if somebody follows. Without followers a change need not be made.
    pub fn is_followed(&self) -> bool {
        self.sender.receiver_count() > 0
    }

    /// Hands a change to all followers.
    pub fn publish(&self, change: Change) {
        // An error only says that the last follower has just left.
        let _ = self.sender.send(Arc::new(change));
    }
}
