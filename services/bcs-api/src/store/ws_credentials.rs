//! `ws_cluster_credentials`: what an agent told when it opened its tunnel.

use bcs_sql::{Dialect, Row, SqlError, now};

use super::columns::{self, TooLong, like_prefix};
use super::Store;

/// A row. Server keys are compared exactly.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct WsCredentials {
    /// The key of the tunnel session: the BKE id, for drivers with `-<host:port>` behind it.
    pub server_key: String,
    /// `kube-agent`, `k8s-driver`, `mesos-driver`, as sent.
    pub client_module: String,
    /// What to dial through the tunnel: scheme, host and port.
    pub server_address: String,
    /// PEM of the CA; empty: the system's.
    pub ca_cert_data: String,
    /// The bearer token that is sent there.
    pub user_token: String,
}

impl WsCredentials {
    fn of(row: &Row) -> Result<Self, SqlError> {
        Ok(Self {
            server_key: row.text(0)?,
            client_module: row.text(1)?,
            server_address: row.text(2)?,
            ca_cert_data: row.text(3)?,
            user_token: row.text(4)?,
        })
    }

    /// Refuses what the columns cannot hold.
    ///
    /// # Errors
    /// Names the column.
    pub fn check(&self) -> Result<(), TooLong> {
        columns::check(&[
            ("server_key", &self.server_key, 255),
            ("client_module", &self.client_module, 255),
            ("server_address", &self.server_address, 2048),
            ("ca_cert_data", &self.ca_cert_data, 4096),
            ("user_token", &self.user_token, 2048),
        ])
    }
}

impl Store {
    /// What the agent of a server key told.
    ///
    /// # Errors
    /// The database failed.
    pub async fn ws_credentials(&self, server_key: &str) -> Result<Option<WsCredentials>, SqlError> {
        if server_key.is_empty() {
            return Ok(None);
        }
        let sql = "SELECT server_key, client_module, server_address, ca_cert_data, user_token \
                   FROM ws_cluster_credentials WHERE server_key = ? ORDER BY id";
        let rows = self.database.read(sql, &[server_key.into()]).await?;
        let found: Vec<WsCredentials> = rows.iter().map(WsCredentials::of).collect::<Result<_, _>>()?;
        Ok(found.into_iter().find(|found| found.server_key == server_key))
    }

    /// What the drivers of a cluster told: all server keys `<cluster_id>-...`, by number of the row.
    ///
    /// # Errors
    /// The database failed.
    pub async fn driver_credentials(&self, cluster_id: &str) -> Result<Vec<WsCredentials>, SqlError> {
        if cluster_id.is_empty() {
            return Ok(Vec::new());
        }
        let prefix = format!("{cluster_id}-");
        let sql = "SELECT server_key, client_module, server_address, ca_cert_data, user_token \
                   FROM ws_cluster_credentials WHERE server_key LIKE ? ESCAPE '!' ORDER BY id";
        let rows = self.database.read(sql, &[(&like_prefix(&prefix)).into()]).await?;
        let found: Vec<WsCredentials> = rows.iter().map(WsCredentials::of).collect::<Result<_, _>>()?;
        Ok(found.into_iter().filter(|found| found.server_key.starts_with(&prefix)).collect())
    }

    /// Makes or replaces what the agent of a server key told.
    ///
    /// # Errors
    /// The database failed.
    pub async fn save_ws_credentials(&self, told: &WsCredentials) -> Result<(), SqlError> {
        let sql = match self.database.dialect() {
            Dialect::MySql => {
                "INSERT INTO ws_cluster_credentials \
                 (server_key, client_module, server_address, ca_cert_data, user_token, created_at, updated_at) \
                 VALUES (?, ?, ?, ?, ?, ?, ?) ON DUPLICATE KEY UPDATE server_key = VALUES(server_key), \
                 client_module = VALUES(client_module), server_address = VALUES(server_address), \
                 ca_cert_data = VALUES(ca_cert_data), user_token = VALUES(user_token), updated_at = VALUES(updated_at)"
            }
            Dialect::Sqlite => {
                "INSERT INTO ws_cluster_credentials \
                 (server_key, client_module, server_address, ca_cert_data, user_token, created_at, updated_at) \
                 VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (server_key) DO UPDATE SET \
                 client_module = excluded.client_module, server_address = excluded.server_address, \
                 ca_cert_data = excluded.ca_cert_data, user_token = excluded.user_token, \
                 updated_at = excluded.updated_at"
            }
        };
        let now = now();
        let params = [
            (&told.server_key).into(),
            (&told.client_module).into(),
            (&told.server_address).into(),
            (&told.ca_cert_data).into(),
            (&told.user_token).into(),
            now.into(),
            now.into(),
        ];
        self.database.write(sql, &params).await.map(|_| ())
    }

    /// Forgets what the agent of a server key told.
    ///
    /// # Errors
    /// The database failed.
    pub async fn delete_ws_credentials(&self, server_key: &str) -> Result<(), SqlError> {
        let sql = match self.database.dialect() {
            // Exactly this one: the column's collation would take another case for the same.
            Dialect::MySql => "DELETE FROM ws_cluster_credentials WHERE server_key = ? AND BINARY server_key = ?",
            Dialect::Sqlite => "DELETE FROM ws_cluster_credentials WHERE server_key = ? AND server_key = ?",
        };
        self.database.write(sql, &[server_key.into(), server_key.into()]).await.map(|_| ())
    }
}
