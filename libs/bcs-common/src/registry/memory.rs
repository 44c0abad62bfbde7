//! The registry of services that run in one process (design.md 5, "embedded registry").

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::{Node, Registration, RegistrationState, Registry, ServiceRegistration};
use crate::shutdown::Shutdown;

/// Services of one process find each other here, with no server in between.
#[derive(Clone, Debug)]
pub struct MemoryRegistry {
    modules: Arc<Mutex<BTreeMap<String, watch::Sender<Vec<Node>>>>>,
    next_sequence: Arc<AtomicU64>,
    shutdown: Shutdown,
}

impl MemoryRegistry {
    /// An empty registry.
    pub fn new(shutdown: Shutdown) -> Self {
        Self { modules: Arc::default(), next_sequence: Arc::default(), shutdown }
    }

    fn module(&self, module: &str) -> watch::Sender<Vec<Node>> {
        let mut modules = self.modules.lock();
        modules.entry(module.to_owned()).or_default().clone()
    }
}

impl Registry for MemoryRegistry {
    fn register(&self, service: ServiceRegistration) -> Registration {
        let sequence = self.next_sequence.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}{sequence:010}", service.instance);
        let node = Node {
            name: name.clone(),
            sequence,
            data: service.info.to_json(),
            info: Some(service.info),
            metadata: service.metadata.unwrap_or_default(),
        };
        let nodes = self.module(&service.module);
        // Visible before this returns, so that a service started next finds it at once.
        nodes.send_modify(|nodes| nodes.push(node));
        Registration::spawn(&self.shutdown, "in-process registration", |state, stop| async move {
            state.send_replace(RegistrationState::Registered(name.clone()));
            stop.cancelled().await;
            nodes.send_modify(|nodes| nodes.retain(|node| node.name != name));
            state.send_replace(RegistrationState::Ended);
        })
    }

    fn discover(&self, module: &str) -> watch::Receiver<Vec<Node>> {
        self.module(module).subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::ServerInfo;

    fn storage(ip: &str) -> ServiceRegistration {
        let info = ServerInfo { ip: ip.into(), port: 50024, ..ServerInfo::default() };
        ServiceRegistration::new("storage", ip, info)
    }

    fn addresses(nodes: &[Node]) -> Vec<String> {
        nodes.iter().filter_map(|node| node.info.as_ref().map(|info| info.ip.clone())).collect()
    }

    #[tokio::test]
    async fn a_reader_follows_registrations_in_order() {
        let registry = MemoryRegistry::new(Shutdown::new());
        let mut storage_nodes = registry.discover("storage");
        let first = registry.register(storage("10.0.0.2"));
        let second = registry.register(storage("10.0.0.1"));
        assert_eq!(addresses(&storage_nodes.borrow_and_update()), ["10.0.0.2", "10.0.0.1"]);
        assert!(registry.discover("netservice").borrow().is_empty());

        first.deregister().await;
        assert_eq!(addresses(&storage_nodes.borrow_and_update()), ["10.0.0.1"]);
        drop(second);
        storage_nodes.wait_for(Vec::is_empty).await.unwrap();
    }

    #[tokio::test]
    async fn shutdown_takes_registrations_back() {
        let shutdown = Shutdown::new();
        let registry = MemoryRegistry::new(shutdown.clone());
        let registration = registry.register(storage("10.0.0.1"));
        assert_eq!(registration.first_result().await.unwrap(), "10.0.0.10000000000");
        assert!(shutdown.drain(std::time::Duration::from_secs(5)).await);
        assert!(registry.discover("storage").borrow().is_empty());
    }
}
