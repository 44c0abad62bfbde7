//! The token of an `Authorization` header.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::HeaderMap;
use http::header::AUTHORIZATION;

/// The token of the first `Authorization` header: `Bearer` in any case, exactly one blank, the token.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let is_token = scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && !token.contains(' ');
    is_token.then_some(token)
}

/// The password of basic authentication; the name before it does not matter.
pub(super) fn basic_password(headers: &HeaderMap) -> Option<String> {
    let (scheme, credentials) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let credentials = String::from_utf8(BASE64.decode(credentials).ok()?).ok()?;
    let (_, password) = credentials.split_once(':')?;
    Some(password.to_owned()).filter(|password| !password.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (AUTHORIZATION, value.parse().unwrap())).collect()
    }

    #[test]
    fn one_blank_and_any_case_of_the_scheme() {
        let token = |values: &[&str]| bearer(&headers(values)).map(str::to_owned);
        for value in ["Bearer abc", "bearer abc", "BEARER abc"] {
            assert_eq!(token(&[value]).as_deref(), Some("abc"), "{value}");
        }
        assert_eq!(token(&["Bearer abc", "Bearer def"]).as_deref(), Some("abc"));
        for value in ["", "Bearer", "Bearer ", "Bearer  abc", "Bearer a b", "Token abc", "abc", "Bearer\tabc"] {
            assert_eq!(token(&[value]), None, "{value}");
        }
        assert_eq!(token(&["Basic x", "Bearer abc"]), None);
        assert_eq!(token(&[]), None);
    }

    #[test]
    fn the_password_is_all_that_counts() {
        let password = |value: &str| basic_password(&headers(&[value]));
        for (credentials, want) in
            [("any:tok:en", Some("tok:en")), (":token", Some("token")), ("any:", None), ("x", None)]
        {
            assert_eq!(password(&format!("Basic {}", BASE64.encode(credentials))).as_deref(), want, "{credentials}");
        }
        assert_eq!(password("Basic ???"), None);
        assert_eq!(password(&format!("Bearer {}", BASE64.encode("a:b"))), None);
    }
}
