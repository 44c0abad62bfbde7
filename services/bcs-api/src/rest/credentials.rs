//! Credentials of clusters: reported by agents, read by owners; and what clients need to reach a cluster through here.

use bcs_common::http::code;
use bcs_common::token;
use http::StatusCode;

use super::answer::{Answer, Failure, done, success};
use super::validate::{self, Field};
use super::{Request, Shared, objects, users};
use crate::store::Access;

/// `PUT /clusters/{cluster_id}/credentials`: the register token in the body is what lets an agent.
pub(super) async fn report(rest: Shared, mut request: Request) -> Answer {
    let document = request.document().await?;
    let text = |name| document.text(name);
    let (given, addresses, ca, user_token) =
        (text("register_token"), text("server_addresses"), text("cacert_data"), text("user_token"));
    validate::check([
        Field::text("register_token", given),
        Field::addresses("server_addresses", addresses),
        Field::text("cacert_data", ca),
        Field::text("user_token", user_token),
    ])?;
    let access = Access {
        server_addresses: addresses.to_owned(),
        ca_cert_data: ca.to_owned(),
        user_token: user_token.to_owned(),
        cluster_domain: String::new(),
    };
    let known = rest
        .store
        .find_register_token(request.param("cluster_id"))
        .await?
        .ok_or_else(|| Failure::bad_request("RTOKEN_NOT_FOUND", "no valid register token found for cluster"))?;
    if !token::same(&known.token, given) {
        return Err(Failure::bad_request("INVALID_RTOKEN", "invalid register token given"));
    }
    let refused = |reason: &dyn std::fmt::Display| {
        Failure::errcode(
            StatusCode::BAD_REQUEST,
            "CANNOT_UPDATE_CREDENTIALS",
            code::API_INTERNAL_DB_ERROR,
            format!("can not update credentials, error: {reason}"),
        )
    };
    access.check().map_err(|reason| refused(&reason))?;
    let saved = rest.store.save_credentials(&known.cluster_id, &access).await;
    saved.map_err(|error| Failure::of_sql(error, |error| refused(error)))?;
    done()
}

/// `GET /clusters/{cluster_id}/credentials`
pub(super) async fn get(rest: Shared, request: Request) -> Answer {
    match rest.store.credentials(&request.cluster()?.id).await? {
        Some(credentials) => success(&objects::Credentials::from(&credentials)),
        None => Err(not_found()),
    }
}

/// `GET /clusters/{cluster_id}/client_credentials`
pub(super) async fn for_client(rest: Shared, request: Request) -> Answer {
    let (caller, cluster) = (request.caller()?, request.cluster()?);
    let ca = match rest.store.credentials(&cluster.id).await? {
        Some(credentials) => credentials.access.ca_cert_data,
        // A cluster that is only reached through its tunnel (quirk Q14).
        None => rest.store.tunnel_credentials(&cluster.id).await?.ok_or_else(not_found)?.ca_cert_data,
    };
    let token = rest.store.get_or_create_token(caller.id, caller.kind).await.map_err(users::no_token)?;
    success(&objects::ClientCredentials {
        cluster_id: &cluster.id,
        server_address_path: format!("/tunnels/clusters/{}/", cluster.identifier),
        user_token: &token.value,
        cacert_data: &ca,
    })
}

fn not_found() -> Failure {
    Failure::bad_request("CREDENTIALS_NOT_FOUND", "no credentials found")
}
