//! Events of clusters: written once, listed newest first (storage.md 8.1).

use bcs_common::http::query::Query;
use bcs_docstore::json::Dollar;
use bcs_docstore::{
    Bson, Document, DocumentDatabase, Filter, Find, Index, JsonDocuments, Order, Path, Render, Sort, doc,
};
use bson::DateTime;

use crate::dynamic::FLAG;
use crate::error::Result;
use crate::fields::Fields;
use crate::params::{self, Page, one_of, projection, seconds_to_date};

/// Collection of the events.
pub const COLLECTION: &str = "event";

/// How events are shown: without the deletion flag, and without a field of empty name that older writers left behind.
pub const SHOWN: Render = Render { hide: &[FLAG, ""], restore_dollar: true };

/// The parameters that choose by a comma list.
const LISTS: [&str; 10] = [
    "id",
    "env",
    "kind",
    "level",
    "component",
    "type",
    "clusterId",
    "extraInfo.name",
    "extraInfo.namespace",
    "extraInfo.kind",
];

/// An event as its reporter sent it.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Id, given by the reporter.
    pub id: String,
    /// `k8s` or `mesos`.
    pub env: String,
    /// Kind of the object it is about, in Kubernetes.
    pub kind: String,
    /// Severity.
    pub level: String,
    /// What reported it.
    pub component: String,
    /// Reason.
    pub event_type: String,
    /// Message.
    pub describe: String,
    /// Cluster.
    pub cluster_id: String,
    /// When it happened, unix seconds.
    pub time: i64,
    /// Namespace, name and kind of the object it is about.
    pub object: Object,
    /// Anything else.
    pub data: Bson,
}

/// The object that an event is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its kind, in Mesos.
    pub kind: String,
}

impl Event {
    /// Reads the body of a PUT.
    ///
    /// # Errors
    /// [`crate::error::Error::Json`] and [`crate::error::Error::Invalid`].
    pub fn decode(body: &[u8]) -> Result<Self> {
        let mut fields = Fields::decode(body, Dollar::Rewrite)?;
        let mut object = fields.object("extraInfo")?;
        Ok(Self {
            id: fields.text("id")?,
            env: fields.text("env")?,
            kind: fields.text("kind")?,
            level: fields.text("level")?,
            component: fields.text("component")?,
            event_type: fields.text("type")?,
            describe: fields.text("describe")?,
            cluster_id: fields.text("clusterId")?,
            time: fields.integer("eventTime")?,
            object: Object {
                namespace: object.text("namespace")?,
                name: object.text("name")?,
                kind: object.text("kind")?,
            },
            data: fields.take("data"),
        })
    }

    /// The document to store. The flag is last: see [`without_flag`].
    pub fn into_document(self, now: DateTime) -> Document {
        doc! {
            "id": self.id,
            "env": self.env,
            "kind": self.kind,
            "level": self.level,
            "component": self.component,
            "type": self.event_type,
            "describe": self.describe,
            "clusterId": self.cluster_id,
            "eventTime": seconds_to_date(self.time),
            "extraInfo": {
                "namespace": self.object.namespace,
                "name": self.object.name,
                "kind": self.object.kind,
            },
            "data": self.data,
            "createTime": now,
            FLAG: false,
        }
    }
}

/// The JSON of a stored event for a watcher: without the deletion flag, which events only carry for the original's
/// sake. [`Event::into_document`] writes it last, so nothing needs to be parsed.
pub fn without_flag(json: &[u8]) -> (&[u8], &'static [u8]) {
    match json.strip_suffix(b",\"_isBcsObjectDeleted\":false}") {
        Some(head) => (head, b"}"),
        None => (json, b""),
    }
}

/// Stores an event.
///
/// # Errors
/// [`crate::error::Error::Store`].
pub async fn put(store: &dyn DocumentDatabase, event: Event, now: DateTime) -> Result<()> {
    Ok(store.insert(COLLECTION, event.into_document(now)).await?)
}

/// The indexes that keep lists and the cleaner fast.
pub fn indexes() -> [Index; 3] {
    let index = |name: &str, keys: &[(&str, Order)]| Index {
        name: name.to_owned(),
        keys: keys.iter().map(|(key, order)| ((*key).to_owned(), *order)).collect(),
        unique: false,
    };
    [
        index("clusterId_eventTime_idx", &[("clusterId", Order::Ascending), ("eventTime", Order::Descending)]),
        index("eventTime_idx", &[("eventTime", Order::Descending)]),
        index("createTime_idx", &[("createTime", Order::Ascending)]),
    ]
}

