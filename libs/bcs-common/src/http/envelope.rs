//! The JSON body `{result, code, message, data}` that every BCS client expects (common.md 6.1).
//!
//! The HTTP status of all builders is 200, as the original mostly sends it even for errors; a handler that answers
//! otherwise sets it on the response.

use std::ffi::OsStr;
use std::path::Path;

use http::Response;
use http::header::{CONTENT_TYPE, HeaderValue};

use super::Body;
use super::code::{self, Code};
use super::json::write_string;

/// `data` of an envelope that has nothing to tell.
pub const EMPTY_OBJECT: &[u8] = b"{}";
/// `data` of an envelope of a failed list.
pub const EMPTY_LIST: &[u8] = b"[]";
/// `data` of an envelope without data.
pub const NULL: &[u8] = b"null";

/// The program name that prefixes the message of a failure: `(bcs-storage):`. It is a value and not a global because
/// `bcs server` runs several programs in one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Program(&'static str);

impl Program {
    /// A program with a fixed name.
    pub const fn new(name: &'static str) -> Self {
        Self(name)
    }

    /// The base name of the path the process was started by (`argv[0]`). Call it once, at the start: the name lives as
    /// long as the process.
    pub fn of_process() -> Self {
        let arg = std::env::args_os().next().unwrap_or_default();
        let base = Path::new(&arg).file_name().map(OsStr::to_string_lossy).unwrap_or_default();
        Self(Box::leak(base.into_owned().into_boxed_str()))
    }

    /// The bare name.
    pub fn name(self) -> &'static str {
        self.0
    }

    /// A failure with the default text of its code.
    pub fn failure(self, code: Code, data: &[u8]) -> Response<Body> {
        self.failure_with(code, code.text, data)
    }

    /// A failure with another text than the code's default.
    pub fn failure_with(self, code: Code, text: &str, data: &[u8]) -> Response<Body> {
        let mut body = Vec::with_capacity(80 + self.0.len() + text.len() + data.len());
        write(&mut body, self, code, text, data);
        json_response(body)
    }
}

/// Appends an envelope. The message gets the `(program):` prefix if the code is not 0; `data` is JSON already.
pub fn write(out: &mut Vec<u8>, program: Program, code: Code, text: &str, data: &[u8]) {
    let prefixed;
    let message = if code.value == 0 {
        text
    } else {
        prefixed = format!("({}):{text}", program.name());
        &prefixed
    };
    write_head(out, code);
    out.extend_from_slice(b",\"message\":");
    write_string(out, message);
    out.extend_from_slice(b",\"data\":");
    out.extend_from_slice(data);
    out.push(b'}');
}

fn write_head(out: &mut Vec<u8>, code: Code) {
    out.extend_from_slice(if code.value == 0 { b"{\"result\":true,\"code\":" } else { b"{\"result\":false,\"code\":" });
    out.extend_from_slice(code.value.to_string().as_bytes());
}

/// `{"result":true,"code":0,"message":"success","data":...}`; `data` is JSON already.
pub fn success(data: &[u8]) -> Response<Body> {
    let mut envelope = Success::with_capacity(data.len());
    envelope.data().extend_from_slice(data);
    envelope.finish()
}

/// The envelope that lacks the prefix and has `data` before `message` (types.APIResponse); `data` is JSON already.
pub fn api_response(code: Code, message: &str, data: &[u8]) -> Response<Body> {
    let mut body = Vec::with_capacity(64 + message.len() + data.len());
    write_head(&mut body, code);
    body.extend_from_slice(b",\"data\":");
    body.extend_from_slice(data);
    body.extend_from_slice(b",\"message\":");
    write_string(&mut body, message);
    body.push(b'}');
    json_response(body)
}

/// A 200 response with a JSON body.
pub fn json_response(body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Writes a success envelope around data that is produced in place, so that a long list is not copied.
#[derive(Debug)]
pub struct Success(Vec<u8>);

impl Success {
    const HEAD: &'static [u8] = b"{\"result\":true,\"code\":0,\"message\":\"success\",\"data\":";

    /// Starts an envelope with room for `data_len` bytes of data.
    pub fn with_capacity(data_len: usize) -> Self {
        let mut body = Vec::with_capacity(Self::HEAD.len() + data_len + 64);
        body.extend_from_slice(Self::HEAD);
        Self(body)
    }

    /// Where the data goes: append exactly one JSON value.
    pub fn data(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }

    /// Adds a top-level key behind the data, e.g. `total`; `value` is JSON already. The four keys of every envelope
    /// are never replaced: such a key is ignored.
    pub fn extra(&mut self, key: &str, value: &[u8]) -> &mut Self {
        if !matches!(key, "result" | "code" | "message" | "data") {
            self.0.push(b',');
            write_string(&mut self.0, key);
            self.0.push(b':');
            self.0.extend_from_slice(value);
        }
        self
    }

    /// The response with the finished envelope.
    pub fn finish(mut self) -> Response<Body> {
        self.0.push(b'}');
        json_response(self.0)
    }
}

/// The answer to a request whose handler panicked: 500 and the envelope of an internal error.
pub(crate) fn internal_error(program: Program) -> Response<Body> {
    let mut response = program.failure(code::API_INTERNAL_FAIL, NULL);
    *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::body;

    const STORAGE: Program = Program::new("bcs-storage");

    async fn text(response: Response<Body>) -> String {
        assert_eq!(response.headers().get(CONTENT_TYPE).unwrap(), "application/json");
        String::from_utf8(body::collect(response.into_body(), 1 << 20).await.unwrap().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn the_envelopes_of_the_original() {
        assert_eq!(text(success(b"{}")).await, r#"{"result":true,"code":0,"message":"success","data":{}}"#);
        assert_eq!(
            text(STORAGE.failure(code::STORAGE_RESOURCE_NOT_EXIST, NULL)).await,
            r#"{"result":false,"code":1405087,"message":"(bcs-storage):resource does not exist.","data":null}"#
        );
        assert_eq!(
            text(STORAGE.failure_with(code::API_BAD_REQUEST, "a<b", EMPTY_OBJECT)).await,
            r#"{"result":false,"code":1405061,"message":"(bcs-storage):a\u003cb","data":{}}"#
        );
        assert_eq!(
            text(api_response(code::SUCCESS, "success", EMPTY_LIST)).await,
            r#"{"result":true,"code":0,"data":[],"message":"success"}"#
        );
        assert_eq!(
            text(api_response(code::CLUSTER_MANAGER, "no", NULL)).await,
            r#"{"result":false,"code":1405400,"data":null,"message":"no"}"#
        );
    }

    #[tokio::test]
    async fn extra_keys_follow_and_never_replace() {
        let mut envelope = Success::with_capacity(0);
        envelope.data().extend_from_slice(b"[1]");
        envelope.extra("total", b"7").extra("code", b"9").extra("offset", b"0");
        assert_eq!(
            text(envelope.finish()).await,
            r#"{"result":true,"code":0,"message":"success","data":[1],"total":7,"offset":0}"#
        );
    }

    #[test]
    fn success_has_no_prefix() {
        let mut out = Vec::new();
        write(&mut out, STORAGE, code::SUCCESS, code::SUCCESS.text, NULL);
        assert_eq!(out, br#"{"result":true,"code":0,"message":"success","data":null}"#);
    }

    #[test]
    fn the_process_has_a_base_name() {
        let name = Program::of_process().name();
        assert!(!name.is_empty() && !name.contains('/'), "{name}");
    }
}
