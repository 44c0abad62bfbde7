//! Register tokens of clusters.

use bcs_sql::SqlError;
use http::StatusCode;

use super::answer::{Answer, Failure, success};
use super::objects::RegisterToken;
use super::{Request, Shared};

/// `GET /clusters/{cluster_id}/register_tokens`
pub(super) async fn list(rest: Shared, request: Request) -> Answer {
    match rest.store.find_register_token(&request.cluster()?.id).await? {
        Some(token) => success(&[RegisterToken::from(&token)]),
        None => Err(Failure::bad_request("RTOKEN_NOT_FOUND", "register token not found")),
    }
}

/// `POST /clusters/{cluster_id}/register_tokens`
pub(super) async fn create(rest: Shared, request: Request) -> Answer {
    let made = rest.store.insert_register_token(&request.cluster()?.id).await.map_err(|error| {
        Failure::of_sql(error, |error| {
            let reason = match error {
                SqlError::Duplicate { .. } => "token already exists".to_owned(),
                error => error.to_string(),
            };
            let text = format!("can not create register token: {reason}");
            Failure::bad_request("CANNOT_CREATE_RTOKEN", text).with_status(StatusCode::INTERNAL_SERVER_ERROR)
        })
    })?;
    success(&[RegisterToken::from(&made)])
}
