//! Numbers and bools as Go's `strconv` reads them on the command line, and integers as the original's JSON decoder does.

/// Why a text is no number of the wanted size. The texts are those of Go, which scripts may look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    /// Not the text of a number.
    #[error("invalid syntax")]
    Syntax,
    /// Too large or too small.
    #[error("value out of range")]
    Range,
}

/// `strconv.ParseUint(text, 0, ..)`: decimal, `0x`, `0o`, `0b`, leading-0 octal, `_` between digits.
///
/// # Errors
/// [`NumberError`].
pub fn parse_uint(text: &str, max: u64) -> Result<u64, NumberError> {
    let lower = text.to_ascii_lowercase();
    let (digits, base) = match lower.as_bytes() {
        [b'0', b'x', _, ..] => (lower.get(2..), 16),
        [b'0', b'o', _, ..] => (lower.get(2..), 8),
        [b'0', b'b', _, ..] => (lower.get(2..), 2),
        [b'0', _, ..] => (lower.get(1..), 8),
        _ => (Some(lower.as_str()), 10),
    };
    // An underscore may follow a base prefix, but never start or end the text or follow another one.
    if lower.is_empty() || lower.starts_with('_') || lower.ends_with('_') || lower.contains("__") {
        return Err(NumberError::Syntax);
    }
    let mut value: Option<u64> = Some(0);
    for digit in digits.unwrap_or_default().chars().filter(|digit| *digit != '_') {
        let digit = digit.to_digit(base).ok_or(NumberError::Syntax)?;
        value = value.and_then(|value| value.checked_mul(u64::from(base))?.checked_add(u64::from(digit)));
    }
    value.filter(|value| *value <= max).ok_or(NumberError::Range)
}

/// `strconv.ParseInt(text, 0, ..)`: the same with a sign.
pub(super) fn parse_int(text: &str, min: i64, max: i64) -> Result<i64, NumberError> {
    let (negative, magnitude) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let magnitude = i128::from(parse_uint(magnitude, u64::MAX)?);
    let value = i64::try_from(if negative { -magnitude } else { magnitude }).map_err(|_| NumberError::Range)?;
    if value < min || value > max { Err(NumberError::Range) } else { Ok(value) }
}

/// `strconv.ParseBool`.
pub fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// An integer in JSON, quoted or not: empty is 0, and a fraction of zeros or an exponent is fine as long as the value is whole.
pub(super) fn json_integer(text: &str) -> Option<i128> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if text.is_empty() {
        return Some(0);
    }
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok();
    }
    if !digits.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let value: f64 = text.parse().ok()?;
    // The bounds of all integer kinds are below; beyond them the cast would not be exact.
    (value.fract() == 0.0 && value.abs() < 1e20).then_some(value as i128)
}

#[cfg(test)]
mod tests {
    use super::NumberError::{Range, Syntax};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn go_integers() {
        for (text, want) in [
            ("0", Ok(0)),
            ("8080", Ok(8080)),
            ("0x1F90", Ok(8080)),
            ("0X1f_90", Ok(8080)),
            ("0x_1f90", Ok(8080)),
            ("0o17620", Ok(8080)),
            ("017620", Ok(8080)),
            ("0_17620", Ok(8080)),
            ("0b101", Ok(5)),
            ("8_080", Ok(8080)),
            ("18446744073709551615", Ok(u64::MAX)),
            ("18446744073709551616", Err(Range)),
            ("", Err(Syntax)),
            ("a", Err(Syntax)),
            ("-1", Err(Syntax)),
            ("+1", Err(Syntax)),
            (" 1", Err(Syntax)),
            ("0x", Err(Syntax)),
            ("0x_", Err(Syntax)),
            ("08", Err(Syntax)),
            ("8__0", Err(Syntax)),
            ("_8", Err(Syntax)),
            ("8_", Err(Syntax)),
            ("1e3", Err(Syntax)),
            ("1.0", Err(Syntax)),
        ] {
            assert_eq!(parse_uint(text, u64::MAX), want, "{text:?}");
        }
        assert_eq!(parse_uint("65536", 65535), Err(Range));
    }

    #[test]
    fn go_signed_integers() {
        for (text, want) in [
            ("-0x10", Ok(-16)),
            ("+7", Ok(7)),
            ("2147483647", Ok(i32::MAX.into())),
            ("-2147483648", Ok(i32::MIN.into())),
            ("2147483648", Err(Range)),
            ("-2147483649", Err(Range)),
            ("99999999999999999999", Err(Range)),
            ("-", Err(Syntax)),
            ("--1", Err(Syntax)),
        ] {
            assert_eq!(parse_int(text, i32::MIN.into(), i32::MAX.into()), want, "{text:?}");
        }
        assert_eq!(parse_int("-9223372036854775808", i64::MIN, i64::MAX), Ok(i64::MIN));
    }

    #[test]
    fn json_integers() {
        for (text, want) in [
            ("", Some(0)),
            ("8080", Some(8080)),
            ("-3", Some(-3)),
            ("3.0", Some(3)),
            ("1e3", Some(1000)),
            ("1.5", None),
            ("abc", None),
            ("-", None),
            ("+5", None),
            ("inf", None),
            ("-nan", None),
            ("1e300", None),
            ("0x10", None),
            (" 1", None),
        ] {
            assert_eq!(json_integer(text), want, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC*|[-+0-9a-fxobXOB_.e]*") {
            let _ = (parse_uint(&text, u64::MAX), parse_int(&text, i64::MIN, i64::MAX), json_integer(&text), parse_bool(&text));
        }

        #[test]
        fn every_integer_comes_back(value: i64) {
            prop_assert_eq!(parse_int(&value.to_string(), i64::MIN, i64::MAX), Ok(value));
            prop_assert_eq!(json_integer(&value.to_string()), Some(value.into()));
        }
    }
}
