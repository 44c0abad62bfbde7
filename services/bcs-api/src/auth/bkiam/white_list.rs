//! Tokens that need no IAM, and what they may do.

use bcs_common::secret::{self, SecretError};
use bcs_common::token;

use super::rules::Demand;
use crate::options::{ScopeOptions, WhitelistOptions};

/// The tokens.
pub(super) struct WhiteList(Vec<Entry>);

/// A token.
pub(super) struct Entry {
    token: String,
    scope: Vec<ScopeOptions>,
}

impl WhiteList {
    /// Decrypts the tokens; tells `skipped` which element cannot be used.
    pub fn new(options: &[WhitelistOptions], skipped: impl Fn(usize, SecretError)) -> Self {
        let entry = |(index, options): (usize, &WhitelistOptions)| match secret::decrypt(&options.token) {
            // An empty token would let in everybody.
            Ok(token) if token.is_empty() => None,
            Ok(token) => Some(Entry { token, scope: options.scope.clone() }),
            Err(reason) => {
                skipped(index, reason);
                None
            }
        };
        Self(options.iter().enumerate().filter_map(entry).collect())
    }

    /// The entry of a token.
    pub fn find(&self, token: &str) -> Option<&Entry> {
        self.0.iter().find(|entry| token::same(&entry.token, token))
    }
}

impl Entry {
    /// Without a scope, everything. A scope without namespaces grants only what belongs to no namespace.
    pub fn allows(&self, demand: &Demand<'_>) -> bool {
        self.scope.is_empty()
            || self.scope.iter().filter(|scope| scope.cluster_id == demand.cluster).any(|scope| {
                demand.namespace.is_empty() || scope.namespace.iter().any(|namespace| namespace == demand.namespace)
            })
    }
}
