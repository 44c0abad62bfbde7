//! Which types can be queried, where they are kept, and by which keys (storage.md 6.1, 6.2).

/// A type of resources that can be queried.
#[derive(Debug)]
pub struct Kind {
    /// Template of its route.
    pub route: &'static str,
    /// Where its resources are kept.
    pub collections: &'static [&'static str],
    /// Its filter keys, in groups.
    pub keys: &'static [&'static [Key]],
}

/// A parameter that filters.
#[derive(Debug)]
pub struct Key {
    /// Name of the parameter.
    pub name: &'static str,
    /// What it is compared to.
    pub path: &'static str,
    /// How.
    pub op: Op,
    /// The value if the parameter is missing.
    pub default: Option<&'static str>,
}

/// How a parameter is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Equal to one of the texts of a comma list.
    In,
    /// The same, or the document has no such field.
    InOrMissing,
    /// Equal as a number.
    Int,
    /// Equal as a boolean: `1` and `true` in any case are true, everything else is false.
    Bool,
    /// A time after this unix second; a value that is no number is ignored.
    After,
    /// A time before it.
    Before,
}

const fn key(name: &'static str, path: &'static str, op: Op) -> Key {
    Key { name, path, op, default: None }
}

const fn text(name: &'static str, path: &'static str) -> Key {
    key(name, path, Op::In)
}

const fn int(name: &'static str, path: &'static str) -> Key {
    key(name, path, Op::Int)
}

const fn after(name: &'static str, path: &'static str) -> Key {
    key(name, path, Op::After)
}

const fn before(name: &'static str, path: &'static str) -> Key {
    key(name, path, Op::Before)
}

macro_rules! mesos {
    ($type:literal) => {
        concat!("/query/mesos/dynamic/clusters/{clusterId}/", $type)
    };
}

macro_rules! kubernetes {
    ($type:literal) => {
        concat!("/query/k8s/dynamic/clusters/{clusterId}/", $type)
    };
}

