//! bcs-cluster-manager keeps clusters, the credentials to reach them, and the namespaces and quotas of federations, over
//! gRPC and REST; agents dial into it, and it proxies requests to the API servers behind them (spec: cluster-manager.md).
//!
//! ```text
//! main, start ──► routes/ (which part) ──► rpc, routes/gateway (bytes of messages) ──► app ──► clusters, quotas, … ──► stores
//!                    │                                                                            └──► kube ──┐
//!                    └──► routes/connect, proxy, mesos, webconsole ─────────────────────────────► bcs-tunnel ◄┘
//! ```
//!
//! gRPC and REST are one: REST turns JSON into the bytes of a message and back, by the tables of `bcs-proto`. [`main`] is the
//! whole program; [`start`] runs the service inside of another process.

mod allocation;
mod app;
mod cidr;
pub mod cidr_import;
mod clusters;
mod config;
mod credentials;
mod failure;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod kube;
mod metrics;
mod namespaces;
mod options;
mod quotas;
mod record;
mod registration;
mod reply;
mod routes;
mod rpc;
mod service;
mod stores;

use std::ffi::OsString;
use std::time::Duration;

use bcs_common::config::Exit;
use bcs_common::service::{self as program, NotStarted};
use bcs_common::tls;

pub use options::{Checked, Mongo, Options, OptionsError, Store};
pub use service::{Running, StartError, start};
pub use stores::StoresError;

/// How long the process takes to stop at most; the charts give it five seconds.
const STOP_LIMIT: Duration = Duration::from_millis(4500);
/// The program: loads its options, serves until a signal, and returns what to say at the end.
pub fn main(args: impl Iterator<Item = OsString>) -> Exit {
    tls::install_provider();
    let options = match Options::load(args) {
        Ok(options) => options,
        Err(exit) => return exit,
    };
    program::run(&options.log, &[], STOP_LIMIT, async |shutdown| {
        start(&options, None, shutdown).await.map_err(|error| NotStarted::new(error.causes()))
    })
}
