//! Where a request goes: the URL of a check and the redirects that follow (check.md 5.3).

use std::fmt::Write as _;

/// A URL, split into what a request needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// `https`, else `http`.
    pub tls: bool,
    /// Name or address, an IPv6 one without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// What is asked for, fit for a request line.
    pub path_and_query: String,
}

/// A text that is no URL. Says why as Go does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    /// `%` without two hexadecimal digits.
    #[error("invalid URL escape {0:?}")]
    Escape(String),
    /// A control character.
    #[error("net/url: invalid control character in URL")]
    Control,
    /// Not `http` or `https`.
    #[error("unsupported protocol scheme {0:?}")]
    Scheme(String),
    /// No host, or a port that is no number.
    #[error("invalid host in URL")]
    Host,
}

impl Target {
    /// `host` or `[host]` with the port, unless it is the scheme's own.
    pub fn authority(&self) -> String {
        let bracketed = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == default_port(self.tls) { bracketed } else { format!("{bracketed}:{}", self.port) }
    }

    /// Whether both are the same server.
    pub fn same_server(&self, other: &Self) -> bool {
        self.port == other.port && self.tls == other.tls && self.host.eq_ignore_ascii_case(&other.host)
    }

    /// Where a `Location` header of this target's answer leads.
    ///
    /// # Errors
    /// It leads nowhere.
    pub fn redirected(&self, location: &str) -> Result<Self, BadUrl> {
        let location = location.trim();
        let (tls, rest) = match scheme(location) {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (false, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (true, rest),
            Some((other, _)) => return Err(BadUrl::Scheme(other.to_ascii_lowercase())),
            None if location.starts_with("//") => (self.tls, location),
            None => return self.sibling(location),
        };
        let rest = rest.strip_prefix("//").ok_or(BadUrl::Host)?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = (rest.get(..end).unwrap_or_default(), rest.get(end..).unwrap_or_default());
        let (host, port) = host_and_port(authority, tls)?;
        Ok(Self { tls, host, port, path_and_query: without_dots(&request_target(path)?) })
    }

    /// Another page of the same server.
    fn sibling(&self, reference: &str) -> Result<Self, BadUrl> {
        let own_path = self.path_and_query.split('?').next().unwrap_or_default();
        let resolved = if reference.starts_with('/') {
            reference.to_owned()
        } else if reference.is_empty() || reference.starts_with('#') {
            return Ok(self.clone());
        } else if reference.starts_with('?') {
            format!("{own_path}{reference}")
        } else {
            let directory = own_path.rsplit_once('/').map_or("", |(directory, _)| directory);
            format!("{directory}/{reference}")
        };
        Ok(Self { path_and_query: without_dots(&request_target(&resolved)?), ..self.clone() })
    }
}

fn default_port(tls: bool) -> u16 {
    if tls { 443 } else { 80 }
}

/// The scheme and what follows its colon.
fn scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let well_formed = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    well_formed.then_some((scheme, rest))
}

fn host_and_port(authority: &str, tls: bool) -> Result<(String, u16), BadUrl> {
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, rest)) => (host, rest.strip_prefix(':')),
        None => authority.rsplit_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
    };
    let port = match port {
        None | Some("") => default_port(tls),
        Some(port) => port.parse().map_err(|_| BadUrl::Host)?,
    };
    let bad = |c: char| c.is_control() || c.is_whitespace() || matches!(c, '/' | '[' | ']' | '%' | '<' | '>' | '"');
    if host.is_empty() || host.contains(bad) { Err(BadUrl::Host) } else { Ok((host.to_owned(), port)) }
}

/// The path and query of a check or a redirect as a request line takes them: one leading slash, no fragment, and
/// whatever HTTP does not allow escaped.
///
/// # Errors
/// [`BadUrl::Escape`] and [`BadUrl::Control`].
pub fn request_target(path: &str) -> Result<String, BadUrl> {
    if path.chars().any(|c| c.is_ascii_control()) {
        return Err(BadUrl::Control);
    }
    let path = path.split('#').next().unwrap_or_default();
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    check_escapes(path)?;
    let mut target = String::with_capacity(path.len() + 1);
    target.push('/');
    let path = path.trim_start_matches('/');
    escape_into(&mut target, path, |byte| {
        matches!(byte, b'<' | b'>' | b'[' | b']' | b'^' | b'`' | b'{' | b'|' | b'}' | b'"' | b'\\')
    });
    if let Some(query) = query {
        target.push('?');
        escape_into(&mut target, query, |byte| matches!(byte, b'<' | b'>' | b'"'));
    }
    Ok(target)
}

