//! A bcs-api with a config, and raw requests to it.

use std::time::Duration;

use bcs_common::build_constants;
use bcs_common::registry::zookeeper::{ZooKeeper, ZooKeeperOptions};
use bcs_common::registry::{Registration, Registry, ServerInfo, ServiceRegistration};
use bcs_common::secret;
use bcs_common::shutdown::Shutdown;
use bcs_integration_tests::service::{Service, ServiceSpec};
use bcs_integration_tests::wait::eventually;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::backend::Backend;

/// Token of the super user `admin`.
pub const ADMIN: &str = "AdminToken0123456789abcdefghijkl";
/// How long something that must happen may take.
pub const SOON: Duration = Duration::from_secs(30);

/// A config with a super user, and these keys on top.
pub fn config(keys: &Value) -> Value {
    let mut config = json!({
        "insecure_address": "127.0.0.1",
        "local_ip": "127.0.0.1",
        "bcs_zookeeper": "",
        "bke": {"bootstrap_users": [
            {"name": "admin", "is_super_user": true, "tokens": [secret::encrypt(ADMIN).unwrap()]}
        ]},
    });
    config.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    config
}

/// A service whose plain listener is its first port.
pub fn spec(keys: &Value) -> ServiceSpec {
    ServiceSpec::new("bcs-api").config(&config(keys)).ports(&["insecure_port", "port", "metric_port"])
}

/// Registers backends in a ZooKeeper.
pub struct Registrar {
    zookeeper: ZooKeeper,
    _shutdown: Shutdown,
}

impl Registrar {
    pub fn new(address: &str) -> Self {
        let (user, password) = (build_constants::zookeeper_client_user(), build_constants::zookeeper_client_pwd());
        let shutdown = Shutdown::new();
        let zookeeper = ZooKeeper::start(ZooKeeperOptions::new(address, user, password), &shutdown).unwrap();
        Self { zookeeper, _shutdown: shutdown }
    }

    /// Registers a backend; it stays registered as long as the result lives.
    pub async fn register(&self, module: &str, backend: &Backend) -> Registration {
        let address = backend.address();
        self.register_at(module, &address.ip().to_string(), address.port()).await
    }

    /// The same for an address.
    pub async fn register_at(&self, module: &str, ip: &str, port: u16) -> Registration {
        let info = ServerInfo { ip: ip.to_owned(), port: port.into(), scheme: "http".into(), ..ServerInfo::default() };
        let registration = self.zookeeper.register(ServiceRegistration::new(module, "127.0.0.1", info));
        registration.first_result().await.unwrap();
        registration
    }

    /// The nodes of a module, as a reader sees them.
    pub async fn nodes(&self, module: &str, wanted: usize) -> Vec<bcs_common::registry::Node> {
        let mut nodes = self.zookeeper.discover(module);
        let found = timeout(SOON, nodes.wait_for(|nodes| nodes.len() == wanted)).await.unwrap().unwrap();
        found.clone()
    }
}

/// Waits until a GET of a path has this status.
pub async fn until_status(service: &Service, path: &str, status: u16) {
    let client = service.client();
    eventually(&format!("{path} answers {status}"), SOON, async || {
        client.get(path).await.is_ok_and(|answer| answer.status == status)
    })
    .await;
}

/// Sends bytes to the plain listener and reads until the service closes, or is silent after it began to answer: for what
/// no client library sends.
pub async fn raw(service: &Service, request: &[u8]) -> String {
    let address = format!("127.0.0.1:{}", service.port("insecure_port"));
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The service may refuse before all is sent.
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    let mut patience = SOON;
    while let Ok(Ok(length @ 1..)) = timeout(patience, stream.read(&mut piece)).await {
        answer.extend_from_slice(&piece[..length]);
        // The end of an answer on a connection that stays open is a silence.
        patience = Duration::from_millis(700);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// The status of an answer as text; 0 if there is none.
pub fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}
