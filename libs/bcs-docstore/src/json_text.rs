//! A JSON value on its way from a client into a store, not yet taken apart.

use std::collections::HashSet;
use std::fmt;

use bson::Bson;
use bytes::Bytes;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::json::{self, Dollar, FULL_WIDTH_DOLLAR, JsonError, NUL, OVER};

/// The text of a JSON value. MongoDB wants it as values ([`JsonText::decode`]), SQLite as the text that clients will get
/// ([`JsonText::normalised`]); each reads it once. `$` in keys becomes `＄` either way (storage.md 4.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonText(Bytes);

impl JsonText {
    /// The value `null`.
    pub fn null() -> Self {
        Self(Bytes::from_static(b"null"))
    }

    /// The member `name` of the JSON object that `text` begins with, `null` if it has none. Of equal names the last one
    /// counts; `null` instead of an object has no members (storage.md 4.3).
    ///
    /// # Errors
    /// `text` begins with something else. What is inside the member is looked at only when it is used.
    pub fn member(text: &Bytes, name: &str) -> Result<Self, JsonError> {
        let mut reader = serde_json::Deserializer::from_slice(text);
        let found = Member(name).deserialize(&mut reader).map_err(JsonError)?;
        Ok(found.map_or_else(Self::null, |raw| Self(text.slice_ref(raw.get().as_bytes()))))
    }

    /// The text itself.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The value, with `＄` for `$` in keys.
    ///
    /// # Errors
    /// As [`json::decode`].
    pub fn decode(&self) -> Result<Bson, JsonError> {
        json::decode(&self.0, Dollar::Rewrite)
    }

    /// The value as the text that clients will get, with `＄` for `$` in keys: the same as decoding and writing it,
    /// in one pass.
    ///
    /// # Errors
    /// As [`json::decode`].
    pub fn normalised(&self) -> Result<String, JsonError> {
        let mut writer = Writer { out: Vec::with_capacity(self.0.len() + 16), key_twice: false };
        Node(&mut writer).deserialize(&mut serde_json::Deserializer::from_slice(&self.0)).map_err(JsonError)?;
        if writer.key_twice {
            // Rare: only whole values can say which of two keys is the last.
            writer.out.clear();
            json::write_bson(&self.decode()?, &mut writer.out);
        }
        // The writer makes UTF-8 of UTF-8; this never replaces anything.
        Ok(String::from_utf8(writer.out).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
    }
}

struct Member<'n>(&'n str);

impl<'de> DeserializeSeed<'de> for Member<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Member<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(key) = entries.next_key::<std::borrow::Cow<'de, str>>()? {
            if key == self.0 {
                found = Some(entries.next_value()?);
            } else {
                entries.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

struct Writer {
    out: Vec<u8>,
    key_twice: bool,
}

/// One value, written as it is read.
struct Node<'w>(&'w mut Writer);

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        json::write_bool(value, &mut self.0.out);
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        json::write_integer(value, &mut self.0.out);
        Ok(())
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        let value = i64::try_from(value).map_err(|_| E::custom(OVER))?;
        json::write_integer(value, &mut self.0.out);
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        json::write_double(value, &mut self.0.out);
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        json::write_string(value, &mut self.0.out);
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.0.out.extend_from_slice(b"null");
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        self.0.out.push(b'[');
        let start = self.0.out.len();
        loop {
            let before = self.0.out.len();
            if before > start {
                self.0.out.push(b',');
            }
            if elements.next_element_seed(Node(self.0))?.is_none() {
                self.0.out.truncate(before);
                break;
            }
        }
        self.0.out.push(b']');
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        self.0.out.push(b'{');
        let start = self.0.out.len();
        let mut keys = Keys::default();
        loop {
            let before = self.0.out.len();
            if before > start {
                self.0.out.push(b',');
            }
            let begin = self.0.out.len();
            if entries.next_key_seed(Key(self.0))?.is_none() {
                self.0.out.truncate(before);
                break;
            }
            self.0.key_twice |= keys.add(&self.0.out, begin..self.0.out.len());
            self.0.out.push(b':');
            entries.next_value_seed(Node(self.0))?;
        }
        self.0.out.push(b'}');
        Ok(())
    }
}

