//! What all routes share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bcs_common::http::envelope::Program;
use bcs_common::shutdown::Shutdown;
use bcs_docstore::{DocumentDatabase, Index};
use tracing::warn;

use crate::backends::{Backends, Store};
use crate::error::{Error, Result};
use crate::nodes::NodeStore;
use crate::observe::Metrics;
use crate::queue::Queue;

/// The service as its routes see it.
pub struct Storage {
    /// Where everything is kept.
    pub backends: Backends,
    /// Who is told about writes.
    pub queue: Queue,
    /// What is measured.
    pub metrics: Metrics,
    /// The name in error messages.
    pub program: Program,
    /// Whether request bodies are logged.
    pub print_body: bool,
    /// Ends watch streams; waits for writes.
    pub shutdown: Shutdown,
    /// The indexes of the events.
    pub event_indexes: BestEffortIndexes,
    /// The indexes of the alarms.
    pub alarm_indexes: BestEffortIndexes,
}

fn configured<'a>(store: &'a Store, what: &'static str) -> Result<&'a dyn DocumentDatabase> {
    store.as_deref().ok_or(Error::NotConfigured(what))
}

impl Storage {
    /// The store of dynamic and custom resources.
    ///
    /// # Errors
    /// [`Error::NotConfigured`]; so for the others.
    pub fn dynamic(&self) -> Result<&dyn DocumentDatabase> {
        configured(&self.backends.dynamic, "database for dynamic resources")
    }

    /// The store of events.
    pub fn event(&self) -> Result<&dyn DocumentDatabase> {
        configured(&self.backends.event, "database for events")
    }

    /// The store of alarms.
    pub fn alarm(&self) -> Result<&dyn DocumentDatabase> {
        configured(&self.backends.alarm, "database for alarms")
    }

    /// The store of metrics.
    pub fn metric(&self) -> Result<&dyn DocumentDatabase> {
        configured(&self.backends.metric, "database for metrics")
    }

    /// The store of host configuration.
    pub fn host(&self) -> Result<&dyn DocumentDatabase> {
        configured(&self.backends.host, "database for hosts")
    }

    /// The store of cluster configuration.
    pub fn cluster_config(&self) -> Result<&dyn DocumentDatabase> {
        configured(&self.backends.cluster_config, "database for cluster configuration")
    }

    /// The store of watch resources.
    pub fn nodes(&self) -> Result<&dyn NodeStore> {
        self.backends.nodes.as_deref().ok_or(Error::NotConfigured("ZooKeeper for watch resources"))
    }
}

/// The state as the router hands it out.
pub type Shared = Arc<Storage>;

/// Indexes that make a collection fast and that it can do without: they are made before the first write.
#[derive(Debug, Default)]
pub struct BestEffortIndexes(AtomicBool);

impl BestEffortIndexes {
    /// Makes the indexes unless that was done or tried before.
    ///
    /// # Errors
    /// [`Error::Store`] if the database cannot be reached; then the next write tries again.
    pub async fn ensure(&self, store: &dyn DocumentDatabase, collection: &str, indexes: &[Index]) -> Result<()> {
        if self.0.load(Ordering::Relaxed) {
            return Ok(());
        }
        for index in indexes {
            match store.ensure_index(collection, index).await {
                Ok(()) => {}
                Err(error @ bcs_docstore::Error::Unavailable(_)) => return Err(error.into()),
                Err(error) => {
                    let causes = Error::from(error).causes();
                    warn!("{collection} goes without index {} | err: {causes}", index.name);
                }
            }
        }
        self.0.store(true, Ordering::Relaxed);
        Ok(())
    }
}
