//! The BKE REST API (api.md 10). A handler reads the request, calls the store and answers.

mod answer;
mod cidr;
mod clusters;
mod credentials;
mod objects;
mod register_tokens;
mod tke;
mod users;
mod validate;

use std::sync::Arc;
use std::time::Instant;

use bcs_common::errors::chain;
use bcs_common::http::Body;
use bcs_common::http::body::BodyError;
use bcs_common::http::document::Document;
use bcs_common::http::query::Query;
use bcs_common::http::router::{Call, Params, Router};
use bcs_tke::TkeClient;
use futures::future::BoxFuture;
use http::request::Parts;
use http::{Method, Response, StatusCode};
use tracing::{debug, error};

use self::answer::{Answer, Failure};
use crate::auth::{Caller, Users};
use crate::metrics::{ApiMetrics, Outcome, RequestType, method_label};
use crate::store::{Cluster, Store};

/// The prefix of all routes.
pub const MOUNT: &str = "/rest";
/// What bodies must be, and what answers are.
const JSON: &[&str] = &["application/json"];
/// Longest body in bytes. The original has no limit; real bodies are a thousandth of it.
const MAX_BODY: usize = 8 << 20;

/// What the handlers work with.
pub(crate) struct Rest {
    pub store: Store,
    pub users: Users,
    /// None: no account is configured.
    pub tke: Option<TkeClient>,
    pub metrics: ApiMetrics,
}

pub(crate) type Shared = Arc<Rest>;

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Super users.
    Super,
    /// All users.
    User,
    /// All users; the cluster in the path must exist.
    Cluster,
    /// Super users and the user who made the cluster in the path.
    Owner,
    /// Everybody: there is nothing to hide, or the body holds the secret.
    Open,
}

/// A call that passed the check of its token.
struct Request {
    call: Call,
    caller: Option<Caller>,
    cluster: Option<Cluster>,
}

impl Request {
    fn param(&self, name: &str) -> &str {
        self.call.params.get(name)
    }

    fn query(&self) -> Query {
        Query::of(&self.call.parts.uri)
    }

    /// Who calls; nobody on open routes.
    fn caller(&self) -> Result<&Caller, Failure> {
        self.caller.as_ref().ok_or_else(Failure::unauthorized)
    }

    /// The cluster in the path.
    fn cluster(&self) -> Result<&Cluster, Failure> {
        self.cluster.as_ref().ok_or_else(|| no_such_cluster(self.param("cluster_id")))
    }

    /// Reads the body.
    async fn document(&mut self) -> Result<Document, Failure> {
        let body = std::mem::replace(&mut self.call.body, Body::empty());
        Document::read(&self.call.parts.headers, body, MAX_BODY).await.map_err(|error| {
            let status = match error {
                BodyError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
                BodyError::Timeout => StatusCode::REQUEST_TIMEOUT,
                BodyError::Broken(_) => StatusCode::BAD_REQUEST,
            };
            Failure::new(status, "BODY_NOT_READABLE", error.to_string())
        })
    }
}

fn no_such_cluster(id: &str) -> Failure {
    Failure::errcode(
        StatusCode::NOT_FOUND,
        "CLUSTER_NOT_FOUND",
        bcs_common::http::code::API_K8S_CLUSTER_NOT_FOUND,
        format!("cluster {id} not found"),
    )
}

type Handler = fn(Shared, Request) -> BoxFuture<'static, Answer>;

/// A route of the API.
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path below [`MOUNT`].
    pub template: &'static str,
    /// Who may call it.
    pub access: Access,
    /// Whether its calls are in the metrics.
    counted: bool,
    handler: Handler,
}

macro_rules! route {
    ($method:ident $template:literal, $access:ident, $handler:path) => {
        route!($method $template, $access, $handler, counted: true)
    };
    ($method:ident $template:literal, $access:ident, $handler:path, counted: $counted:literal) => {
        Route {
            method: Method::$method,
            template: $template,
            access: Access::$access,
            counted: $counted,
            handler: |rest, request| Box::pin($handler(rest, request)),
        }
    };
}

