//! Configuration (api.md 3).

use std::path::{Path, PathBuf};

use bcs_common::config::group::{self, CertOptions, CustomCertOptions, LocalOptions, LogOptions, MetricOptions};
use bcs_common::config::group::{OursOptions, ProcessOptions, ServiceOptions, VerifyClientTlsOptions, ZkOptions};
use bcs_common::config::{Opt, Spec, lenient};
use bcs_common::errors::chain;
use serde::Deserialize;

use crate::bootstrap;
use crate::networks::Allowed;

/// The embedded database in the data directory.
const DATABASE_FILE: &str = "api.db";
/// What peers of an installation that configures no token tell each other.
const PEER_TOKEN: &str = "Mx9vWfTZea4MEzc7SlvB8aFl0NhmYQvZzEomOYypDMKkev34Q9kIyh32RjXXCIcn";
/// Default of `max_body_size`.
const MAX_BODY_SIZE: u64 = 64 << 20;

/// Everything the program accepts.
#[must_use]
pub fn spec() -> Spec {
    let groups = [
        group::file(),
        group::service(),
        group::metric(),
        group::zk(),
        group::cert(),
        group::custom_cert(),
        group::license(),
        group::log(),
        group::process(),
        group::local(),
        group::verify_client_tls(),
        group::ours(),
        gateway(),
        bkiam_auth(),
        bke(),
        tke(),
    ];
    Spec {
        program: "bcs-api",
        about: "The HTTPS entry of BCS: services, Mesos and Kubernetes clusters, their users and credentials.",
        options: groups.concat(),
    }
}

fn gateway() -> Vec<Opt> {
    vec![
        Opt::port("mesos_webconsole_proxy_port", 8083, "port of the console proxy on the mesos slaves"),
        Opt::string_list("webconsole_allow", "networks (a.b.c.d/n) that web consoles may reach; all if none is named"),
        Opt::string("edition", "ieod", "which service checks access tokens: ieod or ee, anything else is none"),
        Opt::string("peer_token", "", "secret that the instances of this program share").secret(),
        Opt::boolean("console", false, "serve the web console on the HTTPS port, for super users"),
        Opt::uint("max_body_size", MAX_BODY_SIZE, "bytes of a request body that has to be read before it is sent on"),
    ]
}

fn bkiam_auth() -> Vec<Opt> {
    vec![
        Opt::boolean("bkiam_auth.auth", false, "check the tokens of requests to /bcsapi/v4"),
        Opt::boolean("bkiam_auth.remote_check", false, "let the IAM decide on tokens that are not in the white list"),
        Opt::boolean("bkiam_auth.skip_none_token", false, "let requests without a token pass"),
        Opt::string("bkiam_auth.auth_version", "3", "version of the PaaS API that checks access tokens"),
        Opt::string("bkiam_auth.apigw_rsa_file", "", "public key that checks the tokens of the API gateway"),
        Opt::int64("bkiam_auth.auth_token_sync_time", 10, "seconds between two reads of the token store"),
        Opt::string("bkiam_auth.bkiam_auth_host", "", "URL of the IAM and PaaS services"),
        Opt::string("bkiam_auth.bkiam_auth_app_code", "", "name of this application there"),
        Opt::string("bkiam_auth.bkiam_auth_app_secret", "", "secret of this application there").secret(),
        Opt::string("bkiam_auth.bkiam_auth_system_id", "", "id of this system in the IAM"),
        Opt::string("bkiam_auth.bkiam_auth_scope_id", "", "scope of permissions in the IAM"),
        Opt::string("bkiam_auth.bkiam_auth_zookeeper", "", "ZooKeeper servers of the token store"),
        Opt::string("bkiam_auth.bkiam_auth_sub_server", "", "host:port of the server that sends permissions"),
        Opt::json("bkiam_auth.bkiam_auth_token_whitelist", "tokens that need no IAM, and what they may do").secret(),
    ]
}

fn bke() -> Vec<Opt> {
    vec![
        Opt::string("bke.mysql_dsn", "", "data source name of MySQL; empty or sqlite:[file]: embedded").secret(),
        Opt::json("bke.bootstrap_users", "users to create at the start, with encrypted tokens").secret(),
        Opt::json("bke.cluster_credentials_fixtures", "clusters that are not in the database").secret(),
        Opt::boolean("bke.turn_on_rbac", false, "plain users act in clusters under their own names"),
        Opt::boolean("bke.turn_on_auth", false, "write the permissions that the IAM sends into clusters"),
        Opt::boolean("bke.turn_on_conf", false, "write the permissions of rbac_data into clusters"),
        Opt::json("bke.rbac_data", "permissions of users in clusters"),
    ]
}

