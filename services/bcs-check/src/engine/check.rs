//! One check: when it is probed, and what of it the scheduler has to know.

use std::sync::Arc;
use std::time::Duration;

use crate::definition::{Definition, Readiness};

/// Attempts in a round.
const ATTEMPTS: u8 = 3;
/// Pause after a failed attempt.
const ATTEMPT_PAUSE: Duration = Duration::from_secs(1);
/// Least time between two reports of one check.
pub(super) const REPORT_SPACING: Duration = Duration::from_secs(1);
/// Longest pause between two attempts to deliver a report.
const LONGEST_BACKOFF: Duration = Duration::from_secs(10);

/// What a round of attempts, or a look at the definition, says about a target. Status and message belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The target is healthy.
    pub healthy: bool,
    /// Why.
    pub message: String,
}

/// How urgent a report is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Urgency {
    /// The scheduler knows it already.
    Refresh,
    /// The scheduler does not know it.
    Change,
}

/// A check of the engine.
#[derive(Debug)]
pub(super) struct Check {
    pub definition: Arc<Definition>,
    /// Counts restarts: what belongs to an earlier run is dropped.
    pub run: u32,
    pub phase: Phase,
    /// When the current round began, or the next one begins.
    pub round: Duration,
    pub report: Reporting,
}

/// Where a check stands in its round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It is not probed.
    Idle,
    /// A timer is set for this attempt, counted from 1.
    Waiting(u8),
    /// The attempt is due and waits for its turn.
    Due(u8),
    /// The attempt is under way.
    Probing(u8),
}

/// What follows an attempt.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Another attempt of the round, at this time.
    Attempt(Duration),
    /// The round is over; the next one begins at this time.
    Round(Duration),
}

impl Check {
    pub fn new(definition: Arc<Definition>) -> Self {
        Self { definition, run: 0, phase: Phase::Idle, round: Duration::ZERO, report: Reporting::default() }
    }

    /// Begins anew with another definition. What is being sent to the scheduler, and when the next report may be sent,
    /// stays.
    pub fn restart(&mut self, definition: Arc<Definition>) {
        self.definition = definition;
        self.run = self.run.wrapping_add(1);
        self.phase = Phase::Idle;
        let Reporting { in_flight, not_before, .. } = self.report;
        self.report = Reporting { in_flight, not_before, ..Reporting::default() };
        if let Readiness::Invalid(reason) = &self.definition.readiness {
            self.report.found(State { healthy: false, message: format!("invalid health check: {reason}") });
        }
    }

    /// An attempt has ended. Afterwards the check waits for what is returned.
    pub fn attempted(&mut self, attempt: u8, state: State, now: Duration) -> Next {
        if !state.healthy && attempt < ATTEMPTS {
            self.phase = Phase::Waiting(attempt + 1);
            return Next::Attempt(now + ATTEMPT_PAUSE);
        }
        self.report.found(state);
        self.phase = Phase::Waiting(1);
        self.round = next_tick(self.round, self.definition.timing.interval, now);
        Next::Round(self.round)
    }
}

/// The first tick after `now`; those that a long round has missed are skipped.
fn next_tick(last: Duration, interval: Duration, now: Duration) -> Duration {
    let missed = now.saturating_sub(last).as_millis() / interval.as_millis().max(1);
    let ticks = u32::try_from(missed + 1).unwrap_or(u32::MAX);
    last + interval * ticks
}

/// What the scheduler knows of a check, and what it does not know yet.
#[derive(Debug, Default)]
pub(super) struct Reporting {
    /// The last result.
    pub state: Option<Arc<State>>,
    /// The status that the scheduler surely has.
    delivered: Option<bool>,
    /// A report may or may not have reached the scheduler.
    doubtful: bool,
    /// A report has to be sent.
    pub pending: Option<Urgency>,
    /// The queue that the check is in.
    pub queued: Option<Urgency>,
    /// A report is being sent.
    pub in_flight: bool,
    /// No report before this time.
    pub not_before: Duration,
    /// When the scheduler is told again what it knows.
    pub refresh_at: Option<Duration>,
    /// The timer that counts.
    pub timer: Option<Duration>,
    failures: u32,
}

