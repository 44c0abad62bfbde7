//! Users and their tokens (user-manager.md 6.1, 9).

use bcs_common::go;
use bcs_common::token::{self, USER_TOKEN};
use bcs_sql::{Database, Row, SqlError, Time, fits, now};
use chrono::{Duration, Utc};
use http::StatusCode;
use serde::Serialize;

use crate::answer::Failure;

/// The longest extension of a plain user's token in days (quirk Q26): a hundred years.
const MAX_DAYS: i64 = 36_500;
/// Characters of the column `name`.
const NAME_COLUMN: usize = 255;
/// Characters of the column `user_token`.
const TOKEN_COLUMN: usize = 64;
/// MySQL's error for a value that its column cannot hold.
const TOO_LONG: u16 = 1406;

/// The columns of a [`User`].
macro_rules! select_users {
    ($condition:literal) => {
        concat!(
            "SELECT id, name, user_type, user_token, created_at, updated_at, expires_at FROM bcs_users WHERE ",
            $condition,
            " ORDER BY id LIMIT 1"
        )
    };
}

/// What a user may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UserType {
    /// May call everything.
    Admin,
    /// May manage plain users.
    Saas,
    /// May call nothing; others ask about it.
    Plain,
}

impl UserType {
    /// The name in the configuration.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "admin" => Some(Self::Admin),
            "saas" => Some(Self::Saas),
            "plain" => Some(Self::Plain),
            _ => None,
        }
    }

    /// The number in the database.
    pub fn number(self) -> u32 {
        match self {
            Self::Admin => 1,
            Self::Saas => 2,
            Self::Plain => 3,
        }
    }

    /// How long a new token is valid.
    fn validity(self) -> Duration {
        match self {
            Self::Admin | Self::Saas => Duration::days(10 * 365),
            Self::Plain => Duration::hours(24),
        }
    }
}

/// A row of `bcs_users`, as it is answered.
#[derive(Clone, Serialize)]
pub(crate) struct User {
    pub id: u32,
    pub name: String,
    pub user_type: u32,
    pub user_token: String,
    pub created_at: Time,
    pub updated_at: Time,
    pub expires_at: Time,
}

impl User {
    fn of(row: &Row) -> Result<Self, SqlError> {
        Ok(Self {
            id: row.uint(0)?,
            name: row.text(1)?,
            user_type: row.uint(2)?,
            user_token: row.text(3)?,
            created_at: Time(row.time(4)?),
            updated_at: Time(row.time(5)?),
            expires_at: Time(row.time(6)?),
        })
    }

    fn is_expired(&self) -> bool {
        self.expires_at.0.is_none_or(|end| Utc::now() > end)
    }
}

/// The user of a name and type.
pub(crate) async fn find(database: &Database, name: &str, user_type: UserType) -> Result<Option<User>, SqlError> {
    let sql = select_users!("name = ? AND user_type = ?");
    let rows = database.read(sql, &[name.into(), user_type.number().into()]).await?;
    rows.first().map(User::of).transpose()
}

/// Inserts a user with a token. Values that do not fit are refused on both databases as MySQL refuses them.
pub(crate) async fn insert(
    database: &Database,
    name: &str,
    user_type: UserType,
    user_token: String,
) -> Result<User, SqlError> {
    for (column, value, length) in [("name", name, NAME_COLUMN), ("user_token", &user_token, TOKEN_COLUMN)] {
        if !fits(value, length) {
            let message = format!("Data too long for column '{column}'");
            return Err(SqlError::Refused { code: TOO_LONG, message });
        }
    }
    let now = now();
    let expires_at = now + user_type.validity();
    let sql = "INSERT INTO bcs_users (name, user_type, user_token, created_at, updated_at, expires_at) \
               VALUES (?, ?, ?, ?, ?, ?)";
    let number = user_type.number();
    let params = [name.into(), number.into(), (&user_token).into(), now.into(), now.into(), expires_at.into()];
    let id = u32::try_from(database.write(sql, &params).await?.id).unwrap_or_default();
    let (created_at, updated_at) = (database.show(now), database.show(now));
    let name = name.to_owned();
    Ok(User { id, name, user_type: number, user_token, created_at, updated_at, expires_at: database.show(expires_at) })
}

/// Creates a user.
pub(crate) async fn create(database: &Database, name: &str, user_type: UserType) -> Result<User, Failure> {
    if find(database, name, user_type).await.map_err(Failure::reading("user"))?.is_some() {
        return Err(Failure::bad_request(format!("user [{name}] already exist")));
    }
    let failed = format!("creating user [{name}] failed, error: ");
    insert(database, name, user_type, token::generate(USER_TOKEN)).await.map_err(|error| match error {
        // Most likely a user of another type has it (quirk Q9).
        SqlError::Duplicate { .. } => Failure::database_text(failed, "the name is in use").because(error),
        error => Failure::database(failed, error),
    })
}

