//! The service: its listeners and what runs in the background.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bcs_common::http::Body;
use bcs_common::http::envelope::Program;
use bcs_common::http::openapi;
use bcs_common::http::request_id::Origin;
use bcs_common::http::router::RouterService;
use bcs_common::http::server::{Listener, ServerOptions, host_port, serve};
use bcs_common::metrics::{Health, MetricServer};
use bcs_common::registry::{Registration, Registry};
use bcs_common::shutdown::Shutdown;
use bcs_common::tls::{self, ServerTls, TlsError};
use bcs_common::{logs, version};
use bcs_docstore::DocumentDatabase;
use bson::DateTime;
use http::{Request, Response};
use tower::Service;
use tracing::{debug, error, info};

use crate::backends::{self, BackendError, Backends};
use crate::cleaner::{Cleaner, Limits};
use crate::error::Error;
use crate::observe::Metrics;
use crate::options::{Options, PROGRAM};
use crate::purge::Purge;
use crate::registration;
use crate::state::{BestEffortIndexes, Shared, Storage};
use crate::{alarms, events, routes};

/// Time between two looks at the store, for readiness.
const HEALTH_PERIOD: Duration = Duration::from_secs(5);

/// A started service. It runs until the shutdown; dropping this takes back its registrations.
#[derive(Debug)]
pub struct Running {
    /// Where it serves, with the real port.
    pub address: SocketAddr,
    /// Where its metrics are; none if that port was taken.
    pub metric_address: Option<SocketAddr>,
    _registrations: Vec<Registration>,
}

/// Why a service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A store cannot be used.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// A certificate or key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The listener cannot be bound.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The registry cannot be used.
    #[error("{0}")]
    Registry(String),
    /// The metric library refused a metric.
    #[error("metrics")]
    Metrics(#[from] prometheus::Error),
}

/// Starts the service on the current runtime; it serves when this returns. Besides the registries of its options it
/// registers in `registry`, the one of the process, if there is one.
///
/// # Errors
/// [`StartError`]. What has been started by then ends with the shutdown.
pub async fn start(
    options: &Options,
    program: Program,
    registry: Option<&dyn Registry>,
    shutdown: &Shutdown,
) -> Result<Running, StartError> {
    let metrics = Metrics::new()?;
    let health = Health::new();
    let backends = backends::open(options, &metrics, shutdown)?;
    let queue = backends::open_queue(options, &metrics, shutdown)?;
    let registries = registration::configured(options, shutdown)?;
    // Before the other one: whoever reaches the service reaches its health too.
    let metric_listener = bind_metrics(options).await;
    let listener = bind(options).await?;
    let (address, scheme) = (listener.local_addr(), listener.scheme());
    watch_health(&backends, &health, shutdown);
    start_cleaners(options, &backends, shutdown);
    let storage = Arc::new(Storage {
        backends,
        queue,
        metrics,
        program,
        print_body: options.print_body,
        shutdown: shutdown.clone(),
        event_indexes: BestEffortIndexes::default(),
        alarm_indexes: BestEffortIndexes::default(),
    });
    let router = routes::router(&storage);
    let document = openapi::document(PROGRAM, &router);
    let metric_address = metric_listener.as_ref().map(Listener::local_addr);
    if let Some(listener) = metric_listener {
        start_metrics(listener, &storage.metrics, &health, document, shutdown)?;
    }
    let service = router.into_service(storage);
    let server_options = ServerOptions { program, ..ServerOptions::default() };
    shutdown.spawn("http server", serve(listener, logged(service), server_options, shutdown.clone()));
    info!("listening on {scheme}://{address}");
    let here = registration::this(options, address, metric_address, scheme);
    let registries = registries.iter().map(AsRef::as_ref).chain(registry);
    let registrations = registries.map(|registry| registry.register(here.clone())).collect();
    Ok(Running { address, metric_address, _registrations: registrations })
}

