//! Statements and transactions on either database.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::connection::{Connector, Written};
use crate::dsn::Dsn;
use crate::error::{ConnectError, SqlError};
use crate::pool::{Lease, Pool};
use crate::row::{Param, Row};
use crate::time::Time;
use crate::zone::Zone;

/// Connections to MySQL (user-manager.md 8.3).
const MYSQL_CONNECTIONS: usize = 20;
/// Connections to SQLite: more only cost memory.
const SQLITE_CONNECTIONS: usize = 4;
/// Limit of a statement, unless `readTimeout` or `writeTimeout` says otherwise.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);

/// The kind of a database, for the few statements that differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// MySQL or MariaDB.
    MySql,
    /// The embedded SQLite.
    Sqlite,
}

/// A database. Clones share its connections.
#[derive(Clone)]
pub struct Database(Arc<Inner>);

struct Inner {
    dialect: Dialect,
    zone: Zone,
    pool: Pool,
    /// SQLite has one writer at a time; waiting here is fairer and cheaper than in SQLite.
    writers: Option<Semaphore>,
    statement_timeout: Duration,
}

impl Database {
    /// A database that is connected to when first used. For SQLite the directory of the file is made; only the owner can
    /// read it.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub fn new(dsn: Dsn) -> Result<Self, SqlError> {
        let inner = match dsn {
            Dsn::MySql(dsn) => Inner {
                dialect: Dialect::MySql,
                zone: dsn.zone.clone(),
                statement_timeout: dsn.statement_timeout.unwrap_or(STATEMENT_TIMEOUT),
                pool: Pool::new(Connector::mysql(dsn), MYSQL_CONNECTIONS),
                writers: None,
            },
            Dsn::Sqlite(file) => {
                make_private(&file).map_err(|error| {
                    let address = file.display().to_string();
                    SqlError::Connect(ConnectError::Dial { address, reason: error.to_string() })
                })?;
                Inner {
                    dialect: Dialect::Sqlite,
                    zone: Zone::Utc,
                    statement_timeout: STATEMENT_TIMEOUT,
                    pool: Pool::new(Connector::sqlite(&file), SQLITE_CONNECTIONS),
                    writers: Some(Semaphore::new(1)),
                }
            }
        };
        Ok(Self(Arc::new(inner)))
    }

    /// Its kind.
    pub fn dialect(&self) -> Dialect {
        self.0.dialect
    }

    /// A time that was just written, as reading it will show it.
    pub fn show(&self, time: DateTime<Utc>) -> Time {
        Time(Some(self.0.zone.show(time)))
    }

    /// The rows of a query, in a transaction of its own.
    ///
    /// # Errors
    /// See [`SqlError`].
    pub async fn read(&self, sql: &'static str, params: &[Param<'_>]) -> Result<Vec<Row>, SqlError> {
        let inner = &*self.0;
        let mut lease = inner.pool.acquire().await?;
        let reused = lease.is_reused();
        let mut result = inner.limited(lease.connection().read(sql, params)).await;
        if reused && matches!(result, Err(SqlError::Broken(_))) {
            // The server closed it while it was idle, most likely.
            inner.pool.forget_idle();
            drop(lease);
            lease = inner.pool.acquire_new().await?;
            result = inner.limited(lease.connection().read(sql, params)).await;
        }
        inner.give_back(lease, &result);
        result
    }

    /// Changes rows, in a transaction of its own.
    ///
    /// # Errors
    /// See [`SqlError`]; [`SqlError::Duplicate`] for a unique key.
    pub async fn write(&self, sql: &'static str, params: &[Param<'_>]) -> Result<Written, SqlError> {
        let inner = &*self.0;
        let _writer = inner.writer().await?;
        let mut lease = inner.pool.acquire_alive().await?;
        let result = inner.limited(lease.connection().write(sql, params)).await;
        inner.give_back(lease, &result);
        result
    }

    /// Starts a transaction that reads and writes.
    ///
    /// # Errors
    /// See [`SqlError`].
    pub async fn begin(&self) -> Result<Transaction<'_>, SqlError> {
        let inner = &*self.0;
        let writer = inner.writer().await?;
        let mut lease = inner.pool.acquire_alive().await?;
        let begin = match inner.dialect {
            Dialect::MySql => "START TRANSACTION",
            Dialect::Sqlite => "BEGIN IMMEDIATE",
        };
        inner.limited(lease.connection().run(begin.to_owned())).await?;
        Ok(Transaction { inner, lease, _writer: writer })
    }

    /// Changes the schema, outside of a transaction.
    pub(crate) async fn run(&self, sql: String) -> Result<(), SqlError> {
        let inner = &*self.0;
        let _writer = inner.writer().await?;
        let mut lease = inner.pool.acquire_alive().await?;
        // A large table takes its time: no limit.
        let result = lease.connection().run(sql).await;
        inner.give_back(lease, &result);
        result
    }
}

