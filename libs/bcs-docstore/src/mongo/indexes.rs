//! Indexes, made once a process and recognised by their names.

use std::collections::{HashMap, HashSet};

use futures::TryStreamExt;
use mongodb::IndexModel;
use mongodb::options::IndexOptions;
use parking_lot::Mutex;

use super::MongoDatabase;
use super::error::{code, server_code};
use crate::{Bson, Document, Error, Index, Order, Result};

/// The indexes that this process has made or found. Whoever drops one in another process must restart this one.
#[derive(Default)]
pub(super) struct KnownIndexes {
    by_collection: Mutex<HashMap<String, HashSet<String>>>,
}

impl KnownIndexes {
    fn contains(&self, collection: &str, name: &str) -> bool {
        self.by_collection.lock().get(collection).is_some_and(|names| names.contains(name))
    }

    fn add(&self, collection: &str, name: &str) {
        self.by_collection.lock().entry(collection.to_owned()).or_default().insert(name.to_owned());
    }

    fn forget(&self, collection: &str, name: &str) {
        if let Some(names) = self.by_collection.lock().get_mut(collection) {
            names.remove(name);
        }
    }
}

impl MongoDatabase {
    pub(super) async fn make_index(&self, collection: &str, index: &Index) -> Result<()> {
        if self.known_indexes.contains(collection, &index.name) {
            return Ok(());
        }
        let target = self.collection(collection)?;
        self.operations
            .run("createTable", async {
                let created = self.database.create_collection(collection).await;
                Ok(tolerate(created, &[code::NAMESPACE_EXISTS])?)
            })
            .await?;
        self.operations
            .run("createIndex", async {
                let created = target.create_index(model(index)).await.map(|_| ());
                Ok(tolerate(created, &code::INDEX_EXISTS)?)
            })
            .await?;
        self.known_indexes.add(collection, &index.name);
        Ok(())
    }

    pub(super) async fn remove_index(&self, collection: &str, name: &str) -> Result<()> {
        let target = self.collection(collection)?;
        // Before the attempt: it may succeed without an answer.
        self.known_indexes.forget(collection, name);
        let dropped = self.operations.run("dropIndex", async { Ok(target.drop_index(name).await?) }).await;
        match dropped {
            Err(Error::NotFound(_)) => Err(Error::NotFound(format!("index {name} of {collection}"))),
            other => other,
        }
    }

    pub(super) async fn list_indexes(&self, collection: &str) -> Result<Vec<Index>> {
        let target = self.collection(collection)?;
        let list = async {
            let cursor = match target.list_indexes().await {
                Ok(cursor) => cursor,
                Err(error) if server_code(&error) == Some(code::NAMESPACE_NOT_FOUND) => return Ok(Vec::new()),
                Err(error) => return Err(error.into()),
            };
            let models: Vec<IndexModel> = cursor.try_collect().await?;
            Ok(models.into_iter().filter_map(described).filter(|index| index.name != "_id_").collect())
        };
        self.operations.run("indexes", list).await
    }
}

fn tolerate(result: mongodb::error::Result<()>, codes: &[i32]) -> mongodb::error::Result<()> {
    match result {
        Err(error) if server_code(&error).is_some_and(|code| codes.contains(&code)) => Ok(()),
        other => other,
    }
}

fn model(index: &Index) -> IndexModel {
    let keys: Document = index
        .keys
        .iter()
        .map(|(path, order)| (path.clone(), Bson::Int32(if *order == Order::Ascending { 1 } else { -1 })))
        .collect();
    // `unique: false` would differ from an index made without the option, as by the original.
    let unique = index.unique.then_some(true);
    IndexModel::builder()
        .keys(keys)
        .options(IndexOptions::builder().name(index.name.clone()).unique(unique).build())
        .build()
}

/// `None` for an index without a name, which no server has.
fn described(model: IndexModel) -> Option<Index> {
    let options = model.options?;
    let keys = model.keys.iter().map(|(path, order)| (path.clone(), order_of(order))).collect();
    Some(Index { name: options.name?, keys, unique: options.unique.unwrap_or(false) })
}

/// Directions are numbers of any type; hashed, text and geographic keys have none and count as ascending.
fn order_of(direction: &Bson) -> Order {
    let descending = match direction {
        Bson::Int32(direction) => *direction < 0,
        Bson::Int64(direction) => *direction < 0,
        Bson::Double(direction) => *direction < 0.0,
        _ => false,
    };
    if descending { Order::Descending } else { Order::Ascending }
}
