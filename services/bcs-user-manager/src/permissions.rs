//! Granting and revoking roles (user-manager.md 6.5).

use bcs_sql::{Database, Row, SqlError, Transaction, fits, now};
use serde::Serialize;

use crate::answer::Failure;
use crate::document::Document;

/// Characters of the text columns.
const TEXT_COLUMN: usize = 255;
/// The roles that exist from the start, with their actions (user-manager.md 7.3).
const ROLES: [(&str, &str); 2] = [("manager", "GET,POST,PUT,PATCH,DELETE"), ("viewer", "GET")];

/// What `GET /permissions` answers.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Permission {
    pub resource_type: String,
    pub resource: String,
    pub role: String,
}

/// Creates the roles that are missing; existing ones stay as they are.
pub(crate) async fn make_roles(database: &Database) -> Result<(), SqlError> {
    let mut missing = Vec::new();
    for (name, actions) in ROLES {
        let known = "SELECT id FROM bcs_roles WHERE name = ? LIMIT 1";
        if database.read(known, &[name.into()]).await?.is_empty() {
            missing.push((name, actions));
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let mut transaction = database.begin().await?;
    for (name, actions) in missing {
        let sql = "INSERT INTO bcs_roles (name, actions, created_at) VALUES (?, ?, ?)";
        match transaction.write(sql, &[name.into(), actions.into(), now().into()]).await {
            // Another instance was faster.
            Err(SqlError::Duplicate { .. }) => {}
            result => {
                result?;
            }
        }
    }
    transaction.commit().await
}

/// An element of `spec.permissions`.
struct Entry<'a> {
    user: &'a str,
    resource_type: &'a str,
    resource: &'a str,
    role: &'a str,
}

/// What to do with the entries of a document.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// `POST`.
    Grant,
    /// `DELETE`.
    Revoke,
}

impl Change {
    fn no_user(self, entry: &Entry<'_>) -> Failure {
        let user = entry.user;
        Failure::bad_request(match self {
            Self::Grant => format!("failed to grant permission to user [{user}], user not exist"),
            Self::Revoke => format!("failed to revoke permission of user [{user}], user not exist"),
        })
    }

    fn no_role(self, entry: &Entry<'_>) -> Failure {
        let (user, role) = (entry.user, entry.role);
        Failure::bad_request(match self {
            Self::Grant => format!("failed to grant role [{role}] permission to user [{user}], role not exist"),
            Self::Revoke => format!("failed to revoke permission of role [{role}] from user [{user}], role not exist"),
        })
    }

    fn failed(self, entry: &Entry<'_>) -> String {
        let Entry { user, resource_type, resource, role } = entry;
        match self {
            Self::Grant => format!(
                "failed to grant role [{role}] of resourcetype [{resource_type}] and resource [{resource}] to user [{user}]: "
            ),
            Self::Revoke => format!(
                "failed to delete role [{role}] of resourcetype [{resource_type}] and resource [{resource}] from user [{user}]: "
            ),
        }
    }
}

/// Grants or revokes all entries of a document, or none. The ids of the users whose grants are others now.
pub(crate) async fn apply(database: &Database, document: &Document, change: Change) -> Result<Vec<u32>, Failure> {
    if document.text("kind") != "permission" {
        return Err(Failure::bad_request("BcsPermission kind must be permission"));
    }
    if document.text("apiVersion") != "v1" {
        return Err(Failure::bad_request("BcsPermission apiVersion must be v1"));
    }
    let entries = document.inner("spec").list("permissions").unwrap_or_default();
    if entries.is_empty() {
        return Ok(Vec::new());
    }
    let failed = |error| Failure::database("failed to change permissions: ", error);
    let mut transaction = database.begin().await.map_err(failed)?;
    match apply_all(&mut transaction, &entries, change).await {
        Ok(users) => {
            transaction.commit().await.map_err(failed)?;
            Ok(users)
        }
        Err(failure) => {
            transaction.roll_back().await;
            Err(failure)
        }
    }
}

