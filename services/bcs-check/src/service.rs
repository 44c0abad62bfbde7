//! The service: ZooKeeper, election, metric listener.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bcs_common::build_constants::{zookeeper_client_pwd, zookeeper_client_user};
use bcs_common::http::server::{Listener, host_port};
use bcs_common::registry::election::{Election, Role};
use bcs_common::registry::zookeeper::{ZooKeeper, ZooKeeperError, ZooKeeperOptions};
use bcs_common::registry::{Registration, Registry, ServerInfo, ServiceRegistration};
use bcs_common::shutdown::Shutdown;
use bcs_common::tls::{self, ClientTls, ServerTls, TlsError, Verify};
use bcs_common::version;
use rustls::{ClientConfig, ServerConfig};
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::leader::Leader;
use crate::limits;
use crate::metrics::Metrics;
use crate::options::Options;
use crate::probe::Prober;
use crate::report::ReportClient;
use crate::status::Status;
use crate::worker::Tools;

/// Module name of common.md 3.7.
const MODULE: &str = "check";

/// A started service. It runs until the shutdown; dropping this takes back its registrations.
#[derive(Debug)]
pub struct Running {
    /// Where the metrics are; none if `metric_port` is 0.
    pub metric_address: Option<SocketAddr>,
    _registrations: Vec<Registration>,
}

/// Why a service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// `cluster` is empty.
    #[error("healthcheck cluster unknown: cluster is not set")]
    NoCluster,
    /// `mesos_zookeeper` is empty.
    #[error("mesos_zookeeper is not set: there is nothing to check")]
    NoMesosZooKeeper,
    /// A list of ZooKeeper servers cannot be used.
    #[error("{key} cannot be used")]
    ZooKeeper {
        /// The key of the list.
        key: &'static str,
        /// What is wrong with it.
        source: ZooKeeperError,
    },
    /// A certificate or key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The metric listener cannot be bound.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The metric library refused a metric.
    #[error("metrics")]
    Metrics(#[from] prometheus::Error),
}

/// Starts the service on the current runtime: it registers, takes part in the election, and works whenever it leads.
/// ZooKeeper need not be there yet.
///
/// # Errors
/// [`StartError`]. What has been started by then ends with the shutdown.
pub async fn start(options: &Options, shutdown: &Shutdown) -> Result<Running, StartError> {
    if options.cluster.is_empty() {
        return Err(StartError::NoCluster);
    }
    if options.mesos_zookeeper.is_empty() {
        return Err(StartError::NoMesosZooKeeper);
    }
    let address = &options.service.address;
    let metrics = Metrics::new(&options.cluster, address)?;
    let tools = tools(options, &metrics, shutdown)?;
    let listener = metric_listener(options).await?;
    let metric_address = listener.as_ref().map(Listener::local_addr);
    let mesos = connect("mesos_zookeeper", &options.mesos_zookeeper, shutdown)?;
    let bcs = match options.zk.bcs_zookeeper.trim() {
        "" => None,
        servers => Some(connect("bcs_zookeeper", servers, shutdown)?),
    };
    let instance = format!("{address}.{}", std::process::id());
    let info = server_info(options, metric_address);
    let registration = mesos.register(ServiceRegistration::new(MODULE, &*instance, info.clone()));
    let mut registrations = Vec::new();
    match bcs {
        Some(bcs) => {
            let inventory = format!("{MODULE}/{}", options.cluster);
            registrations.push(bcs.register(ServiceRegistration::new(inventory, instance, info)));
        }
        // Nothing depends on that registration (check.md 1).
        None => warn!("bcs_zookeeper is empty: not registered in the BCS layer"),
    }

    let (role, role_of_status) = watch::channel(Role::Unknown);
    if let Some(listener) = listener {
        info!("listening on {}://{}", listener.scheme(), listener.local_addr());
        let status = Status {
            cluster: options.cluster.clone(),
            ip: address.clone(),
            zookeeper: options.mesos_zookeeper.clone(),
            role: role_of_status,
            metrics,
        };
        shutdown.spawn("metric server", status.serve(listener, shutdown.clone()));
    }
    let election = Election::new(&registration, mesos.discover(MODULE));
    let schedulers = mesos.discover("scheduler");
    let resync = (options.resync_seconds > 0).then(|| Duration::from_secs(options.resync_seconds));
    let leader = Leader { zookeeper: mesos, tools, resync, schedulers, role };
    shutdown.spawn("election", leader.run(election));
    registrations.push(registration);
    Ok(Running { metric_address, _registrations: registrations })
}

