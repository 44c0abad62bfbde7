//! What clients of the original know of Go's standard library: its texts (quoted strings, and what is wrong with a number
//! or a JSON text), and its way to read base64.

use std::fmt::Write;

use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use serde_json::Value;

/// Base64 as Go reads it: bits after the last byte do not matter. Line ends are skipped: [`without_line_ends`].
pub const BASE64: GeneralPurpose =
    GeneralPurpose::new(&alphabet::STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));

/// What Go's base64 decoder looks at of a text.
pub fn without_line_ends(text: &str) -> String {
    text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect()
}

/// What `encoding/json` calls a value in its messages.
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// As `strconv.Quote` writes a text, its quotes included.
pub fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for char in text.chars() {
        match char {
            '"' => quoted.push_str("\\\""),
            other => push_escaped(&mut quoted, other),
        }
    }
    quoted.push('"');
    quoted
}

/// A character as it is between quotes, save the quotes themselves.
fn push_escaped(out: &mut String, char: char) {
    // Writing to a text cannot fail.
    let _ = match char {
        '\\' => write!(out, "\\\\"),
        '\x07' => write!(out, "\\a"),
        '\x08' => write!(out, "\\b"),
        '\x0c' => write!(out, "\\f"),
        '\n' => write!(out, "\\n"),
        '\r' => write!(out, "\\r"),
        '\t' => write!(out, "\\t"),
        '\x0b' => write!(out, "\\v"),
        ' ' => write!(out, " "),
        '\0'..='\x1f' | '\x7f' => write!(out, "\\x{:02x}", u32::from(char)),
        other if other.is_control() || other.is_whitespace() || other == '\u{ad}' => {
            write!(out, "\\u{:04x}", u32::from(other))
        }
        other => write!(out, "{other}"),
    };
}

/// A whole number as `strconv.Atoi` reads it.
///
/// # Errors
/// Its text: `strconv.Atoi: parsing "x": invalid syntax`, or `value out of range`.
pub fn atoi(text: &str) -> Result<i64, String> {
    let wrong = |why: &str| format!("strconv.Atoi: parsing {}: {why}", quoted(text));
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong("invalid syntax"));
    }
    text.parse().map_err(|_| wrong("value out of range"))
}

/// What `encoding/json` says about a text that is not one JSON value; none if it is one.
pub fn json_error(text: &[u8]) -> Option<String> {
    Scanner { rest: text, open: Vec::new() }.run().err()
}

/// Walks through a JSON text up to its first error.
struct Scanner<'a> {
    rest: &'a [u8],
    /// The brackets that are open.
    open: Vec<u8>,
}

/// What may come next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Value,
    /// After `[`.
    ValueOrEnd,
    Key,
    /// After `{`.
    KeyOrEnd,
    Colon,
    /// After a value.
    End,
}

type Scanned<T> = Result<T, String>;

/// What `encoding/json` says about a byte that may not come here: `invalid character 'x' looking for beginning of value`.
pub fn unexpected(byte: u8, context: &str) -> String {
    let mut shown = String::new();
    match byte {
        b'\'' => shown.push_str("\\'"),
        other => push_escaped(&mut shown, char::from(other)),
    }
    format!("invalid character '{shown}' {context}")
}

