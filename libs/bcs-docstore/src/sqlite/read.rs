//! Reads: a pool of connections, and the walk over the rows of a filter.

use std::collections::VecDeque;
use std::fmt;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::available_parallelism;

use bson::{Bson, Document};
use parking_lot::Mutex;
use rusqlite::Connection;
use rusqlite::types::Value;
use tokio::sync::oneshot;

use super::file;
use super::narrow::Narrow;
use super::row::{self, Row, Shape};
use super::table::{Column, Table};
use crate::matcher::matches;
use crate::{Encode, Error, Fields, Filter, Find, JsonDocuments, Order, Path, Render, Result};

/// What a connection for reading keeps of the file, in KiB: the inner pages of all indexes and a page of a list. More would
/// be a second copy of what the system keeps anyway.
const CACHE: i64 = 512;

/// Connections for reading.
#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    /// Connections that are kept open; more readers at once open more for the moment.
    kept: usize,
    long: Mutex<LongReads>,
    /// How many long reads run at once: each keeps a core busy, more would only wait for each other.
    limit: usize,
}

/// Reads that may take long.
#[derive(Default)]
struct LongReads {
    waiting: VecDeque<LongRead>,
    /// Threads that work them off.
    threads: usize,
}

type LongRead = Box<dyn FnOnce(&Readers) + Send>;

impl fmt::Debug for LongReads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} waiting, {} threads", self.waiting.len(), self.threads)
    }
}

impl Readers {
    pub(super) fn new(path: PathBuf) -> Self {
        let cores = available_parallelism().map_or(1, NonZero::get);
        let limit = cores.max(2);
        // Beside the long reads every core may do a short one.
        Self { path, idle: Mutex::default(), kept: limit + cores, long: Mutex::default(), limit }
    }

    /// Runs `read` on a thread where it stops nobody, when it is its turn.
    ///
    /// A thread that is done takes the next read that waits, so that under load there are as many as may read, and none
    /// has to be woken.
    pub(super) async fn long<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        let read: LongRead = Box::new(move |readers| {
            // Whoever asked may have gone while it waited.
            if !reply.is_closed() {
                let _ = reply.send(readers.with(read));
            }
        });
        let needs_thread = {
            let mut long = self.long.lock();
            long.waiting.push_back(read);
            let needs_thread = long.threads < self.limit;
            long.threads += usize::from(needs_thread);
            needs_thread
        };
        if needs_thread {
            let readers = Arc::clone(self);
            tokio::task::spawn_blocking(move || readers.work_off());
        }
        answer.await.map_err(|error| Error::Unavailable(Box::new(error)))?
    }

    /// Carries out long reads until none waits.
    fn work_off(&self) {
        while let Some(read) = self.next_long() {
            // A panic is this read's alone: who asked for it gets no answer, which is an error.
            let _ = catch_unwind(AssertUnwindSafe(|| read(self)));
        }
    }

    /// The read whose turn it is. If there is none, the thread no longer counts.
    fn next_long(&self) -> Option<LongRead> {
        let mut long = self.long.lock();
        let next = long.waiting.pop_front();
        long.threads -= usize::from(next.is_none());
        next
    }

    /// Runs `read` on a connection of its own.
    pub(super) fn with<T>(&self, read: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let idle = self.idle.lock().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let result = read(&connection);
        let mut idle = self.idle.lock();
        if idle.len() < self.kept {
            idle.push(connection);
        }
        result
    }

    fn connect(&self) -> Result<Connection> {
        let connection = file::connect(&self.path)?;
        connection.pragma_update(None, "cache_size", -CACHE)?;
        Ok(connection)
    }
}

/// A SELECT over the rows of a filter, narrowed as far as SQL can.
struct Query {
    sql: String,
    parameters: Vec<Value>,
    /// Matches to pass over and to take that SQL does not count.
    skip: u64,
    limit: u64,
    exact: bool,
}

