//! JSON in and out, as the original reads and writes it (storage.md 4.3, 4.4).
//!
//! Reading: integers are 64-bit and signed, anything with a fraction, an exponent or more digits is a double;
//! the last of equal keys wins; what follows the first value is ignored. Writing: `<`, `>`, `&` and the two Unicode
//! line separators are escaped, doubles without fraction keep `.0`, dates are local RFC 3339 text.

use std::fmt;
use std::io::Write as _;

use bson::{Bson, Document, RawBsonRef, RawDocument};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::time;

/// What `$` may not be in a stored key, and what stands for it.
pub const FULL_WIDTH_DOLLAR: &str = "\u{ff04}";

pub(crate) const OVER: &str = "integer over 2^63-1";
pub(crate) const NUL: &str = "key with a NUL character";

/// What to do with `$` in the keys of incoming JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dollar {
    /// Keys stay as they are.
    Keep,
    /// Every `$` in a key, at any depth, becomes `＄` (U+FF04): MongoDB refuses operators in stored keys.
    Rewrite,
}

/// Text that is no JSON value, or one that cannot be stored.
#[derive(Debug, thiserror::Error)]
#[error("not a usable JSON value: {0}")]
pub struct JsonError(pub(crate) serde_json::Error);

/// Reads the first JSON value of `text`; whatever follows it is ignored.
///
/// # Errors
/// Broken or missing JSON, bytes that are not UTF-8, more than 127 levels, integers between 2^63 and 2^64, NUL in a key.
///
/// ```
/// use bcs_docstore::json::{Dollar, decode};
/// let value = decode(br#"{"$ref": 1, "n": 2.0} rest"#, Dollar::Rewrite).unwrap();
/// assert_eq!(value, bson::bson!({ "\u{ff04}ref": 1_i64, "n": 2.0 }));
/// ```
pub fn decode(text: &[u8], dollar: Dollar) -> Result<Bson, JsonError> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    Value { dollar, over_integers: Over::Error }.deserialize(&mut reader).map_err(JsonError)
}

/// Reads text that this library wrote. A whole double of 2^63 or more stands there without a fraction; it is no integer.
pub(crate) fn decode_stored(text: &str) -> Result<Bson, JsonError> {
    let mut reader = serde_json::Deserializer::from_str(text);
    STORED.deserialize(&mut reader).map_err(JsonError)
}

/// The members of an object that this library wrote.
pub(crate) fn decode_stored_members(object: &str) -> Result<Vec<(String, Bson)>, JsonError> {
    serde_json::Deserializer::from_str(object).deserialize_map(StoredMembers).map_err(JsonError)
}

struct StoredMembers;

impl<'de> Visitor<'de> for StoredMembers {
    type Value = Vec<(String, Bson)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(key) = entries.next_key()? {
            members.push((key, entries.next_value_seed(STORED)?));
        }
        Ok(members)
    }
}

/// What an integer over 2^63-1 is.
#[derive(Clone, Copy)]
enum Over {
    Error,
    Double,
}

#[derive(Clone, Copy)]
struct Value {
    dollar: Dollar,
    over_integers: Over,
}

const STORED: Value = Value { dollar: Dollar::Keep, over_integers: Over::Double };

