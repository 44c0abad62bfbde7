//! The embedded backend: all documents in one SQLite file, no server.
//!
//! One thread writes ([`writer`]): it takes the writes that wait, carries them out in one transaction, and answers them
//! when the commit is on disk. Readers take a connection of a pool and see what is committed. Fields named in the
//! [`Layout`] are real columns with indexes; [`narrow`] turns what it can of a filter into SQL on them, and
//! [`crate::matcher`] decides the rest. The body of a document, its field `data`, is kept as the very JSON text that
//! clients get, so a read copies it and does not parse it.

mod database;
mod index;
mod narrow;
mod read;
mod row;
mod table;
mod write;
mod writer;

use std::collections::HashSet;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;
use rusqlite::Connection;
use rusqlite::config::DbConfig;

pub use database::SqliteDatabase;

use crate::{Error, Layout, Result};
use read::Readers;
use writer::Writer;

/// The file all databases of a process live in.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    readers: Readers,
    writer: Writer,
    /// Indexes known to be there, so that asking again costs no write.
    ensured: RwLock<HashSet<IndexName>>,
    /// Held until the file is closed.
    _lock: File,
}

/// Database, collection and name.
type IndexName = (&'static str, String, String);

impl SqliteStore {
    /// Opens the file, or makes it and the directory it is in.
    ///
    /// # Errors
    /// The file or directory cannot be made or opened, is no SQLite database, or is in use by another process.
    ///
    /// ```
    /// # use bcs_docstore::{DocumentDatabase, Filter, Find, Layout, doc, sqlite::SqliteStore};
    /// # let directory = tempfile::tempdir().unwrap();
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// let store = SqliteStore::open(&directory.path().join("storage.db")).unwrap();
    /// let layout = Layout { name: "alarm", keys: &["clusterId"], times: &[], indexes: &[&["clusterId"]], deletion_flag: None };
    /// let alarms = store.database(layout).unwrap();
    /// alarms.insert("alarm", doc! { "clusterId": "A", "data": 1 }).await.unwrap();
    /// let found = alarms.find("alarm", &Find::all(Filter::one_of("clusterId", ["A"]))).await.unwrap();
    /// assert_eq!(found[0].get_i64("data").unwrap(), 1);
    /// # });
    /// ```
    pub fn open(path: &Path) -> Result<Self> {
        make_private(path).map_err(|error| Error::Unavailable(Box::new(error)))?;
        let lock = lock(path)?;
        let connection = connect(path)?;
        connection.execute_batch(index::SCHEMA)?;
        let writer = Writer::start(connection)?;
        let readers = Readers::new(path.to_owned());
        Ok(Self {
            shared: Arc::new(Shared {
                path: path.to_owned(),
                readers,
                writer,
                ensured: RwLock::default(),
                _lock: lock,
            }),
        })
    }

    /// The database of a layout; its table and indexes are made if they are not there.
    ///
    /// # Errors
    /// The table cannot be made.
    pub fn database(&self, layout: Layout) -> Result<SqliteDatabase> {
        let table = table::Table::new(layout);
        let connection = connect(&self.shared.path)?;
        // A lost table is made again at the next start: no need to wait for the disk.
        connection.pragma_update(None, "synchronous", "normal")?;
        connection.execute_batch(&format!("BEGIN IMMEDIATE; {} COMMIT;", table.schema()))?;
        Ok(SqliteDatabase::new(self.clone(), table))
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    fn is_ensured(&self, database: &'static str, collection: &str, name: &str) -> bool {
        self.shared.ensured.read().contains(&(database, collection.to_owned(), name.to_owned()))
    }

    fn ensured(&self, database: &'static str, collection: &str, name: &str) {
        self.shared.ensured.write().insert((database, collection.to_owned(), name.to_owned()));
    }

    fn forget_ensured(&self, database: &'static str, collection: &str, name: &str) {
        self.shared.ensured.write().remove(&(database, collection.to_owned(), name.to_owned()));
    }

    fn readers(&self) -> &Readers {
        &self.shared.readers
    }

    fn writer(&self) -> &Writer {
        &self.shared.writer
    }
}

/// Makes the file, if there is none, for its owner alone: there are tokens in it. SQLite gives the files beside it the
/// same mode.
fn make_private(path: &Path) -> std::io::Result<()> {
    if let Some(directory) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    OpenOptions::new().create(true).append(true).mode(0o600).open(path).map(drop)
}

/// Keeps other processes out: changes made there would reach no follower here. The lock ends with the process.
fn lock(path: &Path) -> Result<File> {
    let path = path.with_extension("lock");
    let unavailable = |error: Box<dyn std::error::Error + Send + Sync>| Error::Unavailable(error);
    let file = File::create(&path).map_err(|error| unavailable(Box::new(error)))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(unavailable(format!("{} is locked by another process", path.display()).into()))
        }
        Err(TryLockError::Error(error)) => Err(unavailable(Box::new(error))),
    }
}

/// A connection with the settings all of ours have: a write-ahead log, and a commit that returns when it is on disk.
fn connect(path: &Path) -> Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    // Else SQLite looks at bound values (LIMIT is one) to plan, and plans a kept statement anew at every use.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}
