//! Private directories of started processes, under cargo's target directory: a real disk, git-ignored.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory of its own, removed when dropped. A test that fails leaves it behind for a look; the next run of any
/// test removes what earlier runs left.
#[derive(Debug)]
pub struct WorkDir {
    path: PathBuf,
}

impl WorkDir {
    /// Makes an empty directory whose name starts with `name`.
    pub fn new(name: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = root().join(format!("{name}-{number}"));
        fs::create_dir(&path).unwrap();
        Self { path }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file, with its parent directories, and says where it is.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // Only space is lost when this fails, and the next run tries again.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// The directory where cargo puts the programs of the profile this test was built with.
///
/// # Panics
/// When the running program is not in a target directory.
pub fn programs() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let dir = own.parent().unwrap();
    // Test programs are in `deps`, the others one level up.
    let dir = if dir.ends_with("deps") { dir.parent().unwrap() } else { dir };
    dir.to_path_buf()
}

/// The repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Python with the packages of the tools.
///
/// # Panics
/// When `make test-deps` did not make it.
pub fn python() -> PathBuf {
    let python = repository().join(".cache/python/bin/python");
    assert!(python.exists(), "{} is missing: run 'make test-deps'", python.display());
    python
}

/// This process's own directory. Servers shared by a whole test program live in statics, which are never dropped: a
/// lock held as long as the process lives tells later runs which directories are still in use.
fn root() -> &'static Path {
    static ROOT: OnceLock<(PathBuf, File)> = OnceLock::new();
    let (path, _lock) = ROOT.get_or_init(|| {
        let all = programs().join("itest");
        fs::create_dir_all(&all).unwrap();
        // One process at a time: a directory without its lock must not look abandoned to another one.
        let gate = File::create(all.join("gate")).unwrap();
        gate.lock().unwrap();
        remove_abandoned(&all);
        let own = all.join(std::process::id().to_string());
        fs::create_dir(&own).unwrap();
        let lock = File::create(own.join("lock")).unwrap();
        lock.lock().unwrap();
        (own, lock)
    });
    path
}

fn remove_abandoned(all: &Path) {
    for entry in fs::read_dir(all).unwrap() {
        let dir = entry.unwrap().path();
        let abandoned = File::open(dir.join("lock")).is_ok_and(|lock| lock.try_lock().is_ok());
        if abandoned {
            fs::remove_dir_all(&dir).unwrap();
        }
    }
}
