//! The driver's errors in the words of [`Error`].

use std::time::Duration;

use mongodb::error::{Error as DriverError, ErrorKind, WriteFailure};

use crate::Error;

/// Codes of MongoDB's `error_codes.yml` that say something about the request or its moment.
pub(super) mod code {
    pub const NAMESPACE_NOT_FOUND: i32 = 26;
    pub const INDEX_NOT_FOUND: i32 = 27;
    pub const NAMESPACE_EXISTS: i32 = 48;
    pub const DUPLICATE_KEY: i32 = 11_000;

    /// IndexOptionsConflict and IndexKeySpecsConflict: an index of that name or with these keys is there.
    pub const INDEX_EXISTS: [i32; 2] = [85, 86];

    /// CursorNotFound, CursorKilled, StaleShardVersion, StaleEpoch, RetryChangeStream, ExceededTimeLimit, StaleConfig:
    /// a change stream is gone, its place in the history is not. Newer servers say so with a label.
    pub const STREAM_BROKEN: [i32; 7] = [43, 237, 63, 150, 234, 262, 13_388];

    /// BadValue, FailedToParse, TypeMismatch, PathNotViable, ConflictingUpdateOperators, DollarPrefixedFieldName,
    /// EmptyFieldName, ImmutableField, InvalidOptions, InvalidNamespace, BSONObjectTooLarge.
    pub const INVALID: [i32; 11] = [2, 9, 14, 28, 40, 52, 56, 66, 72, 73, 10_334];

    /// HostUnreachable, HostNotFound, MaxTimeMSExpired, NetworkTimeout, ShutdownInProgress, WriteConcernFailed (in time),
    /// FailedToSatisfyReadPreference, PrimarySteppedDown, SocketException, NotWritablePrimary, InterruptedAtShutdown,
    /// Interrupted, InterruptedDueToReplStateChange, NotPrimaryNoSecondaryOk, NotPrimaryOrSecondary.
    pub const UNAVAILABLE: [i32; 15] =
        [6, 7, 50, 89, 91, 64, 133, 189, 9001, 10_107, 11_600, 11_601, 11_602, 13_435, 13_436];
}

/// An operation that did not end in time.
#[derive(Debug, thiserror::Error)]
#[error("no answer within {0:?}")]
pub(super) struct TimedOut(pub Duration);

impl From<TimedOut> for Error {
    fn from(error: TimedOut) -> Self {
        Error::Unavailable(Box::new(error))
    }
}

/// The code the server gave.
pub(super) fn server_code(error: &DriverError) -> Option<i32> {
    match error.kind.as_ref() {
        ErrorKind::Command(refusal) => Some(refusal.code),
        ErrorKind::Write(WriteFailure::WriteError(refusal)) => Some(refusal.code),
        ErrorKind::Write(WriteFailure::WriteConcernError(refusal)) => Some(refusal.code),
        _ => None,
    }
}

impl From<DriverError> for Error {
    fn from(error: DriverError) -> Self {
        match (error.kind.as_ref(), server_code(&error)) {
            (_, Some(code::DUPLICATE_KEY)) => Error::Duplicate { index: index_name(server_message(&error)).to_owned() },
            (_, Some(code::NAMESPACE_NOT_FOUND)) => Error::NotFound("the collection".to_owned()),
            (_, Some(code::INDEX_NOT_FOUND)) => Error::NotFound("the index".to_owned()),
            (_, Some(code)) if code::INVALID.contains(&code) => Error::Invalid(server_message(&error).to_owned()),
            (_, Some(code)) if code::UNAVAILABLE.contains(&code) => Error::Unavailable(Box::new(error)),
            (ErrorKind::InvalidArgument { message, .. }, _) => Error::Invalid(message.clone()),
            (ErrorKind::BsonSerialization(cause), _) => Error::Invalid(cause.to_string()),
            (
                ErrorKind::Io(_)
                | ErrorKind::ConnectionPoolCleared { .. }
                | ErrorKind::ServerSelection { .. }
                | ErrorKind::DnsResolve { .. }
                | ErrorKind::Shutdown,
                _,
            ) => Error::Unavailable(Box::new(error)),
            _ => Error::Database(Box::new(error)),
        }
    }
}

/// Raw documents that do not decode.
impl From<bson::error::Error> for Error {
    fn from(error: bson::error::Error) -> Self {
        Error::Database(Box::new(error))
    }
}

fn server_message(error: &DriverError) -> &str {
    match error.kind.as_ref() {
        ErrorKind::Command(refusal) => &refusal.message,
        ErrorKind::Write(WriteFailure::WriteError(refusal)) => &refusal.message,
        ErrorKind::Write(WriteFailure::WriteConcernError(refusal)) => &refusal.message,
        _ => "",
    }
}

/// The index in `E11000 duplicate key error collection: db.c index: NAME dup key: {…}`.
fn index_name(message: &str) -> &str {
    let rest = message.split_once("index: ").map_or("", |(_, rest)| rest);
    rest.split(" dup key").next().unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_is_read_from_the_refusal() {
        let message = r#"E11000 duplicate key error collection: db.Pod index: Pod_idx dup key: { clusterId: "c" }"#;
        assert_eq!(index_name(message), "Pod_idx");
        assert_eq!(index_name("something else"), "");
    }

    #[test]
    fn what_never_reached_a_server_is_unavailable() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        assert!(matches!(Error::from(DriverError::from(refused)), Error::Unavailable(_)));
        assert!(matches!(Error::from(TimedOut(Duration::from_secs(1))), Error::Unavailable(_)));
    }
}
