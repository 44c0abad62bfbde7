//! The contract of bcs-cluster-manager (`proto/clustermanager.proto`): its messages as Rust types, and tables made from it
//! at compile time that drive everything generic.
//!
//! ```text
//! clustermanager.proto ──build.rs──► messages (prost)          what handlers take and give
//!                               └──► METHODS, Message tables ──► route   which rpc an HTTP request means
//!                                                           ├──► json    wire bytes ↔ JSON, as grpc-gateway
//!                                                           ├──► check   which values are refused, and in which words
//!                                                           └──► describe   endpoints for go-micro, swagger
//! ```
//!
//! JSON is made from and turned into the bytes on the wire, so that gRPC and HTTP take the same way through a service:
//! bytes in, bytes out.

pub mod check;
pub mod describe;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod json;
mod parser;
pub mod query;
pub mod route;
mod table;
mod view;
pub mod wire;

pub use parser::JsonError;
pub use table::{CLUSTER_MANAGER, Field, Length, Message, Method, Pattern, Rules, Segment, Shape};
pub use tables::{METHODS, Rpc};
pub use view::WireError;

/// The messages of the contract.
#[allow(missing_docs, reason = "generated from the contract, which explains them")]
pub mod messages {
    include!(concat!(env!("OUT_DIR"), "/clustermanager.rs"));
}

/// The tables, made by `build.rs`.
#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler: a wrong index does not build")]
pub mod tables {
    use crate::table::{Field, Length, Message, Method, Pattern, Rules, Segment, Shape};

    include!(concat!(env!("OUT_DIR"), "/tables.rs"));
}
