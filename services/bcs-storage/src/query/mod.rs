//! The query routes: resources of one type, filtered by a fixed set of keys (storage.md 6).

mod table;

use bcs_common::http::query::Query;
use bcs_docstore::json::Dollar;
use bcs_docstore::{Bson, Document, DocumentDatabase, Filter, JsonDocuments, Path};

pub use self::table::{KUBERNETES, KUBERNETES_NAMESPACE, Kind, MESOS, MESOS_NAMESPACE_ROUTE};
use self::table::{KUBERNETES_NAMESPACES, Key, MESOS_NAMESPACES, Op};
use crate::dynamic::{SHOWN, live};
use crate::error::{Error, Result};
use crate::fields::{self, Fields};
use crate::params::{Page, extra, extra_lists, one_of, projection};

/// The parameters of a query, from the query string or the body.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameters {
    filters: Vec<(String, Bson)>,
    extra: Document,
    page: Page,
    projection: Vec<String>,
}

impl Parameters {
    /// Those of a GET. An unreadable `extra` is ignored.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a negative limit or offset.
    pub fn from_query(query: &Query) -> Result<Self> {
        Ok(Self {
            filters: query.iter().map(|(key, value)| (key.to_owned(), value.into())).collect(),
            extra: extra(query.get("extra")).unwrap_or_default(),
            page: Page::lenient(query.get("offset"), query.get("limit"))?,
            projection: projection(query.get("field")),
        })
    }

    /// Those of a POST: an object of texts, numbers and booleans. An empty body has none; members that nobody asks for
    /// may hold anything.
    ///
    /// # Errors
    /// [`Error::Json`] and [`Error::Invalid`] for any other body, an unreadable `extra`, a negative limit or offset.
    pub fn from_body(body: &[u8]) -> Result<Self> {
        let fields = if body.is_empty() { Fields::default() } else { Fields::decode(body, Dollar::Keep)? };
        let filters: Vec<(String, Bson)> = fields.into_document().into_iter().collect();
        let text = |key| first(&filters, key).and_then(Bson::as_str);
        let number = |key| first(&filters, key).and_then(|value| fields::text(value.clone()));
        Ok(Self {
            extra: extra(text("extra"))?,
            page: Page::lenient(number("offset").as_deref(), number("limit").as_deref())?,
            projection: projection(text("field")),
            filters,
        })
    }

    /// A filter of the request, as text; none if it is missing or null.
    fn get(&self, key: &str) -> Result<Option<String>> {
        let Some(value) = first(&self.filters, key).filter(|value| **value != Bson::Null) else { return Ok(None) };
        let text = fields::text(value.clone());
        text.map(Some).ok_or_else(|| Error::invalid(format!("filter {key} is no text")))
    }

    /// Whether the namespaces in use are wanted instead of the namespace objects.
    pub fn wants_used_namespaces(&self) -> bool {
        first(&self.filters, "used").and_then(|value| fields::text(value.clone())).as_deref() == Some("1")
    }
}

fn first<'a>(pairs: &'a [(String, Bson)], key: &str) -> Option<&'a Bson> {
    pairs.iter().find(|(name, _)| name == key).map(|(_, value)| value)
}

impl Kind {
    /// What a query of this type selects in one or more clusters (comma list).
    ///
    /// # Errors
    /// [`Error::Invalid`] if the value of a key is an object or an array, or that of a number key no number.
    pub fn filter(&self, clusters: &str, parameters: &Parameters) -> Result<Filter> {
        let mut all = vec![one_of("clusterId", clusters)];
        for key in self.keys.iter().copied().flatten() {
            all.extend(key.filter(parameters.get(key.name)?.as_deref())?);
        }
        if !parameters.extra.is_empty() {
            all.push(extra_lists(parameters.extra.clone()));
        }
        all.push(live());
        Ok(Filter::And(all))
    }
}

impl Key {
    /// The condition of a value; a missing value counts as the default, an empty one switches the key off.
    fn filter(&self, value: Option<&str>) -> Result<Option<Filter>> {
        let Some(value) = value.or(self.default).filter(|value| !value.is_empty()) else {
            return Ok(None);
        };
        let path = || Path::dotted(self.path);
        Ok(Some(match self.op {
            Op::In => one_of(self.path, value),
            Op::InOrMissing => Filter::Or(vec![one_of(self.path, value), Filter::Exists(path(), false)]),
            Op::Int => {
                let number: i64 = value.parse().map_err(|_| Error::invalid(format!("{} is no integer", self.name)))?;
                Filter::Eq(path(), number.into())
            }
            Op::Bool => Filter::Eq(path(), (value == "1" || value.eq_ignore_ascii_case("true")).into()),
            Op::After | Op::Before => {
                let Ok(seconds) = value.parse() else { return Ok(None) };
                if self.op == Op::After { Filter::After(path(), seconds) } else { Filter::Before(path(), seconds) }
            }
        }))
    }
}

