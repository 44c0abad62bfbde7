//! How other programs find this service: etcd, ZooKeeper (storage.md 2, common.md 3, 4).

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use bcs_common::registry::etcd::{EtcdOptions, EtcdRegistry};
use bcs_common::registry::zookeeper::ZooKeeper;
use bcs_common::registry::{Registry, ServerInfo, ServiceRegistration};
use bcs_common::shutdown::Shutdown;
use bcs_common::tls::{self, ClientTls, ConfigKeys, Verify};
use bcs_common::version;
use tracing::info;

use crate::backends::zookeeper_options;
use crate::options::Options;
use crate::service::StartError;

/// Name of the service in registries.
const MODULE: &str = "storage";

/// The registries of the options. Those that cannot be reached are tried again in the background.
///
/// # Errors
/// [`StartError`] for certificates that cannot be loaded and addresses that are none.
pub fn configured(options: &Options, shutdown: &Shutdown) -> Result<Vec<Box<dyn Registry>>, StartError> {
    let mut registries: Vec<Box<dyn Registry>> = Vec::new();
    let refused = |error: &dyn std::error::Error| StartError::Registry(format!("registry: {error}"));
    let etcd = &options.etcd.etcd_registry;
    if etcd.etcd_feature {
        let etcd_options = EtcdOptions::new(&etcd.etcd_address, etcd_tls(options)?);
        registries.push(Box::new(EtcdRegistry::new(&etcd_options, shutdown).map_err(|error| refused(&error))?));
        info!("registry: etcd {}", etcd.etcd_address);
    }
    let servers = &options.zk.bcs_zookeeper;
    if !servers.is_empty() {
        let zookeeper = ZooKeeper::start(zookeeper_options(servers), shutdown).map_err(|error| refused(&error))?;
        registries.push(Box::new(zookeeper));
        info!("registry: ZooKeeper {servers}");
    }
    if registries.is_empty() {
        info!("registry: none");
    }
    Ok(registries)
}

/// TLS to etcd, if any of its files is set.
fn etcd_tls(options: &Options) -> Result<Option<std::sync::Arc<rustls::ClientConfig>>, StartError> {
    let etcd = &options.etcd.etcd_registry;
    let file = |path: &Path| -> Option<PathBuf> { (!path.as_os_str().is_empty()).then(|| path.to_owned()) };
    let (ca_file, cert_file, key_file) = (file(&etcd.etcd_ca), file(&etcd.etcd_cert), file(&etcd.etcd_key));
    if ca_file.is_none() && cert_file.is_none() && key_file.is_none() {
        return Ok(None);
    }
    let client = ClientTls {
        ca_file,
        cert_file,
        key_file,
        // Keys for etcd are never encrypted.
        key_password: String::new(),
        verify: Verify::from_config(&options.ours.tls_verify)?,
        config_keys: ConfigKeys {
            ca: "etcdRegistry.etcd_ca",
            cert: "etcdRegistry.etcd_cert",
            key: "etcdRegistry.etcd_key",
            password: "",
        },
    };
    Ok(Some(tls::client_config(&client, &["h2"])?))
}

/// What this instance tells about itself.
pub fn this(
    options: &Options,
    address: SocketAddr,
    metric_address: Option<SocketAddr>,
    scheme: &str,
) -> ServiceRegistration {
    let service = &options.service;
    let metric_port = metric_address.map_or(options.metric.metric_port, |address| address.port());
    let info = ServerInfo {
        ip: service.address.clone(),
        ipv6: service.ipv6_address.clone(),
        port: address.port().into(),
        metric_port: metric_port.into(),
        scheme: scheme.to_owned(),
        version: version::text(),
        pid: std::process::id().into(),
        external_ip: service.external_ip.clone(),
        external_ipv6: service.external_ipv6.clone(),
        external_port: u32::try_from(service.external_port).unwrap_or_default(),
        ..ServerInfo::default()
    };
    let mut registration = ServiceRegistration::new(MODULE, &service.address, info);
    registration.version = version::VERSION.to_owned();
    let uuid = registration.uuid.to_string();
    registration.metadata = Some([("UUID".to_owned(), uuid)].into());
    registration
}
