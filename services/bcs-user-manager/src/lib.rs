//! bcs-user-manager keeps users with their tokens and permissions, clusters with their credentials, and the pool of CIDRs
//! for TKE clusters, and answers the gateway whether a request may pass (spec: user-manager.md).
//!
//! ```text
//! main, start ──► routes/ (read the request, answer) ──► users, permissions, clusters, … (rules) ──► bcs-sql
//!                    └──► auth, lookup (who calls)   └──► grants (what users may do, in memory) ─────┘
//! ```
//!
//! The routes read requests and write answers, the rules know no HTTP. [`main`] is the whole program; [`start`] runs the
//! service inside of another process.

mod answer;
mod auth;
mod bootstrap;
mod cidr;
mod clusters;
mod credentials;
mod document;
mod grants;
mod lookup;
mod metrics;
mod options;
mod permissions;
mod registration;
mod routes;
mod schema;
mod service;
#[cfg(test)]
mod tests;
mod tke;
mod users;

use std::ffi::OsString;
use std::time::Duration;

use bcs_common::config::{self, Exit};
use bcs_common::http::envelope::Program;
use bcs_common::shutdown::Shutdown;
use bcs_common::{logs, pidfile, tls};
use tracing::{error, warn};

pub use auth::Access;
pub use bootstrap::{AdminToken, BootstrapError};
pub use options::{BootstrapOptions, Options, OptionsError, TkeOptions, spec};
pub use routes::{MOUNT, ROUTES, Route};
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
            error!("start processor error {reason}, and exit");
            Exit::failure(START_FAILED, reason)
        }
    }
}

async fn serve(options: &Options) -> Result<(), String> {
    let shutdown = Shutdown::new();
    shutdown.listen_to_signals().map_err(|error| format!("cannot listen to signals: {error}"))?;
    let outcome = match start(options, None, &shutdown).await {
        Ok(_running) => {
            if let Err(error) = pidfile::write(&options.process.pid_dir) {
                warn!("no pid file in {}: {error}", options.process.pid_dir.display());
            }
            shutdown.triggered().await;
            Ok(())
        }
        Err(error) => Err(error.causes()),
    };
    if !shutdown.drain(STOP_LIMIT).await {
        warn!("stopped before everything was done");
    }
    outcome
}
