//! Configuration of clusters, rendered from the template of a service (storage.md 8.7).

use bcs_common::http::query::Query;
use bcs_docstore::json::{self, Dollar};
use bcs_docstore::{Bson, Document, DocumentDatabase, Filter, Find, Order, Path, Sort, Upsert, doc};
use bson::DateTime;

use crate::error::{Error, Result};
use crate::events::non_empty;
use crate::fields::Fields;
use crate::params::one_of;

const SERVICES: &str = "services";
const CLUSTERS: &str = "clusters";
const VERSIONS: &str = "stableVersion";
const TEMPLATES: &str = "clusterTemplate";

/// The service of a request that names none.
const DEFAULT_SERVICE: &str = "test";

/// The service that a request means: that of its path, else that of its query.
pub fn service<'a>(path: &'a str, query: &'a Query) -> &'a str {
    if path.is_empty() { non_empty(query, "service").unwrap_or(DEFAULT_SERVICE) } else { path }
}

/// The cluster that a request means: the query has the say, as in the original, else the path.
pub fn cluster<'a>(path: &'a str, query: &'a Query) -> &'a str {
    non_empty(query, "clusterId").unwrap_or(path)
}

/// Which clusters a request for a whole service means: all but some, some, or all.
pub fn clusters(query: &Query) -> Filter {
    let path = Path::dotted("clusterId");
    if let Some(others) = non_empty(query, "clusterIdNot") {
        return Filter::NotIn(path, others.split(',').map(Bson::from).collect());
    }
    non_empty(query, "clusterId").map_or_else(Filter::all, |clusters| one_of("clusterId", clusters))
}

/// One cluster.
pub fn one_cluster(id: &str) -> Filter {
    Filter::Eq(Path::dotted("clusterId"), id.into())
}

/// The configuration of a service with that of some clusters.
///
/// # Errors
/// [`Error::NotFound`] if the service has no configuration or no version, and [`Error::Store`].
pub async fn get(store: &dyn DocumentDatabase, service: &str, clusters: Filter) -> Result<Document> {
    let service_config = data(store, SERVICES, &Find::one(by_service(service))).await?;
    let version = stable_version(store, service).await?;
    let clusters = store.find(CLUSTERS, &Find::all(clusters)).await?.into_iter().map(|mut document| {
        let config = parts(document.remove("data").unwrap_or(Bson::Null));
        Bson::Document(
            doc! { "clusterId": document.remove("clusterId").unwrap_or(Bson::Null), "clusterConfig": config },
        )
    });
    Ok(doc! {
        "service": service,
        "serviceConfig": parts(service_config),
        "clusters": clusters.collect::<Vec<_>>(),
        "stableVersion": version,
    })
}

/// The two parts of a configuration.
fn parts(config: Bson) -> Document {
    let mut config = match config {
        Bson::Document(config) => config,
        _ => Document::new(),
    };
    let mut part = |key| config.remove(key).unwrap_or(Bson::Null);
    doc! { "common": part("common"), "conf": part("conf") }
}

fn by_service(service: &str) -> Filter {
    Filter::Eq(Path::dotted("service"), service.into())
}

async fn data(store: &dyn DocumentDatabase, collection: &str, find: &Find) -> Result<Bson> {
    let found = store.find(collection, find).await?.into_iter().next();
    found.and_then(|mut document| document.remove("data")).ok_or(Error::NotFound)
}

/// The version of a service that is to be used.
///
/// # Errors
/// [`Error::NotFound`] and [`Error::Store`].
pub async fn stable_version(store: &dyn DocumentDatabase, service: &str) -> Result<Bson> {
    data(store, VERSIONS, &Find::one(by_service(service))).await
}

/// Sets it from the body of a PUT.
///
/// # Errors
/// [`Error::Json`], [`Error::Invalid`] and [`Error::Store`].
pub async fn put_stable_version(store: &dyn DocumentDatabase, service: &str, body: &[u8]) -> Result<()> {
    let version = Fields::decode(body, Dollar::Keep)?.text("version")?;
    let upsert = Upsert {
        key: doc! { "service": service },
        set: doc! { "data": version },
        data: None,
        set_when_new: Document::new(),
    };
    Ok(store.upsert(VERSIONS, upsert).await?)
}

/// Renders the newest template of the service that the body names and stores the result for a cluster; returns the
/// service.
///
/// # Errors
/// [`Error::Json`], [`Error::Invalid`], [`Error::NotFound`] without a template, and [`Error::Store`].
pub async fn put(
    store: &dyn DocumentDatabase,
    cluster: &str,
    query: &Query,
    body: &[u8],
    now: DateTime,
) -> Result<String> {
    let setup = Setup::decode(body, cluster)?;
    let service = if setup.service.is_empty() { service("", query).to_owned() } else { setup.service.clone() };
    let newest = Find {
        sort: Some(Sort { field: "version".to_owned(), order: Order::Descending }),
        ..Find::one(by_service(&service))
    };
    let Bson::String(template) = data(store, TEMPLATES, &newest).await? else {
        return Err(Error::invalid("the template is no text"));
    };
    let config = json::decode(setup.render(&template).as_bytes(), Dollar::Rewrite)?;
    let upsert = Upsert {
        key: doc! { "clusterId": cluster },
        set: doc! { "data": config, "updateTime": now },
        data: None,
        set_when_new: doc! { "createTime": now },
    };
    store.upsert(CLUSTERS, upsert).await?;
    Ok(service)
}

/// What the template of a cluster is filled with.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Setup {
    service: String,
    cluster: String,
    zk: Vec<String>,
    master: Vec<String>,
    dns: Vec<String>,
    city: String,
    jfrog_url: String,
    need_nat: bool,
}

