//! JSON bodies as the original's handlers decode them into structs, with its errors ignored: whatever the content type
//! says, a body is never an error by itself. What is no JSON object is an empty document, a field of the wrong type counts
//! as missing, names match without case, and of a name that is there twice the last one counts.

use std::fmt;
use std::io::Read;

use flate2::read::{GzDecoder, ZlibDecoder};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use serde::de::{Deserialize, Deserializer, Visitor};
use serde_json::value::RawValue;

use super::Body;
use super::body::{self, BodyError};
use crate::json_members::Members;

/// The fields of a body, in their order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Document(Vec<(String, Value)>);

#[derive(Clone, Debug, PartialEq)]
enum Value {
    Null,
    Text(String),
    Uint(u64),
    /// The text of a list, not yet looked into.
    List(String),
    /// The text of an object, not yet looked into.
    Object(String),
    /// Booleans and all other numbers.
    Other,
}

impl Value {
    /// Of the text of a JSON value. Go takes numbers of any size and half surrogate pairs, which serde_json does not.
    fn of(raw: &RawValue) -> Self {
        let raw = raw.get();
        match raw.as_bytes().first() {
            Some(b'n') => Self::Null,
            Some(b'"') => Self::Text(text(raw)),
            Some(b'[') => Self::List(raw.to_owned()),
            Some(b'{') => Self::Object(raw.to_owned()),
            _ => raw.parse().map_or(Self::Other, Self::Uint),
        }
    }

    fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }
}

