//! Which scheduler the reports go to (check.md 3.4).

use bcs_common::registry::Node;
use http::Uri;
use serde::Deserialize;

use crate::task;

/// The used keys of a scheduler's node. Other keys may hold anything.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Scheduler {
    ip: Option<String>,
    port: Option<u16>,
    scheme: Option<String>,
}

/// The base URL of the master: the first node that says where it is. `nodes` are ordered by sequence.
pub fn master(nodes: &[Node]) -> Option<String> {
    nodes.iter().find_map(|node| base_url(&node.data))
}

fn base_url(data: &str) -> Option<String> {
    let scheduler: Scheduler = task::object(data.as_bytes()).ok()?;
    let scheme = scheduler.scheme.filter(|scheme| !scheme.is_empty()).unwrap_or_else(|| "http".to_owned());
    let ip = scheduler.ip.filter(|ip| !ip.is_empty())?;
    let ip = if ip.contains(':') { format!("[{ip}]") } else { ip };
    let port = scheduler.port.filter(|port| *port > 0)?;
    let url = format!("{scheme}://{ip}:{port}");
    let usable = matches!(scheme.as_str(), "http" | "https") && url.parse::<Uri>().is_ok();
    usable.then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_may_be_missing() {
        let url = |data: &str| base_url(data);
        let https = r#"{"ip":"127.0.0.1","port":31000,"scheme":"https","pid":"x"}"#;
        assert_eq!(url(https).as_deref(), Some("https://127.0.0.1:31000"));
        assert_eq!(url(r#"{"ip":"127.0.0.1","port":31000}"#).as_deref(), Some("http://127.0.0.1:31000"));
        assert_eq!(url(r#"{"ip":"::1","port":31000,"scheme":null}"#).as_deref(), Some("http://[::1]:31000"));
    }

    #[test]
    fn what_says_nothing_usable_is_skipped() {
        for data in [
            "not json",
            "{}",
            "[]",
            r#"{"ip":"","port":1}"#,
            r#"{"ip":"a","port":0}"#,
            r#"{"ip":"a","port":70000}"#,
            r#"{"ip":"a b","port":1}"#,
            r#"{"ip":"a","port":1,"scheme":"ftp"}"#,
        ] {
            assert_eq!(base_url(data), None, "{data}");
        }
    }
}
