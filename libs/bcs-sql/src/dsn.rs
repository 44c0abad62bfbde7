//! Data source names: the syntax of the Go MySQL driver (user-manager.md 11.2), and `sqlite:`.
//!
//! No error holds any part of the name but the key of a parameter: the rest may be a password.

use std::path::{Path, PathBuf};
use std::time::Duration;

use percent_encoding::percent_decode_str;
use thiserror::Error;

use crate::zone::Zone;

/// Port of a MySQL server whose address names none.
const DEFAULT_PORT: u16 = 3306;
/// Where the Go driver looks for the socket of `unix()`.
const DEFAULT_SOCKET: &str = "/tmp/mysql.sock";
/// Switches of the Go driver that change nothing here.
const IGNORED: &[&str] = &[
    "allowAllFiles",
    "allowNativePasswords",
    "allowOldPasswords",
    "checkConnLiveness",
    "clientFoundRows",
    "columnsWithAlias",
    "interpolateParams",
    "maxAllowedPacket",
    "multiStatements",
    "parseTime",
    "rejectReadOnly",
    "serverPubKey",
];

/// Which database to use, and how.
#[derive(Clone, PartialEq, Eq)]
pub enum Dsn {
    /// A MySQL or MariaDB server.
    MySql(Box<MySqlDsn>),
    /// The embedded SQLite, in this file.
    Sqlite(PathBuf),
}

/// A parsed data source name of the Go MySQL driver.
#[derive(Clone, PartialEq, Eq)]
pub struct MySqlDsn {
    /// The user; may be empty.
    pub user: String,
    /// The password; none if there is no `:` behind the user.
    pub password: Option<String>,
    /// Where the server listens.
    pub address: Address,
    /// The schema; may be empty.
    pub database: String,
    /// `charset`: the first that the server knows is used. Empty: `utf8mb4`.
    pub charsets: Vec<String>,
    /// `collation`.
    pub collation: Option<String>,
    /// `loc`: the zone that times are written and read in.
    pub zone: Zone,
    /// `timeout`: limit of a connection attempt.
    pub connect_timeout: Option<Duration>,
    /// `readTimeout` and `writeTimeout`, the longer one: limit of a statement.
    pub statement_timeout: Option<Duration>,
    /// `tls`.
    pub tls: Tls,
    /// `allowCleartextPasswords`.
    pub cleartext_password: bool,
    /// All other parameters: session variables, set on every connection with the value as it is.
    pub variables: Vec<(String, String)>,
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `tcp(host:port)`.
    Tcp {
        /// Name or IP address, IPv6 without brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// `unix(path)`.
    Unix(PathBuf),
}

/// The parameter `tls`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tls {
    /// `false`, the default.
    #[default]
    Off,
    /// `preferred`: if the server can; its certificate is not checked.
    Preferred,
    /// `skip-verify`: the certificate is not checked.
    SkipVerify,
    /// `true`: the certificate must be signed by a CA of the system and name the host.
    Verify,
}

/// Why a data source name cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DsnError {
    /// There is no `/`.
    #[error("invalid DSN: missing the slash separating the database name")]
    NoSlash,
    /// `(` without `)`.
    #[error("invalid DSN: network address not terminated (missing closing brace)")]
    NoBrace,
    /// A `/` in a parameter is taken for the one before the database name.
    #[error("invalid DSN: did you forget to escape a param value?")]
    Unescaped,
    /// Neither `tcp` nor `unix`.
    #[error("invalid DSN: the network must be tcp or unix")]
    Network,
    /// The port is no number.
    #[error("invalid DSN: the port is not a number from 1 to 65535")]
    Port,
    /// A parameter whose name no session variable can have.
    #[error("invalid DSN: malformed parameter name")]
    ParameterName,
    /// A parameter with a value it cannot have.
    #[error("invalid DSN: unusable value of {0}")]
    Parameter(&'static str),
}

