//! A pull parser of JSON text that reads as Go's `encoding/json` does: bytes that are no UTF-8 and half surrogate pairs
//! become U+FFFD, and its errors have Go's words.

use bcs_common::go::unexpected;
use thiserror::Error;

/// Text that is no JSON, or JSON of the wrong type.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0}")]
pub struct JsonError(pub(crate) String);

/// As deep as Go goes.
const MAX_DEPTH: usize = 10_000;

pub(crate) struct Parser<'a> {
    rest: &'a [u8],
}

/// The kind of a value, seen from its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Object,
    Array,
    String,
    Number,
    Bool,
    Null,
}

impl<'a> Parser<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Self { rest: text }
    }

    /// Whether there is nothing but blanks.
    pub(crate) fn is_at_end(&mut self) -> bool {
        self.skip_blanks();
        self.rest.is_empty()
    }

    /// The kind of the value that follows.
    pub(crate) fn kind(&mut self) -> Result<Kind, JsonError> {
        self.skip_blanks();
        match self.rest.first() {
            Some(b'{') => Ok(Kind::Object),
            Some(b'[') => Ok(Kind::Array),
            Some(b'"') => Ok(Kind::String),
            Some(b'-' | b'0'..=b'9') => Ok(Kind::Number),
            Some(b't' | b'f') => Ok(Kind::Bool),
            Some(b'n') => Ok(Kind::Null),
            _ => Err(self.unexpected("looking for beginning of value")),
        }
    }

    /// True, false or, as none, null, after [`Self::kind`] said so.
    pub(crate) fn literal(&mut self) -> Result<Option<bool>, JsonError> {
        let (word, value) = match self.rest.first() {
            Some(b't') => ("true", Some(true)),
            Some(b'f') => ("false", Some(false)),
            _ => ("null", None),
        };
        for expected in word.bytes() {
            match self.rest.split_first() {
                Some((byte, rest)) if *byte == expected => self.rest = rest,
                _ => return Err(self.unexpected(&format!("in literal {word} (expecting {:?})", char::from(expected)))),
            }
        }
        Ok(value)
    }

    /// The text of a number.
    pub(crate) fn number(&mut self) -> Result<&'a str, JsonError> {
        let start = self.rest;
        if self.rest.first() == Some(&b'-') {
            self.advance(1);
        }
        match self.rest.first() {
            Some(b'0') => self.advance(1),
            Some(b'1'..=b'9') => self.digits()?,
            _ => return Err(self.unexpected("in numeric literal")),
        }
        if self.rest.first() == Some(&b'.') {
            self.advance(1);
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.rest.first() {
            self.advance(1);
            if let Some(b'+' | b'-') = self.rest.first() {
                self.advance(1);
            }
            self.digits()?;
        }
        let length = start.len() - self.rest.len();
        Ok(start.get(..length).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default())
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let count = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if count == 0 {
            return Err(self.unexpected("in numeric literal"));
        }
        self.advance(count);
        Ok(())
    }

    /// A string, without its quotes and escapes.
    pub(crate) fn string(&mut self) -> Result<String, JsonError> {
        self.advance(1);
        let mut text = String::new();
        loop {
            let plain = self.rest.iter().take_while(|byte| **byte >= 0x20 && !matches!(byte, b'"' | b'\\')).count();
            let (clean, rest) = self.rest.split_at(plain);
            push_lossy(&mut text, clean);
            self.rest = rest;
            match rest.first() {
                Some(b'"') => {
                    self.advance(1);
                    return Ok(text);
                }
                Some(b'\\') => {
                    self.advance(1);
                    text.push(self.escape()?);
                }
                _ => return Err(self.unexpected("in string literal")),
            }
        }
    }

    /// What follows a backslash.
    fn escape(&mut self) -> Result<char, JsonError> {
        let character = match self.rest.first() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.advance(1);
                return self.unicode();
            }
            _ => return Err(self.unexpected("in string escape code")),
        };
        self.advance(1);
        Ok(character)
    }

    /// What follows `\u`; with the second half of a pair if it is there.
    fn unicode(&mut self) -> Result<char, JsonError> {
        let first = self.hex()?;
        if !(0xd800..0xdc00).contains(&first) {
            return Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        let before = self.rest;
        if let Some(rest) = self.rest.strip_prefix(b"\\u") {
            self.rest = rest;
            let second = self.hex()?;
            if (0xdc00..0xe000).contains(&second) {
                let pair = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return Ok(char::from_u32(pair).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            self.rest = before;
        }
        Ok(char::REPLACEMENT_CHARACTER)
    }

    fn hex(&mut self) -> Result<u32, JsonError> {
        let mut value = 0;
        for _ in 0..4 {
            let digit = self.rest.first().and_then(|byte| char::from(*byte).to_digit(16));
            value = value << 4 | digit.ok_or_else(|| self.unexpected("in \\u hexadecimal character escape"))?;
            self.advance(1);
        }
        Ok(value)
    }

    /// Goes into an object; then [`Self::next_key`] until there is none.
    pub(crate) fn begin_object(&mut self) -> Members {
        self.advance(1);
        Members { first: true }
    }

    /// The next key; the value follows.
    pub(crate) fn next_key(&mut self, members: &mut Members) -> Result<Option<String>, JsonError> {
        self.skip_blanks();
        let first = std::mem::replace(&mut members.first, false);
        match self.rest.first() {
            Some(b'}') => {
                self.advance(1);
                return Ok(None);
            }
            Some(b',') if !first => {
                self.advance(1);
                self.skip_blanks();
            }
            Some(_) if first => {}
            _ if first => return Err(self.unexpected("looking for beginning of object key string")),
            _ => return Err(self.unexpected("after object key:value pair")),
        }
        if self.rest.first() != Some(&b'"') {
            return Err(self.unexpected("looking for beginning of object key string"));
        }
        let key = self.string()?;
        self.skip_blanks();
        if self.rest.first() != Some(&b':') {
            return Err(self.unexpected("after object key"));
        }
        self.advance(1);
        Ok(Some(key))
    }

    /// Goes into an array; then [`Self::has_element`] until there is none.
    pub(crate) fn begin_array(&mut self) -> Members {
        self.advance(1);
        Members { first: true }
    }

    /// Whether another element follows.
    pub(crate) fn has_element(&mut self, members: &mut Members) -> Result<bool, JsonError> {
        self.skip_blanks();
        let first = std::mem::replace(&mut members.first, false);
        match self.rest.first() {
            Some(b']') => {
                self.advance(1);
                Ok(false)
            }
            Some(b',') if !first => {
                self.advance(1);
                Ok(true)
            }
            _ if first => Ok(true),
            _ => Err(self.unexpected("after array element")),
        }
    }

    /// Passes over the value that follows. It does not recurse: depth is the sender's choice.
    pub(crate) fn skip(&mut self) -> Result<(), JsonError> {
        let mut open: Vec<(Kind, Members)> = Vec::new();
        loop {
            match self.kind()? {
                Kind::Object => open.push((Kind::Object, self.begin_object())),
                Kind::Array => open.push((Kind::Array, self.begin_array())),
                Kind::String => {
                    self.string()?;
                }
                Kind::Number => {
                    self.number()?;
                }
                Kind::Bool | Kind::Null => {
                    self.literal()?;
                }
            }
            if open.len() > MAX_DEPTH {
                return Err(JsonError("exceeded max depth".to_owned()));
            }
            // To the next value, out of everything that ends here.
            loop {
                let Some((kind, members)) = open.last_mut() else { return Ok(()) };
                let more = match kind {
                    Kind::Object => self.next_key(members)?.is_some(),
                    _ => self.has_element(members)?,
                };
                if more {
                    break;
                }
                open.pop();
            }
        }
    }

    /// The text of the value that follows, passed over.
    pub(crate) fn raw(&mut self) -> Result<&'a [u8], JsonError> {
        self.skip_blanks();
        let start = self.rest;
        self.skip()?;
        Ok(start.get(..start.len() - self.rest.len()).unwrap_or_default())
    }

    fn skip_blanks(&mut self) {
        let blanks = self.rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).count();
        self.advance(blanks);
    }

    fn advance(&mut self, count: usize) {
        self.rest = self.rest.get(count..).unwrap_or_default();
    }

    fn unexpected(&self, place: &str) -> JsonError {
        JsonError(match self.rest.first() {
            None => "unexpected end of JSON input".to_owned(),
            Some(byte) => unexpected(*byte, place),
        })
    }
}