const fn kind(route: &'static str, collections: &'static [&'static str], keys: &'static [&'static [Key]]) -> Kind {
    Kind { route, collections, keys }
}

const NAME: &[Key] = &[text("name", "resourceName")];
const NAMESPACE: &[Key] = &[text("namespace", "namespace")];
const API_VERSION: &[Key] = &[text("apiVersion", "data.apiVersion")];
const CREATED: &[Key] = &[
    after("createTimeBegin", "data.metadata.creationTimestamp"),
    before("createTimeEnd", "data.metadata.creationTimestamp"),
];
const VERSION: &[Key] = &[text("resourceVersion", "data.metadata.resourceVersion"), text("uid", "data.metadata.uid")];
const GENERATION: &[Key] = &[int("generation", "data.metadata.generation")];
const UPDATE_STRATEGY: &[Key] = &[text("updateStrategyType", "data.spec.updateStrategy.type")];
const INSTANCES: &[Key] = &[
    int("instance", "data.instance"),
    int("buildedInstance", "data.buildedInstance"),
    int("runningInstance", "data.runningInstance"),
    text("status", "data.status"),
    text("lastStatus", "data.lastStatus"),
    text("podIp", "data.podIP"),
    after("createTimeBegin", "data.createTime"),
    before("createTimeEnd", "data.createTime"),
    after("lastUpdateTimeBegin", "data.lastUpdateTime"),
    before("lastUpdateTimeEnd", "data.lastUpdateTime"),
];
const APPLICATION_KIND: &[Key] =
    &[Key { name: "kind", path: "data.kind", op: Op::InOrMissing, default: Some(",application") }];
const PROCESS_KIND: &[Key] = &[Key { name: "kind", path: "data.kind", op: Op::In, default: Some("process") }];
const TASKGROUP: &[Key] = &[
    text("rcName", "data.rcname"),
    text("status", "data.status"),
    text("lastStatus", "data.lastStatus"),
    text("hostIp", "data.hostIP"),
    text("hostName", "data.hostName"),
    text("podIp", "data.podIP"),
    after("startTimeBegin", "data.startTime"),
    before("startTimeEnd", "data.startTime"),
    after("lastUpdateTimeBegin", "data.lastUpdateTime"),
    before("lastUpdateTimeEnd", "data.lastUpdateTime"),
];
const MESOS_DEPLOYMENT: &[Key] = &[
    int("checkTime", "data.check_time"),
    text("status", "data.status"),
    text("applicationName", "data.application.name"),
    text("applicationExtName", "data.application_ext.name"),
    text("currRollingOperation", "data.curr_rolling_operation"),
    key("isInRolling", "data.is_in_rolling", Op::Bool),
    after("lastRollingTimeBegin", "data.last_rolling_time"),
    before("lastRollingTimeEnd", "data.last_rolling_time"),
];
const EXPORT_SERVICE: &[Key] = &[
    text("serviceName", "data.serviceName"),
    key("sslCert", "data.sslcert", Op::Bool),
    text("balance", "data.balance"),
];

const MESOS_APPLICATION: Kind =
    kind(mesos!("application"), &["application"], &[NAME, NAMESPACE, APPLICATION_KIND, INSTANCES]);
const MESOS_PROCESS: Kind = kind(mesos!("process"), &["application"], &[NAME, NAMESPACE, PROCESS_KIND, INSTANCES]);
const MESOS_DEPLOYMENTS: Kind = kind(mesos!("deployment"), &["deployment"], &[NAME, NAMESPACE, MESOS_DEPLOYMENT]);
const MESOS_SERVICE: Kind = kind(mesos!("service"), &["service"], &[NAME, NAMESPACE, API_VERSION]);
const MESOS_CONFIGMAP: Kind = kind(mesos!("configmap"), &["configmap"], &[NAME, NAMESPACE, API_VERSION]);
const MESOS_SECRET: Kind = kind(mesos!("secret"), &["secret"], &[NAME, NAMESPACE, API_VERSION]);

/// The Mesos types.
pub const MESOS: &[Kind] = &[
    kind(mesos!("taskgroup"), &["taskgroup"], &[NAME, NAMESPACE, TASKGROUP, CREATED]),
    MESOS_APPLICATION,
    MESOS_PROCESS,
    MESOS_DEPLOYMENTS,
    MESOS_SERVICE,
    MESOS_CONFIGMAP,
    MESOS_SECRET,
    kind(mesos!("endpoints"), &["endpoint"], &[NAME, NAMESPACE, API_VERSION]),
    // The name that bcs-client asks for.
    kind(mesos!("endpoint"), &["endpoint"], &[NAME, NAMESPACE, API_VERSION]),
    kind(mesos!("exportservice"), &["exportservice"], &[NAME, NAMESPACE, EXPORT_SERVICE]),
    kind(mesos!("ippoolstatic"), &["IPPoolStatic"], &[]),
    kind(mesos!("ippoolstaticdetail"), &["IPPoolStaticDetail"], &[]),
];

/// The route that lists the namespaces of a Mesos cluster.
pub const MESOS_NAMESPACE_ROUTE: &str = mesos!("namespace");

/// The types whose namespaces it lists.
pub const MESOS_NAMESPACES: &[&Kind] =
    &[&MESOS_APPLICATION, &MESOS_PROCESS, &MESOS_DEPLOYMENTS, &MESOS_SERVICE, &MESOS_CONFIGMAP, &MESOS_SECRET];

const POD: &[Key] = &[
    text("hostIp", "data.status.hostIP"),
    text("podIp", "data.status.podIP"),
    text("status", "data.status.phase"),
    after("startTimeBegin", "data.status.startTime"),
    before("startTimeEnd", "data.status.startTime"),
];
const REPLICA_SET: &[Key] = &[
    int("replicas", "data.status.replicas"),
    int("availableReplicas", "data.status.availableReplicas"),
    int("readyReplicas", "data.status.readyReplicas"),
];
const DEPLOYMENT: &[Key] = &[
    int("replicas", "data.status.replicas"),
    int("availableReplicas", "data.status.availableReplicas"),
    int("updatedReplicas", "data.status.updatedReplicas"),
    text("strategyType", "data.spec.strategy.type"),
    text("dnsPolicy", "data.spec.template.spec.dnsPolicy"),
    text("restartPolicy", "data.spec.template.spec.restartPolicy"),
];
const SERVICE: &[Key] = &[text("clusterIp", "data.spec.clusterIP"), text("type", "data.spec.type")];
const PHASE: &[Key] = &[text("status", "data.status.phase")];
const EXTERNAL_ID: &[Key] = &[text("externalID", "data.spec.externalID")];
const TEMPLATE_GENERATION: &[Key] = &[int("templateGeneration", "data.spec.templateGeneration")];
const STATEFUL_SET: &[Key] =
    &[text("podManagementPolicy", "data.spec.podManagementPolicy"), text("serviceName", "data.spec.serviceName")];

const REPLICA_SETS: Kind = kind(kubernetes!("replicaset"), &["ReplicaSet"], &[NAME, NAMESPACE, REPLICA_SET, CREATED]);
const DEPLOYMENTS: Kind = kind(kubernetes!("deployment"), &["Deployment"], &[NAME, NAMESPACE, DEPLOYMENT, CREATED]);
const SERVICES: Kind = kind(kubernetes!("service"), &["Service"], &[NAME, NAMESPACE, SERVICE, CREATED]);
const CONFIG_MAPS: Kind = kind(kubernetes!("configmap"), &["ConfigMap"], &[NAME, NAMESPACE, CREATED]);
const SECRETS: Kind = kind(kubernetes!("secret"), &["Secret"], &[NAME, NAMESPACE, CREATED]);
const INGRESSES: Kind = kind(kubernetes!("ingress"), &["Ingress"], &[NAME, NAMESPACE, CREATED]);
const DAEMON_SETS: Kind = kind(
    kubernetes!("daemonset"),
    &["DaemonSet"],
    &[NAME, NAMESPACE, VERSION, GENERATION, TEMPLATE_GENERATION, UPDATE_STRATEGY, CREATED],
);
const JOBS: Kind = kind(kubernetes!("job"), &["Job"], &[NAME, NAMESPACE, VERSION, CREATED]);
const STATEFUL_SETS: Kind = kind(
    kubernetes!("statefulset"),
    &["StatefulSet"],
    &[NAME, NAMESPACE, VERSION, GENERATION, STATEFUL_SET, UPDATE_STRATEGY, CREATED],
);

/// The Kubernetes types, without `namespace`.
pub const KUBERNETES: &[Kind] = &[
    kind(kubernetes!("pod"), &["Pod"], &[NAME, NAMESPACE, POD]),
    REPLICA_SETS,
    DEPLOYMENTS,
    SERVICES,
    CONFIG_MAPS,
    SECRETS,
    // Watchers of this version write the first, older ones wrote the second.
    kind(kubernetes!("endpoints"), &["Endpoints", "EndPoints"], &[NAME, NAMESPACE]),
    INGRESSES,
    kind(kubernetes!("node"), &["Node"], &[NAME, EXTERNAL_ID, CREATED]),
    DAEMON_SETS,
    JOBS,
    STATEFUL_SETS,
    kind(kubernetes!("ippoolstatic"), &["IPPoolStatic"], &[]),
    kind(kubernetes!("ippoolstaticdetail"), &["IPPoolStaticDetail"], &[]),
];

/// The namespace objects of Kubernetes; its route can also list the namespaces in use.
pub const KUBERNETES_NAMESPACE: Kind = kind(kubernetes!("namespace"), &["Namespace"], &[NAME, PHASE, CREATED]);

/// The types that make a namespace one in use.
pub const KUBERNETES_NAMESPACES: &[&Kind] =
    &[&REPLICA_SETS, &DEPLOYMENTS, &SERVICES, &CONFIG_MAPS, &SECRETS, &INGRESSES, &DAEMON_SETS, &JOBS, &STATEFUL_SETS];
