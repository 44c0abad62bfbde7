//! bcs-storage publishes to RabbitMQ what it was told (storage.md 9), also after the broker was away.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests: a panic is a failed test"
)]

use std::path::Path;
use std::time::{Duration, Instant};

use bcs_integration_tests::http::Client;
use bcs_integration_tests::servers::rabbitmq::RabbitMq;
use bcs_integration_tests::service::Service;
use bcs_integration_tests::storage::{metric, pod, storage};
use bcs_integration_tests::wait::{LOAD, eventually};
use bytes::Bytes;
use futures::StreamExt;
use http::{Method, Request};
use http_body_util::Full;
use lapin::message::Delivery;
use lapin::options::{BasicConsumeOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, Consumer, ExchangeKind};
use serde_json::{Value, json};
use tokio::sync::{Mutex, OnceCell};

const SOON: Duration = Duration::from_secs(60);

/// What the most impatient writer (bcs-k8s-watch) waits.
const WRITER_PATIENCE: Duration = Duration::from_secs(2).saturating_add(LOAD);

const SUCCEEDED: &str = r#"bkbcs_storage_queue_push_total{name="Pod",status="succeed"}"#;
const FAILED: &str = r#"bkbcs_storage_queue_push_total{name="Pod",status="failed"}"#;

/// One broker for all tests, and for one of them at a time: one of them stops it.
static BROKER: OnceCell<Mutex<RabbitMq>> = OnceCell::const_new();

async fn broker() -> &'static Mutex<RabbitMq> {
    BROKER.get_or_init(|| async { Mutex::new(RabbitMq::start().await) }).await
}

/// bcs-storage on the embedded store that publishes to an exchange of the broker.
async fn publisher(broker: &RabbitMq, exchange: &str, resources: &str) -> Service {
    publisher_to(&format!("amqp://guest:iQylHSLfKmQ=@{}", broker.address()), exchange, resources).await
}

async fn publisher_to(address: &str, exchange: &str, resources: &str) -> Service {
    // The password is `guest`, encrypted with the key of the community edition.
    let queue = format!(
        "[queue]
QueueFlag = true
QueueKind = rabbitmq
Resource = {resources}
Address = {address}
ExchangeName = {exchange}
ExchangeDurable = true
ExchangePrefetchCount = 30
ExchangePrefetchGlobal = true
ClusterId =
ConnectTimeout = 300
ConnectRetry = true
PublishDelivery = 2
SubDurable = true
SubDisableAutoAck = true
SubAckOnSuccess = true
SubRequeueOnError = true
SubDeliverAllMessage = true
SubManualAckMode = true
SubEnableAckWait = true
SubAckWaitDuration = 30
SubMaxInFlight = 0
"
    );
    storage(&json!({"queue_config_file": "queue.conf"})).file("queue.conf", queue).start().await
}

/// The other end: a durable queue that gets everything from an exchange.
struct Subscriber {
    channel: Channel,
    deliveries: Consumer,
    // The channel ends with it.
    _connection: Connection,
}

impl Subscriber {
    /// Waits until the exchange is there: the service declares it, in the background.
    async fn of(broker: &RabbitMq, exchange: &str) -> Self {
        eventually("the exchange is declared", SOON, async || {
            // A refused declaration closes the channel: a new one for every question.
            let connection = connect(broker).await;
            let channel = connection.create_channel().await.unwrap();
            let ask = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
            channel.exchange_declare(exchange.into(), ExchangeKind::Topic, ask, FieldTable::default()).await.is_ok()
        })
        .await;
        let connection = connect(broker).await;
        let channel = connection.create_channel().await.unwrap();
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(exchange.into(), durable, FieldTable::default()).await.unwrap();
        let bind = QueueBindOptions::default();
        channel.queue_bind(exchange.into(), exchange.into(), "#".into(), bind, FieldTable::default()).await.unwrap();
        let take = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        let deliveries = channel.basic_consume(exchange.into(), "".into(), take, FieldTable::default()).await.unwrap();
        Self { channel, deliveries, _connection: connection }
    }

    async fn next(&mut self) -> Delivery {
        let next = tokio::time::timeout(SOON, self.deliveries.next()).await;
        next.expect("no message in time").expect("the broker ended the subscription").unwrap()
    }

    /// The next `count` messages, as the recording writes them. Their properties are checked here.
    async fn take(&mut self, exchange: &str, count: usize) -> Vec<Value> {
        let mut messages = Vec::new();
        for _ in 0..count {
            let delivery = self.next().await;
            assert_eq!((delivery.exchange.as_str(), delivery.redelivered), (exchange, false));
            messages.push(shown(&delivery));
        }
        messages
    }
}

async fn connect(broker: &RabbitMq) -> Connection {
    Connection::connect(&broker.uri(), ConnectionProperties::default()).await.unwrap()
}

/// A message with persistent delivery, headers that are all long strings, and no other property.
fn shown(delivery: &Delivery) -> Value {
    let headers = delivery.properties.headers().clone().unwrap();
    let texts = headers.inner().iter().map(|(key, value)| {
        let AMQPValue::LongString(text) = value else { panic!("header {key} is {value:?}") };
        (key.to_string(), Value::from(String::from_utf8(text.as_bytes().to_vec()).unwrap()))
    });
    let texts: serde_json::Map<_, _> = texts.collect();
    let only = BasicProperties::default().with_headers(headers).with_delivery_mode(2);
    assert_eq!(delivery.properties, only);
    let body: Value = serde_json::from_slice(&delivery.data).unwrap();
    json!({"routing_key": delivery.routing_key.as_str(), "headers": texts, "body": body})
}

