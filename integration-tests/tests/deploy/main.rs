//! What operators install: the trees of the images with their start script and templates, started as the charts start
//! them (deploy.md 18). The numbers D-… are those of its checklist.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests: a panic is a failed test"
)]

mod chart_env;
mod charts;
mod checklist;
mod configs;
mod images;
mod layout;
mod listening;
mod package;
mod render;
mod start;
mod start_others;
mod started;
mod tree;

/// Says what cannot be tested on this machine. Not by a macro: those are silent in a test that passes.
fn skipped(what: &str) {
    let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("SKIPPED: {what}\n").as_bytes());
}
