//! Checks that have just gone. If one comes back at once, as that of a task that is deleted and written again, the
//! scheduler still gets its reports one by one (check.md 6.3).

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::check::Check;
use crate::definition::Definition;

/// Task id and place in `HealthChecks`.
type Name = (Arc<str>, usize);

/// When the next report of a check may be sent, for as long as that matters.
#[derive(Debug, Default)]
pub(super) struct Departed {
    not_before: HashMap<Name, Duration>,
    /// Earliest first, or nearly so.
    order: VecDeque<(Duration, Name)>,
}

impl Departed {
    /// Notes a check that goes.
    pub fn note(&mut self, check: &Check, now: Duration) {
        self.forget(now);
        if let Some(until) = check.report.rests_until(now) {
            let name = name(&check.definition);
            self.not_before.insert(name.clone(), until);
            self.order.push_back((until, name));
        }
    }

    /// When a check that comes may be reported.
    pub fn not_before(&mut self, definition: &Definition, now: Duration) -> Duration {
        self.forget(now);
        if self.not_before.is_empty() {
            return Duration::ZERO;
        }
        self.not_before.get(&name(definition)).copied().unwrap_or_default()
    }

    fn forget(&mut self, now: Duration) {
        while let Some((until, name)) = self.order.pop_front_if(|(until, _)| *until <= now) {
            // It may have come and gone again since.
            if self.not_before.get(&name) == Some(&until) {
                self.not_before.remove(&name);
            }
        }
    }
}

fn name(definition: &Definition) -> Name {
    (Arc::clone(&definition.task), definition.index)
}