/// All routes, in the order of the spec: it is the order of methods in `Allow`.
pub const ROUTES: &[Route] = &[
    route!(POST "/users", Super, users::create),
    route!(GET "/users/{user_name}", Super, users::get),
    route!(POST "/users/{user_id}/tokens", Super, users::create_token),
    route!(POST "/clusters", User, clusters::create_plain, counted: false),
    route!(POST "/clusters/bcs", User, clusters::create_bcs),
    route!(GET "/clusters/bcs/query_by_id", User, clusters::query_by_id),
    route!(GET "/clusters/bcs/query_by_cluster_id", Open, clusters::query_by_cluster_id),
    route!(PUT "/clusters/{cluster_id}/credentials", Open, credentials::report, counted: false),
    route!(GET "/clusters/{cluster_id}/credentials", Owner, credentials::get),
    route!(GET "/clusters/{cluster_id}/client_credentials", Cluster, credentials::for_client),
    route!(GET "/clusters/{cluster_id}/register_tokens", Owner, register_tokens::list),
    route!(POST "/clusters/{cluster_id}/register_tokens", Owner, register_tokens::create),
    route!(POST "/clusters/{cluster_id}/bind_lb", Cluster, tke::bind_load_balancer),
    route!(GET "/clusters/{cluster_id}/get_lb_status", Cluster, tke::load_balancer_status),
    route!(POST "/clusters/{cluster_id}/sync_credentials", Cluster, tke::sync_credentials),
    route!(POST "/tke/lb/subnet", Super, tke::set_subnet),
    route!(POST "/clusters/cidr/add_cidr", Super, cidr::add),
    route!(POST "/clusters/cidr/apply_cidr", User, cidr::apply),
    route!(POST "/clusters/cidr/release_cidr", User, cidr::release),
    route!(GET "/clusters/cidr/list_count", User, cidr::list_count),
];

/// The router of [`ROUTES`].
pub(crate) fn router() -> Router<Shared> {
    let router = Router::new(MOUNT).consumes(JSON).produces(JSON);
    ROUTES.iter().fold(router, |router, route| {
        router.route(route.method.clone(), route.template, move |rest, call| serve(rest, call, route))
    })
}

async fn serve(rest: Shared, call: Call, route: &'static Route) -> Response<Body> {
    let started = Instant::now();
    let method = call.parts.method.clone();
    let answer = match admit(&rest, &call.parts, &call.params, route.access).await {
        Ok((caller, cluster)) => {
            let answer = (route.handler)(Arc::clone(&rest), Request { call, caller, cluster }).await;
            if route.counted {
                let outcome = if answer.is_ok() { Outcome::Success } else { Outcome::Error };
                rest.metrics.record(RequestType::K8sRest, method_label(&method), outcome, started.elapsed());
            }
            answer
        }
        Err(refusal) => Err(refusal),
    };
    answer.unwrap_or_else(|failure| {
        let (template, status) = (route.template, failure.status);
        match &failure.cause {
            Some(cause) => error!("{method} {MOUNT}{template} failed: {}", chain(cause)),
            // The message may repeat what the caller sent: it is not logged.
            None => debug!("{method} {MOUNT}{template} refused: {status} {}", failure.code_name),
        }
        failure.into_response()
    })
}

/// Who calls, and the cluster that the call is about.
async fn admit(
    rest: &Rest,
    parts: &Parts,
    params: &Params,
    access: Access,
) -> Result<(Option<Caller>, Option<Cluster>), Failure> {
    let headers = &parts.headers;
    let caller = match access {
        Access::Open => return Ok((None, None)),
        Access::Super => return Ok((Some(rest.users.super_user(headers).await?), None)),
        Access::User | Access::Cluster | Access::Owner => rest.users.user(headers, &Query::of(&parts.uri)).await?,
    };
    if access == Access::User {
        return Ok((Some(caller), None));
    }
    let id = params.get("cluster_id");
    let cluster = rest.store.cluster(id).await?.ok_or_else(|| no_such_cluster(id))?;
    let is_owner = caller.is_super_user || caller.id == cluster.creator_id;
    if access == Access::Owner && !is_owner {
        return Err(Failure::unauthorized());
    }
    Ok((Some(caller), Some(cluster)))
}

#[cfg(test)]
mod tests;
