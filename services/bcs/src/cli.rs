//! The command line of `bcs`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// BCS (BlueKing Container Service) tools.
#[derive(Debug, Parser)]
#[command(name = "bcs", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What `bcs` can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Encrypt and decrypt passwords for configuration files.
    #[command(subcommand)]
    Crypt(CryptCommand),
    /// Make a CA, a server and a client certificate.
    Certs(CertsArgs),
}

/// The key is the environment variable `bcs_encryption_key`, or else the one this binary was built with.
#[derive(Debug, Subcommand)]
pub enum CryptCommand {
    /// Encrypt a text with the installation's key.
    Encrypt {
        /// The text, or - to read it from standard input.
        #[arg(allow_hyphen_values = true)]
        text: String,
    },
    /// Decrypt a value from a configuration file with the installation's key.
    Decrypt {
        /// The base64 text, or - to read it from standard input.
        base64: String,
    },
}

/// Arguments of `bcs certs`.
#[derive(Debug, Args)]
pub struct CertsArgs {
    /// Directory for the files; it is created if need be.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// DNS name or IP address of a server, for clients that check names; may be repeated.
    #[arg(long = "host", value_name = "NAME")]
    pub hosts: Vec<String>,
    /// Replace files that exist.
    #[arg(long)]
    pub force: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_text_to_encrypt_may_start_with_a_dash() {
        let cli = Cli::try_parse_from(["bcs", "crypt", "encrypt", "-pass"]).unwrap();
        let Command::Crypt(CryptCommand::Encrypt { text }) = cli.command else {
            panic!("not encrypt: {cli:?}");
        };
        assert_eq!(text, "-pass");
    }

    #[test]
    fn hosts_may_be_repeated() {
        let line = ["bcs", "certs", "--out", "d", "--host", "a", "--host", "b"];
        let cli = Cli::try_parse_from(line).unwrap();
        let Command::Certs(args) = cli.command else {
            panic!("not certs: {cli:?}");
        };
        assert_eq!(args.hosts, ["a", "b"]);
        assert!(!args.force);
    }
}
