//! JSON objects in request bodies, read as leniently as the original reads them (storage.md 4.3): a missing field is
//! empty, numbers and booleans are accepted as text, numbers in quotes as numbers. Arrays are never objects.

use std::collections::HashMap;

use bcs_common::http::Body;
use bcs_common::http::body::{DEFAULT_LIMIT, collect};
use bcs_docstore::json::{self, Dollar};
use bcs_docstore::json_repair::repaired;
use bcs_docstore::{Bson, Document};
use bytes::Bytes;
use serde::Deserialize as _;
use serde_json::value::RawValue;

use crate::error::{Error, Result};

/// Receives a request body, 16 MiB at most, with U+FFFD for what is no text, as the original reads it.
///
/// # Errors
/// [`Error::Body`] if it is longer, stalls or breaks off.
pub async fn receive(body: Body) -> Result<Bytes> {
    collect(body, DEFAULT_LIMIT).await.map(repaired).map_err(|error| Error::Body(error.to_string()))
}

/// The fields of a JSON object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fields {
    values: Document,
    /// Numbers with a fraction or an exponent as they are written: that is what they are as texts.
    numbers: HashMap<String, String>,
}

impl Fields {
    /// Reads the first JSON value of a body: an object, or `null`, which has no fields.
    ///
    /// # Errors
    /// [`Error::Json`] for broken or missing JSON, [`Error::Invalid`] for any other value.
    pub fn decode(body: &[u8], dollar: Dollar) -> Result<Self> {
        let mut fields = Self::of(json::decode(body, dollar)?, "the body")?;
        if fields.values.values().any(|value| matches!(value, Bson::Double(_))) {
            fields.numbers = numbers(body)?;
        }
        Ok(fields)
    }

    fn of(value: Bson, what: &str) -> Result<Self> {
        match value {
            Bson::Document(values) => Ok(Self { values, numbers: HashMap::new() }),
            Bson::Null => Ok(Self::default()),
            _ => Err(Error::invalid(format!("{what} is no object"))),
        }
    }

    /// A field that may be anything; null if it is missing.
    pub fn take(&mut self, key: &str) -> Bson {
        self.values.remove(key).unwrap_or(Bson::Null)
    }

    /// A text.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it is an object or an array.
    pub fn text(&mut self, key: &str) -> Result<String> {
        let value = self.take(key);
        if matches!(value, Bson::Double(_))
            && let Some(written) = self.numbers.remove(key)
        {
            return Ok(written);
        }
        text(value).ok_or_else(|| Error::invalid(format!("field {key} is no text")))
    }

    /// An integer.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it is none, also not one in quotes.
    pub fn integer(&mut self, key: &str) -> Result<i64> {
        integer(&self.take(key)).ok_or_else(|| Error::invalid(format!("field {key} is no integer")))
    }

    /// A boolean; `default` if it is missing or null.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it is anything else.
    pub fn boolean(&mut self, key: &str, default: bool) -> Result<bool> {
        match self.take(key) {
            Bson::Boolean(value) => Ok(value),
            Bson::Null => Ok(default),
            _ => Err(Error::invalid(format!("field {key} is no boolean"))),
        }
    }

    /// An object within the object; a missing one has no fields.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it is anything but an object or null.
    pub fn object(&mut self, key: &str) -> Result<Self> {
        Self::of(self.take(key), &format!("field {key}"))
    }

    /// A list of texts; a missing one is empty.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it is no list, or if one of its elements is no text.
    pub fn texts(&mut self, key: &str) -> Result<Vec<String>> {
        let wrong = || Error::invalid(format!("field {key} is no list of texts"));
        match self.take(key) {
            Bson::Null => Ok(Vec::new()),
            Bson::Array(values) => values.into_iter().map(|value| text(value).ok_or_else(wrong)).collect(),
            _ => Err(wrong()),
        }
    }

    /// All fields in their order.
    pub fn into_document(self) -> Document {
        self.values
    }
}