/// What a list request asks for.
///
/// # Errors
/// [`crate::error::Error::Invalid`] for a bad offset or length.
pub fn find(query: &Query) -> Result<Find> {
    let page = Page::strict(query.get("offset"), query.get("length"))?;
    let mut all: Vec<Filter> = LISTS.iter().filter_map(|key| Some(one_of(key, non_empty(query, key)?))).collect();
    let time = |key| query.get(key).and_then(|text| text.parse().ok()).filter(|seconds: &i64| *seconds > 0);
    let path = || Path::dotted("eventTime");
    all.extend(time("timeBegin").map(|begin| Filter::Greater(path(), seconds_to_date(begin).into())));
    all.extend(time("timeEnd").map(|end| Filter::Less(path(), seconds_to_date(end).into())));
    // Unreadable values are ignored, as clients are used to on reads.
    let extra = params::extra(query.get("extra")).unwrap_or_default();
    if !extra.is_empty() {
        all.push(params::extra_lists(extra));
    }
    for (key, value) in params::extra(query.get("extra_contain")).unwrap_or_default() {
        if let Bson::String(text) = value {
            all.push(Filter::Contains(Path::dotted(&key), text));
        }
    }
    let mut find = page.find(Filter::And(all), projection(query.get("field")));
    find.sort = Some(Sort { field: "eventTime".to_owned(), order: Order::Descending });
    Ok(find)
}

/// The value of a parameter unless it is empty.
pub fn non_empty<'a>(query: &'a Query, key: &'a str) -> Option<&'a str> {
    query.get(key).filter(|value| !value.is_empty())
}

/// How many documents there are on all pages. Only a page in the middle needs to be counted for.
///
/// # Errors
/// [`crate::error::Error::Store`].
pub async fn total(store: &dyn DocumentDatabase, collection: &str, find: &Find, page: &JsonDocuments) -> Result<u64> {
    let is_last = find.limit.is_none_or(|limit| page.count < limit) && (page.count > 0 || find.skip == 0);
    Ok(if is_last { find.skip + page.count } else { store.count(collection, &find.filter).await? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conditions(raw: &str) -> Vec<Filter> {
        match find(&Query::parse(raw)).unwrap().filter {
            Filter::And(all) => all,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn everything_is_optional() {
        let now = DateTime::from_millis(5);
        assert_eq!(
            Event::decode(b"{}").unwrap().into_document(now),
            doc! {
                "id": "", "env": "", "kind": "", "level": "", "component": "", "type": "", "describe": "", "clusterId": "",
                "eventTime": DateTime::from_millis(0), "extraInfo": { "namespace": "", "name": "", "kind": "" },
                "data": null, "createTime": now, "_isBcsObjectDeleted": false,
            }
        );
    }

    #[test]
    fn values_are_read_leniently() {
        let event =
            Event::decode(br#"{"id":7,"env":true,"eventTime":"-62135596800","extraInfo":null,"data":{"$a":1}}"#);
        let event = event.unwrap();
        assert_eq!((event.id.as_str(), event.env.as_str(), event.time), ("7", "true", -62_135_596_800));
        assert_eq!(event.data, Bson::Document(doc! { "\u{ff04}a": 1_i64 }));
        for bad in [r#"{"eventTime":"soon"}"#, r#"{"extraInfo":[1]}"#, r#"{"id":{}}"#, "[]", ""] {
            assert!(Event::decode(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn watchers_do_not_see_the_flag() {
        assert_eq!(without_flag(br#"{"id":"x","_isBcsObjectDeleted":false}"#), (&br#"{"id":"x""#[..], &b"}"[..]));
        assert_eq!(without_flag(b"null"), (&b"null"[..], &b""[..]));
    }

    #[test]
    fn all_conditions_hold_together() {
        let raw = "clusterId=a,b&extraInfo.name=p&env=&timeBegin=5&timeEnd=x&extra=eyJhIjoxfQ==&extra_contain=eyJiIjoieCIsImMiOjF9";
        assert_eq!(
            conditions(raw),
            [
                one_of("clusterId", "a,b"),
                one_of("extraInfo.name", "p"),
                Filter::Greater(Path::dotted("eventTime"), seconds_to_date(5).into()),
                Filter::And(vec![Filter::In(Path::dotted("a"), vec![1_i64.into()])]),
                Filter::Contains(Path::dotted("b"), "x".into()),
            ]
        );
        assert_eq!(conditions("timeBegin=0&timeEnd=-1&limit=x&labelSelector=%28&extra=%25&extra_contain=%25"), []);
    }

    #[test]
    fn pages_are_sorted_by_time() {
        let find = find(&Query::parse("offset=1&length=2&field=id")).unwrap();
        assert_eq!((find.skip, find.limit, find.projection), (1, Some(2), vec!["id".to_owned()]));
        assert_eq!(find.sort, Some(Sort { field: "eventTime".into(), order: Order::Descending }));
        assert!(super::find(&Query::parse("length=x")).is_err());
    }
}
