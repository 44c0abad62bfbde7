//! A streaming reverse proxy: to kube-apiservers, through a tunnel or directly, and to any other HTTP backend.
//!
//! Nothing is buffered: request and answer bodies flow as they come, and `Connection: Upgrade` (SPDY, WebSocket)
//! becomes a pair of byte streams. Connections are kept and used again, one pool per backend.

mod address;
mod cache;
mod error;
mod forward;
mod headers;
mod no_proxy;
mod outbound;
mod pool;
mod rules;
mod upstream;

pub use self::address::{Address, AddressError};
pub use self::cache::Upstreams;
pub use self::error::ProxyError;
pub use self::forward::forward;
pub use self::headers::is_upgrade;
pub use self::outbound::HttpProxies;
pub use self::rules::{Rules, raw_rest};
pub use self::upstream::{Route, Trust, Upstream, UpstreamError, UpstreamSettings};
