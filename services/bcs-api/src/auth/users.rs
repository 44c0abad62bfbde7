//! User tokens (api.md 9.2).

use std::sync::Arc;

use bcs_common::http::query::Query;
use bcs_sql::SqlError;
use http::HeaderMap;
use tracing::warn;

use super::header;
use super::paas::Paas;
use crate::store::{Store, TokenKind, User};

/// Why nobody is let in.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// No token, one that nobody holds, or that of a user who may not.
    Anonymous,
    /// The token of this user has expired.
    Expired {
        /// Its name.
        name: String,
    },
    /// The database cannot say who it is. This is no refusal.
    Unavailable(Arc<SqlError>),
}

impl From<SqlError> for Refusal {
    fn from(error: SqlError) -> Self {
        Self::Unavailable(Arc::new(error))
    }
}

/// Somebody who is let in.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// Its number.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// May call everything.
    pub is_super_user: bool,
    /// The kind of the token that was shown; for an access token, the kind that such users get.
    pub kind: TokenKind,
}

impl Caller {
    fn new(user: User, kind: TokenKind) -> Self {
        Self { id: user.id, name: user.name, is_super_user: user.is_super_user, kind }
    }
}

/// Finds out who calls. The database is asked for every request, so that a revoked token stops at once everywhere.
#[derive(Clone)]
pub(crate) struct Users {
    store: Store,
    paas: Option<Paas>,
}

impl Users {
    /// With the PaaS, if it vouches for users.
    pub fn new(store: Store, paas: Option<Paas>) -> Self {
        Self { store, paas }
    }

    /// The user of a bearer token.
    ///
    /// # Errors
    /// There is none.
    pub async fn by_bearer(&self, headers: &HeaderMap) -> Result<Caller, Refusal> {
        match header::bearer(headers) {
            Some(token) => self.holder(token).await,
            None => Err(Refusal::Anonymous),
        }
    }

    /// The super user of a bearer token or of the password of basic authentication.
    ///
    /// # Errors
    /// There is none.
    pub async fn super_user(&self, headers: &HeaderMap) -> Result<Caller, Refusal> {
        let caller = match (header::bearer(headers), header::basic_password(headers)) {
            (Some(token), _) => self.holder(token).await?,
            (None, Some(password)) => self.holder(&password).await?,
            (None, None) => return Err(Refusal::Anonymous),
        };
        if caller.is_super_user { Ok(caller) } else { Err(Refusal::Anonymous) }
    }

    /// The user of the access token in the query, which wins, or else of a bearer token.
    ///
    /// # Errors
    /// There is none.
    pub async fn user(&self, headers: &HeaderMap, query: &Query) -> Result<Caller, Refusal> {
        let access_token = query.get("access_token").filter(|token| !token.is_empty());
        if let (Some(paas), Some(token)) = (&self.paas, access_token) {
            match paas.identify(token).await {
                Ok(identity) => {
                    let user = self.store.paas_user(&identity.user_type, &identity.user_id).await?;
                    return Ok(Caller::new(user, TokenKind::KUBECONFIG_FOR_PAAS));
                }
                Err(reason) => warn!("an access token is not accepted: {reason}"),
            }
        }
        self.by_bearer(headers).await
    }

    async fn holder(&self, token: &str) -> Result<Caller, Refusal> {
        match self.store.holder(token).await? {
            None => Err(Refusal::Anonymous),
            Some(holder) if holder.is_expired() => Err(Refusal::Expired { name: holder.user.name }),
            Some(holder) => Ok(Caller::new(holder.user, holder.kind)),
        }
    }
}
