//! Spreads what would otherwise come in bursts.

use std::time::Duration;

/// 2^64 divided by the golden ratio: multiples of it, cut to 64 bits, are spread evenly at every length.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// A sequence of places between 0 and 1 of which any stretch is spread evenly.
#[derive(Debug, Default)]
pub(super) struct Spread(u64);

impl Spread {
    /// The next place within `length`.
    fn place(&mut self, length: Duration) -> Duration {
        self.0 = self.0.wrapping_add(GOLDEN);
        let millis = u128::from(self.0) * length.as_millis() / (1 << 64);
        Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
    }

    /// A time after `earliest`, at most one `interval` later. It has its place within the interval in absolute time:
    /// so checks are spread evenly however the times at which they start are spread.
    pub fn first(&mut self, earliest: Duration, interval: Duration) -> Duration {
        let place = self.place(interval).as_millis();
        let (earliest, interval) = (earliest.as_millis() + 1, interval.as_millis().max(1));
        let wait = (place + interval - earliest % interval) % interval;
        Duration::from_millis(u64::try_from(earliest + wait).unwrap_or(u64::MAX))
    }

    /// A time between the two.
    pub fn between(&mut self, shortest: Duration, longest: Duration) -> Duration {
        shortest + self.place(longest.saturating_sub(shortest))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    proptest! {
        #[test]
        fn the_first_time_is_within_one_interval(before in 0u32..50, earliest in 0u64..10_000_000, interval in 1u64..1_000_000) {
            let mut spread = Spread(u64::from(before).wrapping_mul(GOLDEN));
            let (earliest, interval) = (Duration::from_millis(earliest), Duration::from_millis(interval));
            let first = spread.first(earliest, interval);
            prop_assert!(first > earliest && first <= earliest + interval);
        }
    }

    #[test]
    fn checks_that_start_together_are_spread_evenly() {
        let mut spread = Spread::default();
        let mut counts = [0; 20];
        for _ in 0..2000 {
            let first = spread.first(300 * SECOND, 10 * SECOND) - 300 * SECOND;
            counts[usize::try_from(first.as_millis() / 500).unwrap().min(19)] += 1;
        }
        assert!(counts.iter().all(|count| (95..=105).contains(count)), "{counts:?}");
    }
}
