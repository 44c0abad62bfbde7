//! The console on the HTTPS port (`console: true`): pages over this service's own routes.

use std::net::{IpAddr, SocketAddr};

use bcs_common::http::envelope::json_response;
use bcs_common::http::request_id::Origin;
use bcs_common::http::{Body, page_not_found};
use bcs_common::tls::TlsError;
use bcs_console::client::Client;
use bcs_console::{Overview, ServiceAt};
use http::request::Parts;
use http::{HeaderMap, Method, Response, StatusCode};
use tracing::error;

use crate::auth::{Refusal, Users};
use crate::discovery::Discovery;
use crate::service::PROGRAM;

const OVERVIEW: &str = "/console/overview";
const ROUTES: &str = "/console/openapi/";

/// The console.
pub(crate) struct Console {
    overview: Overview,
    users: Users,
    discovery: Discovery,
    /// This service.
    here: ServiceAt,
    document: String,
}

impl Console {
    /// A console for the super users of this service. `here`: where it serves; `document`: its routes.
    ///
    /// # Errors
    /// The TLS library refuses its own defaults.
    pub fn new(users: Users, discovery: Discovery, here: ServiceAt, document: String) -> Result<Self, TlsError> {
        // The routes of bcs-user-manager are not here.
        Ok(Self { overview: Overview::new(Client::new(), false)?, users, discovery, here, document })
    }

    /// Answers a request whose path belongs to no other part.
    pub async fn serve(&self, head: &Parts) -> Response<Body> {
        // A token that is typed into a page must not be readable on its way.
        let is_secure = head.extensions.get::<Origin>().is_some_and(|origin| origin.tls);
        if !is_secure || head.method != Method::GET {
            return page_not_found();
        }
        let path = head.uri.path();
        if let Some(file) = bcs_console::file(path) {
            return file;
        }
        match path {
            OVERVIEW => match is_super_user(&self.users, &head.headers).await {
                Ok(true) => self.overview.answer(&self.services()).await,
                Ok(false) => bcs_console::error(StatusCode::UNAUTHORIZED, "the token is not one of a super user"),
                Err(refusal) => *refusal,
            },
            _ => match path.strip_prefix(ROUTES) {
                Some(name) if name == PROGRAM.name() => json_response(self.document.clone()),
                Some(name) => self.overview.routes(&self.services(), name).await,
                None => page_not_found(),
            },
        }
    }

    /// This service and those it found.
    fn services(&self) -> Vec<ServiceAt> {
        let mut services = vec![self.here.clone()];
        for (name, info) in self.discovery.services() {
            let address = |port: u32| {
                let (ip, port) = (info.ip.parse::<IpAddr>().ok()?, u16::try_from(port).ok().filter(|port| *port != 0)?);
                Some(SocketAddr::new(ip, port))
            };
            services.push(ServiceAt {
                name: name.to_owned(),
                scheme: info.scheme.clone(),
                address: address(info.port),
                metrics: address(info.metric_port),
            });
        }
        services
    }
}

/// Whether a request comes from a super user.
///
/// # Errors
/// It cannot be found out: the answer for the client.
pub(crate) async fn is_super_user(users: &Users, headers: &HeaderMap) -> Result<bool, Box<Response<Body>>> {
    match users.by_bearer(headers).await {
        Ok(caller) => Ok(caller.is_super_user),
        Err(Refusal::Unavailable(failure)) => {
            error!("a token cannot be looked up: {}", bcs_common::errors::chain(&*failure));
            Err(Box::new(bcs_console::error(StatusCode::SERVICE_UNAVAILABLE, "the database does not answer")))
        }
        Err(_) => Ok(false),
    }
}
