//! Keeps events and alarms from growing without end: by number for each cluster, and by age (storage.md 8.3).

use std::sync::Arc;
use std::time::Duration;

use bcs_docstore::{DocumentDatabase, Filter, Find, Order, Path, Sort};
use bson::DateTime;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::error::Result;

/// Time between two runs, and before the first.
pub const PERIOD: Duration = Duration::from_secs(3600);

pub const MILLIS_PER_DAY: i64 = 24 * 3600 * 1000;
const CREATED: &str = "createTime";
const CLUSTER: &str = "clusterId";

/// What is too much; 0 switches a limit off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Oldest age in days.
    pub days: i64,
    /// Greatest number of documents of a cluster.
    pub per_cluster: i64,
}

/// Cleans one collection.
pub struct Cleaner {
    /// Where it is.
    pub store: Arc<dyn DocumentDatabase>,
    /// Its name.
    pub collection: &'static str,
    /// What is too much.
    pub limits: Limits,
}

impl Cleaner {
    /// Cleans every [`PERIOD`] until `stop`.
    pub async fn run(self, now: fn() -> DateTime, stop: CancellationToken) {
        let mut ticks = schedule();
        loop {
            tokio::select! {
                _ = ticks.tick() => self.clean(now()).await,
                () = stop.cancelled() => return,
            }
        }
    }

    /// Cleans once. Errors are logged; the next run tries again.
    pub async fn clean(&self, now: DateTime) {
        for (what, outcome) in [("number", self.clean_by_number().await), ("age", self.clean_by_age(now).await)] {
            match outcome {
                Ok(0) => {}
                Ok(removed) => info!("clean {} by {what}: {removed} removed", self.collection),
                Err(error) => error!("clean {} by {what} failed | err: {}", self.collection, error.causes()),
            }
        }
    }

    async fn clean_by_number(&self) -> Result<u64> {
        let Some(cap) = u64::try_from(self.limits.per_cluster).ok().filter(|cap| *cap > 0) else { return Ok(0) };
        let mut removed = 0;
        for cluster in self.store.distinct(self.collection, &Path::dotted(CLUSTER), &Filter::all()).await? {
            let in_cluster = Filter::Eq(Path::dotted(CLUSTER), cluster);
            if self.store.count(self.collection, &in_cluster).await? <= cap {
                continue;
            }
            if let Some(oldest_kept) = self.nth_newest(in_cluster.clone(), cap).await? {
                let older = in_cluster.and(Filter::Less(Path::dotted(CREATED), oldest_kept.into()));
                removed += self.store.delete_many(self.collection, &older).await?;
            }
        }
        Ok(removed)
    }

    /// When the document was created that has `n - 1` newer ones.
    async fn nth_newest(&self, filter: Filter, n: u64) -> Result<Option<DateTime>> {
        let find = Find {
            filter,
            sort: Some(Sort { field: CREATED.to_owned(), order: Order::Descending }),
            skip: n.saturating_sub(1),
            limit: Some(1),
            projection: vec![CREATED.to_owned()],
        };
        let found = self.store.find(self.collection, &find).await?;
        Ok(found.first().and_then(|document| document.get_datetime(CREATED).ok()).copied())
    }

    async fn clean_by_age(&self, now: DateTime) -> Result<u64> {
        if self.limits.days <= 0 {
            return Ok(0);
        }
        let older = Filter::Less(Path::dotted(CREATED), days_before(now, self.limits.days).into());
        Ok(self.store.delete_many(self.collection, &older).await?)
    }
}

/// A moment some days earlier.
pub fn days_before(now: DateTime, days: i64) -> DateTime {
    DateTime::from_millis(now.timestamp_millis().saturating_sub(days.saturating_mul(MILLIS_PER_DAY)))
}

/// When to clean.
pub fn schedule() -> Interval {
    let mut ticks = interval_at(Instant::now() + PERIOD, PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

#[cfg(test)]
mod tests {
    use bcs_docstore::doc;

    use super::*;
    use crate::backends::{EVENT_LAYOUT, embedded};

    async fn events(limits: Limits) -> (tempfile::TempDir, Cleaner) {
        let directory = tempfile::tempdir().unwrap();
        let [store] = embedded(directory.path(), [EVENT_LAYOUT]).unwrap();
        for cluster in ["a", "b"] {
            for n in 0..8 {
                let created = DateTime::from_millis(n * MILLIS_PER_DAY);
                let event = doc! { "clusterId": cluster, "n": n, "createTime": created };
                store.insert("event", event).await.unwrap();
            }
        }
        (directory, Cleaner { store, collection: "event", limits })
    }

    async fn left(cleaner: &Cleaner) -> Vec<(String, i64)> {
        let found = cleaner.store.find("event", &Find::all(Filter::all())).await.unwrap();
        found
            .iter()
            .map(|event| (event.get_str("clusterId").unwrap().to_owned(), event.get_i64("n").unwrap()))
            .collect()
    }

    fn both(numbers: std::ops::Range<i64>) -> Vec<(String, i64)> {
        ["a", "b"].iter().flat_map(|cluster| numbers.clone().map(|n| ((*cluster).to_owned(), n))).collect()
    }

    #[tokio::test]
    async fn each_cluster_keeps_its_newest() {
        let (_directory, cleaner) = events(Limits { days: 0, per_cluster: 5 }).await;
        cleaner.clean(DateTime::from_millis(i64::MAX)).await;
        assert_eq!(left(&cleaner).await, both(3..8));
    }

    #[tokio::test]
    async fn old_ones_go() {
        let (_directory, cleaner) = events(Limits { days: 2, per_cluster: 0 }).await;
        cleaner.clean(DateTime::from_millis(7 * MILLIS_PER_DAY)).await;
        assert_eq!(left(&cleaner).await, both(5..8));
    }

    #[tokio::test]
    async fn zero_switches_off() {
        let (_directory, cleaner) = events(Limits { days: 0, per_cluster: 0 }).await;
        cleaner.clean(DateTime::from_millis(i64::MAX)).await;
        assert_eq!(left(&cleaner).await, both(0..8));
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_run_is_a_period_after_the_start() {
        let started = Instant::now();
        let mut ticks = schedule();
        ticks.tick().await;
        assert_eq!(started.elapsed(), PERIOD);
        ticks.tick().await;
        assert_eq!(started.elapsed(), 2 * PERIOD);
    }

    // The paused clock leaps ahead whenever everybody waits for it: the hours pass by themselves.
    #[tokio::test(start_paused = true)]
    async fn it_cleans_until_it_is_stopped() {
        let (_directory, cleaner) = events(Limits { days: 1, per_cluster: 0 }).await;
        let store = Arc::clone(&cleaner.store);
        let stop = CancellationToken::new();
        let run = cleaner.run(|| DateTime::from_millis(100 * MILLIS_PER_DAY), stop.clone());
        let cleaned = async {
            while store.count("event", &Filter::all()).await.unwrap() > 0 {
                tokio::time::sleep(PERIOD).await;
            }
            stop.cancel();
        };
        tokio::join!(run, cleaned);
    }
}
