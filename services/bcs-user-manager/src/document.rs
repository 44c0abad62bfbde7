//! Request bodies and what they must hold (user-manager.md 4.3, 4.4).

use bcs_common::http::Body;
use bcs_common::http::body::BodyError;
pub(crate) use bcs_common::http::document::Document;
use http::{HeaderMap, StatusCode};

use crate::answer::Failure;

/// Longest body in bytes, also when it is unpacked. The original has no limit; real bodies are a thousandth of it.
const LIMIT: usize = 8 << 20;

/// Reads a body to its end.
///
/// # Errors
/// It is too long, stalls or breaks off.
pub(crate) async fn read(headers: &HeaderMap, body: Body) -> Result<Document, Failure> {
    Document::read(headers, body, LIMIT).await.map_err(|error| {
        let status = match error {
            BodyError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            BodyError::Timeout => StatusCode::REQUEST_TIMEOUT,
            BodyError::Broken(_) => StatusCode::BAD_REQUEST,
        };
        Failure::refused(status, error.to_string())
    })
}

/// Refuses the first of the named fields that is not filled (user-manager.md 4.4).
///
/// # Errors
/// 400 `field '<name>' is required`.
pub(crate) fn require(fields: &[(&str, bool)]) -> Result<(), Failure> {
    match fields.iter().find(|(_, filled)| !filled) {
        Some((name, _)) => Err(Failure::bad_request(format!("field '{name}' is required"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_long_body_is_refused() {
        let failure = read(&HeaderMap::new(), Body::from(vec![b' '; LIMIT + 1])).await.unwrap_err();
        assert_eq!((failure.status, failure.code.value), (StatusCode::PAYLOAD_TOO_LARGE, 1_405_061));
    }

    #[test]
    fn the_first_missing_field_is_named() {
        assert!(require(&[("a", true)]).is_ok());
        let failure = require(&[("a", true), ("b", false), ("c", false)]).unwrap_err();
        assert_eq!(failure.message, "errcode: 1405061, field 'b' is required");
    }
}
