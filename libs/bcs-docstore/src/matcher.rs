//! What a [`Filter`] means: MongoDB's matching, evaluated on a document.

use std::cmp::Ordering;

use bson::{Bson, Document};

use crate::{Filter, Path, time};

/// True if `document` is meant by `filter`.
///
/// ```
/// use bcs_docstore::{Filter, Path, doc, matcher::matches};
/// let pod = doc! { "data": { "containers": [{ "name": "a" }, { "name": "b" }] } };
/// assert!(matches(&Filter::one_of("data.containers.name", ["b", "z"]), &pod));
/// assert!(matches(&Filter::Ne(Path::dotted("data.none"), "x".into()), &pod));
/// ```
pub fn matches(filter: &Filter, document: &Document) -> bool {
    match filter {
        Filter::And(all) => all.iter().all(|one| matches(one, document)),
        Filter::Or(any) => any.iter().any(|one| matches(one, document)),
        Filter::Eq(path, value) => equals_one_of(document, path, std::slice::from_ref(value)),
        Filter::Ne(path, value) => !equals_one_of(document, path, std::slice::from_ref(value)),
        Filter::In(path, values) => equals_one_of(document, path, values),
        Filter::NotIn(path, values) => !equals_one_of(document, path, values),
        Filter::Exists(path, wanted) => exists(document, path) == *wanted,
        Filter::Less(path, value) => any_value(document, path, |found| compare(found, value) == Some(Ordering::Less)),
        Filter::Greater(path, value) => {
            any_value(document, path, |found| compare(found, value) == Some(Ordering::Greater))
        }
        Filter::Contains(path, text) => {
            any_value(document, path, |found| matches!(found, Bson::String(found) if found.contains(text.as_str())))
        }
        Filter::Before(path, second) => {
            any_value(document, path, |found| instant(found).is_some_and(|at| at < nanos(*second)))
        }
        Filter::After(path, second) => {
            any_value(document, path, |found| instant(found).is_some_and(|at| at > nanos(*second)))
        }
    }
}

/// Calls `visit` with every value the path leads to, and with the elements of an array at its end, until one answers
/// true. Arrays on the way are entered both by index and element by element.
fn any_value(document: &Document, path: &Path, mut visit: impl FnMut(&Bson) -> bool) -> bool {
    walk_document(document, path.keys(), &mut |found| match found {
        Some(value @ Bson::Array(elements)) => elements.iter().any(&mut visit) || visit(value),
        Some(value) => visit(value),
        None => false,
    })
}

/// Like [`any_value`], with a missing value equal to null.
fn equals_one_of(document: &Document, path: &Path, values: &[Bson]) -> bool {
    let wanted = |found: &Bson| values.iter().any(|value| equal(found, value));
    let null_wanted = values.iter().any(|value| matches!(value, Bson::Null));
    walk_document(document, path.keys(), &mut |found| match found {
        Some(value @ Bson::Array(elements)) => elements.iter().any(wanted) || wanted(value),
        Some(value) => wanted(value),
        None => null_wanted,
    })
}

fn exists(document: &Document, path: &Path) -> bool {
    walk_document(document, path.keys(), &mut |found| found.is_some())
}

type Visit<'a> = dyn FnMut(Option<&Bson>) -> bool + 'a;

fn walk_document(document: &Document, keys: &[String], visit: &mut Visit<'_>) -> bool {
    let Some((key, rest)) = keys.split_first() else {
        return false;
    };
    match document.get(key) {
        Some(value) if rest.is_empty() => visit(Some(value)),
        Some(value) => walk_value(value, rest, visit),
        None => visit(None),
    }
}

fn walk_value(value: &Bson, keys: &[String], visit: &mut Visit<'_>) -> bool {
    match value {
        Bson::Document(document) => walk_document(document, keys, visit),
        Bson::Array(elements) => walk_array(elements, keys, visit),
        _ => visit(None),
    }
}

