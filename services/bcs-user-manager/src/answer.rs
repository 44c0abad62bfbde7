//! What the service answers: the envelope `{result, code, message, data}` (user-manager.md 4.1), errors in it, and times.

use std::sync::Arc;

use bcs_common::http::Body;
use bcs_common::http::code::{self, Code};
use bcs_common::http::envelope::json_response;
use bcs_sql::SqlError;
use http::{Response, StatusCode};
use serde::Serialize;

/// What a handler gives back.
pub(crate) type Answer = Result<Response<Body>, Failure>;

/// The message of every 401: full-width colon and two blanks as in the original (quirk Q2).
const UNAUTHORIZED: &str = "errcode：1405059,  anonymous requests is forbidden, please provide a valid token";

#[derive(Serialize)]
struct Envelope<'a, T> {
    result: bool,
    code: i32,
    message: &'a str,
    data: T,
}

/// A success with data.
pub(crate) fn success(data: impl Serialize) -> Answer {
    let envelope = Envelope { result: true, code: 0, message: "success", data };
    json(&envelope).map(json_response)
}

/// A body without envelope.
pub(crate) fn bare(data: impl Serialize) -> Answer {
    json(&data).map(json_response)
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, Failure> {
    // The data are structs and maps with text keys, which cannot fail.
    serde_json::to_vec(value).map_err(|error| Failure {
        status: StatusCode::INTERNAL_SERVER_ERROR,
        code: code::API_INTERNAL_FAIL,
        message: error.to_string(),
        cause: None,
    })
}

/// An answer that is no success.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The HTTP status.
    pub status: StatusCode,
    /// The code in the body.
    pub code: Code,
    /// The text in the body.
    pub message: String,
    /// What went wrong in the database, for the log.
    pub cause: Option<Arc<SqlError>>,
}

impl Failure {
    /// 400, code 1405061: the request cannot be fulfilled as it is.
    pub fn bad_request(reason: impl AsRef<str>) -> Self {
        Self::refused(StatusCode::BAD_REQUEST, reason)
    }

    /// Code 1405061 with another status.
    pub fn refused(status: StatusCode, reason: impl AsRef<str>) -> Self {
        let message = format!("errcode: {}, {}", code::API_BAD_REQUEST.value, reason.as_ref());
        Self { status, code: code::API_BAD_REQUEST, message, cause: None }
    }

    /// 401: no token that allows the call.
    pub fn unauthorized() -> Self {
        Self {
            status: StatusCode::UNAUTHORIZED,
            code: code::API_UNAUTHORIZED,
            message: UNAUTHORIZED.to_owned(),
            cause: None,
        }
    }

    /// 500, code 1405062: the database failed; `what` says at what, with its punctuation.
    pub fn database(what: impl AsRef<str>, error: impl Into<Arc<SqlError>>) -> Self {
        let error = error.into();
        Self::database_text(what, &error.to_string()).because(error)
    }

    /// 500, code 1405062, for values that the database would refuse.
    pub fn database_text(what: impl AsRef<str>, error: &str) -> Self {
        let code = code::API_INTERNAL_DB_ERROR;
        let message = format!("errcode: {}, {}{error}", code.value, what.as_ref());
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, code, message, cause: None }
    }

    /// With another status.
    pub fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// With another code in the body; the text stays.
    pub fn with_code(self, code: Code) -> Self {
        Self { code, ..self }
    }

    /// With a cause for the log.
    pub fn because(self, error: impl Into<Arc<SqlError>>) -> Self {
        Self { cause: Some(error.into()), ..self }
    }

    /// The failed read of something that the request needs.
    pub fn reading(what: &'static str) -> impl Fn(SqlError) -> Self {
        move |error| Self::database(format!("failed to read {what}: "), error)
    }

    /// The response.
    pub fn into_response(self) -> Response<Body> {
        let envelope = Envelope { result: false, code: self.code.value, message: &self.message, data: () };
        let mut response = json_response(serde_json::to_vec(&envelope).unwrap_or_default());
        *response.status_mut() = self.status;
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn text(response: Response<Body>) -> String {
        let body = bcs_common::http::body::collect(response.into_body(), 1 << 20).await.unwrap();
        String::from_utf8(body.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn envelopes() {
        let response = success([1]).unwrap();
        assert_eq!(response.headers()["content-type"], "application/json");
        assert_eq!(text(response).await, r#"{"result":true,"code":0,"message":"success","data":[1]}"#);
        let response = Failure::bad_request("no").with_status(StatusCode::NOT_FOUND).into_response();
        assert_eq!(response.status(), 404);
        let want = r#"{"result":false,"code":1405061,"message":"errcode: 1405061, no","data":null}"#;
        assert_eq!(text(response).await, want);
    }
}
