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
use bcs_common::http::envelope::Program;
use bcs_common::shutdown::Shutdown;
use bcs_common::{logs, pidfile, tls};
use tracing::{error, warn};

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
        Err((code, reason)) => {
            error!("cannot start: {reason}");
            Exit::failure(code, reason)
        }
    }
}

async fn serve(options: &Options) -> Result<(), (u8, String)> {
    let shutdown = Shutdown::new();
    let no_signals = |error| (START_FAILED, format!("cannot listen to signals: {error}"));
    shutdown.listen_to_signals().map_err(no_signals)?;
    let outcome = match start(options, &Beside::default(), &shutdown).await {
        Ok(_running) => {
            if let Err(error) = pidfile::write(&options.process.pid_dir) {
                warn!("no pid file in {}: {error}", options.process.pid_dir.display());
            }
            shutdown.triggered().await;
            Ok(())
        }
        Err(error) => Err((error.exit_code(), error.causes())),
    };
    if !shutdown.drain(STOP_LIMIT).await {
        warn!("stopped before everything was done");
    }
    outcome
}
