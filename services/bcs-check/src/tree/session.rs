//! One ZooKeeper session of the tree reader: requests, many at a time, and watches.
//!
//! Every node is watched with the request that reads it, so that no change in between is lost. A watch is never taken
//! back: that would be a request that ZooKeeper before 3.5 does not know.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::time::{Interval, MissedTickBehavior, interval_at};
use tracing::info;
use zookeeper_client::{Client, Error, OneshotWatcher, SessionState};

use super::nodes::{NodeId, Nodes};
use super::{Closed, TreeReader};

/// Requests under way at a time.
const MAX_REQUESTS: usize = 512;

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// An answer.
enum Answer {
    /// The children of a node.
    Children(Result<(Vec<String>, Option<OneshotWatcher>), Error>),
    /// The data of a task.
    Data(Result<(Vec<u8>, Option<OneshotWatcher>), Error>),
    /// Whether the root is missing, and what tells of its creation.
    Root(Result<(bool, OneshotWatcher), Error>),
}

/// A session.
///
/// The order of the fields is the order in which they are dropped: without a client, watches are only forgotten.
pub(super) struct Session {
    requests: FuturesUnordered<Boxed<(NodeId, Answer)>>,
    client: Client,
    watches: FuturesUnordered<Boxed<NodeId>>,
    queue: VecDeque<NodeId>,
    begin: Instant,
    loaded: bool,
}

impl Session {
    pub fn new(client: Client) -> Self {
        Self {
            requests: FuturesUnordered::new(),
            client,
            watches: FuturesUnordered::new(),
            queue: VecDeque::new(),
            begin: Instant::now(),
            loaded: false,
        }
    }

    /// Follows the tree until the connection is lost, and says why it ended.
    pub async fn follow(&mut self, reader: &mut TreeReader) -> Result<String, Closed> {
        let mut states = self.client.state_watcher();
        let mut resync = reader.resync.map(ticks);
        self.enqueue(&mut reader.nodes, Nodes::root());
        loop {
            self.send_requests(&reader.nodes);
            self.note_progress(reader);
            let state = states.peek_state();
            if !matches!(state, SessionState::SyncConnected | SessionState::ConnectedReadOnly) {
                // The watches could be carried over, but in one request that grows with their number beyond what
                // servers accept. Reading everything again always works.
                return Ok(format!("ZooKeeper session {state}"));
            }
            tokio::select! {
                _state = states.changed() => {}
                Some((id, answer)) = self.requests.next(), if !self.requests.is_empty() => {
                    if let Some(trouble) = self.take(reader, id, answer).await? {
                        return Ok(format!("ZooKeeper does not answer: {trouble}"));
                    }
                }
                Some(id) = self.watches.next(), if !self.watches.is_empty() => self.changed(reader, id),
                () = tick(&mut resync) => self.look_again(reader),
                () = reader.events.closed() => return Err(Closed),
            }
        }
    }

    fn enqueue(&mut self, nodes: &mut Nodes, id: NodeId) {
        if let Some(node) = nodes.get_mut(id) {
            if node.busy {
                node.again = true;
            } else {
                node.busy = true;
                self.queue.push_back(id);
            }
        }
    }

    fn send_requests(&mut self, nodes: &Nodes) {
        while self.requests.len() < MAX_REQUESTS {
            let Some(id) = self.queue.pop_front() else { return };
            let (Some(node), Some(path)) = (nodes.get(id), nodes.path(id)) else { continue };
            let (client, watched) = (self.client.clone(), node.watched);
            self.requests.push(if node.is_task() {
                Box::pin(async move { (id, Answer::Data(read(&client, &path, watched).await)) })
            } else {
                Box::pin(async move { (id, Answer::Children(list(&client, &path, watched).await)) })
            });
        }
    }

    fn note_progress(&mut self, reader: &TreeReader) {
        reader.watches.set(i64::try_from(self.watches.len()).unwrap_or(i64::MAX));
        if !self.loaded && self.requests.is_empty() && self.queue.is_empty() {
            self.loaded = true;
            let (nodes, time) = (reader.nodes.len() - 1, self.begin.elapsed());
            info!("task tree: {nodes} nodes read in {:.1} s", time.as_secs_f64());
        }
    }

    /// A watch has fired.
    fn changed(&mut self, reader: &mut TreeReader, id: NodeId) {
        let Some(node) = reader.nodes.get_mut(id) else { return };
        node.watched = false;
        if !node.unchecked {
            self.enqueue(&mut reader.nodes, id);
        }
    }

