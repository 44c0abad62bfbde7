//! The trait both backends keep, and what is asked of them.

use std::borrow::Cow;

use async_trait::async_trait;
use bson::{Bson, Document};

use crate::{Filter, JsonText, Path, Result, Subscription};

/// What a database keeps fast: fields that become real, indexed columns on SQLite. MongoDB needs only `deletion_flag`.
///
/// A field named here that holds another type than its group says is kept all the same, only not fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Name of the table on SQLite: letters, digits and `_`.
    pub name: &'static str,
    /// Top-level string fields.
    pub keys: &'static [&'static str],
    /// Top-level date fields.
    pub times: &'static [&'static str],
    /// Column groups to index, each behind the collection name; names out of `keys` and `times`.
    pub indexes: &'static [&'static [&'static str]],
    /// The boolean field that marks a document as deleted, where the database deletes softly.
    pub deletion_flag: Option<&'static str>,
}

/// Direction of a sort or of a key of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Smallest first; `1` in MongoDB.
    Ascending,
    /// Greatest first; `-1` in MongoDB.
    Descending,
}

/// The field documents are sorted by. Equal ones keep the order in which they were inserted.
#[derive(Clone, Debug, PartialEq)]
pub struct Sort {
    /// A top-level field.
    pub field: String,
    /// The direction.
    pub order: Order,
}

/// A read.
#[derive(Clone, Debug, PartialEq)]
pub struct Find {
    /// Which documents.
    pub filter: Filter,
    /// In which order; `None` = as inserted.
    pub sort: Option<Sort>,
    /// How many matches to pass over first.
    pub skip: u64,
    /// How many to return at most; `None` = all.
    pub limit: Option<u64>,
    /// Which paths of each document, always with `_id`; empty = the whole document.
    pub projection: Vec<String>,
}

impl Find {
    /// All documents of the filter, whole.
    pub fn all(filter: Filter) -> Self {
        Self { filter, sort: None, skip: 0, limit: None, projection: Vec::new() }
    }

    /// At most one document of the filter, whole.
    pub fn one(filter: Filter) -> Self {
        Self { limit: Some(1), ..Self::all(filter) }
    }
}

/// How stored documents are written for a client (storage.md 4.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Render {
    /// Top-level fields that are left out.
    pub hide: &'static [&'static str],
    /// Writes `$` for every `＄` (U+FF04), in keys and values.
    pub restore_dollar: bool,
}

/// Documents as JSON text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JsonDocuments {
    /// The documents, separated by commas, without brackets around them.
    pub text: Vec<u8>,
    /// How many they are.
    pub count: u64,
}

