//! Watch resources: small objects that other programs find, and watch, in ZooKeeper (storage.md 8.5).
//!
//! With the embedded store they are kept there. Nobody can watch them then, but their writers and readers are served.

use std::sync::Arc;

use async_trait::async_trait;
use bcs_common::registry::zookeeper::ZooKeeper;
use bcs_docstore::json::{self, Dollar};
use bcs_docstore::{Bson, DocumentDatabase, Filter, Find, Index, Order, Path, Upsert, doc};
use serde_json::value::RawValue;

use crate::error::{Error, Result};
use crate::fields::Fields;

/// A tree of nodes.
#[async_trait]
pub trait NodeStore: Send + Sync {
    /// The data of a node.
    ///
    /// # Errors
    /// [`Error::NotFound`] and those of the store.
    async fn get(&self, directory: &str, name: &str) -> Result<Vec<u8>>;

    /// The names of all nodes of a directory.
    ///
    /// # Errors
    /// [`Error::NotFound`] if it never had one, and those of the store.
    async fn list(&self, directory: &str) -> Result<Vec<String>>;

    /// Writes a node, new or not.
    ///
    /// # Errors
    /// Those of the store.
    async fn put(&self, directory: &str, name: &str, data: Vec<u8>) -> Result<()>;

    /// Removes a node; it is no error if there is none.
    ///
    /// # Errors
    /// Those of the store.
    async fn delete(&self, directory: &str, name: &str) -> Result<()>;
}

/// The place of a watch resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// `<env>/<cluster>/<type>`.
    pub directory: String,
    namespace: String,
    name: String,
}

