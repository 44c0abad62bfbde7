//! Agents of the tunnel, in the test's own process: as bcs-kube-agent, but as many as a test wants.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bcs_common::shutdown::Shutdown;
use bcs_tunnel::client::{self, AgentDial, Dial, Stream};
use bcs_tunnel::websocket::connect::{ConnectError, Endpoint, connect};
use bcs_tunnel::{KeepAlive, Metrics, Opening, SessionError};
use http::{HeaderMap, HeaderName, HeaderValue};
use prometheus::Registry;
use rustls::ClientConfig;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// What an agent registers, and where it goes.
#[derive(Clone, Debug)]
pub struct AgentOptions {
    /// `host:port` of the service.
    pub server: String,
    /// The path of the tunnel.
    pub path: String,
    /// `kubeagent`, …
    pub module: String,
    /// The cluster.
    pub cluster_id: String,
    /// A register token.
    pub token: String,
    /// The URL that is registered.
    pub address: String,
    /// The token that is registered.
    pub user_token: String,
    /// The CA that is registered, PEM.
    pub ca: String,
    /// Where every Connect goes; None: where it says.
    pub target: Option<SocketAddr>,
    /// For a service with TLS.
    pub tls: Option<Arc<ClientConfig>>,
    /// When it pings and gives up.
    pub keep_alive: KeepAlive,
}

impl AgentOptions {
    /// A kubeagent of cluster-manager, for a cluster behind `address`.
    pub fn new(server: impl Into<String>, cluster_id: impl Into<String>, address: impl Into<String>) -> Self {
        Self {
            server: server.into(),
            path: "/clustermanager/v1/websocket/connect".to_owned(),
            module: "kubeagent".to_owned(),
            cluster_id: cluster_id.into(),
            token: String::new(),
            address: address.into(),
            user_token: "agent-user-token".to_owned(),
            ca: "\n".to_owned(),
            target: None,
            tls: None,
            keep_alive: KeepAlive::default(),
        }
    }

    fn headers(&self) -> HeaderMap {
        let params = json!({
            "address": self.address,
            "userToken": self.user_token,
            "caCert": STANDARD.encode(&self.ca),
        });
        let params = STANDARD.encode(params.to_string());
        [
            ("bcs-api-tunnel-module", &self.module),
            ("bcs-api-tunnel-clusterid", &self.cluster_id),
            ("bcs-api-tunnel-token", &self.token),
            ("bcs-api-tunnel-params", &params),
        ]
        .into_iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::try_from(value).unwrap()))
        .collect()
    }
}

/// A running agent. It does not dial again when its session ends.
pub struct Agent {
    stop: CancellationToken,
    session: JoinHandle<SessionError>,
}

impl Agent {
    /// Dials and serves.
    ///
    /// # Errors
    /// If the service does not accept it.
    pub async fn start(options: AgentOptions) -> Result<Self, ConnectError> {
        let shutdown = Shutdown::new();
        let endpoint = Endpoint { authority: &options.server, path: &options.path };
        let io = connect(endpoint, options.headers(), options.tls.clone(), &shutdown).await?;
        let dial: Arc<dyn Dial> = match options.target {
            Some(target) => Arc::new(TargetDial(target)),
            None => Arc::new(AgentDial),
        };
        let stop = CancellationToken::new();
        let (tasks, stopped) = (shutdown.clone(), stop.clone());
        let session = shutdown.spawn("agent", async move {
            let metrics = Metrics::register(&Registry::new()).unwrap();
            client::serve(io, dial, &metrics, options.keep_alive, &tasks, stopped).await
        });
        Ok(Self { stop, session })
    }

    /// Closes the session and waits for its end.
    pub async fn stop(self) {
        self.stop.cancel();
        self.session.await.unwrap();
    }

    /// Waits until the session ends by itself.
    pub async fn ended(self) -> SessionError {
        self.session.await.unwrap()
    }
}

struct TargetDial(SocketAddr);

#[async_trait]
impl Dial for TargetDial {
    fn allows(&self, _opening: &Opening) -> bool {
        true
    }

    async fn dial(&self, _opening: &Opening) -> Result<Box<dyn Stream>, String> {
        let stream = TcpStream::connect(self.0).await.map_err(|error| error.to_string())?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        Ok(Box::new(stream))
    }
}
