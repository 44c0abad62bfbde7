//! The change feed: one change stream a collection, shared by all who follow it.
//!
//! A stream opens with its first follower and ends within seconds of its last. It survives outages: from the token of
//! the last change handed on, it goes on where it was, so no change is lost, doubled or out of order. It ends, and with
//! it all subscriptions, when the collection is dropped or renamed, or when there is no token that the server knows.
//!
//! It is read as the batches of a plain cursor. The driver's own change stream resumes by itself, and where the server
//! sends no token with an empty batch it forgets the one it had: it goes on from that moment, or from where it was
//! opened, and nobody learns of the changes that are lost or doubled.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bson::{RawBson, RawBsonRef, RawDocument};
use bytes::Bytes;
use futures::StreamExt as _;
use mongodb::options::ClientOptions;
use mongodb::raw_batch_cursor::{RawBatch, RawBatchCursor};
use mongodb::{Client, Database};
use parking_lot::Mutex;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Operations;
use super::error::{TimedOut, code, server_code};
use crate::feed::Feed;
use crate::{Bson, Change, ChangeKind, Document, Error, Result, Subscription, doc, json};

/// How long the server holds a request for changes while there are none.
const AWAIT: Duration = Duration::from_secs(1);

/// How much longer the answer may take before the connection counts as dead. To reopen a stream costs little and loses
/// nothing, so there is no need for the patience that other operations have.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// How long a stream lives at least: its first follower needs a moment to subscribe, and clients that poll with short
/// watches find it still open.
const LINGER: Duration = Duration::from_secs(2);

/// Pause after an answer without changes that came at once: the first one does, and some servers never hold requests.
const IDLE_PAUSE: Duration = Duration::from_millis(20);

/// Pauses between attempts to reopen a stream: doubled from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(1);

/// What the streams of a database need.
pub(super) struct Settings {
    pub client: ClientOptions,
    pub database: String,
    pub ignore_deletes: bool,
    pub deletion_flag: Option<&'static str>,
    pub operations: Operations,
    pub shutdown: CancellationToken,
    pub tasks: TaskTracker,
}

/// A feed, once its stream is open.
type Slot = Arc<OnceCell<Feed>>;

/// The open streams of a database.
pub(super) struct ChangeStreams {
    shared: Arc<Shared>,
}

struct Shared {
    settings: Settings,
    /// Every open stream occupies a connection; with a client of their own they cannot starve the other operations.
    client: OnceCell<Client>,
    slots: Mutex<HashMap<String, Slot>>,
}

impl ChangeStreams {
    pub(super) fn new(settings: Settings) -> Self {
        Self { shared: Arc::new(Shared { settings, client: OnceCell::new(), slots: Mutex::default() }) }
    }

    /// Follows a collection; the stream is open at the server when this returns.
    pub(super) async fn follow(&self, collection: &str) -> Result<Subscription> {
        loop {
            let slot = Arc::clone(self.shared.slots.lock().entry(collection.to_owned()).or_default());
            let feed = match slot.get_or_try_init(|| self.shared.start(collection, &slot)).await {
                Ok(feed) => feed,
                Err(error) => {
                    self.shared.close(collection, &slot);
                    return Err(error);
                }
            };
            // Under the lock that a stream also needs to end.
            let slots = self.shared.slots.lock();
            if slots.get(collection).is_some_and(|current| Arc::ptr_eq(current, &slot)) {
                return Ok(feed.subscribe());
            }
        }
    }
}

impl Shared {
    async fn start(self: &Arc<Self>, collection: &str, slot: &Slot) -> Result<Feed> {
        let stream = self.open(collection, None).await?;
        let feed = Feed::default();
        let mut reader = Reader {
            shared: Arc::clone(self),
            collection: collection.to_owned(),
            slot: Arc::clone(slot),
            feed: feed.clone(),
            token: None,
            opened: Instant::now(),
        };
        self.settings.tasks.spawn(async move {
            reader.run(stream).await;
            reader.shared.close(&reader.collection, &reader.slot);
        });
        Ok(feed)
    }

