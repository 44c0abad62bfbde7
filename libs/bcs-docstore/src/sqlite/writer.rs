//! The one thread that writes: group commit.
//!
//! It takes a write and all others that wait, carries them out in one transaction, and answers them once the commit is
//! on disk; while it waits for the disk the next group gathers. If anything unforeseen fails, the group is rolled back
//! and its writes are tried one by one, so that only the one that fails gets the error.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::Mutex;
use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::index::{self, Stored};
use crate::feed::{Change, Feed};
use crate::{Error, Result, Subscription};

/// Writes that may wait for the thread; more make their callers wait.
const QUEUE: usize = 1024;
/// Writes in one transaction.
const GROUP: usize = 512;

type FeedKey = (&'static str, String);

/// Handle of the thread. Dropping it lets the thread finish what it has and end.
#[derive(Debug)]
pub(super) struct Writer {
    jobs: Option<mpsc::Sender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
    feeds: Arc<Mutex<HashMap<FeedKey, Feed>>>,
}

impl Writer {
    pub(super) fn start(connection: Connection) -> Result<Self> {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let feeds = Arc::new(Mutex::new(HashMap::new()));
        let state = State { connection, feeds: Arc::clone(&feeds), indexes: HashMap::new() };
        let thread = std::thread::Builder::new()
            .name("sqlite-writer".to_owned())
            .spawn(move || run(state, queue))
            .map_err(|error| Error::Unavailable(Box::new(error)))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread), feeds })
    }

    /// Carries `work` out on the thread and returns when it is on disk. `work` may run twice; the first run is then
    /// rolled back.
    pub(super) async fn write<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&mut Writing<'_>) -> Result<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Pending { work, result: None, reply: Some(reply) });
        let jobs = self.jobs.as_ref().ok_or_else(stopped)?;
        jobs.send(job).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    pub(super) fn subscribe(&self, database: &'static str, collection: &str) -> Subscription {
        let mut feeds = self.feeds.lock();
        feeds.retain(|_, feed| feed.is_followed());
        feeds.entry((database, collection.to_owned())).or_default().subscribe()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the SQLite writer thread panicked");
        }
    }
}

fn stopped() -> Error {
    Error::Unavailable("the SQLite writer has stopped".into())
}

/// What a write works with.
pub(super) struct Writing<'a> {
    pub(super) connection: &'a Connection,
    indexes: &'a mut HashMap<FeedKey, Arc<[Stored]>>,
    feeds: &'a Mutex<HashMap<FeedKey, Feed>>,
    changes: Vec<(Feed, Change)>,
}

impl Writing<'_> {
    /// The indexes of a collection, read once.
    pub(super) fn indexes(&mut self, database: &'static str, collection: &str) -> Result<Arc<[Stored]>> {
        let key = (database, collection.to_owned());
        if let Some(indexes) = self.indexes.get(&key) {
            return Ok(Arc::clone(indexes));
        }
        let indexes: Arc<[Stored]> = index::load(self.connection, database, collection)?.into();
        self.indexes.insert(key, Arc::clone(&indexes));
        Ok(indexes)
    }

    /// Must be called when indexes of the collection were made or removed.
    pub(super) fn indexes_changed(&mut self, database: &'static str, collection: &str) {
        self.indexes.remove(&(database, collection.to_owned()));
    }

    /// The feed of a collection, if anybody follows it.
    pub(super) fn feed(&self, database: &'static str, collection: &str) -> Option<Feed> {
        let feeds = self.feeds.lock();
        if feeds.is_empty() {
            return None;
        }
        feeds.get(&(database, collection.to_owned())).filter(|feed| feed.is_followed()).cloned()
    }

    /// Notes a change; it is published after the commit.
    pub(super) fn changed(&mut self, feed: Feed, change: Change) {
        self.changes.push((feed, change));
    }

    /// How many changes are noted so far.
    pub(super) fn changes_noted(&self) -> usize {
        self.changes.len()
    }

    /// Forgets the changes noted since [`Writing::changes_noted`] gave this number.
    pub(super) fn forget_changes(&mut self, noted: usize) {
        self.changes.truncate(noted);
    }
}

struct State {
    connection: Connection,
    feeds: Arc<Mutex<HashMap<FeedKey, Feed>>>,
    indexes: HashMap<FeedKey, Arc<[Stored]>>,
}

fn run(mut state: State, mut queue: mpsc::Receiver<Box<dyn Job>>) {
    let mut group: Vec<Box<dyn Job>> = Vec::with_capacity(GROUP);
    while let Some(first) = queue.blocking_recv() {
        group.push(first);
        while group.len() < GROUP
            && let Ok(job) = queue.try_recv()
        {
            group.push(job);
        }
        if let Err(error) = state.carry_out(&mut group) {
            tracing::warn!(error = ?error, writes = group.len(), "a group of writes failed, trying them one by one");
            for job in &mut group {
                if let Err(error) = state.carry_out(std::slice::from_mut(job)) {
                    job.fail(error);
                }
            }
        }
        group.drain(..).for_each(|job| job.answer());
    }
}

impl State {
    /// One transaction. An error means that nothing of it is stored.
    fn carry_out(&mut self, group: &mut [Box<dyn Job>]) -> Result<()> {
        let result = self.transaction(group);
        if result.is_err() {
            // What was cached may have been rolled back.
            self.indexes.clear();
        }
        result
    }

    fn transaction(&mut self, group: &mut [Box<dyn Job>]) -> Result<()> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut writing =
            Writing { connection: &transaction, indexes: &mut self.indexes, feeds: &self.feeds, changes: Vec::new() };
        for job in group {
            job.run(&mut writing)?;
        }
        let changes = writing.changes;
        transaction.commit()?;
        for (feed, change) in changes {
            feed.publish(change);
        }
        Ok(())
    }
}

/// A write that waits for its turn.
trait Job: Send {
    /// Carries it out. `Err` means the transaction must not be committed; refusals of the write itself are kept.
    fn run(&mut self, writing: &mut Writing<'_>) -> Result<()>;
    fn fail(&mut self, error: Error);
    fn answer(self: Box<Self>);
}

struct Pending<T, F> {
    work: F,
    result: Option<Result<T>>,
    reply: Option<oneshot::Sender<Result<T>>>,
}

impl<T, F> Job for Pending<T, F>
where
    T: Send,
    F: FnMut(&mut Writing<'_>) -> Result<T> + Send,
{
    fn run(&mut self, writing: &mut Writing<'_>) -> Result<()> {
        match (self.work)(writing) {
            // Found before anything was written: the others of the group are not touched by it.
            Err(error @ (Error::Duplicate { .. } | Error::NotFound(_) | Error::Invalid(_))) => {
                self.result = Some(Err(error));
                Ok(())
            }
            Err(error) => Err(error),
            Ok(value) => {
                self.result = Some(Ok(value));
                Ok(())
            }
        }
    }

    fn fail(&mut self, error: Error) {
        self.result = Some(Err(error));
    }

    fn answer(mut self: Box<Self>) {
        if let (Some(reply), Some(result)) = (self.reply.take(), self.result.take()) {
            // The caller may have given up; the write stands.
            let _ = reply.send(result);
        }
    }
}
