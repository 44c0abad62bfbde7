//! bcs-api is the HTTPS entry of BCS: it forwards `/bcsapi/v4/...` to services found in ZooKeeper, keeps users, clusters
//! and their credentials under `/rest`, and proxies to Kubernetes clusters, directly or through tunnels (spec: api.md).
//!
//! ```text
//! main, start ──► gateway (which part?) ──► v4: auth (may it pass?) ──► forward to a backend of discovery
//!                                      ├──► rest (read, answer) ────► auth, store ──► bcs-sql
//!                                      ├──► kube proxy ─────────────► auth, store, bcs-tunnel
//!                                      ├──► tunnels, webconsole ────► bcs-tunnel
//!                                      └──► console ────────────────► bcs-console
//! ```
//!
//! [`main`] is the whole program; [`start`] runs the service inside of another process.

mod auth;
mod bootstrap;
mod certs;
mod console;
mod discovery;
mod forward;
mod gateway;
mod kube;
mod metrics;
mod networks;
mod options;
mod path;
mod rbac;
mod registration;
mod rest;
mod service;
mod store;
mod tunnels;
mod webconsole;

use std::ffi::OsString;
use std::time::Duration;

use bcs_common::config::{self, Exit};
use bcs_common::service::{self as program, NotStarted};
use bcs_common::tls;

pub use auth::FilterError;
pub use bootstrap::BootstrapError;
pub use discovery::Beside;
pub use networks::NetworkError;
pub use options::{
    BkeOptions, BkiamAuthOptions, BootstrapOptions, FixtureOptions, FixturesOptions, Options, RbacOptions,
    ScopeOptions, TkeOptions, WhitelistOptions, spec,
};
pub use rest::{Access as RestAccess, ROUTES as REST_ROUTES, Route as RestRoute};
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
        let running = start(&loaded.options, &Beside::default(), shutdown).await;
        let running = running.map_err(|error| NotStarted { code: error.exit_code(), reason: error.causes() })?;
        program::write_pid(&loaded.options.process.pid_dir);
        Ok(running)
    })
}
