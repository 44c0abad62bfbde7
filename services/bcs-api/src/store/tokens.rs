//! `user_tokens`: at most one token per user and kind (api.md 9.2).

use bcs_common::token::{self, USER_TOKEN};
use bcs_sql::{Row, SqlError, Time, now};
use chrono::{DateTime, Duration, Utc};

use super::Store;

/// The column `type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenKind(pub u32);

impl TokenKind {
    /// Of a configured user.
    pub const SESSION: Self = Self(1);
    /// For the kubeconfig of a user of the PaaS; short, and extended with every use.
    pub const KUBECONFIG_FOR_PAAS: Self = Self(2);
    /// For the kubeconfig of a plain user.
    pub const KUBECONFIG_PLAIN: Self = Self(3);

    /// When a token made or extended at `now` ends.
    pub(super) fn end(self, now: DateTime<Utc>) -> DateTime<Utc> {
        let life = if self == Self::KUBECONFIG_FOR_PAAS { Duration::hours(24) } else { Duration::days(10 * 365) };
        now.checked_add_signed(life).unwrap_or(now)
    }
}

/// A token of a user.
#[derive(Clone, PartialEq, Eq)]
pub struct UserToken {
    /// Number of the row.
    pub id: u32,
    /// Whose it is.
    pub user_id: u32,
    /// Its kind.
    pub kind: TokenKind,
    /// The token itself.
    pub value: String,
    /// When it ends to be valid.
    pub expires_at: Time,
    /// When it was made.
    pub created_at: Time,
}

impl UserToken {
    fn of(row: &Row) -> Result<Self, SqlError> {
        Ok(Self {
            id: row.uint(0)?,
            user_id: row.uint(1)?,
            kind: TokenKind(row.uint(2)?),
            value: row.text(3)?,
            expires_at: Time(row.time(4)?),
            created_at: Time(row.time(5)?),
        })
    }

    fn is_expired(&self) -> bool {
        self.expires_at.0.is_none_or(|end| Utc::now() > end)
    }
}

impl Store {
    /// The token of a user, made if it is missing. One for the PaaS is extended, and replaced after its end; the others stay
    /// as they are.
    ///
    /// # Errors
    /// The database failed.
    pub async fn get_or_create_token(&self, user_id: u32, kind: TokenKind) -> Result<UserToken, SqlError> {
        match self.token(user_id, kind).await? {
            Some(token) if kind != TokenKind::KUBECONFIG_FOR_PAAS => Ok(token),
            Some(token) => self.extend_token(token).await,
            None => self.insert_token(user_id, kind, token::generate(USER_TOKEN)).await,
        }
    }

    /// Gives a user a token with a value of the caller's, instead of the one of that kind it has.
    ///
    /// # Errors
    /// The database failed; [`SqlError::Duplicate`]: another token has that value.
    pub async fn set_token(&self, user_id: u32, kind: TokenKind, value: &str) -> Result<(), SqlError> {
        let Some(token) = self.token(user_id, kind).await? else {
            return self.insert_token(user_id, kind, value.to_owned()).await.map(|_| ());
        };
        let end = kind.end(now());
        let sql = "UPDATE user_tokens SET value = ?, expires_at = ? WHERE id = ?";
        self.database.write(sql, &[value.into(), end.into(), token.id.into()]).await.map(|_| ())
    }

    /// The first token of a user and kind.
    async fn token(&self, user_id: u32, kind: TokenKind) -> Result<Option<UserToken>, SqlError> {
        let sql = "SELECT id, user_id, type, value, expires_at, created_at FROM user_tokens \
                   WHERE user_id = ? AND type = ? ORDER BY id LIMIT 1";
        self.database.read(sql, &[user_id.into(), kind.0.into()]).await?.first().map(UserToken::of).transpose()
    }

    async fn extend_token(&self, token: UserToken) -> Result<UserToken, SqlError> {
        let end = token.kind.end(now());
        let extended = if token.is_expired() { token::generate(USER_TOKEN) } else { token.value.clone() };
        let sql = "UPDATE user_tokens SET value = ?, expires_at = ? WHERE id = ? AND value = ?";
        let params = [(&extended).into(), end.into(), token.id.into(), (&token.value).into()];
        if self.database.write(sql, &params).await?.rows == 0 {
            // Another request replaced it in the meantime: that value counts.
            return Ok(self.token(token.user_id, token.kind).await?.unwrap_or(token));
        }
        Ok(UserToken { value: extended, expires_at: self.database.show(end), ..token })
    }

    async fn insert_token(&self, user_id: u32, kind: TokenKind, value: String) -> Result<UserToken, SqlError> {
        let now = now();
        let end = kind.end(now);
        let sql = "INSERT INTO user_tokens (user_id, type, value, expires_at, created_at) VALUES (?, ?, ?, ?, ?)";
        let params = [user_id.into(), kind.0.into(), (&value).into(), end.into(), now.into()];
        let id = u32::try_from(self.database.write(sql, &params).await?.id).unwrap_or_default();
        let (expires_at, created_at) = (self.database.show(end), self.database.show(now));
        let ours = UserToken { id, user_id, kind, value, expires_at, created_at };
        // No key of the table prevents a second one; the first counts for everybody.
        match self.token(user_id, kind).await? {
            Some(first) if first.id != id => {
                self.database.write("DELETE FROM user_tokens WHERE id = ?", &[id.into()]).await?;
                Ok(first)
            }
            _ => Ok(ours),
        }
    }
}
