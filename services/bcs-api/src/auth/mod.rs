//! Who calls, and what the caller may do (api.md 9).
//!
//! * [`Users`]: user tokens and access tokens of the PaaS, for `/rest` and the kube proxy
//! * [`V4Filter`]: what `/bcsapi/v4` lets pass

mod bkiam;
mod header;
mod http_client;
mod paas;
mod users;

pub use bkiam::FilterError;
pub(crate) use bkiam::V4Filter;
pub(crate) use http_client::HttpClient;
pub(crate) use paas::Paas;
pub(crate) use users::{Caller, Refusal, Users};
