//! Watch streams of bcs-storage under load: nothing is lost, doubled or out of order, whoever else comes and goes.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests: a panic is a failed test")]

use std::time::Duration;

use bcs_integration_tests::http::{Client, JsonStream};
use bcs_integration_tests::service::ServiceSpec;
use futures::future::{join, join_all};
use http::Method;
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(60);
const LEAVING: usize = 20;
const STAYING: usize = 50;
const WRITERS: usize = 4;
const WRITES: usize = 100;

async fn watch(client: &Client, options: &Value) -> JsonStream {
    client.stream(Method::POST, "/bcsstorage/v1/dynamic/watch/c/Pod", Some(options)).await.unwrap()
}

/// Each writer counts one Pod up.
async fn write(client: &Client, writer: usize, numbers: std::ops::Range<usize>) {
    let path = format!("/bcsstorage/v1/k8s/dynamic/namespace_resources/clusters/c/namespaces/ns/Pod/p{writer}");
    for n in numbers {
        let answer = client.put(&path, &json!({ "data": { "n": n } })).await.unwrap().json();
        assert_eq!(answer["code"], 0, "{answer}");
    }
}

/// Reads a stream to its end: how often each writer counted, checked to be without gaps.
async fn read(mut stream: JsonStream) -> Vec<usize> {
    let mut next = vec![0; WRITERS];
    loop {
        let event = stream.next(SOON).await.unwrap().unwrap();
        if event["type"] == -1 {
            return next;
        }
        let value = &event["value"];
        let writer: usize = value["resourceName"].as_str().unwrap()[1..].parse().unwrap();
        assert_eq!(value["data"]["n"], next[writer], "p{writer}");
        assert_eq!(event["type"], if next[writer] == 0 { 1 } else { 3 });
        next[writer] += 1;
    }
}

#[tokio::test]
async fn every_watcher_sees_every_write_in_order() {
    let mut storage = ServiceSpec::new("bcs-storage").ports(&["port", "metric_port"]).config(&json!({})).start().await;
    let client = storage.client();
    let (endless, counted) = (json!({}), json!({ "maxEvents": WRITERS * WRITES }));
    let leaving = join_all((0..LEAVING).map(|_| watch(&client, &endless))).await;
    let staying = join_all((0..STAYING).map(|_| watch(&client, &counted))).await;
    drop(leaving);
    let writers = join_all((0..WRITERS).map(|writer| write(&client, writer, 0..WRITES)));
    let (counts, _) = join(join_all(staying.into_iter().map(read)), writers).await;
    assert_eq!(counts, vec![vec![WRITES; WRITERS]; STAYING]);
    storage.stop().await;
}
