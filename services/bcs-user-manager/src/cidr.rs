//! The pool of CIDRs for TKE clusters (user-manager.md 6.6).

use bcs_sql::{Database, Row, SqlError};
use http::StatusCode;
use serde::Serialize;

use crate::answer::Failure;
use crate::document::{Document, fits, require};
use crate::users::now;

/// Characters of the text columns.
const TEXT_COLUMN: usize = 255;
/// The status of a CIDR that can be handed out.
const AVAILABLE: &str = "available";
/// The status of one that was.
const USED: &str = "used";

/// What `apply_cidr` answers.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Applied {
    pub vpc: String,
    pub cidr: String,
    pub ip_number: u32,
    pub status: &'static str,
}

/// A line of `list_count`.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Count {
    pub count: u32,
    pub vpc: String,
    pub ip_number: u32,
    pub status: String,
}

struct Entry {
    cidr: String,
    ip_number: u32,
    status: String,
}

/// Adds CIDRs to the pool; those it holds already are skipped. All or none.
pub(crate) async fn add(database: &Database, document: &Document) -> Result<(), Failure> {
    let vpc = document.text("vpc");
    let items = document.list("tke_cidrs");
    require(&[("vpc", !vpc.is_empty()), ("tke_cidrs", items.is_some())])?;
    let failed = "add tke cidr failed, error: ";
    let entries: Vec<Entry> = items.iter().flatten().map(|item| entry(vpc, item)).collect::<Result<_, _>>()?;
    insert(database, vpc, &entries)
        .await
        .map_err(|error| Failure::database(failed, error).with_status(StatusCode::BAD_REQUEST))
}

fn entry(vpc: &str, item: &Document) -> Result<Entry, Failure> {
    let (cidr, ip_number, status) = (item.text("cidr"), item.uint("ip_number"), item.text("status"));
    require(&[("cidr", !cidr.is_empty()), ("ip_number", ip_number != 0)])?;
    let failed = "add tke cidr failed, error: ";
    for (column, value) in [("vpc", vpc), ("cidr", cidr), ("status", status)] {
        check_length(failed, column, value)?;
    }
    let ip_number = check_number(failed, ip_number)?;
    let status = if status.is_empty() { AVAILABLE } else { status };
    Ok(Entry { cidr: cidr.to_owned(), ip_number, status: status.to_owned() })
}

fn check_length(failed: &str, column: &str, value: &str) -> Result<(), Failure> {
    if fits(value, TEXT_COLUMN) {
        return Ok(());
    }
    let text = format!("Data too long for column '{column}'");
    Err(Failure::database_text(failed, &text).with_status(StatusCode::BAD_REQUEST))
}

fn check_number(failed: &str, number: u64) -> Result<u32, Failure> {
    let out_of_range = |_| {
        let text = "Out of range value for column 'ip_number'";
        Failure::database_text(failed, text).with_status(StatusCode::BAD_REQUEST)
    };
    u32::try_from(number).map_err(out_of_range)
}

async fn insert(database: &Database, vpc: &str, entries: &[Entry]) -> Result<(), SqlError> {
    let mut transaction = database.begin().await?;
    let now = now();
    for entry in entries {
        let sql = "SELECT id FROM tke_cidrs WHERE vpc = ? AND cidr = ? AND ip_number = ? LIMIT 1";
        let known = transaction.read(sql, &[vpc.into(), (&entry.cidr).into(), entry.ip_number.into()]).await?;
        if !known.is_empty() {
            tracing::info!("tke cidr {} of vpc {vpc} exists already", entry.cidr);
            continue;
        }
        let sql = "INSERT INTO tke_cidrs (vpc, cidr, ip_number, status, cluster, created_at, updated_at) \
                   VALUES (?, ?, ?, ?, '', ?, ?)";
        let params =
            [vpc.into(), (&entry.cidr).into(), entry.ip_number.into(), (&entry.status).into(), now.into(), now.into()];
        transaction.write(sql, &params).await?;
    }
    transaction.commit().await
}

/// Hands out the first available CIDR of that size, never one twice: also if another instance asks at the same time.
pub(crate) async fn apply(database: &Database, document: &Document) -> Result<Applied, Failure> {
    let (vpc, cluster, ip_number) = (document.text("vpc"), document.text("cluster"), document.uint("ip_number"));
    require(&[("vpc", !vpc.is_empty()), ("cluster", !cluster.is_empty()), ("ip_number", ip_number != 0)])?;
    let failed = "apply tkeCidr failed: ";
    check_length(failed, "vpc", vpc)?;
    check_length(failed, "cluster", cluster)?;
    let ip_number = check_number(failed, ip_number)?;
    let taken = take(database, vpc, cluster, ip_number)
        .await
        .map_err(|error| Failure::database(failed, error).with_status(StatusCode::BAD_REQUEST))?;
    taken.ok_or_else(|| Failure::bad_request("apply cidr failed, no available cidr any more"))
}

