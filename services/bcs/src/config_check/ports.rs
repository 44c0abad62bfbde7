//! Whether a service can listen where it is told to.

use std::io::ErrorKind;

use bcs_common::http::server::{Listener, host_port};

use super::Values;
use super::report::Report;
use super::services::{ListenerKeys, Service};

/// Binds every port, all at once as the service does, and gives them back.
pub async fn check(service: &Service, values: &Values, report: &mut Report) {
    let mut bound: Vec<(&ListenerKeys, Listener)> = Vec::new();
    for listener in service.listeners {
        if !is_used(listener, values) {
            report.good(format!("no listener for {}", listener.what));
            continue;
        }
        let (address, port) = (values.text(listener.address), values.number(listener.port));
        match Listener::bind(&host_port(address, u16::try_from(port).unwrap_or_default()), None).await {
            Ok(socket) => {
                report.good(format!("{} can listen on {address}:{port}", listener.what));
                bound.push((listener, socket));
            }
            Err(error) => {
                let at = format!("{} cannot listen on {address}:{port} ({})", listener.what, listener.port);
                let other = bound.iter().find(|(_, socket)| u64::from(socket.local_addr().port()) == port);
                match (error.kind(), other) {
                    (ErrorKind::AddrInUse, Some((other, _))) => {
                        report.failure(format!("{at}: {} has this port ({})", other.what, other.port));
                    }
                    (ErrorKind::AddrInUse, None) => {
                        report.warning(format!("{at}: {error}; if the service runs already, this is its own port"));
                    }
                    (kind, _) => report.failure(format!("{at}: {error}{}", hint(kind))),
                }
            }
        }
    }
}

fn hint(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::AddrNotAvailable => "; this host does not have the address",
        ErrorKind::PermissionDenied => "; ports below 1024 need CAP_NET_BIND_SERVICE",
        _ => "",
    }
}

fn is_used(listener: &ListenerKeys, values: &Values) -> bool {
    let has_certificate = !values.text("server_cert_file").is_empty() && !values.text("server_key_file").is_empty();
    values.number(listener.port) != 0
        && !(listener.needs_address && values.text(listener.address).is_empty())
        && (has_certificate || !listener.needs_certificate)
}
