//! Where fuzzers enter (see `fuzz/`), and the tests with them: one function for each parser of what comes from outside. They
//! are compiled for these two only.

use bcs_common::http::query::Query;
use bcs_common::ini::Ini;

use crate::params::{Page, Selection, extra, projection};
use crate::query::Parameters;
use crate::queue::QueueConfig;
use crate::selector::Selector;

/// All of them.
pub const ALL: &[fn(&[u8])] = &[selector, query, parameters, queue_file];

/// A label selector.
pub fn selector(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(selector) = Selector::parse(&text) {
        let _ = selector.to_filter();
    }
}

/// The parameters of a query, in the URL or in the body.
pub fn query(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _ = Parameters::from_query(&Query::parse(&text));
    let _ = Parameters::from_body(data);
}

/// The parameters of the other routes.
pub fn parameters(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let query = Query::parse(&text);
    let _ = (Selection::for_read(&query), Selection::for_delete(&query), extra(Some(&text)), projection(Some(&text)));
    let _ = (Page::strict(Some(&text), None), Page::lenient(None, Some(&text)));
}

/// `queue.conf`.
pub fn queue_file(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _ = QueueConfig::read(&Ini::parse(&text));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::ALL;

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_refused(bytes: Vec<u8>, text in "\\PC*|[a-c!=(),+ &%0-9]*") {
            for parser in ALL {
                parser(&bytes);
                parser(text.as_bytes());
            }
        }
    }
}
