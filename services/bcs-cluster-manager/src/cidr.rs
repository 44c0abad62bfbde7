//! The pool of CIDRs for TKE clusters (cluster-manager.md 9).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bcs_common::errors::chain;
use bcs_docstore::{Error as StoreError, doc};

use crate::app::App;
use crate::clusters::bson_now;
use crate::failure::{Failure, NOT_FOUND, code};
use crate::record::{self, Cidr};

const AVAILABLE: &str = "available";
const USED: &str = "used";
/// Directory of the locks, one below it for each vpc.
const LOCKS: &str = "/lock.bkbcs.tencent.com/clustermanager";
/// How long a call waits for the lock.
const LOCK_LIMIT: Duration = Duration::from_secs(5);
/// The list of counts ends here.
const MAX_COUNTS: usize = 3000;

/// An entry to add.
pub(crate) struct Entry {
    pub cidr: String,
    pub ip_number: i64,
    /// Empty: available.
    pub status: String,
}

/// An entry that was applied for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Applied {
    pub cidr: String,
    pub ip_number: i64,
}

/// How many entries of a vpc have the same size and status.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Count {
    pub vpc: String,
    pub ip_number: i64,
    pub status: String,
    pub count: u64,
}

fn failed(message: impl Into<String>) -> Failure {
    Failure::new(code::STORE_OPERATION, message)
}

/// Adds entries; those that are there already stay as they are.
pub(crate) async fn add(app: &App, vpc: &str, entries: Vec<Entry>) -> Result<(), Failure> {
    for entry in entries {
        let now = bson_now();
        let status = if entry.status.is_empty() { AVAILABLE } else { &entry.status };
        let document = doc! {
            "vpc": vpc, "cidr": entry.cidr, "ipNumber": entry.ip_number, "status": status, "cluster": "",
            "createAt": now.clone(), "updateAt": now
        };
        match app.stores.cidrs.insert(document).await {
            Ok(()) | Err(StoreError::Duplicate { .. }) => {}
            Err(error) => {
                return Err(failed(format!("errcode: 1405402, add tke cidr failed, err {}", chain(&error))));
            }
        }
    }
    Ok(())
}

/// Runs `work` while no other replica changes the pool of the vpc; to its end, also if the client goes away.
async fn locked<T, F>(app: &Arc<App>, vpc: &str, work: impl FnOnce(Arc<App>) -> F) -> Result<T, Failure>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Failure>> + Send + 'static,
{
    let work = work(Arc::clone(app));
    let (locks, directory) = (app.locks.clone(), format!("{LOCKS}/{vpc}"));
    let task = app.shutdown.spawn("cidr", async move {
        match locks {
            None => work.await,
            Some(locks) => match locks.locked(&directory, LOCK_LIMIT, work).await {
                Ok(outcome) => outcome,
                Err(error) => Err(failed(chain(&error))),
            },
        }
    });
    task.await.unwrap_or_else(|error| Err(failed(error.to_string())))
}

/// Gives an available entry of that size to a cluster.
pub(crate) async fn apply(app: &Arc<App>, vpc: String, cluster: String, ip_number: i64) -> Result<Applied, Failure> {
    locked(app, &vpc.clone(), move |app| async move {
        let wanted = doc! { "vpc": &vpc, "ipNumber": ip_number, "status": AVAILABLE };
        loop {
            let found = app.stores.cidrs.get(&wanted).await.map_err(|error| {
                failed(format!("get one tke cidr failed, err get one tke cidr failed, err {}", chain(&error)))
            })?;
            let Some(found) = found else {
                return Err(failed("get one tke cidr failed, err get one tke cidr failed, no suitable cidr"));
            };
            let cidr = record::cidr(found).cidr;
            let taken = change(&app, &vpc, &cidr, AVAILABLE, USED, &cluster).await;
            // Without a lock in etcd somebody else may have been faster: then the next one is tried.
            if taken.map_err(|error| failed(format!("update tke cidr failed, err {}", chain(&error))))? {
                return Ok(Applied { cidr, ip_number });
            }
        }
    })
    .await
}

/// Takes an entry back.
pub(crate) async fn release(app: &Arc<App>, vpc: String, cidr: String) -> Result<(), Failure> {
    locked(app, &vpc.clone(), move |app| async move {
        let refused = |reason: String| failed(format!("release cidr {cidr} in vpc {vpc} failed, {reason}"));
        let found = app.stores.cidrs.get(&doc! { "vpc": &vpc, "cidr": &cidr }).await;
        let found = found.map_err(|error| refused(format!("err {}", chain(&error))))?;
        let found = found.ok_or_else(|| refused(format!("err {NOT_FOUND}")))?;
        let status = record::cidr(found).status;
        let released = status != AVAILABLE && {
            let changed = change(&app, &vpc, &cidr, &status, AVAILABLE, "").await;
            changed.map_err(|error| failed(format!("release tke cidr failed, err {}", chain(&error))))?
        };
        if released { Ok(()) } else { Err(refused("no such cidr to be released".to_owned())) }
    })
    .await
}

/// From one status to another; whether it still had the first.
async fn change(app: &App, vpc: &str, cidr: &str, from: &str, to: &str, cluster: &str) -> bcs_docstore::Result<bool> {
    let of = doc! { "vpc": vpc, "cidr": cidr, "status": from };
    app.stores.cidrs.update(&of, doc! { "status": to, "cluster": cluster, "updateAt": bson_now() }).await
}

/// The pools of all vpcs.
pub(crate) async fn counts(app: &App) -> Result<Vec<Count>, Failure> {
    let entries = app.stores.cidrs.all(&["vpc", "ipNumber", "status"]).await;
    let entries = entries.map_err(|error| failed(format!("list tke cidr count failed, err {}", chain(&error))))?;
    Ok(count(entries.into_iter().map(record::cidr)))
}

fn count(entries: impl Iterator<Item = Cidr>) -> Vec<Count> {
    let mut counts: BTreeMap<(String, i64, String), u64> = BTreeMap::new();
    for Cidr { vpc, ip_number, status, .. } in entries {
        *counts.entry((vpc, ip_number, status)).or_default() += 1;
    }
    let counts = counts.into_iter().map(|((vpc, ip_number, status), count)| Count { vpc, ip_number, status, count });
    counts.take(MAX_COUNTS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_counted_by_vpc_size_and_status() {
        let entry = |vpc: &str, ip_number, status: &str| Cidr {
            vpc: vpc.into(),
            ip_number,
            status: status.into(),
            ..Cidr::default()
        };
        let entries = [entry("v", 256, "used"), entry("v", 256, "used"), entry("v", 128, "used"), Cidr::default()];
        let counts = count(entries.into_iter());
        let count = |vpc: &str, ip_number, status: &str, count| Count {
            vpc: vpc.into(),
            ip_number,
            status: status.into(),
            count,
        };
        assert_eq!(counts, [count("", 0, "", 1), count("v", 128, "used", 1), count("v", 256, "used", 2)]);
    }
}
