//! The websocket tunnel (common.md 7): agents inside of clusters dial a service and make connections there on its
//! behalf; replicas reach each other's agents; and a reverse proxy goes through it to kube-apiservers.
//!
//! | you look for | it is in |
//! |---|---|
//! | the bytes of a message | [`frame`] |
//! | the rules of a session: connections, ends, announcements, back-pressure | `session/core.rs` |
//! | the socket of a session: pings, deadlines, close | `session/driver.rs` |
//! | which sessions there are, dialing through them | [`server`] |
//! | the mesh of replicas | `server/peers.rs` |
//! | the dialling side, as agents are | [`client`] |
//! | what an agent sends to introduce itself | [`handshake`] |
//! | requests to kube-apiservers and other backends | [`proxy`] |

pub mod client;
pub mod frame;
pub mod handshake;
mod metrics;
pub mod proxy;
pub mod server;
mod session;
pub mod splice;
pub mod websocket;

pub use self::metrics::Metrics;
pub use self::server::peers::Peer;
pub use self::server::{Admission, Agents, NoSession, Refusal, TunnelOptions, TunnelServer};
pub use self::session::stream::TunnelStream;
pub use self::session::{DIAL_DEADLINE, KeepAlive, Opening, SessionError};

/// The peer token of installations that set none. Everybody knows it: warn when it is used.
pub const DEFAULT_PEER_TOKEN: &str = "Mx9vWfTZea4MEzc7SlvB8aFl0NhmYQvZzEomOYypDMKkev34Q9kIyh32RjXXCIcn";
