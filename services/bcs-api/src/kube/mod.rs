//! The proxy to kube-apiservers: `/tunnels/clusters/<identifier>/<path>` (api.md 7).

pub(crate) mod fixtures;
mod status;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use bcs_common::errors::chain;
use bcs_common::http::Body;
use bcs_tunnel::TunnelServer;
use bcs_tunnel::proxy::{self, HttpProxies, Route, Rules, Trust, Upstream, UpstreamSettings, Upstreams};
use http::{HeaderName, HeaderValue, Request, Response};
use tracing::{debug, error, warn};

use self::fixtures::Direct;
use self::status::KubeError;
use crate::auth::{Caller, Refusal, Users};
use crate::metrics::{ApiMetrics, Outcome, RequestType, WEBSOCKET, method_label};
use crate::path;
use crate::store::{KubeTarget, Store};

/// What every path begins with.
pub(crate) const PREFIX: &str = "/tunnels/clusters/";
/// Slashes before the path of the apiserver.
const SLASHES: usize = 4;
/// The name in the certificates of apiservers that are reached directly.
const SERVER_NAME: &str = "kubernetes";
/// Idle connections that are kept to an apiserver.
const MAX_IDLE_DIRECT: usize = 25;
const MAX_IDLE_TUNNEL: usize = 10;
const IMPERSONATE_USER: HeaderName = HeaderName::from_static("impersonate-user");

/// The proxy, to the clusters of the store and of the configuration.
pub(crate) struct KubeProxy {
    pub store: Store,
    pub users: Users,
    pub tunnels: TunnelServer,
    pub upstreams: Upstreams,
    /// On the way to apiservers that are reached directly.
    pub proxies: HttpProxies,
    pub fixtures: HashMap<String, Direct>,
    /// Plain users act under their own names.
    pub is_rbac_on: bool,
    pub metrics: ApiMetrics,
}

/// How a request reaches its cluster.
struct Channel {
    upstream: Arc<Upstream>,
    token: String,
    /// Behind a tunnel: the URL that the agent gave.
    tunnel: Option<String>,
}

/// Counted as what, if at all.
type Answer = (Response<Body>, Option<Outcome>);

impl KubeProxy {
    /// Answers a request. `identifier`: the segment behind [`PREFIX`], decoded.
    pub async fn serve(&self, request: Request<Body>, identifier: &str) -> Response<Body> {
        let started = Instant::now();
        let method = request.method().clone();
        let is_upgrade = proxy::is_upgrade(request.headers());
        let (response, outcome) = match self.answer(request, identifier).await {
            Ok(answer) => answer,
            Err(error) => {
                let outcome = (!matches!(error, KubeError::NoChannel(_))).then_some(Outcome::Error);
                (error.into_response(), outcome)
            }
        };
        if let Some(outcome) = outcome {
            let method = if is_upgrade { WEBSOCKET } else { method_label(&method) };
            self.metrics.record(RequestType::K8sNative, method, outcome, started.elapsed());
        }
        response
    }

    async fn answer(&self, request: Request<Body>, identifier: &str) -> Result<Answer, KubeError> {
        let caller = self.users.by_bearer(request.headers()).await.map_err(refused)?;
        let channel = self.channel(identifier).await?;
        let rules = self.rules(&request, identifier, &caller, &channel)?;
        let is_upgrade = proxy::is_upgrade(request.headers());
        Ok(match proxy::forward(&channel.upstream, request, &rules).await {
            Ok(response) => (response, Some(Outcome::Success)),
            Err(error) => {
                warn!("cluster {identifier} does not answer: {error}");
                let response = match &channel.tunnel {
                    Some(url) => {
                        error.service_unavailable_url(&format!("{}{}", url.trim_end_matches('/'), rules.target))
                    }
                    None if is_upgrade => error.dialing_backend(),
                    None => error.bad_gateway(),
                };
                (response, Some(Outcome::Error))
            }
        })
    }

