//! The other instances of this program (api.md 8.5).

use std::collections::BTreeMap;

use bcs_common::registry::Node;
use bcs_common::shutdown::Shutdown;
use bcs_tunnel::{Peer, TunnelServer};
use tokio::sync::watch;

/// Tells the tunnel server about every change of the instances that are registered.
pub(crate) fn watch(mut nodes: watch::Receiver<Vec<Node>>, tunnels: TunnelServer, shutdown: &Shutdown) {
    let stop = shutdown.token();
    shutdown.spawn("peers", async move {
        nodes.mark_changed();
        loop {
            let changed = tokio::select! {
                changed = nodes.changed() => changed,
                () = stop.cancelled() => return,
            };
            if changed.is_err() {
                return;
            }
            let now = peers(&nodes.borrow_and_update());
            tunnels.set_peers(now);
        }
    });
}

/// The instances by `ip:port`. Several nodes of one instance, such as that of a session which has not yet expired, are one.
fn peers(nodes: &[Node]) -> Vec<Peer> {
    let infos = nodes.iter().filter_map(|node| node.info.as_ref());
    let found: BTreeMap<String, bool> = infos
        .filter(|info| !info.ip.is_empty() && info.port != 0)
        .map(|info| (id(&info.ip, info.port), info.scheme == "https"))
        .collect();
    found.into_iter().map(|(id, tls)| Peer { id, tls }).collect()
}

/// The id of an instance for its peers.
pub(crate) fn id(ip: &str, port: u32) -> String {
    if ip.contains(':') && !ip.starts_with('[') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
}

#[cfg(test)]
mod tests {
    use bcs_common::registry::ServerInfo;

    use super::*;

    #[test]
    fn one_peer_for_each_instance() {
        let node = |json: &str| {
            let info: Option<ServerInfo> = serde_json::from_str(json).ok();
            Node { name: String::new(), sequence: 0, data: json.to_owned(), info, metadata: BTreeMap::new() }
        };
        let nodes = [
            node(r#"{"ip":"10.0.0.1","port":443,"scheme":"https"}"#),
            node(r#"{"ip":"10.0.0.2","port":80,"scheme":"http"}"#),
            node(r#"{"ip":"10.0.0.1","port":443,"scheme":"https"}"#),
            node(r#"{"ip":"","port":80}"#),
            node("no json"),
        ];
        let found: Vec<_> = peers(&nodes).into_iter().map(|peer| (peer.id, peer.tls)).collect();
        assert_eq!(found, [("10.0.0.1:443".to_owned(), true), ("10.0.0.2:80".to_owned(), false)]);
        assert_eq!(id("fe80::1", 1), "[fe80::1]:1");
    }
}