/// The resources of a type as JSON. A type that is kept in several collections is read from one after the other.
///
/// # Errors
/// [`Error::Invalid`] and [`Error::Store`].
pub async fn list(
    store: &dyn DocumentDatabase,
    kind: &Kind,
    clusters: &str,
    parameters: Parameters,
) -> Result<JsonDocuments> {
    let filter = kind.filter(clusters, &parameters)?;
    let mut find = parameters.page.find(filter, parameters.projection);
    let mut all = JsonDocuments::default();
    for (index, collection) in kind.collections.iter().enumerate() {
        let found = store.find_json(collection, &find, SHOWN).await?;
        let rest = parameters.page.limit.saturating_sub(all.count + found.count);
        if rest == 0 || index + 1 == kind.collections.len() {
            append(&mut all, found);
            return Ok(all);
        }
        find.skip = if found.count > 0 || find.skip == 0 {
            0
        } else {
            find.skip.saturating_sub(store.count(collection, &find.filter).await?)
        };
        find.limit = Some(rest);
        append(&mut all, found);
    }
    Ok(all)
}

fn append(all: &mut JsonDocuments, found: JsonDocuments) {
    if all.count == 0 {
        *all = found;
    } else if found.count > 0 {
        all.text.push(b',');
        all.text.extend_from_slice(&found.text);
        all.count += found.count;
    }
}

/// The namespaces in which a cluster has resources of some types, each once, in the order of the types.
async fn namespaces(
    store: &dyn DocumentDatabase,
    kinds: &[&Kind],
    clusters: &str,
    parameters: &Parameters,
) -> Result<Vec<String>> {
    let path = Path::dotted("namespace");
    let reads = kinds.iter().flat_map(|kind| kind.collections.iter().map(move |collection| (kind, collection)));
    let reads = reads.map(|(kind, collection)| {
        let (filter, path) = (kind.filter(clusters, parameters), &path);
        async move { Ok::<_, Error>(store.distinct(collection, path, &filter?).await?) }
    });
    let mut namespaces: Vec<String> = Vec::new();
    for value in futures::future::try_join_all(reads).await?.into_iter().flatten() {
        if let Bson::String(namespace) = value
            && !namespaces.contains(&namespace)
        {
            namespaces.push(namespace);
        }
    }
    Ok(namespaces)
}

/// The namespaces of a Mesos cluster.
///
/// # Errors
/// [`Error::Invalid`] and [`Error::Store`].
pub async fn mesos_namespaces(
    store: &dyn DocumentDatabase,
    clusters: &str,
    parameters: &Parameters,
) -> Result<Vec<String>> {
    namespaces(store, MESOS_NAMESPACES, clusters, parameters).await
}

