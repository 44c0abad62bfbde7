//! What all services do around their own work: the life of the program, its listeners, the look at what it depends on.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use thiserror::Error;
use tracing::{error, info, warn};

use crate::config::Exit;
use crate::config::group::{LogOptions, ServiceOptions};
use crate::errors::chain;
use crate::http::envelope::Program;
use crate::http::server::{Listener, host_port};
use crate::metrics::{Health, MetricServer};
use crate::shutdown::Shutdown;
use crate::{logs, pidfile};

/// Exit code of a service that cannot start (common.md 9).
pub const START_FAILED: u8 = 1;
/// Time between two looks at what a service depends on.
const HEALTH_PERIOD: Duration = Duration::from_secs(5);

/// Why a service does not serve: the exit code and the last line of its log and of standard error.
#[derive(Debug)]
pub struct NotStarted {
    /// The exit code.
    pub code: u8,
    /// What the user reads.
    pub reason: String,
}

impl NotStarted {
    /// With the exit code that most failures have.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { code: START_FAILED, reason: reason.into() }
    }
}

/// Runs a service as the program of this process: starts the log and the runtime, lets `start` start it, serves until a
/// signal, and drains for `stop_limit` at most. What `start` gives lives until the signal. `warnings` are those of the
/// configuration. The TLS provider must have been installed.
pub fn run<R>(
    log: &LogOptions,
    warnings: &[String],
    stop_limit: Duration,
    start: impl AsyncFnOnce(&Shutdown) -> Result<R, NotStarted>,
) -> Exit {
    let _log = match logs::init(Program::of_process().name(), log) {
        Ok(guard) => guard,
        Err(error) => return Exit::failure(START_FAILED, format!("cannot start the log: {error}")),
    };
    for warning in warnings {
        warn!("{warning}");
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Exit::failure(START_FAILED, format!("cannot start the runtime: {error}")),
    };
    match runtime.block_on(serve(stop_limit, start)) {
        Ok(()) => Exit::success(),
        Err(NotStarted { code, reason }) => {
            error!("cannot start: {reason}");
            Exit::failure(code, reason)
        }
    }
}

async fn serve<R>(
    stop_limit: Duration,
    start: impl AsyncFnOnce(&Shutdown) -> Result<R, NotStarted>,
) -> Result<(), NotStarted> {
    let shutdown = Shutdown::new();
    let no_signals = |error| NotStarted::new(format!("cannot listen to signals: {error}"));
    shutdown.listen_to_signals().map_err(no_signals)?;
    serve_until(&shutdown, stop_limit, start).await
}

async fn serve_until<R>(
    shutdown: &Shutdown,
    stop_limit: Duration,
    start: impl AsyncFnOnce(&Shutdown) -> Result<R, NotStarted>,
) -> Result<(), NotStarted> {
    let started = tokio::select! {
        biased;
        started = start(shutdown) => Some(started),
        // A database that does not answer must not hold up the end.
        () = shutdown.triggered() => None,
    };
    let outcome = match started {
        Some(Ok(_running)) => {
            shutdown.triggered().await;
            Ok(())
        }
        Some(Err(reason)) => Err(reason),
        None => {
            info!("stopped before it served");
            Ok(())
        }
    };
    if !shutdown.drain(stop_limit).await {
        warn!("stopped before everything was done");
    }
    outcome
}

/// Writes the pid file; a service goes on without it.
pub fn write_pid(dir: &Path) {
    if let Err(error) = pidfile::write(dir) {
        warn!("no pid file in {}: {error}", dir.display());
    }
}

/// A listener cannot be bound.
#[derive(Debug, Error)]
#[error("{what} server failed: listen tcp {address}")]
pub struct ListenError {
    /// `tls`, `insecure`, …
    pub what: &'static str,
    /// Where.
    pub address: String,
    /// Why.
    pub source: io::Error,
}

/// Binds a listener.
///
/// # Errors
/// The address is no address, or taken.
pub async fn bind(
    what: &'static str,
    address: &str,
    port: u16,
    tls: Option<Arc<ServerConfig>>,
) -> Result<Listener, ListenError> {
    let address = host_port(address, port);
    Listener::bind(&address, tls).await.map_err(|source| ListenError { what, address, source })
}

