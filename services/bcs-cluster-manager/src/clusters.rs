//! Clusters and federations of them (cluster-manager.md 7.1).

use std::sync::Arc;

use bcs_docstore::{Bson, Document, doc};
use bcs_proto::messages::{
    AddFederatedClusterReq, AddFederatedClusterResp, Cluster, CreateClusterReq, CreateClusterResp, DeleteClusterReq,
    DeleteClusterResp, GetClusterReq, GetClusterResp, InitFederationClusterReq, InitFederationClusterResp,
    ListClusterReq, ListClusterResp, UpdateClusterReq, UpdateClusterResp,
};
use bcs_proto::tables::CLUSTER;

use crate::app::App;
use crate::failure::Failure;
use crate::record::{self, given, labels_document};
use crate::reply::{Listed, Reply, with_data};
use crate::stores::Collection;

const FEDERATION: &str = "federation";
/// Fields of the original that are never used.
const UNUSED: [&str; 7] =
    ["apiserverEndpoints", "apiServerClientCa", "token", "kubeconfig", "wssServerCert", "wssServerKey", "wssCa"];

fn check_types(engine: &str, cluster: &str) -> Result<(), Failure> {
    if !matches!(engine, "k8s" | "mesos") {
        return Err(Failure::invalid("invalid engine type"));
    }
    if !matches!(cluster, FEDERATION | "single") {
        return Err(Failure::invalid("invalid cluster type"));
    }
    Ok(())
}

pub(crate) async fn create(app: Arc<App>, request: CreateClusterReq) -> Result<CreateClusterResp, Failure> {
    check_types(&request.engine_type, &request.cluster_type)?;
    let mut document = doc! {
        "clusterID": request.cluster_id,
        "clusterName": request.cluster_name,
        "federationClusterID": "",
        "provider": request.provider,
        "region": request.region,
        "vpcID": request.vpc_id,
        "projectID": request.project_id,
        "businessID": request.business_id,
        "environment": request.environment,
        "engineType": request.engine_type,
        "isExclusive": request.is_exclusive,
        "clusterType": request.cluster_type,
    };
    document.extend(UNUSED.map(|field| (field.to_owned(), Bson::String(String::new()))));
    put_lists(&mut document, request.labels, request.operators);
    let now = bson_now();
    document.insert("createTime", now.clone());
    document.insert("updateTime", now);
    app.stores.clusters.insert(document).await?;
    Ok(Reply::success())
}

pub(crate) async fn update(app: Arc<App>, request: UpdateClusterReq) -> Result<UpdateClusterResp, Failure> {
    check_types(&request.engine_type, &request.cluster_type)?;
    let mut set = doc! {
        "clusterName": request.cluster_name,
        "provider": request.provider,
        "region": request.region,
        "vpcID": request.vpc_id,
        "projectID": request.project_id,
        "businessID": request.business_id,
        "environment": request.environment,
        "engineType": request.engine_type,
        "isExclusive": request.is_exclusive,
        "clusterType": request.cluster_type,
        "updateTime": bson_now(),
    };
    put_lists(&mut set, request.labels, request.operators);
    if !app.stores.clusters.update(&doc! { "clusterID": request.cluster_id }, set).await? {
        return Err(Failure::not_found());
    }
    Ok(Reply::success())
}

/// Empty ones are not written, so an update leaves the stored ones in place.
fn put_lists(document: &mut Document, labels: std::collections::BTreeMap<String, String>, operators: Vec<String>) {
    if !labels.is_empty() {
        document.insert("labels", labels_document(labels));
    }
    if !operators.is_empty() {
        document.insert("operators", operators);
    }
}

pub(crate) fn bson_now() -> Bson {
    Bson::DateTime(bson::DateTime::now())
}

