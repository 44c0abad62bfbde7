//! Warnings about bad input, at a rate that a log can bear.

use std::time::{Duration, Instant};

use tracing::warn;

/// Warnings in one period; more are only counted.
const LIMIT: u32 = 20;
/// The period.
const PERIOD: Duration = Duration::from_secs(10);

/// Lets through the first warnings of each period and counts the others.
#[derive(Debug, Default)]
pub struct Warnings {
    period: Option<Instant>,
    count: u32,
}

impl Warnings {
    /// Writes a warning, if it is not one too many.
    pub fn write(&mut self, text: impl FnOnce() -> String) {
        if self.admit(Instant::now()) {
            warn!("{}", text());
        }
    }

    fn admit(&mut self, now: Instant) -> bool {
        if self.period.is_none_or(|begin| now.duration_since(begin) >= PERIOD) {
            if self.count > LIMIT {
                warn!("{} more warnings of this kind were left out", self.count - LIMIT);
            }
            (self.period, self.count) = (Some(now), 0);
        }
        self.count = self.count.saturating_add(1);
        self.count <= LIMIT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_of_each_period() {
        let mut warnings = Warnings::default();
        let start = Instant::now();
        let admitted = |warnings: &mut Warnings, at| (0..100).filter(|_| warnings.admit(at)).count();
        assert_eq!(admitted(&mut warnings, start), 20);
        assert_eq!(admitted(&mut warnings, start + PERIOD / 2), 0);
        assert_eq!(admitted(&mut warnings, start + PERIOD), 20);
    }
}
