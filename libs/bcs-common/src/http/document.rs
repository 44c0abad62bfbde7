//! JSON bodies as the original's handlers decode them into structs, with its errors ignored: whatever the content type
//! says, a body is never an error by itself. What is no JSON object is an empty document, a field of the wrong type counts
//! as missing, names match without case, and of a name that is there twice the last one counts.

use std::fmt;
use std::io::Read;

use bytes::Bytes;
use flate2::read::{GzDecoder, ZlibDecoder};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::Body;
use super::body::{self, BodyError};

/// The fields of a body, in their order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Document(Vec<(String, Value)>);

#[derive(Clone, Debug, PartialEq)]
enum Value {
    Null,
    Text(String),
    Uint(u64),
    List(Vec<Value>),
    Object(Document),
    /// Booleans and all other numbers.
    Other,
}

impl Value {
    fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }
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
        let text = String::from_utf8_lossy(bytes);
        match Value::deserialize(&mut serde_json::Deserializer::from_str(&text)) {
            Ok(Value::Object(document)) => document,
            Ok(_) | Err(_) => Self::default(),
        }
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
        let Value::List(list) = list else { return None };
        let document =
            |value: &Value| if let Value::Object(document) = value { document.clone() } else { Self::default() };
        Some(list.iter().map(document).collect())
    }

    /// A document inside; empty if it is missing or no object.
    pub fn inner(&self, name: &str) -> Document {
        let document = |value: &Value| if let Value::Object(document) = value { Some(document.clone()) } else { None };
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
fn unpacked(decoder: impl Read, limit: usize) -> Bytes {
    let mut bytes = Vec::new();
    match decoder.take(u64::try_from(limit).unwrap_or(u64::MAX)).read_to_end(&mut bytes) {
        Ok(length) if length < limit => bytes.into(),
        Ok(_) | Err(_) => Bytes::new(),
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Uint(number))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = elements.next_element()? {
            list.push(element);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut fields = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            fields.push(entry);
        }
        Ok(Value::Object(Document(fields)))
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