impl Query {
    fn new(table: &Table, collection: &str, find: &Find, columns: &str) -> Self {
        let narrow = Narrow::of(table, &find.filter);
        let mut sql = format!("SELECT {columns} FROM {} WHERE _collection = ?{}", table.name(), narrow.sql);
        let mut parameters = vec![Value::Text(collection.to_owned())];
        parameters.extend(narrow.parameters);
        sql.push_str(" ORDER BY ");
        if let Some(sort) = &find.sort
            && table.column(&sort.field).is_some_and(|column| column != Column::Data)
        {
            sql.push_str(&table.column_name(&sort.field));
            sql.push_str(if sort.order == Order::Descending { " DESC, " } else { ", " });
        }
        sql.push_str("_seq");
        let (mut skip, mut limit) = (find.skip, find.limit.unwrap_or(u64::MAX));
        if narrow.exact && (skip > 0 || find.limit.is_some()) {
            sql.push_str(" LIMIT ? OFFSET ?");
            parameters.push(Value::Integer(i64::try_from(limit).unwrap_or(i64::MAX)));
            parameters.push(Value::Integer(i64::try_from(skip).unwrap_or(i64::MAX)));
            (skip, limit) = (0, u64::MAX);
        }
        Self { sql, parameters, skip, limit, exact: narrow.exact }
    }

