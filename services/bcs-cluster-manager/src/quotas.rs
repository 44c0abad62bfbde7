//! Resource quotas: a record, and a namespace with its quota in a member cluster (cluster-manager.md 7.4).

use std::collections::BTreeMap;
use std::sync::Arc;

use bcs_docstore::{Document, doc};
use bcs_proto::messages::create_namespace_quota_resp::CreateNamespaceQuotaRespData;
use bcs_proto::messages::create_namespace_with_quota_resp::CreateNamespaceWithQuotaRespData;
use bcs_proto::messages::{
    CreateNamespaceQuotaReq, CreateNamespaceQuotaResp, CreateNamespaceReq, CreateNamespaceWithQuotaReq,
    CreateNamespaceWithQuotaResp, DeleteNamespaceQuotaReq, DeleteNamespaceQuotaResp, GetNamespaceQuotaReq,
    GetNamespaceQuotaResp, ListNamespaceQuotaReq, ListNamespaceQuotaResp, UpdateNamespaceQuotaReq,
    UpdateNamespaceQuotaResp,
};
use tracing::warn;

use crate::app::App;
use crate::clusters::{self, bson_now};
use crate::failure::{Failure, code};
use crate::kube::resource_quota::{self, ResourceQuota};
use crate::record::{self, given};
use crate::reply::{Reply, with_data};
use crate::{allocation, namespaces};

fn key(namespace: &str, federation: &str, cluster: &str) -> Document {
    doc! { "namespace": namespace, "federationClusterID": federation, "clusterID": cluster }
}

/// The quota of a text that must belong to this namespace.
fn decode(text: &str, namespace: &str) -> Result<ResourceQuota, Failure> {
    let quota = resource_quota::decode(text)
        .map_err(|error| Failure::invalid(format!("decode resourcequota failed, err {error}")))?;
    if quota.name != namespace || quota.namespace != namespace {
        return Err(Failure::invalid(format!(
            "resource quota name and namespace should be the name of namespace {namespace}"
        )));
    }
    Ok(quota)
}

/// The given cluster, or the one that has most to give.
async fn target(app: &App, cluster: String, region: &str, federation: &str) -> Result<String, Failure> {
    if cluster.is_empty() { allocation::allocate(app, region, federation).await } else { Ok(cluster) }
}

async fn check_unique(app: &App, namespace: &str, federation: &str, cluster: &str) -> Result<(), Failure> {
    match app.stores.quotas.get(&key(namespace, federation, cluster)).await? {
        None => Ok(()),
        Some(_) => {
            let message = format!("quota {namespace}/{federation}/{cluster} is duplicated");
            Err(Failure::new(code::DUPLICATED, message))
        }
    }
}

/// Makes namespace and quota in the cluster, then the record. Without the record they are taken back.
async fn create_in(
    app: &App,
    federation: &str,
    cluster: &str,
    labels: &BTreeMap<String, String>,
    quota: &ResourceQuota,
    text: String,
) -> Result<(), Failure> {
    let namespace = &quota.namespace;
    app.kube.create_quota(cluster, labels, quota).await.map_err(|error| Failure::kubernetes(error.to_string()))?;
    let now = bson_now();
    let mut document = key(namespace, federation, cluster);
    document.extend(doc! {
        "resourceQuota": text, "createTime": now.clone(), "updateTime": now, "status": "", "message": ""
    });
    if let Err(error) = app.stores.quotas.insert(document).await {
        if let Err(kept) = app.kube.delete_quota(cluster, namespace).await {
            warn!("quota {namespace}/{federation}/{cluster} is not recorded and cannot be taken back: {kept}");
        }
        return Err(error.into());
    }
    Ok(())
}

pub(crate) async fn create(
    app: Arc<App>,
    request: CreateNamespaceQuotaReq,
) -> Result<CreateNamespaceQuotaResp, Failure> {
    let mut data = CreateNamespaceQuotaRespData::default();
    match try_create(&app, request, &mut data.cluster_id).await {
        Ok(()) => Ok(with_data!(CreateNamespaceQuotaResp, Some(data))),
        Err(failure) => Ok(CreateNamespaceQuotaResp { data: Some(data), ..Reply::failure(failure) }),
    }
}

async fn try_create(app: &App, request: CreateNamespaceQuotaReq, chosen: &mut String) -> Result<(), Failure> {
    let (name, federation) = (&request.namespace, &request.federation_cluster_id);
    let quota = decode(&request.resource_quota, name)?;
    let namespace = namespaces::find(&app.stores.namespaces, name, federation).await?;
    *chosen = target(app, request.cluster_id, &request.region, federation).await?;
    check_unique(app, name, federation, chosen).await?;
    create_in(app, federation, chosen, &namespace.labels, &quota, request.resource_quota).await
}

