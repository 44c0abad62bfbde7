//! The work of a master: gives the engine its events and its clock, and does what it says.
//!
//! ```text
//! tree ──► engine ──► probes ──► engine ──► reports ──► engine
//! ```
//! Probes and reports are tasks of their own, bounded in number. None of them ever waits for the other.

use std::sync::Arc;
use std::time::Duration;

use bcs_common::registry::Node;
use bcs_common::shutdown::Shutdown;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use crate::engine::{Attempt, Delivery, Engine, Report, RunId, State};
use crate::metrics::Metrics;
use crate::probe::Prober;
use crate::report::{self, Outcome, ReportClient};
use crate::tree::TreeEvent;
use crate::warnings::Warnings;

/// How often the gauges are renewed.
const TOTALS_EVERY: Duration = Duration::from_secs(5);
/// Events that are taken from the tree before the engine is asked again what to do.
const BATCH: usize = 256;

/// What a worker works with.
#[derive(Clone)]
pub struct Tools {
    /// Makes attempts.
    pub prober: Prober,
    /// Delivers reports.
    pub client: ReportClient,
    /// Counts.
    pub metrics: Metrics,
    /// Attempts at a time.
    pub max_probes: usize,
    /// Reports at a time.
    pub max_reports: usize,
    /// Runs the tasks.
    pub shutdown: Shutdown,
}

/// The end of an attempt.
type Attempted = (RunId, State);
/// The end of a delivery.
type Reported = (RunId, Arc<State>, Delivery);

/// The work of one term as master.
pub struct Worker {
    tools: Tools,
    engine: Engine,
    /// Zero of the engine's clock.
    start: Instant,
    stop: CancellationToken,
    attempted: (mpsc::Sender<Attempted>, mpsc::Receiver<Attempted>),
    reported: (mpsc::Sender<Reported>, mpsc::Receiver<Reported>),
    probing: usize,
    reporting: usize,
    /// Where reports go, and what ends the ones under way when that changes.
    scheduler: Option<(Arc<str>, CancellationToken)>,
    warnings: Warnings,
}

impl Worker {
    /// A worker that ends with `stop`, together with everything that it has under way.
    pub fn new(tools: Tools, stop: CancellationToken) -> Self {
        // As many places as there are tasks: an end never waits.
        let (attempted, reported) = (mpsc::channel(tools.max_probes), mpsc::channel(tools.max_reports));
        Self {
            tools,
            engine: Engine::default(),
            start: Instant::now(),
            stop,
            attempted,
            reported,
            probing: 0,
            reporting: 0,
            scheduler: None,
            warnings: Warnings::default(),
        }
    }

    /// Works until it is stopped or the tree ends.
    pub async fn run(mut self, mut tree: mpsc::Receiver<TreeEvent>, mut schedulers: watch::Receiver<Vec<Node>>) {
        let stop = self.stop.clone();
        let mut totals = interval(TOTALS_EVERY);
        totals.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut events = Vec::with_capacity(BATCH);
        self.choose_scheduler(&mut schedulers);
        loop {
            self.start_what_is_due();
            let wake = self.engine.wake_at().map(|at| self.start + at);
            tokio::select! {
                () = stop.cancelled() => break,
                count = tree.recv_many(&mut events, BATCH) => {
                    if count == 0 {
                        break;
                    }
                    self.take_events(&mut events);
                }
                Some((id, state)) = self.attempted.1.recv() => self.take_attempted(id, state),
                Some((id, state, delivery)) = self.reported.1.recv() => {
                    self.reporting -= 1;
                    self.engine.reported(id, &state, delivery, self.start.elapsed());
                }
                changed = schedulers.changed() => match changed {
                    Ok(()) => self.choose_scheduler(&mut schedulers),
                    Err(_) => break,
                },
                () = sleep_until(wake.unwrap_or_else(|| Instant::now() + TOTALS_EVERY)) => {}
                _ = totals.tick() => self.tools.metrics.set_totals(&self.engine.totals()),
            }
        }
        self.tools.metrics.set_totals(&crate::engine::Totals::default());
    }

    fn take_events(&mut self, events: &mut Vec<TreeEvent>) {
        let now = self.start.elapsed();
        for event in events.drain(..) {
            match event {
                TreeEvent::Checks(task, definitions) => self.engine.apply(task, definitions, now),
                TreeEvent::Gone(task) => self.engine.remove(task, now),
            }
        }
    }

