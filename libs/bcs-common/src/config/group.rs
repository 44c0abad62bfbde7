//! The option groups that services share (common.md 1.2 and 1.3) and the structs to flatten into a service's options.
//!
//! A name in one group never repeats in another group of the same service.

use std::path::PathBuf;

use serde::Deserialize;

use super::Opt;

/// FileConfig: `-f`, the config file.
#[must_use]
pub fn file() -> Vec<Opt> {
    vec![Opt::string("file", "", "JSON config file").short('f')]
}

/// ServiceConfig: where to listen.
#[must_use]
pub fn service() -> Vec<Opt> {
    vec![
        Opt::string("address", "127.0.0.1", "IP address to listen on and to register").short('a'),
        Opt::string("ipv6_address", "", "accepted for old configurations, unused"),
        Opt::port("port", 8080, "port to listen on").short('p'),
        Opt::string("insecure_address", "", "IP address of the plain HTTP listener"),
        Opt::port("insecure_port", 0, "port of the plain HTTP listener"),
        Opt::string("external_ip", "", "IP address for clients outside of the network"),
        Opt::string("external_ipv6", "", "IPv6 address for clients outside of the network"),
        Opt::uint("external_port", 0, "port for clients outside of the network"),
    ]
}

/// The values of [`service`].
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct ServiceOptions {
    /// IP of the main listener, the metric listener and of etcd registrations.
    pub address: String,
    /// Unused.
    pub ipv6_address: String,
    /// Port of the main listener.
    pub port: u16,
    /// IP of the plain HTTP listener of bcs-api and bcs-user-manager; empty: none.
    pub insecure_address: String,
    /// Port of the plain HTTP listener; 0: none.
    pub insecure_port: u16,
    /// Copied to ZooKeeper nodes.
    pub external_ip: String,
    /// Copied to ZooKeeper nodes.
    pub external_ipv6: String,
    /// Copied to ZooKeeper nodes.
    pub external_port: u64,
}

/// MetricConfig.
#[must_use]
pub fn metric() -> Vec<Opt> {
    vec![Opt::port("metric_port", 8081, "port of the metrics")]
}

/// The values of [`metric`].
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct MetricOptions {
    /// Port of the metric listener.
    pub metric_port: u16,
}

/// ZkConfig with the original's default, for services that cannot work without ZooKeeper.
#[must_use]
pub fn zk() -> Vec<Opt> {
    zk_or("127.0.0.1:2181")
}

/// ZkConfig without a default: ZooKeeper is used only if it is named.
#[must_use]
pub fn optional_zk() -> Vec<Opt> {
    zk_or("")
}

fn zk_or(default: &str) -> Vec<Opt> {
    vec![
        Opt::string("bcs_zookeeper", default, "ZooKeeper servers, comma separated host:port"),
        Opt::string("bcs_zookeeper_ipv6", "", "accepted for old configurations, unused"),
    ]
}

/// The values of [`zk`] and [`optional_zk`].
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct ZkOptions {
    /// Comma list of `host[:port]`, port 2181 if missing.
    pub bcs_zookeeper: String,
    /// Unused.
    pub bcs_zookeeper_ipv6: String,
}

/// ServerOnlyCertConfig.
#[must_use]
pub fn server_only_cert() -> Vec<Opt> {
    vec![
        Opt::string("ca_file", "", "CA certificates to check peers with"),
        Opt::string("server_cert_file", "", "certificate of the listener"),
        Opt::string("server_key_file", "", "private key of the listener"),
    ]
}

/// The values of [`server_only_cert`]; an empty path means none.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct ServerOnlyCertOptions {
    /// CA of client certificates.
    pub ca_file: PathBuf,
    /// Certificate chain of the listener, PEM.
    pub server_cert_file: PathBuf,
    /// Private key of the listener, PEM.
    pub server_key_file: PathBuf,
}

/// CertConfig.
#[must_use]
pub fn cert() -> Vec<Opt> {
    let mut options = server_only_cert();
    options.push(Opt::string("client_cert_file", "", "certificate for outgoing connections"));
    options.push(Opt::string("client_key_file", "", "private key for outgoing connections"));
    options
}

