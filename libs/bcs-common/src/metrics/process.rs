//! The `process_*` metrics that every Prometheus client library of Go exports, read from `/proc`.

use std::fs;

use parking_lot::Mutex;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Gauge};

/// Ticks per second in `/proc/<pid>/stat`. Linux fixes it for user space on every architecture that Rust builds for.
const TICKS_PER_SECOND: f64 = 100.0;

/// A collector of CPU time, memory, file descriptors and start time of this process, under the names that Go uses.
///
/// # Errors
/// If the metric library refuses one of the names.
pub fn process_collector() -> prometheus::Result<Box<dyn Collector>> {
    let gauge = |name, help| Gauge::new(name, help);
    Ok(Box::new(ProcessCollector {
        metrics: Mutex::new(()),
        cpu: Counter::new("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.")?,
        open_fds: gauge("process_open_fds", "Number of open file descriptors.")?,
        max_fds: gauge("process_max_fds", "Maximum number of open file descriptors.")?,
        virtual_memory: gauge("process_virtual_memory_bytes", "Virtual memory size in bytes.")?,
        virtual_memory_max: gauge(
            "process_virtual_memory_max_bytes",
            "Maximum amount of virtual memory available in bytes.",
        )?,
        resident_memory: gauge("process_resident_memory_bytes", "Resident memory size in bytes.")?,
        start_time: gauge("process_start_time_seconds", "Start time of the process since unix epoch in seconds.")?,
    }))
}

struct ProcessCollector {
    /// Held while the values are renewed, so that two scrapes do not mix.
    metrics: Mutex<()>,
    cpu: Counter,
    open_fds: Gauge,
    max_fds: Gauge,
    virtual_memory: Gauge,
    virtual_memory_max: Gauge,
    resident_memory: Gauge,
    start_time: Gauge,
}

impl ProcessCollector {
    fn all(&self) -> [&dyn Collector; 7] {
        [
            &self.cpu,
            &self.open_fds,
            &self.max_fds,
            &self.virtual_memory,
            &self.virtual_memory_max,
            &self.resident_memory,
            &self.start_time,
        ]
    }

    /// A value that cannot be read keeps its last state.
    fn renew(&self) {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let (stat, status, limits) = (read("/proc/self/stat"), read("/proc/self/status"), read("/proc/self/limits"));
        if let Some(seconds) = cpu_seconds(&stat) {
            self.cpu.inc_by((seconds - self.cpu.get()).max(0.0));
        }
        let values = [
            (&self.open_fds, open_fds()),
            (&self.max_fds, limit(&limits, "Max open files")),
            (&self.virtual_memory, status_bytes(&status, "VmSize:")),
            (&self.virtual_memory_max, limit(&limits, "Max address space")),
            (&self.resident_memory, status_bytes(&status, "VmRSS:")),
            (&self.start_time, start_time(&stat, &read("/proc/stat"))),
        ];
        for (gauge, value) in values {
            if let Some(value) = value {
                gauge.set(value);
            }
        }
    }
}

impl Collector for ProcessCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.all().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let _renewing = self.metrics.lock();
        self.renew();
        self.all().into_iter().flat_map(Collector::collect).collect()
    }
}

/// A field of `/proc/self/stat` by its number in proc(5), from 3 on: the second may hold blanks and parentheses.
fn stat_field(stat: &str, number: usize) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(number.checked_sub(3)?)?.parse().ok()
}

fn cpu_seconds(stat: &str) -> Option<f64> {
    Some((stat_field(stat, 14)? + stat_field(stat, 15)?) / TICKS_PER_SECOND)
}

fn start_time(stat: &str, system_stat: &str) -> Option<f64> {
    let boot: f64 = system_stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(boot + stat_field(stat, 22)? / TICKS_PER_SECOND)
}

fn status_bytes(status: &str, name: &str) -> Option<f64> {
    let value = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: f64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024.0)
}

/// A soft limit; without one the largest number, as Go exports it.
fn limit(limits: &str, name: &str) -> Option<f64> {
    let values = limits.lines().find_map(|line| line.strip_prefix(name))?;
    match values.split_ascii_whitespace().next()? {
        "unlimited" => Some(18_446_744_073_709_551_615.0),
        number => number.parse().ok(),
    }
}

fn open_fds() -> Option<f64> {
    let count = fs::read_dir("/proc/self/fd").ok()?.count();
    // One of them is the directory that is being read.
    Some(f64::from(u32::try_from(count.saturating_sub(1)).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_files_of_proc() {
        let mut fields: Vec<String> = (3..=30).map(|n| n.to_string()).collect();
        fields[0] = "S".to_owned();
        let stat = format!("1 (a) b ) {}", fields.join(" "));
        assert_eq!(cpu_seconds(&stat), Some(0.29));
        assert_eq!(start_time(&stat, "cpu 1\nbtime 1000\n"), Some(1000.22));
        assert_eq!(status_bytes("VmSize:\t  10 kB\nVmRSS:\t     3 kB\n", "VmRSS:"), Some(3072.0));
        let limits = "Max open files            1024                 4096                 files\n\
                      Max address space         unlimited            unlimited            bytes\n";
        assert_eq!(limit(limits, "Max open files"), Some(1024.0));
        assert_eq!(limit(limits, "Max address space"), Some(18_446_744_073_709_551_615.0));
    }

    #[test]
    fn broken_files_give_nothing() {
        for text in ["", ")", "1 (a) S", "VmRSS: x kB", "Max open files", "btime x"] {
            assert_eq!(cpu_seconds(text), None);
            assert_eq!(start_time(text, text), None);
            assert_eq!(status_bytes(text, "VmRSS:"), None);
            assert_eq!(limit(text, "Max open files"), None);
        }
    }

    #[test]
    fn this_process_has_them_all() {
        let families = process_collector().unwrap().collect();
        assert_eq!(families.len(), 7);
        for family in families {
            if family.name() == "process_cpu_seconds_total" {
                continue; // may still be zero
            }
            let value = family.get_metric()[0].get_gauge().get_value();
            assert!(value > 0.0, "{} is {value}", family.name());
        }
    }
}