fn walk_array(elements: &[Bson], keys: &[String], visit: &mut Visit<'_>) -> bool {
    if let Some((key, rest)) = keys.split_first()
        && let Some(element) = key.parse::<usize>().ok().and_then(|index| elements.get(index))
    {
        let found = if rest.is_empty() { visit(Some(element)) } else { walk_value(element, rest, visit) };
        if found {
            return true;
        }
    }
    let mut entered = false;
    for element in elements {
        if let Bson::Document(document) = element {
            entered = true;
            if walk_document(document, keys, visit) {
                return true;
            }
        }
    }
    // An array without any object in it has no such field at all.
    !entered && visit(None)
}

/// Equality across numeric types; objects compare with the order of their keys, as in MongoDB.
fn equal(found: &Bson, wanted: &Bson) -> bool {
    match (found, wanted) {
        (Bson::Document(found), Bson::Document(wanted)) => {
            found.len() == wanted.len() && found.iter().zip(wanted).all(|((a, x), (b, y))| a == b && equal(x, y))
        }
        (Bson::Array(found), Bson::Array(wanted)) => {
            found.len() == wanted.len() && found.iter().zip(wanted).all(|(x, y)| equal(x, y))
        }
        (Bson::Null | Bson::Undefined, Bson::Null | Bson::Undefined) => true,
        _ => compare(found, wanted) == Some(Ordering::Equal),
    }
}

/// Order within one type; `None` across types, which neither equals nor is less or greater.
fn compare(found: &Bson, wanted: &Bson) -> Option<Ordering> {
    match (found, wanted) {
        (Bson::String(a), Bson::String(b)) => Some(a.cmp(b)),
        (Bson::DateTime(a), Bson::DateTime(b)) => Some(a.cmp(b)),
        (Bson::Boolean(a), Bson::Boolean(b)) => Some(a.cmp(b)),
        (Bson::ObjectId(a), Bson::ObjectId(b)) => Some(a.cmp(b)),
        (Bson::Double(a), Bson::Double(b)) => a.partial_cmp(b),
        (Bson::Double(a), b) => integer(b).and_then(|b| compare_double(*a, b)),
        (a, Bson::Double(b)) => integer(a).and_then(|a| compare_double(*b, a)).map(Ordering::reverse),
        (a, b) => Some(integer(a)?.cmp(&integer(b)?)),
    }
}

fn integer(value: &Bson) -> Option<i64> {
    match value {
        Bson::Int32(value) => Some(i64::from(*value)),
        Bson::Int64(value) => Some(*value),
        _ => None,
    }
}

/// Exact, also where an integer has more digits than a double.
#[allow(clippy::cast_possible_truncation, reason = "the value is inside the range of i64 there")]
fn compare_double(a: f64, b: i64) -> Option<Ordering> {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if a.is_nan() {
        None
    } else if a >= LIMIT {
        Some(Ordering::Greater)
    } else if a < -LIMIT {
        Some(Ordering::Less)
    } else {
        Some((a.trunc() as i64).cmp(&b).then(a.fract().partial_cmp(&0.0)?))
    }
}

fn nanos(second: i64) -> i128 {
    i128::from(second) * 1_000_000_000
}

