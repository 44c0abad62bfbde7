//! What the tests of bcs-user-manager share.

use bcs_common::secret;
use bcs_integration_tests::http::Client;
use bcs_integration_tests::service::{Service, ServiceSpec};
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};

/// Token of the bootstrap user `admin`.
pub const ADMIN: &str = "0123456789abcdefghijABCDEFGHIJ01";

/// The prefix of all routes.
pub const PREFIX: &str = "/usermanager/v1";

/// A config with a bootstrap admin, on a database; an empty name is the embedded one.
pub fn config(dsn: &str) -> Value {
    json!({
        "insecure_address": "127.0.0.1",
        "mysql_dsn": if dsn.is_empty() { String::new() } else { secret::encrypt(dsn).unwrap() },
        "bootstrap_users": [{"name": "admin", "user_type": "admin", "token": secret::encrypt(ADMIN).unwrap()}],
    })
}

/// A service with a config, with a plain listener on its first port.
pub async fn start(config: &Value) -> Service {
    let spec = ServiceSpec::new("bcs-user-manager").config(config);
    spec.ports(&["insecure_port", "port", "metric_port"]).start().await
}

/// Calls of one user.
#[derive(Clone)]
pub struct Api {
    client: Client,
    token: String,
}

impl Api {
    /// Calls to a service by its bootstrap admin.
    pub fn admin(service: &Service) -> Self {
        Self { client: service.client(), token: ADMIN.to_owned() }
    }

    /// The same service, another user.
    pub fn with_token(&self, token: &str) -> Self {
        Self { client: self.client.clone(), token: token.to_owned() }
    }

    /// A call; status and JSON of the answer.
    pub async fn call(&self, method: Method, path: &str, body: &Value) -> (StatusCode, Value) {
        let request = Request::builder()
            .method(method)
            .uri(format!("{PREFIX}{path}"))
            .header(AUTHORIZATION, format!("Bearer {}", self.token));
        let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        let response = self.client.request(request.body(Full::new(body)).unwrap()).await.unwrap();
        (response.status, response.json())
    }

    /// The data of a call that must succeed.
    pub async fn data(&self, method: Method, path: &str, body: &Value) -> Value {
        let (status, answer) = self.call(method, path, body).await;
        assert_eq!((status, &answer["code"]), (StatusCode::OK, &json!(0)), "{answer}");
        answer["data"].clone()
    }

    /// Creates a user and gives its token.
    pub async fn create_user(&self, user_type: &str, name: &str) -> String {
        let user = self.data(Method::POST, &format!("/users/{user_type}/{name}"), &Value::Null).await;
        user["user_token"].as_str().unwrap().to_owned()
    }

    /// Grants (POST) or revokes (DELETE) a role.
    pub async fn change_permission(&self, method: Method, user: &str, resource_type: &str, resource: &str, role: &str) {
        let entry = json!({"user_name": user, "resource_type": resource_type, "resource": resource, "role": role});
        let body = json!({"apiVersion": "v1", "kind": "permission", "spec": {"permissions": [entry]}});
        self.data(method, "/permissions", &body).await;
    }

    /// Asks whether a token may GET a cluster.
    pub async fn verify(&self, user_token: &str, cluster: &str) -> (StatusCode, Value) {
        let body = json!({"user_token": user_token, "resource_type": "cluster", "resource": cluster, "action": "GET"});
        self.call(Method::GET, "/permissions/verify", &body).await
    }

    /// Whether a token may GET a cluster; none while the service cannot say.
    pub async fn allowed(&self, user_token: &str, cluster: &str) -> Option<bool> {
        let (_, answer) = self.verify(user_token, cluster).await;
        answer["data"]["allowed"].as_bool()
    }
}
