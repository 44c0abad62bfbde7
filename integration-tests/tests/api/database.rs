//! bcs-api on MariaDB: the schema of the original, a database that the original made, outages.

use std::time::Duration;

use bcs_integration_tests::chaos::ChaosProxy;
use bcs_integration_tests::servers::mariadb::MariaDb;
use bcs_integration_tests::service::Service;
use bcs_integration_tests::wait::eventually;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::users::{ADMIN, Api, config, start};

const SOON: Duration = Duration::from_secs(30);

/// The tables as the original's auto-migration makes them (api.md 12.0).
const ORIGINAL: &str = "
CREATE TABLE users (id int unsigned AUTO_INCREMENT, name varchar(255) NOT NULL UNIQUE, is_super_user boolean,
  created_at datetime NULL, PRIMARY KEY (id));
CREATE TABLE user_tokens (id int unsigned AUTO_INCREMENT, user_id int unsigned, type int unsigned,
  value varchar(64) UNIQUE, expires_at datetime NULL, created_at datetime NULL, PRIMARY KEY (id));
CREATE TABLE user_cluster_permissions (id int unsigned AUTO_INCREMENT, backend int DEFAULT 1, user_id int unsigned,
  cluster_id varchar(255), name varchar(16), is_active boolean, updated_at datetime NULL, created_at datetime NULL,
  PRIMARY KEY (id));
CREATE UNIQUE INDEX idx_backend_user_cluster_id_name ON user_cluster_permissions (backend, user_id, cluster_id, name);
CREATE TABLE external_user_records (id int unsigned AUTO_INCREMENT, user_id int unsigned, source_type int unsigned,
  source_user_type varchar(255), source_user_id varchar(255), created_at datetime NULL, PRIMARY KEY (id));
CREATE UNIQUE INDEX idx_source_type_user_id ON external_user_records (source_type, source_user_type, source_user_id);
CREATE TABLE clusters (id varchar(255), provider int unsigned, creator_id int unsigned, identifier varchar(128),
  created_at datetime NULL, PRIMARY KEY (id));
CREATE TABLE cluster_credentials (id int unsigned AUTO_INCREMENT, cluster_id varchar(255) NOT NULL UNIQUE,
  server_addresses varchar(2048), ca_cert_data varchar(4096), user_token varchar(2048), cluster_domain varchar(2048),
  created_at datetime NULL, updated_at datetime NULL, PRIMARY KEY (id));
CREATE TABLE register_tokens (id int unsigned AUTO_INCREMENT, cluster_id varchar(255) NOT NULL UNIQUE,
  token varchar(256), created_at datetime NULL, PRIMARY KEY (id));
CREATE TABLE ws_cluster_credentials (id int unsigned AUTO_INCREMENT, server_key varchar(255) NOT NULL UNIQUE,
  client_module varchar(255) NOT NULL, server_address varchar(2048), ca_cert_data varchar(4096),
  user_token varchar(2048), created_at datetime NULL, updated_at datetime NULL, PRIMARY KEY (id));
CREATE TABLE bcs_cluster_infos (id int unsigned AUTO_INCREMENT, cluster_id varchar(255), source_project_id varchar(32),
  source_cluster_id varchar(100), cluster_type int unsigned, tke_cluster_id varchar(255),
  tke_cluster_region varchar(255), created_at datetime NULL, PRIMARY KEY (id));
CREATE UNIQUE INDEX idx_source_cluster_project ON bcs_cluster_infos (source_project_id, source_cluster_id);
CREATE TABLE tke_lb_subnets (id int unsigned AUTO_INCREMENT, cluster_region varchar(255) NOT NULL UNIQUE,
  subnet_id varchar(256) NOT NULL, PRIMARY KEY (id));
CREATE TABLE tke_cidrs (id int unsigned AUTO_INCREMENT, vpc varchar(255) NOT NULL, cidr varchar(255) NOT NULL,
  ip_number int unsigned NOT NULL, status varchar(255) NOT NULL, cluster varchar(255), created_at datetime NULL,
  updated_at datetime NULL, PRIMARY KEY (id));
";

/// What the original left in them, in the zone of Shanghai.
const ROWS: &str = "
INSERT INTO users VALUES (1, 'admin', 1, '2021-06-02 10:00:00'), (2, 'plain:Old', 0, '2021-06-02 10:00:00'),
  (3, 'plain:bare', NULL, NULL);
INSERT INTO user_tokens VALUES
  (1, 1, 1, 'AdminToken0123456789abcdefghijkl', '2035-06-02 10:00:00', '2021-06-02 10:00:00'),
  (2, 2, 3, 'OldTokenOfGo', '2035-06-02 10:00:00', '2021-06-02 10:00:00'),
  (3, 3, 3, 'ExpiredTokenOfGo', '2021-06-03 10:00:00', '2021-06-02 10:00:00'),
  (4, 0, 3, 'TokenOfNobody', '2035-06-02 10:00:00', '2021-06-02 10:00:00');
