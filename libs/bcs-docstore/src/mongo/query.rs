//! What MongoDB is asked for a [`Filter`], and what is left to [`crate::matcher`].
//!
//! Its query language cannot name keys that hold a dot, and it cannot compare text by the instant it names. Such
//! filters become a query that finds at least the documents meant; the whole filter then decides on each of them.

use std::collections::BTreeSet;

use bson::{Bson, DateTime, Document, doc};

use crate::{Filter, Path};

/// A filter in MongoDB's words.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Query {
    /// The query document.
    pub document: Document,
    /// True if it finds what the filter means; else it may find more.
    pub exact: bool,
}

impl Query {
    fn exact(document: Document) -> Self {
        Self { document, exact: true }
    }

    fn wider(document: Document) -> Self {
        Self { document, exact: false }
    }
}

impl From<&Filter> for Query {
    fn from(filter: &Filter) -> Self {
        match filter {
            Filter::And(parts) => all(parts.iter().map(Query::from)),
            Filter::Or(parts) => any(parts.iter().map(Query::from)),
            Filter::Eq(path, value) => condition(path, "$eq", value.clone(), is_null(value)),
            Filter::Ne(path, value) => condition(path, "$ne", value.clone(), true),
            Filter::In(path, values) => condition(path, "$in", values.clone().into(), values.iter().any(is_null)),
            Filter::NotIn(path, values) => condition(path, "$nin", values.clone().into(), true),
            Filter::Exists(path, wanted) => condition(path, "$exists", (*wanted).into(), !wanted),
            Filter::Less(path, value) => condition(path, "$lt", value.clone(), is_null(value)),
            Filter::Greater(path, value) => condition(path, "$gt", value.clone(), is_null(value)),
            // A pattern cannot hold NUL.
            Filter::Contains(path, text) if text.contains('\0') => {
                Query::wider(condition(path, "$type", "string".into(), false).document)
            }
            Filter::Contains(path, text) => condition(path, "$regex", quote(text).into(), false),
            Filter::Before(path, second) => moment(path, *second, &BEFORE),
            Filter::After(path, second) => moment(path, *second, &AFTER),
        }
    }
}

/// A projection that leaves all a filter looks at; `None` if it needs whole documents.
pub(super) fn projection_for(filter: &Filter) -> Option<Document> {
    let mut paths = Vec::new();
    collect_paths(filter, &mut paths);
    let whole = paths.iter().any(String::is_empty);
    if whole { None } else { Some(projection(&paths)) }
}

fn collect_paths(filter: &Filter, paths: &mut Vec<String>) {
    match filter {
        Filter::And(parts) | Filter::Or(parts) => parts.iter().for_each(|part| collect_paths(part, paths)),
        Filter::Eq(path, _)
        | Filter::Ne(path, _)
        | Filter::In(path, _)
        | Filter::NotIn(path, _)
        | Filter::Exists(path, _)
        | Filter::Less(path, _)
        | Filter::Greater(path, _)
        | Filter::Contains(path, _)
        | Filter::Before(path, _)
        | Filter::After(path, _) => paths.push(projectable(path).join(".")),
    }
}

/// MongoDB's projection of dotted paths, always with `_id`. It refuses a path together with one below it: the upper
/// one is enough.
pub(super) fn projection(paths: &[String]) -> Document {
    let wanted: BTreeSet<&str> =
        paths.iter().map(String::as_str).filter(|path| !path.is_empty()).chain(["_id"]).collect();
    let below_another =
        |path: &str| path.match_indices('.').any(|(dot, _)| path.get(..dot).is_some_and(|up| wanted.contains(up)));
    wanted.iter().filter(|path| !below_another(path)).map(|path| ((*path).to_owned(), Bson::Int32(1))).collect()
}

fn is_null(value: &Bson) -> bool {
    matches!(value, Bson::Null | Bson::Undefined)
}

/// The keys of `path` up to the first that a query cannot name.
fn nameable(path: &Path) -> &[String] {
    let keys = path.keys();
    // An empty key and one with `$` in front are errors in some places, and operators in others.
    let unusable = |key: &String| key.is_empty() || key.starts_with('$') || key.contains(['.', '\0']);
    keys.split(unusable).next().unwrap_or(keys)
}

/// The keys of `path` that a projection leaves in place: it knows no indexes of arrays, only keys.
fn projectable(path: &Path) -> &[String] {
    let keys = nameable(path);
    let index = keys.iter().skip(1).position(|key| key.parse::<usize>().is_ok());
    index.and_then(|index| keys.get(..=index)).unwrap_or(keys)
}

