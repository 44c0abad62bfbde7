//! What a connection is doing, for its one timer.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Shared by the socket, the requests and the timer of one connection. The values need no order among each other: the
/// timer looks again later.
#[derive(Debug)]
pub(super) struct Activity {
    epoch: Instant,
    /// Requests whose response is not yet complete.
    in_flight: AtomicUsize,
    /// When the last request ended or the last byte was written.
    last: AtomicU64,
    /// When the head that is being received began; `NONE` between requests.
    head: AtomicU64,
    /// The last request was answered before its body had been read to the end.
    unread: AtomicBool,
}

const NONE: u64 = u64::MAX;

/// What the timer found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing is wrong; look again after this time.
    Fine(Duration),
    /// No request for too long.
    Idle,
    /// A request head takes too long.
    SlowHead,
}

impl Activity {
    /// A connection that has just been made: its first head has begun.
    pub fn new() -> Self {
        Self {
            epoch: Instant::now(),
            in_flight: AtomicUsize::new(0),
            last: AtomicU64::new(0),
            head: AtomicU64::new(0),
            unread: AtomicBool::new(false),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(NONE - 1)
    }

    pub fn bytes_read(&self) {
        if self.in_flight.load(Ordering::Relaxed) == 0 && self.head.load(Ordering::Relaxed) == NONE {
            self.head.store(self.now(), Ordering::Relaxed);
        }
    }

    pub fn bytes_written(&self) {
        self.last.store(self.now(), Ordering::Relaxed);
    }

    pub fn request_begins(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.head.store(NONE, Ordering::Relaxed);
        self.unread.store(false, Ordering::Relaxed);
    }

    pub fn body_left_unread(&self) {
        self.unread.store(true, Ordering::Relaxed);
    }

    pub fn has_unread_body(&self) -> bool {
        self.unread.load(Ordering::Relaxed)
    }

    pub fn request_ends(&self) {
        self.last.store(self.now(), Ordering::Relaxed);
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// HTTP/2 sends its heads in frames between others: there, only idleness counts.
    pub fn ignore_heads(&self) {
        self.head.store(NONE - 1, Ordering::Relaxed);
    }

    pub fn judge(&self, header_timeout: Duration, idle_timeout: Duration) -> Verdict {
        let step = (header_timeout / 2).max(Duration::from_millis(1));
        if self.in_flight.load(Ordering::Relaxed) > 0 {
            return Verdict::Fine(step);
        }
        let now = self.now();
        let left = |since: u64, limit: Duration| limit.checked_sub(Duration::from_millis(now.saturating_sub(since)));
        let (left, verdict) = match self.head.load(Ordering::Relaxed) {
            began if began < NONE - 1 => (left(began, header_timeout), Verdict::SlowHead),
            _ => (left(self.last.load(Ordering::Relaxed), idle_timeout), Verdict::Idle),
        };
        match left {
            Some(left) if !left.is_zero() => Verdict::Fine(left.min(step)),
            _ => verdict,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(1000);

    #[test]
    fn the_first_head_counts_from_the_start() {
        let activity = Activity::new();
        assert_eq!(activity.judge(Duration::ZERO, LONG), Verdict::SlowHead);
        assert!(matches!(activity.judge(LONG, Duration::ZERO), Verdict::Fine(_)));
    }

    #[test]
    fn a_request_in_flight_is_never_cut() {
        let activity = Activity::new();
        activity.request_begins();
        activity.bytes_read();
        assert!(matches!(activity.judge(Duration::ZERO, Duration::ZERO), Verdict::Fine(_)));
        activity.request_ends();
        assert_eq!(activity.judge(LONG, Duration::ZERO), Verdict::Idle);
    }

    #[test]
    fn bytes_after_a_request_begin_a_head() {
        let activity = Activity::new();
        activity.request_begins();
        activity.request_ends();
        assert!(matches!(activity.judge(Duration::ZERO, LONG), Verdict::Fine(_)));
        activity.bytes_read();
        assert_eq!(activity.judge(Duration::ZERO, LONG), Verdict::SlowHead);
    }

    #[test]
    fn heads_of_http2_are_not_timed() {
        let activity = Activity::new();
        activity.ignore_heads();
        activity.bytes_read();
        assert!(matches!(activity.judge(Duration::ZERO, LONG), Verdict::Fine(_)));
        assert_eq!(activity.judge(LONG, Duration::ZERO), Verdict::Idle);
    }
}
