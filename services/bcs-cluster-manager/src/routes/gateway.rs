//! The rpcs over HTTP, as grpc-gateway serves them (cluster-manager.md 5.2).

use std::sync::Arc;
use std::time::Duration;

use bcs_common::http::Body;
use bcs_common::http::body::{self, BodyError};
use bcs_common::http::json::write_string;
use bcs_proto::json::{self, Defaults, Unknown};
use bcs_proto::route::{Call, Routed, find};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};

use super::line;
use crate::app::App;
use crate::rpc::{MAX_MESSAGE, Status, parse_timeout, status};

const FORM: &str = "application/x-www-form-urlencoded";
const METHOD_OVERRIDE: HeaderName = HeaderName::from_static("x-http-method-override");
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const METADATA_CONTENT_TYPE: HeaderName = HeaderName::from_static("grpc-metadata-content-type");
/// The longest body: so long that what a message is too long by can be said.
const MAX_BODY: usize = 4 * MAX_MESSAGE;

/// Answers a request to a percent-decoded path.
pub(super) async fn answer(app: &Arc<App>, path: &str, mut request: Request<Body>) -> Response<Body> {
    let mut is_form = request.method() == Method::POST && has_form(request.headers());
    let mut verb = request.method().as_str().to_owned();
    let overriding = request.headers().get(METHOD_OVERRIDE).filter(|verb| is_form && !verb.is_empty());
    if let Some(other) = overriding.and_then(|verb| verb.to_str().ok()) {
        verb = other.to_ascii_uppercase();
        // What reads the header reads the form away, too, and does not look at it.
        *request.body_mut() = Body::empty();
        is_form = false;
    }
    let call = match find(&verb, path) {
        Routed::Call(call) => call,
        Routed::Nothing => return line(StatusCode::NOT_FOUND, "Not Found"),
        // Only where it can mean one thing and change nothing (Q26).
        Routed::OtherVerb(calls) => match <[Call; 1]>::try_from(calls) {
            Ok([call]) if is_form && call.method.verb == "GET" => call,
            _ => return line(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed"),
        },
    };
    match run(app, call, request, is_form).await {
        Ok(json) => {
            let mut response = json_response(StatusCode::OK, json);
            response.headers_mut().insert(METADATA_CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            response
        }
        Err(status) => error(&status),
    }
}

async fn run(app: &Arc<App>, call: Call, request: Request<Body>, is_form: bool) -> Result<Vec<u8>, Status> {
    let limit = limit_of(request.headers())?;
    let work = async {
        let method = call.method;
        let message = message(call, request, is_form).await?;
        if message.len() > MAX_MESSAGE {
            return Err(Status::too_large(message.len()));
        }
        let internal = |error: bcs_proto::WireError| Status::new(status::INTERNAL, error.to_string());
        let answer = app.call(method, &message).await.map_err(internal)?;
        // The names of the fields make about as many bytes again.
        let mut json = Vec::with_capacity(answer.len() * 2 + 512);
        json::write(method.response, &answer, Defaults::Written, &mut json).map_err(internal)?;
        Ok(json)
    };
    match limit {
        None => work.await,
        Some(limit) => tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(Status::late())),
    }
}

/// The request message of a call.
async fn message(call: Call, request: Request<Body>, is_form: bool) -> Result<Vec<u8>, Status> {
    let invalid = |error: bcs_proto::JsonError| Status::new(status::INVALID_ARGUMENT, error.to_string());
    let (parts, body) = request.into_parts();
    if call.method.whole_body {
        let body = collect(body).await?;
        let mut message = json::read(call.method.request, &body, Unknown::Ignored).map_err(invalid)?;
        call.put_variables(&mut message);
        return Ok(message);
    }
    let mut query = parts.uri.query().unwrap_or_default().to_owned();
    if is_form && call.method.reads_query() {
        // The fields of the form come first.
        let form = collect(body).await?;
        query = format!("{}&{query}", String::from_utf8_lossy(&form));
    }
    call.from_query(&query).map_err(invalid)
}

async fn collect(body: Body) -> Result<Bytes, Status> {
    body::collect(body, MAX_BODY).await.map_err(|error| match error {
        BodyError::TooLarge { limit } => Status::too_large(limit + 1),
        other => Status::new(status::INVALID_ARGUMENT, other.to_string()),
    })
}

/// Exactly this type: with a parameter, or in other letters, it is none to the gateway.
fn has_form(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes() == FORM.as_bytes())
}

/// The deadline of a request, none without the header, with an empty one, or with a time of 0.
fn limit_of(headers: &HeaderMap) -> Result<Option<Duration>, Status> {
    let Some(value) = headers.get(GRPC_TIMEOUT).filter(|value| !value.is_empty()) else { return Ok(None) };
    let text = String::from_utf8_lossy(value.as_bytes());
    let limit = timeout_of(&text);
    let limit = limit.ok_or_else(|| Status::new(status::INVALID_ARGUMENT, format!("invalid grpc-timeout: {text}")))?;
    Ok(Some(limit).filter(|limit| !limit.is_zero()))
}

/// A number and a unit, `500m`. Unlike gRPC itself the gateway takes any number of digits, and a sign: what is negative
/// is over at once.
fn timeout_of(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let count: i64 = digits.parse().ok()?;
    let one = parse_timeout(&format!("1{unit}"))?;
    let Ok(count) = u64::try_from(count) else { return Some(Duration::from_nanos(1)) };
    Some(one.checked_mul(u32::try_from(count).unwrap_or(u32::MAX)).unwrap_or(Duration::MAX))
}

/// The gateway's error object.
fn error(failure: &Status) -> Response<Body> {
    let http = match failure.code {
        status::INVALID_ARGUMENT => StatusCode::BAD_REQUEST,
        status::DEADLINE_EXCEEDED => StatusCode::GATEWAY_TIMEOUT,
        status::RESOURCE_EXHAUSTED => StatusCode::TOO_MANY_REQUESTS,
        status::UNIMPLEMENTED => StatusCode::NOT_IMPLEMENTED,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let mut json = b"{\"error\":".to_vec();
    write_string(&mut json, &failure.message);
    json.extend_from_slice(format!(",\"code\":{},\"message\":", failure.code).as_bytes());
    write_string(&mut json, &failure.message);
    json.extend_from_slice(b",\"details\":[]}");
    json_response(http, json)
}

fn json_response(status: StatusCode, json: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::from(json));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_of_the_gateway() {
        let limit = |text: &'static str| {
            let headers = HeaderMap::from_iter([(GRPC_TIMEOUT, HeaderValue::from_static(text))]);
            limit_of(&headers).map_err(|status| status.message)
        };
        assert_eq!(limit(""), Ok(None));
        assert_eq!(limit("0S"), Ok(None));
        assert_eq!(limit("500m"), Ok(Some(Duration::from_millis(500))));
        assert_eq!(limit("1000000000n"), Ok(Some(Duration::from_secs(1))));
        assert_eq!(limit("-5S"), Ok(Some(Duration::from_nanos(1))));
        for bad in ["soon", "S", "5", "5s", "1.5S", "S5"] {
            assert_eq!(limit(bad), Err(format!("invalid grpc-timeout: {bad}")));
        }
    }
}