    async fn open(&self, collection: &str, resume: Option<&RawBson>) -> Result<RawBatchCursor> {
        let database = self.database().await?;
        let mut options = doc! { "fullDocument": "updateLookup" };
        if let Some(token) = resume {
            options.insert("resumeAfter", Bson::try_from(token.clone())?);
        }
        let mut pipeline = vec![doc! { "$changeStream": options }];
        if self.settings.ignore_deletes {
            pipeline.push(doc! { "$match": { "operationType": { "$ne": "delete" } } });
        }
        Ok(database.collection::<Document>(collection).aggregate(pipeline).max_await_time(AWAIT).batch().await?)
    }

    async fn database(&self) -> Result<Database> {
        let connect = async {
            let mut options = self.settings.client.clone();
            options.max_pool_size = Some(u32::MAX);
            options.min_pool_size = None;
            Client::with_options(options)
        };
        Ok(self.client.get_or_try_init(|| connect).await?.database(&self.settings.database))
    }

    /// Ends the feed of `slot`: the next follower opens a new one.
    fn close(&self, collection: &str, slot: &Slot) {
        let mut slots = self.slots.lock();
        if slots.get(collection).is_some_and(|current| Arc::ptr_eq(current, slot)) {
            slots.remove(collection);
        }
    }
}

/// The task behind one feed.
struct Reader {
    shared: Arc<Shared>,
    collection: String,
    slot: Slot,
    feed: Feed,
    /// Where to go on after an outage: behind the last change handed on.
    token: Option<RawBson>,
    opened: Instant,
}

/// Why a stream does not go on, in words for the log.
enum Stop {
    /// The server went away or lost the cursor; the token is still good.
    Broken(String),
    /// There is nothing to go on with.
    Over(String),
}

