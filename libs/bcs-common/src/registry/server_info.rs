//! The JSON that describes one server in ZooKeeper (common.md 3.4).

use serde::{Deserialize, Serialize};

/// A text that never shows up in logs: its `Debug` form hides it.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// Data of a service's ZooKeeper node. All keys are always written, in this order; a reader ignores unknown keys and
/// takes missing ones as empty (common.md 3.4).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServerInfo {
    /// Address the server listens on.
    pub ip: String,
    /// IPv6 address; unused today.
    pub ipv6: String,
    /// Main port.
    pub port: u32,
    /// gRPC port, 0 if there is none.
    pub grpc_port: u32,
    /// Port of the metric server.
    pub metric_port: u32,
    /// Host name; only bcs-check and the Mesos services set it.
    pub hostname: String,
    /// `http` or `https`.
    pub scheme: String,
    /// The four lines of `--version`.
    pub version: String,
    /// Cluster id of services that belong to one cluster.
    pub cluster: String,
    /// Process id.
    pub pid: i64,
    /// Address for clients outside of the network.
    pub external_ip: String,
    /// IPv6 address for clients outside of the network.
    pub external_ipv6: String,
    /// Port for clients outside of the network.
    pub external_port: u32,
    /// CA certificate of the API server; only `kubernetedriver` nodes have it.
    #[serde(rename = "CaCertData", skip_serializing_if = "Option::is_none")]
    pub ca_cert_data: Option<String>,
    /// Token for the API server; only `kubernetedriver` nodes have it.
    #[serde(rename = "UserToken", skip_serializing_if = "Option::is_none")]
    pub user_token: Option<Secret>,
}

impl ServerInfo {
    /// The node data, byte for byte as the original writes it.
    pub fn to_json(&self) -> String {
        // A struct of texts and numbers has no state that fails to serialise.
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const APISERVER: &str = r#"{"ip":"127.0.0.1","ipv6":"","port":8443,"grpc_port":0,"metric_port":8081,"hostname":"","scheme":"https","version":"Version  :1.20.0-21.06.02\nTag      :1.20.0\nBuildTime:  2021-06-02T10:00:00+0800\nGitHash:  abc\n","cluster":"","pid":4242,"external_ip":"","external_ipv6":"","external_port":0}"#;

    fn apiserver() -> ServerInfo {
        ServerInfo {
            ip: "127.0.0.1".into(),
            port: 8443,
            metric_port: 8081,
            scheme: "https".into(),
            version:
                "Version  :1.20.0-21.06.02\nTag      :1.20.0\nBuildTime:  2021-06-02T10:00:00+0800\nGitHash:  abc\n"
                    .into(),
            pid: 4242,
            ..ServerInfo::default()
        }
    }

    #[test]
    fn writes_the_documented_example_and_reads_it_back() {
        assert_eq!(apiserver().to_json(), APISERVER);
        assert_eq!(serde_json::from_str::<ServerInfo>(APISERVER).unwrap(), apiserver());
    }

    #[test]
    fn reads_missing_and_unknown_keys() {
        let info: ServerInfo = serde_json::from_str(r#"{"ip":"10.0.0.1","port":31000,"rack":{"n":1}}"#).unwrap();
        assert_eq!((info.ip.as_str(), info.port, info.scheme.as_str()), ("10.0.0.1", 31000, ""));
    }

    #[test]
    fn reads_the_token_of_a_kubernetedriver_and_hides_it() {
        let info: ServerInfo =
            serde_json::from_str(r#"{"ip":"10.0.0.1","CaCertData":"PEM","UserToken":"s3cret"}"#).unwrap();
        assert_eq!(info.ca_cert_data.as_deref(), Some("PEM"));
        assert_eq!(info.user_token, Some(Secret("s3cret".into())));
        assert!(!format!("{info:?}").contains("s3cret"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,200}") {
            let _ = serde_json::from_str::<ServerInfo>(&text);
        }

        #[test]
        fn survives_a_round_trip(ip in ".{0,20}", port in any::<u32>(), pid in any::<i64>(), version in ".{0,40}") {
            let info = ServerInfo { ip, port, pid, version, ..ServerInfo::default() };
            prop_assert_eq!(serde_json::from_str::<ServerInfo>(&info.to_json()).unwrap(), info);
        }
    }
}
