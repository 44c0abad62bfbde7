//! The routes (user-manager.md 6, 13). A handler reads the request, calls the rules and answers.

mod cidr;
mod clusters;
mod permissions;
mod users;
mod verify;

use std::sync::Arc;

use bcs_common::errors::chain;
use bcs_common::http::Body;
use bcs_common::http::router::{Call, Router};
use bcs_common::shutdown::Shutdown;
use bcs_sql::Database;
use bcs_tke::TkeClient;
use futures::future::BoxFuture;
use http::{Method, Response};
use tracing::{debug, error};

use crate::answer::{Answer, Failure};
use crate::auth::Access;
use crate::document::{self, Document};
use crate::grants::Grants;
use crate::lookup::{Holder, TokenLookup};
use crate::metrics::ApiMetrics;

/// The prefix of all routes.
pub const MOUNT: &str = "/usermanager/v1";
/// What the original's routes offer; an error lists them in this order.
const PRODUCES: &[&str] = &["application/json", "application/xml", "application/octet-stream"];

/// What the handlers work with.
pub(crate) struct App {
    pub database: Database,
    pub tokens: TokenLookup,
    pub grants: Grants,
    pub tke: Option<TkeClient>,
    pub shutdown: Shutdown,
}

pub(crate) type Shared = Arc<App>;

/// A call that passed the check of its token.
struct Request {
    call: Call,
    /// None on open routes.
    caller: Option<Holder>,
}

impl Request {
    fn param(&self, name: &str) -> &str {
        self.call.params.get(name)
    }

    /// Reads the body.
    async fn document(&mut self) -> Result<Document, Failure> {
        let body = std::mem::replace(&mut self.call.body, Body::empty());
        document::read(&self.call.parts.headers, body).await
    }
}

type Handler = fn(Shared, Request) -> BoxFuture<'static, Answer>;

/// A route of the service.
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path below [`MOUNT`].
    pub template: &'static str,
    /// The name in the metrics.
    pub name: &'static str,
    /// Who may call it.
    pub access: Access,
    handler: Serve,
}

enum Serve {
    /// The token is checked first.
    Checked(Handler),
    /// The handler checks it together with what else it looks up.
    Own(fn(Shared, Call) -> BoxFuture<'static, Answer>),
}

macro_rules! route {
    ($method:ident $template:literal, $access:ident, $name:literal, $handler:path) => {
        Route {
            method: Method::$method,
            template: $template,
            name: $name,
            access: Access::$access,
            handler: Serve::Checked(|app, request| Box::pin($handler(app, request))),
        }
    };
}

/// All routes, in the order of the spec: it is the order of methods in `Allow`.
pub const ROUTES: &[Route] = &[
    route!(POST "/users/admin/{user_name}", Admin, "CreateAdminUser", users::create_admin),
    route!(GET "/users/admin/{user_name}", Admin, "GetAdminUser", users::get_admin),
    route!(POST "/users/saas/{user_name}", Admin, "CreateSaasUser", users::create_saas),
    route!(GET "/users/saas/{user_name}", Admin, "GetSaasUser", users::get_saas),
    route!(PUT "/users/saas/{user_name}/refresh", Admin, "RefreshSaasToken", users::refresh_saas),
    route!(POST "/users/plain/{user_name}", AdminOrSaas, "CreatePlainUser", users::create_plain),
    route!(GET "/users/plain/{user_name}", AdminOrSaas, "GetPlainUser", users::get_plain),
    route!(PUT "/users/plain/{user_name}/refresh/{expire_time}", AdminOrSaas, "RefreshPlainToken", users::refresh_plain),
    // What bcs-client calls (quirk Q25): one day.
    route!(PUT "/users/plain/{user_name}/refresh", AdminOrSaas, "RefreshPlainToken", users::refresh_plain_by_a_day),
    route!(POST "/clusters", Admin, "CreateCluster", clusters::create),
    route!(POST "/clusters/{cluster_id}/register_tokens", Admin, "CreateRegisterToken", clusters::create_register_token),
    route!(GET "/clusters/{cluster_id}/register_tokens", Admin, "GetRegisterToken", clusters::get_register_token),
    route!(PUT "/clusters/{cluster_id}/credentials", Open, "UpdateCredentials", clusters::update_credentials),
    route!(GET "/clusters/{cluster_id}/credentials", Admin, "GetCredentials", clusters::get_credentials),
    route!(GET "/clusters/credentials", Admin, "ListCredentials", clusters::list_credentials),
    route!(POST "/permissions", Admin, "GrantPermission", permissions::grant),
    route!(DELETE "/permissions", Admin, "RevokePermission", permissions::revoke),
    route!(GET "/permissions", Admin, "GetPermission", permissions::get),
    Route {
        method: Method::GET,
        template: "/permissions/verify",
        name: "VerifyPermission",
        access: Access::Admin,
        handler: Serve::Own(|app, call| Box::pin(verify::verify(app, call))),
    },
    route!(POST "/tke/cidr/add_cidr", Admin, "AddTkeCidr", cidr::add),
    route!(POST "/tke/cidr/apply_cidr", Admin, "ApplyTkeCidr", cidr::apply),
    route!(POST "/tke/cidr/release_cidr", Admin, "ReleaseTkeCidr", cidr::release),
    route!(POST "/tke/cidr/list_count", Admin, "ListTkeCidr", cidr::list_count),
    route!(POST "/tke/{cluster_id}/sync_credentials", Admin, "SyncTkeClusterCredentials", clusters::sync_tke),
];

/// The router of [`ROUTES`].
///
/// # Errors
/// The metrics cannot be registered.
pub(crate) fn router(registry: &prometheus::Registry) -> prometheus::Result<Router<Shared>> {
    let router = Router::new(MOUNT).inside("/usermanager/").produces(PRODUCES);
    let router = ROUTES.iter().fold(router, |router, route| {
        router.route(route.method.clone(), route.template, move |app, call| serve(app, call, route))
    });
    let names = router.routes().zip(ROUTES).map(|((method, template), route)| (method.clone(), template, route.name));
    let metrics = Arc::new(ApiMetrics::new(registry, names)?);
    Ok(router.observe(metrics))
}

async fn serve(app: Shared, call: Call, route: &'static Route) -> Response<Body> {
    let id = call.origin().map(|origin| origin.id.clone());
    let answer = match route.handler {
        Serve::Own(handler) => handler(app, call).await,
        Serve::Checked(handler) => match route.access.check(&app.tokens, &call.parts.headers).await {
            Ok(caller) => handler(app, Request { call, caller }).await,
            Err(failure) => Err(failure),
        },
    };
    answer.unwrap_or_else(|failure| {
        let id = id.map(|id| id.to_string()).unwrap_or_default();
        match &failure.cause {
            Some(cause) => error!("{} failed ({id}): {}", route.name, chain(cause)),
            // The message of a refusal may repeat a token that the caller sent: it is not logged.
            None => debug!("{} refused ({id}): {}, code {}", route.name, failure.status, failure.code.value),
        }
        failure.into_response()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_where_the_table_says() {
        let router = router(&prometheus::Registry::new()).unwrap();
        let routes: Vec<(Method, String)> =
            router.routes().map(|(method, template)| (method.clone(), template.to_owned())).collect();
        let table: Vec<(Method, String)> =
            ROUTES.iter().map(|route| (route.method.clone(), format!("{MOUNT}{}", route.template))).collect();
        assert_eq!(routes, table);
        assert_eq!(routes.len(), 24);
    }
}
