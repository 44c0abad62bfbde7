use bcs_docstore::{Document, Error, Filter, Find, Index, Layout, Order, Path, Upsert, doc};
use bson::bson;

use super::{HARD, SOFT, Store, as_json, ids, insert_all, number};

fn unique(collection: &str) -> Index {
    let keys = ["clusterId", "resourceName"].map(|key| (key.to_owned(), Order::Ascending)).to_vec();
    Index { name: format!("{collection}_idx"), keys, unique: true }
}

fn put(name: &str, data: i32, now: i32) -> Upsert {
    let key = doc! { "clusterId": "c", "resourceName": name };
    let mut set = key.clone();
    set.extend(doc! { "data": { "n": data }, "updateTime": now, "_deleted": false });
    Upsert { key, set, data: None, set_when_new: doc! { "createTime": now } }
}

async fn only(store: &Store, collection: &str) -> Document {
    let mut found = store.find(collection, &Find::all(Filter::all())).await.unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

pub async fn upserts_create_update_and_revive(open: impl AsyncFn(Layout) -> Store) {
    let store = open(SOFT).await;
    store.upsert("Pod", put("p", 1, 10)).await.unwrap();
    let created = only(&store, "Pod").await;
    let id = created.get_object_id("_id").unwrap();
    let state = |document: &Document| {
        (number(document, "createTime"), number(document, "updateTime"), document.get_bool("_deleted").unwrap())
    };
    assert_eq!(state(&created), (10, 10, false));
    assert_eq!(created.get_str("clusterId").ok(), Some("c"));

    let mut with_more = put("p", 2, 11);
    with_more.set.insert("extra", "kept");
    store.upsert("Pod", with_more).await.unwrap();
    let updated = only(&store, "Pod").await;
    assert_eq!(state(&updated), (10, 11, false), "createTime stays");
    assert_eq!(number(updated.get_document("data").unwrap(), "n"), 2);

    let named = Filter::one_of("resourceName", ["p"]);
    assert_eq!(store.update_many("Pod", &named, doc! { "_deleted": true }).await.unwrap(), 1);
    store.upsert("Pod", put("p", 3, 12)).await.unwrap();
    let revived = only(&store, "Pod").await;
    assert_eq!(state(&revived), (12, 12, false), "createTime is that of the new object");
    assert_eq!(revived.get_object_id("_id").ok(), Some(id), "the document is the old one");
    assert_eq!(revived.get_str("extra").ok(), Some("kept"));
}

pub async fn upserts_without_flag_know_only_old_and_new(open: impl AsyncFn(Layout) -> Store) {
    let store = open(HARD).await;
    let upsert = |value: i32| Upsert {
        key: doc! { "clusterId": "c", "data.kind": "k" },
        set: doc! { "data.value": value },
        data: None,
        set_when_new: doc! { "createTime": value },
    };
    store.upsert("event", upsert(1)).await.unwrap();
    store.upsert("event", upsert(2)).await.unwrap();
    let mut document = only(&store, "event").await;
    assert!(document.remove("_id").is_some());
    let data = document.get_document("data").unwrap();
    assert_eq!(as_json(data), serde_json::json!({ "kind": "k", "value": 2 }));
    assert_eq!((document.get_str("clusterId").ok(), number(&document, "createTime")), (Some("c"), 1));

    let plain = Upsert { key: doc! { "clusterId": "d" }, set: doc! { "x": 1 }, data: None, set_when_new: doc! {} };
    store.upsert("event", plain).await.unwrap();
    assert_eq!(store.count("event", &Filter::all()).await.unwrap(), 2);

    // A value that looks like an operator is a value.
    let hostile =
        Upsert { key: doc! { "clusterId": { "$gt": "" } }, set: doc! { "x": 9 }, data: None, set_when_new: doc! {} };
    let _ = store.upsert("event", hostile).await;
    assert_eq!(store.count("event", &Filter::one_of("clusterId", ["c", "d"])).await.unwrap(), 2);
    assert_eq!(store.count("event", &Filter::Eq(Path::dotted("x"), bson!(1))).await.unwrap(), 1);
}

pub async fn concurrent_first_upserts_make_one_document(open: impl AsyncFn(Layout) -> Store) {
    let store = open(SOFT).await;
    store.ensure_index("Pod", &unique("Pod")).await.unwrap();
    for round in 0..20 {
        let name = format!("p{round}");
        let puts = (0..8).map(|number| store.upsert("Pod", put(&name, number, 1)));
        for result in futures::future::join_all(puts).await {
            result.unwrap();
        }
    }
    assert_eq!(store.count("Pod", &Filter::all()).await.unwrap(), 20);
}

pub async fn duplicates_are_refused(open: impl AsyncFn(Layout) -> Store) {
    let store = open(SOFT).await;
    store.ensure_index("Pod", &unique("Pod")).await.unwrap();
    store.insert("Pod", doc! { "clusterId": "c", "resourceName": "a" }).await.unwrap();
    store.insert("Pod", doc! { "clusterId": "c" }).await.unwrap();
    for duplicate in [doc! { "clusterId": "c", "resourceName": "a" }, doc! { "clusterId": "c", "resourceName": null }] {
        let error = store.insert("Pod", duplicate).await.unwrap_err();
        assert!(matches!(&error, Error::Duplicate { index } if index.contains("Pod_idx")), "{error:?}");
    }
    let other_key = Upsert {
        key: doc! { "clusterId": "c", "resourceName": "a", "extra": 1 },
        set: doc! { "x": 1 },
        data: None,
        set_when_new: doc! {},
    };
    let error = store.upsert("Pod", other_key).await.unwrap_err();
    assert!(matches!(error, Error::Duplicate { .. }), "{error:?}");
    assert_eq!(store.count("Pod", &Filter::all()).await.unwrap(), 2);

    store.insert("Other", doc! { "_id": "mine" }).await.unwrap();
    let error = store.insert("Other", doc! { "_id": "mine", "n": 2 }).await.unwrap_err();
    assert!(matches!(error, Error::Duplicate { .. }), "{error:?}");
}

pub async fn many_are_updated_and_deleted(open: impl AsyncFn(Layout) -> Store) {
    let store = open(SOFT).await;
    let documents = [
        doc! { "_id": 1, "clusterId": "a", "l": { "x.y": 1 } },
        doc! { "_id": 2, "clusterId": "a", "l": { "x.y": 2 } },
        doc! { "_id": 3, "clusterId": "b", "l": { "x.y": 1 } },
        doc! { "_id": 4, "clusterId": "b" },
    ];
    insert_all(&store, "Pod", &documents).await;
    let dotted = |value: i32| Filter::Eq(Path::dotted("l").joined("x.y"), bson!(value));
    let cluster = |name: &str| Filter::one_of("clusterId", [name]);
    let set = |filter: Filter, value: i32| {
        let store = &store;
        async move { store.update_many("Pod", &filter, doc! { "set.here": value }).await.unwrap() }
    };
    assert_eq!(set(cluster("a"), 1).await, 2);
    assert_eq!(set(cluster("a").and(dotted(1)), 2).await, 1);
    assert_eq!(set(cluster("none"), 3).await, 0);
    assert_eq!(set(dotted(7), 3).await, 0);
    let holds = |value: i32| Filter::Eq(Path::dotted("set.here"), bson!(value));
    assert_eq!(ids(&store, "Pod", holds(1)).await, [2]);
    assert_eq!(ids(&store, "Pod", holds(2)).await, [1]);

    assert_eq!(store.delete_many("Pod", &dotted(1)).await.unwrap(), 2);
    assert_eq!(ids(&store, "Pod", Filter::all()).await, [2, 4]);
    assert_eq!(store.delete_many("Pod", &cluster("b")).await.unwrap(), 1);
    assert_eq!(store.delete_many("none", &Filter::all()).await.unwrap(), 0);
    assert_eq!(store.delete_many("Pod", &Filter::all()).await.unwrap(), 1);
}

pub async fn updates_that_cannot_be_meant_are_refused(open: impl AsyncFn(Layout) -> Store) {
    let store = open(SOFT).await;
    insert_all(&store, "Pod", &[doc! { "_id": 1, "text": "scalar", "clusterId": "c" }]).await;
    for set in [doc! { "a": 1, "a.b": 2 }, doc! { "text.x": 1 }, doc! { "": 1 }] {
        let error = store.update_many("Pod", &Filter::all(), set.clone()).await.unwrap_err();
        assert!(matches!(error, Error::Invalid(_)), "{set}: {error:?}");
        let upsert = Upsert { key: doc! { "clusterId": "c" }, set: set.clone(), data: None, set_when_new: doc! {} };
        let error = store.upsert("Pod", upsert).await.unwrap_err();
        assert!(matches!(error, Error::Invalid(_)), "{set}: {error:?}");
    }
    let expected = doc! { "_id": 1, "text": "scalar", "clusterId": "c" };
    assert_eq!(as_json(&only(&store, "Pod").await), as_json(&expected));
}