/// Reads a user.
pub(crate) async fn get(database: &Database, name: &str, user_type: UserType) -> Result<User, Failure> {
    let user = find(database, name, user_type).await.map_err(Failure::reading("user"))?;
    user.ok_or_else(|| Failure::refused(StatusCode::NOT_FOUND, format!("user with user_name={name} not found")))
}

/// Gives a saas user a new token.
pub(crate) async fn refresh_saas(database: &Database, name: &str) -> Result<User, Failure> {
    let mut user = get(database, name, UserType::Saas).await?;
    user.user_token = token::generate(USER_TOKEN);
    renew(database, user, UserType::Saas.validity()).await
}

/// Moves the expiry of a plain user; an expired token is replaced.
pub(crate) async fn refresh_plain(database: &Database, name: &str, days: u16) -> Result<User, Failure> {
    let mut user = get(database, name, UserType::Plain).await?;
    if user.is_expired() {
        user.user_token = token::generate(USER_TOKEN);
    }
    renew(database, user, Duration::days(days.into())).await
}

async fn renew(database: &Database, mut user: User, validity: Duration) -> Result<User, Failure> {
    let now = now();
    let expires_at = now + validity;
    let sql = "UPDATE bcs_users SET user_token = ?, expires_at = ?, updated_at = ? WHERE id = ?";
    let params = [(&user.user_token).into(), expires_at.into(), now.into(), user.id.into()];
    database
        .write(sql, &params)
        .await
        .map_err(|error| Failure::database(format!("failed to refresh usertoken [{}], error: ", user.name), error))?;
    user.updated_at = database.show(now);
    user.expires_at = database.show(expires_at);
    Ok(user)
}

/// The number of days in the path.
///
/// # Errors
/// 400; it is no whole number from 0 to [`MAX_DAYS`].
pub(crate) fn parse_days(text: &str) -> Result<u16, Failure> {
    let days = go::atoi(text)
        .map_err(|error| Failure::bad_request(format!("invalid expire_time, failed to atoi: {error}")))?;
    u16::try_from(days).ok().filter(|_| days <= MAX_DAYS).ok_or_else(|| Failure::bad_request("invalid expire_time"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tests::database;

    #[test]
    fn days_as_go_reads_them() {
        for (text, want) in [("0", 0), ("7", 7), ("+7", 7), ("007", 7), ("-0", 0), ("36500", 36_500)] {
            assert_eq!(parse_days(text).unwrap(), want, "{text}");
        }
        let message = |text| parse_days(text).unwrap_err().message;
        let syntax =
            "errcode: 1405061, invalid expire_time, failed to atoi: strconv.Atoi: parsing \"abc\": invalid syntax";
        assert_eq!(message("abc"), syntax);
        assert!(message("99999999999999999999").ends_with("\"99999999999999999999\": value out of range"));
        for text in ["-1", "36501", "106752", "9223372036854775807"] {
            assert_eq!(message(text), "errcode: 1405061, invalid expire_time", "{text}");
        }
    }

    proptest! {
        #[test]
        fn days_never_panic(text in "\\PC*|[-+]?[0-9]*") {
            let _ = parse_days(&text);
        }
    }

    #[tokio::test]
    async fn a_plain_token_changes_only_after_its_expiry() {
        let (_dir, database) = database().await;
        let user = create(&database, "p", UserType::Plain).await.unwrap();
        let extended = refresh_plain(&database, "p", 7).await.unwrap();
        assert_eq!(extended.user_token, user.user_token);
        let past = now() - Duration::seconds(5);
        let expire = "UPDATE bcs_users SET expires_at = ?";
        database.write(expire, &[past.into()]).await.unwrap();
        let renewed = refresh_plain(&database, "p", 7).await.unwrap();
        assert_ne!(renewed.user_token, user.user_token);
        let stored = get(&database, "p", UserType::Plain).await.unwrap();
        assert_eq!(stored.user_token, renewed.user_token);
        assert_eq!(stored.expires_at.0, renewed.expires_at.0);
    }

    #[tokio::test]
    async fn names_are_unique_over_all_types() {
        let (_dir, database) = database().await;
        let user = create(&database, "n", UserType::Admin).await.unwrap();
        assert_eq!((user.id, user.user_type, user.user_token.len()), (1, 1, 32));
        let again = create(&database, "n", UserType::Admin).await.err().unwrap();
        assert_eq!((again.status, again.code.value), (StatusCode::BAD_REQUEST, 1_405_061));
        let other = create(&database, "n", UserType::Saas).await.err().unwrap();
        assert_eq!((other.status, other.code.value), (StatusCode::INTERNAL_SERVER_ERROR, 1_405_062));
        let long = create(&database, &"é".repeat(256), UserType::Saas).await.err().unwrap();
        assert_eq!((long.status, long.code.value), (StatusCode::INTERNAL_SERVER_ERROR, 1_405_062));
        assert!(
            long.message.ends_with("failed, error: Error 1406: Data too long for column 'name'"),
            "{}",
            long.message
        );
        assert!(create(&database, &"é".repeat(255), UserType::Saas).await.is_ok());
    }
}
