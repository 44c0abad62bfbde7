//! The main router, the same on both listeners (api.md 2.2).

use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;
use std::task::{Context, Poll};

use bcs_common::http::router::{RouterService, decoded_path};
use bcs_common::http::{Body, page_not_found};
use futures::future::BoxFuture;
use http::{Request, Response};
use tower::Service;

use crate::rest::Rest;

/// Sends every request to the part of the program that its path belongs to.
#[derive(Clone)]
pub(crate) struct Gateway {
    rest: RouterService<Arc<Rest>>,
}

impl Gateway {
    /// A router to these parts.
    pub fn new(rest: RouterService<Arc<Rest>>) -> Self {
        Self { rest }
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
        let (parts, body) = request.into_parts();
        let path = match decoded_path(&parts) {
            Ok(path) => path,
            Err(refusal) => return Box::pin(ready(Ok(*refusal))),
        };
        if path.starts_with("/rest/") {
            drop(path);
            return self.rest.call(Request::from_parts(parts, body));
        }
        Box::pin(ready(Ok(page_not_found())))
    }
}
