//! Every route of bcs-user-manager without, with a wrong, an expired and another user's token.

use bcs_integration_tests::service::Service;
use bcs_user_manager::ROUTES;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION};
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};

use crate::api::{ADMIN, Api, PREFIX, config, start};

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Who {
    Admin,
    AdminOrSaas,
    Everybody,
}

/// The routes of the spec, with a path and a body for each.
fn tried() -> Vec<(Method, &'static str, &'static str, Value, Who)> {
    use Who::{Admin, AdminOrSaas, Everybody};
    let permission = json!({"apiVersion": "v1", "kind": "permission", "spec": {"permissions": []}});
    let verify = json!({"user_token": "x", "resource_type": "cluster", "action": "GET"});
    let question = json!({"user_name": "admin", "resource_type": "cluster"});
    let report = json!({"register_token": "x", "server_addresses": "10.0.0.1", "cacert_data": "x", "user_token": "x"});
    let none = Value::Null;
    vec![
        (Method::POST, "/users/admin/{user_name}", "/users/admin/a", none.clone(), Admin),
        (Method::GET, "/users/admin/{user_name}", "/users/admin/a", none.clone(), Admin),
        (Method::POST, "/users/saas/{user_name}", "/users/saas/s", none.clone(), Admin),
        (Method::GET, "/users/saas/{user_name}", "/users/saas/s", none.clone(), Admin),
        (Method::PUT, "/users/saas/{user_name}/refresh", "/users/saas/s/refresh", none.clone(), Admin),
        (Method::POST, "/users/plain/{user_name}", "/users/plain/p", none.clone(), AdminOrSaas),
        (Method::GET, "/users/plain/{user_name}", "/users/plain/p", none.clone(), AdminOrSaas),
        (
            Method::PUT,
            "/users/plain/{user_name}/refresh/{expire_time}",
            "/users/plain/p/refresh/1",
            none.clone(),
            AdminOrSaas,
        ),
        (Method::PUT, "/users/plain/{user_name}/refresh", "/users/plain/p/refresh", none.clone(), AdminOrSaas),
        (Method::POST, "/clusters", "/clusters", json!({}), Admin),
        (Method::POST, "/clusters/{cluster_id}/register_tokens", "/clusters/c/register_tokens", none.clone(), Admin),
        (Method::GET, "/clusters/{cluster_id}/register_tokens", "/clusters/c/register_tokens", none.clone(), Admin),
        (Method::PUT, "/clusters/{cluster_id}/credentials", "/clusters/c/credentials", report, Everybody),
        (Method::GET, "/clusters/{cluster_id}/credentials", "/clusters/c/credentials", none.clone(), Admin),
        (Method::GET, "/clusters/credentials", "/clusters/credentials", none.clone(), Admin),
        (Method::POST, "/permissions", "/permissions", permission.clone(), Admin),
        (Method::DELETE, "/permissions", "/permissions", permission, Admin),
        (Method::GET, "/permissions", "/permissions", question, Admin),
        (Method::GET, "/permissions/verify", "/permissions/verify", verify, Admin),
        (Method::POST, "/tke/cidr/add_cidr", "/tke/cidr/add_cidr", json!({}), Admin),
        (Method::POST, "/tke/cidr/apply_cidr", "/tke/cidr/apply_cidr", json!({}), Admin),
        (Method::POST, "/tke/cidr/release_cidr", "/tke/cidr/release_cidr", json!({}), Admin),
        (Method::POST, "/tke/cidr/list_count", "/tke/cidr/list_count", none.clone(), Admin),
        (Method::POST, "/tke/{cluster_id}/sync_credentials", "/tke/c/sync_credentials", none, Admin),
    ]
}

/// Sends any `Authorization` header, or none.
async fn send(
    service: &Service,
    method: &Method,
    path: &str,
    body: &Value,
    header: Option<&str>,
) -> (StatusCode, Value) {
    let mut request = Request::builder().method(method.clone()).uri(format!("{PREFIX}{path}"));
    if let Some(header) = header {
        request = request.header(AUTHORIZATION, header);
    }
    let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
    let response = service.client().request(request.body(Full::new(body)).unwrap()).await.unwrap();
    (response.status, response.json())
}

