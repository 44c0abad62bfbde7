//! Configuration (user-manager.md 11.1), and what becomes of its encrypted values (11.3).

use std::path::{Path, PathBuf};

use bcs_common::config::group::{self, CertOptions, EtcdRegistryOptions, LocalOptions, LogOptions, MetricOptions};
use bcs_common::config::group::{OursOptions, ProcessOptions, ServiceOptions, VerifyClientTlsOptions, ZkOptions};
use bcs_common::config::{Opt, Spec, lenient};
use bcs_common::errors::chain;
use bcs_common::secret::{self, SecretError};
use bcs_sql::{Dsn, DsnError};
use serde::Deserialize;
use thiserror::Error;
use tracing::warn;

use crate::users::UserType;

/// The embedded database in the data directory.
const DATABASE_FILE: &str = "user-manager.db";

/// Everything the program accepts.
pub fn spec() -> Spec {
    let own = vec![
        Opt::string("mysql_dsn", "", "encrypted data source name of MySQL; empty or sqlite:[file]: embedded").secret(),
        Opt::json("bootstrap_users", "users to create at the start, with encrypted tokens").secret(),
        Opt::string("tke.secret_id", "", "encrypted id of the Tencent Cloud account").secret(),
        Opt::string("tke.secret_key", "", "encrypted key of the Tencent Cloud account").secret(),
        Opt::string("tke.ccs_host", "", "host of the container service API"),
        Opt::string("tke.ccs_path", "", "path of the container service API"),
        Opt::string("peer_token", "", "accepted for old configurations, unused").secret(),
    ];
    let groups = [
        group::file(),
        group::service(),
        group::metric(),
        group::optional_zk(),
        group::cert(),
        group::log(),
        group::process(),
        group::local(),
        group::verify_client_tls(),
        group::etcd_registry(),
        group::ours(),
        own,
    ];
    Spec {
        program: "bcs-user-manager",
        about: "Users, tokens, permissions, clusters and their credentials.",
        options: groups.concat(),
    }
}

/// The values of [`spec`].
#[derive(Clone, Deserialize)]
pub struct Options {
    /// Addresses and ports.
    #[serde(flatten)]
    pub service: ServiceOptions,
    /// Port of the metrics.
    #[serde(flatten)]
    pub metric: MetricOptions,
    /// ZooKeeper, if it is named.
    #[serde(flatten)]
    pub zk: ZkOptions,
    /// Certificates.
    #[serde(flatten)]
    pub cert: CertOptions,
    /// The log.
    #[serde(flatten)]
    pub log: LogOptions,
    /// The pid file.
    #[serde(flatten)]
    pub process: ProcessOptions,
    /// The address in ZooKeeper.
    #[serde(flatten)]
    pub local: LocalOptions,
    /// Whether clients need certificates.
    #[serde(flatten)]
    pub verify_client_tls: VerifyClientTlsOptions,
    /// Registration in etcd.
    #[serde(flatten)]
    pub etcd: EtcdRegistryOptions,
    /// The data directory.
    #[serde(flatten)]
    pub ours: OursOptions,
    /// `mysql_dsn`, as configured.
    pub mysql_dsn: String,
    /// `bootstrap_users`, as configured.
    #[serde(default, deserialize_with = "lenient::list")]
    pub bootstrap_users: Vec<BootstrapOptions>,
    /// `tke`, as configured.
    pub tke: TkeOptions,
    /// The service runs inside of `bcs server`; not configurable. Then the plain listener takes any port if its port is 0, and
    /// without bootstrap users an admin is made whose generated token is kept in the data directory.
    #[serde(skip)]
    pub embedded: bool,
}

/// An element of `bootstrap_users`.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub struct BootstrapOptions {
    /// Name of the user.
    #[serde(deserialize_with = "lenient::string")]
    pub name: String,
    /// `admin`, `saas` or `plain`.
    #[serde(deserialize_with = "lenient::string")]
    pub user_type: String,
    /// The encrypted token.
    #[serde(deserialize_with = "lenient::string")]
    pub token: String,
}

/// The object `tke`.
#[derive(Clone, Default, Deserialize)]
pub struct TkeOptions {
    /// Encrypted.
    pub secret_id: String,
    /// Encrypted.
    pub secret_key: String,
    /// `host[:port]`.
    pub ccs_host: String,
    /// With a `/` at its start.
    pub ccs_path: String,
}

