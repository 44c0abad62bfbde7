//! Metrics of clusters: one collection a cluster, named by its id (storage.md 8.4).

use bcs_common::http::query::Query;
use bcs_docstore::{Document, DocumentDatabase, Filter, Find, Index, JsonText, Order, Upsert, doc};
use bson::DateTime;
use tracing::warn;

use crate::dynamic::{FLAG, flag_index, live};
use crate::error::{Error, Result};
use crate::events::non_empty;
use crate::params::{self, Page, one_of};

/// The place of one metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Cluster; also the collection.
    pub cluster: String,
    /// Namespace.
    pub namespace: String,
    /// Type.
    pub kind: String,
    /// Name.
    pub name: String,
}

impl Target {
    fn key(&self, extra: Document) -> Document {
        let mut key = doc! {
            "clusterId": &self.cluster,
            "namespace": &self.namespace,
            "type": &self.kind,
            "name": &self.name,
        };
        key.extend(extra);
        key
    }

    /// The document meant, if it is not deleted.
    pub fn filter(&self, extra: Document) -> Filter {
        Filter::equal_to(&self.key(extra)).and(live())
    }
}

/// Writes a metric.
///
/// # Errors
/// [`Error::Store`].
pub async fn put(
    store: &dyn DocumentDatabase,
    target: &Target,
    extra: Document,
    data: JsonText,
    now: DateTime,
) -> Result<()> {
    store.ensure_index(&target.cluster, &flag_index()).await?;
    if let Err(error) = store.ensure_index(&target.cluster, &key_index()).await {
        // The original has no such index: its collections may hold duplicates, and metrics must still be written.
        warn!("metrics of {} may be duplicated | err: {}", target.cluster, Error::from(error).causes());
    }
    let upsert = Upsert {
        key: target.key(extra),
        set: doc! { "updateTime": now, FLAG: false },
        data: Some(data),
        set_when_new: doc! { "createTime": now },
    };
    Ok(store.upsert(&target.cluster, upsert).await?)
}

fn key_index() -> Index {
    let keys = ["clusterId", "namespace", "type", "name"];
    Index {
        name: "metric_idx".to_owned(),
        keys: keys.into_iter().map(|key| (key.to_owned(), Order::Ascending)).collect(),
        unique: true,
    }
}

/// What a list request asks for.
///
/// # Errors
/// [`Error::Invalid`] for a bad offset or limit.
pub fn find(cluster: &str, query: &Query) -> Result<Find> {
    let page = Page::strict(query.get("offset"), query.get("limit"))?;
    let mut key = doc! { "clusterId": cluster };
    key.extend(params::extra(query.get("extra")).unwrap_or_default());
    let lists = ["namespace", "type", "name"];
    let lists = lists.iter().filter_map(|key| Some(one_of(key, non_empty(query, key)?))).collect();
    Ok(page.find(Filter::equal_to(&key).and(Filter::And(lists)).and(live()), Vec::new()))
}

#[cfg(test)]
mod tests {
    use bcs_docstore::Path;

    use super::*;

    #[test]
    fn lists_are_of_one_cluster() {
        let find = find("c", &Query::parse("namespace=a,b&field=name&limit=2&extra=eyJkYXRhIjoieCJ9")).unwrap();
        assert_eq!((find.limit, find.projection.is_empty()), (Some(2), true));
        assert_eq!(
            find.filter,
            Filter::And(vec![
                Filter::Eq(Path::dotted("clusterId"), "c".into()),
                Filter::Eq(Path::dotted("data"), "x".into()),
                one_of("namespace", "a,b"),
                live(),
            ])
        );
        assert!(super::find("c", &Query::parse("limit=x")).is_err());
    }
}
