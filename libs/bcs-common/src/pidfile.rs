//! The pid file that start scripts and watchdogs read (common.md 1.7).

use std::ffi::OsString;
use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Write `<dir>/<base name of argv[0]>.pid` with the decimal pid and no newline, replacing an old file.
///
/// The file appears complete or not at all. It stays when the process ends. If the path is a directory, nothing is done.
///
/// # Errors
/// The directory cannot be made or written. Callers log it and go on.
pub fn write(dir: &Path) -> io::Result<()> {
    let program = std::env::args_os()
        .next()
        .and_then(|argv0| Path::new(&argv0).file_name().map(OsString::from))
        .unwrap_or_else(|| OsString::from("bcs"));
    write_for(dir, program)
}

fn write_for(dir: &Path, mut program: OsString) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o755).create(dir)?;
    program.push(".pid");
    let path = dir.join(&program);
    if path.is_dir() {
        return Ok(());
    }
    let pid = std::process::id().to_string();
    let temporary = dir.join(format!(".{}.{pid}", program.to_string_lossy()));
    let written = write_new(&temporary, &pid).and_then(|()| fs::rename(&temporary, &path));
    if written.is_err() {
        // The first error is the one to report.
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn write_new(path: &Path, content: &str) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // create_new does not follow a symbolic link that someone else put there.
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(path)?;
    file.set_permissions(Permissions::from_mode(0o644))?;
    file.write_all(content.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn writes_the_pid_without_newline_and_leaves_nothing_else() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("a/pid");
        write_for(&dir, "bcs-x".into()).unwrap();
        assert_eq!(fs::read_to_string(dir.join("bcs-x.pid")).unwrap(), std::process::id().to_string());
        assert_eq!(fs::metadata(dir.join("bcs-x.pid")).unwrap().permissions().mode() & 0o777, 0o644);
        assert_eq!(names(&dir), ["bcs-x.pid"]);
    }

    #[test]
    fn replaces_an_old_file() {
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join("bcs-x.pid"), "99999999999\n").unwrap();
        write_for(temp.path(), "bcs-x".into()).unwrap();
        let content = fs::read_to_string(temp.path().join("bcs-x.pid")).unwrap();
        assert_eq!(content, std::process::id().to_string());
    }

    #[test]
    fn a_directory_in_the_way_is_left_alone() {
        let temp = tempfile::tempdir().unwrap();
        fs::create_dir(temp.path().join("bcs-x.pid")).unwrap();
        write_for(temp.path(), "bcs-x".into()).unwrap();
        assert!(temp.path().join("bcs-x.pid").is_dir());
        assert_eq!(names(temp.path()), ["bcs-x.pid"]);
    }

    #[test]
    fn a_file_in_place_of_the_directory_is_an_error() {
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join("pid"), "").unwrap();
        assert!(write_for(&temp.path().join("pid"), "bcs-x".into()).is_err());
    }

    #[test]
    fn named_after_argv0() {
        let temp = tempfile::tempdir().unwrap();
        write(temp.path()).unwrap();
        let argv0 = std::env::args().next().unwrap();
        let name = Path::new(&argv0).file_name().unwrap().to_str().unwrap().to_owned();
        assert_eq!(names(temp.path()), [format!("{name}.pid")]);
    }
}
