//! SIGTERM triggers the shutdown, a second one ends the process. The signals go to a child: this program, run again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a failed test is a failed test

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use bcs_common::shutdown::Shutdown;

const ROLE: &str = "BCS_TEST_SIGNAL_CHILD";
/// The child ends by itself then, so that a failed test leaves nothing behind.
const LIFE: Duration = Duration::from_secs(120);

/// Not a test by itself: what the child runs.
#[tokio::test]
async fn child() {
    if std::env::var_os(ROLE).is_none() {
        return;
    }
    let shutdown = Shutdown::new();
    shutdown.listen_to_signals().unwrap();
    println!("\nlistening");
    if tokio::time::timeout(LIFE, shutdown.triggered()).await.is_ok() {
        println!("\ntriggered");
        tokio::time::sleep(LIFE).await;
    }
}

fn send(signal: &str, process: u32) {
    let status = Command::new("kill").args([signal, &process.to_string()]).status().unwrap();
    assert!(status.success());
}

#[test]
fn the_first_signal_triggers_the_second_exits() {
    for (first, second, code) in [("-TERM", "-TERM", 143), ("-INT", "-TERM", 143), ("-TERM", "-INT", 130)] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture"])
            .env(ROLE, "1")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut wait_for = |text: &str| assert!(lines.any(|line| line.unwrap() == text), "ended before {text}");
        wait_for("listening");
        send(first, child.id());
        wait_for("triggered");
        send(second, child.id());
        assert_eq!(child.wait().unwrap().code(), Some(code), "{first} {second}");
    }
}
