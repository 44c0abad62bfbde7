use bcs_docstore::matcher::matches;
use bcs_docstore::{Bson, Document, Filter, Find, Order, Path, Render, Sort, doc};
use bson::{DateTime, bson, oid::ObjectId};

use super::{SOFT, Store, all_as_json, as_json, ids, insert_all, number};

fn path(text: &str) -> Path {
    Path::dotted(text)
}

fn label(key: &str) -> Path {
    path("data.labels").joined(key)
}

fn zoo() -> Vec<Document> {
    vec![
        doc! { "_id": 1, "clusterId": "c1", "n": 3_i64, "t": "2021-06-02T17:00:00+08:00" },
        doc! { "_id": 2, "clusterId": "c1", "n": 3.0, "t": DateTime::from_millis(1_622_624_402_000) },
        doc! { "_id": 3, "clusterId": "c2", "n": 3, "t": 1_622_624_399_i64 },
        doc! { "_id": 4, "clusterId": "c2", "n": "3", "t": "no time at all" },
        doc! { "_id": 5, "clusterId": null, "n": null },
        doc! { "_id": 6, "list": ["x", "y"], "data": { "containers": [{ "name": "a" }, { "name": "b", "port": 80 }] } },
        doc! { "_id": 7, "list": [], "data": { "containers": [] } },
        doc! { "_id": 8, "list": [["x"], 3], "data": { "labels": { "app": "web", "app.kubernetes.io/name": "web" } } },
        doc! { "_id": 9, "data": { "labels": { "app": "db", "app.kubernetes.io/name": "db" } } },
        doc! { "_id": 10, "data": { "labels": {} }, "clusterId": "c1", "updateTime": DateTime::from_millis(5) },
        doc! { "_id": 11, "message": "50% (of [a.b] *^$) \\d \"q\"", "_deleted": true },
        doc! { "_id": 12, "message": ["one", "ab of many"], "_deleted": false, "object": { "a": 1, "b": 2 } },
        doc! { "_id": 13, "object": { "b": 2, "a": 1 }, "updateTime": DateTime::from_millis(6), "b": true },
        doc! { "_id": 14, "t": ["2021-06-02T09:00:05Z", 5], "zones": ["c1", "c9"] },
    ]
}

fn questions() -> Vec<Filter> {
    let eq = |name: &str, value: Bson| Filter::Eq(path(name), value);
    let second = 1_622_624_401; // 2021-06-02T09:00:01Z
    let name = || label("app.kubernetes.io/name");
    let mut filters = vec![
        Filter::all(),
        Filter::Or(vec![]),
        eq("clusterId", "c1".into()),
        eq("clusterId", Bson::Null),
        Filter::Ne(path("clusterId"), "c1".into()),
        Filter::Ne(path("_deleted"), true.into()),
        eq("n", bson!(3)),
        eq("n", bson!(3.0)),
        eq("n", "3".into()),
        Filter::one_of("n", ["3", "4"]),
        Filter::In(path("n"), vec![bson!(3), Bson::Null]),
        Filter::NotIn(path("n"), vec![bson!(3), Bson::Null]),
        Filter::one_of("clusterId", ["c2", "c9"]),
        Filter::one_of("zones", ["c9"]),
        eq("list", "y".into()),
        eq("list", bson!(["x"])),
        eq("list", bson!([])),
        eq("list.1", "y".into()),
        eq("list.1", bson!(3)),
        eq("data.containers.name", "b".into()),
        eq("data.containers.1.port", bson!(80)),
        Filter::Ne(path("data.containers.name"), "a".into()),
        Filter::Exists(path("data.containers.port"), true),
        Filter::Exists(path("data.containers"), false),
        Filter::Exists(path("clusterId"), true),
        eq("object", bson!({ "a": 1, "b": 2 })),
        eq("object.a", bson!(1)),
        Filter::Less(path("n"), bson!(4)),
        Filter::Greater(path("n"), bson!(2.5)),
        Filter::Greater(path("n"), "2".into()),
        Filter::Less(path("updateTime"), DateTime::from_millis(6).into()),
        Filter::Greater(path("updateTime"), DateTime::from_millis(5).into()),
        Filter::Contains(path("message"), "(of [a.b] *^$) \\d".into()),
        Filter::Contains(path("message"), "of".into()),
        Filter::Contains(path("message"), String::new()),
        Filter::Before(path("t"), second),
        Filter::After(path("t"), second),
        Filter::Before(path("t"), second - 1),
        Filter::After(path("t"), second - 3),
        eq("data.labels.app", "web".into()),
        Filter::Eq(name(), "web".into()),
        Filter::Ne(name(), "web".into()),
        Filter::one_of(name(), ["web", "db"]),
        Filter::NotIn(name(), vec!["web".into()]),
        Filter::Exists(name(), true),
        Filter::Exists(name(), false),
        Filter::Eq(name(), Bson::Null),
    ];
    let both = |a: usize, b: usize| filters[a].clone().and(filters[b].clone());
    let either = |a: usize, b: usize| Filter::Or(vec![filters[a].clone(), filters[b].clone()]);
    let combined: Vec<Filter> = (0..filters.len() - 1)
        .flat_map(|index| [both(index, index + 1), either(index, (index * 7 + 3) % filters.len())])
        .collect();
    filters.extend(combined);
    filters
}

