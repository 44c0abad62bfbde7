//! The MongoDB backend does what every backend must do.

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

conformance_tests!(open);
