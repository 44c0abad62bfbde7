//! `users`, and who holds a token.

use bcs_common::token;
use bcs_sql::{Row, SqlError, Time, fits, now};
use chrono::Utc;

use super::{Store, TokenKind};

/// Characters of the column `name`.
pub const NAME_COLUMN: usize = 255;
/// Characters of the column `value` of a token.
pub const TOKEN_COLUMN: usize = 64;

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its number, from 1.
    pub id: u32,
    /// `plain:` and the name that was asked for, `<type>:<name>` for a user of the PaaS, or as configured.
    pub name: String,
    /// May call everything.
    pub is_super_user: bool,
    /// When it was made.
    pub created_at: Time,
}

/// The holder of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The user.
    pub user: User,
    /// The kind of the token.
    pub kind: TokenKind,
    /// When the token ends to be valid; none: it is not valid.
    pub expires_at: Time,
}

impl Holder {
    /// Whether the token is past its time.
    pub fn is_expired(&self) -> bool {
        self.expires_at.0.is_none_or(|end| Utc::now() > end)
    }
}

impl User {
    /// From the first four columns of a row.
    fn of(row: &Row) -> Result<Self, SqlError> {
        Ok(Self {
            id: row.uint(0)?,
            name: row.text(1)?,
            is_super_user: row.uint(2)? != 0,
            created_at: Time(row.time(3)?),
        })
    }
}

impl Store {
    /// The user of a name, whose case does not matter.
    ///
    /// # Errors
    /// The database failed.
    pub async fn user_by_name(&self, name: &str) -> Result<Option<User>, SqlError> {
        if name.is_empty() {
            return Ok(None);
        }
        let sql = "SELECT id, name, is_super_user, created_at FROM users WHERE name = ? ORDER BY id LIMIT 1";
        self.database.read(sql, &[name.into()]).await?.first().map(User::of).transpose()
    }

    /// The user of an id.
    ///
    /// # Errors
    /// The database failed.
    pub async fn user(&self, id: u32) -> Result<Option<User>, SqlError> {
        let sql = "SELECT id, name, is_super_user, created_at FROM users WHERE id = ? LIMIT 1";
        let rows = self.database.read(sql, &[id.into()]).await?;
        rows.first().map(User::of).transpose().map(|user| user.filter(|user| user.id != 0))
    }

    /// Makes a user.
    ///
    /// # Errors
    /// [`SqlError::Duplicate`] if the name is taken; else the database failed.
    pub async fn insert_user(&self, name: &str, is_super_user: bool) -> Result<User, SqlError> {
        let created_at = now();
        let sql = "INSERT INTO users (name, is_super_user, created_at) VALUES (?, ?, ?)";
        let params = [name.into(), u32::from(is_super_user).into(), created_at.into()];
        let id = u32::try_from(self.database.write(sql, &params).await?.id).unwrap_or_default();
        Ok(User { id, name: name.to_owned(), is_super_user, created_at: self.database.show(created_at) })
    }

    /// Makes a user with a session token, both or none.
    ///
    /// # Errors
    /// [`SqlError::Duplicate`] if the name or the token is taken; else the database failed.
    pub async fn insert_user_with_token(&self, name: &str, is_super_user: bool, token: &str) -> Result<(), SqlError> {
        let (now, kind) = (now(), TokenKind::SESSION);
        let mut transaction = self.database.begin().await?;
        let sql = "INSERT INTO users (name, is_super_user, created_at) VALUES (?, ?, ?)";
        let id = transaction.write(sql, &[name.into(), u32::from(is_super_user).into(), now.into()]).await?.id;
        let id = u32::try_from(id).unwrap_or_default();
        let sql = "INSERT INTO user_tokens (user_id, type, value, expires_at, created_at) VALUES (?, ?, ?, ?, ?)";
        let params = [id.into(), kind.0.into(), token.into(), kind.end(now).into(), now.into()];
        transaction.write(sql, &params).await?;
        transaction.commit().await
    }

    /// Who holds a token, expired or not. Tokens are compared exactly, also where the database does not (quirk Q1).
    ///
    /// # Errors
    /// The database failed.
    pub async fn holder(&self, value: &str) -> Result<Option<Holder>, SqlError> {
        if value.is_empty() || !fits(value, TOKEN_COLUMN) {
            return Ok(None);
        }
        let sql = "SELECT u.id, u.name, u.is_super_user, u.created_at, t.value, t.type, t.expires_at \
                   FROM user_tokens t JOIN users u ON u.id = t.user_id WHERE t.value = ?";
        for row in self.database.read(sql, &[value.into()]).await? {
            let user = User::of(&row)?;
            if user.id != 0 && token::same(&row.text(4)?, value) {
                let (kind, expires_at) = (TokenKind(row.uint(5)?), Time(row.time(6)?));
                return Ok(Some(Holder { user, kind, expires_at }));
            }
        }
        Ok(None)
    }
}
