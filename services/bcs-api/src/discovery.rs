//! Which backends there are (api.md 4.1).

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use bcs_common::registry::zookeeper::ZooKeeper;
use bcs_common::registry::{Node, Registry, ServerInfo};
use bcs_common::shutdown::Shutdown;
use bcs_tunnel::proxy::{HttpProxies, Route, Trust, Upstream, UpstreamSettings};
use rand::seq::IndexedRandom;
use rustls::ClientConfig;
use tokio::sync::watch;
use tracing::{info, warn};

/// Idle connections that are kept to a backend.
const MAX_IDLE: usize = 100;

/// A kind of backend. In ZooKeeper it is a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Module {
    Storage,
    NetworkDetection,
    NetService,
    MetricService,
    ClusterKeeper,
    /// Only beside this service in one process.
    UserManager,
    /// Only beside this service in one process.
    ClusterManager,
}

impl Module {
    const REGISTERED: [Self; 5] =
        [Self::Storage, Self::NetworkDetection, Self::NetService, Self::MetricService, Self::ClusterKeeper];

    /// How its backends are reached (api.md 5.1, 5.4).
    fn reach(self) -> Reach {
        match self {
            Self::Storage | Self::NetworkDetection => Reach::Proxied,
            _ => Reach::Direct,
        }
    }

    fn directory(self) -> &'static str {
        match self {
            Self::Storage => "storage",
            Self::NetworkDetection => "networkdetection",
            Self::NetService => "netservice",
            Self::MetricService => "metricservice",
            Self::ClusterKeeper => "clusterkeeper",
            Self::UserManager => "usermanager",
            Self::ClusterManager => "clustermanager",
        }
    }
}

/// A kind of driver: every cluster has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Driver {
    Mesos,
    Kubernetes,
}

impl Driver {
    fn directory(self) -> &'static str {
        match self {
            Self::Mesos => "mesosdriver",
            Self::Kubernetes => "kubernetedriver",
        }
    }
}

/// The services that run in the same process; they are found without a registry.
#[derive(Clone, Debug, Default)]
pub struct Beside {
    /// bcs-storage.
    pub storage: Option<SocketAddr>,
    /// bcs-user-manager; with it `/bcsapi/v4/usermanager` is served.
    pub user_manager: Option<SocketAddr>,
    /// bcs-cluster-manager; with it `/bcsapi/v4/clustermanager` is served.
    pub cluster_manager: Option<SocketAddr>,
}

impl Beside {
    fn all(&self) -> impl Iterator<Item = (Module, SocketAddr)> {
        let all = [
            (Module::Storage, self.storage),
            (Module::UserManager, self.user_manager),
            (Module::ClusterManager, self.cluster_manager),
        ];
        all.into_iter().filter_map(|(module, address)| Some((module, address?)))
    }
}

/// A server that requests are sent to.
#[derive(Clone)]
pub(crate) struct Backend {
    /// `scheme://host:port`.
    pub url: Arc<str>,
    pub upstream: Arc<Upstream>,
    pub reach: Reach,
}

/// How a backend is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    Direct,
    /// Through the HTTP proxy that the environment names for it, if it does.
    Proxied,
    /// Through the tunnel of its agent.
    Tunnel,
}

impl Backend {
    /// `host:port`.
    pub fn authority(&self) -> &str {
        self.url.split_once("://").map_or(&*self.url, |(_, authority)| authority)
    }

