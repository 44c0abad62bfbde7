//! The database (api.md 12): what is in it, one module per table. Every function is one statement or one transaction; none
//! knows HTTP.
//!
//! A condition with an empty text or the id 0 finds nothing: the original leaves such conditions out and finds the first row
//! (quirk Q5). An error is never "no such row" (quirk Q31).

mod cluster_infos;
mod clusters;
mod columns;
mod credentials;
mod external_users;
mod kube_targets;
mod permissions;
mod register_tokens;
mod schema;
mod subnets;
#[cfg(test)]
pub(crate) mod tests;
mod tokens;
mod tunnel_credentials;
mod users;

use std::sync::Arc;

use bcs_sql::Database;
use bcs_sql::schema::{SchemaError, make_tables};

use kube_targets::KubeTargets;

pub use cluster_infos::{ClusterInfo, ClusterType};
pub use clusters::{Cluster, NewCluster, Provider};
pub use credentials::{Access, Credentials};
pub use kube_targets::KubeTarget;
pub use register_tokens::RegisterToken;
pub use tokens::{TokenKind, UserToken};
pub use tunnel_credentials::TunnelCredentials;
pub use users::{NAME_COLUMN, TOKEN_COLUMN, User};

/// The database of bcs-api. Clones share its connections.
#[derive(Clone)]
pub struct Store {
    database: Database,
    kube_targets: Arc<KubeTargets>,
}

impl Store {
    /// A store in a database, with all tables made.
    ///
    /// # Errors
    /// The tables cannot be made.
    pub async fn open(database: Database) -> Result<Self, SchemaError> {
        make_tables(&database, schema::TABLES).await?;
        Ok(Self { database, kube_targets: Arc::default() })
    }

    /// The database itself, for the pool of CIDRs and for a look at its health.
    pub fn database(&self) -> &Database {
        &self.database
    }
}
