//! bcs-storage keeps what the watchers of clusters report (resources, events, alarms, metrics) and answers who asks for
//! it: reads, queries, watch streams, and messages to a queue (spec: storage.md).
//!
//! ```text
//! main, start ──► routes/ (read the request, answer) ──► dynamic, query, events, … (rules) ──► bcs-docstore
//!                                                   └──► queue (RabbitMQ)    nodes (ZooKeeper) ◄┘
//! ```
//!
//! The routes read requests and write answers, the rules know no HTTP, and the stores are behind traits. [`main`] is the
//! whole program; [`start`] runs the service inside of another process.

mod alarms;
mod backends;
mod cleaner;
mod cluster_config;
mod custom;
mod dynamic;
mod error;
mod events;
mod fields;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod host;
mod metric;
mod nodes;
mod observe;
mod options;
mod params;
mod purge;
mod query;
mod queue;
mod registration;
mod routes;
mod selector;
mod service;
mod state;
mod watch;

use std::ffi::OsString;
use std::time::Duration;

use bcs_common::config::{self, Exit};
use bcs_common::http::envelope::Program;
use bcs_common::shutdown::Shutdown;
use bcs_common::{errors, logs, pidfile, tls};
use tracing::{error, warn};

pub use options::{DATABASE_FILE, Options, QUEUE_FILE, spec};
pub use service::{Running, StartError, start};

/// How long the process takes to stop at most; the charts give it three seconds.
const STOP_LIMIT: Duration = Duration::from_millis(2800);

/// Exit code of a service that cannot start (common.md 9).
const START_FAILED: u8 = 1;

/// The program: loads its options, serves until a signal, and returns what to say at the end.
pub fn main(args: impl Iterator<Item = OsString>) -> Exit {
    tls::install_provider();
    let loaded = match config::load_with_warnings::<Options>(&spec(), args) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let program = Program::of_process();
    let _log = match logs::init(program.name(), &loaded.options.log) {
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
    match runtime.block_on(serve(&loaded.options, program)) {
        Ok(()) => Exit::success(),
        Err(reason) => {
            error!("{reason}");
            Exit::failure(START_FAILED, reason)
        }
    }
}

async fn serve(options: &Options, program: Program) -> Result<(), String> {
    let shutdown = Shutdown::new();
    shutdown.listen_to_signals().map_err(|error| format!("cannot listen to signals: {error}"))?;
    if let Err(error) = pidfile::write(&options.process.pid_dir) {
        warn!("no pid file in {} | err: {error}", options.process.pid_dir.display());
    }
    let outcome = match start(options, program, None, &shutdown).await {
        Ok(_running) => {
            shutdown.triggered().await;
            Ok(())
        }
        Err(error) => Err(errors::chain(&error)),
    };
    if !shutdown.drain(STOP_LIMIT).await {
        warn!("stopped before everything was done");
    }
    outcome
}
