//! Documents with MongoDB's semantics behind one small trait, [`DocumentDatabase`], with two backends:
//! [`mongo`] keeps them exactly as the original services do, so that both can run on one database;
//! [`sqlite`] keeps them in one file and needs no server.
//!
//! ```text
//! Filter, Find, Upsert ──► DocumentDatabase ──► sqlite (one writer thread, group commit) or mongo
//!                                          └──► Subscription: the change feed, one ring a collection
//! ```
//!
//! What a filter means is decided once, in [`matcher`]: SQLite evaluates with it what its columns cannot narrow,
//! MongoDB what its query language cannot say. Both therefore give the same answers.

mod error;
pub mod feed;
pub mod filter;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod json;
pub mod json_repair;
mod json_text;
pub mod matcher;
pub mod mongo;
mod path;
pub mod project;
pub mod sqlite;
mod store;
pub mod time;
pub mod update;

pub use bson::{Bson, Document, doc};
pub use error::{Error, Result};
pub use feed::{Change, ChangeKind, FeedError, Subscription};
pub use filter::Filter;
pub use json_text::JsonText;
pub use path::Path;
pub use store::{
    DocumentDatabase, Encode, FieldRef, Fields, Find, Index, JsonDocuments, Layout, Order, Render, Sort, Upsert,
};
