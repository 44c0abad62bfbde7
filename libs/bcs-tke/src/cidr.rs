//! The pool of CIDRs, in a table that the services share when they share a database.

use bcs_sql::schema::{Column, Kind, Table};
use bcs_sql::{Database, Row, SqlError, fits, now};
use serde::Serialize;
use thiserror::Error;

/// Characters of the text columns.
const TEXT_COLUMN: usize = 255;
/// The status of a CIDR that can be handed out.
const AVAILABLE: &str = "available";
/// The status of one that was.
const USED: &str = "used";

/// The table.
pub const TABLE: Table = Table {
    name: "tke_cidrs",
    columns: &[
        Column::new("id", Kind::Id).not_null(),
        Column::new("vpc", Kind::Text(255)).not_null().without_case().indexed_in_sqlite(),
        Column::new("cidr", Kind::Text(255)).not_null().without_case(),
        Column::new("ip_number", Kind::Uint).not_null(),
        Column::new("status", Kind::Text(255)).not_null(),
        Column::new("cluster", Kind::Text(255)).without_case(),
        Column::new("created_at", Kind::Time),
        Column::new("updated_at", Kind::Time),
    ],
};

/// Why the pool did not change.
#[derive(Debug, Error)]
pub enum CidrError {
    /// A text is longer than its column.
    #[error("Data too long for column '{0}'")]
    TooLong(&'static str),
    /// A number of addresses is larger than its column can hold.
    #[error("Out of range value for column 'ip_number'")]
    OutOfRange,
    /// The database failed.
    #[error(transparent)]
    Sql(#[from] SqlError),
}

/// A CIDR to add.
#[derive(Clone, Copy, Debug)]
pub struct NewCidr<'a> {
    /// Such as `10.0.0.0/24`; not checked.
    pub cidr: &'a str,
    /// How many addresses it has.
    pub ip_number: u64,
    /// `available`, `used` or `reserved`, not checked; empty: `available`.
    pub status: &'a str,
}

/// A CIDR that was handed out, as it is answered.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Applied {
    /// Its VPC.
    pub vpc: String,
    /// Itself.
    pub cidr: String,
    /// How many addresses it has.
    pub ip_number: u32,
    /// `used`.
    pub status: &'static str,
}

/// How many CIDRs are alike, as it is answered.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Count {
    /// So many.
    pub count: u32,
    /// Their VPC.
    pub vpc: String,
    /// How many addresses each has.
    pub ip_number: u32,
    /// Their status.
    pub status: String,
}

