//! The tunnel and the proxy through it, over real sockets: agents of ours and of the original's kind, replicas, faults.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests: a panic is a failed test"
)]

mod agents;
mod outbound;
mod peers;
mod proxy;
mod service;
mod silent;
mod stalled;
