//! The metrics of bcs-check (check.md 7).

use bcs_common::metrics::process_collector;
use bcs_common::version;
use prometheus::{
    Gauge, Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

use crate::engine::Totals;
use crate::report::Outcome;

/// Seconds from well before to well after what a round may be late by.
const LAG_BUCKETS: [f64; 9] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0];
/// Seconds that attempts take.
const PROBE_BUCKETS: [f64; 10] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 20.0];

/// All metrics. Clones share them.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    running: IntGaugeVec,
    unhealthy: IntGaugeVec,
    held: IntGauge,
    pending: IntGauge,
    probes: IntCounterVec,
    seconds: HistogramVec,
    reports: IntCounterVec,
    /// Watches on the task tree.
    pub watches: IntGauge,
    /// By how much rounds start late.
    pub lag: Histogram,
}

impl Metrics {
    /// The metrics of an instance at `ip` for `cluster`.
    ///
    /// # Errors
    /// The metric library refuses a name.
    pub fn new(cluster: &str, ip: &str) -> prometheus::Result<Self> {
        let registry = Registry::new();
        register_infos(&registry, cluster, ip)?;
        registry.register(process_collector()?)?;
        let by_type = |name: &str, help: &str| IntGaugeVec::new(Opts::new(name, help), &["type"]);
        let histogram =
            |name: &str, help: &str, buckets: &[f64]| HistogramOpts::new(name, help).buckets(buckets.to_vec());
        let metrics = Self {
            running: by_type("bcs_check_running", "Checks that are probed.")?,
            unhealthy: by_type("bcs_check_unhealthy", "Checks whose last result was bad.")?,
            held: IntGauge::new("bcs_check_held", "Checks of running tasks whose address is not known.")?,
            pending: IntGauge::new("bcs_check_report_pending", "Checks with a report that is not delivered.")?,
            probes: IntCounterVec::new(
                Opts::new("bcs_check_probe_total", "Attempts, by type and result."),
                &["type", "result"],
            )?,
            seconds: HistogramVec::new(
                histogram("bcs_check_probe_seconds", "Time that attempts take.", &PROBE_BUCKETS),
                &["type"],
            )?,
            reports: IntCounterVec::new(Opts::new("bcs_check_report_total", "Reports, by result."), &["result"])?,
            watches: IntGauge::new("bcs_check_zk_watches", "Watches on the task tree.")?,
            lag: Histogram::with_opts(histogram("bcs_check_lag_seconds", "How late rounds start.", &LAG_BUCKETS))?,
            registry,
        };
        let registry = &metrics.registry;
        registry.register(Box::new(metrics.running.clone()))?;
        registry.register(Box::new(metrics.unhealthy.clone()))?;
        registry.register(Box::new(metrics.held.clone()))?;
        registry.register(Box::new(metrics.pending.clone()))?;
        registry.register(Box::new(metrics.probes.clone()))?;
        registry.register(Box::new(metrics.seconds.clone()))?;
        registry.register(Box::new(metrics.reports.clone()))?;
        registry.register(Box::new(metrics.watches.clone()))?;
        registry.register(Box::new(metrics.lag.clone()))?;
        metrics.set_totals(&Totals::default());
        Ok(metrics)
    }

    /// The text of `/metrics`.
    ///
    /// # Errors
    /// The metric library cannot write a value.
    pub fn text(&self) -> prometheus::Result<String> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }

    /// Shows how the checks are.
    pub fn set_totals(&self, totals: &Totals) {
        let by_type = [(&self.running, totals.running), (&self.unhealthy, totals.unhealthy)];
        for (gauge, count) in by_type {
            gauge.with_label_values(&["REMOTE_HTTP"]).set(count.http);
            gauge.with_label_values(&["REMOTE_TCP"]).set(count.tcp);
        }
        self.held.set(totals.held);
        self.pending.set(totals.pending);
    }

    /// Counts an attempt.
    pub fn probed(&self, kind: &str, healthy: bool, seconds: f64) {
        let result = if healthy { "healthy" } else { "unhealthy" };
        self.probes.with_label_values(&[kind, result]).inc();
        self.seconds.with_label_values(&[kind]).observe(seconds);
    }

    /// Counts a report.
    pub fn reported(&self, outcome: &Outcome) {
        let result = match outcome {
            Outcome::Delivered => "delivered",
            Outcome::Refused(_) => "refused",
            Outcome::Unreachable(_) => "unreachable",
            Outcome::Failed(_) => "failed",
        };
        self.reports.with_label_values(&[result]).inc();
    }
}

/// The three gauges of the original, always 1 (common.md 5.2).
fn register_infos(registry: &Registry, cluster: &str, ip: &str) -> prometheus::Result<()> {
    let pid = std::process::id().to_string();
    let common = [("module_cluster_id", cluster), ("module_name", "check"), ("module_ip", ip)];
    let version = [
        ("version", version::VERSION),
        ("tag", version::TAG),
        ("build_time", version::BUILD_TIME),
        ("git_hash", version::GIT_HASH),
    ];
    let runtime = [("module_pid", pid.as_str()), ("module_os", std::env::consts::OS)];
    register_info(registry, "bcs_version_infos", "Version of the module.", &[&common[..], &version].concat())?;
    register_info(registry, "bcs_module_infos", "The module.", &common)?;
    register_info(registry, "bcs_runtime_infos", "Where the module runs.", &[&common[..], &runtime].concat())
}

fn register_info(registry: &Registry, name: &str, help: &str, labels: &[(&str, &str)]) -> prometheus::Result<()> {
    let opts = labels.iter().fold(Opts::new(name, help), |opts, (label, value)| opts.const_label(*label, *value));
    let gauge = Gauge::with_opts(opts)?;
    gauge.set(1.0);
    registry.register(Box::new(gauge))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gauges_of_the_original_and_our_own() {
        let metrics = Metrics::new("BCS-MESOS-10001", "127.0.0.1").unwrap();
        metrics.probed("REMOTE_TCP", false, 0.2);
        metrics.reported(&Outcome::Delivered);
        let text = metrics.text().unwrap();
        let module =
            r#"bcs_module_infos{module_cluster_id="BCS-MESOS-10001",module_ip="127.0.0.1",module_name="check"} 1"#;
        assert!(text.lines().any(|line| line == module), "{text}");
        for line in [
            r#"bcs_check_probe_total{result="unhealthy",type="REMOTE_TCP"} 1"#,
            r#"bcs_check_report_total{result="delivered"} 1"#,
            r#"bcs_check_running{type="REMOTE_HTTP"} 0"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
    }
}
