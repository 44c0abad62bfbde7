//! bcs-user-manager on MariaDB: the schema of the original, replicas, outages.

use std::collections::BTreeSet;
use std::time::Duration;

use bcs_integration_tests::chaos::ChaosProxy;
use bcs_integration_tests::servers::mariadb::MariaDb;
use bcs_integration_tests::service::Service;
use bcs_integration_tests::wait::eventually;
use futures::future::join_all;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::api::{ADMIN, Api, config, start};

/// Long enough on a machine with more to do.
const SOON: Duration = Duration::from_secs(60);

/// The tables as the original's auto-migration makes them (user-manager.md 8.7).
const ORIGINAL: &str = "
CREATE TABLE bcs_users (id int unsigned AUTO_INCREMENT, name varchar(255) NOT NULL UNIQUE, user_type int unsigned,
  user_token varchar(64) UNIQUE, created_at datetime NULL, updated_at datetime NULL, expires_at datetime NULL,
  PRIMARY KEY (id));
CREATE TABLE bcs_clusters (id varchar(255), cluster_type int unsigned, tke_cluster_id varchar(255),
  tke_cluster_region varchar(255), creator_id int unsigned, created_at datetime NULL, PRIMARY KEY (id));
CREATE TABLE bcs_register_tokens (id int unsigned AUTO_INCREMENT, cluster_id varchar(255) NOT NULL UNIQUE,
  token varchar(256), created_at datetime NULL, PRIMARY KEY (id));
CREATE TABLE bcs_cluster_credentials (id int unsigned AUTO_INCREMENT, cluster_id varchar(255) NOT NULL UNIQUE,
  server_addresses varchar(2048), ca_cert_data varchar(4096), user_token varchar(2048), cluster_domain varchar(2048),
  created_at datetime NULL, updated_at datetime NULL, PRIMARY KEY (id));
CREATE TABLE bcs_roles (id int unsigned AUTO_INCREMENT, name varchar(255) NOT NULL UNIQUE,
  actions varchar(255) NOT NULL, created_at datetime NULL, PRIMARY KEY (id));
CREATE TABLE bcs_user_resource_roles (id int unsigned AUTO_INCREMENT, user_id int unsigned NOT NULL,
  resource_type varchar(255) NOT NULL, resource varchar(255), role_id int unsigned NOT NULL, created_at datetime NULL,
  PRIMARY KEY (id));
CREATE TABLE tke_cidrs (id int unsigned AUTO_INCREMENT, vpc varchar(255) NOT NULL, cidr varchar(255) NOT NULL,
  ip_number int unsigned NOT NULL, status varchar(255) NOT NULL, cluster varchar(255), created_at datetime NULL,
  updated_at datetime NULL, PRIMARY KEY (id));
CREATE TABLE bcs_ws_cluster_credentials (id int unsigned AUTO_INCREMENT, server_key varchar(255) NOT NULL UNIQUE,
  client_module varchar(255) NOT NULL, server_address varchar(2048), ca_cert_data varchar(4096),
  user_token varchar(2048), created_at datetime NULL, updated_at datetime NULL, PRIMARY KEY (id));
";

#[tokio::test]
async fn the_schema_is_that_of_the_original() {
    let mariadb = MariaDb::start().await;
    let dsn = mariadb.create_database("ours").await;
    mariadb.create_database("theirs").await;
    mariadb.query(&format!("USE theirs; {ORIGINAL}")).await;
    let mut service = start(&config(&dsn)).await;
    let ours = mariadb.schema("ours").await;
    assert!(ours.lines().count() > 60);
    assert_eq!(ours, mariadb.schema("theirs").await);
    let roles = mariadb.query("SELECT id, name, actions FROM ours.bcs_roles ORDER BY id").await;
    assert_eq!(roles, "1\tmanager\tGET,POST,PUT,PATCH,DELETE\n2\tviewer\tGET\n");
    let users = mariadb.query("SELECT id, name, user_type, user_token FROM ours.bcs_users").await;
    assert_eq!(users, format!("1\tadmin\t1\t{ADMIN}\n"));
    service.stop().await;
    service.daemon().start_again().await;
    assert_eq!(ours, mariadb.schema("ours").await);
}

