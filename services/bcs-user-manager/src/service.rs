//! The service: its listeners and what runs in the background (user-manager.md 2, 3).

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bcs_common::errors::chain;
use bcs_common::http::Body;
use bcs_common::http::envelope::Program;
use bcs_common::http::openapi;
use bcs_common::http::router::RouterService;
use bcs_common::http::server::{Listener, ServerOptions, serve};
use bcs_common::metrics::{Health, MetricServer};
use bcs_common::registry::{Registration, Registry};
use bcs_common::service::{ListenError, listeners, serve_metrics, watch_part};
use bcs_common::shutdown::Shutdown;
use bcs_common::tls::{self, ServerTls, TlsError};
use bcs_common::{logs, version};
use bcs_sql::{Database, Dialect, SqlError};
use bcs_tke::TkeClient;
use http::header::{ACCEPT, HeaderValue};
use http::{Request, Response};
use tower::Service;
use tracing::{info, warn};

use crate::bootstrap::{self, AdminToken, BootstrapError};
use crate::grants::Grants;
use crate::lookup::TokenLookup;
use crate::options::{Options, OptionsError, Secrets};
use crate::registration;
use crate::routes::{self, App, Shared};

/// The name in `/readyz`.
const DATABASE_PART: &str = "database";

/// A started service. It runs until the shutdown; dropping this takes back its registrations.
pub struct Running {
    /// Where it serves HTTPS, with the real port; none without a certificate.
    pub address: Option<SocketAddr>,
    /// Where it serves plain HTTP, with the real port; none if that is not configured.
    pub insecure_address: Option<SocketAddr>,
    /// Where its metrics are; none if that port was taken.
    pub metric_address: Option<SocketAddr>,
    /// The admin's token, if [`Options::embedded`] asked for one.
    pub admin_token: Option<AdminToken>,
    _registrations: Vec<Registration>,
}

