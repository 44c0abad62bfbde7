//! Follows the tasks in ZooKeeper (check.md 4.1, 4.5).
//!
//! The list of known nodes outlives a session. After a lost connection everything is listed and read again on a new
//! session, and only differences go to the engine: the connection may be away for as long as it likes, and checks that
//! have not changed do not notice.

mod nodes;
mod session;

use std::time::{Duration, Instant};

use bcs_common::registry::zookeeper::ZooKeeper;
use prometheus::IntGauge;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tracing::{info, warn};

use self::nodes::Nodes;
use self::session::Session;
use crate::definition::{Definition, definitions};
use crate::engine::TaskKey;
use crate::task;
use crate::warnings::Warnings;

/// Where the scheduler keeps its tasks.
const ROOT: &str = "/blueking/application";
/// Pause before a lost session is replaced.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// While ZooKeeper cannot be reached, say so this often.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

/// What happened to a task.
#[derive(Debug)]
pub enum TreeEvent {
    /// These are its checks now.
    Checks(TaskKey, Vec<Definition>),
    /// It is gone.
    Gone(TaskKey),
}

/// The reader is of no use any more: nobody listens.
#[derive(Debug)]
struct Closed;

/// Reads the tree and follows it.
pub struct TreeReader {
    zookeeper: ZooKeeper,
    nodes: Nodes,
    events: mpsc::Sender<TreeEvent>,
    warnings: Warnings,
    watches: IntGauge,
    /// Between two looks at what should be known; none: never.
    resync: Option<Duration>,
    /// Where the next look begins.
    cursor: usize,
}

impl TreeReader {
    /// A reader that knows nothing yet. `watches` shows the number of watches.
    pub fn new(
        zookeeper: ZooKeeper,
        events: mpsc::Sender<TreeEvent>,
        watches: IntGauge,
        resync: Option<Duration>,
    ) -> Self {
        let (nodes, warnings) = (Nodes::new(ROOT), Warnings::default());
        Self { zookeeper, nodes, events, warnings, watches, resync, cursor: 0 }
    }

    /// Follows the tree until nobody listens any more. Safe to drop.
    pub async fn run(mut self) {
        let mut complained = None::<Instant>;
        while !self.events.is_closed() {
            match self.zookeeper.open_session().await {
                Ok(client) => {
                    complained = None;
                    self.nodes.reset();
                    let mut session = Session::new(client);
                    let end = session.follow(&mut self).await;
                    drop(session);
                    self.watches.set(0);
                    match end {
                        Ok(reason) => info!("task tree: {reason}; reading it again on a new session"),
                        Err(Closed) => return,
                    }
                }
                Err(error) => {
                    if complained.is_none_or(|at| at.elapsed() >= COMPLAIN_EVERY) {
                        warn!("task tree: cannot connect to ZooKeeper: {error}; trying on");
                        complained = Some(Instant::now());
                    }
                }
            }
            sleep(RETRY_PAUSE).await;
        }
    }

    async fn tell(&self, event: TreeEvent) -> Result<(), Closed> {
        self.events.send(event).await.map_err(|_| Closed)
    }

    async fn tell_gone(&self, tasks: Vec<TaskKey>) -> Result<(), Closed> {
        for task in tasks {
            self.tell(TreeEvent::Gone(task)).await?;
        }
        Ok(())
    }

    /// Takes the data of a task. True: it has to be read again when it changes.
    async fn take_task(&mut self, task: TaskKey, path: &str, data: &[u8]) -> Result<bool, Closed> {
        let (checks, watch) = match task::parse(data) {
            Ok(task::Node::Task(task)) => {
                let (checks, problems) = definitions(&task);
                for problem in problems {
                    self.warnings.write(|| format!("task {path}: {problem}; skipped"));
                }
                (checks, true)
            }
            Ok(task::Node::Local) => (Vec::new(), true),
            Ok(task::Node::Unchecked) => (Vec::new(), false),
            Err(error) => {
                self.warnings.write(|| format!("task {path} cannot be read: {error}; skipped until it changes"));
                (Vec::new(), true)
            }
        };
        self.tell(TreeEvent::Checks(task, checks)).await?;
        Ok(watch)
    }
}
