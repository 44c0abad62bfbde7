//! Why a call failed, as its answer says it (cluster-manager-proto.md 4).

use bcs_common::errors::chain;
use bcs_docstore::Error as StoreError;

/// Result codes.
pub(crate) mod code {
    pub const INVALID_PARAMETER: u64 = 1_405_401;
    pub const STORE_OPERATION: u64 = 1_405_402;
    pub const DUPLICATE_KEY: u64 = 1_405_405;
    pub const STORE: u64 = 1_405_420;
    pub const ALLOCATION: u64 = 1_405_421;
    pub const KUBERNETES: u64 = 1_405_422;
    pub const DUPLICATED: u64 = 1_405_423;
}

/// What a missing document is called.
pub(crate) const NOT_FOUND: &str = "record not found";

/// A code and its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub code: u64,
    pub message: String,
}

impl Failure {
    pub(crate) fn new(code: u64, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(code::INVALID_PARAMETER, message)
    }

    /// A store error, or a conflict with what is stored.
    pub(crate) fn store(message: impl Into<String>) -> Self {
        Self::new(code::STORE, message)
    }

    pub(crate) fn kubernetes(message: impl Into<String>) -> Self {
        Self::new(code::KUBERNETES, message)
    }

    pub(crate) fn not_found() -> Self {
        Self::store(NOT_FOUND)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Duplicate { .. } => Self::new(code::DUPLICATE_KEY, "duplicate key error"),
            other => Self::store(chain(&other)),
        }
    }
}
