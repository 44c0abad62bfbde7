//! The MongoDB backend does what every backend must do.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "all of this is test code: a panic is a failed test"
)]

#[macro_use]
mod conformance;
mod support;

use std::sync::Arc;

use bcs_docstore::Layout;
use bcs_docstore::mongo::MongoDatabase;
use conformance::Store;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

async fn open(layout: Layout) -> Store {
    let options = support::options(&support::mongo_server::hosts());
    Arc::new(MongoDatabase::new(options, layout, CancellationToken::new(), TaskTracker::new()).unwrap())
}

conformance_tests!(
    open,
    ignore = "the stand-in differs from MongoDB here: set BCS_TEST_MONGODB_URI, --include-ignored"
);
