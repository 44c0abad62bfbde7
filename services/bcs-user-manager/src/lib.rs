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
use bcs_common::service::{self as program, NotStarted};
use bcs_common::tls;
use tracing::error;

pub use auth::Access;
pub use bootstrap::{AdminToken, BootstrapError};
pub use options::{BootstrapOptions, Options, OptionsError, TkeOptions, spec};
pub use routes::{MOUNT, ROUTES, Route};
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
        let running = start(&loaded.options, None, shutdown).await.map_err(|error| {
            let reason = error.causes();
            // What scripts look for in the log of the original.
            error!("start processor error {reason}, and exit");
            NotStarted::new(reason)
        })?;
        program::write_pid(&loaded.options.process.pid_dir);
        Ok(running)
    })
}
