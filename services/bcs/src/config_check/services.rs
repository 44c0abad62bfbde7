//! What the keys of each service's configuration mean.

use std::ffi::OsString;
use std::path::Path;

use bcs_cluster_manager::{OptionsError, Store};
use bcs_common::config::{self, Spec};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::cli::ServiceName;

/// A service with the meaning of its keys. Empty names: it has no such thing.
pub struct Service {
    load: fn(&Path) -> Result<Loaded, String>,
    /// Its listeners.
    pub listeners: &'static [ListenerKeys],
    /// Its certificates for clients and servers.
    pub identities: &'static [IdentityKeys],
    /// Lists of ZooKeeper servers.
    pub zookeepers: &'static [&'static str],
    /// Its registration in etcd.
    pub etcd: Option<EtcdKeys>,
    /// The data source name of its SQL database.
    pub sql: Option<&'static str>,
    /// INI files: databases and queue.
    pub has_database_files: bool,
    /// Encrypted texts that may be empty.
    pub secrets: &'static [&'static str],
}

/// A listener.
pub struct ListenerKeys {
    /// What it is for.
    pub what: &'static str,
    /// Its address.
    pub address: &'static str,
    /// Its port.
    pub port: &'static str,
    /// It exists only with a server certificate.
    pub needs_certificate: bool,
    /// It exists only with an address; the others then take all addresses.
    pub needs_address: bool,
}

/// A certificate with its key.
pub struct IdentityKeys {
    /// Whose it is.
    pub what: &'static str,
    /// The CA.
    pub ca: &'static str,
    /// The certificate.
    pub cert: &'static str,
    /// The private key.
    pub key: &'static str,
    /// It is shown to clients, not to servers.
    pub is_server: bool,
    /// Without the CA there is no TLS at all.
    pub needs_ca: bool,
}

/// A registration in etcd.
pub struct EtcdKeys {
    /// Switches it on; without one it is on when servers are named.
    pub feature: Option<&'static str>,
    /// The servers.
    pub servers: &'static str,
    /// The client certificate.
    pub identity: IdentityKeys,
    /// Whether the service refuses to start with some of the three TLS files only; else it uses none of them.
    pub wants_all_files: bool,
}

const SERVER: IdentityKeys = IdentityKeys {
    what: "server certificate",
    ca: "ca_file",
    cert: "server_cert_file",
    key: "server_key_file",
    is_server: true,
    needs_ca: false,
};
const CLIENT: IdentityKeys = IdentityKeys {
    what: "client certificate",
    ca: "ca_file",
    cert: "client_cert_file",
    key: "client_key_file",
    is_server: false,
    needs_ca: false,
};
/// Those of bcs-storage and bcs-user-manager.
const ETCD: EtcdKeys = EtcdKeys {
    feature: Some("etcdRegistry.etcd_feature"),
    servers: "etcdRegistry.etcd_address",
    identity: IdentityKeys {
        what: "client certificate for etcd",
        ca: "etcdRegistry.etcd_ca",
        cert: "etcdRegistry.etcd_cert",
        key: "etcdRegistry.etcd_key",
        is_server: false,
        needs_ca: false,
    },
    wants_all_files: true,
};
const METRICS: ListenerKeys = ListenerKeys {
    what: "metrics",
    address: "address",
    port: "metric_port",
    needs_certificate: false,
    needs_address: false,
};

/// Those of bcs-api and bcs-user-manager.
const API_LISTENERS: &[ListenerKeys] = &[
    ListenerKeys { what: "HTTPS API", address: "address", port: "port", needs_certificate: true, needs_address: false },
    ListenerKeys {
        what: "plain API",
        address: "insecure_address",
        port: "insecure_port",
        needs_certificate: false,
        needs_address: true,
    },
    METRICS,
];

/// What the file says.
pub struct Loaded {
    /// The effective values.
    pub values: Value,
    /// Slips.
    pub warnings: Vec<String>,
    /// What keeps the service from starting, from its own checks.
    pub problems: Vec<String>,
    /// Where the documents are, if the values themselves say so; or why not.
    pub store: Option<Result<Store, OptionsError>>,
}

