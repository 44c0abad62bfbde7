//! Options of bcs-storage (storage.md 2.1).

use bcs_common::config::{Opt, Spec, group};
use serde::Deserialize;

/// Name of the program, in messages and log files.
pub const PROGRAM: &str = "bcs-storage";

/// The options, from flags and the config file.
#[derive(Clone, Debug, Deserialize)]
pub struct Options {
    /// Where to listen.
    #[serde(flatten)]
    pub service: group::ServiceOptions,
    /// Port of the metrics.
    #[serde(flatten)]
    pub metric: group::MetricOptions,
    /// ZooKeeper to register in; empty = no registration there.
    #[serde(flatten)]
    pub zk: group::ZkOptions,
    /// Certificates of the listener.
    #[serde(flatten)]
    pub cert: group::ServerOnlyCertOptions,
    /// Password of the listener's private key.
    #[serde(rename = "ServerCert", default)]
    pub server_cert: ServerCert,
    /// The log.
    #[serde(flatten)]
    pub log: group::LogOptions,
    /// The pid file.
    #[serde(flatten)]
    pub process: group::ProcessOptions,
    /// etcd to register in.
    #[serde(flatten)]
    pub etcd: group::EtcdRegistryOptions,
    /// The data directory.
    #[serde(flatten)]
    pub ours: group::OursOptions,
    /// INI file of the databases; empty = see [`DATABASE_FILE`].
    pub database_config_file: String,
    /// INI file of the queue; empty = [`QUEUE_FILE`].
    pub queue_config_file: String,
    /// Days to keep events.
    pub event_max_day: i64,
    /// Events to keep for each cluster.
    pub event_max_cap: i64,
    /// Days to keep alarms.
    pub alarm_max_day: i64,
    /// Alarms to keep for each cluster.
    pub alarm_max_cap: i64,
    /// Days after their last write to keep dynamic resources that are marked as deleted.
    pub deleted_max_day: i64,
    /// Log the bodies of requests.
    pub print_body: bool,
    /// Look for no database or queue file in the working directory: `bcs server` keeps everything in its data directory.
    #[serde(skip)]
    pub only_named_files: bool,
}

/// The file-only object `ServerCert`, which gives the key password at run time (common.md 1.1).
#[derive(Clone, Default, Deserialize)]
pub struct ServerCert {
    /// The password; empty = the one of this installation.
    #[serde(rename = "CertPwd", default)]
    pub password: String,
}

impl std::fmt::Debug for ServerCert {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ServerCert(***)")
    }
}

/// The databases are configured here if this file exists and no other is named; else the embedded store is used.
pub const DATABASE_FILE: &str = "storage-database.conf";

/// The queue is configured here if no other file is named.
pub const QUEUE_FILE: &str = "queue.conf";

/// All options with their defaults.
pub fn spec() -> Spec {
    let ignored = |path| Opt::int64(path, 0, "accepted for old configurations, unused");
    let own = vec![
        Opt::string(
            "database_config_file",
            "",
            "databases; without it storage-database.conf if that exists, else the embedded store in data_dir",
        ),
        Opt::string("queue_config_file", "", "message queue; without it queue.conf if that exists, else no queue"),
        Opt::int64("event_max_day", 15, "days to keep events, 0 is for ever"),
        Opt::int64("event_max_cap", 10_000, "events to keep for each cluster, 0 is all"),
        Opt::int64("alarm_max_day", 15, "days to keep alarms, 0 is for ever"),
        Opt::int64("alarm_max_cap", 10_000, "alarms to keep for each cluster, 0 is all"),
        Opt::int64("deleted_max_day", 0, "days after their last write to keep deleted resources, 0 is for ever"),
        Opt::boolean("print_body", false, "log the bodies of requests"),
        Opt::boolean("print_manager", false, "accepted for old configurations, unused: see the metrics"),
        Opt::boolean("debug_mode", false, "accepted for old configurations, unused"),
        ignored("query_max_num"),
        ignored("watch_time_sep"),
        Opt::json("ServerCert", "key password, only in the file").secret(),
    ];
    Spec {
        program: PROGRAM,
        about: "Stores what the watchers of clusters report, and answers who asks for it.",
        options: [
            group::file(),
            group::service(),
            group::metric(),
            group::optional_zk(),
            group::server_only_cert(),
            group::license(),
            group::log(),
            group::process(),
            group::etcd_registry(),
            group::ours(),
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
        let args = std::iter::once("bcs-storage").chain(args.iter().copied());
        config::load(&spec(), args.map(Into::into)).unwrap()
    }

    #[test]
    fn defaults() {
        let options = load(&[]);
        assert_eq!((options.service.port, options.metric.metric_port), (8080, 8081));
        assert_eq!((options.event_max_day, options.event_max_cap), (15, 10_000));
        assert_eq!((options.alarm_max_day, options.alarm_max_cap, options.deleted_max_day), (15, 10_000, 0));
        assert_eq!((options.database_config_file.as_str(), options.zk.bcs_zookeeper.as_str()), ("", ""));
        assert!(!options.etcd.etcd_registry.etcd_feature && !options.print_body);
    }

    #[test]
    fn a_chart_configuration() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("bcs-storage.json");
        let json = r#"{"address":"127.0.0.1","port":50024,"metric_port":"50025","v":"3","event_max_day":7,"query_max_num":100,
            "database_config_file":"/x/db.conf","ServerCert":{"CertPwd":"secret"},"etcdRegistry":{"etcd_feature":true}}"#;
        std::fs::write(&file, json).unwrap();
        let options = load(&["-f", file.to_str().unwrap(), "--event-max-day=3"]);
        assert_eq!((options.service.port, options.metric.metric_port, options.log.v), (50024, 50025, 3));
        assert_eq!((options.event_max_day, options.database_config_file.as_str()), (3, "/x/db.conf"));
        assert!(options.etcd.etcd_registry.etcd_feature);
        assert_eq!(options.server_cert.password, "secret");
        assert!(!format!("{options:?}").contains("secret"));
    }
}
