//! The answers of all rpcs have a code, a message and a result.

use bcs_proto::messages::*;

use crate::failure::Failure;

/// An answer that can say how a call went.
pub(crate) trait Reply: prost::Message + Default {
    /// Success, without data.
    fn success() -> Self;

    /// A failure; lists are empty, data is absent or, where clients look into it, empty.
    fn failure(failure: Failure) -> Self;

    /// The code it carries, for metrics.
    fn code(&self) -> u64;
}

macro_rules! replies {
    ($($name:ident $({ $($field:ident: $value:expr),* })?;)*) => {$(
        impl Reply for $name {
            fn success() -> Self {
                Self { message: SUCCESS.to_owned(), result: true, ..Self::default() }
            }

            fn failure(failure: Failure) -> Self {
                Self { code: failure.code, message: failure.message, $($($field: $value,)*)? ..Self::default() }
            }

            fn code(&self) -> u64 {
                self.code
            }
        }
    )*};
}

pub(crate) const SUCCESS: &str = "success";

replies! {
    CreateClusterResp;
    UpdateClusterResp;
    DeleteClusterResp;
    GetClusterResp;
    ListClusterResp;
    AddFederatedClusterResp;
    GetClusterCredentialResp;
    UpdateClusterCredentialResp;
    DeleteClusterCredentialResp;
    ListClusterCredentialResp;
    CreateNamespaceResp;
    UpdateNamespaceResp;
    DeleteNamespaceResp;
    GetNamespaceResp;
    ListNamespaceResp;
    CreateNamespaceQuotaResp { data: Some(Default::default()) };
    UpdateNamespaceQuotaResp;
    DeleteNamespaceQuotaResp;
    GetNamespaceQuotaResp;
    ListNamespaceQuotaResp;
    CreateNamespaceWithQuotaResp { data: Some(Default::default()) };
}

/// Has nothing to say.
impl Reply for InitFederationClusterResp {
    fn success() -> Self {
        Self {}
    }

    fn failure(_: Failure) -> Self {
        Self {}
    }

    fn code(&self) -> u64 {
        0
    }
}

/// A successful answer of a type with this data.
macro_rules! with_data {
    ($type:ident, $data:expr) => {
        $type { code: 0, message: crate::reply::SUCCESS.to_owned(), result: true, data: $data }
    };
}

pub(crate) use with_data;
