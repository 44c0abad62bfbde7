//! Request bodies (user-manager.md 4.3, 4.4): JSON whatever the content type says, and never an error by itself. A body
//! that is no JSON object is an empty document; a field of the wrong type counts as missing.

use std::io::Read;

use bcs_common::http::Body;
use bcs_common::http::body::{self, BodyError};
use bytes::Bytes;
use flate2::read::{GzDecoder, ZlibDecoder};
use http::header::CONTENT_ENCODING;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::answer::Failure;

/// Longest body in bytes, also when it is unpacked. The original has no limit; real bodies are a thousandth of it.
const LIMIT: usize = 8 << 20;

/// The fields of a body.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Document(Map<String, Value>);

impl Document {
    /// Reads a body to its end.
    ///
    /// # Errors
    /// It is too long, stalls or breaks off.
    pub async fn read(headers: &HeaderMap, body: Body) -> Result<Self, Failure> {
        let bytes = body::collect(body, LIMIT).await.map_err(|error| {
            let status = match error {
                BodyError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
                BodyError::Timeout => StatusCode::REQUEST_TIMEOUT,
                BodyError::Broken(_) => StatusCode::BAD_REQUEST,
            };
            Failure::refused(status, error.to_string())
        })?;
        let encoding = headers.get(CONTENT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
        Ok(match encoding {
            "gzip" => Self::parse(&unpacked(GzDecoder::new(&*bytes))),
            "deflate" => Self::parse(&unpacked(ZlibDecoder::new(&*bytes))),
            _ => Self::parse(&bytes),
        })
    }

    /// The first JSON value; what follows is ignored.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        match Value::deserialize(&mut serde_json::Deserializer::from_str(&text)) {
            Ok(Value::Object(fields)) => Self(fields),
            Ok(_) | Err(_) => Self::default(),
        }
    }

    /// A text; empty if it is missing or no text.
    pub fn text(&self, name: &str) -> &str {
        self.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// A whole number from 0 on; 0 if it is missing or anything else.
    pub fn uint(&self, name: &str) -> u64 {
        self.get(name).and_then(Value::as_u64).unwrap_or_default()
    }

    /// A list of documents; elements that are no objects are empty ones. None: missing or no list.
    pub fn list(&self, name: &str) -> Option<Vec<Document>> {
        let list = self.get(name)?.as_array()?;
        Some(list.iter().map(|element| element.as_object().cloned().map(Self).unwrap_or_default()).collect())
    }

    /// A document inside; empty if it is missing or no object.
    pub fn inner(&self, name: &str) -> Document {
        self.get(name).and_then(Value::as_object).cloned().map(Self).unwrap_or_default()
    }

    /// Whether the field is there but neither a text nor `null`.
    pub fn is_no_text(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| !value.is_string() && !value.is_null())
    }

    /// Names match without case, as in Go; the exact one is preferred.
    fn get(&self, name: &str) -> Option<&Value> {
        let folded = || self.0.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        self.0.get(name).or_else(folded)
    }
}

/// What could be unpacked of a body; nothing if it is broken or too long.
fn unpacked(decoder: impl Read) -> Bytes {
    let mut bytes = Vec::new();
    let limit = u64::try_from(LIMIT).unwrap_or(u64::MAX);
    match decoder.take(limit).read_to_end(&mut bytes) {
        Ok(length) if length < LIMIT => bytes.into(),
        Ok(_) | Err(_) => Bytes::new(),
    }
}

/// Refuses the first of the named fields that is not filled (user-manager.md 4.4).
///
/// # Errors
/// 400 `field '<name>' is required`.
pub(crate) fn require(fields: &[(&str, bool)]) -> Result<(), Failure> {
    match fields.iter().find(|(_, filled)| !filled) {
        Some((name, _)) => Err(Failure::bad_request(format!("field '{name}' is required"))),
        None => Ok(()),
    }
}

