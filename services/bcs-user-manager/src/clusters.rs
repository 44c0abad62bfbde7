//! Cluster records and register tokens (user-manager.md 6.2, 6.3).

use bcs_common::http::code;
use bcs_common::token::{self, REGISTER_TOKEN};
use bcs_sql::{Database, Row, SqlError, Time, fits, now};
use http::StatusCode;
use serde::Serialize;

use crate::answer::Failure;
use crate::document::{Document, require};

/// Characters of the id columns.
const ID_COLUMN: usize = 255;
/// `cluster_type` of clusters of Tencent Kubernetes Engine.
pub(crate) const TKE: u32 = 3;

/// A row of `bcs_clusters`, as it is answered.
#[derive(Serialize)]
pub(crate) struct Cluster {
    pub id: String,
    pub cluster_type: u32,
    pub tke_cluster_id: String,
    pub tke_cluster_region: String,
    pub creator_id: u32,
    pub created_at: Time,
}

/// The cluster of an id.
pub(crate) async fn find(database: &Database, id: &str) -> Result<Option<Cluster>, SqlError> {
    let sql = "SELECT id, cluster_type, tke_cluster_id, tke_cluster_region, creator_id, created_at \
               FROM bcs_clusters WHERE id = ? LIMIT 1";
    let cluster = |row: &Row| {
        Ok(Cluster {
            id: row.text(0)?,
            cluster_type: row.uint(1)?,
            tke_cluster_id: row.text(2)?,
            tke_cluster_region: row.text(3)?,
            creator_id: row.uint(4)?,
            created_at: Time(row.time(5)?),
        })
    };
    database.read(sql, &[id.into()]).await?.first().map(cluster).transpose()
}

/// Creates a cluster record.
pub(crate) async fn create(database: &Database, document: &Document, creator: u32) -> Result<Cluster, Failure> {
    let (id, cluster_type) = (document.text("cluster_id"), document.text("cluster_type"));
    require(&[("cluster_id", !id.is_empty()), ("cluster_type", !cluster_type.is_empty())])?;
    let (mut tke_id, mut tke_region) = (document.text("tke_cluster_id"), document.text("tke_cluster_region"));
    let cluster_type = match cluster_type {
        "k8s" => 1,
        "mesos" => 2,
        "tke" if tke_id.is_empty() || tke_region.is_empty() => {
            return Err(Failure::bad_request("create tke cluster failed, empty tke clusterid or region"));
        }
        "tke" => TKE,
        _ => return Err(Failure::bad_request("create failed, cluster type invalid")),
    };
    if cluster_type != TKE {
        (tke_id, tke_region) = ("", "");
    }
    if find(database, id).await.map_err(Failure::reading("cluster"))?.is_some() {
        return Err(already_exists(id));
    }
    let failed = format!("create cluster [{id}] failed, error: ");
    for (column, value) in [("id", id), ("tke_cluster_id", tke_id), ("tke_cluster_region", tke_region)] {
        if !fits(value, ID_COLUMN) {
            return Err(Failure::database_text(failed, &format!("Data too long for column '{column}'")));
        }
    }
    let now = now();
    let sql = "INSERT INTO bcs_clusters (id, cluster_type, tke_cluster_id, tke_cluster_region, creator_id, created_at) \
               VALUES (?, ?, ?, ?, ?, ?)";
    let params = [id.into(), cluster_type.into(), tke_id.into(), tke_region.into(), creator.into(), now.into()];
    database.write(sql, &params).await.map_err(|error| match error {
        // Another request was faster.
        SqlError::Duplicate { .. } => already_exists(id),
        error => Failure::database(failed, error),
    })?;
    Ok(Cluster {
        id: id.to_owned(),
        cluster_type,
        tke_cluster_id: tke_id.to_owned(),
        tke_cluster_region: tke_region.to_owned(),
        creator_id: creator,
        created_at: database.show(now),
    })
}

fn already_exists(id: &str) -> Failure {
    Failure::bad_request(format!("create cluster failed, cluster [{id}] already exist"))
}

/// A row of `bcs_register_tokens`, as it is answered.
#[derive(Serialize)]
pub(crate) struct RegisterToken {
    pub id: u32,
    pub cluster_id: String,
    pub token: String,
    pub created_at: Time,
}

/// The register token of a cluster.
pub(crate) async fn find_register_token(
    database: &Database,
    cluster_id: &str,
) -> Result<Option<RegisterToken>, SqlError> {
    let sql =
        "SELECT id, cluster_id, token, created_at FROM bcs_register_tokens WHERE cluster_id = ? ORDER BY id LIMIT 1";
    let token = |row: &Row| {
        Ok(RegisterToken {
            id: row.uint(0)?,
            cluster_id: row.text(1)?,
            token: row.text(2)?,
            created_at: Time(row.time(3)?),
        })
    };
    database.read(sql, &[cluster_id.into()]).await?.first().map(token).transpose()
}

