//! Tencent Kubernetes Engine: the signed client of its API (user-manager.md 6.6.1, api.md 10.3), and the pool of CIDRs for
//! its clusters in the table `tke_cidrs` (user-manager.md 6.6, api.md 10).

pub mod cidr;
mod client;
#[cfg(any(test, feature = "stub"))]
pub mod stub;

pub use client::{SecurityInfo, TkeClient, TkeError};
