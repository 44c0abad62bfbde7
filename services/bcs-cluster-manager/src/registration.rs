//! How clients and other replicas find this one: etcd, in go-micro's layout (cluster-manager.md 4.3, 8.4).

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bcs_common::errors::chain;
use bcs_common::http::server::host_port;
use bcs_common::registry::etcd::{EtcdOptions, EtcdRegistry};
use bcs_common::registry::{Node, Registry, ServerInfo, ServiceRegistration};
use bcs_common::shutdown::Shutdown;
use bcs_common::{tls, version};
use bcs_proto::describe;
use bcs_tunnel::{Peer, TunnelServer};
use tracing::info;

use crate::options::Options;
use crate::service::StartError;

/// Name of the service in registries.
const MODULE: &str = "clustermanager";
/// How long the key outlives a process that died.
const TTL: Duration = Duration::from_secs(30);
/// Time between two renewals.
const INTERVAL: Duration = Duration::from_secs(25);
/// Where a node says its HTTP port.
const HTTP_PORT: &str = "httpport";

/// etcd, if it is configured; it need not be there yet.
///
/// # Errors
/// The addresses are none, or a certificate cannot be loaded.
pub(crate) fn configured(options: &Options, shutdown: &Shutdown) -> Result<Option<EtcdRegistry>, StartError> {
    if options.etcd_endpoints.trim().is_empty() {
        info!("registry: none, this is the only instance");
        return Ok(None);
    }
    let tls = match options.etcd_with_tls() {
        true => Some(tls::client_config(&options.etcd_tls, &["h2"]).map_err(StartError::Tls)?),
        false => None,
    };
    let etcd = EtcdOptions { ttl: TTL, interval: INTERVAL, ..EtcdOptions::new(&options.etcd_endpoints, tls) };
    let registry = EtcdRegistry::new(&etcd, shutdown)
        .map_err(|error| StartError::Registry(format!("key \"etcd.endpoints\": {}", chain(&error))))?;
    info!("registry: etcd {}", options.etcd_endpoints);
    Ok(Some(registry))
}

/// The address that others are told: the configured one, or one of this host where that means all.
pub(crate) fn advertised(address: &str) -> String {
    let bare = address.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(ip) if ip.is_unspecified() => own_address().unwrap_or(ip).to_string(),
        _ => bare.to_owned(),
    }
}

/// The address that this host would use towards its network; nothing is sent.
fn own_address() -> Option<IpAddr> {
    let socket = std::net::UdpSocket::bind(("0.0.0.0", 0)).ok()?;
    // Any address outside of this host; a private one for hosts without a way out.
    socket.connect(("10.254.254.254", 9)).ok()?;
    socket.local_addr().ok().map(|address| address.ip()).filter(|ip| !ip.is_unspecified())
}

/// What this instance tells about itself.
pub(crate) fn this(address: &str, grpc: SocketAddr, http: SocketAddr, metric_port: u16) -> ServiceRegistration {
    let info = ServerInfo {
        ip: address.to_owned(),
        port: grpc.port().into(),
        metric_port: metric_port.into(),
        version: version::text(),
        pid: std::process::id().into(),
        ..ServerInfo::default()
    };
    let mut registration = ServiceRegistration::new(MODULE, address, info);
    registration.version = version::VERSION.to_owned();
    let fixed =
        [("broker", "http"), ("protocol", "grpc"), ("registry", "etcd"), ("server", "grpc"), ("transport", "grpc")];
    let mut metadata: BTreeMap<String, String> =
        fixed.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    metadata.insert(HTTP_PORT.to_owned(), http.port().to_string());
    registration.metadata = Some(metadata);
    registration.endpoints = serde_json::value::RawValue::from_string(describe::endpoints()).ok();
    registration
}

/// Tells the tunnels about every change of the replicas.
pub(crate) fn follow_peers(registry: &dyn Registry, tunnels: TunnelServer, tls: bool, shutdown: &Shutdown) {
    let mut nodes = registry.discover(MODULE);
    let stop = shutdown.token();
    shutdown.spawn("peers", async move {
        loop {
            let peers = peers(&nodes.borrow_and_update(), tls);
            tunnels.set_peers(peers);
            tokio::select! {
                changed = nodes.changed() => if changed.is_err() { return },
                () = stop.cancelled() => return,
            }
        }
    });
}

/// Nodes whose address cannot be read are no peers (Q14).
fn peers(nodes: &[Node], tls: bool) -> Vec<Peer> {
    let peer = |node: &Node| {
        let info = node.info.as_ref()?;
        let told = node.metadata.get(HTTP_PORT).and_then(|port| port.parse().ok());
        let port = told.or_else(|| u16::try_from(info.port).ok())?;
        Some(Peer { id: host_port(&info.ip, port), tls })
    };
    nodes.iter().filter_map(peer).collect()
}

/// TLS to replicas, if it is configured.
///
/// # Errors
/// A file cannot be used.
pub(crate) fn peer_tls(options: &Options) -> Result<Option<Arc<rustls::ClientConfig>>, StartError> {
    match options.calls_with_tls() {
        true => tls::client_config(&options.client_tls, &[]).map(Some).map_err(StartError::Tls),
        false => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_at_their_http_port() {
        let node = |ip: &str, http: Option<&str>| Node {
            name: ip.into(),
            sequence: 0,
            data: String::new(),
            info: Some(ServerInfo { ip: ip.into(), port: 8080, ..ServerInfo::default() }),
            metadata: http.map(|port| (HTTP_PORT.to_owned(), port.to_owned())).into_iter().collect(),
        };
        let unreadable = Node { info: None, ..node("x", None) };
        let nodes = [node("10.0.0.1", Some("8081")), node("10.0.0.2", None), node("fe80::1", Some("1")), unreadable];
        let ids: Vec<String> = peers(&nodes, true).into_iter().map(|peer| peer.id).collect();
        assert_eq!(ids, ["10.0.0.1:8081", "10.0.0.2:8080", "[fe80::1]:1"]);
    }

    #[test]
    fn only_an_address_that_means_all_is_replaced() {
        assert_eq!((advertised("10.0.0.5").as_str(), advertised("[::1]").as_str()), ("10.0.0.5", "::1"));
        assert_eq!(advertised("host.name"), "host.name");
    }

    #[test]
    fn the_registration_is_that_of_the_original() {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let this = this("127.0.0.1", address(8081), address(8080), 8082);
        let metadata = serde_json::to_string(&this.metadata).unwrap();
        assert_eq!(
            metadata,
            r#"{"broker":"http","httpport":"8080","protocol":"grpc","registry":"etcd","server":"grpc","transport":"grpc"}"#
        );
        assert!(this.endpoints.is_some());
    }
}
