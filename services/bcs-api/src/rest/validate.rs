//! What the fields of a request must be (api.md 10, 15.1).

use bcs_common::http::document::Document;
use bcs_common::server_addresses;

use super::answer::Failure;

const VALIDATION_ERROR: &str = "VALIDATION_ERROR";
/// Characters of a cluster's id in BCS.
const CLUSTER_ID: usize = 100;

/// A text that must be there.
///
/// # Errors
/// 400: it is missing or empty.
pub(super) fn required<'a>(document: &'a Document, name: &str) -> Result<&'a str, Failure> {
    non_empty(document.text(name), name)
}

/// A value of the query that must be there.
///
/// # Errors
/// 400: it is missing or empty.
pub(super) fn non_empty<'a>(value: &'a str, name: &str) -> Result<&'a str, Failure> {
    if value.is_empty() { Err(missing(name)) } else { Ok(value) }
}

/// A number that must be there.
///
/// # Errors
/// 400: it is missing or 0.
pub(super) fn required_number(document: &Document, name: &str) -> Result<u64, Failure> {
    match document.uint(name) {
        0 => Err(missing(name)),
        number => Ok(number),
    }
}

/// The failure of a missing field.
pub(super) fn missing(name: &str) -> Failure {
    Failure::bad_request(VALIDATION_ERROR, format!("field '{name}' is required"))
}

/// The failure of a field that breaks a rule.
pub(super) fn broken(name: &str, rule: &str) -> Failure {
    Failure::bad_request(VALIDATION_ERROR, format!("'{name}' failed on the '{rule}' tag"))
}

/// An id of a cluster that can be a part of a path.
///
/// # Errors
/// 400: it is missing, or it holds other characters than letters, digits, `.`, `_` and `-`, or too many.
pub(super) fn cluster_id(document: &Document) -> Result<&str, Failure> {
    let id = required(document, "id")?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let is_usable = id.len() <= CLUSTER_ID && id.bytes().all(allowed);
    if is_usable { Ok(id) } else { Err(broken("id", "cluster_id")) }
}

/// Addresses of API servers: URLs joined by `;`.
///
/// # Errors
/// 400: they are missing, or one is no `http://` or `https://` URL.
pub(super) fn addresses(document: &Document) -> Result<&str, Failure> {
    let addresses = required(document, "server_addresses")?;
    if addresses.split(';').all(is_address) {
        Ok(addresses)
    } else {
        Err(broken("server_addresses", "apiserver_addresses"))
    }
}

fn is_address(address: &str) -> bool {
    let has_scheme = address.starts_with("http://") || address.starts_with("https://");
    has_scheme && !address.contains(',') && server_addresses::are_valid(address)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document(value: &serde_json::Value) -> Document {
        Document::parse(value.to_string().as_bytes())
    }

    #[test]
    fn ids_fit_into_paths() {
        let check = |id: &str| cluster_id(&document(&json!({ "id": id }))).map(str::to_owned).map_err(|f| f.message);
        assert_eq!(check("BCS-K8S_1.0"), Ok("BCS-K8S_1.0".into()));
        assert_eq!(check(&"x".repeat(100)), Ok("x".repeat(100)));
        for id in ["a b", "a/b", "a%b", "é", &"x".repeat(101)] {
            assert_eq!(check(id), Err("errcode: 1405061, 'id' failed on the 'cluster_id' tag".into()), "{id}");
        }
        assert_eq!(check(""), Err("errcode: 1405061, field 'id' is required".into()));
    }

    #[test]
    fn addresses_are_urls() {
        let check = |text: &str| addresses(&document(&json!({ "server_addresses": text }))).is_ok();
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
}
