//! Reports to the scheduler (check.md 6).

mod client;
mod scheduler;

pub use self::client::{Outcome, ReportClient};
pub use self::scheduler::master;

use serde::Serialize;

use crate::definition::{Definition, Kind};
use crate::engine::State;

/// The body of `POST /v1/healthcheck` (check.md 6.2).
#[derive(Debug, Serialize)]
struct Body<'a> {
    id: &'a str,
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    http: Option<Http<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tcp: Option<Tcp>,
    /// Left out when unhealthy, as Go's `omitempty` does.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    status: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    message: &'a str,
}

#[derive(Debug, Serialize)]
struct Http<'a> {
    port: i32,
    #[serde(rename = "portName")]
    port_name: &'static str,
    scheme: &'a str,
    path: &'a str,
    headers: (),
}

#[derive(Debug, Serialize)]
struct Tcp {
    port: i32,
    #[serde(rename = "portName")]
    port_name: &'static str,
}

/// The report of a check's state.
pub fn body(definition: &Definition, state: &State) -> Vec<u8> {
    let (http, tcp) = match &definition.kind {
        Kind::Http(target) => {
            let (scheme, path) = (target.scheme.as_str(), target.path.as_str());
            (Some(Http { port: definition.port, port_name: "", scheme, path, headers: () }), None)
        }
        Kind::Tcp => (None, Some(Tcp { port: definition.port, port_name: "" })),
    };
    let body = Body {
        id: &definition.task,
        r#type: definition.kind.name(),
        http,
        tcp,
        status: state.healthy,
        message: &state.message,
    };
    // Texts, numbers and a bool: there is nothing that could fail.
    serde_json::to_vec(&body).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::definition::{HttpTarget, Inert, Readiness, Timing};

    #[test]
    fn bodies_of_the_specification() {
        let second = Duration::from_secs(1);
        let target = HttpTarget { scheme: "http".into(), path: "/healthz".into(), headers: [].into() };
        let definition = Definition {
            index: 0,
            task: "1622600000000000001.0.0.web.defaultGroup.10001".into(),
            kind: Kind::Http(target),
            ip: "127.0.0.1".into(),
            port: 18080,
            timing: Timing { grace: second, interval: second, timeout: second },
            inert: Inert::default(),
            readiness: Readiness::Ready("127.0.0.1:18080".parse().unwrap()),
        };
        let state = State { healthy: true, message: "check endpoint 127.0.0.1:18080 http ok".into() };
        assert_eq!(
            String::from_utf8(body(&definition, &state)).unwrap(),
            r#"{"id":"1622600000000000001.0.0.web.defaultGroup.10001","type":"REMOTE_HTTP","http":{"port":18080,"portName":"","scheme":"http","path":"/healthz","headers":null},"status":true,"message":"check endpoint 127.0.0.1:18080 http ok"}"#
        );
        let definition = Definition { kind: Kind::Tcp, port: 19090, ..definition };
        let state = State { healthy: false, message: "m".into() };
        assert_eq!(
            String::from_utf8(body(&definition, &state)).unwrap(),
            r#"{"id":"1622600000000000001.0.0.web.defaultGroup.10001","type":"REMOTE_TCP","tcp":{"port":19090,"portName":""},"message":"m"}"#
        );
    }
}
