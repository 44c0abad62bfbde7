//! The embedded database through the public interface.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests: a panic is a failed test")]

use std::os::unix::fs::PermissionsExt;

use bcs_sql::schema::{Column, Kind, Table, make_tables};
use bcs_sql::{Database, Dsn, SqlError};
use chrono::{DateTime, Utc};
use futures::future::join_all;
use tempfile::TempDir;

const ITEMS: Table = Table {
    name: "items",
    columns: &[
        Column::new("id", Kind::Id).not_null(),
        Column::new("name", Kind::Text(255)).not_null().unique(),
        Column::new("count", Kind::Uint),
        Column::new("made", Kind::Time),
    ],
};

const INSERT: &str = "INSERT INTO items (name, count, made) VALUES (?, ?, ?)";

async fn database() -> (TempDir, Database) {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::new(Dsn::Sqlite(dir.path().join("data/items.db"))).unwrap();
    make_tables(&database, &[ITEMS]).await.unwrap();
    (dir, database)
}

fn noon() -> DateTime<Utc> {
    "2026-02-03T12:00:00.75Z".parse().unwrap()
}

async fn count(database: &Database) -> u32 {
    database.read("SELECT count(*) FROM items", &[]).await.unwrap()[0].uint(0).unwrap()
}

#[tokio::test]
async fn values_come_back() {
    let (_dir, database) = database().await;
    let written = database.write(INSERT, &["Ünï 'x'".into(), u32::MAX.into(), noon().into()]).await.unwrap();
    assert_eq!((written.rows, written.id), (1, 1));
    database.write("INSERT INTO items (name) VALUES (?)", &["empty".into()]).await.unwrap();
    let rows = database.read("SELECT name, count, made FROM items ORDER BY id", &[]).await.unwrap();
    assert_eq!(rows[0].text(0).unwrap(), "Ünï 'x'");
    assert_eq!(rows[0].uint(1).unwrap(), u32::MAX);
    assert_eq!(rows[0].time(2).unwrap().unwrap().to_rfc3339(), "2026-02-03T12:00:00+00:00");
    assert_eq!((rows[1].uint(1).unwrap(), rows[1].time(2).unwrap()), (0, None));
    assert!(matches!(rows[0].text(9), Err(SqlError::Column { column: 9, .. })));
    assert!(matches!(rows[0].uint(0), Ok(0) | Err(SqlError::Column { column: 0, .. })));
}

#[tokio::test]
async fn a_duplicate_names_the_key_and_not_the_value() {
    let (_dir, database) = database().await;
    let insert = ["secret".into(), 1.into(), noon().into()];
    database.write(INSERT, &insert).await.unwrap();
    let error = database.write(INSERT, &insert).await.unwrap_err();
    assert!(error.is_duplicate());
    assert_eq!(error.to_string(), "Duplicate entry for key 'items.name'");
    let error = database.read("SELECT x FROM nowhere", &[]).await.unwrap_err();
    assert!(matches!(error, SqlError::Refused { code: 0, .. }), "{error:?}");
}

#[tokio::test]
async fn a_transaction_is_undone_unless_it_is_committed() {
    let (_dir, database) = database().await;
    for (name, end) in [("dropped", 0), ("rolled back", 1), ("committed", 2)] {
        let mut transaction = database.begin().await.unwrap();
        transaction.write(INSERT, &[name.into(), 1.into(), noon().into()]).await.unwrap();
        assert_eq!(transaction.read("SELECT id FROM items", &[]).await.unwrap().len(), 1);
        match end {
            0 => drop(transaction),
            1 => transaction.roll_back().await,
            _ => transaction.commit().await.unwrap(),
        }
    }
    assert_eq!(count(&database).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_at_once_all_succeed() {
    let (_dir, database) = database().await;
    let writers = (0..50_u32).map(|number| {
        let database = database.clone();
        async move {
            let name = format!("item {number}");
            let mut transaction = database.begin().await.unwrap();
            transaction.write(INSERT, &[(&name).into(), number.into(), noon().into()]).await.unwrap();
            transaction.commit().await.unwrap();
            database.read("SELECT id FROM items WHERE name = ?", &[(&name).into()]).await.unwrap().len()
        }
    });
    assert_eq!(join_all(writers).await, [1; 50]);
    assert_eq!(count(&database).await, 50);
}

#[tokio::test]
async fn only_the_owner_can_read_the_file() {
    let (dir, _database) = database().await;
    let mode = |path: &str| std::fs::metadata(dir.path().join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("data"), mode("data/items.db"), mode("data/items.db-wal")), (0o700, 0o600, 0o600));
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_an_error_without_the_path() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "").unwrap();
    let error = Database::new(Dsn::Sqlite(dir.path().join("file/x.db"))).err().unwrap();
    assert_eq!(error.to_string(), "cannot connect to the database");
}
