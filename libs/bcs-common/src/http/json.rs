//! JSON strings written the way Go's `encoding/json` writes them, so that bodies equal the original's byte for byte.

/// Appends `text` as a JSON string with its quotes. Besides what JSON demands, `<`, `>`, `&`, U+2028 and U+2029 are
/// written as `\uXXXX`.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    write_fragment(out, text);
    out.push(b'"');
}

/// Appends a text as [`write_string`] does if it is ASCII and stands for itself; else appends nothing and returns false.
/// Most texts are of this kind, and it is found out for many bytes at a time, that they are UTF-8 included.
pub fn write_plain(out: &mut Vec<u8>, text: &[u8]) -> bool {
    // No end at the first other byte: only so the compiler can take many bytes at a time.
    let is_plain = text.iter().fold(true, |so_far, byte| so_far & (byte.is_ascii() & !needs_care(*byte)));
    if is_plain {
        out.reserve(text.len() + 2);
        out.push(b'"');
        out.extend_from_slice(text);
        out.push(b'"');
    }
    is_plain
}

/// Appends what stands between the quotes.
pub(crate) fn write_fragment(out: &mut Vec<u8>, text: &str) {
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|b| needs_care(*b)) {
        let (clean, tail) = rest.split_at(at);
        out.extend_from_slice(clean);
        rest = write_special(out, tail);
    }
    out.extend_from_slice(rest);
}

fn needs_care(byte: u8) -> bool {
    // 0xe2 is the first byte of U+2028 and U+2029 (and of many harmless characters).
    (byte < 0x20) | matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'&' | 0xe2)
}

/// Writes the one character at the start of `tail`; returns what follows it.
fn write_special<'a>(out: &mut Vec<u8>, tail: &'a [u8]) -> &'a [u8] {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    match tail {
        [0xe2, 0x80, 0xa8, rest @ ..] => {
            out.extend_from_slice(b"\\u2028");
            rest
        }
        [0xe2, 0x80, 0xa9, rest @ ..] => {
            out.extend_from_slice(b"\\u2029");
            rest
        }
        [byte, rest @ ..] => {
            match *byte {
                b'"' => out.extend_from_slice(b"\\\""),
                b'\\' => out.extend_from_slice(b"\\\\"),
                b'\n' => out.extend_from_slice(b"\\n"),
                b'\r' => out.extend_from_slice(b"\\r"),
                b'\t' => out.extend_from_slice(b"\\t"),
                0xe2 => out.push(0xe2),
                other => {
                    let digit = |n: u8| HEX.get(usize::from(n & 15)).copied().unwrap_or(b'0');
                    out.extend_from_slice(b"\\u00");
                    out.extend_from_slice(&[digit(other >> 4), digit(other)]);
                }
            }
            rest
        }
        [] => tail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(text: &str) -> String {
        let mut out = Vec::new();
        write_string(&mut out, text);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn writes_what_go_writes() {
        assert_eq!(written(""), r#""""#);
        assert_eq!(written("a\"b\\c\n\r\t"), r#""a\"b\\c\n\r\t""#);
        assert_eq!(written("<a href='x'>&</a>"), r#""\u003ca href='x'\u003e\u0026\u003c/a\u003e""#);
        assert_eq!(written("\u{0}\u{8}\u{c}\u{1f}\u{7f}"), "\"\\u0000\\u0008\\u000c\\u001f\u{7f}\"");
        assert_eq!(written("\u{2027}\u{2028}\u{2029}\u{202a}中"), "\"\u{2027}\\u2028\\u2029\u{202a}中\"");
    }

    #[test]
    fn only_ascii_that_stands_for_itself_is_plain() {
        for byte in 0..=u8::MAX {
            let (mut out, text) = (Vec::new(), [b"sixteen bytes and".as_slice(), &[byte]].concat());
            let plain = (b' '..=0x7f).contains(&byte) && !b"\"\\<>&".contains(&byte);
            assert_eq!(write_plain(&mut out, &text), plain, "{byte}");
            let expected = if plain { [b"\"".as_slice(), &text, b"\""].concat() } else { Vec::new() };
            assert_eq!(out, expected, "{byte}");
        }
    }

    proptest! {
        #[test]
        fn any_text_comes_back(text in any::<String>()) {
            let back: String = serde_json::from_str(&written(&text)).unwrap();
            prop_assert_eq!(back, text);
        }
    }
}
