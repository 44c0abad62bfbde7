//! Watch streams: the changes of a collection as JSON objects, one behind the other (storage.md 7).
//!
//! A change is encoded once for all its watchers. A watcher holds a place in the collection's ring and two counters;
//! one that falls behind the ring is told that its stream is broken.

use std::time::Duration;

use bcs_docstore::json::Dollar;
use bcs_docstore::{Change, ChangeKind, Subscription};
use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Result};
use crate::events::without_flag;
use crate::fields::Fields;

/// The object that ends every stream the server ends.
pub const BREAK: &[u8] = br#"{"type":-1,"value":null}"#;

const ADDED: u8 = 1;
const DELETED: u8 = 2;
const CHANGED: u8 = 3;

/// What a watcher asks for in its body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The stream ends after this many events; 0 = never.
    pub max_events: u64,
    /// Updates that change nothing are left out.
    pub must_differ: bool,
    /// The stream ends if no event comes for this long.
    pub timeout: Option<Duration>,
}

impl Options {
    /// Reads the body of a watch request. Waiting times are nanoseconds.
    ///
    /// # Errors
    /// [`Error::Json`] and [`Error::Invalid`].
    pub fn decode(body: &[u8]) -> Result<Self> {
        let mut fields = Fields::decode(body, Dollar::Keep)?;
        fields.boolean("selfOnly", false)?;
        let max_events = u64::try_from(fields.integer("maxEvents")?);
        let timeout = u64::try_from(fields.integer("timeout")?).unwrap_or(0);
        Ok(Self {
            max_events: max_events.map_err(|_| Error::invalid("field maxEvents is negative"))?,
            must_differ: !fields.text("mustDiff")?.is_empty(),
            timeout: (timeout > 0).then(|| Duration::from_nanos(timeout)),
        })
    }
}

/// Which changes a stream shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Dynamic resources of a cluster.
    Cluster(String),
    /// All events.
    Events,
    /// Metrics of a type; the collection is that of the cluster.
    MetricType(String),
}

impl Scope {
    /// The number for the type of a change, if the stream shows it.
    fn event_type(&self, change: &Change, must_differ: bool) -> Option<u8> {
        let number = match change.kind {
            ChangeKind::Insert => ADDED,
            ChangeKind::Update { deletion_flag: Some(true), .. } => DELETED,
            ChangeKind::Update { deletion_flag: Some(false), .. } => ADDED,
            ChangeKind::Update { changed: false, .. } if must_differ => return None,
            ChangeKind::Update { .. } => CHANGED,
            ChangeKind::Delete => DELETED,
        };
        let has = |key, value: &str| change.fields.get_str(key).is_ok_and(|found| found == value);
        let removed = change.kind == ChangeKind::Delete;
        let shown = match self {
            // A document that is really gone leaves nothing to tell its cluster by.
            Scope::Cluster(id) => !removed && has("clusterId", id),
            Scope::Events => true,
            Scope::MetricType(kind) => removed || has("type", kind),
        };
        shown.then_some(number)
    }

    fn encode(&self, number: u8, change: &Change) -> Bytes {
        let (head, tail) = match self {
            Scope::Events => without_flag(&change.json),
            Scope::Cluster(_) | Scope::MetricType(_) => (&change.json[..], &b""[..]),
        };
        let mut wire = Vec::with_capacity(head.len() + tail.len() + 24);
        wire.extend_from_slice(b"{\"type\":");
        wire.push(b'0' + number);
        wire.extend_from_slice(b",\"value\":");
        wire.extend_from_slice(head);
        wire.extend_from_slice(tail);
        wire.push(b'}');
        wire.into()
    }
}

/// One watcher: turns the changes of a collection into what it is sent.
#[derive(Debug)]
pub struct Watcher {
    changes: Option<Subscription>,
    scope: Scope,
    options: Options,
    sent: u64,
    stop: CancellationToken,
}

impl Watcher {
    /// A watcher that sees the changes of a subscription until it has enough or `stop` is cancelled.
    pub fn new(changes: Subscription, scope: Scope, options: Options, stop: CancellationToken) -> Self {
        Self { changes: Some(changes), scope, options, sent: 0, stop }
    }

    /// The next object of the stream; none after the break event.
    pub async fn next(&mut self) -> Option<Bytes> {
        if self.options.max_events > 0 && self.sent >= self.options.max_events {
            return self.end();
        }
        let event = match self.options.timeout {
            Some(limit) => tokio::time::timeout(limit, self.next_event()).await.ok().flatten(),
            None => self.next_event().await,
        };
        match event {
            Some(event) => {
                self.sent += 1;
                Some(event)
            }
            None => self.end(),
        }
    }

    fn end(&mut self) -> Option<Bytes> {
        self.changes.take().map(|_| Bytes::from_static(BREAK))
    }

