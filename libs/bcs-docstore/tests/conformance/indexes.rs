use bcs_docstore::{Error, Index, Layout, Order, doc};

use super::{SOFT, Store};

fn index(name: &str, keys: &[(&str, Order)], unique: bool) -> Index {
    let keys = keys.iter().map(|(path, order)| ((*path).to_owned(), *order)).collect();
    Index { name: name.to_owned(), keys, unique }
}

pub async fn indexes_are_known_by_name(open: impl AsyncFn(Layout) -> Store) {
    let store = open(SOFT).await;
    assert_eq!(store.indexes("Pod").await.unwrap(), []);
    let key = index("Pod_idx", &[("clusterId", Order::Ascending), ("resourceName", Order::Descending)], true);
    let flag = index("flag_idx", &[("_deleted", Order::Ascending)], false);
    for _ in 0..2 {
        store.ensure_index("Pod", &key).await.unwrap();
        store.ensure_index("Pod", &flag).await.unwrap();
    }
    assert_eq!(store.indexes("Pod").await.unwrap(), [key.clone(), flag.clone()]);

    // An index of that name stays as it is, whatever its keys.
    store.ensure_index("Pod", &index("Pod_idx", &[("other", Order::Ascending)], false)).await.unwrap();
    assert_eq!(store.indexes("Pod").await.unwrap(), [key.clone(), flag.clone()]);

    store.drop_index("Pod", "Pod_idx").await.unwrap();
    assert_eq!(store.indexes("Pod").await.unwrap(), std::slice::from_ref(&flag));
    store.insert("Pod", doc! { "clusterId": "c" }).await.unwrap();
    store.insert("Pod", doc! { "clusterId": "c" }).await.unwrap();
    let error = store.drop_index("Pod", "Pod_idx").await.unwrap_err();
    assert!(matches!(error, Error::NotFound(_)), "{error:?}");

    // Dropped is forgotten: the next one is made, or refused for good reason.
    let error = store.ensure_index("Pod", &key).await.unwrap_err();
    assert!(matches!(error, Error::Duplicate { .. }), "{error:?}");
    let other = index("Pod_idx", &[("clusterId", Order::Ascending)], false);
    store.ensure_index("Pod", &other).await.unwrap();
    let mut indexes = store.indexes("Pod").await.unwrap();
    indexes.sort_by(|a, b| b.name.cmp(&a.name));
    assert_eq!(indexes, [flag, other]);
}

pub async fn an_index_of_no_collection_cannot_be_dropped(open: impl AsyncFn(Layout) -> Store) {
    let store = open(SOFT).await;
    let error = store.drop_index("none", "x").await.unwrap_err();
    assert!(matches!(error, Error::NotFound(_)), "{error:?}");
}

pub async fn collections_exist_from_their_first_document_or_index(open: impl AsyncFn(Layout) -> Store) {
    let store = open(SOFT).await;
    store.ping().await.unwrap();
    assert_eq!(store.collections().await.unwrap(), [""; 0]);
    store.insert("a", doc! {}).await.unwrap();
    store.ensure_index("b", &index("b_idx", &[("x", Order::Ascending)], true)).await.unwrap();
    let mut names = store.collections().await.unwrap();
    names.sort();
    assert_eq!(names, ["a", "b"]);
}
