//! What bcs-storage tells the subscribers of its message queue, as recorded, and that a broken queue harms nobody.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests: a panic is a failed test"
)]

use std::path::Path;
use std::time::Duration;

use bcs_integration_tests::http::Client;
use bcs_integration_tests::servers::rabbitmq::RabbitMq;
use bcs_integration_tests::service::{Service, ServiceSpec};
use bcs_integration_tests::wait::eventually;
use futures::StreamExt;
use http::Request;
use http_body_util::Full;
use lapin::options::{BasicConsumeOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Connection, ConnectionProperties, Consumer};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(20);
const EXCHANGE: &str = "bcs-storage";

/// `guest`, encrypted with the key of the community edition.
const PASSWORD: &str = "iQylHSLfKmQ=";

fn queue_conf(broker: &RabbitMq) -> String {
    let address = broker.address();
    let rest = "ConnectRetry SubDurable SubDisableAutoAck SubAckOnSuccess SubRequeueOnError SubDeliverAllMessage \
                SubManualAckMode SubEnableAckWait ExchangeDurable ExchangePrefetchGlobal";
    let booleans: String = rest.split_whitespace().map(|key| format!("{key} = true\n")).collect();
    format!(
        "[queue]\nQueueFlag = true\nQueueKind = rabbitmq\nResource = Pod,Event,Node,Deployment,application,Gold41007Thing\n\
         Address = amqp://guest:{PASSWORD}@{address}\nExchangeName = {EXCHANGE}\nExchangePrefetchCount = 30\n\
         ConnectTimeout = 300\nPublishDelivery = 2\nSubAckWaitDuration = 30\nSubMaxInFlight = 0\n{booleans}"
    )
}

async fn storage(broker: &RabbitMq) -> Service {
    ServiceSpec::new("bcs-storage")
        .ports(&["port", "metric_port"])
        .file("queue.conf", queue_conf(broker))
        .config(&json!({}))
        .start()
        .await
}

/// A queue that gets every message.
struct Subscriber {
    _connection: Connection,
    messages: Consumer,
}

impl Subscriber {
    async fn start(broker: &RabbitMq) -> Self {
        let connection = Connection::connect(&broker.uri(), ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        // The exchange is there before the first message.
        eventually("the exchange", SOON, async || {
            let probe = connection.create_channel().await.unwrap();
            let passive = lapin::options::ExchangeDeclareOptions { passive: true, ..Default::default() };
            let kind = lapin::ExchangeKind::Topic;
            probe.exchange_declare(EXCHANGE.into(), kind, passive, FieldTable::default()).await.is_ok()
        })
        .await;
        let queue =
            channel.queue_declare("all".into(), QueueDeclareOptions::default(), FieldTable::default()).await.unwrap();
        let (name, options) = (queue.name().clone(), QueueBindOptions::default());
        channel.queue_bind(name, EXCHANGE.into(), "#".into(), options, FieldTable::default()).await.unwrap();
        let options = BasicConsumeOptions { no_ack: true, ..Default::default() };
        let messages =
            channel.basic_consume("all".into(), "test".into(), options, FieldTable::default()).await.unwrap();
        Self { _connection: connection, messages }
    }

    /// The next message in the form of the recording.
    async fn next(&mut self) -> Value {
        let delivery = tokio::time::timeout(SOON, self.messages.next()).await.expect("a message").unwrap().unwrap();
        let properties = &delivery.properties;
        assert_eq!(*properties.delivery_mode(), Some(2));
        assert!(properties.content_type().is_none() && properties.message_id().is_none());
        let headers: serde_json::Map<String, Value> = properties
            .headers()
            .as_ref()
            .unwrap()
            .inner()
            .iter()
            .map(|(key, value)| {
                let AMQPValue::LongString(text) = value else { panic!("header {key} is {value:?}") };
                (key.to_string(), String::from_utf8(text.as_bytes().to_vec()).unwrap().into())
            })
            .collect();
        let body: Value = serde_json::from_slice(&delivery.data).unwrap();
        json!({ "routing_key": delivery.routing_key.as_str(), "headers": headers, "body": body })
    }
}

async fn run(client: &Client, step: &Value) -> Value {
    let mut path = step["path"].as_str().unwrap().to_owned();
    if let Some(query) = step["query"].as_object() {
        let pairs: Vec<_> = query.iter().map(|(key, value)| format!("{key}={}", value.as_str().unwrap())).collect();
        path = format!("{path}?{}", pairs.join("&"));
    }
    let body = match (step.get("body"), step.get("raw")) {
        (Some(body), _) => body.to_string(),
        (None, Some(raw)) => raw.as_str().unwrap().to_owned(),
        (None, None) => String::new(),
    };
    let request = Request::builder().method(step["method"].as_str().unwrap()).uri(path);
    client.request(request.body(Full::from(body)).unwrap()).await.unwrap().json()
}

fn sorted(mut messages: Vec<Value>) -> Vec<Value> {
    messages.sort_by_key(Value::to_string);
    messages
}

#[tokio::test]
async fn messages_are_as_recorded() {
    let broker = RabbitMq::start().await;
    let mut storage = storage(&broker).await;
    let mut subscriber = Subscriber::start(&broker).await;
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/storage/queue-messages.json");
    let recording: Value = serde_json::from_str(&std::fs::read_to_string(golden).unwrap()).unwrap();
    let operations = recording["operations"].as_array().unwrap();
    assert_eq!(operations.len(), 23);
    let client = storage.client();
    for operation in operations {
        let name = operation["operation"].as_str().unwrap();
        assert_eq!(run(&client, operation).await, operation["answer"], "{name}");
        let wanted = operation.get("correct").unwrap_or(&operation["messages"]).as_array().unwrap().clone();
        let mut messages = Vec::new();
        for _ in &wanted {
            messages.push(subscriber.next().await);
        }
        assert_eq!(sorted(messages), sorted(wanted), "{name}");
    }
    // Nothing was sent that should not: the next message is that of the next write.
    let pod = json!({ "data": { "last": true } });
    client.put("/bcsstorage/v1/k8s/dynamic/cluster_resources/clusters/c/Node/last", &pod).await.unwrap();
    assert_eq!(subscriber.next().await["body"], pod["data"]);
    storage.stop().await;
}

#[tokio::test]
async fn a_broken_queue_fails_and_delays_no_write() {
    let mut broker = RabbitMq::start().await;
    let mut storage = storage(&broker).await;
    let client = storage.client();
    let put = async |name: &str| {
        let path = format!("/bcsstorage/v1/k8s/dynamic/cluster_resources/clusters/c/Node/{name}");
        let started = std::time::Instant::now();
        let answer = client.put(&path, &json!({ "data": name })).await.unwrap().json();
        assert_eq!(answer["code"], 0, "{answer}");
        assert!(started.elapsed() < Duration::from_secs(2), "{name} took {:?}", started.elapsed());
    };
    put("before").await;
    broker.daemon().stop().await;
    put("meanwhile").await;
    broker.daemon().start_again().await;
    let mut subscriber = Subscriber::start(&broker).await;
    put("after").await;
    // What was written meanwhile comes too, before it or (to a queue that did not exist then) not at all.
    loop {
        let message = subscriber.next().await;
        if message["body"] == "after" {
            break;
        }
        assert_eq!(message["body"], "meanwhile");
    }
    storage.stop().await;
}
