//! Where fuzzers enter (see `fuzz/`), and the tests with them: one function for each parser of what comes from outside. They
//! are compiled for these two only.

use crate::forward::yaml;

/// All of them.
pub const ALL: &[fn(&[u8])] = &[yaml];

/// YAML that becomes JSON.
pub fn yaml(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(json) = yaml::to_json(&text) {
        assert!(serde_json::from_slice::<serde_json::Value>(&json).is_ok(), "{}", String::from_utf8_lossy(&json));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::ALL;

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_refused(bytes: Vec<u8>, text in "\\PC*|[a-z0-9:&*<\\[\\]{} \n'\"!|>~.-]*") {
            for parser in ALL {
                parser(&bytes);
                parser(text.as_bytes());
            }
        }
    }
}
