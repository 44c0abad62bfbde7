//! Credentials of clusters (user-manager.md 6.4).

use std::collections::BTreeMap;

use bcs_common::http::code;
use bcs_common::{server_addresses, token};
use bcs_sql::{Database, Dialect, Row, SqlError, Time, fits, now};
use http::StatusCode;
use serde::Serialize;

use crate::answer::Failure;
use crate::clusters;
use crate::document::{Document, require};

/// Characters of the columns.
const ADDRESSES_COLUMN: usize = 2048;
const CA_COLUMN: usize = 4096;
const TOKEN_COLUMN: usize = 2048;

/// A row of `bcs_cluster_credentials`, as it is answered.
#[derive(Serialize)]
pub(crate) struct Credentials {
    pub id: u32,
    pub cluster_id: String,
    #[serde(flatten)]
    pub access: Access,
    pub created_at: Time,
    pub updated_at: Time,
}

/// How to reach a cluster.
#[derive(Serialize)]
pub(crate) struct Access {
    pub server_addresses: String,
    pub ca_cert_data: String,
    pub user_token: String,
    pub cluster_domain: String,
}

impl Access {
    /// From the columns at the start of a row.
    fn of(row: &Row) -> Result<Self, SqlError> {
        Ok(Self {
            server_addresses: row.text(0)?,
            ca_cert_data: row.text(1)?,
            user_token: row.text(2)?,
            cluster_domain: row.text(3)?,
        })
    }
}

/// The credentials of a cluster.
pub(crate) async fn get(database: &Database, cluster_id: &str) -> Result<Credentials, Failure> {
    let sql = "SELECT server_addresses, ca_cert_data, user_token, cluster_domain, id, cluster_id, created_at, updated_at \
               FROM bcs_cluster_credentials WHERE cluster_id = ? ORDER BY id LIMIT 1";
    let credentials = |row: &Row| {
        Ok(Credentials {
            access: Access::of(row)?,
            id: row.uint(4)?,
            cluster_id: row.text(5)?,
            created_at: Time(row.time(6)?),
            updated_at: Time(row.time(7)?),
        })
    };
    let rows = database.read(sql, &[cluster_id.into()]).await.map_err(Failure::reading("credentials"))?;
    let found = rows.first().map(credentials).transpose().map_err(Failure::reading("credentials"))?;
    found.ok_or_else(|| Failure::bad_request("credentials not found"))
}

/// The credentials of all clusters by cluster id.
pub(crate) async fn list(database: &Database) -> Result<BTreeMap<String, Access>, Failure> {
    let sql =
        "SELECT server_addresses, ca_cert_data, user_token, cluster_domain, cluster_id FROM bcs_cluster_credentials";
    let rows = database.read(sql, &[]).await.map_err(Failure::reading("credentials"))?;
    let entry = |row: &Row| Ok((row.text(4)?, Access::of(row)?));
    rows.iter().map(entry).collect::<Result<_, _>>().map_err(Failure::reading("credentials"))
}

/// What an agent reports about its cluster; the register token in the document is what lets it.
pub(crate) async fn report(database: &Database, cluster_id: &str, document: &Document) -> Result<(), Failure> {
    let register_token = document.text("register_token");
    let access = Access {
        server_addresses: document.text("server_addresses").to_owned(),
        ca_cert_data: document.text("cacert_data").to_owned(),
        user_token: document.text("user_token").to_owned(),
        cluster_domain: String::new(),
    };
    require(&[
        ("register_token", !register_token.is_empty()),
        ("server_addresses", !access.server_addresses.is_empty()),
        ("cacert_data", !access.ca_cert_data.is_empty()),
        ("user_token", !access.user_token.is_empty()),
    ])?;
    if !server_addresses::are_valid(&access.server_addresses) {
        return Err(Failure::bad_request("'server_addresses' failed on the 'apiserver_addresses' tag"));
    }
    let known = clusters::find_register_token(database, cluster_id).await;
    let known = known.map_err(Failure::reading("register token"))?;
    let known = known.ok_or_else(|| Failure::bad_request("no valid register token found for cluster"))?;
    if !token::same(&known.token, register_token) {
        return Err(Failure::bad_request("invalid register token given"));
    }
    // The texts have the code of a database error, the envelopes that of a bad request (quirk Q4).
    let refused = |failure: Failure| failure.with_status(StatusCode::BAD_REQUEST).with_code(code::API_BAD_REQUEST);
    let failed = "can not update credentials, error: ";
    check_lengths(&access).map_err(|text| refused(Failure::database_text(failed, &text)))?;
    save(database, cluster_id, &access).await.map_err(|error| refused(Failure::database(failed, error)))
}

fn check_lengths(access: &Access) -> Result<(), String> {
    for (column, value, length) in [
        ("server_addresses", &access.server_addresses, ADDRESSES_COLUMN),
        ("ca_cert_data", &access.ca_cert_data, CA_COLUMN),
        ("user_token", &access.user_token, TOKEN_COLUMN),
    ] {
        if !fits(value, length) {
            return Err(format!("Data too long for column '{column}'"));
        }
    }
    Ok(())
}

