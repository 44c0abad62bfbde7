//! `cluster_credentials`: how to reach a kube-apiserver directly.

use bcs_sql::{Dialect, Row, SqlError, Time, now};

use super::Store;
use super::columns::{self, TooLong};

/// How to reach a kube-apiserver.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// URLs joined by `;`.
    pub server_addresses: String,
    /// PEM of the CA; empty: the system's.
    pub ca_cert_data: String,
    /// The bearer token that is sent there.
    pub user_token: String,
    /// Only for TKE.
    pub cluster_domain: String,
}

/// A row.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Its number.
    pub id: u32,
    /// The BKE id of the cluster.
    pub cluster_id: String,
    /// The credentials themselves.
    pub access: Access,
    /// When it was made.
    pub created_at: Time,
    /// When it was changed last.
    pub updated_at: Time,
}

impl Credentials {
    /// From eight columns of a row.
    pub(super) fn of(row: &Row, first: usize) -> Result<Self, SqlError> {
        Ok(Self {
            id: row.uint(first)?,
            cluster_id: row.text(first + 1)?,
            access: Access {
                server_addresses: row.text(first + 2)?,
                ca_cert_data: row.text(first + 3)?,
                user_token: row.text(first + 4)?,
                cluster_domain: row.text(first + 5)?,
            },
            created_at: Time(row.time(first + 6)?),
            updated_at: Time(row.time(first + 7)?),
        })
    }
}

impl Access {
    /// Refuses what the columns cannot hold.
    ///
    /// # Errors
    /// Names the column.
    pub fn check(&self) -> Result<(), TooLong> {
        columns::check(&[
            ("server_addresses", &self.server_addresses, 2048),
            ("ca_cert_data", &self.ca_cert_data, 4096),
            ("user_token", &self.user_token, 2048),
            ("cluster_domain", &self.cluster_domain, 2048),
        ])
    }
}

impl Store {
    /// The credentials of a cluster.
    ///
    /// # Errors
    /// The database failed.
    pub async fn credentials(&self, cluster_id: &str) -> Result<Option<Credentials>, SqlError> {
        if cluster_id.is_empty() {
            return Ok(None);
        }
        let sql = "SELECT id, cluster_id, server_addresses, ca_cert_data, user_token, cluster_domain, created_at, \
                   updated_at FROM cluster_credentials WHERE cluster_id = ? ORDER BY id LIMIT 1";
        self.database.read(sql, &[cluster_id.into()]).await?.first().map(|row| Credentials::of(row, 0)).transpose()
    }

    /// Makes or replaces the credentials of a cluster.
    ///
    /// # Errors
    /// The database failed.
    pub async fn save_credentials(&self, cluster_id: &str, access: &Access) -> Result<(), SqlError> {
        let sql = match self.database.dialect() {
            Dialect::MySql => {
                "INSERT INTO cluster_credentials \
                 (cluster_id, server_addresses, ca_cert_data, user_token, cluster_domain, created_at, updated_at) \
                 VALUES (?, ?, ?, ?, ?, ?, ?) ON DUPLICATE KEY UPDATE server_addresses = VALUES(server_addresses), \
                 ca_cert_data = VALUES(ca_cert_data), user_token = VALUES(user_token), \
                 cluster_domain = VALUES(cluster_domain), updated_at = VALUES(updated_at)"
            }
            Dialect::Sqlite => {
                "INSERT INTO cluster_credentials \
                 (cluster_id, server_addresses, ca_cert_data, user_token, cluster_domain, created_at, updated_at) \
                 VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (cluster_id) DO UPDATE SET \
                 server_addresses = excluded.server_addresses, ca_cert_data = excluded.ca_cert_data, \
                 user_token = excluded.user_token, cluster_domain = excluded.cluster_domain, \
                 updated_at = excluded.updated_at"
            }
        };
        let now = now();
        let params = [
            cluster_id.into(),
            (&access.server_addresses).into(),
            (&access.ca_cert_data).into(),
            (&access.user_token).into(),
            (&access.cluster_domain).into(),
            now.into(),
            now.into(),
        ];
        let written = self.database.write(sql, &params).await;
        self.kube_targets.clear();
        written.map(|_| ())
    }
}
