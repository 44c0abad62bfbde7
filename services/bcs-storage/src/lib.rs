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
use bcs_common::service::{self as program, NotStarted};
use bcs_common::{errors, tls};

pub use backends::{SECTIONS, mongo_options};
pub use options::{DATABASE_FILE, Options, QUEUE_FILE, spec};
pub use queue::{QueueConfig, QueueConfigError};
pub use service::{Running, StartError, start};

/// How long the process takes to stop at most; the charts give it three seconds.
const STOP_LIMIT: Duration = Duration::from_millis(2800);

/// The program: loads its options, serves until a signal, and returns what to say at the end.
pub fn main(args: impl Iterator<Item = OsString>) -> Exit {
    tls::install_provider();
    let loaded = match config::load_with_warnings::<Options>(&spec(), args) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    program::run(&loaded.options.log, &loaded.warnings, STOP_LIMIT, async |shutdown| {
        program::write_pid(&loaded.options.process.pid_dir);
        let started = start(&loaded.options, Program::of_process(), None, shutdown).await;
        started.map_err(|error| NotStarted::new(errors::chain(&error)))
    })
}
