//! Removes dynamic resources that were deleted long ago (storage.md 5.5). The original keeps them for ever, so this is
//! off unless it is asked for.

use std::sync::Arc;

use bcs_docstore::{DocumentDatabase, Filter, Path};
use bson::DateTime;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::cleaner::{self, days_before};
use crate::dynamic::FLAG;
use crate::error::Result;

/// Removes from all collections of a store what is marked as deleted.
pub struct Purge {
    /// Where they are.
    pub store: Arc<dyn DocumentDatabase>,
    /// How long ago the last write must be, in days. A deletion does not count as one: it leaves `updateTime` as it is.
    pub days: i64,
}

impl Purge {
    /// Purges at the times of the cleaner until `stop`.
    pub async fn run(self, now: fn() -> DateTime, stop: CancellationToken) {
        let mut ticks = cleaner::schedule();
        loop {
            tokio::select! {
                _ = ticks.tick() => self.purge(now()).await,
                () = stop.cancelled() => return,
            }
        }
    }

    /// Purges once. Errors are logged; the next run tries again.
    pub async fn purge(&self, now: DateTime) {
        match self.remove(now).await {
            Ok(0) => {}
            Ok(removed) => info!("purge: {removed} deleted resources removed"),
            Err(error) => error!("purge failed | err: {}", error.causes()),
        }
    }

    async fn remove(&self, now: DateTime) -> Result<u64> {
        let old = Filter::Less(Path::dotted("updateTime"), days_before(now, self.days).into());
        let filter = Filter::Eq(Path::dotted(FLAG), true.into()).and(old);
        let mut removed = 0;
        for collection in self.store.collections().await? {
            removed += self.store.delete_many(&collection, &filter).await?;
        }
        Ok(removed)
    }
}

#[cfg(test)]
mod tests {
    use bcs_docstore::{Find, doc};

    use super::*;
    use crate::backends::{DYNAMIC_LAYOUT, embedded};
    use crate::cleaner::MILLIS_PER_DAY;

    #[tokio::test]
    async fn only_what_was_deleted_and_is_old_goes() {
        let directory = tempfile::tempdir().unwrap();
        let [store] = embedded(directory.path(), [DYNAMIC_LAYOUT]).unwrap();
        for (collection, name, deleted, day) in
            [("Pod", "old", true, 1), ("Pod", "new", true, 8), ("Pod", "alive", false, 1), ("Node", "old", true, 1)]
        {
            let updated = DateTime::from_millis(day * MILLIS_PER_DAY);
            let resource = doc! { "resourceName": name, "updateTime": updated, FLAG: deleted };
            store.insert(collection, resource).await.unwrap();
        }
        Purge { store: store.clone(), days: 7 }.purge(DateTime::from_millis(10 * MILLIS_PER_DAY)).await;
        let left = store.find("Pod", &Find::all(Filter::all())).await.unwrap();
        let names: Vec<_> = left.iter().map(|resource| resource.get_str("resourceName").unwrap()).collect();
        assert_eq!(names, ["new", "alive"]);
        assert_eq!(store.count("Node", &Filter::all()).await.unwrap(), 0);
    }
}
