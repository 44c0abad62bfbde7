//! What must be there before the first request: tables, roles, the configured users (user-manager.md 2, 9).

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use bcs_common::token::{self, USER_TOKEN};
use bcs_sql::schema::{SchemaError, make_tables};
use bcs_sql::{Database, SqlError};
use thiserror::Error;
use tracing::{info, warn};

use crate::options::BootstrapUser;
use crate::users::{self, UserType};
use crate::{permissions, schema};

/// The file of the generated token in the data directory.
const TOKEN_FILE: &str = "admin-token";
/// The user it belongs to.
const ADMIN: &str = "admin";

/// Why the database could not be prepared.
#[derive(Debug, Error)]
pub enum BootstrapError {
    /// The database cannot be used, or the tables cannot be made.
    #[error("error initing database")]
    Schema(#[from] SchemaError),
    /// The roles cannot be made.
    #[error("error initing roles")]
    Roles(#[source] SqlError),
    /// A configured user cannot be made.
    #[error("error creating user [{name}]")]
    User {
        /// Its name.
        name: String,
        /// Why.
        source: SqlError,
    },
    /// The file of the generated token cannot be written or read.
    #[error("cannot keep the admin token in {}", path.display())]
    TokenFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A generated admin token, for `bcs server` without configured users.
#[derive(Clone)]
pub struct AdminToken {
    /// The token.
    pub token: String,
    /// The file it is kept in, with mode 0600.
    pub file: PathBuf,
    /// Whether it was made by this start: the moment to print it.
    pub is_new: bool,
}

/// Makes what is missing of tables and roles.
pub(crate) async fn prepare(database: &Database) -> Result<(), BootstrapError> {
    make_tables(database, schema::TABLES).await?;
    permissions::make_roles(database).await.map_err(BootstrapError::Roles)
}

/// Makes the configured users that are missing. Existing ones keep their token and expiry (quirk Q24).
pub(crate) async fn make_users(database: &Database, configured: Vec<BootstrapUser>) -> Result<(), BootstrapError> {
    for BootstrapUser { name, user_type, token } in configured {
        let failed = |source| BootstrapError::User { name: name.clone(), source };
        match users::find(database, &name, user_type).await.map_err(failed)? {
            Some(known) => {
                if !token::same(&known.user_token, &token) {
                    warn!("user [{name}] exists with another token than the configured one, which is ignored");
                }
            }
            None => match users::insert(database, &name, user_type, token).await {
                Ok(_) => info!("created user [{name}]"),
                Err(error) => {
                    // Another instance may have made it since.
                    let known = users::find(database, &name, user_type).await.map_err(failed)?;
                    known.filter(|_| error.is_duplicate()).ok_or(error).map_err(failed)?;
                }
            },
        }
    }
    Ok(())
}

/// Makes the user `admin`, if it is missing, with the token in the data directory, or else a new one. The file always
/// holds the token that counts.
pub(crate) async fn make_admin(database: &Database, data_dir: &Path) -> Result<AdminToken, BootstrapError> {
    let file = data_dir.join(TOKEN_FILE);
    let failed = |source| BootstrapError::User { name: ADMIN.to_owned(), source };
    let kept = |source| BootstrapError::TokenFile { path: file.clone(), source };
    let known = users::find(database, ADMIN, UserType::Admin).await.map_err(failed)?;
    let is_new = known.is_none();
    let token = match known {
        Some(user) => user.user_token,
        None => read(&file).map_err(kept)?.unwrap_or_else(|| token::generate(USER_TOKEN)),
    };
    if read(&file).map_err(kept)?.as_deref() != Some(&token) {
        write(&file, &token).map_err(kept)?;
    }
    if is_new {
        users::insert(database, ADMIN, UserType::Admin, token.clone()).await.map_err(failed)?;
    }
    Ok(AdminToken { token, file, is_new })
}

fn read(file: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(file) {
        Ok(text) => Ok(Some(text.trim().to_owned()).filter(|token| !token.is_empty())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn write(file: &Path, token: &str) -> io::Result<()> {
    if let Some(dir) = file.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    }
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    writeln!(made, "{token}")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::tests::database;

    fn admin(token: &str) -> Vec<BootstrapUser> {
        vec![BootstrapUser { name: "a".into(), user_type: UserType::Admin, token: token.into() }]
    }

    #[tokio::test]
    async fn a_user_is_made_once_and_keeps_its_token() {
        let (_dir, database) = database().await;
        make_users(&database, admin("one")).await.unwrap();
        make_users(&database, admin("two")).await.unwrap();
        let user = users::find(&database, "a", UserType::Admin).await.unwrap().unwrap();
        assert_eq!(user.user_token, "one");
        let clash = vec![BootstrapUser { name: "b".into(), user_type: UserType::Saas, token: "one".into() }];
        let error = make_users(&database, clash).await.unwrap_err();
        let text = bcs_common::errors::chain(&error);
        assert_eq!(text, "error creating user [b]: Duplicate entry for key 'bcs_users.user_token'");
    }

    #[tokio::test]
    async fn the_generated_token_survives_the_loss_of_either_half() {
        let (dir, database) = database().await;
        let first = make_admin(&database, dir.path()).await.unwrap();
        assert!(first.is_new && first.token.len() == 32);
        assert_eq!(fs::metadata(&first.file).unwrap().permissions().mode() & 0o777, 0o600);
        let again = make_admin(&database, dir.path()).await.unwrap();
        assert!(!again.is_new && again.token == first.token);
        fs::remove_file(&first.file).unwrap();
        make_admin(&database, dir.path()).await.unwrap();
        assert_eq!(fs::read_to_string(&first.file).unwrap().trim(), first.token);
        database.write("DELETE FROM bcs_users", &[]).await.unwrap();
        let restored = make_admin(&database, dir.path()).await.unwrap();
        assert!(restored.is_new && restored.token == first.token);
    }

    #[tokio::test]
    async fn roles_are_made_once() {
        let (_dir, database) = database().await;
        prepare(&database).await.unwrap();
        let rows = database.read("SELECT id, name, actions FROM bcs_roles ORDER BY id", &[]).await.unwrap();
        let roles: Vec<_> = rows.iter().map(|row| (row.uint(0).unwrap(), row.text(1).unwrap())).collect();
        assert_eq!(roles, [(1, "manager".to_owned()), (2, "viewer".to_owned())]);
    }
}
