//! The remote check: who holds a token or a JWT, and what the IAM lets that user do.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::Utc;
use http::Request;
use http::header::CONTENT_TYPE;
use http_body_util::Full;
use serde::Deserialize;
use serde_json::json;
use tracing::warn;

use super::jwt::JwtError;
use super::rules::Demand;
use super::token_cache::TokenCache;
use super::{FilterError, JwtKey, Shutdown, token_store};
use crate::auth::http_client::{CallError, HttpClient};
use crate::options::BkiamAuthOptions;

/// Limit of a question.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The IAM with its users.
pub(super) struct Remote {
    client: HttpClient,
    url: String,
    app_code: String,
    app_secret: String,
    scope_id: String,
    key: JwtKey,
    tokens: Arc<TokenCache>,
}

impl Remote {
    /// Reads the key of the API gateway and starts to follow the token store.
    pub fn start(options: &BkiamAuthOptions, client: HttpClient, shutdown: &Shutdown) -> Result<Self, FilterError> {
        let key = read_key(options)?;
        let seconds = u64::try_from(options.auth_token_sync_time).unwrap_or_default();
        if seconds == 0 {
            return Err(FilterError::SyncTime);
        }
        let tokens = Arc::new(TokenCache::default());
        match options.bkiam_auth_zookeeper.as_str() {
            "" => warn!("no token store: key \"bkiam_auth.bkiam_auth_zookeeper\" is not set; only JWT are accepted"),
            servers => token_store::start(servers, Duration::from_secs(seconds), Arc::clone(&tokens), shutdown)?,
        }
        let host = options.bkiam_auth_host.trim_end_matches('/');
        let system_id = &options.bkiam_auth_system_id;
        Ok(Self {
            client,
            url: format!("{host}/bkiam/api/v1/perm/systems/{system_id}/resources-perms/verify"),
            app_code: options.bkiam_auth_app_code.clone(),
            app_secret: options.bkiam_auth_app_secret.clone(),
            scope_id: options.bkiam_auth_scope_id.clone(),
            key,
            tokens,
        })
    }

    /// The user of a token.
    pub fn user_of_token(&self, token: &str) -> Result<String, &'static str> {
        self.tokens.user(token, Utc::now())
    }

    /// The user of a JWT; it gets a token of its own with the next tick.
    pub fn user_of_jwt(&self, jwt: &str) -> Result<String, JwtError> {
        let user = self.key.user(jwt)?;
        self.tokens.see(&user);
        Ok(user)
    }

    /// Asks the IAM.
    pub async fn is_allowed(&self, user: &str, demand: &Demand<'_>) -> Result<bool, CallError> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Answer {
            data: Option<Data>,
        }
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Data {
            is_pass: bool,
        }
        let (resource_type, resource_id) = match demand.namespace {
            "" => ("cluster", format!("cluster:{}", demand.cluster)),
            namespace => ("namespace", format!("cluster:{}/namespace:{namespace}", demand.cluster)),
        };
        let body = json!({
            "principal_type": "user", "principal_id": user, "scope_type": "project", "scope_id": self.scope_id,
            "action_id": demand.action.id(), "resource_type": resource_type, "resource_id": resource_id,
        });
        let request = Request::post(&self.url)
            .header(CONTENT_TYPE, "application/json")
            .header("X-BK-APP-CODE", &self.app_code)
            .header("X-BK-APP-SECRET", &self.app_secret)
            .body(Full::new(Bytes::from(body.to_string())))
            .map_err(|_| CallError::Url)?;
        let (_, body) = self.client.call(request, TIMEOUT).await?;
        // Anything that does not say yes is a no.
        let answer: Answer = serde_json::from_slice(&body).unwrap_or_default();
        Ok(answer.data.unwrap_or_default().is_pass)
    }
}

fn read_key(options: &BkiamAuthOptions) -> Result<JwtKey, FilterError> {
    let file = &options.apigw_rsa_file;
    if file.as_os_str().is_empty() {
        return Err(FilterError::NoKeyFile);
    }
    let path = file.display().to_string();
    let pem = fs::read(file).map_err(|source| FilterError::KeyFile { path: path.clone(), source })?;
    JwtKey::from_pem(&pem).ok_or(FilterError::Key(path))
}
