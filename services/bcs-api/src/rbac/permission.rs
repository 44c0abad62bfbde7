//! One permission that the IAM sends, and what it means in clusters.

use bcs_common::config::lenient;
use bcs_common::errors::chain;
use bcs_common::shutdown::Shutdown;
use bcs_sql::SqlError;
use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;
use tracing::warn;

use super::kube::{Kube, KubeError, Scope};
use crate::store::{Cluster, Store};

/// A message of the push server.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Message {
    /// `hi`, `ping`, `data`.
    #[serde(rename = "type", deserialize_with = "lenient::string")]
    pub kind: String,
    /// Given back with the acknowledgement.
    pub worker_id: Value,
    /// Given back with the acknowledgement.
    pub data_id: Value,
    /// A [`Permission`] as text.
    #[serde(deserialize_with = "lenient::string")]
    pub data: String,
}

/// What a user may or may not do from now on.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Permission {
    operation: String,
    principal: Principal,
    action: String,
    resource_type: String,
    resource_instance: Instance,
    policy_from: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Principal {
    principal_type: String,
    principal_id: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Instance {
    cluster: String,
    namespace: String,
}

/// Why a permission is not set.
#[derive(Debug, Error)]
pub(super) enum PermissionError {
    #[error("it is no permission")]
    Malformed,
    #[error("unknown operation {0:?}")]
    Operation(String),
    #[error("unknown type of resource {0:?}")]
    ResourceType(String),
    #[error("cluster {0:?} is unknown")]
    Cluster(String),
    #[error("cluster {0:?} has no credentials")]
    Credentials(String),
    #[error("the database failed")]
    Sql(#[from] SqlError),
    #[error(transparent)]
    Kube(#[from] KubeError),
}

/// What to do in every cluster.
#[derive(Debug, PartialEq, Eq)]
struct Change<'a> {
    add: bool,
    user: String,
    role: &'a str,
    scope: Scope<'a>,
    from: &'static str,
}

impl Permission {
    /// None: nothing is to be done.
    fn change(&self) -> Result<Option<Change<'_>>, PermissionError> {
        let add = match self.operation.as_str() {
            "add" => true,
            "delete" => false,
            other => return Err(PermissionError::Operation(other.to_owned())),
        };
        let Instance { cluster, namespace } = &self.resource_instance;
        let is_pattern = self.policy_from == "pattern_policy";
        let (scope, from) = match self.resource_type.as_str() {
            "cluster" if cluster == "*" || is_pattern => (Scope::Cluster, "from-any-cluster"),
            "cluster" => (Scope::Cluster, "from-common"),
            "namespace" if namespace == "*" => (Scope::Cluster, "from-any-namespaces"),
            "namespace" if is_pattern => return Ok(None),
            "namespace" => (Scope::Namespace(namespace), "from-common"),
            other => return Err(PermissionError::ResourceType(other.to_owned())),
        };
        let Principal { principal_type, principal_id } = &self.principal;
        Ok(Some(Change { add, user: format!("{principal_type}.{principal_id}"), role: &self.action, scope, from }))
    }
}

/// Does what a permission says, in every cluster that it is about.
pub(super) async fn apply(store: &Store, data: &str, shutdown: &Shutdown) -> Result<(), PermissionError> {
    let permission: Permission = serde_json::from_str(data).map_err(|_| PermissionError::Malformed)?;
    let Some(change) = permission.change()? else { return Ok(()) };
    let id = &permission.resource_instance.cluster;
    if id != "*" {
        let cluster = store.cluster_of_bcs_id(id).await?.ok_or_else(|| PermissionError::Cluster(id.clone()))?;
        return apply_in(store, &cluster, &change, shutdown).await;
    }
    // One cluster that cannot be reached does not keep the others; but then it is not done.
    let mut outcome = Ok(());
    for cluster in store.clusters().await? {
        match apply_in(store, &cluster, &change, shutdown).await {
            Ok(()) | Err(PermissionError::Credentials(_)) => {}
            Err(reason) => {
                warn!("cluster {}: {}", cluster.id, chain(&reason));
                outcome = Err(reason);
            }
        }
    }
    outcome
}

async fn apply_in(
    store: &Store,
    cluster: &Cluster,
    change: &Change<'_>,
    shutdown: &Shutdown,
) -> Result<(), PermissionError> {
    let credentials = store.credentials(&cluster.id).await?;
    let credentials = credentials.ok_or_else(|| PermissionError::Credentials(cluster.id.clone()))?;
    let kube = Kube::new(&credentials.access, shutdown)?;
    let Change { add, user, role, scope, from } = change;
    if *add {
        kube.ensure_role(role).await?;
    }
    let mut same = kube.bindings(*scope, user).await?;
    same.retain(|binding| binding.role == *role && binding.from == *from);
    if *add {
        if same.is_empty() {
            kube.bind(*scope, user, role, from).await?;
        }
        return Ok(());
    }
    for binding in same {
        kube.unbind(*scope, &binding.name).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn permission(resource_type: &str, cluster: &str, namespace: &str, policy_from: &str) -> Permission {
        serde_json::from_value(json!({
            "operation": "add", "principal": {"principal_type": "user", "principal_id": "alice"},
            "scope_type": "project", "scope_instance": "p", "service": "bcs", "action": "cluster-manage",
            "resource_type": resource_type, "resource_instance": {"cluster": cluster, "namespace": namespace},
            "policy_from": policy_from,
        }))
        .unwrap()
    }

    #[test]
    fn what_a_permission_means() {
        for (resource_type, cluster, namespace, policy, want) in [
            ("cluster", "*", "", "common", Some((Scope::Cluster, "from-any-cluster"))),
            ("cluster", "c", "", "common", Some((Scope::Cluster, "from-common"))),
            ("cluster", "c", "", "pattern_policy", Some((Scope::Cluster, "from-any-cluster"))),
            ("namespace", "c", "*", "pattern_policy", Some((Scope::Cluster, "from-any-namespaces"))),
            ("namespace", "c", "n", "common", Some((Scope::Namespace("n"), "from-common"))),
            ("namespace", "c", "n", "pattern_policy", None),
        ] {
            let permission = permission(resource_type, cluster, namespace, policy);
            let change = permission.change().unwrap();
            assert_eq!(change.as_ref().map(|change| (change.scope, change.from)), want);
            if let Some(change) = change {
                assert_eq!((change.add, change.user.as_str(), change.role), (true, "user.alice", "cluster-manage"));
            }
        }
        assert!(permission("pod", "c", "n", "common").change().is_err());
        let unknown = Permission { operation: "replace".into(), ..Permission::default() };
        assert!(unknown.change().is_err());
    }

    #[test]
    fn messages_are_read_leniently() {
        let message: Message =
            serde_json::from_str(r#"{"app_code":"a","type":"data","worker_id":7,"data_id":"x","data":"{}"}"#).unwrap();
        assert_eq!((message.kind.as_str(), message.worker_id, message.data_id), ("data", json!(7), json!("x")));
    }
}
