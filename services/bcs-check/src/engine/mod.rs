//! Decides what is probed and reported, and when (check.md 5, 6). It does neither, and reads no clock: the caller tells
//! it what happened and when, and asks what to do next.
//!
//! All times are durations since the start of the engine.

mod check;
mod departed;
mod slots;
mod spread;
#[cfg(test)]
mod tests;
mod timers;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

pub use self::check::State;
use self::check::{Check, Next, Phase, Urgency};
use self::departed::Departed;
use self::slots::Slots;
use self::spread::Spread;
use self::timers::{Timer, Timers, What};
use crate::definition::{Definition, Held, Kind, Readiness};

/// An unchanged check is reported again between these times after its last report (check.md 6.1).
const REFRESH: (Duration, Duration) = (Duration::from_secs(155), Duration::from_secs(180));
/// After the scheduler could not be reached: no report to anybody for this long.
const UNREACHABLE_PAUSE: Duration = Duration::from_secs(1);

/// A task of the tree. The tree never gives the same number to two tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskKey(pub u64);

/// A check of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CheckId {
    number: u32,
    generation: u32,
}

/// One run of a check, from a start to the next change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunId {
    check: CheckId,
    run: u32,
}

/// An attempt that is to be made now.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// What [`Engine::attempted`] wants to know it by.
    pub id: RunId,
    /// What to do.
    pub definition: Arc<Definition>,
    /// By how much it is late; none for a retry within a round.
    pub late: Option<Duration>,
}

/// A report that is to be sent now.
#[derive(Clone, Debug)]
pub struct Report {
    /// What [`Engine::reported`] wants to know it by.
    pub id: RunId,
    /// The check.
    pub definition: Arc<Definition>,
    /// What to say.
    pub state: Arc<State>,
}

/// How the attempt to deliver a report ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The scheduler took it, or refused it in a way that sending it again would not change.
    Done,
    /// The scheduler could not be reached: it has not seen the report.
    Unreachable,
    /// The scheduler may or may not have taken it.
    Failed,
}

/// How many checks there are, by type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// `REMOTE_HTTP`
    pub http: i64,
    /// `REMOTE_TCP`
    pub tcp: i64,
}

/// Figures for the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Checks that are probed.
    pub running: Count,
    /// Checks whose last result was bad, invalid definitions included.
    pub unhealthy: Count,
    /// Checks that wait for something in their task; those of tasks that do not run are not counted.
    pub held: i64,
    /// Checks with a report that is not delivered.
    pub pending: i64,
}

/// The checks of all tasks.
#[derive(Debug, Default)]
pub struct Engine {
    checks: Slots,
    /// The checks of each task, by their place in `HealthChecks`.
    tasks: HashMap<TaskKey, Vec<(usize, CheckId)>>,
    departed: Departed,
    timers: Timers,
    /// Attempts that wait for their turn, and since when.
    due: VecDeque<(RunId, Duration)>,
    changes: VecDeque<CheckId>,
    refreshes: VecDeque<CheckId>,
    /// There is a scheduler to report to.
    scheduler: bool,
    /// No report before this time: the scheduler could not be reached.
    unreachable_until: Duration,
    spread: Spread,
}

impl Engine {
    /// Takes what a task says now. Checks that have not changed go on as before.
    pub fn apply(&mut self, task: TaskKey, definitions: Vec<Definition>, now: Duration) {
        let mut old = self.tasks.remove(&task).unwrap_or_default();
        let mut checks = Vec::with_capacity(definitions.len());
        for definition in definitions {
            let index = definition.index;
            let place = old.iter().position(|(old_index, _)| *old_index == index);
            let known = place.map(|place| old.swap_remove(place).1);
            let id = match known {
                Some(id) => {
                    if self.checks.get_mut(id).is_some_and(|check| *check.definition != definition) {
                        self.start(id, Arc::new(definition), now);
                    }
                    id
                }
                None => {
                    let definition = Arc::new(definition);
                    let mut check = Check::new(Arc::clone(&definition));
                    check.report.not_before = self.departed.not_before(&definition, now);
                    let id = self.checks.insert(check);
                    self.start(id, definition, now);
                    id
                }
            };
            checks.push((index, id));
        }
        for (_, id) in old {
            self.forget(id, now);
        }
        if !checks.is_empty() {
            self.tasks.insert(task, checks);
        }
    }

