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
use bcs_common::service::{self as program, NotStarted};
use bcs_common::tls;

pub use options::{Options, spec};
pub use service::{Running, StartError, start};

/// How long the process takes to stop at most.
const STOP_LIMIT: Duration = Duration::from_millis(2800);

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
    program::run(&loaded.options.log, &loaded.warnings, STOP_LIMIT, async |shutdown| {
        program::write_pid(&loaded.options.process.pid_dir);
        start(&loaded.options, shutdown).await.map_err(|error| NotStarted::new(service::causes(&error)))
    })
}
