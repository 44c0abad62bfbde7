//! Routing by the rules of go-restful's curly router, which the original's clients depend on (common.md 6.3).
//!
//! * A trailing slash changes nothing; the percent-decoded path is matched, `%2F` separates segments.
//! * `//`, `/./` and `/../` are answered with 301 to the clean path.
//! * Of the routes that match the path, those with more static segments come first, then those with more parameters;
//!   of these the first with the right method is taken. `POST /a/b` reaches `POST /a/{x}` even if `GET /a/b` exists.
//! * `{name:*}` at the end takes the rest of the path, one segment at least.
//! * Outside of every mount: 404 `404 page not found\n`; inside, without a route: 404 `404: Page Not Found`; with
//!   another method only: 405 and `Allow`. HEAD and OPTIONS are methods like any other.

mod observe;
pub mod path;
mod respond;
mod select;
mod service;
mod template;

use std::convert::Infallible;
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;

use http::request::Parts;
use http::{Method, Response};

use self::select::WebService;
use super::Body;
use super::request_id::Origin;

pub use self::observe::{Observer, Served};
pub use self::service::{RouterService, decoded_path};

pub(crate) type HandlerFuture = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;
type Handler<S> = Box<dyn Fn(S, Call, Option<observe::Observation>) -> HandlerFuture + Send + Sync>;

/// One request that found its route.
#[derive(Debug)]
pub struct Call {
    /// Method, target, headers and extensions.
    pub parts: Parts,
    /// The body, not yet read.
    pub body: Body,
    /// The values of the template's parameters.
    pub params: Params,
    /// The template that matched, with the mount in front: `/bcsstorage/v1/events`.
    pub template: &'static str,
}

impl Call {
    /// Who sent the request and under which id; None if the request did not come through [`serve`](super::server::serve).
    pub fn origin(&self) -> Option<&Origin> {
        self.parts.extensions.get()
    }
}

/// The decoded values of path parameters.
#[derive(Clone, Debug, Default)]
pub struct Params {
    path: String,
    spans: Vec<(&'static str, Range<usize>)>,
}

impl Params {
    /// The value of a parameter; empty if the template has no such one.
    pub fn get(&self, name: &str) -> &str {
        self.iter().find(|(n, _)| *n == name).map(|(_, value)| value).unwrap_or_default()
    }

    /// All parameters in the order of the template.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.spans.iter().map(|(name, span)| (*name, self.path.get(span.clone()).unwrap_or_default()))
    }
}

/// The routes of a service. The handlers get a clone of the state `S` with every call.
pub struct Router<S> {
    services: Vec<WebService<S>>,
    inside: Vec<&'static str>,
    observer: Option<Arc<dyn Observer>>,
    redirect_page: bool,
}

impl<S: Clone + Send + Sync + 'static> Router<S> {
    /// A router without routes. `mount` is a static path without a slash at its end (`/bcsstorage/v1`), the start of
    /// every template and also the prefix inside which an unknown path is answered with `404: Page Not Found`.
    pub fn new(mount: &'static str) -> Self {
        Self { services: vec![WebService::new(mount)], inside: vec![mount], observer: None, redirect_page: false }
    }

    /// Adds a route. `template` follows the mount: `/clusters/{clusterId}/namespaces`, `/proxy/{uri:*}`. The future of
    /// the handler is dropped if the client goes away; what must then still happen belongs into a task of its own.
    pub fn route<H, F>(mut self, method: Method, template: &'static str, handler: H) -> Self
    where
        H: Fn(S, Call) -> F + Send + Sync + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let handler: Handler<S> = Box::new(move |state, call, observation| {
            let response = handler(state, call);
            Box::pin(async move {
                let response = response.await;
                Ok(match observation {
                    Some(observation) => observation.finish(response),
                    None => response,
                })
            })
        });
        if let Some(service) = self.services.last_mut() {
            service.add(method, template, handler);
        }
        self
    }

    /// Further mounts: takes over the routes and the inside prefixes of another router. Of several mounts that match
    /// a path the longest wins, and only its routes are tried. Observer and redirect style are those of `self`.
    pub fn merge(mut self, other: Self) -> Self {
        self.services.extend(other.services);
        self.inside.extend(other.inside);
        self
    }

    /// Widens the part of the path space in which an unknown path is answered by `404: Page Not Found`. A prefix with a
    /// slash at its end does not include the path without it.
    pub fn inside(mut self, prefix: &'static str) -> Self {
        self.inside.push(prefix);
        self
    }

    /// Refuses with 406, for the routes of the last mount, an `Accept` header that names neither one of the media types nor `*/*`.
    pub fn produces(mut self, media_types: &'static [&'static str]) -> Self {
        if let Some(service) = self.services.last_mut() {
            service.produces = Some(media_types);
        }
        self
    }

    /// Refuses, for the routes of the last mount, bodies of other media types with 415, as go-restful's `Consumes` does; a
    /// body without a type too. Without a body a type is not needed, but one that is none of these is refused with 406.
    pub fn consumes(mut self, media_types: &'static [&'static str]) -> Self {
        if let Some(service) = self.services.last_mut() {
            service.consumes = Some(media_types);
        }
        self
    }

    /// Gives the 301 of a GET the small HTML page that Go's own mux sends; without it the body is empty.
    pub fn redirect_page(mut self) -> Self {
        self.redirect_page = true;
        self
    }

    /// Tells `observer` about every request that found its route.
    pub fn observe(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// All routes: method and template with its mount, in the order in which they were added.
    pub fn routes(&self) -> impl Iterator<Item = (&Method, &'static str)> {
        self.services.iter().flat_map(WebService::routes)
    }

    /// The finished router with the state of its handlers.
    pub fn into_service(self, state: S) -> RouterService<S> {
        RouterService::new(self, state)
    }
}
