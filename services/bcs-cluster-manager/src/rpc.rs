//! gRPC: unary calls as HTTP/2 requests, in the forms of grpc-go and of go-micro (cluster-manager.md 4.2).

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bcs_common::go::quoted;
use bcs_common::http::Body;
use bcs_common::http::json::write_string;
use bcs_proto::json::{self, Defaults, Unknown};
use bcs_proto::{CLUSTER_MANAGER, Method};
use bytes::{BufMut, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::BodyExt as _;

use crate::app::App;

/// The longest message.
pub(crate) const MAX_MESSAGE: usize = 4 << 20;
/// What stands before a message: whether it is compressed, and its length.
const PREFIX: usize = 5;
const CONTENT: &str = "application/grpc";

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// go-micro's own deadline.
const TIMEOUT: HeaderName = HeaderName::from_static("timeout");

/// The codes of gRPC that are used.
pub(crate) mod status {
    pub const UNKNOWN: u32 = 2;
    pub const INVALID_ARGUMENT: u32 = 3;
    pub const DEADLINE_EXCEEDED: u32 = 4;
    pub const RESOURCE_EXHAUSTED: u32 = 8;
    pub const UNIMPLEMENTED: u32 = 12;
    pub const INTERNAL: u32 = 13;
}

/// A call that failed before or beside its handler.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Status {
    pub code: u32,
    pub message: String,
}

impl Status {
    pub(crate) fn new(code: u32, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    pub(crate) fn too_large(size: usize) -> Self {
        let message = format!("grpc: received message larger than max ({size} vs. {MAX_MESSAGE})");
        Self::new(status::RESOURCE_EXHAUSTED, message)
    }

    pub(crate) fn late() -> Self {
        Self::new(status::DEADLINE_EXCEEDED, "context deadline exceeded")
    }

    /// An error of go-micro: a JSON text in the message.
    fn micro(detail: &str) -> Self {
        let mut message = br#"{"id":"go.micro.server","code":500,"detail":"#.to_vec();
        write_string(&mut message, detail);
        message.extend_from_slice(br#","status":"Internal Server Error"}"#);
        Self::new(status::UNKNOWN, String::from_utf8_lossy(&message))
    }

    fn undecodable(error: &dyn std::fmt::Display) -> Self {
        Self::new(status::INTERNAL, format!("grpc: failed to unmarshal the received message {error}"))
    }
}

/// How messages are encoded.
#[derive(Clone, Copy)]
enum Codec {
    Proto,
    Json,
}

/// Whether a request is a gRPC call.
pub(crate) fn is_call(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(CONTENT.as_bytes()))
}

/// Answers a call.
pub(crate) async fn answer(app: &Arc<App>, request: Request<Body>) -> Response<Body> {
    let content_type = request.headers().get(CONTENT_TYPE).cloned();
    let content_type = content_type.unwrap_or_else(|| HeaderValue::from_static(CONTENT));
    let mut response = match call(app, &content_type, request).await {
        Ok(message) => Response::new(Body::new(Unary { message: Some(message), trailers: Some(ok_trailers()) })),
        Err(status) => {
            let mut response = Response::new(Body::empty());
            response.headers_mut().insert(GRPC_STATUS, HeaderValue::from(status.code));
            response.headers_mut().insert(GRPC_MESSAGE, header_text(&status.message));
            response
        }
    };
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

async fn call(app: &Arc<App>, content_type: &HeaderValue, request: Request<Body>) -> Result<Bytes, Status> {
    let method = method_of(request.uri().path())?;
    let codec = codec_of(content_type)?;
    let headers = request.headers();
    if let Some(encoding) = headers.get(GRPC_ENCODING).filter(|encoding| *encoding != "identity") {
        let name = String::from_utf8_lossy(encoding.as_bytes());
        let message = format!("grpc: Decompressor is not installed for grpc-encoding {}", quoted(&name));
        return Err(Status::new(status::UNIMPLEMENTED, message));
    }
    let limit = limit_of(headers)?;
    let work = async {
        let message = read_message(request.into_body()).await?;
        let answer = match codec {
            Codec::Proto => app.call(method, &message).await.map_err(|error| Status::undecodable(&error))?,
            Codec::Json => {
                let request = json::read(method.request, &message, Unknown::Refused);
                let request = request.map_err(|error| Status::undecodable(&error))?;
                let answer = app.call(method, &request).await.map_err(|error| Status::undecodable(&error))?;
                let mut text = Vec::with_capacity(answer.len() * 2);
                json::write(method.response, &answer, Defaults::LeftOut, &mut text)
                    .map_err(|error| Status::new(status::INTERNAL, error.to_string()))?;
                text
            }
        };
        Ok(framed(&answer))
    };
    match limit {
        None => work.await,
        Some(limit) => tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(Status::late())),
    }
}

/// `/any.prefix.ClusterManager/Method`.
fn method_of(path: &str) -> Result<&'static Method, Status> {
    let malformed = |code| Status::new(code, format!("malformed method name: {}", quoted(path)));
    let parts: Vec<&str> = path.strip_prefix('/').unwrap_or(path).split('/').collect();
    let (service, name) = match parts.as_slice() {
        [service, name] => (*service, *name),
        [] | [_] => return Err(malformed(status::RESOURCE_EXHAUSTED)),
        _ => return Err(malformed(status::INVALID_ARGUMENT)),
    };
    let service = service.rsplit('.').next().unwrap_or(service);
    let unknown = |name: &str| Status::new(status::UNIMPLEMENTED, format!("unknown service {name}"));
    if service != CLUSTER_MANAGER {
        return Err(unknown(service));
    }
    Method::named(name).ok_or_else(|| unknown(&format!("{service}.{name}")))
}