fn check_lengths(texts: &[(&'static str, &str)]) -> Result<(), CidrError> {
    match texts.iter().find(|(_, text)| !fits(text, TEXT_COLUMN)) {
        Some((column, _)) => Err(CidrError::TooLong(column)),
        None => Ok(()),
    }
}

fn check_number(number: u64) -> Result<u32, CidrError> {
    u32::try_from(number).map_err(|_| CidrError::OutOfRange)
}

/// Adds CIDRs to the pool; those it holds already are skipped. All or none.
///
/// # Errors
/// [`CidrError`].
pub async fn add(database: &Database, vpc: &str, cidrs: &[NewCidr<'_>]) -> Result<(), CidrError> {
    for new in cidrs {
        check_lengths(&[("vpc", vpc), ("cidr", new.cidr), ("status", new.status)])?;
        check_number(new.ip_number)?;
    }
    let mut transaction = database.begin().await?;
    let now = now();
    for NewCidr { cidr, ip_number, status } in cidrs.iter().copied() {
        let ip_number = check_number(ip_number)?;
        let sql = "SELECT id FROM tke_cidrs WHERE vpc = ? AND cidr = ? AND ip_number = ? LIMIT 1";
        if !transaction.read(sql, &[vpc.into(), cidr.into(), ip_number.into()]).await?.is_empty() {
            tracing::info!("tke cidr {cidr} of vpc {vpc} exists already");
            continue;
        }
        let status = if status.is_empty() { AVAILABLE } else { status };
        let sql = "INSERT INTO tke_cidrs (vpc, cidr, ip_number, status, cluster, created_at, updated_at) \
                   VALUES (?, ?, ?, ?, '', ?, ?)";
        let params = [vpc.into(), cidr.into(), ip_number.into(), status.into(), now.into(), now.into()];
        transaction.write(sql, &params).await?;
    }
    Ok(transaction.commit().await?)
}

/// Hands out the first available CIDR of a size, never one twice: also if another instance asks at the same time. None:
/// there is none any more, as there never is one of a VPC or size that no row can hold.
///
/// # Errors
/// [`CidrError`].
pub async fn apply(
    database: &Database,
    vpc: &str,
    cluster: &str,
    ip_number: u64,
) -> Result<Option<Applied>, CidrError> {
    let Ok(ip_number) = check_number(ip_number) else { return Ok(None) };
    loop {
        let sql = "SELECT id, vpc, cidr FROM tke_cidrs WHERE vpc = ? AND ip_number = ? AND status = ? \
                   ORDER BY id LIMIT 1";
        let rows = database.read(sql, &[vpc.into(), ip_number.into(), AVAILABLE.into()]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        check_lengths(&[("cluster", cluster)])?;
        let sql = "UPDATE tke_cidrs SET status = ?, cluster = ?, updated_at = ? WHERE id = ? AND status = ?";
        let params = [USED.into(), cluster.into(), now().into(), row.uint(0)?.into(), AVAILABLE.into()];
        // No row: somebody was faster, and got on with that. Look for the next one.
        if database.write(sql, &params).await?.rows == 1 {
            return Ok(Some(Applied { vpc: row.text(1)?, cidr: row.text(2)?, ip_number, status: USED }));
        }
    }
}

/// Takes a CIDR back from a cluster. False: the cluster has no such one.
///
/// # Errors
/// [`CidrError`].
pub async fn release(database: &Database, vpc: &str, cidr: &str, cluster: &str) -> Result<bool, CidrError> {
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
///
/// # Errors
/// The database failed.
pub async fn count(database: &Database) -> Result<Vec<Count>, SqlError> {
    let sql = "SELECT count(*), vpc, ip_number, status FROM tke_cidrs GROUP BY vpc, ip_number, status \
               ORDER BY vpc, ip_number, status";
    let count =
        |row: &Row| Ok(Count { count: row.uint(0)?, vpc: row.text(1)?, ip_number: row.uint(2)?, status: row.text(3)? });
    database.read(sql, &[]).await?.iter().map(count).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use bcs_sql::Dsn;
    use bcs_sql::schema::make_tables;
    use futures::future::join_all;

    use super::*;

    async fn database() -> (tempfile::TempDir, Database) {
        let dir = tempfile::tempdir().unwrap();
        let database = Database::new(Dsn::Sqlite(dir.path().join("test.db"))).unwrap();
        make_tables(&database, &[TABLE]).await.unwrap();
        (dir, database)
    }

    fn new(cidr: &str) -> NewCidr<'_> {
        NewCidr { cidr, ip_number: 256, status: "" }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_cidr_is_handed_out_twice() {
        let (_dir, database) = database().await;
        let texts: Vec<String> = (0..20).map(|number| format!("10.{number}.0.0/24")).collect();
        let cidrs: Vec<NewCidr<'_>> = texts.iter().map(|cidr| new(cidr)).collect();
        add(&database, "v", &cidrs).await.unwrap();
        let applied =
            join_all(
                (0..30).map(|number| {
                    let database = database.clone();
                    async move {
                        apply(&database, "v", &format!("c{number}"), 256).await.unwrap().map(|applied| applied.cidr)
                    }
                }),
            )
            .await;
        let cidrs: Vec<String> = applied.into_iter().flatten().collect();
        assert_eq!((cidrs.len(), cidrs.iter().collect::<BTreeSet<_>>().len()), (20, 20));
    }

    #[tokio::test]
    async fn the_first_of_exactly_that_size() {
        let (_dir, database) = database().await;
        let large = NewCidr { cidr: "c", ip_number: 512, status: "" };
        let reserved = NewCidr { cidr: "a", ip_number: 256, status: "reserved" };
        add(&database, "v", &[large, reserved, new("b"), new("a"), new("b")]).await.unwrap();
        let applied = apply(&database, "v", "x", 256).await.unwrap().unwrap();
        assert_eq!(applied, Applied { vpc: "v".into(), cidr: "b".into(), ip_number: 256, status: "used" });
        assert_eq!(apply(&database, "v", "x", 256).await.unwrap(), None);
        assert_eq!(apply(&database, "w", "x", 512).await.unwrap(), None);
    }

    #[tokio::test]
    async fn values_that_do_not_fit_leave_nothing() {
        let (_dir, database) = database().await;
        let long = "x".repeat(256);
        let many = NewCidr { cidr: "b", ip_number: 1 << 32, status: "" };
        for (bad, want) in [
            (new(&long), "Data too long for column 'cidr'"),
            (NewCidr { status: &long, ..new("b") }, "Data too long for column 'status'"),
            (many, "Out of range value for column 'ip_number'"),
        ] {
            assert_eq!(add(&database, "v", &[new("a"), bad]).await.unwrap_err().to_string(), want);
        }
        assert_eq!(count(&database).await.unwrap(), []);
    }

    #[tokio::test]
    async fn what_no_row_can_hold_is_not_there() {
        let (_dir, database) = database().await;
        add(&database, "v", &[new("a")]).await.unwrap();
        let long = "x".repeat(256);
        assert_eq!(apply(&database, &long, "c", 256).await.unwrap(), None);
        assert_eq!(apply(&database, "v", "c", 1 << 32).await.unwrap(), None);
        assert!(!release(&database, &long, &long, &long).await.unwrap());
        // Only with a CIDR for it the cluster is looked at.
        assert_eq!(apply(&database, "v", &long, 1).await.unwrap(), None);
        assert!(matches!(apply(&database, "v", &long, 256).await, Err(CidrError::TooLong("cluster"))));
        assert!(apply(&database, "v", "c", 256).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn reserved_ones_are_released_too() {
        let (_dir, database) = database().await;
        add(&database, "v", &[new("10.0.0.0/24")]).await.unwrap();
        database.write("UPDATE tke_cidrs SET status = 'reserved', cluster = 'c'", &[]).await.unwrap();
        assert!(!release(&database, "v", "10.0.0.0/24", "other").await.unwrap());
        assert!(release(&database, "v", "10.0.0.0/24", "c").await.unwrap());
        assert!(!release(&database, "v", "10.0.0.0/24", "c").await.unwrap());
        let counts = count(&database).await.unwrap();
        assert_eq!(counts, [Count { count: 1, vpc: "v".into(), ip_number: 256, status: "available".into() }]);
    }
}
