//! What can go wrong between a request and its documents.

/// Result of a document operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An operation that was not carried out. The source holds the driver's own words.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database cannot be reached, or did not answer in time. Worth a retry later.
    #[error("database is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Two documents would have the same values in a unique index.
    #[error("a document with the same key exists (unique index {index})")]
    Duplicate {
        /// Name of the index.
        index: String,
    },
    /// The index or collection named does not exist.
    #[error("{0} does not exist")]
    NotFound(String),
    /// The operation cannot be meant: a path set twice, an unusable value. The caller's fault.
    #[error("{0}")]
    Invalid(String),
    /// Anything else the database refused.
    #[error("database refused the operation")]
    Database(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Error::Database(Box::new(error))
    }
}
