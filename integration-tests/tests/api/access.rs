//! Every route of the REST API with every kind of caller.

use bcs_api::{REST_ROUTES, RestAccess};
use bcs_integration_tests::service::{Service, ServiceSpec};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::users::{ADMIN, Api, config, start};

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Who {
    Super,
    User,
    Owner,
    Everybody,
}

/// The routes of the spec, with a path for each; `{c}` is a cluster.
fn tried() -> Vec<(Method, &'static str, &'static str, Who)> {
    use Who::{Everybody, Owner, Super, User};
    let (get, post, put) = (Method::GET, Method::POST, Method::PUT);
    vec![
        (post.clone(), "/users", "/users", Super),
        (get.clone(), "/users/{user_name}", "/users/u", Super),
        (post.clone(), "/users/{user_id}/tokens", "/users/1/tokens", Super),
        (post.clone(), "/clusters", "/clusters", User),
        (post.clone(), "/clusters/bcs", "/clusters/bcs", User),
        (get.clone(), "/clusters/bcs/query_by_id", "/clusters/bcs/query_by_id", User),
        (get.clone(), "/clusters/bcs/query_by_cluster_id", "/clusters/bcs/query_by_cluster_id", Everybody),
        (put, "/clusters/{cluster_id}/credentials", "/clusters/{c}/credentials", Everybody),
        (get.clone(), "/clusters/{cluster_id}/credentials", "/clusters/{c}/credentials", Owner),
        (get.clone(), "/clusters/{cluster_id}/client_credentials", "/clusters/{c}/client_credentials", User),
        (get.clone(), "/clusters/{cluster_id}/register_tokens", "/clusters/{c}/register_tokens", Owner),
        (post.clone(), "/clusters/{cluster_id}/register_tokens", "/clusters/{c}/register_tokens", Owner),
        (post.clone(), "/clusters/{cluster_id}/bind_lb", "/clusters/{c}/bind_lb", User),
        (get.clone(), "/clusters/{cluster_id}/get_lb_status", "/clusters/{c}/get_lb_status", User),
        (post.clone(), "/clusters/{cluster_id}/sync_credentials", "/clusters/{c}/sync_credentials", User),
        (post.clone(), "/tke/lb/subnet", "/tke/lb/subnet", Super),
        (post.clone(), "/clusters/cidr/add_cidr", "/clusters/cidr/add_cidr", Super),
        (post.clone(), "/clusters/cidr/apply_cidr", "/clusters/cidr/apply_cidr", User),
        (post, "/clusters/cidr/release_cidr", "/clusters/cidr/release_cidr", User),
        (get, "/clusters/cidr/list_count", "/clusters/cidr/list_count", User),
    ]
}

fn who(access: RestAccess) -> Who {
    match access {
        RestAccess::Super => Who::Super,
        RestAccess::User | RestAccess::Cluster => Who::User,
        RestAccess::Owner => Who::Owner,
        RestAccess::Open => Who::Everybody,
    }
}

async fn is_refused(api: &Api, method: &Method, path: &str) -> bool {
    let (status, answer) = api.call(method.clone(), path, &json!({})).await;
    if status != StatusCode::UNAUTHORIZED {
        return false;
    }
    let message = "errcode：1405059,  anonymous requests is forbidden, please provide a valid token";
    assert_eq!(answer, json!({"code_name": "UNAUTHORIZED", "message": message}), "{method} {path}");
    true
}

/// The token of a user whose tokens have all expired.
async fn expired(service: &Service, admin: &Api) -> String {
    let token = admin.create_user("expired").await;
    let database = rusqlite::Connection::open(service.dir().path().join("data/api.db")).unwrap();
    let sql = "UPDATE user_tokens SET expires_at = '2020-01-01 00:00:00' WHERE value = ?1";
    assert_eq!(database.execute(sql, [&token]).unwrap(), 1);
    token
}

