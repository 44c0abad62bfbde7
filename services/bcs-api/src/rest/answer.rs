//! What the REST API answers: JSON indented by one blank, errors as `{code_name, message}` (api.md 10).

use std::sync::Arc;

use bcs_common::http::Body;
use bcs_common::http::code::{self, Code};
use bcs_common::http::envelope::json_response;
use bcs_sql::SqlError;
use http::{Response, StatusCode};
use serde::Serialize;
use serde_json::json;
use serde_json::ser::{PrettyFormatter, Serializer};

use crate::auth::Refusal;

/// What a handler gives back.
pub(super) type Answer = Result<Response<Body>, Failure>;

/// The message of every 401: full-width colon and two blanks as in the original.
const UNAUTHORIZED: &str = "errcode：1405059,  anonymous requests is forbidden, please provide a valid token";

/// A success with data.
pub(super) fn success(data: &impl Serialize) -> Answer {
    Ok(json_response(indented(data)))
}

/// A success without data: `{}`.
pub(super) fn done() -> Answer {
    success(&json!({}))
}

fn indented(data: &impl Serialize) -> Vec<u8> {
    let mut out = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut out, PrettyFormatter::with_indent(b" "));
    // The data are structs with text keys, which cannot fail.
    let _ = data.serialize(&mut serializer);
    out
}

/// An answer that is no success.
#[derive(Debug)]
pub(super) struct Failure {
    /// The HTTP status.
    pub status: StatusCode,
    /// `code_name` in the body.
    pub code_name: &'static str,
    /// `message` in the body.
    pub message: String,
    /// What went wrong in the database, for the log.
    pub cause: Option<Arc<SqlError>>,
}

impl Failure {
    /// With a message as it is.
    pub fn new(status: StatusCode, code_name: &'static str, message: impl Into<String>) -> Self {
        Self { status, code_name, message: message.into(), cause: None }
    }

    /// With `errcode: <number>, ` before the text.
    pub fn errcode(status: StatusCode, code_name: &'static str, code: Code, text: impl AsRef<str>) -> Self {
        Self::new(status, code_name, format!("errcode: {}, {}", code.value, text.as_ref()))
    }

    /// 400, code 1405061: the request cannot be fulfilled as it is.
    pub fn bad_request(code_name: &'static str, text: impl AsRef<str>) -> Self {
        Self::errcode(StatusCode::BAD_REQUEST, code_name, code::API_BAD_REQUEST, text)
    }

    /// With another status.
    pub fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// 404, code 1405061.
    pub fn not_found(code_name: &'static str, text: impl AsRef<str>) -> Self {
        Self::errcode(StatusCode::NOT_FOUND, code_name, code::API_BAD_REQUEST, text)
    }

    /// 401: no token that allows the call.
    pub fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", UNAUTHORIZED)
    }

    /// The database did not do what `specific` is about. An outage is always 503 and says so.
    pub fn of_sql(error: impl Into<Arc<SqlError>>, specific: impl FnOnce(&SqlError) -> Self) -> Self {
        let error = error.into();
        if error.is_outage() {
            return error.into();
        }
        let failure = specific(&error);
        Self { cause: Some(error), ..failure }
    }
}

/// The read of something that the request needs failed: 503 during an outage, else 500.
impl From<Arc<SqlError>> for Failure {
    fn from(error: Arc<SqlError>) -> Self {
        let (status, code_name) = match error.is_outage() {
            true => (StatusCode::SERVICE_UNAVAILABLE, "DATABASE_UNAVAILABLE"),
            false => (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_DB_ERROR"),
        };
        let failure = Self::errcode(status, code_name, code::API_INTERNAL_DB_ERROR, error.to_string());
        Self { cause: Some(error), ..failure }
    }
}

impl From<SqlError> for Failure {
    fn from(error: SqlError) -> Self {
        Arc::new(error).into()
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Anonymous | Refusal::Expired { .. } => Self::unauthorized(),
            Refusal::Unavailable(error) => error.into(),
        }
    }
}

impl Failure {
    /// The response.
    pub fn into_response(self) -> Response<Body> {
        let body = indented(&json!({ "code_name": self.code_name, "message": self.message }));
        let mut response = json_response(body);
        *response.status_mut() = self.status;
        response
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn text(response: Response<Body>) -> String {
        let body = bcs_common::http::body::collect(response.into_body(), 1 << 20).await.unwrap();
        String::from_utf8(body.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn bodies_are_indented_by_one_blank() {
        let response = success(&[1]).unwrap();
        assert_eq!(response.headers()["content-type"], "application/json");
        assert_eq!(text(response).await, "[\n 1\n]");
        assert_eq!(text(done().unwrap()).await, "{}");
        let response = Failure::bad_request("X", "no").into_response();
        assert_eq!(response.status(), 400);
        assert_eq!(text(response).await, "{\n \"code_name\": \"X\",\n \"message\": \"errcode: 1405061, no\"\n}");
    }

    #[test]
    fn an_outage_says_so() {
        let outage = || SqlError::Busy(Duration::from_secs(1));
        for failure in [
            Failure::from(outage()),
            Failure::from(Refusal::Unavailable(Arc::new(outage()))),
            Failure::of_sql(outage(), |_| Failure::bad_request("X", "no")),
        ] {
            assert_eq!((failure.status.as_u16(), failure.code_name), (503, "DATABASE_UNAVAILABLE"));
            assert_eq!(failure.message, "errcode: 1405062, no database connection was free within 1 s");
        }
        let refused = SqlError::Refused { code: 1, message: "x".into() };
        let failure = Failure::of_sql(refused, |error| Failure::bad_request("X", error.to_string()));
        assert_eq!((failure.status.as_u16(), failure.message.as_str()), (400, "errcode: 1405061, Error 1: x"));
    }
}
