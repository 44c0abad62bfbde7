use std::sync::Arc;
use std::time::Duration;

use bcs_docstore::{Change, ChangeKind, Filter, Layout, Subscription, Upsert, doc};

use super::{SOFT, Store, as_json, number};

/// Far more than a change takes.
const PATIENCE: Duration = Duration::from_secs(60);

pub async fn next(subscription: &mut Subscription) -> Arc<Change> {
    tokio::time::timeout(PATIENCE, subscription.next()).await.expect("no change in time").unwrap()
}

fn put(name: &str, n: i32) -> Upsert {
    let key = doc! { "resourceName": name };
    Upsert {
        set: doc! { "resourceName": name, "data": { "n": n }, "_deleted": false },
        key,
        data: None,
        set_when_new: doc! {},
    }
}

pub async fn changes_come_in_order_and_whole(open: impl AsyncFn(Layout) -> Store) {
    let store = open(SOFT).await;
    let mut subscription = store.watch("Pod").await.unwrap();
    let named = Filter::one_of("resourceName", ["p"]);
    store.upsert("Pod", put("p", 1)).await.unwrap();
    store.upsert("Pod", put("p", 2)).await.unwrap();
    store.update_many("Pod", &named, doc! { "_deleted": true }).await.unwrap();
    store.upsert("Pod", put("p", 2)).await.unwrap();
    store.delete_many("Pod", &named).await.unwrap();
    store.insert("Pod", doc! { "_id": 7, "last": true, "\u{ff04}x": [1] }).await.unwrap();

    let update = |deletion_flag| ChangeKind::Update { deletion_flag, changed: true };
    for kind in [ChangeKind::Insert, update(None), update(Some(true)), update(Some(false))] {
        let change = next(&mut subscription).await;
        assert_eq!(change.kind, kind);
        assert_eq!(change.fields.get_str("resourceName").ok(), Some("p"));
        assert!(!change.fields.contains_key("data"));
        let text = std::str::from_utf8(&change.json).unwrap();
        assert!(text.contains(r#""_id":""#) && text.contains(r#""data":{"n":"#), "{text}");
    }
    let deletion = next(&mut subscription).await;
    assert_eq!((deletion.kind, &*deletion.json), (ChangeKind::Delete, b"null".as_slice()));
    assert!(deletion.fields.is_empty());
    let last = next(&mut subscription).await;
    assert_eq!(last.kind, ChangeKind::Insert);
    assert_eq!(as_json(&last.fields), serde_json::json!({ "_id": 7, "last": true }));
    let whole: serde_json::Value = serde_json::from_slice(&last.json).unwrap();
    assert_eq!(whole, serde_json::json!({ "_id": 7, "last": true, "\u{ff04}x": [1] }));
}

pub async fn followers_see_what_happens_from_then_on(open: impl AsyncFn(Layout) -> Store) {
    let store = open(SOFT).await;
    store.insert("Pod", doc! { "_id": 0 }).await.unwrap();
    let mut early = store.watch("Pod").await.unwrap();
    let mut elsewhere = store.watch("Node").await.unwrap();
    for id in 1..=100 {
        store.insert("Pod", doc! { "_id": id }).await.unwrap();
    }
    for id in 1..=100 {
        assert_eq!(number(&next(&mut early).await.fields, "_id"), id);
    }
    let mut late = store.watch("Pod").await.unwrap();
    store.insert("Node", doc! { "_id": 1 }).await.unwrap();
    store.insert("Pod", doc! { "_id": 101 }).await.unwrap();
    assert_eq!(number(&next(&mut late).await.fields, "_id"), 101);
    assert_eq!(number(&next(&mut early).await.fields, "_id"), 101);
    assert_eq!(number(&next(&mut elsewhere).await.fields, "_id"), 1);
}
