//! storage and detection: a reverse proxy that changes nothing but the path (api.md 5.1).

use bcs_common::http::Body;
use bcs_common::http::router::Call;
use bcs_tunnel::proxy::{self, Rules};
use http::{Request, Response};
use tracing::{debug, warn};

use super::answer::bad_gateway;
use super::{Family, V4};
use crate::discovery::Module;
use crate::path;

/// Sends the request on; both bodies are streamed.
pub(super) async fn forward(v4: &V4, call: Call, family: &Family, module: Module) -> Response<Body> {
    let Some(backend) = v4.discovery.backend(module) else {
        debug!("no backend for {}", call.template);
        return bad_gateway();
    };
    let uri = &call.parts.uri;
    let Some(target) = path::target(family.prefix, family.rest(uri.path()), uri) else {
        return bad_gateway();
    };
    let request = Request::from_parts(call.parts, call.body);
    match proxy::forward(&backend.upstream, request, &Rules::backend(target)).await {
        Ok(response) => response,
        Err(error) => {
            warn!("{backend:?} does not answer: {error}");
            error.bad_gateway()
        }
    }
}
