//! The files of the console. They are part of the program.

use bcs_common::http::Body;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue};
use http::header::{REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS};
use http::{HeaderName, Response};

/// Nothing but our own files, no inline script or style, in nobody's frame, and requests go to this port only.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 5] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "no-referrer"),
    // A new program has new files.
    (CACHE_CONTROL, "no-cache"),
];

const FILES: &[(&str, &str, &str)] = &[
    ("/", "text/html; charset=utf-8", include_str!("../files/index.html")),
    ("/console/console.css", "text/css; charset=utf-8", include_str!("../files/console.css")),
    ("/console/console.js", "text/javascript; charset=utf-8", include_str!("../files/console.js")),
    ("/console/texts.js", "text/javascript; charset=utf-8", include_str!("../files/texts.js")),
    ("/console/watch.js", "text/javascript; charset=utf-8", include_str!("../files/watch.js")),
    ("/console/icon.svg", "image/svg+xml", include_str!("../files/icon.svg")),
];

/// The file at a path, with the headers that keep it safe.
#[must_use]
pub fn find(path: &str) -> Option<Response<Body>> {
    let (_, media_type, content) = FILES.iter().find(|(name, ..)| *name == path)?;
    let mut response = Response::new(Body::from(*content));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.extend(HEADERS.map(|(name, value)| (name, HeaderValue::from_static(value))));
    Some(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_console_is_small() {
        let bytes: usize = FILES.iter().map(|(.., content)| content.len()).sum();
        assert!(bytes < 150_000, "{bytes} bytes");
    }

    /// Data could become markup or code there; the policy forbids the rest.
    #[test]
    fn scripts_have_no_way_to_make_markup_out_of_text() {
        let banned =
            ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "DOMParser"];
        for (name, _, content) in FILES {
            for word in banned {
                assert!(!content.contains(word), "{word} in {name}");
            }
            // They would be refused by the policy, silently.
            assert!(!content.contains(" style=\"") && !content.contains(" onclick="), "{name}");
        }
    }

    #[test]
    fn files_come_with_the_policy() {
        let page = find("/").unwrap();
        let policy = page.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("unsafe"));
        assert!(find("/console/").is_none() && find("/console/../console.js").is_none());
    }
}
