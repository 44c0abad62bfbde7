//! Replays recorded conversations (`golden/`) with `tools/golden.py` and, for gRPC, `tools/golden_grpc.py`, which explain
//! their formats.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::certs::Certs;
use crate::process::{Process, command};
use crate::workdir::{WorkDir, python};

/// How long one replay may take.
const REPLAY: Duration = Duration::from_secs(600);

/// A replay to run. Known defects of the original count as failures here (`--strict`): the recorded `expect` is right.
pub struct Replay {
    tool: &'static str,
    args: Vec<String>,
    files: Vec<PathBuf>,
}

impl Replay {
    /// Against the service at `base`.
    pub fn new(base: &str) -> Self {
        Self { tool: "golden.py", args: vec!["--base".to_owned(), base.to_owned()], files: Vec::new() }
    }

    /// gRPC calls against the service at `host:port`, with this contract.
    pub fn grpc(target: &str, proto: &Path) -> Self {
        Self { tool: "golden_grpc.py", args: Vec::new(), files: Vec::new() }
            .option("--target", target)
            .option("--proto", &proto.to_string_lossy())
    }

    /// Adds a conversation, or a directory of them: a path below `golden/`, or an absolute one.
    pub fn conversation(mut self, path: impl AsRef<Path>) -> Self {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
        self.files.push(golden.join(path));
        self
    }

    /// Sets a variable of the conversations.
    pub fn var(self, name: &str, value: &str) -> Self {
        self.option("--var", &format!("{name}={value}"))
    }

    /// Shows the client certificate of `certs`, for services with mutual TLS.
    pub fn client_certificate(self, certs: &Certs) -> Self {
        let (cert, key) = (certs.client_cert(), certs.client_key());
        self.option("--cert", &cert.to_string_lossy()).option("--key", &key.to_string_lossy())
    }

    /// An option without a value.
    pub fn flag(mut self, name: &str) -> Self {
        self.args.push(name.to_owned());
        self
    }

    /// Any other option of `golden.py`, for example `--zk`.
    pub fn option(mut self, name: &str, value: &str) -> Self {
        self.args.extend([name.to_owned(), value.to_owned()]);
        self
    }

    /// Runs it, and gives the number of steps that agreed.
    ///
    /// # Panics
    /// With the differences, when there are any; also when a conversation was skipped because a variable is missing.
    pub async fn run(self) -> usize {
        let dir = WorkDir::new("golden");
        let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools").join(self.tool);
        let mut python = command(python(), dir.path());
        // No byte code beside the sources.
        python.arg("-B").arg(tool).args(["replay", "--strict"]);
        python.args(&self.args).args(&self.files);
        let mut process = Process::spawn(self.tool, python, dir.path());
        let status = process.exited(REPLAY).await;
        let [report, errors] = process.output();
        let skipped = report.lines().any(|line| line.starts_with("SKIP") && !line.ends_with(": no steps"));
        assert!(status.success() && !skipped, "{status}\n{report}{errors}");
        passed(&report).unwrap_or_else(|| panic!("no result: {report}"))
    }
}

/// The count of the last line, `N passed, M failed`.
fn passed(report: &str) -> Option<usize> {
    report.lines().last()?.split_once(" passed, ")?.0.parse().ok()
}
