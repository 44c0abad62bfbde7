//! The API servers of clusters through their tunnels (cluster-manager.md 8.5).

use std::sync::Arc;
use std::time::{Duration, Instant};

use bcs_common::http::Body;
use bcs_common::http::json::write_string;
use bcs_tunnel::proxy::{self, Route, Rules, Upstream, raw_rest};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response, StatusCode};

use crate::app::App;
use crate::credentials;
use crate::failure::Failure;
use crate::kube;

/// Where the clusters are, one below it each.
pub(crate) const CLUSTERS: &str = "/clustermanager/clusters/";

/// The connections of a session's cluster.
pub(super) fn pool(cluster: &str) -> String {
    format!("proxy {cluster}")
}

/// Forwards a request to the API server of a cluster.
pub(super) async fn answer(app: &Arc<App>, cluster: &str, request: Request<Body>) -> Response<Body> {
    let start = Instant::now();
    let (upstream, token) = match target(app, cluster).await {
        Ok(Some(target)) => target,
        Ok(None) => return no_session(cluster),
        Err(failure) => return lookup_failed(&failure.message),
    };
    // The path was found to begin so, with a slash behind the cluster.
    let Some(rest) = raw_rest(request.uri(), CLUSTERS, 1) else { return no_session(cluster) };
    let mut rules = Rules::kube(rest);
    rules.bearer(&token);
    rules.location_prefix = Some(format!("{CLUSTERS}{cluster}"));
    rules.forwarded_proto = Some("https");
    let method = request.method().clone();
    let upgrades = proxy::is_upgrade(request.headers());
    if upgrades {
        app.metrics.answered("k8s_tunnel_request", "websocket", "", Duration::ZERO);
    }
    match proxy::forward(&upstream, request, &rules).await {
        Ok(response) => {
            if !upgrades {
                app.metrics.answered("k8s_tunnel_request", method.as_str(), "", start.elapsed());
            }
            response
        }
        Err(error) => error.service_unavailable(),
    }
}

/// The connections and the token of a cluster that has a credential and a session.
async fn target(app: &Arc<App>, cluster: &str) -> Result<Option<(Arc<Upstream>, String)>, Failure> {
    // The session first: it costs nothing.
    if !app.tunnels.has_session(cluster) {
        return Ok(None);
    }
    let Some(credential) = credentials::find(&app.stores.credentials, cluster).await? else { return Ok(None) };
    let route = Route::Tunnel { server: app.tunnels.clone(), key: cluster.to_owned() };
    let upstream = app.upstreams.get(&pool(cluster), &kube::settings(&credential, route));
    let upstream = upstream.map_err(|error| Failure::store(error.to_string()))?;
    Ok(Some((upstream, credential.user_token)))
}

/// A Status object of Kubernetes.
fn no_session(cluster: &str) -> Response<Body> {
    let mut json = br#"{"metadata":{},"status":"Failure","message":"no cluster session can be found using given cluster id","reason":"NotFound","details":{"name":"#.to_vec();
    write_string(&mut json, cluster);
    json.extend_from_slice(br#","group":"bkbcs.tencent.com","kind":"Clusters"},"code":404}"#);
    status(StatusCode::NOT_FOUND, json)
}

fn lookup_failed(reason: &str) -> Response<Body> {
    let cause = format!("error when lookup websocket conn, err {reason}");
    let mut json = br#"{"metadata":{},"status":"Failure","message":"#.to_vec();
    write_string(&mut json, &format!("Internal error occurred: {cause}"));
    json.extend_from_slice(br#","reason":"CREATE_TUNNEL_ERROR","details":{"causes":[{"message":"#);
    write_string(&mut json, &cause);
    json.extend_from_slice(br#"}]},"code":500}"#);
    status(StatusCode::INTERNAL_SERVER_ERROR, json)
}

fn status(status: StatusCode, json: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::from(json));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use bcs_common::http::body;
    use serde_json::Value;

    use super::*;

    #[tokio::test]
    async fn status_objects_are_json_whatever_the_names() {
        for response in [no_session("a\"<b"), lookup_failed("x \"y\"")] {
            let body = body::collect(response.into_body(), 1 << 16).await.unwrap();
            let json: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(json["status"], "Failure");
        }
    }
}
