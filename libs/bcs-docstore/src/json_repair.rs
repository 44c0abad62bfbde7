//! Text that Go's decoders read and Rust's refuse: bytes that are no UTF-8, and halves of surrogate pairs. Both mean the
//! replacement character there, so that is what is put in their place.

use bytes::Bytes;

const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();

/// The text with U+FFFD for every byte that is no UTF-8 and for every `\uXXXX` that is half a surrogate pair. What needs
/// no repair is not copied.
///
/// ```
/// use bcs_docstore::json_repair::repaired;
/// assert_eq!(repaired(br#"{"a":"\ud83d\ude00 \ud83d"}"#.as_slice().into()), br#"{"a":"\ud83d\ude00 \ufffd"}"#.as_slice());
/// ```
pub fn repaired(text: Bytes) -> Bytes {
    let text = match std::str::from_utf8(&text) {
        Ok(_) => text,
        Err(_) => utf8(&text).into(),
    };
    match half_pairs(&text).as_slice() {
        [] => text,
        halves => {
            let mut text = text.to_vec();
            for at in halves {
                if let Some(digits) = text.get_mut(*at..*at + 4) {
                    digits.copy_from_slice(b"fffd");
                }
            }
            text.into()
        }
    }
}

fn utf8(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + REPLACEMENT.len());
    for chunk in bytes.utf8_chunks() {
        out.extend_from_slice(chunk.valid().as_bytes());
        chunk.invalid().iter().for_each(|_| out.extend_from_slice(REPLACEMENT));
    }
    out
}

/// Where the digits of the escapes stand that are half a pair.
fn half_pairs(text: &[u8]) -> Vec<usize> {
    let mut halves = Vec::new();
    let mut at = 0;
    while let Some(found) = text.get(at..).and_then(|rest| memchr::memchr(b'\\', rest)) {
        at += found;
        match unit(text, at) {
            Some(0xd800..=0xdbff) if matches!(unit(text, at + 6), Some(0xdc00..=0xdfff)) => at += 12,
            Some(0xd800..=0xdfff) => {
                halves.push(at + 2);
                at += 6;
            }
            // Whatever else is escaped, the next byte begins nothing.
            _ => at += 2,
        }
    }
    halves
}

/// The number of the escape `\uXXXX` at this place, if there is one.
fn unit(text: &[u8], at: usize) -> Option<u16> {
    let digits = text.get(at..at + 6)?.strip_prefix(b"\\u")?;
    digits.iter().try_fold(0, |number, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(number << 4 | u16::try_from(digit).ok()?)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn repaired_text(text: &[u8]) -> String {
        String::from_utf8(repaired(Bytes::copy_from_slice(text)).to_vec()).unwrap()
    }

    /// One U+FFFD for each bad byte.
    fn lossy(bytes: &[u8]) -> String {
        bytes
            .utf8_chunks()
            .fold(String::new(), |out, chunk| out + chunk.valid() + &"\u{fffd}".repeat(chunk.invalid().len()))
    }

    #[test]
    fn only_what_go_replaces_is_replaced() {
        for (text, wanted) in [
            (&b"{\"a\":\"\xff\xe4\xb8\"}"[..], "{\"a\":\"\u{fffd}\u{fffd}\u{fffd}\"}"),
            (br#""\ud800""#, r#""\ufffd""#),
            (br#""\uDC00\uD800\u0041""#, r#""\ufffd\ufffd\u0041""#),
            (br#""\ud800\ud83d\ude00""#, r#""\ufffd\ud83d\ude00""#),
            (br#""\\ud800 \" \u12""#, r#""\\ud800 \" \u12""#),
            (b"\\", "\\"),
        ] {
            assert_eq!(repaired_text(text), wanted);
        }
    }

    proptest! {
        #[test]
        fn good_json_stays_as_it_is(value in "\\PC*", escape in prop_oneof![Just("\\ud83d\\ude00"), Just("\\n"), Just("\\\\")]) {
            let json = format!("[{},\"{escape}\"]", serde_json::to_string(&value).unwrap());
            prop_assert_eq!(repaired_text(json.as_bytes()), json);
        }

        #[test]
        fn strings_of_any_bytes_and_escapes_can_be_read(
            bytes in prop::collection::vec(any::<u8>().prop_filter("no JSON", |byte| *byte >= 0x20 && !b"\"\\".contains(byte)), 0..20),
            units in prop::collection::vec(0xd700_u16..0xe100, 0..6),
        ) {
            let mut text = b"\"".to_vec();
            text.extend_from_slice(&bytes);
            units.iter().for_each(|unit| text.extend_from_slice(format!("\\u{unit:04x}").as_bytes()));
            text.push(b'"');
            let read: String = serde_json::from_str(&repaired_text(&text)).unwrap();
            prop_assert_eq!(read, lossy(&bytes) + &String::from_utf16_lossy(&units));
        }

        #[test]
        fn any_bytes_become_text(bytes: Vec<u8>) {
            repaired_text(&bytes);
        }
    }
}
