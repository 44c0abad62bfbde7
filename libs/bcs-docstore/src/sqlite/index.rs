//! Unique indexes over any paths of a collection, kept in tables of their own.
//!
//! Indexes that only speed reads up are recorded but have no effect here: the layout decides what is fast.

use bson::{Bson, Document};
use rusqlite::{Connection, OptionalExtension as _};

use crate::{Error, Index, Order, Path, Result};

pub(super) const SCHEMA: &str = "\
CREATE TABLE IF NOT EXISTS indexes (
    id INTEGER PRIMARY KEY, database TEXT NOT NULL, collection TEXT NOT NULL, name TEXT NOT NULL,
    keys TEXT NOT NULL, is_unique INTEGER NOT NULL, UNIQUE (database, collection, name));
CREATE TABLE IF NOT EXISTS unique_keys (
    index_id INTEGER NOT NULL, key BLOB NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (index_id, key)) WITHOUT ROWID;";

/// An index with its number in the file.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) id: i64,
    pub(super) index: Index,
}

impl Stored {
    /// True if a change of the top-level `field` may change the key.
    pub(super) fn covers(&self, field: &str) -> bool {
        self.index.keys.iter().any(|(path, _)| path.split('.').next() == Some(field))
    }

    /// What may stand in the index once.
    pub(super) fn key(&self, document: &Document) -> Result<Vec<u8>> {
        let values: Document = self
            .index
            .keys
            .iter()
            .enumerate()
            .map(|(place, (path, _))| (place.to_string(), comparable(value_at(document, &Path::dotted(path)))))
            .collect();
        bson::serialize_to_vec(&values).map_err(|error| Error::Database(Box::new(error)))
    }
}

fn value_at(document: &Document, path: &Path) -> Bson {
    let mut keys = path.keys().iter();
    let mut value = keys.next().and_then(|key| document.get(key));
    for key in keys {
        value = value.and_then(Bson::as_document).and_then(|document| document.get(key));
    }
    value.cloned().unwrap_or(Bson::Null)
}

/// Numbers that are equal get equal bytes.
fn comparable(value: Bson) -> Bson {
    match value {
        Bson::Int32(value) => Bson::Int64(i64::from(value)),
        #[allow(clippy::cast_possible_truncation, reason = "checked to be whole and in range")]
        Bson::Double(value) if value.fract() == 0.0 && value.abs() < 9e15 => Bson::Int64(value as i64),
        value => value,
    }
}

/// The indexes of a collection in the order they were made.
pub(super) fn load(connection: &Connection, database: &str, collection: &str) -> Result<Vec<Stored>> {
    let mut statement = connection.prepare_cached(
        "SELECT id, name, keys, is_unique FROM indexes WHERE database = ? AND collection = ? ORDER BY id",
    )?;
    let rows = statement.query_map((database, collection), |row| {
        let keys: String = row.get(2)?;
        Ok(Stored { id: row.get(0)?, index: Index { name: row.get(1)?, keys: read_keys(&keys), unique: row.get(3)? } })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Records an index. Filling it is the caller's.
pub(super) fn create(connection: &Connection, database: &str, collection: &str, index: &Index) -> Result<Stored> {
    connection.execute(
        "INSERT INTO indexes (database, collection, name, keys, is_unique) VALUES (?, ?, ?, ?, ?)",
        (database, collection, &index.name, write_keys(&index.keys), index.unique),
    )?;
    Ok(Stored { id: connection.last_insert_rowid(), index: index.clone() })
}

/// Forgets an index and its keys.
pub(super) fn remove(connection: &Connection, id: i64) -> Result<()> {
    connection.execute("DELETE FROM unique_keys WHERE index_id = ?", [id])?;
    connection.execute("DELETE FROM indexes WHERE id = ?", [id])?;
    Ok(())
}

/// Whose the key is, if it is taken.
pub(super) fn holder(connection: &Connection, id: i64, key: &[u8]) -> Result<Option<i64>> {
    let mut statement = connection.prepare_cached("SELECT seq FROM unique_keys WHERE index_id = ? AND key = ?")?;
    Ok(statement.query_row((id, key), |row| row.get(0)).optional()?)
}

/// Takes a key for a document.
pub(super) fn take(connection: &Connection, id: i64, key: &[u8], seq: i64) -> Result<()> {
    connection
        .prepare_cached("INSERT INTO unique_keys (index_id, key, seq) VALUES (?, ?, ?)")?
        .execute((id, key, seq))?;
    Ok(())
}

/// Gives a key back.
pub(super) fn release(connection: &Connection, id: i64, key: &[u8]) -> Result<()> {
    connection.prepare_cached("DELETE FROM unique_keys WHERE index_id = ? AND key = ?")?.execute((id, key))?;
    Ok(())
}

/// Keys are kept as JSON: `[["clusterId",1],["name",-1]]`.
fn write_keys(keys: &[(String, Order)]) -> String {
    let pairs: Vec<(&str, i32)> =
        keys.iter().map(|(path, order)| (path.as_str(), if *order == Order::Ascending { 1 } else { -1 })).collect();
    serde_json::to_string(&pairs).unwrap_or_default()
}

fn read_keys(text: &str) -> Vec<(String, Order)> {
    let pairs: Vec<(String, i32)> = serde_json::from_str(text).unwrap_or_default();
    pairs
        .into_iter()
        .map(|(path, order)| (path, if order < 0 { Order::Descending } else { Order::Ascending }))
        .collect()
}
