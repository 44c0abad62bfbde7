//! What is needed to reach a cluster (cluster-manager.md 7.2).

use std::sync::Arc;

use bcs_docstore::doc;
use bcs_proto::messages::{
    ClusterCredential, DeleteClusterCredentialReq, DeleteClusterCredentialResp, GetClusterCredentialReq,
    GetClusterCredentialResp, ListClusterCredentialReq, ListClusterCredentialResp, UpdateClusterCredentialReq,
    UpdateClusterCredentialResp,
};
use bcs_proto::tables::CLUSTER_CREDENTIAL;

use crate::app::App;
use crate::clusters::bson_now;
use crate::failure::Failure;
use crate::record::{self, given};
use crate::reply::{Listed, Reply, with_data};
use crate::stores::Collection;

/// How a cluster is reached: its API server directly.
pub(crate) const DIRECT: &str = "direct";
/// How a cluster is reached: through the tunnel of its agent.
pub(crate) const TUNNEL: &str = "websockettunnel";

/// The credential with this key, if there is one.
pub(crate) async fn find(credentials: &Collection, key: &str) -> Result<Option<ClusterCredential>, Failure> {
    Ok(credentials.get(&doc! { "serverKey": key }).await?.map(record::credential))
}

/// The credentials of a cluster's Mesos drivers.
pub(crate) async fn of_mesos(credentials: &Collection, cluster_id: &str) -> Result<Vec<ClusterCredential>, Failure> {
    let fields = doc! { "clusterID": cluster_id, "clientModule": "mesosdriver" };
    let found = credentials.list(&fields, 0, 0).await?;
    Ok(found.into_iter().map(record::credential).collect())
}

/// Writes over the credential with the key of this one, or makes it. Its times are ignored.
pub(crate) async fn put(credentials: &Collection, credential: ClusterCredential) -> Result<(), Failure> {
    let set = doc! {
        "clusterID": credential.cluster_id,
        "clientModule": credential.client_module,
        "serverAddress": credential.server_address,
        "caCertData": credential.ca_cert_data,
        "userToken": credential.user_token,
        "clusterDomain": credential.cluster_domain,
        "connectMode": credential.connect_mode,
        "updateTime": bson_now(),
    };
    let new = doc! { "createTime": bson_now() };
    Ok(credentials.put(doc! { "serverKey": credential.server_key }, set, new).await?)
}

pub(crate) async fn get(app: Arc<App>, request: GetClusterCredentialReq) -> Result<GetClusterCredentialResp, Failure> {
    let found = find(&app.stores.credentials, &request.server_key).await?;
    let missing = || Failure::store(format!("credential with serverkey {} not found", request.server_key));
    Ok(with_data!(GetClusterCredentialResp, Some(found.ok_or_else(missing)?)))
}

pub(crate) async fn update(
    app: Arc<App>,
    request: UpdateClusterCredentialReq,
) -> Result<UpdateClusterCredentialResp, Failure> {
    let credential = ClusterCredential {
        server_key: request.server_key,
        cluster_id: request.cluster_id,
        client_module: request.client_module,
        server_address: request.server_address,
        ca_cert_data: request.ca_cert_data,
        user_token: request.user_token,
        cluster_domain: request.cluster_domain,
        connect_mode: DIRECT.to_owned(),
        ..ClusterCredential::default()
    };
    put(&app.stores.credentials, credential).await?;
    Ok(Reply::success())
}

/// A missing one is no failure.
pub(crate) async fn delete(
    app: Arc<App>,
    request: DeleteClusterCredentialReq,
) -> Result<DeleteClusterCredentialResp, Failure> {
    app.stores.credentials.delete(&doc! { "serverKey": request.server_key }).await?;
    Ok(Reply::success())
}

pub(crate) async fn list(
    app: Arc<App>,
    request: ListClusterCredentialReq,
) -> Result<Listed<ListClusterCredentialResp>, Failure> {
    let fields = given([
        ("serverKey", request.server_key),
        ("clusterID", request.cluster_id),
        ("clientModule", request.client_mode),
        ("connectMode", request.connect_mode),
    ]);
    let listed = app.stores.credentials.list_encoded(&fields, request.offset, request.limit, |credential, out| {
        record::put_element(&CLUSTER_CREDENTIAL, credential, out);
    });
    Ok(Listed::of(listed.await?))
}
