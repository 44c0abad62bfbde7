//! What the unit tests share.

use bcs_sql::{Database, Dsn};
use tempfile::TempDir;

use crate::document::Document;

/// An embedded database with tables and roles.
pub(crate) async fn database() -> (TempDir, Database) {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::new(Dsn::Sqlite(dir.path().join("test.db"))).unwrap();
    crate::bootstrap::prepare(&database).await.unwrap();
    (dir, database)
}

/// A body.
pub(crate) fn document(body: &str) -> Document {
    Document::parse(body.as_bytes())
}