impl Setup {
    fn decode(body: &[u8], cluster: &str) -> Result<Self> {
        let mut fields = Fields::decode(body, Dollar::Keep)?;
        Ok(Self {
            service: fields.text("service")?,
            cluster: cluster.to_owned(),
            zk: fields.texts("zkIp")?,
            master: fields.texts("masterIp")?,
            dns: fields.texts("dnsIp")?,
            city: fields.text("city")?,
            jfrog_url: fields.text("jfrogUrl")?,
            need_nat: fields.boolean("needNat", true)?,
        })
    }

    /// Replaces the placeholders of a template, each once from left to right: a value is never looked into.
    fn render(&self, template: &str) -> String {
        let mut out = String::with_capacity(template.len());
        let mut rest = template;
        while let Some((before, from)) = rest.split_once("${") {
            out.push_str(before);
            let known = from.split_once('}').and_then(|(name, after)| Some((self.value(name)?, after)));
            match known {
                Some((value, after)) => {
                    out.push_str(&value);
                    rest = after;
                }
                None => {
                    out.push_str("${");
                    rest = from;
                }
            }
        }
        out.push_str(rest);
        out
    }

    fn value(&self, name: &str) -> Option<String> {
        let zk = with_port(&self.zk, "2181");
        Some(match name {
            "mesosZkHost" => zk.join(","),
            "mesosZkHostSpace" => zk.join(" "),
            "mesosZkHostSemicolon" => zk.join(";"),
            "mesosZkRaw" => self.zk.iter().map(|host| without_port(host)).collect::<Vec<_>>().join(","),
            "mesosMaster" => self.master.join(","),
            "mesosQuorum" => self.master.len().div_ceil(2).to_string(),
            "dnsUpStream" => with_port(&self.dns, "53").join(" "),
            "clusterId" => self.cluster.clone(),
            "clusterIdNumber" => self.cluster.rsplit('-').next().unwrap_or_default().to_owned(),
            "city" => self.city.clone(),
            "jfrogUrl" => self.jfrog_url.clone(),
            "needNat" => self.need_nat.to_string(),
            _ => return None,
        })
    }
}

fn with_port(hosts: &[String], port: &str) -> Vec<String> {
    hosts.iter().map(|host| if host.contains(':') { host.clone() } else { format!("{host}:{port}") }).collect()
}

fn without_port(host: &str) -> &str {
    host.split_once(':').map_or(host, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn setup() -> Setup {
        let body = br#"{"zkIp":["1.1.1.1","2.2.2.2:99"],"masterIp":["3.3.3.3","4.4.4.4","5.5.5.5"],"dnsIp":["6.6.6.6"],
                        "city":"sz ${clusterId}","jfrogUrl":"http://j"}"#;
        Setup::decode(body, "BCS-MESOS-10001").unwrap()
    }

    #[test]
    fn placeholders() {
        for (template, want) in [
            ("${mesosZkHost}", "1.1.1.1:2181,2.2.2.2:99"),
            ("${mesosZkHostSpace}", "1.1.1.1:2181 2.2.2.2:99"),
            ("${mesosZkHostSemicolon}", "1.1.1.1:2181;2.2.2.2:99"),
            ("${mesosZkRaw}", "1.1.1.1,2.2.2.2"),
            ("${mesosMaster}", "3.3.3.3,4.4.4.4,5.5.5.5"),
            ("${mesosQuorum}", "2"),
            ("${dnsUpStream}", "6.6.6.6:53"),
            ("a ${clusterId}/${clusterIdNumber} b", "a BCS-MESOS-10001/10001 b"),
            ("${city}", "sz ${clusterId}"),
            ("${jfrogUrl} ${needNat}", "http://j true"),
            ("${unknown} ${ ${city", "${unknown} ${ ${city"),
            ("$ {}", "$ {}"),
        ] {
            assert_eq!(setup().render(template), want, "{template}");
        }
    }

    #[test]
    fn nat_is_needed_unless_denied() {
        assert!(Setup::decode(b"{}", "c").unwrap().need_nat);
        assert!(!Setup::decode(br#"{"needNat":false}"#, "c").unwrap().need_nat);
        assert!(Setup::decode(br#"{"zkIp":"x"}"#, "c").is_err());
    }

    #[test]
    fn requests_name_services_and_clusters() {
        let query = Query::parse("service=s&clusterId=a,b");
        assert_eq!((service("", &query), service("p", &query), service("", &Query::default())), ("s", "p", "test"));
        assert_eq!((cluster("p", &query), cluster("p", &Query::default())), ("a,b", "p"));
        assert_eq!(clusters(&query), one_of("clusterId", "a,b"));
        assert_eq!(clusters(&Query::default()), Filter::all());
        let not = Filter::NotIn(Path::dotted("clusterId"), vec!["x".into(), "y".into()]);
        assert_eq!(clusters(&Query::parse("clusterIdNot=x,y&clusterId=a")), not);
    }

    #[test]
    fn configurations_have_two_parts() {
        let both = parts(bson::bson!({ "conf": { "a": {} }, "common": {}, "other": 1 }));
        assert_eq!(both, doc! { "common": {}, "conf": { "a": {} } });
        assert_eq!(parts(Bson::Null), doc! { "common": null, "conf": null });
    }

    proptest! {
        #[test]
        fn text_without_placeholders_stays(text in "[^$]{0,40}") {
            prop_assert_eq!(setup().render(&text), text);
        }

        #[test]
        fn never_panics(text in "[${}a-c]{0,30}") {
            setup().render(&text);
        }
    }
}
