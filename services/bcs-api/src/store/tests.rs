//! The rules of the store, on SQLite; MariaDB has the same ones in the process tests.

use std::time::Duration as StdDuration;

use bcs_sql::{Database, Dsn, SqlError};
use chrono::{Duration, Utc};
use tempfile::TempDir;

use super::columns::TooLong;
use super::*;

/// An embedded database with all tables.
pub(crate) async fn store() -> (TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::new(Dsn::Sqlite(dir.path().join("test.db"))).unwrap();
    (dir, Store::open(database).await.unwrap())
}

fn cluster<'a>(id: &'a str, identifier: &'a str) -> NewCluster<'a> {
    NewCluster { id, provider: Provider::Bcs, creator_id: 1, identifier }
}

fn info(cluster_id: &str, project: &str, source: &str) -> ClusterInfo {
    ClusterInfo {
        cluster_id: cluster_id.into(),
        source_project_id: project.into(),
        source_cluster_id: source.into(),
        cluster_type: ClusterType::K8s.number(),
        ..ClusterInfo::default()
    }
}

#[tokio::test]
async fn nothing_matches_empty_conditions() {
    let (_dir, store) = store().await;
    store.insert_user_with_token("a", true, "token").await.unwrap();
    store.insert_bcs_cluster(&cluster("bcs-x", "ident"), &info("bcs-x", "p", "X")).await.unwrap();
    store.insert_register_token("bcs-x").await.unwrap();
    store.save_credentials("bcs-x", &Access::default()).await.unwrap();
    let tunnel = TunnelCredentials { server_key: "bcs-x".into(), ..TunnelCredentials::default() };
    store.put_tunnel_credentials(&tunnel).await.unwrap();
    assert_eq!(store.user(0).await.unwrap(), None);
    assert_eq!(store.user_by_name("").await.unwrap(), None);
    assert_eq!(store.holder("").await.unwrap(), None);
    assert_eq!(store.cluster("").await.unwrap(), None);
    assert_eq!(store.cluster_of_bcs_id("").await.unwrap(), None);
    for (project, id) in [("", ""), ("p", ""), ("", "X")] {
        assert_eq!(store.cluster_by_project(project, id).await.unwrap(), None);
    }
    assert_eq!(store.cluster_info("").await.unwrap(), None);
    assert!(store.credentials("").await.unwrap().is_none());
    assert!(store.tunnel_credentials("").await.unwrap().is_none());
    assert!(store.kube_target("").await.unwrap().is_none());
    assert!(store.driver_tunnels("").await.unwrap().is_empty());
    assert_eq!(store.register_token("").await.unwrap(), None);
    assert_eq!(store.subnet("").await.unwrap(), None);
}

#[tokio::test]
async fn a_token_of_user_0_belongs_to_nobody() {
    let (_dir, store) = store().await;
    store.insert_user_with_token("a", true, "token").await.unwrap();
    store.insert_token_of(0, "orphan").await;
    assert_eq!(store.holder("orphan").await.unwrap(), None);
}

#[tokio::test]
async fn tokens_are_exact_and_names_are_not() {
    let (_dir, store) = store().await;
    store.insert_user_with_token("plain:Bob", false, "Token").await.unwrap();
    assert!(store.holder("Token").await.unwrap().is_some());
    for other in ["token", "TOKEN", "Token ", "Toke"] {
        assert_eq!(store.holder(other).await.unwrap(), None, "{other}");
    }
    assert_eq!(store.user_by_name("PLAIN:bob").await.unwrap().unwrap().name, "plain:Bob");
    assert!(store.insert_user("plain:BOB", false).await.unwrap_err().is_duplicate());
}

#[tokio::test]
async fn clusters_are_found_without_case_and_identifiers_with() {
    let (_dir, store) = store().await;
    store.insert_bcs_cluster(&cluster("bcs-x-AbC", "bcs-x-abc-I"), &info("bcs-x-AbC", "P", "BCS-K8S-1")).await.unwrap();
    assert_eq!(store.cluster("BCS-X-abc").await.unwrap().unwrap().id, "bcs-x-AbC");
    assert!(store.cluster_of_bcs_id("bcs-k8s-1").await.unwrap().is_some());
    assert!(store.cluster_by_project("p", "bcs-k8s-1").await.unwrap().is_some());
    assert!(store.kube_target("bcs-x-abc-I").await.unwrap().is_some());
    assert!(store.kube_target("bcs-x-abc-i").await.unwrap().is_none());
    // The second row fails, and takes the first one with it.
    let again = store.insert_bcs_cluster(&cluster("bcs-y", "y"), &info("bcs-y", "p", "bcs-k8s-1")).await;
    assert!(again.unwrap_err().is_duplicate());
    assert_eq!(store.cluster("bcs-y").await.unwrap(), None);
}

#[tokio::test]
async fn credentials_are_replaced_as_a_whole() {
    let (_dir, store) = store().await;
    let access = |addresses: &str, ca: &str| Access {
        server_addresses: addresses.into(),
        ca_cert_data: ca.into(),
        ..Access::default()
    };
    store.save_credentials("c", &access("https://a", "CA")).await.unwrap();
    let first = store.credentials("c").await.unwrap().unwrap();
    store.save_credentials("C", &access("https://b", "")).await.unwrap();
    let second = store.credentials("c").await.unwrap().unwrap();
    assert_eq!((first.id, first.created_at), (second.id, second.created_at));
    assert_eq!((second.access.server_addresses.as_str(), second.access.ca_cert_data.as_str()), ("https://b", ""));
    let long = Access { user_token: "x".repeat(2049), ..Access::default() };
    assert_eq!(long.check(), Err(TooLong("user_token")));
}

