//! Namespaces of a federation: records in the store only (cluster-manager.md 7.3).

use std::collections::HashMap;
use std::sync::Arc;

use bcs_docstore::{Document, doc};
use bcs_proto::messages::{
    CreateNamespaceReq, CreateNamespaceResp, DeleteNamespaceReq, DeleteNamespaceResp, GetNamespaceReq,
    GetNamespaceResp, ListNamespaceReq, ListNamespaceResp, Namespace, ResourceQuota, UpdateNamespaceReq,
    UpdateNamespaceResp,
};
use futures::StreamExt as _;

use crate::app::App;
use crate::clusters::{self, bson_now};
use crate::failure::Failure;
use crate::kube::resource_quota;
use crate::record::{self, given, labels_document};
use crate::reply::{Reply, with_data};
use crate::stores::Collection;

/// Quota queries of a list that run at a time.
const QUERIES: usize = 8;

/// The key of a namespace.
pub(crate) fn key(name: &str, federation: &str) -> Document {
    doc! { "name": name, "federationClusterID": federation }
}

pub(crate) fn check_max_quota(text: &str) -> Result<(), Failure> {
    if text.is_empty() {
        return Ok(());
    }
    match resource_quota::decode(text) {
        Ok(_) => Ok(()),
        Err(error) => Err(Failure::store(format!("decode max quota {text} to k8s ResourceQuota failed, err {error}"))),
    }
}

pub(crate) async fn create(app: Arc<App>, request: CreateNamespaceReq) -> Result<CreateNamespaceResp, Failure> {
    clusters::find(&app.stores.clusters, &request.federation_cluster_id).await?;
    insert(&app.stores.namespaces, request).await?;
    Ok(Reply::success())
}

/// Checks the quota's text and stores the record.
pub(crate) async fn insert(namespaces: &Collection, request: CreateNamespaceReq) -> Result<(), Failure> {
    check_max_quota(&request.max_quota)?;
    let mut document = doc! {
        "name": request.name,
        "federationClusterID": request.federation_cluster_id,
        "projectID": request.project_id,
        "businessID": request.business_id,
    };
    if !request.labels.is_empty() {
        document.insert("labels", labels_document(request.labels));
    }
    let now = bson_now();
    document.extend(doc! { "maxQuota": request.max_quota, "createTime": now.clone(), "updateTime": now });
    Ok(namespaces.insert(document).await?)
}

pub(crate) async fn update(app: Arc<App>, request: UpdateNamespaceReq) -> Result<UpdateNamespaceResp, Failure> {
    check_max_quota(&request.max_quota)?;
    let mut set = doc! { "maxQuota": request.max_quota, "updateTime": bson_now() };
    // As for clusters: no labels in the request leave the stored ones in place.
    if !request.labels.is_empty() {
        set.insert("labels", labels_document(request.labels));
    }
    if !app.stores.namespaces.update(&key(&request.name, &request.federation_cluster_id), set).await? {
        return Err(Failure::not_found());
    }
    Ok(Reply::success())
}

/// The record, without its quotas.
pub(crate) async fn find(namespaces: &Collection, name: &str, federation: &str) -> Result<Namespace, Failure> {
    let found = namespaces.get(&key(name, federation)).await?;
    found.map(record::namespace).ok_or_else(Failure::not_found)
}

/// The quotas of a namespace in all clusters.
async fn quotas(app: &App, name: &str, federation: &str) -> Result<Vec<ResourceQuota>, Failure> {
    let fields = doc! { "namespace": name, "federationClusterID": federation };
    let found = app.stores.quotas.list(&fields, 0, 0).await?;
    Ok(found.into_iter().map(record::quota).collect())
}

pub(crate) async fn get(app: Arc<App>, request: GetNamespaceReq) -> Result<GetNamespaceResp, Failure> {
    let mut namespace = find(&app.stores.namespaces, &request.name, &request.federation_cluster_id).await?;
    namespace.quota_list = quotas(&app, &namespace.name, &namespace.federation_cluster_id).await?;
    Ok(with_data!(GetNamespaceResp, Some(namespace)))
}

pub(crate) async fn list(app: Arc<App>, request: ListNamespaceReq) -> Result<ListNamespaceResp, Failure> {
    let fields = given([
        ("federationClusterID", request.federation_cluster_id),
        ("projectID", request.project_id),
        ("businessID", request.business_id),
    ]);
    let found = app.stores.namespaces.list(&fields, request.offset, request.limit).await?;
    let mut namespaces: Vec<Namespace> = found.into_iter().map(record::namespace).collect();
    fill_quotas(&app, &mut namespaces).await?;
    Ok(with_data!(ListNamespaceResp, namespaces))
}

/// One query a namespace, some at a time.
async fn fill_quotas(app: &App, namespaces: &mut [Namespace]) -> Result<(), Failure> {
    let keys: Vec<(usize, String, String)> = namespaces
        .iter()
        .enumerate()
        .map(|(index, it)| (index, it.name.clone(), it.federation_cluster_id.clone()))
        .collect();
    let queries = futures::stream::iter(keys).map(|(index, name, federation)| async move {
        quotas(app, &name, &federation).await.map(|quotas| (index, quotas))
    });
    let found: Vec<Result<(usize, Vec<ResourceQuota>), Failure>> = queries.buffer_unordered(QUERIES).collect().await;
    let mut found: HashMap<usize, Vec<ResourceQuota>> = found.into_iter().collect::<Result<_, _>>()?;
    for (index, namespace) in namespaces.iter_mut().enumerate() {
        namespace.quota_list = found.remove(&index).unwrap_or_default();
    }
    Ok(())
}

pub(crate) async fn delete(app: Arc<App>, request: DeleteNamespaceReq) -> Result<DeleteNamespaceResp, Failure> {
    let (name, federation) = (request.name, request.federation_cluster_id);
    let quotas = quotas(&app, &name, &federation).await?;
    if !quotas.is_empty() && !request.is_forced {
        return Err(Failure::store("cannot delete namespace which has resourcequota"));
    }
    for quota in quotas {
        let cluster = &quota.cluster_id;
        let failed = |place: &str, error: &dyn std::fmt::Display| {
            Failure::store(format!("delete quota {name}/{federation}/{cluster} from {place} failed, err {error}"))
        };
        app.kube.delete_quota(cluster, &name).await.map_err(|error| failed("cluster", &error))?;
        let key = doc! { "namespace": &name, "federationClusterID": &federation, "clusterID": cluster };
        let deleted = app.stores.quotas.delete(&key).await.map_err(Failure::from);
        deleted.map_err(|error| failed("store", &error.message))?;
    }
    if !app.stores.namespaces.delete(&key(&name, &federation)).await? {
        return Err(Failure::store(format!("no namespace delete with name {name} federation cluster id {federation}")));
    }
    Ok(Reply::success())
}