pub async fn filters_mean_what_the_matcher_says(open: impl AsyncFn(bcs_docstore::Layout) -> Store) {
    let store = open(SOFT).await;
    let zoo = zoo();
    insert_all(&store, "zoo", &zoo).await;
    for filter in questions() {
        let expected: Vec<i64> =
            zoo.iter().filter(|document| matches(&filter, document)).map(|document| number(document, "_id")).collect();
        assert_eq!(ids(&store, "zoo", filter.clone()).await, expected, "{filter:?}");
        assert_eq!(store.count("zoo", &filter).await.unwrap(), expected.len() as u64, "{filter:?}");
    }
    assert_eq!(ids(&store, "none", Filter::all()).await, [0_i64; 0]);
    // The table itself means something.
    assert_eq!(ids(&store, "zoo", Filter::Eq(label("app.kubernetes.io/name"), "web".into())).await, [8]);
    assert_eq!(ids(&store, "zoo", Filter::Before(path("t"), 1_622_624_401)).await, [1, 3, 14]);
    assert_eq!(ids(&store, "zoo", Filter::Eq(path("n"), bson!(3))).await, [1, 2, 3]);
}

pub async fn numbers_hold_no_text(open: impl AsyncFn(bcs_docstore::Layout) -> Store) {
    let store = open(SOFT).await;
    insert_all(&store, "zoo", &zoo()).await;
    assert_eq!(ids(&store, "zoo", Filter::Contains(path("n"), "3".into())).await, [4]);
}

pub async fn json_is_written_as_clients_expect(open: impl AsyncFn(bcs_docstore::Layout) -> Store) {
    let store = open(SOFT).await;
    let id = ObjectId::parse_str("6b03fef65a9a39b776388c67").unwrap();
    let first = doc! {
        "_id": id, "resourceName": "p1", "_deleted": false,
        "data": { "\u{ff04}ref": "a\u{ff04}b", "app.io/x": [1, 2_i64, 3.0, 0.5, null, true, {}], "text": "<a & b>" },
    };
    let second = doc! { "_id": 2, "resourceName": "p2", "_deleted": true };
    insert_all(&store, "Pod", &[first, second]).await;
    let render = Render { hide: &["_deleted"], restore_dollar: true };
    let one = store.find_json("Pod", &Find::one(Filter::one_of("resourceName", ["p1"])), render).await.unwrap();
    let expected = concat!(
        r#"{"_id":"6b03fef65a9a39b776388c67","resourceName":"p1","data":{"$ref":"a$b","#,
        r#""app.io/x":[1,2,3.0,0.5,null,true,{}],"text":"\u003ca \u0026 b\u003e"}}"#
    );
    assert_eq!((String::from_utf8(one.text).unwrap().as_str(), one.count), (expected, 1));

    let stored = store.find_json("Pod", &Find::all(Filter::all()), Render::default()).await.unwrap();
    let text = String::from_utf8(stored.text).unwrap();
    assert_eq!(stored.count, 2);
    assert!(text.contains("\u{ff04}ref") && text.contains("},{"), "{text}");
    let stored: serde_json::Value = serde_json::from_str(&format!("[{text}]")).unwrap();
    assert_eq!(stored[1], serde_json::json!({ "_id": 2, "resourceName": "p2", "_deleted": true }));

    // By a condition that MongoDB cannot decide: the same text.
    let find = Find::all(Filter::Eq(path("data").joined("app.io/x"), bson!(3)));
    let again = store.find_json("Pod", &find, render).await.unwrap();
    assert_eq!((String::from_utf8(again.text).unwrap().as_str(), again.count), (expected, 1));

    let none = store.find_json("Pod", &Find::all(Filter::one_of("_id", ["x"])), render).await.unwrap();
    assert_eq!((none.text.len(), none.count), (0, 0));
}