/// Why a service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A value of the configuration cannot be used.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// A certificate or key cannot be used.
    #[error("http ListenAndServe error fail to load certfile, err:")]
    Tls(#[source] TlsError),
    /// The database cannot be used.
    #[error("error initing database")]
    Database(#[source] SqlError),
    /// Tables, roles or users cannot be made.
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
    /// A listener cannot be bound.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// A registry cannot be used.
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

/// Starts the service on the current runtime; it serves when this returns. Besides the registries of its options it
/// registers in `registry`, the one of the process, if there is one.
///
/// # Errors
/// [`StartError`]. What has been started by then ends with the shutdown.
pub async fn start(
    options: &Options,
    registry: Option<&dyn Registry>,
    shutdown: &Shutdown,
) -> Result<Running, StartError> {
    let secrets = options.secrets()?;
    let users = options.bootstrap_users()?;
    let tke = tke_client(options, &secrets)?;
    let tls = server_tls(options)?;
    let health = Health::new();
    let database = Database::new(secrets.dsn).map_err(StartError::Database)?;
    info!(
        "database: {}",
        match database.dialect() {
            Dialect::MySql => "MySQL",
            Dialect::Sqlite => "embedded SQLite",
        }
    );
    bootstrap::prepare(&database).await?;
    let without_users = users.is_empty();
    bootstrap::make_users(&database, users).await?;
    let admin_token = match options.embedded && without_users {
        true => Some(bootstrap::make_admin(&database, &options.ours.data_dir).await?),
        false => None,
    };
    let grants = Grants::start(database.clone(), health.clone(), shutdown).await.map_err(StartError::Database)?;
    watch_database(&database, &health, shutdown);
    let metrics = prometheus::Registry::new();
    let router = routes::router(&metrics)?;
    let document = openapi::document("bcs-user-manager", &router);
    let tokens = TokenLookup::start(database.clone(), shutdown);
    let app = Arc::new(App { database, tokens, grants, tke, shutdown: shutdown.clone() });
    let service = router.into_service(app);
    let registries = registration::configured(options, shutdown)?;
    let (secure, insecure) = listeners(&options.service, tls, options.embedded).await?;
    let scheme = if secure.is_some() { "https" } else { "http" };
    let [address, insecure_address] =
        [secure, insecure].map(|listener| listener.map(|listener| serve_on(listener, service.clone(), shutdown)));
    let server = MetricServer::new(metrics, health.clone(), version::text(), logs::set_level)?.openapi(document);
    let metric_address = serve_metrics(server, &options.service.address, options.metric.metric_port, shutdown).await;
    let here = registration::this(options, address.or(insecure_address), scheme);
    if options.etcd.etcd_registry.etcd_feature && address.is_none() {
        warn!(
            "etcd gets the port of the HTTPS listener, which is not there: server_cert_file and server_key_file are not set"
        );
    }
    let registries = registries.iter().map(AsRef::as_ref).chain(registry);
    let registrations = registries.map(|registry| registry.register(here.clone())).collect();
    Ok(Running { address, insecure_address, metric_address, admin_token, _registrations: registrations })
}

/// The client of the TKE API, if all four keys are set.
fn tke_client(options: &Options, secrets: &Secrets) -> Result<Option<TkeClient>, StartError> {
    let tke = &options.tke;
    let all = [&secrets.tke_secret_id, &secrets.tke_secret_key, &tke.ccs_host, &tke.ccs_path];
    if all.iter().any(|value| value.is_empty()) {
        return Ok(None);
    }
    let (host, path) = (tke.ccs_host.clone(), tke.ccs_path.clone());
    TkeClient::new(secrets.tke_secret_id.clone(), &secrets.tke_secret_key, host, path)
        .map(Some)
        .map_err(StartError::Tls)
}

fn server_tls(options: &Options) -> Result<Option<Arc<rustls::ServerConfig>>, StartError> {
    let file = |path: &Path| -> Option<PathBuf> { (!path.as_os_str().is_empty()).then(|| path.to_owned()) };
    let cert = &options.cert;
    let (Some(cert_file), Some(key_file)) = (file(&cert.server_cert_file), file(&cert.server_key_file)) else {
        return Ok(None);
    };
    let verify = options.verify_client_tls.verify_client_tls;
    if verify && cert.ca_file.as_os_str().is_empty() {
        return Err(StartError::Tls(TlsError::NotSet("ca_file")));
    }
    let server = ServerTls {
        ca_file: file(&cert.ca_file).filter(|_| verify),
        cert_file: Some(cert_file),
        key_file: Some(key_file),
        ..ServerTls::default()
    };
    tls::server_config(&server, &["h2", "http/1.1"]).map(Some).map_err(StartError::Tls)
}

fn serve_on(listener: Listener, service: RouterService<Shared>, shutdown: &Shutdown) -> SocketAddr {
    let (address, scheme) = (listener.local_addr(), listener.scheme());
    let options = ServerOptions { program: Program::new("bcs-user-manager"), ..ServerOptions::default() };
    shutdown.spawn("http server", serve(listener, Lenient(service), options, shutdown.clone()));
    info!("listening on {scheme}://{address}");
    address
}

/// Asks the database for a sign of life now and then.
fn watch_database(database: &Database, health: &Health, shutdown: &Shutdown) {
    let database = database.clone();
    watch_part(DATABASE_PART, health, shutdown, move || {
        let database = database.clone();
        async move { database.read("SELECT 1", &[]).await.map(|_| ()).map_err(|failure| failure.to_string()) }
    });
}

/// Takes `Accept: application/*` for what it means (user-manager.md 3.3).
#[derive(Clone)]
struct Lenient(RouterService<Shared>);

impl Service<Request<Body>> for Lenient {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = <RouterService<Shared> as Service<Request<Body>>>::Future;

    fn poll_ready(&mut self, context: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Infallible>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let range = |value: &HeaderValue| {
            value.as_bytes().split(|byte| matches!(byte, b',' | b';')).any(|part| part.trim_ascii() == b"application/*")
        };
        if let Some(accept) = request.headers_mut().get_mut(ACCEPT).filter(|accept| range(accept)) {
            *accept = HeaderValue::from_static("*/*");
        }
        self.0.call(request)
    }
}
