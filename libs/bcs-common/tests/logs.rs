//! The log of a whole process. One test: a process has one log. This crate counts as a library, its name is not BCS's.

use std::fs;
use std::panic::catch_unwind;

use bcs_common::config::Exit;
use bcs_common::config::group::{LogFormat, LogOptions};
use bcs_common::logs;

#[test]
fn a_process_has_one_log() {
    assert_eq!(logs::fatal("no log yet"), Exit::failure(255, "no log yet"));
    logs::set_level(7);
    assert_eq!(logs::level(), 0);

    let temp = tempfile::tempdir().unwrap();
    let opts = LogOptions {
        log_dir: temp.path().join("logs"),
        log_max_size: 500,
        log_max_num: 10,
        logtostderr: false,
        alsologtostderr: false,
        v: 0,
        stderrthreshold: "4".into(),
        vmodule: "nonsense".into(),
        log_backtrace_at: String::new(),
        log_format: LogFormat::Text,
    };
    let guard = logs::init("bcs-x", &opts).unwrap();
    assert!(logs::init("bcs-x", &opts).is_err());

    tracing::info!("library info at 0");
    tracing::warn!("library warning");
    logs::set_level(3);
    assert_eq!(logs::level(), 3);
    tracing::info!("library info at 3");
    tracing::debug!("library debug at 3");
    assert!(catch_unwind(|| panic!("broken {}", 1)).is_err());

    let read = |level: &str| fs::read_to_string(opts.log_dir.join(format!("bcs-x.{level}"))).unwrap_or_default();
    assert!(read("ERROR").contains("] panic: broken 1"), "a panic flushes: {}", read("ERROR"));

    assert_eq!(logs::fatal("cannot go on"), Exit { code: 255, ..Exit::default() });
    assert!(read("FATAL").contains(" logs.rs:") && read("FATAL").contains("] cannot go on"), "{}", read("FATAL"));

    tracing::warn!("the last words");
    drop(guard);
    let info = read("INFO");
    for (text, want) in [
        ("vmodule: \"nonsense\" is ignored", true),
        ("library info at 0", false),
        ("library warning", true),
        ("library info at 3", true),
        ("library debug at 3", false),
        ("the last words", true),
    ] {
        assert_eq!(info.contains(text), want, "{text}: {info}");
    }
    assert!(read("WARNING").contains("the last words") && !read("WARNING").contains("library info"));
}
