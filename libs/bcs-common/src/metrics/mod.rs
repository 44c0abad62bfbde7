//! The metric listener of a service (common.md 5.1) and what every service puts on it.
//!
//! The registry belongs to the service and is not the global one of the crate: `bcs server` runs several services in
//! one process.

mod health;
mod process;
mod server;

pub use self::health::Health;
pub use self::process::process_collector;
pub use self::server::MetricServer;
