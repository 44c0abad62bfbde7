//! Waiting for conditions. Tests never sleep for a fixed time: they wait until something holds, with a deadline.

use std::time::{Duration, Instant};

/// What a machine with other work may add to any time that a test measures: a bar of the product holds on a machine that
/// is free, and is shown by the benches. A test only tells an end in time from none.
pub const LOAD: Duration = Duration::from_secs(10);

/// Pause between two looks at a condition.
const POLL: Duration = Duration::from_millis(10);

/// Waits until `condition` holds.
///
/// # Panics
/// With `what` when it does not hold within `deadline`.
pub async fn eventually(what: &str, deadline: Duration, mut condition: impl AsyncFnMut() -> bool) {
    eventually_some(what, deadline, async || condition().await.then_some(())).await;
}

/// Waits until `look` finds something, and gives it back.
///
/// # Panics
/// With `what` when nothing is found within `deadline`.
pub async fn eventually_some<T>(what: &str, deadline: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + deadline;
    loop {
        // A look that hangs must not outlive the deadline either.
        let left = end.saturating_duration_since(Instant::now());
        match tokio::time::timeout(left, look()).await {
            Ok(Some(found)) => return found,
            Ok(None) if Instant::now() < end => tokio::time::sleep(POLL).await,
            _ => panic!("not within {deadline:?}: {what}"),
        }
    }
}
