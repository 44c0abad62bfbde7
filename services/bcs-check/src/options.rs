//! Options of bcs-check (check.md 2.2).

use bcs_common::config::{Opt, Spec, group};
use serde::Deserialize;

/// Name of the program, in messages and log files.
pub const PROGRAM: &str = "bcs-check";

/// The options, from flags and the config file.
#[derive(Clone, Debug, Deserialize)]
pub struct Options {
    /// The registered address, also that of the metric listener.
    #[serde(flatten)]
    pub service: group::ServiceOptions,
    /// Port of the metric listener, the only one; 0: none.
    #[serde(flatten)]
    pub metric: group::MetricOptions,
    /// ZooKeeper of the BCS layer, to register in.
    #[serde(flatten)]
    pub zk: group::ZkOptions,
    /// Certificates of the metric listener, and for the scheduler.
    #[serde(flatten)]
    pub cert: group::CertOptions,
    /// The log.
    #[serde(flatten)]
    pub log: group::LogOptions,
    /// The pid file.
    #[serde(flatten)]
    pub process: group::ProcessOptions,
    /// ZooKeeper of the Mesos cluster: election, schedulers and tasks.
    pub mesos_zookeeper: String,
    /// BCS cluster id.
    pub cluster: String,
    /// Probes at a time.
    pub check_concurrency: u64,
    /// Reports at a time.
    pub report_concurrency: u64,
    /// Seconds between two comparisons of all that is known with ZooKeeper; 0: none.
    pub resync_seconds: u64,
    /// Targets of https checks must have a certificate of `ca_file` with the right name.
    pub check_tls_verify: bool,
    /// How schedulers must prove who they are: `chain`, `full`, or empty and `none` for not at all.
    pub tls_verify: String,
}

/// All options with their defaults.
pub fn spec() -> Spec {
    let own = vec![
        Opt::string("mesos_zookeeper", "", "ZooKeeper servers of the Mesos cluster, comma separated host:port"),
        Opt::string("cluster", "", "BCS cluster id, required"),
        Opt::uint64("check_concurrency", 2000, "probes at a time"),
        Opt::uint64("report_concurrency", 8, "reports to the scheduler at a time"),
        Opt::uint64(
            "resync_seconds",
            300,
            "seconds between two comparisons of the known tasks with ZooKeeper, 0 is never",
        ),
        Opt::boolean("check_tls_verify", false, "https checks verify the target's certificate against ca_file"),
    ];
    // There is nothing to keep on disk.
    let ours = group::ours().into_iter().filter(|opt| opt.path != "data_dir").collect();
    Spec {
        program: PROGRAM,
        about: "Probes the tasks of a Mesos cluster over HTTP and TCP and tells the scheduler what it saw.\n\
                'bcs-check probe URL' makes one probe and prints what it saw; see 'bcs-check probe --help'.",
        options: [
            group::file(),
            group::service(),
            group::metric(),
            group::zk(),
            group::cert(),
            group::license(),
            group::log(),
            group::process(),
            ours,
            own,
        ]
        .concat(),
    }
}

#[cfg(test)]
mod tests {
    use bcs_common::config;

    use super::*;

    fn load(args: &[&str]) -> Options {
        let args = std::iter::once(PROGRAM).chain(args.iter().copied());
        config::load(&spec(), args.map(Into::into)).unwrap()
    }

    #[test]
    fn defaults() {
        let options = load(&[]);
        assert_eq!((options.metric.metric_port, options.zk.bcs_zookeeper.as_str()), (8081, "127.0.0.1:2181"));
        assert_eq!((options.mesos_zookeeper.as_str(), options.cluster.as_str()), ("", ""));
        assert_eq!((options.check_concurrency, options.report_concurrency, options.resync_seconds), (2000, 8, 300));
        assert!(!options.check_tls_verify && options.tls_verify.is_empty());
    }

    #[test]
    fn the_packaged_template() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("bcs-check.json");
        let json = r#"{"address":"127.0.0.1","port":43000,"metric_port":43001,"bcs_zookeeper":"127.0.0.1:2181","ca_file":"",
            "log_dir":"./logs","pid_dir":"./pid","client_cert_file":"","client_key_file":"","server_cert_file":"",
            "server_key_file":"","mesos_zookeeper":"127.0.0.1:2181","cluster":"BCS-MESOS-10001"}"#;
        std::fs::write(&file, json).unwrap();
        let options = load(&["-f", file.to_str().unwrap(), "--cluster=BCS-MESOS-10002"]);
        assert_eq!((options.service.port, options.metric.metric_port), (43000, 43001));
        assert_eq!((options.mesos_zookeeper.as_str(), options.cluster.as_str()), ("127.0.0.1:2181", "BCS-MESOS-10002"));
    }
}
