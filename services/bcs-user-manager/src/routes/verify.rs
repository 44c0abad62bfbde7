//! The question of the gateway: may the holder of a token do this? (user-manager.md 7)

use bcs_common::http::router::Call;
use serde::Serialize;

use super::Shared;
use crate::answer::{Answer, Failure, success};
use crate::auth::{Access, bearer, unavailable};
use crate::document::{self, require};

#[derive(Serialize)]
struct Verdict {
    allowed: bool,
    message: String,
}

/// Caller and holder are found by one query, so the body is read before the caller's token is checked; what is wrong with
/// the body is told only after that.
pub(super) async fn verify(app: Shared, call: Call) -> Answer {
    let caller = bearer(&call.parts.headers).ok_or_else(Failure::unauthorized)?;
    let body = document::read(&call.parts.headers, call.body).await;
    let token = body.as_ref().map_or("", |document| document.text("user_token"));
    let [caller, holder] = app.tokens.find([caller, token]).await.map_err(unavailable)?;
    if !Access::Admin.allows(caller.as_ref()) {
        return Err(Failure::unauthorized());
    }
    let document = body?;
    let token = document.text("user_token");
    let (resource_type, action) = (document.text("resource_type"), document.text("action"));
    require(&[
        ("user_token", !token.is_empty()),
        ("resource_type", !resource_type.is_empty()),
        ("action", !action.is_empty()),
    ])?;
    // Taken for an empty one it would let any grant of the type pass.
    if document.is_no_text("resource") {
        return Err(Failure::bad_request("field 'resource' must be a string"));
    }
    let message = match holder {
        None => format!("usertoken [{token}] is invalid"),
        Some(holder) if holder.is_expired() => format!("usertoken [{token}] is expired"),
        Some(holder) if app.grants.allow(holder.id, resource_type, document.text("resource"), action) => String::new(),
        Some(_) => "no permission".to_owned(),
    };
    success(Verdict { allowed: message.is_empty(), message })
}
