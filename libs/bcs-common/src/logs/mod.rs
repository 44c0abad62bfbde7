//! The log: files, lines and levels as the original's (common.md 1.6), fed by `tracing`.
//!
//! | event | written as | when |
//! |---|---|---|
//! | `error!`, `warn!` | ERROR, WARNING | always |
//! | `info!` | INFO | always; of libraries from `v` 3 |
//! | `debug!` | INFO | from `v` 3; of libraries from 8 |
//! | `trace!` | INFO | from `v` 5; of libraries from 10 |
//!
//! An event that is not written costs one atomic load: its fields are not even formatted.

mod files;
mod host;
mod line;
mod severity;
mod subscriber;
mod verbosity;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt::Display;
use std::io::{self, Write};
use std::panic::{Location, PanicHookInfo};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use chrono::Local;
use parking_lot::Mutex;

use crate::config::Exit;
use crate::config::group::{LogFormat, LogOptions};
use files::{Files, Settings};
use line::{Message, Source, render};
use severity::{Severity, parse_threshold};
use subscriber::LogSubscriber;
use verbosity::Verbosity;

/// How long a line may wait in memory.
const FLUSH_EVERY: Duration = Duration::from_secs(5);
/// How long a writer waits for another one; only a writer that has panicked holds the lock longer.
const LOCK_LIMIT: Duration = Duration::from_secs(10);
/// Exit code of a fatal error (common.md 9).
const FATAL_EXIT: u8 = 255;

static GLOBAL: OnceLock<Arc<Log>> = OnceLock::new();

/// Start the log of the process: tracing events and panics go to it. `program` is the base name of argv[0].
///
/// A bad `stderrthreshold` or `vmodule` is logged and ignored, as is a directory that cannot be written.
///
/// # Errors
/// The process has a log already, or the thread that flushes cannot be started.
pub fn init(program: &str, opts: &LogOptions) -> io::Result<LogGuard> {
    let (log, complaints) = Log::new(program, opts);
    let log = Arc::new(log);
    tracing::subscriber::set_global_default(LogSubscriber(Arc::clone(&log)))
        .map_err(|error| io::Error::new(io::ErrorKind::AlreadyExists, error))?;
    let log = GLOBAL.get_or_init(|| log);
    std::panic::set_hook(Box::new(|info| log.panicked(info)));
    for complaint in complaints {
        tracing::warn!("{complaint}");
    }
    LogGuard::start(Arc::clone(log))
}

/// Change the verbosity (the option `v`) at run time. Without a log nothing happens.
pub fn set_level(v: i32) {
    if let Some(log) = GLOBAL.get() {
        log.set_level(v);
    }
}

/// The verbosity, 0 without a log.
#[must_use]
pub fn level() -> i32 {
    GLOBAL.get().map_or(0, |log| log.verbosity.get())
}

/// Log a fatal error, with a stack trace if `RUST_BACKTRACE` asks for it, and flush. `main` returns the [`Exit`] (code 255).
#[track_caller]
pub fn fatal(message: impl Display) -> Exit {
    let Some(log) = GLOBAL.get() else {
        return Exit::failure(FATAL_EXIT, message);
    };
    let place = Location::caller();
    log.record(Severity::Fatal, Source { file: place.file(), line: place.line() }, &with_backtrace(message).into());
    log.flush();
    Exit { code: FATAL_EXIT, ..Exit::default() }
}

