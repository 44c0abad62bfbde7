//! The configured users, made before the first request (api.md 12.3).

use bcs_common::secret::{self, SecretError};
use bcs_sql::{SqlError, fits};
use thiserror::Error;
use tracing::{info, warn};

use crate::options::BootstrapOptions;
use crate::store::{NAME_COLUMN, Store, TOKEN_COLUMN, TokenKind};

/// The user of `bcs server` when none is configured.
const ADMIN: &str = "admin";

/// Why the configured users cannot be made. Names the user, never its token.
#[derive(Debug, Error)]
pub enum BootstrapError {
    /// A name is missing or too long.
    #[error("key \"bke.bootstrap_users[{0}].name\": a name of 1 to {NAME_COLUMN} characters is needed")]
    Name(usize),
    /// A token cannot be decrypted.
    #[error("token of user [{name}], key \"bke.bootstrap_users[{index}].tokens[{token}]\"")]
    Token {
        /// Name of the user.
        name: String,
        /// Number of the user, from 0.
        index: usize,
        /// Number of its token, from 0.
        token: usize,
        /// Why.
        source: SecretError,
    },
    /// A token has no character or too many.
    #[error(
        "token of user [{name}], key \"bke.bootstrap_users[{index}].tokens[{token}]\": \
         it must have 1 to {TOKEN_COLUMN} characters"
    )]
    TokenLength {
        /// Name of the user.
        name: String,
        /// Number of the user, from 0.
        index: usize,
        /// Number of its token, from 0.
        token: usize,
    },
    /// The database does not take a user.
    #[error("error creating user [{name}]")]
    User {
        /// Its name.
        name: String,
        /// Why.
        source: SqlError,
    },
}

/// A user to make.
#[derive(Debug)]
pub(crate) struct BootstrapUser {
    name: String,
    is_super_user: bool,
    /// There is one token per user and kind: only the first one counts.
    token: Option<String>,
}

/// Decrypts the tokens.
pub(crate) fn users(options: &[BootstrapOptions]) -> Result<Vec<BootstrapUser>, BootstrapError> {
    options.iter().enumerate().map(|(index, options)| user(index, options)).collect()
}

fn user(index: usize, options: &BootstrapOptions) -> Result<BootstrapUser, BootstrapError> {
    let BootstrapOptions { name, is_super_user, tokens } = options;
    if name.is_empty() || !fits(name, NAME_COLUMN) {
        return Err(BootstrapError::Name(index));
    }
    let decrypted = tokens.iter().enumerate().map(|(number, encrypted)| {
        let name = || name.clone();
        let token = secret::decrypt(encrypted).map_err(|source| BootstrapError::Token {
            name: name(),
            index,
            token: number,
            source,
        })?;
        match !token.is_empty() && fits(&token, TOKEN_COLUMN) {
            true => Ok(token),
            false => Err(BootstrapError::TokenLength { name: name(), index, token: number }),
        }
    });
    let tokens: Vec<String> = decrypted.collect::<Result<_, _>>()?;
    Ok(BootstrapUser { name: name.clone(), is_super_user: *is_super_user, token: tokens.into_iter().next() })
}

/// Makes the users that are missing. A user that exists is left as it is, with its tokens.
pub(crate) async fn make_users(store: &Store, users: &[BootstrapUser]) -> Result<(), BootstrapError> {
    for user in users {
        make_user(store, user).await.map_err(|source| BootstrapError::User { name: user.name.clone(), source })?;
    }
    Ok(())
}

async fn make_user(store: &Store, user: &BootstrapUser) -> Result<(), SqlError> {
    let BootstrapUser { name, is_super_user, token } = user;
    if store.user_by_name(name).await?.is_some() {
        info!("user [{name}] exists already, its configured tokens are not used");
        return Ok(());
    }
    let made = match token {
        Some(token) => store.insert_user_with_token(name, *is_super_user, token).await,
        None => {
            warn!("user [{name}] has no token");
            store.insert_user(name, *is_super_user).await.map(|_| ())
        }
    };
    match made {
        // Another instance may have made it since.
        Err(error) if error.is_duplicate() => store.user_by_name(name).await?.map(|_| ()).ok_or(error),
        made => made,
    }
}

/// Makes the super user `admin` of `bcs server`, with this token.
pub(crate) async fn make_admin(store: &Store, token: &str) -> Result<(), BootstrapError> {
    let make = async {
        match store.user_by_name(ADMIN).await? {
            Some(user) => store.set_token(user.id, TokenKind::SESSION, token).await,
            None => store.insert_user_with_token(ADMIN, true, token).await,
        }
    };
    make.await.map_err(|source| BootstrapError::User { name: ADMIN.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use bcs_common::errors::chain;
    use serde_json::json;

    use super::*;
    use crate::store::tests::store;

    fn options(value: &serde_json::Value) -> Vec<BootstrapOptions> {
        serde_json::from_value(value.clone()).unwrap()
    }

    #[tokio::test]
    async fn a_user_is_made_once_with_its_first_token() {
        let (_dir, store) = store().await;
        let tokens = |first: &str| json!([secret::encrypt(first).unwrap(), secret::encrypt("second").unwrap()]);
        let make =
            |first: &str| users(&options(&json!([{"name": "a", "is_super_user": true, "tokens": tokens(first)}])));
        make_users(&store, &make("one").unwrap()).await.unwrap();
        make_users(&store, &make("two").unwrap()).await.unwrap();
        let holder = store.holder("one").await.unwrap().unwrap();
        assert!(holder.user.is_super_user && holder.kind == TokenKind::SESSION && !holder.is_expired());
        for unused in ["two", "second"] {
            assert_eq!(store.holder(unused).await.unwrap(), None);
        }
        let clash = users(&options(&json!([{"name": "b", "tokens": [secret::encrypt("one").unwrap()]}]))).unwrap();
        let error = make_users(&store, &clash).await.unwrap_err();
        assert_eq!(chain(&error), "error creating user [b]: Duplicate entry for key 'user_tokens.value'");
        assert_eq!(store.user_by_name("b").await.unwrap(), None);
    }

    #[test]
    fn what_cannot_be_used_names_the_user_and_hides_the_value() {
        let long = secret::encrypt(&"x".repeat(65)).unwrap();
        for (token, reason) in [
            ("c2VjcmV0", "the value has 6 bytes, which is not a multiple of 8"),
            ("hunter2!", "the value is not base64"),
            ("", "it must have 1 to 64 characters"),
            (long.as_str(), "it must have 1 to 64 characters"),
        ] {
            let error = users(&options(&json!([{"name": "bob", "tokens": [token]}]))).unwrap_err();
            let text = chain(&error);
            let key = "token of user [bob], key \"bke.bootstrap_users[0].tokens[0]\": ";
            assert_eq!(text, format!("{key}{reason}"));
            assert!(token.is_empty() || !text.contains(token));
        }
        let error = users(&options(&json!([{"name": ""}]))).unwrap_err();
        assert!(error.to_string().starts_with("key \"bke.bootstrap_users[0].name\": "));
    }

    #[tokio::test]
    async fn the_admin_has_the_given_token() {
        let (_dir, store) = store().await;
        for token in ["one", "two", "two"] {
            make_admin(&store, token).await.unwrap();
            assert!(store.holder(token).await.unwrap().unwrap().user.is_super_user);
        }
        assert_eq!(store.holder("one").await.unwrap(), None);
    }
}