impl Scanner<'_> {
    fn run(mut self) -> Scanned<()> {
        let mut next = Next::Value;
        loop {
            let blanks = self.rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).count();
            self.rest = self.rest.get(blanks..).unwrap_or_default();
            if next == Next::End && self.open.is_empty() {
                return match self.rest.first() {
                    None => Ok(()),
                    Some(byte) => Err(unexpected(*byte, "after top-level value")),
                };
            }
            let byte = self.take()?;
            next = match (next, byte) {
                (Next::ValueOrEnd, b']') | (Next::KeyOrEnd, b'}') => {
                    self.open.pop();
                    Next::End
                }
                (Next::Value | Next::ValueOrEnd, byte) => self.value(byte)?,
                (Next::Key | Next::KeyOrEnd, b'"') => {
                    self.string()?;
                    Next::Colon
                }
                (Next::Key | Next::KeyOrEnd, byte) => {
                    return Err(unexpected(byte, "looking for beginning of object key string"));
                }
                (Next::Colon, b':') => Next::Value,
                (Next::Colon, byte) => return Err(unexpected(byte, "after object key")),
                (Next::End, byte) => self.after_value(byte)?,
            };
        }
    }

    /// The next byte.
    fn take(&mut self) -> Scanned<u8> {
        let (byte, rest) = self.rest.split_first().ok_or("unexpected end of JSON input")?;
        self.rest = rest;
        Ok(*byte)
    }

    /// Takes the next byte if it is one of these.
    fn take_if(&mut self, fits: impl Fn(u8) -> bool) -> bool {
        let fits = self.rest.first().is_some_and(|byte| fits(*byte));
        if fits {
            self.rest = self.rest.get(1..).unwrap_or_default();
        }
        fits
    }

    fn value(&mut self, first: u8) -> Scanned<Next> {
        match first {
            b'{' | b'[' => {
                self.open.push(first);
                return Ok(if first == b'{' { Next::KeyOrEnd } else { Next::ValueOrEnd });
            }
            b'"' => self.string()?,
            b'-' | b'0'..=b'9' => self.number(first)?,
            b't' => self.literal("true")?,
            b'f' => self.literal("false")?,
            b'n' => self.literal("null")?,
            byte => return Err(unexpected(byte, "looking for beginning of value")),
        }
        Ok(Next::End)
    }

    fn after_value(&mut self, byte: u8) -> Scanned<Next> {
        let in_object = self.open.last() == Some(&b'{');
        match byte {
            b',' => return Ok(if in_object { Next::Key } else { Next::Value }),
            b'}' if in_object => {}
            b']' if !in_object => {}
            byte => {
                let context = if in_object { "after object key:value pair" } else { "after array element" };
                return Err(unexpected(byte, context));
            }
        }
        self.open.pop();
        Ok(Next::End)
    }

    /// Behind the opening quote.
    fn string(&mut self) -> Scanned<()> {
        loop {
            match self.take()? {
                b'"' => return Ok(()),
                b'\\' => match self.take()? {
                    b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"' => {}
                    b'u' => {
                        for _ in 0..4 {
                            let digit = self.take()?;
                            if !digit.is_ascii_hexdigit() {
                                return Err(unexpected(digit, "in \\u hexadecimal character escape"));
                            }
                        }
                    }
                    byte => return Err(unexpected(byte, "in string escape code")),
                },
                byte if byte < 0x20 => return Err(unexpected(byte, "in string literal")),
                _ => {}
            }
        }
    }

    fn number(&mut self, first: u8) -> Scanned<()> {
        let digit = |byte: u8| byte.is_ascii_digit();
        let first = if first == b'-' { self.take()? } else { first };
        match first {
            b'0' => {}
            b'1'..=b'9' => while self.take_if(digit) {},
            byte => return Err(unexpected(byte, "in numeric literal")),
        }
        if self.take_if(|byte| byte == b'.') {
            self.digits("after decimal point in numeric literal")?;
        }
        if self.take_if(|byte| matches!(byte, b'e' | b'E')) {
            self.take_if(|byte| matches!(byte, b'+' | b'-'));
            self.digits("in exponent of numeric literal")?;
        }
        Ok(())
    }

    /// One digit or more.
    fn digits(&mut self, context: &str) -> Scanned<()> {
        let first = self.take()?;
        if !first.is_ascii_digit() {
            return Err(unexpected(first, context));
        }
        while self.take_if(|byte| byte.is_ascii_digit()) {}
        Ok(())
    }

    /// Behind the first letter of a word.
    fn literal(&mut self, word: &str) -> Scanned<()> {
        for expected in word.bytes().skip(1) {
            let byte = self.take()?;
            if byte != expected {
                let expected = char::from(expected);
                return Err(unexpected(byte, &format!("in literal {word} (expecting '{expected}')")));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::de::IgnoredAny;

    use super::*;

    #[test]
    fn numbers_as_go_reads_them() {
        for (text, want) in [("0", 0), ("-7", -7), ("+7", 7), ("007", 7), ("9223372036854775807", i64::MAX)] {
            assert_eq!(atoi(text), Ok(want), "{text}");
        }
        for text in ["", " 1", "1.5", "0x3", "1_0", "-", "+", "١"] {
            assert!(atoi(text).unwrap_err().ends_with(": invalid syntax"), "{text}");
        }
        assert_eq!(atoi("a\"b").unwrap_err(), r#"strconv.Atoi: parsing "a\"b": invalid syntax"#);
        let long = r#"strconv.Atoi: parsing "9223372036854775808": value out of range"#;
        assert_eq!(atoi("9223372036854775808").unwrap_err(), long);
    }

    #[test]
    fn quotes() {
        assert_eq!(quoted("7\u{a0}\n\"\0é\\'"), r#""7\u00a0\n\"\x00é\\'""#);
        assert_eq!(quoted("\x07\x08\x0c\r\t\x0b\x7f\u{85}"), r#""\a\b\f\r\t\v\x7f\u0085""#);
    }

    #[test]
    fn the_first_error_of_a_json_text() {
        for (text, want) in [
            ("", "unexpected end of JSON input"),
            ("{", "unexpected end of JSON input"),
            ("[1,", "unexpected end of JSON input"),
            ("\"a", "unexpected end of JSON input"),
            ("-", "unexpected end of JSON input"),
            ("tru", "unexpected end of JSON input"),
            ("not json", "invalid character 'o' in literal null (expecting 'u')"),
            ("abc", "invalid character 'a' looking for beginning of value"),
            ("'a'", "invalid character '\\'' looking for beginning of value"),
            ("]", "invalid character ']' looking for beginning of value"),
            ("[1,]", "invalid character ']' looking for beginning of value"),
            ("\u{feff}{}", "invalid character 'ï' looking for beginning of value"),
            ("{1:2}", "invalid character '1' looking for beginning of object key string"),
            ("{\"a\":1,}", "invalid character '}' looking for beginning of object key string"),
            ("{\"a\" 1}", "invalid character '1' after object key"),
            ("{\"a\":1 \"b\"}", "invalid character '\"' after object key:value pair"),
            ("{\"a\":1]", "invalid character ']' after object key:value pair"),
            ("[1 2]", "invalid character '2' after array element"),
            ("{} x", "invalid character 'x' after top-level value"),
            ("01", "invalid character '1' after top-level value"),
            ("\"a\nb\"", "invalid character '\\n' in string literal"),
            ("\"\\x\"", "invalid character 'x' in string escape code"),
            ("\"\\u12g4\"", "invalid character 'g' in \\u hexadecimal character escape"),
            ("-a", "invalid character 'a' in numeric literal"),
            ("1.x", "invalid character 'x' after decimal point in numeric literal"),
            ("1e+x", "invalid character 'x' in exponent of numeric literal"),
            ("trUe", "invalid character 'U' in literal true (expecting 'u')"),
        ] {
            assert_eq!(json_error(text.as_bytes()).as_deref(), Some(want), "{text}");
        }
        for text in ["0", " [1.5e-3, {}, [], {\"a\": [null, \"\\u00e9\\n\"]}] ", "\"\\ud800\"", "-0", "1e999"] {
            assert_eq!(json_error(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn only_what_is_no_json_has_an_error(text in "[\\[\\]{}:,\"a0-1.e+ -]{0,12}|\\PC{0,8}") {
            let is_json = serde_json::from_str::<IgnoredAny>(&text).is_ok();
            prop_assert_eq!(json_error(text.as_bytes()).is_none(), is_json, "{}", text);
        }

        #[test]
        fn never_panics(bytes in any::<Vec<u8>>()) {
            let _ = json_error(&bytes);
        }
    }
}
