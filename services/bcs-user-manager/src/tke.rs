//! Credentials of TKE clusters from Tencent Cloud (user-manager.md 6.6.1).

use bcs_common::http::code;
use bcs_sql::Database;
use bcs_tke::TkeClient;
use http::StatusCode;

use crate::answer::Failure;
use crate::clusters;
use crate::credentials::{self, Access};

/// Fetches the credentials of a TKE cluster and saves them.
pub(crate) async fn sync(database: &Database, client: Option<&TkeClient>, cluster_id: &str) -> Result<(), Failure> {
    let cluster = clusters::find(database, cluster_id).await.map_err(Failure::reading("cluster"))?;
    let cluster = cluster.ok_or_else(|| Failure::bad_request("cluster not exists"))?;
    // As it is stored; MySQL finds it in any case.
    let id = &cluster.id;
    if cluster.cluster_type != clusters::TKE {
        return Err(Failure::bad_request(format!("cluster {id} is not tke cluster")));
    }
    let failed = |reason: &dyn std::fmt::Display| Failure {
        status: StatusCode::BAD_REQUEST,
        code: code::API_INTERNAL_FAIL,
        message: format!("error when sync tke cluster [{cluster_id}] credentials: {reason}"),
        cause: None,
    };
    let client = client.ok_or_else(|| failed(&"error when creating tke client: tke conf invalid"))?;
    let info = client
        .security_info(&cluster.tke_cluster_id, &cluster.tke_cluster_region)
        .await
        .map_err(|error| failed(&format!("error when invoking tke api DescribeClusterSecurityInfo: {error}")))?;
    if info.pgw_endpoint.is_empty() || info.domain.is_empty() {
        return Err(failed(&"BindMasterVipLoadBalancer failed, pgwEndpoint or domain nil"));
    }
    let access = Access {
        server_addresses: format!("https://{}:443", info.pgw_endpoint),
        ca_cert_data: info.certification_authority,
        user_token: info.password,
        cluster_domain: format!("https://{}/", info.domain),
    };
    credentials::save(database, id, &access).await.map_err(|error| {
        failed(&format!("error when updating external cluster credentials to db: {error}")).because(error)
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bcs_common::shutdown::Shutdown;
    use bcs_tke::stub::Stub;

    use super::*;
    use crate::tests::{database, document};

    const CLUSTER: &str =
        r#"{"cluster_id":"c","cluster_type":"tke","tke_cluster_id":"cls-1","tke_cluster_region":"ap-x"}"#;

    async fn synced(reply: &'static str) -> (Result<(), Failure>, Database, tempfile::TempDir, Vec<String>) {
        let shutdown = Shutdown::new();
        let stub = Stub::start(reply, &shutdown).await;
        let (dir, database) = database().await;
        clusters::create(&database, &document(CLUSTER), 1).await.unwrap();
        let client = TkeClient::new("id+1".into(), "key", stub.host().into(), "/v2/index.php".into()).unwrap();
        let result = sync(&database, Some(&client), "c").await;
        shutdown.drain(Duration::from_secs(60)).await;
        (result, database, dir, stub.asked())
    }

    #[tokio::test]
    async fn saves_what_the_api_tells() {
        let reply = r#"{"code":0,"data":{"userName":"admin","domain":"cls-1.example.com",
            "certificationAuthority":"CA","pgwEndpoint":"169.254.1.1","password":"p","clusterExternalEndpoint":""}}"#;
        let (result, database, _dir, asked) = synced(reply).await;
        result.unwrap();
        assert_eq!(asked.len(), 1);
        assert!(asked[0].contains("clusterId=cls-1"), "{asked:?}");
        let access = credentials::get(&database, "c").await.unwrap().access;
        assert_eq!(access.server_addresses, "https://169.254.1.1:443");
        assert_eq!((access.ca_cert_data.as_str(), access.user_token.as_str()), ("CA", "p"));
        assert_eq!(access.cluster_domain, "https://cls-1.example.com/");
    }

    #[tokio::test]
    async fn failures() {
        let (result, ..) = synced(r#"{"code":5,"message":"quota"}"#).await;
        let failure = result.unwrap_err();
        let want = "error when sync tke cluster [c] credentials: \
                    error when invoking tke api DescribeClusterSecurityInfo: quota";
        assert_eq!((failure.status.as_u16(), failure.code.value, failure.message.as_str()), (400, 1_405_050, want));
        let (result, ..) = synced(r#"{"data":{"domain":"d"}}"#).await;
        assert!(result.unwrap_err().message.ends_with("BindMasterVipLoadBalancer failed, pgwEndpoint or domain nil"));

        let (_dir, database) = database().await;
        clusters::create(&database, &document(CLUSTER), 1).await.unwrap();
        let message = sync(&database, None, "c").await.unwrap_err().message;
        assert!(message.ends_with("error when creating tke client: tke conf invalid"), "{message}");
        let message = sync(&database, None, "other").await.unwrap_err().message;
        assert_eq!(message, "errcode: 1405061, cluster not exists");
    }
}
