//! bcs-check probes the tasks of a Mesos cluster over HTTP and TCP and tells the scheduler what it saw (spec: check.md).
//!
//! ```text
//! tree (ZooKeeper) ──► task, definition (what to probe) ──► engine (when) ──► probe (HTTP, TCP)
//!                                                            engine (what is new) ──► report (scheduler)
//! ```
//!
//! The engine knows no clock and no socket; `worker` gives it both. One instance of a cluster works at a time: `leader`
//! follows the election. [`main`] is the whole program; [`start`] runs the service inside of another process.

mod definition;
mod engine;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod leader;
mod limits;
mod metrics;
mod net;
mod options;
mod probe;
mod probe_command;
mod report;
mod service;
mod status;
mod task;
mod tree;
mod warnings;
mod worker;

use std::ffi::OsString;
use std::time::Duration;

use bcs_common::config::{self, Exit};
use bcs_common::http::envelope::Program;
use bcs_common::shutdown::Shutdown;
use bcs_common::{logs, pidfile, tls};
use tracing::{error, warn};

pub use options::{Options, spec};
pub use service::{Running, StartError, start};

/// How long the process takes to stop at most.
const STOP_LIMIT: Duration = Duration::from_millis(2800);

/// Exit code of a service that cannot start (common.md 9).
const START_FAILED: u8 = 1;

/// The program: `bcs-check probe …` makes one probe; otherwise it loads its options, serves until a signal, and returns
/// what to say at the end.
pub fn main(args: impl Iterator<Item = OsString>) -> Exit {
    tls::install_provider();
    let args: Vec<OsString> = args.collect();
    if args.get(1).is_some_and(|arg| arg == "probe") {
        return probe_command::run(args.into_iter().skip(2));
    }
    let loaded = match config::load_with_warnings::<Options>(&spec(), args.into_iter()) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let _log = match logs::init(Program::of_process().name(), &loaded.options.log) {
        Ok(guard) => guard,
        Err(error) => return Exit::failure(START_FAILED, format!("cannot start the log: {error}")),
    };
    for warning in &loaded.warnings {
        warn!("{warning}");
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Exit::failure(START_FAILED, format!("cannot start the runtime: {error}")),
    };
    match runtime.block_on(serve(&loaded.options)) {
        Ok(()) => Exit::success(),
        Err(reason) => {
            error!("{reason}");
            Exit::failure(START_FAILED, reason)
        }
    }
}

async fn serve(options: &Options) -> Result<(), String> {
    let shutdown = Shutdown::new();
    shutdown.listen_to_signals().map_err(|error| format!("cannot listen to signals: {error}"))?;
    if let Err(error) = pidfile::write(&options.process.pid_dir) {
        warn!("no pid file in {} | err: {error}", options.process.pid_dir.display());
    }
    let outcome = match start(options, &shutdown).await {
        Ok(_running) => {
            shutdown.triggered().await;
            Ok(())
        }
        Err(error) => Err(service::causes(&error)),
    };
    if !shutdown.drain(STOP_LIMIT).await {
        warn!("stopped before everything was done");
    }
    outcome
}