/// A value of the configuration cannot be used. Names the key, never the value.
#[derive(Debug, Error)]
pub enum OptionsError {
    /// `tke.secret_id` cannot be decrypted.
    #[error("error decrypting tke secretId and exit: key \"tke.secret_id\": {0}")]
    TkeSecretId(SecretError),
    /// `tke.secret_key` cannot be decrypted.
    #[error("error decrypting tke secretKey and exit: key \"tke.secret_key\": {0}")]
    TkeSecretKey(SecretError),
    /// `mysql_dsn` is neither clear text nor can it be decrypted.
    #[error("error decrypting db config and exit: key \"mysql_dsn\": {0}")]
    MysqlDsn(SecretError),
    /// `mysql_dsn` decrypts to something that is no data source name.
    #[error("error initing database: key \"mysql_dsn\"")]
    Dsn(#[from] DsnError),
    /// An element of `bootstrap_users` has an unknown type.
    #[error("invalid user type, user type must be [admin, saas, plain]: key \"bootstrap_users[{0}].user_type\"")]
    UserType(usize),
    /// The token of an element of `bootstrap_users` cannot be decrypted.
    #[error("error decrypting token for user [{name}], key \"bootstrap_users[{index}].token\": {reason}")]
    Token {
        /// Name of the user.
        name: String,
        /// Number of the element, from 0.
        index: usize,
        /// Why.
        reason: &'static str,
    },
}

/// The decrypted values.
pub(crate) struct Secrets {
    pub tke_secret_id: String,
    pub tke_secret_key: String,
    pub dsn: Dsn,
}

/// A user to create at the start.
pub(crate) struct BootstrapUser {
    pub name: String,
    pub user_type: UserType,
    pub token: String,
}

impl Options {
    /// What keeps the service from making the configured users, before it asks its database.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        self.bootstrap_users().err().map(|error| chain(&error)).into_iter().collect()
    }

    /// Decrypts in the order of the original.
    pub(crate) fn secrets(&self) -> Result<Secrets, OptionsError> {
        let tke_secret_id = secret::decrypt(&self.tke.secret_id).map_err(OptionsError::TkeSecretId)?;
        let tke_secret_key = secret::decrypt(&self.tke.secret_key).map_err(OptionsError::TkeSecretKey)?;
        let dsn = match is_clear(&self.mysql_dsn) {
            true => self.mysql_dsn.clone(),
            false => secret::decrypt(&self.mysql_dsn).map_err(OptionsError::MysqlDsn)?,
        };
        let dsn = Dsn::parse(&dsn, &self.database_file())?;
        Ok(Secrets { tke_secret_id, tke_secret_key, dsn })
    }

    /// The users to create, with clear tokens.
    pub(crate) fn bootstrap_users(&self) -> Result<Vec<BootstrapUser>, OptionsError> {
        let users = self.bootstrap_users.iter().enumerate();
        users.filter_map(|(index, user)| bootstrap_user(index, user).transpose()).collect()
    }

    fn database_file(&self) -> PathBuf {
        Path::new(&self.ours.data_dir).join(DATABASE_FILE)
    }
}

/// Base64 has none of these characters.
fn is_clear(dsn: &str) -> bool {
    dsn.starts_with("sqlite:") || dsn.contains("@tcp(") || dsn.contains("@unix(")
}

/// None without a token, as the charts have it until somebody sets one.
fn bootstrap_user(index: usize, user: &BootstrapOptions) -> Result<Option<BootstrapUser>, OptionsError> {
    let user_type = UserType::parse(&user.user_type).ok_or(OptionsError::UserType(index))?;
    if user.token.is_empty() {
        warn!("user [{}] is not created: key \"bootstrap_users[{index}].token\" is empty", user.name);
        return Ok(None);
    }
    let wrong = |reason| OptionsError::Token { name: user.name.clone(), index, reason };
    let token = secret::decrypt(&user.token).map_err(|error| {
        wrong(match error {
            SecretError::KeySize(_) => "the encryption key does not have 24 bytes",
            SecretError::NotBase64 => "the value is not base64",
            SecretError::NotBlocks(_) => "the value is not encrypted",
            SecretError::WrongKey => "the value was not encrypted with this key",
        })
    })?;
    // An empty token would let in everybody who sends none.
    if token.is_empty() {
        return Err(wrong("the token is empty"));
    }
    Ok(Some(BootstrapUser { name: user.name.clone(), user_type, token }))
}

