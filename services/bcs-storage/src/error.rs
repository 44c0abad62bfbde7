//! What can go wrong with a request. Routes turn it into an error code; the log gets the causes.

use bcs_docstore::json::JsonError;

/// Result of a rule.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A request that was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The body could not be received.
    #[error("the body could not be read: {0}")]
    Body(String),
    /// The body, or a JSON value inside a parameter, cannot be used as JSON.
    #[error("unreadable JSON")]
    Json(#[from] JsonError),
    /// The request is understood but makes no sense: a number that is none, a selector with a syntax error.
    #[error("{0}")]
    Invalid(String),
    /// There is no such document or node.
    #[error("it does not exist")]
    NotFound,
    /// The configuration names no backend for this kind of resource.
    #[error("no {0} is configured")]
    NotConfigured(&'static str),
    /// The document store failed.
    #[error("the document store failed")]
    Store(#[from] bcs_docstore::Error),
    /// The store of watch resources (ZooKeeper) failed.
    #[error("the node store failed")]
    Nodes(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// A request that makes no sense, with the reason.
    pub fn invalid(reason: impl Into<String>) -> Self {
        Error::Invalid(reason.into())
    }

    /// The error and all its causes in one line, for the log.
    pub fn causes(&self) -> String {
        bcs_common::errors::chain(self)
    }
}
