//! User tokens (api.md 9.2).

use bcs_common::http::query::Query;
use bcs_sql::SqlError;
use http::HeaderMap;
use tracing::warn;

use super::header;
use super::paas::Paas;
use crate::store::{Holder, Store, TokenKind, User};

/// Why nobody is let in.
#[derive(Debug)]
pub(crate) enum Denied {
    /// No token, one that nobody holds, or that of a user who may not.
    Anonymous,
    /// The token of this user has expired.
    Expired {
        /// Its name.
        user: String,
    },
    /// The database cannot say who it is. This is no refusal.
    Unavailable(SqlError),
}

impl From<SqlError> for Denied {
    fn from(error: SqlError) -> Self {
        Self::Unavailable(error)
    }
}

/// Somebody who is let in.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// The user.
    pub user: User,
    /// The kind of the token that was shown; for an access token, the kind that such users get.
    pub kind: TokenKind,
}

impl From<Holder> for Caller {
    fn from(holder: Holder) -> Self {
        Self { user: holder.user, kind: holder.kind }
    }
}

/// Finds out who calls. The database is asked for every request, so that a revoked token stops at once everywhere.
#[derive(Clone)]
pub(crate) struct Authenticator {
    store: Store,
    paas: Option<Paas>,
}

impl Authenticator {
    /// With the PaaS, if it vouches for users.
    pub fn new(store: Store, paas: Option<Paas>) -> Self {
        Self { store, paas }
    }

    /// The user of a bearer token.
    ///
    /// # Errors
    /// There is none.
    pub async fn bearer(&self, headers: &HeaderMap) -> Result<Caller, Denied> {
        match header::bearer(headers) {
            Some(token) => self.holder(token).await,
            None => Err(Denied::Anonymous),
        }
    }

    /// The super user of a bearer token or of the password of basic authentication.
    ///
    /// # Errors
    /// There is none.
    pub async fn super_user(&self, headers: &HeaderMap) -> Result<Caller, Denied> {
        let caller = match (header::bearer(headers), header::basic_password(headers)) {
            (Some(token), _) => self.holder(token).await?,
            (None, Some(password)) => self.holder(&password).await?,
            (None, None) => return Err(Denied::Anonymous),
        };
        if caller.user.is_super_user { Ok(caller) } else { Err(Denied::Anonymous) }
    }

    /// The user of the access token in the query, which wins, or else of a bearer token.
    ///
    /// # Errors
    /// There is none.
    pub async fn user(&self, headers: &HeaderMap, query: &Query) -> Result<Caller, Denied> {
        let access_token = query.get("access_token").filter(|token| !token.is_empty());
        if let (Some(paas), Some(token)) = (&self.paas, access_token) {
            match paas.identify(token).await {
                Ok(identity) => {
                    let user = self.store.paas_user(&identity.user_type, &identity.user_id).await?;
                    return Ok(Caller { user, kind: TokenKind::KUBECONFIG_FOR_PAAS });
                }
                Err(reason) => warn!("an access token is not accepted: {reason}"),
            }
        }
        self.bearer(headers).await
    }

    async fn holder(&self, token: &str) -> Result<Caller, Denied> {
        match self.store.holder(token).await? {
            None => Err(Denied::Anonymous),
            Some(holder) if holder.is_expired() => Err(Denied::Expired { user: holder.user.name }),
            Some(holder) => Ok(holder.into()),
        }
    }
}
