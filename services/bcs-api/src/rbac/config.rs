//! Permissions of `rbac_data`, written once at the start (`turn_on_conf`).

use bcs_common::errors::chain;
use bcs_common::shutdown::Shutdown;
use bcs_sql::SqlError;
use thiserror::Error;
use tracing::{error, info};

use super::kube::{Kube, KubeError, Scope};
use super::{label_value, roles};
use crate::options::RbacOptions;
use crate::store::Store;

/// What marks the bindings made here; those of the push have another mark and are left alone (quirk Q27).
const FROM: &str = "";

#[derive(Debug, Error)]
enum SyncError {
    #[error("the user is unknown")]
    User,
    #[error("the cluster is unknown")]
    Cluster,
    #[error("the cluster has no credentials")]
    Credentials,
    #[error("the database failed")]
    Sql(#[from] SqlError),
    #[error(transparent)]
    Kube(#[from] KubeError),
}

/// Writes all entries; one that fails is logged and does not keep the others.
pub(super) async fn sync(store: &Store, entries: &[RbacOptions], shutdown: &Shutdown) {
    for (index, entry) in entries.iter().enumerate() {
        let (user, cluster) = (&entry.user_name, &entry.cluster_id);
        match sync_entry(store, entry, shutdown).await {
            Ok(()) => info!("the roles of user [{user}] in cluster {cluster} are set"),
            Err(reason) => error!(
                "key \"bke.rbac_data[{index}]\": the roles of user [{user}] in cluster {cluster} are not set: {}",
                chain(&reason)
            ),
        }
    }
}

async fn sync_entry(store: &Store, entry: &RbacOptions, shutdown: &Shutdown) -> Result<(), SyncError> {
    let user = store.user_by_name(&entry.user_name).await?.ok_or(SyncError::User)?;
    let cluster = store.cluster(&entry.cluster_id).await?.ok_or(SyncError::Cluster)?;
    let credentials = store.credentials(&cluster.id).await?.ok_or(SyncError::Credentials)?;
    let kube = Kube::new(&credentials.access, shutdown)?;
    if let Some(unknown) = entry.roles.iter().find(|role| roles::rules(role).is_none()) {
        return Err(KubeError::Role(unknown.clone()).into());
    }
    for role in roles::ROLES {
        kube.ensure_role(role).await?;
    }
    let user = label_value(&user.name);
    let mut missing: Vec<&String> = entry.roles.iter().collect();
    for binding in kube.bindings(Scope::Cluster, &user).await? {
        if binding.from != FROM {
            continue;
        }
        let is_wanted = missing.iter().position(|role| **role == binding.role);
        match is_wanted {
            Some(position) => drop(missing.remove(position)),
            None => kube.unbind(Scope::Cluster, &binding.name).await?,
        }
    }
    for role in missing {
        kube.bind(Scope::Cluster, &user, role, FROM).await?;
    }
    Ok(())
}
