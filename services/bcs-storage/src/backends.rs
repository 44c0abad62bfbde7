//! Where the documents, nodes and messages of a service go: MongoDB, ZooKeeper and RabbitMQ as the INI files say, or the
//! embedded store (storage.md 3, 9).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bcs_common::build_constants;
use bcs_common::ini::{Ini, Section};
use bcs_common::registry::zookeeper::{ZooKeeper, ZooKeeperOptions};
use bcs_common::secret;
use bcs_common::shutdown::Shutdown;
use bcs_docstore::mongo::{MongoDatabase, MongoOptions};
use bcs_docstore::sqlite::{self, SqliteDatabase};
use bcs_docstore::{DocumentDatabase, Layout};
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use crate::dynamic::FLAG;
use crate::nodes::{EmbeddedNodes, NodeStore, ZooKeeperNodes};
use crate::observe::Metrics;
use crate::options::{DATABASE_FILE, Options, QUEUE_FILE};
use crate::queue::{Queue, QueueConfig, QueueConfigError};

/// Limit of one MongoDB operation. The most impatient clients wait two seconds, lists take longer.
const OPERATION_LIMIT: Duration = Duration::from_secs(30);

/// Session timeout with ZooKeeper, and limit of a node operation, if the configuration names none.
const ZOOKEEPER_TIMEOUT: Duration = Duration::from_secs(10);

/// File of the embedded store in the data directory.
const EMBEDDED_FILE: &str = "storage.db";

/// Dynamic and custom resources.
pub const DYNAMIC_LAYOUT: Layout = Layout {
    name: "dynamic",
    keys: &["clusterId", "namespace", "resourceType", "resourceName"],
    times: &["createTime", "updateTime"],
    indexes: &[&["clusterId", "resourceName", "namespace"], &["clusterId", "namespace"]],
    deletion_flag: Some(FLAG),
};

/// Events.
pub const EVENT_LAYOUT: Layout = Layout {
    name: "event",
    keys: &["clusterId", "env", "kind", "level", "component", "type", "id"],
    times: &["eventTime", "createTime"],
    indexes: &[&["clusterId", "eventTime"], &["eventTime"], &["clusterId", "createTime"], &["createTime"]],
    deletion_flag: None,
};

const ALARM_LAYOUT: Layout = Layout {
    name: "alarm",
    keys: &["clusterId", "namespace", "source", "module", "type"],
    times: &["receivedTime", "createTime"],
    indexes: &[&["clusterId", "receivedTime"], &["clusterId", "createTime"], &["createTime"]],
    deletion_flag: None,
};

const METRIC_LAYOUT: Layout = Layout {
    name: "metric",
    keys: &["clusterId", "namespace", "type", "name"],
    times: &["createTime", "updateTime"],
    indexes: &[&["namespace", "type", "name"]],
    deletion_flag: Some(FLAG),
};

const HOST_LAYOUT: Layout = Layout {
    name: "host",
    keys: &["ip", "clusterId"],
    times: &["createTime", "updateTime"],
    indexes: &[&["ip"], &["clusterId"]],
    deletion_flag: None,
};

const CLUSTER_CONFIG_LAYOUT: Layout = Layout {
    name: "cluster_config",
    keys: &["service", "clusterId", "version"],
    times: &["createTime", "updateTime"],
    indexes: &[&["service"], &["clusterId"]],
    deletion_flag: None,
};

const NODE_LAYOUT: Layout =
    Layout { name: "watch_node", keys: &["name"], times: &[], indexes: &[&["name"]], deletion_flag: None };

/// A store, if one is configured.
pub type Store = Option<Arc<dyn DocumentDatabase>>;

/// The stores of a service, each of them optional.
#[derive(Clone, Default)]
pub struct Backends {
    /// Dynamic and custom resources.
    pub dynamic: Store,
    /// Events.
    pub event: Store,
    /// Alarms.
    pub alarm: Store,
    /// Metrics.
    pub metric: Store,
    /// Host configuration.
    pub host: Store,
    /// Cluster configuration.
    pub cluster_config: Store,
    /// Watch resources.
    pub nodes: Option<Arc<dyn NodeStore>>,
}