/// Keeps the log flushed every 5 s; dropping it flushes for the last time.
#[must_use = "dropping it ends the regular flushes"]
pub struct LogGuard {
    log: Arc<Log>,
    /// Dropped to end the thread.
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl LogGuard {
    fn start(log: Arc<Log>) -> io::Result<Self> {
        let (stop, stopped) = mpsc::sync_channel::<()>(0);
        let flushed = Arc::clone(&log);
        // A thread, not a task: it must work while the runtime is busy or not there yet.
        let thread = std::thread::Builder::new().name("log-flush".to_owned()).spawn(move || {
            while stopped.recv_timeout(FLUSH_EVERY) == Err(RecvTimeoutError::Timeout) {
                flushed.flush();
            }
        })?;
        Ok(Self { log, stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been logged by the hook.
            let _ = thread.join();
        }
        self.log.flush();
    }
}

/// Where messages go, and which.
struct Log {
    verbosity: Verbosity,
    format: LogFormat,
    /// Lowest level number that also goes to standard error.
    threshold: i64,
    /// `None`: standard error only.
    files: Option<Mutex<Files>>,
    /// The last write failed, and standard error has been told.
    broken: AtomicBool,
}

impl Log {
    /// The second result says which options are unusable.
    fn new(program: &str, opts: &LogOptions) -> (Self, Vec<String>) {
        let (verbosity, bad) = Verbosity::new(opts.v, &opts.vmodule);
        let mut complaints: Vec<_> =
            bad.iter().map(|part| format!("vmodule: {part:?} is ignored: want pattern=N")).collect();
        let threshold = parse_threshold(&opts.stderrthreshold).unwrap_or_else(|| {
            complaints.push(format!("stderrthreshold {:?} is ignored: want a level", opts.stderrthreshold));
            Severity::Error.number()
        });
        let settings = Settings {
            dir: opts.log_dir.clone(),
            fallback: std::env::temp_dir(),
            program: program.to_owned(),
            host: host::host_name(),
            user: host::user_name(),
            max_size: opts.log_max_size.saturating_mul(1024 * 1024),
            max_files: usize::try_from(opts.log_max_num).unwrap_or_default(),
            format: opts.log_format,
        };
        let log = Self {
            verbosity,
            format: opts.log_format,
            threshold: if opts.logtostderr || opts.alsologtostderr { 0 } else { threshold },
            files: (!opts.logtostderr).then(|| Mutex::new(Files::new(settings))),
            broken: AtomicBool::new(false),
        };
        (log, complaints)
    }

    fn record(&self, severity: Severity, source: Source<'_>, message: &Message) {
        let line = render(self.format, severity, Local::now(), source, message);
        let on_stderr = severity.number() >= self.threshold;
        if on_stderr {
            to_stderr(&line);
        }
        let is_kept = self.with_files(|files| files.write(severity, &line));
        if !is_kept && !on_stderr {
            // On a read-only file system, say, where the log would be lost otherwise.
            to_stderr(&line);
        }
    }

    fn flush(&self) {
        self.with_files(Files::flush);
    }

    /// Whether the files took it, if there are any. Standard error hears of the first of a row of failures.
    fn with_files(&self, action: impl FnOnce(&mut Files) -> io::Result<()>) -> bool {
        let Some(files) = &self.files else { return true };
        let Some(mut files) = files.try_lock_for(LOCK_LIMIT) else { return false };
        let result = action(&mut files);
        drop(files);
        if self.broken.swap(result.is_err(), Ordering::Relaxed) {
            return result.is_ok();
        }
        if let Err(error) = &result {
            to_stderr(&format!("log: cannot write: {error}\n"));
        }
        result.is_ok()
    }

    fn set_level(&self, v: i32) {
        self.verbosity.set(v);
        tracing::callsite::rebuild_interest_cache();
    }

    /// The process may be about to abort: nothing may stay in memory.
    fn panicked(&self, info: &PanicHookInfo<'_>) {
        let (file, line) = info.location().map_or(("", 0), |place| (place.file(), place.line()));
        let message = format!("panic: {}", info.payload_as_str().unwrap_or("(no message)"));
        self.record(Severity::Error, Source { file, line }, &with_backtrace(message).into());
        self.flush();
    }
}

fn to_stderr(line: &str) {
    // There is no place to report that standard error is closed.
    let _ = io::stderr().write_all(line.as_bytes());
}

fn with_backtrace(message: impl Display) -> String {
    let backtrace = Backtrace::capture();
    match backtrace.status() {
        BacktraceStatus::Captured => format!("{message}\n{backtrace}"),
        _ => message.to_string(),
    }
}

#[cfg(test)]
mod tests;
