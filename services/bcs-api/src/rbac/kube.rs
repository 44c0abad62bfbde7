//! RBAC objects in a cluster.

use bcs_common::http::Body;
use bcs_common::http::body;
use bcs_common::shutdown::Shutdown;
use bcs_tunnel::proxy::{Route, Trust, Upstream, UpstreamError, UpstreamSettings};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use std::time::Duration;
use thiserror::Error;

use super::roles;
use crate::store::Access;

/// What a part of a path or a value of a query cannot hold as it is.
const PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
const API: &str = "/apis/rbac.authorization.k8s.io/v1";
/// Limit of a call.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Longest answer in bytes.
const MAX_ANSWER: usize = 16 << 20;
/// How often a cluster is dialled, and the pause between.
const TRIES: usize = 3;
const PAUSE: Duration = Duration::from_secs(3);
const MAX_IDLE: usize = 2;

/// Why an object is not as it should be.
#[derive(Debug, Error)]
pub(super) enum KubeError {
    /// The credentials of the cluster make no backend.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// The token makes no header, or the names make no path.
    #[error("the credentials or names make no request")]
    Request,
    /// No answer.
    #[error("no answer: {0}")]
    Transport(String),
    /// The cluster refused.
    #[error("{method} {path} answered {status}: {message}")]
    Refused {
        /// The method.
        method: Method,
        /// The path.
        path: String,
        /// The status.
        status: StatusCode,
        /// What the cluster says about it.
        message: String,
    },
    /// There is no such role.
    #[error("there is no role {0:?}")]
    Role(String),
}

/// Where a binding holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope<'a> {
    /// Everywhere: a ClusterRoleBinding.
    Cluster,
    /// In one namespace: a RoleBinding.
    Namespace(&'a str),
}

impl Scope<'_> {
    fn path(self) -> String {
        match self {
            Self::Cluster => format!("{API}/clusterrolebindings"),
            Self::Namespace(name) => {
                format!("{API}/namespaces/{}/rolebindings", utf8_percent_encode(name, PART))
            }
        }
    }

    fn kind(self) -> &'static str {
        match self {
            Self::Cluster => "ClusterRoleBinding",
            Self::Namespace(_) => "RoleBinding",
        }
    }

    fn prefix(self) -> &'static str {
        match self {
            Self::Cluster => "clusterrolebinding",
            Self::Namespace(_) => "rolebinding",
        }
    }
}

/// A binding of a user to a role that this service made.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Binding {
    /// Name of the object.
    pub name: String,
    /// The role, without `bke-`.
    pub role: String,
    /// Why it was made.
    pub from: String,
}

/// The RBAC API of a cluster.
pub(super) struct Kube {
    upstream: Upstream,
    authorization: HeaderValue,
}

impl Kube {
    /// That of the cluster with these credentials. Its certificate must be made out for the address.
    pub fn new(access: &Access, shutdown: &Shutdown) -> Result<Self, KubeError> {
        let trust = match access.ca_cert_data.as_str() {
            "" => Trust::System,
            pem => Trust::Pem(pem.as_bytes().to_vec()),
        };
        let addresses = access.server_addresses.split(';').filter(|address| !address.is_empty());
        let settings = UpstreamSettings {
            addresses: addresses.map(str::to_owned).collect(),
            trust,
            server_name: None,
            route: Route::Direct,
            max_idle: MAX_IDLE,
        };
        let upstream = Upstream::new(&settings, shutdown.clone())?;
        let mut authorization =
            HeaderValue::try_from(format!("Bearer {}", access.user_token)).map_err(|_| KubeError::Request)?;
        authorization.set_sensitive(true);
        Ok(Self { upstream, authorization })
    }

    /// Makes the ClusterRole of a role, or gives it its rules back.
    pub async fn ensure_role(&self, role: &str) -> Result<(), KubeError> {
        let rules = roles::rules(role).ok_or_else(|| KubeError::Role(role.to_owned()))?;
        let name = roles::cluster_role(role);
        let collection = format!("{API}/clusterroles");
        let path = format!("{collection}/{name}");
        let mut known = match self.call(Method::GET, &path, None).await {
            Ok(known) => known,
            Err(KubeError::Refused { status: StatusCode::NOT_FOUND, .. }) => {
                let object = json!({
                    "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
                    "metadata": {"name": name}, "rules": rules,
                });
                return match self.call(Method::POST, &collection, Some(&object)).await {
                    // Another instance made it in the meantime.
                    Err(KubeError::Refused { status: StatusCode::CONFLICT, .. }) => Ok(()),
                    made => made.map(|_| ()),
                };
            }
            Err(error) => return Err(error),
        };
        if known.get("rules") == Some(&rules) {
            return Ok(());
        }
        if let Some(object) = known.as_object_mut() {
            object.insert("rules".to_owned(), rules);
        }
        self.call(Method::PUT, &path, Some(&known)).await.map(|_| ())
    }

