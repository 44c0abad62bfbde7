//! Apache ZooKeeper, standalone (Debian's jars).

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use super::JAVA_OPTIONS;
use crate::daemon::{Daemon, Ready};
use crate::ports::Port;
use crate::process::command;
use crate::workdir::WorkDir;

const CLASS_PATH: &str = "/usr/share/java/zookeeper.jar:/usr/share/java/slf4j-simple.jar";

/// A ZooKeeper server. Sessions of 1 to 60 seconds are granted as asked.
pub struct ZooKeeper {
    daemon: Daemon,
    _port: Port,
}

impl ZooKeeper {
    /// Starts an empty one.
    pub async fn start() -> Self {
        Self::start_with_heap("256m").await
    }

    /// Starts an empty one with room for more nodes, such as `2g`.
    pub async fn start_with_heap(heap: &'static str) -> Self {
        let port = Port::claim();
        let dir = WorkDir::new("zookeeper");
        dir.write("zoo.cfg", config(dir.path(), port.number()));
        let ready = Ready::Answers { to: b"srvr", with: |answer| answer.starts_with(b"Zookeeper version") };
        Self {
            daemon: Daemon::start("zookeeper", dir, port.address(), ready, move |dir| launch(dir, heap)).await,
            _port: port,
        }
    }

    /// Where clients connect, `host:port`.
    pub fn address(&self) -> SocketAddr {
        self.daemon.address()
    }

    /// The process, to stop, freeze and start it again. Its data stays.
    pub fn daemon(&mut self) -> &mut Daemon {
        &mut self.daemon
    }
}

fn config(dir: &Path, port: u16) -> String {
    format!(
        "tickTime=500
minSessionTimeout=1000
maxSessionTimeout=60000
dataDir={}
clientPort={port}
clientPortAddress=127.0.0.1
admin.enableServer=false
4lw.commands.whitelist=srvr
maxClientCnxns=0
",
        dir.join("data").display()
    )
}

fn launch(dir: &Path, heap: &str) -> Command {
    let mut java = command("java", dir);
    // The last one of a kind counts.
    java.args(JAVA_OPTIONS)
        .arg(format!("-Xmx{heap}"))
        .args(["-cp", CLASS_PATH])
        .arg("org.apache.zookeeper.server.quorum.QuorumPeerMain")
        .arg("zoo.cfg");
    java
}
