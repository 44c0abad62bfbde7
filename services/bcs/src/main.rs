//! The umbrella command of BCS. Under the name `cryptools` it is the original's tool of that name.

use std::process::ExitCode;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    bcs_common::tls::install_provider();
    let mut args = std::env::args_os();
    let program = args.next().map(std::path::PathBuf::from).unwrap_or_default();
    if program.file_name().is_some_and(|name| name == "cryptools") {
        return bcs::cryptools(args);
    }
    bcs::run(bcs::cli::Cli::parse())
}
