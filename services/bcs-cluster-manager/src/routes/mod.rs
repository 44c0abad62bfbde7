//! Which part answers a request (cluster-manager.md 5.1). Both ports answer everything.

mod connect;
mod gateway;
mod mesos;
mod proxy;
mod swagger;
mod tke;
mod tke_xml;
mod webconsole;

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bcs_common::http::router::path::{cleaned, decode, encode};
use bcs_common::http::{Body, openapi, text};
use bcs_proto::METHODS;
use http::header::{CONTENT_TYPE, HeaderValue, LOCATION, X_CONTENT_TYPE_OPTIONS};
use http::{Method, Request, Response, StatusCode};
use tower::Service;

use crate::app::App;
use crate::rpc;

pub(crate) use connect::{Admissions, CONNECT};
pub(crate) use proxy::CLUSTERS;

const SWAGGER: &str = "/swagger/";
/// What a proxy passes on.
const ANY: &[Method] =
    &[Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];

/// What answers beside the rpcs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Swagger,
    Cidr,
    Connect,
    Cluster,
    MesosDriver,
    WebConsole,
    Gateway,
}

/// The routes beside those of the contract.
const BESIDE: &[(Part, &[Method], &str)] = &[
    (Part::Swagger, &[Method::GET], "/swagger/{file:*}"),
    (Part::Cidr, &[Method::POST], "/clustermanager/v1/tke/cidr/add_cidr"),
    (Part::Cidr, &[Method::POST], "/clustermanager/v1/tke/cidr/apply_cidr"),
    (Part::Cidr, &[Method::POST], "/clustermanager/v1/tke/cidr/release_cidr"),
    (Part::Cidr, &[Method::POST], "/clustermanager/v1/tke/cidr/list_count"),
    (Part::Connect, &[Method::GET], CONNECT),
    (Part::Cluster, ANY, "/clustermanager/clusters/{cluster_id}/{sub_path:*}"),
    (Part::MesosDriver, mesos::METHODS, "/clustermanager/mesosdriver/v4/{sub_path:*}"),
    (Part::WebConsole, ANY, "/mesosdriver/v4/webconsole/{sub_path:*}"),
];

/// The OpenAPI document of all that answers.
pub(crate) fn document(has_swagger: bool) -> String {
    let rpcs: Vec<(Method, &str)> = METHODS
        .iter()
        .filter_map(|method| Some((Method::from_bytes(method.verb.as_bytes()).ok()?, method.path)))
        .collect();
    let beside = BESIDE.iter().filter(|(part, ..)| has_swagger || *part != Part::Swagger);
    let beside = beside.flat_map(|(_, methods, template)| methods.iter().map(|method| (method, *template)));
    openapi::of_routes("bcs-cluster-manager", rpcs.iter().map(|(method, path)| (method, *path)).chain(beside))
}

/// Who answers a path, percent-decoded and clean.
fn part(has_swagger: bool, path: &str) -> Part {
    match path {
        _ if has_swagger && path.starts_with(SWAGGER) => Part::Swagger,
        _ if path.starts_with(tke::CIDR) => Part::Cidr,
        CONNECT => Part::Connect,
        _ if cluster_of(path).is_some() => Part::Cluster,
        _ if path.starts_with(mesos::DRIVER) => Part::MesosDriver,
        _ if path.starts_with(webconsole::CONSOLE) => Part::WebConsole,
        _ => Part::Gateway,
    }
}

/// The cluster whose API server a path is for.
fn cluster_of(path: &str) -> Option<&str> {
    path.strip_prefix(CLUSTERS)?.split_once('/').map(|(cluster, _)| cluster)
}

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
    let behind = |prefix: &str| path.strip_prefix(prefix).unwrap_or_default();
    match part(app.swagger_dir.is_some(), &path) {
        Part::Swagger => swagger::answer(app.swagger_dir.as_deref(), behind(SWAGGER)).await,
        Part::Cidr => tke::answer(app, behind(tke::CIDR), request).await,
        Part::Connect => app.tunnels.accept(request).await,
        Part::Cluster => proxy::answer(app, cluster_of(&path).unwrap_or_default(), request).await,
        Part::MesosDriver => mesos::answer(app, request).await,
        Part::WebConsole => webconsole::answer(app, request).await,
        Part::Gateway => gateway::answer(app, &path, request).await,
    }
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
    use std::collections::BTreeSet;

    use bcs_proto::route::{Routed, find};
    use serde_json::Value;

    use super::*;

    /// A path of a template.
    fn filled(template: &str) -> String {
        let segments = template.split('/').map(|segment| if segment.starts_with('{') { "a" } else { segment });
        segments.collect::<Vec<_>>().join("/")
    }

    #[test]
    fn the_document_lists_what_answers_and_nothing_else() {
        let mut wanted = BTreeSet::new();
        for method in METHODS {
            let path = filled(method.path);
            assert_eq!(part(true, &path), Part::Gateway, "{path}");
            let Routed::Call(call) = find(method.verb, &path) else { panic!("{} {path} is no call", method.verb) };
            assert_eq!(call.method.name, method.name);
            wanted.insert(format!("{} {}", method.verb.to_lowercase(), method.path));
        }
        for (answers, methods, template) in BESIDE {
            assert_eq!(part(true, &filled(template)), *answers, "{template}");
            let path = template.replace(":*", "");
            wanted.extend(methods.iter().map(|method| format!("{} {path}", method.as_str().to_lowercase())));
        }
        let document: Value = serde_json::from_str(&document(true)).unwrap();
        let paths = document["paths"].as_object().unwrap().iter();
        let listed = paths.flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().keys().filter(|key| *key != "parameters");
            methods.map(move |method| format!("{method} {path}"))
        });
        assert_eq!(listed.collect::<BTreeSet<_>>(), wanted);
    }

    #[test]
    fn without_its_directory_there_is_no_swagger() {
        assert_eq!(part(false, "/swagger/x"), Part::Gateway);
        assert!(!document(false).contains("/swagger/"));
    }

    #[test]
    fn redirects_keep_the_query() {
        let response = moved("/a/b", Some("x=1&y=<"));
        assert_eq!(response.headers()[LOCATION], "/a/b?x=1&y=<");
        assert_eq!(response.status(), 301);
    }
}