#[tokio::test]
async fn every_route_checks_who_calls() {
    let tried = tried();
    let known: Vec<_> =
        REST_ROUTES.iter().map(|route| (route.method.clone(), route.template, who(route.access))).collect();
    let listed: Vec<_> = tried.iter().map(|(method, template, _, who)| (method.clone(), *template, *who)).collect();
    assert_eq!(known, listed);

    let service = start(&config("")).await;
    let admin = Api::admin(&service);
    let (owner, other) = (admin.create_user("owner").await, admin.create_user("other").await);
    let expired = expired(&service, &admin).await;
    let cluster = admin.with_token(&owner).create_cluster("C").await;
    // The password of basic authentication counts on the routes of super users, and nowhere else.
    let basic = format!("Basic {}", base64_of(&format!("any:{ADMIN}")));
    for (method, _, path, who) in &tried {
        let path = path.replace("{c}", &cluster);
        let what = format!("{method} {path}");
        for header in [
            None,
            Some(String::new()),
            Some("Bearer wrong".to_owned()),
            Some(format!("Bearer {}", ADMIN.to_uppercase())),
            Some(format!("Bearer  {ADMIN}")),
            Some(format!("Token {ADMIN}")),
            Some(ADMIN.to_owned()),
            Some(format!("Bearer {expired}")),
            Some(format!("Basic {}", base64_of(&format!("{ADMIN}:")))),
        ] {
            let caller = admin.with_authorization(header.as_deref());
            assert_eq!(is_refused(&caller, method, &path).await, *who != Who::Everybody, "{what} {header:?}");
        }
        let allowed = |header: String| {
            let caller = admin.with_authorization(Some(&header));
            let (method, path) = (method.clone(), path.clone());
            async move { !is_refused(&caller, &method, &path).await }
        };
        assert_eq!(allowed(format!("Bearer {other}")).await, matches!(who, Who::User | Who::Everybody), "{what}");
        assert_eq!(allowed(format!("Bearer {owner}")).await, *who != Who::Super, "{what}");
        assert_eq!(allowed(basic.clone()).await, matches!(who, Who::Super | Who::Everybody), "{what}");
        for scheme in ["Bearer", "bearer", "BEARER"] {
            assert!(allowed(format!("{scheme} {ADMIN}")).await, "{what}");
        }
    }
    let [_, log] = {
        let mut service = service;
        service.daemon().process().output()
    };
    for secret in [ADMIN, &owner, &other, &expired] {
        assert!(!log.contains(secret), "a token is in the log");
    }
}

fn base64_of(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(text)
}

#[tokio::test]
async fn user_0_and_empty_filters_match_nothing() {
    let service = start(&config("")).await;
    let admin = Api::admin(&service);
    admin.create_cluster("C").await;
    for id in ["0", "-1", "00", "x"] {
        let (status, answer) = admin.call(Method::POST, &format!("/users/{id}/tokens"), &Value::Null).await;
        assert_eq!((status.as_u16(), &answer["code_name"]), (400, &json!("USER_ID_INVALID")), "{id}");
    }
    for query in ["", "?cluster_id=", "?cluster_id=&project_id="] {
        let path = format!("/clusters/bcs/query_by_cluster_id{query}");
        assert_eq!(admin.call(Method::GET, &path, &Value::Null).await.0, StatusCode::BAD_REQUEST, "{query}");
    }
}

#[tokio::test]
async fn a_token_that_does_not_decrypt_is_a_clear_error() {
    let mut config = config("");
    config["bke"]["bootstrap_users"][0]["tokens"] = json!(["hunter2!"]);
    let spec = ServiceSpec::new("bcs-api").config(&config);
    let output = spec.ports(&["insecure_port", "port", "metric_port"]).output().await;
    assert_eq!(output.code, Some(1), "{output:?}");
    let text = format!("{}{}", output.stdout, output.stderr);
    let reason = "token of user [admin], key \"bke.bootstrap_users[0].tokens[0]\": the value is not base64";
    assert!(text.contains(reason) && !text.contains("hunter2"), "{text}");
}