    /// The bindings of a user that this service made.
    pub async fn bindings(&self, scope: Scope<'_>, user: &str) -> Result<Vec<Binding>, KubeError> {
        let selector = format!("{}.user.bke.bcs={user}", scope.prefix());
        let path = format!("{}?labelSelector={}", scope.path(), utf8_percent_encode(&selector, PART));
        let list = self.call(Method::GET, &path, None).await?;
        let items = list.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        Ok(items.iter().filter_map(|item| binding(scope, item)).collect())
    }

    /// Binds a user to a role.
    pub async fn bind(&self, scope: Scope<'_>, user: &str, role: &str, from: &str) -> Result<(), KubeError> {
        let prefix = scope.prefix();
        let object = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": scope.kind(),
            "metadata": {
                "generateName": format!("{prefix}-"),
                "labels": {format!("{prefix}.user.bke.bcs"): user, format!("{prefix}.from.bke.bcs"): from},
            },
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": roles::cluster_role(role),
            },
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
        });
        self.call(Method::POST, &scope.path(), Some(&object)).await.map(|_| ())
    }

    /// Removes a binding.
    pub async fn unbind(&self, scope: Scope<'_>, name: &str) -> Result<(), KubeError> {
        let path = format!("{}/{}", scope.path(), utf8_percent_encode(name, PART));
        match self.call(Method::DELETE, &path, None).await {
            Err(KubeError::Refused { status: StatusCode::NOT_FOUND, .. }) => Ok(()),
            outcome => outcome.map(|_| ()),
        }
    }

    async fn call(&self, method: Method, path: &str, object: Option<&Value>) -> Result<Value, KubeError> {
        let mut tries = 1;
        loop {
            match self.try_call(&method, path, object).await {
                Err(Attempt::Unsent(_)) if tries < TRIES => {
                    tries += 1;
                    tokio::time::sleep(PAUSE).await;
                }
                Err(Attempt::Unsent(error) | Attempt::Final(error)) => return Err(error),
                Ok(answer) => return Ok(answer),
            }
        }
    }

    async fn try_call(&self, method: &Method, path: &str, object: Option<&Value>) -> Result<Value, Attempt> {
        let body = object.map(Value::to_string).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(AUTHORIZATION, self.authorization.clone())
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/json")
            .body(Body::from(body))
            .map_err(|_| Attempt::Final(KubeError::Request))?;
        let exchange = async {
            let response = self.upstream.send(request).await.map_err(|error| {
                let reason = KubeError::Transport(error.text().to_owned());
                if error.is_unsent() { Attempt::Unsent(reason) } else { Attempt::Final(reason) }
            })?;
            let status = response.status();
            let bytes = body::collect(response.into_body(), MAX_ANSWER).await;
            let bytes = bytes.map_err(|error| Attempt::Final(KubeError::Transport(error.to_string())))?;
            let answer: Value = serde_json::from_slice(&bytes).unwrap_or_default();
            if status.is_success() {
                return Ok(answer);
            }
            let message = answer.get("message").and_then(Value::as_str).unwrap_or_default().to_owned();
            let (method, path) = (method.clone(), path.to_owned());
            Err(Attempt::Final(KubeError::Refused { method, path, status, message }))
        };
        let late = |_| Err(Attempt::Final(KubeError::Transport("no answer in time".to_owned())));
        tokio::time::timeout(TIMEOUT, exchange).await.unwrap_or_else(late)
    }
}

/// How one try of a call failed.
enum Attempt {
    /// There is no connection.
    Unsent(KubeError),
    Final(KubeError),
}

fn binding(scope: Scope<'_>, item: &Value) -> Option<Binding> {
    let name = item.pointer("/metadata/name")?.as_str()?.to_owned();
    let role = item.pointer("/roleRef/name")?.as_str()?.strip_prefix("bke-")?.to_owned();
    let label = format!("{}.from.bke.bcs", scope.prefix());
    let from = item.get("metadata")?.get("labels")?.get(label).and_then(Value::as_str).unwrap_or_default();
    Some(Binding { name, role, from: from.to_owned() })
}