/// Reads the register token of a cluster.
pub(crate) async fn get_register_token(database: &Database, cluster_id: &str) -> Result<RegisterToken, Failure> {
    let token = find_register_token(database, cluster_id).await.map_err(Failure::reading("register token"))?;
    token.ok_or_else(|| Failure::bad_request("register token not found"))
}

/// Creates the register token of a cluster, once and for ever.
pub(crate) async fn create_register_token(database: &Database, cluster_id: &str) -> Result<RegisterToken, Failure> {
    if find(database, cluster_id).await.map_err(Failure::reading("cluster"))?.is_none() {
        let text = format!("create register_token failed, cluster [{cluster_id}] not exist");
        return Err(Failure::bad_request(text));
    }
    let sql = "INSERT INTO bcs_register_tokens (cluster_id, token, created_at) VALUES (?, ?, ?)";
    let token = token::generate(REGISTER_TOKEN);
    let params = [cluster_id.into(), (&token).into(), now().into()];
    database.write(sql, &params).await.map_err(|error| {
        let refused = |reason: &str| {
            let text = format!("can not create register token: {reason}");
            Failure::refused(StatusCode::INTERNAL_SERVER_ERROR, text).with_code(code::API_BAD_REQUEST)
        };
        match error {
            SqlError::Duplicate { .. } => refused("token already exists"),
            error => refused(&error.to_string()).because(error),
        }
    })?;
    get_register_token(database, cluster_id).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{database, document};

    #[tokio::test]
    async fn tke_fields_are_kept_for_tke_only() {
        let (_dir, database) = database().await;
        for (cluster_type, number, kept) in [("k8s", 1, ""), ("mesos", 2, ""), ("tke", 3, "x")] {
            let body = format!(
                r#"{{"cluster_id":"{cluster_type}","cluster_type":"{cluster_type}","tke_cluster_id":"x","tke_cluster_region":"x"}}"#
            );
            let cluster = create(&database, &document(&body), 9).await.unwrap();
            assert_eq!((cluster.cluster_type, cluster.tke_cluster_id.as_str(), cluster.creator_id), (number, kept, 9));
            let stored = find(&database, cluster_type).await.unwrap().unwrap();
            assert_eq!((stored.cluster_type, stored.tke_cluster_region.as_str()), (number, kept));
        }
    }

    #[tokio::test]
    async fn refusals_in_order() {
        let (_dir, database) = database().await;
        for (body, want) in [
            ("{}", "errcode: 1405061, field 'cluster_id' is required"),
            (r#"{"cluster_id":"a","cluster_type":7}"#, "errcode: 1405061, field 'cluster_type' is required"),
            (
                r#"{"cluster_id":"a","cluster_type":"tke","tke_cluster_id":"x"}"#,
                "errcode: 1405061, create tke cluster failed, empty tke clusterid or region",
            ),
            (r#"{"cluster_id":"a","cluster_type":"K8S"}"#, "errcode: 1405061, create failed, cluster type invalid"),
        ] {
            let failure = create(&database, &document(body), 1).await.err().unwrap();
            assert_eq!((failure.status, failure.message.as_str()), (StatusCode::BAD_REQUEST, want));
        }
        let body = format!(r#"{{"cluster_id":"{}","cluster_type":"k8s"}}"#, "x".repeat(256));
        let failure = create(&database, &document(&body), 1).await.err().unwrap();
        assert_eq!((failure.status, failure.code.value), (StatusCode::INTERNAL_SERVER_ERROR, 1_405_062));
    }

    #[tokio::test]
    async fn one_register_token_for_each_cluster() {
        let (_dir, database) = database().await;
        let failure = create_register_token(&database, "c").await.err().unwrap();
        assert_eq!(failure.message, "errcode: 1405061, create register_token failed, cluster [c] not exist");
        create(&database, &document(r#"{"cluster_id":"c","cluster_type":"k8s"}"#), 1).await.unwrap();
        let token = create_register_token(&database, "c").await.unwrap();
        assert_eq!((token.id, token.cluster_id.as_str(), token.token.len()), (1, "c", 128));
        let failure = create_register_token(&database, "c").await.err().unwrap();
        assert_eq!((failure.status, failure.code.value), (StatusCode::INTERNAL_SERVER_ERROR, 1_405_061));
        assert_eq!(failure.message, "errcode: 1405061, can not create register token: token already exists");
        assert_eq!(get_register_token(&database, "c").await.unwrap().token, token.token);
    }
}