/// The instant a stored value names, in nanoseconds since 1970: RFC 3339 text, a date, or unix seconds.
fn instant(value: &Bson) -> Option<i128> {
    match value {
        Bson::String(text) => time::parse_nanos(text),
        Bson::DateTime(date) => Some(i128::from(date.timestamp_millis()) * 1_000_000),
        value => integer(value).map(nanos),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::{DateTime, bson, doc, oid::ObjectId};
    use proptest::prelude::*;

    fn path(text: &str) -> Path {
        Path::dotted(text)
    }

    #[test]
    fn a_missing_value_equals_null() {
        let document = doc! { "a": null, "b": { "c": 1 }, "list": [1, 2] };
        for missing in ["a", "none", "b.none", "b.c.d", "list.x"] {
            assert!(matches(&Filter::Eq(path(missing), Bson::Null), &document), "{missing}");
        }
        assert!(!matches(&Filter::Eq(path("b.c"), Bson::Null), &document));
        assert!(matches(&Filter::Exists(path("a"), true), &document));
        assert!(matches(&Filter::Exists(path("b.none"), false), &document));
    }

    #[test]
    fn arrays_match_by_element_by_index_and_whole() {
        let document = doc! { "t": ["x", "y"], "c": [{ "n": 1 }, { "n": [2, 3] }], "mixed": [{ "n": 1 }, {}] };
        assert!(matches(&Filter::Eq(path("t"), "y".into()), &document));
        assert!(matches(&Filter::Eq(path("t"), bson!(["x", "y"])), &document));
        assert!(matches(&Filter::Eq(path("t.0"), "x".into()), &document));
        assert!(!matches(&Filter::Eq(path("t.0"), "y".into()), &document));
        assert!(matches(&Filter::Eq(path("c.n"), bson!(3)), &document));
        assert!(matches(&Filter::Eq(path("c.1.n"), bson!(3)), &document));
        assert!(!matches(&Filter::Ne(path("t"), "x".into()), &document));
        assert!(matches(&Filter::Eq(path("mixed.n"), Bson::Null), &document));
        assert!(!matches(&Filter::Eq(path("c.n"), Bson::Null), &document));
    }

    #[test]
    fn numbers_compare_across_types_and_types_do_not_mix() {
        let document = doc! { "i": 3_i64, "d": 3.0, "s": "3", "big": 9_007_199_254_740_993_i64 };
        for key in ["i", "d"] {
            assert!(matches(&Filter::Eq(path(key), bson!(3)), &document));
            assert!(matches(&Filter::Less(path(key), bson!(3.5)), &document));
            assert!(!matches(&Filter::Eq(path(key), "3".into()), &document));
            assert!(!matches(&Filter::Less(path(key), "9".into()), &document));
        }
        assert!(!matches(&Filter::Eq(path("big"), bson!(9_007_199_254_740_992.0)), &document));
        assert!(matches(&Filter::Greater(path("big"), bson!(9_007_199_254_740_992.0)), &document));
    }

    #[test]
    fn ids_and_dates_are_no_strings() {
        let id = ObjectId::new();
        let document = doc! { "_id": id, "t": DateTime::from_millis(1000) };
        assert!(!matches(&Filter::one_of("_id", [id.to_hex()]), &document));
        assert!(matches(&Filter::Less(path("t"), Bson::DateTime(DateTime::from_millis(1001))), &document));
    }

    #[test]
    fn instants_compare_over_zones_and_forms() {
        let second = 1_622_624_401; // 2021-06-02T09:00:01Z
        for (value, before, after) in [
            (bson!("2021-06-02T17:00:00+08:00"), true, false),
            (bson!("2021-06-02T09:00:01Z"), false, false),
            (bson!("2021-06-02T09:00:01.5Z"), false, true),
            (bson!(1_622_624_402_i64), false, true),
            (bson!("never"), false, false),
        ] {
            let document = doc! { "t": value };
            assert_eq!(matches(&Filter::Before(path("t"), second), &document), before, "{document}");
            assert_eq!(matches(&Filter::After(path("t"), second), &document), after, "{document}");
        }
    }

    #[test]
    fn keys_with_dots_are_reached_by_joined_paths() {
        let document = doc! { "labels": { "app.kubernetes.io/name": "x" } };
        assert!(matches(&Filter::Eq(path("labels").joined("app.kubernetes.io/name"), "x".into()), &document));
        assert!(!matches(&Filter::Eq(path("labels.app.kubernetes.io/name"), "x".into()), &document));
    }

    #[test]
    fn and_of_nothing_is_all_and_or_of_nothing_is_none() {
        assert!(matches(&Filter::all(), &doc! {}));
        assert!(!matches(&Filter::Or(vec![]), &doc! {}));
    }

    proptest! {
        #[test]
        fn doubles_and_integers_compare_exactly(a: f64, b: i64) {
            #[allow(clippy::cast_precision_loss)]
            let rounded = b as f64;
            if let Some(order) = compare_double(a, b) {
                // Rounding never turns the order around; it can only make the two equal.
                let lossy = a.partial_cmp(&rounded).unwrap();
                prop_assert!(order == lossy || lossy == Ordering::Equal);
            } else {
                prop_assert!(a.is_nan());
            }
        }
    }
}
