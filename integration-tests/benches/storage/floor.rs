//! What the disk and SQLite allow: a loop with nothing around it.

use std::time::Instant;

use bcs_integration_tests::workdir::WorkDir;
use rusqlite::Connection;

const COMMITS: usize = 400;

/// Upserts a second of `body`, `batch` in a transaction, each commit on disk.
pub fn puts_per_second(body: &str, batch: usize) -> f64 {
    let directory = WorkDir::new("floor");
    let connection = Connection::open(directory.path().join("floor.db")).unwrap();
    connection.pragma_update(None, "journal_mode", "wal").unwrap();
    connection.pragma_update(None, "synchronous", "full").unwrap();
    connection.execute_batch("CREATE TABLE documents (name TEXT PRIMARY KEY, body TEXT)").unwrap();
    let upsert = "INSERT INTO documents VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET body = excluded.body";
    let started = Instant::now();
    for commit in 0..COMMITS {
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        for client in 0..batch {
            let name = format!("BCS-K8S-00000/default/Pod/pod-{client}-{}", commit % 50);
            connection.prepare_cached(upsert).unwrap().execute((name, body)).unwrap();
        }
        connection.execute_batch("COMMIT").unwrap();
    }
    (COMMITS * batch) as f64 / started.elapsed().as_secs_f64()
}
