//! The database (api.md 12).

use bcs_sql::{Database, SqlError};

/// Users, tokens, clusters and their credentials. Clones share the connections.
#[derive(Clone)]
pub(crate) struct Store {
    pub database: Database,
}

impl Store {
    /// A store on a database.
    ///
    /// # Errors
    /// The database cannot be used.
    pub async fn open(database: Database) -> Result<Self, SqlError> {
        database.read("SELECT 1", &[]).await?;
        Ok(Self { database })
    }
}
