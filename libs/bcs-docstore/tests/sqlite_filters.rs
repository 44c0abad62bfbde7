//! Whatever SQL narrows, the answer is the matcher's: random documents, random filters.
#![allow(clippy::unwrap_used, reason = "test code: a panic is a failed test")]

use bcs_docstore::matcher::matches;
use bcs_docstore::sqlite::{self, SqliteDatabase};
use bcs_docstore::{Bson, Document, DocumentDatabase, Filter, Find, Layout, Path, doc};
use bson::DateTime;
use proptest::prelude::*;

const LAYOUT: Layout =
    Layout { name: "t", keys: &["k"], times: &["t"], indexes: &[&["k"]], deletion_flag: Some("gone") };

/// Values that are alike enough to meet: the same numbers, texts and dates in several types.
fn value() -> impl Strategy<Value = Bson> {
    prop_oneof![
        Just(Bson::Null),
        any::<bool>().prop_map(Bson::Boolean),
        (0..3_i64).prop_map(Bson::Int64),
        (0..6_u8).prop_map(|half| Bson::Double(f64::from(half) / 2.0)),
        "[ab]{0,1}".prop_map(Bson::String),
        (0..3_i64).prop_map(|second| Bson::String(format!("1970-01-01T00:00:0{second}Z"))),
    ]
}

fn document() -> impl Strategy<Value = Document> {
    let nested = prop_oneof![
        value(),
        proptest::collection::vec(value(), 0..3).prop_map(Bson::Array),
        value().prop_map(|inner| Bson::Document(doc! { "x": inner })),
        proptest::collection::vec(value(), 1..3)
            .prop_map(|inner| Bson::Array(inner.into_iter().map(|x| Bson::Document(doc! { "x": x })).collect())),
    ];
    let time = prop_oneof![value(), (0..3_i64).prop_map(|second| DateTime::from_millis(second * 1000).into())];
    let maybe = proptest::option::of::<BoxedStrategy<Bson>>;
    (
        maybe(value().boxed()),
        maybe(time.boxed()),
        maybe(value().boxed()),
        maybe(nested.clone().boxed()),
        maybe(nested.boxed()),
    )
        .prop_map(|(k, t, gone, data, other)| {
            let fields = [("k", k), ("t", t), ("gone", gone), ("data", data), ("other", other)];
            fields.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
        })
}

fn filter() -> impl Strategy<Value = Filter> {
    let path = prop_oneof![
        Just("k"),
        Just("t"),
        Just("gone"),
        Just("data"),
        Just("other"),
        Just("data.x"),
        Just("other.x"),
        Just("other.0")
    ]
    .prop_map(Path::dotted);
    let wanted = prop_oneof![value(), (0..3_i64).prop_map(|second| DateTime::from_millis(second * 1000).into())];
    let values = proptest::collection::vec(wanted.clone(), 0..3);
    let condition = prop_oneof![
        (path.clone(), wanted.clone()).prop_map(|(path, value)| Filter::Eq(path, value)),
        (path.clone(), wanted.clone()).prop_map(|(path, value)| Filter::Ne(path, value)),
        (path.clone(), values.clone()).prop_map(|(path, values)| Filter::In(path, values)),
        (path.clone(), values).prop_map(|(path, values)| Filter::NotIn(path, values)),
        (path.clone(), any::<bool>()).prop_map(|(path, wanted)| Filter::Exists(path, wanted)),
        (path.clone(), wanted.clone()).prop_map(|(path, value)| Filter::Less(path, value)),
        (path.clone(), wanted).prop_map(|(path, value)| Filter::Greater(path, value)),
        (path.clone(), "[ab]?").prop_map(|(path, text)| Filter::Contains(path, text)),
        (path.clone(), 0..3_i64).prop_map(|(path, second)| Filter::Before(path, second)),
        (path, 0..3_i64).prop_map(|(path, second)| Filter::After(path, second)),
    ];
    condition.prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Filter::And),
            proptest::collection::vec(inner, 0..3).prop_map(Filter::Or),
        ]
    })
}

async fn check(database: &SqliteDatabase, documents: &[Document], filters: &[Filter]) {
    database.delete_many("c", &Filter::all()).await.unwrap();
    let inserts = documents.iter().enumerate().map(|(number, document)| {
        let mut document = document.clone();
        document.insert("number", i64::try_from(number).unwrap());
        database.insert("c", document)
    });
    futures::future::try_join_all(inserts).await.unwrap();
    for filter in filters {
        let mut found: Vec<i64> = database
            .find("c", &Find::all(filter.clone()))
            .await
            .unwrap()
            .iter()
            .map(|document| document.get_i64("number").unwrap())
            .collect();
        found.sort_unstable();
        let expected: Vec<i64> =
            (0..).zip(documents).filter(|(_, document)| matches(filter, document)).map(|(number, _)| number).collect();
        assert_eq!(found, expected, "{filter:?} on {documents:?}");
        assert_eq!(database.count("c", filter).await.unwrap(), expected.len() as u64, "{filter:?}");
    }
}

#[test]
fn sql_and_matcher_agree() {
    let directory = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let [database] = sqlite::open(&directory.path().join("f.db"), [LAYOUT]).unwrap();
    let cases = (proptest::collection::vec(document(), 1..8), proptest::collection::vec(filter(), 1..12));
    proptest!(ProptestConfig::with_cases(100), |((documents, filters) in cases)| {
        runtime.block_on(check(&database, &documents, &filters));
    });
}
