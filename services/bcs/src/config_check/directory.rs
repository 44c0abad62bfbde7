//! Whether a service can keep its files in a directory.

use std::path::Path;

use rustix::fs::{Access, access};

use super::report::Report;

/// Reports that embedded databases will be in `dir`, which the service makes if need be.
pub fn check_embedded(what: &str, dir: &Path, report: &mut Report) {
    let line = format!("{what}: embedded SQLite in {}", dir.display());
    match problem(dir) {
        None => report.good(line),
        Some(problem) => report.failure(format!("{line}: {problem}")),
    }
}

/// Why no file can be made in a directory, or the directory itself cannot.
fn problem(dir: &Path) -> Option<String> {
    let here = |dir: &Path| if dir.as_os_str().is_empty() { Path::new(".").to_owned() } else { dir.to_owned() };
    // The first that is there is the one to make the others in.
    let existing = dir.ancestors().map(here).find(|dir| dir.symlink_metadata().is_ok())?;
    if !existing.is_dir() {
        return Some(format!("{} is no directory", existing.display()));
    }
    let error = access(&existing, Access::WRITE_OK | Access::EXEC_OK).err()?;
    Some(format!("{} cannot be written: {error}", existing.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_the_way_is_named() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(problem(dir.path()), None);
        assert_eq!(problem(&dir.path().join("a/b")), None);
        assert_eq!(problem(Path::new("nowhere/yet")), None);
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        let wanted = Some(format!("{} is no directory", file.display()));
        assert_eq!((problem(&file), problem(&file.join("below"))), (wanted.clone(), wanted));
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("gone", &link).unwrap();
        assert_eq!(problem(&link), Some(format!("{} is no directory", link.display())));
    }
}
