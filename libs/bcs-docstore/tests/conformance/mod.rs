//! What every backend must do, written once over the trait. A test program names the backend:
//! `conformance_tests!(open)`, where `open(layout)` gives an empty database and whatever keeps it alive.

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

macro_rules! conformance_tests {
    ($open:path) => {
        conformance_tests! {
            $open:
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
            changes_come_in_order_and_whole,
            followers_see_what_happens_from_then_on,
        }
    };
    ($open:path: $($name:ident),* $(,)?) => {
        $(
            #[tokio::test]
            async fn $name() {
                conformance::$name($open).await;
            }
        )*
    };
}
pub(crate) use conformance_tests;

/// All documents of a filter, by `_id`, sorted.
async fn ids(store: &Store, collection: &str, filter: Filter) -> Vec<i32> {
    let found = store.find(collection, &Find::all(filter)).await.unwrap();
    let mut ids: Vec<i32> = found.iter().map(|document| document.get_i32("_id").unwrap()).collect();
    ids.sort_unstable();
    ids
}

async fn insert_all(store: &Store, collection: &str, documents: &[Document]) {
    for document in documents {
        store.insert(collection, document.clone()).await.unwrap();
    }
}