    async fn channel(&self, identifier: &str) -> Result<Channel, KubeError> {
        let target = self.store.kube_target(identifier).await.map_err(|failure| {
            error!("the cluster {identifier} cannot be looked up: {}", chain(&failure));
            KubeError::Unavailable
        })?;
        let Some(target) = target else {
            let fixture = self.fixtures.get(identifier).ok_or_else(|| KubeError::NotFound(identifier.to_owned()))?;
            return self.direct(&format!("fixture/{identifier}"), fixture);
        };
        let KubeTarget { cluster, credentials, tunnel } = target;
        if let Some(tunnel) = tunnel.filter(|tunnel| self.tunnels.has_session(&tunnel.server_key)) {
            let settings = UpstreamSettings {
                addresses: vec![tunnel.server_address.clone()],
                trust: trust(&tunnel.ca_cert_data),
                server_name: None,
                route: Route::Tunnel { server: self.tunnels.clone(), key: tunnel.server_key.clone() },
                max_idle: MAX_IDLE_TUNNEL,
            };
            let key = format!("tunnel/{}", cluster.id);
            let upstream = self
                .upstreams
                .get(&key, &settings)
                .map_err(|failure| KubeError::NoChannel(format!("error when lookup websocket conn: {failure}")))?;
            return Ok(Channel { upstream, token: tunnel.user_token, tunnel: Some(tunnel.server_address) });
        }
        let access = credentials.map(|credentials| credentials.access);
        let access = access.filter(|access| !access.server_addresses.is_empty()).ok_or_else(|| {
            let text = "cluster has no credentials or its apiserver addresses field is empty";
            KubeError::NoChannel(format!("error when creating proxy channel: {text}"))
        })?;
        let direct = Direct {
            server_addresses: access.server_addresses,
            ca_cert_data: access.ca_cert_data,
            user_token: access.user_token,
        };
        self.direct(&format!("direct/{}", cluster.id), &direct)
    }

    /// Of several addresses the pool uses the one that answers.
    fn direct(&self, key: &str, direct: &Direct) -> Result<Channel, KubeError> {
        let addresses = direct.server_addresses.split(';').map(str::trim).filter(|address| !address.is_empty());
        let settings = UpstreamSettings {
            addresses: addresses.map(str::to_owned).collect(),
            trust: trust(&direct.ca_cert_data),
            server_name: Some(SERVER_NAME.to_owned()),
            route: Route::Proxied(self.proxies.clone()),
            max_idle: MAX_IDLE_DIRECT,
        };
        let upstream = self
            .upstreams
            .get(key, &settings)
            .map_err(|failure| KubeError::NoChannel(format!("error when creating proxy channel: {failure}")))?;
        Ok(Channel { upstream, token: direct.user_token.clone(), tunnel: None })
    }

    fn rules(
        &self,
        request: &Request<Body>,
        identifier: &str,
        caller: &Caller,
        channel: &Channel,
    ) -> Result<Rules, KubeError> {
        let uri = request.uri();
        let target = path::after_slashes(uri.path(), SLASHES).and_then(|rest| path::target("/", rest, uri));
        let mut rules = Rules::kube(target.ok_or_else(|| KubeError::NotFound(identifier.to_owned()))?);
        if !rules.bearer(&channel.token) {
            debug!("the token of cluster {identifier} cannot be sent, it is no text of one line");
        }
        let encoded = percent_encoding::utf8_percent_encode(identifier, percent_encoding::NON_ALPHANUMERIC);
        let readable = identifier.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
        let shown = if readable { identifier.to_owned() } else { encoded.to_string() };
        rules.location_prefix = Some(format!("{PREFIX}{shown}"));
        rules.keep_impersonation = caller.is_super_user;
        rules.verbatim_upgrade_refusal = channel.tunnel.is_none();
        rules.drop_cors = channel.tunnel.is_some();
        if self.is_rbac_on && !caller.is_super_user {
            let name = caller.name.replacen(':', ".", 1);
            // Without a name the request would be made with all the rights of this service.
            let name = HeaderValue::try_from(name).map_err(|_| KubeError::Anonymous)?;
            rules.set.insert(IMPERSONATE_USER, name);
        }
        Ok(rules)
    }
}

fn refused(refusal: Refusal) -> KubeError {
    match refusal {
        Refusal::Anonymous => KubeError::Anonymous,
        Refusal::Expired { name } => KubeError::Expired(name),
        Refusal::Unavailable(failure) => {
            error!("a token cannot be looked up: {}", chain(&*failure));
            KubeError::Unavailable
        }
    }
}

fn trust(ca: &str) -> Trust {
    if ca.is_empty() { Trust::System } else { Trust::Pem(ca.as_bytes().to_vec()) }
}
