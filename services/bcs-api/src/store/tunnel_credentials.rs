//! `ws_cluster_credentials`: what an agent told when it opened its tunnel.

use bcs_sql::{Dialect, Row, SqlError, now};

use super::Store;
use super::columns::{self, TooLong};

/// A row. Server keys are compared exactly.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TunnelCredentials {
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

impl TunnelCredentials {
    /// From five columns of a row.
    pub(super) fn of(row: &Row, first: usize) -> Result<Self, SqlError> {
        Ok(Self {
            server_key: row.text(first)?,
            client_module: row.text(first + 1)?,
            server_address: row.text(first + 2)?,
            ca_cert_data: row.text(first + 3)?,
            user_token: row.text(first + 4)?,
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
    pub async fn tunnel_credentials(&self, server_key: &str) -> Result<Option<TunnelCredentials>, SqlError> {
        if server_key.is_empty() {
            return Ok(None);
        }
        let sql = "SELECT server_key, client_module, server_address, ca_cert_data, user_token \
                   FROM ws_cluster_credentials WHERE server_key = ? ORDER BY id";
        let rows = self.database.read(sql, &[server_key.into()]).await?;
        let found: Vec<TunnelCredentials> =
            rows.iter().map(|row| TunnelCredentials::of(row, 0)).collect::<Result<_, _>>()?;
        Ok(found.into_iter().find(|found| found.server_key == server_key))
    }

    /// What the drivers of the first cluster that stands for a cluster of BCS told: all server keys `<BKE id>-...`, by number
    /// of the row.
    ///
    /// # Errors
    /// The database failed.
    pub async fn driver_tunnels(&self, bcs_cluster_id: &str) -> Result<Vec<TunnelCredentials>, SqlError> {
        if bcs_cluster_id.is_empty() {
            return Ok(Vec::new());
        }
        // The prefix is compared as a text: an id may hold the wildcards of LIKE.
        let sql = match self.database.dialect() {
            Dialect::MySql => {
                "SELECT w.server_key, w.client_module, w.server_address, w.ca_cert_data, w.user_token, c.id \
                 FROM (SELECT cluster_id FROM bcs_cluster_infos WHERE source_cluster_id = ? ORDER BY id LIMIT 1) i \
                 JOIN clusters c ON c.id = i.cluster_id \
                 JOIN ws_cluster_credentials w ON LOCATE(CONCAT(c.id, '-'), w.server_key) = 1 ORDER BY w.id"
            }
            Dialect::Sqlite => {
                "SELECT w.server_key, w.client_module, w.server_address, w.ca_cert_data, w.user_token, c.id \
                 FROM (SELECT cluster_id FROM bcs_cluster_infos WHERE source_cluster_id = ? ORDER BY id LIMIT 1) i \
                 JOIN clusters c ON c.id = i.cluster_id \
                 JOIN ws_cluster_credentials w ON instr(w.server_key, c.id || '-') = 1 ORDER BY w.id"
            }
        };
        let mut found = Vec::new();
        for row in self.database.read(sql, &[bcs_cluster_id.into()]).await? {
            let (told, cluster_id) = (TunnelCredentials::of(&row, 0)?, row.text(5)?);
            // Exactly, also where the database ignores the case.
            if told.server_key.strip_prefix(&cluster_id).is_some_and(|rest| rest.starts_with('-')) {
                found.push(told);
            }
        }
        Ok(found)
    }

    /// Makes or replaces what the agent of a server key told; [`TunnelCredentials::check`] it first.
    ///
    /// # Errors
    /// The database failed.
    pub async fn put_tunnel_credentials(&self, told: &TunnelCredentials) -> Result<(), SqlError> {
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
        let written = self.database.write(sql, &params).await;
        self.kube_targets.clear();
        written.map(|_| ())
    }

    /// Forgets what the agent of a server key told.
    ///
    /// # Errors
    /// The database failed.
    pub async fn delete_tunnel_credentials(&self, server_key: &str) -> Result<(), SqlError> {
        let sql = match self.database.dialect() {
            // Exactly this one: the column's collation would take another case for the same.
            Dialect::MySql => "DELETE FROM ws_cluster_credentials WHERE server_key = ? AND BINARY server_key = ?",
            Dialect::Sqlite => "DELETE FROM ws_cluster_credentials WHERE server_key = ? AND server_key = ?",
        };
        let written = self.database.write(sql, &[server_key.into(), server_key.into()]).await;
        self.kube_targets.clear();
        written.map(|_| ())
    }
}
