//! Access tokens of the PaaS (api.md 9.3).

use std::time::Duration;

use bcs_common::config::lenient;
use bcs_sql::fits;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, Request};
use http_body_util::Full;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use thiserror::Error;

use super::http_client::{CallError, HttpClient};
use crate::options::BkiamAuthOptions;

/// Limit of a call.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Characters of the columns that the parts of a name go to.
const NAME: usize = 255;

/// Whom an access token belongs to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub user_type: String,
    pub user_id: String,
}

/// Why an access token is not accepted. Holds no part of the token.
#[derive(Debug, Error)]
pub(crate) enum PaasError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("the answer is not the expected JSON")]
    Answer,
    #[error("refused with code {0}")]
    Refused(i64),
    #[error("the answer names no usable user")]
    NoUser,
}

/// Which PaaS there is: the key `edition`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Edition {
    Ieod,
    Enterprise { path: &'static str },
}

/// The service that knows access tokens.
#[derive(Clone)]
pub(crate) struct Paas {
    client: HttpClient,
    edition: Edition,
    host: String,
    app_code: String,
    app_secret: String,
}

impl Paas {
    /// The service of an edition; none if the edition has none.
    pub fn new(edition: &str, options: &BkiamAuthOptions, client: HttpClient) -> Option<Self> {
        let edition = match edition {
            "ieod" => Edition::Ieod,
            "ee" if options.auth_version == "3" => Edition::Enterprise { path: "/api/v1/auth/access-tokens/verify" },
            "ee" => Edition::Enterprise { path: "/bkiam/api/v1/auth/access-tokens/verify" },
            _ => return None,
        };
        Some(Self {
            client,
            edition,
            host: options.bkiam_auth_host.trim_end_matches('/').to_owned(),
            app_code: options.bkiam_auth_app_code.clone(),
            app_secret: options.bkiam_auth_app_secret.clone(),
        })
    }

    /// Whose access token it is.
    pub async fn identify(&self, access_token: &str) -> Result<Identity, PaasError> {
        let identity = match self.edition {
            Edition::Ieod => self.identify_ieod(access_token).await?,
            Edition::Enterprise { path } => self.identify_enterprise(path, access_token).await?,
        };
        let usable = |text: &str| !text.is_empty() && fits(text, NAME);
        let name = identity.user_type.chars().count() + 1 + identity.user_id.chars().count();
        let is_user = usable(&identity.user_type) && usable(&identity.user_id) && name <= NAME;
        if is_user { Ok(identity) } else { Err(PaasError::NoUser) }
    }

    async fn identify_ieod(&self, access_token: &str) -> Result<Identity, PaasError> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Answer {
            #[serde(deserialize_with = "lenient::integer")]
            code: i64,
            data: Data,
        }
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Data {
            #[serde(deserialize_with = "lenient::string")]
            user_id: String,
            #[serde(deserialize_with = "lenient::string")]
            user_type: String,
        }
        let escaped = utf8_percent_encode(access_token, NON_ALPHANUMERIC);
        let request = Request::get(format!("{}/oauth/token?access_token={escaped}", self.host));
        let request = request.body(Full::default()).map_err(|_| CallError::Url)?;
        let (_, body) = self.client.call(request, TIMEOUT).await?;
        let Answer { code, data } = serde_json::from_slice(&body).map_err(|_| PaasError::Answer)?;
        if code != 0 {
            return Err(PaasError::Refused(code));
        }
        Ok(Identity { user_type: data.user_type, user_id: data.user_id })
    }

    async fn identify_enterprise(&self, path: &str, access_token: &str) -> Result<Identity, PaasError> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Answer {
            #[serde(deserialize_with = "lenient::integer")]
            bk_error_code: i64,
            data: Data,
        }
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Data {
            identity: Who,
        }
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Who {
            #[serde(deserialize_with = "lenient::string")]
            username: String,
            #[serde(deserialize_with = "lenient::string")]
            user_type: String,
        }
        let body = serde_json::json!({ "access_token": access_token }).to_string();
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}{path}", self.host))
            .header(CONTENT_TYPE, "application/json")
            .header("X-BK-APP-CODE", &self.app_code)
            .header("X-BK-APP-SECRET", &self.app_secret)
            .body(Full::new(Bytes::from(body)))
            .map_err(|_| CallError::Url)?;
        let (_, body) = self.client.call(request, TIMEOUT).await?;
        let Answer { bk_error_code, data } = serde_json::from_slice(&body).map_err(|_| PaasError::Answer)?;
        if bk_error_code != 0 {
            return Err(PaasError::Refused(bk_error_code));
        }
        Ok(Identity { user_type: data.identity.user_type, user_id: data.identity.username })
    }
}
