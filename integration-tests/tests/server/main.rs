//! `bcs server` as its users see it: the console in a browser, its API behind one token, the tools around it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests: a panic is a failed test"
)]

mod api;
mod console;
mod entry;
mod server;
mod tools;
