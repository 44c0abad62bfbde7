//! The command line of `bcs`.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

/// BCS (BlueKing Container Service): all services in one process on embedded stores, and tools for operators.
#[derive(Debug, Parser)]
#[command(name = "bcs", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What `bcs` can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run all services in this process; everything is kept in one directory, no other server is needed.
    Server(ServerArgs),
    /// Say whether the server of a data directory runs and how its services are. Exit code 1: it does not, or not all are.
    Status(DataDirArgs),
    /// Check the configuration of a service before it is started with it.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Save, check and restore the data directory; the server may run meanwhile.
    #[command(subcommand)]
    Snapshot(SnapshotCommand),
    /// Encrypt and decrypt passwords for configuration files.
    #[command(subcommand)]
    Crypt(CryptCommand),
    /// Make a CA, a server and a client certificate.
    Certs(CertsArgs),
    /// Move the pool of CIDRs from the table of bcs-user-manager or bcs-api to the MongoDB of bcs-cluster-manager, once.
    CidrMigrationTool(CidrMigrationArgs),
    /// Print a completion script for a shell, such as: bcs completions bash > /etc/bash_completion.d/bcs
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// The data directory of a server.
#[derive(Debug, Args)]
pub struct DataDirArgs {
    /// Directory of the server's data.
    #[arg(long, value_name = "DIR", env = "BCS_DATA_DIR", default_value = "data")]
    pub data_dir: PathBuf,
}

/// What can be done with configurations.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Read a config file as the service would, say what it would use, and try every certificate, port and backend.
    ///
    /// Exit code 1: the service would not start, or would not work.
    Check(ConfigCheckArgs),
}

/// Arguments of `bcs config check`.
#[derive(Debug, Args)]
pub struct ConfigCheckArgs {
    /// The JSON file that the service gets with -f.
    pub file: PathBuf,
    /// The service.
    #[arg(long, value_name = "NAME")]
    pub service: ServiceName,
    /// Only read files; try no port and no server.
    #[arg(long)]
    pub offline: bool,
}

/// A service that has a configuration.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ServiceName {
    /// bcs-api
    #[value(name = "bcs-api", alias = "api")]
    Api,
    /// bcs-storage
    #[value(name = "bcs-storage", alias = "storage")]
    Storage,
    /// bcs-user-manager
    #[value(name = "bcs-user-manager", alias = "user-manager")]
    UserManager,
    /// bcs-cluster-manager
    #[value(name = "bcs-cluster-manager", alias = "cluster-manager")]
    ClusterManager,
    /// bcs-check
    #[value(name = "bcs-check", alias = "check")]
    Check,
}

/// What can be done with copies of the data directory.
#[derive(Debug, Subcommand)]
pub enum SnapshotCommand {
    /// Copy the data directory to a new directory. Everything acknowledged before is in it.
    Save {
        /// Directory of the server's data.
        #[arg(long, value_name = "DIR", env = "BCS_DATA_DIR", default_value = "data")]
        data_dir: PathBuf,
        /// The new directory.
        out: PathBuf,
    },
    /// Check a snapshot: checksums of all files, and every database from the inside.
    Verify {
        /// The snapshot.
        snapshot: PathBuf,
    },
    /// Put a snapshot into a data directory that is empty or does not exist.
    Restore {
        /// The snapshot.
        snapshot: PathBuf,
        /// Directory of the server's data.
        #[arg(long, value_name = "DIR", env = "BCS_DATA_DIR", default_value = "data")]
        data_dir: PathBuf,
    },
}

/// The key is the environment variable `bcs_encryption_key`, or else the one this binary was built with.
#[derive(Debug, Subcommand)]
pub enum CryptCommand {
    /// Encrypt a text with the installation's key.
    Encrypt {
        /// The text, or - to read it from standard input.
        #[arg(allow_hyphen_values = true)]
        text: String,
    },
    /// Decrypt a value from a configuration file with the installation's key.
    Decrypt {
        /// The base64 text, or - to read it from standard input.
        base64: String,
    },
}

