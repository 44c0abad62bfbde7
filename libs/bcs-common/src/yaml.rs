//! YAML to JSON as the original does it for Mesos drivers: YAML 1.1 as go-yaml reads it, only the first document (api.md
//! 5.2).

use std::io::{self, Write};

use ::http::header::{CONTENT_TYPE, HeaderMap};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use saphyr_parser::{Event, Parser, ScalarStyle, Tag};
use serde::Serialize;
use serde_json::ser::Formatter;
use serde_json::{Map, Number, Value};
use thiserror::Error;

use crate::http::json::write_fragment;

/// Only exactly this type is converted.
const MEDIA_TYPE: &[u8] = b"application/x-yaml";
/// Deeper nesting is refused.
const MAX_DEPTH: usize = 256;
/// More values, those that aliases repeat included, are refused: a few lines of aliases can stand for billions.
const MAX_VALUES: usize = 1 << 20;

/// Why a text cannot become JSON.
#[derive(Debug, Error)]
pub enum YamlError {
    /// It is no YAML.
    #[error("{0}")]
    Syntax(#[from] saphyr_parser::ScanError),
    /// It is no text.
    #[error("it is not valid UTF-8")]
    Encoding(#[from] std::str::Utf8Error),
    /// `*name` without `&name`.
    #[error("an alias names no anchor before it")]
    UnknownAnchor,
    /// More than any real document has.
    #[error("it is nested too deeply or has too many values")]
    TooLarge,
    /// JSON has texts only.
    #[error("a key is neither a text, a number nor a boolean")]
    Key,
    /// Infinity, or what contradicts its tag.
    #[error("a value has no JSON form")]
    Value,
    /// `<<` with something else.
    #[error("a merge key wants a map or a list of maps")]
    Merge,
}

/// The body of a request, as JSON if its headers say that it is YAML. An empty one stays empty.
///
/// # Errors
/// It is said to be YAML and is not, or has no JSON form.
pub fn body_as_json(headers: &HeaderMap, body: Bytes) -> Result<Bytes, YamlError> {
    let is_yaml = headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes() == MEDIA_TYPE);
    if !is_yaml || body.is_empty() {
        return Ok(body);
    }
    to_json(std::str::from_utf8(&body)?).map(Bytes::from)
}

/// The JSON text; keys are sorted, `<`, `>` and `&` escaped.
///
/// # Errors
/// See [`YamlError`].
pub fn to_json(text: &str) -> Result<Vec<u8>, YamlError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    // The parser ends a block at the end of the text with a line end, also where there is none.
    let unended = (!text.ends_with('\n')).then(|| text.chars().count());
    let mut builder = Builder::default();
    let mut document = None;
    for event in Parser::new_from_str(text) {
        let (mut event, span) = event?;
        match &mut event {
            Event::Scalar(text, ScalarStyle::Literal | ScalarStyle::Folded, ..)
                if unended.is_some_and(|end| span.end.index() >= end) =>
            {
                if let Some(whole) = text.strip_suffix('\n').map(str::to_owned) {
                    *text = whole.into();
                }
            }
            // What stands behind the value of the first document must not be more of it.
            Event::DocumentEnd => break,
            _ => {}
        }
        document = document.or(builder.take(event)?);
    }
    go_json(&document.unwrap_or(Value::Null))
}

/// As Go's encoder.
fn go_json(value: &Value) -> Result<Vec<u8>, YamlError> {
    let mut out = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, Go);
    value.serialize(&mut serializer).map_err(|_| YamlError::Value)?;
    Ok(out)
}

/// How Go writes JSON.
struct Go;

impl Formatter for Go {
    fn write_f64<W: ?Sized + Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        let size = value.abs();
        if size == 0.0 || (1e-6..1e21).contains(&size) {
            return write!(writer, "{value}");
        }
        let text = format!("{value:e}");
        match text.split_once('e') {
            Some((digits, exponent)) if !exponent.starts_with('-') => write!(writer, "{digits}e+{exponent}"),
            _ => writer.write_all(text.as_bytes()),
        }
    }

    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut escaped = Vec::with_capacity(fragment.len());
        write_fragment(&mut escaped, fragment);
        writer.write_all(&escaped)
    }
}

/// A list or map under construction, with the number of its anchor (0: none).
enum Open {
    List { anchor: usize, items: Vec<Value> },
    Map { anchor: usize, entries: Map<String, Value>, merged: Vec<Value>, key: Option<Key> },
}

enum Key {
    Text(String),
    Merge,
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    /// Finished values by the number of their anchor, with the number of values in each.
    anchors: std::collections::HashMap<usize, (Value, usize)>,
    values: usize,
}

