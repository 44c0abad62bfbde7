//! Which cluster and namespace a request is about, and whether it changes something (api.md 9.1). A request without a rule
//! passes with any token, as in the original.

use http::Method;

use Action::{Manage, ReadOnly};

/// What a caller wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// `cluster-readonly`.
    ReadOnly,
    /// `cluster-manage`.
    Manage,
}

impl Action {
    /// Its id in the IAM.
    pub fn id(self) -> &'static str {
        match self {
            ReadOnly => "cluster-readonly",
            Manage => "cluster-manager",
        }
    }
}

/// What a caller must be allowed to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Demand<'a> {
    /// BCS cluster id; never empty.
    pub cluster: &'a str,
    /// Empty: the whole cluster.
    pub namespace: &'a str,
    pub action: Action,
}

/// Methods with their action, for the paths of a pattern: `*` is any segment, `{c}` the cluster, `{n}` the namespace, `a|b`
/// one of these.
type Row = (&'static [(&'static str, Action)], &'static str);

const READ: &[(&str, Action)] = &[("GET", ReadOnly)];
const QUERY: &[(&str, Action)] = &[("GET", ReadOnly), ("POST", ReadOnly)];
const READ_CHANGE_DELETE: &[(&str, Action)] = &[("GET", ReadOnly), ("PUT", Manage), ("DELETE", Manage)];
const READ_DELETE: &[(&str, Action)] = &[("GET", ReadOnly), ("DELETE", Manage)];
const DELETE: &[(&str, Action)] = &[("DELETE", Manage)];
const CREATE: &[(&str, Action)] = &[("POST", Manage)];
const CHANGE: &[(&str, Action)] = &[("PUT", Manage)];
const CREATE_CHANGE: &[(&str, Action)] = &[("POST", Manage), ("PUT", Manage)];
const CREATE_CHANGE_READ: &[(&str, Action)] = &[("POST", Manage), ("PUT", Manage), ("GET", ReadOnly)];
const READ_DELETE_CREATE: &[(&str, Action)] = &[("GET", ReadOnly), ("DELETE", Manage), ("POST", Manage)];

/// Below `/bcsapi/v4/storage`.
const STORAGE: &[Row] = &[
    (QUERY, "query/mesos|k8s/dynamic/clusters/{c}/*"),
    (READ, "mesos|k8s/dynamic/namespace_resources/clusters/{c}/namespaces/{n}/*/*"),
    (READ, "mesos|k8s/dynamic/namespace_resources/clusters/{c}/namespaces/{n}/*"),
    (READ, "mesos|k8s/dynamic/cluster_resources/clusters/{c}/*/*"),
    (READ, "mesos|k8s/dynamic/cluster_resources/clusters/{c}/*"),
    (READ, "mesos|k8s/dynamic/all_resources/clusters/{c}/*"),
    (READ_CHANGE_DELETE, "metric/clusters/{c}/namespaces/{n}/*/*"),
    (READ, "metric/clusters/{c}"),
];

/// Below `/bcsapi/v4/metric`.
const METRIC: &[Row] = &[
    (DELETE, "clustertype/*/clusters/{c}/namespaces/{n}/metrics"),
    (READ, "tasks/clusters/{c}"),
    (READ_CHANGE_DELETE, "tasks/clusters/{c}/namespaces/{n}/name/*"),
];

