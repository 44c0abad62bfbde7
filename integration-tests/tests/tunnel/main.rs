//! The tunnel and the proxy through it, over real sockets: agents of ours and of the original's kind, replicas, faults.

mod agents;
mod peers;
mod proxy;
mod service;
mod stalled;
