//! `user_cluster_permissions`: written for plain clusters, read by nobody (api.md 11).

use bcs_sql::{SqlError, Transaction};
use chrono::{DateTime, Utc};

/// `backend` of the permissions that this service grants.
const BACKEND: u32 = 2;

/// Lets a user view and edit a cluster.
pub(super) async fn grant_all(
    transaction: &mut Transaction<'_>,
    user_id: u32,
    cluster_id: &str,
    now: DateTime<Utc>,
) -> Result<(), SqlError> {
    for name in ["view", "edit"] {
        // The cluster is new, so there is nothing to change.
        let sql = "INSERT INTO user_cluster_permissions \
                   (backend, user_id, cluster_id, name, is_active, updated_at, created_at) VALUES (?, ?, ?, ?, 1, ?, ?)";
        let params = [BACKEND.into(), user_id.into(), cluster_id.into(), name.into(), now.into(), now.into()];
        transaction.write(sql, &params).await?;
    }
    Ok(())
}
