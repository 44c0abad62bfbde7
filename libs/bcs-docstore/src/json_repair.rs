//! Text that Go's decoders read and Rust's refuse: bytes that are no UTF-8. They mean the replacement character there, so
//! that is what is put in their place. (Halves of surrogate pairs are refused by both.)

use bytes::Bytes;

const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();

/// The text with U+FFFD for every byte that is no UTF-8. What needs no repair is not copied.
///
/// ```
/// use bcs_docstore::json_repair::repaired;
/// assert_eq!(repaired(b"{\"a\":\"\xff\"}".as_slice().into()), "{\"a\":\"\u{fffd}\"}");
/// ```
pub fn repaired(text: Bytes) -> Bytes {
    if std::str::from_utf8(&text).is_ok() {
        return text;
    }
    let mut out = Vec::with_capacity(text.len() + REPLACEMENT.len());
    for chunk in text.utf8_chunks() {
        out.extend_from_slice(chunk.valid().as_bytes());
        chunk.invalid().iter().for_each(|_| out.extend_from_slice(REPLACEMENT));
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn repaired_text(text: &[u8]) -> String {
        String::from_utf8(repaired(Bytes::copy_from_slice(text)).to_vec()).unwrap()
    }

    #[test]
    fn every_bad_byte_is_replaced() {
        assert_eq!(repaired_text(b"a\xff\xe4\xb8|\xe4\xb8\xad"), "a\u{fffd}\u{fffd}\u{fffd}|中");
        assert_eq!(repaired_text(b""), "");
    }

    proptest! {
        #[test]
        fn text_stays_as_it_is(text: String) {
            prop_assert_eq!(repaired_text(text.as_bytes()), text);
        }

        #[test]
        fn any_bytes_become_text(bytes: Vec<u8>) {
            repaired_text(&bytes);
        }
    }
}
