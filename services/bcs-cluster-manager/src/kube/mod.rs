//! The API servers of member clusters, as far as quotas need them (cluster-manager.md 7.5).

pub(crate) mod quantity;
pub(crate) mod resource_quota;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bcs_common::errors::chain;
use bcs_common::http::{Body, body};
use bcs_proto::messages::ClusterCredential;
use bcs_tunnel::TunnelServer;
use bcs_tunnel::proxy::{Route, Trust, Upstream, UpstreamSettings, Upstreams};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Method, Request};
use serde::Deserialize;
use serde_json::{Value, json};

use self::quantity::Quantity;
use self::resource_quota::ResourceQuota;
use crate::credentials::{self, DIRECT, TUNNEL};
use crate::stores::Stores;

/// Limit of a call.
const CALL_LIMIT: Duration = Duration::from_secs(30);
/// Longest answer in bytes: the nodes or pods of a large cluster.
const MAX_ANSWER: usize = 64 << 20;
/// Idle connections to keep to one API server.
pub(crate) const MAX_IDLE: usize = 10;

/// Why an API server was not asked, did not answer, or refused; for the client.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KubeError {
    /// It answered so.
    #[error("{0}")]
    Refused(String),
    /// It cannot be reached, or its answer is none.
    #[error("{0}")]
    Failed(String),
}

/// Calls API servers, directly or through their tunnels.
#[derive(Clone)]
pub(crate) struct Kube {
    stores: Arc<Stores>,
    tunnels: TunnelServer,
    upstreams: Upstreams,
}

/// The API server of one cluster.
struct Client {
    /// Scheme, host and port, for messages.
    address: String,
    /// What stands before every path.
    base: String,
    token: String,
    upstream: Arc<Upstream>,
}

#[derive(Deserialize)]
struct List {
    #[serde(default)]
    items: Option<Vec<Value>>,
}

impl Kube {
    pub(crate) fn new(stores: Arc<Stores>, tunnels: TunnelServer, upstreams: Upstreams) -> Self {
        Self { stores, tunnels, upstreams }
    }

    /// Creates namespace and quota; without the second the first is taken back.
    pub(crate) async fn create_quota(
        &self,
        cluster: &str,
        labels: &BTreeMap<String, String>,
        quota: &ResourceQuota,
    ) -> Result<(), KubeError> {
        let client = self.client(cluster).await?;
        let name = &quota.namespace;
        let metadata = if labels.is_empty() { json!({"name": name}) } else { json!({"name": name, "labels": labels}) };
        let namespace = json!({"kind": "Namespace", "apiVersion": "v1", "metadata": metadata});
        let created = client.call(Method::POST, "/api/v1/namespaces", Some(&namespace)).await;
        created.map_err(|error| prefixed(&format!("failed to create to cluster {cluster}, err "), error))?;
        let path = format!("/api/v1/namespaces/{}/resourcequotas", segment(name));
        match client.call(Method::POST, &path, Some(&quota.to_send(None))).await {
            Ok(_) => Ok(()),
            Err(error) => {
                if let Err(kept) = client.delete_namespace(name).await {
                    tracing::warn!("namespace {name} of {cluster} was made in vain and cannot be deleted: {kept}");
                }
                Err(prefixed(&format!("failed to create quota to cluster {cluster}, err "), error))
            }
        }
    }

    /// Writes over the quota.
    pub(crate) async fn update_quota(&self, cluster: &str, quota: &ResourceQuota) -> Result<(), KubeError> {
        let client = self.client(cluster).await?;
        let path = quota_path(&quota.namespace);
        let stored = client.call(Method::GET, &path, None).await?;
        let version = stored.pointer("/metadata/resourceVersion");
        client.call(Method::PUT, &path, Some(&quota.to_send(version))).await.map(|_| ())
    }

    /// Deletes quota and namespace.
    pub(crate) async fn delete_quota(&self, cluster: &str, namespace: &str) -> Result<(), KubeError> {
        let client = self.client(cluster).await?;
        client.call(Method::DELETE, &quota_path(namespace), None).await?;
        client.delete_namespace(namespace).await
    }

    /// Whether the namespace has pods.
    pub(crate) async fn has_pods(&self, cluster: &str, namespace: &str) -> Result<bool, KubeError> {
        let client = self.client(cluster).await?;
        let path = format!("/api/v1/namespaces/{}/pods", segment(namespace));
        Ok(!client.list(&path).await?.is_empty())
    }

    /// The CPUs that all nodes can give, together.
    pub(crate) async fn allocatable_cpu(&self, cluster: &str) -> Result<f64, KubeError> {
        let nodes = self.client(cluster).await?.list("/api/v1/nodes").await?;
        let cpu = |node: &Value| Some(Quantity::of(node.pointer("/status/allocatable/cpu")?).ok()?.value());
        Ok(nodes.iter().filter_map(cpu).sum())
    }

    async fn client(&self, cluster: &str) -> Result<Client, KubeError> {
        let failed = |text: String| KubeError::Failed(text);
        let credential = credentials::find(&self.stores.credentials, cluster).await;
        let credential = credential.map_err(|error| failed(error.message))?;
        let credential = credential.ok_or_else(|| failed(format!("cluster credential not found of {cluster}")))?;
        let route = match credential.connect_mode.as_str() {
            TUNNEL => Route::Tunnel { server: self.tunnels.clone(), key: cluster.to_owned() },
            DIRECT => Route::Direct,
            mode => return Err(failed(format!("invalid credential mode {mode} of cluster {cluster}"))),
        };
        let upstream = self.upstreams.get(&format!("kube {cluster}"), &settings(&credential, route));
        let upstream = upstream.map_err(|error| failed(format!("server address of cluster {cluster}: {error}")))?;
        let (address, base) = split(credential.server_address.split(',').next().unwrap_or_default().trim());
        Ok(Client { address, base, token: credential.user_token, upstream })
    }
}

