//! What only the embedded backend promises: durability across restarts, group commit under load, refusals that leave
//! nothing behind, and answers that do not depend on whether SQL or the matcher decides.
#![allow(clippy::unwrap_used, reason = "test code: a panic is a failed test")]

use std::path::PathBuf;
use std::sync::Arc;

use bcs_docstore::sqlite::{self, SqliteDatabase};
use bcs_docstore::{
    Bson, ChangeKind, Document, DocumentDatabase, Error, FieldRef, Filter, Find, Index, Layout, Order, Path, Render,
    Sort, Upsert, doc,
};
use bson::DateTime;

const LAYOUT: Layout = Layout {
    name: "dynamic",
    keys: &["clusterId", "namespace", "resourceType", "resourceName"],
    times: &["createTime", "updateTime"],
    indexes: &[&["clusterId", "resourceName", "namespace"], &["clusterId", "namespace"]],
    deletion_flag: Some("gone"),
};

struct Opened {
    _directory: tempfile::TempDir,
    path: PathBuf,
    database: SqliteDatabase,
}

fn open() -> Opened {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("deep/storage.db");
    let [database] = sqlite::open(&path, [LAYOUT]).unwrap();
    Opened { _directory: directory, path, database }
}

fn put(name: &str, data: Bson) -> Upsert {
    let key = doc! { "clusterId": "A", "namespace": "n", "resourceType": "Pod", "resourceName": name };
    let mut set = key.clone();
    set.extend(doc! { "data": data, "updateTime": DateTime::now(), "gone": false });
    Upsert { key, set, data: None, set_when_new: doc! { "createTime": DateTime::now() } }
}

fn unique() -> Index {
    let keys = LAYOUT.keys.iter().map(|key| ((*key).to_owned(), Order::Ascending)).collect();
    Index { name: "Pod_idx".to_owned(), keys, unique: true }
}

async fn names(database: &SqliteDatabase, find: &Find) -> Vec<String> {
    let found = database.find("Pod", find).await.unwrap();
    found.iter().map(|document| document.get_str("resourceName").unwrap().to_owned()).collect()
}

#[tokio::test]
async fn documents_survive_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("storage.db");
    {
        let [database] = sqlite::open(&path, [LAYOUT]).unwrap();
        database.ensure_index("Pod", &unique()).await.unwrap();
        database.upsert("Pod", put("p1", bson::bson!({"a": [1_i64, 2.0, null]}))).await.unwrap();
    }
    let [database] = sqlite::open(&path, [LAYOUT]).unwrap();
    let found = database.find("Pod", &Find::all(Filter::all())).await.unwrap();
    assert_eq!(found[0].get("data"), Some(&bson::bson!({"a": [1_i64, 2.0, null]})));
    assert_eq!(database.indexes("Pod").await.unwrap(), [unique()]);
    assert_eq!(database.collections().await.unwrap(), ["Pod"]);
}

#[tokio::test]
async fn a_file_that_is_no_database_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("storage.db");
    std::fs::write(&path, "not a database, but long enough to be looked at as one".repeat(100)).unwrap();
    assert!(sqlite::open(&path, [LAYOUT]).is_err());
}