impl Place {
    /// The place that a path names.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a part of it would lead elsewhere in the tree.
    pub fn new(env: &str, cluster: &str, kind: &str, namespace: &str, name: &str) -> Result<Self> {
        for part in [cluster, kind, namespace] {
            if part.is_empty() || part == "." || part == ".." {
                return Err(Error::invalid(format!("{part:?} cannot be part of a node path")));
            }
        }
        if [cluster, kind, namespace, name].iter().any(|part| part.contains(['/', '\0'])) {
            return Err(Error::invalid("a part of a node path holds a slash or NUL"));
        }
        Ok(Self {
            directory: format!("{env}/{cluster}/{kind}"),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
    }

    fn node(&self) -> String {
        format!("{}.{}", self.namespace, self.name)
    }
}

/// The JSON object of a watch resource.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Invalid`] if the node holds anything else, and those of the store.
pub async fn get(store: &dyn NodeStore, place: &Place) -> Result<Vec<u8>> {
    let data = store.get(&place.directory, &place.node()).await?;
    let is_object = serde_json::from_slice::<&RawValue>(&data).is_ok_and(|value| value.get().starts_with('{'));
    if is_object { Ok(data) } else { Err(Error::invalid("the node holds no JSON object")) }
}

/// The watch resources of a namespace, as `<namespace>.<name>`.
///
/// # Errors
/// [`Error::NotFound`] if there never was one of the type in the cluster, and those of the store.
pub async fn list(store: &dyn NodeStore, place: &Place) -> Result<Vec<String>> {
    let mut names = store.list(&place.directory).await?;
    names.retain(|node| node.split_once('.').is_some_and(|(namespace, _)| namespace == place.namespace));
    Ok(names)
}

/// Writes the object in the body of a PUT, with the time.
///
/// # Errors
/// [`Error::Json`], [`Error::Invalid`] and those of the store.
pub async fn put(store: &dyn NodeStore, place: &Place, body: &[u8], now: String) -> Result<()> {
    let data = with_update_time(Fields::decode(body, Dollar::Keep)?, now)?;
    store.put(&place.directory, &place.node(), data).await
}

fn with_update_time(mut fields: Fields, now: String) -> Result<Vec<u8>> {
    let Bson::Document(mut data) = fields.take("data") else {
        return Err(Error::invalid("field data is no object"));
    };
    data.insert("updateTime", now);
    let mut json = Vec::new();
    json::write_bson(&Bson::Document(data), &mut json);
    Ok(json)
}

/// Removes a watch resource; it is no error if there is none.
///
/// # Errors
/// Those of the store.
pub async fn delete(store: &dyn NodeStore, place: &Place) -> Result<()> {
    store.delete(&place.directory, &place.node()).await
}

/// A moment as Go writes it with up to nine digits of fraction.
pub fn rfc3339_nano(time: chrono::DateTime<chrono::Local>) -> String {
    let text = time.format("%Y-%m-%dT%H:%M:%S%.9f").to_string();
    let text = text.trim_end_matches('0').trim_end_matches('.');
    let zone = time.format("%:z").to_string();
    format!("{text}{}", if zone == "+00:00" { "Z" } else { &zone })
}

/// Nodes in ZooKeeper, below a base path.
pub struct ZooKeeperNodes {
    zookeeper: ZooKeeper,
    base: String,
}

impl ZooKeeperNodes {
    /// Nodes below `base`, with or without slashes at its ends.
    pub fn new(zookeeper: ZooKeeper, base: &str) -> Self {
        let base = base.trim_matches('/');
        Self { zookeeper, base: if base.is_empty() { String::new() } else { format!("/{base}") } }
    }

    fn directory(&self, directory: &str) -> String {
        format!("{}/{directory}", self.base)
    }

    fn node(&self, directory: &str, name: &str) -> String {
        format!("{}/{directory}/{name}", self.base)
    }
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Nodes(Box::new(error))
}

#[async_trait]
impl NodeStore for ZooKeeperNodes {
    async fn get(&self, directory: &str, name: &str) -> Result<Vec<u8>> {
        self.zookeeper.get(&self.node(directory, name)).await.map_err(failed)?.ok_or(Error::NotFound)
    }

    async fn list(&self, directory: &str) -> Result<Vec<String>> {
        self.zookeeper.list(&self.directory(directory)).await.map_err(failed)?.ok_or(Error::NotFound)
    }

    async fn put(&self, directory: &str, name: &str, data: Vec<u8>) -> Result<()> {
        self.zookeeper.set_or_create(&self.node(directory, name), &data).await.map_err(failed)
    }

    async fn delete(&self, directory: &str, name: &str) -> Result<()> {
        self.zookeeper.delete(&self.node(directory, name)).await.map(|_existed| ()).map_err(failed)
    }
}

/// Nodes in the document store: a directory is a collection, a node a document with the JSON text.
pub struct EmbeddedNodes(Arc<dyn DocumentDatabase>);

impl EmbeddedNodes {
    /// Nodes in a database of their own.
    pub fn new(store: Arc<dyn DocumentDatabase>) -> Self {
        Self(store)
    }
}

fn by_name(name: &str) -> Filter {
    Filter::Eq(Path::dotted("name"), name.into())
}

fn text(document: bcs_docstore::Document, key: &str) -> Option<String> {
    document.get_str(key).ok().map(str::to_owned)
}

#[async_trait]
impl NodeStore for EmbeddedNodes {
    async fn get(&self, directory: &str, name: &str) -> Result<Vec<u8>> {
        let found = self.0.find(directory, &Find::one(by_name(name))).await?;
        let text = found.into_iter().next().and_then(|document| text(document, "json"));
        text.map(String::into_bytes).ok_or(Error::NotFound)
    }

    async fn list(&self, directory: &str) -> Result<Vec<String>> {
        // The index outlives the nodes, as a directory in ZooKeeper does.
        if self.0.indexes(directory).await?.is_empty() {
            return Err(Error::NotFound);
        }
        let find = Find { projection: vec!["name".to_owned()], ..Find::all(Filter::all()) };
        let found = self.0.find(directory, &find).await?;
        Ok(found.into_iter().filter_map(|document| text(document, "name")).collect())
    }

    async fn put(&self, directory: &str, name: &str, data: Vec<u8>) -> Result<()> {
        let keys = vec![("name".to_owned(), Order::Ascending)];
        self.0.ensure_index(directory, &Index { name: "name_idx".to_owned(), keys, unique: true }).await?;
        let json = String::from_utf8(data).map_err(|_| Error::invalid("the data is no text"))?;
        let upsert = Upsert {
            key: doc! { "name": name },
            set: doc! { "json": json },
            data: None,
            set_when_new: bcs_docstore::Document::new(),
        };
        Ok(self.0.upsert(directory, upsert).await?)
    }

    async fn delete(&self, directory: &str, name: &str) -> Result<()> {
        self.0.delete_many(directory, &by_name(name)).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone;

    use super::*;

    #[test]
    fn places_stay_in_their_directory() {
        let place = Place::new("k8s", "c", "exportservice", "ns", "a.b").unwrap();
        assert_eq!((place.directory.as_str(), place.node().as_str()), ("k8s/c/exportservice", "ns.a.b"));
        for (cluster, kind, namespace, name) in [
            ("..", "t", "ns", "n"),
            ("c", "", "ns", "n"),
            ("c", ".", "ns", "n"),
            ("c", "t", "a/b", "n"),
            ("c", "t", "ns", "/"),
        ] {
            assert!(Place::new("k8s", cluster, kind, namespace, name).is_err());
        }
    }

    #[test]
    fn data_is_an_object_with_a_time() {
        let written =
            |body: &str| with_update_time(Fields::decode(body.as_bytes(), Dollar::Keep).unwrap(), "now".into());
        let json = written(r#"{"data":{"updateTime":"mine","$n":9007199254740993}}"#).unwrap();
        let data: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(data, serde_json::json!({ "updateTime": "now", "$n": 9_007_199_254_740_993_i64 }));
        for bad in [r#"{"data":[1,2]}"#, r#"{"data":"x"}"#, "{}", "null"] {
            assert!(written(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_are_as_short_as_they_can_be() {
        let time = |nanos| {
            let utc = chrono::Utc.timestamp_opt(1_622_600_001, nanos).unwrap();
            let text = rfc3339_nano(utc.with_timezone(&chrono::Local));
            assert_eq!(chrono::DateTime::parse_from_rfc3339(&text).unwrap(), utc, "{text}");
            text
        };
        assert!(time(0).contains(":21") && !time(0).contains('.'));
        assert!(time(245_534_270).contains(".24553427"));
        assert!(!time(245_534_270).contains(".245534270"));
    }
}
