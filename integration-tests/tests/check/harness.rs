//! Every world of `golden/check`, played by `tools/check_harness.py`; its docstring explains the worlds.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests: a panic is a failed test, and it says what it plays again"
)]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use bcs_integration_tests::process::{Process, command};
use bcs_integration_tests::servers::zookeeper::ZooKeeper;
use bcs_integration_tests::workdir::{WorkDir, programs, python};

/// How long all worlds may take. They run side by side; the longest one waits 190 s for a refresh.
const RUN: Duration = Duration::from_secs(900);

/// Seconds that a loaded machine may add to every upper bound.
const SLACK: &str = "8";

/// Checks that the worlds of the repository hold.
const CHECKS: usize = 478;

/// What came of a run.
struct Outcome {
    passed: usize,
    /// `FAIL  world/lane/check: why`
    failures: Vec<String>,
}

#[tokio::test]
async fn bcs_check_behaves_as_specified() {
    let zookeeper = ZooKeeper::start().await;
    let all = play(zookeeper.address(), &[]).await;
    assert!(all.passed + all.failures.len() >= CHECKS, "only {} checks were run", all.passed);
    if all.failures.is_empty() {
        return;
    }
    // On a loaded machine the harness itself may be too slow for what it measures. A defect shows again when the
    // world is played by itself.
    println!("played again: {}", all.failures.join("\n"));
    let worlds: BTreeSet<&str> = all.failures.iter().map(|failure| world(failure)).collect();
    let worlds: Vec<String> = worlds.into_iter().map(file_of).collect();
    let again = play(zookeeper.address(), &worlds).await;
    assert!(again.failures.is_empty(), "{}", again.failures.join("\n"));
}

/// Plays these world files, or all, against the program.
async fn play(zookeeper: SocketAddr, files: &[String]) -> Outcome {
    let dir = WorkDir::new("check-harness");
    let program = programs().join("bcs-check");
    assert!(program.exists(), "{} is not built: run cargo build --workspace --bins", program.display());
    let mut harness = command(python(), dir.path());
    harness
        .args(["-B".as_ref(), Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/check_harness.py").as_os_str()])
        .args(["--binary".as_ref(), program.as_os_str()])
        .args(["--zk", &zookeeper.to_string(), "--slack", SLACK])
        .args(files);
    let mut process = Process::spawn("check_harness.py", harness, dir.path());
    let status = process.exited(RUN).await;
    let [report, errors] = process.output();
    let failures = report.lines().filter(|line| line.starts_with("FAIL")).map(str::to_owned).collect();
    let passed = report.lines().last().and_then(|line| line.split_once(" passed, "));
    let passed = passed.unwrap_or_else(|| panic!("{status}, no result: {report}\n{errors}")).0.parse().unwrap();
    Outcome { passed, failures }
}

/// The world of a failure.
fn world(failure: &str) -> &str {
    failure.trim_start_matches("FAIL").trim_start().split('/').next().unwrap()
}

/// The file of a world: `NUMBER-WORLD.json`.
fn file_of(world: &str) -> String {
    let files = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/check")).unwrap();
    let mut paths = files.map(|file| file.unwrap().path().to_str().unwrap().to_owned());
    let end = format!("-{world}.json");
    let is_it =
        |path: &String| path.rsplit('/').next().unwrap().trim_start_matches(|c: char| c.is_ascii_digit()) == end;
    paths.find(is_it).unwrap_or_else(|| panic!("no file of world {world}"))
}
