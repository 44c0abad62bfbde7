//! How the gateway finds this service: etcd, and ZooKeeper if it is configured (user-manager.md 3.4, common.md 3, 4).

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bcs_common::errors::chain;
use bcs_common::registry::etcd::{EtcdOptions, EtcdRegistry};
use bcs_common::registry::zookeeper::{ZooKeeper, ZooKeeperOptions};
use bcs_common::registry::{Registry, ServerInfo, ServiceRegistration};
use bcs_common::shutdown::Shutdown;
use bcs_common::tls::{self, ClientTls, ConfigKeys, TlsError, Verify};
use bcs_common::{build_constants, version};
use tracing::info;

use crate::options::Options;
use crate::service::StartError;

/// Name of the service in registries.
const MODULE: &str = "usermanager";

/// The registries of the options. Those that cannot be reached are tried again in the background.
///
/// # Errors
/// [`StartError::Registry`] for certificates that cannot be loaded and addresses that are none.
pub(crate) fn configured(options: &Options, shutdown: &Shutdown) -> Result<Vec<Box<dyn Registry>>, StartError> {
    let mut registries: Vec<Box<dyn Registry>> = Vec::new();
    let etcd = &options.etcd.etcd_registry;
    if etcd.etcd_feature {
        let wrong = |error: &dyn std::error::Error| {
            let causes = chain(error);
            StartError::Registry(format!("turn on etcd registry feature but configuration not correct, {causes}"))
        };
        let tls = etcd_tls(options).map_err(|error| wrong(&error))?;
        let etcd_options = EtcdOptions::new(&etcd.etcd_address, tls);
        registries.push(Box::new(EtcdRegistry::new(&etcd_options, shutdown).map_err(|error| wrong(&error))?));
        info!("registry: etcd {}", etcd.etcd_address);
    }
    let servers = &options.zk.bcs_zookeeper;
    if !servers.is_empty() {
        let (user, password) = (build_constants::zookeeper_client_user(), build_constants::zookeeper_client_pwd());
        let zookeeper = ZooKeeper::start(ZooKeeperOptions::new(servers, user, password), shutdown)
            .map_err(|error| StartError::Registry(format!("key \"bcs_zookeeper\": {}", chain(&error))))?;
        registries.push(Box::new(zookeeper));
        info!("registry: ZooKeeper {servers}");
    }
    if registries.is_empty() {
        info!("registry: none");
    }
    Ok(registries)
}

/// TLS to etcd, if any of its files is set; then the original's rule holds that all of them must be usable.
fn etcd_tls(options: &Options) -> Result<Option<Arc<rustls::ClientConfig>>, TlsError> {
    let etcd = &options.etcd.etcd_registry;
    let file = |path: &Path| -> Option<PathBuf> { (!path.as_os_str().is_empty()).then(|| path.to_owned()) };
    let (ca_file, cert_file, key_file) = (file(&etcd.etcd_ca), file(&etcd.etcd_cert), file(&etcd.etcd_key));
    match (&ca_file, &cert_file, &key_file) {
        (None, None, None) => return Ok(None),
        (Some(_), Some(_), Some(_)) => {}
        (None, ..) => return Err(TlsError::NotSet("etcdRegistry.etcd_ca")),
        (_, None, _) => return Err(TlsError::NotSet("etcdRegistry.etcd_cert")),
        (_, _, None) => return Err(TlsError::NotSet("etcdRegistry.etcd_key")),
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
    tls::client_config(&client, &["h2"]).map(Some)
}

/// What this instance tells about itself: the configured address and port, which gateways use as they are, or the port of
/// the listener where the configured one is 0.
pub(crate) fn this(options: &Options, listener: Option<SocketAddr>, scheme: &str) -> ServiceRegistration {
    let service = &options.service;
    let port = match service.port {
        0 => listener.map_or(0, |address| address.port()),
        port => port,
    };
    let info = ServerInfo {
        ip: service.address.clone(),
        ipv6: service.ipv6_address.clone(),
        port: port.into(),
        metric_port: options.metric.metric_port.into(),
        scheme: scheme.to_owned(),
        version: version::text(),
        pid: std::process::id().into(),
        external_ip: service.external_ip.clone(),
        external_ipv6: service.external_ipv6.clone(),
        external_port: u32::try_from(service.external_port).unwrap_or_default(),
        ..ServerInfo::default()
    };
    let local_ip = &options.local.local_ip;
    let instance = if local_ip.is_empty() { &service.address } else { local_ip };
    let mut registration = ServiceRegistration::new(MODULE, instance, info);
    registration.version = version::VERSION.to_owned();
    let uuid = registration.uuid.to_string();
    registration.metadata = Some([("UUID".to_owned(), uuid)].into());
    registration
}
