//! Open files: every probe needs one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Open files for everything but probes: logs, ZooKeeper, reports, the metric listener.
const RESERVED: u64 = 200;

/// Raises the limit of open files as far as the system lets us; returns how many probes fit below it.
pub fn probes_within_open_files() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let wanted = Rlimit { current: limit.maximum, ..limit };
        // If it is refused, the old limit counts.
        if setrlimit(Resource::Nofile, wanted).is_ok() {
            limit = getrlimit(Resource::Nofile);
        }
    }
    let files = limit.current.unwrap_or(u64::MAX);
    usize::try_from(files.saturating_sub(RESERVED)).unwrap_or(usize::MAX).max(1)
}
