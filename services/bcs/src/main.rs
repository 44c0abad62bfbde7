//! The umbrella command of BCS.

use std::process::ExitCode;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    bcs_common::tls::install_provider();
    bcs::run(bcs::cli::Cli::parse())
}
