//! `bcs snapshot`: copies of the data directory that are consistent while the services write.
//!
//! A snapshot is a directory with the same files and `snapshot.json`, the list of them with their checksums. Databases are
//! copied by SQLite itself in one read transaction, so that each is as it was at one moment and holds all that was
//! acknowledged before.

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use bcs_common::version;
use rusqlite::{Connection, OpenFlags};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::cli::SnapshotCommand;

/// The list of files, in the snapshot's directory.
const MANIFEST: &str = "snapshot.json";
/// The layout of a snapshot.
const FORMAT: u32 = 1;
/// How a SQLite database starts.
const SQLITE_MAGIC: &[u8] = b"SQLite format 3\0";
/// What SQLite keeps beside a database, which the copy of the database holds, and the locks of running processes.
const NOT_COPIED: [&str; 4] = ["-wal", "-shm", "-journal", ".lock"];
/// What a file system keeps in its root, where only its owner may look.
const OF_FILE_SYSTEM: &str = "lost+found";
/// Where a restore collects its files in a data directory that is there.
const RESTORING: &str = ".restoring";
/// Facts about a running process, which would be wrong after a restore.
const NOT_KEPT: [&str; 1] = [crate::running::FILE];

/// Why there is no snapshot, or why it cannot be used.
#[derive(Debug, Error)]
enum SnapshotError {
    #[error("{}", .0.display())]
    File(PathBuf, #[source] io::Error),
    #[error("{}", .0.display())]
    Database(PathBuf, #[source] rusqlite::Error),
    #[error("{} to {}", .0.display(), .1.display())]
    Copy(PathBuf, PathBuf, #[source] rusqlite::Error),
    #[error("{} is damaged: {}", .0.display(), .1)]
    Damaged(PathBuf, String),
    #[error("{} exists already; name a new directory", .0.display())]
    Exists(PathBuf),
    #[error("{} is not empty; stop the server and move its content away first", .0.display())]
    NotEmpty(PathBuf),
    #[error("{} is no data directory: it holds no database", .0.display())]
    NoData(PathBuf),
    #[error("{} is no snapshot", .0.display())]
    NoSnapshot(PathBuf, #[source] serde_json::Error),
    #[error("the snapshot has format {0}, this program reads {FORMAT}")]
    Format(u32),
    #[error("unusable path in {MANIFEST}: {0}")]
    Path(String),
}

type Result<T> = std::result::Result<T, SnapshotError>;

#[derive(Debug, Deserialize, Serialize)]
struct Manifest {
    format: u32,
    /// Time of the snapshot, RFC 3339.
    created: String,
    /// The program that made it.
    version: String,
    files: Vec<Entry>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Entry {
    /// Below the directory, with slashes.
    path: String,
    bytes: u64,
    sha256: String,
    /// A SQLite database.
    database: bool,
}

/// Runs the subcommand.
pub fn run(command: &SnapshotCommand, stdout: &mut impl Write) -> std::result::Result<(), Box<dyn Error>> {
    match command {
        SnapshotCommand::Save { data_dir, out } => {
            let manifest = save(data_dir, out)?;
            writeln!(stdout, "{}: {}", out.display(), summary(&manifest))?;
        }
        SnapshotCommand::Verify { snapshot } => {
            let manifest = verify(snapshot)?;
            writeln!(stdout, "{} is sound: {}", snapshot.display(), summary(&manifest))?;
        }
        SnapshotCommand::Restore { snapshot, data_dir } => {
            let manifest = restore(snapshot, data_dir)?;
            writeln!(stdout, "{} restored from {}", data_dir.display(), manifest.created)?;
        }
    }
    Ok(())
}

fn summary(manifest: &Manifest) -> String {
    let bytes: u64 = manifest.files.iter().map(|file| file.bytes).sum();
    format!("{} files, {bytes} bytes, made at {}", manifest.files.len(), manifest.created)
}

/// Copies `data_dir` to the new directory `out`. It appears there only when it is complete.
fn save(data_dir: &Path, out: &Path) -> Result<Manifest> {
    if out.exists() {
        return Err(SnapshotError::Exists(out.to_owned()));
    }
    let unfinished = beside(out, "unfinished");
    remove(&unfinished)?;
    make_dir(&unfinished)?;
    let copied = copy_all(data_dir, &unfinished);
    if copied.is_err() {
        // The first error is the one to report.
        let _ = remove(&unfinished);
    }
    let manifest = copied?;
    publish(&unfinished, out)?;
    Ok(manifest)
}

fn copy_all(data_dir: &Path, out: &Path) -> Result<Manifest> {
    let mut files = Vec::new();
    for path in files_below(data_dir, Path::new(""))? {
        let (from, to) = (data_dir.join(&path), out.join(&path));
        if let Some(parent) = to.parent() {
            make_dir(parent)?;
        }
        let database = is_database(&from)?;
        match database {
            true => copy_database(&from, &to)?,
            false => copy_file(&from, &to)?,
        }
        let (sha256, bytes) = checksum(&to)?;
        files.push(Entry { path: path.to_string_lossy().into_owned(), bytes, sha256, database });
    }
    if !files.iter().any(|file| file.database) {
        return Err(SnapshotError::NoData(data_dir.to_owned()));
    }
    let created = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    let manifest = Manifest { format: FORMAT, created, version: version::VERSION.to_owned(), files };
    let file = out.join(MANIFEST);
    let text = serde_json::to_vec_pretty(&manifest).map_err(|error| SnapshotError::NoSnapshot(file.clone(), error))?;
    write_new(&file, &mut text.as_slice())?;
    Ok(manifest)
}

/// Checks the list, the checksums, and every database from the inside.
fn verify(snapshot: &Path) -> Result<Manifest> {
    let file = snapshot.join(MANIFEST);
    let text = fs::read(&file).map_err(|error| SnapshotError::File(file.clone(), error))?;
    let manifest: Manifest =
        serde_json::from_slice(&text).map_err(|error| SnapshotError::NoSnapshot(file.clone(), error))?;
    if manifest.format != FORMAT {
        return Err(SnapshotError::Format(manifest.format));
    }
    if !manifest.files.iter().any(|entry| entry.database) {
        return Err(SnapshotError::Damaged(file, "it lists no database".to_owned()));
    }
    for entry in &manifest.files {
        let path = snapshot.join(relative(&entry.path)?);
        let (sha256, bytes) = checksum(&path)?;
        if (sha256.as_str(), bytes) != (entry.sha256.as_str(), entry.bytes) {
            return Err(SnapshotError::Damaged(path, "its checksum is another one".to_owned()));
        }
        if entry.database {
            check_database(&path)?;
        }
    }
    Ok(manifest)
}

/// Puts a sound snapshot where no data is. A directory that is there is filled, not replaced: it has the owner it should
/// have, and may be a volume.
fn restore(snapshot: &Path, data_dir: &Path) -> Result<Manifest> {
    let is_there = data_dir.exists();
    if is_there && !is_free(data_dir)? {
        return Err(SnapshotError::NotEmpty(data_dir.to_owned()));
    }
    let manifest = verify(snapshot)?;
    let unfinished = if is_there { data_dir.join(RESTORING) } else { beside(data_dir, "restoring") };
    remove(&unfinished)?;
    let put = copy_listed(&manifest, snapshot, &unfinished).and_then(|()| match is_there {
        true => move_up(&unfinished, data_dir),
        false => publish(&unfinished, data_dir),
    });
    if put.is_err() {
        // The first error is the one to report, and the disk may be full of it.
        let _ = remove(&unfinished);
    }
    put.map(|()| manifest)
}

/// Nothing is in it but what the file system keeps there, and what a restore left that was killed.
fn is_free(dir: &Path) -> Result<bool> {
    let names = || fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>();
    let names = names().map_err(|error| SnapshotError::File(dir.to_owned(), error))?;
    Ok(names.iter().all(|name| name == OF_FILE_SYSTEM || name == RESTORING))
}

fn copy_listed(manifest: &Manifest, snapshot: &Path, out: &Path) -> Result<()> {
    make_dir(out)?;
    for entry in &manifest.files {
        let path = relative(&entry.path)?;
        let to = out.join(path);
        if let Some(parent) = to.parent() {
            make_dir(parent)?;
        }
        copy_file(&snapshot.join(path), &to)?;
    }
    Ok(())
}

/// Moves what is in a directory to the one above it.
fn move_up(from: &Path, to: &Path) -> Result<()> {
    let rename = || {
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            fs::rename(entry.path(), to.join(entry.file_name()))?;
        }
        fs::remove_dir(from)
    };
    rename().map_err(|error| SnapshotError::File(to.to_owned(), error))?;
    sync(to)
}

/// A path of the list, which must not lead out of the directory.
fn relative(path: &str) -> Result<&Path> {
    let is_inside = |path: &Path| path.components().all(|part| matches!(part, Component::Normal(_)));
    Some(Path::new(path))
        .filter(|path| !path.as_os_str().is_empty() && is_inside(path))
        .ok_or_else(|| SnapshotError::Path(path.to_owned()))
}

/// The files to keep, relative to `root`, in order.
fn files_below(root: &Path, below: &Path) -> Result<Vec<PathBuf>> {
    let dir = root.join(below);
    let at = |error| SnapshotError::File(dir.clone(), error);
    let mut names: Vec<_> = fs::read_dir(&dir)
        .map_err(at)?
        .collect::<io::Result<Vec<_>>>()
        .map_err(at)?
        .into_iter()
        .map(|entry| entry.file_name())
        .collect();
    names.sort();
    let mut files = Vec::new();
    for name in names {
        let path = below.join(&name);
        let kind =
            fs::symlink_metadata(root.join(&path)).map_err(|error| SnapshotError::File(root.join(&path), error))?;
        let text = name.to_string_lossy();
        let is_of_process = NOT_COPIED.iter().any(|end| text.ends_with(end));
        if kind.is_dir() && name != OF_FILE_SYSTEM {
            files.extend(files_below(root, &path)?);
        } else if kind.is_file() && !is_of_process && !NOT_KEPT.contains(&text.as_ref()) {
            files.push(path);
        }
    }
    Ok(files)
}

fn is_database(path: &Path) -> Result<bool> {
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(SQLITE_MAGIC.len() as u64).read_to_end(&mut head));
    read.map_err(|error| SnapshotError::File(path.to_owned(), error))?;
    Ok(head == SQLITE_MAGIC)
}

fn copy_database(from: &Path, to: &Path) -> Result<()> {
    let failed = |error| SnapshotError::Database(from.to_owned(), error);
    // Made first, so that it is never readable by others.
    write_new(to, &mut io::empty())?;
    let source = Connection::open_with_flags(from, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(failed)?;
    source.busy_timeout(std::time::Duration::from_secs(30)).map_err(failed)?;
    // Either of them may be what is wrong, such as a full disk.
    let copied = source.execute("VACUUM INTO ?1", [to.to_string_lossy()]);
    copied.map_err(|error| SnapshotError::Copy(from.to_owned(), to.to_owned(), error))?;
    sync(to)
}

fn check_database(path: &Path) -> Result<()> {
    let failed = |error| SnapshotError::Database(path.to_owned(), error);
    let database = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(failed)?;
    let report: String = database.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(failed)?;
    match report.as_str() {
        "ok" => Ok(()),
        _ => Err(SnapshotError::Damaged(path.to_owned(), report)),
    }
}

fn copy_file(from: &Path, to: &Path) -> Result<()> {
    let mut source = File::open(from).map_err(|error| SnapshotError::File(from.to_owned(), error))?;
    write_new(to, &mut source)
}

/// A new file that only this user can read, on the disk when this returns.
fn write_new(path: &Path, content: &mut impl Read) -> Result<()> {
    let write = |content: &mut dyn Read| {
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
        io::copy(content, &mut file)?;
        file.sync_all()
    };
    write(content).map_err(|error| SnapshotError::File(path.to_owned(), error))
}

fn checksum(path: &Path) -> Result<(String, u64)> {
    let sum = || {
        let mut file = File::open(path)?;
        let (mut context, mut total) = (Context::new(&SHA256), 0_u64);
        let mut piece = vec![0; 1 << 16];
        loop {
            let length = file.read(&mut piece)?;
            if length == 0 {
                break;
            }
            context.update(piece.get(..length).unwrap_or_default());
            total += length as u64;
        }
        let hex = context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok((hex, total))
    };
    sum().map_err(|error| SnapshotError::File(path.to_owned(), error))
}

fn make_dir(path: &Path) -> Result<()> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| SnapshotError::File(path.to_owned(), error))
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(SnapshotError::File(path.to_owned(), error)),
        _ => Ok(()),
    }
}

fn sync(path: &Path) -> Result<()> {
    File::open(path).and_then(|file| file.sync_all()).map_err(|error| SnapshotError::File(path.to_owned(), error))
}

/// `dir.state` beside `dir`, on the same file system.
fn beside(dir: &Path, state: &str) -> PathBuf {
    let mut name = dir.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(state);
    dir.with_file_name(name)
}

/// Gives a finished directory its name.
fn publish(unfinished: &Path, name: &Path) -> Result<()> {
    let rename = || {
        fs::set_permissions(unfinished, fs::Permissions::from_mode(0o700))?;
        fs::rename(unfinished, name)
    };
    rename().map_err(|error| SnapshotError::File(name.to_owned(), error))?;
    match name.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => sync(parent),
        None => sync(Path::new(".")),
    }
}

