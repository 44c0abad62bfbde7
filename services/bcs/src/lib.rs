//! The umbrella command `bcs`: all services in one process, and tools for operators.

mod certs;
pub mod cli;
mod crypt;
mod server;

use std::io::{self, Write};
use std::process::ExitCode;

use bcs_common::errors;
use cli::{Cli, Command};

/// Runs one subcommand. Exit code 0: done; 1: it failed and standard error says why; 2 (by clap): wrong arguments.
pub fn run(cli: Cli) -> ExitCode {
    let result = match cli.command {
        Command::Server(args) => server::run(&args, &mut io::stdout()),
        Command::Crypt(command) => crypt::run(&command, &mut io::stdin(), &mut io::stdout()),
        Command::Certs(args) => certs::run(&args, &mut io::stdout()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nowhere is left to report that standard error is closed.
            let _ = writeln!(io::stderr(), "{}", errors::chain(&*error));
            ExitCode::FAILURE
        }
    }
}