/// Below `/bcsapi/v4/scheduler/mesos`; the cluster is in the header.
const MESOS: &[Row] = &[
    (CREATE_CHANGE_READ, "namespaces/{n}/applications|processes"),
    (READ_DELETE, "namespaces/{n}/applications|processes/*"),
    (CHANGE, "namespaces/{n}/applications|processes/rollback"),
    (CHANGE, "namespaces/{n}/applications|processes/*/scale/*"),
    (CREATE, "namespaces/{n}/applications/*/message"),
    (CREATE, "namespaces/{n}/applications/*/taskgroups/*/message"),
    (READ, "namespaces/{n}/applications/*/tasks"),
    (READ, "namespaces/{n}/applications/*/taskgroups"),
    (CHANGE, "namespaces/{n}/applications/*/taskgroups/*/rescheduler"),
    (CREATE, "namespaces/{n}/applications/*/taskgroups/*/restart|reload"),
    (READ, "namespaces/{n}/applications/*/versions"),
    (READ, "namespaces/{n}/applications/*/versions/*"),
    (CREATE_CHANGE, "namespaces/{n}/configmaps|secrets|services"),
    (DELETE, "namespaces/{n}/configmaps|secrets|services/*"),
    (READ, "cluster/resources|endpoints"),
    (READ, "cluster/current/offers"),
    (CREATE_CHANGE, "namespaces/{n}/deployments"),
    (DELETE, "namespaces/{n}/deployments/*"),
    (CHANGE, "namespaces/{n}/deployments/*/cancelupdate|pauseupdate|resumeupdate"),
    (CHANGE, "namespaces/{n}/deployments/*/scale/*"),
    (READ_DELETE_CREATE, "agentsettings"),
    (CREATE, "agentsettings/update|enable|disable"),
    (CREATE, "crr/register"),
    (CREATE_CHANGE, "crd/namespaces/{n}/*"),
    (DELETE, "crd/namespaces/{n}/*/*"),
    (CREATE, "image/commit/*"),
    (READ, "definition/application|deployment/{n}/*"),
];

/// A segment of a pattern.
enum Segment {
    OneOf(Vec<&'static str>),
    Any,
    Cluster,
    Namespace,
}

struct Rule {
    methods: &'static [(&'static str, Action)],
    segments: Vec<Segment>,
}

/// What a rule finds in a path.
struct Found<'a> {
    cluster: &'a str,
    namespace: &'a str,
    action: Action,
}

/// All rules.
pub(super) struct Rules {
    storage: Vec<Rule>,
    metric: Vec<Rule>,
    mesos: Vec<Rule>,
}

impl Rules {
    pub fn new() -> Self {
        let rules = |rows: &[Row]| rows.iter().map(|(methods, pattern)| Rule::new(methods, pattern)).collect();
        Self { storage: rules(STORAGE), metric: rules(METRIC), mesos: rules(MESOS) }
    }

    /// What the caller of a path must be allowed to. `named` are the clusters of the header: each counts as well as the one
    /// in the path (quirk Q3).
    pub fn demands<'a>(&self, method: &Method, path: &'a str, named: &[&'a str]) -> Vec<Demand<'a>> {
        let Some(Found { cluster, namespace, action }) = self.find(method, path) else { return Vec::new() };
        let mut clusters: Vec<&str> = std::iter::once(cluster).chain(named.iter().copied()).collect();
        clusters.retain(|cluster| !cluster.is_empty());
        clusters.dedup();
        clusters.into_iter().map(|cluster| Demand { cluster, namespace, action }).collect()
    }

    fn find<'a>(&self, method: &Method, path: &'a str) -> Option<Found<'a>> {
        let segments: Vec<&str> = path.trim_end_matches('/').split('/').collect();
        let (rules, rest) = match segments.as_slice() {
            ["", "bcsapi", _, "storage", rest @ ..] => (&self.storage, rest),
            ["", "bcsapi", _, "metric", rest @ ..] => (&self.metric, rest),
            ["", "bcsapi", _, "scheduler", "mesos", rest @ ..] => (&self.mesos, rest),
            _ => return None,
        };
        rules.iter().find_map(|rule| rule.find(method, rest))
    }
}