struct Key<'w>(&'w mut Writer);

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<(), E> {
        if key.contains('\0') {
            return Err(E::custom(NUL));
        }
        if key.contains('$') {
            json::write_string(&key.replace('$', FULL_WIDTH_DOLLAR), &mut self.0.out);
        } else {
            json::write_string(key, &mut self.0.out);
        }
        Ok(())
    }
}

/// The keys of an object so far, as places in the text written.
#[derive(Default)]
struct Keys {
    few: Vec<std::ops::Range<usize>>,
    many: HashSet<Vec<u8>>,
}

impl Keys {
    /// Up to here it is faster to compare one by one.
    const FEW: usize = 24;

    /// True if the key was there before.
    fn add(&mut self, out: &[u8], place: std::ops::Range<usize>) -> bool {
        let Some(key) = out.get(place.clone()) else { return false };
        if self.few.len() < Self::FEW {
            let twice = self.few.iter().any(|earlier| out.get(earlier.clone()) == Some(key));
            self.few.push(place);
            return twice;
        }
        if self.many.is_empty() {
            self.many = self.few.iter().filter_map(|earlier| out.get(earlier.clone()).map(<[u8]>::to_vec)).collect();
        }
        !self.many.insert(key.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(json: &str) -> JsonText {
        JsonText(Bytes::copy_from_slice(json.as_bytes()))
    }

    /// What [`JsonText::normalised`] promises to equal.
    fn decoded_and_written(json: &JsonText) -> Option<String> {
        let mut out = Vec::new();
        json::write_bson(&json.decode().ok()?, &mut out);
        Some(String::from_utf8(out).unwrap())
    }

    #[test]
    fn members_are_found_as_the_original_finds_them() {
        for (body, found) in [
            (r#"{"data":{"a":1}}"#, r#"{"a":1}"#),
            (r#"{"x":[{"data":1}],"data": "s" } trailing"#, r#""s""#),
            (r#"{"data":1,"data":2}"#, "2"),
            (r#"{"d\u0061ta":3}"#, "3"),
            (r#"{"Data":1}"#, "null"),
            ("{}", "null"),
            ("null", "null"),
        ] {
            assert_eq!(JsonText::member(&body.into(), "data").unwrap(), text(found), "{body}");
        }
        for bad in ["", "hello", "[1,2]", "5", "\"x\"", r#"{"data":{"a":"#, r#"{"data":nope}"#] {
            assert!(JsonText::member(&Bytes::copy_from_slice(bad.as_bytes()), "data").is_err(), "{bad}");
        }
    }

    #[test]
    fn text_is_normalised_as_if_decoded_and_written() {
        let many: Vec<String> = (0..40).map(|number| format!("\"k{}\":{number}", number % 39)).collect();
        for json in [
            r#" { "a" : [ 1 , 2.0 , -0.0, 1e300 ] , "$in$ide" : { "$x" : null } , "h" : "<a&b>" } "#,
            r#"{"a":1,"b":2,"a":{"c":[]}}"#,
            r#"{"n":18446744073709551616,"e":"\u2028\ud83d\ude00"}"#,
            "[[],{},[[]],\"\",true]",
            &format!("{{{}}}", many.join(",")),
        ] {
            let json = text(json);
            assert_eq!(json.normalised().ok(), decoded_and_written(&json), "{json:?}");
        }
        for bad in ["9223372036854775808", r#"{"a\u0000":1}"#, "{", "", "[1,", "\"\u{1}\""] {
            assert!(text(bad).normalised().is_err(), "{bad}");
            assert!(text(bad).decode().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn both_ways_agree_on_any_text(json in r#"[\[\]{}",:a$0-9.eE\\u -]{0,40}"#) {
            let json = text(&json);
            prop_assert_eq!(json.normalised().ok(), decoded_and_written(&json));
        }
    }
}
