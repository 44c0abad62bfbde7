//! The lenient JSON scalars of the config file (common.md 1.1), for option values and, as serde helpers, for the fields of
//! objects inside [`Kind::Json`] options.
//!
//! ```
//! use bcs_common::config::lenient;
//!
//! #[derive(serde::Deserialize)]
//! struct User {
//!     #[serde(default, deserialize_with = "lenient::string")]
//!     name: String,
//!     #[serde(default, deserialize_with = "lenient::integer")]
//!     user_type: u32,
//! }
//! let user: User = serde_json::from_str(r#"{"name": 7, "user_type": "3"}"#)?;
//! assert_eq!((user.name.as_str(), user.user_type), ("7", 3));
//! # Ok::<(), serde_json::Error>(())
//! ```

use serde::Deserialize;
use serde::de::{Deserializer, Error, Unexpected};
use serde_json::Value;
use serde_json::value::RawValue;

use super::number::json_integer;
use super::option::Kind;

/// The value of an option from its JSON text; `None` if the text does not fit the kind. `null` is the zero value.
pub(super) fn convert(kind: Kind, json: &str) -> Option<Value> {
    if json == "null" {
        return Some(kind.zero());
    }
    match kind {
        Kind::Bool => json.parse::<bool>().ok().map(Value::Bool),
        Kind::Int32 => to_integer::<i32>(json).map(Value::from),
        Kind::Int64 => to_integer::<i64>(json).map(Value::from),
        Kind::Uint | Kind::Uint64 => to_integer::<u64>(json).map(Value::from),
        Kind::Port => to_integer::<u16>(json).map(Value::from),
        Kind::String => to_string(json).map(Value::String),
        Kind::StringList => {
            let elements: Vec<&RawValue> = serde_json::from_str(json).ok()?;
            elements.into_iter().map(|element| convert(Kind::String, element.get())).collect()
        }
        Kind::Json => serde_json::from_str(json).ok(),
    }
}

/// A number, quoted or not, that is whole and fits. `""` is 0.
fn to_integer<T: TryFrom<i128>>(json: &str) -> Option<T> {
    let text = if json.starts_with('"') { serde_json::from_str(json).ok()? } else { json.to_owned() };
    if !json.starts_with('"') && text.is_empty() {
        return None;
    }
    T::try_from(json_integer(&text)?).ok()
}

/// A string, or the text of a number or bool.
fn to_string(json: &str) -> Option<String> {
    match json.as_bytes().first()? {
        b'"' => serde_json::from_str(json).ok(),
        b'{' | b'[' => None,
        _ => Some(json.to_owned()),
    }
}

/// A string field: a number or bool gives its text, `null` the empty text.
///
/// # Errors
/// An array or object.
pub fn string<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let value = Value::deserialize(deserializer)?;
    if value.is_null() {
        return Ok(String::new());
    }
    to_string(&value.to_string()).ok_or_else(|| wrong(&value, "a string"))
}

/// An integer field of any size: also quoted, `""` and `null` are 0, a fraction of zeros or an exponent is fine.
///
/// # Errors
/// Anything that is not a whole number or does not fit.
pub fn integer<'de, D: Deserializer<'de>, T: TryFrom<i128>>(deserializer: D) -> Result<T, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let number = if value.is_null() { T::try_from(0).ok() } else { to_integer(&value.to_string()) };
    number.ok_or_else(|| wrong(&value, "an integer in range"))
}

/// A bool field: `null` is false. A quoted bool is refused, as in the original.
///
/// # Errors
/// Anything else.
pub fn boolean<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(Option::<bool>::deserialize(deserializer)?.unwrap_or_default())
}

/// A list field: `null` is empty.
///
/// # Errors
/// No array, or an element that does not fit `T`.
pub fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::<Vec<T>>::deserialize(deserializer)?.unwrap_or_default())
}

/// A list of strings with the rule of [`string`] for each; `null` is empty.
///
/// # Errors
/// No array, or an element that is an array or object.
pub fn strings<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    struct Element(#[serde(deserialize_with = "string")] String);
    let elements: Vec<Element> = list(deserializer)?;
    Ok(elements.into_iter().map(|Element(text)| text).collect())
}

