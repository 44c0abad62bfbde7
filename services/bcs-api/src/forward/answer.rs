//! What `/bcsapi/v4` says when a backend is not asked, or does not answer (api.md 5.2, 5.4, 5.6).

use bcs_common::http::code::{self, Code};
use bcs_common::http::{Body, envelope, text};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use serde::Serialize;

use crate::service::PROGRAM;

/// Why a request was not answered by a backend: a code and its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub code: Code,
    pub text: String,
}

impl Failure {
    pub fn new(code: Code, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }

    /// The code with its default text.
    pub fn of(code: Code) -> Self {
        Self::new(code, code.text)
    }

    /// The database, or something else of this program, does not work.
    pub fn internal() -> Self {
        Self::of(code::API_INTERNAL_FAIL)
    }

    fn envelope(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(128);
        envelope::write(&mut body, PROGRAM, self.code, &self.text, envelope::EMPTY_OBJECT);
        body
    }

    /// 200 and the envelope as text, as mesos and k8s requests get it.
    pub fn as_text(&self) -> Response<Body> {
        text(StatusCode::OK, self.envelope())
    }

    /// 400 with the envelope inside of another one, as metric, netservice and clusterkeeper requests get it.
    pub fn as_bad_request(&self) -> Response<Body> {
        #[derive(Serialize)]
        struct Outer<'a> {
            result: bool,
            message: &'a str,
            code: &'a str,
            data: (),
        }
        let inner = self.envelope();
        let outer = Outer { result: false, message: &String::from_utf8_lossy(&inner), code: "10", data: () };
        let mut body = Vec::with_capacity(inner.len() + 96);
        let indented = serde_json::ser::PrettyFormatter::with_indent(b" ");
        // Texts and a bool: nothing that could fail.
        let _ = outer.serialize(&mut serde_json::Serializer::with_formatter(&mut body, indented));
        let mut response = Response::new(body.into());
        *response.status_mut() = StatusCode::BAD_REQUEST;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}

/// No backend answers: 502 without a body.
pub(crate) fn bad_gateway() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response
}

/// A body that has to be read before it is sent on is longer than the limit.
pub(crate) fn too_large(limit: u64) -> Response<Body> {
    text(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is longer than max_body_size, {limit} bytes\n"))
}

#[cfg(test)]
mod tests {
    use bcs_common::http::body;

    use super::*;

    async fn read(response: Response<Body>) -> (StatusCode, String, String) {
        let content_type = response.headers().get(CONTENT_TYPE).unwrap().to_str().unwrap().to_owned();
        let status = response.status();
        let body = body::collect(response.into_body(), 1 << 20).await.unwrap();
        (status, content_type, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn both_forms() {
        let failure = Failure::new(code::API_GET_METRICS_FAIL, "bcs metrics not found");
        let inner = r#"{"result":false,"code":1405055,"message":"(bcs-api):bcs metrics not found","data":{}}"#;
        let text = (StatusCode::OK, "text/plain; charset=utf-8".to_owned(), inner.to_owned());
        assert_eq!(read(failure.as_text()).await, text);
        let quoted = serde_json::to_string(inner).unwrap();
        let outer =
            format!("{{\n \"result\": false,\n \"message\": {quoted},\n \"code\": \"10\",\n \"data\": null\n}}");
        let bad_request = (StatusCode::BAD_REQUEST, "application/json".to_owned(), outer);
        assert_eq!(read(failure.as_bad_request()).await, bad_request);
    }
}
