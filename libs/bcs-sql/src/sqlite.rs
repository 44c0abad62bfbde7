//! The embedded SQLite. Its calls do not wait for anything but the disk: a look at a few rows runs where it is asked for,
//! what may take longer runs where it stops no other task.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::types::{ToSql, ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, ErrorCode, params_from_iter};
use tokio::runtime::{Handle, RuntimeFlavor};

use crate::connection::Written;
use crate::error::SqlError;
use crate::row::{Param, to_sqlite_time};

/// How long SQLite waits for another process that writes.
const BUSY: Duration = Duration::from_secs(10);
/// Pause of a connection that has to wait for another one to have made the file.
const TRY_AGAIN: Duration = Duration::from_millis(2);
/// Statements that stay prepared on a connection.
const PREPARED: usize = 64;

/// Opens the file, or makes it.
pub(crate) fn open(file: &Path) -> Result<Connection, SqlError> {
    let open = || -> rusqlite::Result<Connection> {
        let connection = Connection::open(file)?;
        connection.busy_timeout(BUSY)?;
        use_write_ahead_log(&connection)?;
        // What is acknowledged is on the disk.
        connection.pragma_update(None, "synchronous", "full")?;
        connection.set_prepared_statement_cache_capacity(PREPARED);
        Ok(connection)
    };
    apart(open).map_err(|error| SqlError::of_opening(&file.display().to_string(), &error))
}

/// While another connection does the same with a new file, SQLite says at once that it is busy: this is no wait that its
/// own time limit is for.
fn use_write_ahead_log(connection: &Connection) -> rusqlite::Result<()> {
    let end = Instant::now() + BUSY;
    loop {
        match connection.pragma_update(None, "journal_mode", "wal") {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && Instant::now() < end => {
                std::thread::sleep(TRY_AGAIN);
            }
            result => return result,
        }
    }
}

/// The rows of a query.
pub(crate) fn read(connection: &Connection, sql: &str, params: &[Param<'_>]) -> Result<Vec<Vec<Value>>, SqlError> {
    let read = || -> rusqlite::Result<Vec<Vec<Value>>> {
        let mut statement = connection.prepare_cached(sql)?;
        let columns = statement.column_count();
        let rows = statement
            .query_map(params_from_iter(params), |row| (0..columns).map(|column| row.get(column)).collect())?;
        rows.collect()
    };
    // Without values it reads a whole table.
    let result = if params.is_empty() { apart(read) } else { read() };
    result.map_err(|error| SqlError::of_sqlite(&error))
}

/// Changes rows.
pub(crate) fn write(connection: &Connection, sql: &str, params: &[Param<'_>]) -> Result<Written, SqlError> {
    let write = || -> rusqlite::Result<Written> {
        let rows = connection.prepare_cached(sql)?.execute(params_from_iter(params))?;
        let rows = u64::try_from(rows).unwrap_or(u64::MAX);
        Ok(Written { rows, id: u64::try_from(connection.last_insert_rowid()).unwrap_or_default() })
    };
    apart(write).map_err(|error| SqlError::of_sqlite(&error))
}

/// Statements without values.
pub(crate) fn run(connection: &Connection, sql: &str) -> Result<(), SqlError> {
    apart(|| connection.execute_batch(sql)).map_err(|error| SqlError::of_sqlite(&error))
}

/// Runs something that waits for the disk. The other tasks of this thread go on on another one, if the runtime has
/// several.
fn apart<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

impl ToSql for Param<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            Self::Uint(number) => ToSqlOutput::Owned(Value::Integer(i64::from(*number))),
            Self::Time(time) => ToSqlOutput::Owned(Value::Text(to_sqlite_time(*time))),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn several_connections_may_make_the_file_at_once() {
        let dir = tempfile::tempdir().unwrap();
        for number in 0..20 {
            let file = dir.path().join(format!("{number}.db"));
            let barrier = Barrier::new(4);
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        barrier.wait();
                        open(&file).unwrap();
                    });
                }
            });
        }
    }
}
