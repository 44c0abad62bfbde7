//! Where the documents are: MongoDB, in the original's collections (cluster-manager.md 6), or the embedded store.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bcs_common::shutdown::Shutdown;
use bcs_docstore::mongo::{MongoDatabase, MongoOptions, Observer};
use bcs_docstore::sqlite;
use bcs_docstore::{
    Document, DocumentDatabase, Encode, Fields, Filter, Find, Index, Layout, Order, Result, Sort, Upsert,
};
use tokio_util::task::TaskTracker;
use tracing::info;

use crate::options::{Mongo, Options, OptionsError, Store};

/// Limit of one MongoDB operation: the go-micro client waits five seconds for an answer.
const OPERATION_LIMIT: Duration = Duration::from_millis(4500);
/// File of the embedded store in the data directory.
const EMBEDDED_FILE: &str = "cluster-manager.db";
/// What every list ends at.
const LIST_LIMIT: u64 = 1000;

const CLUSTER_LAYOUT: Layout = Layout {
    name: "cluster",
    keys: &[
        "clusterID",
        "clusterName",
        "federationClusterID",
        "provider",
        "region",
        "vpcID",
        "projectID",
        "businessID",
        "environment",
        "engineType",
        "clusterType",
        "apiserverEndpoints",
        "apiServerClientCa",
        "token",
        "kubeconfig",
        "wssServerCert",
        "wssServerKey",
        "wssCa",
    ],
    times: &["createTime", "updateTime"],
    indexes: &[&["clusterID"], &["projectID"], &["businessID"], &["federationClusterID"]],
    deletion_flag: None,
};

const CREDENTIAL_LAYOUT: Layout = Layout {
    name: "clustercredential",
    keys: &[
        "serverKey",
        "clusterID",
        "clientModule",
        "serverAddress",
        "caCertData",
        "userToken",
        "clusterDomain",
        "connectMode",
    ],
    times: &["createTime", "updateTime"],
    indexes: &[&["serverKey"], &["clusterID"]],
    deletion_flag: None,
};

const NAMESPACE_LAYOUT: Layout = Layout {
    name: "namespace",
    keys: &["name", "federationClusterID", "projectID", "businessID", "maxQuota"],
    times: &["createTime", "updateTime"],
    indexes: &[&["name", "federationClusterID"], &["federationClusterID"]],
    deletion_flag: None,
};

const QUOTA_LAYOUT: Layout = Layout {
    name: "namespacequota",
    keys: &["namespace", "federationClusterID", "clusterID", "resourceQuota", "status", "message"],
    times: &["createTime", "updateTime"],
    indexes: &[&["namespace", "federationClusterID", "clusterID"], &["federationClusterID"], &["clusterID"]],
    deletion_flag: None,
};

const CIDR_LAYOUT: Layout = Layout {
    name: "tkecidrs",
    keys: &["vpc", "cidr", "status", "cluster"],
    times: &["createAt", "updateAt"],
    indexes: &[&["vpc", "cidr"], &["vpc", "status"]],
    deletion_flag: None,
};

const LAYOUTS: [Layout; 5] = [CLUSTER_LAYOUT, CREDENTIAL_LAYOUT, NAMESPACE_LAYOUT, QUOTA_LAYOUT, CIDR_LAYOUT];

/// All collections.
pub(crate) struct Stores {
    pub clusters: Collection,
    pub credentials: Collection,
    pub namespaces: Collection,
    pub quotas: Collection,
    pub cidrs: Collection,
    /// For a sign of life.
    pub database: Arc<dyn DocumentDatabase>,
}

/// Why the stores cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum StoresError {
    /// A value of the configuration cannot be used.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// MongoDB can never work with these options.
    #[error("mongo")]
    Mongo(#[source] bcs_docstore::Error),
    /// The file of the embedded store cannot be used.
    #[error("data_dir: cannot use {}", path.display())]
    Embedded {
        /// The file.
        path: PathBuf,
        /// Why.
        source: bcs_docstore::Error,
    },
}

impl Stores {
    /// Opens what the options ask for. MongoDB need not be there yet.
    ///
    /// # Errors
    /// [`StoresError`].
    pub(crate) fn open(options: &Options, observer: Observer, shutdown: &Shutdown) -> Result<Self, StoresError> {
        match options.store()? {
            Store::Mongo(mongo) => {
                info!("store: MongoDB {}, database {}", mongo.hosts.join(","), mongo.database);
                Self::mongo(mongo, Some(observer), shutdown).map_err(StoresError::Mongo)
            }
            Store::Embedded => {
                let path = options.data_dir.join(EMBEDDED_FILE);
                info!("store: embedded, {}", path.display());
                Self::embedded(&path).map_err(|source| StoresError::Embedded { path, source })
            }
        }
    }

