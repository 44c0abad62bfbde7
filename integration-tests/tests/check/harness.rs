//! Every world of `golden/check`, played by `tools/check_harness.py`; its docstring explains the worlds.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests: a panic is a failed test")]

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use bcs_integration_tests::process::{Process, command};
use bcs_integration_tests::servers::zookeeper::ZooKeeper;
use bcs_integration_tests::workdir::{WorkDir, programs, repository};

/// How long all worlds may take. They run side by side; the longest one waits 190 s for a refresh.
const RUN: Duration = Duration::from_secs(900);

/// Seconds that a loaded machine may add to every upper bound.
const SLACK: &str = "8";

/// Checks that the worlds of the repository hold.
const CHECKS: usize = 478;

#[tokio::test]
async fn bcs_check_behaves_as_specified() {
    let zookeeper = ZooKeeper::start().await;
    let passed = run(zookeeper.address()).await;
    assert!(passed >= CHECKS, "only {passed} checks were run");
}

/// Runs all worlds against the program, with this ZooKeeper; gives the number of checks that passed.
async fn run(zookeeper: SocketAddr) -> usize {
    let dir = WorkDir::new("check-harness");
    let python = repository().join(".cache/python/bin/python");
    assert!(python.exists(), "{} is missing: run 'make test-deps'", python.display());
    let program = programs().join("bcs-check");
    assert!(program.exists(), "{} is not built: run cargo build --workspace --bins", program.display());
    let mut harness = command(&python, dir.path());
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