/// Whether a text has at most so many characters, as a `varchar` counts them.
pub(crate) fn fits(text: &str, length: usize) -> bool {
    text.len() <= length || text.chars().count() <= length
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};
    use proptest::prelude::*;

    use super::*;

    const BODY: &[u8] = br#"{"a":"x","n":7,"l":[{"a":"y"},1],"o":{"a":"z"},"A":"last"}"#;

    #[test]
    fn fields_by_type() {
        let document = Document::parse(BODY);
        assert_eq!((document.text("a"), document.uint("n")), ("x", 7));
        assert_eq!((document.text("n"), document.uint("a"), document.text("none")), ("", 0, ""));
        let list = document.list("l").unwrap();
        assert_eq!((list.len(), list[0].text("a"), list[1].text("a")), (2, "y", ""));
        assert_eq!((document.inner("o").text("a"), document.inner("l")), ("z", Document::default()));
        assert!(document.is_no_text("n") && !document.is_no_text("a") && !document.is_no_text("none"));
        assert_eq!((document.list("a"), document.list("none")), (None, None));
        assert_eq!(Document::parse(br#"{"USER_name":"x"}"#).text("user_name"), "x");
        for number in ["-1", "1.5", "1e3", "\"1\"", "99999999999999999999", "null"] {
            assert_eq!(Document::parse(format!(r#"{{"n":{number}}}"#).as_bytes()).uint("n"), 0, "{number}");
        }
    }

    #[test]
    fn no_object_is_an_empty_document() {
        for body in ["", "null", "[]", "\"a\"", "1", "{", "{\"a\":\"x\"", "nonsense", "{\"a\":\"\\ud800\"}"] {
            assert_eq!(Document::parse(body.as_bytes()), Document::default(), "{body}");
        }
        assert_eq!(Document::parse(br#"{"a":"x"} trailing {"#).text("a"), "x");
        assert_eq!(Document::parse(b"{\"a\":\"\xff\"}").text("a"), "\u{fffd}");
    }

    async fn packed(encoding: &str, body: Vec<u8>) -> Document {
        let headers = HeaderMap::from_iter([(CONTENT_ENCODING, encoding.parse().unwrap())]);
        Document::read(&headers, Body::from(body)).await.unwrap()
    }

    #[tokio::test]
    async fn packed_bodies() {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(BODY).unwrap();
        assert_eq!(packed("gzip", gzip.finish().unwrap()).await.text("a"), "x");
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        zlib.write_all(BODY).unwrap();
        assert_eq!(packed("deflate", zlib.finish().unwrap()).await.text("a"), "x");
        assert_eq!(packed("gzip", BODY.to_vec()).await, Document::default());
        let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
        bomb.write_all(&vec![b' '; LIMIT]).unwrap();
        assert_eq!(packed("gzip", bomb.finish().unwrap()).await, Document::default());
    }

    #[tokio::test]
    async fn a_long_body_is_refused() {
        let failure = Document::read(&HeaderMap::new(), Body::from(vec![b' '; LIMIT + 1])).await.unwrap_err();
        assert_eq!((failure.status, failure.code.value), (StatusCode::PAYLOAD_TOO_LARGE, 1_405_061));
    }

    #[test]
    fn the_first_missing_field_is_named() {
        assert!(require(&[("a", true)]).is_ok());
        let failure = require(&[("a", true), ("b", false), ("c", false)]).unwrap_err();
        assert_eq!(failure.message, "errcode: 1405061, field 'b' is required");
    }

    #[test]
    fn lengths_are_characters() {
        assert!(fits("ééé", 3) && !fits("éééé", 3));
    }

    proptest! {
        #[test]
        fn never_panics(bytes in any::<Vec<u8>>(), name in "\\PC*") {
            let document = Document::parse(&bytes);
            let _ = (document.text(&name).len(), document.uint(&name), document.list(&name), document.inner(&name));
        }
    }
}
