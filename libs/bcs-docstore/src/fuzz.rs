//! Where fuzzers enter (see `fuzz/`), and the tests with them: one function for each parser of what comes from outside. They
//! are compiled for these two only.

use bson::RawDocument;
use bytes::Bytes;

use crate::JsonText;
use crate::json::{Dollar, decode, decode_stored, write_bson};
use crate::mongo::change_stream::read_event;

/// All of them.
pub const ALL: &[fn(&[u8])] = &[json, change_event];

/// A document as clients send it: what is read can be written and read again, and the text way agrees.
pub fn json(data: &[u8]) {
    if let Ok(value) = decode(data, Dollar::Rewrite) {
        let mut text = Vec::new();
        write_bson(&value, &mut text);
        let is_read = str::from_utf8(&text).is_ok_and(|text| decode_stored(text).is_ok());
        assert!(is_read, "{}", String::from_utf8_lossy(&text));
    }
    if let Ok(member) = JsonText::member(&Bytes::copy_from_slice(data), "data") {
        assert_eq!(member.decode().is_ok(), member.normalised().is_ok());
    }
}

/// An event of a change stream.
pub fn change_event(data: &[u8]) {
    if let Ok(event) = RawDocument::from_bytes(data) {
        let _ = read_event(event, Some("_isBcsObjectDeleted"));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::ALL;

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_refused(bytes: Vec<u8>, text in "\\PC*|[-{}:,a-e0-9\"$. \\\\]*") {
            for parser in ALL {
                parser(&bytes);
                parser(text.as_bytes());
            }
        }
    }
}
