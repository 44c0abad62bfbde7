//! `bcs cidr-migration-tool`: the original's tool that moves the pool of CIDRs from the SQL table that bcs-user-manager and
//! bcs-api keep to the MongoDB of bcs-cluster-manager (cluster-manager.md 9). A file lies between the two steps.

use std::error::Error;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use bcs_cluster_manager::Mongo;
use bcs_cluster_manager::cidr_import::{OldCidr, import};
use bcs_common::shutdown::Shutdown;
use bcs_sql::dsn::MySqlDsn;
use bcs_sql::{Database, Dsn, Row, SqlError, Time};
use serde::Serialize;
use thiserror::Error;

use crate::cli::{CidrMigrationArgs, MigrationMode};

/// How long the end may take, once everything is done.
const STOP_LIMIT: Duration = Duration::from_secs(5);

#[derive(Debug, Error)]
enum MigrationError {
    #[error("{mode} needs --{option}")]
    Missing { mode: &'static str, option: &'static str },
    #[error("{0}")]
    File(String, #[source] io::Error),
    #[error("{file} is no list of CIDRs as --mode dumps writes it")]
    Json { file: String, source: serde_json::Error },
}

/// A row of the table `tke_cidrs`.
#[derive(Serialize)]
struct Entry {
    #[serde(rename = "ID")]
    id: u32,
    vpc: String,
    cidr: String,
    ip_number: u32,
    status: String,
    cluster: String,
    #[serde(rename = "createAt")]
    created: Time,
    #[serde(rename = "updateAt")]
    updated: Time,
}

impl Entry {
    fn read(row: &Row) -> Result<Self, SqlError> {
        Ok(Self {
            id: row.uint(0)?,
            vpc: row.text(1)?,
            cidr: row.text(2)?,
            ip_number: row.uint(3)?,
            status: row.text(4)?,
            cluster: row.text(5)?,
            created: Time(row.time(6)?),
            updated: Time(row.time(7)?),
        })
    }
}

/// Runs one of the two steps, and says what it did.
pub fn run(args: &CidrMigrationArgs, stdout: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (count, done) = match args.mode {
        MigrationMode::Dumps => (runtime.block_on(dump(args))?, "written to"),
        MigrationMode::Upload => {
            let imported = runtime.block_on(upload(args))?;
            if imported.known > 0 {
                writeln!(stdout, "{} CIDRs were there already", imported.known)?;
            }
            (imported.new, "added from")
        }
    };
    writeln!(stdout, "{count} CIDRs {done} {}", args.filename.display())?;
    Ok(())
}

async fn dump(args: &CidrMigrationArgs) -> Result<usize, Box<dyn Error>> {
    let dsn = args.dsn.as_deref().ok_or(MigrationError::Missing { mode: "dumps", option: "dsn" })?;
    let database = Database::new(Dsn::MySql(Box::new(MySqlDsn::parse(dsn)?)))?;
    let sql = "SELECT id, vpc, cidr, ip_number, status, cluster, created_at, updated_at FROM tke_cidrs ORDER BY id";
    let entries = database.read(sql, &[]).await?.iter().map(Entry::read).collect::<Result<Vec<_>, _>>()?;
    fs::write(&args.filename, serde_json::to_vec(&entries)?).map_err(|error| of_file(&args.filename, error))?;
    Ok(entries.len())
}

async fn upload(args: &CidrMigrationArgs) -> Result<bcs_cluster_manager::cidr_import::Imported, Box<dyn Error>> {
    let missing = |option| MigrationError::Missing { mode: "upload", option };
    let mongo = Mongo {
        hosts: args.mongo_address.clone().ok_or_else(|| missing("mongo_address"))?,
        database: args.mongo_database.clone().ok_or_else(|| missing("mongo_database"))?,
        username: args.mongo_username.clone(),
        password: args.mongo_password.clone(),
        connect_timeout: Duration::from_secs(args.mongo_connecttime),
        max_pool: 0,
        min_pool: 0,
    };
    let text = fs::read(&args.filename).map_err(|error| of_file(&args.filename, error))?;
    let entries: Vec<OldCidr> = serde_json::from_slice(&text)
        .map_err(|source| MigrationError::Json { file: args.filename.display().to_string(), source })?;
    let shutdown = Shutdown::new();
    let imported = import(mongo, entries, &shutdown).await;
    shutdown.drain(STOP_LIMIT).await;
    Ok(imported?)
}

fn of_file(file: &Path, error: io::Error) -> MigrationError {
    MigrationError::File(file.display().to_string(), error)
}
