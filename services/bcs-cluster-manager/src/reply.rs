//! The answers of all rpcs have a code, a message and a result.

use bcs_proto::messages::*;
use prost::Message as _;

use crate::failure::Failure;

/// An answer that can say how a call went.
pub(crate) trait Reply: Send + Sized {
    /// Success, without data.
    fn success() -> Self;

    /// A failure; lists are empty, data is absent or, where clients look into it, empty.
    fn failure(failure: Failure) -> Self;

    /// The code it carries, for metrics.
    fn code(&self) -> u64;

    /// Its encoded form.
    fn into_bytes(self) -> Vec<u8>;
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

            fn into_bytes(self) -> Vec<u8> {
                self.encode_to_vec()
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

    fn into_bytes(self) -> Vec<u8> {
        self.encode_to_vec()
    }
}

/// An answer `R` with a list whose elements are encoded already.
pub(crate) struct Listed<R> {
    head: R,
    /// All of the field `data`, which is the last one: it stands behind the others.
    data: Vec<u8>,
}

impl<R: Reply> Listed<R> {
    /// A success; the elements are those that [`crate::record::put_element`] appended.
    pub(crate) fn of(data: Vec<u8>) -> Self {
        Self { head: R::success(), data }
    }
}

impl<R: Reply> Reply for Listed<R> {
    fn success() -> Self {
        Self::of(Vec::new())
    }

    fn failure(failure: Failure) -> Self {
        Self { head: R::failure(failure), data: Vec::new() }
    }

    fn code(&self) -> u64 {
        self.head.code()
    }

    fn into_bytes(self) -> Vec<u8> {
        let mut bytes = self.head.into_bytes();
        bytes.extend_from_slice(&self.data);
        bytes
    }
}

/// A successful answer of a type with this data.
macro_rules! with_data {
    ($type:ident, $data:expr) => {
        $type { code: 0, message: crate::reply::SUCCESS.to_owned(), result: true, data: $data }
    };
}

pub(crate) use with_data;