    /// The next event, or none if the stream must end.
    async fn next_event(&mut self) -> Option<Bytes> {
        let changes = self.changes.as_mut()?;
        loop {
            let change = tokio::select! {
                biased;
                change = changes.next() => change.ok()?,
                () = self.stop.cancelled() => return None,
            };
            if let Some(number) = self.scope.event_type(&change, self.options.must_differ) {
                return Some(change.wire(|change| self.scope.encode(number, change)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bcs_docstore::feed::Feed;
    use bson::{Document, doc};

    use super::*;

    fn update(deletion_flag: Option<bool>, changed: bool) -> ChangeKind {
        ChangeKind::Update { deletion_flag, changed }
    }

    fn publish(feed: &Feed, kind: ChangeKind, fields: Document, json: &'static str) {
        feed.publish(Change::new(kind, fields, Bytes::from_static(json.as_bytes())));
    }

    fn watcher(feed: &Feed, scope: Scope, options: Options) -> Watcher {
        Watcher::new(feed.subscribe(), scope, options, CancellationToken::new())
    }

    async fn rest(mut watcher: Watcher) -> String {
        let mut all = Vec::new();
        while let Some(object) = watcher.next().await {
            all.extend_from_slice(&object);
        }
        String::from_utf8(all).unwrap()
    }

    #[test]
    fn options_are_optional_but_the_body_is_not() {
        assert_eq!(Options::decode(b"{}").unwrap(), Options::default());
        let all = Options::decode(br#"{"selfOnly":true,"maxEvents":"2","timeout":5000,"mustDiff":"all"}"#).unwrap();
        assert_eq!(all, Options { max_events: 2, must_differ: true, timeout: Some(Duration::from_micros(5)) });
        for bad in ["", "nope", "{", "[true]", r#"{"maxEvents":-1}"#, r#"{"maxEvents":1.5}"#, r#"{"selfOnly":1}"#] {
            assert!(Options::decode(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_cluster_sees_its_resources_come_change_go_and_come_back() {
        let feed = Feed::default();
        let watcher = watcher(&feed, Scope::Cluster("c".into()), Options { max_events: 4, ..Options::default() });
        let fields = || doc! { "clusterId": "c" };
        publish(&feed, ChangeKind::Insert, fields(), "1");
        publish(&feed, ChangeKind::Insert, doc! { "clusterId": "other" }, "2");
        publish(&feed, ChangeKind::Delete, doc! {}, "null");
        publish(&feed, update(None, true), fields(), "3");
        publish(&feed, update(Some(true), true), fields(), "4");
        publish(&feed, update(Some(false), true), fields(), "5");
        publish(&feed, update(None, true), fields(), "6");
        assert_eq!(
            rest(watcher).await,
            r#"{"type":1,"value":1}{"type":3,"value":3}{"type":2,"value":4}{"type":1,"value":5}{"type":-1,"value":null}"#
        );
    }

    #[tokio::test]
    async fn must_differ_leaves_out_updates_without_a_change() {
        let feed = Feed::default();
        let options = Options { must_differ: true, max_events: 1, ..Options::default() };
        let watcher = watcher(&feed, Scope::Events, options);
        publish(&feed, update(None, false), doc! {}, "1");
        publish(&feed, update(None, true), doc! {}, "2");
        assert_eq!(rest(watcher).await, r#"{"type":3,"value":2}{"type":-1,"value":null}"#);
    }

    #[tokio::test]
    async fn metrics_are_of_a_type_and_removed_ones_of_any() {
        let feed = Feed::default();
        let scope = Scope::MetricType("cpu".into());
        let watcher = watcher(&feed, scope, Options { max_events: 2, ..Options::default() });
        publish(&feed, update(Some(true), true), doc! { "type": "mem" }, "1");
        publish(&feed, update(Some(true), true), doc! { "type": "cpu" }, "2");
        publish(&feed, ChangeKind::Delete, doc! {}, "null");
        assert_eq!(rest(watcher).await, r#"{"type":2,"value":2}{"type":2,"value":null}{"type":-1,"value":null}"#);
    }

    #[tokio::test]
    async fn events_are_shown_without_the_flag() {
        let feed = Feed::default();
        let watcher = watcher(&feed, Scope::Events, Options { max_events: 1, ..Options::default() });
        publish(&feed, ChangeKind::Insert, doc! {}, r#"{"id":"x","_isBcsObjectDeleted":false}"#);
        assert_eq!(rest(watcher).await, r#"{"type":1,"value":{"id":"x"}}{"type":-1,"value":null}"#);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_stream_ends_at_its_timeout() {
        let feed = Feed::default();
        let options = Options { timeout: Some(Duration::from_secs(5)), ..Options::default() };
        let started = tokio::time::Instant::now();
        assert_eq!(rest(watcher(&feed, Scope::Events, options)).await.as_bytes(), BREAK);
        assert_eq!(started.elapsed(), Duration::from_secs(5));
    }

    #[tokio::test]
    async fn whatever_ends_the_feed_breaks_the_stream() {
        let feed = Feed::default();
        let slow = watcher(&feed, Scope::Events, Options::default());
        let stopped = watcher(&feed, Scope::Events, Options::default());
        stopped.stop.cancel();
        assert_eq!(rest(stopped).await.as_bytes(), BREAK);
        for _ in 0..=bcs_docstore::feed::RING {
            publish(&feed, ChangeKind::Insert, doc! {}, "1");
        }
        assert_eq!(rest(slow).await.as_bytes(), BREAK);
        let left = watcher(&feed, Scope::Events, Options::default());
        drop(feed);
        assert_eq!(rest(left).await.as_bytes(), BREAK);
    }
}
