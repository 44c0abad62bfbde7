//! `external_user_records`: users that the PaaS vouches for (api.md 9.3).

use bcs_sql::{SqlError, now};

use super::{Store, User};

/// `source_type` of the PaaS.
const PAAS: u32 = 1;

impl Store {
    /// The user that belongs to a user of the PaaS, made at first sight.
    ///
    /// # Errors
    /// The database failed.
    pub async fn paas_user(&self, user_type: &str, user_id: &str) -> Result<User, SqlError> {
        if let Some(user) = self.known_paas_user(user_type, user_id).await? {
            return Ok(user);
        }
        match self.insert_paas_user(user_type, user_id).await {
            // Another request was faster.
            Err(error @ SqlError::Duplicate { .. }) => self.known_paas_user(user_type, user_id).await?.ok_or(error),
            outcome => outcome,
        }
    }

    async fn known_paas_user(&self, user_type: &str, user_id: &str) -> Result<Option<User>, SqlError> {
        let sql = "SELECT user_id FROM external_user_records \
                   WHERE source_type = ? AND source_user_type = ? AND source_user_id = ? ORDER BY id LIMIT 1";
        let rows = self.database.read(sql, &[PAAS.into(), user_type.into(), user_id.into()]).await?;
        match rows.first() {
            Some(row) => self.user(row.uint(0)?).await,
            None => Ok(None),
        }
    }

    async fn insert_paas_user(&self, user_type: &str, user_id: &str) -> Result<User, SqlError> {
        let name = format!("{user_type}:{user_id}");
        let created_at = now();
        let mut transaction = self.database.begin().await?;
        let sql = "INSERT INTO users (name, is_super_user, created_at) VALUES (?, 0, ?)";
        let id = transaction.write(sql, &[(&name).into(), created_at.into()]).await?.id;
        let id = u32::try_from(id).unwrap_or_default();
        let sql = "INSERT INTO external_user_records \
                   (user_id, source_type, source_user_type, source_user_id, created_at) VALUES (?, ?, ?, ?, ?)";
        let params = [id.into(), PAAS.into(), user_type.into(), user_id.into(), created_at.into()];
        transaction.write(sql, &params).await?;
        transaction.commit().await?;
        Ok(User { id, name, is_super_user: false, created_at: self.database.show(created_at) })
    }
}
