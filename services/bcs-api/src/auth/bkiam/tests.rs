//! The filter as a whole.

use std::convert::Infallible;
use std::time::Duration;

use bcs_common::http::body;
use bcs_common::http::server::{Listener, ServerOptions, serve};
use bcs_common::secret;
use bcs_common::tls::{self, ClientTls};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::jwt::tests::Gateway;
use super::*;

const PODS: &str = "/bcsapi/v4/storage/k8s/dynamic/namespace_resources/clusters/C/namespaces/n/Pod";

fn client() -> HttpClient {
    HttpClient::new(tls::client_config(&ClientTls::default(), &["http/1.1"]).unwrap())
}

/// Options as the configuration gives them, with some keys set.
fn options(keys: &Value) -> BkiamAuthOptions {
    let mut all = json!({
        "auth": true, "remote_check": false, "skip_none_token": false, "auth_version": "3", "apigw_rsa_file": "",
        "auth_token_sync_time": 10, "bkiam_auth_host": "", "bkiam_auth_app_code": "bcs",
        "bkiam_auth_app_secret": "hush", "bkiam_auth_system_id": "sys", "bkiam_auth_scope_id": "scope",
        "bkiam_auth_zookeeper": "", "bkiam_auth_sub_server": "",
    });
    all.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    serde_json::from_value(all).unwrap()
}

fn start(keys: &Value) -> Result<V4Filter, FilterError> {
    V4Filter::start(&options(keys), &client(), &Shutdown::new())
}

/// The message of the refusal; none if the request passes.
async fn refusal(filter: &V4Filter, path: &str, headers: &[(&str, &str)]) -> Option<(i64, String)> {
    let mut request = http::Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (parts, ()) = request.body(()).unwrap().into_parts();
    let response = filter.check(&parts, path).await.err()?;
    assert_eq!(response.status(), 400);
    let answer: Value = serde_json::from_slice(&body::collect(response.into_body(), 1 << 16).await.unwrap()).unwrap();
    assert_eq!((&answer["result"], &answer["data"]), (&json!(false), &Value::Null));
    Some((answer["code"].as_i64().unwrap(), answer["message"].as_str().unwrap().to_owned()))
}

fn check_error(reason: &str) -> Option<(i64, String)> {
    Some((1_405_057, format!("bcs auth check error: {reason}")))
}

#[tokio::test]
async fn off_is_open() {
    let filter = start(&json!({"auth": false})).unwrap();
    assert_eq!(refusal(&filter, PODS, &[]).await, None);
}

#[tokio::test]
async fn the_white_list_and_its_scopes() {
    let encrypt = |token: &str| secret::encrypt(token).unwrap();
    let list = json!([
        {"token": encrypt("all"), "scope": []},
        {"token": "no ciphertext", "scope": []},
        {"token": "", "scope": []},
        {"token": encrypt("cluster"), "scope": [{"cluster_id": "C", "namespace": []}]},
        {"token": encrypt("one"), "scope": [{"cluster_id": "D", "namespace": ["n"]}, {"cluster_id": "C", "namespace": ["n"]}]},
    ]);
    let filter = start(&json!({"bkiam_auth_token_whitelist": list})).unwrap();
    let outside = check_error("auth allow: token not in whitelist and remote check disabled");
    let all_pods = "/bcsapi/v4/storage/k8s/dynamic/all_resources/clusters/C/Pod";
    for (token, path, want) in [
        ("all", PODS, None),
        ("cluster", PODS, outside.clone()),
        ("cluster", all_pods, None),
        ("one", PODS, None),
        ("one", "/bcsapi/v4/storage/without/a/rule", None),
        ("ALL", PODS, check_error("GetToken failed: no in whitelist and remote check is banned")),
    ] {
        assert_eq!(refusal(&filter, path, &[(TOKEN_HEADER, token)]).await, want, "{token} {path}");
    }
    // A header neither opens another cluster nor hides the one in the path.
    for cluster in ["D", "E"] {
        let path = PODS.replace("/C/", "/X/");
        let headers = [(TOKEN_HEADER, "one"), (CLUSTER_HEADER, cluster)];
        assert_eq!(refusal(&filter, &path, &headers).await, outside, "{cluster}");
    }
    let both = [(TOKEN_HEADER, "one"), (CLUSTER_HEADER, "D"), (CLUSTER_HEADER, "E")];
    assert_eq!(refusal(&filter, PODS, &both).await, outside);
    let banned = check_error("GetToken failed: no token provided and remote check is banned");
    for headers in [&[][..], &[(TOKEN_HEADER, "")]] {
        assert_eq!(refusal(&filter, PODS, headers).await, banned);
    }
    let filter = start(&json!({"skip_none_token": true})).unwrap();
    assert_eq!(refusal(&filter, PODS, &[]).await, None);
    assert!(refusal(&filter, PODS, &[(TOKEN_HEADER, "x")]).await.is_some());
}