impl Builder {
    /// Takes the next event; the value of the document when it is complete.
    fn take(&mut self, event: Event<'_>) -> Result<Option<Value>, YamlError> {
        let done = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let is_plain = style == ScalarStyle::Plain;
                if is_plain && tag.is_none() && text == "<<" && self.wants_key() {
                    self.set_key(Key::Merge);
                    return Ok(None);
                }
                Some((scalar(&text, is_plain, tag.as_deref())?, anchor, 1))
            }
            Event::Alias(anchor) => {
                let (value, size) = self.anchors.get(&anchor).cloned().ok_or(YamlError::UnknownAnchor)?;
                Some((value, 0, size))
            }
            Event::SequenceStart(anchor, _) => {
                self.open.push(Open::List { anchor, items: Vec::new() });
                None
            }
            Event::MappingStart(anchor, _) => {
                self.open.push(Open::Map { anchor, entries: Map::new(), merged: Vec::new(), key: None });
                None
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(open) => {
                    let (value, anchor) = close(open)?;
                    Some((value, anchor, 1))
                }
                None => None,
            },
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {
                None
            }
        };
        if self.open.len() > MAX_DEPTH {
            return Err(YamlError::TooLarge);
        }
        match done {
            Some((value, anchor, size)) => self.put(value, anchor, size),
            None => Ok(None),
        }
    }

    fn wants_key(&self) -> bool {
        matches!(self.open.last(), Some(Open::Map { key: None, .. }))
    }

    fn set_key(&mut self, new: Key) {
        if let Some(Open::Map { key, .. }) = self.open.last_mut() {
            *key = Some(new);
        }
    }

    /// Puts a finished value where it belongs.
    fn put(&mut self, value: Value, anchor: usize, size: usize) -> Result<Option<Value>, YamlError> {
        self.values += size;
        if self.values > MAX_VALUES {
            return Err(YamlError::TooLarge);
        }
        if anchor != 0 {
            let size = count(&value);
            self.anchors.insert(anchor, (value.clone(), size));
        }
        match self.open.last_mut() {
            None => return Ok(Some(value)),
            Some(Open::List { items, .. }) => items.push(value),
            Some(Open::Map { entries, merged, key, .. }) => match key.take() {
                None => *key = Some(Key::Text(key_text(value)?)),
                Some(Key::Merge) => merged.push(value),
                Some(Key::Text(name)) => {
                    entries.insert(name, value);
                }
            },
        }
        Ok(None)
    }
}

fn count(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(count).sum::<usize>(),
        Value::Object(entries) => 1 + entries.values().map(count).sum::<usize>(),
        _ => 1,
    }
}

fn close(open: Open) -> Result<(Value, usize), YamlError> {
    match open {
        Open::List { anchor, items } => Ok((Value::Array(items), anchor)),
        Open::Map { anchor, mut entries, merged, .. } => {
            for source in merged {
                match source {
                    Value::Object(source) => merge(&mut entries, source),
                    Value::Array(sources) => {
                        for source in sources {
                            let Value::Object(source) = source else { return Err(YamlError::Merge) };
                            merge(&mut entries, source);
                        }
                    }
                    _ => return Err(YamlError::Merge),
                }
            }
            Ok((Value::Object(entries), anchor))
        }
    }
}

/// What the map says itself wins, then what came first.
fn merge(entries: &mut Map<String, Value>, source: Map<String, Value>) {
    for (key, value) in source {
        entries.entry(key).or_insert(value);
    }
}

fn key_text(key: Value) -> Result<String, YamlError> {
    match key {
        Value::String(text) => Ok(text),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => Err(YamlError::Key),
    }
}

fn scalar(text: &str, is_plain: bool, tag: Option<&Tag>) -> Result<Value, YamlError> {
    match tag {
        Some(tag) if tag.is_yaml_core_schema() => match tag.suffix.as_str() {
            "str" => Ok(text.into()),
            "binary" => {
                let packed: String = text.split_ascii_whitespace().collect();
                let bytes = STANDARD.decode(packed).map_err(|_| YamlError::Value)?;
                Ok(String::from_utf8_lossy(&bytes).into_owned().into())
            }
            "float" => match resolve(text)? {
                value @ Value::Number(_) => Ok(value),
                _ => Err(YamlError::Value),
            },
            _ => resolve(text),
        },
        // `!` alone: not to be resolved.
        Some(_) => Ok(text.into()),
        None if is_plain => resolve(text),
        None => Ok(text.into()),
    }
}

/// The value of a plain scalar.
fn resolve(text: &str) -> Result<Value, YamlError> {
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => true.into(),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => false.into(),
        ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" | "-.inf" | "-.Inf"
        | "-.INF" => return Err(YamlError::Value),
        other => number(other).map_or_else(|| other.into(), Value::Number),
    })
}

fn number(text: &str) -> Option<Number> {
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return None;
    }
    integer(&text.replace('_', "")).or_else(|| float(text))
}

