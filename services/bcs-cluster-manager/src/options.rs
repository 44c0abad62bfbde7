//! Configuration (cluster-manager.md 2.2).

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bcs_common::config::Exit;
use bcs_common::config::group::{LogFormat, LogOptions};
use bcs_common::secret::{self, SecretError};
use bcs_common::tls::{ClientTls, ConfigKeys, ServerTls, Verify, path};
use thiserror::Error;

use crate::config::{self, Kind, Opt, Values};

/// What the original looks for MongoDB at.
const DEFAULT_MONGO: &str = "127.0.0.1:27017";

const fn text(key: &'static str, default: &'static str, usage: &'static str) -> Opt {
    Opt { key, flags: &[], kind: Kind::Text, default, usage, env: None, secret: false }
}

const fn number(key: &'static str, default: &'static str, usage: &'static str) -> Opt {
    Opt { kind: Kind::Number, ..text(key, default, usage) }
}

const fn boolean(key: &'static str, usage: &'static str) -> Opt {
    Opt { kind: Kind::Bool, ..text(key, "false", usage) }
}

const fn hidden(opt: Opt) -> Opt {
    Opt { secret: true, ..opt }
}

/// Everything the program accepts.
const OPTIONS: &[Opt] = &[
    Opt { flags: &["conf", "f", "file"], ..text("conf", "", "JSON config file") },
    text("address", "127.0.0.1", "IP address to listen on and to register"),
    text("insecureaddress", "127.0.0.1", "accepted for old configurations, unused"),
    number("port", "8081", "port of gRPC; it answers HTTP too"),
    number("httpport", "8080", "port of HTTP: REST, tunnels and the proxy"),
    number("metricport", "8082", "port of the metrics"),
    text("serverca", "", "CA that client certificates must be signed by"),
    text("servercert", "", "certificate of the listeners"),
    text("serverkey", "", "private key of the listeners"),
    text("clientca", "", "CA of the servers that are called"),
    text("clientcert", "", "certificate for outgoing connections"),
    text("clientkey", "", "private key for outgoing connections"),
    boolean("debug", "accepted for old configurations, unused"),
    text("etcd.endpoints", "", "etcd servers, comma separated; empty: a single instance that registers nowhere"),
    text("etcd.ca", "", "CA of etcd"),
    text("etcd.cert", "", "client certificate for etcd"),
    text("etcd.key", "", "private key of etcd_cert"),
    text("swagger.dir", "", "directory of the files below /swagger/"),
    hidden(text(
        "tunnel.peertoken",
        bcs_tunnel::DEFAULT_PEER_TOKEN,
        "token that replicas show each other; empty: no peers",
    )),
    text("bcslog.dir", "./logs", "directory of the log files"),
    number("bcslog.maxsize", "500", "size of a log file in MB before the next one is started"),
    number("bcslog.maxnum", "10", "log files to keep for each level"),
    boolean("bcslog.tostderr", "log to standard error instead of files"),
    boolean("bcslog.alsotostderr", "log to standard error and files"),
    number("bcslog.v", "0", "verbosity: 3 shows debug messages, 5 all"),
    text("bcslog.stderrthreshold", "2", "lowest level to copy to standard error"),
    text("bcslog.vmodule", "", "verbosity of source files, comma separated pattern=N"),
    text("bcslog.backtraceat", "", "accepted for old configurations, unused"),
    text(
        "mongo.address",
        "",
        "MongoDB servers, comma separated host:port; with neither address nor database: embedded",
    ),
    number("mongo.connecttimeout", "3", "seconds a connection to MongoDB may take"),
    text("mongo.database", "", "MongoDB database"),
    text("mongo.username", "", "MongoDB user; empty: no login"),
    hidden(text("mongo.password", "", "encrypted password of the MongoDB user")),
    number("mongo.maxpoolsize", "0", "most connections to MongoDB; 0: 100"),
    number("mongo.minpoolsize", "0", "connections to MongoDB to keep open"),
    Opt { env: Some("BCS_DATA_DIR"), ..text("data_dir", "./data", "directory of the embedded store") },
    text("tls_verify", "", "check of replicas that are called: chain (signed by the CA), full (and its name) or none"),
    text("log_format", "text", "form of log lines: text or json"),
];

