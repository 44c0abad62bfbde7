//! A service that is nothing but a tunnel server and a proxy, as small as one can be.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bcs_common::http::server::{Listener, ServerOptions, serve};
use bcs_common::http::{Body, page_not_found, text};
use bcs_common::shutdown::Shutdown;
use bcs_integration_tests::http::Client;
use bcs_tunnel::handshake::{AgentHeaders, AgentParams};
use bcs_tunnel::proxy::{self, Route, Rules, Trust, UpstreamSettings, Upstreams};
use bcs_tunnel::{Admission, Agents, KeepAlive, Refusal, TunnelOptions, TunnelServer};
use http::{HeaderMap, Request, Response, StatusCode};
use prometheus::{Registry, TextEncoder};
use tower::service_fn;

pub const CONNECT: &str = "/clustermanager/v1/websocket/connect";
pub const CLUSTERS: &str = "/clustermanager/clusters/";
pub const PEER_TOKEN: &str = "peer-token-of-the-tests";

/// A running service; ends with this value.
pub struct Service {
    pub address: SocketAddr,
    pub tunnels: TunnelServer,
    pub agents: Arc<Registered>,
    pub registry: Registry,
    shutdown: Shutdown,
}

/// The agents that came, with what they registered, and those that went.
#[derive(Default)]
pub struct Registered {
    params: Mutex<HashMap<String, AgentParams>>,
    pub ended: Mutex<Vec<(String, bool)>>,
}

#[async_trait]
impl Agents for Registered {
    async fn admit(&self, headers: &HeaderMap) -> Result<Admission, Refusal> {
        let agent = AgentHeaders::of(headers);
        if agent.module.is_empty() {
            return Err(Refusal::bad_request("module empty"));
        }
        if agent.token == "wrong" {
            return Err(Refusal::unauthorized());
        }
        let params = AgentParams::decode(agent.params)?;
        self.params.lock().unwrap().insert(agent.cluster_id.to_owned(), params);
        Ok(Admission::new(agent.cluster_id).before_accept(async { Ok(()) }))
    }

    async fn session_ended(&self, key: &str, last: bool) {
        self.ended.lock().unwrap().push((key.to_owned(), last));
    }
}

#[derive(Clone)]
struct State {
    tunnels: TunnelServer,
    agents: Arc<Registered>,
    upstreams: Upstreams,
}

impl Service {
    pub async fn start() -> Self {
        Self::start_with(KeepAlive::default()).await
    }

    pub async fn start_with(keep_alive: KeepAlive) -> Self {
        let listener = Listener::bind("127.0.0.1:0", None).await.unwrap();
        let address = listener.local_addr();
        let shutdown = Shutdown::new();
        let (agents, registry) = (Arc::new(Registered::default()), Registry::new());
        let options = TunnelOptions {
            peer_id: address.to_string(),
            peer_token: PEER_TOKEN.to_owned(),
            peer_path: CONNECT,
            peer_tls: None,
            keep_alive,
        };
        let agents_of_server: Arc<dyn Agents> = agents.clone();
        let tunnels = TunnelServer::new(options, agents_of_server, &registry, shutdown.clone()).unwrap();
        let upstreams = Upstreams::new(shutdown.clone());
        let state = State { tunnels: tunnels.clone(), agents: Arc::clone(&agents), upstreams };
        let service = service_fn(move |request| {
            let state = state.clone();
            async move { Ok::<_, Infallible>(state.answer(request).await) }
        });
        shutdown.spawn("server", serve(listener, service, ServerOptions::default(), shutdown.clone()));
        Self { address, tunnels, agents, registry, shutdown }
    }

    /// `host:port`.
    pub fn authority(&self) -> String {
        self.address.to_string()
    }

    pub fn client(&self) -> Client {
        Client::new(&format!("http://{}", self.address))
    }

    /// The path of a cluster's API.
    pub fn path(cluster: &str, rest: &str) -> String {
        format!("{CLUSTERS}{cluster}{rest}")
    }

    pub fn metrics(&self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap()
    }

    /// Stops it; everything it started must end.
    pub async fn stop(self) {
        assert!(self.shutdown.drain(Duration::from_secs(20)).await, "something did not end");
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.shutdown.trigger();
    }
}

impl State {
    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let path = request.uri().path();
        if path == CONNECT {
            return self.tunnels.accept(request).await;
        }
        let Some((cluster, _)) = path.strip_prefix(CLUSTERS).and_then(|rest| rest.split_once('/')) else {
            return page_not_found();
        };
        let cluster = cluster.to_owned();
        self.forward(&cluster, request).await
    }

    async fn forward(&self, cluster: &str, request: Request<Body>) -> Response<Body> {
        let params = self.agents.params.lock().unwrap().get(cluster).cloned();
        let (address, token, ca) = match params {
            Some(params) => (params.address.clone(), params.user_token.clone(), params.ca_pem().unwrap()),
            None => return text(StatusCode::NOT_FOUND, "no agent"),
        };
        let settings = UpstreamSettings {
            addresses: vec![address],
            trust: Trust::Pem(ca),
            server_name: None,
            route: Route::Tunnel { server: self.tunnels.clone(), key: cluster.to_owned() },
            max_idle: 10,
        };
        let upstream = self.upstreams.get(cluster, &settings).unwrap();
        let mut rules = Rules::kube(proxy::raw_rest(request.uri(), CLUSTERS, 1).unwrap());
        rules.bearer(&token);
        rules.forwarded_proto = Some("https");
        rules.location_prefix = Some(format!("{CLUSTERS}{cluster}"));
        match proxy::forward(&upstream, request, &rules).await {
            Ok(response) => response,
            Err(error) => error.service_unavailable(),
        }
    }
}