/// How the servers of this credential are reached: all of the list, whichever answers.
pub(crate) fn settings(credential: &ClusterCredential, route: Route) -> UpstreamSettings {
    let ca = &credential.ca_cert_data;
    let addresses = credential.server_address.split(',').map(str::trim).filter(|address| !address.is_empty());
    UpstreamSettings {
        addresses: addresses.map(str::to_owned).collect(),
        trust: if ca.trim_ascii().is_empty() { Trust::System } else { Trust::Pem(ca.clone().into_bytes()) },
        server_name: None,
        route,
        max_idle: MAX_IDLE,
    }
}

/// Scheme and authority, and the path behind them.
pub(crate) fn split(address: &str) -> (String, String) {
    let authority = address.find("://").map_or(0, |at| at + 3);
    let path = address.get(authority..).and_then(|rest| rest.find('/')).map_or(address.len(), |at| authority + at);
    let (server, path) = address.split_at(path);
    (server.to_owned(), path.trim_end_matches('/').to_owned())
}

fn quota_path(namespace: &str) -> String {
    let namespace = segment(namespace);
    format!("/api/v1/namespaces/{namespace}/resourcequotas/{namespace}")
}

/// A name as a part of a path.
fn segment(name: &str) -> String {
    name.bytes().fold(String::with_capacity(name.len()), |mut out, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(byte.into()),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
        out
    })
}

fn prefixed(prefix: &str, error: KubeError) -> KubeError {
    match error {
        KubeError::Refused(message) => KubeError::Refused(format!("{prefix}{message}")),
        KubeError::Failed(reason) => KubeError::Failed(format!("{prefix}{reason}")),
    }
}

impl Client {
    async fn delete_namespace(&self, name: &str) -> Result<(), KubeError> {
        let path = format!("/api/v1/namespaces/{}", segment(name));
        self.call(Method::DELETE, &path, None).await.map(|_| ())
    }

    async fn list(&self, path: &str) -> Result<Vec<Value>, KubeError> {
        let answer = self.call(Method::GET, path, None).await?;
        let list: List = serde_json::from_value(answer).map_err(|error| KubeError::Failed(error.to_string()))?;
        Ok(list.items.unwrap_or_default())
    }

    /// Sends a request; the answer, if it is a good one.
    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, KubeError> {
        let request = self.request(&method, path, body)?;
        let exchange = async {
            let response = self.upstream.send(request).await.map_err(|error| chain(&error))?;
            let status = response.status();
            let answer = body::collect(response.into_body(), MAX_ANSWER).await.map_err(|error| chain(&error))?;
            Ok::<_, String>((status, answer))
        };
        let (status, answer) = match tokio::time::timeout(CALL_LIMIT, exchange).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(reason)) => return Err(self.failed(&method, path, &reason)),
            Err(_) => return Err(self.failed(&method, path, "no answer in time")),
        };
        let value: Option<Value> = serde_json::from_slice(&answer).ok();
        if status.is_success() {
            return Ok(value.unwrap_or_default());
        }
        let message = value.as_ref().and_then(|value| value.get("message")).and_then(Value::as_str);
        let unknown = || format!("the server answered {} to {method} {path}", status.as_u16());
        Err(KubeError::Refused(message.map_or_else(unknown, str::to_owned)))
    }

    fn request(&self, method: &Method, path: &str, body: Option<&Value>) -> Result<Request<Body>, KubeError> {
        let json = HeaderValue::from_static("application/json");
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base)).header(ACCEPT, &json);
        if !self.token.is_empty() {
            let mut bearer = HeaderValue::try_from(format!("Bearer {}", self.token))
                .map_err(|_| KubeError::Failed("the user token of the cluster is no header value".to_owned()))?;
            bearer.set_sensitive(true);
            request = request.header(AUTHORIZATION, bearer);
        }
        let body = match body {
            Some(value) => {
                request = request.header(CONTENT_TYPE, json);
                Body::from(value.to_string())
            }
            None => Body::empty(),
        };
        request.body(body).map_err(|error| KubeError::Failed(error.to_string()))
    }

    /// An error as Go words it: method, URL, reason.
    fn failed(&self, method: &Method, path: &str, reason: &str) -> KubeError {
        let name = method.as_str();
        let verb = name.get(..1).unwrap_or_default().to_owned() + &name.get(1..).unwrap_or_default().to_lowercase();
        KubeError::Failed(format!("{verb} \"{}{}{path}\": {reason}", self.address, self.base))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_may_have_a_path() {
        let parts = |address| split(address);
        let owned = |server: &str, base: &str| (server.to_owned(), base.to_owned());
        assert_eq!(parts("https://10.0.0.1:6443"), owned("https://10.0.0.1:6443", ""));
        assert_eq!(parts("http://h/k1/"), owned("http://h", "/k1"));
        assert_eq!(parts("h:1/a/b"), owned("h:1", "/a/b"));
    }

    #[test]
    fn names_cannot_leave_their_place_in_a_path() {
        assert_eq!(quota_path("a/../b"), "/api/v1/namespaces/a%2F..%2Fb/resourcequotas/a%2F..%2Fb");
        assert_eq!(segment("ns-1.x é"), "ns-1.x%20%C3%A9");
    }
}
