//! From tracing events to lines in files.

use super::*;
use std::path::Path;

fn options(dir: &Path) -> LogOptions {
    LogOptions {
        log_dir: dir.to_owned(),
        log_max_size: 500,
        log_max_num: 10,
        logtostderr: false,
        alsologtostderr: false,
        v: 0,
        stderrthreshold: "FATAL".into(),
        vmodule: String::new(),
        log_backtrace_at: String::new(),
        log_format: LogFormat::Text,
    }
}

fn written(opts: &LogOptions, work: impl FnOnce(&Log)) -> String {
    let log = Arc::new(Log::new("bcs-x", opts).0);
    tracing::subscriber::with_default(LogSubscriber(Arc::clone(&log)), || work(&log));
    log.flush();
    let text = std::fs::read_to_string(opts.log_dir.join("bcs-x.INFO")).unwrap_or_default();
    text.lines().skip(4).map(|line| format!("{line}\n")).collect()
}

/// The lines without their headers.
fn messages(text: &str) -> Vec<&str> {
    text.lines().map(|line| line.split_once("] ").unwrap().1).collect()
}

#[test]
fn events_become_lines() {
    let temp = tempfile::tempdir().unwrap();
    let text = written(&options(temp.path()), |_| {
        tracing::info!(port = 80, name = "a", "listening");
        tracing::warn!(error = %"no route", "lost {}", 1);
        tracing::error!("bad");
        tracing::debug!("hidden");
    });
    assert_eq!(messages(&text), ["listening port=80 name=a", "lost 1 error=\"no route\"", "bad"]);
    assert_eq!(text.lines().map(|line| &line[..1]).collect::<String>(), "IWE");
    assert!(text.lines().all(|line| line.contains(" tests.rs:")), "{text}");
}

#[test]
fn verbosity_changes_at_run_time() {
    let temp = tempfile::tempdir().unwrap();
    let talk = || {
        tracing::debug!("debug");
        tracing::trace!("trace");
    };
    let text = written(&options(temp.path()), |log| {
        for v in [0, 3, 5, 0] {
            log.set_level(v);
            tracing::info!("v {v}");
            talk();
        }
    });
    assert_eq!(messages(&text), ["v 0", "v 3", "debug", "v 5", "debug", "trace", "v 0"]);
}

#[test]
fn disabled_events_are_not_formatted() {
    struct Counted<'a>(&'a std::cell::Cell<u32>);
    impl Display for Counted<'_> {
        fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            self.0.set(self.0.get() + 1);
            formatter.write_str("x")
        }
    }
    let temp = tempfile::tempdir().unwrap();
    let count = std::cell::Cell::new(0);
    written(&options(temp.path()), |_| {
        tracing::debug!("{}", Counted(&count));
        tracing::info!("{}", Counted(&count));
    });
    assert_eq!(count.get(), 1);
}

#[test]
fn vmodule_opens_single_files() {
    let temp = tempfile::tempdir().unwrap();
    let opts = LogOptions { vmodule: "tes?s=3".into(), ..options(temp.path()) };
    let text = written(&opts, |_| {
        tracing::debug!("debug");
        tracing::trace!("trace");
    });
    assert_eq!(messages(&text), ["debug"]);
}

#[test]
fn spans_are_off() {
    let temp = tempfile::tempdir().unwrap();
    let text = written(&options(temp.path()), |_| {
        let span = tracing::error_span!("request");
        assert!(span.is_disabled());
        span.in_scope(|| tracing::info!("inside"));
    });
    assert_eq!(messages(&text), ["inside"]);
}

#[test]
fn logtostderr_makes_no_files() {
    let temp = tempfile::tempdir().unwrap();
    let opts = LogOptions { logtostderr: true, log_dir: temp.path().join("logs"), ..options(temp.path()) };
    written(&opts, |_| tracing::info!("to stderr"));
    assert!(!opts.log_dir.exists());
}

#[test]
fn thresholds_follow_the_options() {
    let temp = tempfile::tempdir().unwrap();
    let threshold = |change: fn(&mut LogOptions)| {
        let mut opts = options(temp.path());
        change(&mut opts);
        let (log, complaints) = Log::new("bcs-x", &opts);
        (log.threshold, complaints.len())
    };
    assert_eq!(threshold(|opts| opts.stderrthreshold = "1".into()), (1, 0));
    assert_eq!(threshold(|opts| opts.stderrthreshold = "loud".into()), (2, 1));
    assert_eq!(threshold(|opts| opts.alsologtostderr = true), (0, 0));
    assert_eq!(threshold(|opts| opts.vmodule = "a".into()), (3, 1));
}