/// Why the service cannot start with its stores.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// A file that the configuration names cannot be read.
    #[error("{key}: open {}: {reason}", path.display())]
    Unreadable {
        /// The option.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why, in the words of the original.
        reason: String,
    },
    /// The queue of the configuration is of a kind that there is no more.
    #[error("queue_config_file: {}: section [queue], key QueueKind", path.display())]
    QueueKind {
        /// The file.
        path: PathBuf,
        /// Why.
        source: QueueConfigError,
    },
    /// The embedded store cannot be used.
    #[error("data_dir: cannot use {}", path.display())]
    Embedded {
        /// The file.
        path: PathBuf,
        /// Why.
        source: bcs_docstore::Error,
    },
}

/// The reason as the original words it.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

/// Reads an INI file: the one that is named, which must then be there, else the default one, which need not.
fn read_ini(key: &'static str, named: &str, default: Option<&str>) -> Result<Option<(Ini, String)>, BackendError> {
    let Some(path) = Some(named).filter(|name| !name.is_empty()).or(default) else { return Ok(None) };
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some((Ini::parse(&String::from_utf8_lossy(&bytes)), path.to_owned()))),
        Err(error) if named.is_empty() && error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(BackendError::Unreadable { key, path: path.into(), reason: reason(&error) }),
    }
}

/// Opens the stores that the options ask for. MongoDB and ZooKeeper need not be there yet.
///
/// # Errors
/// [`BackendError`].
pub fn open(options: &Options, metrics: &Metrics, shutdown: &Shutdown) -> Result<Backends, BackendError> {
    let default = (!options.only_named_files).then_some(DATABASE_FILE);
    match read_ini("database_config_file", &options.database_config_file, default)? {
        Some((ini, path)) => {
            info!("store: the databases of {path}");
            Ok(from_ini(&ini, metrics, shutdown))
        }
        None => {
            let path = options.ours.data_dir.join(EMBEDDED_FILE);
            info!("store: embedded, {}", path.display());
            open_embedded(&options.ours.data_dir).map_err(|source| BackendError::Embedded { path, source })
        }
    }
}

/// Databases of the embedded store in a data directory.
///
/// # Errors
/// As [`sqlite::open`].
pub fn embedded<const N: usize>(
    data_dir: &Path,
    layouts: [Layout; N],
) -> bcs_docstore::Result<[Arc<SqliteDatabase>; N]> {
    Ok(sqlite::open(&data_dir.join(EMBEDDED_FILE), layouts)?.map(Arc::new))
}

fn open_embedded(data_dir: &Path) -> bcs_docstore::Result<Backends> {
    let layouts =
        [DYNAMIC_LAYOUT, EVENT_LAYOUT, ALARM_LAYOUT, METRIC_LAYOUT, HOST_LAYOUT, CLUSTER_CONFIG_LAYOUT, NODE_LAYOUT];
    let [dynamic, event, alarm, metric, host, cluster_config, nodes] = embedded(data_dir, layouts)?;
    Ok(Backends {
        dynamic: Some(dynamic),
        event: Some(event),
        alarm: Some(alarm),
        metric: Some(metric),
        host: Some(host),
        cluster_config: Some(cluster_config),
        nodes: Some(Arc::new(EmbeddedNodes::new(nodes))),
    })
}

/// The sections of the database file that are for something.
pub const SECTIONS: [&str; 7] = [
    "mongodb/dynamic",
    "mongodb/event",
    "mongodb/alarm",
    "mongodb/metric",
    "mongodb/host",
    "mongodb/clusterConfig",
    "zk/watch",
];

