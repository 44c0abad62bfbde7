//! `bcs_cluster_infos`: the clusters of BCS that clusters stand for.

use bcs_sql::{Row, SqlError, Transaction, now};

use super::Store;
use super::columns::{self, TooLong};

/// The column `cluster_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterType {
    /// Kubernetes.
    K8s,
    /// Mesos.
    Mesos,
    /// Tencent Kubernetes Engine.
    Tke,
}

impl ClusterType {
    /// By its name in a request.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "k8s" => Some(Self::K8s),
            "mesos" => Some(Self::Mesos),
            "tke" => Some(Self::Tke),
            _ => None,
        }
    }

    /// The number in the database.
    pub fn number(self) -> u32 {
        match self {
            Self::K8s => 1,
            Self::Mesos => 2,
            Self::Tke => 3,
        }
    }
}

/// What is known of a cluster of BCS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterInfo {
    /// The BKE id of the cluster that stands for it.
    pub cluster_id: String,
    /// Its project.
    pub source_project_id: String,
    /// Its id in BCS.
    pub source_cluster_id: String,
    /// 1 k8s, 2 mesos, 3 tke.
    pub cluster_type: u32,
    /// Its id in TKE.
    pub tke_cluster_id: String,
    /// Its region in TKE.
    pub tke_cluster_region: String,
}

impl ClusterInfo {
    /// Refuses what its columns cannot hold.
    ///
    /// # Errors
    /// Names the column.
    pub fn check(&self) -> Result<(), TooLong> {
        columns::check(&[
            ("cluster_id", &self.cluster_id, 255),
            ("source_project_id", &self.source_project_id, 32),
            ("source_cluster_id", &self.source_cluster_id, 100),
            ("tke_cluster_id", &self.tke_cluster_id, 255),
            ("tke_cluster_region", &self.tke_cluster_region, 255),
        ])
    }
}

impl Store {
    /// What is known of the cluster of BCS that a cluster stands for.
    ///
    /// # Errors
    /// The database failed.
    pub async fn cluster_info(&self, cluster_id: &str) -> Result<Option<ClusterInfo>, SqlError> {
        if cluster_id.is_empty() {
            return Ok(None);
        }
        let sql = "SELECT cluster_id, source_project_id, source_cluster_id, cluster_type, tke_cluster_id, \
                   tke_cluster_region FROM bcs_cluster_infos WHERE cluster_id = ? ORDER BY id LIMIT 1";
        let info = |row: &Row| {
            Ok(ClusterInfo {
                cluster_id: row.text(0)?,
                source_project_id: row.text(1)?,
                source_cluster_id: row.text(2)?,
                cluster_type: row.uint(3)?,
                tke_cluster_id: row.text(4)?,
                tke_cluster_region: row.text(5)?,
            })
        };
        self.database.read(sql, &[cluster_id.into()]).await?.first().map(info).transpose()
    }
}

/// Inserts a row.
pub(super) async fn insert(transaction: &mut Transaction<'_>, info: &ClusterInfo) -> Result<(), SqlError> {
    let sql = "INSERT INTO bcs_cluster_infos (cluster_id, source_project_id, source_cluster_id, cluster_type, \
               tke_cluster_id, tke_cluster_region, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)";
    let params = [
        (&info.cluster_id).into(),
        (&info.source_project_id).into(),
        (&info.source_cluster_id).into(),
        info.cluster_type.into(),
        (&info.tke_cluster_id).into(),
        (&info.tke_cluster_region).into(),
        now().into(),
    ];
    transaction.write(sql, &params).await.map(|_| ())
}