impl Rule {
    fn new(methods: &'static [(&'static str, Action)], pattern: &'static str) -> Self {
        let segment = |text: &'static str| match text {
            "*" => Segment::Any,
            "{c}" => Segment::Cluster,
            "{n}" => Segment::Namespace,
            text => Segment::OneOf(text.split('|').collect()),
        };
        Self { methods, segments: pattern.split('/').map(segment).collect() }
    }

    fn find<'a>(&self, method: &Method, path: &[&'a str]) -> Option<Found<'a>> {
        let (_, action) = self.methods.iter().find(|(known, _)| method.as_str() == *known)?;
        if self.segments.len() != path.len() {
            return None;
        }
        let mut found = Found { cluster: "", namespace: "", action: *action };
        for (segment, given) in self.segments.iter().zip(path) {
            match segment {
                Segment::OneOf(texts) if !texts.contains(given) => return None,
                Segment::OneOf(_) | Segment::Any => {}
                Segment::Cluster => found.cluster = given,
                Segment::Namespace => found.namespace = given,
            }
        }
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demands(method: &str, path: &str, named: &[&str]) -> Vec<(String, String, Action)> {
        let method = method.parse().unwrap();
        let demands = Rules::new();
        let demands = demands.demands(&method, path, named);
        demands.into_iter().map(|demand| (demand.cluster.into(), demand.namespace.into(), demand.action)).collect()
    }

    fn one(cluster: &str, namespace: &str, action: Action) -> Vec<(String, String, Action)> {
        vec![(cluster.into(), namespace.into(), action)]
    }

    #[test]
    fn storage_rules_take_the_cluster_of_the_path_and_of_the_header() {
        let pods = "/bcsapi/v4/storage/k8s/dynamic/namespace_resources/clusters/C/namespaces/ns/Pod";
        assert_eq!(demands("GET", pods, &[]), one("C", "ns", ReadOnly));
        assert_eq!(demands("GET", &format!("{pods}/a//"), &["C"]), one("C", "ns", ReadOnly));
        let both = demands("GET", pods, &["D", "E"]);
        assert_eq!(both.iter().map(|(cluster, ..)| cluster.as_str()).collect::<Vec<_>>(), ["C", "D", "E"]);
        assert_eq!(demands("PUT", pods, &["D"]), []);
        let query = "/bcsapi/v4/storage/query/mesos/dynamic/clusters/C/taskgroup";
        assert_eq!(demands("POST", query, &[]), one("C", "", ReadOnly));
        assert_eq!(
            demands("DELETE", "/bcsapi/v4/storage/metric/clusters/C/namespaces/n/t/x", &[]),
            one("C", "n", Manage)
        );
    }

    #[test]
    fn metric_rules_match_real_paths() {
        let path = "/bcsapi/v4/metric/clustertype/mesos/clusters/C/namespaces/n/metrics";
        assert_eq!(demands("DELETE", path, &[]), one("C", "n", Manage));
        assert_eq!(demands("GET", "/bcsapi/v4/metric/tasks/clusters/C/", &[]), one("C", "", ReadOnly));
    }

    #[test]
    fn mesos_rules_take_the_cluster_of_the_header() {
        let path = |rest: &str| format!("/bcsapi/v4/scheduler/mesos/{rest}");
        for (method, rest, namespace, action) in [
            ("GET", "namespaces/n/applications", "n", ReadOnly),
            ("PUT", "namespaces/n/processes/rollback", "n", Manage),
            ("PUT", "namespaces/n/applications/a/scale/3", "n", Manage),
            ("PUT", "namespaces/n/deployments/d/pauseupdate", "n", Manage),
            ("POST", "namespaces/n/applications/a/taskgroups/t/reload", "n", Manage),
            ("GET", "cluster/current/offers", "", ReadOnly),
            ("DELETE", "agentsettings", "", Manage),
            ("DELETE", "crd/namespaces/n/k/x", "n", Manage),
            ("GET", "definition/deployment/n/x", "n", ReadOnly),
        ] {
            assert_eq!(demands(method, &path(rest), &["C"]), one("C", namespace, action), "{method} {rest}");
            assert_eq!(demands(method, &path(rest), &[]), [], "{method} {rest}");
        }
        for (method, rest) in [("GET", "namespaces/n/deployments"), ("GET", "unknown"), ("POST", "agentsettings/x")] {
            assert_eq!(demands(method, &path(rest), &["C"]), [], "{method} {rest}");
        }
        assert_eq!(demands("GET", "/bcsapi/v4/scheduler/k8s/version", &["C"]), []);
    }
}
