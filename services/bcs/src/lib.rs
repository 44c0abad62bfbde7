//! The umbrella command `bcs`: all services in one process, and tools for operators.

mod certs;
mod cidr_migration;
pub mod cli;
mod config_check;
mod crypt;
mod cryptools;
mod entry;
mod running;
mod server;
mod snapshot;
mod status;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use bcs_common::errors;
use clap::CommandFactory;
use cli::{Cli, Command, ConfigCommand};

/// Runs one subcommand. Exit code 0: done; 1: it failed and standard error says why; 2 (by clap): wrong arguments.
pub fn run(cli: Cli) -> ExitCode {
    let result = match cli.command {
        Command::Server(args) => server::run(&args, &mut io::stdout()),
        Command::Crypt(command) => crypt::run(&command, &mut io::stdin(), &mut io::stdout()),
        Command::CidrMigrationTool(args) => cidr_migration::run(&args, &mut io::stdout()),
        Command::Certs(args) => certs::run(&args, &mut io::stdout()),
        Command::Status(args) => status::run(&args.data_dir, &mut io::stdout()),
        Command::Config(ConfigCommand::Check(args)) => config_check::run(&args, &mut io::stdout()),
        Command::Snapshot(command) => snapshot::run(&command, &mut io::stdout()),
        Command::Completions { shell } => {
            // Not to standard output itself: it panics where that is closed or full.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "bcs", &mut script);
            io::stdout().write_all(&script).map_err(Into::into)
        }
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

/// The original's `cryptools`, for scripts that call it; people have `bcs crypt`.
pub fn cryptools(args: impl Iterator<Item = OsString>) -> ExitCode {
    let args: Vec<String> = args.map(|arg| arg.to_string_lossy().into_owned()).collect();
    // As with the original, the text is the result and the exit code says nothing.
    let _ = io::stdout().write_all(cryptools::answer(&args).as_bytes());
    ExitCode::SUCCESS
}