fn from_ini(ini: &Ini, metrics: &Metrics, shutdown: &Shutdown) -> Backends {
    let tasks = tracked(shutdown);
    let mut backends = Backends::default();
    for section in ini.sections() {
        let name = section.name();
        if !section.repeated_at().is_empty() {
            warn!("store: section [{name}] is repeated, later values win");
        }
        let (store, layout) = match name {
            "mongodb/dynamic" => (&mut backends.dynamic, DYNAMIC_LAYOUT),
            "mongodb/event" => (&mut backends.event, EVENT_LAYOUT),
            "mongodb/alarm" => (&mut backends.alarm, ALARM_LAYOUT),
            "mongodb/metric" => (&mut backends.metric, METRIC_LAYOUT),
            "mongodb/host" => (&mut backends.host, HOST_LAYOUT),
            "mongodb/clusterConfig" => (&mut backends.cluster_config, CLUSTER_CONFIG_LAYOUT),
            "zk/watch" => {
                backends.nodes = zookeeper_nodes(section, shutdown);
                continue;
            }
            _ => {
                error!("store: section [{name}] is for nothing known, it is ignored");
                continue;
            }
        };
        let opened = mongo_options(section).and_then(|options| {
            let options = MongoOptions { observer: Some(metrics.driver_observer()), ..options };
            let place = format!("{} {}", options.hosts.join(","), options.database);
            let database = MongoDatabase::new(options, layout, shutdown.token(), tasks.clone());
            database.map(|database| (database, place)).map_err(|error| error.to_string())
        });
        match opened {
            Ok((database, place)) => {
                info!("store: [{name}] is MongoDB {place}");
                *store = Some(Arc::new(database));
            }
            Err(reason) => error!("store: section [{name}] cannot be used | err: {reason}"),
        }
    }
    backends
}

/// A tracker whose tasks the shutdown waits for.
fn tracked(shutdown: &Shutdown) -> TaskTracker {
    let tasks = TaskTracker::new();
    let (waiting, stop) = (tasks.clone(), shutdown.token());
    shutdown.spawn("change streams", async move {
        stop.cancelled().await;
        waiting.close();
        waiting.wait().await;
    });
    tasks
}

/// What a MongoDB section says. A password that cannot be decrypted is empty.
///
/// # Errors
/// Why the section cannot be used.
pub fn mongo_options(section: &Section) -> Result<MongoOptions, String> {
    let pool = |key| section.get(key).and_then(|text| text.parse().ok()).unwrap_or(0);
    let seconds: u64 = match section.get("ConnectTimeout") {
        Some(text) => text.parse().map_err(|_| "ConnectTimeout must be a number of seconds")?,
        None => {
            warn!("store: section [{}] has no ConnectTimeout, 0 is taken", section.name());
            0
        }
    };
    let hosts = section.get("Addr").unwrap_or_default().split(',').map(|host| host.trim().to_owned());
    Ok(MongoOptions {
        hosts: hosts.filter(|host| !host.is_empty()).collect(),
        database: section.get("Database").unwrap_or_default().to_owned(),
        username: section.get("Username").unwrap_or_default().to_owned(),
        password: password(section),
        connect_timeout: (seconds > 0).then(|| Duration::from_secs(seconds)),
        max_pool: pool("MaxPoolSize"),
        min_pool: pool("MinPoolSize"),
        ignore_delete_events: section.get("IgnoreDeleteEvent") == Some("true"),
        operation_timeout: OPERATION_LIMIT,
        observer: None,
    })
}

/// The password of a section. One that cannot be decrypted is an error in the log and then empty, so that a database that
/// asks for none still works.
fn password(section: &Section) -> String {
    secret::decrypt(section.get("Password").unwrap_or_default()).unwrap_or_else(|error| {
        error!("store: Password of section [{}] cannot be decrypted | err: {error}", section.name());
        String::new()
    })
}

fn zookeeper_nodes(section: &Section, shutdown: &Shutdown) -> Option<Arc<dyn NodeStore>> {
    let servers = section.get("Addr").unwrap_or_default();
    let seconds = section.get("ConnectTimeout").and_then(|text| text.parse().ok()).filter(|seconds| *seconds > 0);
    let options = ZooKeeperOptions {
        session_timeout: seconds.map_or(ZOOKEEPER_TIMEOUT, Duration::from_secs),
        ..zookeeper_options(servers)
    };
    match ZooKeeper::start(options, shutdown) {
        Ok(zookeeper) => {
            info!("store: [zk/watch] is ZooKeeper {servers}");
            Some(Arc::new(ZooKeeperNodes::new(zookeeper, section.get("Database").unwrap_or_default())))
        }
        Err(error) => {
            error!("store: section [zk/watch] cannot be used | err: {error}");
            None
        }
    }
}

/// ZooKeeper with the credentials of this installation.
pub fn zookeeper_options(servers: &str) -> ZooKeeperOptions {
    ZooKeeperOptions::new(servers, build_constants::zookeeper_client_user(), build_constants::zookeeper_client_pwd())
}

