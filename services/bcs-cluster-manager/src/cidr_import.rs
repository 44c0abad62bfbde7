//! The pool of CIDRs of bcs-user-manager and bcs-api, taken over once (cluster-manager.md 9, migration tool).

use std::collections::BTreeSet;

use bcs_common::shutdown::Shutdown;
use bcs_docstore::{Bson, Error as StoreError, doc};
use chrono::DateTime;
use serde::Deserialize;
use thiserror::Error;

use crate::options::Mongo;
use crate::stores::Stores;

/// An entry of the old pool, as the tool writes it.
#[derive(Clone, Debug, Deserialize)]
pub struct OldCidr {
    /// Its VPC.
    pub vpc: String,
    /// Such as `10.0.0.0/24`.
    pub cidr: String,
    /// How many addresses it has.
    pub ip_number: u32,
    /// `available`, `used` or `reserved`.
    pub status: String,
    /// Who has it; empty: nobody.
    #[serde(default)]
    pub cluster: String,
    /// When it was made, RFC 3339.
    #[serde(rename = "createAt")]
    pub created: String,
    /// When it was changed last, RFC 3339.
    #[serde(rename = "updateAt")]
    pub updated: String,
}

/// What became of the entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Entries that are new.
    pub new: usize,
    /// Entries that were there already, and stayed as they were.
    pub known: usize,
}

/// Why entries are missing. Those before the one that failed are there: the import can be run again.
#[derive(Debug, Error)]
pub enum ImportError {
    /// A field of an entry cannot be used. Nothing was written.
    #[error("{cidr} of vpc {vpc}: {field} is no time like 2021-06-02T03:21:45Z: {value:?}")]
    Time {
        /// The entry's.
        vpc: String,
        /// The entry's.
        cidr: String,
        /// `createAt` or `updateAt`.
        field: &'static str,
        /// What is there.
        value: String,
    },
    /// Two entries are the same. Nothing was written.
    #[error("{cidr} of vpc {vpc} is there twice")]
    Twice {
        /// The entry's.
        vpc: String,
        /// The entry's.
        cidr: String,
    },
    /// MongoDB cannot be used.
    #[error("MongoDB")]
    Store(#[from] StoreError),
}

/// Adds the entries to the pool in MongoDB. Those that it has already stay as they are.
///
/// # Errors
/// [`ImportError`].
pub async fn import(mongo: Mongo, entries: Vec<OldCidr>, shutdown: &Shutdown) -> Result<Imported, ImportError> {
    let mut seen = BTreeSet::new();
    for OldCidr { vpc, cidr, .. } in &entries {
        if !seen.insert((vpc, cidr)) {
            return Err(ImportError::Twice { vpc: vpc.clone(), cidr: cidr.clone() });
        }
    }
    let documents = entries.iter().map(|entry| {
        Ok(doc! {
            "vpc": &entry.vpc, "cidr": &entry.cidr, "ipNumber": i64::from(entry.ip_number), "status": &entry.status,
            "cluster": &entry.cluster, "createAt": time(entry, "createAt", &entry.created)?,
            "updateAt": time(entry, "updateAt", &entry.updated)?
        })
    });
    let documents = documents.collect::<Result<Vec<_>, ImportError>>()?;
    let stores = Stores::mongo(mongo, None, shutdown)?;
    let mut imported = Imported::default();
    for document in documents {
        match stores.cidrs.insert(document).await {
            Ok(()) => imported.new += 1,
            Err(StoreError::Duplicate { .. }) => imported.known += 1,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(imported)
}

fn time(entry: &OldCidr, field: &'static str, text: &str) -> Result<Bson, ImportError> {
    match DateTime::parse_from_rfc3339(text) {
        Ok(time) => Ok(Bson::DateTime(bson::DateTime::from_millis(time.timestamp_millis()))),
        Err(_) => {
            let (vpc, cidr, value) = (entry.vpc.clone(), entry.cidr.clone(), text.to_owned());
            Err(ImportError::Time { vpc, cidr, field, value })
        }
    }
}