/// Where one is in an object or array.
pub(crate) struct Members {
    first: bool,
}

/// Every byte that is no UTF-8 becomes one U+FFFD.
fn push_lossy(text: &mut String, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match std::str::from_utf8(bytes) {
            Ok(rest) => {
                text.push_str(rest);
                return;
            }
            Err(error) => {
                let (good, bad) = bytes.split_at(error.valid_up_to());
                text.push_str(std::str::from_utf8(good).unwrap_or_default());
                text.push(char::REPLACEMENT_CHARACTER);
                bytes = bad.get(1..).unwrap_or_default();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn string(json: &[u8]) -> String {
        Parser::new(json).string().unwrap()
    }

    #[test]
    fn strings_are_read_as_go_reads_them() {
        assert_eq!(string(br#""a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00z""#), "a\"\\/\u{8}\u{c}\n\r\té😀z");
        assert_eq!(string(br#""\ud800x\udc00\ud800\u0041""#), "\u{fffd}x\u{fffd}\u{fffd}A");
        assert_eq!(string(b"\"\xe4\xb8|\xff\xe4\xb8\xad\""), "\u{fffd}\u{fffd}|\u{fffd}中");
        assert_eq!(string(br#""\u0000""#), "\0");
    }

    #[test]
    fn errors_have_the_words_of_go() {
        for (json, words) in [
            ("{bad", "invalid character 'b' looking for beginning of object key string"),
            ("x", "invalid character 'x' looking for beginning of value"),
            ("", "unexpected end of JSON input"),
            ("{\"a\"", "unexpected end of JSON input"),
            ("{\"a\" 1}", "invalid character '1' after object key"),
            ("{\"a\":1 2}", "invalid character '2' after object key:value pair"),
            ("[1 2]", "invalid character '2' after array element"),
            ("[1,]", "invalid character ']' looking for beginning of value"),
            ("{\"a\":1,}", "invalid character '}' looking for beginning of object key string"),
            ("tru", "unexpected end of JSON input"),
            ("trye", "invalid character 'y' in literal true (expecting 'u')"),
            ("-x", "invalid character 'x' in numeric literal"),
            ("1.", "unexpected end of JSON input"),
            ("\"\u{7}\"", "invalid character '\\a' in string literal"),
            ("\"\n\"", "invalid character '\\n' in string literal"),
            ("\"\\x\"", "invalid character 'x' in string escape code"),
            ("\"\\u00g0\"", "invalid character 'g' in \\u hexadecimal character escape"),
            ("\u{feff}{}", "invalid character 'ï' looking for beginning of value"),
        ] {
            assert_eq!(Parser::new(json.as_bytes()).skip(), Err(JsonError(words.to_owned())), "{json}");
        }
        let deep = "[".repeat(20_000);
        assert_eq!(Parser::new(deep.as_bytes()).skip(), Err(JsonError("exceeded max depth".to_owned())));
    }

    proptest! {
        #[test]
        fn what_is_json_and_what_not(json in r#"[\[\]{}",:a0-9.eE\\u tfn-]{0,30}"#) {
            let mut parser = Parser::new(json.as_bytes());
            let whole = parser.skip().is_ok() && parser.is_at_end();
            prop_assert_eq!(whole, serde_json::from_str::<Box<serde_json::value::RawValue>>(&json).is_ok());
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = Parser::new(&bytes).skip();
        }
    }
}