INSERT INTO clusters VALUES ('bcs-bcs-k8s-1-AbCdEfGh', 2, 2, 'bcs-bcs-k8s-1-abcdefgh-Xy', '2021-06-02 10:00:00');
INSERT INTO bcs_cluster_infos VALUES (1, 'bcs-bcs-k8s-1-AbCdEfGh', 'p', 'BCS-K8S-1', 1, '', '', '2021-06-02 10:00:00');
INSERT INTO cluster_credentials VALUES (1, 'bcs-bcs-k8s-1-AbCdEfGh', 'https://10.0.0.1:6443', 'CA', 'sa', '',
  '2021-06-02 10:00:00', '2021-06-02 11:00:00');
INSERT INTO register_tokens VALUES (1, 'bcs-bcs-k8s-1-AbCdEfGh', 'RegisterTokenOfGo', '2021-06-02 10:00:00');
INSERT INTO tke_cidrs VALUES (1, 'v', '10.0.0.0/24', 256, 'available', '', '2021-06-02 10:00:00', '2021-06-02 10:00:00');
";

#[tokio::test]
async fn the_schema_is_that_of_the_original() {
    let mariadb = MariaDb::start().await;
    let dsn = mariadb.create_database("ours").await;
    mariadb.create_database("theirs").await;
    mariadb.query(&format!("USE theirs; {ORIGINAL}")).await;
    let mut service = start(&config(&dsn)).await;
    let ours = mariadb.schema("ours").await;
    assert!(ours.lines().count() > 80, "{ours}");
    assert_eq!(ours, mariadb.schema("theirs").await);
    let users =
        mariadb.query("SELECT u.id, name, is_super_user, type, value FROM ours.users u, ours.user_tokens").await;
    assert_eq!(users, format!("1\tadmin\t1\t1\t{ADMIN}\n"));
    service.stop().await;
    // A key that is missing is made, as the original does.
    mariadb.query("USE ours; DROP INDEX idx_source_cluster_project ON bcs_cluster_infos").await;
    service.daemon().start_again().await;
    assert_eq!(ours, mariadb.schema("ours").await);
}

#[tokio::test]
async fn a_database_of_the_original_is_used_as_it_is() {
    let mariadb = MariaDb::start().await;
    let dsn = mariadb.create_database("bke").await.replace("loc=Local", "loc=Asia%2FShanghai");
    mariadb.query(&format!("USE bke; {ORIGINAL} ALTER TABLE users ADD department varchar(8) DEFAULT 'x'; ")).await;
    mariadb
        .query(&format!(
            "USE bke; {}",
            ROWS.replace("INSERT INTO users VALUES", "INSERT INTO users (id, name, is_super_user, created_at) VALUES")
        ))
        .await;
    let before = mariadb.schema("bke").await;
    let service = start(&config(&dsn)).await;
    assert_eq!(mariadb.schema("bke").await, before);

    let admin = Api::admin(&service);
    let old = admin.data(Method::GET, "/users/OLD", &Value::Null).await;
    let want = json!({"ID": 2, "Name": "plain:Old", "IsSuperUser": false, "CreatedAt": "2021-06-02T10:00:00+08:00",
        "BackendType": "", "BackendCredentials": null});
    assert_eq!(old, want);
    let bare = admin.data(Method::GET, "/users/bare", &Value::Null).await;
    assert_eq!((&bare["IsSuperUser"], &bare["CreatedAt"]), (&json!(false), &json!("0001-01-01T00:00:00Z")));
    let owner = admin.with_token("OldTokenOfGo");
    // The collation of the column takes these for the same.
    for other in ["oldtokenofgo", "OLDTOKENOFGO", "ExpiredTokenOfGo", "TokenOfNobody"] {
        let caller = admin.with_token(other);
        let (status, _) = caller.call(Method::GET, "/clusters/cidr/list_count", &Value::Null).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{other}");
    }
    let cluster =
        owner.data(Method::GET, "/clusters/bcs/query_by_id?project_id=P&cluster_id=bcs-k8s-1", &Value::Null).await;
    let id = cluster["id"].as_str().unwrap();
    assert_eq!((id, &cluster["creator_id"]), ("bcs-bcs-k8s-1-AbCdEfGh", &json!(2)));
    let path = format!("/clusters/{id}/credentials");
    let credentials = owner.data(Method::GET, &path, &Value::Null).await;
    assert_eq!(
        (&credentials["UserToken"], &credentials["UpdatedAt"]),
        (&json!("sa"), &json!("2021-06-02T11:00:00+08:00"))
    );
    let report = |token: &str| {
        json!({"register_token": token, "server_addresses": "https://10.0.0.2:6443", "cacert_data": "CA2",
            "user_token": "sa2"})
    };
    let (status, answer) = owner.call(Method::PUT, &path, &report("registertokenofgo")).await;
    assert_eq!((status.as_u16(), &answer["code_name"]), (400, &json!("INVALID_RTOKEN")));
    owner.data(Method::PUT, &path, &report("RegisterTokenOfGo")).await;
    let stored = mariadb
        .query("SELECT id, server_addresses, ca_cert_data, user_token, created_at FROM bke.cluster_credentials")
        .await;
    assert_eq!(stored, "1\thttps://10.0.0.2:6443\tCA2\tsa2\t2021-06-02 10:00:00\n");

    // Wall clocks of the zone, as a Go instance beside this one expects them.
    let new = admin.data(Method::POST, "/users", &json!({"user_name": "new"})).await;
    let stored = mariadb.query("SELECT id, created_at, department FROM bke.users WHERE name = 'plain:new'").await;
    let [stored_id, created_at, department] = stored.trim().split('\t').collect::<Vec<_>>()[..] else { panic!() };
    assert_eq!((stored_id, department), (new["ID"].to_string().as_str(), "x"));
    assert_eq!(new["CreatedAt"].as_str().unwrap(), format!("{}+08:00", created_at.replace(' ', "T")));
    let body = json!({"vpc": "V", "cluster": "c", "ip_number": 256});
    let applied = owner.data(Method::POST, "/clusters/cidr/apply_cidr", &body).await;
    assert_eq!(applied["cidr"], "10.0.0.0/24");
    let used = mariadb.query("SELECT status, cluster FROM bke.tke_cidrs").await;
    assert_eq!(used, "used\tc\n");
}

