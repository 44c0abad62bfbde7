//! Dynamic resources: what the watchers of clusters write and everybody reads (storage.md 5).

use bcs_docstore::{
    Document, DocumentDatabase, Filter, Find, Index, JsonDocuments, JsonText, Order, Path, Render, Upsert, doc,
};
use bson::DateTime;

use crate::error::{Error, Result};
use crate::fields::Fields;
use crate::params::{Selection, seconds_to_date};

/// Marks a document as deleted.
pub const FLAG: &str = "_isBcsObjectDeleted";

/// How documents are shown to clients of get, list and query routes.
pub const SHOWN: Render = Render { hide: &[FLAG], restore_dollar: true };

/// The Mesos type that is kept among the applications, and told from them by `data.kind`.
const PROCESS: &str = "process";
const APPLICATION: &str = "application";

/// Documents that are not deleted.
pub fn live() -> Filter {
    Filter::Ne(Path::dotted(FLAG), true.into())
}

/// The resources that a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Id of the cluster.
    pub cluster: String,
    /// Namespace; none for cluster-scoped resources, and for lists over all namespaces.
    pub namespace: Option<String>,
    /// Type as in the path, e.g. `Pod`; also the name of the collection, except for `process`.
    pub kind: String,
    /// Name; none for lists.
    pub name: Option<String>,
}

impl Target {
    /// The collection, which is also the type that is stored.
    pub fn collection(&self) -> &str {
        if self.kind == PROCESS { APPLICATION } else { &self.kind }
    }

    /// The equality conditions of the path, those of `extra` over them.
    fn key(&self, extra: Document) -> Document {
        let mut key = doc! { "clusterId": &self.cluster };
        if let Some(namespace) = &self.namespace {
            key.insert("namespace", namespace);
        }
        key.insert("resourceType", self.collection());
        if let Some(name) = &self.name {
            key.insert("resourceName", name);
        }
        key.extend(extra);
        key
    }

    /// The documents meant: those of the path that meet the selection and are not deleted.
    pub fn filter(&self, selection: Selection) -> Filter {
        let mut filter = Filter::equal_to(&self.key(selection.extra));
        if self.kind == PROCESS {
            filter = filter.and(Filter::Eq(Path::dotted("data.kind"), PROCESS.into()));
        }
        filter.and(selection.conditions).and(live())
    }
}

/// Reads one resource as JSON.
///
/// # Errors
/// [`Error::NotFound`] and [`Error::Store`].
pub async fn get(store: &dyn DocumentDatabase, collection: &str, mut find: Find) -> Result<Vec<u8>> {
    find.limit = Some(1);
    let JsonDocuments { text, count } = store.find_json(collection, &find, SHOWN).await?;
    if count == 0 { Err(Error::NotFound) } else { Ok(text) }
}

/// Writes a resource over the one with the same key, deleted or not, or as a new one.
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
    let collection = target.collection();
    store.ensure_index(collection, &key_index(collection)).await?;
    store.ensure_index(collection, &flag_index()).await?;
    let upsert = Upsert {
        key: target.key(extra),
        set: doc! { "updateTime": now, FLAG: false },
        data: Some(data),
        set_when_new: doc! { "createTime": now },
    };
    Ok(store.upsert(collection, upsert).await?)
}

/// The unique index of a collection. It always has all four keys: with three, as the original makes it if the first
/// resource has no namespace, two namespaces could not hold resources of one name.
fn key_index(collection: &str) -> Index {
    let keys = ["clusterId", "namespace", "resourceType", "resourceName"];
    Index {
        name: format!("{collection}_idx"),
        keys: keys.into_iter().map(|key| (key.to_owned(), Order::Ascending)).collect(),
        unique: true,
    }
}

/// The index on the deletion flag.
pub fn flag_index() -> Index {
    Index {
        name: "bcs_object_deletion_flag_idx".to_owned(),
        keys: vec![(FLAG.to_owned(), Order::Ascending)],
        unique: false,
    }
}

/// Marks all matching documents as deleted; returns how many.
///
/// # Errors
/// [`Error::Store`].
pub async fn delete(store: &dyn DocumentDatabase, collection: &str, filter: &Filter) -> Result<u64> {
    Ok(store.update_many(collection, filter, doc! { FLAG: true }).await?)
}

