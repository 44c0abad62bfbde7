//! The server: a real MongoDB replica set if `BCS_TEST_MONGODB_URI` names one, else the stand-in in memory that
//! `make test-deps` puts into `.cache`.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

/// `host:port[,host:port…]` of the server that all tests of this program share.
pub fn hosts() -> String {
    static STAND_IN: OnceLock<StandIn> = OnceLock::new();
    match std::env::var("BCS_TEST_MONGODB_URI") {
        Ok(uri) => {
            let rest = uri.split_once("://").map_or(uri.as_str(), |(_, rest)| rest);
            rest.split(['/', '?']).next().unwrap().to_owned()
        }
        Err(_) => STAND_IN.get_or_init(StandIn::start).address(),
    }
}

/// A running stand-in.
pub struct StandIn {
    port: u16,
    /// Its standard input is the server's life line: the server ends when it closes, however this program ends.
    guard: Child,
}

/// Starts the server and ends it when the standard input closes.
const GUARD: &str = r#"java -XX:TieredStopAtLevel=1 -Xmx256m -cp "$1" MongoDbServer 0 & cat; kill -9 $!"#;

impl StandIn {
    /// A server of its own, for tests that break it.
    pub fn start() -> Self {
        let cache = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../.cache/mongo-server"));
        assert!(cache.join("classes").exists(), "no MongoDB stand-in in {}: run make test-deps", cache.display());
        let class_path = format!("{0}/classes:{0}/jars/*", cache.display());
        let mut guard = Command::new("sh")
            .args(["-c", GUARD, "sh", &class_path])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(guard.stderr.take().unwrap()).lines().map_while(Result::ok);
        let mut seen = Vec::new();
        let port = log.find_map(|line| {
            let port = line.split_once("MongoServer(port: ").and_then(|(_, rest)| rest.split(',').next()?.parse().ok());
            seen.push(line);
            port
        });
        let port = port.unwrap_or_else(|| panic!("the MongoDB stand-in did not start:\n{}", seen.join("\n")));
        // The server blocks when nobody reads what it says.
        std::thread::spawn(move || log.for_each(drop));
        Self { port, guard }
    }

    /// Where it listens.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}
