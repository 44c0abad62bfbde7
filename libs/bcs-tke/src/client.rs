//! The API: signed calls over HTTPS.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bcs_common::errors::chain;
use bcs_common::tls::{self, ClientTls, TlsError, Verify};
use bytes::Bytes;
use futures::future::{Either, select};
use http::Request;
use http::header::HOST;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rustls_pki_types::ServerName;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Limit of a call.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Longest reply in bytes.
const MAX_REPLY: usize = 1 << 20;
const SIGNATURE_METHOD: &str = "HmacSHA256";
/// What Go's query encoding leaves as it is, besides letters and digits.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Why a call gave nothing. No variant holds the URL: it is signed.
#[derive(Debug, Error)]
pub enum TkeError {
    /// The host cannot be reached, or the connection broke.
    #[error("{host}: {reason}")]
    Transport {
        /// The host.
        host: String,
        /// Why.
        reason: String,
    },
    /// The reply is no such JSON.
    #[error("{0}")]
    Reply(String),
    /// The API refused the call.
    #[error("{0}")]
    Refused(String),
}

/// A client of the API.
#[derive(Clone)]
pub struct TkeClient {
    secret_id: String,
    secret_key: Arc<hmac::Key>,
    host: String,
    path: String,
    tls: TlsConnector,
}

