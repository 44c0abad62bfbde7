//! Tokens: how they are made and compared (user-manager.md 9, api.md 9.2).

use aws_lc_rs::constant_time::verify_slices_are_equal;
use rand::RngExt;
use rand::distr::Alphanumeric;

/// Characters of a user token.
pub const USER_TOKEN: usize = 32;
/// Characters of a register token.
pub const REGISTER_TOKEN: usize = 128;

/// A new token: random letters and digits, each of the 62 as likely as the others.
pub fn generate(length: usize) -> String {
    rand::rng().sample_iter(Alphanumeric).take(length).map(char::from).collect()
}

/// Whether two tokens are the same, in a time that does not tell where they differ.
pub fn same(left: &str, right: &str) -> bool {
    verify_slices_are_equal(left.as_bytes(), right.as_bytes()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_long_alphanumeric_and_differ() {
        let (one, two) = (generate(USER_TOKEN), generate(USER_TOKEN));
        assert!(one.len() == 32 && one.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert_ne!(one, two);
        assert_eq!(generate(REGISTER_TOKEN).len(), 128);
    }

    #[test]
    fn sameness_is_exact() {
        assert!(same("abc", "abc") && same("", ""));
        for other in ["ABC", "abc ", "ab", ""] {
            assert!(!same("abc", other), "{other}");
        }
    }
}