pub async fn projections_keep_what_is_asked(open: impl AsyncFn(bcs_docstore::Layout) -> Store) {
    let store = open(SOFT).await;
    let pod = doc! {
        "_id": 1, "clusterId": "c", "data": { "labels": { "a.b/c": "x" }, "spec": { "node": "n", "ip": "i" } },
        "list": [{ "a": 1, "b": 2 }, 3],
    };
    insert_all(&store, "Pod", &[pod]).await;
    for filter in [Filter::all(), Filter::Eq(label("a.b/c"), "x".into())] {
        for (paths, expected) in [
            (vec!["clusterId"], doc! { "_id": 1, "clusterId": "c" }),
            (vec!["data.spec.node", "none"], doc! { "_id": 1, "data": { "spec": { "node": "n" } } }),
            (vec!["data.none.x"], doc! { "_id": 1, "data": {} }),
            (vec!["list.a"], doc! { "_id": 1, "list": [{ "a": 1 }] }),
            (vec!["data.spec", "data.spec.ip"], doc! { "_id": 1, "data": { "spec": { "node": "n", "ip": "i" } } }),
        ] {
            let projection = paths.iter().map(|path| (*path).to_owned()).collect();
            let find = Find { projection, ..Find::all(filter.clone()) };
            let found = store.find("Pod", &find).await.unwrap();
            assert_eq!(all_as_json(&found), [as_json(&expected)], "{paths:?} {filter:?}");
        }
    }
}

pub async fn pages_are_cut_after_sorting(open: impl AsyncFn(bcs_docstore::Layout) -> Store) {
    let store = open(SOFT).await;
    let documents: Vec<Document> = [4, 2, 5, 1, 3]
        .map(|number| doc! { "_id": number, "updateTime": DateTime::from_millis(i64::from(number)), "x": { "a.b": 1 } })
        .to_vec();
    insert_all(&store, "event", &documents).await;
    for filter in [Filter::all(), Filter::Eq(path("x").joined("a.b"), bson!(1))] {
        for (order, skip, limit, expected) in [
            (Order::Ascending, 0, None, vec![1, 2, 3, 4, 5]),
            (Order::Descending, 0, Some(2), vec![5, 4]),
            (Order::Descending, 1, Some(3), vec![4, 3, 2]),
            (Order::Ascending, 4, Some(9), vec![5]),
            (Order::Ascending, 9, None, vec![]),
            (Order::Ascending, 0, Some(0), vec![]),
        ] {
            let sort = Some(Sort { field: "updateTime".to_owned(), order });
            let find = Find { sort, skip, limit, ..Find::all(filter.clone()) };
            let found = store.find("event", &find).await.unwrap();
            let found: Vec<i64> = found.iter().map(|document| number(document, "_id")).collect();
            assert_eq!(found, expected, "{find:?}");
        }
        let found = store.find("event", &Find { skip: 1, limit: Some(2), ..Find::all(filter) }).await.unwrap();
        assert_eq!(all_as_json(&found), all_as_json(&documents[1..3]), "without a sort, as inserted");
    }
}

pub async fn distinct_values_come_once(open: impl AsyncFn(bcs_docstore::Layout) -> Store) {
    let store = open(SOFT).await;
    insert_all(
        &store,
        "Pod",
        &[
            doc! { "_id": 1, "namespace": "a", "data": { "x": ["p", "q"] }, "l": { "a.b": 1 } },
            doc! { "_id": 2, "namespace": "b", "data": { "x": "p" }, "l": { "a.b": 1 } },
            doc! { "_id": 3, "namespace": "a", "data": { "x": "r" } },
            doc! { "_id": 4, "namespace": "z", "_deleted": true },
            doc! { "_id": 5 },
        ],
    )
    .await;
    let texts = async |name: &str, filter: &Filter| {
        let values = store.distinct("Pod", &path(name), filter).await.unwrap();
        let mut texts: Vec<String> = values.iter().map(|value| value.as_str().unwrap().to_owned()).collect();
        texts.sort();
        texts
    };
    let live = Filter::Ne(path("_deleted"), true.into());
    assert_eq!(texts("namespace", &live).await, ["a", "b"]);
    assert_eq!(texts("data.x", &live).await, ["p", "q", "r"]);
    let labelled = Filter::Exists(path("l").joined("a.b"), true);
    assert_eq!(texts("data.x", &labelled).await, ["p", "q"]);
    assert_eq!(texts("namespace", &Filter::Or(vec![])).await, [""; 0]);
}
