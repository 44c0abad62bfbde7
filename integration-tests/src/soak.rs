//! How much a test does.

/// `soak` with `BCS_TEST_SOAK` in the environment, for a long run by hand (docs/ROBUSTNESS.md), `usual` in every other.
pub fn count(usual: usize, soak: usize) -> usize {
    if std::env::var_os("BCS_TEST_SOAK").is_some() { soak } else { usual }
}