/// The values of [`cert`]; an empty path means none.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct CertOptions {
    /// CA of client and server certificates.
    pub ca_file: PathBuf,
    /// Certificate chain of the listener, PEM.
    pub server_cert_file: PathBuf,
    /// Private key of the listener, PEM.
    pub server_key_file: PathBuf,
    /// Certificate chain of the client side, PEM.
    pub client_cert_file: PathBuf,
    /// Private key of the client side, PEM.
    pub client_key_file: PathBuf,
}

/// LicenseServerConfig: accepted and never used, so there is no struct for it.
#[must_use]
pub fn license() -> Vec<Opt> {
    ["ls_address", "ls_ca_file", "ls_client_cert_file", "ls_client_key_file"]
        .map(|path| Opt::string(path, "", "accepted for old configurations, unused"))
        .to_vec()
}

/// LogConfig (common.md 1.6).
#[must_use]
pub fn log() -> Vec<Opt> {
    vec![
        Opt::string("log_dir", "./logs", "directory of the log files"),
        Opt::uint64("log_max_size", 500, "size of a log file in MB before the next one is started, 0 is no limit"),
        Opt::int64("log_max_num", 10, "log files to keep for each level, 0 is all"),
        Opt::boolean("logtostderr", false, "log to standard error instead of files"),
        Opt::boolean("alsologtostderr", false, "log to standard error and files"),
        Opt::int32("v", 0, "verbosity: 3 shows debug messages, 5 all"),
        Opt::string("stderrthreshold", "2", "lowest level to copy to standard error: 0 to 3 or a level name"),
        Opt::string("vmodule", "", "verbosity of source files, comma separated pattern=N"),
        Opt::string("log_backtrace_at", "", "accepted for old configurations, unused"),
    ]
}

/// The values of [`log`], and `log_format` of [`ours`].
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct LogOptions {
    /// Directory of the files, made if missing.
    pub log_dir: PathBuf,
    /// Size limit of a file in MB, 0: none.
    pub log_max_size: u64,
    /// Files to keep for each level; 0 or less: all.
    pub log_max_num: i64,
    /// No files.
    pub logtostderr: bool,
    /// Standard error and files.
    pub alsologtostderr: bool,
    /// Verbosity.
    pub v: i32,
    /// Number or name of the lowest level that also goes to standard error.
    pub stderrthreshold: String,
    /// `pattern=N,...`.
    pub vmodule: String,
    /// Unused.
    pub log_backtrace_at: String,
    /// The form of a line.
    #[serde(default)]
    pub log_format: LogFormat,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// The original's lines.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

/// ProcessConfig.
#[must_use]
pub fn process() -> Vec<Opt> {
    vec![Opt::string("pid_dir", "./pid", "directory of the pid file")]
}

/// The values of [`process`].
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct ProcessOptions {
    /// Directory of the pid file.
    pub pid_dir: PathBuf,
}

/// LocalConfig.
#[must_use]
pub fn local() -> Vec<Opt> {
    vec![
        Opt::string("local_ip", "", "IP address of this host for other instances"),
        Opt::string("local_ipv6", "", "IPv6 address of this host for other instances"),
    ]
}

/// The values of [`local`].
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct LocalOptions {
    /// IP in ZooKeeper nodes and peer ids.
    pub local_ip: String,
    /// IPv6 in ZooKeeper nodes.
    pub local_ipv6: String,
}

/// CustomCertConfig: where certificate and key are set, they replace those, the CA and the password of [`cert`].
#[must_use]
pub fn custom_cert() -> Vec<Opt> {
    vec![
        Opt::string("custom_ca_file", "", "CA that replaces ca_file"),
        Opt::string("custom_server_cert_file", "", "certificate that replaces server_cert_file"),
        Opt::string("custom_server_key_file", "", "private key that replaces server_key_file"),
        Opt::string("custom_server_key_password", "", "password of custom_server_key_file").secret(),
        Opt::string("custom_client_cert_file", "", "certificate that replaces client_cert_file"),
        Opt::string("custom_client_key_file", "", "private key that replaces client_key_file"),
        Opt::string("custom_client_key_password", "", "password of custom_client_key_file").secret(),
    ]
}

/// The values of [`custom_cert`].
#[derive(Clone, Deserialize, PartialEq, Eq)]
pub struct CustomCertOptions {
    /// CA for both sides.
    pub custom_ca_file: PathBuf,
    /// Certificate chain of the listener.
    pub custom_server_cert_file: PathBuf,
    /// Private key of the listener.
    pub custom_server_key_file: PathBuf,
    /// Its password.
    pub custom_server_key_password: String,
    /// Certificate chain of the client side.
    pub custom_client_cert_file: PathBuf,
    /// Private key of the client side.
    pub custom_client_key_file: PathBuf,
    /// Its password.
    pub custom_client_key_password: String,
}

impl std::fmt::Debug for CustomCertOptions {
    /// Without the passwords.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("CustomCertOptions")
            .field("custom_ca_file", &self.custom_ca_file)
            .field("custom_server_cert_file", &self.custom_server_cert_file)
            .field("custom_client_cert_file", &self.custom_client_cert_file)
            .finish_non_exhaustive()
    }
}

