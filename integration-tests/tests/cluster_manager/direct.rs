//! Clusters that are reached without a tunnel: the quotas of members of a federation.

use std::fs;
use std::path::Path;

use bcs_integration_tests::certs::Certs;
use bcs_integration_tests::http::Client;
use bcs_integration_tests::kube::Kube;
use bcs_integration_tests::ports::Port;
use http::Method;
use serde_json::{Value, json};

use crate::support::{call, cluster, start};

/// A federation with one member, and the namespace `ns` in it.
async fn federation(client: &Client) {
    let mut of = cluster();
    of["clusterType"] = json!("federation");
    for (path, body) in [
        ("cluster/fed", of),
        ("cluster/member", cluster()),
        ("addfederatedcluster", json!({"federationClusterID": "fed", "clusterID": "member"})),
        ("namespace/fed/ns", json!({})),
    ] {
        let done = call(client, Method::POST, path, &body).await;
        assert_eq!(done["code"], "0", "{path}: {done}");
    }
}

async fn register(client: &Client, addresses: &str, ca: &Path) {
    let credential = json!({
        "clusterID": "member", "clientModule": "kubeagent", "serverAddress": addresses,
        "caCertData": fs::read_to_string(ca).unwrap(), "userToken": "t1"
    });
    assert_eq!(call(client, Method::PUT, "clustercredential/member", &credential).await["code"], "0");
}

async fn create_quota(client: &Client) -> Value {
    let quota = json!({"metadata": {"name": "ns", "namespace": "ns"}, "spec": {"hard": {"cpu": "1"}}});
    let body = json!({"clusterID": "member", "resourceQuota": quota.to_string()});
    call(client, Method::POST, "namespacequota/fed/ns", &body).await
}

#[tokio::test]
async fn the_stored_ca_and_all_addresses_are_used() {
    let (certs, others, dead) = (Certs::generate(), Certs::generate(), Port::claim());
    let config = json!({});
    let (service, kube) = tokio::join!(start(&config), Kube::start_tls(&certs));
    let client = service.client();
    federation(&client).await;
    let addresses = format!("https://{},{}", dead.address(), kube.url());

    // Not with another CA, and nothing is kept of the attempt.
    register(&client, &addresses, &others.ca()).await;
    let refused = create_quota(&client).await;
    assert_eq!(refused["code"], "1405422", "{refused}");
    let reason = refused["message"].as_str().unwrap();
    assert!(reason.contains("the certificate of 127.0.0.1 is refused"), "{reason}");
    assert_eq!(kube.requests(), 0);

    register(&client, &addresses, &certs.ca()).await;
    let created = create_quota(&client).await;
    assert_eq!((&created["code"], &created["data"]["clusterID"]), (&json!("0"), &json!("member")), "{created}");
    assert_eq!(kube.requests(), 2, "a namespace and its quota");
    let stored = call(&client, Method::GET, "namespacequota/fed/ns?clusterID=member", &Value::Null).await;
    assert_eq!((&stored["code"], &stored["data"]["clusterID"]), (&json!("0"), &json!("member")), "{stored}");
}

#[tokio::test]
async fn a_cluster_that_cannot_be_reached_is_said() {
    let (service, certs, dead) = (start(&json!({})).await, Certs::generate(), Port::claim());
    let client = service.client();
    federation(&client).await;
    register(&client, &format!("https://{}", dead.address()), &certs.ca()).await;
    let failed = create_quota(&client).await;
    assert_eq!(failed["code"], "1405422", "{failed}");
    let reason = failed["message"].as_str().unwrap();
    assert!(reason.contains(&format!("dial tcp {}: connect: connection refused", dead.address())), "{reason}");
}
