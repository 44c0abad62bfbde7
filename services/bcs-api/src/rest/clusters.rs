//! Clusters.

use bcs_common::http::code;
use bcs_common::token;
use bcs_sql::{SqlError, fits};
use http::StatusCode;

use super::answer::{Answer, Failure, success};
use super::validate::{self, Field};
use super::{Request, Shared, objects};
use crate::store::{ClusterInfo, ClusterType, NewCluster, Provider};

/// Characters of `project_id`.
const PROJECT_ID: usize = 32;
/// Random characters at the end of a BKE id.
const ID_RANDOM: usize = 8;
/// Random characters at the end of an identifier.
const IDENTIFIER_RANDOM: usize = 16;

/// What is wrong with an id that is taken.
const EXISTS: &str = "create failed, cluster with this id already exists";

/// `POST /clusters`
pub(super) async fn create_plain(rest: Shared, mut request: Request) -> Answer {
    let creator_id = request.caller()?.id;
    let document = request.document().await?;
    let id = document.text("id");
    validate::check([Field::cluster_id("id", id)])?;
    let id = format!("plain-{id}");
    let identifier = identifier(&id);
    let cluster = NewCluster { id: &id, provider: Provider::Plain, creator_id, identifier: &identifier };
    let refused = |reason: &dyn std::fmt::Display| {
        let text = format!("can not create cluster, error: {reason}");
        Failure::new(StatusCode::BAD_REQUEST, "*MODELS.CLUSTER", text)
    };
    cluster.check().map_err(|reason| refused(&reason))?;
    if rest.store.cluster(&id).await?.is_some() {
        return Err(refused(&EXISTS));
    }
    let made = rest.store.insert_plain_cluster(&cluster).await.map_err(|error| {
        Failure::of_sql(error, |error| match error {
            // Another request was faster.
            SqlError::Duplicate { .. } => refused(&EXISTS),
            error => refused(error),
        })
    })?;
    success(&objects::Cluster::from(&made))
}

/// `POST /clusters/bcs`
pub(super) async fn create_bcs(rest: Shared, mut request: Request) -> Answer {
    let creator_id = request.caller()?.id;
    let document = request.document().await?;
    let (source_id, project_id) = (document.text("id"), document.text("project_id"));
    validate::check([
        Field::cluster_id("id", source_id),
        Field::text("project_id", project_id).rule("max", |text| fits(text, PROJECT_ID)),
    ])?;
    let exists = || Failure::bad_request("CLUSTER_ALREADY_EXISTS", EXISTS);
    if rest.store.cluster_by_project(project_id, source_id).await?.is_some() {
        return Err(exists());
    }
    let cluster_type = match document.text("cluster_type") {
        "" => ClusterType::K8s,
        name => ClusterType::parse(name)
            .ok_or_else(|| Failure::bad_request("CLUSTER_TYPE_INVALID", "create failed, cluster type invalid"))?,
    };
    let id = format!("bcs-{}-{}", source_id.to_lowercase(), token::generate(ID_RANDOM));
    let identifier = identifier(&id);
    let cluster = NewCluster { id: &id, provider: Provider::Bcs, creator_id, identifier: &identifier };
    let info = ClusterInfo {
        cluster_id: id.clone(),
        source_project_id: project_id.to_owned(),
        source_cluster_id: source_id.to_owned(),
        cluster_type: cluster_type.number(),
        tke_cluster_id: document.text("tke_cluster_id").to_owned(),
        tke_cluster_region: document.text("tke_cluster_region").to_owned(),
    };
    cluster.check().map_err(|reason| not_made(&reason))?;
    info.check().map_err(|reason| {
        Failure::errcode(
            StatusCode::INTERNAL_SERVER_ERROR,
            "CANNOT_CREATE_EXTERNAL_CLUSTER_INFO",
            code::API_INTERNAL_DB_ERROR,
            format!("can not create external cluster info, error: {reason}"),
        )
    })?;
    let made = rest.store.insert_bcs_cluster(&cluster, &info).await.map_err(|error| {
        Failure::of_sql(error, |error| match error {
            // Another request was faster.
            SqlError::Duplicate { .. } => exists(),
            error => not_made(error),
        })
    })?;
    success(&objects::Cluster::from(&made))
}

fn not_made(reason: &dyn std::fmt::Display) -> Failure {
    Failure::errcode(
        StatusCode::BAD_REQUEST,
        "*MODELS.CLUSTER",
        code::API_INTERNAL_DB_ERROR,
        format!("can not create cluster, error: {reason}"),
    )
}

/// A name for `/tunnels/clusters/<identifier>/` that nobody can guess.
fn identifier(id: &str) -> String {
    format!("{}-{}", id.to_lowercase(), token::generate(IDENTIFIER_RANDOM))
}

/// `GET /clusters/bcs/query_by_id`
pub(super) async fn query_by_id(rest: Shared, request: Request) -> Answer {
    let query = request.query();
    let value = |name| query.get(name).unwrap_or_default();
    let (project_id, cluster_id) = (value("project_id"), value("cluster_id"));
    validate::check([Field::text("project_id", project_id), Field::text("cluster_id", cluster_id)])?;
    match rest.store.cluster_by_project(project_id, cluster_id).await? {
        Some(cluster) => success(&objects::Cluster::from(&cluster)),
        None => {
            let text = format!("cluster with project_id={project_id} cluster_id={cluster_id} not found");
            Err(Failure::not_found("CLUSTER_NOT_FOUND", text))
        }
    }
}

/// `GET /clusters/bcs/query_by_cluster_id`: needs no token, and tells no secret.
pub(super) async fn query_by_cluster_id(rest: Shared, request: Request) -> Answer {
    let query = request.query();
    let cluster_id = query.get("cluster_id").unwrap_or_default();
    validate::check([Field::text("cluster_id", cluster_id)])?;
    match rest.store.cluster_of_bcs_id(cluster_id).await? {
        Some(cluster) => success(&objects::Cluster::from(&cluster)),
        None => {
            let text = format!("cluster with cluster_id={cluster_id} not found");
            Err(Failure::new(StatusCode::NOT_FOUND, "CLUSTER_NOT_FOUND", text))
        }
    }
}