fn recording() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/storage/queue-messages.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Carries out an operation of the recording.
async fn carry_out(client: &Client, operation: &Value) -> Value {
    let text = |key: &str| operation[key].as_str().unwrap();
    let query = operation["query"].as_object().into_iter().flatten();
    let query: Vec<_> =
        query.map(|(key, value)| format!("{key}={}", value.as_str().unwrap().replace('=', "%3D"))).collect();
    let body = match (&operation["raw"], &operation["body"]) {
        (Value::String(raw), _) => raw.clone(),
        (_, Value::Null) => String::new(),
        (_, json) => json.to_string(),
    };
    let request = Request::builder()
        .method(Method::from_bytes(text("method").as_bytes()).unwrap())
        .uri(format!("{}?{}", text("path"), query.join("&")))
        .body(Full::new(Bytes::from(body)))
        .unwrap();
    client.request(request).await.unwrap().json()
}

fn in_order(mut messages: Vec<Value>) -> Vec<Value> {
    messages.sort_by_key(Value::to_string);
    messages
}

#[tokio::test]
async fn messages_are_as_recorded() {
    let exchange = "bcs-storage";
    let broker = broker().await.lock().await;
    let mut service = publisher(&broker, exchange, "Pod,Event,Node,Deployment,application,Gold41007Thing").await;
    let mut subscriber = Subscriber::of(&broker, exchange).await;
    // The broker refuses to declare what is there already in another way.
    let as_recorded = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    let declare =
        subscriber.channel.exchange_declare(exchange.into(), ExchangeKind::Topic, as_recorded, FieldTable::default());
    declare.await.unwrap();

    let client = service.client();
    let recording = recording();
    let operations = recording["operations"].as_array().unwrap();
    assert_eq!(operations.len(), 23);
    for operation in operations {
        assert_eq!(carry_out(&client, operation).await, operation["answer"], "{}", operation["operation"]);
        let right = if operation["correct"].is_null() { &operation["messages"] } else { &operation["correct"] };
        let right = right.as_array().unwrap().clone();
        // One message too many would be the first of the next operation.
        let sent = subscriber.take(exchange, right.len()).await;
        assert_eq!(in_order(sent), in_order(right), "{}", operation["operation"]);
    }
    client.put(&pod("BCS-Q", "last"), &json!({"data": {"h": "<"}})).await.unwrap();
    let last = subscriber.next().await;
    assert_eq!(shown(&last)["headers"]["resourceName"], "last");
    assert_eq!(last.data, br#"{"h":"\u003c"}"#);
    assert!(metric(&service, SUCCEEDED).await >= 1.0);
    service.stop().await;
}

/// Writes Pods `<prefix>0`, `<prefix>1`, … none of which takes long.
async fn write_pods(client: &Client, prefix: &str, count: usize, data: &Value) -> Vec<String> {
    let names: Vec<_> = (0..count).map(|n| format!("{prefix}{n}")).collect();
    for name in &names {
        let start = Instant::now();
        let answer = client.put(&pod("BCS-Q", name), &json!({ "data": data })).await.unwrap();
        assert_eq!(answer.json()["code"], 0, "{name}");
        assert!(start.elapsed() < WRITER_PATIENCE, "{name} took {:?}", start.elapsed());
    }
    names
}

#[tokio::test]
async fn messages_go_over_tls_to_a_broker_that_nobody_vouches_for() {
    let exchange = "bcs-storage-tls";
    let broker = broker().await.lock().await;
    let address = format!("amqps://guest:iQylHSLfKmQ=@{}", broker.tls_address());
    let mut service = publisher_to(&address, exchange, "Pod").await;
    let mut subscriber = Subscriber::of(&broker, exchange).await;
    let names = write_pods(&service.client(), "tls", 3, &json!({})).await;
    for name in &names {
        assert_eq!(&shown(&subscriber.next().await)["headers"]["resourceName"], name);
    }
    service.stop().await;
}

#[tokio::test]
async fn a_broker_that_is_away_costs_no_write_and_is_found_again() {
    let exchange = "bcs-storage-outage";
    let mut broker = broker().await.lock().await;
    let mut service = publisher(&broker, exchange, "Pod").await;
    let client = service.client();
    let mut subscriber = Subscriber::of(&broker, exchange).await;
    let before = write_pods(&client, "before", 10, &json!({})).await;
    for name in &before {
        assert_eq!(&shown(&subscriber.next().await)["headers"]["resourceName"], name);
    }
    drop(subscriber);

    broker.daemon().stop().await;
    // What fits into the buffer is published later, the rest is counted.
    let kept = write_pods(&client, "kept", 50, &json!({"a": 1})).await;
    assert!(metric(&service, FAILED).await < 1.0);
    let eight_mib = "x".repeat(8 << 20);
    write_pods(&client, "big", 9, &Value::from(eight_mib)).await;
    let lost = metric(&service, FAILED).await;
    assert!(lost >= 1.0, "72 MiB are more than the buffer holds, and {lost} are lost");

    broker.daemon().start_again().await;
    let mut subscriber = Subscriber::of(&broker, exchange).await;
    for name in &kept {
        assert_eq!(&shown(&subscriber.next().await)["headers"]["resourceName"], name);
    }
    let after = write_pods(&client, "after", 10, &json!({})).await;
    let mut late = Vec::new();
    while late.last() != after.last() {
        let name = shown(&subscriber.next().await)["headers"]["resourceName"].as_str().unwrap().to_owned();
        if !name.starts_with("big") {
            late.push(name);
        }
    }
    assert_eq!(late, after);
    assert!((metric(&service, FAILED).await - lost).abs() < 0.5, "no message of later was lost");
    service.stop().await;
}