/// The configuration of a service. Secrets are not printed.
#[derive(Clone)]
pub struct Options {
    /// IP address of all listeners, as registered.
    pub address: String,
    /// gRPC.
    pub port: u16,
    /// HTTP.
    pub http_port: u16,
    /// Metrics.
    pub metric_port: u16,
    /// The listeners' TLS; used if certificate, key and CA are set.
    pub server_tls: ServerTls,
    /// TLS to replicas; used if certificate, key and CA are set.
    pub client_tls: ClientTls,
    /// etcd servers; empty: none.
    pub etcd_endpoints: String,
    /// TLS to etcd; used if certificate, key and CA are set.
    pub etcd_tls: ClientTls,
    /// Directory of the swagger files; empty: none are served.
    pub swagger_dir: PathBuf,
    /// The token of replicas; empty: no peers.
    pub peer_token: String,
    /// The log.
    pub log: LogOptions,
    /// MongoDB servers, as configured.
    pub mongo_address: String,
    /// MongoDB's database.
    pub mongo_database: String,
    /// The store is embedded whatever else is set: an empty address was asked for.
    pub embedded: bool,
    /// MongoDB's user.
    pub mongo_username: String,
    /// MongoDB's password, as configured.
    pub mongo_password: String,
    /// Limit of a connection to MongoDB.
    pub mongo_connect_timeout: Duration,
    /// Most connections to MongoDB.
    pub mongo_max_pool: u32,
    /// Least connections to MongoDB.
    pub mongo_min_pool: u32,
    /// Directory of the embedded store.
    pub data_dir: PathBuf,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("address", &self.address)
            .field("http_port", &self.http_port)
            .finish_non_exhaustive()
    }
}

/// A value of the configuration cannot be used. Names the key, never the value.
#[derive(Debug, Error)]
pub enum OptionsError {
    /// A MongoDB address without a database.
    #[error("mongo database cannot be empty")]
    NoDatabase,
    /// `mongo.password` cannot be decrypted.
    #[error("key \"mongo.password\": {0}")]
    Password(SecretError),
}

/// The store that the options mean.
#[derive(Debug)]
pub enum Store {
    /// The service's own file.
    Embedded,
    /// MongoDB.
    Mongo(Mongo),
}

/// MongoDB with its password in plain.
pub struct Mongo {
    /// The servers as they are configured; some lack a port.
    pub hosts: Vec<String>,
    /// The database.
    pub database: String,
    /// The user; empty: no login.
    pub username: String,
    /// Its password.
    pub password: String,
    /// Limit of a connection.
    pub connect_timeout: Duration,
    /// Most connections; 0: the driver's default.
    pub max_pool: u32,
    /// Connections to keep open.
    pub min_pool: u32,
}

/// What a config file says, for who wants to know before a service is started with it.
#[derive(Debug)]
pub struct Checked {
    /// The options.
    pub options: Options,
    /// The effective values, flags' defaults included, by the keys of the file. There are secrets among them.
    pub values: serde_json::Value,
    /// What works, but is probably not meant.
    pub warnings: Vec<String>,
}

impl std::fmt::Debug for Mongo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mongo").field("hosts", &self.hosts).field("database", &self.database).finish_non_exhaustive()
    }
}

impl Options {
    /// Loads them from a command line; the first argument is the program.
    ///
    /// # Errors
    /// The end of the process: `-help` and `-version` (code 0), a bad command line (2), an unusable value (1).
    pub fn load(args: impl Iterator<Item = OsString>) -> Result<Self, Exit> {
        let values = config::load("bcs-cluster-manager", OPTIONS, args, |name| std::env::var(name).ok())?;
        Self::of(&values).map_err(|error| Exit::failure(1, error))
    }

    /// Reads a file as [`load`](Self::load) does, and tells what it makes of it.
    ///
    /// # Errors
    /// What the service would end with.
    pub fn check(file: &Path) -> Result<Checked, String> {
        let args = ["bcs-cluster-manager".into(), "-f".into(), file.as_os_str().to_owned()];
        let env = |name: &str| std::env::var(name).ok();
        let values = config::load("bcs-cluster-manager", OPTIONS, args.into_iter(), env).map_err(|exit| exit.stderr)?;
        let options = Self::of(&values)?;
        let unknown = config::unknown_keys(OPTIONS, &file.to_string_lossy())?;
        let mut warnings: Vec<String> =
            unknown.iter().map(|key| format!("{}: key {key:?} is ignored", file.display())).collect();
        if !options.etcd_endpoints.is_empty() && options.peer_token == bcs_tunnel::DEFAULT_PEER_TOKEN {
            warnings.push("tunnel.peertoken is the default that everybody knows: set one of your own".to_owned());
        }
        Ok(Checked { options, values: values.to_json(OPTIONS), warnings })
    }