/// The fields of a document, each once, in no certain order.
pub type Fields = Vec<(Cow<'static, str>, Bson)>;

/// The value of a field as it is stored, before anybody owns it.
#[derive(Clone, Debug, PartialEq)]
pub enum FieldRef<'a> {
    /// A text.
    Text(Cow<'a, str>),
    /// A date, in milliseconds since 1970.
    Time(i64),
    /// A boolean.
    Bool(bool),
    /// Anything else.
    Other(&'a Bson),
}

impl<'a> From<&'a Bson> for FieldRef<'a> {
    fn from(value: &'a Bson) -> Self {
        match value {
            Bson::String(text) => Self::Text(Cow::Borrowed(text)),
            Bson::DateTime(time) => Self::Time(time.timestamp_millis()),
            Bson::Boolean(value) => Self::Bool(*value),
            other => Self::Other(other),
        }
    }
}

/// Appends a document, given by its fields, each once and in no certain order, to `out` in a form of the caller's.
pub type Encode = fn(fields: &[(&str, FieldRef<'_>)], out: &mut Vec<u8>);

/// Appends a document in the form of `encode`.
pub(crate) fn encode_document(document: &Document, encode: Encode, out: &mut Vec<u8>) {
    let fields: Vec<_> = document.iter().map(|(field, value)| (field.as_str(), value.into())).collect();
    encode(&fields, out);
}

/// Writes one document: over the one that matches `key`, else a new one.
///
/// Where the layout has a deletion flag, a match that carries it counts as new: it is written over, its `_id` stays,
/// fields that nobody sets stay, and `set_when_new` applies. In the steady state this is one round trip to MongoDB.
#[derive(Clone, Debug, PartialEq)]
pub struct Upsert {
    /// Equality conditions, dotted paths to values. A new document gets them as fields.
    pub key: Document,
    /// Fields to set, dotted paths to values.
    pub set: Document,
    /// The field `data` to set, as it came from the client: the bulk of a document, read by the backend only once.
    pub data: Option<JsonText>,
    /// Fields to set only if no live document matched.
    pub set_when_new: Document,
}

/// An index of a collection.
#[derive(Clone, Debug, PartialEq)]
pub struct Index {
    /// Its name, by which an existing one is recognised, whatever its keys.
    pub name: String,
    /// Dotted paths in the order of the index.
    pub keys: Vec<(String, Order)>,
    /// Refuses a second document with the same values; a missing value counts as null.
    pub unique: bool,
}

/// Collections of documents. A collection exists from its first document or index on.
///
/// Every operation ends in bounded time: a backend that is not there gives [`crate::Error::Unavailable`].
/// Writes are durable when they return.
#[async_trait]
pub trait DocumentDatabase: Send + Sync {
    /// Reads documents as JSON text, the fast way from disk to client.
    async fn find_json(&self, collection: &str, find: &Find, render: Render) -> Result<JsonDocuments>;

    /// Reads documents as values.
    async fn find(&self, collection: &str, find: &Find) -> Result<Vec<Document>>;

    /// The same without the means to look a field up: quicker to make, for a reader that takes every field once.
    async fn find_fields(&self, collection: &str, find: &Find) -> Result<Vec<Fields>> {
        let fields =
            |document: Document| document.into_iter().map(|(field, value)| (Cow::Owned(field), value)).collect();
        Ok(self.find(collection, find).await?.into_iter().map(fields).collect())
    }

    /// Reads documents in a form of the caller's, one behind the other. Quicker than all others for a list: no value gets
    /// memory of its own on the way.
    async fn find_encoded(&self, collection: &str, find: &Find, encode: Encode) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        for document in self.find(collection, find).await? {
            encode_document(&document, encode, &mut out);
        }
        Ok(out)
    }

    /// How many documents match.
    async fn count(&self, collection: &str, filter: &Filter) -> Result<u64>;

    /// The different values at `path` in the matching documents; array elements count one by one.
    async fn distinct(&self, collection: &str, path: &Path, filter: &Filter) -> Result<Vec<Bson>>;

    /// Stores a new document; without `_id` it gets an ObjectId.
    async fn insert(&self, collection: &str, document: Document) -> Result<()>;

    /// See [`Upsert`].
    async fn upsert(&self, collection: &str, upsert: Upsert) -> Result<()>;

    /// Sets fields (dotted paths) of all matching documents; returns how many matched.
    async fn update_many(&self, collection: &str, filter: &Filter, set: Document) -> Result<u64>;

    /// Removes all matching documents; returns how many.
    async fn delete_many(&self, collection: &str, filter: &Filter) -> Result<u64>;

    /// Names of the collections.
    async fn collections(&self) -> Result<Vec<String>>;

    /// Makes the collection and the index unless an index of that name exists. Cheap when called again.
    async fn ensure_index(&self, collection: &str, index: &Index) -> Result<()>;

    /// Removes an index; [`crate::Error::NotFound`] if there is none of that name.
    async fn drop_index(&self, collection: &str, name: &str) -> Result<()>;

    /// The indexes of a collection in the order they were made, without the one on `_id`.
    async fn indexes(&self, collection: &str) -> Result<Vec<Index>>;

    /// Follows the changes of a collection from now on. Documents written before this returns are not seen.
    async fn watch(&self, collection: &str) -> Result<Subscription>;

    /// Asks the database for a sign of life.
    async fn ping(&self) -> Result<()>;
}
