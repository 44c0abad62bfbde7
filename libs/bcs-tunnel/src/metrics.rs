//! The metrics of the tunnel, under the names of the original (common.md 5.3).

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

const NAMESPACE: &str = "bcs_api_session_server";
/// Different addresses that get a series of their own; the rest shares the address `other`.
const MAX_ADDRESSES: usize = 1000;

/// All metrics of a tunnel server. Clones share them.
#[derive(Clone)]
pub struct Metrics(Arc<Vectors>);

struct Vectors {
    add_session: IntCounterVec,
    remove_session: IntCounterVec,
    add_connections: IntCounterVec,
    remove_connections: IntCounterVec,
    transmit: IntCounterVec,
    transmit_error: IntCounterVec,
    receive: IntCounterVec,
    peer_attempt: IntCounterVec,
    peer_connected: IntCounterVec,
    addresses: Mutex<HashSet<String>>,
}

impl Metrics {
    /// Registers them.
    ///
    /// # Errors
    /// If one of the names is taken.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let vector = IntCounterVec::new(Opts::new(name, help).namespace(NAMESPACE), labels)?;
            registry.register(Box::new(vector.clone()))?;
            Ok::<_, prometheus::Error>(vector)
        };
        let session = ["clientkey", "peer"];
        let connection = ["clientkey", "proto", "addr"];
        // Kept for dashboards; the original never increments it.
        counter("total_peer_ws_disconnected", "Total count of disconnected websocket sessions to peers", &["peer"])?;
        Ok(Self(Arc::new(Vectors {
            add_session: counter("total_add_websocket_session", "Total count of added websocket sessions", &session)?,
            remove_session: counter(
                "total_remove_websocket_session",
                "Total count of removed websocket sessions",
                &session,
            )?,
            add_connections: counter("total_add_connections", "Total count of added connections", &connection)?,
            remove_connections: counter("total_remove_connections", "Total count of removed connections", &connection)?,
            transmit: counter("total_transmit_bytes", "Total bytes transmitted", &["clientkey"])?,
            transmit_error: counter("total_transmit_error_bytes", "Total bytes not transmitted", &["clientkey"])?,
            receive: counter("total_receive_bytes", "Total bytes received", &["clientkey"])?,
            peer_attempt: counter("total_peer_ws_attempt", "Total count of attempts to reach peers", &["peer"])?,
            peer_connected: counter("total_peer_ws_connected", "Total count of connections to peers", &["peer"])?,
            addresses: Mutex::default(),
        })))
    }

    pub(crate) fn session_added(&self, key: &str, peer: bool) {
        self.0.add_session.with_label_values(&[key, flag(peer)]).inc();
    }

    pub(crate) fn session_removed(&self, key: &str, peer: bool) {
        self.0.remove_session.with_label_values(&[key, flag(peer)]).inc();
    }

    pub(crate) fn peer_attempt(&self, peer: &str) {
        self.0.peer_attempt.with_label_values(&[peer]).inc();
    }

    pub(crate) fn peer_connected(&self, peer: &str) {
        self.0.peer_connected.with_label_values(&[peer]).inc();
    }

    pub(crate) fn of_session(&self, key: &str) -> SessionMetrics {
        SessionMetrics {
            key: key.into(),
            transmit: self.0.transmit.with_label_values(&[key]),
            receive: self.0.receive.with_label_values(&[key]),
            traffic: Arc::default(),
            all: self.clone(),
        }
    }

    /// The address as a label: every label value lives as long as the process.
    fn label<'a>(&self, address: &'a str) -> &'a str {
        let mut addresses = self.0.addresses.lock();
        if addresses.contains(address) {
            return address;
        }
        if addresses.len() >= MAX_ADDRESSES {
            return "other";
        }
        addresses.insert(address.to_owned());
        address
    }
}

fn flag(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

/// Bytes of one session: the metrics are those of all sessions of a key.
#[derive(Default)]
struct Traffic {
    transmitted: AtomicU64,
    received: AtomicU64,
}

/// The metrics of one session.
#[derive(Clone)]
pub(crate) struct SessionMetrics {
    key: Arc<str>,
    transmit: IntCounter,
    receive: IntCounter,
    traffic: Arc<Traffic>,
    all: Metrics,
}

impl SessionMetrics {
    pub fn transmitted(&self, bytes: usize) {
        self.transmit.inc_by(number(bytes));
        self.traffic.transmitted.fetch_add(number(bytes), Ordering::Relaxed);
    }

    pub fn not_transmitted(&self, bytes: usize) {
        if bytes > 0 {
            self.all.0.transmit_error.with_label_values(&[&self.key]).inc_by(number(bytes));
        }
    }

    pub fn received(&self, bytes: usize) {
        self.receive.inc_by(number(bytes));
        self.traffic.received.fetch_add(number(bytes), Ordering::Relaxed);
    }

    /// Bytes of this session so far: transmitted, received.
    pub fn bytes(&self) -> (u64, u64) {
        let Traffic { transmitted, received } = &*self.traffic;
        (transmitted.load(Ordering::Relaxed), received.load(Ordering::Relaxed))
    }

    pub fn connection_added(&self, network: &str, address: &str) {
        self.all.0.add_connections.with_label_values(&[&*self.key, network, self.all.label(address)]).inc();
    }

    pub fn connection_removed(&self, network: &str, address: &str) {
        self.all.0.remove_connections.with_label_values(&[&*self.key, network, self.all.label(address)]).inc();
    }
}

fn number(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
