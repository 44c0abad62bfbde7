//! Errors in the form of kube-apiserver, without `kind` and `apiVersion` as the original sends them (api.md 7.2).

use bcs_common::http::Body;
use bcs_common::http::envelope::json_response;
use http::{Response, StatusCode};
use serde::Serialize;

/// An error of the proxy itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum KubeError {
    /// No valid token.
    Anonymous,
    /// The token of this user has expired.
    Expired(String),
    /// No cluster has this identifier.
    NotFound(String),
    /// It is not known how to reach the cluster: the text says why.
    NoChannel(String),
    /// The database cannot be asked.
    Unavailable,
}

#[derive(Serialize)]
struct Status<'a> {
    metadata: Empty,
    status: &'static str,
    message: &'a str,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Details<'a>>,
    code: u16,
}

#[derive(Serialize)]
struct Empty {}

#[derive(Serialize)]
#[serde(untagged)]
enum Details<'a> {
    Object { name: &'a str, group: &'static str, kind: &'static str },
    Causes { causes: [Cause<'a>; 1] },
}

#[derive(Serialize)]
struct Cause<'a> {
    message: &'a str,
}

impl KubeError {
    /// The answer.
    pub fn into_response(self) -> Response<Body> {
        match &self {
            Self::Anonymous => {
                status(StatusCode::UNAUTHORIZED, "Unauthorized", "anonymous requests is forbidden", None)
            }
            Self::Expired(user) => {
                let message = format!("this token has expired for user: {user}");
                status(StatusCode::UNAUTHORIZED, "Unauthorized", &message, None)
            }
            Self::NotFound(identifier) => {
                let details = Details::Object { name: identifier, group: "blueking.io", kind: "Clusters" };
                let message = "no cluster can be found using given cluster identifier";
                status(StatusCode::NOT_FOUND, "NotFound", message, Some(details))
            }
            Self::NoChannel(text) => {
                let message = format!("Internal error occurred: {text}");
                let details = Details::Causes { causes: [Cause { message: text }] };
                status(StatusCode::INTERNAL_SERVER_ERROR, "CREATE_TUNNEL_ERROR", &message, Some(details))
            }
            Self::Unavailable => {
                let text = "the database of this service cannot be reached";
                let message = format!("Internal error occurred: {text}");
                let details = Details::Causes { causes: [Cause { message: text }] };
                status(StatusCode::SERVICE_UNAVAILABLE, "InternalError", &message, Some(details))
            }
        }
    }
}

fn status(status: StatusCode, reason: &'static str, message: &str, details: Option<Details<'_>>) -> Response<Body> {
    let code = status.as_u16();
    let body = Status { metadata: Empty {}, status: "Failure", message, reason, details, code };
    // Texts and a number: nothing that could fail.
    let mut response = json_response(serde_json::to_vec(&body).unwrap_or_default());
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use bcs_common::http::body;

    use super::*;

    #[tokio::test]
    async fn bodies_are_the_originals() {
        for (error, status, want) in [
            (
                KubeError::Anonymous,
                401,
                r#"{"metadata":{},"status":"Failure","message":"anonymous requests is forbidden","reason":"Unauthorized","code":401}"#,
            ),
            (
                KubeError::Expired("plain:a".into()),
                401,
                r#"{"metadata":{},"status":"Failure","message":"this token has expired for user: plain:a","reason":"Unauthorized","code":401}"#,
            ),
            (
                KubeError::NotFound("x".into()),
                404,
                r#"{"metadata":{},"status":"Failure","message":"no cluster can be found using given cluster identifier","reason":"NotFound","details":{"name":"x","group":"blueking.io","kind":"Clusters"},"code":404}"#,
            ),
            (
                KubeError::NoChannel("why".into()),
                500,
                r#"{"metadata":{},"status":"Failure","message":"Internal error occurred: why","reason":"CREATE_TUNNEL_ERROR","details":{"causes":[{"message":"why"}]},"code":500}"#,
            ),
        ] {
            let response = error.into_response();
            assert_eq!(response.status(), status);
            assert_eq!(body::collect(response.into_body(), 4096).await.unwrap(), want);
        }
        assert_eq!(KubeError::Unavailable.into_response().status(), 503);
    }
}