    fn of(values: &Values) -> Result<Self, String> {
        let file = |key: &str| path(&values.text(key));
        let verify = Verify::from_config(&values.text("tls_verify")).map_err(|error| error.to_string())?;
        let seconds: u32 = values.number("mongo.connecttimeout")?;
        Ok(Self {
            address: values.text("address"),
            port: values.number("port")?,
            http_port: values.number("httpport")?,
            metric_port: values.number("metricport")?,
            server_tls: ServerTls {
                ca_file: file("serverca"),
                cert_file: file("servercert"),
                key_file: file("serverkey"),
                config_keys: ConfigKeys { ca: "serverca", cert: "servercert", key: "serverkey", ..ConfigKeys::SERVER },
                ..ServerTls::default()
            },
            client_tls: ClientTls {
                ca_file: file("clientca"),
                cert_file: file("clientcert"),
                key_file: file("clientkey"),
                verify,
                config_keys: ConfigKeys { ca: "clientca", cert: "clientcert", key: "clientkey", ..ConfigKeys::CLIENT },
                ..ClientTls::default()
            },
            etcd_endpoints: values.text("etcd.endpoints"),
            etcd_tls: ClientTls {
                ca_file: file("etcd.ca"),
                cert_file: file("etcd.cert"),
                key_file: file("etcd.key"),
                // Keys for etcd are never encrypted.
                key_password: String::new(),
                verify,
                config_keys: ConfigKeys { ca: "etcd.ca", cert: "etcd.cert", key: "etcd.key", password: "" },
            },
            swagger_dir: values.text("swagger.dir").into(),
            peer_token: values.text("tunnel.peertoken"),
            log: log(values)?,
            embedded: values.is_given("mongo.address") && values.text("mongo.address").is_empty(),
            mongo_address: values.text("mongo.address"),
            mongo_database: values.text("mongo.database"),
            mongo_username: values.text("mongo.username"),
            mongo_password: values.text("mongo.password"),
            mongo_connect_timeout: Duration::from_secs(seconds.into()),
            mongo_max_pool: values.number("mongo.maxpoolsize")?,
            mongo_min_pool: values.number("mongo.minpoolsize")?,
            data_dir: values.text("data_dir").into(),
        })
    }

    /// MongoDB, unless neither its address nor its database is named: every configuration that the original can work with
    /// names a database.
    ///
    /// # Errors
    /// A MongoDB without a database, or with a password that cannot be decrypted.
    pub fn store(&self) -> Result<Store, OptionsError> {
        let named = !self.mongo_address.is_empty();
        if self.embedded || (!named && self.mongo_database.is_empty()) {
            return Ok(Store::Embedded);
        }
        if self.mongo_database.is_empty() {
            return Err(OptionsError::NoDatabase);
        }
        let address = if named { self.mongo_address.as_str() } else { DEFAULT_MONGO };
        let hosts = address.split(',').map(str::trim).filter(|host| !host.is_empty());
        Ok(Store::Mongo(Mongo {
            hosts: hosts.map(str::to_owned).collect(),
            database: self.mongo_database.clone(),
            username: self.mongo_username.clone(),
            password: secret::decrypt(&self.mongo_password).map_err(OptionsError::Password)?,
            connect_timeout: self.mongo_connect_timeout,
            max_pool: self.mongo_max_pool,
            min_pool: self.mongo_min_pool,
        }))
    }

    /// Whether the listeners speak TLS, with client certificates.
    pub(crate) fn serves_tls(&self) -> bool {
        let tls = &self.server_tls;
        tls.ca_file.is_some() && tls.cert_file.is_some() && tls.key_file.is_some()
    }

    /// Whether replicas are called with TLS.
    pub(crate) fn calls_with_tls(&self) -> bool {
        is_complete(&self.client_tls)
    }

