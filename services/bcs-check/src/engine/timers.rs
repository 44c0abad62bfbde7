//! The times at which something is to be done.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use super::CheckId;

/// One thing to be done at a time. A check that was changed in between recognises the ones that no longer count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Timer {
    /// When, since the start of the engine.
    pub at: Duration,
    /// Whose.
    pub check: CheckId,
    /// What.
    pub what: What,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    /// An attempt of this run of the check.
    Attempt {
        /// The run.
        run: u32,
    },
    /// A report: a refresh, or a retry.
    Report,
}

/// All timers, earliest first.
#[derive(Debug, Default)]
pub(super) struct Timers(BinaryHeap<Reverse<Timer>>);

impl Timers {
    pub fn set(&mut self, timer: Timer) {
        self.0.push(Reverse(timer));
    }

    /// The next timer that is due, if one is.
    pub fn pop_due(&mut self, now: Duration) -> Option<Timer> {
        if self.next()? > now {
            return None;
        }
        self.0.pop().map(|Reverse(timer)| timer)
    }

    /// When the next one is due.
    pub fn next(&self) -> Option<Duration> {
        self.0.peek().map(|Reverse(timer)| timer.at)
    }
}