    /// MongoDB, which need not be there yet.
    ///
    /// # Errors
    /// It can never work with these options.
    pub(crate) fn mongo(mongo: Mongo, observer: Option<Observer>, shutdown: &Shutdown) -> Result<Self> {
        let options = MongoOptions {
            hosts: mongo.hosts,
            database: mongo.database,
            username: mongo.username,
            password: mongo.password,
            connect_timeout: Some(mongo.connect_timeout),
            max_pool: mongo.max_pool,
            min_pool: mongo.min_pool,
            ignore_delete_events: true,
            operation_timeout: OPERATION_LIMIT,
            observer,
        };
        // Nothing here follows changes, so no task will run in this tracker.
        let database = MongoDatabase::new(options, CLUSTER_LAYOUT, shutdown.token(), TaskTracker::new())?;
        let database: Arc<dyn DocumentDatabase> = Arc::new(database);
        Ok(Self::of(LAYOUTS.map(|_| Arc::clone(&database))))
    }

    fn embedded(path: &std::path::Path) -> Result<Self> {
        Ok(Self::of(sqlite::open(path, LAYOUTS)?.map(|database| Arc::new(database) as _)))
    }

    /// In the order of [`LAYOUTS`].
    fn of([clusters, credentials, namespaces, quotas, cidrs]: [Arc<dyn DocumentDatabase>; LAYOUTS.len()]) -> Self {
        Self {
            database: Arc::clone(&clusters),
            clusters: Collection::new(clusters, CLUSTER_LAYOUT.name, &["clusterID"]),
            credentials: Collection::new(credentials, CREDENTIAL_LAYOUT.name, &["serverKey"]),
            namespaces: Collection::new(namespaces, NAMESPACE_LAYOUT.name, &["name", "federationClusterID"]),
            quotas: Collection::new(quotas, QUOTA_LAYOUT.name, &["namespace", "federationClusterID", "clusterID"]),
            cidrs: Collection::new(cidrs, CIDR_LAYOUT.name, &["vpc", "cidr"]),
        }
    }
}

fn by_age(fields: &Document, offset: u64, limit: u64) -> Find {
    let limit = if limit == 0 { LIST_LIMIT } else { limit.min(LIST_LIMIT) };
    let sort = Some(Sort { field: "_id".to_owned(), order: Order::Ascending });
    Find { sort, skip: offset, limit: Some(limit), ..Find::all(Filter::equal_to(fields)) }
}

/// A collection with its unique index, which is made before the first access that is no list.
pub(crate) struct Collection {
    database: Arc<dyn DocumentDatabase>,
    name: String,
    index: Index,
    ensured: AtomicBool,
}

impl Collection {
    fn new(database: Arc<dyn DocumentDatabase>, name: &str, keys: &[&str]) -> Self {
        let index = Index {
            name: format!("{name}_idx"),
            keys: keys.iter().map(|key| ((*key).to_owned(), Order::Ascending)).collect(),
            unique: true,
        };
        Self { database, name: format!("bcsclustermanager_{name}"), index, ensured: AtomicBool::new(false) }
    }

    async fn ensure_index(&self) -> Result<()> {
        if !self.ensured.load(Ordering::Relaxed) {
            self.database.ensure_index(&self.name, &self.index).await?;
            self.ensured.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// The document with these key fields.
    pub(crate) async fn get(&self, key: &Document) -> Result<Option<Fields>> {
        self.ensure_index().await?;
        let found = self.database.find_fields(&self.name, &Find::one(Filter::equal_to(key))).await?;
        Ok(found.into_iter().next())
    }

    /// The documents with these fields by age, from the `offset`-th on; a limit of 0 is the greatest one.
    pub(crate) async fn list(&self, fields: &Document, offset: u64, limit: u64) -> Result<Vec<Fields>> {
        self.database.find_fields(&self.name, &by_age(fields, offset, limit)).await
    }

    /// The same in the form of `encode`, one behind the other.
    pub(crate) async fn list_encoded(
        &self,
        fields: &Document,
        offset: u64,
        limit: u64,
        encode: Encode,
    ) -> Result<Vec<u8>> {
        self.database.find_encoded(&self.name, &by_age(fields, offset, limit), encode).await
    }

    /// These fields of all documents, in no order.
    pub(crate) async fn all(&self, projection: &[&str]) -> Result<Vec<Fields>> {
        let projection = projection.iter().map(|field| (*field).to_owned()).collect();
        self.database.find_fields(&self.name, &Find { projection, ..Find::all(Filter::all()) }).await
    }

    /// Stores a new document.
    pub(crate) async fn insert(&self, document: Document) -> Result<()> {
        self.ensure_index().await?;
        self.database.insert(&self.name, document).await
    }

    /// Writes over the document with this key, or makes it.
    pub(crate) async fn put(&self, key: Document, set: Document, set_when_new: Document) -> Result<()> {
        self.ensure_index().await?;
        self.database.upsert(&self.name, Upsert { key, set, data: None, set_when_new }).await
    }

    /// Sets fields of the documents with these ones; whether there was one.
    pub(crate) async fn update(&self, of: &Document, set: Document) -> Result<bool> {
        self.ensure_index().await?;
        Ok(self.database.update_many(&self.name, &Filter::equal_to(of), set).await? > 0)
    }

    /// Removes the documents with these fields; whether there was one.
    pub(crate) async fn delete(&self, of: &Document) -> Result<bool> {
        self.ensure_index().await?;
        Ok(self.database.delete_many(&self.name, &Filter::equal_to(of)).await? > 0)
    }
}
