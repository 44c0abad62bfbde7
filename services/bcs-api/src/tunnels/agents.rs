//! Which agents may connect, and what is kept of them (api.md 8.1, 8.4).

use async_trait::async_trait;
use bcs_common::errors::chain;
use bcs_tunnel::handshake::{AgentHeaders, AgentParams};
use bcs_tunnel::{Admission, Agents, Refusal};
use http::{HeaderMap, StatusCode, Uri};
use tracing::error;

use crate::store::{Store, TunnelCredentials};

/// What dials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Module {
    /// Gives access to a kube-apiserver; names the cluster by its BKE id.
    KubeAgent,
    /// A mesos or k8s driver; names the cluster by its BCS id.
    Driver,
}

impl Module {
    /// Agents of different ages spell their names differently.
    fn parse(name: &str) -> Option<Self> {
        match name {
            "kube-agent" | "kubeagent" => Some(Self::KubeAgent),
            "k8s-driver" | "k8sdriver" | "kubernetedriver" | "mesos-driver" | "mesosdriver" => Some(Self::Driver),
            _ => None,
        }
    }
}

/// Lets in the agents of the clusters in the store.
pub(crate) struct ClusterAgents {
    pub store: Store,
}

impl ClusterAgents {
    /// The BKE id of the cluster whose register token the agent shows.
    async fn cluster(&self, module: Module, agent: &AgentHeaders<'_>) -> Result<String, Refusal> {
        let cluster = match module {
            Module::KubeAgent => Some(agent.cluster_id.to_owned()),
            Module::Driver => {
                let cluster = self.store.cluster_of_bcs_id(agent.cluster_id).await.map_err(unavailable)?;
                cluster.map(|cluster| cluster.id)
            }
        };
        let cluster = cluster.ok_or_else(Refusal::unauthorized)?;
        let token = self.store.register_token(&cluster).await.map_err(unavailable)?;
        match token.is_some_and(|token| same_secret(&token, agent.token)) {
            true => Ok(cluster),
            false => Err(Refusal::unauthorized()),
        }
    }
}

#[async_trait]
impl Agents for ClusterAgents {
    async fn admit(&self, headers: &HeaderMap) -> Result<Admission, Refusal> {
        let agent = AgentHeaders::of(headers);
        for (value, name) in [(agent.module, "module"), (agent.token, "registerToken"), (agent.cluster_id, "clusterId")]
        {
            if value.is_empty() {
                return Err(Refusal::bad_request(format!("{name} empty")));
            }
        }
        let params = AgentParams::decode(agent.params)?;
        if params.address.is_empty() {
            return Err(Refusal::bad_request("client dialer address is empty"));
        }
        let module = Module::parse(agent.module);
        if module == Some(Module::KubeAgent) && (params.ca_cert.is_empty() || params.user_token.is_empty()) {
            return Err(Refusal::bad_request("address or cacert or token empty"));
        }
        // A driver may send one too.
        let ca_cert_data = String::from_utf8_lossy(&params.ca_pem()?).into_owned();
        let module = module.ok_or_else(|| Refusal::bad_request("unknown client module"))?;
        let cluster = self.cluster(module, &agent).await?;
        let key = match module {
            Module::KubeAgent => cluster,
            Module::Driver => format!("{cluster}-{}", host_port(&params.address)?),
        };
        let row = TunnelCredentials {
            server_key: key.clone(),
            client_module: agent.module.to_owned(),
            server_address: params.address,
            ca_cert_data,
            user_token: params.user_token,
        };
        row.check().map_err(|too_long| Refusal::bad_request(too_long.to_string()))?;
        let store = self.store.clone();
        let keep = async move { store.put_tunnel_credentials(&row).await.map_err(unavailable) };
        Ok(Admission::new(key).before_accept(keep))
    }

    /// The row goes with the last session of its key, not with the first that ends.
    async fn session_ended(&self, key: &str, last: bool) {
        if !last {
            return;
        }
        if let Err(failure) = self.store.delete_tunnel_credentials(key).await {
            error!("the credentials of the agent {key} stay in the database: {}", chain(&failure));
        }
    }
}

/// `host:port` of a URL. What is none is refused like a wrong token, as in the original.
fn host_port(address: &str) -> Result<String, Refusal> {
    let uri: Uri = address.parse().map_err(|_| Refusal::unauthorized())?;
    let authority = uri.authority().filter(|_| uri.scheme().is_some());
    authority.map(|authority| authority.as_str().to_owned()).ok_or_else(Refusal::unauthorized)
}

fn unavailable(failure: bcs_sql::SqlError) -> Refusal {
    error!("an agent cannot be checked: {}", chain(&failure));
    Refusal { status: StatusCode::SERVICE_UNAVAILABLE, text: "the database cannot be reached".to_owned() }
}

/// Takes the same time wherever the difference is.
fn same_secret(expected: &str, given: &str) -> bool {
    !expected.is_empty()
        && aws_lc_rs::constant_time::verify_slices_are_equal(expected.as_bytes(), given.as_bytes()).is_ok()
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD as BASE64;
    use bcs_tunnel::handshake;

    use super::*;

    #[test]
    fn both_spellings_are_known() {
        for (name, module) in [
            ("kube-agent", Some(Module::KubeAgent)),
            ("kubeagent", Some(Module::KubeAgent)),
            ("k8s-driver", Some(Module::Driver)),
            ("mesos-driver", Some(Module::Driver)),
            ("mesosdriver", Some(Module::Driver)),
            ("Kube-Agent", None),
            ("dns", None),
        ] {
            assert_eq!(Module::parse(name), module, "{name}");
        }
    }

    #[tokio::test]
    async fn refusals_in_order() {
        let (_dir, store) = crate::store::tests::store().await;
        let agents = ClusterAgents { store };
        let driver = r#"{"address":"http://10.0.0.1:8080"}"#;
        for (module, params, text) in [
            ("", "", "module empty"),
            ("mesos-driver", "", "unexpected end of JSON input"),
            ("mesos-driver", "{}", "client dialer address is empty"),
            ("kube-agent", driver, "address or cacert or token empty"),
            // A CA is looked at whoever sends it.
            ("mesos-driver", r#"{"address":"a","caCert":"%"}"#, "illegal base64 data at input byte 0"),
            ("dns", r#"{"address":"a","caCert":"%"}"#, "illegal base64 data at input byte 0"),
            ("dns", driver, "unknown client module"),
            ("k8s-driver", driver, "failed authentication"),
        ] {
            let headers: HeaderMap = [
                (handshake::MODULE, module.to_owned()),
                (handshake::TOKEN, "t".to_owned()),
                (handshake::CLUSTER_ID, "c".to_owned()),
                (handshake::PARAMS, BASE64.encode(params)),
            ]
            .into_iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()))
            .collect();
            let refusal = agents.admit(&headers).await.err().unwrap();
            assert_eq!(refusal.text, text, "{module} {params}");
        }
    }

    #[test]
    fn keys_of_drivers_end_with_their_address() {
        assert_eq!(host_port("http://10.0.0.1:8080/x").unwrap(), "10.0.0.1:8080");
        assert_eq!(host_port("https://driver").unwrap(), "driver");
        for wrong in ["", "/x", "a b", "10.0.0.1:8080"] {
            assert_eq!(host_port(wrong), Err(Refusal::unauthorized()), "{wrong}");
        }
    }

    #[test]
    fn an_empty_token_is_nobodys() {
        assert!(same_secret("abc", "abc"));
        assert!(!same_secret("abc", "abd") && !same_secret("abc", "ab") && !same_secret("", ""));
    }
}
