//! What fits into a column.

use bcs_sql::fits;
use thiserror::Error;

/// A text is too long for its column. MySQL would refuse or, in its lax mode, cut it; SQLite would take it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("Error 1406: Data too long for column '{0}' at row 1")]
pub struct TooLong(pub &'static str);

/// Refuses the first text that is longer than its column.
///
/// # Errors
/// Names the column.
pub(super) fn check(columns: &[(&'static str, &str, usize)]) -> Result<(), TooLong> {
    match columns.iter().find(|(_, text, length)| !fits(text, *length)) {
        Some((column, ..)) => Err(TooLong(column)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_text_that_is_too_long() {
        let columns = [("a", "x", 1), ("b", "xx", 1), ("c", "xxx", 1)];
        assert_eq!(check(&columns), Err(TooLong("b")));
        assert_eq!(TooLong("b").to_string(), "Error 1406: Data too long for column 'b' at row 1");
        assert_eq!(check(&columns[..1]), Ok(()));
    }
}