impl Service {
    /// The service of that name.
    pub fn of(name: ServiceName) -> Self {
        match name {
            ServiceName::Api => Self {
                load: |file| load(&bcs_api::spec(), file, bcs_api::Options::problems),
                listeners: API_LISTENERS,
                identities: &[SERVER, CLIENT],
                zookeepers: &["bcs_zookeeper"],
                etcd: None,
                sql: Some("bke.mysql_dsn"),
                has_database_files: false,
                secrets: &[],
            },
            ServiceName::Storage => Self {
                load: |file| load(&bcs_storage::spec(), file, |_: &bcs_storage::Options| Vec::new()),
                listeners: &[
                    ListenerKeys {
                        what: "API",
                        address: "address",
                        port: "port",
                        needs_certificate: false,
                        needs_address: false,
                    },
                    METRICS,
                ],
                identities: &[SERVER],
                zookeepers: &["bcs_zookeeper"],
                etcd: Some(ETCD),
                sql: None,
                has_database_files: true,
                secrets: &[],
            },
            ServiceName::UserManager => Self {
                load: |file| load(&bcs_user_manager::spec(), file, bcs_user_manager::Options::problems),
                listeners: API_LISTENERS,
                identities: &[SERVER, CLIENT],
                zookeepers: &["bcs_zookeeper"],
                etcd: Some(ETCD),
                sql: Some("mysql_dsn"),
                has_database_files: false,
                secrets: &["tke.secret_id", "tke.secret_key"],
            },
            ServiceName::ClusterManager => cluster_manager(),
            ServiceName::Check => Self {
                load: |file| load(&bcs_check::spec(), file, |_: &bcs_check::Options| Vec::new()),
                listeners: &[METRICS],
                identities: &[SERVER, CLIENT],
                zookeepers: &["bcs_zookeeper", "mesos_zookeeper"],
                etcd: None,
                sql: None,
                has_database_files: false,
                secrets: &[],
            },
        }
    }

    /// Reads the file as the service does.
    pub fn load(&self, file: &Path) -> Result<Loaded, String> {
        (self.load)(file)
    }
}

/// It has keys, and a loader, of its own.
fn cluster_manager() -> Service {
    const fn listener(what: &'static str, port: &'static str) -> ListenerKeys {
        ListenerKeys { what, address: "address", port, needs_certificate: false, needs_address: false }
    }
    const fn identity(what: &'static str, [ca, cert, key]: [&'static str; 3], is_server: bool) -> IdentityKeys {
        IdentityKeys { what, ca, cert, key, is_server, needs_ca: true }
    }
    Service {
        load: |file| {
            let checked = bcs_cluster_manager::Options::check(file)?;
            let store = Some(checked.options.store());
            Ok(Loaded { values: checked.values, warnings: checked.warnings, problems: Vec::new(), store })
        },
        listeners: const { &[listener("gRPC", "port"), listener("HTTP", "httpport"), listener("metrics", "metricport")] },
        identities: const {
            &[
                identity("server certificate", ["serverca", "servercert", "serverkey"], true),
                identity("client certificate", ["clientca", "clientcert", "clientkey"], false),
            ]
        },
        zookeepers: &[],
        etcd: Some(EtcdKeys {
            feature: None,
            servers: "etcd.endpoints",
            identity: identity("client certificate for etcd", ["etcd.ca", "etcd.cert", "etcd.key"], false),
            wants_all_files: false,
        }),
        sql: None,
        has_database_files: false,
        secrets: &[],
    }
}

/// The service's own types find what is wrong inside of lists and objects.
fn load<T: DeserializeOwned>(spec: &Spec, file: &Path, problems: impl Fn(&T) -> Vec<String>) -> Result<Loaded, String> {
    let typed = config::load_with_warnings::<T>(spec, arguments(spec, file)).map_err(|exit| exit.stderr)?;
    let values = config::load::<Value>(spec, arguments(spec, file)).map_err(|exit| exit.stderr)?;
    Ok(Loaded { values, warnings: typed.warnings, problems: problems(&typed.options), store: None })
}

fn arguments(spec: &Spec, file: &Path) -> impl Iterator<Item = OsString> + use<> {
    [spec.program.into(), "-f".into(), file.as_os_str().to_owned()].into_iter()
}