impl Dsn {
    /// Reads a data source name. An empty one, and a bare `sqlite:`, is the SQLite database in `default_file`.
    ///
    /// # Errors
    /// See [`DsnError`].
    pub fn parse(text: &str, default_file: &Path) -> Result<Self, DsnError> {
        match text.strip_prefix("sqlite:") {
            Some(path) => Ok(Self::Sqlite(sqlite_file(path, default_file))),
            None if text.is_empty() => Ok(Self::Sqlite(default_file.to_owned())),
            None => MySqlDsn::parse(text).map(|dsn| Self::MySql(Box::new(dsn))),
        }
    }
}

/// `sqlite:path` and `sqlite://path`.
fn sqlite_file(path: &str, default_file: &Path) -> PathBuf {
    match path.strip_prefix("//").unwrap_or(path) {
        "" => default_file.to_owned(),
        path => PathBuf::from(path),
    }
}

impl MySqlDsn {
    /// Reads `[user[:password]@][net[(addr)]]/dbname[?key=value&...]`, from the right as the Go driver does.
    ///
    /// # Errors
    /// See [`DsnError`].
    pub fn parse(text: &str) -> Result<Self, DsnError> {
        let (left, right) = text.rsplit_once('/').ok_or(DsnError::NoSlash)?;
        let (credentials, network) = left.rsplit_once('@').unwrap_or(("", left));
        let (user, password) = match credentials.split_once(':') {
            Some((user, password)) => (user, Some(password.to_owned())),
            None => (credentials, None),
        };
        let (database, parameters) = right.split_once('?').unwrap_or((right, ""));
        let mut dsn = Self {
            user: user.to_owned(),
            password,
            address: address(network)?,
            database: database.to_owned(),
            charsets: Vec::new(),
            collation: None,
            zone: Zone::Utc,
            connect_timeout: None,
            statement_timeout: None,
            tls: Tls::Off,
            cleartext_password: false,
            variables: Vec::new(),
        };
        for parameter in parameters.split('&') {
            // A parameter without a value is ignored by the original.
            if let Some((key, value)) = parameter.split_once('=') {
                dsn.set(key, value)?;
            }
        }
        Ok(dsn)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), DsnError> {
        match key {
            "charset" => self.charsets = words("charset", value, ',')?,
            "collation" => self.collation = words("collation", value, '\0')?.pop(),
            "loc" => {
                let name = unescape(value).ok_or(DsnError::Parameter("loc"))?;
                self.zone = Zone::parse(&name).ok_or(DsnError::Parameter("loc"))?;
            }
            "timeout" => self.connect_timeout = timeout("timeout", value)?,
            "readTimeout" => self.allow_statement(timeout("readTimeout", value)?),
            "writeTimeout" => self.allow_statement(timeout("writeTimeout", value)?),
            "tls" => self.tls = tls(value)?,
            "allowCleartextPasswords" => {
                self.cleartext_password = boolean(value).ok_or(DsnError::Parameter("allowCleartextPasswords"))?;
            }
            known if IGNORED.contains(&known) => {}
            variable => {
                if !is_word(variable) {
                    return Err(DsnError::ParameterName);
                }
                let value = unescape(value).ok_or(DsnError::ParameterName)?;
                self.variables.push((variable.to_owned(), value));
            }
        }
        Ok(())
    }

    /// A statement writes first and reads then; both limits together are its limit.
    fn allow_statement(&mut self, limit: Option<Duration>) {
        self.statement_timeout = self.statement_timeout.max(limit);
    }
}

fn address(network: &str) -> Result<Address, DsnError> {
    let (net, address) = match network.split_once('(') {
        None => (network, ""),
        Some((net, rest)) => match rest.strip_suffix(')') {
            Some(address) => (net, address),
            None if rest.contains(')') => return Err(DsnError::Unescaped),
            None => return Err(DsnError::NoBrace),
        },
    };
    match net {
        "" | "tcp" | "tcp4" | "tcp6" => tcp(address),
        "unix" if address.is_empty() => Ok(Address::Unix(DEFAULT_SOCKET.into())),
        "unix" => Ok(Address::Unix(address.into())),
        _ => Err(DsnError::Network),
    }
}

