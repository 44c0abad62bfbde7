//! The API without a network: who may, what is taken, and what a database outage looks like.

use bcs_common::http::body;
use bcs_common::http::router::RouterService;
use bcs_common::shutdown::Shutdown;
use bcs_sql::{Database, Dsn};
use bcs_tke::stub::Stub;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;

use super::*;
use crate::store::tests::store;

const ADMIN: &str = "admin-token";

struct Api {
    service: RouterService<Shared>,
    store: Store,
    _dir: TempDir,
}

async fn api(tke: Option<TkeClient>) -> Api {
    bcs_common::tls::install_provider();
    let (dir, store) = store().await;
    store.insert_user_with_token("admin", true, ADMIN).await.unwrap();
    Api { service: service(&store, tke), store, _dir: dir }
}

fn service(store: &Store, tke: Option<TkeClient>) -> RouterService<Shared> {
    let metrics = ApiMetrics::new(&prometheus::Registry::new()).unwrap();
    let users = Users::new(store.clone(), None);
    router().into_service(Arc::new(Rest { store: store.clone(), users, tke, metrics }))
}

async fn send(service: &RouterService<Shared>, request: http::request::Builder, body: &str) -> (u16, String) {
    let response = service.clone().oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let body = body::collect(response.into_body(), 1 << 20).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

impl Api {
    async fn call(&self, method: &str, path: &str, token: &str, body: Value) -> (u16, Value) {
        let mut request = http::Request::builder().method(method).uri(format!("/rest{path}"));
        if !token.is_empty() {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        request = request.header(CONTENT_TYPE, "application/json");
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let (status, body) = send(&self.service, request, &text).await;
        (status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
    }

    async fn user(&self, name: &str) -> String {
        let (_, user) = self.call("POST", "/users", ADMIN, json!({ "user_name": name })).await;
        let path = format!("/users/{}/tokens", user["ID"]);
        let (status, token) = self.call("POST", &path, ADMIN, Value::Null).await;
        assert_eq!((status, &token["Type"]), (200, &json!(3)));
        token["Value"].as_str().unwrap().to_owned()
    }

    async fn cluster(&self, token: &str, body: Value) -> String {
        let (status, cluster) = self.call("POST", "/clusters/bcs", token, body).await;
        assert_eq!(status, 200, "{cluster}");
        cluster["id"].as_str().unwrap().to_owned()
    }
}

#[test]
fn routes_are_where_the_table_says() {
    let router = router();
    let routes: Vec<(Method, String)> =
        router.routes().map(|(method, template)| (method.clone(), template.to_owned())).collect();
    let table: Vec<(Method, String)> =
        ROUTES.iter().map(|route| (route.method.clone(), format!("{MOUNT}{}", route.template))).collect();
    assert_eq!(routes, table);
    assert_eq!(routes.len(), 20);
}

#[tokio::test]
async fn only_the_owner_and_super_users_read_secrets_of_a_cluster() {
    let api = api(None).await;
    let (owner, other) = (api.user("owner").await, api.user("other").await);
    let id = api.cluster(&owner, json!({"id": "C", "project_id": "p"})).await;
    for (method, path) in [("GET", "credentials"), ("POST", "register_tokens"), ("GET", "register_tokens")] {
        let path = format!("/clusters/{id}/{path}");
        assert_eq!(api.call(method, &path, &other, Value::Null).await.0, 401, "{method} {path}");
        for token in [owner.as_str(), ADMIN] {
            assert_ne!(api.call(method, &path, token, Value::Null).await.0, 401, "{method} {path}");
        }
        // Who may not is told so before, who may is told that there is no such cluster.
        let nowhere = path.replace(&id, "none");
        assert_eq!(api.call(method, &nowhere, "", Value::Null).await.0, 401);
        let (status, answer) = api.call(method, &nowhere, &other, Value::Null).await;
        assert_eq!((status, &answer["message"]), (404, &json!("errcode: 1405060, cluster none not found")));
    }
}

#[tokio::test]
async fn a_cluster_behind_a_tunnel_has_client_credentials() {
    let api = api(None).await;
    let user = api.user("u").await;
    let id = api.cluster(ADMIN, json!({"id": "C", "project_id": "p"})).await;
    let path = format!("/clusters/{id}/client_credentials");
    assert_eq!(api.call("GET", &path, &user, Value::Null).await.0, 400);
    let told = crate::store::TunnelCredentials {
        server_key: id.clone(),
        ca_cert_data: "CA".into(),
        ..crate::store::TunnelCredentials::default()
    };
    api.store.put_tunnel_credentials(&told).await.unwrap();
    let (status, answer) = api.call("GET", &path, &user, Value::Null).await;
    assert_eq!((status, &answer["cacert_data"], &answer["user_token"]), (200, &json!("CA"), &json!(user)));
}

#[tokio::test]
async fn bad_input_is_refused_and_leaves_nothing() {
    let api = api(None).await;
    let long = |length: usize| "x".repeat(length);
    for (path, body, message) in [
        ("/users", json!({"user_name": long(250)}), "'user_name' failed on the 'max' tag"),
        ("/users", json!({"user_name": 7}), "field 'user_name' is required"),
        ("/clusters", json!({"id": "a b"}), "'id' failed on the 'cluster_id' tag"),
        ("/clusters/bcs", json!({"id": "a", "project_id": long(33)}), "'project_id' failed on the 'max' tag"),
        ("/clusters/bcs", json!({"id": long(101), "project_id": "p"}), "'id' failed on the 'cluster_id' tag"),
        ("/clusters/bcs", json!({"id": "a"}), "field 'project_id' is required"),
        // What is missing is told before what is wrong, and of several that are wrong the last one.
        ("/clusters/bcs", json!({"id": "a b"}), "field 'project_id' is required"),
        ("/clusters/bcs", json!({"id": "a b", "project_id": long(33)}), "'project_id' failed on the 'max' tag"),
        ("/clusters/cidr/add_cidr", json!({"vpc": "v"}), "field 'tke_cidrs' is required"),
        ("/tke/lb/subnet", json!({"cluster_region": "r"}), "field 'subnet_id' is required"),
    ] {
        let (status, answer) = api.call("POST", path, ADMIN, body).await;
        let want = json!({"code_name": "VALIDATION_ERROR", "message": format!("errcode: 1405061, {message}")});
        assert_eq!((status, answer), (400, want), "{path}");
    }
    let huge = json!({"id": "a", "project_id": "p", "cluster_type": "tke", "tke_cluster_id": long(256)});
    let (status, answer) = api.call("POST", "/clusters/bcs", ADMIN, huge).await;
    assert_eq!((status, &answer["code_name"]), (500, &json!("CANNOT_CREATE_EXTERNAL_CLUSTER_INFO")));
    assert!(api.store.clusters().await.unwrap().is_empty());
    let (status, answer) = api.call("GET", "/clusters/cidr/list_count", ADMIN, Value::Null).await;
    assert_eq!((status, answer), (200, Value::Null));
}

#[tokio::test]
async fn what_the_database_would_refuse_is_named() {
    let api = api(None).await;
    let long = |length: usize| "x".repeat(length);
    let plain = json!({"id": "p"});
    assert_eq!(api.call("POST", "/clusters", ADMIN, plain.clone()).await.0, 200);
    let add = json!({"vpc": "v", "tke_cidrs": [{"cidr": "c", "ip_number": 1}]});
    assert_eq!(api.call("POST", "/clusters/cidr/add_cidr", ADMIN, add).await.0, 200);
    for (path, body, code_name, message) in [
        (
            "/clusters",
            plain,
            "*MODELS.CLUSTER",
            "can not create cluster, error: create failed, cluster with this id already exists",
        ),
        (
            "/clusters/cidr/add_cidr",
            json!({"vpc": "v", "tke_cidrs": [{"cidr": "c", "ip_number": 1_u64 << 32}]}),
            "ADD_TKE_CIDR_FAILED",
            "errcode: 1405062, add tke cidr failed, error: Out of range value for column 'ip_number'",
        ),
        (
            "/clusters/cidr/apply_cidr",
            json!({"vpc": "v", "cluster": long(256), "ip_number": 1}),
            "APPLY_TKE_CIDR_FAILED",
            "errcode: 1405062, apply tkeCidr failed: Data too long for column 'cluster'",
        ),
        (
            "/clusters/cidr/apply_cidr",
            json!({"vpc": "v", "cluster": "c", "ip_number": 1_u64 << 32}),
            "NO_AVAILABLE_CIDR",
            "errcode: 1405062, apply cidr failed, no available cidr any more",
        ),
        (
            "/clusters/cidr/release_cidr",
            json!({"vpc": "v", "cidr": "c", "cluster": long(256)}),
            "NO_SUCH_CIDR",
            "errcode: 1405061, no such cidr to be released",
        ),
        (
            "/tke/lb/subnet",
            json!({"cluster_region": "r", "subnet_id": long(257)}),
            "CANNOT_UPDATE_TKE_LB_SUBNET",
            "errcode: 1405062, can not update tke lb subnet, error: \
             Error 1406: Data too long for column 'subnet_id' at row 1",
        ),
    ] {
        let (status, answer) = api.call("POST", path, ADMIN, body).await;
        assert_eq!((status, answer), (400, json!({"code_name": code_name, "message": message})), "{path}");
    }
}

#[tokio::test]
async fn names_and_ids_differ_in_more_than_case() {
    let api = api(None).await;
    api.user("Bob").await;
    let (status, answer) = api.call("POST", "/users", ADMIN, json!({"user_name": "bOB"})).await;
    assert_eq!((status, &answer["code_name"]), (400, &json!("USER_ALREADY_EXISTS")));
    assert_eq!(api.call("GET", "/users/BOB", ADMIN, Value::Null).await.1["Name"], "plain:Bob");
    let id = api.cluster(ADMIN, json!({"id": "BCS-K8S-1", "project_id": "P"})).await;
    let again = json!({"id": "bcs-k8s-1", "project_id": "p"});
    assert_eq!(api.call("POST", "/clusters/bcs", ADMIN, again).await.1["code_name"], "CLUSTER_ALREADY_EXISTS");
    let other = api.cluster(ADMIN, json!({"id": "BCS-K8S-1", "project_id": "other"})).await;
    assert_ne!(id, other);
    let (_, found) = api.call("GET", "/clusters/bcs/query_by_cluster_id?cluster_id=bcs-k8s-1", "", Value::Null).await;
    assert_eq!(found["id"], id);
}

#[tokio::test]
async fn media_types() {
    let api = api(None).await;
    let request = |content_type: Option<&str>, accept: &str| {
        let mut request = http::Request::post("/rest/users").header(AUTHORIZATION, format!("Bearer {ADMIN}"));
        if let Some(content_type) = content_type {
            request = request.header(CONTENT_TYPE, content_type);
        }
        request.header("accept", accept)
    };
    let unsupported = (415, "415: Unsupported Media Type".to_owned());
    for content_type in [None, Some("text/plain"), Some("application/jsonx")] {
        assert_eq!(send(&api.service, request(content_type, "*/*"), "{}").await, unsupported, "{content_type:?}");
    }
    for content_type in [Some("application/json"), Some("application/json; charset=utf-8")] {
        let (status, body) = send(&api.service, request(content_type, "*/*"), "{}").await;
        assert!(status == 400 && body.contains("VALIDATION_ERROR"), "{content_type:?}");
    }
    assert_eq!(send(&api.service, request(None, "*/*"), "").await.0, 400);
    let none = "406: Not Acceptable\n\nAvailable representations: ";
    assert_eq!(send(&api.service, request(Some("text/plain"), "*/*"), "").await, (406, none.to_owned()));
    let (status, body) = send(&api.service, request(Some("application/json"), "text/html"), "{}").await;
    assert_eq!((status, body), (406, format!("{none}application/json")));
}

#[tokio::test]
async fn an_outage_of_the_database_is_never_a_refusal() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let dsn = Dsn::parse(&format!("u:p@tcp({closed})/bke?timeout=1s"), std::path::Path::new("unused")).unwrap();
    let store = Store::unprepared(Database::new(dsn).unwrap());
    let service = service(&store, None);
    for route in ROUTES {
        let path = route.template.replace("{user_id}", "1").replace("{user_name}", "u").replace("{cluster_id}", "c");
        let request = http::Request::builder()
            .method(route.method.clone())
            .uri(format!("/rest{path}?project_id=p&cluster_id=c"))
            .header(AUTHORIZATION, "Bearer token")
            .header(CONTENT_TYPE, "application/json");
        let credentials = json!({
            "register_token": "x", "server_addresses": "https://10.0.0.1", "cacert_data": "x", "user_token": "x",
        });
        let (status, body) = send(&service, request, &credentials.to_string()).await;
        let answer: Value = serde_json::from_str(&body).unwrap();
        let want = "errcode: 1405062, cannot connect to the database";
        assert_eq!((status, &answer["message"]), (503, &json!(want)), "{} {path}", route.method);
    }
}

#[tokio::test]
async fn tke_clusters() {
    let shutdown = Shutdown::new();
    bcs_common::tls::install_provider();
    let reply = r#"{"code":0,"data":{"domain":"c.example.com","certificationAuthority":"CA","pgwEndpoint":"169.254.1.1",
        "password":"p","status":"Created"}}"#;
    let stub = Stub::start(reply, &shutdown).await;
    let client = TkeClient::new("id".into(), "key", stub.host().to_owned(), "/v2/index.php".into()).unwrap();
    let api = api(Some(client)).await;
    let tke = json!({"id": "T", "project_id": "p", "cluster_type": "tke", "tke_cluster_id": "cls-1",
        "tke_cluster_region": "ap-x"});
    let id = api.cluster(ADMIN, tke).await;
    let (status, answer) = api.call("POST", &format!("/clusters/{id}/bind_lb"), ADMIN, Value::Null).await;
    let unset = "can't find a lb subnet for cluster region: ap-x";
    assert_eq!((status, answer), (400, json!({"code_name": "CANNOT_BIND_TKE_CLUSTER_LB", "message": unset})));
    assert!(stub.asked().is_empty());
    let subnet = json!({"cluster_region": "ap-x", "subnet_id": "subnet-1"});
    assert_eq!(api.call("POST", "/tke/lb/subnet", ADMIN, subnet).await, (200, json!({})));
    assert_eq!(api.call("POST", &format!("/clusters/{id}/bind_lb"), ADMIN, Value::Null).await, (200, json!({})));
    let status = json!({"cluster_id": id, "status": "Created"});
    assert_eq!(api.call("GET", &format!("/clusters/{id}/get_lb_status"), ADMIN, Value::Null).await, (200, status));
    let sync = format!("/clusters/{id}/sync_credentials");
    assert_eq!(api.call("POST", &sync, ADMIN, Value::Null).await, (200, json!({})));
    let access = api.store.credentials(&id).await.unwrap().unwrap().access;
    assert_eq!((access.server_addresses.as_str(), access.user_token.as_str()), ("https://169.254.1.1:443", "p"));
    assert_eq!((access.ca_cert_data.as_str(), access.cluster_domain.as_str()), ("CA", "https://c.example.com/"));
    let asked = stub.asked();
    assert!(asked[0].contains("Action=BindMasterVipLoadBalancer") && asked[0].contains("subnetId=subnet-1"));
    assert!(asked[1].contains("Action=GetMasterVip") && asked[2].contains("Action=DescribeClusterSecurityInfo"));

    let k8s = api.cluster(ADMIN, json!({"id": "K", "project_id": "p"})).await;
    let (_, answer) = api.call("POST", &format!("/clusters/{k8s}/sync_credentials"), ADMIN, Value::Null).await;
    assert_eq!(answer["code_name"], "NOT_TKE_CLUSTER");
    assert_eq!(api.call("POST", "/clusters", ADMIN, json!({"id": "x"})).await.0, 200);
    let (_, answer) = api.call("POST", "/clusters/plain-x/bind_lb", ADMIN, Value::Null).await;
    assert_eq!(answer["code_name"], "EXTERNAL_CLUSTER_NOT_EXISTS");
    shutdown.drain(std::time::Duration::from_secs(5)).await;
}
