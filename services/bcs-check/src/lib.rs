//! x
#![allow(dead_code, missing_docs)]
mod definition;
mod engine;
mod options;
mod task;
pub fn main(_: impl Iterator<Item = std::ffi::OsString>) -> bcs_common::config::Exit { Default::default() }