fn codec_of(content_type: &HeaderValue) -> Result<Codec, Status> {
    match content_type.as_bytes() {
        b"application/grpc" | b"application/grpc+proto" => Ok(Codec::Proto),
        b"application/grpc+json" => Ok(Codec::Json),
        other => Err(Status::micro(&format!("Unsupported Content-Type: {}", String::from_utf8_lossy(other)))),
    }
}

/// The shorter one of gRPC's deadline and go-micro's, which is in nanoseconds and ignored if it is no number.
fn limit_of(headers: &HeaderMap) -> Result<Option<Duration>, Status> {
    let own = headers.get(TIMEOUT).and_then(|value| value.to_str().ok()?.parse().ok()).map(Duration::from_nanos);
    let Some(value) = headers.get(GRPC_TIMEOUT) else { return Ok(own) };
    let limit = value.to_str().ok().and_then(parse_timeout);
    let limit = limit.ok_or_else(|| Status::new(status::INTERNAL, format!("malformed grpc-timeout: {value:?}")))?;
    Ok(Some(own.map_or(limit, |own| own.min(limit))))
}

/// At most eight digits and a unit: `500m` is half a second.
pub(crate) fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let count: u64 =
        digits.parse().ok().filter(|_| digits.len() <= 8 && digits.bytes().all(|it| it.is_ascii_digit()))?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

/// The one message of a unary request. More messages are not looked at.
async fn read_message(mut body: Body) -> Result<Bytes, Status> {
    let broken = |reason: &str| Status::new(status::INTERNAL, reason.to_owned());
    let mut bytes = BytesMut::new();
    let mut wanted = None;
    loop {
        if wanted.is_none() {
            wanted = announced(&bytes)?;
        }
        if let Some(length) = wanted.filter(|length| bytes.len() >= PREFIX + length) {
            bytes.truncate(PREFIX + length);
            return Ok(bytes.split_off(PREFIX).freeze());
        }
        let frame = body.frame().await.ok_or_else(|| broken("unexpected EOF"))?;
        match frame.map_err(|error| broken(&error.to_string()))?.into_data() {
            // One piece holds most messages: it is taken as it is.
            Ok(piece) if bytes.is_empty() => bytes = piece.into(),
            Ok(piece) => bytes.extend_from_slice(&piece),
            Err(_) => {}
        }
    }
}

/// The length that the prefix of a message says, if it is there.
fn announced(bytes: &[u8]) -> Result<Option<usize>, Status> {
    let Some([compressed, length @ ..]) = bytes.get(..PREFIX) else { return Ok(None) };
    if *compressed != 0 {
        let reason = "grpc: compressed flag set with identity or empty encoding";
        return Err(Status::new(status::INTERNAL, reason));
    }
    let length = length.iter().fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
    if length > MAX_MESSAGE { Err(Status::too_large(length)) } else { Ok(Some(length)) }
}

fn framed(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(PREFIX + message.len());
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.extend_from_slice(message);
    frame.freeze()
}

fn ok_trailers() -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(2);
    trailers.insert(GRPC_STATUS, HeaderValue::from_static("0"));
    trailers.insert(GRPC_MESSAGE, HeaderValue::from_static(""));
    trailers
}