/// How to reach a cluster.
#[derive(Default, Deserialize, PartialEq, Eq)]
#[serde(default, rename_all = "camelCase")]
pub struct SecurityInfo {
    /// The name of its API server.
    #[serde(deserialize_with = "null_is_empty")]
    pub domain: String,
    /// The certificate of its CA.
    #[serde(deserialize_with = "null_is_empty")]
    pub certification_authority: String,
    /// The address of its API server; empty until a load balancer is bound to it.
    #[serde(deserialize_with = "null_is_empty")]
    pub pgw_endpoint: String,
    /// The token of its administrator.
    #[serde(deserialize_with = "null_is_empty")]
    pub password: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct MasterVip {
    #[serde(deserialize_with = "null_is_empty")]
    status: String,
}

/// As Go decodes it.
fn null_is_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Reply<T> {
    code: i64,
    #[serde(deserialize_with = "null_is_empty")]
    code_desc: String,
    #[serde(deserialize_with = "null_is_empty")]
    message: String,
    #[serde(rename = "Response")]
    response: Response,
    data: Option<T>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Response {
    error: ResponseError,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct ResponseError {
    code: String,
    message: String,
}

impl TkeClient {
    /// A client of `https://<host><path>`. The server is not verified, as in the original.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn new(secret_id: String, secret_key: &str, host: String, path: String) -> Result<Self, TlsError> {
        let options = ClientTls { verify: Some(Verify::None), ..ClientTls::default() };
        let tls = TlsConnector::from(tls::client_config(&options, &["http/1.1"])?);
        let secret_key = Arc::new(hmac::Key::new(hmac::HMAC_SHA256, secret_key.as_bytes()));
        Ok(Self { secret_id, secret_key, host, path, tls })
    }

    /// How to reach a cluster: `DescribeClusterSecurityInfo`.
    ///
    /// # Errors
    /// [`TkeError`].
    pub async fn security_info(&self, cluster_id: &str, region: &str) -> Result<SecurityInfo, TkeError> {
        self.call("DescribeClusterSecurityInfo", &[("clusterId", cluster_id), ("Region", region)]).await
    }

    /// Binds a load balancer in a subnet to the API server of a cluster: `BindMasterVipLoadBalancer`.
    ///
    /// # Errors
    /// [`TkeError`].
    pub async fn bind_master_vip(&self, cluster_id: &str, region: &str, subnet_id: &str) -> Result<(), TkeError> {
        let params = [("clusterId", cluster_id), ("Region", region), ("subnetId", subnet_id)];
        self.call::<IgnoredAny>("BindMasterVipLoadBalancer", &params).await.map(|_| ())
    }

    /// How far the binding of a load balancer is: `GetMasterVip`.
    ///
    /// # Errors
    /// [`TkeError`].
    pub async fn master_vip_status(&self, cluster_id: &str, region: &str) -> Result<String, TkeError> {
        let vip: MasterVip = self.call("GetMasterVip", &[("clusterId", cluster_id), ("Region", region)]).await?;
        Ok(vip.status)
    }

    async fn call<T: DeserializeOwned + Default>(&self, action: &str, params: &[(&str, &str)]) -> Result<T, TkeError> {
        let timestamp = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let nonce = rand::random::<u64>() >> 1;
        let target = self.target(action, params, timestamp, nonce);
        let transport = |reason: String| TkeError::Transport { host: self.host.clone(), reason };
        let late = |_| Err("no answer in time".into());
        let exchange = tokio::time::timeout(TIMEOUT, self.get(&target)).await.unwrap_or_else(late);
        parse(&exchange.map_err(|error| transport(chain(&*error)))?)
    }

    /// Path and query of a signed call.
    fn target(&self, action: &str, params: &[(&str, &str)], timestamp: u64, nonce: u64) -> String {
        let (timestamp, nonce) = (timestamp.to_string(), nonce.to_string());
        let mut query = BTreeMap::from([
            ("Action", action),
            ("Timestamp", &timestamp),
            ("Nonce", &nonce),
            ("SignatureMethod", SIGNATURE_METHOD),
            ("SecretId", &self.secret_id),
        ]);
        query.extend(params.iter().copied());
        let plain: Vec<String> = query.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let text = format!("GET{}{}?{}", self.host_name(), self.path, plain.join("&"));
        let signature = BASE64.encode(hmac::sign(&self.secret_key, text.as_bytes()));
        query.insert("Signature", &signature);
        let encoded: Vec<String> =
            query.iter().map(|(key, value)| format!("{key}={}", utf8_percent_encode(value, QUERY))).collect();
        format!("{}?{}", self.path, encoded.join("&"))
    }

    /// The host without its port.
    fn host_name(&self) -> &str {
        self.host.split(':').next().unwrap_or_default()
    }

    /// One call on a connection of its own. The status is not looked at.
    async fn get(&self, target: &str) -> Result<Bytes, Box<dyn StdError + Send + Sync>> {
        let port = self.host.split_once(':').map_or(Ok(443), |(_, port)| port.parse::<u16>())?;
        let name = ServerName::try_from(self.host_name().to_owned())?;
        let tcp = TcpStream::connect((self.host_name(), port)).await?;
        let stream = self.tls.connect(name, tcp).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let request = Request::get(target).header(HOST, &self.host).body(Empty::<Bytes>::new())?;
        let exchange = async {
            let body = sender.send_request(request).await?.into_body();
            Ok::<_, Box<dyn StdError + Send + Sync>>(Limited::new(body, MAX_REPLY).collect().await?.to_bytes())
        };
        match select(pin!(exchange), pin!(connection)).await {
            Either::Left((reply, _)) => reply,
            // The server closed the connection; the reply may be complete all the same.
            Either::Right((_, exchange)) => exchange.await,
        }
    }
}

fn parse<T: DeserializeOwned + Default>(body: &[u8]) -> Result<T, TkeError> {
    if body.is_empty() {
        return Err(TkeError::Reply("unexpected end of JSON input".to_owned()));
    }
    let reply: Reply<T> = serde_json::from_slice(body).map_err(|error| TkeError::Reply(json_reason(&error)))?;
    if reply.code != 0 || !matches!(reply.code_desc.as_str(), "" | "Success") {
        return Err(TkeError::Refused(reply.message));
    }
    if !reply.response.error.code.is_empty() {
        return Err(TkeError::Refused(reply.response.error.message));
    }
    Ok(reply.data.unwrap_or_default())
}

/// What is wrong with the JSON, without the values that serde repeats: they may be a password.
fn json_reason(error: &serde_json::Error) -> String {
    format!("the reply is not the expected JSON (line {}, column {})", error.line(), error.column())
}

#[cfg(test)]
mod tests {
    use bcs_common::shutdown::Shutdown;

    use super::*;
    use crate::stub::Stub;

    fn client(host: &str) -> TkeClient {
        TkeClient::new("id+1".into(), "key", host.into(), "/v2/index.php".into()).unwrap()
    }

    #[test]
    fn the_signature_covers_the_sorted_plain_query() {
        let client = client("ccs.example.com:4443");
        let params = [("clusterId", "cls 1"), ("Region", "ap-x"), ("subnetId", "s")];
        let target = client.target("Bind", &params, 1_500_000_000, 42);
        let text = "GETccs.example.com/v2/index.php?Action=Bind&Nonce=42&Region=ap-x\
                    &SecretId=id+1&SignatureMethod=HmacSHA256&Timestamp=1500000000&clusterId=cls 1&subnetId=s";
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"key");
        let signature = BASE64.encode(hmac::sign(&key, text.as_bytes()));
        let encoded = utf8_percent_encode(&signature, QUERY);
        let want = format!(
            "/v2/index.php?Action=Bind&Nonce=42&Region=ap-x&SecretId=id%2B1\
             &Signature={encoded}&SignatureMethod=HmacSHA256&Timestamp=1500000000&clusterId=cls%201&subnetId=s"
        );
        assert_eq!(target, want);
    }

    #[test]
    fn replies() {
        let refused = |body: &str| parse::<SecurityInfo>(body.as_bytes()).err().unwrap().to_string();
        assert_eq!(refused(""), "unexpected end of JSON input");
        assert_eq!(refused(r#"{"code":4000,"message":"no"}"#), "no");
        assert_eq!(refused(r#"{"codeDesc":"AuthFailure","message":"no"}"#), "no");
        assert_eq!(refused(r#"{"Response":{"Error":{"Code":"X","Message":"denied"}}}"#), "denied");
        assert!(!refused(r#"{"code":"hunter2"}"#).contains("hunter2"));
        for empty in [r#"{"code":0,"codeDesc":"Success"}"#, r#"{"data":null}"#, r#"{"data":{"domain":null}}"#] {
            assert!(parse::<SecurityInfo>(empty.as_bytes()).unwrap() == SecurityInfo::default(), "{empty}");
        }
    }

    #[tokio::test]
    async fn calls() {
        let shutdown = Shutdown::new();
        let stub = Stub::start(
            r#"{"code":0,"data":{"domain":"d","pgwEndpoint":"169.254.1.1","password":"p","status":"Bound"}}"#,
            &shutdown,
        )
        .await;
        let client = client(stub.host());
        let info = client.security_info("cls-1", "ap-x").await.unwrap();
        assert_eq!(
            (info.domain.as_str(), info.pgw_endpoint.as_str(), info.password.as_str()),
            ("d", "169.254.1.1", "p")
        );
        client.bind_master_vip("cls-1", "ap-x", "subnet-1").await.unwrap();
        assert_eq!(client.master_vip_status("cls-1", "ap-x").await.unwrap(), "Bound");
        let asked = stub.asked();
        for (target, parts) in asked.iter().zip([
            ["Action=DescribeClusterSecurityInfo&", "clusterId=cls-1", "Region=ap-x&"],
            ["Action=BindMasterVipLoadBalancer&", "clusterId=cls-1&", "subnetId=subnet-1"],
            ["Action=GetMasterVip&", "clusterId=cls-1", "Region=ap-x&"],
        ]) {
            assert!(target.starts_with("/v2/index.php?") && parts.iter().all(|part| target.contains(part)), "{target}");
        }
        assert_eq!(asked.len(), 3);
        assert!(shutdown.drain(Duration::from_secs(60)).await);
    }

    #[tokio::test]
    async fn an_unreachable_host_is_told_without_the_signed_url() {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let text = client(&closed).security_info("cls-1", "ap-x").await.err().unwrap().to_string();
        assert!(text.contains(&closed) && !text.contains("Signature") && !text.contains("id+1"), "{text}");
    }
}