async fn take(database: &Database, vpc: &str, cluster: &str, ip_number: u32) -> Result<Option<Applied>, SqlError> {
    loop {
        let sql = "SELECT id, vpc, cidr FROM tke_cidrs WHERE vpc = ? AND ip_number = ? AND status = ? \
                   ORDER BY id LIMIT 1";
        let rows = database.read(sql, &[vpc.into(), ip_number.into(), AVAILABLE.into()]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let sql = "UPDATE tke_cidrs SET status = ?, cluster = ?, updated_at = ? WHERE id = ? AND status = ?";
        let params = [USED.into(), cluster.into(), now().into(), row.uint(0)?.into(), AVAILABLE.into()];
        // No row: somebody was faster, and got on with that. Look for the next one.
        if database.write(sql, &params).await?.rows == 1 {
            return Ok(Some(Applied { vpc: row.text(1)?, cidr: row.text(2)?, ip_number, status: USED }));
        }
    }
}

/// Takes a CIDR back.
pub(crate) async fn release(database: &Database, document: &Document) -> Result<(), Failure> {
    let (vpc, cidr, cluster) = (document.text("vpc"), document.text("cidr"), document.text("cluster"));
    require(&[("vpc", !vpc.is_empty()), ("cidr", !cidr.is_empty()), ("cluster", !cluster.is_empty())])?;
    let failed = "release tkeCidr failed: ";
    for (column, value) in [("vpc", vpc), ("cidr", cidr), ("cluster", cluster)] {
        check_length(failed, column, value)?;
    }
    let released = put_back(database, vpc, cidr, cluster)
        .await
        .map_err(|error| Failure::database(failed, error).with_status(StatusCode::BAD_REQUEST))?;
    if released { Ok(()) } else { Err(Failure::bad_request("no such cidr to be released")) }
}

async fn put_back(database: &Database, vpc: &str, cidr: &str, cluster: &str) -> Result<bool, SqlError> {
    let sql = "SELECT id FROM tke_cidrs WHERE vpc = ? AND cidr = ? AND cluster = ? AND status <> ? ORDER BY id LIMIT 1";
    let rows = database.read(sql, &[vpc.into(), cidr.into(), cluster.into(), AVAILABLE.into()]).await?;
    let Some(row) = rows.first() else { return Ok(false) };
    // The cluster again: released and handed out to another one meanwhile, it is not ours any more.
    let sql =
        "UPDATE tke_cidrs SET status = ?, cluster = '', updated_at = ? WHERE id = ? AND cluster = ? AND status <> ?";
    let params = [AVAILABLE.into(), now().into(), row.uint(0)?.into(), cluster.into(), AVAILABLE.into()];
    Ok(database.write(sql, &params).await?.rows == 1)
}

/// How many CIDRs there are of each VPC, size and status, in that order.
pub(crate) async fn count(database: &Database) -> Result<Vec<Count>, Failure> {
    let sql = "SELECT count(*), vpc, ip_number, status FROM tke_cidrs GROUP BY vpc, ip_number, status \
               ORDER BY vpc, ip_number, status";
    let count =
        |row: &Row| Ok(Count { count: row.uint(0)?, vpc: row.text(1)?, ip_number: row.uint(2)?, status: row.text(3)? });
    let rows = database.read(sql, &[]).await.map_err(Failure::reading("tke cidrs"))?;
    rows.iter().map(count).collect::<Result<_, _>>().map_err(Failure::reading("tke cidrs"))
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;
    use std::collections::BTreeSet;

    use super::*;
    use crate::tests::{database, document};

    async fn pool(database: &Database, cidrs: usize) {
        let items: Vec<String> =
            (0..cidrs).map(|number| format!(r#"{{"cidr":"10.{number}.0.0/24","ip_number":256}}"#)).collect();
        let body = format!(r#"{{"vpc":"v","tke_cidrs":[{}]}}"#, items.join(","));
        add(database, &document(&body)).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_cidr_is_handed_out_twice() {
        let (_dir, database) = database().await;
        pool(&database, 20).await;
        let applied = join_all((0..30).map(|number| {
            let database = database.clone();
            async move {
                let body = format!(r#"{{"vpc":"v","cluster":"c{number}","ip_number":256}}"#);
                apply(&database, &document(&body)).await.ok().map(|applied| applied.cidr)
            }
        }))
        .await;
        let cidrs: Vec<String> = applied.into_iter().flatten().collect();
        assert_eq!((cidrs.len(), cidrs.iter().collect::<BTreeSet<_>>().len()), (20, 20));
    }

    #[tokio::test]
    async fn a_bad_item_leaves_nothing() {
        let (_dir, database) = database().await;
        for (item, status, code) in [
            (r#"{"ip_number":1}"#, 400, 1_405_061),
            (r#"{"cidr":"x"}"#, 400, 1_405_061),
            (r#"{"cidr":"x","ip_number":"1"}"#, 400, 1_405_061),
            (r#""x""#, 400, 1_405_061),
            (r#"{"cidr":"x","ip_number":4294967296}"#, 400, 1_405_062),
        ] {
            let body = format!(r#"{{"vpc":"v","tke_cidrs":[{{"cidr":"a","ip_number":1}},{item}]}}"#);
            let failure = add(&database, &document(&body)).await.unwrap_err();
            assert_eq!((failure.status.as_u16(), failure.code.value), (status, code), "{item}");
        }
        assert_eq!(count(&database).await.unwrap(), []);
    }

    #[tokio::test]
    async fn reserved_ones_are_released_too() {
        let (_dir, database) = database().await;
        pool(&database, 1).await;
        database.write("UPDATE tke_cidrs SET status = 'reserved', cluster = 'c'", &[]).await.unwrap();
        let body = document(r#"{"vpc":"v","cidr":"10.0.0.0/24","cluster":"c"}"#);
        release(&database, &body).await.unwrap();
        let failure = release(&database, &body).await.unwrap_err();
        assert_eq!(failure.message, "errcode: 1405061, no such cidr to be released");
        let counts = count(&database).await.unwrap();
        assert_eq!(counts, [Count { count: 1, vpc: "v".into(), ip_number: 256, status: "available".into() }]);
    }
}
