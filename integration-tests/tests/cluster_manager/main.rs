//! bcs-cluster-manager: the real program against real servers, clients and agents.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests: a panic is a failed test"
)]

mod cidr_migration;
mod direct;
mod golden;
mod input;
mod kubectl;
mod left_behind;
mod mesos;
mod pod;
mod registration;
mod start;
mod store;
mod support;