#[cfg(test)]
mod tests {
    use bcs_common::errors::chain;

    use super::*;

    /// A data directory with a database in use, whose last row is only in the write-ahead log, and a token.
    fn data(dir: &Path) -> Connection {
        fs::create_dir_all(dir.join("deep")).unwrap();
        fs::write(dir.join("admin-token"), "secret").unwrap();
        fs::write(dir.join(crate::running::FILE), "{}").unwrap();
        fs::write(dir.join("deep/one.lock"), "").unwrap();
        let database = Connection::open(dir.join("deep/one.db")).unwrap();
        database.pragma_update(None, "journal_mode", "wal").unwrap();
        database.execute_batch("CREATE TABLE t (n); INSERT INTO t VALUES (1), (2), (3)").unwrap();
        database
    }

    fn rows(file: &Path) -> i64 {
        Connection::open(file).unwrap().query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn a_snapshot_of_a_database_in_use_is_complete_and_restores() {
        let dir = tempfile::tempdir().unwrap();
        let (from, out, to) = (dir.path().join("data"), dir.path().join("snap"), dir.path().join("new/data"));
        let open = data(&from);
        let manifest = save(&from, &out).unwrap();
        open.execute("INSERT INTO t VALUES (4)", []).unwrap();
        let names: Vec<_> = manifest.files.iter().map(|file| (file.path.as_str(), file.database)).collect();
        assert_eq!(names, [("admin-token", false), ("deep/one.db", true)]);
        assert_eq!(verify(&out).unwrap().files.len(), 2);

        restore(&out, &to).unwrap();
        assert_eq!((rows(&to.join("deep/one.db")), rows(&from.join("deep/one.db"))), (3, 4));
        assert_eq!(fs::read_to_string(to.join("admin-token")).unwrap(), "secret");
        for private in [&to, &out] {
            assert_eq!(fs::metadata(private).unwrap().permissions().mode() & 0o777, 0o700);
            assert_eq!(fs::metadata(private.join("deep/one.db")).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert!(!to.join(MANIFEST).exists());
    }

    #[test]
    fn damage_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let (from, out) = (dir.path().join("data"), dir.path().join("snap"));
        let _open = data(&from);
        save(&from, &out).unwrap();
        fs::write(out.join("admin-token"), "forged").unwrap();
        let error = chain(&verify(&out).unwrap_err());
        assert!(error.ends_with("admin-token is damaged: its checksum is another one"), "{error}");
        let error = restore(&out, &dir.path().join("new")).unwrap_err();
        assert!(matches!(error, SnapshotError::Damaged(..)) && !dir.path().join("new").exists());
        fs::remove_file(out.join("admin-token")).unwrap();
        assert!(chain(&verify(&out).unwrap_err()).contains("admin-token"));
    }

    #[test]
    fn a_directory_that_is_there_is_filled() {
        let dir = tempfile::tempdir().unwrap();
        let (from, out, to) = (dir.path().join("data"), dir.path().join("snap"), dir.path().join("volume"));
        let _open = data(&from);
        fs::create_dir(from.join(OF_FILE_SYSTEM)).unwrap();
        fs::write(from.join(OF_FILE_SYSTEM).join("x"), "").unwrap();
        assert_eq!(save(&from, &out).unwrap().files.len(), 2);
        // As a mounted volume is, and as a restore leaves it that was killed.
        fs::create_dir_all(to.join(RESTORING)).unwrap();
        fs::create_dir(to.join(OF_FILE_SYSTEM)).unwrap();
        fs::write(to.join(RESTORING).join("half"), "").unwrap();
        let inode = |path: &Path| std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).unwrap());
        let before = inode(&to);
        restore(&out, &to).unwrap();
        assert_eq!((rows(&to.join("deep/one.db")), inode(&to)), (3, before));
        assert_eq!(fs::read_to_string(to.join("admin-token")).unwrap(), "secret");
        assert!(!to.join(RESTORING).exists());
        assert!(matches!(restore(&out, &to).unwrap_err(), SnapshotError::NotEmpty(_)));
    }

