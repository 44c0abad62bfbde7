//! Follows the nodes of a directory (common.md 3.5). Unlike the original it never ends on an error: it looks again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::warn;
use zookeeper_client::{Client, Error, OneshotWatcher};

use super::nodes::is_connection_trouble;
use super::session::Session;
use super::{Node, ZooKeeper};
use crate::registry::sequence;

/// Pause after ZooKeeper refused to list a directory.
const REFUSED_PAUSE: Duration = Duration::from_secs(5);
/// Pause after the connection was lost while listing.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Nodes by cluster id.
type Clusters = BTreeMap<String, Vec<Node>>;

/// The nodes of one directory, ordered by sequence.
pub(super) fn nodes(zookeeper: &ZooKeeper, path: String) -> watch::Receiver<Vec<Node>> {
    let (sender, receiver) = watch::channel(Vec::new());
    let mut children = Children::new(zookeeper, path);
    let token = zookeeper.shared.shutdown.token();
    let follow = async move {
        let publish = |nodes| {
            sender.send_if_modified(|current| replace(current, nodes));
        };
        tokio::select! {
            () = children.follow_nodes(publish) => {}
            () = sender.closed() => {}
            () = token.cancelled() => {}
        }
    };
    zookeeper.shared.shutdown.spawn("ZooKeeper discovery", follow);
    receiver
}

/// The nodes of each directory below one directory.
pub(super) fn clusters(zookeeper: &ZooKeeper, path: String) -> watch::Receiver<Clusters> {
    let (sender, receiver) = watch::channel(Clusters::new());
    let sender = Arc::new(sender);
    let mut children = Children::new(zookeeper, path);
    let token = zookeeper.shared.shutdown.token();
    let follow = async move {
        let follow_ids = async {
            while let Some((_session, ids)) = children.next().await {
                for id in ids {
                    let is_new = !sender.borrow().contains_key(&id);
                    if is_new {
                        sender.send_modify(|clusters| _ = clusters.insert(id.clone(), Vec::new()));
                        follow_cluster(&children, id, Arc::clone(&sender));
                    }
                }
            }
        };
        tokio::select! {
            () = follow_ids => {}
            () = sender.closed() => {}
            () = token.cancelled() => {}
        }
    };
    zookeeper.shared.shutdown.spawn("ZooKeeper cluster discovery", follow);
    receiver
}

fn follow_cluster(parent: &Children, id: String, sender: Arc<watch::Sender<Clusters>>) {
    let mut children = Children::new(&parent.zookeeper, format!("{}/{id}", parent.path));
    let shutdown = &parent.zookeeper.shared.shutdown;
    let token = shutdown.token();
    let follow = async move {
        let publish = |nodes| {
            sender.send_if_modified(|clusters| replace(clusters.entry(id.clone()).or_default(), nodes));
        };
        tokio::select! {
            () = children.follow_nodes(publish) => {}
            () = sender.closed() => {}
            () = token.cancelled() => {}
        }
    };
    shutdown.spawn("ZooKeeper discovery", follow);
}

fn replace(current: &mut Vec<Node>, nodes: Vec<Node>) -> bool {
    let changed = *current != nodes;
    *current = nodes;
    changed
}

/// The changing list of children of a directory.
struct Children {
    zookeeper: ZooKeeper,
    path: String,
    /// What tells of the next change, and the session it belongs to.
    watch: Option<(Session, OneshotWatcher)>,
}

impl Children {
    fn new(zookeeper: &ZooKeeper, path: String) -> Self {
        Self { zookeeper: zookeeper.clone(), path, watch: None }
    }

    /// The names of the children, now at the first call and after the next change at each further one. A missing
    /// directory has no children. None only when the process stops.
    async fn next(&mut self) -> Option<(Session, Vec<String>)> {
        if let Some((session, watcher)) = self.watch.take() {
            tokio::select! {
                _event = watcher.changed() => {}
                () = session.ended.cancelled() => {}
            }
        }
        loop {
            let session = self.zookeeper.session().await?;
            let listed = tokio::select! {
                listed = self.list(&session.client) => listed,
                () = session.ended.cancelled() => continue,
            };
            match listed {
                Ok((names, watcher)) => {
                    self.watch = Some((session.clone(), watcher));
                    return Some((session, names));
                }
                Err(error) => {
                    drop(session);
                    self.pause_after(&error).await;
                }
            }
        }
    }

    async fn pause_after(&self, error: &Error) {
        if is_connection_trouble(error) {
            sleep(RETRY_PAUSE).await;
        } else {
            warn!("cannot list {} in ZooKeeper: {error}", self.path);
            sleep(REFUSED_PAUSE).await;
        }
    }

    /// Lists the children and sets the watch that tells of the next change, or of the creation of the directory.
    async fn list(&self, client: &Client) -> Result<(Vec<String>, OneshotWatcher), Error> {
        loop {
            match client.list_and_watch_children(&self.path).await {
                Err(Error::NoNode) => {}
                listed => return listed,
            }
            let (stat, watcher) = client.check_and_watch_stat(&self.path).await?;
            if stat.is_none() {
                return Ok((Vec::new(), watcher));
            }
        }
    }

    /// Calls `publish` with the nodes now and after each change of the list of children.
    async fn follow_nodes(&mut self, publish: impl Fn(Vec<Node>)) {
        while let Some((session, names)) = self.next().await {
            tokio::select! {
                nodes = self.read_nodes(&session.client, names) => match nodes {
                    Ok(nodes) => publish(nodes),
                    Err(error) => {
                        // Without its watch the list is read again.
                        self.watch = None;
                        drop(session);
                        self.pause_after(&error).await;
                    }
                },
                () = session.ended.cancelled() => {}
            }
        }
    }

    /// Reads the nodes that have a sequence, in its order. A node that has just gone, or that the server does not
    /// show, is skipped.
    async fn read_nodes(&self, client: &Client, names: Vec<String>) -> Result<Vec<Node>, Error> {
        let reads = names.into_iter().filter(|name| sequence(name).is_some()).map(|name| {
            // The request is sent here, so all of them are under way before the first answer is awaited.
            let read = client.get_data(&format!("{}/{name}", self.path));
            async move { (name, read.await) }
        });
        let mut nodes = Vec::new();
        for (name, read) in join_all(reads).await {
            match read {
                Ok((data, _stat)) => nodes.extend(Node::from_zookeeper(name, data)),
                Err(Error::NoNode) => {}
                Err(error) if is_connection_trouble(&error) => return Err(error),
                Err(error) => warn!("cannot read {}/{name} in ZooKeeper: {error}", self.path),
            }
        }
        nodes.sort_by(|a, b| (a.sequence, &a.name).cmp(&(b.sequence, &b.name)));
        Ok(nodes)
    }
}