/// Starts the queue that the options ask for. A queue that cannot be used is an error in the log and then off: it must
/// never keep anybody from writing.
///
/// # Errors
/// [`BackendError::QueueKind`]: whoever relies on NATS Streaming must hear that nothing will be published there.
pub fn open_queue(options: &Options, metrics: &Metrics, shutdown: &Shutdown) -> Result<Queue, BackendError> {
    let default = (!options.only_named_files).then_some(QUEUE_FILE);
    let config = match read_ini("queue_config_file", &options.queue_config_file, default) {
        Ok(None) => Ok(None),
        Ok(Some((ini, path))) => match QueueConfig::read(&ini) {
            Err(source @ QueueConfigError::Nats) => return Err(BackendError::QueueKind { path: path.into(), source }),
            config => config.map_err(|error| error.to_string()),
        },
        Err(error) => Err(error.to_string()),
    };
    Ok(match config {
        Ok(Some(config)) => {
            let authority = &config.uri.authority;
            let resources = config.resources.iter().map(String::as_str).collect::<Vec<_>>().join(",");
            info!("queue: RabbitMQ {}:{}, {resources}", authority.host, authority.port);
            Queue::start(config, Arc::new(metrics.clone()), shutdown)
        }
        Ok(None) => {
            info!("queue: off");
            Queue::off()
        }
        Err(reason) => {
            error!("queue: off | err: {reason}");
            Queue::off()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(lines: &str) -> Ini {
        Ini::parse(&format!("[mongodb/dynamic]\n{lines}\n"))
    }

    fn options(lines: &str) -> Result<MongoOptions, String> {
        mongo_options(&section(lines).sections()[0])
    }

    #[test]
    fn a_mongodb_section() {
        let all = "Addr = a:1, b:2,\nConnectTimeout = 3\nDatabase = dynamic\nUsername = u\nPassword = LK9s4asAj80=\nMaxPoolSize = 7\nIgnoreDeleteEvent = true";
        let found = options(all).unwrap();
        assert_eq!(found.hosts, ["a:1", "b:2"]);
        assert_eq!(
            (found.database.as_str(), found.username.as_str(), found.password.as_str()),
            ("dynamic", "u", "bcs")
        );
        assert_eq!((found.connect_timeout, found.max_pool, found.min_pool), (Some(Duration::from_secs(3)), 7, 0));
        assert!(found.ignore_delete_events);
        let plain = options("Addr = a\nConnectTimeout = 0\nIgnoreDeleteEvent = True\nPassword = nonsense").unwrap();
        assert_eq!((plain.connect_timeout, plain.ignore_delete_events), (None, false));
        assert_eq!(plain.password, "");
        assert!(options("Addr = a\nConnectTimeout = soon").is_err());
        assert_eq!(options("Addr = a").unwrap().connect_timeout, None);
    }

    #[tokio::test]
    async fn sections_open_their_stores_and_others_are_ignored() {
        let shutdown = Shutdown::new();
        let text = "[mongodb/event]\nAddr=127.0.0.1:1\nConnectTimeout=1\nDatabase=event\n[mongodb/alarm]\nAddr=127.0.0.1:1\nConnectTimeout=soon\n[mysql/x]\n";
        let backends = from_ini(&Ini::parse(text), &Metrics::new().unwrap(), &shutdown);
        assert!(backends.event.is_some());
        assert!(backends.alarm.is_none() && backends.dynamic.is_none() && backends.nodes.is_none());
        drop(backends);
        assert!(shutdown.drain(Duration::from_secs(5)).await);
    }

    #[test]
    fn a_named_file_must_be_there() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("none.conf");
        let error = read_ini("database_config_file", missing.to_str().unwrap(), None).unwrap_err().to_string();
        assert_eq!(error, format!("database_config_file: open {}: no such file or directory", missing.display()));
        assert!(read_ini("queue_config_file", "", missing.to_str()).unwrap().is_none());
        std::fs::write(&missing, "[a]\n").unwrap();
        let (ini, _) = read_ini("queue_config_file", "", missing.to_str()).unwrap().unwrap();
        assert_eq!(ini.sections().len(), 1);
    }

    #[test]
    fn the_embedded_store_has_everything() {
        let directory = tempfile::tempdir().unwrap();
        let backends = open_embedded(directory.path()).unwrap();
        assert!(backends.dynamic.is_some() && backends.nodes.is_some() && backends.cluster_config.is_some());
    }
}
