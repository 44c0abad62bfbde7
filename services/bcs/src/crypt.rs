//! `bcs crypt`: the original's `cryptool` (common.md 2.6), with exit codes that tell success from failure.

use std::error::Error;
use std::io::{Read, Write};

use bcs_common::secret::{self, SecretError};
use thiserror::Error;

use crate::cli::CryptCommand;

/// The argument that stands for standard input.
const STDIN: &str = "-";

#[derive(Debug, Error)]
enum CryptError {
    #[error("encrypt from original failed")]
    Encrypt(#[source] SecretError),
    #[error("Decrypt from Base failed")]
    Decrypt(#[source] SecretError),
}

/// Prints the result as the original does.
pub fn run(command: &CryptCommand, stdin: &mut impl Read, stdout: &mut impl Write) -> Result<(), Box<dyn Error>> {
    match command {
        CryptCommand::Encrypt { text } => {
            let encrypted = secret::encrypt(&argument(text, stdin)?).map_err(CryptError::Encrypt)?;
            writeln!(stdout, "Encrypt text: {encrypted}")?;
        }
        CryptCommand::Decrypt { base64 } => {
            let text = secret::decrypt(&argument(base64, stdin)?).map_err(CryptError::Decrypt)?;
            writeln!(stdout, "Original text: {text}")?;
        }
    }
    Ok(())
}

/// The argument itself, or standard input without the line end that `echo` adds.
fn argument(value: &str, stdin: &mut impl Read) -> Result<String, Box<dyn Error>> {
    if value != STDIN {
        return Ok(value.to_owned());
    }
    let mut text = String::new();
    stdin.read_to_string(&mut text)?;
    let line_end = if text.ends_with("\r\n") { 2 } else { usize::from(text.ends_with('\n')) };
    text.truncate(text.len() - line_end);
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(command: CryptCommand, stdin: &str) -> Result<String, String> {
        let mut stdout = Vec::new();
        run(&command, &mut stdin.as_bytes(), &mut stdout)
            .map(|()| String::from_utf8(stdout).unwrap())
            .map_err(|error| bcs_common::errors::chain(&*error))
    }

    fn encrypt(text: &str, stdin: &str) -> Result<String, String> {
        let text = text.to_owned();
        output(CryptCommand::Encrypt { text }, stdin)
    }

    fn decrypt(base64: &str, stdin: &str) -> Result<String, String> {
        let base64 = base64.to_owned();
        output(CryptCommand::Decrypt { base64 }, stdin)
    }

    // The key is that of the build, so the expected texts come from the library and its vectors.

    #[test]
    fn prints_what_cryptool_prints() {
        let value = secret::encrypt("bcs").unwrap();
        assert_eq!(encrypt("bcs", "").unwrap(), format!("Encrypt text: {value}\n"));
        assert_eq!(decrypt(&value, "").unwrap(), "Original text: bcs\n");
    }

    #[test]
    fn a_dash_reads_standard_input() {
        let value = secret::encrypt("bcs").unwrap();
        for stdin in ["bcs", "bcs\n", "bcs\r\n"] {
            assert_eq!(encrypt("-", stdin).unwrap(), format!("Encrypt text: {value}\n"));
        }
        let stdin = format!("{value}\n");
        assert_eq!(decrypt("-", &stdin).unwrap(), "Original text: bcs\n");
    }

    #[test]
    fn a_failure_says_why_but_not_what() {
        let error = decrypt("not-base64", "").unwrap_err();
        assert_eq!(error, "Decrypt from Base failed: the value is not base64");
    }
}