#[cfg(test)]
mod tests {
    use bcs_common::config;
    use serde_json::json;

    use super::*;

    fn options(config: &serde_json::Value) -> Options {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("c.json");
        std::fs::write(&file, config.to_string()).unwrap();
        let args = ["bcs-user-manager", "-f", file.to_str().unwrap()].map(Into::into);
        config::load(&spec(), args.into_iter()).map_err(|exit| exit.stderr).unwrap()
    }

    #[test]
    fn the_rendered_template_is_understood() {
        let token = secret::encrypt("0123456789abcdef0123456789abcdef").unwrap();
        let options = options(&json!({
            "address": "10.0.0.1", "port": 30445, "insecure_address": "127.0.0.1", "insecure_port": "8089",
            "bcs_zookeeper": "127.0.0.1:2181", "local_ip": "10.0.0.1", "v": "3", "metric_port": 9253,
            "mysql_dsn": secret::encrypt("u:p@tcp(h:1)/bcs").unwrap(), "verify_client_tls": false,
            "bootstrap_users": [{"name": "admin", "user_type": "admin", "token": token}],
            "tke": {"secret_id": "", "secret_key": "", "ccs_host": "ccs", "ccs_path": "/v2/index.php"},
            "etcdRegistry": {"etcd_feature": true, "etcd_address": "e:2379"}, "peer_token": "x"
        }));
        assert_eq!((options.service.insecure_port, options.log.v, options.metric.metric_port), (8089, 3, 9253));
        let secrets = options.secrets().unwrap();
        assert!(matches!(secrets.dsn, Dsn::MySql(dsn) if dsn.user == "u"));
        assert_eq!((secrets.tke_secret_id.as_str(), options.tke.ccs_host.as_str()), ("", "ccs"));
        let users = options.bootstrap_users().unwrap();
        assert_eq!(users[0].token, "0123456789abcdef0123456789abcdef");
        assert_eq!((users[0].name.as_str(), users[0].user_type), ("admin", UserType::Admin));
    }

    #[test]
    fn clear_and_empty_data_source_names() {
        for (dsn, sqlite) in [("", true), ("sqlite:x.db", true), ("u:p@tcp(h)/d", false), ("u@unix(/s)/d", false)] {
            let dsn = options(&json!({"mysql_dsn": dsn})).secrets().unwrap().dsn;
            assert_eq!(matches!(dsn, Dsn::Sqlite(_)), sqlite);
        }
    }

    #[test]
    fn the_charts_come_without_an_admin_token() {
        let users = json!([{"name": "admin", "user_type": "admin", "token": ""}]);
        assert!(options(&json!({"bootstrap_users": users})).bootstrap_users().unwrap().is_empty());
        let empty = json!([{"name": "a", "user_type": "admin", "token": secret::encrypt("x").unwrap()}, {"user_type": "plain"}]);
        assert_eq!(options(&json!({"bootstrap_users": empty})).bootstrap_users().unwrap().len(), 1);
    }

    #[test]
    fn unusable_values_name_the_key_and_hide_the_value() {
        let secret = "c2VjcmV0";
        for (config, key) in [
            (json!({"tke": {"secret_id": secret}}), "tke.secret_id"),
            (json!({"tke": {"secret_key": "hunter2!"}}), "tke.secret_key"),
            (json!({"mysql_dsn": secret}), "mysql_dsn"),
            (json!({"mysql_dsn": "u:hunter2@tcp(h"}), "mysql_dsn"),
            (json!({"bootstrap_users": [{"name": "a", "user_type": "root"}]}), "bootstrap_users[0].user_type"),
            (
                json!({"bootstrap_users": [{"name": "a", "user_type": "admin", "token": "x"}]}),
                "bootstrap_users[0].token",
            ),
            (json!({"bootstrap_users": [{"user_type": "saas", "token": secret}]}), "bootstrap_users[0].token"),
        ] {
            let options = options(&config);
            let error = match options.secrets() {
                Err(error) => error,
                Ok(_) => options.bootstrap_users().err().unwrap(),
            };
            let text = error.to_string();
            assert!(text.contains(key) && !text.contains("hunter2") && !text.contains(secret), "{text}");
        }
    }
}