#[tokio::test]
async fn the_ways_to_a_cluster_are_read_at_once() {
    let (_dir, store) = store().await;
    store.insert_bcs_cluster(&cluster("bcs-a_b", "ident"), &info("bcs-a_b", "p", "A")).await.unwrap();
    let target = store.kube_target("ident").await.unwrap().unwrap();
    assert!(target.credentials.is_none() && target.tunnel.is_none());
    store.save_credentials("bcs-a_b", &Access { user_token: "t".into(), ..Access::default() }).await.unwrap();
    let target = store.kube_target("ident").await.unwrap().unwrap();
    assert_eq!(target.credentials.unwrap().access.user_token, "t");
    let told = |server_key: &str, module: &str| TunnelCredentials {
        server_key: server_key.into(),
        client_module: module.into(),
        server_address: "https://10.0.0.1:6443".into(),
        ..TunnelCredentials::default()
    };
    store.put_tunnel_credentials(&told("bcs-a_b", "kube-agent")).await.unwrap();
    assert_eq!(store.kube_target("ident").await.unwrap().unwrap().tunnel.unwrap().client_module, "kube-agent");
    for key in ["bcs-a_b-10.0.0.1:1", "bcs-a_b-10.0.0.2:1", "bcs-axb-10.0.0.3:1", "BCS-A_B-10.0.0.4:1", "bcs-a_bc-1"] {
        store.put_tunnel_credentials(&told(key, "k8s-driver")).await.unwrap();
    }
    let keys = |found: Vec<TunnelCredentials>| found.into_iter().map(|told| told.server_key).collect::<Vec<_>>();
    assert_eq!(keys(store.driver_tunnels("a").await.unwrap()), ["bcs-a_b-10.0.0.1:1", "bcs-a_b-10.0.0.2:1"]);
    store.delete_tunnel_credentials("bcs-a_b").await.unwrap();
    store.delete_tunnel_credentials("bcs-a_b-10.0.0.1:1").await.unwrap();
    assert!(store.kube_target("ident").await.unwrap().unwrap().tunnel.is_none());
    assert_eq!(keys(store.driver_tunnels("A").await.unwrap()), ["bcs-a_b-10.0.0.2:1"]);
}

#[tokio::test]
async fn a_kubeconfig_token_for_the_paas_is_extended_and_then_replaced() {
    let (_dir, store) = store().await;
    let user = store.paas_user("bk_user", "alice").await.unwrap();
    assert_eq!((user.name.as_str(), user.is_super_user), ("bk_user:alice", false));
    assert_eq!(store.paas_user("bk_user", "alice").await.unwrap(), user);
    let kind = TokenKind::KUBECONFIG_FOR_PAAS;
    let first = store.get_or_create_token(user.id, kind).await.unwrap();
    store.expire_tokens(Utc::now() + Duration::minutes(1)).await;
    let second = store.get_or_create_token(user.id, kind).await.unwrap();
    assert!(first.value == second.value && second.expires_at.0.unwrap() > Utc::now() + Duration::hours(23));
    store.expire_tokens(Utc::now() - Duration::minutes(1)).await;
    assert!(store.holder(&first.value).await.unwrap().unwrap().is_expired());
    let third = store.get_or_create_token(user.id, kind).await.unwrap();
    assert_ne!(third.value, first.value);
    assert!(!store.holder(&third.value).await.unwrap().unwrap().is_expired());
    let plain = store.get_or_create_token(user.id, TokenKind::KUBECONFIG_PLAIN).await.unwrap();
    assert_eq!(store.get_or_create_token(user.id, TokenKind::KUBECONFIG_PLAIN).await.unwrap().value, plain.value);
    assert!(plain.value != third.value && plain.value.len() == 32);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_who_ask_at_once_get_one_token() {
    let (_dir, store) = store().await;
    let user = store.insert_user("a", false).await.unwrap();
    let tokens = futures::future::join_all((0..20).map(|_| {
        let store = store.clone();
        async move { store.get_or_create_token(user.id, TokenKind::KUBECONFIG_PLAIN).await.unwrap().value }
    }));
    let tokens = tokio::time::timeout(StdDuration::from_secs(20), tokens).await.unwrap();
    let valid = store.get_or_create_token(user.id, TokenKind::KUBECONFIG_PLAIN).await.unwrap().value;
    assert!(tokens.iter().all(|token| *token == valid));
}

#[tokio::test]
async fn register_tokens_are_made_once() {
    let (_dir, store) = store().await;
    let made = store.insert_register_token("c").await.unwrap();
    assert_eq!(made.token.len(), 128);
    assert_eq!(store.register_token("C").await.unwrap().as_deref(), Some(made.token.as_str()));
    assert!(matches!(store.insert_register_token("C").await, Err(SqlError::Duplicate { .. })));
}

#[tokio::test]
async fn subnets_are_replaced() {
    let (_dir, store) = store().await;
    store.save_subnet("r", "one").await.unwrap();
    store.save_subnet("r", "two").await.unwrap();
    assert_eq!(store.subnet("r").await.unwrap().as_deref(), Some("two"));
}

impl Store {
    /// A store whose tables nobody made.
    pub(crate) fn unprepared(database: Database) -> Self {
        Self { database, kube_targets: Arc::default() }
    }

    async fn insert_token_of(&self, user_id: u32, value: &str) {
        let sql = "INSERT INTO user_tokens (user_id, type, value, expires_at) VALUES (?, 1, ?, ?)";
        let end = Utc::now() + Duration::hours(1);
        self.database.write(sql, &[user_id.into(), value.into(), end.into()]).await.unwrap();
    }

    async fn expire_tokens(&self, end: chrono::DateTime<Utc>) {
        self.database.write("UPDATE user_tokens SET expires_at = ?", &[end.into()]).await.unwrap();
    }
}
