//! How other instances and the metric collectors find this one (api.md 4.2).

use std::net::SocketAddr;

use bcs_common::registry::{ServerInfo, ServiceRegistration};
use bcs_common::version;

use crate::options::Options;

/// Name of the service in ZooKeeper.
pub(crate) const MODULE: &str = "apiserver";

/// What this instance tells about itself: the HTTPS listener if there is one, else the plain one.
pub(crate) fn this(options: &Options, secure: Option<SocketAddr>, insecure: Option<SocketAddr>) -> ServiceRegistration {
    let listener = secure.or(insecure);
    let info = ServerInfo {
        ip: options.local.local_ip.clone(),
        ipv6: String::new(),
        port: listener.map_or(0, |address| address.port()).into(),
        metric_port: options.metric.metric_port.into(),
        scheme: if secure.is_some() { "https" } else { "http" }.to_owned(),
        version: version::text(),
        pid: std::process::id().into(),
        ..ServerInfo::default()
    };
    let mut registration = ServiceRegistration::new(MODULE, options.local.local_ip.clone(), info);
    registration.version = version::VERSION.to_owned();
    registration
}
