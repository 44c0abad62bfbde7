//! The main router, the same on both listeners (api.md 2.2).

use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;
use std::task::{Context, Poll};

use bcs_common::http::router::{Router, RouterService, decoded_path};
use bcs_common::http::{Body, openapi, page_not_found};
use bcs_tunnel::TunnelServer;
use futures::future::BoxFuture;
use http::{Method, Request, Response};
use tower::Service;

use crate::console::Console;
use crate::kube::{self, KubeProxy};
use crate::service::PROGRAM;
use crate::tunnels::CONNECT_PATH;
use crate::webconsole::Webconsole;
use crate::{forward, rest};

const WEBCONSOLE: &str = "/bcsapi/v1/webconsole/";
const V4: &str = "/bcsapi/";
const REST: &str = "/rest/";

/// The parts of the program that answer requests.
pub(crate) struct Parts {
    pub tunnels: TunnelServer,
    pub webconsole: Webconsole,
    pub v4: RouterService<forward::Shared>,
    pub rest: RouterService<rest::Shared>,
    pub kube: KubeProxy,
    pub console: Option<Console>,
}

/// The routes of the parts that have no router.
const OTHER_ROUTES: [(&[Method], &str); 3] = [
    (&[Method::GET], CONNECT_PATH),
    (&ANY, "/bcsapi/v1/webconsole/{uri:*}"),
    (&ANY, "/tunnels/clusters/{cluster_identifier}/{uri:*}"),
];
const ANY: [Method; 7] =
    [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::HEAD, Method::OPTIONS];

/// All routes, as OpenAPI.
pub(crate) fn document(v4: &Router<forward::Shared>, rest: &Router<rest::Shared>) -> String {
    let others = OTHER_ROUTES.iter().flat_map(|(methods, path)| methods.iter().map(move |method| (method, *path)));
    openapi::of_routes(PROGRAM.name(), v4.routes().chain(rest.routes()).chain(others))
}

/// Sends every request to the part that its path belongs to.
#[derive(Clone)]
pub(crate) struct Gateway(pub Arc<Parts>);

/// Which part.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Connect,
    Webconsole,
    V4,
    Rest,
    /// With the identifier of the cluster.
    Kube(String),
    None,
}

impl Part {
    /// Of a decoded, clean path; the first that fits.
    fn of(path: &str) -> Self {
        if path == CONNECT_PATH {
            Self::Connect
        } else if path.starts_with(WEBCONSOLE) {
            Self::Webconsole
        } else if path.starts_with(V4) {
            Self::V4
        } else if path.starts_with(REST) {
            Self::Rest
        } else {
            let identifier = path.strip_prefix(kube::PREFIX).and_then(|rest| rest.split_once('/'));
            match identifier {
                Some((identifier, _)) if !identifier.is_empty() => Self::Kube(identifier.to_owned()),
                _ => Self::None,
            }
        }
    }
}

impl Service<Request<Body>> for Gateway {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (head, body) = request.into_parts();
        let part = match decoded_path(&head) {
            Ok(path) => Part::of(&path),
            Err(refusal) => return Box::pin(ready(Ok(*refusal))),
        };
        let request = Request::from_parts(head, body);
        let parts = Arc::clone(&self.0);
        match part {
            Part::V4 => parts.v4.clone().call(request),
            Part::Rest => parts.rest.clone().call(request),
            Part::Connect => Box::pin(async move { Ok(parts.tunnels.accept(request).await) }),
            Part::Webconsole => Box::pin(async move { Ok(parts.webconsole.serve(request).await) }),
            Part::Kube(identifier) => Box::pin(async move { Ok(parts.kube.serve(request, &identifier).await) }),
            Part::None => Box::pin(async move {
                // Nothing here reads a body.
                let (head, _) = request.into_parts();
                Ok(match &parts.console {
                    Some(console) => console.serve(&head).await,
                    None => page_not_found(),
                })
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    #[test]
    fn the_document_lists_every_route_of_every_part() {
        let (v4, rest) = (forward::router(true, true), rest::router());
        let document: Value = serde_json::from_str(&document(&v4, &rest)).unwrap();
        let listed: BTreeSet<String> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, item)| item.as_object().unwrap().keys().map(move |method| format!("{method} {path}")))
            .filter(|entry| !entry.starts_with("parameters "))
            .collect();
        let line = |(method, path): (&Method, &str)| {
            format!("{} {}", method.as_str().to_lowercase(), path.replace(":*}", "}"))
        };
        let mut wanted: BTreeSet<String> = v4.routes().chain(rest.routes()).map(line).collect();
        for (methods, path) in OTHER_ROUTES {
            assert_ne!(Part::of(path), Part::None, "{path}");
            wanted.extend(methods.iter().map(|method| line((method, path))));
        }
        assert_eq!(listed, wanted);
    }

    #[test]
    fn the_first_part_that_fits() {
        for (path, part) in [
            ("/bcsapi/v1/websocket/connect", Part::Connect),
            ("/bcsapi/v1/websocket/connect/", Part::V4),
            ("/bcsapi/v1/webconsole/x", Part::Webconsole),
            ("/bcsapi/v1/webconsole/", Part::Webconsole),
            ("/bcsapi/v1/webconsole", Part::V4),
            ("/bcsapi/", Part::V4),
            ("/bcsapi", Part::None),
            ("/rest/", Part::Rest),
            ("/rest", Part::None),
            ("/tunnels/clusters/a/", Part::Kube("a".into())),
            ("/tunnels/clusters/a/b/c", Part::Kube("a".into())),
            ("/tunnels/clusters/a", Part::None),
            ("/tunnels/clusters/", Part::None),
            ("/", Part::None),
        ] {
            assert_eq!(Part::of(path), part, "{path}");
        }
    }
}
