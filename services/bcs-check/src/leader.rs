//! Starts and stops the work with the part that this instance plays (check.md 3.2).

use std::time::Duration;

use bcs_common::registry::Node;
use bcs_common::registry::election::{Election, Role};
use bcs_common::registry::zookeeper::ZooKeeper;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::tree::TreeReader;
use crate::worker::{Tools, Worker};

/// Changes of tasks that wait for the engine.
const TREE_EVENTS: usize = 1024;

/// What a term as master needs.
pub struct Leader {
    /// Of the Mesos cluster.
    pub zookeeper: ZooKeeper,
    /// Shared by all terms.
    pub tools: Tools,
    /// Between two comparisons of the known tasks with ZooKeeper.
    pub resync: Option<Duration>,
    /// The schedulers. One list for all terms: giving it up would take back its watch.
    pub schedulers: watch::Receiver<Vec<Node>>,
    /// Where the part is shown.
    pub role: watch::Sender<Role>,
}

/// A term as master.
struct Term {
    stop: CancellationToken,
    tasks: [JoinHandle<()>; 2],
}

impl Leader {
    /// Follows the election until the shutdown.
    pub async fn run(self, mut election: Election) {
        let shutdown = self.tools.shutdown.clone();
        let mut term: Option<Term> = None;
        loop {
            let role = tokio::select! {
                biased;
                () = shutdown.triggered() => None,
                () = broken(term.as_ref()) => {
                    error!("the work has ended unexpectedly; beginning anew");
                    term = Some(self.begin());
                    continue;
                }
                role = election.changed() => role,
            };
            let Some(role) = role else { break };
            info!("election: this instance is {role}");
            self.role.send_replace(role);
            match role {
                Role::Master if term.is_none() => term = Some(self.begin()),
                Role::Slave => {
                    if let Some(term) = term.take() {
                        end(term).await;
                    }
                }
                // Whoever cannot be seen in ZooKeeper goes on until somebody else leads: a gap is worse than a report
                // that comes twice.
                Role::Master | Role::Unknown => {}
            }
        }
        if let Some(term) = term {
            end(term).await;
        }
    }

    fn begin(&self) -> Term {
        let stop = self.tools.shutdown.token().child_token();
        let (events, tree) = mpsc::channel(TREE_EVENTS);
        let reader = TreeReader::new(self.zookeeper.clone(), events, self.tools.metrics.watches.clone(), self.resync);
        let worker = Worker::new(self.tools.clone(), stop.clone());
        let schedulers = self.schedulers.clone();
        let (read_guard, work_guard) = (stop.clone().drop_guard(), stop.clone().drop_guard());
        let read_stop = stop.clone();
        let read = async move {
            let _ends_all = read_guard;
            tokio::select! {
                () = reader.run() => {}
                () = read_stop.cancelled() => {}
            }
        };
        let work = async move {
            let _ends_all = work_guard;
            worker.run(tree, schedulers).await;
        };
        let shutdown = &self.tools.shutdown;
        Term { stop, tasks: [shutdown.spawn("task tree", read), shutdown.spawn("engine", work)] }
    }
}

/// Waits until a part of the work has ended, for whatever reason.
async fn broken(term: Option<&Term>) {
    match term {
        Some(term) => term.stop.cancelled().await,
        None => std::future::pending().await,
    }
}

/// Nothing is probed or reported afterwards.
async fn end(term: Term) {
    term.stop.cancel();
    for task in term.tasks {
        // A panic has been logged by the tracker.
        let _ = task.await;
    }
}