async fn apply_all(
    transaction: &mut Transaction<'_>,
    entries: &[Document],
    change: Change,
) -> Result<Vec<u32>, Failure> {
    let mut users = Vec::new();
    for entry in entries {
        let entry = Entry {
            user: entry.text("user_name"),
            resource_type: entry.text("resource_type"),
            resource: entry.text("resource"),
            role: entry.text("role"),
        };
        let no_type = || Failure::bad_request("resource_type is empty");
        if change == Change::Grant && entry.resource_type.is_empty() {
            return Err(no_type());
        }
        let user = id_of(transaction, "SELECT id FROM bcs_users WHERE name = ? ORDER BY id LIMIT 1", entry.user).await;
        let user = user.map_err(|error| Failure::database(change.failed(&entry), error))?;
        let user = user.ok_or_else(|| change.no_user(&entry))?;
        let role = id_of(transaction, "SELECT id FROM bcs_roles WHERE name = ? ORDER BY id LIMIT 1", entry.role).await;
        let role = role.map_err(|error| Failure::database(change.failed(&entry), error))?;
        let role = role.ok_or_else(|| change.no_role(&entry))?;
        // The original, which looks for user and role first, revokes some row then.
        if entry.resource_type.is_empty() {
            return Err(no_type());
        }
        for (column, value) in [("resource_type", entry.resource_type), ("resource", entry.resource)] {
            if change == Change::Grant && !fits(value, TEXT_COLUMN) {
                let text = format!("Data too long for column '{column}'");
                return Err(Failure::database_text(change.failed(&entry), &text));
            }
        }
        let done = match change {
            Change::Grant => grant(transaction, user, role, &entry).await,
            Change::Revoke => revoke(transaction, user, role, &entry).await,
        };
        done.map_err(|error| Failure::database(change.failed(&entry), error))?;
        if !users.contains(&user) {
            users.push(user);
        }
    }
    Ok(users)
}

/// The id of a named row. No row has an empty name.
async fn id_of(transaction: &mut Transaction<'_>, sql: &'static str, name: &str) -> Result<Option<u32>, SqlError> {
    if name.is_empty() {
        return Ok(None);
    }
    transaction.read(sql, &[name.into()]).await?.first().map(|row| row.uint(0)).transpose()
}

async fn grant(transaction: &mut Transaction<'_>, user: u32, role: u32, entry: &Entry<'_>) -> Result<(), SqlError> {
    if !equal_rows(transaction, user, role, entry).await?.is_empty() {
        return Ok(());
    }
    let sql = "INSERT INTO bcs_user_resource_roles (user_id, resource_type, resource, role_id, created_at) \
               VALUES (?, ?, ?, ?, ?)";
    let params = [user.into(), entry.resource_type.into(), entry.resource.into(), role.into(), now().into()];
    transaction.write(sql, &params).await.map(|_| ())
}

async fn revoke(transaction: &mut Transaction<'_>, user: u32, role: u32, entry: &Entry<'_>) -> Result<(), SqlError> {
    for id in equal_rows(transaction, user, role, entry).await? {
        transaction.write("DELETE FROM bcs_user_resource_roles WHERE id = ?", &[id.into()]).await?;
    }
    Ok(())
}

/// The rows that are equal to an entry. MySQL compares texts without case and trailing blanks, so they are compared again.
async fn equal_rows(
    transaction: &mut Transaction<'_>,
    user: u32,
    role: u32,
    entry: &Entry<'_>,
) -> Result<Vec<u32>, SqlError> {
    let sql = "SELECT id, resource_type, resource FROM bcs_user_resource_roles \
               WHERE user_id = ? AND role_id = ? AND resource_type = ? AND COALESCE(resource, '') = ? ORDER BY id";
    let params = [user.into(), role.into(), entry.resource_type.into(), entry.resource.into()];
    let mut ids = Vec::new();
    for row in transaction.read(sql, &params).await? {
        if row.text(1)? == entry.resource_type && row.text(2)? == entry.resource {
            ids.push(row.uint(0)?);
        }
    }
    Ok(ids)
}