    /// Calls `visit` with each row that the filter means, until the limit.
    fn rows(
        self,
        connection: &Connection,
        table: &Table,
        filter: &Filter,
        mut visit: impl FnMut(&rusqlite::Row<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut statement = connection.prepare_cached(&self.sql)?;
        let mut rows = statement.query(rusqlite::params_from_iter(self.parameters))?;
        let (mut skip, mut limit) = (self.skip, self.limit);
        while limit > 0
            && let Some(row) = rows.next()?
        {
            if !self.exact && !matches(filter, &row::read_document(table, row, &Shape::Whole)?) {
                continue;
            }
            if skip > 0 {
                skip -= 1;
                continue;
            }
            limit -= 1;
            visit(row)?;
        }
        Ok(())
    }
}

/// Rows as JSON text.
pub(super) fn find_json(
    connection: &Connection,
    table: &Table,
    collection: &str,
    find: &Find,
    render: Render,
) -> Result<JsonDocuments> {
    let shape = Shape::of(&find.projection);
    let exact = Narrow::of(table, &find.filter).exact;
    let columns = if exact && !shape.needs_data() { &table.columns_without_data } else { &table.columns };
    let mut documents = JsonDocuments::default();
    Query::new(table, collection, find, columns).rows(connection, table, &find.filter, |row| {
        if documents.count > 0 {
            documents.text.push(b',');
        }
        documents.count += 1;
        row::write_json(table, row, &shape, render, &mut documents.text)
    })?;
    Ok(documents)
}

/// Rows in a form of the caller's.
pub(super) fn find_encoded(
    connection: &Connection,
    table: &Table,
    collection: &str,
    find: &Find,
    encode: Encode,
) -> Result<Vec<u8>> {
    let shape = Shape::of(&find.projection);
    let mut out = Vec::new();
    Query::new(table, collection, find, &table.columns)
        .rows(connection, table, &find.filter, |row| row::encode(table, row, &shape, encode, &mut out))?;
    Ok(out)
}

/// Rows as documents.
pub(super) fn find(connection: &Connection, table: &Table, collection: &str, find: &Find) -> Result<Vec<Document>> {
    find_as(connection, table, collection, find, row::read_document)
}

/// Rows as fields.
pub(super) fn find_fields(
    connection: &Connection,
    table: &Table,
    collection: &str,
    find: &Find,
) -> Result<Vec<Fields>> {
    find_as(connection, table, collection, find, row::read_fields)
}

fn find_as<T>(
    connection: &Connection,
    table: &Table,
    collection: &str,
    find: &Find,
    read: impl Fn(&Table, &rusqlite::Row<'_>, &Shape<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    let shape = Shape::of(&find.projection);
    let mut found = Vec::new();
    Query::new(table, collection, find, &table.columns).rows(connection, table, &find.filter, |row| {
        found.push(read(table, row, &shape)?);
        Ok(())
    })?;
    Ok(found)
}

/// Numbers and columns of the rows of a filter, for writing over them.
pub(super) fn find_rows(
    connection: &Connection,
    table: &Table,
    collection: &str,
    filter: &Filter,
) -> Result<Vec<(i64, Row)>> {
    let mut found = Vec::new();
    let find = Find::all(filter.clone());
    Query::new(table, collection, &find, &table.columns).rows(connection, table, filter, |row| {
        found.push((row.get(0)?, Row::read(table, row)?));
        Ok(())
    })?;
    Ok(found)
}

/// How many rows the filter means.
pub(super) fn count(connection: &Connection, table: &Table, collection: &str, filter: &Filter) -> Result<u64> {
    let narrow = Narrow::of(table, filter);
    if !narrow.exact {
        let mut count = 0;
        Query::new(table, collection, &Find::all(filter.clone()), &table.columns).rows(
            connection,
            table,
            filter,
            |_| {
                count += 1;
                Ok(())
            },
        )?;
        return Ok(count);
    }
    let sql = format!("SELECT COUNT(*) FROM {} WHERE _collection = ?{}", table.name(), narrow.sql);
    let parameters = std::iter::once(Value::Text(collection.to_owned())).chain(narrow.parameters);
    let mut statement = connection.prepare_cached(&sql)?;
    let count: i64 = statement.query_row(rusqlite::params_from_iter(parameters), |row| row.get(0))?;
    Ok(u64::try_from(count).unwrap_or(0))
}

/// The different values at a path, in no order.
pub(super) fn distinct(
    connection: &Connection,
    table: &Table,
    collection: &str,
    path: &Path,
    filter: &Filter,
) -> Result<Vec<Bson>> {
    let narrow = Narrow::of(table, filter);
    if let Some(field) = path.top_level()
        && narrow.exact
        && table.column(field) == Some(Column::Key)
    {
        let column = table.column_name(field);
        let sql = format!(
            "SELECT DISTINCT {column} FROM {} WHERE _collection = ?{} AND {column} IS NOT NULL",
            table.name(),
            narrow.sql
        );
        let parameters = std::iter::once(Value::Text(collection.to_owned())).chain(narrow.parameters);
        let mut statement = connection.prepare_cached(&sql)?;
        let values = statement.query_map(rusqlite::params_from_iter(parameters), |row| row.get(0).map(Bson::String))?;
        return Ok(values.collect::<rusqlite::Result<_>>()?);
    }
    let mut values = Vec::new();
    let all = Find::all(filter.clone());
    Query::new(table, collection, &all, &table.columns).rows(connection, table, filter, |row| {
        collect_values(&Bson::Document(row::read_document(table, row, &Shape::Whole)?), path.keys(), &mut values);
        Ok(())
    })?;
    Ok(values)
}

fn collect_values(value: &Bson, keys: &[String], values: &mut Vec<Bson>) {
    match (value, keys.split_first()) {
        (Bson::Array(elements), _) => elements.iter().for_each(|element| collect_values(element, keys, values)),
        (Bson::Document(document), Some((key, rest))) => {
            if let Some(value) = document.get(key) {
                collect_values(value, rest, values);
            }
        }
        (value, None) if !values.contains(value) => values.push(value.clone()),
        _ => {}
    }
}

/// Names of the collections that hold documents or have indexes.
pub(super) fn collections(connection: &Connection, table: &Table) -> Result<Vec<String>> {
    let sql = format!(
        "SELECT DISTINCT _collection FROM {} UNION SELECT collection FROM indexes WHERE database = ?",
        table.name()
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let names = statement.query_map([table.layout.name], |row| row.get(0))?;
    names.collect::<rusqlite::Result<_>>().map_err(Error::from)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn every_long_read_has_its_turn_whatever_became_of_those_before() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("reads.db");
        file::make(&path, "CREATE TABLE numbers (number);").unwrap();
        let readers = Arc::new(Readers::new(path));
        let many = 4 * readers.limit;
        for _ in 0..many {
            let broken = readers.long::<()>(|_| panic!("on purpose")).await;
            assert!(matches!(broken, Err(Error::Unavailable(_))));
        }
        for _ in 0..many {
            // Asked for, and no longer waited for.
            let _ = readers.long(|_| Ok(())).now_or_never();
        }
        let reads = (0..many).map(|number| readers.long(move |_| Ok(number)));
        let numbers = futures::future::try_join_all(reads).await.unwrap();
        assert_eq!(numbers, Vec::from_iter(0..many));
        while readers.long.lock().threads > 0 {
            tokio::task::yield_now().await;
        }
    }
}