pub(crate) async fn delete(app: Arc<App>, request: DeleteClusterReq) -> Result<DeleteClusterResp, Failure> {
    let key = doc! { "clusterID": &request.cluster_id };
    if request.is_forced {
        app.stores.quotas.delete(&key).await?;
    } else {
        let quotas = app.stores.quotas.list(&key, 0, 1).await;
        let quotas = quotas.map_err(|error| {
            Failure::store(format!("query quotas in delete cluster failed, err {}", Failure::from(error).message))
        })?;
        if !quotas.is_empty() {
            return Err(Failure::store("cannot delete cluster, there is quots in cluster"));
        }
    }
    if !app.stores.clusters.delete(&key).await? {
        return Err(Failure::store(format!("no cluster delete with clusterID {}", request.cluster_id)));
    }
    Ok(Reply::success())
}

/// The cluster with this id.
pub(crate) async fn find(clusters: &Collection, id: &str) -> Result<Cluster, Failure> {
    let found = clusters.get(&doc! { "clusterID": id }).await?;
    found.map(record::cluster).ok_or_else(Failure::not_found)
}

pub(crate) async fn get(app: Arc<App>, request: GetClusterReq) -> Result<GetClusterResp, Failure> {
    let cluster = find(&app.stores.clusters, &request.cluster_id).await?;
    Ok(with_data!(GetClusterResp, Some(cluster)))
}

pub(crate) async fn list(app: Arc<App>, request: ListClusterReq) -> Result<Listed<ListClusterResp>, Failure> {
    let fields = given([
        ("clusterName", request.cluster_name),
        ("provider", request.provider),
        ("region", request.region),
        ("vpcID", request.vpc_id),
        ("projectID", request.project_id),
        ("businessID", request.business_id),
        ("environment", request.environment),
        ("engineType", request.engine_type),
    ]);
    let listed = app.stores.clusters.list_encoded(&fields, request.offset, request.limit, |cluster, out| {
        record::put_element(&CLUSTER, cluster, out);
    });
    Ok(Listed::of(listed.await?))
}

/// Not implemented by the original: an empty answer.
pub(crate) async fn init_federation(
    _: Arc<App>,
    _: InitFederationClusterReq,
) -> Result<InitFederationClusterResp, Failure> {
    Ok(InitFederationClusterResp {})
}

pub(crate) async fn add_federated(
    app: Arc<App>,
    request: AddFederatedClusterReq,
) -> Result<AddFederatedClusterResp, Failure> {
    let (fed, id) = (request.federation_cluster_id, request.cluster_id);
    let clusters = &app.stores.clusters;
    let federation = find(clusters, &fed).await?;
    if federation.cluster_type != FEDERATION {
        return Err(Failure::store(format!("cluster {fed} is not federation cluster")));
    }
    let member = find(clusters, &id).await?;
    check_member(&federation, &member).map_err(Failure::store)?;
    // Of two that join at once only one finds the member free.
    let free = doc! { "clusterID": &id, "federationClusterID": "" };
    let joined = clusters.update(&free, doc! { "federationClusterID": &fed, "updateTime": bson_now() }).await?;
    if !joined {
        check_member(&federation, &find(clusters, &id).await?).map_err(Failure::store)?;
        return Err(Failure::not_found());
    }
    Ok(Reply::success())
}

fn check_member(federation: &Cluster, member: &Cluster) -> Result<(), String> {
    let (fed, id) = (&federation.cluster_id, &member.cluster_id);
    if member.cluster_type == FEDERATION {
        return Err(format!("cluster {id} is federation cluster, cannot join other federation cluster"));
    }
    let old = &member.federation_cluster_id;
    if !old.is_empty() {
        return Err(format!("cluster {id} has already joined federation {old}, cannot be federated into {fed}"));
    }
    if federation.environment != member.environment {
        return Err(format!("cluster {id} and federation {fed} not in the same environment"));
    }
    if (&federation.project_id, &federation.business_id) != (&member.project_id, &member.business_id) {
        return Err(format!("cluster {id} and federation {fed} has different projectID or businessID"));
    }
    Ok(())
}
