//! The service: its listeners and what runs in the background (api.md 2).

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use bcs_common::errors::chain;
use bcs_common::http::envelope::Program;
use bcs_common::http::router::Router;
use bcs_common::http::server::{Listener, ServerOptions, serve};
use bcs_common::metrics::{Health, MetricServer};
use bcs_common::registry::zookeeper::{ZooKeeper, ZooKeeperError, ZooKeeperOptions};
use bcs_common::registry::{Registration, Registry, ServiceRegistration};
use bcs_common::service::{ListenError, listeners, serve_metrics, watch_part};
use bcs_common::shutdown::Shutdown;
use bcs_common::tls::TlsError;
use bcs_common::{build_constants, logs, version};
use bcs_console::ServiceAt;
use bcs_sql::schema::SchemaError;
use bcs_sql::{Database, Dialect, Dsn, DsnError, SqlError};
use bcs_tke::TkeClient;
use bcs_tunnel::proxy::{HttpProxies, Upstreams};
use bcs_tunnel::{KeepAlive, TunnelOptions, TunnelServer};
use tracing::{info, warn};

use crate::auth::{FilterError, HttpClient, Paas, Users, V4Filter};
use crate::bootstrap::{self, BootstrapError};
use crate::console::Console;
use crate::discovery::{Beside, Dialer, Discovery};
use crate::forward::{self, V4};
use crate::gateway::{self, Gateway, Parts};
use crate::kube::{self, KubeProxy};
use crate::metrics::ApiMetrics;
use crate::networks::{Allowed, NetworkError};
use crate::options::{Options, TkeOptions};
use crate::rest::{self, Rest};
use crate::store::Store;
use crate::tunnels::{self, CONNECT_PATH, ClusterAgents};
use crate::webconsole::Webconsole;
use crate::{certs, rbac, registration};

/// The name in messages to clients; the original takes it from the path it was started by.
pub(crate) const PROGRAM: Program = Program::new("bcs-api");
/// Names in `/readyz`.
const DATABASE_PART: &str = "database";
const ZOOKEEPER_PART: &str = "zookeeper";

/// A started service. It runs until the shutdown; dropping this takes back its registration.
pub struct Running {
    /// Where it serves HTTPS, with the real port; none without a certificate.
    pub address: Option<SocketAddr>,
    /// Where it serves plain HTTP, with the real port; none if that is not configured.
    pub insecure_address: Option<SocketAddr>,
    /// Where its metrics are; none if that port was taken.
    pub metric_address: Option<SocketAddr>,
    _registration: Option<Registration>,
}

