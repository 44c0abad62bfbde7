//! Query strings, parsed as Go's `url.ParseQuery` does.

use std::borrow::Cow;

use super::router::path::decode;

/// The pairs of a query string, in their order. Keys may repeat.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    /// Parses what follows the `?`. `+` is a blank and `%XX` a byte. A pair that holds a `;` or a bad escape is
    /// dropped, an empty one ignored; bytes that are no UTF-8 become U+FFFD. It never fails.
    pub fn parse(raw: &str) -> Self {
        let pairs = raw
            .split('&')
            .filter(|pair| !pair.is_empty() && !pair.contains(';'))
            .filter_map(|pair| {
                let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                Some((unescape(key)?.into_owned(), unescape(value)?.into_owned()))
            })
            .collect();
        Self { pairs }
    }

    /// The query of a request target; empty if it has none.
    pub fn of(uri: &http::Uri) -> Self {
        uri.query().map(Self::parse).unwrap_or_default()
    }

    /// The first value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.iter().find(|(k, _)| *k == key).map(|(_, value)| value)
    }

    /// Every value of a key, in order.
    pub fn get_all(&self, key: &str) -> impl Iterator<Item = &str> {
        self.iter().filter(move |(k, _)| *k == key).map(|(_, value)| value)
    }

    /// All pairs, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Whether there is no pair.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }
}

fn unescape(part: &str) -> Option<Cow<'_, str>> {
    if !part.contains('+') {
        return decode(part);
    }
    let blanks = part.replace('+', " ");
    decode(&blanks).map(|decoded| Cow::Owned(decoded.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pairs(raw: &str) -> Vec<(String, String)> {
        Query::parse(raw).pairs
    }

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    #[test]
    fn keeps_order_and_repeats() {
        let query = Query::parse("b=2&a=1&b=3&flag&e=");
        assert_eq!(query.get("b"), Some("2"));
        assert_eq!(query.get_all("b").collect::<Vec<_>>(), ["2", "3"]);
        assert_eq!(query.get("flag"), Some(""));
        assert_eq!(query.get("e"), Some(""));
        assert_eq!(query.get("none"), None);
        assert_eq!(query.iter().map(|(k, _)| k).collect::<String>(), "babflage");
    }

    #[test]
    fn decodes_both_sides() {
        assert_eq!(pairs("a+b=c%2Bd%20e&%3D==%26"), [pair("a b", "c+d e"), pair("=", "=&")]);
        assert_eq!(pairs("x=%ff"), [pair("x", "\u{fffd}")]);
    }

    #[test]
    fn drops_bad_pairs_only() {
        assert_eq!(pairs("a=1;b=2&c=3&d=%zz&e=%4&&=v&f=5"), [pair("c", "3"), pair("", "v"), pair("f", "5")]);
        assert!(Query::parse("").is_empty());
    }

    proptest! {
        #[test]
        fn what_is_escaped_comes_back(given in proptest::collection::vec((any::<String>(), any::<String>()), 0..5)) {
            let escape = |text: &str| text.bytes().map(|b| format!("%{b:02X}")).collect::<String>();
            let raw: Vec<String> = given.iter().map(|(k, v)| format!("{}={}", escape(k), escape(v))).collect();
            prop_assert_eq!(pairs(&raw.join("&")), given);
        }

        #[test]
        fn never_panics(raw in any::<String>()) {
            Query::parse(&raw);
        }
    }
}
