//! What the keys of each service's configuration mean.

use std::ffi::OsString;
use std::path::Path;

use bcs_common::config::{self, Exit, Spec};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::cli::ServiceName;

/// A service with the meaning of its keys. Empty names: it has no such thing.
pub struct Service {
    spec: fn() -> Spec,
    typed: fn(&Path) -> Result<Vec<String>, Exit>,
    /// Its listeners.
    pub listeners: &'static [ListenerKeys],
    /// Its certificates for clients and servers.
    pub identities: &'static [IdentityKeys],
    /// Lists of ZooKeeper servers.
    pub zookeepers: &'static [&'static str],
    /// Its registration in etcd.
    pub has_etcd_registry: bool,
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
}

const SERVER: IdentityKeys = IdentityKeys {
    what: "server certificate",
    ca: "ca_file",
    cert: "server_cert_file",
    key: "server_key_file",
    is_server: true,
};
const CLIENT: IdentityKeys = IdentityKeys {
    what: "client certificate",
    ca: "ca_file",
    cert: "client_cert_file",
    key: "client_key_file",
    is_server: false,
};
const METRICS: ListenerKeys =
    ListenerKeys { what: "metrics", address: "address", port: "metric_port", needs_certificate: false };

/// Those of bcs-api and bcs-user-manager.
const API_LISTENERS: &[ListenerKeys] = &[
    ListenerKeys { what: "HTTPS API", address: "address", port: "port", needs_certificate: true },
    ListenerKeys { what: "plain API", address: "insecure_address", port: "insecure_port", needs_certificate: false },
    METRICS,
];

/// What the file says.
pub struct Loaded {
    /// The effective values.
    pub values: Value,
    /// Slips.
    pub warnings: Vec<String>,
}

impl Service {
    /// The service of that name.
    pub fn of(name: ServiceName) -> Self {
        match name {
            ServiceName::Api => Self {
                spec: bcs_api::spec,
                typed: |file| typed::<bcs_api::Options>(&bcs_api::spec(), file),
                listeners: API_LISTENERS,
                identities: &[SERVER, CLIENT],
                zookeepers: &["bcs_zookeeper"],
                has_etcd_registry: false,
                sql: Some("bke.mysql_dsn"),
                has_database_files: false,
                secrets: &[],
            },
            ServiceName::Storage => Self {
                spec: bcs_storage::spec,
                typed: |file| typed::<bcs_storage::Options>(&bcs_storage::spec(), file),
                listeners: &[
                    ListenerKeys { what: "API", address: "address", port: "port", needs_certificate: false },
                    METRICS,
                ],
                identities: &[SERVER],
                zookeepers: &["bcs_zookeeper"],
                has_etcd_registry: true,
                sql: None,
                has_database_files: true,
                secrets: &[],
            },
            ServiceName::UserManager => Self {
                spec: bcs_user_manager::spec,
                typed: |file| typed::<bcs_user_manager::Options>(&bcs_user_manager::spec(), file),
                listeners: API_LISTENERS,
                identities: &[SERVER, CLIENT],
                zookeepers: &["bcs_zookeeper"],
                has_etcd_registry: true,
                sql: Some("mysql_dsn"),
                has_database_files: false,
                secrets: &["tke.secret_id", "tke.secret_key"],
            },
            ServiceName::Check => Self {
                spec: bcs_check::spec,
                typed: |file| typed::<bcs_check::Options>(&bcs_check::spec(), file),
                listeners: &[METRICS],
                identities: &[SERVER, CLIENT],
                zookeepers: &["bcs_zookeeper", "mesos_zookeeper"],
                has_etcd_registry: false,
                sql: None,
                has_database_files: false,
                secrets: &[],
            },
        }
    }

    /// Reads the file as the service does.
    pub fn load(&self, file: &Path) -> Result<Loaded, String> {
        let warnings = (self.typed)(file).map_err(|exit| exit.stderr)?;
        let spec = (self.spec)();
        let values = config::load::<Value>(&spec, arguments(&spec, file)).map_err(|exit| exit.stderr)?;
        Ok(Loaded { values, warnings })
    }
}

/// The service's own types find what is wrong inside of lists and objects.
fn typed<T: DeserializeOwned>(spec: &Spec, file: &Path) -> Result<Vec<String>, Exit> {
    config::load_with_warnings::<T>(spec, arguments(spec, file)).map(|loaded| loaded.warnings)
}

fn arguments(spec: &Spec, file: &Path) -> impl Iterator<Item = OsString> + use<> {
    [spec.program.into(), "-f".into(), file.as_os_str().to_owned()].into_iter()
}