fn tcp(address: &str) -> Result<Address, DsnError> {
    let (host, port) = match address.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':')),
        // More than one colon without brackets is an IPv6 address without a port.
        None => match address.split_once(':') {
            Some((host, port)) if !port.contains(':') => (host, Some(port)),
            _ => (address, None),
        },
    };
    let port = match port {
        None => DEFAULT_PORT,
        Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or(DsnError::Port)?,
    };
    let host = if host.is_empty() { "127.0.0.1" } else { host };
    Ok(Address::Tcp { host: host.to_owned(), port })
}

fn tls(value: &str) -> Result<Tls, DsnError> {
    match boolean(value) {
        Some(true) => return Ok(Tls::Verify),
        Some(false) => return Ok(Tls::Off),
        None => {}
    }
    match value.to_ascii_lowercase().as_str() {
        "skip-verify" => Ok(Tls::SkipVerify),
        "preferred" => Ok(Tls::Preferred),
        _ => Err(DsnError::Parameter("tls")),
    }
}

fn boolean(value: &str) -> Option<bool> {
    match value {
        "1" | "true" | "TRUE" | "True" => Some(true),
        "0" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Names of charsets and collations; they become part of a statement.
fn words(key: &'static str, value: &str, separator: char) -> Result<Vec<String>, DsnError> {
    let value = unescape(value).ok_or(DsnError::Parameter(key))?;
    let words: Vec<String> = value.split(separator).map(str::to_owned).collect();
    if words.iter().all(|word| is_word(word)) { Ok(words) } else { Err(DsnError::Parameter(key)) }
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '@'))
}

