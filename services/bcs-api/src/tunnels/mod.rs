//! The tunnel server: agents of clusters and the other instances of this program dial it (api.md 8).

mod agents;
mod peers;

pub(crate) use self::agents::ClusterAgents;
pub(crate) use self::peers::{id as peer_id, watch as watch_peers};

/// Where agents and peers connect.
pub(crate) const CONNECT_PATH: &str = "/bcsapi/v1/websocket/connect";
