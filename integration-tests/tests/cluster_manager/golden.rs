//! The recorded conversations, on both stores and both ports.

use bcs_integration_tests::golden::Replay;
use bcs_integration_tests::servers::mongodb::MongoDb;
use serde_json::{Value, json};

use crate::support::{FakeKube, PythonAgent, grpc_target, mongo, proto, start};

const TUNNEL: &str = "BCS-K8S-90001";

async fn replay(config: &Value) {
    let (service, kube) = tokio::join!(start(config), FakeKube::start());
    let _agent = PythonAgent::start(&service, TUNNEL, kube.address()).await;
    // The port of gRPC answers everything else, too.
    for base in [service.url(), format!("http://{}", grpc_target(&service))] {
        let replay = Replay::new(&base).var("KUBE", &kube.url()).var("TUNNEL", TUNNEL);
        let files = [
            "01-clusters",
            "02-cluster-validation",
            "03-federation",
            "04-namespaces",
            "05-quotas",
            "06-credentials",
            "07-tke-cidr",
            "08-gateway-rules",
            "09-no-session",
            "10-proxy",
            "11-quota-through-tunnel",
        ];
        let replay =
            files.iter().fold(replay, |replay, file| replay.conversation(format!("cluster-manager/{file}.json")));
        let steps = replay.run().await;
        assert!(steps > 200, "{steps} steps");
    }
    let calls = Replay::grpc(&grpc_target(&service), &proto()).conversation("cluster-manager/grpc.json").run().await;
    assert!(calls > 40, "{calls} calls");
}

#[tokio::test]
async fn on_the_embedded_store() {
    replay(&json!({})).await;
}

#[tokio::test]
async fn on_mongodb() {
    let server = MongoDb::start().await;
    replay(&json!({"mongo": mongo(&server)})).await;
}
