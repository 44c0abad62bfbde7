//! What every backend must do, written once over the trait. A test program names the backend:
//! `conformance_tests!(open)`, where `open(layout)` gives an empty database and whatever keeps it alive.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "all of this is test code: a panic is a failed test"
)]

mod feed;
mod indexes;
mod reads;
mod writes;

use std::sync::Arc;

use bcs_docstore::{Document, DocumentDatabase, Filter, Find, Layout};

pub use feed::*;
pub use indexes::*;
pub use reads::*;
pub use writes::*;

/// A database with soft deletion, as the dynamic resources have.
pub const SOFT: Layout = Layout {
    name: "soft",
    keys: &["clusterId", "namespace", "resourceType", "resourceName"],
    times: &["createTime", "updateTime"],
    indexes: &[&["clusterId", "resourceType", "namespace", "resourceName"]],
    deletion_flag: Some("_deleted"),
};

/// A database without, as the events have.
pub const HARD: Layout = Layout { name: "hard", deletion_flag: None, ..SOFT };

/// The backend under test.
pub type Store = Arc<dyn DocumentDatabase>;

/// All tests; those that ask for what not every stand-in of a server does get the attribute `$strict`.
macro_rules! conformance_tests {
    ($open:path) => {
        conformance_tests!($open, cfg(all()));
    };
    ($open:path, $strict:meta) => {
        conformance_tests! {
            $open, cfg(all()):
            filters_mean_what_the_matcher_says,
            json_is_written_as_clients_expect,
            projections_keep_what_is_asked,
            pages_are_cut_after_sorting,
            distinct_values_come_once,
            upserts_create_update_and_revive,
            upserts_without_flag_know_only_old_and_new,
            concurrent_first_upserts_make_one_document,
            duplicates_are_refused,
            many_are_updated_and_deleted,
            updates_that_cannot_be_meant_are_refused,
            indexes_are_known_by_name,
            collections_exist_from_their_first_document_or_index,
            followers_see_what_happens_from_then_on,
        }
        conformance_tests! {
            $open, $strict:
            numbers_hold_no_text,
            an_index_of_no_collection_cannot_be_dropped,
            changes_come_in_order_and_whole,
        }
    };
    ($open:path, $attribute:meta: $($name:ident),* $(,)?) => {
        $(
            #[tokio::test]
            #[$attribute]
            async fn $name() {
                conformance::$name($open).await;
            }
        )*
    };
}

/// How documents are compared: backends may keep fields in another order and whole numbers in another width.
pub fn as_json(document: &Document) -> serde_json::Value {
    let mut text = Vec::new();
    bcs_docstore::json::write_document(document, &mut text);
    serde_json::from_slice(&text).unwrap()
}

fn all_as_json(documents: &[Document]) -> Vec<serde_json::Value> {
    documents.iter().map(as_json).collect()
}

/// A whole number in a document.
fn number(document: &Document, key: &str) -> i64 {
    as_json(document)[key].as_i64().unwrap_or_else(|| panic!("{key} of {document}"))
}

/// The `_id` of all documents of a filter, sorted.
async fn ids(store: &Store, collection: &str, filter: Filter) -> Vec<i64> {
    let found = store.find(collection, &Find::all(filter)).await.unwrap();
    let mut ids: Vec<i64> = found.iter().map(|document| number(document, "_id")).collect();
    ids.sort_unstable();
    ids
}

async fn insert_all(store: &Store, collection: &str, documents: &[Document]) {
    for document in documents {
        store.insert(collection, document.clone()).await.unwrap();
    }
}
