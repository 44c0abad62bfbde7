//! The roles that users can have in a cluster (api.md 13).

use serde_json::{Value, json};

/// All roles.
pub(super) const ROLES: &[&str] =
    &["cluster-manage", "cluster-readonly", "services-view", "services-manage", "workloads-view", "workloads-manage"];

const READ: &[&str] = &["get", "list", "watch"];
const ALL: &[&str] = &["*"];
const SERVICES: &[&str] = &["services", "endpoints"];
const WORKLOADS: &[&str] = &[
    "pods",
    "pods/attach",
    "pods/exec",
    "pods/portforward",
    "pods/proxy",
    "replicationcontrollers",
    "replicationcontrollers/scale",
    "daemonsets",
    "deployments",
    "deployments/rollback",
    "deployments/scale",
    "replicasets",
    "replicasets/scale",
    "statefulsets",
    "cronjobs",
    "jobs",
    "horizontalpodautoscalers",
];
const WORKLOADS_READ_ONLY: &[&str] = &[
    "limitranges",
    "pods/log",
    "pods/status",
    "replicationcontrollers/status",
    "resourcequotas",
    "resourcequotas/status",
    "bindings",
];

/// The name of a role's ClusterRole.
pub(super) fn cluster_role(role: &str) -> String {
    format!("bke-{role}")
}

/// The rules of a role; none if there is no such role.
pub(super) fn rules(role: &str) -> Option<Value> {
    let rule = |verbs: &[&str], resources: &[&str]| json!({"apiGroups": ["*"], "resources": resources, "verbs": verbs});
    let rules = match role {
        "cluster-manage" => vec![rule(ALL, ALL), json!({"nonResourceURLs": ["*"], "verbs": ["*"]})],
        "cluster-readonly" => vec![rule(READ, ALL)],
        "services-view" => vec![rule(READ, SERVICES)],
        "services-manage" => vec![rule(ALL, SERVICES)],
        "workloads-view" => vec![rule(READ, WORKLOADS), rule(READ, WORKLOADS_READ_ONLY)],
        "workloads-manage" => vec![rule(ALL, WORKLOADS), rule(READ, WORKLOADS_READ_ONLY)],
        _ => return None,
    };
    Some(rules.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_has_rules() {
        assert!(ROLES.iter().all(|role| rules(role).is_some()));
        assert_eq!(rules("cluster-owner"), None);
        assert_eq!(cluster_role("services-view"), "bke-services-view");
        let manage = rules("cluster-manage").unwrap();
        assert_eq!(manage[1], json!({"nonResourceURLs": ["*"], "verbs": ["*"]}));
    }
}
