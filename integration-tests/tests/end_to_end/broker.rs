//! Who reads what bcs-storage publishes.

use std::collections::BTreeSet;

use bcs_integration_tests::servers::rabbitmq::RabbitMq;
use bcs_integration_tests::wait::eventually;
use lapin::options::{BasicGetOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, ConnectionProperties};

use crate::world::SOON;

/// The exchange of bcs-storage, and the queue bound to it.
pub const EXCHANGE: &str = "bcs-storage";

async fn channel(broker: &RabbitMq) -> (Connection, Channel) {
    let connection = Connection::connect(&broker.uri(), ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    (connection, channel)
}

/// Makes a durable queue that keeps everything from the exchange, once the service has declared that.
pub async fn subscribe(broker: &RabbitMq) {
    eventually("the exchange is there", SOON, async || {
        // A refused binding closes the channel.
        let (_connection, channel) = channel(broker).await;
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(EXCHANGE.into(), durable, FieldTable::default()).await.unwrap();
        let bind = QueueBindOptions::default();
        channel.queue_bind(EXCHANGE.into(), EXCHANGE.into(), "#".into(), bind, FieldTable::default()).await.is_ok()
    })
    .await;
}

/// Reads the queue until all these Pods were in it.
pub async fn assert_published(broker: &RabbitMq, names: &[String]) {
    let (_connection, channel) = channel(broker).await;
    let mut missing: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    eventually("all messages have come", SOON, async || {
        let take = BasicGetOptions { no_ack: true };
        while let Some(message) = channel.basic_get(EXCHANGE.into(), take).await.unwrap() {
            let headers = message.properties.headers().clone().unwrap();
            if let Some(AMQPValue::LongString(name)) = headers.inner().get("resourceName") {
                missing.remove(std::str::from_utf8(name.as_bytes()).unwrap());
            }
        }
        missing.is_empty()
    })
    .await;
}
