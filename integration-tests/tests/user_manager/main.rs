//! bcs-user-manager as a process of its own, on the embedded database and on MariaDB.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests: a panic is a failed test"
)]

mod access;
mod api;
mod golden;
mod mysql;
mod start;
