//! The remote check of `/bcsapi/v4`: the JWT of the API gateway, and the tokens that ZooKeeper keeps.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bcs_integration_tests::http::Response;
use bcs_integration_tests::servers::zookeeper::ZooKeeper;
use bcs_integration_tests::service::Service;
use bcs_integration_tests::wait::{eventually, eventually_some};
use http::{Method, Request};
use http_body_util::Full;
use rcgen::{KeyPair, PKCS_RSA_SHA256, SigningKey};
use serde_json::{Value, json};
use zookeeper_client::{Acl, Acls, AuthId, Client, CreateMode, Permission};

use crate::backend::Backend;
use crate::harness::{Registrar, SOON, spec};

const POD: &str = "/bcsapi/v4/storage/k8s/dynamic/namespace_resources/clusters/C/namespaces/n/Pod/p";
const TOKENS: &str = "/bcs/services/auth/token";
const KEYS: &str = "/bcs/services/auth/key";
const AUTH: &[u8] = b"bcsce:bcsce@community2019";
const OWNER: &str = "bcsce:n6AK5IylGI53+8xs1i567hzCPeg=";

fn jwt(gateway: &KeyPair, user: &str) -> String {
    let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(json!({"alg": "RS256"})), encode(json!({"user": {"username": user}})));
    let signature = gateway.sign(signed.as_bytes()).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

async fn get(service: &Service, header: &str, value: &str) -> Response {
    let request = Request::builder().method(Method::GET).uri(POD).header(header, value);
    service.client().request(request.body(Full::default()).unwrap()).await.unwrap()
}

/// A record as the original writes it.
fn record(user: &str, token: &str, expires: &str) -> Vec<u8> {
    let time = "2026-01-01T08:00:00.123456789+08:00";
    json!({"token": token, "username": user, "message": "", "expire_time": expires, "create_time": time, "update_time": time})
        .to_string()
        .into_bytes()
}

async fn read(zookeeper: &Client, path: &str) -> Option<Vec<u8>> {
    zookeeper.get_data(path).await.ok().map(|(data, _)| data)
}

async fn token_of(zookeeper: &Client, user: &str) -> Value {
    let path = format!("{TOKENS}/{user}");
    let data = eventually_some("the token is kept", SOON, async || read(zookeeper, &path).await).await;
    serde_json::from_slice(&data).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_of_the_gateway_get_tokens_that_all_instances_know() {
    let server = ZooKeeper::start().await;
    let address = server.address().to_string();
    let zookeeper = Client::connect(&address).await.unwrap();
    zookeeper.auth("digest", AUTH).await.unwrap();
    let acl = [Acl::new(Permission::ALL, AuthId::new("digest", OWNER))];
    let persistent = CreateMode::Persistent.with_acls(Acls::new(&acl));
    for path in ["/bcs", "/bcs/services", "/bcs/services/auth", TOKENS] {
        zookeeper.create(path, b"", &persistent).await.unwrap();
    }
    for (node, data) in [
        ("bob", record("bob", "1700000000_bobsTokens", "2099-01-01T00:00:00Z")),
        ("carol", record("carol", "1700000000_carolToken", "2020-01-01T00:00:00+08:00")),
        ("mallory", record("bob", "1700000000_malloryTok", "2099-01-01T00:00:00Z")),
        ("broken", b"{".to_vec()),
    ] {
        zookeeper.create(&format!("{TOKENS}/{node}"), &data, &persistent).await.unwrap();
    }

    let (gateway, iam) = (KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap(), Backend::start().await);
    let storage = Backend::start().await;
    let _registration = Registrar::new(&address).register("storage", &storage).await;
    let keys = json!({"bcs_zookeeper": address, "bkiam_auth": {
        "auth": true, "remote_check": true, "apigw_rsa_file": "gateway.pem", "auth_token_sync_time": 1,
        "bkiam_auth_host": format!("http://{}", iam.address()), "bkiam_auth_app_code": "bcs",
        "bkiam_auth_app_secret": "hush", "bkiam_auth_system_id": "sys", "bkiam_auth_scope_id": "scope",
        "bkiam_auth_zookeeper": address,
    }});
    let start = async || spec(&keys).file("gateway.pem", gateway.public_key_pem()).start().await;
    let (mut one, two) = (start().await, start().await);
    let until = async |what: &str, service: &Service, token: &str| {
        eventually(what, SOON, async || get(service, "X-Bcs-User-Token", token).await.status == 200).await;
    };
    let refusal = async |header: &str, value: &str| {
        let refused = get(&one, header, value).await;
        assert_eq!(refused.status, 400, "{}", refused.text());
        refused.json()["message"].as_str().unwrap().to_owned()
    };

    until("a token that another instance wrote", &one, "1700000000_bobsTokens").await;
    let token = "bcs auth check error: GetToken failed: token";
    for (given, reason) in [
        ("1700000000_carolToken", "expired"),
        ("1700000000_BOBSTOKENS", "not exists"),
        ("1700000000_malloryTok", "not exists"),
    ] {
        assert_eq!(refusal("X-Bcs-User-Token", given).await, format!("{token} {reason}"));
    }

    // Who comes with a JWT has a token soon, here and on the other instance.
    let forged = jwt(&KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap(), "alice");
    assert!(refusal("X-Bkapi-JWT", &forged).await.ends_with("api gateway jwt has a wrong signature"));
    assert_eq!(get(&one, "X-Bkapi-JWT", &jwt(&gateway, "alice")).await.status, 200);
    let made = token_of(&zookeeper, "alice").await;
    let (alice, path) = (made["token"].as_str().unwrap(), format!("{KEYS}/{}", made["token"].as_str().unwrap()));
    let (seconds, random) = alice.split_once('_').unwrap();
    assert!(seconds.parse::<u64>().unwrap() > 1_700_000_000 && random.len() == 10, "{alice}");
    assert_eq!(read(&zookeeper, &path).await.unwrap(), alice.as_bytes());
    for path in [format!("{TOKENS}/alice"), path] {
        assert_eq!(zookeeper.get_acl(&path).await.unwrap().0, acl, "{path}");
    }
    until("her token here", &one, alice).await;
    until("her token there", &two, alice).await;

    // A token lives on when its user comes again, and keeps its value.
    assert_eq!(get(&one, "X-Bkapi-JWT", &jwt(&gateway, "carol")).await.status, 200);
    until("an expired token is extended", &two, "1700000000_carolToken").await;
    let extended = token_of(&zookeeper, "carol").await;
    assert_eq!(extended["create_time"].as_str().unwrap()[..10], *"2026-01-01");
    assert!(extended["expire_time"].as_str().unwrap() > extended["update_time"].as_str().unwrap(), "{extended}");

    // The tokens are known while ZooKeeper is away.
    drop(server);
    until("a known token", &one, alice).await;
    one.stop().await;
    let [stdout, stderr] = one.daemon().process().output();
    for secret in [alice, "bobsTokens", "hush", &forged] {
        assert!(!stdout.contains(secret) && !stderr.contains(secret), "{secret}");
    }
}