#[tokio::test]
async fn the_iam_decides_on_users_of_a_jwt() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = Gateway::new();
    let key = dir.path().join("key.pem");
    std::fs::write(&key, gateway.pem()).unwrap();

    let shutdown = Shutdown::new();
    let asked = Arc::new(Mutex::new(Vec::<Value>::new()));
    let listener = Listener::bind("127.0.0.1:0", None).await.unwrap();
    let host = format!("http://{}", listener.local_addr());
    let iam = {
        let asked = Arc::clone(&asked);
        tower::service_fn(move |request: http::Request<Body>| {
            let asked = Arc::clone(&asked);
            async move {
                assert_eq!(request.uri().path(), "/bkiam/api/v1/perm/systems/sys/resources-perms/verify");
                assert_eq!(request.headers()["x-bk-app-secret"], "hush");
                let question = body::collect(request.into_body(), 1 << 16).await.unwrap();
                let question: Value = serde_json::from_slice(&question).unwrap();
                let answer = json!({"data": {"is_pass": question["resource_id"] == "cluster:C/namespace:n"}});
                asked.lock().push(question);
                Ok::<_, Infallible>(Response::new(Body::from(answer.to_string())))
            }
        })
    };
    shutdown.spawn("iam", serve(listener, iam, ServerOptions::default(), shutdown.clone()));

    let keys = json!({"remote_check": true, "apigw_rsa_file": key, "bkiam_auth_host": host});
    let filter = V4Filter::start(&options(&keys), &client(), &shutdown).unwrap();
    let jwt = gateway.sign("RS256", &json!({"user": {"username": "alice"}}));
    assert_eq!(refusal(&filter, PODS, &[(JWT_HEADER, &jwt)]).await, None);
    let want = json!({
        "principal_type": "user", "principal_id": "alice", "scope_type": "project", "scope_id": "scope",
        "action_id": "cluster-readonly", "resource_type": "namespace", "resource_id": "cluster:C/namespace:n",
    });
    assert_eq!(*asked.lock(), [want]);
    let other = PODS.replace("/C/", "/D/");
    let no_authority = Some((1_405_058, "bcs auth check error".to_owned()));
    assert_eq!(refusal(&filter, &other, &[(JWT_HEADER, &jwt)]).await, no_authority);
    for (headers, reason) in [
        (&[][..], "user token and api gateway jwt are both empty"),
        (&[(JWT_HEADER, "a.b.c")], "api gateway jwt is malformed"),
        (&[(TOKEN_HEADER, "unknown")], "token not exists"),
    ] {
        assert_eq!(refusal(&filter, PODS, headers).await, check_error(&format!("GetToken failed: {reason}")));
    }
    shutdown.drain(Duration::from_secs(5)).await;
    let gone = check_error("auth allow: the permission service gave no answer");
    assert_eq!(refusal(&filter, PODS, &[(JWT_HEADER, &jwt)]).await, gone);
}

#[test]
fn unusable_settings_name_their_key() {
    let error = |keys: &Value| start(keys).err().unwrap().to_string();
    assert_eq!(error(&json!({"remote_check": true})), "key \"bkiam_auth.apigw_rsa_file\": a remote check needs it");
    let missing = error(&json!({"remote_check": true, "apigw_rsa_file": "/nowhere/key.pem"}));
    assert_eq!(missing, "key \"bkiam_auth.apigw_rsa_file\": /nowhere/key.pem");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key.pem");
    std::fs::write(&file, Gateway::new().pem()).unwrap();
    let keys = json!({"remote_check": true, "apigw_rsa_file": file, "auth_token_sync_time": 0});
    assert_eq!(error(&keys), "key \"bkiam_auth.auth_token_sync_time\" must be positive");
    std::fs::write(&file, "no key").unwrap();
    assert!(error(&keys).ends_with("holds no RSA public key in PEM"));
}