fn wrong<E: Error>(value: &Value, want: &str) -> E {
    let unexpected = match value {
        Value::Array(_) => Unexpected::Seq,
        Value::Object(_) => Unexpected::Map,
        Value::String(text) => Unexpected::Str(text),
        Value::Bool(value) => Unexpected::Bool(*value),
        Value::Number(number) => Unexpected::Float(number.as_f64().unwrap_or_default()),
        Value::Null => Unexpected::Unit,
    };
    E::invalid_value(unexpected, &want)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn numbers() {
        for (json, want) in [
            ("8080", Some(json!(8080))),
            ("\"8080\"", Some(json!(8080))),
            ("\"\"", Some(json!(0))),
            ("3.0", Some(json!(3))),
            ("1e3", Some(json!(1000))),
            ("\"1e3\"", Some(json!(1000))),
            ("null", Some(json!(0))),
            ("18446744073709551615", Some(json!(u64::MAX))),
            ("18446744073709551616", None),
            ("1.5", None),
            ("\"abc\"", None),
            ("-1", None),
            ("true", None),
            ("{}", None),
            ("[1]", None),
        ] {
            assert_eq!(convert(Kind::Uint, json), want, "{json}");
            assert_eq!(convert(Kind::Uint64, json), want, "{json}");
        }
        assert_eq!(convert(Kind::Int32, "2147483647"), Some(json!(2147483647)));
        assert_eq!(convert(Kind::Int32, "2147483648"), None);
        assert_eq!(convert(Kind::Int32, "\"-1\""), Some(json!(-1)));
        assert_eq!(convert(Kind::Int64, "2147483648"), Some(json!(2147483648_i64)));
        assert_eq!(convert(Kind::Port, "65535"), Some(json!(65535)));
        assert_eq!(convert(Kind::Port, "65536"), None);
    }

    #[test]
    fn strings_take_the_text_of_numbers_and_bools() {
        for (json, want) in [
            ("\"a\\n\"", Some(json!("a\n"))),
            ("1.50", Some(json!("1.50"))),
            ("true", Some(json!("true"))),
            ("null", Some(json!(""))),
            ("{}", None),
            ("[]", None),
        ] {
            assert_eq!(convert(Kind::String, json), want, "{json}");
        }
    }

    #[test]
    fn bools_are_not_quoted() {
        for (json, want) in [
            ("true", Some(json!(true))),
            ("false", Some(json!(false))),
            ("null", Some(json!(false))),
            ("\"true\"", None),
            ("\"\"", None),
            ("1", None),
        ] {
            assert_eq!(convert(Kind::Bool, json), want, "{json}");
        }
    }

    #[test]
    fn lists_are_arrays() {
        for (json, want) in [
            ("[\"a\", 1, null]", Some(json!(["a", "1", ""]))),
            ("[]", Some(json!([]))),
            ("null", Some(json!([]))),
            ("\"a,b\"", None),
            ("[[]]", None),
        ] {
            assert_eq!(convert(Kind::StringList, json), want, "{json}");
        }
    }

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default)]
    struct Nested {
        #[serde(deserialize_with = "string")]
        name: String,
        #[serde(deserialize_with = "integer")]
        small: u8,
        #[serde(deserialize_with = "integer")]
        large: i64,
        #[serde(deserialize_with = "boolean")]
        on: bool,
        #[serde(deserialize_with = "strings")]
        tokens: Vec<String>,
        #[serde(deserialize_with = "list")]
        nested: Vec<Nested>,
    }

    #[test]
    fn helpers_follow_the_same_rules() {
        let nested: Nested = serde_json::from_value(json!({
            "name": 1, "small": "7", "large": -1e3, "on": true, "tokens": [true, "a"], "nested": [{"name": "x"}], "other": {}
        }))
        .unwrap();
        let inner = Nested { name: "x".into(), ..Nested::default() };
        let tokens = vec!["true".into(), "a".into()];
        assert_eq!(nested, Nested { name: "1".into(), small: 7, large: -1000, on: true, tokens, nested: vec![inner] });
        let nulls = json!({"name": null, "small": null, "large": null, "on": null, "tokens": null, "nested": null});
        assert_eq!(serde_json::from_value::<Nested>(nulls).unwrap(), Nested::default());
    }

    #[test]
    fn helpers_refuse_what_does_not_fit() {
        for wrong in [
            json!({"name": {}}),
            json!({"small": 256}),
            json!({"small": -1}),
            json!({"large": 1.5}),
            json!({"on": "true"}),
            json!({"tokens": "a"}),
            json!({"tokens": [[]]}),
            json!({"nested": {}}),
        ] {
            assert!(serde_json::from_value::<Nested>(wrong.clone()).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC*|[-+0-9eE.\"\\[\\]{},:a-u\\\\]*") {
            for kind in [Kind::Bool, Kind::Int32, Kind::Port, Kind::String, Kind::StringList, Kind::Json] {
                let _ = convert(kind, &text);
            }
        }
    }
}