impl<'de> DeserializeSeed<'de> for Value {
    type Value = Bson;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Bson, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value {
    type Value = Bson;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Bson, E> {
        Ok(Bson::Boolean(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Bson, E> {
        Ok(Bson::Int64(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Bson, E> {
        match (i64::try_from(value), self.over_integers) {
            (Ok(value), _) => Ok(Bson::Int64(value)),
            (Err(_), Over::Error) => Err(E::custom(OVER)),
            #[allow(clippy::cast_precision_loss, reason = "it was a double when it was written")]
            (Err(_), Over::Double) => Ok(Bson::Double(value as f64)),
        }
    }

    fn visit_f64<E>(self, value: f64) -> Result<Bson, E> {
        Ok(Bson::Double(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Bson, E> {
        Ok(Bson::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Bson, E> {
        Ok(Bson::String(value))
    }

    fn visit_unit<E>(self) -> Result<Bson, E> {
        Ok(Bson::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Bson, A::Error> {
        let mut array = Vec::new();
        while let Some(element) = elements.next_element_seed(self)? {
            array.push(element);
        }
        Ok(Bson::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Bson, A::Error> {
        let mut document = Document::new();
        while let Some(mut key) = entries.next_key::<String>()? {
            if key.contains('\0') {
                return Err(serde::de::Error::custom(NUL));
            }
            if self.dollar == Dollar::Rewrite && key.contains('$') {
                key = key.replace('$', FULL_WIDTH_DOLLAR);
            }
            document.insert(key, entries.next_value_seed(self)?);
        }
        Ok(Bson::Document(document))
    }
}

/// Appends `value` as JSON.
pub fn write_bson(value: &Bson, out: &mut Vec<u8>) {
    match value {
        Bson::Document(document) => write_document(document, out),
        Bson::Array(array) => write_list(array.iter(), out, write_bson),
        Bson::String(text) => write_string(text, out),
        Bson::Boolean(value) => write_bool(*value, out),
        Bson::Int32(value) => write_integer(i64::from(*value), out),
        Bson::Int64(value) => write_integer(*value, out),
        Bson::Double(value) => write_double(*value, out),
        Bson::ObjectId(id) => write_object_id(&id.bytes(), out),
        Bson::DateTime(date) => write_date(date.timestamp_millis(), out),
        Bson::Null | Bson::Undefined => out.extend_from_slice(b"null"),
        other => write_string(&other.to_string(), out),
    }
}

/// Appends `document` as a JSON object.
pub fn write_document(document: &Document, out: &mut Vec<u8>) {
    let mut object = Object::begin(out);
    for (key, value) in document {
        write_bson(value, object.key(key));
    }
    object.end();
}

/// Appends a value of a raw document as JSON. Bytes that are no BSON give `null`: the rest can still be read.
pub fn write_raw(value: RawBsonRef<'_>, out: &mut Vec<u8>) {
    match value {
        RawBsonRef::Document(document) => write_raw_document(document, &[], out),
        RawBsonRef::Array(array) => write_list(array.into_iter(), out, |element, out| match element {
            Ok(element) => write_raw(element, out),
            Err(_) => out.extend_from_slice(b"null"),
        }),
        RawBsonRef::String(text) => write_string(text, out),
        RawBsonRef::Boolean(value) => write_bool(value, out),
        RawBsonRef::Int32(value) => write_integer(i64::from(value), out),
        RawBsonRef::Int64(value) => write_integer(value, out),
        RawBsonRef::Double(value) => write_double(value, out),
        RawBsonRef::ObjectId(id) => write_object_id(&id.bytes(), out),
        RawBsonRef::DateTime(date) => write_date(date.timestamp_millis(), out),
        RawBsonRef::Null | RawBsonRef::Undefined => out.extend_from_slice(b"null"),
        other => match Bson::try_from(other) {
            Ok(other) => write_string(&other.to_string(), out),
            Err(_) => out.extend_from_slice(b"null"),
        },
    }
}

/// Appends a raw document as a JSON object, without the top-level fields named in `hide`.
pub fn write_raw_document(document: &RawDocument, hide: &[&str], out: &mut Vec<u8>) {
    let mut object = Object::begin(out);
    // An error means that the rest of the document cannot be read.
    for (key, value) in document.iter().map_while(Result::ok) {
        if !hide.contains(&key.as_str()) {
            write_raw(value, object.key(key.as_str()));
        }
    }
    object.end();
}

fn write_list<T>(elements: impl Iterator<Item = T>, out: &mut Vec<u8>, write: impl Fn(T, &mut Vec<u8>)) {
    out.push(b'[');
    for (index, element) in elements.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(element, out);
    }
    out.push(b']');
}

/// A JSON object being written: keys and commas.
pub(crate) struct Object<'a> {
    out: &'a mut Vec<u8>,
    empty: bool,
}

impl<'a> Object<'a> {
    pub(crate) fn begin(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, empty: true }
    }

    /// Writes the key; the caller writes its value to what this returns.
    pub(crate) fn key(&mut self, key: &str) -> &mut Vec<u8> {
        let out = self.raw();
        write_string(key, out);
        out.push(b':');
        out
    }

    /// For members that already are text: writes only the comma.
    pub(crate) fn raw(&mut self) -> &mut Vec<u8> {
        if !self.empty {
            self.out.push(b',');
        }
        self.empty = false;
        self.out
    }

    pub(crate) fn end(self) {
        self.out.push(b'}');
    }
}

pub(crate) fn write_bool(value: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(if value { b"true" } else { b"false" });
}

pub(crate) fn write_integer(value: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

pub(crate) fn write_object_id(bytes: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            out.push(HEX.get(usize::from(nibble)).copied().unwrap_or(b'0'));
        }
    }
    out.push(b'"');
}

pub(crate) fn write_date(millis: i64, out: &mut Vec<u8>) {
    out.push(b'"');
    time::write_local(millis, out);
    out.push(b'"');
}

/// Appends `text` as a JSON string with the escapes of Go's encoder.
pub fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut written = 0;
    for (index, &byte) in bytes.iter().enumerate() {
        if is_plain(byte) {
            continue;
        }
        let rest = bytes.get(index..).unwrap_or_default();
        let (escape, length): (&[u8], usize) = match byte {
            b'"' => (b"\\\"", 1),
            b'\\' => (b"\\\\", 1),
            b'\n' => (b"\\n", 1),
            b'\r' => (b"\\r", 1),
            b'\t' => (b"\\t", 1),
            0x08 => (b"\\b", 1),
            0x0c => (b"\\f", 1),
            b'<' => (b"\\u003c", 1),
            b'>' => (b"\\u003e", 1),
            b'&' => (b"\\u0026", 1),
            _ if rest.starts_with(b"\xe2\x80\xa8") => (b"\\u2028", 3),
            _ if rest.starts_with(b"\xe2\x80\xa9") => (b"\\u2029", 3),
            0xe2 => continue,
            _ => (b"", 1),
        };
        out.extend_from_slice(bytes.get(written..index).unwrap_or_default());
        if escape.is_empty() {
            // Writing to a Vec cannot fail.
            let _ = write!(out, "\\u{byte:04x}");
        } else {
            out.extend_from_slice(escape);
        }
        written = index + length;
    }
    out.extend_from_slice(bytes.get(written..).unwrap_or_default());
    out.push(b'"');
}

/// True for bytes that stand for themselves in a JSON string. 0xe2 begins the two line separators and is looked at.
const fn is_plain(byte: u8) -> bool {
    byte >= 0x20 && !matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'&' | 0xe2)
}

/// Doubles as the original prints them: shortest digits, `.0` if whole and below 2^52, exponent form for the very
/// small and from 1e21 on, `null` for what JSON cannot say.
pub(crate) fn write_double(value: f64, out: &mut Vec<u8>) {
    // Writing to a Vec cannot fail.
    let _ = if !value.is_finite() {
        write!(out, "null")
    } else if value != 0.0 && (value.abs() < 1e-6 || value.abs() >= 1e21) {
        let text = format!("{value:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
        write!(out, "{digits}e{sign}{exponent:0>2}")
    } else if value.fract() == 0.0 && value.abs() < 4_503_599_627_370_496.0 {
        write!(out, "{value:.1}")
    } else {
        write!(out, "{value}")
    };
}

/// Replaces every `＄` in `out` from `start` on by `$` (storage.md 4.4).
pub(crate) fn restore_dollar(out: &mut Vec<u8>, start: usize) {
    let full_width = FULL_WIDTH_DOLLAR.as_bytes();
    let Some(tail) = out.get(start..) else { return };
    if memchr::memmem::find(tail, full_width).is_none() {
        return;
    }
    let mut restored = Vec::with_capacity(tail.len());
    let mut copied = 0;
    for index in memchr::memmem::find_iter(tail, full_width) {
        restored.extend_from_slice(tail.get(copied..index).unwrap_or_default());
        restored.push(b'$');
        copied = index + full_width.len();
    }
    restored.extend_from_slice(tail.get(copied..).unwrap_or_default());
    out.truncate(start);
    out.append(&mut restored);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(value: Bson) -> String {
        let mut out = Vec::new();
        write_bson(&value, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn doubles_are_written_as_the_original_does() {
        for (value, text) in [
            (3.0, "3.0"),
            (1000.0, "1000.0"),
            (-0.0, "-0.0"),
            (0.0, "0.0"),
            (1.5, "1.5"),
            (0.1, "0.1"),
            (1e20, "100000000000000000000"),
            (18_446_744_073_709_551_616.0, "18446744073709552000"),
            (1e-7, "1e-07"),
            (-2.25e-7, "-2.25e-07"),
            (1.5e21, "1.5e+21"),
            (1e300, "1e+300"),
            (1e-6, "0.000001"),
            (f64::NAN, "null"),
            (f64::NEG_INFINITY, "null"),
        ] {
            assert_eq!(written(Bson::Double(value)), text);
        }
    }

    #[test]
    fn strings_are_escaped_as_go_does() {
        let text = "<a href=\"x\">&amp;</a>\ttab\u{1}\\\u{2028}\u{2029}\u{20ac}é";
        let expected =
            concat!(r#""\u003ca href=\"x\"\u003e\u0026amp;\u003c/a\u003e\ttab\u0001\\\u2028\u2029"#, "\u{20ac}é\"");
        assert_eq!(written(Bson::String(text.into())), expected);
    }

    #[test]
    fn integers_keep_all_digits_and_have_a_limit() {
        let decoded =
            decode(br#"[9223372036854775807,-9223372036854775808,18446744073709551616]"#, Dollar::Keep).unwrap();
        assert_eq!(decoded, bson::bson!([i64::MAX, i64::MIN, 18_446_744_073_709_551_616.0]));
        assert!(decode(b"9223372036854775808", Dollar::Keep).is_err());
    }

    #[test]
    fn the_last_of_equal_keys_wins_and_the_rest_is_ignored() {
        assert_eq!(decode(br#"{"a":1,"a":2} x"#, Dollar::Keep).unwrap(), bson::bson!({"a": 2_i64}));
    }

    #[test]
    fn bad_text_is_an_error() {
        for text in ["", "{", "hello", "{\"a\":", "\u{feff}{}", &"[".repeat(5000)] {
            assert!(decode(text.as_bytes(), Dollar::Keep).is_err(), "{text:.20}");
        }
        assert!(decode(b"\"\xff\"", Dollar::Keep).is_err());
    }

    #[test]
    fn dollars_are_restored_in_keys_and_values() {
        let mut out = b"keep \xef\xbc\x84 ".to_vec();
        let start = out.len();
        write_bson(&decode(br#"{"$a":"x$"}"#, Dollar::Rewrite).unwrap(), &mut out);
        assert!(String::from_utf8_lossy(&out).ends_with(r#"{"＄a":"x$"}"#));
        restore_dollar(&mut out, start);
        assert_eq!(String::from_utf8_lossy(&out), "keep ＄ {\"$a\":\"x$\"}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes, Dollar::Rewrite);
        }

        #[test]
        fn what_is_written_reads_back(text in "[^\\x00]*", integer: i64, double in proptest::num::f64::NORMAL) {
            let value = bson::bson!({ text.clone(): [integer, double, text, null, true] });
            let mut out = Vec::new();
            write_bson(&value, &mut out);
            // A whole double of 2^52 or more comes back as an integer: the original writes it without a fraction.
            if double.fract() != 0.0 {
                prop_assert_eq!(decode(&out, Dollar::Keep).unwrap(), value.clone());
            }
            let mut raw = Vec::new();
            write_raw(RawBsonRef::Document(&bson::serialize_to_raw_document_buf(value.as_document().unwrap()).unwrap()), &mut raw);
            prop_assert_eq!(out, raw);
        }
    }
}