/// The value of a JSON string; half of a surrogate pair becomes U+FFFD.
fn text(raw: &str) -> String {
    serde_json::from_str(raw).unwrap_or_else(|_| {
        let Bytes(mut bytes) = serde_json::from_str(raw).unwrap_or_default();
        for at in 0..bytes.len().saturating_sub(2) {
            // How a surrogate looks when it is written as if it were a character.
            if let Some(half @ [0xed, 0xa0..=0xbf, _]) = bytes.get_mut(at..at + 3) {
                half.copy_from_slice("\u{fffd}".as_bytes());
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

impl Document {
    /// Reads a body to its end; also one that is packed as its `Content-Encoding` says.
    ///
    /// # Errors
    /// It is longer than `limit`, stalls or breaks off. One that is too long when unpacked is an empty document.
    pub async fn read(headers: &HeaderMap, body: Body, limit: usize) -> Result<Self, BodyError> {
        let bytes = body::collect(body, limit).await?;
        let encoding = headers.get(CONTENT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
        Ok(match encoding {
            "gzip" => Self::parse(&unpacked(GzDecoder::new(&*bytes), limit)),
            "deflate" => Self::parse(&unpacked(ZlibDecoder::new(&*bytes), limit)),
            _ => Self::parse(&bytes),
        })
    }

    /// The first JSON value; what follows is ignored.
    pub fn parse(bytes: &[u8]) -> Self {
        Self::of(&String::from_utf8_lossy(bytes))
    }

    fn of(text: &str) -> Self {
        let Members(fields) = first_value::<Members<&RawValue>>(text).unwrap_or_default();
        Self(fields.into_iter().map(|(name, value)| (name, Value::of(value))).collect())
    }

    /// A text; empty if it is missing or no text.
    pub fn text(&self, name: &str) -> &str {
        self.all(name).find_map(Value::as_text).unwrap_or_default()
    }

    /// A whole number from 0 on; 0 if it is missing or anything else.
    pub fn uint(&self, name: &str) -> u64 {
        let number = |value: &Value| if let Value::Uint(number) = value { Some(*number) } else { None };
        self.all(name).find_map(number).unwrap_or_default()
    }

    /// A list of documents; elements that are no objects are empty ones. None: missing or no list.
    pub fn list(&self, name: &str) -> Option<Vec<Document>> {
        // Unlike with texts and numbers, a `null` takes back what was there before.
        let list = self.all(name).find(|value| matches!(value, Value::List(_) | Value::Null))?;
        let Value::List(text) = list else { return None };
        let elements: Vec<&RawValue> = first_value(text).unwrap_or_default();
        Some(elements.into_iter().map(|element| Self::of(element.get())).collect())
    }

    /// A document inside; empty if it is missing or no object.
    pub fn inner(&self, name: &str) -> Document {
        let document = |value: &Value| if let Value::Object(text) = value { Some(Self::of(text)) } else { None };
        self.all(name).find_map(document).unwrap_or_default()
    }

    /// Whether the field is there but neither a text nor `null`.
    pub fn is_no_text(&self, name: &str) -> bool {
        self.all(name).any(|value| !matches!(value, Value::Text(_) | Value::Null))
    }

    /// All values of a name, the last one first.
    fn all(&self, name: &str) -> impl Iterator<Item = &Value> {
        self.0.iter().rev().filter(move |(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// What could be unpacked of a body; nothing if it is broken or too long.
fn unpacked(decoder: impl Read, limit: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    match decoder.take(u64::try_from(limit).unwrap_or(u64::MAX)).read_to_end(&mut bytes) {
        Ok(length) if length < limit => bytes,
        Ok(_) | Err(_) => Vec::new(),
    }
}

/// The first value of a text; what follows is ignored.
fn first_value<'a, T: Deserialize<'a>>(text: &'a str) -> Option<T> {
    T::deserialize(&mut serde_json::Deserializer::from_str(text)).ok()
}

/// The bytes of a string, which need be no text.
#[derive(Default)]
struct Bytes(Vec<u8>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_byte_buf(StringBytes)
    }
}

struct StringBytes;

impl Visitor<'_> for StringBytes {
    type Value = Bytes;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
        Ok(Bytes(bytes.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};
    use proptest::prelude::*;

    use super::*;

    const LIMIT: usize = 1 << 20;
    const BODY: &[u8] = br#"{"a":"x","n":7,"l":[{"a":"y"},1],"o":{"a":"z"}}"#;

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
        for number in ["-1", "1.5", "1e3", "\"1\"", "99999999999999999999", "null", "true"] {
            assert_eq!(Document::parse(format!(r#"{{"n":{number}}}"#).as_bytes()).uint("n"), 0, "{number}");
        }
    }

    #[test]
    fn the_last_one_of_a_name_counts() {
        let text = |body: &str| Document::parse(body.as_bytes()).text("user_name").to_owned();
        assert_eq!(text(r#"{"USER_name":"x"}"#), "x");
        assert_eq!(text(r#"{"user_name":"x","user_name":"y"}"#), "y");
        assert_eq!(text(r#"{"user_name":"x","User_Name":"y"}"#), "y");
        // Neither changes what was decoded before.
        assert_eq!(text(r#"{"user_name":"x","user_name":null}"#), "x");
        assert_eq!(text(r#"{"user_name":"x","user_name":1}"#), "x");
        assert_eq!(Document::parse(br#"{"l":[],"l":null}"#).list("l"), None);
        assert_eq!(Document::parse(br#"{"l":[],"l":1}"#).list("l"), Some(Vec::new()));
    }

    #[test]
    fn no_object_is_an_empty_document() {
        for body in ["", "null", "[]", "\"a\"", "1", "{", "{\"a\":\"x\"", "nonsense"] {
            assert_eq!(Document::parse(body.as_bytes()), Document::default(), "{body}");
        }
        assert_eq!(Document::parse(br#"{"a":"x"} trailing {"#).text("a"), "x");
        assert_eq!(Document::parse(b"{\"a\":\"\xff\"}").text("a"), "\u{fffd}");
    }

    #[test]
    fn what_go_takes() {
        let text = |value: &str| Document::parse(format!(r#"{{"a":{value}}}"#).as_bytes()).text("a").to_owned();
        assert_eq!(text(r#""x\ud800y\udc00\ud83d\ude00""#), "x\u{fffd}y\u{fffd}\u{1f600}");
        assert_eq!(text(r#""\u003c\/\"\u4e2d""#), "</\"中");
        // Values of no interest may be of any size and depth.
        let (digits, deep) = ("9".repeat(400), "[".repeat(5000) + &"]".repeat(5000));
        let body = format!(r#"{{"a":"x","n":{digits},"e":1e999,"l":{deep},"o":{{"n":-{digits}}}}}"#);
        let document = Document::parse(body.as_bytes());
        assert_eq!((document.text("a"), document.uint("n"), document.uint("e")), ("x", 0, 0));
        assert_eq!(document.list("l").map(|list| list.len()), Some(1));
        assert_eq!(document.inner("o").uint("n"), 0);
        assert!(document.is_no_text("n") && document.is_no_text("l"));
    }

    async fn packed(encoding: &str, body: Vec<u8>) -> Document {
        let headers = HeaderMap::from_iter([(CONTENT_ENCODING, encoding.parse().unwrap())]);
        Document::read(&headers, Body::from(body), LIMIT).await.unwrap()
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
        let read = Document::read(&HeaderMap::new(), Body::from(vec![b' '; LIMIT + 1]), LIMIT).await;
        assert!(matches!(read, Err(BodyError::TooLarge { limit: LIMIT })));
    }

    proptest! {
        #[test]
        fn never_panics(bytes in any::<Vec<u8>>(), name in "\\PC*") {
            let document = Document::parse(&bytes);
            let _ = (document.text(&name).len(), document.uint(&name), document.list(&name), document.inner(&name));
        }
    }
}
