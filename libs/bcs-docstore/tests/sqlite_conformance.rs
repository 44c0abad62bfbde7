//! The SQLite backend does what every backend must do.
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

use std::sync::Arc;

use bcs_docstore::{Layout, sqlite};
use conformance::Store;

async fn open(layout: Layout) -> Store {
    // The open file outlives its directory.
    let directory = tempfile::tempdir().unwrap();
    let [database] = sqlite::open(&directory.path().join("documents.db"), [layout]).unwrap();
    std::mem::forget(directory);
    Arc::new(database)
}

conformance_tests!(open);
