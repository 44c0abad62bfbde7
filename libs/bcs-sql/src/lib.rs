//! SQL for the services: MySQL by the data source names of the Go driver, and the embedded SQLite (user-manager.md 8, 11.2).
//!
//! One small interface for both: statements with `?`, rows with numbered columns, transactions, and tables that are made
//! as the original's auto-migration makes them. Connections are made when needed and thrown away when they break, so an
//! outage is an error while it lasts and nothing has to be restarted after it.

mod connection;
mod database;
pub mod dsn;
mod error;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod pool;
mod row;
pub mod schema;
mod sqlite;
mod time;
mod zone;

pub use connection::Written;
pub use database::{Database, Dialect, Transaction};
pub use dsn::{Dsn, DsnError};
pub use error::{ConnectError, SqlError};
pub use row::{Param, Row, fits};
pub use time::{Time, now};
pub use zone::Zone;