#[tokio::test]
async fn every_route_checks_who_calls() {
    let tried = tried();
    let known: Vec<_> = ROUTES.iter().map(|route| (route.method.clone(), route.template)).collect();
    let listed: Vec<_> = tried.iter().map(|(method, template, ..)| (method.clone(), *template)).collect();
    assert_eq!(known, listed);

    let service = start(&config("")).await;
    let admin = Api::admin(&service);
    let saas = admin.create_user("saas", "caller-saas").await;
    let plain = admin.create_user("plain", "caller-plain").await;
    let expired = admin.create_user("plain", "caller-expired").await;
    admin.data(Method::PUT, "/users/plain/caller-expired/refresh/0", &Value::Null).await;

    for (method, _, path, body, who) in &tried {
        let what = format!("{method} {path}");
        let refused = json!({
            "result": false, "code": 1_405_059, "data": null,
            "message": "errcode：1405059,  anonymous requests is forbidden, please provide a valid token",
        });
        for header in [
            None,
            Some(String::new()),
            Some("Bearer wrong".to_owned()),
            Some(format!("Bearer {}", ADMIN.to_lowercase())),
            Some(format!("bearer {ADMIN}")),
            Some(format!("Basic {ADMIN}")),
            Some(ADMIN.to_owned()),
            Some(format!("Bearer {plain}")),
            Some(format!("Bearer {expired}")),
        ] {
            let (status, answer) = send(&service, method, path, body, header.as_deref()).await;
            if *who == Who::Everybody {
                assert_eq!((status, &answer["code"]), (StatusCode::BAD_REQUEST, &json!(1_405_061)), "{what}");
            } else {
                assert_eq!((status, &answer), (StatusCode::UNAUTHORIZED, &refused), "{what} with {header:?}");
            }
        }
        let (status, _) = send(&service, method, path, body, Some(&format!("Bearer {saas}"))).await;
        assert_eq!(status == StatusCode::UNAUTHORIZED, *who == Who::Admin, "{what} by a saas user: {status}");
        let (status, _) = send(&service, method, path, body, Some(&format!("Bearer {ADMIN}"))).await;
        assert_ne!(status, StatusCode::UNAUTHORIZED, "{what} by an admin");
    }
}

#[tokio::test]
async fn a_token_counts_until_it_is_replaced_or_expires_and_in_its_own_case_only() {
    let service = start(&config("")).await;
    let admin = Api::admin(&service);
    let old = admin.create_user("saas", "s").await;
    let plain = admin.create_user("plain", "p").await;
    admin.change_permission(Method::POST, "p", "cluster", "c", "viewer").await;
    assert_eq!(admin.allowed(&plain, "c").await, Some(true));
    for other in [plain.to_lowercase(), plain.to_uppercase(), format!("{plain} "), String::from("x")] {
        let (_, answer) = admin.verify(&other, "c").await;
        assert_eq!(answer["data"]["message"], format!("usertoken [{other}] is invalid"));
    }

    let refreshed = admin.data(Method::PUT, "/users/saas/s/refresh", &Value::Null).await;
    let (status, _) = admin.with_token(&old).call(Method::GET, "/users/plain/p", &Value::Null).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let new = admin.with_token(refreshed["user_token"].as_str().unwrap());
    assert_eq!(new.data(Method::GET, "/users/plain/p", &Value::Null).await["name"], "p");

    admin.data(Method::PUT, "/users/plain/p/refresh/0", &Value::Null).await;
    let (_, answer) = admin.verify(&plain, "c").await;
    assert_eq!(answer["data"], json!({"allowed": false, "message": format!("usertoken [{plain}] is expired")}));
    let again = admin.data(Method::PUT, "/users/plain/p/refresh/1", &Value::Null).await;
    assert_ne!(again["user_token"], plain);
    assert_eq!(admin.allowed(again["user_token"].as_str().unwrap(), "c").await, Some(true));
    admin.change_permission(Method::DELETE, "p", "cluster", "c", "viewer").await;
    assert_eq!(admin.allowed(again["user_token"].as_str().unwrap(), "c").await, Some(false));
}