    /// Forgets a task. One that is not known is ignored.
    pub fn remove(&mut self, task: TaskKey, now: Duration) {
        for (_, id) in self.tasks.remove(&task).unwrap_or_default() {
            self.forget(id, now);
        }
    }

    fn forget(&mut self, id: CheckId, now: Duration) {
        if let Some(check) = self.checks.remove(id) {
            self.departed.note(&check, now);
        }
    }

    fn start(&mut self, id: CheckId, definition: Arc<Definition>, now: Duration) {
        let Some(check) = self.checks.get_mut(id) else { return };
        check.restart(definition);
        if let Readiness::Ready(_) = check.definition.readiness {
            let timing = check.definition.timing;
            check.round = self.spread.first(now + timing.grace, timing.interval);
            check.phase = Phase::Waiting(1);
            self.timers.set(Timer { at: check.round, check: id, what: What::Attempt { run: check.run } });
        }
        self.queue_report(id, now);
    }

    /// When [`Engine::advance`] has something to do next.
    pub fn wake_at(&self) -> Option<Duration> {
        let waiting = self.scheduler && !(self.changes.is_empty() && self.refreshes.is_empty());
        let held = waiting.then_some(self.unreachable_until).filter(|until| *until > Duration::ZERO);
        self.timers.next().into_iter().chain(held).min()
    }

    /// Makes everything due whose time has come.
    pub fn advance(&mut self, now: Duration) {
        if self.unreachable_until <= now {
            self.unreachable_until = Duration::ZERO;
        }
        while let Some(timer) = self.timers.pop_due(now) {
            match timer.what {
                What::Attempt { run } => self.attempt_is_due(RunId { check: timer.check, run }, timer.at),
                What::Report => self.report_is_due(timer, now),
            }
        }
    }

    fn attempt_is_due(&mut self, id: RunId, at: Duration) {
        let Some(check) = self.checks.get_mut(id.check).filter(|check| check.run == id.run) else { return };
        if let Phase::Waiting(attempt) = check.phase {
            check.phase = Phase::Due(attempt);
            self.due.push_back((id, at));
        }
    }

    fn report_is_due(&mut self, timer: Timer, now: Duration) {
        let Some(check) = self.checks.get_mut(timer.check) else { return };
        if check.report.timer != Some(timer.at) {
            return;
        }
        check.report.timer = None;
        if check.report.pending.is_none() {
            match check.report.refresh_at {
                Some(at) if at <= now => check.report.pending = Some(Urgency::Refresh),
                // What this timer was set for has been taken back.
                Some(at) => return self.set_report_timer(timer.check, at),
                None => return,
            }
        }
        self.queue_report(timer.check, now);
    }

    fn set_report_timer(&mut self, id: CheckId, at: Duration) {
        if let Some(check) = self.checks.get_mut(id) {
            check.report.timer = Some(at);
            self.timers.set(Timer { at, check: id, what: What::Report });
        }
    }

    /// The next attempt to make, if one is due. Its result must be told with [`Engine::attempted`].
    pub fn next_attempt(&mut self, now: Duration) -> Option<Attempt> {
        loop {
            let (id, since) = self.due.pop_front()?;
            let Some(check) = self.checks.get_mut(id.check).filter(|check| check.run == id.run) else { continue };
            let Phase::Due(attempt) = check.phase else { continue };
            check.phase = Phase::Probing(attempt);
            let late = (attempt == 1).then_some(now.saturating_sub(since));
            return Some(Attempt { id, definition: Arc::clone(&check.definition), late });
        }
    }

    /// An attempt has ended. The result of a check that was changed or removed meanwhile is dropped.
    pub fn attempted(&mut self, id: RunId, state: State, now: Duration) {
        let Some(check) = self.checks.get_mut(id.check).filter(|check| check.run == id.run) else { return };
        let Phase::Probing(attempt) = check.phase else { return };
        let (Next::Attempt(at) | Next::Round(at)) = check.attempted(attempt, state, now);
        self.timers.set(Timer { at, check: id.check, what: What::Attempt { run: id.run } });
        self.queue_report(id.check, now);
    }

