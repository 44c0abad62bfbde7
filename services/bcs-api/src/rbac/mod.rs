//! Permissions of users inside of clusters: RBAC objects that follow the configuration or the IAM (api.md 13).

mod config;
mod kube;
mod permission;
mod push;
mod roles;
#[cfg(test)]
mod tests;

use bcs_common::shutdown::Shutdown;

use crate::options::Options;
use crate::store::Store;

/// Starts what is turned on; it ends with the shutdown.
pub(crate) fn start(options: &Options, store: &Store, shutdown: &Shutdown) {
    if options.bke.turn_on_conf {
        let (store, entries, stop) = (store.clone(), options.bke.rbac_data.clone(), shutdown.clone());
        shutdown.spawn("rbac from the configuration", async move {
            tokio::select! {
                () = config::sync(&store, &entries, &stop) => {}
                () = stop.triggered() => {}
            }
        });
    }
    if options.bke.turn_on_auth {
        push::start(&options.bkiam_auth, store, shutdown);
    }
}

/// A user's name in a cluster: the name that the kube proxy impersonates, and a label of the bindings.
pub(crate) fn label_value(name: &str) -> String {
    name.replacen(':', ".", 1)
}
