//! A service started out of its image's tree with the environment of the charts.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bcs_integration_tests::daemon::{Daemon, Ready};
use bcs_integration_tests::ports::Port;
use bcs_integration_tests::process::command;
use bcs_integration_tests::workdir::repository;

use crate::chart_env::Env;
use crate::tree::Tree;

/// Far more than anything here takes.
pub const SOON: Duration = Duration::from_secs(20);

/// What the charts of bcs-storage and bcs-user-manager give before they kill.
pub const GRACE: Duration = Duration::from_secs(3);

/// A service out of its tree, with the ports of the chart's environment replaced by free ones.
pub struct Started {
    pub daemon: Daemon,
    pub home: PathBuf,
    pub ports: Vec<Port>,
}

impl Started {
    /// Starts it; `ports` are the variables of its ports. The first one must accept connections.
    pub async fn new(program: &str, env: &Env, ports: &[&str]) -> Self {
        let tree = Tree::new(program);
        if env.get("storageDbConfig").is_some_and(String::is_empty) {
            without_databases(&tree.home());
        }
        let mut env = env.clone();
        let claimed: Vec<_> = ports.iter().map(|_| Port::claim()).collect();
        env.extend(ports.iter().zip(&claimed).map(|(name, port)| ((*name).to_owned(), port.number().to_string())));
        env.insert("log_dir".to_owned(), text(&tree.root().join("data/bcs/logs/bcs")));
        let home = tree.home();
        let script = home.join("container-start.sh");
        // As the charts call them.
        let flag = if program == "bcs-cluster-manager" { "--conf" } else { "-f" };
        let args = [flag.to_owned(), text(&home.join(format!("{program}.json")))];
        let make = move |dir: &Path| {
            let mut command = command(&script, dir);
            command.envs(&env).args(&args);
            command
        };
        let address = claimed[0].address();
        let daemon = Daemon::start(program, tree.into_dir(), address, Ready::Listens, make).await;
        Self { daemon, home, ports: claimed }
    }

    pub fn pid(&mut self) -> u32 {
        self.daemon.process().id()
    }

    /// The base URL of a port. The host is a name, as certificates want it.
    pub fn url(&self, scheme: &str, port: usize) -> String {
        format!("{scheme}://localhost:{}", self.ports[port].number())
    }

    pub fn log(&mut self) -> String {
        let [_, stderr] = self.daemon.process().output();
        stderr
    }

    pub async fn stops_within(&mut self, limit: Duration) {
        let (status, took) = self.daemon.stop().await;
        assert_eq!(status.code(), Some(0), "{status}");
        assert!(took < limit, "{took:?}");
    }
}

pub fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// Leaves bcs-storage nothing but its embedded store.
pub fn without_databases(home: &Path) {
    std::fs::remove_file(home.join("storage-database.conf.template")).unwrap();
}

/// A port where nothing answers.
pub fn nobody() -> String {
    format!("127.0.0.1:{}", Port::claim().number())
}

/// Certificates as the install guide makes them: no alternative names, leaf and CA with the same subject.
pub fn guide_certificate(name: &str) -> String {
    text(&repository().join("libs/bcs-common/testdata/tls").join(name))
}

/// The answer's status from a client that checks no server certificate, as the gateway; 0: there was none.
pub fn curl(args: &[&str]) -> u16 {
    let output =
        Command::new("curl").args(["-sk", "-m", "20", "-o", "/dev/null", "-w", "%{http_code}"]).args(args).output();
    String::from_utf8(output.unwrap().stdout).unwrap().parse().unwrap()
}
