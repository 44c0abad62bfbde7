//! MariaDB.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::geteuid;

use crate::daemon::{Daemon, Ready};
use crate::ports::Port;
use crate::process::{Process, command};
use crate::workdir::WorkDir;

/// How long one call of a client program may take.
const CLIENT: Duration = Duration::from_secs(60);

/// A MariaDB server whose user `root` has no password.
pub struct MariaDb {
    daemon: Daemon,
    port: Port,
}

impl MariaDb {
    /// Starts an empty one.
    pub async fn start() -> Self {
        let dir = WorkDir::new("mariadb");
        create_system_tables(dir.path()).await;
        let port = Port::claim();
        let number = port.number();
        // The server speaks first: three bytes of length, the sequence number 0, the protocol version 10.
        let ready = Ready::Answers { to: b"", with: |greeting| greeting.get(3..5) == Some(&[0, 10]) };
        let daemon = Daemon::start("mariadb", dir, port.address(), ready, move |dir| {
            let mut server = as_this_user(command("mariadbd", dir), dir);
            server
                .args(["--bind-address=127.0.0.1", &format!("--port={number}")])
                // Relative to the data directory: absolute paths may be longer than a socket's may be.
                .args(["--socket=server.sock", "--pid-file=server.pid"])
                .args(["--skip-name-resolve", "--innodb-buffer-pool-size=32M"]);
            server
        })
        .await;
        Self { daemon, port }
    }

    /// Where clients connect, `host:port`.
    pub fn address(&self) -> SocketAddr {
        self.daemon.address()
    }

    /// Makes an empty database (utf8mb4), and gives its data source name in the syntax of the configs.
    pub async fn create_database(&self, name: &str) -> String {
        self.query(&format!("CREATE DATABASE `{name}` CHARACTER SET utf8mb4")).await;
        let address = self.address();
        format!("root:@tcp({address})/{name}?charset=utf8mb4&parseTime=True&loc=Local")
    }

    /// Runs SQL with the client program; rows as lines, columns divided by tabs, without a head line.
    ///
    /// # Panics
    /// When the SQL fails.
    pub async fn query(&self, sql: &str) -> String {
        let dir = WorkDir::new("mariadb-client");
        let mut client = command("mariadb", dir.path());
        client
            .args(["--no-defaults", "--host=127.0.0.1", "--user=root"])
            .arg(format!("--port={}", self.port.number()))
            .args(["--batch", "--raw", "--skip-column-names", "--execute", sql]);
        run("mariadb client", client, dir.path()).await
    }

    /// Everything that tells two schemas apart: the columns and the keys of all tables of a database.
    pub async fn schema(&self, database: &str) -> String {
        let columns = format!(
            "SELECT table_name, ordinal_position, column_name, column_type, is_nullable, column_default, extra, column_key \
             FROM information_schema.columns WHERE table_schema = '{database}' ORDER BY table_name, ordinal_position"
        );
        let keys = format!(
            "SELECT table_name, index_name, column_name, non_unique FROM information_schema.statistics \
             WHERE table_schema = '{database}' ORDER BY table_name, index_name, seq_in_index"
        );
        self.query(&columns).await + &self.query(&keys).await
    }

    /// The process, to stop, freeze and start it again. Its data stays.
    pub fn daemon(&mut self) -> &mut Daemon {
        &mut self.daemon
    }
}

/// Fills the data directory.
async fn create_system_tables(dir: &Path) {
    let mut install = as_this_user(command("mariadb-install-db", dir), dir);
    install.args([
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
        "--skip-name-resolve",
        "--innodb-log-file-size=8M",
    ]);
    run("mariadb-install-db", install, dir).await;
}

/// The options every server program needs first. Root must be named, or the server refuses to run.
fn as_this_user(mut program: Command, dir: &Path) -> Command {
    program.arg("--no-defaults").arg(format!("--datadir={}", dir.join("data").display()));
    // A server that starts removes the temporary tables it finds: those of all others, if they share a directory.
    program.arg(format!("--tmpdir={}", dir.display()));
    if geteuid().is_root() {
        program.arg("--user=root");
    }
    program
}

async fn run(name: &str, command: Command, dir: &Path) -> String {
    let mut process = Process::spawn(name, command, dir);
    let status = process.exited(CLIENT).await;
    assert!(status.success(), "{name}: {status}");
    let [stdout, _] = process.output();
    stdout
}