    /// Takes an answer. Returns the trouble if there is one with the connection.
    async fn take(&mut self, reader: &mut TreeReader, id: NodeId, answer: Answer) -> Result<Option<Error>, Closed> {
        let Some(node) = reader.nodes.get_mut(id) else { return Ok(None) };
        node.busy = false;
        let again = std::mem::take(&mut node.again);
        let error = match answer {
            Answer::Children(Ok((names, watcher))) => {
                self.watch(&mut reader.nodes, id, watcher);
                self.take_children(reader, id, names).await?;
                None
            }
            Answer::Data(Ok((data, watcher))) => {
                self.watch(&mut reader.nodes, id, watcher);
                self.take_data(reader, id, &data).await?;
                None
            }
            Answer::Root(Ok((true, watcher))) => {
                self.watch(&mut reader.nodes, id, Some(watcher));
                None
            }
            Answer::Root(Ok((false, watcher))) => {
                // It was created meanwhile, and this watches its data, which does not matter.
                self.watches.push(Box::pin(async move {
                    watcher.changed().await;
                    std::future::pending().await
                }));
                self.enqueue(&mut reader.nodes, id);
                None
            }
            Answer::Children(Err(error)) | Answer::Data(Err(error)) | Answer::Root(Err(error)) => Some(error),
        };
        match error {
            None => {}
            Some(Error::NoNode) => self.gone(reader, id).await?,
            Some(error @ (Error::NoAuth | Error::BadArguments(_))) => {
                let path = reader.nodes.path(id).unwrap_or_default();
                reader.warnings.write(|| format!("{path} cannot be read: {error}"));
            }
            Some(error) => return Ok(Some(error)),
        }
        if again {
            self.enqueue(&mut reader.nodes, id);
        }
        Ok(None)
    }

    fn watch(&mut self, nodes: &mut Nodes, id: NodeId, watcher: Option<OneshotWatcher>) {
        let Some(watcher) = watcher else { return };
        if let Some(node) = nodes.get_mut(id) {
            node.watched = true;
        }
        self.watches.push(Box::pin(async move {
            watcher.changed().await;
            id
        }));
    }

    async fn take_children(&mut self, reader: &mut TreeReader, id: NodeId, names: Vec<String>) -> Result<(), Closed> {
        let change = reader.nodes.set_children(id, names);
        for child in change.added {
            self.enqueue(&mut reader.nodes, child);
        }
        for child in change.kept {
            // Known from an earlier session: it has to be watched in this one.
            let fresh = reader.nodes.get(child).is_some_and(|node| !node.watched && !node.busy && !node.unchecked);
            if fresh {
                self.enqueue(&mut reader.nodes, child);
            }
        }
        reader.tell_gone(change.gone).await
    }

    async fn take_data(&mut self, reader: &mut TreeReader, id: NodeId, data: &[u8]) -> Result<(), Closed> {
        let path = reader.nodes.path(id).unwrap_or_default();
        let watch = reader.take_task(id.task_key(), &path, data).await?;
        if let Some(node) = reader.nodes.get_mut(id) {
            node.unchecked = !watch;
        }
        Ok(())
    }

    /// A node does not exist any more.
    async fn gone(&mut self, reader: &mut TreeReader, id: NodeId) -> Result<(), Closed> {
        let gone = reader.nodes.remove(id);
        if id == Nodes::root() {
            self.await_root(&mut reader.nodes);
        }
        reader.tell_gone(gone).await
    }

    /// Waits for the root by a watch, not by asking again and again.
    fn await_root(&mut self, nodes: &mut Nodes) {
        let id = Nodes::root();
        let (Some(path), client) = (nodes.path(id), self.client.clone()) else { return };
        if let Some(node) = nodes.get_mut(id) {
            node.busy = true;
        }
        self.requests.push(Box::pin(async move {
            let found = client.check_and_watch_stat(&path).await;
            (id, Answer::Root(found.map(|(stat, watcher)| (stat.is_none(), watcher))))
        }));
    }

    /// Compares what is known with what is there, in case an event was lost: all namespaces and applications, and of
    /// what is below as many nodes as there were seconds since the last time.
    fn look_again(&mut self, reader: &mut TreeReader) {
        let budget = reader.resync.map_or(0, |resync| usize::try_from(resync.as_secs()).unwrap_or(usize::MAX));
        let (mut chosen, mut below, mut cursor) = (Vec::new(), 0, reader.cursor);
        for (place, id) in reader.nodes.ids_after(reader.cursor) {
            let Some(node) = reader.nodes.get(id).filter(|node| !node.unchecked) else { continue };
            if node.is_high() {
                chosen.push(id);
            } else if below < budget {
                below += 1;
                cursor = place;
                chosen.push(id);
            }
        }
        reader.cursor = cursor;
        for id in chosen {
            self.enqueue(&mut reader.nodes, id);
        }
    }
}

async fn list(client: &Client, path: &str, watched: bool) -> Result<(Vec<String>, Option<OneshotWatcher>), Error> {
    if watched {
        return client.list_children(path).await.map(|names| (names, None));
    }
    client.list_and_watch_children(path).await.map(|(names, watcher)| (names, Some(watcher)))
}

async fn read(client: &Client, path: &str, watched: bool) -> Result<(Vec<u8>, Option<OneshotWatcher>), Error> {
    if watched {
        return client.get_data(path).await.map(|(data, _stat)| (data, None));
    }
    client.get_and_watch_data(path).await.map(|(data, _stat, watcher)| (data, Some(watcher)))
}

fn ticks(period: Duration) -> Interval {
    let mut interval = interval_at(tokio::time::Instant::now() + period, period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// Never, without an interval.
async fn tick(interval: &mut Option<Interval>) {
    match interval {
        Some(interval) => {
            interval.tick().await;
        }
        None => std::future::pending().await,
    }
}
