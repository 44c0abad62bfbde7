//! Service registries: ZooKeeper (common.md 3), etcd in go-micro's layout (common.md 4) and one inside the process.
//!
//! All three hide behind [`Registry`]: a service registers itself once and stays registered until the
//! [`Registration`] is dropped or the process shuts down; a reader gets a list of [`Node`]s that follows every change.

pub(crate) mod address;
pub mod election;
pub mod etcd;
mod memory;
mod node;
mod registration;
mod server_info;
pub mod zookeeper;

pub use address::AddressError;
pub use memory::MemoryRegistry;
pub use node::{Node, sequence};
pub use registration::{Registration, RegistrationState};
pub use server_info::{Secret, ServerInfo};

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use tokio::sync::watch;
use uuid::Uuid;

/// What one instance of a service tells the others about itself.
#[derive(Clone, Debug)]
pub struct ServiceRegistration {
    /// Module name of common.md 3.7, such as `storage`. In ZooKeeper it is the directory below the base path and may
    /// name a cluster as well (`check/BCS-K8S-1`); in etcd it becomes the service name `<module>.bkbcs.tencent.com`.
    pub module: String,
    /// Name of the ZooKeeper node before its sequence number, such as `127.0.0.1` or `127.0.0.1.4242`.
    pub instance: String,
    /// Where the instance listens. ZooKeeper nodes hold all of it, etcd nodes `ip:port`.
    pub info: ServerInfo,
    /// The bare version (not the four lines of `info.version`), as etcd nodes hold it.
    pub version: String,
    /// Identity of this start of the process; the end of the etcd node id.
    pub uuid: Uuid,
    /// Metadata of the etcd node; none is written as `null`.
    pub metadata: Option<BTreeMap<String, String>>,
    /// What the service offers, as a JSON array, for the etcd node; none is written as `null`.
    pub endpoints: Option<Box<RawValue>>,
}

impl ServiceRegistration {
    /// A registration without metadata and with a new identity.
    pub fn new(module: impl Into<String>, instance: impl Into<String>, info: ServerInfo) -> Self {
        Self {
            module: module.into(),
            instance: instance.into(),
            info,
            version: String::new(),
            uuid: Uuid::new_v4(),
            metadata: None,
            endpoints: None,
        }
    }
}

/// Where services announce themselves and find each other.
pub trait Registry: Send + Sync {
    /// Registers the instance and keeps it registered in the background; returns at once, also while the registry
    /// cannot be reached. [`Registration::first_result`] tells how the first attempt ended.
    fn register(&self, service: ServiceRegistration) -> Registration;

    /// The instances of a module, ordered by sequence and kept up to date until the receiver is dropped.
    ///
    /// The list is empty until it has been read for the first time, and keeps its last value while the registry
    /// cannot be reached.
    fn discover(&self, module: &str) -> watch::Receiver<Vec<Node>>;
}

/// Why an attempt to register failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("not registered: {reason}")]
pub struct RegistryError {
    /// The causes, outermost first.
    pub reason: String,
}

/// The texts of an error and of all its sources, for a state or log line that cannot hold the error itself.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
