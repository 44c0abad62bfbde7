//! What is in MongoDB, and what happens without it.

use bcs_integration_tests::chaos::ChaosProxy;
use bcs_integration_tests::servers::mongodb::MongoDb;
use bcs_integration_tests::wait::eventually;
use bson::{Bson, Document, doc};
use futures::TryStreamExt as _;
use http::Method;
use mongodb::Client as MongoClient;
use serde_json::{Value, json};

use crate::support::{SOON, call, cluster, mongo, start};

async fn documents(database: &mongodb::Database, collection: &str) -> Vec<Document> {
    database.collection::<Document>(collection).find(doc! {}).await.unwrap().try_collect().await.unwrap()
}

#[tokio::test]
async fn documents_and_indexes_are_those_of_the_original() {
    let server = MongoDb::start().await;
    let service = start(&json!({"mongo": mongo(&server)})).await;
    let client = service.client();
    let database = MongoClient::with_uri_str(server.uri()).await.unwrap().database("clustermanager");
    assert!(database.list_collection_names().await.unwrap().is_empty(), "nothing is made before it is used");
    call(&client, Method::POST, "cluster/BCS-K8S-1", &cluster()).await;
    let credential = json!({"clusterID": "BCS-K8S-1", "clientModule": "kubeagent", "serverAddress": "https://a"});
    call(&client, Method::PUT, "clustercredential/BCS-K8S-1", &credential).await;
    call(&client, Method::POST, "namespace/BCS-K8S-1/ns1", &json!({"projectID": "p1"})).await;
    call(&client, Method::GET, "namespacequota/BCS-K8S-1/ns1?clusterID=c", &Value::Null).await;
    let add = json!({"vpc": "v", "tke_cidrs": [{"cidr": "10.0.0.0/24", "ip_number": 256}]});
    client.post("/clustermanager/v1/tke/cidr/add_cidr", &add).await.unwrap();

    let stored = documents(&database, "bcsclustermanager_cluster").await.remove(0);
    let fields: Vec<&str> = stored.keys().map(String::as_str).collect();
    assert_eq!(
        fields,
        [
            "_id",
            "clusterID",
            "clusterName",
            "federationClusterID",
            "provider",
            "region",
            "vpcID",
            "projectID",
            "businessID",
            "environment",
            "engineType",
            "isExclusive",
            "clusterType",
            "apiserverEndpoints",
            "apiServerClientCa",
            "token",
            "kubeconfig",
            "wssServerCert",
            "wssServerKey",
            "wssCa",
            "labels",
            "operators",
            "createTime",
            "updateTime"
        ]
    );
    assert_eq!(stored.get_document("labels").unwrap().get_str("app.kubernetes.io/name").unwrap(), "x");
    assert!(matches!((&stored["_id"], &stored["createTime"]), (Bson::ObjectId(_), Bson::DateTime(_))));
    let credential = documents(&database, "bcsclustermanager_clustercredential").await.remove(0);
    assert_eq!((&credential["connectMode"], &credential["clusterDomain"]), (&"direct".into(), &"".into()));
    let namespace = documents(&database, "bcsclustermanager_namespace").await.remove(0);
    assert!(!namespace.contains_key("labels") && namespace["maxQuota"] == Bson::from(""));
    let cidr = documents(&database, "bcsclustermanager_tkecidrs").await.remove(0);
    assert_eq!((&cidr["ipNumber"], &cidr["status"]), (&Bson::Int64(256), &"available".into()));

    for (name, keys) in [
        ("cluster", &["clusterID"][..]),
        ("clustercredential", &["serverKey"]),
        ("namespace", &["name", "federationClusterID"]),
        ("namespacequota", &["namespace", "federationClusterID", "clusterID"]),
        ("tkecidrs", &["vpc", "cidr"]),
    ] {
        let collection = database.collection::<Document>(&format!("bcsclustermanager_{name}"));
        let indexes: Vec<_> = collection.list_indexes().await.unwrap().try_collect().await.unwrap();
        let own = indexes.iter().find(|index| index.options.as_ref().unwrap().name == Some(format!("{name}_idx")));
        let own = own.unwrap_or_else(|| panic!("{name} has no index"));
        assert_eq!(own.keys.keys().collect::<Vec<_>>(), keys);
        assert_eq!(own.options.as_ref().unwrap().unique, Some(true));
    }
}

#[tokio::test]
async fn an_outage_is_an_answer_and_ends_with_it() {
    let server = MongoDb::start().await;
    let chaos = ChaosProxy::start(server.hosts().parse().unwrap());
    let config = json!({"mongo": {"address": chaos.address().to_string(), "database": "clustermanager"}});
    let service = start(&config).await;
    let client = service.client();
    assert_eq!(call(&client, Method::POST, "cluster/c1", &cluster()).await["code"], "0");
    chaos.refuse().await;
    chaos.cut().await;
    for (method, path) in [(Method::GET, "cluster/c1"), (Method::GET, "cluster"), (Method::DELETE, "cluster/c1")] {
        let answer = call(&client, method, path, &Value::Null).await;
        assert_eq!(answer["code"], "1405420", "{answer}");
        assert!(answer["message"].as_str().unwrap().contains("database"), "{answer}");
    }
    let released = json!({"vpc": "v", "cidr": "10.0.0.0/24", "cluster": "c"});
    let response = client.post("/clustermanager/v1/tke/cidr/release_cidr", &released).await.unwrap();
    assert_eq!((response.status.as_u16(), &response.json()["code"]), (400, &json!(1_405_402)));
    chaos.accept().await;
    eventually("the store is back", SOON, async || {
        call(&client, Method::GET, "cluster/c1", &Value::Null).await["code"] == "0"
    })
    .await;
}

#[tokio::test]
async fn what_was_acknowledged_outlives_a_kill() {
    let mut service = start(&json!({})).await;
    for number in 0..20 {
        let created = call(&service.client(), Method::POST, &format!("cluster/c{number:02}"), &cluster()).await;
        assert_eq!(created["code"], "0");
    }
    service.daemon().kill();
    service.daemon().start_again().await;
    let listed = call(&service.client(), Method::GET, "cluster?limit=7&offset=3", &Value::Null).await;
    let ids: Vec<&str> =
        listed["data"].as_array().unwrap().iter().map(|it| it["clusterID"].as_str().unwrap()).collect();
    assert_eq!(ids, ["c03", "c04", "c05", "c06", "c07", "c08", "c09"]);
}