    /// Whether etcd is called with TLS.
    pub(crate) fn etcd_with_tls(&self) -> bool {
        is_complete(&self.etcd_tls)
    }
}

fn is_complete(tls: &ClientTls) -> bool {
    tls.ca_file.is_some() && tls.cert_file.is_some() && tls.key_file.is_some()
}

fn log(values: &Values) -> Result<LogOptions, String> {
    let log_format = match values.text("log_format").as_str() {
        "text" | "" => LogFormat::Text,
        "json" => LogFormat::Json,
        _ => return Err("key \"log_format\": want text or json".to_owned()),
    };
    Ok(LogOptions {
        log_dir: values.text("bcslog.dir").into(),
        log_max_size: values.number("bcslog.maxsize")?,
        log_max_num: values.number("bcslog.maxnum")?,
        logtostderr: values.bool("bcslog.tostderr"),
        alsologtostderr: values.bool("bcslog.alsotostderr"),
        v: values.number("bcslog.v")?,
        stderrthreshold: values.text("bcslog.stderrthreshold"),
        vmodule: values.text("bcslog.vmodule"),
        log_backtrace_at: values.text("bcslog.backtraceat"),
        log_format,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(args: &[&str]) -> Options {
        let args = std::iter::once("bcs-cluster-manager").chain(args.iter().copied()).map(OsString::from);
        Options::load(args).map_err(|exit| exit.stderr).unwrap()
    }

    #[test]
    fn the_rendered_template_is_understood() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("c.json");
        let config = r#"{
            "address":"10.0.0.5","port":8080,"httpport":8081,"metricport":8082,
            "serverca":"/c/ca.crt","servercert":"/c/s.crt","serverkey":"/c/s.key",
            "clientca":"/c/ca.crt","clientcert":"/c/c.crt","clientkey":"","debug":false,
            "etcd":{"endpoints":"e1:2379;https://e2","ca":"","cert":"","key":""},
            "swagger":{"dir":"/data/bcs/swagger"},"tunnel":{"peertoken":"t"},
            "bcslog":{"dir":"/data/bcs/logs/bcs","alsotostderr":true,"v":3},
            "mongo":{"address":"m1:27017,m2","connecttimeout":3,"database":"clustermanager","username":"admin",
                     "password":"","maxpoolsize":0,"minpoolsize":0}}"#;
        std::fs::write(&file, config).unwrap();
        let options = options(&["--conf", file.to_str().unwrap()]);
        assert_eq!((options.port, options.http_port, options.address.as_str()), (8080, 8081, "10.0.0.5"));
        assert!(options.serves_tls() && !options.calls_with_tls() && !options.etcd_with_tls());
        assert_eq!((options.peer_token.as_str(), options.log.v, options.log.log_max_size), ("t", 3, 500));
        let Ok(Store::Mongo(mongo)) = options.store() else { panic!("no MongoDB") };
        assert_eq!(
            (mongo.hosts, mongo.database.as_str()),
            (vec!["m1:27017".to_owned(), "m2".into()], "clustermanager")
        );
    }

    #[test]
    fn which_store() {
        assert!(matches!(options(&[]).store(), Ok(Store::Embedded)));
        assert!(matches!(options(&["-mongo_address=", "-mongo_database=d"]).store(), Ok(Store::Embedded)));
        let Ok(Store::Mongo(mongo)) = options(&["-mongo_database=d"]).store() else { panic!("no MongoDB") };
        assert_eq!(mongo.hosts, [DEFAULT_MONGO]);
        assert!(matches!(options(&["-mongo_address=m"]).store(), Err(OptionsError::NoDatabase)));
        let secret = options(&["-mongo_database=d", "-mongo_password=hunter2!"]).store().unwrap_err().to_string();
        assert!(secret.contains("mongo.password") && !secret.contains("hunter2"), "{secret}");
    }

    #[test]
    fn defaults_are_those_of_the_original() {
        let options = options(&[]);
        assert_eq!((options.port, options.http_port, options.metric_port), (8081, 8080, 8082));
        assert_eq!(
            (options.peer_token.as_str(), options.address.as_str()),
            (bcs_tunnel::DEFAULT_PEER_TOKEN, "127.0.0.1")
        );
        assert!(!options.serves_tls() && options.etcd_endpoints.is_empty());
    }
}
