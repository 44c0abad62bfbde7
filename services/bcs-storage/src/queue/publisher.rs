//! The task that brings messages to RabbitMQ: it connects, and connects again, for as long as the service runs.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use lapin::options::{BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions, ExchangeDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ExchangeKind, PublisherConfirm};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::transport::connect;
use super::{Message, QueueConfig};

/// Messages that are sent but not yet confirmed, at most.
const MAX_UNCONFIRMED: usize = 256;
/// The first pause after a lost connection; it doubles up to the longest. The broker is found again within that time.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// Limit for connecting and declaring.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// How long the rest of the buffer is still published at the end of the process.
const FLUSH_LIMIT: Duration = Duration::from_millis(1500);

/// Counts what became of messages.
pub trait Stats: Send + Sync + 'static {
    /// A message about a type of resources was confirmed by the broker, this long after it was sent, or lost.
    fn published(&self, name: &str, succeeded: bool, elapsed: Duration);
}

/// See the module.
pub(super) struct Publisher {
    config: QueueConfig,
    waiting: mpsc::Receiver<Message>,
    waiting_bytes: Arc<AtomicUsize>,
    stats: Arc<dyn Stats>,
    /// Sent, not confirmed, in order. After a lost connection they are sent again: twice is better than never.
    unconfirmed: VecDeque<Message>,
}

struct InFlight {
    confirm: PublisherConfirm,
    sent: Instant,
}

/// Why a connection is not used any more.
enum End {
    /// All senders are gone, or the service stops.
    Stopped,
    Lost(lapin::Error),
}

impl Publisher {
    pub(super) fn new(
        config: QueueConfig,
        waiting: mpsc::Receiver<Message>,
        waiting_bytes: Arc<AtomicUsize>,
        stats: Arc<dyn Stats>,
    ) -> Self {
        Self { config, waiting, waiting_bytes, stats, unconfirmed: VecDeque::new() }
    }

    /// Publishes until `stop`, then what is left for a short while.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut pause = FIRST_PAUSE;
        while !stop.is_cancelled() {
            let connected = tokio::select! {
                connected = tokio::time::timeout(CONNECT_LIMIT, self.connect()) => connected,
                () = stop.cancelled() => break,
            };
            match connected {
                Ok(Ok((connection, channel))) => {
                    info!("message queue: connected to {}", self.place());
                    pause = FIRST_PAUSE;
                    let end = self.publish(&channel, &stop).await;
                    // The broker may be gone already; there is nothing to do about it.
                    let _ = connection.close(200, "bye".into()).await;
                    match end {
                        End::Stopped => break,
                        End::Lost(error) => error!("message queue: connection to {} lost | err: {error}", self.place()),
                    }
                }
                Ok(Err(error)) => error!("message queue: cannot connect to {} | err: {error}", self.place()),
                Err(_) => error!("message queue: {} did not answer in time", self.place()),
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
                () = stop.cancelled() => {}
            }
        }
        self.give_up();
    }

    fn place(&self) -> String {
        let authority = &self.config.uri.authority;
        format!("{}:{}", authority.host, authority.port)
    }

    async fn connect(&self) -> lapin::Result<(Connection, Channel)> {
        let connection = connect(self.config.uri.clone()).await?;
        let channel = connection.create_channel().await?;
        let declare = ExchangeDeclareOptions { durable: self.config.durable, ..ExchangeDeclareOptions::default() };
        let exchange = self.config.exchange.as_str().into();
        channel.exchange_declare(exchange, ExchangeKind::Topic, declare, FieldTable::default()).await?;
        channel.basic_qos(self.config.prefetch, BasicQosOptions { global: self.config.prefetch_global }).await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok((connection, channel))
    }

    /// Publishes over one connection until it is lost or there is no more to publish.
    async fn publish(&mut self, channel: &Channel, stop: &CancellationToken) -> End {
        let flush = async {
            stop.cancelled().await;
            tokio::time::sleep(FLUSH_LIMIT).await;
        };
        tokio::pin!(flush);
        tokio::select! {
            end = self.publish_all(channel, stop) => end,
            () = &mut flush => End::Stopped,
        }
    }

    async fn publish_all(&mut self, channel: &Channel, stop: &CancellationToken) -> End {
        let mut in_flight: VecDeque<InFlight> = VecDeque::new();
        for message in &self.unconfirmed {
            match self.send(channel, message).await {
                Ok(sent) => in_flight.push_back(sent),
                Err(error) => return End::Lost(error),
            }
        }
        let mut open = true;
        loop {
            let done = tokio::select! {
                biased;
                message = self.waiting.recv(), if open && in_flight.len() < MAX_UNCONFIRMED => match message {
                    Some(message) => {
                        let sent = self.send(channel, &message).await;
                        self.unconfirmed.push_back(message);
                        sent.map(|sent| in_flight.push_back(sent))
                    }
                    None => {
                        open = false;
                        Ok(())
                    }
                },
                confirmed = first_confirmed(&mut in_flight), if !in_flight.is_empty() => {
                    confirmed.map(|(accepted, elapsed)| self.finish_oldest(accepted, elapsed))
                }
                () = stop.cancelled(), if in_flight.is_empty() && self.waiting.is_empty() => return End::Stopped,
                else => return End::Stopped,
            };
            if let Err(error) = done {
                return End::Lost(error);
            }
        }
    }

    async fn send(&self, channel: &Channel, message: &Message) -> lapin::Result<InFlight> {
        let mut headers = FieldTable::default();
        for (key, value) in &message.headers {
            headers.insert((*key).into(), AMQPValue::LongString(value.as_str().into()));
        }
        let properties = BasicProperties::default().with_headers(headers).with_delivery_mode(self.config.delivery_mode);
        let confirm = channel
            .basic_publish(
                self.config.exchange.as_str().into(),
                message.routing_key.as_str().into(),
                BasicPublishOptions::default(),
                &message.body,
                properties,
            )
            .await?;
        Ok(InFlight { confirm, sent: Instant::now() })
    }

    /// Counts the oldest unconfirmed message and forgets it.
    fn finish_oldest(&mut self, accepted: bool, elapsed: Duration) {
        if let Some(message) = self.unconfirmed.pop_front() {
            self.waiting_bytes.fetch_sub(message.body.len(), Ordering::Relaxed);
            self.stats.published(&message.routing_key, accepted, elapsed);
        }
    }

    /// Counts what the process cannot publish any more.
    fn give_up(mut self) {
        while let Ok(message) = self.waiting.try_recv() {
            self.unconfirmed.push_back(message);
        }
        let lost = self.unconfirmed.len();
        while !self.unconfirmed.is_empty() {
            self.finish_oldest(false, Duration::ZERO);
        }
        if lost > 0 {
            error!("message queue: {lost} messages are lost");
        }
    }
}

/// Waits for the oldest message in flight; without one for ever. Cancelling it loses nothing.
async fn first_confirmed(in_flight: &mut VecDeque<InFlight>) -> lapin::Result<(bool, Duration)> {
    let Some(first) = in_flight.front_mut() else { return std::future::pending().await };
    let confirmation = (&mut first.confirm).await?;
    let elapsed = first.sent.elapsed();
    in_flight.pop_front();
    Ok((!matches!(confirmation, lapin::Confirmation::Nack(_)), elapsed))
}
