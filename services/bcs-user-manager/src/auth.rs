//! Who may call (user-manager.md 5).

use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::answer::Failure;
use crate::lookup::{Holder, TokenLookup};
use crate::users::UserType;

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Admins.
    Admin,
    /// Admins and saas users.
    AdminOrSaas,
    /// Everybody; the body holds the secret.
    Open,
}

impl Access {
    /// Whether the holder of a token may call.
    pub(crate) fn allows(self, holder: Option<&Holder>) -> bool {
        let is = |user_type: UserType| {
            holder.is_some_and(|holder| holder.user_type == user_type.number() && !holder.is_expired())
        };
        match self {
            Self::Admin => is(UserType::Admin),
            Self::AdminOrSaas => is(UserType::Admin) || is(UserType::Saas),
            Self::Open => true,
        }
    }

    /// Finds the caller; none for an open route.
    ///
    /// # Errors
    /// 401, or 500 if the database cannot be asked.
    pub(crate) async fn check(self, tokens: &TokenLookup, headers: &HeaderMap) -> Result<Option<Holder>, Failure> {
        if self == Self::Open {
            return Ok(None);
        }
        let token = bearer(headers).ok_or_else(Failure::unauthorized)?;
        let [holder] = tokens.find([token]).await.map_err(unavailable)?;
        if self.allows(holder.as_ref()) { Ok(holder) } else { Err(Failure::unauthorized()) }
    }
}

/// The answer while tokens cannot be looked up.
pub(crate) fn unavailable(error: std::sync::Arc<bcs_sql::SqlError>) -> Failure {
    Failure::database("failed to look up the token: ", error)
}

/// The token of the first `Authorization` header: exactly `Bearer`, one blank, the token.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = std::str::from_utf8(headers.get(AUTHORIZATION)?.as_bytes()).ok()?;
    let token = value.strip_prefix("Bearer ")?;
    (!token.contains(' ')).then(|| token.trim()).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use chrono::{Duration, Utc};

    use super::*;

    #[test]
    fn only_one_form_of_the_header_counts() {
        let token = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, value.parse().unwrap());
            }
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(token(&["Bearer abc"]).as_deref(), Some("abc"));
        assert_eq!(token(&["Bearer abc", "Bearer def"]).as_deref(), Some("abc"));
        for value in
            ["", "Bearer", "Bearer ", "bearer abc", "BEARER abc", "Basic abc", "abc", "Bearer  abc", "Bearer a b"]
        {
            assert_eq!(token(&[value]), None, "{value}");
        }
        assert_eq!(token(&["Bearer\tabc"]), None);
        assert_eq!(token(&["Basic x", "Bearer abc"]), None);
        assert_eq!(token(&[]), None);
    }

    #[test]
    fn types_and_expiry() {
        let holder = |user_type, hours: Option<i64>| {
            let expires_at = hours.map(|hours| (Utc::now() + Duration::hours(hours)).fixed_offset());
            Holder { id: 1, user_type, expires_at }
        };
        for (user_type, admin, saas) in [(1, true, true), (2, false, true), (3, false, false), (0, false, false)] {
            let valid = holder(user_type, Some(1));
            assert_eq!(Access::Admin.allows(Some(&valid)), admin, "{user_type}");
            assert_eq!(Access::AdminOrSaas.allows(Some(&valid)), saas, "{user_type}");
            for expired in [holder(user_type, Some(-1)), holder(user_type, None)] {
                assert!(!Access::Admin.allows(Some(&expired)) && !Access::AdminOrSaas.allows(Some(&expired)));
            }
        }
        assert!(!Access::Admin.allows(None) && Access::Open.allows(None));
    }
}