/// What `/readyz` says of the database.
async fn readiness(service: &Service) -> Value {
    let client = service.metrics().await;
    let response = client.get("/readyz").await.unwrap();
    response.json()["parts"]["database"].clone()
}

#[tokio::test]
async fn a_cut_database_is_503_while_it_lasts_and_nothing_after() {
    let mariadb = MariaDb::start().await;
    let proxy = ChaosProxy::start(mariadb.address());
    let dsn = mariadb.create_database("bke").await;
    let dsn = dsn.replace(&mariadb.address().to_string(), &proxy.address().to_string());
    let service = start(&config(&format!("{dsn}&timeout=3s&readTimeout=3s"))).await;
    let admin = Api::admin(&service);
    let token = admin.create_user("u").await;
    let user = admin.with_token(&token);
    let count = async || user.call(Method::GET, "/clusters/cidr/list_count", &Value::Null).await;
    assert_eq!(count().await, (StatusCode::OK, Value::Null));

    // Reset connections alone are nobody's business.
    for number in 0..3 {
        proxy.cut().await;
        assert_eq!(count().await.0, StatusCode::OK);
        proxy.cut().await;
        user.create_cluster(&format!("C{number}")).await;
    }

    proxy.refuse().await;
    let message = json!("errcode: 1405062, cannot connect to the database");
    for (method, path) in [
        (Method::GET, "/clusters/cidr/list_count"),
        (Method::GET, "/clusters/none/client_credentials"),
        (Method::GET, "/users/u"),
        (Method::POST, "/users"),
        (Method::GET, "/clusters/bcs/query_by_cluster_id?cluster_id=none"),
    ] {
        let (status, answer) = admin.call(method.clone(), path, &json!({"user_name": "v"})).await;
        assert_eq!((status.as_u16(), &answer["message"]), (503, &message), "{method} {path}");
        let (status, _) = admin.with_token("wrong").call(method.clone(), path, &json!({"user_name": "v"})).await;
        assert_eq!(status.as_u16(), 503, "{method} {path}");
    }
    eventually("readyz tells", SOON, async || readiness(&service).await == "cannot connect to the database").await;
    proxy.accept().await;
    eventually("it works again", SOON, async || count().await.0 == StatusCode::OK).await;

    // Packets are dropped: the answer is an error in time.
    proxy.pause();
    let (status, answer) = count().await;
    assert_eq!((status.as_u16(), &answer["code_name"]), (503, &json!("DATABASE_UNAVAILABLE")), "{answer}");
    proxy.resume();
    eventually("it works again", SOON, async || count().await.0 == StatusCode::OK).await;
    eventually("readyz is good again", SOON, async || readiness(&service).await == "ok").await;
    let [_, log] = {
        let mut service = service;
        service.daemon().process().output()
    };
    assert!(log.contains("failed") && !log.contains(&token) && !log.contains(ADMIN), "{log}");
}