async fn bind(options: &Options) -> Result<Listener, StartError> {
    let cert = &options.cert;
    let file = |path: &std::path::Path| (!path.as_os_str().is_empty()).then(|| path.to_owned());
    let tls = match (file(&cert.server_cert_file), file(&cert.server_key_file)) {
        (Some(cert_file), Some(key_file)) => {
            let mut server = ServerTls {
                ca_file: file(&cert.ca_file),
                cert_file: Some(cert_file),
                key_file: Some(key_file),
                ..ServerTls::default()
            };
            if !options.server_cert.password.is_empty() {
                server.key_password.clone_from(&options.server_cert.password);
            }
            Some(tls::server_config(&server, &["h2", "http/1.1"])?)
        }
        _ => None,
    };
    listen(&options.service.address, options.service.port, tls).await
}

async fn listen(address: &str, port: u16, tls: Option<Arc<rustls::ServerConfig>>) -> Result<Listener, StartError> {
    let address = host_port(address, port);
    Listener::bind(&address, tls).await.map_err(|source| StartError::Listen { address, source })
}

/// A taken metric port costs the metrics, not the service.
async fn bind_metrics(options: &Options) -> Option<Listener> {
    let listener = listen(&options.service.address, options.metric.metric_port, None).await;
    listener.inspect_err(|error| error!("no metrics | err: {error}")).ok()
}

fn start_metrics(
    listener: Listener,
    metrics: &Metrics,
    health: &Health,
    document: String,
    shutdown: &Shutdown,
) -> Result<(), StartError> {
    let server = MetricServer::new(metrics.registry(), health.clone(), version::text(), logs::set_level)?;
    shutdown.spawn("metric server", server.openapi(document).serve(listener, shutdown.clone()));
    Ok(())
}

/// Asks the store of dynamic resources for a sign of life now and then.
fn watch_health(backends: &Backends, health: &Health, shutdown: &Shutdown) {
    let Some(store) = backends.dynamic.clone() else {
        health.set("store", Err("no database for dynamic resources is configured".to_owned()));
        return;
    };
    health.set("store", Err("not asked yet".to_owned()));
    let (health, stop) = (health.clone(), shutdown.token());
    shutdown.spawn("store health", async move {
        let mut ticks = tokio::time::interval(HEALTH_PERIOD);
        loop {
            tokio::select! {
                _ = ticks.tick() => health.set("store", state_of(store.as_ref()).await),
                () = stop.cancelled() => return,
            }
        }
    });
}

async fn state_of(store: &dyn DocumentDatabase) -> Result<(), String> {
    store.ping().await.map_err(|error| Error::from(error).causes())
}

fn start_cleaners(options: &Options, backends: &Backends, shutdown: &Shutdown) {
    let event = Limits { days: options.event_max_day, per_cluster: options.event_max_cap };
    let alarm = Limits { days: options.alarm_max_day, per_cluster: options.alarm_max_cap };
    let all = [(&backends.event, events::COLLECTION, event), (&backends.alarm, alarms::COLLECTION, alarm)];
    for (store, collection, limits) in all {
        if let Some(store) = store.clone() {
            shutdown.spawn("cleaner", Cleaner { store, collection, limits }.run(DateTime::now, shutdown.token()));
        }
    }
    let days = options.deleted_max_day;
    if let Some(store) = backends.dynamic.clone().filter(|_| days > 0) {
        shutdown.spawn("purge", Purge { store, days }.run(DateTime::now, shutdown.token()));
    }
}

/// Logs every request and its answer, at verbosity 3: at full speed the original's two lines a request would cost more
/// than the request.
fn logged(
    router: RouterService<Shared>,
) -> impl Service<
    Request<Body>,
    Response = Response<Body>,
    Error = std::convert::Infallible,
    Future = impl Future<Output = Result<Response<Body>, std::convert::Infallible>> + Send,
> + Clone
+ Send
+ Sync
+ 'static {
    tower::service_fn(move |request: Request<Body>| {
        let answer = {
            let mut router = router.clone();
            let line = tracing::enabled!(tracing::Level::DEBUG).then(|| line_of(&request));
            (router.call(request), line)
        };
        async move {
            let (answer, line) = answer;
            let Some(line) = line else { return answer.await };
            debug!("Receive {line}");
            let response = answer.await?;
            debug!("Return [{}] {line}", response.status().as_u16());
            Ok(response)
        }
    })
}

fn line_of(request: &Request<Body>) -> String {
    let id = request.extensions().get::<Origin>().map(|origin| origin.id.to_string()).unwrap_or_default();
    format!("{} {} ({id})", request.method(), request.uri())
}
