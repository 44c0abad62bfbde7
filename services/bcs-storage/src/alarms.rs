//! Alarms (storage.md 8.2).

use bcs_common::http::query::Query;
use bcs_docstore::json::Dollar;
use bcs_docstore::{Document, DocumentDatabase, Filter, Find, Index, Order, Path, Render, doc};
use bson::DateTime;

use crate::dynamic::FLAG;
use crate::error::{Error, Result};
use crate::events::non_empty;
use crate::fields::Fields;
use crate::params::{Page, one_of, projection, seconds_to_date};

/// Collection of the alarms.
pub const COLLECTION: &str = "alarm";

/// How alarms are shown.
pub const SHOWN: Render = Render { hide: &[FLAG], restore_dollar: true };

/// The document of an alarm in the body of a POST.
///
/// # Errors
/// [`Error::Json`] and [`Error::Invalid`].
pub fn decode(body: &[u8], now: DateTime) -> Result<Document> {
    let mut fields = Fields::decode(body, Dollar::Rewrite)?;
    Ok(doc! {
        "clusterId": fields.text("clusterId")?,
        "namespace": fields.text("namespace")?,
        "message": fields.text("message")?,
        "source": fields.text("source")?,
        "module": fields.text("module")?,
        "type": fields.text("type")?,
        "receivedTime": seconds_to_date(fields.integer("receivedTime")?),
        "data": fields.take("data"),
        "createTime": now,
        FLAG: false,
    })
}

/// Stores an alarm.
///
/// # Errors
/// [`Error::Store`].
pub async fn put(store: &dyn DocumentDatabase, alarm: Document) -> Result<()> {
    Ok(store.insert(COLLECTION, alarm).await?)
}

/// The indexes that keep lists and the cleaner fast.
pub fn indexes() -> [Index; 2] {
    let index = |name: &str, keys: &[(&str, Order)]| Index {
        name: name.to_owned(),
        keys: keys.iter().map(|(key, order)| ((*key).to_owned(), *order)).collect(),
        unique: false,
    };
    [
        index("clusterId_receivedTime_idx", &[("clusterId", Order::Ascending), ("receivedTime", Order::Descending)]),
        index("createTime_idx", &[("createTime", Order::Ascending)]),
    ]
}

/// What a list request asks for.
///
/// # Errors
/// [`Error::Invalid`] for a bad offset, length or time.
pub fn find(query: &Query) -> Result<Find> {
    let page = Page::strict(query.get("offset"), query.get("length"))?;
    let lists = ["clusterId", "namespace", "source", "module"];
    let mut all: Vec<Filter> = lists.iter().filter_map(|key| Some(one_of(key, non_empty(query, key)?))).collect();
    if let Some(types) = non_empty(query, "type") {
        let path = Path::dotted("type");
        all.push(Filter::Or(types.split(',').map(|text| Filter::Contains(path.clone(), text.to_owned())).collect()));
    }
    let path = || Path::dotted("receivedTime");
    all.extend(time(query, "timeBegin")?.map(|begin| Filter::Greater(path(), seconds_to_date(begin).into())));
    all.extend(time(query, "timeEnd")?.map(|end| Filter::Less(path(), seconds_to_date(end).into())));
    Ok(page.find(Filter::And(all), projection(query.get("field"))))
}

fn time(query: &Query, key: &str) -> Result<Option<i64>> {
    let Some(text) = non_empty(query, key) else { return Ok(None) };
    let seconds: i64 = text.parse().map_err(|_| Error::invalid(format!("{key} is no integer")))?;
    Ok((seconds > 0).then_some(seconds))
}

#[cfg(test)]
mod tests {
    use bson::Bson;

    use super::*;

    #[test]
    fn alarms_are_stored_under_the_names_of_the_body() {
        let now = DateTime::from_millis(5);
        let alarm = decode(br#"{"clusterId":"c","type":7,"receivedTime":"2","data":{"n":1},"extra":1}"#, now).unwrap();
        assert_eq!(
            alarm,
            doc! {
                "clusterId": "c", "namespace": "", "message": "", "source": "", "module": "", "type": "7",
                "receivedTime": DateTime::from_millis(2000), "data": { "n": 1_i64 }, "createTime": now,
                "_isBcsObjectDeleted": false,
            }
        );
        assert_eq!(decode(b"null", now).unwrap().get("data"), Some(&Bson::Null));
        assert!(decode(b"nope", now).is_err() && decode(br#"{"receivedTime":"x"}"#, now).is_err());
    }

    #[test]
    fn types_are_parts_of_texts() {
        let find = find(&Query::parse("module=m.x&type=net(,&timeBegin=1&timeEnd=0")).unwrap();
        let contains = |text: &str| Filter::Contains(Path::dotted("type"), text.into());
        assert_eq!(
            find.filter,
            Filter::And(vec![
                one_of("module", "m.x"),
                Filter::Or(vec![contains("net("), contains("")]),
                Filter::Greater(Path::dotted("receivedTime"), seconds_to_date(1).into()),
            ])
        );
        assert_eq!(find.sort, None);
    }

    #[test]
    fn bad_numbers_are_errors() {
        for bad in ["timeBegin=x", "timeEnd=1.5", "length=1e3", "offset=-1"] {
            assert!(find(&Query::parse(bad)).is_err(), "{bad}");
        }
    }
}