#[tokio::test]
async fn a_database_of_the_original_is_used_as_it_is() {
    let mariadb = MariaDb::start().await;
    let dsn = mariadb.create_database("bcs").await.replace("loc=Local", "loc=Asia%2FShanghai");
    mariadb.query(&format!("USE bcs; {ORIGINAL}")).await;
    mariadb
        .query(
            "USE bcs; ALTER TABLE bcs_users ADD COLUMN department varchar(20) NOT NULL DEFAULT 'x' AFTER id;
             INSERT INTO bcs_users (name, user_type, user_token, created_at, updated_at, expires_at) VALUES
               ('old', 3, 'OldTokenOfGo', '2021-06-02 10:00:00', '2021-06-02 10:00:00', '2035-06-02 10:00:00'),
               ('bare', 3, NULL, NULL, NULL, NULL);
             INSERT INTO bcs_roles (name, actions) VALUES ('auditor', 'HEAD,GET');
             INSERT INTO bcs_user_resource_roles (user_id, resource_type, resource, role_id) VALUES (1, 'cluster', 'c', 1);
             CREATE TABLE users (id int)",
        )
        .await;
    let before = mariadb.schema("bcs").await;
    let service = start(&config(&dsn)).await;
    let admin = Api::admin(&service);
    assert_eq!(mariadb.schema("bcs").await, before);

    let old = admin.data(Method::GET, "/users/plain/old", &Value::Null).await;
    let want = json!({"id": 1, "name": "old", "user_type": 3, "user_token": "OldTokenOfGo",
        "created_at": "2021-06-02T10:00:00+08:00", "updated_at": "2021-06-02T10:00:00+08:00",
        "expires_at": "2035-06-02T10:00:00+08:00"});
    assert_eq!(old, want);
    let bare = admin.data(Method::GET, "/users/plain/bare", &Value::Null).await;
    assert_eq!((&bare["user_token"], &bare["expires_at"]), (&json!(""), &json!("0001-01-01T00:00:00Z")));
    assert_eq!(admin.allowed("OldTokenOfGo", "c").await, Some(true));
    // The collation of the column takes these for the same.
    for other in ["oldtokenofgo", "OldTokenOfGo ", "OLDTOKENOFGO"] {
        let (_, answer) = admin.verify(other, "c").await;
        assert_eq!(answer["data"]["message"], format!("usertoken [{other}] is invalid"));
    }

    // Wall clocks of the zone, as a Go instance beside this one expects them.
    let new = admin.data(Method::POST, "/users/plain/new", &Value::Null).await;
    let stored = mariadb.query("SELECT created_at FROM bcs.bcs_users WHERE name = 'new'").await;
    let read = admin.data(Method::GET, "/users/plain/new", &Value::Null).await;
    assert_eq!(read["created_at"].as_str().unwrap(), format!("{}+08:00", stored.trim().replace(' ', "T")));
    assert_eq!((&read["user_token"], &read["id"]), (&new["user_token"], &new["id"]));
    let department = mariadb.query("SELECT department FROM bcs.bcs_users WHERE name = 'new'").await;
    assert_eq!(department, "x\n");
}

#[tokio::test]
async fn two_replicas_never_hand_out_one_cidr_twice() {
    let mariadb = MariaDb::start().await;
    let dsn = mariadb.create_database("bcs").await;
    // Both start on an empty database at the same moment.
    let config = config(&dsn);
    let (one, two) = tokio::join!(start(&config), start(&config));
    let replicas = [Api::admin(&one), Api::admin(&two)];
    let items: Vec<Value> = (0..60).map(|n| json!({"cidr": format!("10.{n}.0.0/22"), "ip_number": 1024})).collect();
    let body = json!({"vpc": "v", "tke_cidrs": items});
    replicas[0].data(Method::POST, "/tke/cidr/add_cidr", &body).await;

    let applied = join_all((0..80).map(|number| {
        let replica = &replicas[number % 2];
        async move {
            let body = json!({"vpc": "v", "cluster": format!("c{number}"), "ip_number": 1024});
            replica.call(Method::POST, "/tke/cidr/apply_cidr", &body).await
        }
    }))
    .await;
    let (given, refused): (Vec<_>, Vec<_>) = applied.into_iter().partition(|(status, _)| *status == StatusCode::OK);
    let cidrs: BTreeSet<&str> = given.iter().map(|(_, answer)| answer["data"]["cidr"].as_str().unwrap()).collect();
    assert_eq!((given.len(), cidrs.len(), refused.len()), (60, 60, 20));
    for (_, answer) in refused {
        assert_eq!(answer["message"], "errcode: 1405061, apply cidr failed, no available cidr any more");
    }
    let clusters =
        mariadb.query("SELECT count(DISTINCT cluster), count(*) FROM bcs.tke_cidrs WHERE status='used'").await;
    assert_eq!(clusters, "60\t60\n");
    let counts = replicas[1].call(Method::POST, "/tke/cidr/list_count", &Value::Null).await.1;
    assert_eq!(counts, json!([{"count": 60, "vpc": "v", "ip_number": 1024, "status": "used"}]));
}

