//! Errors as one line of text.

use std::error::Error;

/// The error and all its causes, for a log line or the last words of a program. Our errors do not repeat their source.
///
/// ```
/// let missing = std::fs::read("/none").unwrap_err();
/// assert!(bcs_common::errors::chain(&missing).contains("No such file"));
/// ```
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
