//! `register_tokens`: what lets an agent report the credentials of its cluster.

use bcs_common::token::{self, REGISTER_TOKEN};
use bcs_sql::{Row, SqlError, Time, now};

use super::Store;

/// The register token of a cluster.
#[derive(Clone, PartialEq, Eq)]
pub struct RegisterToken {
    /// Number of the row.
    pub id: u32,
    /// The BKE id of the cluster.
    pub cluster_id: String,
    /// The token; compare it with [`token::same`].
    pub token: String,
    /// When it was made.
    pub created_at: Time,
}

impl Store {
    /// The register token of a cluster.
    ///
    /// # Errors
    /// The database failed.
    pub async fn find_register_token(&self, cluster_id: &str) -> Result<Option<RegisterToken>, SqlError> {
        if cluster_id.is_empty() {
            return Ok(None);
        }
        let sql = "SELECT id, cluster_id, token, created_at FROM register_tokens WHERE cluster_id = ? \
                   ORDER BY id LIMIT 1";
        let token = |row: &Row| {
            Ok(RegisterToken {
                id: row.uint(0)?,
                cluster_id: row.text(1)?,
                token: row.text(2)?,
                created_at: Time(row.time(3)?),
            })
        };
        self.database.read(sql, &[cluster_id.into()]).await?.first().map(token).transpose()
    }

    /// Makes the register token of a cluster.
    ///
    /// # Errors
    /// [`SqlError::Duplicate`]: there is one; else the database failed.
    pub async fn insert_register_token(&self, cluster_id: &str) -> Result<RegisterToken, SqlError> {
        let (token, created_at) = (token::generate(REGISTER_TOKEN), now());
        let sql = "INSERT INTO register_tokens (cluster_id, token, created_at) VALUES (?, ?, ?)";
        let written = self.database.write(sql, &[cluster_id.into(), (&token).into(), created_at.into()]).await?;
        let id = u32::try_from(written.id).unwrap_or_default();
        Ok(RegisterToken { id, cluster_id: cluster_id.to_owned(), token, created_at: self.database.show(created_at) })
    }

    /// The text of the register token of a cluster, to compare with [`token::same`].
    ///
    /// # Errors
    /// The database failed.
    pub async fn register_token(&self, cluster_id: &str) -> Result<Option<String>, SqlError> {
        Ok(self.find_register_token(cluster_id).await?.map(|found| found.token))
    }
}
