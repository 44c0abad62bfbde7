//! The service: its listeners and what runs in the background (cluster-manager.md 2.4, 3).

use std::net::SocketAddr;
use std::sync::Arc;

use bcs_common::errors::chain;
use bcs_common::http::envelope::Program;
use bcs_common::http::server::{ServerOptions, host_port, serve};
use bcs_common::metrics::{Health, MetricServer};
use bcs_common::registry::{Registration, Registry};
use bcs_common::service::{ListenError, bind, serve_metrics, watch_part};
use bcs_common::shutdown::Shutdown;
use bcs_common::tls::{self, TlsError};
use bcs_common::{logs, version};
use bcs_tunnel::proxy::Upstreams;
use bcs_tunnel::{KeepAlive, TunnelOptions, TunnelServer};
use tracing::{info, warn};

use crate::app::App;
use crate::kube::Kube;
use crate::metrics::Metrics;
use crate::options::Options;
use crate::registration;
use crate::routes::{self, Admissions, CONNECT, Front};
use crate::stores::{Stores, StoresError};

/// The name in `/readyz`.
const STORE_PART: &str = "store";

/// A started service. It runs until the shutdown; dropping this takes back its registrations.
pub struct Running {
    /// Where gRPC is, with the real port.
    pub grpc_address: SocketAddr,
    /// Where HTTP is, with the real port.
    pub http_address: SocketAddr,
    /// Where its metrics are; none if that port was taken.
    pub metric_address: Option<SocketAddr>,
    _registrations: Vec<Registration>,
}

/// Why a service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The stores cannot be opened.
    #[error(transparent)]
    Stores(#[from] StoresError),
    /// A certificate or key cannot be used.
    #[error("certificates")]
    Tls(#[source] TlsError),
    /// A listener cannot be bound.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// etcd cannot be used.
    #[error("{0}")]
    Registry(String),
    /// The metric library refused a metric.
    #[error("metrics")]
    Metrics(#[from] prometheus::Error),
}

impl StartError {
    /// The text with its causes.
    pub fn causes(&self) -> String {
        chain(self)
    }
}

/// Starts the service on the current runtime; it serves when this returns. Besides etcd it registers in `registry`, the
/// one of the process, if there is one.
///
/// # Errors
/// [`StartError`]. What has been started by then ends with the shutdown.
pub async fn start(
    options: &Options,
    registry: Option<&dyn Registry>,
    shutdown: &Shutdown,
) -> Result<Running, StartError> {
    let server_tls = match options.serves_tls() {
        true => Some(tls::server_config(&options.server_tls, &["h2", "http/1.1"]).map_err(StartError::Tls)?),
        false => None,
    };
    let peer_tls = registration::peer_tls(options)?;
    let prometheus = prometheus::Registry::new();
    let metrics = Metrics::register(&prometheus)?;
    let stores = Arc::new(Stores::open(options, metrics.driver_observer(), shutdown)?);
    let etcd = registration::configured(options, shutdown)?;
    let health = Health::new();
    let database = Arc::clone(&stores);
    watch_part(STORE_PART, &health, shutdown, move || {
        let database = Arc::clone(&database);
        async move { database.database.ping().await.map_err(|failure| chain(&failure)) }
    });

    // Both are bound before anything serves: a taken port must not leave half a service.
    let grpc = bind("grpc", &options.address, options.port, server_tls.clone()).await?;
    let http = bind("http", &options.address, options.http_port, server_tls).await?;
    let (grpc_address, http_address) = (grpc.local_addr(), http.local_addr());
    let address = registration::advertised(&options.address);
    let upstreams = Upstreams::new(shutdown.clone());
    let admissions = Admissions { stores: Arc::clone(&stores), upstreams: upstreams.clone() };
    let peers_with_tls = peer_tls.is_some();
    let tunnel_options = TunnelOptions {
        peer_id: host_port(&address, http_address.port()),
        peer_token: options.peer_token.clone(),
        peer_path: CONNECT,
        peer_tls,
        keep_alive: KeepAlive::default(),
    };
    let tunnels = TunnelServer::new(tunnel_options, Arc::new(admissions), &prometheus, shutdown.clone())?;
    let app = Arc::new(App {
        kube: Kube::new(Arc::clone(&stores), tunnels.clone(), upstreams.clone()),
        stores,
        tunnels: tunnels.clone(),
        upstreams,
        locks: etcd.clone(),
        metrics,
        swagger_dir: (!options.swagger_dir.as_os_str().is_empty()).then(|| options.swagger_dir.clone()),
        shutdown: shutdown.clone(),
    });
    for (name, listener) in [("grpc", grpc), ("http", http)] {
        info!("{name}: listening on {}://{}", listener.scheme(), listener.local_addr());
        let limits = ServerOptions { program: Program::new("bcs-cluster-manager"), ..ServerOptions::default() };
        shutdown.spawn("server", serve(listener, Front(Arc::clone(&app)), limits, shutdown.clone()));
    }
    let metric_address = start_metrics(options, prometheus, &health, &tunnels, shutdown).await?;
    let metric_port = metric_address.map_or(options.metric_port, |address| address.port());
    let this = registration::this(&address, grpc_address, http_address, metric_port);
    if let Some(etcd) = &etcd {
        warn_of_the_known_token(options);
        registration::follow_peers(etcd, tunnels, peers_with_tls, shutdown);
    }
    let registries = etcd.iter().map(|etcd| etcd as &dyn Registry).chain(registry);
    let registrations = registries.map(|registry| registry.register(this.clone())).collect();
    Ok(Running { grpc_address, http_address, metric_address, _registrations: registrations })
}

fn warn_of_the_known_token(options: &Options) {
    if options.peer_token == bcs_tunnel::DEFAULT_PEER_TOKEN {
        warn!("tunnel.peertoken is the default that everybody knows: set one of your own");
    }
}

async fn start_metrics(
    options: &Options,
    metrics: prometheus::Registry,
    health: &Health,
    tunnels: &TunnelServer,
    shutdown: &Shutdown,
) -> Result<Option<SocketAddr>, prometheus::Error> {
    let document = routes::document(!options.swagger_dir.as_os_str().is_empty());
    let server = MetricServer::new(metrics, health.clone(), version::text(), logs::set_level)?.openapi(document);
    let tunnels = tunnels.clone();
    let server = server.report("/tunnels", move || tunnels.report());
    Ok(serve_metrics(server, &options.address, options.metric_port, shutdown).await)
}