/// With Go's prefixes: `0x`, `0o`, `0b`, and `0` alone for octal.
fn integer(text: &str) -> Option<Number> {
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let (digits, radix) = if let Some(digits) = lower.strip_prefix("0x") {
        (digits, 16)
    } else if let Some(digits) = lower.strip_prefix("0o") {
        (digits, 8)
    } else if let Some(digits) = lower.strip_prefix("0b") {
        (digits, 2)
    } else if let Some(digits) = lower.strip_prefix('0').filter(|digits| !digits.is_empty()) {
        (digits, 8)
    } else {
        (lower.as_str(), 10)
    };
    // The parser of integers would take a second sign.
    if !digits.starts_with(|c: char| c.is_digit(radix)) {
        return None;
    }
    let value = u64::from_str_radix(digits, radix).ok()?;
    match is_negative {
        false => Some(value.into()),
        true => i64::try_from(-i128::from(value)).ok().map(Number::from),
    }
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`; a whole number loses its point, as in Go's JSON.
fn float(text: &str) -> Option<Number> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-'));
    let value: f64 = if is_number { text.parse().ok()? } else { return None };
    #[allow(clippy::cast_possible_truncation, reason = "only whole numbers far below the limit")]
    if value.fract() == 0.0 && value.abs() < 9e15 {
        return Some((value as i64).into());
    }
    Number::from_f64(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn json(yaml: &str) -> String {
        String::from_utf8(to_json(yaml).unwrap()).unwrap()
    }

    #[test]
    fn what_the_original_makes_of_it() {
        for (yaml, want) in [
            (
                "kind: application\nspec:\n  instance: 2\n  on: yes\n  ratio: 1.5\n  list: [a, b]\n  none: ~\n  text: '07'\n",
                r#"{"kind":"application","spec":{"instance":2,"list":["a","b"],"none":null,"ratio":1.5,"text":"07","true":true}}"#,
            ),
            (r#"{"b": 1, "a": [1.0, "<&>"]}"#, r#"{"a":[1,"\u003c\u0026\u003e"],"b":1}"#),
            ("- y\n- n\n- No\n- OFF\n- on\n- nope\n", r#"[true,false,false,false,true,"nope"]"#),
            ("a: 0x1F\nb: 010\nc: 0b101\nd: 1_000\ne: -5\nf: +7\n", r#"{"a":31,"b":8,"c":5,"d":1000,"e":-5,"f":7}"#),
            ("a: 1e3\nb: .5\nc: 1.\nd: 09\ne: 1e400\n", r#"{"a":1000,"b":0.5,"c":1,"d":9,"e":"1e400"}"#),
            ("18446744073709551615", "18446744073709551615"),
            ("[1e20, 1e21, 0.000001, 1.5e-7, -0.5]", "[100000000000000000000,1e+21,0.000001,1.5e-7,-0.5]"),
            ("123456789012345678901", "123456789012345680000"),
            ("a: |\n  x\n  y", r#"{"a":"x\ny"}"#),
            ("a: >\n  x\n# c", r#"{"a":"x\n"}"#),
            ("\u{feff}a: '\u{2028}'", r#"{"a":"\u2028"}"#),
            ("2021-06-02", r#""2021-06-02""#),
            ("2021-06-02T10:00:00Z", r#""2021-06-02T10:00:00Z""#),
            ("a: &x {k: 1}\nb: *x\n", r#"{"a":{"k":1},"b":{"k":1}}"#),
            ("base: &b {k: 1, l: 2}\nuse:\n  <<: *b\n  k: 3\n", r#"{"base":{"k":1,"l":2},"use":{"k":3,"l":2}}"#),
            ("a: |\n  x\n  y\nb: >\n  x\n  y\n", r#"{"a":"x\ny\n","b":"x y\n"}"#),
            ("1: a\n2.5: b\ntrue: c\n", r#"{"1":"a","2.5":"b","true":"c"}"#),
            ("a: 1\na: 2\n", r#"{"a":2}"#),
            ("a: !!str 1\nb: !!binary aGk=\n", r#"{"a":"1","b":"hi"}"#),
            ("---\na: 1\n---\nb: 2\n", r#"{"a":1}"#),
            ("# nothing\n", "null"),
        ] {
            assert_eq!(json(yaml), want, "{yaml}");
        }
    }

    #[test]
    fn what_cannot_become_json() {
        for yaml in [
            "a: [1, 2\nb: }",
            "a: *x",
            "? [1]\n: 2\n",
            "~: 1",
            "a: .nan",
            "<<: 1",
            "a: !!float x",
            "a: b: c",
            "a:1\nb: 2",
            "a: 1\n b: 2",
        ] {
            assert!(to_json(yaml).is_err(), "{yaml}");
        }
    }

    #[test]
    fn bombs_are_refused() {
        let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for level in 1..12 {
            let alias = format!("*a{}", level - 1);
            bomb.push_str(&format!("a{level}: &a{level} [{}]\n", vec![alias; 10].join(",")));
        }
        assert!(matches!(to_json(&bomb), Err(YamlError::TooLarge)));
        assert!(to_json(&"[".repeat(100_000)).is_err());
        assert!(to_json(&"{a: ".repeat(10_000)).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_converted_or_refused(text in "[a-z0-9:&*<\\[\\]{} \n'\"!|>~.-]{0,60}") {
            if let Ok(json) = to_json(&text) {
                prop_assert!(serde_json::from_slice::<Value>(&json).is_ok());
            }
        }
    }
}