/// The namespaces in use in a Kubernetes cluster.
///
/// # Errors
/// [`Error::Invalid`] and [`Error::Store`].
pub async fn kubernetes_namespaces(
    store: &dyn DocumentDatabase,
    clusters: &str,
    parameters: &Parameters,
) -> Result<Vec<String>> {
    namespaces(store, KUBERNETES_NAMESPACES, clusters, parameters).await
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kind(kinds: &'static [Kind], name: &str) -> &'static Kind {
        kinds.iter().find(|kind| kind.route.rsplit('/').next() == Some(name)).unwrap()
    }

    fn get(raw: &str) -> Parameters {
        Parameters::from_query(&Query::parse(raw)).unwrap()
    }

    fn post(body: &str) -> Parameters {
        Parameters::from_body(body.as_bytes()).unwrap()
    }

    /// The conditions besides cluster and flag.
    fn conditions(kind: &Kind, parameters: &Parameters) -> Vec<Filter> {
        let Filter::And(mut all) = kind.filter("A,B", parameters).unwrap() else { panic!() };
        assert_eq!(all.remove(0), one_of("clusterId", "A,B"));
        assert_eq!(all.pop(), Some(live()));
        all
    }

    #[test]
    fn every_operator() {
        let pod = kind(KUBERNETES, "pod");
        assert_eq!(
            conditions(pod, &get("namespace=a,b&status=Running&startTimeBegin=5&startTimeEnd=9&colour=red&name=")),
            [
                one_of("namespace", "a,b"),
                one_of("data.status.phase", "Running"),
                Filter::After(Path::dotted("data.status.startTime"), 5),
                Filter::Before(Path::dotted("data.status.startTime"), 9),
            ]
        );
        assert_eq!(conditions(pod, &get("startTimeBegin=soon")), []);
        let deployment = kind(MESOS, "deployment");
        assert_eq!(
            conditions(deployment, &get("checkTime=16&isInRolling=True")),
            [
                Filter::Eq(Path::dotted("data.check_time"), 16_i64.into()),
                Filter::Eq(Path::dotted("data.is_in_rolling"), true.into())
            ]
        );
        assert_eq!(
            conditions(deployment, &get("isInRolling=yes")),
            [Filter::Eq(Path::dotted("data.is_in_rolling"), false.into())]
        );
        assert!(kind(KUBERNETES, "deployment").filter("A", &get("replicas=many")).is_err());
    }

    #[test]
    fn the_kind_of_an_application_has_a_default() {
        let default =
            Filter::Or(vec![one_of("data.kind", ",application"), Filter::Exists(Path::dotted("data.kind"), false)]);
        assert_eq!(conditions(kind(MESOS, "application"), &get("")), std::slice::from_ref(&default));
        assert_eq!(conditions(kind(MESOS, "application"), &post(r#"{"kind":null}"#)), [default]);
        assert_eq!(conditions(kind(MESOS, "application"), &get("kind=")), []);
        assert_eq!(conditions(kind(MESOS, "process"), &post("")), [one_of("data.kind", "process")]);
        assert_eq!(conditions(kind(MESOS, "process"), &post(r#"{"kind":""}"#)), []);
    }

    #[test]
    fn bodies_take_numbers_and_booleans() {
        let deployment = kind(KUBERNETES, "deployment");
        assert_eq!(
            conditions(deployment, &post(r#"{"replicas":3,"name":true}"#)),
            [one_of("resourceName", "true"), Filter::Eq(Path::dotted("data.status.replicas"), 3_i64.into()),]
        );
        let page = post(r#"{"limit":1,"offset":"2","field":"a"}"#);
        assert_eq!((page.page.limit, page.page.offset, page.projection), (1, 2, vec!["a".to_owned()]));
        assert_eq!(post(r#"{"limit":"abc"}"#).page.limit, 3000);
        assert_eq!(post("null"), post("{}"));
        for bad in ["nope", "{", "[]", "5", "\"x\"", r#"{"limit":-2}"#, r#"{"extra":"%"}"#] {
            assert!(Parameters::from_body(bad.as_bytes()).is_err(), "{bad}");
        }
        for bad in [r#"{"name":{}}"#, r#"{"name":[]}"#] {
            assert!(deployment.filter("A", &post(bad)).is_err(), "{bad}");
        }
        let odd = post(r#"{"colour":["red"],"field":["a"],"limit":[1],"extra":{},"used":{}}"#);
        assert_eq!((conditions(deployment, &odd), odd.page.limit), (vec![], 3000));
        assert!(odd.projection.is_empty() && !odd.wants_used_namespaces());
    }

    #[test]
    fn extra_chooses_among_values() {
        let pod = kind(KUBERNETES, "pod");
        let found = conditions(pod, &get("extra=eyJhIjogWzEsMl19"));
        assert_eq!(found, [extra_lists(bson::doc! { "a": [1_i64, 2_i64] })]);
        assert_eq!(conditions(pod, &get("extra=%25")), []);
    }

    #[test]
    fn the_path_decides_the_cluster() {
        let filter = kind(KUBERNETES, "pod").filter("A", &post(r#"{"clusterId":"B"}"#)).unwrap();
        assert_eq!(filter, Filter::And(vec![one_of("clusterId", "A"), live()]));
    }

    #[test]
    fn used_namespaces_are_asked_for_by_1() {
        assert!(get("used=1").wants_used_namespaces() && post(r#"{"used":1}"#).wants_used_namespaces());
        assert!(!get("used=true").wants_used_namespaces());
    }

    proptest! {
        #[test]
        fn never_panics(raw in "\\PC{0,40}", value in "\\PC{0,10}") {
            let _ = Parameters::from_query(&Query::parse(&raw));
            let _ = Parameters::from_body(raw.as_bytes());
            for kind in MESOS.iter().chain(KUBERNETES) {
                for key in kind.keys.iter().copied().flatten() {
                    let _ = key.filter(Some(&value));
                }
            }
        }
    }
}
