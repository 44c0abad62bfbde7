//! Web consoles of Mesos containers through the driver's tunnel (cluster-manager.md 8.7).

use std::sync::Arc;
use std::time::Instant;

use bcs_common::http::{Body, text};
use bcs_tunnel::proxy::{self, Rules};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::uri::PathAndQuery;
use http::{Request, Response, StatusCode};

use super::line;
use super::mesos::{Refusal, cluster_of, driver};
use crate::app::App;

/// Where the consoles are.
pub(super) const CONSOLE: &str = "/mesosdriver/v4/webconsole/";

/// Forwards a request, a WebSocket or not.
pub(super) async fn answer(app: &Arc<App>, request: Request<Body>) -> Response<Body> {
    let start = Instant::now();
    let Some(cluster) = cluster_of(request.headers()) else {
        let mut response = Refusal::no_cluster_id().response();
        *response.status_mut() = StatusCode::BAD_REQUEST;
        return response;
    };
    let driver = match driver(app, &cluster).await {
        Ok(Some(driver)) => driver,
        Ok(None) => {
            return line(StatusCode::BAD_REQUEST, &format!("no tunnel could be found for cluster {cluster}"));
        }
        Err(failure) => return line(StatusCode::BAD_REQUEST, &failure.message),
    };
    let target = request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    let response = match proxy::forward(&driver.upstream, request, &Rules::backend(target)).await {
        Ok(response) => response,
        Err(error) => unreachable_backend(error.text()),
    };
    app.metrics.answered("mesos_webconsole", "websocket", "success", start.elapsed());
    response
}

fn unreachable_backend(reason: &str) -> Response<Body> {
    let message = format!("errcode: 1405064, couldn't dial to remote backend url {reason}");
    let mut response = text(StatusCode::SERVICE_UNAVAILABLE, message);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
