//! The main router, the same on both listeners (api.md 2.2).

use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;
use std::task::{Context, Poll};

use bcs_common::http::router::{RouterService, decoded_path};
use bcs_common::http::{Body, page_not_found};
use bcs_tunnel::TunnelServer;
use futures::future::BoxFuture;
use http::{Request, Response};
use tower::Service;

use crate::kube::{self, KubeProxy};
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
            Part::None => Box::pin(ready(Ok(page_not_found()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
