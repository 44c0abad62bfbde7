//! One connection to either database.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::mysql::{MySqlArguments, MySqlConnectOptions, MySqlConnection, MySqlSslMode};
use sqlx::{Arguments, AssertSqlSafe, ConnectOptions, Connection as _, Executor};

use crate::dsn::{Address, MySqlDsn, Tls};
use crate::error::SqlError;
use crate::row::{Param, Row, to_mysql_time};
use crate::sqlite;
use crate::zone::Zone;

/// Limit of a connection attempt, unless `timeout` says otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// MySQL's error for a charset it does not know.
const UNKNOWN_CHARACTER_SET: u16 = 1115;
/// Where systems keep their CA certificates, as Go looks for them.
const CA_BUNDLES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// What a write did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Rows that were changed.
    pub rows: u64,
    /// The id of an inserted row.
    pub id: u64,
}

/// How to connect.
pub(crate) enum Connector {
    MySql { dsn: Box<MySqlDsn>, options: Box<MySqlConnectOptions> },
    Sqlite(PathBuf),
}

/// An open connection.
pub(crate) enum Connection {
    MySql(MySqlConnection, Zone),
    Sqlite(rusqlite::Connection),
}

impl Connector {
    pub fn mysql(dsn: Box<MySqlDsn>) -> Self {
        let options = Box::new(mysql_options(&dsn));
        Self::MySql { dsn, options }
    }

    pub fn sqlite(file: &Path) -> Self {
        Self::Sqlite(file.to_owned())
    }

    pub async fn connect(&self) -> Result<Connection, SqlError> {
        match self {
            Self::Sqlite(file) => sqlite::open(file).map(Connection::Sqlite),
            Self::MySql { dsn, options } => {
                let limit = dsn.connect_timeout.unwrap_or(CONNECT_TIMEOUT);
                let address = dsn.address.to_string();
                let attempt = async {
                    let mut connection =
                        options.connect().await.map_err(|error| SqlError::of_connect(&address, error))?;
                    prepare(&mut connection, dsn).await?;
                    Ok(Connection::MySql(connection, dsn.zone.clone()))
                };
                let late = |_| Err(SqlError::of_connect_timeout(&address, limit));
                tokio::time::timeout(limit, attempt).await.unwrap_or_else(late)
            }
        }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(formatter, "tcp [{host}]:{port}"),
            Self::Tcp { host, port } => write!(formatter, "tcp {host}:{port}"),
            Self::Unix(path) => write!(formatter, "unix {}", path.display()),
        }
    }
}

fn mysql_options(dsn: &MySqlDsn) -> MySqlConnectOptions {
    let mut options = MySqlConnectOptions::new()
        .username(&dsn.user)
        .ssl_mode(match dsn.tls {
            Tls::Off => MySqlSslMode::Disabled,
            Tls::Preferred => MySqlSslMode::Preferred,
            Tls::SkipVerify => MySqlSslMode::Required,
            Tls::Verify => MySqlSslMode::VerifyIdentity,
        })
        .enable_cleartext_plugin(dsn.cleartext_password)
        // The session stays as the server makes it: columns hold wall clocks, and Go instances write beside this one.
        .timezone(None)
        .pipes_as_concat(false)
        .no_engine_substitution(false)
        .set_names(false)
        .disable_statement_logging();
    options = match &dsn.address {
        Address::Tcp { host, port } => options.host(host).port(*port),
        Address::Unix(path) => options.socket(path),
    };
    // The Go driver takes an empty password for none.
    if let Some(password) = dsn.password.as_ref().filter(|password| !password.is_empty()) {
        options = options.password(password);
    }
    if !dsn.database.is_empty() {
        options = options.database(&dsn.database);
    }
    if dsn.tls == Tls::Verify {
        let own = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
        let known = CA_BUNDLES.iter().map(PathBuf::from);
        if let Some(bundle) = own.into_iter().chain(known).find(|path| path.exists()) {
            options = options.ssl_ca(bundle);
        }
    }
    options
}

/// Sets what the data source name asks for.
async fn prepare(connection: &mut MySqlConnection, dsn: &MySqlDsn) -> Result<(), SqlError> {
    set_names(connection, dsn).await?;
    for (key, value) in &dsn.variables {
        run(connection, format!("SET {key}={value}")).await?;
    }
    Ok(())
}

/// The first charset of the list that the server knows.
async fn set_names(connection: &mut MySqlConnection, dsn: &MySqlDsn) -> Result<(), SqlError> {
    let collation = dsn.collation.as_deref();
    if dsn.charsets.is_empty() {
        let collation = collation.unwrap_or("utf8mb4_general_ci");
        let charset = collation.split('_').next().unwrap_or(collation);
        return run(connection, format!("SET NAMES {charset} COLLATE {collation}")).await;
    }
    let collate = collation.map(|collation| format!(" COLLATE {collation}")).unwrap_or_default();
    let mut result = Ok(());
    for charset in &dsn.charsets {
        result = run(connection, format!("SET NAMES {charset}{collate}")).await;
        if !matches!(result, Err(SqlError::Refused { code: UNKNOWN_CHARACTER_SET, .. })) {
            break;
        }
    }
    result
}

async fn run(connection: &mut MySqlConnection, sql: String) -> Result<(), SqlError> {
    connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.map_err(SqlError::of_statement)?;
    Ok(())
}

impl Connection {
    /// The rows of a query.
    pub async fn read(&mut self, sql: &'static str, params: &[Param<'_>]) -> Result<Vec<Row>, SqlError> {
        match self {
            Self::MySql(connection, zone) => {
                let query = sqlx::query_with(sql, mysql_arguments(params, zone)?);
                let rows = query.fetch_all(connection).await.map_err(SqlError::of_statement)?;
                Ok(rows.into_iter().map(|row| Row::of_mysql(row, zone.clone())).collect())
            }
            Self::Sqlite(connection) => {
                Ok(sqlite::read(connection, sql, params)?.into_iter().map(Row::of_sqlite).collect())
            }
        }
    }

    /// Changes rows.
    pub async fn write(&mut self, sql: &'static str, params: &[Param<'_>]) -> Result<Written, SqlError> {
        match self {
            Self::MySql(connection, zone) => {
                let query = sqlx::query_with(sql, mysql_arguments(params, zone)?);
                let done = query.execute(connection).await.map_err(SqlError::of_statement)?;
                Ok(Written { rows: done.rows_affected(), id: done.last_insert_id() })
            }
            Self::Sqlite(connection) => sqlite::write(connection, sql, params),
        }
    }

    /// A statement without values: of a transaction, or of the schema.
    pub async fn run(&mut self, sql: String) -> Result<(), SqlError> {
        match self {
            Self::MySql(connection, _) => run(connection, sql).await,
            Self::Sqlite(connection) => sqlite::run(connection, &sql),
        }
    }

    /// Whether the other side is still there.
    pub async fn is_alive(&mut self) -> bool {
        match self {
            Self::MySql(connection, _) => connection.ping().await.is_ok(),
            Self::Sqlite(_) => true,
        }
    }
}

fn mysql_arguments(params: &[Param<'_>], zone: &Zone) -> Result<MySqlArguments, SqlError> {
    let mut arguments = MySqlArguments::default();
    for param in params {
        match param {
            Param::Text(text) => arguments.add(*text),
            Param::Uint(number) => arguments.add(*number),
            Param::Time(time) => arguments.add(to_mysql_time(*time, zone)),
        }
        .map_err(|error| SqlError::of_statement(sqlx::Error::Encode(error)))?;
    }
    Ok(arguments)
}