pub(crate) async fn update(
    app: Arc<App>,
    request: UpdateNamespaceQuotaReq,
) -> Result<UpdateNamespaceQuotaResp, Failure> {
    let (name, federation, cluster) = (&request.namespace, &request.federation_cluster_id, &request.cluster_id);
    let quota = decode(&request.resource_quota, name)?;
    namespaces::find(&app.stores.namespaces, name, federation).await?;
    let key = key(name, federation, cluster);
    app.stores.quotas.get(&key).await?.ok_or_else(Failure::not_found)?;
    app.kube.update_quota(cluster, &quota).await.map_err(|error| Failure::kubernetes(error.to_string()))?;
    let set = doc! { "resourceQuota": request.resource_quota, "updateTime": bson_now() };
    if !app.stores.quotas.update(&key, set).await? {
        return Err(Failure::not_found());
    }
    Ok(Reply::success())
}

pub(crate) async fn delete(
    app: Arc<App>,
    request: DeleteNamespaceQuotaReq,
) -> Result<DeleteNamespaceQuotaResp, Failure> {
    let (name, federation, cluster) = (&request.namespace, &request.federation_cluster_id, &request.cluster_id);
    namespaces::find(&app.stores.namespaces, name, federation).await?;
    let refused = |error: crate::kube::KubeError| Failure::kubernetes(error.to_string());
    if !request.is_forced && app.kube.has_pods(cluster, name).await.map_err(refused)? {
        return Err(Failure::kubernetes(format!(
            "there is still pods in namespace {cluster}/{name}, cannot delete quota"
        )));
    }
    app.kube.delete_quota(cluster, name).await.map_err(refused)?;
    app.stores.quotas.delete(&key(name, federation, cluster)).await?;
    Ok(Reply::success())
}

pub(crate) async fn get(app: Arc<App>, request: GetNamespaceQuotaReq) -> Result<GetNamespaceQuotaResp, Failure> {
    let key = key(&request.namespace, &request.federation_cluster_id, &request.cluster_id);
    let quota = app.stores.quotas.get(&key).await?.map(record::quota);
    Ok(with_data!(GetNamespaceQuotaResp, Some(quota.ok_or_else(Failure::not_found)?)))
}

pub(crate) async fn list(app: Arc<App>, request: ListNamespaceQuotaReq) -> Result<ListNamespaceQuotaResp, Failure> {
    let fields = given([("namespace", request.namespace), ("federationClusterID", request.federation_cluster_id)]);
    // Unlike for the other lists no rule bounds the limit of this one.
    let quotas = app.stores.quotas.list(&fields, request.offset, request.limit).await?;
    Ok(with_data!(ListNamespaceQuotaResp, quotas.into_iter().map(record::quota).collect()))
}

pub(crate) async fn create_with_namespace(
    app: Arc<App>,
    request: CreateNamespaceWithQuotaReq,
) -> Result<CreateNamespaceWithQuotaResp, Failure> {
    let mut data = CreateNamespaceWithQuotaRespData::default();
    match try_create_with_namespace(&app, request, &mut data.cluster_id).await {
        Ok(()) => Ok(with_data!(CreateNamespaceWithQuotaResp, Some(data))),
        Err(failure) => Ok(CreateNamespaceWithQuotaResp { data: Some(data), ..Reply::failure(failure) }),
    }
}

async fn try_create_with_namespace(
    app: &App,
    request: CreateNamespaceWithQuotaReq,
    chosen: &mut String,
) -> Result<(), Failure> {
    let (name, federation) = (&request.name, &request.federation_cluster_id);
    let quota = decode(&request.resource_quota, name)?;
    if name.is_empty() {
        return Err(Failure::invalid("name of the namespace cannot be empty"));
    }
    *chosen = target(app, request.cluster_id, &request.region, federation).await?;
    check_unique(app, name, federation, chosen).await?;
    clusters::find(&app.stores.clusters, federation).await.map_err(|failure| {
        Failure::store(format!("failed to find federation cluster {federation}, err {}", failure.message))
    })?;
    let record = CreateNamespaceReq {
        name: name.clone(),
        federation_cluster_id: federation.clone(),
        project_id: request.project_id,
        business_id: request.business_id,
        labels: request.labels.clone(),
        max_quota: request.max_quota,
    };
    namespaces::insert(&app.stores.namespaces, record).await?;
    let created = create_in(app, federation, chosen, &request.labels, &quota, request.resource_quota).await;
    if created.is_err()
        && let Err(error) = app.stores.namespaces.delete(&namespaces::key(name, federation)).await
    {
        warn!("namespace {name} of {federation} was recorded in vain: {}", Failure::from(error).message);
    }
    created
}
