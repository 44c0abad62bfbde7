//! Where fuzzers enter (see `fuzz/`), and the tests with them: one function for each parser of what comes from outside. They
//! are compiled for these two only.

use crate::json::{Defaults, Unknown, read, write};
use crate::tables::{CREATE_CLUSTER_REQ, LIST_CLUSTER_RESP, NAMESPACE};

/// All of them.
pub const ALL: &[fn(&[u8])] = &[json, wire];

/// JSON that becomes a message, and JSON again.
pub fn json(data: &[u8]) {
    for unknown in [Unknown::Refused, Unknown::Ignored] {
        for message in [&CREATE_CLUSTER_REQ, &NAMESPACE] {
            if let Ok(bytes) = read(message, data, unknown) {
                let mut json = Vec::new();
                assert!(write(message, &bytes, Defaults::Written, &mut json).is_ok());
            }
        }
    }
}

/// The bytes of a message.
pub fn wire(data: &[u8]) {
    for defaults in [Defaults::Written, Defaults::LeftOut] {
        let _ = write(&LIST_CLUSTER_RESP, data, defaults, &mut Vec::new());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::ALL;

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_refused(bytes: Vec<u8>, text in "\\PC*|[-{}:,a-eN0-9\"$. \\\\\\[\\]]*") {
            for parser in ALL {
                parser(&bytes);
                parser(text.as_bytes());
            }
        }
    }
}