/// The members of an object that are numbers, as they are written; of equal names the last one.
fn numbers(body: &[u8]) -> Result<HashMap<String, String>> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let members: HashMap<String, &RawValue> =
        HashMap::deserialize(&mut reader).map_err(|error| Error::invalid(error.to_string()))?;
    let is_number = |text: &str| text.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    let numbers = members.into_iter().map(|(name, value)| (name, value.get())).filter(|(_, text)| is_number(text));
    Ok(numbers.map(|(name, text)| (name, text.to_owned())).collect())
}

/// The value as text: texts as they are, numbers and booleans as JSON writes them, null as the empty text.
pub fn text(value: Bson) -> Option<String> {
    match value {
        Bson::String(text) => Some(text),
        Bson::Null => Some(String::new()),
        Bson::Document(_) | Bson::Array(_) => None,
        other => {
            let mut out = Vec::new();
            json::write_bson(&other, &mut out);
            String::from_utf8(out).ok()
        }
    }
}

/// The value as an integer: numbers without fraction, also in quotes; null and the empty text are 0.
pub fn integer(value: &Bson) -> Option<i64> {
    match value {
        Bson::Int64(number) => Some(*number),
        Bson::Int32(number) => Some(i64::from(*number)),
        Bson::Double(number) => whole(*number),
        Bson::String(text) if text.is_empty() => Some(0),
        Bson::String(text) => text.parse().ok(),
        Bson::Null => Some(0),
        _ => None,
    }
}

/// The double as an integer if it is one that a double holds exactly.
fn whole(number: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    // The range check makes the conversion exact.
    #[allow(clippy::cast_possible_truncation)]
    (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(body: &str) -> Fields {
        Fields::decode(body.as_bytes(), Dollar::Rewrite).unwrap()
    }

    #[test]
    fn a_body_is_an_object_or_null() {
        assert_eq!(fields(r#"{"a":1} rest"#).into_document(), bson::doc! { "a": 1_i64 });
        assert_eq!(fields("null"), Fields::default());
        for bad in ["", " ", "nope", "{", "[]", "[1]", "5", "\"x\"", "true"] {
            assert!(Fields::decode(bad.as_bytes(), Dollar::Rewrite).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn texts_take_numbers_and_booleans() {
        let mut all = fields(r#"{"s":"x","i":7,"f":3.0,"v":1.1,"v":1.20,"e":1E3,"b":true,"n":null,"o":{},"a":[]} "#);
        for (key, want) in
            [("s", "x"), ("i", "7"), ("f", "3.0"), ("v", "1.20"), ("e", "1E3"), ("b", "true"), ("n", ""), ("none", "")]
        {
            assert_eq!(all.text(key).unwrap(), want, "{key}");
        }
        assert!(all.text("o").is_err() && all.text("a").is_err());
    }

    #[test]
    fn integers_take_quoted_numbers() {
        let mut all = fields(r#"{"i":-7,"q":"12","f":3.0,"e":1e3,"n":null,"x":1.5,"w":"soon","b":true,"empty":""}"#);
        for (key, want) in [("i", -7), ("q", 12), ("f", 3), ("e", 1000), ("n", 0), ("none", 0), ("empty", 0)] {
            assert_eq!(all.integer(key).unwrap(), want, "{key}");
        }
        assert!(all.integer("x").is_err() && all.integer("w").is_err() && all.integer("b").is_err());
    }

    #[test]
    fn booleans_objects_and_lists() {
        let mut all = fields(r#"{"t":true,"n":null,"w":1,"o":{"k":"v"},"l":["a",1],"bad":[{}]}"#);
        assert!(all.boolean("t", false).unwrap() && all.boolean("n", true).unwrap() && all.boolean("w", true).is_err());
        assert_eq!(all.object("o").unwrap().text("k").unwrap(), "v");
        assert_eq!(all.object("none").unwrap(), Fields::default());
        assert_eq!(all.texts("l").unwrap(), ["a", "1"]);
        assert!(all.texts("bad").is_err() && all.texts("none").unwrap().is_empty());
        assert!(fields(r#"{"o":[1]}"#).object("o").is_err());
    }
}
