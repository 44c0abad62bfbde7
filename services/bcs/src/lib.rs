//! The umbrella command `bcs`: tools for operators in one binary.

mod certs;
pub mod cli;
mod crypt;

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

use cli::{Cli, Command};

/// Runs one subcommand. Exit code 0: done; 1: it failed and standard error says why; 2 (by clap): wrong arguments.
pub fn run(cli: Cli) -> ExitCode {
    let result = match cli.command {
        Command::Crypt(command) => crypt::run(&command, &mut io::stdin(), &mut io::stdout()),
        Command::Certs(args) => certs::run(&args, &mut io::stdout()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nowhere is left to report that standard error is closed.
            let _ = writeln!(io::stderr(), "{}", with_causes(&*error));
            ExitCode::FAILURE
        }
    }
}

/// The text of an error and of all its sources.
fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