#[tokio::test]
async fn whatever_a_start_that_broke_off_left_the_next_one_begins_anew() {
    let whole = open();
    whole.database.insert("Pod", doc! { "clusterId": "old" }).await.unwrap();
    let log = std::fs::read(whole.path.with_extension("db-wal")).unwrap();
    assert!(!log.is_empty());
    // An older version, or SQLite itself, may have left an empty file; a log without its file says nothing.
    for left in [&["storage.db"][..], &["storage.unfinished", "storage.unfinished-wal"], &["storage.db-wal"]] {
        let directory = tempfile::tempdir().unwrap();
        for name in left {
            std::fs::write(directory.path().join(name), if *name == "storage.db" { &[] } else { &log[..] }).unwrap();
        }
        let [database] = sqlite::open(&directory.path().join("storage.db"), [LAYOUT]).unwrap();
        assert_eq!(database.count("Pod", &Filter::all()).await.unwrap(), 0, "{left:?}");
        database.insert("Pod", doc! { "clusterId": "new" }).await.unwrap();
        drop(database);
        let names: Vec<_> = std::fs::read_dir(directory.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
        assert_eq!(names.len(), 2, "{left:?} leaves {names:?}, not the file and its lock alone");
    }
}

#[tokio::test]
async fn a_file_of_an_older_version_gets_the_tables_it_lacks() {
    let Opened { _directory, path, database } = open();
    database.insert("Pod", doc! { "clusterId": "A" }).await.unwrap();
    drop(database);
    let layouts = [LAYOUT, Layout { name: "event", deletion_flag: None, ..LAYOUT }];
    let [database, other] = sqlite::open(&path, layouts).unwrap();
    other.insert("event", doc! { "clusterId": "A" }).await.unwrap();
    assert_eq!(database.count("Pod", &Filter::all()).await.unwrap(), 1);
}

#[tokio::test]
async fn a_file_has_one_owner() {
    let opened = open();
    let refused = sqlite::open(&opened.path, [LAYOUT]).unwrap_err();
    assert!(std::error::Error::source(&refused).unwrap().to_string().contains("locked by another process"));
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_of_many_callers_all_arrive() {
    let opened = open();
    opened.database.ensure_index("Pod", &unique()).await.unwrap();
    let database = Arc::new(opened.database);
    let writers = (0..32).map(|writer| {
        let database = Arc::clone(&database);
        async move {
            for number in 0..20 {
                // Every name is written by two callers: one document must come of it.
                database.upsert("Pod", put(&format!("p{}", (writer / 2) * 20 + number), Bson::Int64(1))).await.unwrap();
            }
        }
    });
    futures::future::join_all(writers).await;
    assert_eq!(database.count("Pod", &Filter::all()).await.unwrap(), 16 * 20);
}

#[tokio::test]
async fn a_refused_write_leaves_nothing_and_harms_no_other() {
    let opened = open();
    let database = &opened.database;
    database.ensure_index("Pod", &unique()).await.unwrap();
    database.upsert("Pod", put("p1", Bson::Null)).await.unwrap();
    // `extra` with another value finds no match and meets the unique index (storage.md 4.5).
    let mut other = put("p1", Bson::Null);
    other.key.insert("extra", 5);
    other.set.insert("extra", 5);
    assert!(matches!(database.upsert("Pod", other).await, Err(Error::Duplicate { index }) if index == "Pod_idx"));
    let mut conflict = put("p2", Bson::Null);
    conflict.set.insert("data.x", 1);
    assert!(matches!(database.upsert("Pod", conflict).await, Err(Error::Invalid(_))));
    // The second document cannot take the name of the first: neither is renamed.
    database.upsert("Pod", put("p3", Bson::Null)).await.unwrap();
    let renamed = database.update_many("Pod", &Filter::all(), doc! { "resourceName": "same" }).await;
    assert!(matches!(renamed, Err(Error::Duplicate { .. })));
    assert_eq!(names(database, &Find::all(Filter::all())).await, ["p1", "p3"]);
    assert!(matches!(database.drop_index("Pod", "none").await, Err(Error::NotFound(_))));
}

#[tokio::test]
async fn fields_of_another_type_than_their_column_are_kept() {
    let opened = open();
    let database = &opened.database;
    let odd = doc! { "_id": "own", "clusterId": 5_i64, "createTime": "text", "gone": "maybe", "x": { "y": [1_i64] } };
    database.insert("Odd", odd.clone()).await.unwrap();
    assert_eq!(database.find("Odd", &Find::all(Filter::all())).await.unwrap(), [odd]);
    for (path, value) in [("clusterId", Bson::Int64(5)), ("createTime", "text".into()), ("_id", "own".into())] {
        assert_eq!(database.count("Odd", &Filter::Eq(Path::dotted(path), value)).await.unwrap(), 1, "{path}");
    }
    assert_eq!(database.count("Odd", &Filter::Ne(Path::dotted("gone"), Bson::Boolean(true))).await.unwrap(), 1);
    // Setting the right type moves the field into its column.
    database.update_many("Odd", &Filter::all(), doc! { "clusterId": "A" }).await.unwrap();
    let found = database.find("Odd", &Find::all(Filter::one_of("clusterId", ["A"]))).await.unwrap();
    assert_eq!(found[0].get("clusterId"), Some(&Bson::String("A".into())));
    assert_eq!(found[0].keys().filter(|key| *key == "clusterId").count(), 1);
}

#[tokio::test]
async fn json_leaves_out_what_is_hidden_and_restores_dollars() {
    let opened = open();
    let database = &opened.database;
    let data = bcs_docstore::json::decode(br#"{"$ref":"<a>"}"#, bcs_docstore::json::Dollar::Rewrite).unwrap();
    let document = doc! { "_id": 1_i64, "clusterId": "A", "gone": false, "": 1_i64, "data": data, "more": 2_i64 };
    database.insert("Pod", document).await.unwrap();
    let text = |find: Find, render: Render| async move {
        String::from_utf8(database.find_json("Pod", &find, render).await.unwrap().text).unwrap()
    };
    let all = Find::all(Filter::all());
    let client = Render { hide: &["gone", ""], restore_dollar: true };
    assert_eq!(
        text(all.clone(), client).await,
        r#"{"clusterId":"A","data":{"$ref":"\u003ca\u003e"},"_id":1,"more":2}"#
    );
    assert_eq!(
        text(all.clone(), Render::default()).await,
        r#"{"clusterId":"A","gone":false,"data":{"＄ref":"\u003ca\u003e"},"_id":1,"":1,"more":2}"#
    );
    for (paths, expected) in [
        (vec!["clusterId"], r#"{"clusterId":"A","_id":1}"#),
        (vec!["data.＄ref", "more"], r#"{"data":{"$ref":"\u003ca\u003e"},"_id":1,"more":2}"#),
        (vec!["data.none"], r#"{"data":{},"_id":1}"#),
    ] {
        let projection = paths.iter().map(|path| (*path).to_owned()).collect();
        assert_eq!(text(Find { projection, ..all.clone() }, client).await, expected, "{paths:?}");
    }
}

#[tokio::test]
async fn paging_is_the_same_whoever_decides() {
    let opened = open();
    let database = &opened.database;
    for number in 0..20 {
        database.upsert("Pod", put(&format!("p{number:02}"), bson::bson!({ "even": number % 2 == 0 }))).await.unwrap();
    }
    let narrow = Filter::one_of("clusterId", ["A"]);
    let walked = Filter::Eq(Path::dotted("data.even"), Bson::Boolean(true));
    let page = |filter: Filter| Find { skip: 2, limit: Some(3), ..Find::all(filter) };
    assert_eq!(names(database, &page(narrow.clone())).await, ["p02", "p03", "p04"]);
    assert_eq!(names(database, &page(narrow.clone().and(walked))).await, ["p04", "p06", "p08"]);
    let sorted = Find { sort: Some(Sort { field: "resourceName".into(), order: Order::Descending }), ..page(narrow) };
    assert_eq!(names(database, &sorted).await, ["p17", "p16", "p15"]);
}

#[tokio::test]
async fn changes_arrive_in_order_with_what_they_did() {
    let opened = open();
    let database = &opened.database;
    let mut followed = database.watch("Pod").await.unwrap();
    database.upsert("Pod", put("p1", Bson::Int64(1))).await.unwrap();
    database.upsert("Pod", put("p1", Bson::Int64(2))).await.unwrap();
    database.update_many("Pod", &Filter::all(), doc! { "gone": true }).await.unwrap();
    database.upsert("Pod", put("p1", Bson::Int64(3))).await.unwrap();
    database.upsert("Other", put("p1", Bson::Int64(3))).await.unwrap();
    database.delete_many("Pod", &Filter::all()).await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..5 {
        let change = followed.next().await.unwrap();
        let data = serde_json::from_slice::<serde_json::Value>(&change.json).unwrap()["data"].clone();
        seen.push((change.kind, data.as_i64(), change.fields.get_str("clusterId").ok().map(str::to_owned)));
    }
    let update = |deletion_flag| ChangeKind::Update { deletion_flag, changed: true };
    let cluster = Some("A".to_owned());
    assert_eq!(
        seen,
        [
            (ChangeKind::Insert, Some(1), cluster.clone()),
            (update(None), Some(2), cluster.clone()),
            (update(Some(true)), Some(2), cluster.clone()),
            (update(Some(false)), Some(3), cluster),
            (ChangeKind::Delete, None, None),
        ]
    );
}

#[tokio::test]
async fn a_follower_that_falls_behind_is_told() {
    let opened = open();
    let database = &opened.database;
    let mut followed = database.watch("Pod").await.unwrap();
    let inserts = (0..=bcs_docstore::feed::RING).map(|_| database.insert("Pod", doc! { "clusterId": "A" }));
    futures::future::try_join_all(inserts).await.unwrap();
    assert!(matches!(followed.next().await, Err(bcs_docstore::FeedError::Lagged(_))));
}

#[tokio::test]
async fn two_databases_share_a_file_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let layouts = [LAYOUT, Layout { name: "event", deletion_flag: None, ..LAYOUT }];
    let [database, other] = sqlite::open(&directory.path().join("storage.db"), layouts).unwrap();
    other.ensure_index("Pod", &unique()).await.unwrap();
    other.insert("Pod", doc! { "clusterId": "A" }).await.unwrap();
    assert_eq!(database.count("Pod", &Filter::all()).await.unwrap(), 0);
    assert_eq!(database.indexes("Pod").await.unwrap(), []);
    let found: Vec<Document> = other.find("Pod", &Find::one(Filter::all())).await.unwrap();
    assert_eq!(found.len(), 1);
}

#[tokio::test]
async fn files_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let opened = open();
    opened.database.upsert("pods", put("a", Bson::Int32(1))).await.unwrap();
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let directory = opened.path.parent().unwrap();
    assert_eq!(mode(directory), 0o700);
    for name in ["storage.db", "storage.db-wal", "storage.db-shm"] {
        assert_eq!(mode(&directory.join(name)), 0o600, "{name}");
    }
}

/// A document as lines of its fields, sorted.
fn as_lines(fields: &[(&str, FieldRef<'_>)], out: &mut Vec<u8>) {
    out.extend_from_slice(lines_of(fields.iter().cloned()).as_bytes());
}

fn lines_of<'a>(fields: impl Iterator<Item = (&'a str, FieldRef<'a>)>) -> String {
    let mut lines: Vec<String> = fields.map(|(field, value)| format!("{field}: {value:?}\n")).collect();
    lines.sort();
    lines.concat()
}

#[tokio::test]
async fn fields_are_those_of_the_documents() {
    let Opened { database, .. } = &open();
    // `clusterId` of the second is no text, and therefore no column.
    let odd = doc! { "clusterId": 5, "namespace": "n", "labels": { "a.b": "c" }, "createTime": DateTime::now(), "gone": true };
    database.upsert("pods", put("a", Bson::Array(vec![Bson::Null]))).await.unwrap();
    database.insert("pods", odd).await.unwrap();
    for projection in [&[][..], &["clusterId", "labels", "none"], &["labels.a", "data"], &["data", "gone"]] {
        for limit in [None, Some(1)] {
            let projection = projection.iter().map(|path| (*path).to_owned()).collect();
            let find = Find { projection, limit, ..Find::all(Filter::all()) };
            let documents = database.find("pods", &find).await.unwrap();
            let fields = database.find_fields("pods", &find).await.unwrap();
            let of_fields = fields.into_iter().map(|it| it.into_iter().map(|(key, value)| (key.into_owned(), value)));
            assert_eq!(of_fields.map(Document::from_iter).collect::<Vec<_>>(), documents, "{find:?}");
            assert_eq!(documents.len(), if limit.is_some() { 1 } else { 2 });
            let encoded = database.find_encoded("pods", &find, as_lines).await.unwrap();
            let of_documents =
                documents.iter().map(|it| lines_of(it.iter().map(|(key, value)| (key.as_str(), value.into()))));
            assert_eq!(String::from_utf8(encoded).unwrap(), of_documents.collect::<String>(), "{find:?}");
        }
    }
    let find = Find { projection: vec!["labels".into()], ..Find::all(Filter::all()) };
    let documents = database.find("pods", &find).await.unwrap();
    let keys: Vec<Vec<&str>> = documents.iter().map(|it| it.keys().map(String::as_str).collect()).collect();
    assert_eq!(keys, [vec!["_id"], vec!["_id", "labels"]]);
}