/// Printable ASCII as it is, everything else and `%` as `%XX`.
fn header_text(text: &str) -> HeaderValue {
    let encoded = text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        match byte {
            b'%' | 0..0x20 | 0x7f.. => out.push_str(&format!("%{byte:02X}")),
            _ => out.push(byte.into()),
        }
        out
    });
    HeaderValue::try_from(encoded).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// A response body of one message and the trailers.
struct Unary {
    message: Option<Bytes>,
    trailers: Option<HeaderMap>,
}

impl http_body::Body for Unary {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let message = self.message.take().map(Frame::data);
        Poll::Ready(message.or_else(|| self.trailers.take().map(Frame::trailers)).map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.message.is_none() && self.trailers.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(path: &str) -> (u32, String) {
        let status = method_of(path).unwrap_err();
        (status.code, status.message)
    }

    #[test]
    fn any_prefix_leads_to_the_service() {
        for path in [
            "/clustermanager.ClusterManager/GetCluster",
            "/clustermanager.bkbcs.tencent.com.ClusterManager/GetCluster",
            "/ClusterManager/GetCluster",
            "/some.other.prefix.ClusterManager/GetCluster",
        ] {
            assert_eq!(method_of(path).unwrap().name, "GetCluster");
        }
        let text = |text: &str| text.to_owned();
        assert_eq!(refused("/x.Y/GetCluster"), (12, text("unknown service Y")));
        assert_eq!(refused("/x.ClusterManager/Nope"), (12, text("unknown service ClusterManager.Nope")));
        assert_eq!(refused("/a/b/c"), (3, text("malformed method name: \"/a/b/c\"")));
        assert_eq!(refused("/x"), (8, text("malformed method name: \"/x\"")));
        assert_eq!(refused("/"), (8, text("malformed method name: \"/\"")));
    }

    #[test]
    fn deadlines_of_both_kinds() {
        let mut headers = HeaderMap::new();
        let limit = |headers: &HeaderMap| limit_of(headers).map_err(|status| status.code);
        assert_eq!(limit(&headers), Ok(None));
        headers.insert(TIMEOUT, HeaderValue::from_static("abc"));
        assert_eq!(limit(&headers), Ok(None));
        headers.insert(TIMEOUT, HeaderValue::from_static("5000000000"));
        assert_eq!(limit(&headers), Ok(Some(Duration::from_secs(5))));
        headers.insert(GRPC_TIMEOUT, HeaderValue::from_static("500m"));
        assert_eq!(limit(&headers), Ok(Some(Duration::from_millis(500))));
        headers.insert(GRPC_TIMEOUT, HeaderValue::from_static("soon"));
        assert_eq!(limit(&headers), Err(13));
        for bad in ["", "1", "S", "123456789S", "-1S", "1s", "é"] {
            assert_eq!(parse_timeout(bad), None, "{bad}");
        }
        assert_eq!(parse_timeout("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
    }

    #[test]
    fn messages_in_headers() {
        assert_eq!(header_text("100% \"é\"\n"), "100%25 \"%C3%A9\"%0A");
        let detail = Status::micro("Unsupported Content-Type: application/grpc+yaml");
        assert_eq!(
            detail.message,
            r#"{"id":"go.micro.server","code":500,"detail":"Unsupported Content-Type: application/grpc+yaml","status":"Internal Server Error"}"#
        );
    }

    #[tokio::test]
    async fn one_message_is_read() {
        let read = async |bytes: &'static [u8]| read_message(Body::from(bytes)).await;
        assert_eq!(read(b"\0\0\0\0\x02ab").await.unwrap(), "ab");
        assert_eq!(read(b"\0\0\0\0\x01ab").await.unwrap(), "a");
        assert_eq!(read(b"\0\0\0\0\0").await.unwrap(), "");
        for (bytes, code) in [(&b""[..], 13), (b"\0\0\0\0\x03ab", 13), (b"\x01\0\0\0\x01a", 13), (b"\0\x01\0\0\0", 8)] {
            assert_eq!(read(bytes).await.unwrap_err().code, code, "{bytes:?}");
        }
        // Refused by its announcement, before it is there.
        let large = read_message(Body::from(&b"\0\x00\x4c\x4b\x49"[..])).await.unwrap_err();
        assert_eq!(large.message, "grpc: received message larger than max (5000009 vs. 4194304)");
        let pieces = ["\0\0", "\0\0\x03a", "b", "cd"].map(|piece| Ok::<_, std::io::Error>(Bytes::from(piece)));
        assert_eq!(read_message(Body::from_stream(futures::stream::iter(pieces))).await.unwrap(), "abc");
    }
}
