//! Who may pass: admins, and whoever bcs-user-manager grants it, asked as the gateway's plug-in asks (clients.md 8.4).
//! Nothing is remembered: a token that is taken back is refused at once.

use std::net::SocketAddr;

use bcs_common::http::Body;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use serde::Deserialize;
use serde_json::json;
use tracing::warn;

use bcs_console::client::{Client, uri};

const VERIFY: &str = "/usermanager/v1/permissions/verify";
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The answer to who may not pass.
pub type Refusal = Box<Response<Body>>;

/// Asks bcs-user-manager.
pub struct Access {
    user_manager: SocketAddr,
    admin_token: String,
    client: Client,
}

/// The part of an answer that counts.
#[derive(Deserialize)]
struct Answer {
    data: Option<Verdict>,
}

#[derive(Deserialize)]
struct Verdict {
    allowed: bool,
}

impl Access {
    /// Asks the service at `user_manager` with a token of an admin.
    pub fn new(user_manager: SocketAddr, admin_token: String, client: Client) -> Self {
        Self { user_manager, admin_token, client }
    }

    /// Lets an admin pass, and a user with a grant for the resource type and method.
    ///
    /// # Errors
    /// The answer to send.
    pub async fn check(&self, headers: &HeaderMap, resource_type: &str, method: &Method) -> Result<(), Refusal> {
        let token = bearer(headers).ok_or_else(|| refuse("a token is needed: Authorization: Bearer <token>"))?;
        if self.is_admin(token).await? {
            return Ok(());
        }
        match self.verify(&self.admin_token, token, resource_type, method).await? {
            Some(true) => Ok(()),
            _ => Err(refuse("the token is not valid, or gives no permission")),
        }
    }

    /// Lets an admin pass.
    ///
    /// # Errors
    /// The answer to send.
    pub async fn check_admin(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let token = bearer(headers).ok_or_else(|| refuse("a token is needed: Authorization: Bearer <token>"))?;
        match self.is_admin(token).await? {
            true => Ok(()),
            false => Err(refuse("the token is not one of an admin")),
        }
    }

    /// The route of verify is for admins only.
    async fn is_admin(&self, token: &str) -> Result<bool, Refusal> {
        Ok(self.verify(token, token, "cluster", &Method::GET).await?.is_some())
    }

    /// What `asker` learns about `token`; none if it is not told.
    async fn verify(
        &self,
        asker: &str,
        token: &str,
        resource_type: &str,
        method: &Method,
    ) -> Result<Option<bool>, Refusal> {
        let question =
            json!({"user_token": token, "resource_type": resource_type, "resource": "", "action": method.as_str()});
        let mut request = Request::new(Body::from(question.to_string()));
        *request.uri_mut() = uri(self.user_manager, VERIFY);
        let Ok(mut authorization) = HeaderValue::try_from(format!("Bearer {asker}")) else { return Ok(None) };
        authorization.set_sensitive(true);
        request.headers_mut().extend([(AUTHORIZATION, authorization), (CONTENT_TYPE, JSON), (ACCEPT, JSON)]);
        match self.client.ask(request).await {
            Ok((status, body)) if status == StatusCode::OK => {
                let answer = serde_json::from_slice::<Answer>(&body).ok().and_then(|answer| answer.data);
                Ok(answer.map(|verdict| verdict.allowed))
            }
            Ok((status, _)) if status.is_server_error() => Err(cannot_tell(&format!("HTTP {status}"))),
            Ok(_) => Ok(None),
            Err(error) => Err(cannot_tell(&bcs_common::errors::chain(&error))),
        }
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()).filter(|token| !token.is_empty())
}

fn refuse(message: &str) -> Refusal {
    Box::new(bcs_console::error(StatusCode::UNAUTHORIZED, message))
}

fn cannot_tell(reason: &str) -> Refusal {
    warn!("bcs-user-manager cannot be asked about a token: {reason}");
    Box::new(bcs_console::error(StatusCode::SERVICE_UNAVAILABLE, "bcs-user-manager does not answer"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_behind_bearer() {
        let token = |value: &'static str| {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(value))]);
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(token("Bearer abc").as_deref(), Some("abc"));
        assert_eq!(token("bearer  abc ").as_deref(), Some("abc"));
        for none in ["Basic abc", "Bearer", "Bearer ", "abc"] {
            assert_eq!(token(none), None, "{none}");
        }
        assert_eq!(bearer(&HeaderMap::new()), None);
    }
}
