//! The id that ties the log lines of one request together, across services.

use std::fmt;
use std::net::SocketAddr;

use http::header::{HeaderMap, HeaderName, HeaderValue};

/// The header that carries the id, in requests and responses.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id taken from a client; a longer one is replaced.
const MAX_LEN: usize = 64;

/// The id of one request: the client's, if it is short and harmless in a log line, else 16 random hex digits.
#[derive(Clone, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// Takes the id from the request headers or makes one.
    pub fn of(headers: &HeaderMap) -> Self {
        match headers.get(X_REQUEST_ID) {
            Some(value) if is_harmless(value.as_bytes()) => Self(value.clone()),
            _ => Self::random(),
        }
    }

    /// A new id.
    pub fn random() -> Self {
        let digits = format!("{:016x}", rand::random::<u64>());
        Self(HeaderValue::try_from(digits).unwrap_or_else(|_| HeaderValue::from_static("0")))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    /// The id as the value of [`X_REQUEST_ID`].
    pub fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

fn is_harmless(id: &[u8]) -> bool {
    (1..=MAX_LEN).contains(&id.len()) && id.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(b))
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the server knows about a request besides the message; it is in the extensions of every request it serves.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The id of the request.
    pub id: RequestId,
    /// The other end of the connection.
    pub peer: SocketAddr,
    /// Whether the connection is encrypted.
    pub tls: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id_for(value: &str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(X_REQUEST_ID, HeaderValue::from_str(value).unwrap());
        RequestId::of(&headers).to_string()
    }

    #[test]
    fn a_harmless_id_is_kept() {
        assert_eq!(id_for("7f1b-9_A.b:1"), "7f1b-9_A.b:1");
        assert_eq!(id_for(&"a".repeat(64)), "a".repeat(64));
    }

    #[test]
    fn any_other_is_replaced() {
        for bad in ["", "two words", "x=1\"", &"a".repeat(65)] {
            let id = id_for(bad);
            assert_eq!(id.len(), 16, "{bad:?} gave {id}");
            assert!(id.bytes().all(|b| b.is_ascii_hexdigit()));
        }
        assert_ne!(RequestId::of(&HeaderMap::new()), RequestId::of(&HeaderMap::new()));
    }
}
