//! Query parameters that many routes share (storage.md 4.5): paging, projection, `extra`, free conditions.

use base64::Engine as _;
use bcs_common::go;
use bcs_common::http::query::Query;
use bcs_docstore::json::{self, Dollar, FULL_WIDTH_DOLLAR};
use bcs_docstore::{Bson, Document, Filter, Find, Path};
use bson::DateTime;
use chrono::NaiveDateTime;

use crate::error::{Error, Result};
use crate::selector::Selector;

/// How many documents an answer holds unless the request says otherwise. Clients take "no limit" as this many.
pub const DEFAULT_LIMIT: u64 = 3000;

/// Which part of the matches is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// How many matches to pass over.
    pub offset: u64,
    /// How many to return at most.
    pub limit: u64,
    /// The limit as the request gave it, 0 if it gave none.
    pub asked: u64,
}

impl Page {
    /// Reads offset and limit; empty or missing ones are 0, and a limit of 0 is [`DEFAULT_LIMIT`].
    ///
    /// # Errors
    /// [`Error::Invalid`] if one is no integer or negative.
    pub fn strict(offset: Option<&str>, limit: Option<&str>) -> Result<Self> {
        Ok(Self::new(natural("offset", number("offset", offset)?)?, natural("limit", number("limit", limit)?)?))
    }

    /// The same, but text that is no integer counts as missing (storage.md 6).
    ///
    /// # Errors
    /// [`Error::Invalid`] if one is negative.
    pub fn lenient(offset: Option<&str>, limit: Option<&str>) -> Result<Self> {
        let number = |text: Option<&str>| text.and_then(|text| text.parse().ok()).unwrap_or(0);
        Ok(Self::new(natural("offset", number(offset))?, natural("limit", number(limit))?))
    }

    fn new(offset: u64, asked: u64) -> Self {
        Self { offset, limit: if asked == 0 { DEFAULT_LIMIT } else { asked }, asked }
    }

    /// A read of this page.
    pub fn find(self, filter: Filter, projection: Vec<String>) -> Find {
        Find { filter, sort: None, skip: self.offset, limit: Some(self.limit), projection }
    }
}

fn number(name: &str, text: Option<&str>) -> Result<i64> {
    match text {
        None | Some("") => Ok(0),
        Some(text) => text.parse().map_err(|_| Error::invalid(format!("{name} is no integer"))),
    }
}

fn natural(name: &str, number: i64) -> Result<u64> {
    u64::try_from(number).map_err(|_| Error::invalid(format!("{name} is negative")))
}

/// `field=a,b`: the paths to return; empty = all.
pub fn projection(field: Option<&str>) -> Vec<String> {
    field.unwrap_or_default().split(',').filter(|path| !path.is_empty()).map(stored_key).collect()
}

/// A key as the client writes it, in its stored form: `$` is kept as `＄` in documents.
fn stored_key(key: &str) -> String {
    key.replace('$', FULL_WIDTH_DOLLAR)
}

/// A dotted path as the client writes it.
pub fn path(key: &str) -> Path {
    Path::dotted(&stored_key(key))
}

/// `path` is one of the texts of a comma list.
pub fn one_of(key: &str, list: &str) -> Filter {
    Filter::one_of(path(key), list.split(','))
}

/// `extra`: standard base64 of a JSON object whose keys are dotted paths. Missing or empty = no keys.
///
/// # Errors
/// [`Error::Invalid`] or [`Error::Json`] if it is anything else.
pub fn extra(text: Option<&str>) -> Result<Document> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(Document::new());
    };
    // Tools break long lines.
    let bytes = go::BASE64
        .decode(go::without_line_ends(text))
        .map_err(|error| Error::invalid(format!("extra is no base64: {error}")))?;
    match json::decode(&bytes, Dollar::Rewrite)? {
        Bson::Document(conditions) => Ok(conditions),
        _ => Err(Error::invalid("extra is no JSON object")),
    }
}

/// `extra` where it chooses out of lists (storage.md 6, 8.1): a value, or one of an array of values.
pub fn extra_lists(conditions: Document) -> Filter {
    let conditions = conditions.into_iter().map(|(key, value)| match value {
        Bson::Array(values) => Filter::In(Path::dotted(&key), values),
        value => Filter::In(Path::dotted(&key), vec![value]),
    });
    Filter::And(conditions.collect())
}

