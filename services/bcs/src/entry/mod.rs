//! One port for people: the console, and the services' APIs under the paths that the gateway of a BCS installation gives
//! them (clients.md 8.3), behind the caller's token.
//!
//! ```text
//! /                          the console
//! /bcsapi/v4/storage/…       bcs-storage       /bcsstorage/v1/…
//! /bcsapi/v4/usermanager/…   bcs-user-manager  /usermanager/…       it checks the token itself
//! /console/overview          what runs here
//! /console/openapi/<name>    the routes of a service
//! /console/permissions       what a user may do
//! /console/clusters          the clusters of bcs-cluster-manager, the tunnels of all services
//! ```

mod access;
mod clusters;
mod forward;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bcs_common::http::envelope::Program;
use bcs_common::http::query::Query;
use bcs_common::http::server::{Listener, ServerOptions, serve};
use bcs_common::http::{Body, page_not_found};
use bcs_common::shutdown::Shutdown;
use bcs_common::tls::TlsError;
use http::{Method, Request, Response};

use access::Access;
use bcs_console::client::Client;
use bcs_console::{Overview, ServiceAt};

/// What the entry leads to.
pub struct Backends {
    /// bcs-storage.
    pub storage: SocketAddr,
    /// bcs-user-manager.
    pub user_manager: SocketAddr,
    /// bcs-cluster-manager.
    pub cluster_manager: SocketAddr,
    /// A token of an admin, to ask bcs-user-manager about others.
    pub admin_token: String,
    /// All services, for the overview.
    pub services: Vec<ServiceAt>,
}

/// The entry of a process.
#[derive(Clone)]
pub struct Entry(Arc<Inner>);

struct Inner {
    backends: Backends,
    access: Access,
    client: Client,
    overview: Overview,
}

impl Entry {
    /// An entry to these services.
    ///
    /// # Errors
    /// The TLS library refuses its own defaults.
    pub fn new(backends: Backends) -> Result<Self, TlsError> {
        let client = Client::new();
        let access = Access::new(backends.user_manager, backends.admin_token.clone(), client.clone());
        let overview = Overview::new(client.clone(), true)?;
        Ok(Self(Arc::new(Inner { access, client, overview, backends })))
    }

    /// Serves until the shutdown.
    pub async fn serve(self, listener: Listener, shutdown: Shutdown) {
        let options = ServerOptions { program: Program::new("bcs"), ..ServerOptions::default() };
        let service = tower::service_fn(move |request| {
            let entry = self.clone();
            async move { Ok::<_, Infallible>(entry.0.answer(request).await) }
        });
        serve(listener, service, options, shutdown).await;
    }
}

impl Inner {
    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let path = request.uri().path();
        if let Some(page) = bcs_console::file(path).filter(|_| request.method() == Method::GET) {
            return page;
        }
        if let Some(rest) = path.strip_prefix("/bcsapi/v4/usermanager/") {
            let target = target(&request, "/usermanager/", rest);
            return forward::to(&self.client, self.backends.user_manager, &target, request).await;
        }
        if let Some(rest) = path.strip_prefix("/bcsapi/v4/storage/") {
            let target = target(&request, "/bcsstorage/v1/", rest);
            if let Err(refusal) = self.access.check(request.headers(), "storage", request.method()).await {
                return *refusal;
            }
            // Storage asks for none, and tokens are nobody else's business.
            let mut request = request;
            request.headers_mut().remove(http::header::AUTHORIZATION);
            return forward::to(&self.client, self.backends.storage, &target, request).await;
        }
        if request.method() != Method::GET {
            return page_not_found();
        }
        match path {
            "/console/overview" => match self.access.check_admin(request.headers()).await {
                Ok(()) => self.overview.answer(&self.backends.services).await,
                Err(refusal) => *refusal,
            },
            "/console/clusters" => match self.access.check_admin(request.headers()).await {
                Ok(()) => clusters::answer(&self.client, self.backends.cluster_manager, &self.backends.services).await,
                Err(refusal) => *refusal,
            },
            "/console/permissions" => {
                let body = permissions_question(&Query::of(request.uri()));
                let request = with_json_body(request, body);
                forward::to(&self.client, self.backends.user_manager, "/usermanager/v1/permissions", request).await
            }
            _ => match path.strip_prefix("/console/openapi/") {
                Some(name) => self.overview.routes(&self.backends.services, name).await,
                None => page_not_found(),
            },
        }
    }
}

/// The path at the service, the query as it is.
fn target(request: &Request<Body>, mount: &str, rest: &str) -> String {
    match request.uri().query() {
        Some(query) => format!("{mount}{rest}?{query}"),
        None => format!("{mount}{rest}"),
    }
}

/// bcs-user-manager reads this question from the body of a GET, which browsers do not send.
fn permissions_question(query: &Query) -> serde_json::Value {
    let text = |name| query.get(name).unwrap_or_default();
    serde_json::json!({"user_name": text("user_name"), "resource_type": text("resource_type")})
}

fn with_json_body(request: Request<Body>, body: serde_json::Value) -> Request<Body> {
    let (mut head, _) = request.into_parts();
    head.headers.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    Request::from_parts(head, Body::from(body.to_string()))
}
