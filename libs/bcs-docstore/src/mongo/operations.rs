//! The document operations.

use async_trait::async_trait;
use bson::RawDocument;
use futures::TryStreamExt;
use mongodb::Collection;
use mongodb::options::FindOptions;

use super::MongoDatabase;
use super::error::{code, server_code};
use super::query::{Query, projection, projection_for};
use crate::matcher::matches;
use crate::project::project;
use crate::{
    Bson, Document, DocumentDatabase, Error, Filter, Find, Index, JsonDocuments, Order, Path, Render, Result,
    Subscription, Upsert, doc, json, update,
};

/// How many ids go into one command: far below the 16 MB that one may have, with ids of any usual size.
const IDS_PER_COMMAND: usize = 10_000;

#[async_trait]
impl DocumentDatabase for MongoDatabase {
    async fn find_json(&self, collection: &str, find: &Find, render: Render) -> Result<JsonDocuments> {
        let mut documents = JsonDocuments::default();
        let text = &mut documents.text;
        let count = &mut documents.count;
        let read = self.read(self.collection(collection)?, find, |document| {
            if *count > 0 {
                text.push(b',');
            }
            *count += 1;
            json::write_raw_document(document, render.hide, text);
            Ok(())
        });
        self.operations.run(method_of(find), read).await?;
        if render.restore_dollar {
            json::restore_dollar(&mut documents.text, 0);
        }
        Ok(documents)
    }

    async fn find(&self, collection: &str, find: &Find) -> Result<Vec<Document>> {
        let mut documents = Vec::new();
        let read = self.read(self.collection(collection)?, find, |document| {
            documents.push(Document::try_from(document)?);
            Ok(())
        });
        self.operations.run(method_of(find), read).await?;
        Ok(documents)
    }

    async fn count(&self, collection: &str, filter: &Filter) -> Result<u64> {
        let target = self.collection(collection)?;
        let query = Query::from(filter);
        let count = async {
            if query.exact {
                return Ok(target.count_documents(query.document).await?);
            }
            let ids = matching_ids(&target, query.document, filter).await?;
            Ok(ids.len() as u64)
        };
        self.operations.run("count", count).await
    }

    async fn distinct(&self, collection: &str, path: &Path, filter: &Filter) -> Result<Vec<Bson>> {
        if !path.is_plain() {
            return Err(Error::Invalid(format!("distinct values of {path}: a key holds a dot")));
        }
        let target = self.collection(collection)?;
        let path = path.to_string();
        let distinct = async {
            let mut values: Vec<Bson> = Vec::new();
            for query in exact_queries(&target, filter).await? {
                for value in target.distinct(&path, query).await? {
                    if !values.contains(&value) {
                        values.push(value);
                    }
                }
            }
            Ok(values)
        };
        self.operations.run("aggregation", distinct).await
    }

    async fn insert(&self, collection: &str, document: Document) -> Result<()> {
        let target = self.collection(collection)?;
        let insert = async {
            target.insert_one(document).await?;
            Ok(())
        };
        self.operations.run("insert", insert).await
    }

    async fn upsert(&self, collection: &str, mut upsert: Upsert) -> Result<()> {
        if let Some(data) = upsert.data.take() {
            upsert.set.insert("data", data.decode().map_err(|error| Error::Invalid(error.to_string()))?);
        }
        for set in [&upsert.set, &upsert.set_when_new] {
            update::check(set)?;
        }
        let target = self.collection(collection)?;
        let write = write_one(&target, &upsert, self.layout.deletion_flag);
        self.operations.run("upsert", write).await
    }

    async fn update_many(&self, collection: &str, filter: &Filter, set: Document) -> Result<u64> {
        update::check(&set)?;
        let target = self.collection(collection)?;
        let update = doc! { "$set": set };
        let write = async {
            let mut matched = 0;
            for query in exact_queries(&target, filter).await? {
                matched += target.update_many(query, update.clone()).await?.matched_count;
            }
            Ok(matched)
        };
        self.operations.run("updateMany", write).await
    }

    async fn delete_many(&self, collection: &str, filter: &Filter) -> Result<u64> {
        let target = self.collection(collection)?;
        let delete = async {
            let mut deleted = 0;
            for query in exact_queries(&target, filter).await? {
                deleted += target.delete_many(query).await?.deleted_count;
            }
            Ok(deleted)
        };
        self.operations.run("delete", delete).await
    }

    async fn collections(&self) -> Result<Vec<String>> {
        let list = async {
            let mut names = self.database.list_collection_names().await?;
            names.retain(|name| !name.starts_with("system."));
            Ok(names)
        };
        self.operations.run("listTableNames", list).await
    }

    async fn ensure_index(&self, collection: &str, index: &Index) -> Result<()> {
        self.make_index(collection, index).await
    }

    async fn drop_index(&self, collection: &str, name: &str) -> Result<()> {
        self.remove_index(collection, name).await
    }

    async fn indexes(&self, collection: &str) -> Result<Vec<Index>> {
        self.list_indexes(collection).await
    }

    async fn watch(&self, collection: &str) -> Result<Subscription> {
        super::check_name(collection)?;
        self.operations.run("watch", self.change_streams.follow(collection)).await
    }

