//! Where fuzzers enter (see `fuzz/`), and the tests with them: one function for each parser of what comes from outside. They
//! are compiled for these two only.

use std::path::Path;

use crate::Dsn;

/// All of them.
pub const ALL: &[fn(&[u8])] = &[dsn];

/// A data source name.
pub fn dsn(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _ = Dsn::parse(&text, Path::new("x"));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::ALL;

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_refused(bytes: Vec<u8>, text in "\\PC*|[a-z:@()/?&=%0-9\\[\\]+.]*") {
            for parser in ALL {
                parser(&bytes);
                parser(text.as_bytes());
            }
        }
    }
}
