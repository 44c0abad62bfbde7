//! Custom resources: documents of any shape, with unique indexes that clients define (storage.md 5.7).

use bcs_docstore::json::{self, Dollar};
use bcs_docstore::{Bson, Document, DocumentDatabase, Filter, Index, Order, Path, Upsert, doc};
use bson::DateTime;

use crate::dynamic::{FLAG, live};
use crate::error::{Error, Result};
use crate::fields;
use crate::params::Selection;

/// The documents that a selection means.
pub fn filter(selection: Selection) -> Filter {
    Filter::equal_to(&selection.extra).and(selection.conditions).and(live())
}

/// Writes the document in the body: over the one with the same values in the unique index of the collection, or as a
/// new one if it has no such index.
///
/// # Errors
/// [`Error::Json`], [`Error::Invalid`] if the body is no object, and [`Error::Store`].
pub async fn put(store: &dyn DocumentDatabase, collection: &str, body: &[u8], now: DateTime) -> Result<()> {
    let mut document = object(json::decode(body, Dollar::Rewrite)?)?;
    match store.indexes(collection).await?.into_iter().find(|index| index.unique) {
        Some(index) => store.upsert(collection, upsert(&index, document, now)).await?,
        None => {
            document.insert("createTime", now);
            store.insert(collection, document).await?;
        }
    }
    Ok(())
}

fn object(value: Bson) -> Result<Document> {
    match value {
        Bson::Document(document) => Ok(document),
        _ => Err(Error::invalid("the body is no object")),
    }
}

fn upsert(index: &Index, mut document: Document, now: DateTime) -> Upsert {
    let key: Document = index.keys.iter().map(|(path, _)| (path.clone(), value_at(&document, path))).collect();
    for path in key.keys() {
        document.remove(path);
    }
    document.insert("updateTime", now);
    document.insert(FLAG, false);
    document.remove("createTime");
    Upsert { key, set: document, data: None, set_when_new: doc! { "createTime": now } }
}

/// The value at a dotted path; null if there is none.
fn value_at(document: &Document, path: &str) -> Bson {
    let keys = Path::dotted(path);
    let mut found = None;
    let mut level = Some(document);
    for key in keys.keys() {
        found = level.and_then(|document| document.get(key));
        level = found.and_then(Bson::as_document);
    }
    found.cloned().unwrap_or(Bson::Null)
}

/// Makes a unique index as the body says: `{field: 1 or -1, …}` in its order.
///
/// # Errors
/// [`Error::Json`], [`Error::Invalid`] and [`Error::Store`].
pub async fn create_index(store: &dyn DocumentDatabase, collection: &str, name: &str, body: &[u8]) -> Result<()> {
    let keys = index_keys(object(json::decode(body, Dollar::Rewrite)?)?)?;
    Ok(store.ensure_index(collection, &Index { name: name.to_owned(), keys, unique: true }).await?)
}

fn index_keys(document: Document) -> Result<Vec<(String, Order)>> {
    if document.is_empty() {
        return Err(Error::invalid("the index has no keys"));
    }
    let order = |(key, value): (String, Bson)| match fields::integer(&value) {
        Some(1) => Ok((key, Order::Ascending)),
        Some(-1) => Ok((key, Order::Descending)),
        _ => Err(Error::invalid(format!("the order of key {key} is neither 1 nor -1"))),
    };
    document.into_iter().map(order).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_decides_what_is_written_over() {
        let index = Index {
            name: "i".into(),
            keys: vec![
                ("name".into(), Order::Ascending),
                ("a.b".into(), Order::Descending),
                ("none".into(), Order::Ascending),
            ],
            unique: true,
        };
        let now = DateTime::from_millis(1);
        let upsert = upsert(&index, doc! { "name": "x", "a": { "b": 1, "c": 2 }, "v": 3, "createTime": "mine" }, now);
        assert_eq!(upsert.key, doc! { "name": "x", "a.b": 1, "none": null });
        assert_eq!(upsert.set, doc! { "a": { "b": 1, "c": 2 }, "v": 3, "updateTime": now, FLAG: false });
        assert_eq!(upsert.set_when_new, doc! { "createTime": now });
    }

    #[test]
    fn index_keys_keep_their_order() {
        let keys = index_keys(doc! { "b": 1_i64, "a": -1_i64 }).unwrap();
        assert_eq!(keys, [("b".to_owned(), Order::Ascending), ("a".to_owned(), Order::Descending)]);
        for bad in [doc! {}, doc! { "a": "x" }, doc! { "a": 0_i64 }, doc! { "a": { "b": 1 } }] {
            assert!(index_keys(bad.clone()).is_err(), "{bad}");
        }
    }
}