/// `finds_missing`: whether the condition also holds where the path leads nowhere.
fn condition(path: &Path, operator: &str, operand: Bson, finds_missing: bool) -> Query {
    let keys = nameable(path);
    if keys.len() == path.keys().len() {
        Query::exact(doc! { path.to_string(): { operator: operand } })
    } else if finds_missing || keys.is_empty() {
        Query::wider(doc! {})
    } else {
        Query::wider(doc! { keys.join("."): { "$exists": true } })
    }
}

fn all(parts: impl Iterator<Item = Query>) -> Query {
    let mut merged = Query::exact(doc! {});
    let mut repeated = Vec::new();
    for part in parts {
        merged.exact &= part.exact;
        if part.document.keys().any(|key| merged.document.contains_key(key)) {
            repeated.push(Bson::Document(part.document));
        } else {
            merged.document.extend(part.document);
        }
    }
    if !repeated.is_empty() {
        repeated.insert(0, Bson::Document(merged.document));
        merged.document = doc! { "$and": repeated };
    }
    merged
}

fn any(parts: impl Iterator<Item = Query>) -> Query {
    let parts: Vec<Query> = parts.collect();
    let exact = parts.iter().all(|part| part.exact);
    let mut documents: Vec<Document> = parts.into_iter().map(|part| part.document).collect();
    let document = match documents.as_slice() {
        // `$or` must not be empty.
        [] => doc! { "_id": { "$in": [] } },
        [_] => documents.pop().unwrap_or_default(),
        several if several.iter().any(Document::is_empty) => doc! {},
        _ => doc! { "$or": documents },
    };
    Query { document, exact }
}

/// How [`Filter::Before`] and [`Filter::After`] differ in MongoDB's words.
struct Side {
    operator: &'static str,
    text_operator: &'static str,
    /// From the instant asked for to the first day that no text on this side of it can name in any zone.
    text_margin: i64,
}

const DAY: i64 = 86_400;

const BEFORE: Side = Side { operator: "$lt", text_operator: "$lt", text_margin: 2 * DAY };
const AFTER: Side = Side { operator: "$gt", text_operator: "$gte", text_margin: -DAY };

/// Dates and numbers compare in the query; text only by its day, which is within 24 hours of the day in UTC.
fn moment(path: &Path, second: i64, side: &Side) -> Query {
    let day = chrono::DateTime::from_timestamp(second.saturating_add(side.text_margin), 0)
        .map(|at| at.format("%Y-%m-%d").to_string())
        .filter(|day| day.len() == "2021-06-02".len());
    let text = match day {
        Some(day) => condition(path, side.text_operator, day.into(), false),
        None => condition(path, "$type", "string".into(), false),
    };
    let date = DateTime::from_millis(second.saturating_mul(1000));
    let conditions = [
        condition(path, side.operator, date.into(), false),
        condition(path, side.operator, second.into(), false),
        text,
    ];
    Query::wider(any(conditions.into_iter()).document)
}

