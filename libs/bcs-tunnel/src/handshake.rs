//! How an agent introduces itself (common.md 7.1). Who is let in is the service's business.

use base64::DecodeError;
use base64::Engine as _;
use bcs_common::go;
use bcs_common::json_members::Members;
use http::HeaderMap;
use serde_json::Value;

use crate::server::Refusal;

/// Header: the module that dials.
pub const MODULE: &str = "bcs-api-tunnel-module";
/// Header: the cluster it serves.
pub const CLUSTER_ID: &str = "bcs-api-tunnel-clusterid";
/// Header: a register token, or the token of peers.
pub const TOKEN: &str = "bcs-api-tunnel-token";
/// Header: [`AgentParams`] as base64 of JSON.
pub const PARAMS: &str = "bcs-api-tunnel-params";
/// Header: the id of a peer.
pub const PEER_ID: &str = "bcs-api-tunnel-id";

/// The original's type of [`AgentParams`], as its errors name it.
const STRUCT: &str = "tunnel.RegisterCluster";

/// The headers of an agent; empty where one is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgentHeaders<'a> {
    /// The module: `kubeagent`, `mesosdriver`, or an older spelling.
    pub module: &'a str,
    /// The id of its cluster.
    pub cluster_id: &'a str,
    /// Its register token.
    pub token: &'a str,
    /// [`AgentParams`] in base64.
    pub params: &'a str,
}

impl<'a> AgentHeaders<'a> {
    /// Reads them.
    pub fn of(headers: &'a HeaderMap) -> Self {
        Self {
            module: text(headers, MODULE),
            cluster_id: text(headers, CLUSTER_ID),
            token: text(headers, TOKEN),
            params: text(headers, PARAMS),
        }
    }
}

/// A header as text; empty if it is missing or no text.
pub(crate) fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// What an agent registers.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct AgentParams {
    /// The URL of the API server or driver, seen from the agent.
    pub address: String,
    /// The bearer token for it.
    pub user_token: String,
    /// The CA of it: PEM in base64.
    pub ca_cert: String,
}

/// The token is a secret.
impl std::fmt::Debug for AgentParams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AgentParams").field("address", &self.address).finish_non_exhaustive()
    }
}

impl AgentParams {
    /// Reads the value of the header; no or an empty header is refused too, as no JSON.
    ///
    /// # Errors
    /// A refusal with 400 and the text of Go's decoders.
    pub fn decode(header: &str) -> Result<Self, Refusal> {
        let json = decode_base64(header)?;
        if let Some(error) = go::json_error(&json) {
            return Err(Refusal::bad_request(error));
        }
        let refused = |error: serde_json::Error| Refusal::bad_request(format!("invalid JSON: {error}"));
        let Members(fields) = match serde_json::from_slice(&json).map_err(refused)? {
            Value::Null => return Ok(Self::default()),
            Value::Object(_) => serde_json::from_slice(&json).map_err(refused)?,
            other => {
                let text = format!("json: cannot unmarshal {} into Go value of type {STRUCT}", go::kind(&other));
                return Err(Refusal::bad_request(text));
            }
        };
        Self::of_fields(fields)
    }

    /// As Go fills a struct: names match without case, the last one counts, and `null` changes nothing.
    fn of_fields(fields: Vec<(String, Value)>) -> Result<Self, Refusal> {
        let mut params = Self::default();
        for (name, value) in fields {
            let known = [
                ("address", &mut params.address),
                ("userToken", &mut params.user_token),
                ("caCert", &mut params.ca_cert),
            ];
            let Some((known, field)) = known.into_iter().find(|(known, _)| name.eq_ignore_ascii_case(known)) else {
                continue;
            };
            match value {
                Value::Null => {}
                Value::String(text) => *field = text,
                other => {
                    let (kind, structure) = (go::kind(&other), STRUCT.rsplit('.').next().unwrap_or_default());
                    let field = format!("{structure}.{known}");
                    let text = format!("json: cannot unmarshal {kind} into Go struct field {field} of type string");
                    return Err(Refusal::bad_request(text));
                }
            }
        }
        Ok(params)
    }

    /// The CA as PEM.
    ///
    /// # Errors
    /// A refusal with 400 and the text of Go's decoder.
    pub fn ca_pem(&self) -> Result<Vec<u8>, Refusal> {
        decode_base64(&self.ca_cert)
    }
}

fn decode_base64(text: &str) -> Result<Vec<u8>, Refusal> {
    let text = go::without_line_ends(text);
    go::BASE64.decode(&text).map_err(|error| {
        let at = match error {
            DecodeError::InvalidByte(at, _) | DecodeError::InvalidLastSymbol(at, _) => at,
            DecodeError::InvalidLength(_) | DecodeError::InvalidPadding => text.len() / 4 * 4,
        };
        Refusal::bad_request(format!("illegal base64 data at input byte {at}"))
    })
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    fn encode(json: &str) -> String {
        go::BASE64.encode(json)
    }

    #[test]
    fn reads_what_agents_send() {
        let params = AgentParams::decode(&encode(
            r#"{"address":"https://10.0.0.1:6443","userToken":"t","caCert":"LS0t","more":1}"#,
        ))
        .unwrap();
        assert_eq!(params.address, "https://10.0.0.1:6443");
        assert_eq!(params.ca_pem().unwrap(), b"---");
        assert!(!format!("{params:?}").contains("user_token"));
        let driver = AgentParams::decode(&encode(r#"{"address":"http://10.0.0.1:8080","caCert":null}"#)).unwrap();
        assert_eq!((driver.user_token.as_str(), driver.ca_cert.as_str()), ("", ""));
    }

    #[test]
    fn refuses_with_the_texts_of_go() {
        for (header, text) in [
            (String::new(), "unexpected end of JSON input"),
            ("!".to_owned(), "illegal base64 data at input byte 0"),
            (encode("{"), "unexpected end of JSON input"),
            (encode("no json"), "invalid character 'o' in literal null (expecting 'u')"),
            (encode("{} x"), "invalid character 'x' after top-level value"),
            (encode("[1]"), "json: cannot unmarshal array into Go value of type tunnel.RegisterCluster"),
            (
                encode(r#"{"ADDRESS":7}"#),
                "json: cannot unmarshal number into Go struct field RegisterCluster.address of type string",
            ),
        ] {
            let refusal = AgentParams::decode(&header).unwrap_err();
            assert_eq!((refusal.status, refusal.text.as_str()), (StatusCode::BAD_REQUEST, text), "{header}");
        }
    }

    #[test]
    fn names_match_without_case_and_the_last_counts() {
        let decode = |json: &str| AgentParams::decode(&encode(json)).unwrap();
        let params = decode(r#"{"Address":"a","USERTOKEN":"t","cacert":"c","address":"b","userToken":null}"#);
        assert_eq!((params.address.as_str(), params.user_token.as_str(), params.ca_cert.as_str()), ("b", "t", "c"));
        assert_eq!(decode("null"), AgentParams::default());
    }
}