/// Arguments of `bcs server`.
#[derive(Debug, Args)]
pub struct ServerArgs {
    /// Directory for everything that is kept; it is created if need be.
    #[arg(long, value_name = "DIR", env = "BCS_DATA_DIR", default_value = "data")]
    pub data_dir: PathBuf,
    /// Address to listen on. bcs-storage asks for no login, nor does bcs-api for it: only who may see everything should
    /// reach them.
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    pub address: IpAddr,
    /// Port of bcs-api, the HTTPS entry to the other services; 0 takes a free one. Its certificate is in the directory
    /// certs of the data directory, and is made there if that does not exist.
    #[arg(long, value_name = "PORT", default_value_t = 8443)]
    pub api_port: u16,
    /// Port of bcs-api's plain HTTP; without this it serves HTTPS only.
    #[arg(long, value_name = "PORT")]
    pub api_insecure_port: Option<u16>,
    /// Port of bcs-api's metrics; 0 takes a free one.
    #[arg(long, value_name = "PORT", default_value_t = 8444)]
    pub api_metric_port: u16,
    /// Port of bcs-storage; 0 takes a free one.
    #[arg(long, value_name = "PORT", default_value_t = 50024)]
    pub storage_port: u16,
    /// Port of bcs-storage's metrics; 0 takes a free one.
    #[arg(long, value_name = "PORT", default_value_t = 50025)]
    pub storage_metric_port: u16,
    /// Port of bcs-user-manager; 0 takes a free one.
    #[arg(long, value_name = "PORT", default_value_t = 8089)]
    pub user_manager_port: u16,
    /// Port of bcs-user-manager's metrics; 0 takes a free one.
    #[arg(long, value_name = "PORT", default_value_t = 9253)]
    pub user_manager_metric_port: u16,
    /// Port of bcs-cluster-manager: REST, tunnels of agents and the proxy to their clusters; 0 takes a free one.
    #[arg(long, value_name = "PORT", default_value_t = 8080)]
    pub cluster_manager_port: u16,
    /// Port of bcs-cluster-manager's gRPC; 0 takes a free one.
    #[arg(long, value_name = "PORT", default_value_t = 8081)]
    pub cluster_manager_grpc_port: u16,
    /// Port of bcs-cluster-manager's metrics; 0 takes a free one.
    #[arg(long, value_name = "PORT", default_value_t = 8082)]
    pub cluster_manager_metric_port: u16,
    /// Port of the console, and of the API behind one token: /bcsapi/v4/storage/…, /bcsapi/v4/usermanager/…; 0 takes a
    /// free one.
    #[arg(long, value_name = "PORT", default_value_t = 50080)]
    pub console_port: u16,
    /// ZooKeeper servers of a Mesos cluster, comma separated host:port. With them bcs-check probes the cluster's tasks.
    #[arg(long, value_name = "SERVERS", requires = "cluster")]
    pub mesos_zookeeper: Option<String>,
    /// BCS id of the Mesos cluster.
    #[arg(long, value_name = "ID", requires = "mesos_zookeeper")]
    pub cluster: Option<String>,
    /// Port of bcs-check's metrics and health.
    #[arg(long, value_name = "PORT", default_value_t = 43001)]
    pub check_metric_port: u16,
    /// How much is logged to standard error: 0 what operators need, 3 every request.
    #[arg(short, long = "v", value_name = "LEVEL", default_value_t = 0)]
    pub verbosity: i32,
}

/// Arguments of `bcs certs`.
#[derive(Debug, Args)]
pub struct CertsArgs {
    /// Directory for the files; it is created if need be.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// DNS name or IP address of a server, for clients that check names; may be repeated.
    #[arg(long = "host", value_name = "NAME")]
    pub hosts: Vec<String>,
    /// Replace files that exist.
    #[arg(long)]
    pub force: bool,
}

/// Arguments of `bcs cidr-migration-tool`, with the names of the original's tool.
#[derive(Debug, Args)]
#[command(rename_all = "snake_case")]
pub struct CidrMigrationArgs {
    /// The step: the table to the file, or the file to MongoDB.
    #[arg(long)]
    pub mode: MigrationMode,
    /// The file between the steps, JSON.
    #[arg(long, value_name = "FILE", default_value = "tke_cidr.json")]
    pub filename: PathBuf,
    /// The database of the table, as in mysql_dsn: user:password@tcp(host:port)/name?parseTime=true
    #[arg(long)]
    pub dsn: Option<String>,
    /// Servers of MongoDB, comma separated host:port.
    #[arg(long, value_name = "SERVERS", value_delimiter = ',')]
    pub mongo_address: Option<Vec<String>>,
    /// The database of bcs-cluster-manager.
    #[arg(long, value_name = "NAME")]
    pub mongo_database: Option<String>,
    /// Limit of a connection attempt.
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    pub mongo_connecttime: u64,
    /// The user; without one there is no login.
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub mongo_username: String,
    /// The user's password, in plain.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub mongo_password: String,
}

/// A step of the migration.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum MigrationMode {
    /// Read the table and write the file.
    Dumps,
    /// Read the file and add what is in it to MongoDB.
    Upload,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_text_to_encrypt_may_start_with_a_dash() {
        let cli = Cli::try_parse_from(["bcs", "crypt", "encrypt", "-pass"]).unwrap();
        let Command::Crypt(CryptCommand::Encrypt { text }) = cli.command else {
            panic!("not encrypt: {cli:?}");
        };
        assert_eq!(text, "-pass");
    }

    #[test]
    fn a_mesos_cluster_needs_servers_and_an_id() {
        for half in ["--mesos-zookeeper=zk", "--cluster=BCS-MESOS-10001"] {
            assert!(Cli::try_parse_from(["bcs", "server", half]).is_err(), "{half}");
        }
    }

    #[test]
    fn hosts_may_be_repeated() {
        let line = ["bcs", "certs", "--out", "d", "--host", "a", "--host", "b"];
        let cli = Cli::try_parse_from(line).unwrap();
        let Command::Certs(args) = cli.command else {
            panic!("not certs: {cli:?}");
        };
        assert_eq!(args.hosts, ["a", "b"]);
        assert!(!args.force);
    }
}
