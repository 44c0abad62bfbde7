//! What is done with clusters in the cloud: load balancers and credentials of TKE clusters (api.md 10.3).

use bcs_common::http::code;
use bcs_tke::TkeClient;
use http::StatusCode;
use serde_json::json;

use super::answer::{Answer, Failure, done, success};
use super::validate::{self, Field};
use super::{Request, Rest, Shared};
use crate::store::{Access, Cluster, ClusterInfo, ClusterType, Store};

/// `POST /tke/lb/subnet`
pub(super) async fn set_subnet(rest: Shared, mut request: Request) -> Answer {
    const CODE_NAME: &str = "CANNOT_UPDATE_TKE_LB_SUBNET";
    let document = request.document().await?;
    let (region, subnet_id) = (document.text("cluster_region"), document.text("subnet_id"));
    validate::check([Field::text("cluster_region", region), Field::text("subnet_id", subnet_id)])?;
    let refused = |reason: &dyn std::fmt::Display| {
        let text = format!("can not update tke lb subnet, error: {reason}");
        Failure::errcode(StatusCode::BAD_REQUEST, CODE_NAME, code::API_INTERNAL_DB_ERROR, text)
    };
    Store::check_subnet(region, subnet_id).map_err(|reason| refused(&reason))?;
    let saved = rest.store.save_subnet(region, subnet_id).await;
    saved.map_err(|error| Failure::of_sql(error, |error| refused(error)))?;
    done()
}

/// `POST /clusters/{cluster_id}/bind_lb`
pub(super) async fn bind_load_balancer(rest: Shared, request: Request) -> Answer {
    const CODE_NAME: &str = "CANNOT_BIND_TKE_CLUSTER_LB";
    let info = tke_cluster(&rest, request.cluster()?).await?;
    let client = client(&rest, CODE_NAME)?;
    let region = &info.tke_cluster_region;
    let subnet_id = rest.store.subnet(region).await?;
    let subnet_id =
        subnet_id.ok_or_else(|| failed(CODE_NAME, &format!("can't find a lb subnet for cluster region: {region}")))?;
    let bound = client.bind_master_vip(&info.tke_cluster_id, region, &subnet_id).await;
    bound.map_err(|error| failed(CODE_NAME, &invoking("BindMasterVipLoadBalancer", &error)))?;
    done()
}

/// `GET /clusters/{cluster_id}/get_lb_status`
pub(super) async fn load_balancer_status(rest: Shared, request: Request) -> Answer {
    const CODE_NAME: &str = "GET_TKE_MASTER_VIP_FAILED";
    let info = tke_cluster(&rest, request.cluster()?).await?;
    let status = client(&rest, CODE_NAME)?.master_vip_status(&info.tke_cluster_id, &info.tke_cluster_region).await;
    let status = status.map_err(|error| failed(CODE_NAME, &invoking("GetMasterVip", &error)))?;
    success(&json!({ "cluster_id": request.cluster()?.id, "status": status }))
}

/// `POST /clusters/{cluster_id}/sync_credentials`
pub(super) async fn sync_credentials(rest: Shared, request: Request) -> Answer {
    const CODE_NAME: &str = "CANNOT_SYNC_TKE_CREDENTIALS";
    let info = tke_cluster(&rest, request.cluster()?).await?;
    let told = client(&rest, CODE_NAME)?.security_info(&info.tke_cluster_id, &info.tke_cluster_region).await;
    let told = told.map_err(|error| failed(CODE_NAME, &invoking("DescribeClusterSecurityInfo", &error)))?;
    if told.pgw_endpoint.is_empty() || told.domain.is_empty() {
        return Err(failed(CODE_NAME, &"BindMasterVipLoadBalancer failed, pgwEndpoint or domain nil"));
    }
    let access = Access {
        server_addresses: format!("https://{}:443", told.pgw_endpoint),
        ca_cert_data: told.certification_authority,
        user_token: told.password,
        cluster_domain: format!("https://{}/", told.domain),
    };
    access.check().map_err(|reason| failed(CODE_NAME, &reason))?;
    let saved = rest.store.save_credentials(&request.cluster()?.id, &access).await;
    saved.map_err(|error| Failure::of_sql(error, |error| failed(CODE_NAME, error)))?;
    done()
}

/// What is known of the cluster in the path, if it is one of TKE.
async fn tke_cluster(rest: &Rest, cluster: &Cluster) -> Result<ClusterInfo, Failure> {
    let id = &cluster.id;
    let info = rest.store.cluster_info(id).await?;
    let info =
        info.ok_or_else(|| Failure::bad_request("EXTERNAL_CLUSTER_NOT_EXISTS", "external cluster info not exists"))?;
    if info.cluster_type != ClusterType::Tke.number() {
        return Err(Failure::bad_request("NOT_TKE_CLUSTER", format!("cluster {id} is not tke cluster")));
    }
    Ok(info)
}

fn client<'a>(rest: &'a Rest, code_name: &'static str) -> Result<&'a TkeClient, Failure> {
    rest.tke.as_ref().ok_or_else(|| failed(code_name, &"error when creating tke client: tke conf invalid"))
}

fn invoking(action: &str, error: &dyn std::fmt::Display) -> String {
    format!("error when invoking tke api {action}: {error}")
}

/// 400 with a text as it is.
fn failed(code_name: &'static str, reason: &dyn std::fmt::Display) -> Failure {
    Failure::new(StatusCode::BAD_REQUEST, code_name, reason.to_string())
}