fn tke() -> Vec<Opt> {
    vec![
        Opt::string("tke.secret_id", "", "id of the Tencent Cloud account").secret(),
        Opt::string("tke.secret_key", "", "key of the Tencent Cloud account").secret(),
        Opt::string("tke.ccs_host", "", "host of the container service API"),
        Opt::string("tke.ccs_path", "", "path of the container service API"),
    ]
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
    /// ZooKeeper.
    #[serde(flatten)]
    pub zk: ZkOptions,
    /// Certificates.
    #[serde(flatten)]
    pub cert: CertOptions,
    /// Certificates that replace those.
    #[serde(flatten)]
    pub custom_cert: CustomCertOptions,
    /// The log.
    #[serde(flatten)]
    pub log: LogOptions,
    /// The pid file.
    #[serde(flatten)]
    pub process: ProcessOptions,
    /// The address for other instances.
    #[serde(flatten)]
    pub local: LocalOptions,
    /// Whether clients need certificates.
    #[serde(flatten)]
    pub verify_client_tls: VerifyClientTlsOptions,
    /// The data directory and the check of other servers.
    #[serde(flatten)]
    pub ours: OursOptions,
    /// Port of the console proxy on mesos slaves.
    pub mesos_webconsole_proxy_port: u16,
    /// Networks that web consoles may reach (design: all unicast addresses but those of this host, if empty).
    pub webconsole_allow: Vec<String>,
    /// `ieod`, `ee`, or anything else for no access tokens.
    pub edition: String,
    /// As configured; see [`Options::peer_token`].
    pub peer_token: String,
    /// The web console is served on the HTTPS port.
    pub console: bool,
    /// Longest request body, in bytes, that is read into memory.
    pub max_body_size: u64,
    /// `bkiam_auth`.
    pub bkiam_auth: BkiamAuthOptions,
    /// `bke`.
    pub bke: BkeOptions,
    /// `tke`.
    pub tke: TkeOptions,
    /// The service runs inside of `bcs server`; not configurable. Then a plain listener with port 0 takes any free port.
    #[serde(skip)]
    pub embedded: bool,
    /// The token of the super user `admin`, who is made if this is set; not configurable.
    #[serde(skip)]
    pub admin_token: Option<String>,
}

/// The object `bkiam_auth`.
#[derive(Clone, Deserialize)]
pub struct BkiamAuthOptions {
    /// Master switch of the filter of `/bcsapi/v4`.
    pub auth: bool,
    /// Tokens that are not in the white list are looked up, and the IAM is asked.
    pub remote_check: bool,
    /// Requests without any token pass.
    pub skip_none_token: bool,
    /// `3`, or anything else for the older path of the access-token check.
    pub auth_version: String,
    /// PEM file of the RSA key that checks the JWT of the API gateway.
    pub apigw_rsa_file: PathBuf,
    /// Seconds between two reads of the token store, positive.
    pub auth_token_sync_time: i64,
    /// URL of IAM and PaaS.
    pub bkiam_auth_host: String,
    /// Name of this application.
    pub bkiam_auth_app_code: String,
    /// Its secret.
    pub bkiam_auth_app_secret: String,
    /// Id of this system in the IAM.
    pub bkiam_auth_system_id: String,
    /// Scope of permissions in the IAM.
    pub bkiam_auth_scope_id: String,
    /// ZooKeeper servers of the token store.
    pub bkiam_auth_zookeeper: String,
    /// `host:port` of the permission push server.
    pub bkiam_auth_sub_server: String,
    /// The white list.
    #[serde(default, deserialize_with = "lenient::list")]
    pub bkiam_auth_token_whitelist: Vec<WhitelistOptions>,
}

/// An element of `bkiam_auth_token_whitelist`.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub struct WhitelistOptions {
    /// The encrypted token.
    #[serde(deserialize_with = "lenient::string")]
    pub token: String,
    /// What it may do; everything if empty.
    #[serde(deserialize_with = "lenient::list")]
    pub scope: Vec<ScopeOptions>,
}