impl Inner {
    async fn limited<T>(&self, statement: impl Future<Output = Result<T, SqlError>>) -> Result<T, SqlError> {
        let limit = self.statement_timeout;
        if self.dialect == Dialect::Sqlite {
            // It does not wait for others, but the disk, which no timer can cut short.
            return statement.await;
        }
        tokio::time::timeout(limit, statement).await.unwrap_or(Err(SqlError::Timeout(limit)))
    }

    async fn writer(&self) -> Result<Option<SemaphorePermit<'_>>, SqlError> {
        let Some(writers) = &self.writers else { return Ok(None) };
        match tokio::time::timeout(self.statement_timeout, writers.acquire()).await {
            Ok(Ok(writer)) => Ok(Some(writer)),
            // The semaphore is never closed.
            Ok(Err(_)) | Err(_) => Err(SqlError::Busy(self.statement_timeout)),
        }
    }

    fn give_back<T>(&self, lease: Lease<'_>, result: &Result<T, SqlError>) {
        match result {
            Err(error) if error.breaks_connection() => self.pool.forget_idle(),
            _ => lease.keep(),
        }
    }
}

/// A transaction. Dropping it undoes it.
pub struct Transaction<'a> {
    inner: &'a Inner,
    lease: Lease<'a>,
    _writer: Option<SemaphorePermit<'a>>,
}

impl Transaction<'_> {
    /// The rows of a query.
    ///
    /// # Errors
    /// See [`SqlError`].
    pub async fn read(&mut self, sql: &'static str, params: &[Param<'_>]) -> Result<Vec<Row>, SqlError> {
        self.inner.limited(self.lease.connection().read(sql, params)).await
    }

    /// Changes rows.
    ///
    /// # Errors
    /// See [`SqlError`]; [`SqlError::Duplicate`] for a unique key.
    pub async fn write(&mut self, sql: &'static str, params: &[Param<'_>]) -> Result<Written, SqlError> {
        self.inner.limited(self.lease.connection().write(sql, params)).await
    }

    /// Changes the schema.
    pub(crate) async fn run(&mut self, sql: String) -> Result<(), SqlError> {
        self.inner.limited(self.lease.connection().run(sql)).await
    }

    /// Makes the changes last.
    ///
    /// # Errors
    /// See [`SqlError`]; after [`SqlError::Broken`] and [`SqlError::Timeout`] the changes may have been made or not.
    pub async fn commit(mut self) -> Result<(), SqlError> {
        self.run("COMMIT".to_owned()).await?;
        self.lease.keep();
        Ok(())
    }

    /// Undoes the changes and keeps the connection.
    pub async fn roll_back(mut self) {
        if self.run("ROLLBACK".to_owned()).await.is_ok() {
            self.lease.keep();
        }
    }
}

/// The directory of the file, and the file itself before SQLite makes it, for the owner only: it holds tokens.
fn make_private(file: &Path) -> std::io::Result<()> {
    if let Some(dir) = file.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    }
    let made = fs::OpenOptions::new().create(true).append(true).open(file)?;
    made.set_permissions(fs::Permissions::from_mode(0o600))
}
