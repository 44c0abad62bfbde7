//! The trait on SQLite.

use std::sync::Arc;

use async_trait::async_trait;
use bson::{Bson, Document};
use rusqlite::Connection;

use super::Store;
use super::row::Row;
use super::table::Table;
use super::write::{Assignments, PreparedUpsert, Target};
use super::writer::Writing;
use super::{index, read};
use crate::{
    DocumentDatabase, Encode, Fields, Filter, Find, Index, JsonDocuments, Path, Render, Result, Subscription, Upsert,
};

/// The collections of one layout.
#[derive(Debug, Clone)]
pub struct SqliteDatabase {
    store: Arc<Store>,
    table: Arc<Table>,
}

impl SqliteDatabase {
    pub(super) fn new(store: Arc<Store>, table: Table) -> Self {
        Self { store, table: Arc::new(table) }
    }

    /// A read that may take long, on a thread where it stops nobody.
    async fn read<T, F>(&self, read: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection, &Table) -> Result<T> + Send + 'static,
    {
        let table = Arc::clone(&self.table);
        self.store.readers.long(move |connection| read(connection, &table)).await
    }

    /// The documents of a filter, in the form that `read` gives them.
    async fn found<T, F>(&self, collection: &str, find: &Find, read: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection, &Table, &str, &Find) -> Result<T> + Send + 'static,
    {
        if find.limit == Some(1) {
            // A look at one document takes microseconds: handing it to another thread would cost more.
            return self.store.readers.with(|connection| read(connection, &self.table, collection, find));
        }
        let (collection, find) = (collection.to_owned(), find.clone());
        self.read(move |connection, table| read(connection, table, &collection, &find)).await
    }

    async fn write<T, F>(&self, collection: &str, mut work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&Target<'_>, &mut Writing<'_>) -> Result<T> + Send + 'static,
    {
        let (table, collection) = (Arc::clone(&self.table), collection.to_owned());
        let work = move |writing: &mut Writing<'_>| work(&Target { table: &table, collection: &collection }, writing);
        self.store.writer.write(work).await
    }
}

#[async_trait]
impl DocumentDatabase for SqliteDatabase {
    async fn find_json(&self, collection: &str, find: &Find, render: Render) -> Result<JsonDocuments> {
        let read = move |connection: &Connection, table: &Table, collection: &str, find: &Find| {
            read::find_json(connection, table, collection, find, render)
        };
        self.found(collection, find, read).await
    }

    async fn find(&self, collection: &str, find: &Find) -> Result<Vec<Document>> {
        self.found(collection, find, read::find).await
    }

    async fn find_fields(&self, collection: &str, find: &Find) -> Result<Vec<Fields>> {
        self.found(collection, find, read::find_fields).await
    }

    async fn find_encoded(&self, collection: &str, find: &Find, encode: Encode) -> Result<Vec<u8>> {
        let read = move |connection: &Connection, table: &Table, collection: &str, find: &Find| {
            read::find_encoded(connection, table, collection, find, encode)
        };
        self.found(collection, find, read).await
    }

    async fn count(&self, collection: &str, filter: &Filter) -> Result<u64> {
        let (collection, filter) = (collection.to_owned(), filter.clone());
        self.read(move |connection, table| read::count(connection, table, &collection, &filter)).await
    }

    async fn distinct(&self, collection: &str, path: &Path, filter: &Filter) -> Result<Vec<Bson>> {
        let (collection, path, filter) = (collection.to_owned(), path.clone(), filter.clone());
        self.read(move |connection, table| read::distinct(connection, table, &collection, &path, &filter)).await
    }

    async fn insert(&self, collection: &str, document: Document) -> Result<()> {
        // Those that are made here differ from all others.
        let own_id = document.get("_id").cloned();
        let row = Row::from_document(&self.table, document)?;
        self.write(collection, move |target, writing| {
            own_id.as_ref().map_or(Ok(()), |id| target.check_id(writing, id))?;
            target.insert(writing, &row)
        })
        .await
    }

    async fn upsert(&self, collection: &str, upsert: Upsert) -> Result<()> {
        let upsert = PreparedUpsert::new(&self.table, upsert)?;
        self.write(collection, move |target, writing| target.upsert(writing, &upsert)).await
    }

    async fn update_many(&self, collection: &str, filter: &Filter, set: Document) -> Result<u64> {
        let (filter, set) = (filter.clone(), Assignments::new(&self.table, set)?);
        self.write(collection, move |target, writing| target.update_many(writing, &filter, &set)).await
    }

    async fn delete_many(&self, collection: &str, filter: &Filter) -> Result<u64> {
        let filter = filter.clone();
        self.write(collection, move |target, writing| target.delete_many(writing, &filter)).await
    }

    async fn collections(&self) -> Result<Vec<String>> {
        self.read(read::collections).await
    }

    async fn ensure_index(&self, collection: &str, index: &Index) -> Result<()> {
        if self.store.is_ensured(self.table.layout.name, collection, &index.name) {
            return Ok(());
        }
        let wanted = index.clone();
        self.write(collection, move |target, writing| target.ensure_index(writing, &wanted)).await?;
        self.store.ensured(self.table.layout.name, collection, &index.name);
        Ok(())
    }

    async fn drop_index(&self, collection: &str, name: &str) -> Result<()> {
        self.store.forget_ensured(self.table.layout.name, collection, name);
        let name = name.to_owned();
        self.write(collection, move |target, writing| target.drop_index(writing, &name)).await
    }

    async fn indexes(&self, collection: &str) -> Result<Vec<Index>> {
        let collection = collection.to_owned();
        self.read(move |connection, table| {
            let stored = index::load(connection, table.layout.name, &collection)?;
            Ok(stored.into_iter().map(|stored| stored.index).collect())
        })
        .await
    }

    async fn watch(&self, collection: &str) -> Result<Subscription> {
        Ok(self.store.writer.subscribe(self.table.layout.name, collection))
    }

    async fn ping(&self) -> Result<()> {
        self.write("", |_, _| Ok(())).await
    }
}