/// `verify_client_tls` of bcs-api and bcs-user-manager.
#[must_use]
pub fn verify_client_tls() -> Vec<Opt> {
    vec![Opt::boolean("verify_client_tls", false, "require client certificates signed by the CA")]
}

/// The value of [`verify_client_tls`].
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct VerifyClientTlsOptions {
    /// The main listener requires client certificates.
    pub verify_client_tls: bool,
}

/// The object `etcdRegistry` (common.md 4.1).
#[must_use]
pub fn etcd_registry() -> Vec<Opt> {
    vec![
        Opt::boolean("etcdRegistry.etcd_feature", false, "register in etcd"),
        Opt::string("etcdRegistry.etcd_address", "127.0.0.1:2379", "etcd servers, comma separated host:port"),
        Opt::string("etcdRegistry.etcd_ca", "", "CA certificates of etcd"),
        Opt::string("etcdRegistry.etcd_cert", "", "client certificate for etcd"),
        Opt::string("etcdRegistry.etcd_key", "", "private key of etcd_cert, not encrypted"),
    ]
}

/// The values of [`etcd_registry`].
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct EtcdRegistryOptions {
    /// The object in the file.
    #[serde(rename = "etcdRegistry")]
    pub etcd_registry: EtcdOptions,
}

/// The members of `etcdRegistry`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct EtcdOptions {
    /// Registration is on.
    pub etcd_feature: bool,
    /// Comma list of `host[:port]`, port 2379 if missing.
    pub etcd_address: String,
    /// CA file; empty: none.
    pub etcd_ca: PathBuf,
    /// Client certificate file; empty: none.
    pub etcd_cert: PathBuf,
    /// Client key file; empty: none.
    pub etcd_key: PathBuf,
}

/// What the original does not have: `data_dir`, `tls_verify`, and `log_format` of [`LogOptions`].
#[must_use]
pub fn ours() -> Vec<Opt> {
    vec![
        Opt::string("data_dir", "./data", "directory of the embedded databases").env("BCS_DATA_DIR"),
        Opt::string(
            "tls_verify",
            "",
            "check of the servers that are called: chain (signed by the CA), full (chain and name) or none",
        )
        .choices(&["", "chain", "full", "none"]),
        Opt::string("log_format", "text", "form of log lines: text or json").choices(&["text", "json"]),
    ]
}

/// The values of [`ours`].
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct OursOptions {
    /// Directory of the embedded databases.
    pub data_dir: PathBuf,
    /// How far the servers that are called must prove who they are: `chain`, `full`, `none`, or empty for the default
    /// (`chain` with a CA file, else `none`).
    pub tls_verify: String,
}