/// The HTTPS listener, if there is a certificate, and the plain one, if it is configured. `any_port`: port 0 of the plain
/// one means any; otherwise it means that there is none.
///
/// # Errors
/// One of them cannot be bound.
pub async fn listeners(
    service: &ServiceOptions,
    tls: Option<Arc<ServerConfig>>,
    any_port: bool,
) -> Result<(Option<Listener>, Option<Listener>), ListenError> {
    let secure = match tls {
        Some(tls) => Some(bind("tls", &service.address, service.port, Some(tls)).await?),
        None => None,
    };
    let is_wanted = !service.insecure_address.is_empty() && (service.insecure_port != 0 || any_port);
    let insecure = match is_wanted {
        true => Some(bind("insecure", &service.insecure_address, service.insecure_port, None).await?),
        false => None,
    };
    if secure.is_none() && insecure.is_none() {
        warn!(
            "no listener: neither server_cert_file and server_key_file nor insecure_address and insecure_port are set"
        );
    }
    Ok((secure, insecure))
}

/// Serves metrics and health. A taken port costs the metrics, not the service: then there is no address.
pub async fn serve_metrics(server: MetricServer, address: &str, port: u16, shutdown: &Shutdown) -> Option<SocketAddr> {
    match bind("metric", address, port, None).await {
        Ok(listener) => {
            let address = listener.local_addr();
            shutdown.spawn("metric server", server.serve(listener, shutdown.clone()));
            Some(address)
        }
        Err(failure) => {
            error!("no metrics: {}", chain(&failure));
            None
        }
    }
}

/// Asks a part that the service depends on for a sign of life now and then, for readiness. It counts as alive until asked.
pub fn watch_part<F>(part: &'static str, health: &Health, shutdown: &Shutdown, sign: impl Fn() -> F + Send + 'static)
where
    F: Future<Output = Result<(), String>> + Send,
{
    health.set(part, Ok(()));
    let (health, stop) = (health.clone(), shutdown.token());
    shutdown.spawn("health of a part", async move {
        let mut ticks = tokio::time::interval(HEALTH_PERIOD);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = stop.cancelled() => return,
            }
            health.set(part, sign().await);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(insecure_address: &str, insecure_port: u16) -> ServiceOptions {
        ServiceOptions {
            address: "127.0.0.1".into(),
            ipv6_address: String::new(),
            port: 0,
            insecure_address: insecure_address.into(),
            insecure_port,
            external_ip: String::new(),
            external_ipv6: String::new(),
            external_port: 0,
        }
    }

    #[tokio::test]
    async fn a_plain_listener_needs_an_address_and_a_port() {
        for (address, any_port, is_bound) in
            [("", true, false), ("127.0.0.1", false, false), ("127.0.0.1", true, true), ("::1", true, true)]
        {
            let (secure, insecure) = listeners(&options(address, 0), None, any_port).await.unwrap();
            assert_eq!((secure.is_some(), insecure.is_some()), (false, is_bound), "{address} {any_port}");
        }
        let taken = bind("first", "127.0.0.1", 0, None).await.unwrap();
        let port = taken.local_addr().port();
        let error = listeners(&options("127.0.0.1", port), None, false).await.err().unwrap();
        assert_eq!(error.to_string(), format!("insecure server failed: listen tcp 127.0.0.1:{port}"));
    }

    #[tokio::test]
    async fn a_start_that_hangs_does_not_hold_up_the_end() {
        let shutdown = Shutdown::new();
        let outcome = serve_until(&shutdown, Duration::from_secs(5), async |shutdown| {
            shutdown.trigger();
            std::future::pending::<Result<(), NotStarted>>().await
        });
        assert!(outcome.await.is_ok());
        // One that has failed says so, whatever else happens.
        let shutdown = Shutdown::new();
        let outcome = serve_until(&shutdown, Duration::from_secs(5), async |shutdown| {
            shutdown.trigger();
            Err::<(), _>(NotStarted::new("no"))
        });
        assert_eq!(outcome.await.unwrap_err().reason, "no");
    }

    #[tokio::test]
    async fn a_part_is_as_it_says() {
        let (health, shutdown) = (Health::new(), Shutdown::new());
        let (asked, mut answers) = tokio::sync::mpsc::channel(1);
        watch_part("database", &health, &shutdown, move || {
            let asked = asked.clone();
            async move {
                asked.send(()).await.unwrap();
                Err("gone".to_owned())
            }
        });
        answers.recv().await.unwrap();
        while health.is_ready() {
            tokio::task::yield_now().await;
        }
        assert!(shutdown.drain(Duration::from_secs(5)).await);
        let (is_ready, report) = health.report();
        let report = String::from_utf8(report).unwrap();
        assert!(!is_ready && report.contains("gone"), "{report}");
    }
}
