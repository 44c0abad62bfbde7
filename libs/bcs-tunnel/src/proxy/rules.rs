//! What is changed in a request and its answer on the way through.

use http::header::AUTHORIZATION;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Uri};

/// What a proxied request becomes.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Path and query as they are sent.
    pub target: PathAndQuery,
    /// Headers that replace those of the client, set last.
    pub set: HeaderMap,
    /// Whether the client may impersonate users: its `Impersonate-*` headers are dropped otherwise.
    pub keep_impersonation: bool,
    /// The value of `X-Forwarded-Proto`, if that is set.
    pub forwarded_proto: Option<&'static str>,
    /// Goes in front of a `Location` that begins with a slash or names the backend's or the client's host; such an
    /// answer is passed on unchanged without it.
    pub location_prefix: Option<String>,
    /// Whether the answer's CORS headers are dropped.
    pub drop_cors: bool,
    /// Whether a refusal of an upgrade goes back as it is. Otherwise one below 400 becomes 500
    /// `invalid upgrade response: status code …`.
    pub verbatim_upgrade_refusal: bool,
}

impl Rules {
    /// For kube-apiservers: no impersonation, no CORS headers.
    pub fn kube(target: PathAndQuery) -> Self {
        Self {
            target,
            set: HeaderMap::new(),
            keep_impersonation: false,
            forwarded_proto: None,
            location_prefix: None,
            drop_cors: true,
            verbatim_upgrade_refusal: false,
        }
    }

    /// For other backends: everything passes that is not of one connection only.
    pub fn backend(target: PathAndQuery) -> Self {
        Self { keep_impersonation: true, drop_cors: false, verbatim_upgrade_refusal: true, ..Self::kube(target) }
    }

    /// Replaces the client's `Authorization` by `Bearer <token>`. False: the token cannot be in a header; then no
    /// `Authorization` is sent at all.
    pub fn bearer(&mut self, token: &str) -> bool {
        let value = HeaderValue::try_from(format!("Bearer {token}"));
        let is_valid = value.is_ok();
        let mut value = value.unwrap_or_else(|_| HeaderValue::from_static(""));
        value.set_sensitive(true);
        self.set.insert(AUTHORIZATION, value);
        is_valid
    }
}

/// The raw path after `prefix` and `segments` more segments, with a slash in front, and the query: nothing is decoded,
/// `%2F` stays. None: the path is shorter.
pub fn raw_rest(uri: &Uri, prefix: &str, segments: usize) -> Option<PathAndQuery> {
    let mut rest = uri.path().strip_prefix(prefix.trim_end_matches('/'))?.strip_prefix('/')?;
    for _ in 0..segments {
        rest = rest.split_once('/')?.1;
    }
    let target = match uri.query() {
        Some(query) => format!("/{rest}?{query}"),
        None => format!("/{rest}"),
    };
    PathAndQuery::try_from(target).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_a_path_stays_raw() {
        let rest = |uri: &str| raw_rest(&uri.parse().unwrap(), "/clustermanager/clusters/", 1).map(|t| t.to_string());
        assert_eq!(rest("/clustermanager/clusters/c/a%2Fb%20c?x=%zz;y").as_deref(), Some("/a%2Fb%20c?x=%zz;y"));
        assert_eq!(rest("/clustermanager/clusters/c/").as_deref(), Some("/"));
        assert_eq!(rest("https://h/clustermanager/clusters/c/v?").as_deref(), Some("/v?"));
        assert_eq!(rest("/clustermanager/clusters/c"), None);
        assert_eq!(rest("/other/c/x"), None);
    }

    #[test]
    fn a_token_is_no_header_injection() {
        let mut rules = Rules::kube(PathAndQuery::from_static("/"));
        assert!(!rules.bearer("a\r\nx: y"));
        assert_eq!(rules.set[AUTHORIZATION], "");
        assert!(rules.bearer("t"));
        assert_eq!(rules.set[AUTHORIZATION], "Bearer t");
    }
}