/// Keys that are no free conditions on dynamic and custom resources.
const KNOWN: [&str; 6] = ["field", "offset", "limit", "extra", "updateTimeBefore", "labelSelector"];

/// The conditions of a request on dynamic or custom resources, besides those of its path.
#[derive(Clone, Debug, PartialEq)]
pub struct Selection {
    /// Equality conditions; they replace those of the path.
    pub extra: Document,
    /// Everything else.
    pub conditions: Filter,
}

impl Selection {
    /// For reads: an unreadable `extra` or `updateTimeBefore` is ignored, as clients are used to.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a label selector with a syntax error.
    pub fn for_read(query: &Query) -> Result<Self> {
        let extra = extra(query.get("extra")).unwrap_or_default();
        let before = query.get("updateTimeBefore").and_then(|text| update_time_before(text).ok());
        Self::new(query, extra, before)
    }

    /// For deletes: what cannot be read fails, so that nothing is deleted by mistake.
    ///
    /// # Errors
    /// [`Error::Invalid`] or [`Error::Json`].
    pub fn for_delete(query: &Query) -> Result<Self> {
        let before = match query.get("updateTimeBefore") {
            None | Some("") => None,
            Some(text) => Some(update_time_before(text)?),
        };
        Self::new(query, extra(query.get("extra"))?, before)
    }

    fn new(query: &Query, extra: Document, before: Option<DateTime>) -> Result<Self> {
        let mut conditions: Vec<Filter> = query
            .iter()
            .filter(|(key, _)| !KNOWN.contains(key))
            .map(|(key, value)| if value.is_empty() { Filter::Exists(path(key), true) } else { one_of(key, value) })
            .collect();
        let selectors: Vec<_> = query.get_all("labelSelector").filter(|text| !text.is_empty()).collect();
        let selector = Selector::parse(&selectors.join(","))?.to_filter();
        if !selector.is_all() {
            conditions.push(selector);
        }
        conditions.extend(before.map(|time| Filter::Less(Path::dotted("updateTime"), time.into())));
        Ok(Self { extra, conditions: Filter::And(conditions) })
    }
}

/// Unix seconds, or UTC time with exactly three digits of fraction, such as `2006-01-02T15:04:05.000Z`.
fn update_time_before(text: &str) -> Result<DateTime> {
    if let Ok(seconds) = text.parse() {
        return Ok(seconds_to_date(seconds));
    }
    let wrong = || Error::invalid("updateTimeBefore is neither unix seconds nor like 2006-01-02T15:04:05.000Z");
    let time = NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.3fZ").map_err(|_| wrong())?;
    // The parser takes any number of digits.
    if text.len() != "2006-01-02T15:04:05.000Z".len() {
        return Err(wrong());
    }
    Ok(DateTime::from_millis(time.and_utc().timestamp_millis()))
}

/// The moment of a unix second; far ones end at the ends of what BSON holds.
pub fn seconds_to_date(seconds: i64) -> DateTime {
    DateTime::from_millis(seconds.saturating_mul(1000))
}

#[cfg(test)]
mod tests {
    use bson::doc;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pages() {
        assert_eq!(Page::strict(None, None).unwrap(), Page { offset: 0, limit: 3000, asked: 0 });
        assert_eq!(Page::strict(Some(""), Some("0")).unwrap(), Page { offset: 0, limit: 3000, asked: 0 });
        assert_eq!(Page::strict(Some("2"), Some("5000")).unwrap(), Page { offset: 2, limit: 5000, asked: 5000 });
        for bad in ["x", "1.5", "-1", "9223372036854775808", "1e3", " 1"] {
            assert!(Page::strict(None, Some(bad)).is_err(), "{bad}");
            assert!(Page::strict(Some(bad), None).is_err(), "{bad}");
        }
        assert_eq!(Page::lenient(Some("x"), Some("1.5")).unwrap(), Page { offset: 0, limit: 3000, asked: 0 });
        assert_eq!(Page::lenient(Some("1"), Some("2")).unwrap(), Page { offset: 1, limit: 2, asked: 2 });
        assert!(Page::lenient(None, Some("-2")).is_err());
    }

