//! What `bcs server` tells other commands about itself: a file in its data directory with the addresses it serves at.

use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use bcs_console::ServiceAt;
use serde::{Deserialize, Serialize};

/// The file in the data directory.
pub const FILE: &str = "server.json";

/// A server that was started, and may have ended since.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Running {
    /// Its process.
    pub pid: u32,
    /// When it was started, RFC 3339.
    pub started: String,
    /// The console and the API, on one port.
    pub console: Option<SocketAddr>,
    /// Its services.
    pub services: Vec<ServiceAt>,
}

/// Says that a server runs. Nobody else than its user learns of it.
///
/// # Errors
/// If the file cannot be written.
pub fn write(data_dir: &Path, running: &Running) -> io::Result<()> {
    let file = data_dir.join(FILE);
    let unfinished = data_dir.join(format!("{FILE}.new"));
    let mut made = fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    made.write_all(&serde_json::to_vec_pretty(running)?)?;
    fs::rename(unfinished, file)
}

/// The server that was last started on a data directory; none: never, or it has ended in order.
///
/// # Errors
/// If the file cannot be read.
pub fn read(data_dir: &Path) -> io::Result<Option<Running>> {
    match fs::read(data_dir.join(FILE)) {
        Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Takes the word back when dropped.
pub struct Announced(PathBuf);

impl Announced {
    /// [`write`]s it.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn new(data_dir: &Path, running: &Running) -> io::Result<Self> {
        write(data_dir, running)?;
        Ok(Self(data_dir.join(FILE)))
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        // A file that stays says something that `bcs status` finds out to be wrong.
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_announced_can_be_read_until_it_is_taken_back() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()).unwrap(), None);
        let storage = ServiceAt {
            name: "bcs-storage".into(),
            scheme: "http".into(),
            address: Some("127.0.0.1:50024".parse().unwrap()),
            metrics: None,
        };
        let running =
            Running { pid: 7, started: "2026-01-01T00:00:00Z".into(), console: None, services: vec![storage] };
        let announced = Announced::new(dir.path(), &running).unwrap();
        assert_eq!(read(dir.path()).unwrap(), Some(running));
        drop(announced);
        assert_eq!(read(dir.path()).unwrap(), None);
        fs::write(dir.path().join(FILE), "{").unwrap();
        assert!(read(dir.path()).is_err());
    }
}