fn tools(options: &Options, metrics: &Metrics, shutdown: &Shutdown) -> Result<Tools, StartError> {
    let at_least_one = |number: u64| usize::try_from(number).unwrap_or(usize::MAX).max(1);
    let wanted = at_least_one(options.check_concurrency);
    let max_probes = wanted.min(limits::probes_within_open_files());
    if max_probes < wanted {
        info!("the limit of open files allows {max_probes} probes at a time, not {wanted}");
    }
    let max_reports = at_least_one(options.report_concurrency).min(max_probes);
    Ok(Tools {
        prober: Prober::new(probe_tls(options)?),
        client: ReportClient::new(scheduler_tls(options)?, max_reports),
        metrics: metrics.clone(),
        max_probes,
        max_reports,
        shutdown: shutdown.clone(),
    })
}

fn connect(key: &'static str, servers: &str, shutdown: &Shutdown) -> Result<ZooKeeper, StartError> {
    let options = ZooKeeperOptions::new(servers, zookeeper_client_user(), zookeeper_client_pwd());
    ZooKeeper::start(options, shutdown).map_err(|source| StartError::ZooKeeper { key, source })
}

fn server_info(options: &Options, metric_address: Option<SocketAddr>) -> ServerInfo {
    ServerInfo {
        ip: options.service.address.clone(),
        metric_port: metric_address.map_or(0, |address| address.port()).into(),
        hostname: host_name(),
        version: version::text(),
        cluster: options.cluster.clone(),
        pid: std::process::id().into(),
        ..ServerInfo::default()
    }
}

/// The host name, or the original's spelling of unknown.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "UNKOWN".to_owned() } else { name.to_owned() }
}

fn file(path: &Path) -> Option<PathBuf> {
    (!path.as_os_str().is_empty()).then(|| path.to_owned())
}

/// The metric listener; with TLS if all three files of the server are set.
async fn metric_listener(options: &Options) -> Result<Option<Listener>, StartError> {
    let port = options.metric.metric_port;
    if port == 0 {
        info!("metric_port is 0: no metrics, no /healthz");
        return Ok(None);
    }
    let tls = metric_tls(options)?;
    let address = host_port(&options.service.address, port);
    let bound = Listener::bind(&address, tls).await;
    bound.map(Some).map_err(|source| StartError::Listen { address, source })
}

fn metric_tls(options: &Options) -> Result<Option<Arc<ServerConfig>>, StartError> {
    let cert = &options.cert;
    let files = (file(&cert.ca_file), file(&cert.server_cert_file), file(&cert.server_key_file));
    let (Some(ca_file), Some(cert_file), Some(key_file)) = files else { return Ok(None) };
    let server = ServerTls {
        ca_file: Some(ca_file),
        cert_file: Some(cert_file),
        key_file: Some(key_file),
        ..ServerTls::default()
    };
    Ok(Some(tls::server_config(&server, &[])?))
}

/// TLS to schedulers: their certificates are not verified unless `tls_verify` says so (check.md 6.4). A client
/// certificate that cannot be loaded is done without.
fn scheduler_tls(options: &Options) -> Result<Arc<ClientConfig>, StartError> {
    let cert = &options.cert;
    let verify = Verify::from_config(&options.tls_verify)?.unwrap_or(Verify::None);
    let ca_file = file(&cert.ca_file).filter(|_| verify != Verify::None);
    let plain = ClientTls { ca_file, verify: Some(verify), ..ClientTls::default() };
    let files = (file(&cert.ca_file), file(&cert.client_cert_file), file(&cert.client_key_file));
    if let (Some(_), Some(cert_file), Some(key_file)) = files {
        let with_certificate = ClientTls { cert_file: Some(cert_file), key_file: Some(key_file), ..plain.clone() };
        match tls::client_config(&with_certificate, &[]) {
            Ok(config) => return Ok(config),
            Err(cause) => error!("reports are sent without a client certificate: {}", causes(&cause)),
        }
    }
    Ok(tls::client_config(&plain, &[])?)
}

/// TLS to the targets of https checks (check.md 5.3).
fn probe_tls(options: &Options) -> Result<Arc<ClientConfig>, StartError> {
    let verify = if options.check_tls_verify { Verify::Full } else { Verify::None };
    let ca_file = file(&options.cert.ca_file).filter(|_| options.check_tls_verify);
    let client = ClientTls { ca_file, verify: Some(verify), ..ClientTls::default() };
    Ok(tls::client_config(&client, &[])?)
}

/// The texts of an error and of all its sources.
pub fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