#[tokio::test]
async fn bad_input_is_told_and_never_kept() {
    let service = start(&config("")).await;
    let admin = Api::admin(&service);
    let long = "x".repeat(256);
    let grant = |entry: Value| {
        (
            Method::POST,
            "/permissions",
            json!({"apiVersion": "v1", "kind": "permission", "spec": {"permissions": [entry]}}),
        )
    };
    let long_user = format!("/users/plain/{long}");
    for ((method, path, body), status, code) in [
        ((Method::POST, long_user.as_str(), Value::Null), 500, 1_405_062),
        ((Method::POST, "/clusters", json!({"cluster_id": long, "cluster_type": "k8s"})), 500, 1_405_062),
        ((Method::POST, "/clusters", json!({"cluster_id": ["c"], "cluster_type": "k8s"})), 400, 1_405_061),
        ((Method::POST, "/clusters", json!([])), 400, 1_405_061),
        (grant(json!({"user_name": "admin", "resource_type": long, "role": "viewer"})), 500, 1_405_062),
        (grant(json!({"user_name": "admin", "resource_type": "cluster", "role": "owner"})), 400, 1_405_061),
        (grant(json!({"user_name": true, "resource_type": "cluster", "role": "viewer"})), 400, 1_405_061),
        (grant(json!(7)), 400, 1_405_061),
        ((Method::POST, "/tke/cidr/add_cidr", json!({"vpc": "v", "tke_cidrs": {}})), 400, 1_405_061),
        ((Method::POST, "/tke/cidr/add_cidr", json!({"vpc": "v", "tke_cidrs": [{"cidr": "c"}]})), 400, 1_405_061),
        ((Method::POST, "/tke/cidr/apply_cidr", json!({"vpc": "v", "cluster": "c", "ip_number": -1})), 400, 1_405_061),
        // No row can have so many: MySQL refuses it when it is written, and finds none when it is asked for.
        (
            (
                Method::POST,
                "/tke/cidr/add_cidr",
                json!({"vpc": "v", "tke_cidrs": [{"cidr": "c", "ip_number": 4_294_967_296_u64}]}),
            ),
            400,
            1_405_062,
        ),
        (
            (Method::POST, "/tke/cidr/apply_cidr", json!({"vpc": "v", "cluster": "c", "ip_number": 4_294_967_296_u64})),
            400,
            1_405_061,
        ),
        (
            (
                Method::GET,
                "/permissions/verify",
                json!({"user_token": ADMIN, "resource_type": "cluster", "resource": 1, "action": "GET"}),
            ),
            400,
            1_405_061,
        ),
    ] {
        let (found, answer) = admin.call(method.clone(), path, &body).await;
        assert_eq!((found.as_u16(), &answer["code"]), (status, &json!(code)), "{method} {path} {body}: {answer}");
        assert_eq!((&answer["result"], &answer["data"]), (&json!(false), &Value::Null));
    }
    assert_eq!(admin.call(Method::POST, "/tke/cidr/list_count", &Value::Null).await.1, json!([]));
    let question = json!({"user_name": "admin", "resource_type": "cluster"});
    assert_eq!(admin.data(Method::GET, "/permissions", &question).await, json!([]));
}

#[tokio::test]
async fn a_media_range_is_accepted() {
    let service = start(&config("")).await;
    for (accept, status) in [("application/*", 200), ("text/html, application/*;q=0.8", 200), ("text/*", 406)] {
        let request = Request::get(format!("{PREFIX}/users/admin/admin"))
            .header(AUTHORIZATION, format!("Bearer {ADMIN}"))
            .header(ACCEPT, accept);
        let response = service.client().request(request.body(Full::default()).unwrap()).await.unwrap();
        assert_eq!(response.status.as_u16(), status, "{accept}");
    }
}