    async fn ping(&self) -> Result<()> {
        let ping = async {
            self.database.run_command(doc! { "ping": 1 }).await?;
            Ok(())
        };
        self.operations.run("ping", ping).await
    }
}

impl MongoDatabase {
    /// Hands every document found to `take`, as it came from the server where nothing is left to do on it.
    async fn read(
        &self,
        target: Collection<Document>,
        find: &Find,
        mut take: impl FnMut(&RawDocument) -> Result<()>,
    ) -> Result<()> {
        // To MongoDB a limit of 0 is none.
        if find.limit == Some(0) {
            return Ok(());
        }
        let query = Query::from(&find.filter);
        let options = find_options(find, query.exact);
        let mut batches = target.find(query.document).with_options(options).batch().await?;
        let mut page = Page { skip: find.skip, limit: find.limit.unwrap_or(u64::MAX) };
        while let Some(batch) = batches.try_next().await? {
            for document in batch.doc_slices()? {
                let Some(document) = document?.as_document() else { continue };
                if query.exact {
                    take(document)?;
                    continue;
                }
                let decoded = Document::try_from(document)?;
                if !matches(&find.filter, &decoded) || !page.takes_next() {
                    continue;
                }
                if find.projection.is_empty() {
                    take(document)?;
                } else {
                    take(&bson::RawDocumentBuf::try_from(&project(&decoded, &find.projection))?)?;
                }
                if page.limit == 0 {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// Skip and limit over documents that only [`matches`] can choose.
struct Page {
    skip: u64,
    limit: u64,
}

impl Page {
    fn takes_next(&mut self) -> bool {
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        self.limit -= 1;
        true
    }
}

/// `exact`: the query finds only what is meant, so the server can also count and cut.
fn find_options(find: &Find, exact: bool) -> FindOptions {
    let mut options = FindOptions::default();
    options.sort = find.sort.as_ref().map(|sort| {
        let direction = if sort.order == Order::Ascending { 1 } else { -1 };
        doc! { &sort.field: direction }
    });
    if exact {
        options.skip = Some(find.skip).filter(|skip| *skip > 0);
        options.limit = find.limit.map(|limit| i64::try_from(limit).unwrap_or(i64::MAX));
        options.projection = (!find.projection.is_empty()).then(|| projection(&find.projection));
    }
    options
}

fn method_of(find: &Find) -> &'static str {
    if find.limit == Some(1) { "findOne" } else { "findAll" }
}

/// Queries that together find just what `filter` means: its own, or some by id.
async fn exact_queries(target: &Collection<Document>, filter: &Filter) -> Result<Vec<Document>> {
    let query = Query::from(filter);
    if query.exact {
        return Ok(vec![query.document]);
    }
    let ids = matching_ids(target, query.document.clone(), filter).await?;
    let by_ids = |ids: &[Bson]| {
        // With the rest of the filter: a document may have changed since it was read.
        doc! { "$and": [{ "_id": { "$in": ids } }, query.document.clone()] }
    };
    Ok(ids.chunks(IDS_PER_COMMAND).map(by_ids).collect())
}

/// The ids of the documents that `filter` means, out of those that the wider `query` finds.
async fn matching_ids(target: &Collection<Document>, query: Document, filter: &Filter) -> Result<Vec<Bson>> {
    let options = FindOptions::builder().projection(projection_for(filter)).build();
    let mut documents = target.find(query).with_options(options).await?;
    let mut ids = Vec::new();
    while let Some(mut document) = documents.try_next().await? {
        if matches(filter, &document) {
            ids.extend(document.remove("_id"));
        }
    }
    Ok(ids)
}

/// See [`Upsert`]. Of two writers that both find nothing, the one that the unique index refuses writes once more, now
/// over the other's document (storage.md 5.4).
async fn write_one(target: &Collection<Document>, upsert: &Upsert, deletion_flag: Option<&str>) -> Result<()> {
    match try_write_one(target, upsert, deletion_flag).await {
        Err(error) if server_code(&error) == Some(code::DUPLICATE_KEY) => {
            Ok(try_write_one(target, upsert, deletion_flag).await?)
        }
        other => Ok(other?),
    }
}

async fn try_write_one(
    target: &Collection<Document>,
    upsert: &Upsert,
    deletion_flag: Option<&str>,
) -> mongodb::error::Result<()> {
    let key = Query::from(&Filter::equal_to(&upsert.key)).document;
    let mut new = upsert.set.clone();
    let update = if let Some(flag) = deletion_flag {
        let mut live = key.clone();
        live.insert(flag, doc! { "$ne": true });
        if target.update_one(live, doc! { "$set": &upsert.set }).await?.matched_count > 0 {
            return Ok(());
        }
        new.extend(upsert.set_when_new.clone());
        doc! { "$set": new }
    } else if upsert.set_when_new.is_empty() {
        doc! { "$set": new }
    } else {
        doc! { "$set": new, "$setOnInsert": &upsert.set_when_new }
    };
    target.update_one(key, update).upsert(true).await?;
    Ok(())
}
