//! Who may open a tunnel (cluster-manager.md 8.1).

use std::sync::Arc;

use async_trait::async_trait;
use bcs_proto::messages::ClusterCredential;
use bcs_tunnel::handshake::{AgentHeaders, AgentParams};
use bcs_tunnel::proxy::{Address, Upstreams};
use bcs_tunnel::{Admission, Agents, Refusal};
use http::HeaderMap;

use crate::credentials::{self, TUNNEL};
use crate::stores::Stores;

/// Where agents and peers connect.
pub(crate) const CONNECT: &str = "/clustermanager/v1/websocket/connect";

const KUBE_AGENT: &str = "kubeagent";
const MESOS_DRIVER: &str = "mesosdriver";

/// Lets agents in and keeps what they say about their API servers.
pub(crate) struct Admissions {
    pub stores: Arc<Stores>,
    pub upstreams: Upstreams,
}

#[async_trait]
impl Agents for Admissions {
    async fn admit(&self, headers: &HeaderMap) -> Result<Admission, Refusal> {
        let credential = credential(headers)?;
        let stores = Arc::clone(&self.stores);
        Ok(Admission::new(credential.server_key.clone()).before_accept(async move {
            let stored = credentials::put(&stores.credentials, credential).await;
            stored.map_err(|failure| Refusal::bad_request(failure.message))
        }))
    }

    async fn session_ended(&self, key: &str, _last: bool) {
        // Idle connections went with the session (Q23). The credential stays.
        self.upstreams.remove(&super::proxy::pool(key));
        self.upstreams.remove(&format!("kube {key}"));
    }
}

/// What an agent registers, with the checks in the order of the original.
fn credential(headers: &HeaderMap) -> Result<ClusterCredential, Refusal> {
    let agent = AgentHeaders::of(headers);
    if agent.module.is_empty() {
        return Err(Refusal::bad_request("module empty"));
    }
    if agent.cluster_id.is_empty() {
        return Err(Refusal::bad_request("clusterID empty"));
    }
    let params = AgentParams::decode(agent.params)?;
    if params.address.is_empty() {
        return Err(Refusal::bad_request("client dialer address is empty"));
    }
    if agent.module == KUBE_AGENT && (params.ca_cert.is_empty() || params.user_token.is_empty()) {
        return Err(Refusal::bad_request("address or cacert or token empty"));
    }
    let ca = params.ca_pem()?;
    let server_key = match agent.module {
        KUBE_AGENT => agent.cluster_id.to_owned(),
        MESOS_DRIVER => {
            let address: Address = params.address.parse().map_err(|_| Refusal::unauthorized())?;
            format!("{}-{}", agent.cluster_id, address.authority)
        }
        _ => return Err(Refusal::bad_request("unknown client module")),
    };
    Ok(ClusterCredential {
        server_key,
        cluster_id: agent.cluster_id.to_owned(),
        client_module: agent.module.to_owned(),
        server_address: params.address,
        ca_cert_data: String::from_utf8_lossy(&ca).into_owned(),
        user_token: params.user_token,
        connect_mode: TUNNEL.to_owned(),
        ..ClusterCredential::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The base64 of `{"address":"http://10.0.0.1:8080"}`.
    const MESOS: &str = "eyJhZGRyZXNzIjoiaHR0cDovLzEwLjAuMC4xOjgwODAifQ==";
    /// The base64 of `{"address":"https://10.0.0.1:443","caCert":"Cg==","userToken":"t"}`.
    const KUBE: &str = "eyJhZGRyZXNzIjoiaHR0cHM6Ly8xMC4wLjAuMTo0NDMiLCJjYUNlcnQiOiJDZz09IiwidXNlclRva2VuIjoidCJ9";

    fn registered(module: &str, cluster: &str, params: &str) -> Result<ClusterCredential, (u16, String)> {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("bcs-api-tunnel-module", module),
            ("bcs-api-tunnel-clusterid", cluster),
            ("bcs-api-tunnel-params", params),
        ] {
            headers.insert(name, value.parse().unwrap());
        }
        credential(&headers).map_err(|refusal| (refusal.status.as_u16(), refusal.text))
    }

    #[test]
    fn what_agents_register() {
        let kube = registered("kubeagent", "c", KUBE).unwrap();
        assert_eq!((kube.server_key.as_str(), kube.ca_cert_data.as_str(), kube.user_token.as_str()), ("c", "\n", "t"));
        assert_eq!((kube.connect_mode.as_str(), kube.server_address.as_str()), (TUNNEL, "https://10.0.0.1:443"));
        let mesos = registered("mesosdriver", "m", MESOS).unwrap();
        assert_eq!((mesos.server_key.as_str(), mesos.client_module.as_str()), ("m-10.0.0.1:8080", "mesosdriver"));
    }

    #[test]
    fn refusals_in_the_order_of_the_checks() {
        let refused = |module, cluster, params| registered(module, cluster, params).unwrap_err();
        let bad = |text: &str| (400, text.to_owned());
        assert_eq!(refused("", "", ""), bad("module empty"));
        assert_eq!(refused("x", "", ""), bad("clusterID empty"));
        assert_eq!(refused("x", "c", ""), bad("unexpected end of JSON input"));
        assert_eq!(refused("x", "c", "!"), bad("illegal base64 data at input byte 0"));
        assert_eq!(refused("x", "c", "e30="), bad("client dialer address is empty"));
        assert_eq!(refused("kubeagent", "c", MESOS), bad("address or cacert or token empty"));
        assert_eq!(refused("x", "c", MESOS), bad("unknown client module"));
        // {"address":"://"}
        assert_eq!(refused("mesosdriver", "c", "eyJhZGRyZXNzIjoiOi8vIn0=").0, 401);
    }
}
