//! Runs `tools/check_harness.py`, which tests bcs-check as a black box; its docstring explains the worlds.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use crate::process::{Process, command};
use crate::workdir::{WorkDir, programs, python};

/// How long all worlds may take; about 190 s on an idle machine.
const RUN: Duration = Duration::from_secs(900);

/// Seconds that a loaded machine may add to every upper bound.
const SLACK: &str = "5";

/// Runs all worlds against the program, with this ZooKeeper; gives the number of checks that passed.
///
/// # Panics
/// With the report, when a check fails, or when the packages of `make test-deps` are missing.
pub async fn run(zookeeper: SocketAddr) -> usize {
    let dir = WorkDir::new("check-harness");
    let program = programs().join("bcs-check");
    assert!(program.exists(), "{} is not built: run cargo build --workspace --bins", program.display());
    let mut harness = command(python(), dir.path());
    harness
        .args(["-B".as_ref(), Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/check_harness.py").as_os_str()])
        .args(["--binary".as_ref(), program.as_os_str()])
        .args(["--zk", &zookeeper.to_string(), "--slack", SLACK]);
    let mut process = Process::spawn("check_harness.py", harness, dir.path());
    let status = process.exited(RUN).await;
    let [report, errors] = process.output();
    let failed: Vec<_> = report.lines().filter(|line| line.starts_with("FAIL")).collect();
    assert!(status.success(), "{status}\n{}\n{errors}", failed.join("\n"));
    let passed = report.lines().last().and_then(|line| line.split_once(" passed, "));
    passed.unwrap_or_else(|| panic!("no result: {report}")).0.parse().unwrap()
}
