//! Credentials of TKE clusters from Tencent Cloud (user-manager.md 6.6.1): a signed call to the container service API.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bcs_common::errors::chain;
use bcs_common::http::code;
use bcs_common::tls::{self, ClientTls, TlsError, Verify};
use bcs_sql::Database;
use bytes::Bytes;
use futures::future::{Either, select};
use http::header::HOST;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rustls_pki_types::ServerName;
use serde::Deserialize;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::answer::Failure;
use crate::clusters;
use crate::credentials::{self, Access};

/// Limit of a call.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Longest reply in bytes.
const MAX_REPLY: usize = 1 << 20;
const ACTION: &str = "DescribeClusterSecurityInfo";
const SIGNATURE_METHOD: &str = "HmacSHA256";
/// What Go's query encoding leaves as it is, besides letters and digits.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Why a call gave no credentials. No variant holds the URL: it is signed.
#[derive(Debug, Error)]
pub(crate) enum TkeError {
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

/// The API, when all of its four keys are configured.
#[derive(Clone)]
pub(crate) struct TkeClient {
    secret_id: String,
    secret_key: Arc<hmac::Key>,
    host: String,
    path: String,
    tls: TlsConnector,
}

/// What the API tells about a cluster.
#[derive(Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default, rename_all = "camelCase")]
struct SecurityInfo {
    domain: String,
    certification_authority: String,
    pgw_endpoint: String,
    password: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Reply {
    code: i64,
    code_desc: String,
    message: String,
    #[serde(rename = "Response")]
    response: Response,
    data: Option<SecurityInfo>,
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

    async fn security_info(&self, cluster_id: &str, region: &str) -> Result<SecurityInfo, TkeError> {
        let timestamp = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let nonce = rand::random::<u64>() >> 1;
        let target = self.target(cluster_id, region, timestamp, nonce);
        let transport = |reason: String| TkeError::Transport { host: self.host.clone(), reason };
        let late = |_| Err("no answer in time".into());
        let exchange = tokio::time::timeout(TIMEOUT, self.get(&target)).await.unwrap_or_else(late);
        parse(&exchange.map_err(|error| transport(chain(&*error)))?)
    }

    /// Path and query of a signed call.
    fn target(&self, cluster_id: &str, region: &str, timestamp: u64, nonce: u64) -> String {
        let (timestamp, nonce) = (timestamp.to_string(), nonce.to_string());
        let mut query = BTreeMap::from([
            ("Action", ACTION),
            ("clusterId", cluster_id),
            ("Region", region),
            ("Timestamp", &timestamp),
            ("Nonce", &nonce),
            ("SignatureMethod", SIGNATURE_METHOD),
            ("SecretId", &self.secret_id),
        ]);
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

fn parse(body: &[u8]) -> Result<SecurityInfo, TkeError> {
    if body.is_empty() {
        return Err(TkeError::Reply("unexpected end of JSON input".to_owned()));
    }
    let reply: Reply = serde_json::from_slice(body).map_err(|error| TkeError::Reply(json_reason(&error)))?;
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

/// Fetches the credentials of a TKE cluster and saves them.
pub(crate) async fn sync(database: &Database, client: Option<&TkeClient>, cluster_id: &str) -> Result<(), Failure> {
    let cluster = clusters::find(database, cluster_id).await.map_err(Failure::reading("cluster"))?;
    let cluster = cluster.ok_or_else(|| Failure::bad_request("cluster not exists"))?;
    if cluster.cluster_type != clusters::TKE {
        return Err(Failure::bad_request(format!("cluster {cluster_id} is not tke cluster")));
    }
    let failed = |reason: &dyn std::fmt::Display| Failure {
        status: StatusCode::BAD_REQUEST,
        code: code::API_INTERNAL_FAIL,
        message: format!("error when sync tke cluster [{cluster_id}] credentials: {reason}"),
        cause: None,
    };
    let client = client.ok_or_else(|| failed(&"error when creating tke client: tke conf invalid"))?;
    let info = client
        .security_info(&cluster.tke_cluster_id, &cluster.tke_cluster_region)
        .await
        .map_err(|error| failed(&format!("error when invoking tke api {ACTION}: {error}")))?;
    if info.pgw_endpoint.is_empty() || info.domain.is_empty() {
        return Err(failed(&"BindMasterVipLoadBalancer failed, pgwEndpoint or domain nil"));
    }
    let access = Access {
        server_addresses: format!("https://{}:443", info.pgw_endpoint),
        ca_cert_data: info.certification_authority,
        user_token: info.password,
        cluster_domain: format!("https://{}/", info.domain),
    };
    credentials::save(database, cluster_id, &access).await.map_err(|error| {
        failed(&format!("error when updating external cluster credentials to db: {error}")).because(error)
    })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bcs_common::certs;
    use bcs_common::http::Body;
    use bcs_common::http::server::{Listener, ServerOptions, serve};
    use bcs_common::shutdown::Shutdown;
    use bcs_common::tls::ServerTls;
    use parking_lot::Mutex;

    use super::*;
    use crate::tests::{database, document};

    fn client(host: &str) -> TkeClient {
        TkeClient::new("id+1".into(), "key", host.into(), "/v2/index.php".into()).unwrap()
    }

    #[test]
    fn the_signature_covers_the_sorted_plain_query() {
        let client = client("ccs.example.com:4443");
        let target = client.target("cls 1", "ap-x", 1_500_000_000, 42);
        let text = "GETccs.example.com/v2/index.php?Action=DescribeClusterSecurityInfo&Nonce=42&Region=ap-x\
                    &SecretId=id+1&SignatureMethod=HmacSHA256&Timestamp=1500000000&clusterId=cls 1";
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"key");
        let signature = BASE64.encode(hmac::sign(&key, text.as_bytes()));
        let encoded = utf8_percent_encode(&signature, QUERY);
        let want = format!(
            "/v2/index.php?Action=DescribeClusterSecurityInfo&Nonce=42&Region=ap-x&SecretId=id%2B1\
             &Signature={encoded}&SignatureMethod=HmacSHA256&Timestamp=1500000000&clusterId=cls%201"
        );
        assert_eq!(target, want);
    }

    #[test]
    fn replies() {
        let refused = |body: &str| parse(body.as_bytes()).unwrap_err().to_string();
        assert_eq!(refused(""), "unexpected end of JSON input");
        assert_eq!(refused(r#"{"code":4000,"message":"no"}"#), "no");
        assert_eq!(refused(r#"{"codeDesc":"AuthFailure","message":"no"}"#), "no");
        assert_eq!(refused(r#"{"Response":{"Error":{"Code":"X","Message":"denied"}}}"#), "denied");
        assert!(!refused(r#"{"code":"hunter2"}"#).contains("hunter2"));
        assert_eq!(parse(b"{\"code\":0,\"codeDesc\":\"Success\"}").unwrap(), SecurityInfo::default());
    }

    /// A stand-in for the API: answers with `reply`, keeps the targets it was asked for.
    async fn stub(reply: &'static str, shutdown: &Shutdown) -> (String, Arc<Mutex<Vec<String>>>) {
        let dir = tempfile::tempdir().unwrap();
        let files = certs::generate(&["localhost".to_owned()]).unwrap().write(dir.path(), false).unwrap();
        let options = ServerTls {
            cert_file: Some(files.server.clone()),
            key_file: Some(files.server_key.clone()),
            ..ServerTls::default()
        };
        let listener =
            Listener::bind("127.0.0.1:0", Some(tls::server_config(&options, &["http/1.1"]).unwrap())).await.unwrap();
        let host = format!("localhost:{}", listener.local_addr().port());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let service = {
            let asked = Arc::clone(&asked);
            tower::service_fn(move |request: Request<Body>| {
                asked.lock().push(request.uri().to_string());
                async move { Ok::<_, Infallible>(http::Response::new(Body::from(reply))) }
            })
        };
        shutdown.spawn("stub", serve(listener, service, ServerOptions::default(), shutdown.clone()));
        (host, asked)
    }

    async fn synced(reply: &'static str) -> (Result<(), Failure>, Database, tempfile::TempDir, Vec<String>) {
        let shutdown = Shutdown::new();
        let (host, asked) = stub(reply, &shutdown).await;
        let (dir, database) = database().await;
        let body = r#"{"cluster_id":"c","cluster_type":"tke","tke_cluster_id":"cls-1","tke_cluster_region":"ap-x"}"#;
        clusters::create(&database, &document(body), 1).await.unwrap();
        let result = sync(&database, Some(&client(&host)), "c").await;
        shutdown.drain(Duration::from_secs(5)).await;
        let asked = asked.lock().clone();
        (result, database, dir, asked)
    }

    #[tokio::test]
    async fn saves_what_the_api_tells() {
        let reply = r#"{"code":0,"data":{"userName":"admin","domain":"cls-1.example.com",
            "certificationAuthority":"CA","pgwEndpoint":"169.254.1.1","password":"p","clusterExternalEndpoint":""}}"#;
        let (result, database, _dir, asked) = synced(reply).await;
        result.unwrap();
        assert_eq!(asked.len(), 1);
        assert!(asked[0].contains("clusterId=cls-1&") || asked[0].ends_with("clusterId=cls-1"), "{asked:?}");
        let access = credentials::get(&database, "c").await.unwrap().access;
        assert_eq!(access.server_addresses, "https://169.254.1.1:443");
        assert_eq!((access.ca_cert_data.as_str(), access.user_token.as_str()), ("CA", "p"));
        assert_eq!(access.cluster_domain, "https://cls-1.example.com/");
    }

    #[tokio::test]
    async fn failures_are_told_without_the_signed_url() {
        let (result, ..) = synced(r#"{"code":5,"message":"quota"}"#).await;
        let failure = result.unwrap_err();
        let want = "error when sync tke cluster [c] credentials: \
                    error when invoking tke api DescribeClusterSecurityInfo: quota";
        assert_eq!((failure.status.as_u16(), failure.code.value, failure.message.as_str()), (400, 1_405_050, want));
        let (result, ..) = synced(r#"{"data":{"domain":"d"}}"#).await;
        assert!(result.unwrap_err().message.ends_with("BindMasterVipLoadBalancer failed, pgwEndpoint or domain nil"));

        let (_dir, database) = database().await;
        let body = r#"{"cluster_id":"c","cluster_type":"tke","tke_cluster_id":"cls-1","tke_cluster_region":"ap-x"}"#;
        clusters::create(&database, &document(body), 1).await.unwrap();
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let message = sync(&database, Some(&client(&closed)), "c").await.unwrap_err().message;
        assert!(message.contains(&closed) && !message.contains("Signature") && !message.contains("id+1"), "{message}");
        let message = sync(&database, None, "c").await.unwrap_err().message;
        assert!(message.ends_with("error when creating tke client: tke conf invalid"), "{message}");
        let message = sync(&database, None, "other").await.unwrap_err().message;
        assert_eq!(message, "errcode: 1405061, cluster not exists");
    }
}