/// As a URL query; none if the result is not UTF-8.
fn unescape(value: &str) -> Option<String> {
    let spaced = value.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

/// 0 is no limit, as in the original.
fn timeout(key: &'static str, value: &str) -> Result<Option<Duration>, DsnError> {
    let limit = go_duration(value).ok_or(DsnError::Parameter(key))?;
    Ok(Some(limit).filter(|limit| !limit.is_zero()))
}

/// A duration as Go writes them: `5s`, `1m30s`, `1.5h`, `300ms`, `0`.
fn go_duration(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    let mut seconds = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(end);
        let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let scale = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        seconds += number.parse::<f64>().ok()? * scale;
        rest = tail;
    }
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> MySqlDsn {
        MySqlDsn::parse(text).unwrap()
    }

    fn tcp_at(host: &str, port: u16) -> Address {
        Address::Tcp { host: host.into(), port }
    }

    #[test]
    fn reads_the_dsn_of_the_deploy_guide() {
        let dsn = parse("root:pw@tcp(10.0.0.1:3307)/bcs?charset=utf8mb4,utf8&parseTime=True&loc=Asia%2FShanghai");
        assert_eq!((dsn.user.as_str(), dsn.password.as_deref(), dsn.database.as_str()), ("root", Some("pw"), "bcs"));
        assert_eq!(dsn.address, tcp_at("10.0.0.1", 3307));
        assert_eq!(dsn.charsets, ["utf8mb4", "utf8"]);
        assert_eq!(dsn.zone, Zone::parse("Asia/Shanghai").unwrap());
        assert_eq!((dsn.tls, dsn.variables.len()), (Tls::Off, 0));
    }

    #[test]
    fn passwords_may_hold_any_character() {
        for password in ["a/b", "a@b", "a:b", "p@ss/w:rd()?", "", "%41 ü&=#"] {
            let dsn = parse(&format!("u:{password}@tcp(h)/db?tls=false"));
            assert_eq!(dsn.password.as_deref(), Some(password));
            assert_eq!((dsn.user.as_str(), dsn.address), ("u", tcp_at("h", 3306)), "{password}");
        }
        assert_eq!(parse("u@/db").password, None);
    }

    #[test]
    fn addresses_have_defaults() {
        for (text, want) in [
            ("/", tcp_at("127.0.0.1", 3306)),
            ("tcp/db", tcp_at("127.0.0.1", 3306)),
            ("u@tcp(db.example)/x", tcp_at("db.example", 3306)),
            ("tcp([::1]:3310)/", tcp_at("::1", 3310)),
            ("tcp([::1])/", tcp_at("::1", 3306)),
            ("tcp(::1)/", tcp_at("::1", 3306)),
            ("(h:1)/", tcp_at("h", 1)),
            ("unix/", Address::Unix("/tmp/mysql.sock".into())),
            ("u:p@unix(/run/my sql.sock)/db", Address::Unix("/run/my sql.sock".into())),
        ] {
            assert_eq!(parse(text).address, want, "{text}");
        }
    }

    #[test]
    fn parameters() {
        let dsn = parse(
            "/db?collation=utf8mb4_bin&timeout=5s&readTimeout=1m30s&writeTimeout=300ms&tls=skip-verify\
             &time_zone=%27%2B08%3A00%27&sql_mode=''&maxAllowedPacket=0&flag",
        );
        assert_eq!(dsn.collation.as_deref(), Some("utf8mb4_bin"));
        assert_eq!(dsn.connect_timeout, Some(Duration::from_secs(5)));
        assert_eq!(dsn.statement_timeout, Some(Duration::from_secs(90)));
        assert_eq!(dsn.tls, Tls::SkipVerify);
        let variables = [("time_zone", "'+08:00'"), ("sql_mode", "''")];
        assert_eq!(dsn.variables, variables.map(|(key, value)| (key.to_owned(), value.to_owned())));
        assert_eq!(parse("/db?readTimeout=0&loc=").statement_timeout, None);
        for (value, tls) in
            [("True", Tls::Verify), ("0", Tls::Off), ("Preferred", Tls::Preferred), ("SKIP-VERIFY", Tls::SkipVerify)]
        {
            assert_eq!(parse(&format!("/?tls={value}")).tls, tls);
        }
    }

    #[test]
    fn errors_say_what_is_wrong_and_hold_no_secret() {
        for (text, want) in [
            ("root:hunter2@tcp(h:1)", DsnError::NoSlash),
            ("root:hunter2@tcp(h:1/db", DsnError::NoBrace),
            ("root:hunter2@tcp(h:1)/db?loc=Asia/Shanghai", DsnError::Unescaped),
            ("root:hunter2@pipe(x)/db", DsnError::Network),
            ("root:hunter2@tcp(h:x)/db", DsnError::Port),
            ("root:hunter2@/db?loc=Nowhere", DsnError::Parameter("loc")),
            ("root:hunter2@/db?timeout=5", DsnError::Parameter("timeout")),
            ("root:hunter2@/db?tls=hunter2", DsnError::Parameter("tls")),
            ("root:hunter2@/db?charset=x%3Bdrop", DsnError::Parameter("charset")),
            ("root:hunter2@/db?a%20b=1", DsnError::ParameterName),
        ] {
            let error = MySqlDsn::parse(text).err().unwrap();
            assert_eq!(error, want, "{text}");
            assert!(!error.to_string().contains("hunter2"));
        }
    }

    #[test]
    fn empty_and_sqlite_are_embedded() {
        let file = Path::new("data/x.db");
        for (text, want) in [
            ("", "data/x.db"),
            ("sqlite:", "data/x.db"),
            ("sqlite://", "data/x.db"),
            ("sqlite:a/b.db", "a/b.db"),
            ("sqlite:///var/b.db", "/var/b.db"),
        ] {
            assert!(Dsn::parse(text, file).unwrap() == Dsn::Sqlite(want.into()), "{text}");
        }
    }

    #[test]
    fn durations_of_go() {
        for (text, want) in [("0", Some(0)), ("1.5s", Some(1500)), ("1h1m1s1ms", Some(3_661_001)), ("1000us", Some(1))]
        {
            assert_eq!(go_duration(text), want.map(Duration::from_millis), "{text}");
        }
        for text in ["", "5", "s", "-1s", "1..5s", "1x", "1e3s", "99999999999999999999999h"] {
            assert_eq!(go_duration(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC*|[a-z:@()/?&=%0-9\\[\\]+.]*") {
            let _ = Dsn::parse(&text, Path::new("x"));
            let _ = go_duration(&text);
        }

        #[test]
        fn credentials_survive(user in "[^:@/]*", password in "\\PC*", database in "[^/?]*") {
            let dsn = parse(&format!("{user}:{password}@tcp(h:1)/{database}"));
            prop_assert_eq!((dsn.user, dsn.password, dsn.database), (user, Some(password), database));
        }
    }
}
