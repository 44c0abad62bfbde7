//! Documents in MongoDB (4.2 or newer), stored exactly as the original services store them.
//!
//! [`MongoDatabase::new`] connects to nothing: the driver looks for its servers in the background for as long as it
//! lives, so a database that is down at the start, or goes away, is found within two seconds of its return. Until
//! then operations fail with [`Error::Unavailable`] after [`SELECTION_LIMIT`]. Reads go to the primary; read and write
//! concerns are those of the server.

pub(crate) mod change_stream;
mod error;
mod indexes;
mod operations;
mod query;

use std::sync::Arc;
use std::time::{Duration, Instant};

use mongodb::options::{ClientOptions, Credential, ServerAddress};
use mongodb::{Client, Collection, Database};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::{Document, Error, Layout, Result};
use change_stream::ChangeStreams;
use error::TimedOut;
use indexes::KnownIndexes;

/// How long an operation waits for a server that can take it: less than the two seconds that the most impatient
/// client waits, so that it hears the reason.
pub const SELECTION_LIMIT: Duration = Duration::from_millis(1500);

/// The driver's default is 10 seconds, which is also how long a silent server would go unnoticed.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// For a connect timeout of 0, which means "none": a connection attempt into a broken network must end some time.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// What the original's driver takes for 0.
const DEFAULT_MAX_POOL: u32 = 100;

/// Called after every operation with its name in the metrics (storage.md 10), whether it succeeded, and how long it took.
pub type Observer = Arc<dyn Fn(&'static str, bool, Duration) + Send + Sync>;

/// Where the database is and how to talk to it; the keys of a `mongodb/` section (storage.md 3).
#[derive(Clone)]
pub struct MongoOptions {
    /// `host:port` of some servers; the others are discovered. The default port is 27017.
    pub hosts: Vec<String>,
    /// Name of the database.
    pub database: String,
    /// SCRAM user in the database `admin`; empty = no login.
    pub username: String,
    /// The user's password, in plain.
    pub password: String,
    /// Limit of one connection attempt; `None` = two seconds.
    pub connect_timeout: Option<Duration>,
    /// Most connections to one server; 0 = 100. Change streams have connections of their own.
    pub max_pool: u32,
    /// Connections to keep open to one server.
    pub min_pool: u32,
    /// Leaves deletions out of the change feed.
    pub ignore_delete_events: bool,
    /// Limit of one operation, all its round trips together.
    pub operation_timeout: Duration,
    /// Hears of every operation.
    pub observer: Option<Observer>,
}

/// A MongoDB database. See the [module](self) for its behaviour in outages.
pub struct MongoDatabase {
    database: Database,
    layout: Layout,
    operations: Operations,
    known_indexes: KnownIndexes,
    change_streams: ChangeStreams,
}

impl MongoDatabase {
    /// Prepares the database; needs a Tokio runtime. Change streams run as tasks of `tasks` and end with `shutdown`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for options that can never work: an unusable host, a pool that is smaller than its minimum.
    pub fn new(options: MongoOptions, layout: Layout, shutdown: CancellationToken, tasks: TaskTracker) -> Result<Self> {
        let client_options = client_options(&options)?;
        let database = Client::with_options(client_options.clone())?.database(&options.database);
        let operations = Operations { limit: options.operation_timeout, observer: options.observer };
        let change_streams = ChangeStreams::new(change_stream::Settings {
            client: client_options,
            database: options.database,
            ignore_deletes: options.ignore_delete_events,
            deletion_flag: layout.deletion_flag,
            operations: operations.clone(),
            shutdown,
            tasks,
        });
        Ok(Self { database, layout, operations, known_indexes: KnownIndexes::default(), change_streams })
    }

    fn collection(&self, name: &str) -> Result<Collection<Document>> {
        check_name(name)?;
        Ok(self.database.collection(name))
    }
}

/// The server refuses these too, but not in all operations with an error.
fn check_name(collection: &str) -> Result<()> {
    if collection.is_empty() || collection.contains(['$', '\0']) {
        return Err(Error::Invalid(format!("{collection:?} is no name of a collection")));
    }
    Ok(())
}

fn client_options(options: &MongoOptions) -> Result<ClientOptions> {
    let max_pool = if options.max_pool == 0 { DEFAULT_MAX_POOL } else { options.max_pool };
    if options.hosts.is_empty() || options.database.is_empty() {
        return Err(Error::Invalid("MongoDB needs a host and the name of a database".to_owned()));
    }
    if options.min_pool > max_pool {
        return Err(Error::Invalid(format!("a pool of {max_pool} connections cannot keep {}", options.min_pool)));
    }
    let hosts = options.hosts.iter().map(ServerAddress::parse).collect::<Result<Vec<_>, _>>()?;
    let credential = (!options.username.is_empty()).then(|| {
        // Without a mechanism the driver takes SCRAM-SHA-256, or SHA-1 if the server has no other for this user.
        Credential::builder()
            .username(options.username.clone())
            .password(options.password.clone())
            .source("admin".to_owned())
            .build()
    });
    let mut client = ClientOptions::builder().hosts(hosts).build();
    client.credential = credential;
    client.connect_timeout = Some(options.connect_timeout.filter(|limit| !limit.is_zero()).unwrap_or(CONNECT_LIMIT));
    client.max_pool_size = Some(max_pool);
    client.min_pool_size = Some(options.min_pool);
    client.heartbeat_freq = Some(HEARTBEAT);
    client.server_selection_timeout = Some(SELECTION_LIMIT.min(options.operation_timeout));
    Ok(client)
}

/// Bounds operations in time and reports them.
#[derive(Clone)]
struct Operations {
    limit: Duration,
    observer: Option<Observer>,
}

impl Operations {
    async fn run<T>(&self, method: &'static str, work: impl Future<Output = Result<T>>) -> Result<T> {
        let start = Instant::now();
        let result = match tokio::time::timeout(self.limit, work).await {
            Ok(result) => result,
            Err(_) => Err(TimedOut(self.limit).into()),
        };
        if let Some(observer) = &self.observer {
            observer(method, result.is_ok(), start.elapsed());
        }
        result
    }
}
