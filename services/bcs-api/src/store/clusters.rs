//! `clusters`.

use bcs_sql::{Database, Row, SqlError, Time, Transaction, now};

use super::cluster_infos::{self, ClusterInfo};
use super::columns::{self, TooLong};
use super::{Store, permissions};

/// The column `provider`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// Made by itself.
    Plain,
    /// Stands for a cluster of BCS.
    Bcs,
}

impl Provider {
    fn number(self) -> u32 {
        match self {
            Self::Plain => 1,
            Self::Bcs => 2,
        }
    }
}

/// A cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// The BKE id.
    pub id: String,
    /// 1 plain, 2 BCS.
    pub provider: u32,
    /// The user who made it.
    pub creator_id: u32,
    /// Its name in `/tunnels/clusters/<identifier>/`.
    pub identifier: String,
    /// When it was made.
    pub created_at: Time,
}

/// A cluster to make.
pub struct NewCluster<'a> {
    /// The BKE id.
    pub id: &'a str,
    /// Who is in charge of it.
    pub provider: Provider,
    /// The user who makes it.
    pub creator_id: u32,
    /// Its name in `/tunnels`.
    pub identifier: &'a str,
}

impl NewCluster<'_> {
    /// Refuses what its columns cannot hold.
    ///
    /// # Errors
    /// Names the column.
    pub fn check(&self) -> Result<(), TooLong> {
        columns::check(&[("id", self.id, 255), ("identifier", self.identifier, 128)])
    }
}

/// The columns of a [`Cluster`].
macro_rules! select_clusters {
    ($rest:literal) => {
        concat!("SELECT c.id, c.provider, c.creator_id, c.identifier, c.created_at FROM ", $rest)
    };
}

impl Cluster {
    pub(super) fn of(row: &Row) -> Result<Self, SqlError> {
        Ok(Self {
            id: row.text(0)?,
            provider: row.uint(1)?,
            creator_id: row.uint(2)?,
            identifier: row.text(3)?,
            created_at: Time(row.time(4)?),
        })
    }
}

impl Store {
    /// The cluster of a BKE id, whose case does not matter.
    ///
    /// # Errors
    /// The database failed.
    pub async fn cluster(&self, id: &str) -> Result<Option<Cluster>, SqlError> {
        if id.is_empty() {
            return Ok(None);
        }
        let rows = self.database.read(select_clusters!("clusters c WHERE c.id = ? LIMIT 1"), &[id.into()]).await?;
        rows.first().map(Cluster::of).transpose()
    }

    /// The first cluster that stands for a cluster of BCS, of any project. The case of the id does not matter.
    ///
    /// # Errors
    /// The database failed.
    pub async fn cluster_of_bcs_id(&self, source_cluster_id: &str) -> Result<Option<Cluster>, SqlError> {
        if source_cluster_id.is_empty() {
            return Ok(None);
        }
        let sql = select_clusters!(
            "bcs_cluster_infos i JOIN clusters c ON c.id = i.cluster_id \
             WHERE i.source_cluster_id = ? ORDER BY i.id LIMIT 1"
        );
        self.database.read(sql, &[source_cluster_id.into()]).await?.first().map(Cluster::of).transpose()
    }

    /// The cluster that stands for a cluster of BCS in a project.
    ///
    /// # Errors
    /// The database failed.
    pub async fn cluster_by_project(&self, project_id: &str, cluster_id: &str) -> Result<Option<Cluster>, SqlError> {
        if project_id.is_empty() || cluster_id.is_empty() {
            return Ok(None);
        }
        let sql = select_clusters!(
            "bcs_cluster_infos i JOIN clusters c ON c.id = i.cluster_id \
             WHERE i.source_project_id = ? AND i.source_cluster_id = ? ORDER BY i.id LIMIT 1"
        );
        self.database.read(sql, &[project_id.into(), cluster_id.into()]).await?.first().map(Cluster::of).transpose()
    }

    /// All clusters.
    ///
    /// # Errors
    /// The database failed.
    pub async fn clusters(&self) -> Result<Vec<Cluster>, SqlError> {
        let rows = self.database.read(select_clusters!("clusters c ORDER BY c.id"), &[]).await?;
        rows.iter().map(Cluster::of).collect()
    }

    /// Makes a plain cluster that its creator may view and edit.
    ///
    /// # Errors
    /// [`SqlError::Duplicate`]: the id is taken; else the database failed.
    pub async fn insert_plain_cluster(&self, cluster: &NewCluster<'_>) -> Result<Cluster, SqlError> {
        let mut transaction = self.database.begin().await?;
        let made = insert(&self.database, &mut transaction, cluster).await?;
        permissions::grant_all(&mut transaction, cluster.creator_id, cluster.id, now()).await?;
        transaction.commit().await?;
        Ok(made)
    }

    /// Makes a cluster that stands for one of BCS. Both rows are made or none.
    ///
    /// # Errors
    /// [`SqlError::Duplicate`]: the cluster of BCS is known already; else the database failed.
    pub async fn insert_bcs_cluster(&self, cluster: &NewCluster<'_>, info: &ClusterInfo) -> Result<Cluster, SqlError> {
        let mut transaction = self.database.begin().await?;
        let made = insert(&self.database, &mut transaction, cluster).await?;
        cluster_infos::insert(&mut transaction, info).await?;
        transaction.commit().await?;
        Ok(made)
    }
}

async fn insert(
    database: &Database,
    transaction: &mut Transaction<'_>,
    cluster: &NewCluster<'_>,
) -> Result<Cluster, SqlError> {
    let NewCluster { id, provider, creator_id, identifier } = *cluster;
    let (provider, created_at) = (provider.number(), now());
    let sql = "INSERT INTO clusters (id, provider, creator_id, identifier, created_at) VALUES (?, ?, ?, ?, ?)";
    let params = [id.into(), provider.into(), creator_id.into(), identifier.into(), created_at.into()];
    transaction.write(sql, &params).await?;
    let (id, identifier) = (id.to_owned(), identifier.to_owned());
    Ok(Cluster { id, provider, creator_id, identifier, created_at: database.show(created_at) })
}
