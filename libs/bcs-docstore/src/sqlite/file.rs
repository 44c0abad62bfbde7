//! The file of the embedded backend: claimed, made, connected to.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use crate::{Error, Result};

/// How long SQLite waits for another process that writes, a backup for example.
const BUSY: Duration = Duration::from_secs(10);
/// Statements that stay prepared on a connection.
const PREPARED: usize = 64;

/// Keeps other processes out: changes made there would reach no follower here. The lock ends with the process. The
/// directory is made, for its owner alone, if it is not there.
pub(super) fn claim(path: &Path) -> Result<File> {
    directory_of(path)
        .and_then(|directory| DirBuilder::new().recursive(true).mode(0o700).create(directory))
        .map_err(unavailable)?;
    let path = path.with_extension("lock");
    let file = File::create(&path).map_err(unavailable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(unavailable(io::Error::other(format!("{} is locked by another process", path.display()))))
        }
        Err(TryLockError::Error(error)) => Err(unavailable(error)),
    }
}

/// Makes the file with its tables, unless it is there. Until all of it is on the disk it has another name, so that
/// whatever ends the process before leaves a directory in which the next start begins anew. SQLite need therefore not
/// keep it safe at every step: two waits for the disk instead of eight.
pub(super) fn make(path: &Path, schema: &str) -> Result<()> {
    if fs::metadata(path).is_ok_and(|file| file.len() > 0) {
        return Ok(());
    }
    let unfinished = path.with_extension("unfinished");
    remove(&unfinished).map_err(unavailable)?;
    // For its owner alone: there will be tokens in it. SQLite gives the files beside it the same mode.
    OpenOptions::new().create_new(true).write(true).mode(0o600).open(&unfinished).map_err(unavailable)?;
    let connection = Connection::open(&unfinished)?;
    connection.pragma_update(None, "synchronous", "off")?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.execute_batch(&format!("BEGIN; {schema} COMMIT;"))?;
    connection.close().map_err(|(_, error)| error)?;
    put_in_place(&unfinished, path).map_err(unavailable)
}

/// Gives the finished file its name, durably.
fn put_in_place(unfinished: &Path, path: &Path) -> io::Result<()> {
    File::open(unfinished)?.sync_all()?;
    // The log of a file that is there no more would be taken for that of the new one.
    for suffix in ["-wal", "-shm", "-journal"] {
        let mut beside = path.as_os_str().to_owned();
        beside.push(suffix);
        remove(&PathBuf::from(beside))?;
    }
    fs::rename(unfinished, path)?;
    File::open(directory_of(path)?)?.sync_all()
}

/// The directory that the file is in.
fn directory_of(path: &Path) -> io::Result<&Path> {
    match path.parent() {
        Some(directory) if directory.as_os_str().is_empty() => Ok(Path::new(".")),
        Some(directory) => Ok(directory),
        None => Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{} is no file", path.display()))),
    }
}

/// Removes a file that need not be there.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn unavailable(error: io::Error) -> Error {
    Error::Unavailable(Box::new(error))
}

/// A connection with the settings all of ours have: a write-ahead log, and a commit that returns when it is on disk.
pub(super) fn connect(path: &Path) -> Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    // Else SQLite looks at bound values (LIMIT is one) to plan, and plans a kept statement anew at every use.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(PREPARED);
    Ok(connection)
}
