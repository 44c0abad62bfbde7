//! The filter of `/bcsapi/v4` (api.md 9.1): which token, which rule, may the one do what the other says.

mod jwt;
mod remote;
mod rules;
mod token_cache;
mod token_store;
mod white_list;

use std::sync::Arc;

use bcs_common::http::Body;
use bcs_common::http::code;
use bcs_common::http::envelope::json_response;
use bcs_common::secret::SecretError;
use bcs_common::shutdown::Shutdown;
use bcs_common::tls::TlsError;
use http::request::Parts;
use http::{HeaderMap, Method, Response, StatusCode};
use thiserror::Error;
use tracing::{debug, error};

use self::jwt::JwtKey;
use self::remote::Remote;
use self::rules::{Demand, Rules};
use self::white_list::{Entry, WhiteList};
use super::http_client::HttpClient;
use crate::options::BkiamAuthOptions;

/// Where a client shows its token.
const TOKEN_HEADER: &str = "x-bcs-user-token";
/// Where the API gateway says who calls.
const JWT_HEADER: &str = "x-bkapi-jwt";
/// Where a client names the cluster it means.
const CLUSTER_HEADER: &str = "bcs-clusterid";

/// The filter cannot be set up.
#[derive(Debug, Error)]
pub enum FilterError {
    /// The key of the API gateway is missing.
    #[error("key \"bkiam_auth.apigw_rsa_file\": a remote check needs it")]
    NoKeyFile,
    /// The key of the API gateway cannot be read.
    #[error("key \"bkiam_auth.apigw_rsa_file\": {path}")]
    KeyFile {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// It holds no RSA public key.
    #[error("key \"bkiam_auth.apigw_rsa_file\": {0} holds no RSA public key in PEM")]
    Key(String),
    /// The tick of the token store is not positive.
    #[error("key \"bkiam_auth.auth_token_sync_time\" must be positive")]
    SyncTime,
    /// The token store cannot be used.
    #[error("key \"bkiam_auth.bkiam_auth_zookeeper\": {0}")]
    ZooKeeper(String),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Why a request does not pass. `Display` is the message for the client; it repeats no token.
#[derive(Debug, PartialEq, Eq, Error)]
enum Refusal {
    /// There is no usable token, or it cannot be found out.
    #[error("bcs auth check error: {0}")]
    Check(String),
    /// The IAM says no.
    #[error("bcs auth check error")]
    NoAuthority,
}

impl Refusal {
    /// 400 with the envelope, indented by one blank.
    fn into_response(self) -> Response<Body> {
        let code = match self {
            Self::Check(_) => code::API_AUTH_CHECK_FAIL,
            Self::NoAuthority => code::API_AUTH_CHECK_NO_AUTHORITY,
        };
        let message = serde_json::Value::from(self.to_string());
        let body = format!(
            "{{\n \"result\": false,\n \"code\": {},\n \"message\": {message},\n \"data\": null\n}}",
            code.value
        );
        let mut response = json_response(body);
        *response.status_mut() = StatusCode::BAD_REQUEST;
        response
    }
}

/// Who shows a token.
enum Caller<'a> {
    /// Nobody, and that is allowed.
    Anonymous,
    /// A holder of a token of the white list.
    Listed(&'a Entry),
    /// A user of the IAM.
    User(String),
}

/// Lets requests to `/bcsapi/v4` pass, or not. Clones share the tokens.
#[derive(Clone)]
pub(crate) struct V4Filter(Option<Arc<Inner>>);

struct Inner {
    skip_none_token: bool,
    white_list: WhiteList,
    rules: Rules,
    remote: Option<Remote>,
}

impl V4Filter {
    /// The filter as configured; what it does in the background ends with the shutdown.
    ///
    /// # Errors
    /// See [`FilterError`].
    pub fn start(options: &BkiamAuthOptions, client: &HttpClient, shutdown: &Shutdown) -> Result<Self, FilterError> {
        if !options.auth {
            return Ok(Self(None));
        }
        let white_list = WhiteList::new(&options.bkiam_auth_token_whitelist, |index, reason: SecretError| {
            error!("key \"bkiam_auth.bkiam_auth_token_whitelist[{index}].token\" is skipped: {reason}");
        });
        let remote = match options.remote_check {
            true => Some(Remote::start(options, client.clone(), shutdown)?),
            false => None,
        };
        let inner = Inner { skip_none_token: options.skip_none_token, white_list, rules: Rules::new(), remote };
        Ok(Self(Some(Arc::new(inner))))
    }

    /// Whether a request passes; `path` is the decoded, clean one.
    ///
    /// # Errors
    /// It does not: the answer for the client.
    pub async fn check(&self, parts: &Parts, path: &str) -> Result<(), Box<Response<Body>>> {
        let Some(inner) = &self.0 else { return Ok(()) };
        inner.check(&parts.method, path, &parts.headers).await.map_err(|refusal| {
            debug!("{} {path} refused: {refusal}", parts.method);
            Box::new(refusal.into_response())
        })
    }
}

impl Inner {
    async fn check(&self, method: &Method, path: &str, headers: &HeaderMap) -> Result<(), Refusal> {
        let caller = self.caller(headers)?;
        let named: Vec<&str> = headers.get_all(CLUSTER_HEADER).iter().filter_map(|value| value.to_str().ok()).collect();
        for demand in self.rules.demands(method, path, &named) {
            self.allow(&caller, &demand).await?;
        }
        Ok(())
    }

    fn caller(&self, headers: &HeaderMap) -> Result<Caller<'_>, Refusal> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let refused = |reason: &str| Refusal::Check(format!("GetToken failed: {reason}"));
        let token = text(TOKEN_HEADER);
        if !token.is_empty() {
            if let Some(entry) = self.white_list.find(token) {
                return Ok(Caller::Listed(entry));
            }
            let Some(remote) = &self.remote else {
                return Err(refused("no in whitelist and remote check is banned"));
            };
            return remote.user_of_token(token).map(Caller::User).map_err(refused);
        }
        if self.skip_none_token {
            return Ok(Caller::Anonymous);
        }
        let Some(remote) = &self.remote else {
            return Err(refused("no token provided and remote check is banned"));
        };
        match text(JWT_HEADER) {
            "" => Err(refused("user token and api gateway jwt are both empty")),
            jwt => remote.user_of_jwt(jwt).map(Caller::User).map_err(|reason| refused(&reason.to_string())),
        }
    }

    async fn allow(&self, caller: &Caller<'_>, demand: &Demand<'_>) -> Result<(), Refusal> {
        let refused = |reason: &str| Refusal::Check(format!("auth allow: {reason}"));
        match (caller, &self.remote) {
            (Caller::Anonymous, _) => Ok(()),
            (Caller::Listed(entry), _) if entry.allows(demand) => Ok(()),
            (_, None) => Err(refused("token not in whitelist and remote check disabled")),
            // A token of the list belongs to no user whom the IAM could know.
            (Caller::Listed(_), Some(_)) => Err(Refusal::NoAuthority),
            (Caller::User(user), Some(remote)) => match remote.is_allowed(user, demand).await {
                Ok(true) => Ok(()),
                Ok(false) => Err(Refusal::NoAuthority),
                Err(reason) => {
                    error!("the IAM cannot be asked: {reason}");
                    Err(refused("the permission service gave no answer"))
                }
            },
        }
    }
}

#[cfg(test)]
mod tests;
