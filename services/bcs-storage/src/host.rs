//! Host configuration: which machines there are and which cluster they belong to (storage.md 8.6).

use bcs_docstore::json::Dollar;
use bcs_docstore::{Document, DocumentDatabase, Filter, Find, Index, Order, Path, Upsert, doc};
use bson::DateTime;

use crate::error::{Error, Result};
use crate::fields::Fields;
use crate::params::DEFAULT_LIMIT;

/// Collection of the hosts.
pub const COLLECTION: &str = "host";

/// The host with an address.
pub fn by_ip(ip: &str) -> Find {
    Find { limit: Some(DEFAULT_LIMIT), ..Find::all(Filter::Eq(Path::dotted("ip"), ip.into())) }
}

/// The hosts of a cluster.
pub fn by_cluster(cluster: &str) -> Find {
    Find { limit: Some(DEFAULT_LIMIT), ..Find::all(in_cluster(cluster)) }
}

fn in_cluster(cluster: &str) -> Filter {
    Filter::Eq(Path::dotted("clusterId"), cluster.into())
}

/// Writes a host from the body of a PUT.
///
/// # Errors
/// [`Error::Json`], [`Error::Invalid`] and [`Error::Store`].
pub async fn put(store: &dyn DocumentDatabase, ip: &str, body: &[u8], now: DateTime) -> Result<()> {
    let mut fields = Fields::decode(body, Dollar::Rewrite)?;
    let set = doc! { "clusterId": fields.text("clusterId")?, "data": fields.take("data"), "updateTime": now };
    ensure_index(store).await?;
    upsert(store, ip, set, now).await
}

async fn upsert(store: &dyn DocumentDatabase, ip: &str, set: Document, now: DateTime) -> Result<()> {
    let upsert = Upsert { key: doc! { "ip": ip }, set, data: None, set_when_new: doc! { "createTime": now } };
    Ok(store.upsert(COLLECTION, upsert).await?)
}

async fn ensure_index(store: &dyn DocumentDatabase) -> Result<()> {
    let keys = vec![("ip".to_owned(), Order::Ascending)];
    Ok(store.ensure_index(COLLECTION, &Index { name: "host_idx".to_owned(), keys, unique: true }).await?)
}

/// Removes a host.
///
/// # Errors
/// [`Error::NotFound`] and [`Error::Store`].
pub async fn delete(store: &dyn DocumentDatabase, ip: &str) -> Result<()> {
    match store.delete_many(COLLECTION, &by_ip(ip).filter).await? {
        0 => Err(Error::NotFound),
        _ => Ok(()),
    }
}

/// Puts the hosts in the body, known or not, into a cluster; with `only` the cluster loses all others first.
///
/// # Errors
/// [`Error::Json`], [`Error::Invalid`] and [`Error::Store`].
pub async fn relate(store: &dyn DocumentDatabase, cluster: &str, body: &[u8], only: bool, now: DateTime) -> Result<()> {
    let ips = Fields::decode(body, Dollar::Keep)?.texts("ips")?;
    ensure_index(store).await?;
    if only {
        let set = doc! { "clusterId": "", "updateTime": now };
        store.update_many(COLLECTION, &in_cluster(cluster), set).await?;
    }
    for ip in ips {
        upsert(store, &ip, doc! { "clusterId": cluster, "updateTime": now }, now).await?;
    }
    Ok(())
}