    /// Puts a check in the queue if it has something to report, or sets a timer for when it may.
    fn queue_report(&mut self, id: CheckId, now: Duration) {
        let Some(check) = self.checks.get_mut(id) else { return };
        let report = &mut check.report;
        let Some(urgency) = report.pending.filter(|_| !report.in_flight) else { return };
        if report.not_before > now {
            let at = report.not_before;
            self.set_report_timer(id, at);
        } else if report.queued < Some(urgency) {
            report.queued = Some(urgency);
            match urgency {
                Urgency::Change => self.changes.push_back(id),
                Urgency::Refresh => self.refreshes.push_back(id),
            }
        }
    }

    /// The next report to send, changes first. How that ends must be told with [`Engine::reported`].
    pub fn next_report(&mut self, now: Duration) -> Option<Report> {
        if !self.scheduler || self.unreachable_until > now {
            return None;
        }
        loop {
            let (id, queue) = match self.changes.pop_front() {
                Some(id) => (id, Urgency::Change),
                None => (self.refreshes.pop_front()?, Urgency::Refresh),
            };
            if let Some(report) = self.take_report(id, queue, now) {
                return Some(report);
            }
        }
    }

    fn take_report(&mut self, id: CheckId, queue: Urgency, now: Duration) -> Option<Report> {
        let check = self.checks.get_mut(id)?;
        let report = &mut check.report;
        if report.queued != Some(queue) {
            // It has moved to the other queue.
            return None;
        }
        report.queued = None;
        if report.in_flight || report.pending.is_none() {
            return None;
        }
        if report.not_before > now {
            self.queue_report(id, now);
            return None;
        }
        let state = Arc::clone(report.state.as_ref()?);
        report.in_flight = true;
        report.timer = None;
        Some(Report { id: RunId { check: id, run: check.run }, definition: Arc::clone(&check.definition), state })
    }

    /// The attempt to deliver a report has ended.
    pub fn reported(&mut self, id: RunId, sent: &State, delivery: Delivery, now: Duration) {
        if delivery == Delivery::Unreachable {
            self.unreachable_until = now + UNREACHABLE_PAUSE;
        }
        let Some(check) = self.checks.get_mut(id.check) else { return };
        let report = &mut check.report;
        report.in_flight = false;
        if check.run != id.run {
            report.not_before = now + check::REPORT_SPACING;
        } else {
            match delivery {
                Delivery::Done => {
                    report.delivered(sent.healthy, now);
                    report.refresh_at = Some(now + self.spread.between(REFRESH.0, REFRESH.1));
                }
                Delivery::Unreachable => report.unsent(now),
                Delivery::Failed => report.failed(now),
            }
        }
        if report.pending.is_some() {
            self.queue_report(id.check, now);
        } else if let Some(at) = report.refresh_at {
            self.set_report_timer(id.check, at);
        }
    }

    /// There is another scheduler, or none any more. What waits goes to the new one at once.
    pub fn scheduler_changed(&mut self, present: bool, now: Duration) {
        self.scheduler = present;
        self.unreachable_until = Duration::ZERO;
        if !present {
            return;
        }
        for id in self.checks.ids() {
            if let Some(check) = self.checks.get_mut(id).filter(|check| check.report.pending.is_some()) {
                check.report.forget_failures(now);
                self.queue_report(id, now);
            }
        }
    }

    /// Counts the checks; takes time in proportion to their number.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for check in self.checks.iter() {
            let count = |count: &mut Count| match check.definition.kind {
                Kind::Http(_) => count.http += 1,
                Kind::Tcp => count.tcp += 1,
            };
            if check.phase != Phase::Idle {
                count(&mut totals.running);
            }
            if check.report.state.as_ref().is_some_and(|state| !state.healthy) {
                count(&mut totals.unhealthy);
            }
            let waits = matches!(check.definition.readiness, Readiness::Held(why) if why != Held::NotRunning);
            totals.held += i64::from(waits);
            totals.pending += i64::from(check.report.pending.is_some());
        }
        totals
    }
}