    #[test]
    fn a_restore_that_fails_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (from, out) = (dir.path().join("data"), dir.path().join("snap"));
        let _open = data(&from);
        save(&from, &out).unwrap();
        // Twice the same file: the second one is in the way of itself.
        let file = out.join(MANIFEST);
        let mut list: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        let files = list["files"].as_array_mut().unwrap();
        files.extend(files.clone());
        fs::write(&file, serde_json::to_vec(&list).unwrap()).unwrap();
        let (new, empty) = (dir.path().join("new"), dir.path().join("empty"));
        fs::create_dir(&empty).unwrap();
        for to in [&new, &empty] {
            assert!(matches!(restore(&out, to).unwrap_err(), SnapshotError::File(..)));
        }
        assert!(!new.exists() && !beside(&new, "restoring").exists());
        assert_eq!(fs::read_dir(&empty).unwrap().count(), 0);
    }

    #[test]
    fn a_list_without_a_database_is_no_snapshot() {
        let dir = tempfile::tempdir().unwrap();
        let manifest = Manifest { format: FORMAT, created: String::new(), version: String::new(), files: Vec::new() };
        fs::write(dir.path().join(MANIFEST), serde_json::to_vec(&manifest).unwrap()).unwrap();
        let error = chain(&verify(dir.path()).unwrap_err());
        assert!(error.ends_with("snapshot.json is damaged: it lists no database"), "{error}");
    }

    #[test]
    fn a_list_that_leads_elsewhere_is_refused() {
        for path in ["../x", "/etc/passwd", "a/../../x", "", "./a"] {
            assert!(relative(path).is_err(), "{path}");
        }
        assert_eq!(relative("a/b").unwrap(), Path::new("a/b"));
    }

    #[test]
    fn nothing_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let (from, out) = (dir.path().join("data"), dir.path().join("snap"));
        let _open = data(&from);
        save(&from, &out).unwrap();
        assert!(matches!(save(&from, &out).unwrap_err(), SnapshotError::Exists(_)));
        assert!(matches!(restore(&out, &from).unwrap_err(), SnapshotError::NotEmpty(_)));
        let empty = dir.path().join("empty");
        fs::create_dir(&empty).unwrap();
        let other = dir.path().join("other");
        assert!(matches!(save(&empty, &other).unwrap_err(), SnapshotError::NoData(_)));
        assert!(!other.exists() && !beside(&other, "unfinished").exists());
    }
}