/// Makes or changes the row of a cluster; an empty value leaves what is there.
pub(crate) async fn save(database: &Database, cluster_id: &str, access: &Access) -> Result<(), SqlError> {
    let sql = match database.dialect() {
        Dialect::MySql => {
            "INSERT INTO bcs_cluster_credentials \
             (cluster_id, server_addresses, ca_cert_data, user_token, cluster_domain, created_at, updated_at) \
             VALUES (?, ?, ?, ?, ?, ?, ?) ON DUPLICATE KEY UPDATE \
             server_addresses = IF(VALUES(server_addresses) = '', server_addresses, VALUES(server_addresses)), \
             ca_cert_data = IF(VALUES(ca_cert_data) = '', ca_cert_data, VALUES(ca_cert_data)), \
             user_token = IF(VALUES(user_token) = '', user_token, VALUES(user_token)), \
             cluster_domain = IF(VALUES(cluster_domain) = '', cluster_domain, VALUES(cluster_domain)), \
             updated_at = VALUES(updated_at)"
        }
        Dialect::Sqlite => {
            "INSERT INTO bcs_cluster_credentials \
             (cluster_id, server_addresses, ca_cert_data, user_token, cluster_domain, created_at, updated_at) \
             VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (cluster_id) DO UPDATE SET \
             server_addresses = iif(excluded.server_addresses = '', server_addresses, excluded.server_addresses), \
             ca_cert_data = iif(excluded.ca_cert_data = '', ca_cert_data, excluded.ca_cert_data), \
             user_token = iif(excluded.user_token = '', user_token, excluded.user_token), \
             cluster_domain = iif(excluded.cluster_domain = '', cluster_domain, excluded.cluster_domain), \
             updated_at = excluded.updated_at"
        }
    };
    let now = now();
    let params = [
        cluster_id.into(),
        (&access.server_addresses).into(),
        (&access.ca_cert_data).into(),
        (&access.user_token).into(),
        (&access.cluster_domain).into(),
        now.into(),
        now.into(),
    ];
    database.write(sql, &params).await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tests::{database, document};

    async fn database_with_token() -> (tempfile::TempDir, Database, String) {
        let (dir, database) = database().await;
        clusters::create(&database, &document(r#"{"cluster_id":"c","cluster_type":"k8s"}"#), 1).await.unwrap();
        let token = clusters::create_register_token(&database, "c").await.unwrap().token;
        (dir, database, token)
    }

    fn body(token: &str, ca: &str) -> Document {
        let body = json!({"register_token": token, "server_addresses": "https://10.0.0.1:6443",
                          "cacert_data": ca, "user_token": "t"});
        document(&body.to_string())
    }

    #[tokio::test]
    async fn a_report_needs_the_exact_register_token() {
        let (_dir, database, token) = database_with_token().await;
        let other_case: String =
            token.chars().map(|c| if c.is_ascii_lowercase() { c.to_ascii_uppercase() } else { c }).collect();
        for wrong in [other_case, format!("{token} "), "x".to_owned()] {
            let failure = report(&database, "c", &body(&wrong, "ca")).await.unwrap_err();
            assert_eq!(failure.message, "errcode: 1405061, invalid register token given");
        }
        let failure = report(&database, "other", &body(&token, "ca")).await.unwrap_err();
        assert_eq!(failure.message, "errcode: 1405061, no valid register token found for cluster");
        assert!(get(&database, "c").await.is_err());
        report(&database, "c", &body(&token, "ca")).await.unwrap();
        let stored = get(&database, "c").await.unwrap();
        assert_eq!((stored.access.ca_cert_data.as_str(), stored.access.cluster_domain.as_str()), ("ca", ""));
        assert_eq!(list(&database).await.unwrap().keys().collect::<Vec<_>>(), ["c"]);
    }

    #[tokio::test]
    async fn long_values_are_refused_alike_on_both_databases() {
        let (_dir, database, token) = database_with_token().await;
        assert!(report(&database, "c", &body(&token, &"é".repeat(4096))).await.is_ok());
        let failure = report(&database, "c", &body(&token, &"é".repeat(4097))).await.unwrap_err();
        assert_eq!((failure.status, failure.code.value), (StatusCode::BAD_REQUEST, 1_405_061));
        assert!(failure.message.starts_with("errcode: 1405062, can not update credentials, error: "));
    }

    #[tokio::test]
    async fn an_empty_value_keeps_the_old_one() {
        let (_dir, database, _) = database_with_token().await;
        let access = |domain: &str, ca: &str| Access {
            server_addresses: "a".into(),
            ca_cert_data: ca.into(),
            user_token: "t".into(),
            cluster_domain: domain.into(),
        };
        save(&database, "c", &access("https://d/", "ca")).await.unwrap();
        save(&database, "c", &access("", "")).await.unwrap();
        save(&database, "c", &access("", "ca2")).await.unwrap();
        let stored = get(&database, "c").await.unwrap();
        assert_eq!((stored.id, stored.access.cluster_domain.as_str()), (1, "https://d/"));
        assert_eq!(stored.access.ca_cert_data, "ca2");
    }
}