/// A cluster, and namespaces of it, that a token of the white list may use.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub struct ScopeOptions {
    /// BCS cluster id.
    #[serde(deserialize_with = "lenient::string")]
    pub cluster_id: String,
    /// Namespaces; empty grants only what belongs to no namespace.
    #[serde(deserialize_with = "lenient::strings")]
    pub namespace: Vec<String>,
}

/// The object `bke`.
#[derive(Clone, Deserialize)]
pub struct BkeOptions {
    /// Go's data source name, or empty, or `sqlite:[file]`.
    pub mysql_dsn: String,
    /// Users to create.
    #[serde(default, deserialize_with = "lenient::list")]
    pub bootstrap_users: Vec<BootstrapOptions>,
    /// Clusters that are not in the database.
    #[serde(default)]
    pub cluster_credentials_fixtures: FixturesOptions,
    /// The kube proxy impersonates users that are not super users.
    pub turn_on_rbac: bool,
    /// Permissions come from the push server.
    pub turn_on_auth: bool,
    /// Permissions come from `rbac_data`.
    pub turn_on_conf: bool,
    /// Permissions of users.
    #[serde(default, deserialize_with = "lenient::list")]
    pub rbac_data: Vec<RbacOptions>,
}

/// An element of `bootstrap_users`.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub struct BootstrapOptions {
    /// Name of the user.
    #[serde(deserialize_with = "lenient::string")]
    pub name: String,
    /// Whether it may do everything.
    #[serde(deserialize_with = "lenient::boolean")]
    pub is_super_user: bool,
    /// Encrypted tokens; the first one counts.
    #[serde(deserialize_with = "lenient::strings")]
    pub tokens: Vec<String>,
}

/// `bke.cluster_credentials_fixtures`.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub struct FixturesOptions {
    /// Whether they are used.
    #[serde(deserialize_with = "lenient::boolean")]
    pub is_enabled_fixtures_credentials: bool,
    /// The clusters.
    #[serde(deserialize_with = "lenient::list")]
    pub credentials: Vec<FixtureOptions>,
}

/// A cluster that is not in the database.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub struct FixtureOptions {
    /// Its id and identifier.
    #[serde(deserialize_with = "lenient::string")]
    pub cluster_id: String,
    /// Must be `service_account`.
    #[serde(rename = "type", deserialize_with = "lenient::string")]
    pub kind: String,
    /// URLs of its API servers, joined by `;`.
    #[serde(deserialize_with = "lenient::string")]
    pub server: String,
    /// Base64 of the CA's PEM text.
    #[serde(deserialize_with = "lenient::string")]
    pub ca_cert: String,
    /// Base64 of the token.
    #[serde(deserialize_with = "lenient::string")]
    pub token: String,
}

/// An element of `rbac_data`.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub struct RbacOptions {
    /// Name of the user.
    #[serde(deserialize_with = "lenient::string")]
    pub user_name: String,
    /// BKE id of the cluster.
    #[serde(deserialize_with = "lenient::string")]
    pub cluster_id: String,
    /// Roles, such as `cluster-manage`.
    #[serde(deserialize_with = "lenient::strings")]
    pub roles: Vec<String>,
}

/// The object `tke`; all four are needed.
#[derive(Clone, Default, Deserialize)]
pub struct TkeOptions {
    /// Id of the account.
    pub secret_id: String,
    /// Key of the account.
    pub secret_key: String,
    /// `host[:port]`.
    pub ccs_host: String,
    /// With a `/` at its start.
    pub ccs_path: String,
}

impl Options {
    /// What keeps the service from starting with these options, beside files and backends.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let users = bootstrap::users(&self.bke.bootstrap_users).err().map(|error| chain(&error));
        let networks = Allowed::parse(&self.webconsole_allow).err();
        let networks = networks.map(|error| format!("key \"webconsole_allow\": {error}"));
        users.into_iter().chain(networks).collect()
    }

    /// The secret that the instances share.
    #[must_use]
    pub fn peer_token(&self) -> &str {
        if self.peer_token.is_empty() { PEER_TOKEN } else { &self.peer_token }
    }

    /// Where the embedded database is.
    #[must_use]
    pub fn database_file(&self) -> PathBuf {
        Path::new(&self.ours.data_dir).join(DATABASE_FILE)
    }
}
