//! `/metrics`, `/healthz`, `/readyz`, `/version`, `/openapi.json`, `PUT /log-level` and what a service adds, on a listener
//! of their own.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use prometheus::{IntCounterVec, IntGauge, Opts, Registry, TextEncoder};
use tracing::{error, info};

use super::{Health, process_collector};
use crate::http::body::collect;
use crate::http::envelope::json_response;
use crate::http::query::Query;
use crate::http::server::{Listener, ServerOptions, serve};
use crate::http::{Body, page_not_found, text};
use crate::shutdown::Shutdown;

/// A scraper needs one connection.
const MAX_CONNECTIONS: usize = 256;
/// The body of `PUT /log-level`.
const MAX_BODY: usize = 64;

/// The metric listener of one service.
#[derive(Clone)]
pub struct MetricServer {
    inner: Arc<Inner>,
    openapi: Option<Bytes>,
    report: Option<(&'static str, Report)>,
    has_healthz: bool,
}

/// Makes a JSON document.
type Report = Arc<dyn Fn() -> Vec<u8> + Send + Sync>;

struct Inner {
    registry: Registry,
    health: Health,
    version: String,
    set_log_level: Box<dyn Fn(i32) + Send + Sync>,
    scrapes: IntCounterVec,
    scrapes_in_flight: IntGauge,
}

impl MetricServer {
    /// Adds the process metrics and those of the scrapes themselves to `registry`. `version` is the text of `/version`;
    /// `set_log_level` is called with the new verbosity (common.md 1.6 `v`).
    ///
    /// # Errors
    /// If the registry holds one of these metrics already.
    pub fn new(
        registry: Registry,
        health: Health,
        version: impl Into<String>,
        set_log_level: impl Fn(i32) + Send + Sync + 'static,
    ) -> prometheus::Result<Self> {
        let scrapes = IntCounterVec::new(
            Opts::new("promhttp_metric_handler_requests_total", "Total number of scrapes by HTTP status code."),
            &["code"],
        )?;
        let scrapes_in_flight =
            IntGauge::new("promhttp_metric_handler_requests_in_flight", "Current number of scrapes being served.")?;
        for code in ["200", "500", "503"] {
            scrapes.with_label_values(&[code]);
        }
        registry.register(process_collector()?)?;
        registry.register(Box::new(scrapes.clone()))?;
        registry.register(Box::new(scrapes_in_flight.clone()))?;
        let set_log_level = Box::new(set_log_level);
        let version = version.into();
        let inner = Inner { registry, health, version, set_log_level, scrapes, scrapes_in_flight };
        Ok(Self { inner: Arc::new(inner), openapi: None, report: None, has_healthz: true })
    }

    /// Serves this document (see [`openapi`](crate::http::openapi)) at `/openapi.json`.
    #[must_use]
    pub fn openapi(mut self, document: String) -> Self {
        self.openapi = Some(document.into());
        self
    }

    /// Serves the JSON that `report` makes at a path of the service's own.
    #[must_use]
    pub fn report(mut self, path: &'static str, report: impl Fn() -> Vec<u8> + Send + Sync + 'static) -> Self {
        self.report = Some((path, Arc::new(report)));
        self
    }

    /// Leaves `/healthz` out, for a service whose clients expect 404 there as from the original.
    #[must_use]
    pub fn without_healthz(mut self) -> Self {
        self.has_healthz = false;
        self
    }

    /// Serves until the shutdown.
    pub async fn serve(self, listener: Listener, shutdown: Shutdown) {
        let options = ServerOptions {
            max_connections: MAX_CONNECTIONS,
            drain_timeout: Duration::from_secs(1),
            ..ServerOptions::default()
        };
        let service = tower::service_fn(move |request| {
            let server = self.clone();
            async move { Ok::<_, Infallible>(server.answer(request).await) }
        });
        serve(listener, service, options, shutdown).await;
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        match (request.method(), request.uri().path()) {
            (_, "/metrics") => self.inner.scrape(),
            (_, "/healthz") if self.has_healthz => text(StatusCode::OK, "ok\n"),
            (_, "/readyz") => self.inner.readiness(),
            (_, "/version") => text(StatusCode::OK, self.inner.version.clone()),
            (_, "/openapi.json") => self.openapi.clone().map_or_else(page_not_found, json_response),
            (&Method::PUT, "/log-level") => self.inner.change_log_level(request).await,
            (&Method::GET, path) => match &self.report {
                Some((own, report)) if path == *own => json_response(report()),
                _ => page_not_found(),
            },
            _ => page_not_found(),
        }
    }
}

impl Inner {
    fn scrape(&self) -> Response<Body> {
        self.scrapes_in_flight.inc();
        let encoded = TextEncoder::new().encode_to_string(&self.registry.gather());
        self.scrapes_in_flight.dec();
        match encoded {
            Ok(metrics) => {
                self.scrapes.with_label_values(&["200"]).inc();
                let mut response = Response::new(Body::from(metrics));
                let content_type = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
                response.headers_mut().insert(CONTENT_TYPE, content_type);
                response
            }
            Err(cause) => {
                error!("the metrics cannot be written: {cause}");
                self.scrapes.with_label_values(&["500"]).inc();
                text(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be written\n")
            }
        }
    }

    fn readiness(&self) -> Response<Body> {
        let (ready, report) = self.health.report();
        let mut response = json_response(report);
        if !ready {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        }
        response
    }

    /// The level is the query parameter `v`, or else the body.
    async fn change_log_level(&self, request: Request<Body>) -> Response<Body> {
        let from_query = Query::of(request.uri()).get("v").map(str::to_owned);
        let level = match from_query {
            Some(level) => level,
            None => match collect(request.into_body(), MAX_BODY).await {
                Ok(body) => String::from_utf8_lossy(&body).into_owned(),
                Err(_) => String::new(),
            },
        };
        match level.trim().parse::<i32>() {
            Ok(level) if level >= 0 => {
                (self.set_log_level)(level);
                info!("log level set to {level}");
                text(StatusCode::OK, format!("{level}\n"))
            }
            _ => text(StatusCode::BAD_REQUEST, "the log level must be a number from 0 on\n"),
        }
    }
}