    pub fn is_https(&self) -> bool {
        self.url.starts_with("https:")
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

/// Makes backends: knows the certificate to show them, how they are checked, and the proxies on the way.
#[derive(Clone)]
pub(crate) struct Dialer {
    tls: Arc<ClientConfig>,
    proxies: HttpProxies,
    shutdown: Shutdown,
}

impl Dialer {
    pub fn new(tls: Arc<ClientConfig>, proxies: HttpProxies, shutdown: Shutdown) -> Self {
        Self { tls, proxies, shutdown }
    }

    /// What is trusted when a backend speaks TLS.
    pub fn trust(&self) -> Trust {
        Trust::Config(Arc::clone(&self.tls))
    }

    /// A driver: of these only plain ones are behind proxies (api.md 5.2).
    pub fn driver(&self, url: &str) -> Option<Backend> {
        let reach = if url.starts_with("https:") { Reach::Direct } else { Reach::Proxied };
        self.backend(url, reach)
    }

    /// A backend at a URL; none if it is no URL.
    pub fn backend(&self, url: &str, reach: Reach) -> Option<Backend> {
        let route = match reach {
            Reach::Proxied => Route::Proxied(self.proxies.clone()),
            // What has no tunnel is reached directly.
            Reach::Direct | Reach::Tunnel => Route::Direct,
        };
        let settings = UpstreamSettings {
            addresses: vec![url.to_owned()],
            trust: self.trust(),
            server_name: None,
            route,
            max_idle: MAX_IDLE,
        };
        match Upstream::new(&settings, self.shutdown.clone()) {
            Ok(upstream) => Some(Backend { url: url.into(), upstream: Arc::new(upstream), reach }),
            Err(error) => {
                warn!("{url} is skipped: {error}");
                None
            }
        }
    }
}

type List = Vec<Backend>;

/// The backends as they are now. Clones share them.
#[derive(Clone)]
pub(crate) struct Discovery {
    nodes: BTreeMap<Module, watch::Receiver<Vec<Node>>>,
    modules: BTreeMap<Module, watch::Receiver<List>>,
    drivers: BTreeMap<Driver, watch::Receiver<BTreeMap<String, List>>>,
}

impl Discovery {
    /// Follows ZooKeeper, if there is one, until the shutdown.
    pub fn start(zookeeper: Option<&ZooKeeper>, beside: &Beside, dialer: &Dialer, shutdown: &Shutdown) -> Self {
        let mut modules = BTreeMap::new();
        let mut drivers = BTreeMap::new();
        let mut registered = BTreeMap::new();
        if let Some(zookeeper) = zookeeper {
            for module in Module::REGISTERED {
                let nodes = zookeeper.discover(module.directory());
                registered.insert(module, nodes.clone());
                let (name, dialer) = (module.directory(), dialer.clone());
                let update = move |nodes: &Vec<Node>, list: &mut List| {
                    renew(name, list, nodes, url, |url| dialer.backend(url, module.reach()));
                };
                modules.insert(module, follow(nodes, update, shutdown));
            }
            for driver in [Driver::Mesos, Driver::Kubernetes] {
                let clusters = zookeeper.discover_clusters(driver.directory());
                let (name, dialer) = (driver.directory(), dialer.clone());
                let update = move |clusters: &BTreeMap<String, Vec<Node>>, lists: &mut BTreeMap<String, List>| {
                    for (cluster, nodes) in clusters {
                        let list = lists.entry(cluster.clone()).or_default();
                        renew(name, list, nodes, external_url, |url| dialer.driver(url));
                    }
                };
                drivers.insert(driver, follow(clusters, update, shutdown));
            }
        }
        for (module, address) in beside.all() {
            let list = dialer.backend(&format!("http://{address}"), Reach::Direct).into_iter().collect();
            modules.insert(module, watch::channel(list).1);
        }
        Self { nodes: registered, modules, drivers }
    }

    /// What the modules in the registry say about themselves: their directories and where they are.
    pub fn services(&self) -> Vec<(&'static str, ServerInfo)> {
        let mut services = Vec::new();
        for (module, nodes) in &self.nodes {
            let infos = nodes.borrow().iter().filter_map(|node| node.info.clone()).collect::<Vec<_>>();
            services.extend(infos.into_iter().map(|info| (module.directory(), info)));
        }
        services
    }

    /// One of the backends of a module, by chance.
    pub fn backend(&self, module: Module) -> Option<Backend> {
        self.modules.get(&module)?.borrow().choose(&mut rand::rng()).cloned()
    }

    /// One of the drivers of a cluster, by chance; cluster ids are compared exactly.
    pub fn driver(&self, driver: Driver, cluster: &str) -> Option<Backend> {
        self.drivers.get(&driver)?.borrow().get(cluster)?.choose(&mut rand::rng()).cloned()
    }
}

/// Keeps what is made of a list up to date with it.
fn follow<N, L>(
    mut nodes: watch::Receiver<N>,
    update: impl Fn(&N, &mut L) + Send + 'static,
    shutdown: &Shutdown,
) -> watch::Receiver<L>
where
    N: Clone + Send + Sync + 'static,
    L: Default + Send + Sync + 'static,
{
    let (sender, receiver) = watch::channel(L::default());
    let stop = shutdown.token();
    shutdown.spawn("discovery", async move {
        nodes.mark_changed();
        loop {
            let changed = tokio::select! {
                changed = nodes.changed() => changed,
                () = stop.cancelled() => return,
            };
            if changed.is_err() {
                return;
            }
            let now = nodes.borrow_and_update().clone();
            sender.send_modify(|list| update(&now, list));
        }
    });
    receiver
}

/// Makes backends of nodes. Those that were there already keep their connections; those that have gone finish what they
/// are doing.
fn renew(
    module: &str,
    list: &mut List,
    nodes: &[Node],
    url: fn(&ServerInfo) -> Option<String>,
    make: impl Fn(&str) -> Option<Backend>,
) {
    let mut old = std::mem::take(list);
    for node in nodes {
        let Some(url) = node.info.as_ref().and_then(url) else {
            warn!("{module}: node {} is skipped, it holds no address", node.name);
            continue;
        };
        if list.iter().any(|known| *known.url == url) {
            continue;
        }
        match old.iter().position(|known| *known.url == url) {
            Some(index) => list.push(old.swap_remove(index)),
            None => list.extend(make(&url).inspect(|backend| info!("{module}: new backend {backend:?}"))),
        }
    }
    for gone in old {
        info!("{module}: backend {gone:?} has gone");
        gone.upstream.close();
    }
}

/// `ip:port`.
fn url(info: &ServerInfo) -> Option<String> {
    http_url(&info.scheme, &info.ip, info.port)
}

/// The address for clients outside of the network, where there is one.
fn external_url(info: &ServerInfo) -> Option<String> {
    if info.external_ip.is_empty() || info.external_port == 0 {
        return url(info);
    }
    http_url(&info.scheme, &info.external_ip, info.external_port)
}

fn http_url(scheme: &str, host: &str, port: u32) -> Option<String> {
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "https" => "https",
        "http" | "" => "http",
        _ => return None,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match (host.is_empty(), host.contains(':')) {
        (true, _) => None,
        (false, true) => Some(format!("{scheme}://[{host}]:{port}")),
        (false, false) => Some(format!("{scheme}://{host}:{port}")),
    }
}

#[cfg(test)]
mod tests {
    use bcs_common::tls::{self, ClientTls};

    use super::*;

    fn info(json: &str) -> ServerInfo {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn addresses() {
        for (node, module, driver) in [
            (r#"{"ip":"10.0.0.1","port":80,"scheme":"http"}"#, Some("http://10.0.0.1:80"), Some("http://10.0.0.1:80")),
            (
                r#"{"ip":"10.0.0.1","port":80,"scheme":"https","external_ip":"1.2.3.4","external_port":81}"#,
                Some("https://10.0.0.1:80"),
                Some("https://1.2.3.4:81"),
            ),
            (
                r#"{"ip":"fe80::1","port":80,"external_ip":"1.2.3.4"}"#,
                Some("http://[fe80::1]:80"),
                Some("http://[fe80::1]:80"),
            ),
            (
                r#"{"ip":"10.0.0.1","port":80,"scheme":"HTTPS"}"#,
                Some("https://10.0.0.1:80"),
                Some("https://10.0.0.1:80"),
            ),
            (r#"{"port":80}"#, None, None),
            (r#"{"ip":"10.0.0.1","port":80,"scheme":"ftp"}"#, None, None),
        ] {
            let node = info(node);
            assert_eq!((url(&node).as_deref(), external_url(&node).as_deref()), (module, driver));
        }
    }

    fn node(name: &str, port: u32) -> Node {
        let info = ServerInfo { ip: "127.0.0.1".into(), port, ..ServerInfo::default() };
        Node { name: name.into(), sequence: 0, data: info.to_json(), info: Some(info), metadata: BTreeMap::new() }
    }

    #[tokio::test]
    async fn a_backend_that_stays_keeps_its_connections() {
        tls::install_provider();
        let tls = tls::client_config(&ClientTls::default(), &[]).unwrap();
        let dialer = Dialer::new(tls, HttpProxies::default(), Shutdown::new());
        let make = |url: &str| dialer.backend(url, Reach::Direct);
        let mut list = List::new();
        let bad = Node { info: None, ..node("bad", 0) };
        renew("storage", &mut list, &[node("a", 1), bad, node("b", 2), node("c", 2)], url, make);
        let urls = |list: &List| list.iter().map(|backend| backend.url.to_string()).collect::<Vec<_>>();
        assert_eq!(urls(&list), ["http://127.0.0.1:1", "http://127.0.0.1:2"]);
        let kept = Arc::clone(&list[1].upstream);
        renew("storage", &mut list, &[node("b", 2), node("d", 3)], url, make);
        assert_eq!(urls(&list), ["http://127.0.0.1:2", "http://127.0.0.1:3"]);
        assert!(Arc::ptr_eq(&kept, &list[0].upstream));
    }

    #[tokio::test]
    async fn services_of_the_process_need_no_registry() {
        tls::install_provider();
        let shutdown = Shutdown::new();
        let tls = tls::client_config(&ClientTls::default(), &[]).unwrap();
        let dialer = Dialer::new(tls, HttpProxies::default(), shutdown.clone());
        let beside = Beside { storage: Some("127.0.0.1:50024".parse().unwrap()), ..Beside::default() };
        let discovery = Discovery::start(None, &beside, &dialer, &shutdown);
        assert_eq!(discovery.backend(Module::Storage).unwrap().authority(), "127.0.0.1:50024");
        assert!(discovery.backend(Module::UserManager).is_none());
        assert!(discovery.driver(Driver::Mesos, "BCS-MESOS-1").is_none());
    }
}
