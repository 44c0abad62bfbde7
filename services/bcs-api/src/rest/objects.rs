//! The objects of the answers (api.md 10.1).

use bcs_sql::Time;
use serde::Serialize;

use crate::store;

/// A cluster.
#[derive(Serialize)]
pub(super) struct Cluster<'a> {
    id: &'a str,
    provider: u32,
    creator_id: u32,
    identifier: &'a str,
    created_at: Time,
}

impl<'a> From<&'a store::Cluster> for Cluster<'a> {
    fn from(cluster: &'a store::Cluster) -> Self {
        Self {
            id: &cluster.id,
            provider: cluster.provider,
            creator_id: cluster.creator_id,
            identifier: &cluster.identifier,
            created_at: cluster.created_at,
        }
    }
}

/// A user.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct User<'a> {
    #[serde(rename = "ID")]
    id: u32,
    name: &'a str,
    is_super_user: bool,
    created_at: Time,
    /// Always empty here.
    backend_type: &'static str,
    /// Always none here.
    backend_credentials: Option<()>,
}

impl<'a> From<&'a store::User> for User<'a> {
    fn from(user: &'a store::User) -> Self {
        Self {
            id: user.id,
            name: &user.name,
            is_super_user: user.is_super_user,
            created_at: user.created_at,
            backend_type: "",
            backend_credentials: None,
        }
    }
}

/// A token of a user.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UserToken<'a> {
    #[serde(rename = "ID")]
    id: u32,
    user_id: u32,
    r#type: u32,
    value: &'a str,
    expires_at: Time,
    created_at: Time,
}

impl<'a> From<&'a store::UserToken> for UserToken<'a> {
    fn from(token: &'a store::UserToken) -> Self {
        Self {
            id: token.id,
            user_id: token.user_id,
            r#type: token.kind.0,
            value: &token.value,
            expires_at: token.expires_at,
            created_at: token.created_at,
        }
    }
}

/// What an agent reported. Holds the token of its service account.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Credentials<'a> {
    #[serde(rename = "ID")]
    id: u32,
    cluster_id: &'a str,
    server_addresses: &'a str,
    ca_cert_data: &'a str,
    user_token: &'a str,
    cluster_domain: &'a str,
    created_at: Time,
    updated_at: Time,
}

impl<'a> From<&'a store::Credentials> for Credentials<'a> {
    fn from(credentials: &'a store::Credentials) -> Self {
        let access = &credentials.access;
        Self {
            id: credentials.id,
            cluster_id: &credentials.cluster_id,
            server_addresses: &access.server_addresses,
            ca_cert_data: &access.ca_cert_data,
            user_token: &access.user_token,
            cluster_domain: &access.cluster_domain,
            created_at: credentials.created_at,
            updated_at: credentials.updated_at,
        }
    }
}

/// What a client needs to reach a cluster through this service.
#[derive(Serialize)]
pub(super) struct ClientCredentials<'a> {
    pub cluster_id: &'a str,
    pub server_address_path: String,
    /// A token of the caller, for this service.
    pub user_token: &'a str,
    /// The CA of the cluster.
    pub cacert_data: &'a str,
}

/// The register token of a cluster.
#[derive(Serialize)]
pub(super) struct RegisterToken<'a> {
    id: u32,
    cluster_id: &'a str,
    token: &'a str,
    created_at: Time,
}

impl<'a> From<&'a store::RegisterToken> for RegisterToken<'a> {
    fn from(token: &'a store::RegisterToken) -> Self {
        Self { id: token.id, cluster_id: &token.cluster_id, token: &token.token, created_at: token.created_at }
    }
}
