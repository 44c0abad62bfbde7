//! Which part answers a request (cluster-manager.md 5.1). Both ports answer everything.

mod connect;
mod gateway;
mod mesos;
mod proxy;
mod swagger;
mod tke;
mod webconsole;

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bcs_common::http::router::path::{cleaned, decode, encode};
use bcs_common::http::{Body, text};
use http::header::{CONTENT_TYPE, HeaderValue, LOCATION, X_CONTENT_TYPE_OPTIONS};
use http::{Request, Response, StatusCode};
use tower::Service;

use crate::app::App;
use crate::rpc;

pub(crate) use connect::{Admissions, CONNECT};
pub(crate) use proxy::CLUSTERS;

const SWAGGER: &str = "/swagger/";

/// The service behind both listeners.
#[derive(Clone)]
pub(crate) struct Front(pub(crate) Arc<App>);

impl Service<Request<Body>> for Front {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let app = Arc::clone(&self.0);
        Box::pin(async move { Ok(route(&app, request).await) })
    }
}

async fn route(app: &Arc<App>, request: Request<Body>) -> Response<Body> {
    let raw = request.uri().path();
    if rpc::is_call(request.headers()) && !raw.starts_with(CLUSTERS) {
        return rpc::answer(app, request).await;
    }
    let Some(path) = decode(raw) else {
        return text(StatusCode::BAD_REQUEST, "400 Bad Request");
    };
    if let Some(clean) = cleaned(&path) {
        return moved(&encode(&clean), request.uri().query());
    }
    let path = path.into_owned();
    if let (Some(directory), Some(file)) = (&app.swagger_dir, path.strip_prefix(SWAGGER)) {
        return swagger::answer(directory, file).await;
    }
    if let Some(rest) = path.strip_prefix(tke::CIDR) {
        return tke::answer(app, rest, request).await;
    }
    if path == CONNECT {
        return app.tunnels.accept(request).await;
    }
    if let Some((cluster, _)) = path.strip_prefix(CLUSTERS).and_then(|rest| rest.split_once('/')) {
        return proxy::answer(app, cluster, request).await;
    }
    if path.starts_with(mesos::DRIVER) {
        return mesos::answer(app, request).await;
    }
    if path.starts_with(webconsole::CONSOLE) {
        return webconsole::answer(app, request).await;
    }
    gateway::answer(app, &path, request).await
}

/// To the clean path, with the page that Go's server sends.
fn moved(path: &str, query: Option<&str>) -> Response<Body> {
    let target = query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    let escaped = target.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&#34;");
    let page = format!("<a href=\"{escaped}\">Moved Permanently</a>.\n\n");
    let mut response = Response::new(Body::from(page));
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    if let Ok(target) = HeaderValue::try_from(target) {
        headers.insert(LOCATION, target);
    }
    response
}

/// A line of text, as Go's `http.Error` writes it.
fn line(status: StatusCode, message: &str) -> Response<Body> {
    let mut response = text(status, format!("{message}\n"));
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_keep_the_query() {
        let response = moved("/a/b", Some("x=1&y=<"));
        assert_eq!(response.headers()[LOCATION], "/a/b?x=1&y=<");
        assert_eq!(response.status(), 301);
    }
}
