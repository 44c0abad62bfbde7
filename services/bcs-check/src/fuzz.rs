//! Where fuzzers enter (see `fuzz/`), and the tests with them: one function for each parser of what comes from outside. They
//! are compiled for these two only.

use crate::definition::definitions;
use crate::task::{self, Node};

/// All of them.
pub const ALL: &[fn(&[u8])] = &[task];

/// The node of a task, with all its checks.
pub fn task(data: &[u8]) {
    if let Ok(Node::Task(task)) = task::parse(data) {
        let _ = definitions(&task);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::ALL;

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_refused(bytes: Vec<u8>, text in "\\PC*|[-{}:,a-eN0-9\"$. \\[\\]]*") {
            for parser in ALL {
                parser(&bytes);
                parser(text.as_bytes());
            }
        }
    }
}
