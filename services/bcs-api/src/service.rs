//! The service: its listeners and what runs in the background (api.md 2).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bcs_common::errors::chain;
use bcs_common::http::envelope::Program;
use bcs_common::http::server::{Listener, ServerOptions, serve};
use bcs_common::metrics::{Health, MetricServer};
use bcs_common::shutdown::Shutdown;
use bcs_common::tls::TlsError;
use bcs_common::{logs, version};
use bcs_sql::schema::SchemaError;
use bcs_sql::{Database, Dialect, Dsn, DsnError, SqlError};
use bcs_tke::TkeClient;
use tracing::{error, info, warn};

use crate::auth::{FilterError, HttpClient, Paas, Users, V4Filter};
use crate::bootstrap::{self, BootstrapError};
use crate::certs;
use crate::gateway::Gateway;
use crate::metrics::ApiMetrics;
use crate::options::{Options, TkeOptions};
use crate::rest::{self, Rest};
use crate::store::Store;

/// The name in messages to clients; the original takes it from the path it was started by.
pub(crate) const PROGRAM: Program = Program::new("bcs-api");
/// Time between two looks at the database, for readiness.
const HEALTH_PERIOD: Duration = Duration::from_secs(5);
/// The name in `/readyz`.
const DATABASE_PART: &str = "database";

/// A started service. It runs until the shutdown.
pub struct Running {
    /// Where it serves HTTPS, with the real port; none without a certificate.
    pub address: Option<SocketAddr>,
    /// Where it serves plain HTTP, with the real port; none if that is not configured.
    pub insecure_address: Option<SocketAddr>,
    /// Where its metrics are; none if that port was taken.
    pub metric_address: Option<SocketAddr>,
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
    /// A listener cannot be bound.
    #[error("{what} server failed: listen tcp {address}")]
    Listen {
        /// `tls` or `insecure`.
        what: &'static str,
        /// Where.
        address: String,
        /// Why.
        source: io::Error,
    },
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

/// Starts the service on the current runtime; it serves when this returns.
///
/// # Errors
/// [`StartError`]. What has been started by then ends with the shutdown.
pub async fn start(options: &Options, shutdown: &Shutdown) -> Result<Running, StartError> {
    let tls = certs::server(options)?;
    let health = Health::new();
    let registry = prometheus::Registry::new();
    let metrics = ApiMetrics::new(&registry)?;
    let bootstrap_users = bootstrap::users(&options.bke.bootstrap_users)?;
    let store = open_store(options, &health, shutdown).await?;
    bootstrap::make_users(&store, &bootstrap_users).await?;
    let client = HttpClient::new(certs::iam(options)?);
    let paas = Paas::new(&options.edition, &options.bkiam_auth, client.clone());
    let users = Users::new(store.clone(), paas);
    let _filter = V4Filter::start(&options.bkiam_auth, &client, shutdown)?;
    let tke = tke_client(options)?;
    let rest = rest::router().into_service(Arc::new(Rest { store, users, tke, metrics }));
    let gateway = Gateway::new(rest);
    let (secure, insecure) = listeners(options, tls).await?;
    let [address, insecure_address] =
        [secure, insecure].map(|listener| listener.map(|listener| serve_on(listener, gateway.clone(), shutdown)));
    if address.is_none() && insecure_address.is_none() {
        warn!(
            "no listener: neither server_cert_file and server_key_file nor insecure_address and insecure_port are set"
        );
    }
    let metric_address = start_metrics(options, registry, &health, shutdown).await?;
    Ok(Running { address, insecure_address, metric_address })
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

/// The HTTPS listener, if there is a certificate, and the plain one, if it is configured.
async fn listeners(
    options: &Options,
    tls: Option<Arc<rustls::ServerConfig>>,
) -> Result<(Option<Listener>, Option<Listener>), StartError> {
    let service = &options.service;
    let secure = match tls {
        Some(tls) => Some(bind("tls", &service.address, service.port, Some(tls)).await?),
        None => None,
    };
    let is_wanted = !service.insecure_address.is_empty() && (service.insecure_port != 0 || options.embedded);
    let insecure = match is_wanted {
        true => Some(bind("insecure", &service.insecure_address, service.insecure_port, None).await?),
        false => None,
    };
    Ok((secure, insecure))
}

async fn bind(
    what: &'static str,
    address: &str,
    port: u16,
    tls: Option<Arc<rustls::ServerConfig>>,
) -> Result<Listener, StartError> {
    // An IPv6 address may come with or without its brackets.
    let bare = address.trim_start_matches('[').trim_end_matches(']');
    let address = if bare.contains(':') { format!("[{bare}]:{port}") } else { format!("{bare}:{port}") };
    Listener::bind(&address, tls).await.map_err(|source| StartError::Listen { what, address, source })
}

fn serve_on(listener: Listener, gateway: Gateway, shutdown: &Shutdown) -> SocketAddr {
    let (address, scheme) = (listener.local_addr(), listener.scheme());
    let options = ServerOptions { program: PROGRAM, ..ServerOptions::default() };
    shutdown.spawn("http server", serve(listener, gateway, options, shutdown.clone()));
    info!("listening on {scheme}://{address}");
    address
}

/// A taken metric port costs the metrics, not the service.
async fn start_metrics(
    options: &Options,
    metrics: prometheus::Registry,
    health: &Health,
    shutdown: &Shutdown,
) -> Result<Option<SocketAddr>, StartError> {
    let server = MetricServer::new(metrics, health.clone(), version::text(), logs::set_level)?;
    match bind("metric", &options.service.address, options.metric.metric_port, None).await {
        Ok(listener) => {
            let address = listener.local_addr();
            shutdown.spawn("metric server", server.serve(listener, shutdown.clone()));
            Ok(Some(address))
        }
        Err(failure) => {
            error!("no metrics: {}", failure.causes());
            Ok(None)
        }
    }
}

/// Asks the database for a sign of life now and then.
fn watch_database(database: &Database, health: &Health, shutdown: &Shutdown) {
    health.set(DATABASE_PART, Ok(()));
    let (database, health, stop) = (database.clone(), health.clone(), shutdown.token());
    shutdown.spawn("database health", async move {
        let mut ticks = tokio::time::interval(HEALTH_PERIOD);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = stop.cancelled() => return,
            }
            let sign = database.read("SELECT 1", &[]).await;
            health.set(DATABASE_PART, sign.map(|_| ()).map_err(|failure| failure.to_string()));
        }
    });
}
