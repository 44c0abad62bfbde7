//! Real programs against real servers: starts ZooKeeper, etcd, MariaDB, RabbitMQ, a MongoDB stand-in and the BCS
//! services as processes on free loopback ports, in private directories, and ends all of them with the test.
//!
//! - [`servers`] what the services depend on, [`service`] the services themselves, [`storage`] one of them;
//! - [`chaos`] a TCP proxy between the two that cuts, refuses, stalls and delays;
//! - [`kube`] a kube-apiserver, [`pod`] one with a pod to enter, [`tunnel_agent`] the agents of one, inside of the test;
//! - [`browser`] a page of a real one, [`http`] a client that sees errors, [`golden`] replays recorded conversations,
//!   [`mesos`] surrounds bcs-check, [`wait`] waits for conditions;
//! - [`daemon`], [`process`], [`ports`], [`workdir`], [`certs`] are what these are made of.
//!
//! Nothing here returns an error where a test could only unwrap it: what cannot be started or does not become ready
//! in time panics, with the end of its log.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "all of this is test code: a panic is a failed test"
)]

pub mod browser;
pub mod certs;
pub mod chaos;
pub mod daemon;
pub mod golden;
pub mod http;
pub mod kube;
pub mod mesos;
pub mod pod;
pub mod ports;
pub mod process;
pub mod servers;
pub mod service;
pub mod soak;
pub mod storage;
pub mod tunnel_agent;
pub mod wait;
pub mod workdir;
