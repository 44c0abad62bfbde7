//! Whether the servers of a configuration answer.

use std::time::Duration;

use bcs_common::errors;
use bcs_docstore::mongo::{MongoDatabase, MongoOptions};
use bcs_docstore::{DocumentDatabase, Layout};
use bcs_sql::{Database, Dsn};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::report::Report;

/// How long a server may take.
const LIMIT: Duration = Duration::from_secs(3);

/// The servers to ask.
#[derive(Default)]
pub struct Plan(Vec<Backend>);

impl Plan {
    /// One more.
    pub fn add(&mut self, backend: Backend) {
        self.0.push(backend);
    }
}

/// Something a service depends on.
pub enum Backend {
    /// Servers that are only connected to.
    Tcp {
        /// What they are, and which key names them.
        what: String,
        /// `host:port` of each.
        servers: Vec<String>,
    },
    /// An SQL server: it must let us in.
    Sql {
        /// The key of its data source name.
        key: String,
        /// The data source name.
        dsn: Dsn,
    },
    /// MongoDB: it must let us in.
    Mongo {
        /// What it is, and which section names it.
        what: String,
        /// `host:port` of some.
        servers: Vec<String>,
        /// The database.
        database: String,
        /// The user, if any.
        username: String,
        /// Its password, decrypted.
        password: String,
    },
}

/// Asks all of them, one after the other.
pub async fn check(plan: Plan, report: &mut Report) {
    for backend in plan.0 {
        match backend {
            Backend::Tcp { what, servers } => check_tcp(&what, &servers, report).await,
            Backend::Sql { key, dsn } => check_sql(&key, dsn, report).await,
            Backend::Mongo { what, servers, database, username, password } => {
                let outcome = timeout(LIMIT, ping(&servers, database, username, password)).await;
                let servers = servers.join(",");
                match outcome.unwrap_or_else(|_| Err("no answer in time".to_owned())) {
                    Ok(()) => report.good(format!("{what}: {servers} answers")),
                    Err(error) => report.failure(format!("{what}: {servers}: {error}")),
                }
            }
        }
    }
}

/// One of several servers is enough for a service to work.
async fn check_tcp(what: &str, servers: &[String], report: &mut Report) {
    if servers.is_empty() {
        return report.failure(format!("{what}: no server is named"));
    }
    let mut errors = Vec::new();
    for server in servers {
        match timeout(LIMIT, TcpStream::connect(server)).await {
            Ok(Ok(_)) => report.good(format!("{what}: {server} accepts connections")),
            Ok(Err(error)) => errors.push(format!("{what}: {server}: {error}")),
            Err(_) => errors.push(format!("{what}: {server}: no answer in time; is a firewall in between?")),
        }
    }
    let all = errors.len() == servers.len();
    for error in errors {
        if all { report.failure(error) } else { report.warning(error) }
    }
}

async fn check_sql(key: &str, dsn: Dsn, report: &mut Report) {
    let ask = async {
        let database = Database::new(dsn).map_err(|error| errors::chain(&error))?;
        database.read("SELECT 1", &[]).await.map_err(|error| errors::chain(&error))
    };
    match timeout(LIMIT, ask).await.unwrap_or_else(|_| Err("no answer in time".to_owned())) {
        Ok(_) => report.good(format!("{key}: the database answers")),
        Err(error) => report.failure(format!("{key}: {error}")),
    }
}

async fn ping(servers: &[String], database: String, username: String, password: String) -> Result<(), String> {
    let layout = Layout { name: "check", keys: &[], times: &[], indexes: &[], deletion_flag: None };
    let options = MongoOptions {
        hosts: servers.to_vec(),
        database,
        username,
        password,
        connect_timeout: Some(LIMIT),
        max_pool: 1,
        min_pool: 0,
        ignore_delete_events: false,
        operation_timeout: LIMIT,
        observer: None,
    };
    let stop = CancellationToken::new();
    let asked = async {
        let database = MongoDatabase::new(options, layout, stop.clone(), TaskTracker::new())?;
        database.ping().await
    };
    let outcome = asked.await.map_err(|error| errors::chain(&error));
    stop.cancel();
    outcome
}
