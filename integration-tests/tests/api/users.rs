//! A service with a bootstrap admin, and calls of its REST API as one user or another.

use bcs_common::secret;
use bcs_integration_tests::http::Client;
use bcs_integration_tests::service::{Service, ServiceSpec};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};

use crate::backend::Backend;

/// Token of the bootstrap user `admin`.
pub const ADMIN: &str = "AdminToken0123456789abcdefghijkl";

/// A config with a bootstrap admin, on a database; an empty name is the embedded one. Nothing listens at the ZooKeeper it
/// names.
pub fn config(dsn: &str) -> Value {
    json!({
        "insecure_address": "127.0.0.1",
        "local_ip": "127.0.0.1",
        "bcs_zookeeper": "127.0.0.1:1",
        "bke": {
            "mysql_dsn": dsn,
            "bootstrap_users": [
                {"name": "admin", "is_super_user": true, "tokens": [secret::encrypt(ADMIN).unwrap()]},
            ],
        },
    })
}

/// A service with a config, with a plain listener on its first port.
pub async fn start(config: &Value) -> Service {
    let spec = ServiceSpec::new("bcs-api").config(config);
    spec.ports(&["insecure_port", "port", "metric_port"]).start().await
}

/// Calls of one user.
#[derive(Clone)]
pub struct Api {
    client: Client,
    authorization: Option<String>,
}

impl Api {
    /// Calls by the bootstrap admin.
    pub fn admin(service: &Service) -> Self {
        Self { client: service.client(), authorization: Some(format!("Bearer {ADMIN}")) }
    }

    /// The same service, another user.
    pub fn with_token(&self, token: &str) -> Self {
        self.with_authorization(Some(&format!("Bearer {token}")))
    }

    /// The same service, any `Authorization` header, or none.
    pub fn with_authorization(&self, authorization: Option<&str>) -> Self {
        Self { client: self.client.clone(), authorization: authorization.map(str::to_owned) }
    }

    /// A call; status and JSON of the answer.
    pub async fn call(&self, method: Method, path: &str, body: &Value) -> (StatusCode, Value) {
        let mut request = Request::builder().method(method).uri(format!("/rest{path}"));
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        let request = request.header(CONTENT_TYPE, "application/json").body(Full::new(body)).unwrap();
        let response = self.client.request(request).await.unwrap();
        (response.status, response.json())
    }

    /// The answer to a call that must succeed.
    pub async fn data(&self, method: Method, path: &str, body: &Value) -> Value {
        let (status, answer) = self.call(method, path, body).await;
        assert_eq!(status, StatusCode::OK, "{path}: {answer}");
        answer
    }

    /// Makes a user and gives its token.
    pub async fn create_user(&self, name: &str) -> String {
        let user = self.data(Method::POST, "/users", &json!({ "user_name": name })).await;
        let path = format!("/users/{}/tokens", user["ID"]);
        let token = self.data(Method::POST, &path, &Value::Null).await;
        token["Value"].as_str().unwrap().to_owned()
    }

    /// Makes a cluster that stands for one of BCS, and gives its BKE id.
    pub async fn create_cluster(&self, id: &str) -> String {
        let body = json!({"id": id, "project_id": "p"});
        let cluster = self.data(Method::POST, "/clusters/bcs", &body).await;
        cluster["id"].as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn the_paas_of_the_default_edition_says_whose_an_access_token_is() {
    let paas = Backend::start().await;
    let mut config = config("");
    config["bkiam_auth"] = json!({"bkiam_auth_host": format!("http://{}", paas.address())});
    let mut service = start(&config).await;
    let nobody = Api::admin(&service).with_authorization(None);
    let mut creators = Vec::new();
    for id in ["BCS-K8S-1", "BCS-K8S-2"] {
        let body = json!({"id": id, "project_id": "p"});
        let made = nobody.data(Method::POST, "/clusters/bcs?access_token=a/b%26c", &body).await;
        creators.push(made["creator_id"].as_u64().unwrap());
        let query = format!("/clusters/bcs/query_by_id?project_id=p&cluster_id={id}&access_token=a/b%26c");
        assert_eq!(nobody.data(Method::GET, &query, &Value::Null).await["id"], made["id"]);
    }
    assert!(creators[0] == creators[1] && creators[0] != 1, "the same new user: {creators:?}");

    // A token that the PaaS does not know is none; the bearer token is looked at then.
    let list = "/clusters/cidr/list_count?access_token=unknown";
    assert_eq!(nobody.call(Method::GET, list, &Value::Null).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(Api::admin(&service).call(Method::GET, list, &Value::Null).await.0, StatusCode::OK);
    let asked = paas.heads();
    assert!(asked[0].starts_with("GET /oauth/token?access_token=a%2Fb%26c HTTP/1.1\r\n"), "{}", asked[0]);
    service.stop().await;
    let [stdout, stderr] = service.daemon().process().output();
    assert!(!stdout.contains("b%26c") && !stderr.contains("b%26c"), "{stderr}");
}
