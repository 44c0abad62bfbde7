//! A MongoDB to test against.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "all of this is test code: a panic is a failed test"
)]

pub mod mongo_server;

use std::time::Duration;

use bcs_docstore::mongo::MongoOptions;

/// Options for a database that no other test uses.
pub fn options(hosts: &str) -> MongoOptions {
    MongoOptions {
        hosts: hosts.split(',').map(str::to_owned).collect(),
        database: format!("test_{}", bson::oid::ObjectId::new().to_hex()),
        username: String::new(),
        password: String::new(),
        connect_timeout: None,
        max_pool: 0,
        min_pool: 0,
        ignore_delete_events: false,
        operation_timeout: Duration::from_secs(20),
        observer: None,
    }
}
