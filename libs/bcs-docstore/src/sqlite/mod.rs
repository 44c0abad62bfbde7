//! The embedded backend: all documents in one SQLite file, no server.
//!
//! One thread writes ([`writer`]): it takes the writes that wait, carries them out in one transaction, and answers them
//! when the commit is on disk. Readers take a connection of a pool and see what is committed. Fields named in the
//! [`Layout`] are real columns with indexes; [`narrow`] turns what it can of a filter into SQL on them, and
//! [`crate::matcher`] decides the rest. The body of a document, its field `data`, is kept as the very JSON text that
//! clients get, so a read copies it and does not parse it.

mod database;
mod file;
mod index;
mod narrow;
mod read;
mod row;
mod table;
mod write;
mod writer;

use std::collections::HashSet;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use parking_lot::RwLock;

pub use database::SqliteDatabase;

use crate::{Layout, Result};
use read::Readers;
use table::Table;
use writer::Writer;

/// Opens the databases of these layouts in one file. The file and the directory it is in are made if they are not there,
/// and so are tables and indexes in it.
///
/// # Errors
/// The file or directory cannot be made or opened, is no SQLite database, or is in use by another process.
///
/// ```
/// # use bcs_docstore::{DocumentDatabase, Filter, Find, Layout, doc, sqlite};
/// # let directory = tempfile::tempdir().unwrap();
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let layout = Layout { name: "alarm", keys: &["clusterId"], times: &[], indexes: &[&["clusterId"]], deletion_flag: None };
/// let [alarms] = sqlite::open(&directory.path().join("storage.db"), [layout]).unwrap();
/// alarms.insert("alarm", doc! { "clusterId": "A", "data": 1 }).await.unwrap();
/// let found = alarms.find("alarm", &Find::all(Filter::one_of("clusterId", ["A"]))).await.unwrap();
/// assert_eq!(found[0].get_i64("data").unwrap(), 1);
/// # });
/// ```
pub fn open<const N: usize>(path: &Path, layouts: [Layout; N]) -> Result<[SqliteDatabase; N]> {
    let tables = layouts.map(Table::new);
    let schema: String = std::iter::once(index::SCHEMA.to_owned()).chain(tables.iter().map(Table::schema)).collect();
    let lock = file::claim(path)?;
    file::make(path, &schema)?;
    let connection = file::connect(path)?;
    // For the tables that a file of an older version does not have yet.
    connection.execute_batch(&format!("BEGIN IMMEDIATE; {schema} COMMIT;"))?;
    let store = Arc::new(Store {
        readers: Arc::new(Readers::new(path.to_owned())),
        writer: Writer::start(connection)?,
        ensured: RwLock::default(),
        _lock: lock,
    });
    Ok(tables.map(|table| SqliteDatabase::new(Arc::clone(&store), table)))
}

/// What the databases of a file share.
#[derive(Debug)]
struct Store {
    readers: Arc<Readers>,
    writer: Writer,
    /// Indexes known to be there, so that asking again costs no write.
    ensured: RwLock<HashSet<IndexName>>,
    /// Held until the file is closed.
    _lock: File,
}

/// Database, collection and name.
type IndexName = (&'static str, String, String);

impl Store {
    fn is_ensured(&self, database: &'static str, collection: &str, name: &str) -> bool {
        self.ensured.read().contains(&(database, collection.to_owned(), name.to_owned()))
    }

    fn ensured(&self, database: &'static str, collection: &str, name: &str) {
        self.ensured.write().insert((database, collection.to_owned(), name.to_owned()));
    }

    fn forget_ensured(&self, database: &'static str, collection: &str, name: &str) {
        self.ensured.write().remove(&(database, collection.to_owned(), name.to_owned()));
    }
}
