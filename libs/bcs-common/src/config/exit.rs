//! What a process that ends before or instead of serving still has to say.

use std::io::Write;
use std::process::{ExitCode, Termination};

/// An end of the process: the exit code of common.md 9 and the texts to print.
///
/// Libraries return it and `main` does the printing: a `fn main() -> Exit` prints the texts and ends with the code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exit {
    /// 0 stopped as asked, 1 a configuration or start failure, 2 a flag error, 255 fatal.
    pub code: u8,
    /// Text for standard output, with its newlines.
    pub stdout: String,
    /// Text for standard error, with its newlines.
    pub stderr: String,
}

impl Exit {
    /// A silent end with code 0: a graceful stop.
    #[must_use]
    pub fn success() -> Self {
        Self::default()
    }

    /// An end with a code and one line for standard error. The message must hold no secret.
    #[must_use]
    pub fn failure(code: u8, message: impl std::fmt::Display) -> Self {
        Self { code, stdout: String::new(), stderr: format!("{message}\n") }
    }
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        // Nobody is left to hear that a standard stream is closed.
        let _ = std::io::stderr().write_all(self.stderr.as_bytes());
        let _ = std::io::stdout().write_all(self.stdout.as_bytes());
        ExitCode::from(self.code)
    }
}