/// Why a service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A certificate or key cannot be used.
    #[error("fail to load certfile")]
    Tls(#[from] TlsError),
    /// `bke.mysql_dsn` is no data source name.
    #[error("key \"bke.mysql_dsn\"")]
    Dsn(#[from] DsnError),
    /// The database cannot be used.
    #[error("error initing database")]
    Database(#[source] SqlError),
    /// The tables cannot be made.
    #[error("error initing database")]
    Schema(#[from] SchemaError),
    /// The configured users cannot be made.
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
    /// The filter of `/bcsapi/v4` cannot be set up.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// `webconsole_allow` holds something else than networks.
    #[error("key \"webconsole_allow\"")]
    Networks(#[from] NetworkError),
    /// `bcs_zookeeper` holds something else than addresses.
    #[error("key \"bcs_zookeeper\"")]
    ZooKeeper(#[from] ZooKeeperError),
    /// A listener cannot be bound.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The metric library refused a metric.
    #[error("metrics")]
    Metrics(#[from] prometheus::Error),
}

impl StartError {
    /// The text with its causes.
    #[must_use]
    pub fn causes(&self) -> String {
        chain(self)
    }

    /// The exit code of the program (api.md 2.4).
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Dsn(_) | Self::Database(_) | Self::Schema(_) => 255,
            _ => 1,
        }
    }
}

/// Starts the service on the current runtime; it serves when this returns. `beside`: the services of the same process.
///
/// # Errors
/// [`StartError`]. What has been started by then ends with the shutdown.
pub async fn start(options: &Options, beside: &Beside, shutdown: &Shutdown) -> Result<Running, StartError> {
    let tls = certs::server(options)?;
    let bootstrap_users = bootstrap::users(&options.bke.bootstrap_users)?;
    let health = Health::new();
    let registry = prometheus::Registry::new();
    let store = open_store(options, &health, shutdown).await?;
    bootstrap::make_users(&store, &bootstrap_users).await?;
    if let Some(token) = &options.admin_token {
        bootstrap::make_admin(&store, token).await?;
    }
    rbac::start(options, &store, shutdown);
    let (secure, insecure) = listeners(&options.service, tls, options.embedded).await?;
    let bound = |listener: &Option<Listener>| listener.as_ref().map(Listener::local_addr);
    let here = registration::this(options, bound(&secure), bound(&insecure));
    let zookeeper = zookeeper(options, &health, shutdown)?;
    let routers = (forward::router(beside.user_manager.is_some(), beside.cluster_manager.is_some()), rest::router());
    let document = gateway::document(&routers.0, &routers.1);
    // Its address is known before the tunnels are there.
    let tunnels = Arc::new(OnceLock::new());
    let metrics = metric_server(registry.clone(), &health, document.clone(), Arc::clone(&tunnels))?;
    let metric_address = serve_metrics(metrics, &options.service.address, options.metric.metric_port, shutdown).await;
    let console = options.console.then(|| ServiceAt {
        name: PROGRAM.name().to_owned(),
        scheme: "https".to_owned(),
        address: bound(&secure),
        metrics: metric_address,
    });
    if console.is_some() && secure.is_none() {
        warn!("no console: it is on the HTTPS port, and server_cert_file and server_key_file are not set");
    }
    let console = console.map(|here| (here, document));
    let parts = Assembly { options, beside, shutdown, registry: &registry, store, here: &here, console };
    let gateway = Gateway(Arc::new(parts.make(routers, zookeeper.as_ref())?));
    tunnels.get_or_init(|| gateway.0.tunnels.clone());
    let [address, insecure_address] =
        [secure, insecure].map(|listener| listener.map(|listener| serve_on(listener, gateway.clone(), shutdown)));
    let registration = zookeeper.map(|zookeeper| zookeeper.register(here));
    Ok(Running { address, insecure_address, metric_address, _registration: registration })
}

/// Of `/bcsapi` and of `/rest`.
type Routers = (Router<forward::Shared>, Router<rest::Shared>);

/// What the parts of the gateway are made of.
struct Assembly<'a> {
    options: &'a Options,
    beside: &'a Beside,
    shutdown: &'a Shutdown,
    registry: &'a prometheus::Registry,
    store: Store,
    here: &'a ServiceRegistration,
    /// If there is a console: what it says about this service, and the OpenAPI document of it.
    console: Option<(ServiceAt, String)>,
}

impl Assembly<'_> {
    fn make(&self, (v4_router, rest_router): Routers, zookeeper: Option<&ZooKeeper>) -> Result<Parts, StartError> {
        let Self { options, beside, shutdown, store, .. } = self;
        let metrics = ApiMetrics::new(self.registry)?;
        let client = HttpClient::new(certs::iam(options)?);
        let paas = Paas::new(&options.edition, &options.bkiam_auth, client.clone());
        let users = Users::new(store.clone(), paas);
        let tunnels = self.tunnels(zookeeper)?;
        let proxies = HttpProxies::from_env();
        let dialer = Dialer::new(certs::client(options)?, proxies.clone(), (*shutdown).clone());
        let upstreams = Upstreams::new((*shutdown).clone());
        let discovery = Discovery::start(zookeeper, beside, &dialer, shutdown);
        let v4 = V4 {
            filter: V4Filter::start(&options.bkiam_auth, &client, shutdown)?,
            console_users: self.console.is_some().then(|| users.clone()),
            discovery: discovery.clone(),
            dialer: dialer.clone(),
            store: store.clone(),
            tunnels: tunnels.clone(),
            upstreams: upstreams.clone(),
            metrics: metrics.clone(),
            max_body_size: options.max_body_size,
        };
        let rest =
            Rest { store: store.clone(), users: users.clone(), tke: tke_client(options)?, metrics: metrics.clone() };
        let console = match &self.console {
            Some((here, document)) => Some(Console::new(users.clone(), discovery, here.clone(), document.clone())?),
            None => None,
        };
        let bke = &options.bke;
        let fixtures = &bke.cluster_credentials_fixtures;
        Ok(Parts {
            webconsole: Webconsole {
                allowed: Allowed::parse(&options.webconsole_allow)?,
                port: options.mesos_webconsole_proxy_port,
                scheme: if certs::has_client(options) { "https" } else { "http" },
                dialer,
                metrics: metrics.clone(),
            },
            console,
            v4: v4_router.into_service(Arc::new(v4)),
            rest: rest_router.into_service(Arc::new(rest)),
            kube: KubeProxy {
                store: store.clone(),
                users,
                tunnels: tunnels.clone(),
                upstreams,
                proxies,
                fixtures: kube::fixtures::load(fixtures),
                is_rbac_on: bke.turn_on_rbac,
                metrics,
            },
            tunnels,
        })
    }

    /// The tunnel server, which meets its peers as they register.
    fn tunnels(&self, zookeeper: Option<&ZooKeeper>) -> Result<TunnelServer, StartError> {
        let info = &self.here.info;
        let tunnel_options = TunnelOptions {
            peer_id: tunnels::peer_id(&info.ip, info.port),
            peer_token: self.options.peer_token().to_owned(),
            peer_path: CONNECT_PATH,
            peer_tls: Some(certs::peers(self.options)?),
            keep_alive: KeepAlive::default(),
        };
        let agents = Arc::new(ClusterAgents { store: self.store.clone() });
        let tunnels = TunnelServer::new(tunnel_options, agents, self.registry, self.shutdown.clone())?;
        if let Some(zookeeper) = zookeeper {
            if self.options.peer_token.is_empty() {
                warn!("peer_token is not set: everybody knows the default, which makes any host a peer that says so");
            }
            tunnels::watch_peers(zookeeper.discover(registration::MODULE), tunnels.clone(), self.shutdown);
        }
        Ok(tunnels)
    }
}

/// ZooKeeper, if it is named. While it cannot be reached, everything else is served.
fn zookeeper(options: &Options, health: &Health, shutdown: &Shutdown) -> Result<Option<ZooKeeper>, StartError> {
    let servers = &options.zk.bcs_zookeeper;
    if servers.is_empty() {
        info!("registry: none");
        return Ok(None);
    }
    let (user, password) = (build_constants::zookeeper_client_user(), build_constants::zookeeper_client_pwd());
    let zookeeper = ZooKeeper::start(ZooKeeperOptions::new(servers, user, password), shutdown)?;
    info!("registry: ZooKeeper {servers}");
    let (mut status, health, stop) = (zookeeper.status(), health.clone(), shutdown.token());
    health.set(ZOOKEEPER_PART, status.borrow_and_update().clone());
    shutdown.spawn("zookeeper health", async move {
        loop {
            tokio::select! {
                changed = status.changed() => if changed.is_err() { return },
                () = stop.cancelled() => return,
            }
            health.set(ZOOKEEPER_PART, status.borrow_and_update().clone());
        }
    });
    Ok(Some(zookeeper))
}

/// The client of the TKE API, if all four keys are set.
fn tke_client(options: &Options) -> Result<Option<TkeClient>, StartError> {
    let TkeOptions { secret_id, secret_key, ccs_host, ccs_path } = &options.tke;
    if [secret_id, secret_key, ccs_host, ccs_path].iter().any(|value| value.is_empty()) {
        return Ok(None);
    }
    let client = TkeClient::new(secret_id.clone(), secret_key, ccs_host.clone(), ccs_path.clone())?;
    Ok(Some(client))
}

async fn open_store(options: &Options, health: &Health, shutdown: &Shutdown) -> Result<Store, StartError> {
    let dsn = Dsn::parse(&options.bke.mysql_dsn, &options.database_file())?;
    let database = Database::new(dsn).map_err(StartError::Database)?;
    info!(
        "database: {}",
        match database.dialect() {
            Dialect::MySql => "MySQL",
            Dialect::Sqlite => "embedded SQLite",
        }
    );
    watch_database(&database, health, shutdown);
    Ok(Store::open(database).await?)
}

fn serve_on(listener: Listener, gateway: Gateway, shutdown: &Shutdown) -> SocketAddr {
    let (address, scheme) = (listener.local_addr(), listener.scheme());
    let options = ServerOptions { program: PROGRAM, ..ServerOptions::default() };
    shutdown.spawn("http server", serve(listener, gateway, options, shutdown.clone()));
    info!("listening on {scheme}://{address}");
    address
}

/// The metrics, the routes and the tunnels; those once they are there.
fn metric_server(
    metrics: prometheus::Registry,
    health: &Health,
    document: String,
    tunnels: Arc<OnceLock<TunnelServer>>,
) -> Result<MetricServer, StartError> {
    // The original has nothing but the metrics here.
    let server = MetricServer::new(metrics, health.clone(), version::text(), logs::set_level)?.without_healthz();
    let report = move || tunnels.get().map_or_else(|| b"[]".to_vec(), TunnelServer::report);
    Ok(server.openapi(document).report("/tunnels", report))
}

/// Asks the database for a sign of life now and then.
fn watch_database(database: &Database, health: &Health, shutdown: &Shutdown) {
    let database = database.clone();
    watch_part(DATABASE_PART, health, shutdown, move || {
        let database = database.clone();
        async move { database.read("SELECT 1", &[]).await.map(|_| ()).map_err(|failure| failure.to_string()) }
    });
}
