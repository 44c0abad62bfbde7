//! RBAC objects in a cluster that keeps them in memory.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bcs_common::http::Body;
use bcs_common::http::body::collect;
use bcs_common::http::query::Query;
use bcs_common::http::server::{Listener, ServerOptions, serve};
use bcs_common::shutdown::Shutdown;
use http::{Method, Request, Response, StatusCode};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::kube::{Kube, Scope};
use super::{config, permission, push};
use crate::options::RbacOptions;
use crate::store::tests::store;
use crate::store::{Access, ClusterInfo, NewCluster, Provider, Store};

const API: &str = "/apis/rbac.authorization.k8s.io/v1";

/// Objects by path of their collection.
#[derive(Default)]
struct Objects {
    made: u32,
    all: Vec<(String, Value)>,
    writes: u32,
}

impl Objects {
    fn answer(&mut self, method: &Method, path: &str, selector: Option<&str>, body: Value) -> (StatusCode, Value) {
        let (collection, name) = path.rsplit_once('/').unwrap();
        let is_named = |(of, object): &(String, Value)| of == collection && object["metadata"]["name"] == name;
        let is_write = *method != Method::GET;
        self.writes += u32::from(is_write);
        match *method {
            Method::GET if path.ends_with("bindings") => {
                let (label, value) = selector.unwrap().split_once('=').unwrap();
                let matches =
                    |(of, object): &&(String, Value)| of == path && object["metadata"]["labels"][label] == value;
                let items: Vec<&Value> = self.all.iter().filter(matches).map(|(_, object)| object).collect();
                (StatusCode::OK, json!({ "items": items }))
            }
            Method::GET => match self.all.iter().find(|entry| is_named(entry)) {
                Some((_, object)) => (StatusCode::OK, object.clone()),
                None => (StatusCode::NOT_FOUND, json!({"message": "not found"})),
            },
            Method::POST => {
                let mut object = body;
                if let Some(prefix) = object["metadata"]["generateName"].as_str() {
                    self.made += 1;
                    object["metadata"]["name"] = format!("{prefix}{}", self.made).into();
                }
                self.all.push((path.to_owned(), object.clone()));
                (StatusCode::CREATED, object)
            }
            Method::PUT => {
                self.all.retain(|entry| !is_named(entry));
                self.all.push((collection.to_owned(), body.clone()));
                (StatusCode::OK, body)
            }
            _ => {
                self.all.retain(|entry| !is_named(entry));
                (StatusCode::OK, json!({}))
            }
        }
    }
}

/// A cluster, and a store that knows it as `C` with the user `plain:alice`.
struct World {
    objects: Arc<Mutex<Objects>>,
    store: Store,
    access: Access,
    shutdown: Shutdown,
    _dir: TempDir,
}

impl World {
    async fn new() -> Self {
        let shutdown = Shutdown::new();
        let objects = Arc::new(Mutex::new(Objects::default()));
        let listener = Listener::bind("127.0.0.1:0", None).await.unwrap();
        let access = Access {
            server_addresses: format!("http://{}", listener.local_addr()),
            user_token: "sa".into(),
            ..Access::default()
        };
        let shared = Arc::clone(&objects);
        let kube = tower::service_fn(move |request: Request<Body>| {
            let objects = Arc::clone(&shared);
            async move {
                assert_eq!(request.headers()["authorization"], "Bearer sa");
                let (parts, body) = request.into_parts();
                let body = serde_json::from_slice(&collect(body, 1 << 20).await.unwrap()).unwrap_or_default();
                let query = Query::of(&parts.uri);
                let (status, answer) =
                    objects.lock().answer(&parts.method, parts.uri.path(), query.get("labelSelector"), body);
                let mut response = Response::new(Body::from(answer.to_string()));
                *response.status_mut() = status;
                Ok::<_, Infallible>(response)
            }
        });
        shutdown.spawn("kube", serve(listener, kube, ServerOptions::default(), shutdown.clone()));
        let (dir, store) = store().await;
        let user = store.insert_user("plain:alice", false).await.unwrap();
        let cluster =
            NewCluster { id: "bcs-c-x", provider: Provider::Bcs, creator_id: user.id, identifier: "bcs-c-x-y" };
        let info = ClusterInfo {
            cluster_id: "bcs-c-x".into(),
            source_project_id: "p".into(),
            source_cluster_id: "C".into(),
            ..ClusterInfo::default()
        };
        store.insert_bcs_cluster(&cluster, &info).await.unwrap();
        store.save_credentials("bcs-c-x", &access).await.unwrap();
        Self { objects, store, access, shutdown, _dir: dir }
    }

    /// User, role and reason of the bindings in a scope.
    fn bindings(&self, collection: &str) -> Vec<(String, String, String)> {
        let objects = self.objects.lock();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let path = format!("{API}/{collection}");
        let found = objects.all.iter().filter(|(of, _)| *of == path);
        let mut found: Vec<_> = found
            .map(|(_, object)| {
                let kind = if collection.starts_with("cluster") { "clusterrolebinding" } else { "rolebinding" };
                let from = text(&object["metadata"]["labels"][format!("{kind}.from.bke.bcs")]);
                (text(&object["subjects"][0]["name"]), text(&object["roleRef"]["name"]), from)
            })
            .collect();
        found.sort();
        found
    }