#[tokio::test]
async fn replicas_share_tokens_at_once() {
    let mariadb = MariaDb::start().await;
    let dsn = mariadb.create_database("bcs").await;
    let config = config(&dsn);
    let (one, two) = (start(&config).await, start(&config).await);
    let (one, two) = (Api::admin(&one), Api::admin(&two));
    let old = one.create_user("saas", "s").await;
    assert_eq!(two.allowed(&old, "c").await, Some(false));
    let new = one.data(Method::PUT, "/users/saas/s/refresh", &Value::Null).await;
    let (_, answer) = two.verify(&old, "c").await;
    assert_eq!(answer["data"]["message"], format!("usertoken [{old}] is invalid"));
    let (_, answer) = two.verify(new["user_token"].as_str().unwrap(), "c").await;
    assert_eq!(answer["data"]["message"], "no permission");
}

/// `/readyz`: the status, and what the parts say.
async fn readiness(service: &Service) -> (StatusCode, Value) {
    let client = service.metrics().await;
    let response = client.get("/readyz").await.unwrap();
    (response.status, response.json())
}

#[tokio::test]
async fn a_cut_database_is_an_error_while_it_lasts_and_nothing_after() {
    let mariadb = MariaDb::start().await;
    let proxy = ChaosProxy::start(mariadb.address());
    let dsn = mariadb.create_database("bcs").await;
    let dsn = dsn.replace(&mariadb.address().to_string(), &proxy.address().to_string());
    let service = start(&config(&format!("{dsn}&timeout=3s&readTimeout=3s"))).await;
    let admin = Api::admin(&service);
    let token = admin.create_user("plain", "p").await;
    admin.change_permission(Method::POST, "p", "cluster", "c", "viewer").await;
    assert_eq!(admin.allowed(&token, "c").await, Some(true));
    assert_eq!(readiness(&service).await.0, StatusCode::OK);

    // Reset connections alone are nobody's business.
    for _ in 0..3 {
        proxy.cut().await;
        assert_eq!(admin.allowed(&token, "c").await, Some(true));
        proxy.cut().await;
        admin.change_permission(Method::POST, "p", "cluster", "c", "viewer").await;
    }

    proxy.refuse().await;
    let (status, answer) = admin.verify(&token, "c").await;
    let message = "errcode: 1405062, failed to look up the token: cannot connect to the database";
    assert_eq!((status.as_u16(), &answer["code"], &answer["message"]), (500, &json!(1_405_062), &json!(message)));
    let (status, answer) = admin.call(Method::POST, "/users/plain/q", &Value::Null).await;
    assert_eq!((status.as_u16(), &answer["code"]), (500, &json!(1_405_062)));
    eventually("readyz tells", SOON, async || {
        let (status, report) = readiness(&service).await;
        status == StatusCode::SERVICE_UNAVAILABLE && report["parts"]["database"] == "cannot connect to the database"
    })
    .await;
    proxy.accept().await;
    eventually("verify works again", SOON, async || admin.allowed(&token, "c").await == Some(true)).await;

    // Packets are dropped: the answer is an error in time.
    proxy.pause();
    let (status, answer) = admin.verify(&token, "c").await;
    assert_eq!((status.as_u16(), &answer["code"]), (500, &json!(1_405_062)), "{answer}");
    proxy.resume();
    eventually("verify works again", SOON, async || admin.allowed(&token, "c").await == Some(true)).await;
    eventually("readyz is good again", SOON, async || readiness(&service).await.0 == StatusCode::OK).await;
    let [_, log] = {
        let mut service = service;
        service.daemon().process().output()
    };
    assert!(log.contains("VerifyPermission failed") && !log.contains(&token) && !log.contains(ADMIN), "{log}");
}