/// A regular expression that finds `text` and nothing else.
fn quote(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for character in text.chars() {
        if r"\^$.|?*+()[]{}".contains(character) {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::bson;

    fn path(text: &str) -> Path {
        Path::dotted(text)
    }

    fn label(key: &str) -> Path {
        path("data.labels").joined(key)
    }

    fn eq(name: &str, value: impl Into<Bson>) -> Filter {
        Filter::Eq(path(name), value.into())
    }

    #[test]
    fn plain_filters_are_left_to_the_server() {
        let filter = eq("a.b", 1)
            .and(Filter::Ne(path("flag"), true.into()))
            .and(Filter::one_of("n", ["x", "y"]))
            .and(Filter::NotIn(path("m"), vec!["z".into()]))
            .and(Filter::Exists(path("e"), false))
            .and(Filter::Less(path("t"), 5.into()))
            .and(Filter::Greater(path("u"), 6.into()));
        let expected = doc! {
            "a.b": { "$eq": 1 }, "flag": { "$ne": true }, "n": { "$in": ["x", "y"] }, "m": { "$nin": ["z"] },
            "e": { "$exists": false }, "t": { "$lt": 5 }, "u": { "$gt": 6 },
        };
        assert_eq!(Query::from(&filter), Query::exact(expected));
    }

    #[test]
    fn conditions_on_one_path_are_all_kept() {
        let filter = Filter::Greater(path("t"), 1.into()).and(Filter::Less(path("t"), 9.into()));
        let expected = doc! { "$and": [{ "t": { "$gt": 1 } }, { "t": { "$lt": 9 } }] };
        assert_eq!(Query::from(&filter), Query::exact(expected));
    }

    #[test]
    fn operators_in_values_stay_values() {
        let filter = eq("a", bson!({ "$gt": "" }));
        assert_eq!(Query::from(&filter).document, doc! { "a": { "$eq": { "$gt": "" } } });
    }

    #[test]
    fn empty_and_is_all_and_empty_or_is_none() {
        assert_eq!(Query::from(&Filter::all()), Query::exact(doc! {}));
        assert_eq!(Query::from(&Filter::Or(vec![])), Query::exact(doc! { "_id": { "$in": [] } }));
        let one = Filter::Or(vec![eq("a", 1)]);
        assert_eq!(Query::from(&one), Query::exact(doc! { "a": { "$eq": 1 } }));
        let two = Filter::Or(vec![eq("a", 1), eq("a", 2)]);
        assert_eq!(Query::from(&two), Query::exact(doc! { "$or": [{ "a": { "$eq": 1 } }, { "a": { "$eq": 2 } }] }));
    }

    #[test]
    fn keys_with_dots_are_narrowed_by_their_parent() {
        let name = label("app.kubernetes.io/name");
        let exists = doc! { "data.labels": { "$exists": true } };
        assert_eq!(Query::from(&Filter::Eq(name.clone(), "x".into())), Query::wider(exists.clone()));
        assert_eq!(Query::from(&Filter::Exists(name.clone(), true)), Query::wider(exists));
        for finds_missing in [
            Filter::Ne(name.clone(), "x".into()),
            Filter::Exists(name.clone(), false),
            Filter::Eq(name.clone(), Bson::Null),
            Filter::In(name.clone(), vec!["x".into(), Bson::Null]),
            Filter::NotIn(name.clone(), vec!["x".into()]),
        ] {
            assert_eq!(Query::from(&finds_missing), Query::wider(doc! {}), "{finds_missing:?}");
        }
        let mixed = eq("clusterId", "c").and(Filter::Ne(name.clone(), "x".into()));
        assert_eq!(Query::from(&mixed), Query::wider(doc! { "clusterId": { "$eq": "c" } }));
        let either = Filter::Or(vec![eq("clusterId", "c"), Filter::Ne(name, "x".into())]);
        assert_eq!(Query::from(&either), Query::wider(doc! {}));
    }

    #[test]
    fn keys_that_would_be_operators_or_errors_are_not_sent() {
        for keys in ["$where", "a.$b", "a..b", ".", "a.\0"] {
            let query = Query::from(&eq(keys, 1));
            assert!(!query.exact, "{keys}");
            assert!(query.document.is_empty() || query.document == doc! { "a": { "$exists": true } }, "{keys}");
        }
    }

    #[test]
    fn contained_text_is_literal() {
        let query = Query::from(&Filter::Contains(path("m"), "a.b (c)*\\d".into()));
        assert_eq!(query, Query::exact(doc! { "m": { "$regex": r"a\.b \(c\)\*\\d" } }));
        assert!(!Query::from(&Filter::Contains(path("m"), "\0".into())).exact);
    }

    #[test]
    fn moments_ask_for_every_text_that_might_do() {
        let second = 1_622_624_401; // 2021-06-02T09:00:01Z
        let date = DateTime::from_millis(1_622_624_401_000);
        let before =
            doc! { "$or": [{ "t": { "$lt": date } }, { "t": { "$lt": second } }, { "t": { "$lt": "2021-06-04" } }] };
        assert_eq!(Query::from(&Filter::Before(path("t"), second)), Query::wider(before));
        let after =
            doc! { "$or": [{ "t": { "$gt": date } }, { "t": { "$gt": second } }, { "t": { "$gte": "2021-06-01" } }] };
        assert_eq!(Query::from(&Filter::After(path("t"), second)), Query::wider(after));
        for edge in [i64::MIN, i64::MAX] {
            let Query { document, exact } = Query::from(&Filter::After(path("t"), edge));
            assert!(!exact && document.to_string().contains("string"), "{document}");
        }
    }

    #[test]
    fn projections_never_name_a_path_twice() {
        let paths = ["a.b", "x", "a", "a.b.c", "ab", "x"].map(str::to_owned);
        assert_eq!(projection(&paths), doc! { "_id": 1, "a": 1, "ab": 1, "x": 1 });
        assert_eq!(projection(&[String::new()]), doc! { "_id": 1 });
    }

    #[test]
    fn a_filter_is_decided_on_its_own_paths() {
        let filter = eq("clusterId", "c").and(Filter::Or(vec![Filter::Exists(label("a.b/c"), true), eq("t", 1)]));
        assert_eq!(projection_for(&filter), Some(doc! { "_id": 1, "clusterId": 1, "data.labels": 1, "t": 1 }));
        assert_eq!(projection_for(&eq("list.1.x", 1)), Some(doc! { "_id": 1, "list": 1 }));
        assert_eq!(projection_for(&eq("$x", 1)), None);
    }
}