    fn role(&self, name: &str) -> Value {
        let objects = self.objects.lock();
        objects.all.iter().find(|(_, object)| object["metadata"]["name"] == name).unwrap().1.clone()
    }

    async fn end(self) {
        self.shutdown.drain(Duration::from_secs(5)).await;
    }
}

fn binding(user: &str, role: &str, from: &str) -> (String, String, String) {
    (user.into(), role.into(), from.into())
}

#[tokio::test]
async fn the_configuration_decides_on_its_own_bindings_only() {
    let world = World::new().await;
    let entry = |roles: &[&str]| RbacOptions {
        user_name: "plain:alice".into(),
        cluster_id: "bcs-c-x".into(),
        roles: roles.iter().map(ToString::to_string).collect(),
    };
    let kube = Kube::new(&world.access, &world.shutdown).unwrap();
    kube.bind(Scope::Cluster, "plain.alice", "services-view", "from-common").await.unwrap();
    config::sync(&world.store, &[entry(&["cluster-readonly", "workloads-view"])], &world.shutdown).await;
    let pushed = binding("plain.alice", "bke-services-view", "from-common");
    let read = binding("plain.alice", "bke-cluster-readonly", "");
    let view = binding("plain.alice", "bke-workloads-view", "");
    assert_eq!(world.bindings("clusterrolebindings"), [read.clone(), pushed.clone(), view]);
    assert_eq!(world.objects.lock().all.iter().filter(|(of, _)| of.ends_with("clusterroles")).count(), 6);

    let writes = world.objects.lock().writes;
    config::sync(&world.store, &[entry(&["workloads-view", "cluster-readonly"])], &world.shutdown).await;
    assert_eq!(world.objects.lock().writes, writes);

    // Others come and go; a role that somebody changed gets its rules back.
    for (of, object) in &mut world.objects.lock().all {
        if of.ends_with("clusterroles") && object["metadata"]["name"] == "bke-cluster-manage" {
            object["rules"] = json!([]);
        }
    }
    let unknown = RbacOptions { user_name: "nobody".into(), ..entry(&["cluster-manage"]) };
    config::sync(&world.store, &[unknown, entry(&["nonsense"]), entry(&["cluster-readonly"])], &world.shutdown).await;
    assert_eq!(world.bindings("clusterrolebindings"), [read, pushed]);
    assert_eq!(world.role("bke-cluster-manage")["rules"].as_array().unwrap().len(), 2);
    world.end().await;
}

fn permission(operation: &str, resource_type: &str, cluster: &str, namespace: &str) -> String {
    json!({
        "operation": operation, "principal": {"principal_type": "user", "principal_id": "bob"},
        "action": "workloads-manage", "resource_type": resource_type,
        "resource_instance": {"cluster": cluster, "namespace": namespace}, "policy_from": "common",
    })
    .to_string()
}

#[tokio::test]
async fn permissions_are_added_once_and_deleted() {
    let world = World::new().await;
    let apply = async |text: String| permission::apply(&world.store, &text, &world.shutdown).await;
    for _ in 0..2 {
        apply(permission("add", "cluster", "c", "")).await.unwrap();
        apply(permission("add", "cluster", "*", "")).await.unwrap();
        apply(permission("add", "namespace", "C", "ns")).await.unwrap();
    }
    let common = binding("user.bob", "bke-workloads-manage", "from-common");
    let any = binding("user.bob", "bke-workloads-manage", "from-any-cluster");
    assert_eq!(world.bindings("clusterrolebindings"), [any.clone(), common.clone()]);
    assert_eq!(world.bindings("namespaces/ns/rolebindings"), [common]);
    apply(permission("delete", "cluster", "C", "")).await.unwrap();
    apply(permission("delete", "namespace", "C", "ns")).await.unwrap();
    assert_eq!(world.bindings("clusterrolebindings"), [any]);
    assert_eq!(world.bindings("namespaces/ns/rolebindings"), []);
    for text in [permission("add", "cluster", "1", ""), permission("grant", "cluster", "C", ""), "x".to_owned()] {
        assert!(apply(text.clone()).await.is_err(), "{text}");
    }
    world.end().await;
}

#[tokio::test]
async fn what_was_applied_is_acknowledged() {
    let world = World::new().await;
    let message = |data: &str, id: u32| {
        json!({"app_code": "bcs", "type": "data", "worker_id": "w", "data_id": id, "data": data}).to_string()
    };
    let unknown = permission("add", "cluster", "unknown", "");
    let sent = [
        json!({"type": "hi"}).to_string(),
        "no message".to_owned(),
        message(&unknown, 1),
        message(&permission("add", "cluster", "C", ""), 2),
    ];
    let answers = push::tests::converse(&world.store, &world.shutdown, &sent).await;
    let ack = json!({"app_code": "bcs", "type": "ack", "worker_id": "w", "data_id": 2});
    assert_eq!(answers, [ack]);
    assert_eq!(world.bindings("clusterrolebindings").len(), 1);
    world.end().await;
}