impl Reporting {
    /// Takes the result of a round. Only changes of the status are sent; the message goes with the next report.
    pub fn found(&mut self, state: State) {
        let healthy = state.healthy;
        if self.state.as_deref() != Some(&state) {
            self.state = Some(Arc::new(state));
        }
        if self.delivered != Some(healthy) || self.doubtful {
            self.pending = Some(Urgency::Change);
        } else if self.pending == Some(Urgency::Change) && !self.in_flight {
            // It changed back before anybody was told.
            self.pending = None;
        }
    }

    /// The scheduler has this status.
    pub fn delivered(&mut self, healthy: bool, now: Duration) {
        self.delivered = Some(healthy);
        self.doubtful = false;
        self.failures = 0;
        self.not_before = now + REPORT_SPACING;
        let current = self.state.as_ref().map(|state| state.healthy);
        self.pending = (current != Some(healthy)).then_some(Urgency::Change);
    }

    /// The scheduler may or may not have it.
    pub fn failed(&mut self, now: Duration) {
        self.doubtful = true;
        self.not_before = now + backoff(self.failures);
        self.failures = self.failures.saturating_add(1);
    }

    /// Nobody has it.
    pub fn unsent(&mut self, now: Duration) {
        self.not_before = now + REPORT_SPACING;
        let current = self.state.as_ref().map(|state| state.healthy);
        if self.pending == Some(Urgency::Change) && !self.doubtful && self.delivered == current {
            self.pending = None;
        }
    }

    /// If the check goes now: until when there may be no report of it, should it come back.
    pub fn rests_until(&self, now: Duration) -> Option<Duration> {
        let soon = now + REPORT_SPACING;
        let until = if self.in_flight { soon } else { self.not_before.min(soon) };
        (until > now).then_some(until)
    }

    /// Somebody else is to be told: without the pauses that failures have earned.
    pub fn forget_failures(&mut self, now: Duration) {
        self.failures = 0;
        self.not_before = self.not_before.min(now + REPORT_SPACING);
    }
}

/// 1 s, 2 s, 4 s, …
fn backoff(failures: u32) -> Duration {
    Duration::from_secs(1 << failures.min(8)).min(LONGEST_BACKOFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(healthy: bool) -> State {
        State { healthy, message: String::new() }
    }

    #[test]
    fn missed_ticks_are_skipped() {
        let seconds = Duration::from_secs;
        assert_eq!(next_tick(seconds(10), seconds(4), seconds(10)), seconds(14));
        assert_eq!(next_tick(seconds(10), seconds(4), seconds(14)), seconds(18));
        assert_eq!(next_tick(seconds(10), seconds(4), seconds(25)), seconds(26));
    }

    #[test]
    fn a_change_that_nobody_heard_of_needs_no_report_when_it_is_taken_back() {
        let mut report = Reporting::default();
        report.found(state(true));
        assert_eq!(report.pending, Some(Urgency::Change));
        report.delivered(true, Duration::ZERO);
        report.found(state(false));
        assert_eq!(report.pending, Some(Urgency::Change));
        report.found(state(true));
        assert_eq!(report.pending, None);
    }

    #[test]
    fn a_change_that_somebody_may_have_heard_of_is_taken_back_by_a_report() {
        let mut report = Reporting::default();
        report.found(state(true));
        report.delivered(true, Duration::ZERO);
        report.found(state(false));
        report.failed(Duration::ZERO);
        report.found(state(true));
        assert_eq!(report.pending, Some(Urgency::Change));
    }

    #[test]
    fn pauses_grow_to_a_limit() {
        let pauses: Vec<u64> = (0..6).map(|failures| backoff(failures).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 10, 10]);
    }
}
