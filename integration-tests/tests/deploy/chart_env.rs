//! The environment that the chart bcs-services gives its containers (deploy.md 4), with the chart's defaults.

use std::collections::BTreeMap;

/// Variables with their values.
pub type Env = BTreeMap<String, String>;

const COMMON: &[(&str, &str)] = &[
    ("BCS_CONFIG_TYPE", "render"),
    ("localIp", "127.0.0.1"),
    ("log_dir", "/data/bcs/logs/bcs"),
    ("caFile", "/data/bcs/cert/bcs/bcs-ca.crt"),
    ("serverCertFile", "/data/bcs/cert/bcs/bcs-server.crt"),
    ("serverKeyFile", "/data/bcs/cert/bcs/bcs-server.key"),
    ("bcsEtcdHost", "127.0.0.1:2379"),
    ("bcsEtcdCAFile", "/data/bcs/cert/etcd/etcd-ca.pem"),
    ("bcsEtcdCertFile", "/data/bcs/cert/etcd/etcd.pem"),
    ("bcsEtcdKeyFile", "/data/bcs/cert/etcd/etcd-key.pem"),
];

const STORAGE: &[(&str, &str)] = &[
    ("bcsStoragePort", "50024"),
    ("bcsStorageMetricPort", "50025"),
    ("verbosity", "3"),
    ("alsologtostderr", "true"),
    ("pid_dir", "./"),
    ("bcsZkHost", "127.0.0.1:2181"),
    ("storageDbConfig", "./storage-database.conf"),
    ("queueConfig", "./queue.conf"),
    ("eventMaxDay", "7"),
    ("eventMaxCap", "10000"),
    ("alarmMaxDay", "7"),
    ("alarmMaxCap", "10000"),
    ("bcsEtcdFeature", "true"),
    ("mongodbHost", "127.0.0.1:27017"),
    ("mongodbUsername", "admin"),
    ("mongodbPassword", ""),
    ("mongodbOplogCollection", "oplog.$main"),
    ("ConfigDbHost", "127.0.0.1:27017"),
    ("ConfigDbUsername", "root"),
    ("ConfigDbPassword", ""),
    ("queueFlag", "true"),
    ("queueKind", "rabbitmq"),
    ("resource", ""),
    ("queueAddress", ""),
    ("queueClusterId", ""),
];

const USER_MANAGER: &[(&str, &str)] = &[
    ("bcsUserManagerPort", "30445"),
    ("bcsUserManagerMetricPort", "9253"),
    ("bcsUserManagerInsecurePort", "8089"),
    ("verbosity", "3"),
    ("alsologtostderr", "true"),
    ("pid_dir", "./"),
    ("bcsZkHost", "127.0.0.1:2181"),
    ("clientCertFile", "/data/bcs/cert/bcs/bcs-client.crt"),
    ("clientKeyFile", "/data/bcs/cert/bcs/bcs-client.key"),
    ("bcsEtcdFeature", "true"),
    ("coreDatabaseDsn", ""),
    ("adminUser", "admin"),
    ("adminToken", ""),
    ("tkeSecretId", ""),
    ("tkeSecretKey", ""),
    ("tkeCcsHost", "cloud.example"),
    ("tkeCcsPath", "/v2/index.php"),
    ("bkiamAuthHost", ""),
];

const CLUSTER_MANAGER: &[(&str, &str)] = &[
    ("bcsClusterManagerPort", "8080"),
    ("bcsClusterManagerHTTPPort", "8081"),
    ("bcsClusterManagerMetricPort", "8082"),
    ("clientCertFile", "/data/bcs/cert/bcs/bcs-client.crt"),
    ("clientKeyFile", "/data/bcs/cert/bcs/bcs-client.key"),
    ("bcsClusterManagerDebug", "false"),
    ("bcsClusterManagerAlsoToStdErr", "true"),
    ("bcsClusterManagerVerbosity", "3"),
    ("bcsClusterManagerSwaggerDir", "/data/bcs/swagger"),
    ("bcsClusterManagerPeerToken", "12345678-c714-43d0-8379-d5c2e01e9593"),
    ("bcsClusterManagerMongoAddress", "127.0.0.1:27017"),
    ("bcsClusterManagerMongoConnectTimeout", "3"),
    ("bcsClusterManagerMongoDatabase", "clustermanager"),
    ("bcsClusterManagerMongoUsername", "admin"),
    ("bcsClusterManagerMongoPassword", ""),
    ("bcsClusterManagerMongoMaxPoolSize", "0"),
    ("bcsClusterManagerMongoMinPoolSize", "0"),
];

/// There is no chart of bcs-api: the names are those of its template (api.md 3).
const API: &[(&str, &str)] = &[
    ("apiEdition", "inner_edition"),
    ("bcsApiPort", "30443"),
    ("bcsApiMesosWebconsolePort", "8083"),
    ("bcsApiInsecurePort", "30080"),
    ("bcsApiMetricPort", "8082"),
    ("pid_dir", "./"),
    ("bcsZkHost", "127.0.0.1:2181"),
    ("clientCertFile", "/data/bcs/cert/bcs/bcs-client.crt"),
    ("clientKeyFile", "/data/bcs/cert/bcs/bcs-client.key"),
    ("bkiamAuthVersion", "3"),
    ("bkiamAuthHost", ""),
    ("coreDatabaseDsn", ""),
    ("adminUser", "admin"),
    ("adminToken", ""),
    ("tkeSecretId", ""),
    ("tkeSecretKey", ""),
    ("tkeCcsHost", ""),
    ("tkeCcsPath", ""),
];

/// Nor of bcs-check.
const CHECK: &[(&str, &str)] = &[
    ("bcsCheckPort", "43000"),
    ("bcsCheckMetricPort", "43001"),
    ("pid_dir", "./"),
    ("bcsZkHost", "127.0.0.1:2181"),
    ("clientCertFile", "/data/bcs/cert/bcs/bcs-client.crt"),
    ("clientKeyFile", "/data/bcs/cert/bcs/bcs-client.key"),
    ("mesosZkHost", "127.0.0.1:2181"),
    ("clusterId", "BCS-MESOS-10001"),
];

/// The variables of a service.
pub fn defaults(program: &str) -> Env {
    let own = match program {
        "bcs-storage" => STORAGE,
        "bcs-user-manager" => USER_MANAGER,
        "bcs-cluster-manager" => CLUSTER_MANAGER,
        "bcs-api" => API,
        "bcs-check" => CHECK,
        other => panic!("no service: {other}"),
    };
    COMMON.iter().chain(own).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// [`defaults`] with other values.
pub fn with(program: &str, values: &[(&str, &str)]) -> Env {
    let mut env = defaults(program);
    for (name, value) in values {
        let known = env.insert((*name).to_owned(), (*value).to_owned());
        assert!(known.is_some(), "{program} has no variable {name}");
    }
    env
}