fn check_escapes(path: &str) -> Result<(), BadUrl> {
    let mut rest = path;
    while let Some((_, after)) = rest.split_once('%') {
        let digits: String = after.chars().take(2).collect();
        if digits.len() != 2 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(BadUrl::Escape(format!("%{digits}")));
        }
        rest = after;
    }
    Ok(())
}

/// Appends a text with blanks, bytes above ASCII and what `special` says as `%XX`.
fn escape_into(target: &mut String, text: &str, special: impl Fn(u8) -> bool) {
    for byte in text.bytes() {
        if byte <= b' ' || byte >= 0x7f || special(byte) {
            // Writing to a text cannot fail.
            let _ = write!(target, "%{byte:02X}");
        } else {
            target.push(char::from(byte));
        }
    }
}

/// Resolves `.` and `..` in the path of a redirect.
fn without_dots(target: &str) -> String {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let mut kept: Vec<&str> = Vec::new();
    let mut directory = false;
    for segment in path.split('/').skip(1) {
        directory = matches!(segment, "." | "..");
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            segment => kept.push(segment),
        }
    }
    if directory {
        kept.push("");
    }
    let path = format!("/{}", kept.join("/"));
    query.map_or_else(|| path.clone(), |query| format!("{path}?{query}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_of_checks() {
        let cases = [
            ("", "/"),
            ("healthz", "/healthz"),
            ("///a//b?x=1&y=%20z", "/a//b?x=1&y=%20z"),
            ("?q", "/?q"),
            ("/a b;c/../é", "/a%20b;c/../%C3%A9"),
            ("/a%2fb", "/a%2fb"),
            (r#"/"<>[]^{}`|"#, "/%22%3C%3E%5B%5D%5E%7B%7D%60%7C"),
            ("/a?b=c d&e=ü#top", "/a?b=c%20d&e=%C3%BC"),
            ("/a#b?c", "/a"),
            ("/a?x=%zz", "/a?x=%zz"),
        ];
        for (path, expected) in cases {
            assert_eq!(request_target(path).as_deref(), Ok(expected), "{path}");
        }
        for broken in ["/a%zz b", "/%", "/%1", "/%é"] {
            assert!(matches!(request_target(broken), Err(BadUrl::Escape(_))), "{broken}");
        }
        assert_eq!(request_target("/a\nb"), Err(BadUrl::Control));
    }

    #[test]
    fn redirects() {
        let from = Target { tls: false, host: "10.0.0.1".into(), port: 8080, path_and_query: "/a/b?c".into() };
        let cases = [
            ("/x", "10.0.0.1:8080", "/x"),
            ("x?y", "10.0.0.1:8080", "/a/x?y"),
            ("../x/./y", "10.0.0.1:8080", "/x/y"),
            ("?z", "10.0.0.1:8080", "/a/b?z"),
            ("", "10.0.0.1:8080", "/a/b?c"),
            ("//other/x", "other", "/x"),
            ("http://other:81", "other:81", "/"),
            ("HTTPS://user@other?q#f", "other", "/?q"),
            ("http://[::1]:81/..", "[::1]:81", "/"),
            ("/a/..", "10.0.0.1:8080", "/"),
        ];
        for (location, authority, path) in cases {
            let to = from.redirected(location).unwrap();
            assert_eq!((to.authority().as_str(), to.path_and_query.as_str()), (authority, path), "{location}");
        }
        assert!(from.redirected("https://other/").unwrap().tls);
        for nowhere in ["ftp://x/", "http:/x", "http://", "http://a:b/", "http://a b/", "mailto:x"] {
            assert!(from.redirected(nowhere).is_err(), "{nowhere}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_fits_a_request_line(path in "\\PC{0,40}") {
            if let Ok(target) = request_target(&path) {
                prop_assert!(target.parse::<http::uri::PathAndQuery>().is_ok(), "{target}");
                prop_assert!(target.starts_with('/'));
            }
        }

        #[test]
        fn any_location_leads_somewhere_or_nowhere(location in "\\PC{0,40}", own in "[a-z/.?]{0,20}") {
            let path_and_query = request_target(&own).unwrap();
            let from = Target { tls: false, host: "h".into(), port: 80, path_and_query };
            if let Ok(to) = from.redirected(&location) {
                prop_assert!(to.path_and_query.parse::<http::uri::PathAndQuery>().is_ok(), "{}", to.path_and_query);
            }
        }
    }
}
