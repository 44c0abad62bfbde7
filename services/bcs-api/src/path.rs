//! Parts of request paths, as the client wrote them.

use http::Uri;
use http::uri::PathAndQuery;

/// What follows the `count`-th slash of a raw path. An escaped slash counts, as it does when a route is chosen.
pub(crate) fn after_slashes(raw: &str, count: usize) -> Option<&str> {
    let mut left = count;
    let mut rest = raw;
    while left > 0 {
        let (length, at) = next_slash(rest)?;
        rest = rest.get(at + length..)?;
        left -= 1;
    }
    Some(rest)
}

/// Length and place of the first slash.
fn next_slash(raw: &str) -> Option<(usize, usize)> {
    let plain = raw.find('/').map(|at| (1, at));
    let escaped = raw
        .match_indices("%2")
        .find(|(at, _)| raw.as_bytes().get(at + 2).is_some_and(|digit| matches!(digit, b'f' | b'F')))
        .map(|(at, _)| (3, at));
    match (plain, escaped) {
        (Some(plain), Some(escaped)) => Some(if plain.1 < escaped.1 { plain } else { escaped }),
        (plain, escaped) => plain.or(escaped),
    }
}

/// A path of a backend, the query of the client behind it. None cannot happen for parts of a URI.
pub(crate) fn target(prefix: &str, rest: &str, uri: &Uri) -> Option<PathAndQuery> {
    let query = uri.query();
    let mut text = String::with_capacity(prefix.len() + rest.len() + 1 + query.map_or(0, str::len));
    text.push_str(prefix);
    text.push_str(rest);
    if let Some(query) = query {
        text.push('?');
        text.push_str(query);
    }
    PathAndQuery::try_from(text).ok()
}

#[cfg(test)]
mod tests {
    use bcs_common::http::router::decoded_path;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_rest_of_a_path() {
        for (raw, count, rest) in [
            ("/bcsapi/v4/storage/a/b", 4, Some("a/b")),
            ("/bcsapi/v4/storage/a%2Fb/", 4, Some("a%2Fb/")),
            ("/bcsapi%2fv4/st%6Frage/a%20b", 4, Some("a%20b")),
            ("/bcsapi/v4/storage/", 4, Some("")),
            ("/bcsapi/v4/storage", 4, None),
            ("/a%252Fb", 2, None),
            ("", 1, None),
        ] {
            assert_eq!(after_slashes(raw, count), rest, "{raw}");
        }
    }

    #[test]
    fn a_target_keeps_the_query() {
        let target = |uri: &str| target("/x/", "a%2Fb", &uri.parse().unwrap()).unwrap().to_string();
        assert_eq!(target("/?a=%2F+y&&b"), "/x/a%2Fb?a=%2F+y&&b");
        assert_eq!((target("/?"), target("/")), ("/x/a%2Fb?".to_owned(), "/x/a%2Fb".to_owned()));
    }

    proptest! {
        /// What is matched decoded and what is sent raw never disagree about where the rest begins.
        #[test]
        fn the_raw_rest_decodes_to_the_decoded_rest(path in "/(a|b|%2[fF]|%61|%25|/){0,12}", count in 1_usize..4) {
            let (parts, ()) = http::Request::builder().uri(path.as_str()).body(()).unwrap().into_parts();
            if let Ok(decoded) = decoded_path(&parts) {
                let rest = after_slashes(&path, count);
                let expected = decoded.split('/').count() > count;
                prop_assert_eq!(rest.is_some(), expected);
                if let Some(rest) = rest {
                    let decoded_rest: Vec<&str> = decoded.splitn(count + 1, '/').skip(count).collect();
                    let back = percent_encoding::percent_decode_str(rest).decode_utf8_lossy();
                    prop_assert_eq!(Some(&*back), decoded_rest.first().copied());
                }
            }
        }
    }
}