/// The time conditions in the body of a batch delete (storage.md 5.6); an empty body has none.
///
/// # Errors
/// [`Error::Json`] and [`Error::Invalid`] for a body that cannot be read. It must not delete everything.
pub fn batch_conditions(body: &[u8]) -> Result<Filter> {
    if body.is_empty() {
        return Ok(Filter::all());
    }
    let mut fields = Fields::decode(body, bcs_docstore::json::Dollar::Keep)?;
    let (begin, end) = (fields.integer("updateTimeBegin")?, fields.integer("updateTimeEnd")?);
    let path = || Path::dotted("updateTime");
    let begin = (begin > 0).then(|| Filter::Greater(path(), seconds_to_date(begin).into()));
    let end = (end > 0).then(|| Filter::Less(path(), seconds_to_date(end).into()));
    Ok(Filter::And(begin.into_iter().chain(end).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(kind: &str, namespace: Option<&str>, name: Option<&str>) -> Target {
        Target {
            cluster: "c".into(),
            namespace: namespace.map(str::to_owned),
            kind: kind.into(),
            name: name.map(str::to_owned),
        }
    }

    fn eq(path: &str, value: &str) -> Filter {
        Filter::Eq(Path::dotted(path), value.into())
    }

    fn none() -> Selection {
        Selection { extra: doc! {}, conditions: Filter::all() }
    }

    #[test]
    fn the_filter_holds_the_path_and_no_deleted_documents() {
        assert_eq!(
            target("Pod", Some("ns"), Some("p")).filter(none()),
            Filter::And(vec![
                eq("clusterId", "c"),
                eq("namespace", "ns"),
                eq("resourceType", "Pod"),
                eq("resourceName", "p"),
                live()
            ])
        );
        assert_eq!(
            target("Node", None, None).filter(none()),
            Filter::And(vec![eq("clusterId", "c"), eq("resourceType", "Node"), live()])
        );
    }

    #[test]
    fn extra_replaces_the_path() {
        let selection = Selection { extra: doc! { "namespace": "other", "data.n": 1 }, conditions: eq("x", "y") };
        assert_eq!(
            target("Pod", Some("ns"), None).filter(selection),
            Filter::And(vec![
                eq("clusterId", "c"),
                eq("namespace", "other"),
                eq("resourceType", "Pod"),
                Filter::Eq(Path::dotted("data.n"), 1.into()),
                eq("x", "y"),
                live()
            ])
        );
    }

    #[test]
    fn processes_are_applications_of_a_kind() {
        let process = target("process", None, None);
        assert_eq!(process.collection(), "application");
        assert_eq!(
            process.filter(none()),
            Filter::And(vec![
                eq("clusterId", "c"),
                eq("resourceType", "application"),
                eq("data.kind", "process"),
                live()
            ])
        );
        assert_eq!(process.key(doc! {}).get_str("resourceType").unwrap(), "application");
        let application = target("application", None, None).filter(none());
        assert_eq!(application, Filter::And(vec![eq("clusterId", "c"), eq("resourceType", "application"), live()]));
    }

    #[test]
    fn batch_deletes_have_strict_bounds() {
        let greater = Filter::Greater(Path::dotted("updateTime"), seconds_to_date(5).into());
        let less = Filter::Less(Path::dotted("updateTime"), seconds_to_date(9).into());
        for (body, want) in [
            ("", vec![]),
            ("{}", vec![]),
            ("null", vec![]),
            (r#"{"updateTimeBegin":0,"updateTimeEnd":-1}"#, vec![]),
            (r#"{"updateTimeBegin":5,"updateTimeEnd":"9"}"#, vec![greater, less.clone()]),
            (r#"{"updateTimeBegin":"0","updateTimeEnd":9}"#, vec![less]),
        ] {
            assert_eq!(batch_conditions(body.as_bytes()).unwrap(), Filter::And(want), "{body}");
        }
        for bad in ["{not json", " ", "[1,2]", "5", r#"{"updateTimeEnd":1.5}"#, r#"{"updateTimeEnd":"yesterday"}"#] {
            assert!(batch_conditions(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_unique_index_has_four_keys() {
        let index = key_index("Pod");
        assert_eq!((index.name.as_str(), index.unique, index.keys.len()), ("Pod_idx", true, 4));
    }
}
