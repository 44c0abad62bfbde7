//! A server that speaks MongoDB's wire protocol: the one named in the environment, or the stand-in that
//! `make test-deps` puts into the cache.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use super::JAVA_OPTIONS;
use crate::daemon::{Daemon, Ready};
use crate::ports::Port;
use crate::process::command;
use crate::workdir::{WorkDir, repository};

/// The environment variable with the connection string of a real MongoDB (a replica set, for change streams) to test
/// against.
pub const URI_VARIABLE: &str = "BCS_TEST_MONGODB_URI";

/// A MongoDB server. The stand-in keeps its data in memory and knows no users.
pub struct MongoDb {
    uri: String,
    /// None for the external server.
    own: Option<Daemon>,
    _port: Option<Port>,
}

impl MongoDb {
    /// The external server if [`URI_VARIABLE`] is set, else a fresh stand-in.
    pub async fn start() -> Self {
        match std::env::var(URI_VARIABLE) {
            Ok(uri) => Self { uri, own: None, _port: None },
            Err(_) => Self::start_own().await,
        }
    }

    /// A fresh stand-in in any case, for tests that stop and start it. A stop loses its data.
    pub async fn start_own() -> Self {
        let cache = repository().join(".cache/mongo-server");
        assert!(cache.join("stamp").exists(), "no MongoDB stand-in in {}: run make test-deps", cache.display());
        let port = Port::claim();
        let number = port.number();
        let make = move |dir: &Path| -> Command {
            let class_path = format!("{0}/classes:{0}/jars/*", cache.display());
            let mut java = command("java", dir);
            java.args(JAVA_OPTIONS).args(["-cp", &class_path, "MongoDbServer", &number.to_string()]);
            java
        };
        let dir = WorkDir::new("mongodb");
        let daemon = Daemon::start("mongodb", dir, port.address(), Ready::Listens, make).await;
        Self { uri: format!("mongodb://{}", daemon.address()), own: Some(daemon), _port: Some(port) }
    }

    /// The connection string.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// The hosts of the connection string, as the key `Addr` of the services' configs wants them.
    pub fn hosts(&self) -> String {
        let rest = self.uri.split_once("://").map_or(&*self.uri, |(_, rest)| rest);
        let hosts = rest.split(['/', '?']).next().unwrap_or(rest);
        let hosts = hosts.rsplit_once('@').map_or(hosts, |(_, hosts)| hosts);
        hosts.to_owned()
    }

    /// Where the stand-in listens.
    ///
    /// # Panics
    /// With an external server.
    pub fn address(&self) -> SocketAddr {
        let own = self.own.as_ref();
        own.expect("an external server: use hosts()").address()
    }

    /// The name of a database that no other test uses, now or later.
    pub fn database(&self, name: &str) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let process = std::process::id();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        format!("{name}_{seconds:x}_{process:x}_{number}")
    }

    /// The process of the stand-in, to stop, freeze and start it again.
    ///
    /// # Panics
    /// With an external server.
    pub fn daemon(&mut self) -> &mut Daemon {
        let own = self.own.as_mut();
        own.expect("an external server is not ours to stop")
    }
}