/// The permissions of a user for a resource type.
pub(crate) async fn get(database: &Database, user: &str, resource_type: &str) -> Result<Vec<Permission>, Failure> {
    let sql = "SELECT id FROM bcs_users WHERE name = ? ORDER BY id LIMIT 1";
    let rows = database.read(sql, &[user.into()]).await.map_err(Failure::reading("user"))?;
    let Some(row) = rows.first() else {
        return Err(Failure::bad_request(format!("user [{user}] not found")));
    };
    let id = row.uint(0).map_err(Failure::reading("user"))?;
    let sql = "SELECT u.resource_type, u.resource, r.name FROM bcs_user_resource_roles u \
               LEFT JOIN bcs_roles r ON u.role_id = r.id WHERE u.user_id = ? AND u.resource_type = ? ORDER BY u.id";
    let permission =
        |row: &Row| Ok(Permission { resource_type: row.text(0)?, resource: row.text(1)?, role: row.text(2)? });
    let rows = database.read(sql, &[id.into(), resource_type.into()]).await.map_err(Failure::reading("permissions"))?;
    rows.iter().map(permission).collect::<Result<_, _>>().map_err(Failure::reading("permissions"))
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use serde_json::{Value, json};

    use super::*;
    use crate::tests::{database, document};
    use crate::users::{self, UserType};

    fn body(entries: &[Value]) -> Document {
        let body = json!({"apiVersion": "v1", "kind": "permission", "spec": {"permissions": entries}});
        document(&body.to_string())
    }

    fn entry(user: &str, resource_type: &str, resource: &str, role: &str) -> Value {
        json!({"user_name": user, "resource_type": resource_type, "resource": resource, "role": role})
    }

    async fn database_with_users() -> (tempfile::TempDir, Database) {
        let (dir, database) = database().await;
        for name in ["admin", "bob"] {
            users::create(&database, name, UserType::Plain).await.unwrap();
        }
        (dir, database)
    }

    async fn of(database: &Database, user: &str) -> Vec<(String, String)> {
        let permissions = get(database, user, "cluster").await.unwrap();
        permissions.into_iter().map(|permission| (permission.resource, permission.role)).collect()
    }

    fn pair(resource: &str, role: &str) -> (String, String) {
        (resource.to_owned(), role.to_owned())
    }

    #[tokio::test]
    async fn grants_are_exact_and_not_doubled() {
        let (_dir, database) = database_with_users().await;
        for resource in ["c1", "", "c1", "C1"] {
            let changed = apply(&database, &body(&[entry("bob", "cluster", resource, "viewer")]), Change::Grant).await;
            assert_eq!(changed.unwrap(), [2]);
        }
        assert_eq!(of(&database, "bob").await, [pair("c1", "viewer"), pair("", "viewer"), pair("C1", "viewer")]);
        apply(&database, &body(&[entry("bob", "cluster", "", "viewer")]), Change::Revoke).await.unwrap();
        assert_eq!(of(&database, "bob").await, [pair("c1", "viewer"), pair("C1", "viewer")]);
        apply(&database, &body(&[entry("bob", "cluster", "none", "viewer")]), Change::Revoke).await.unwrap();
        assert_eq!(of(&database, "bob").await.len(), 2);
    }

    #[tokio::test]
    async fn revoking_removes_duplicates_and_rows_with_null() {
        let (_dir, database) = database_with_users().await;
        let insert = "INSERT INTO bcs_user_resource_roles (user_id, resource_type, resource, role_id) VALUES \
                      (2, 'cluster', 'c', 2), (2, 'cluster', 'c', 2), (2, 'cluster', NULL, 2), (2, 'cluster', 'c', 1)";
        database.write(insert, &[]).await.unwrap();
        for resource in ["c", ""] {
            apply(&database, &body(&[entry("bob", "cluster", resource, "viewer")]), Change::Revoke).await.unwrap();
        }
        assert_eq!(of(&database, "bob").await, [pair("c", "manager")]);
    }

    #[tokio::test]
    async fn an_empty_or_wrong_field_never_means_somebody() {
        let (_dir, database) = database_with_users().await;
        for (entry, grant, revoke) in [
            (
                entry("", "cluster", "c", "viewer"),
                "failed to grant permission to user [], user not exist",
                "failed to revoke permission of user [], user not exist",
            ),
            (
                json!({"user_name": 1, "resource_type": "cluster", "role": "viewer"}),
                "failed to grant permission to user [], user not exist",
                "failed to revoke permission of user [], user not exist",
            ),
            (
                entry("bob", "cluster", "c", ""),
                "failed to grant role [] permission to user [bob], role not exist",
                "failed to revoke permission of role [] from user [bob], role not exist",
            ),
            (entry("bob", "", "c", "viewer"), "resource_type is empty", "resource_type is empty"),
            (json!("x"), "resource_type is empty", "failed to revoke permission of user [], user not exist"),
        ] {
            for (change, want) in [(Change::Grant, grant), (Change::Revoke, revoke)] {
                let failure = apply(&database, &body(std::slice::from_ref(&entry)), change).await.unwrap_err();
                assert_eq!(failure.status, StatusCode::BAD_REQUEST);
                assert_eq!(failure.message, format!("errcode: 1405061, {want}"));
            }
        }
    }

    #[tokio::test]
    async fn a_failing_entry_leaves_nothing() {
        let (_dir, database) = database_with_users().await;
        let good = entry("bob", "cluster", "c", "viewer");
        for bad in [entry("nobody", "cluster", "c", "viewer"), entry("bob", "cluster", &"x".repeat(256), "viewer")] {
            assert!(apply(&database, &body(&[good.clone(), bad]), Change::Grant).await.is_err());
            assert_eq!(of(&database, "bob").await, []);
        }
    }

    #[tokio::test]
    async fn the_document_must_say_what_it_is() {
        let (_dir, database) = database_with_users().await;
        for (body, want) in [
            ("{}", "errcode: 1405061, BcsPermission kind must be permission"),
            (r#"{"kind":"permissions","apiVersion":"v1"}"#, "errcode: 1405061, BcsPermission kind must be permission"),
            (r#"{"kind":"permission","apiVersion":"v2"}"#, "errcode: 1405061, BcsPermission apiVersion must be v1"),
        ] {
            let failure = apply(&database, &document(body), Change::Grant).await.unwrap_err();
            assert_eq!(failure.message, want);
        }
        let empty = r#"{"kind":"permission","apiVersion":"v1","spec":{"permissions":null}}"#;
        assert_eq!(apply(&database, &document(empty), Change::Grant).await.unwrap(), [0; 0]);
    }
}