    fn take_attempted(&mut self, id: RunId, state: State) {
        let now = self.start.elapsed();
        self.probing -= 1;
        self.engine.attempted(id, state, now);
        while let Ok((id, state)) = self.attempted.1.try_recv() {
            self.probing -= 1;
            self.engine.attempted(id, state, now);
        }
    }

    fn start_what_is_due(&mut self) {
        let now = self.start.elapsed();
        self.engine.advance(now);
        while self.probing < self.tools.max_probes {
            let Some(attempt) = self.engine.next_attempt(now) else { break };
            self.probing += 1;
            self.start_attempt(attempt);
        }
        while self.reporting < self.tools.max_reports {
            let Some((base, current)) = self.scheduler.clone() else { break };
            let Some(report) = self.engine.next_report(now) else { break };
            self.reporting += 1;
            self.start_report(report, base, current);
        }
    }

    fn start_attempt(&self, attempt: Attempt) {
        let Attempt { id, definition, late } = attempt;
        if let Some(late) = late {
            self.tools.metrics.lag.observe(late.as_secs_f64());
        }
        let (prober, metrics, stop) = (self.tools.prober.clone(), self.tools.metrics.clone(), self.stop.clone());
        let mut end = End::new(&self.attempted.0, (id, lost()));
        self.tools.shutdown.spawn("probe", async move {
            let begin = Instant::now();
            let seen = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                seen = prober.attempt(&definition) => seen,
            };
            metrics.probed(definition.kind.name(), seen.state.healthy, begin.elapsed().as_secs_f64());
            debug!("{} of task {}: {}", definition.kind.name(), definition.task, seen.state.message);
            end.set((id, seen.state));
        });
    }

    fn start_report(&mut self, report: Report, base: Arc<str>, current: CancellationToken) {
        let Report { id, definition, state } = report;
        let (client, metrics) = (self.tools.client.clone(), self.tools.metrics.clone());
        let mut end = End::new(&self.reported.0, (id, Arc::clone(&state), Delivery::Failed));
        let body = report::body(&definition, &state);
        self.tools.shutdown.spawn("report", async move {
            let outcome = tokio::select! {
                biased;
                () = current.cancelled() => return,
                outcome = client.deliver(&base, body) => outcome,
            };
            metrics.reported(&outcome);
            let (task, healthy) = (&definition.task, state.healthy);
            let delivery = match outcome {
                Outcome::Delivered => {
                    debug!("reported task {task} {} as healthy {healthy}", definition.kind.name());
                    Delivery::Done
                }
                Outcome::Refused(reason) => {
                    info!("scheduler {base} does not want the report of task {task}: {reason}");
                    Delivery::Done
                }
                Outcome::Unreachable(reason) => {
                    debug!("scheduler {base} cannot be reached: {reason}");
                    Delivery::Unreachable
                }
                Outcome::Failed(reason) => {
                    debug!("report of task {task} to scheduler {base} failed: {reason}");
                    Delivery::Failed
                }
            };
            end.set((id, state, delivery));
        });
    }

    /// Follows the master of the schedulers.
    fn choose_scheduler(&mut self, schedulers: &mut watch::Receiver<Vec<Node>>) {
        let base = report::master(&schedulers.borrow_and_update());
        if base.as_deref() == self.scheduler.as_ref().map(|(base, _)| &**base) {
            return;
        }
        if let Some((_, current)) = self.scheduler.take() {
            current.cancel();
        }
        match &base {
            Some(base) => info!("reports go to the scheduler at {base}"),
            None => self.warnings.write(|| "no scheduler is registered; reports wait".to_owned()),
        }
        // Reports to the old one end with the work, too.
        self.scheduler = base.map(|base| (base.into(), self.stop.child_token()));
        self.engine.scheduler_changed(self.scheduler.is_some(), self.start.elapsed());
    }
}

/// The result of an attempt whose task ended without one.
fn lost() -> State {
    State { healthy: false, message: "the probe ended unexpectedly".to_owned() }
}

/// Tells how a task ended, however it ends: the engine waits for it.
struct End<T> {
    sender: mpsc::Sender<T>,
    value: Option<T>,
}

impl<T> End<T> {
    /// `otherwise` is told if nothing else is set.
    fn new(sender: &mpsc::Sender<T>, otherwise: T) -> Self {
        Self { sender: sender.clone(), value: Some(otherwise) }
    }

    fn set(&mut self, value: T) {
        self.value = Some(value);
    }
}

impl<T> Drop for End<T> {
    fn drop(&mut self) {
        if let Some(value) = self.value.take() {
            // There is a place for everyone; if nobody listens any more, the work is over.
            let _ = self.sender.try_send(value);
        }
    }
}
