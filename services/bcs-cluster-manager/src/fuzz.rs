//! Where fuzzers enter (see `fuzz/`), and the tests with them: one function for each parser of what comes from outside. They
//! are compiled for these two only.

use crate::kube::quantity::Quantity;
use crate::kube::resource_quota;

/// All of them.
pub const ALL: &[fn(&[u8])] = &[quota];

/// A Kubernetes ResourceQuota with its quantities.
pub fn quota(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _ = resource_quota::decode(&text);
    let _ = Quantity::parse(&text);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::ALL;

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_refused(bytes: Vec<u8>, text in "\\PC*|[-{}:,a-z0-9\". \\[\\]+]*") {
            for parser in ALL {
                parser(&bytes);
                parser(text.as_bytes());
            }
        }
    }
}
