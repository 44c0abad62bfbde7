//! The router as a tower service.

use std::borrow::Cow;
use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, Uri};
use tower::Service;

use super::observe::{Observation, Observer};
use super::select::{Choice, Route, WebService};
use super::template::Segments;
use super::{Call, HandlerFuture, Params, Router, path, respond};
use crate::http::{Body, page_not_found};

/// A [`Router`] with the state of its handlers, ready for [`serve`](crate::http::server::serve). Clones are cheap.
pub struct RouterService<S>(Arc<Inner<S>>);

struct Inner<S> {
    services: Vec<WebService<S>>,
    inside: Vec<&'static str>,
    observer: Option<Arc<dyn Observer>>,
    redirect_page: bool,
    state: S,
}

impl<S> Clone for RouterService<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: Clone + Send + Sync + 'static> RouterService<S> {
    pub(super) fn new(router: Router<S>, state: S) -> Self {
        let Router { mut services, inside, observer, redirect_page } = router;
        for service in &mut services {
            service.prepare();
        }
        // The longest mount is asked first.
        services.sort_by_key(|service| std::cmp::Reverse(service.depth()));
        Self(Arc::new(Inner { services, inside, observer, redirect_page, state }))
    }
}

impl<S: Clone + Send + Sync + 'static> Service<Request<Body>> for RouterService<S> {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = HandlerFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> HandlerFuture {
        match self.0.find(&request) {
            Ok((route, params)) => self.0.run(route, params, request),
            Err(refusal) => Box::pin(ready(Ok(*refusal))),
        }
    }
}

impl<S: Clone + Send + Sync + 'static> Inner<S> {
    /// The route of a request with the values of its parameters, or the answer that there is none.
    fn find(&self, request: &Request<Body>) -> Result<(&Route<S>, Params), Box<Response<Body>>> {
        let (uri, method) = (request.uri(), request.method());
        let decoded = clean_path(method, uri, request.headers(), self.redirect_page)?;
        if !self.inside.iter().any(|prefix| is_inside(prefix, &decoded)) {
            return Err(Box::new(page_not_found()));
        }
        let segments = Segments::of(&decoded);
        let Some(service) = self.services.iter().find(|service| service.covers(&segments)) else {
            return Err(Box::new(respond::no_route()));
        };
        let route = match service.choose(&segments, method) {
            Choice::Route(route) => route,
            Choice::OtherMethods(methods) => {
                return Err(Box::new(respond::method_not_allowed(&methods)));
            }
            Choice::NoRoute => return Err(Box::new(respond::no_route())),
        };
        if let Some(refusal) = service.consumes.and_then(|consumes| respond::refuse_media_type(request, consumes)) {
            return Err(Box::new(refusal));
        }
        if let Some(produces) = service.produces.filter(|produces| !respond::accepts(request.headers(), produces)) {
            return Err(Box::new(respond::not_acceptable(produces)));
        }
        let spans = route.template.spans(&segments);
        Ok((route, Params { path: decoded.into_owned(), spans }))
    }

    fn run(&self, route: &Route<S>, params: Params, request: Request<Body>) -> HandlerFuture {
        let (parts, body) = request.into_parts();
        let template = route.template.text;
        let observation = self
            .observer
            .as_ref()
            .map(|observer| Observation::start(Arc::clone(observer), parts.method.clone(), template));
        (route.handler)(self.state.clone(), Call { parts, body, params, template }, observation)
    }
}

/// The path of a request as the router matches it, percent-decoded and clean, for what is decided before the router is
/// asked; or the router's answer to a request without one: 400 to a malformed escape, 301 to the clean path.
///
/// # Errors
/// The answer.
pub fn decoded_path(parts: &Parts) -> Result<Cow<'_, str>, Box<Response<Body>>> {
    clean_path(&parts.method, &parts.uri, &parts.headers, false)
}

fn clean_path<'a>(
    method: &Method,
    uri: &'a Uri,
    headers: &HeaderMap,
    page: bool,
) -> Result<Cow<'a, str>, Box<Response<Body>>> {
    let decoded = match uri.path() {
        // `OPTIONS *` is nobody's path.
        "*" => None,
        "" => path::decode("/"),
        raw => path::decode(raw),
    };
    let Some(decoded) = decoded else {
        return Err(Box::new(respond::bad_request()));
    };
    match path::cleaned(&decoded) {
        Some(clean) => Err(Box::new(respond::moved(&clean, method, uri, headers, page))),
        None => Ok(decoded),
    }
}

/// Whether a path is in the part of the path space that starts with `prefix`, on the border of a segment.
fn is_inside(prefix: &str, path: &str) -> bool {
    match path.strip_prefix(prefix) {
        Some(rest) => rest.is_empty() || rest.starts_with('/') || prefix.ends_with('/'),
        None => false,
    }
}
