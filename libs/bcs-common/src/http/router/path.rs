//! Request paths: percent decoding and cleaning, as Go's `net/url` and `path.Clean` do them.

use std::borrow::Cow;
use std::fmt::Write;

/// Percent-decodes. None if an escape is malformed. Bytes that are no UTF-8 become U+FFFD, which is what Go's JSON
/// encoder makes of them later.
pub fn decode(raw: &str) -> Option<Cow<'_, str>> {
    if !raw.contains('%') {
        return Some(Cow::Borrowed(raw));
    }
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.as_bytes();
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let (high, tail) = rest.split_first()?;
        let (low, tail) = tail.split_first()?;
        bytes.push(hex(*high)? << 4 | hex(*low)?);
        rest = tail;
    }
    Some(Cow::Owned(match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    }))
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// The path without `//`, `/./` and `/../`, if it holds any. A trailing slash stays.
pub fn cleaned(path: &str) -> Option<String> {
    if path.starts_with('/') && !path.contains("//") && !path.contains("/.") {
        return None;
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    let mut clean = String::with_capacity(path.len() + 1);
    for part in &parts {
        clean.push('/');
        clean.push_str(part);
    }
    if parts.is_empty() || path.ends_with('/') {
        clean.push('/');
    }
    (clean != path).then_some(clean)
}

/// Percent-encodes a decoded path for a `Location` header, leaving what Go leaves.
pub fn encode(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(byte.into()),
            b'$' | b'&' | b'+' | b',' | b'/' | b':' | b';' | b'=' | b'@' => out.push(byte.into()),
            _ => {
                // Writing to a String cannot fail.
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn decodes() {
        assert_eq!(decode("/a%20b%2Bc+%2f").unwrap(), "/a b+c+/");
        assert_eq!(decode("%e4%b8%ad%ff").unwrap(), "中\u{fffd}");
        for bad in ["%", "%a", "a%zz", "%%41", "%4"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }

    #[test]
    fn cleans() {
        for (path, clean) in [
            ("", "/"),
            ("//", "/"),
            ("/a//b", "/a/b"),
            ("/a/./b/", "/a/b/"),
            ("/a/../b", "/b"),
            ("/../..", "/"),
            ("/a/b/..", "/a"),
            ("/a/b/../", "/a/"),
            ("a", "/a"),
            ("/a//", "/a/"),
            ("/.", "/"),
        ] {
            assert_eq!(cleaned(path).as_deref(), Some(clean), "{path}");
        }
        for clean in ["/", "/a", "/a/", "/.well-known", "/a/..b/...", "/a./b"] {
            assert_eq!(cleaned(clean), None, "{clean}");
        }
    }

    proptest! {
        #[test]
        fn a_cleaned_path_is_clean(path in "[/.a%]{0,20}") {
            if let Some(clean) = cleaned(&path) {
                prop_assert_eq!(cleaned(&clean), None, "{}", clean);
                prop_assert!(clean.starts_with('/'));
            }
        }

        #[test]
        fn encoding_is_undone_by_decoding(path in any::<String>()) {
            let encoded = encode(&path);
            prop_assert!(encoded.is_ascii());
            prop_assert_eq!(decode(&encoded).unwrap(), path);
        }
    }
}
