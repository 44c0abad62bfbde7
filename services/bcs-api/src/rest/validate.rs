//! What the fields of a request must be (api.md 10, 15.1).

use bcs_common::server_addresses;

use super::answer::Failure;

const VALIDATION_ERROR: &str = "VALIDATION_ERROR";
/// Characters of a cluster's id in BCS.
const CLUSTER_ID: usize = 100;

/// A field of a request and what it must be.
pub(super) struct Field<'a> {
    name: &'static str,
    is_there: bool,
    /// The broken rule.
    broken: Option<&'static str>,
    text: &'a str,
}

impl<'a> Field<'a> {
    /// A text that must be there.
    pub fn text(name: &'static str, text: &'a str) -> Self {
        Self { name, is_there: !text.is_empty(), broken: None, text }
    }

    /// Something else that must be there.
    pub fn given(name: &'static str, is_there: bool) -> Self {
        Self { name, is_there, broken: None, text: "" }
    }

    /// A text that must keep a rule as well.
    pub fn rule(self, rule: &'static str, keeps: impl Fn(&str) -> bool) -> Self {
        let broken = (self.is_there && !keeps(self.text)).then_some(rule);
        Self { broken, ..self }
    }

    /// An id of a cluster that can be a part of a path: letters, digits, `.`, `_` and `-`, not too many.
    pub fn cluster_id(name: &'static str, id: &'a str) -> Self {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        Self::text(name, id).rule("cluster_id", |id| id.len() <= CLUSTER_ID && id.bytes().all(allowed))
    }

    /// Addresses of API servers: `http://` or `https://` URLs joined by `;`.
    pub fn addresses(name: &'static str, addresses: &'a str) -> Self {
        Self::text(name, addresses).rule("apiserver_addresses", |text| text.split(';').all(is_address))
    }
}

/// Checks the fields of a request, in the order of the original's structs.
///
/// # Errors
/// 400: the first one that is missing, or else the last one that breaks a rule, as the original reports it.
pub(super) fn check<const N: usize>(fields: [Field<'_>; N]) -> Result<(), Failure> {
    let missing = fields.iter().find(|field| !field.is_there);
    let broken = fields.iter().rev().find_map(|field| Some((field.name, field.broken?)));
    let text = match (missing, broken) {
        (Some(field), _) => format!("field '{}' is required", field.name),
        (None, Some((name, rule))) => format!("'{name}' failed on the '{rule}' tag"),
        (None, None) => return Ok(()),
    };
    Err(Failure::bad_request(VALIDATION_ERROR, text))
}

fn is_address(address: &str) -> bool {
    let has_scheme = address.starts_with("http://") || address.starts_with("https://");
    has_scheme && !address.contains(',') && server_addresses::are_valid(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message<const N: usize>(fields: [Field<'_>; N]) -> Option<String> {
        let failure = check(fields).err()?;
        assert_eq!((failure.status.as_u16(), failure.code_name), (400, "VALIDATION_ERROR"));
        Some(failure.message)
    }

    #[test]
    fn ids_fit_into_paths() {
        for id in ["BCS-K8S_1.0", &"x".repeat(100)] {
            assert_eq!(message([Field::cluster_id("id", id)]), None);
        }
        for id in ["a b", "a/b", "a%b", "é", &"x".repeat(101)] {
            let want = "errcode: 1405061, 'id' failed on the 'cluster_id' tag";
            assert_eq!(message([Field::cluster_id("id", id)]).as_deref(), Some(want), "{id}");
        }
        let want = "errcode: 1405061, field 'id' is required";
        assert_eq!(message([Field::cluster_id("id", "")]).as_deref(), Some(want));
    }

    #[test]
    fn addresses_are_urls() {
        let check = |text: &str| check([Field::addresses("server_addresses", text)]).is_ok();
        for good in ["https://127.0.0.1:6443", "http://a.example:80/x", "https://10.0.0.1:1;https://10.0.0.2:2"] {
            assert!(check(good), "{good}");
        }
        for bad in [
            "",
            "not a url",
            "10.0.0.1:6443",
            "ftp://10.0.0.1",
            "https://",
            "https://a.b;",
            ";",
            "https://a.b,https://c.d",
        ] {
            assert!(!check(bad), "{bad}");
        }
    }

    #[test]
    fn the_first_missing_field_wins_over_the_last_broken_rule() {
        let broken = |name| Field::text(name, "x").rule("max", |_| false);
        let fields = [broken("a"), Field::text("b", ""), Field::given("c", false), broken("d")];
        assert_eq!(message(fields).as_deref(), Some("errcode: 1405061, field 'b' is required"));
        let fields = [broken("a"), Field::text("b", "y"), broken("d"), Field::given("e", true)];
        assert_eq!(message(fields).as_deref(), Some("errcode: 1405061, 'd' failed on the 'max' tag"));
        // A missing field breaks no rule besides.
        assert_eq!(message([Field::addresses("e", "")]).as_deref(), Some("errcode: 1405061, field 'e' is required"));
    }
}
