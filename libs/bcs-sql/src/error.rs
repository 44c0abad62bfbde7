//! Why a statement failed, without the data source name and without values of columns.

use std::error::Error as StdError;
use std::time::Duration;

use rusqlite::ErrorCode;
use rusqlite::ffi::{SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE};
use sqlx::error::DatabaseError;
use sqlx::mysql::MySqlDatabaseError;
use thiserror::Error;

use crate::dsn::DsnError;

/// Why the database did not do what it was asked. `Display` is safe to show to any client: the addresses and users that
/// belong to a failed connection attempt are in the source.
#[derive(Debug, Error)]
pub enum SqlError {
    /// The data source name is malformed.
    #[error(transparent)]
    Dsn(#[from] DsnError),
    /// There is no connection, and none can be made.
    #[error("cannot connect to the database")]
    Connect(#[source] ConnectError),
    /// The connection broke; a statement that writes may have been done or not.
    #[error("the connection to the database broke: {0}")]
    Broken(String),
    /// No answer in time.
    #[error("the database did not answer within {} s", .0.as_secs_f64())]
    Timeout(Duration),
    /// All connections were in use for too long.
    #[error("no database connection was free within {} s", .0.as_secs_f64())]
    Busy(Duration),
    /// A unique key holds the value already.
    #[error("{}Duplicate entry for key '{key}'", prefix(*.code))]
    Duplicate {
        /// MySQL's error number; 0: SQLite.
        code: u16,
        /// The key, as the database names it.
        key: String,
    },
    /// The database refused the statement.
    #[error("{}{message}", prefix(*.code))]
    Refused {
        /// MySQL's error number; 0: SQLite.
        code: u16,
        /// Its message.
        message: String,
    },
    /// A value has another type than the code expects.
    #[error("column {column}: unusable value")]
    Column {
        /// The number of the column in the statement, from 0.
        column: usize,
        /// What is wrong.
        source: Box<dyn StdError + Send + Sync>,
    },
}

/// Why a connection attempt failed. Names the server; for logs.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// Nobody listens there, the network is down, or the file cannot be opened.
    #[error("dial {address}: {reason}")]
    Dial {
        /// Network and address.
        address: String,
        /// The system's words.
        reason: String,
    },
    /// The server refused the login.
    #[error("{}{message}", prefix(*.code))]
    Login {
        /// MySQL's error number; 0: SQLite.
        code: u16,
        /// Its message.
        message: String,
    },
}

/// The Go driver's way to show MySQL's error number.
fn prefix(code: u16) -> String {
    if code == 0 { String::new() } else { format!("Error {code}: ") }
}

impl SqlError {
    /// Whether a unique key holds the value already.
    pub fn is_duplicate(&self) -> bool {
        matches!(self, Self::Duplicate { .. })
    }

    /// Whether the database cannot be used at the moment, whatever the statement.
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Connect(_) | Self::Broken(_) | Self::Timeout(_) | Self::Busy(_))
    }

    /// Whether the connection cannot be used any more.
    pub(crate) fn breaks_connection(&self) -> bool {
        matches!(self, Self::Broken(_) | Self::Timeout(_))
    }

    /// The error of a statement.
    pub(crate) fn of_statement(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(error) => refused(error.as_ref()),
            sqlx::Error::Io(error) => Self::Broken(error.to_string()),
            other => Self::Broken(other.to_string()),
        }
    }

    /// The error of a connection attempt to `address`.
    pub(crate) fn of_connect(address: &str, error: sqlx::Error) -> Self {
        Self::Connect(match error {
            sqlx::Error::Database(error) => {
                ConnectError::Login { code: number(error.as_ref()), message: error.message().to_owned() }
            }
            sqlx::Error::Io(error) => dial(address, &error),
            other => dial(address, &other),
        })
    }

    /// The error of a statement in SQLite. Its text names tables and columns, never values.
    pub(crate) fn of_sqlite(error: &rusqlite::Error) -> Self {
        let message = error.to_string();
        match error {
            rusqlite::Error::SqliteFailure(failure, _)
                if matches!(failure.extended_code, SQLITE_CONSTRAINT_UNIQUE | SQLITE_CONSTRAINT_PRIMARYKEY) =>
            {
                Self::Duplicate { code: 0, key: key_of(&message) }
            }
            rusqlite::Error::SqliteFailure(failure, _) if failure.code == ErrorCode::DatabaseBusy => {
                Self::Refused { code: 0, message: "another process writes to the database".to_owned() }
            }
            _ => Self::Refused { code: 0, message },
        }
    }

    /// The file of SQLite cannot be opened.
    pub(crate) fn of_opening(file: &str, error: &rusqlite::Error) -> Self {
        Self::Connect(dial(file, error))
    }

    pub(crate) fn of_connect_timeout(address: &str, limit: Duration) -> Self {
        Self::Connect(dial(address, &format!("no answer within {} s", limit.as_secs_f64())))
    }
}

fn dial(address: &str, reason: &impl ToString) -> ConnectError {
    ConnectError::Dial { address: address.to_owned(), reason: reason.to_string() }
}

fn refused(error: &dyn DatabaseError) -> SqlError {
    let (code, message) = (number(error), error.message());
    if error.is_unique_violation() {
        SqlError::Duplicate { code, key: key_of(message) }
    } else {
        SqlError::Refused { code, message: message.to_owned() }
    }
}

fn number(error: &dyn DatabaseError) -> u16 {
    error.try_downcast_ref::<MySqlDatabaseError>().map_or(0, MySqlDatabaseError::number)
}

/// The key in `Duplicate entry '...' for key 'name'` or `UNIQUE constraint failed: table.column`. The entry itself may be
/// a token.
fn key_of(message: &str) -> String {
    let key = match message.rsplit_once(" for key ") {
        Some((_, key)) => key,
        None => message.rsplit_once(": ").map_or("", |(_, key)| key),
    };
    key.trim_matches('\'').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicates_name_the_key_and_not_the_entry() {
        assert_eq!(key_of("Duplicate entry 'to'ken for key 'x'' for key 'user_token'"), "user_token");
        assert_eq!(key_of("UNIQUE constraint failed: bcs_users.name"), "bcs_users.name");
        let error = SqlError::Duplicate { code: 1062, key: "name".into() };
        assert_eq!(error.to_string(), "Error 1062: Duplicate entry for key 'name'");
        let error = SqlError::Duplicate { code: 0, key: "bcs_users.name".into() };
        assert_eq!(error.to_string(), "Duplicate entry for key 'bcs_users.name'");
    }

    #[test]
    fn a_failed_connection_hides_where() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let error = SqlError::of_connect("tcp 10.0.0.1:3306", refused.into());
        assert_eq!(error.to_string(), "cannot connect to the database");
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(cause, "dial tcp 10.0.0.1:3306: connection refused");
    }
}