    #[test]
    fn projections() {
        assert!(projection(None).is_empty() && projection(Some("")).is_empty());
        assert_eq!(projection(Some("a,data.$ref,,b")), ["a", "data.\u{ff04}ref", "b"]);
    }

    #[test]
    fn extra_is_base64_of_an_object() {
        let encoded = |text: &str| go::BASE64.encode(text);
        assert_eq!(extra(Some("eyJhIj\noiMSJ9\r\n")).unwrap(), doc! { "a": "1" });
        assert_eq!(extra(Some(&encoded(r#"{"data.n": 3, "z": "1"}"#))).unwrap(), doc! { "data.n": 3_i64, "z": "1" });
        assert_eq!(extra(Some(&encoded(r#"{"$where": 1}"#))).unwrap(), doc! { "\u{ff04}where": 1_i64 });
        assert_eq!(extra(None).unwrap(), doc! {});
        assert_eq!(extra(Some("")).unwrap(), doc! {});
        for bad in
            ["%%%".to_owned(), encoded("{nope"), encoded("[1]"), encoded("null"), encoded("")[..].to_owned() + "="]
        {
            assert!(extra(Some(&bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn extra_lists_choose() {
        let filter = extra_lists(doc! { "a.b": ["x", "y"], "c": 1 });
        let Filter::And(all) = filter else { panic!() };
        assert_eq!(all[0], Filter::In(Path::dotted("a.b"), vec!["x".into(), "y".into()]));
        assert_eq!(all[1], Filter::In(Path::dotted("c"), vec![1.into()]));
    }

    fn conditions(raw: &str) -> Vec<Filter> {
        match Selection::for_read(&Query::parse(raw)).unwrap().conditions {
            Filter::And(all) => all,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn free_keys_are_conditions() {
        assert_eq!(conditions("field=a&limit=1&offset=2&extra=&labelSelector="), []);
        assert_eq!(
            conditions("k=a,b&x.y=&k=c"),
            [one_of("k", "a,b"), Filter::Exists(Path::dotted("x.y"), true), one_of("k", "c")]
        );
        assert_eq!(conditions("%24where=1"), [one_of("\u{ff04}where", "1")]);
        assert_eq!(conditions("labelSelector=a%3D1&labelSelector=b").len(), 1);
    }

    #[test]
    fn update_times() {
        let less = |seconds| Filter::Less(Path::dotted("updateTime"), seconds_to_date(seconds).into());
        assert_eq!(conditions("updateTimeBefore=1622600001"), [less(1_622_600_001)]);
        assert_eq!(conditions("updateTimeBefore=2021-06-02T02:13:21.000Z"), [less(1_622_600_001)]);
        for bad in ["yesterday", "2021-06-02T02:13:21Z", "2021-06-02T02:13:21.0000Z", "2021-06-02T02:13:21.000", "1.5"]
        {
            let query = Query::parse(&format!("updateTimeBefore={bad}"));
            assert_eq!(Selection::for_read(&query).unwrap().conditions, Filter::all(), "{bad}");
            assert!(Selection::for_delete(&query).is_err(), "{bad}");
        }
    }

    #[test]
    fn deletes_do_not_guess() {
        let query = Query::parse("extra=%25");
        assert!(Selection::for_read(&query).unwrap().extra.is_empty());
        assert!(Selection::for_delete(&query).is_err());
        assert!(Selection::for_read(&Query::parse("labelSelector=a+in")).is_err());
        assert!(Selection::for_delete(&Query::parse("labelSelector=a+in")).is_err());
    }

    proptest! {
        #[test]
        fn never_panics(raw in "\\PC{0,60}", offset in "\\PC{0,8}", limit in "-?[0-9]{0,22}") {
            let query = Query::parse(&raw);
            let _ = (Selection::for_read(&query), Selection::for_delete(&query), extra(Some(&raw)), projection(Some(&raw)));
            let _ = (Page::strict(Some(&offset), Some(&limit)), Page::lenient(Some(&offset), Some(&limit)));
            let _ = update_time_before(&raw);
        }
    }
}
