//! bcs-api as a process: real sockets, real ZooKeeper and databases, recorded conversations.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests: a panic is a failed test"
)]

mod access;
mod backend;
mod console;
mod database;
mod faults;
mod golden;
mod harness;
mod listeners;
mod rbac;
mod remote_check;
mod replicas;
mod security;
mod start;
mod streams;
mod users;
mod webconsole;