impl Reader {
    /// Reads until nobody follows, the feed is over, or the store shuts down.
    async fn run(&mut self, mut stream: RawBatchCursor) {
        let shutdown = self.shared.settings.shutdown.clone();
        let reading = async {
            while !self.leave() {
                let stop = match self.step(&mut stream).await {
                    Ok(()) => continue,
                    Err(stop) => stop,
                };
                match self.reopen(stop).await {
                    Ok(reopened) => stream = reopened,
                    Err(reason) => {
                        tracing::warn!(collection = self.collection, reason, "the change feed ended");
                        return;
                    }
                }
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = reading => {}
        }
    }

    /// Closes the feed if nobody follows any more.
    fn leave(&self) -> bool {
        // Under the lock that a follower also needs to subscribe.
        let mut slots = self.shared.slots.lock();
        let leaves = self.opened.elapsed() > LINGER && !self.feed.is_followed();
        if leaves {
            slots.remove(&self.collection);
        }
        leaves
    }

    /// Hands on the next changes, or learns that there are none yet.
    async fn step(&mut self, stream: &mut RawBatchCursor) -> Result<(), Stop> {
        let limit = AWAIT + ANSWER_LIMIT.min(self.shared.settings.operations.limit);
        let asked = Instant::now();
        let batch = match tokio::time::timeout(limit, stream.next()).await {
            Ok(Some(Ok(batch))) => batch,
            Ok(Some(Err(error))) if is_final(&error) => return Err(Stop::Over(error.to_string())),
            Ok(Some(Err(error))) => return Err(Stop::Broken(error.to_string())),
            Ok(None) => return Err(Stop::Broken("the server closed the cursor".to_owned())),
            Err(_) => return Err(Stop::Broken(TimedOut(limit).to_string())),
        };
        if !self.hand_on(&batch)? && asked.elapsed() < IDLE_PAUSE {
            tokio::time::sleep(IDLE_PAUSE).await;
        }
        Ok(())
    }

    /// Hands on the changes of a batch; false if it has no events.
    fn hand_on(&mut self, batch: &RawBatch) -> Result<bool, Stop> {
        let unreadable = |error: String| Stop::Over(format!("unreadable event: {error}"));
        let mut any = false;
        for event in batch.doc_slices().map_err(|error| unreadable(error.to_string()))? {
            any = true;
            let event = event.map_err(|error| unreadable(error.to_string()))?;
            let event = event.as_document().ok_or_else(|| unreadable("not a document".to_owned()))?;
            match read_event(event, self.shared.settings.deletion_flag) {
                Ok(Event::Nothing) => {}
                Ok(Event::Change(change)) => self.feed.publish(change),
                Ok(Event::Over(operation)) => return Err(Stop::Over(operation)),
                Err(error) => return Err(unreadable(error.to_string())),
            }
            if let Ok(Some(token)) = event.get("_id") {
                self.token = Some(token.into());
            }
        }
        // A later one, which the server also gives when there are no events.
        let later =
            batch.as_raw_document().get_document("cursor").and_then(|cursor| cursor.get("postBatchResumeToken"));
        if let Ok(Some(token)) = later {
            self.token = Some(token.into());
        }
        Ok(any)
    }

    /// Tries until the stream goes on behind the last change, or cannot; then says why.
    async fn reopen(&self, stop: Stop) -> Result<RawBatchCursor, String> {
        let reason = match stop {
            Stop::Broken(reason) => reason,
            Stop::Over(reason) => return Err(reason),
        };
        tracing::warn!(collection = self.collection, reason, "the change stream broke off");
        let Some(token) = &self.token else {
            return Err("the server gave no token to resume with".to_owned());
        };
        let mut pause = FIRST_PAUSE;
        while !self.leave() {
            let open = self.shared.open(&self.collection, Some(token));
            match self.shared.settings.operations.run("watch", open).await {
                Ok(stream) => {
                    tracing::info!(collection = self.collection, "the change stream goes on");
                    return Ok(stream);
                }
                Err(Error::Unavailable(_)) => {}
                Err(Error::Database(cause)) => return Err(cause.to_string()),
                Err(error) => return Err(error.to_string()),
            }
            tokio::time::sleep(pause).await;
            pause = LAST_PAUSE.min(pause * 2);
        }
        Err("nobody follows it any more".to_owned())
    }
}

/// True for errors that resuming would only meet again.
fn is_final(error: &mongodb::error::Error) -> bool {
    let resumable = error.contains_label("ResumableChangeStreamError")
        || server_code(error).is_some_and(|code| code::STREAM_BROKEN.contains(&code));
    !resumable && !matches!(Error::from(error.clone()), Error::Unavailable(_))
}

/// What an event of a change stream means to followers.
#[derive(Debug)]
pub(crate) enum Event {
    Change(Change),
    /// Nothing that a follower could use.
    Nothing,
    /// The collection is gone; with the operation that did it.
    Over(String),
}

/// Reads an event as the server sends it.
///
/// An update of a document that has been deleted meanwhile comes without document: it is left out, as the deletion
/// that follows tells what is left to tell.
pub(crate) fn read_event(event: &RawDocument, deletion_flag: Option<&str>) -> Result<Event, bson::error::Error> {
    let operation = event.get_str("operationType")?;
    let kind = match operation {
        "insert" => ChangeKind::Insert,
        "update" => update_kind(event.get("updateDescription")?.and_then(RawBsonRef::as_document), deletion_flag)?,
        "replace" => ChangeKind::Update { deletion_flag: None, changed: true },
        "delete" => return Ok(Event::Change(Change::new(ChangeKind::Delete, doc! {}, Bytes::from_static(b"null")))),
        "drop" | "rename" | "dropDatabase" | "invalidate" => return Ok(Event::Over(operation.to_owned())),
        _ => return Ok(Event::Nothing),
    };
    let Some(document) = event.get("fullDocument")?.and_then(RawBsonRef::as_document) else {
        return Ok(Event::Nothing);
    };
    let mut text = Vec::with_capacity(document.as_bytes().len());
    json::write_raw_document(document, &[], &mut text);
    Ok(Event::Change(Change::new(kind, scalar_fields(document)?, text.into())))
}

/// MongoDB describes every update. One without a description has changed something, nobody knows what.
fn update_kind(
    description: Option<&RawDocument>,
    deletion_flag: Option<&str>,
) -> Result<ChangeKind, bson::error::Error> {
    let Some(description) = description else {
        return Ok(ChangeKind::Update { deletion_flag: None, changed: true });
    };
    let updated = description.get("updatedFields")?.and_then(RawBsonRef::as_document);
    let flag = match (updated, deletion_flag) {
        (Some(updated), Some(flag)) => updated.get(flag)?.and_then(RawBsonRef::as_bool),
        _ => None,
    };
    let mut changed = updated.is_some_and(|updated| !updated.is_empty());
    for list in ["removedFields", "truncatedArrays"] {
        changed |= description.get(list)?.and_then(RawBsonRef::as_array).is_some_and(|list| !list.is_empty());
    }
    Ok(ChangeKind::Update { deletion_flag: flag, changed })
}

/// The top-level fields that are no objects and no arrays.
fn scalar_fields(document: &RawDocument) -> Result<Document, bson::error::Error> {
    let mut fields = Document::new();
    for field in document {
        let (key, value) = field?;
        if !matches!(value, RawBsonRef::Document(_) | RawBsonRef::Array(_)) {
            fields.insert(key.as_str(), Bson::try_from(value)?);
        }
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::RawDocumentBuf;
    use proptest::prelude::*;

    const FLAG: Option<&str> = Some("_deleted");

    fn read(event: &Document) -> Event {
        read_event(&RawDocumentBuf::try_from(event).unwrap(), FLAG).unwrap()
    }

    fn change(event: &Document) -> Change {
        match read(event) {
            Event::Change(change) => change,
            other => panic!("{other:?}"),
        }
    }

    fn update(description: Document) -> ChangeKind {
        let event = doc! { "operationType": "update", "fullDocument": {}, "updateDescription": description };
        change(&event).kind
    }

    #[test]
    fn documents_come_whole_and_their_scalars_apart() {
        let document = doc! { "_id": 1, "clusterId": "c", "data": { "x": [1] }, "list": [], "_deleted": false };
        let change = change(&doc! { "operationType": "insert", "fullDocument": document });
        assert_eq!(change.kind, ChangeKind::Insert);
        assert_eq!(change.fields, doc! { "_id": 1, "clusterId": "c", "_deleted": false });
        let text = r#"{"_id":1,"clusterId":"c","data":{"x":[1]},"list":[],"_deleted":false}"#;
        assert_eq!(change.json, text.as_bytes());
    }

    #[test]
    fn updates_tell_whether_the_flag_or_anything_changed() {
        let kind = |deletion_flag, changed| ChangeKind::Update { deletion_flag, changed };
        assert_eq!(update(doc! { "updatedFields": { "a": 1 }, "removedFields": [] }), kind(None, true));
        assert_eq!(update(doc! { "updatedFields": { "_deleted": true } }), kind(Some(true), true));
        assert_eq!(update(doc! { "updatedFields": { "_deleted": false, "a": 1 } }), kind(Some(false), true));
        assert_eq!(update(doc! { "updatedFields": {}, "removedFields": ["a"] }), kind(None, true));
        assert_eq!(update(doc! { "updatedFields": {}, "truncatedArrays": [{ "field": "a" }] }), kind(None, true));
        assert_eq!(update(doc! { "updatedFields": {}, "removedFields": [] }), kind(None, false));
        let undescribed = change(&doc! { "operationType": "update", "fullDocument": {} });
        assert_eq!(undescribed.kind, kind(None, true));
    }

    #[test]
    fn a_deletion_has_no_document() {
        let change = change(&doc! { "operationType": "delete", "documentKey": { "_id": 1 } });
        assert_eq!((change.kind, change.fields, &*change.json), (ChangeKind::Delete, doc! {}, b"null".as_slice()));
    }

    #[test]
    fn an_update_of_a_document_that_is_gone_is_left_out() {
        let event = doc! { "operationType": "update", "fullDocument": null, "updateDescription": {} };
        assert!(matches!(read(&event), Event::Nothing));
    }

    #[test]
    fn the_feed_ends_with_its_collection() {
        for operation in ["drop", "rename", "dropDatabase", "invalidate"] {
            assert!(matches!(read(&doc! { "operationType": operation }), Event::Over(_)), "{operation}");
        }
        assert!(matches!(read(&doc! { "operationType": "createIndexes" }), Event::Nothing));
    }

    proptest! {
        #[test]
        fn bytes_that_are_no_event_do_no_harm(mut bytes in prop::collection::vec(any::<u8>(), 5..200)) {
            let length = i32::try_from(bytes.len()).unwrap().to_le_bytes();
            bytes[..4].copy_from_slice(&length);
            *bytes.last_mut().unwrap() = 0;
            if let Ok(event) = RawDocument::from_bytes(&bytes) {
                let _ = read_event(event, FLAG);
            }
        }
    }
}
