//! The message queue: tells subscribers what was written (storage.md 9). It never fails or delays a write.

pub mod config;
mod message;
mod publisher;
mod transport;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bcs_common::shutdown::Shutdown;
use tokio::sync::mpsc;
use tracing::warn;

pub use self::config::{QueueConfig, QueueConfigError};
pub use self::message::{EVENT, Message};
use self::publisher::Publisher;
pub use self::publisher::Stats;

/// How many messages wait for the broker at most.
const MAX_WAITING: usize = 16_384;
/// How many bytes of bodies wait for the broker at most.
const MAX_WAITING_BYTES: usize = 64 << 20;

/// The sending end of the queue; without a configuration it takes nothing. Clones share the buffer.
#[derive(Clone, Default)]
pub struct Queue(Option<Arc<Sender>>);

struct Sender {
    resources: BTreeSet<String>,
    waiting: mpsc::Sender<Message>,
    waiting_bytes: Arc<AtomicUsize>,
    stats: Arc<dyn Stats>,
}

impl Queue {
    /// No queue.
    pub fn off() -> Self {
        Self::default()
    }

    /// Starts to publish to a broker, which need not be there yet.
    pub fn start(config: QueueConfig, stats: Arc<dyn Stats>, shutdown: &Shutdown) -> Self {
        let (waiting, receiver) = mpsc::channel(MAX_WAITING);
        let waiting_bytes = Arc::new(AtomicUsize::new(0));
        let resources = config.resources.clone();
        let publisher = Publisher::new(config, receiver, Arc::clone(&waiting_bytes), Arc::clone(&stats));
        shutdown.spawn("message queue", publisher.run(shutdown.token()));
        Self(Some(Arc::new(Sender { resources, waiting, waiting_bytes, stats })))
    }

    /// Whether anything is published at all.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Whether messages about a type of resources are wanted. Ask before making one.
    pub fn wants(&self, resource_type: &str) -> bool {
        self.0.as_ref().is_some_and(|sender| sender.resources.contains(resource_type))
    }

    /// Hands a message to the publisher. If the buffer is full, because the broker has been away for long, the message
    /// is dropped and counted as failed.
    pub fn publish(&self, message: Message) {
        let Some(sender) = &self.0 else { return };
        let size = message.body.len();
        let before = sender.waiting_bytes.fetch_add(size, Ordering::Relaxed);
        let name = message.routing_key.clone();
        if before + size > MAX_WAITING_BYTES || sender.waiting.try_send(message).is_err() {
            sender.waiting_bytes.fetch_sub(size, Ordering::Relaxed);
            sender.stats.published(&name, false, std::time::Duration::ZERO);
            warn!("message queue is full, a message about {name} is dropped");
        }
    }
}
