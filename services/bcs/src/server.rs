//! `bcs server`: all services in this process, everything they keep in one directory.

use std::error::Error;
use std::ffi::OsString;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bcs_api::Beside;
use bcs_common::certs::{CertFiles, CertsError};
use bcs_common::config::{self, Spec, group::LogOptions};
use bcs_common::http::envelope::Program;
use bcs_common::http::server::Listener;
use bcs_common::logs;
use bcs_common::registry::MemoryRegistry;
use bcs_common::shutdown::Shutdown;
use bcs_console::ServiceAt;
use bcs_user_manager::AdminToken;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::certs;
use crate::cli::ServerArgs;
use crate::entry::{Backends, Entry};
use crate::running::{Announced, Running};

/// How long the services may take to end what they have begun.
const STOP_LIMIT: Duration = Duration::from_secs(5);

#[derive(Debug, Error)]
enum ServerError {
    #[error("the options of {program} are not usable: {reason}")]
    Options { program: &'static str, reason: String },
    #[error("cannot use the data directory {}", path.display())]
    DataDir { path: PathBuf, source: std::io::Error },
    #[error("the certificate of bcs-api")]
    Certs(#[source] CertsError),
    #[error("bcs-api cannot start")]
    Api(#[source] bcs_api::StartError),
    #[error("bcs-storage cannot start")]
    Storage(#[source] bcs_storage::StartError),
    #[error("bcs-user-manager cannot start")]
    UserManager(#[source] bcs_user_manager::StartError),
    #[error("bcs-cluster-manager cannot start")]
    ClusterManager(#[source] bcs_cluster_manager::StartError),
    #[error("bcs-check cannot start")]
    Check(#[source] bcs_check::StartError),
    #[error("the console cannot listen on {address}")]
    Console { address: SocketAddr, source: std::io::Error },
}

/// The options of all services.
struct Options {
    api: bcs_api::Options,
    storage: bcs_storage::Options,
    user_manager: bcs_user_manager::Options,
    cluster_manager: bcs_cluster_manager::Options,
    check: Option<bcs_check::Options>,
}

/// Serves until a signal.
pub fn run(args: &ServerArgs, stdout: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let mut options = Options {
        api: api_options(args)?,
        storage: storage_options(args)?,
        user_manager: user_manager_options(args)?,
        cluster_manager: cluster_manager_options(args)?,
        check: check_options(args)?,
    };
    let log = LogOptions { logtostderr: true, v: args.verbosity, ..options.storage.log.clone() };
    let _log = logs::init("bcs", &log)?;
    // What clusters report has secrets in it.
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&args.data_dir);
    made.map_err(|source| ServerError::DataDir { path: args.data_dir.clone(), source })?;
    let files = certs::of_server(&args.data_dir, args.address).map_err(ServerError::Certs)?;
    options.api.cert.server_cert_file.clone_from(&files.server);
    options.api.cert.server_key_file.clone_from(&files.server_key);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let shutdown = Shutdown::new();
        shutdown.listen_to_signals()?;
        let served = serve(args, options, &files, &shutdown, stdout).await;
        if !shutdown.drain(STOP_LIMIT).await {
            tracing::warn!("stopped before everything was done");
        }
        served
    })
}

async fn serve(
    args: &ServerArgs,
    mut options: Options,
    certs: &CertFiles,
    shutdown: &Shutdown,
    stdout: &mut impl Write,
) -> Result<(), Box<dyn Error>> {
    // The services find each other here; nothing outside of the process can.
    let registry = MemoryRegistry::new(shutdown.clone());
    let storage = bcs_storage::start(&options.storage, Program::new("bcs-storage"), Some(&registry), shutdown)
        .await
        .map_err(ServerError::Storage)?;
    let user_manager = bcs_user_manager::start(&options.user_manager, Some(&registry), shutdown)
        .await
        .map_err(ServerError::UserManager)?;
    let cluster_manager = bcs_cluster_manager::start(&options.cluster_manager, Some(&registry), shutdown)
        .await
        .map_err(ServerError::ClusterManager)?;
    let admin = user_manager.admin_token.as_ref();
    let beside = Beside {
        storage: Some(storage.address),
        user_manager: user_manager.insecure_address,
        cluster_manager: Some(cluster_manager.http_address),
    };
    options.api.admin_token = admin.map(|admin| admin.token.clone());
    let api = bcs_api::start(&options.api, &beside, shutdown).await.map_err(ServerError::Api)?;
    let check = match &options.check {
        Some(options) => Some(bcs_check::start(options, shutdown).await.map_err(ServerError::Check)?),
        None => None,
    };
    let mut services = vec![
        ServiceAt { scheme: "https".to_owned(), ..service_at("bcs-api", api.address, api.metric_address) },
        service_at("bcs-storage", Some(storage.address), storage.metric_address),
        service_at("bcs-user-manager", user_manager.insecure_address, user_manager.metric_address),
        service_at("bcs-cluster-manager", Some(cluster_manager.http_address), cluster_manager.metric_address),
    ];
    services.extend(check.as_ref().map(|check| service_at("bcs-check", None, check.metric_address)));
    let console = match (user_manager.insecure_address, admin) {
        (Some(user_manager), Some(admin)) => {
            let services = services.clone();
            let admin_token = admin.token.clone();
            let (storage, cluster_manager) = (storage.address, cluster_manager.http_address);
            let backends = Backends { storage, user_manager, cluster_manager, admin_token, services };
            Some(start_console(args, backends, shutdown).await?)
        }
        _ => None,
    };
    let started = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    let running = Running { pid: std::process::id(), started, console, services };
    let _announced = Announced::new(&args.data_dir, &running)
        .map_err(|source| ServerError::DataDir { path: args.data_dir.clone(), source })?;
    let text = greeting(&args.data_dir, &running, certs, storage.address, admin);
    stdout.write_all(text.as_bytes())?;
    stdout.flush()?;
    shutdown.triggered().await;
    Ok(())
}

/// The console, on its own port.
async fn start_console(
    args: &ServerArgs,
    backends: Backends,
    shutdown: &Shutdown,
) -> Result<SocketAddr, Box<dyn Error>> {
    let address = SocketAddr::new(args.address, args.console_port);
    let listener = Listener::bind(&address.to_string(), None).await;
    let listener = listener.map_err(|source| ServerError::Console { address, source })?;
    let address = listener.local_addr();
    shutdown.spawn("console", Entry::new(backends)?.serve(listener, shutdown.clone()));
    Ok(address)
}

/// The options a service would have with these flags and no config file.
fn load<T: DeserializeOwned>(spec: &Spec, flags: &[String]) -> Result<T, ServerError> {
    let args = std::iter::once(OsString::from(spec.program)).chain(flags.iter().map(OsString::from));
    config::load(spec, args).map_err(|exit| ServerError::Options { program: spec.program, reason: exit.stderr })
}

/// The HTTPS entry. Its certificate is set when the data directory is there, the admin's token once that is known.
fn api_options(args: &ServerArgs) -> Result<bcs_api::Options, ServerError> {
    let mut flags = vec![
        format!("--address={}", args.address),
        format!("--port={}", args.api_port),
        format!("--metric-port={}", args.api_metric_port),
        "--bcs-zookeeper=".to_owned(),
    ];
    if let Some(port) = args.api_insecure_port {
        flags.extend([format!("--insecure-address={}", args.address), format!("--insecure-port={port}")]);
    }
    let mut options: bcs_api::Options = load(&bcs_api::spec(), &flags)?;
    options.ours.data_dir.clone_from(&args.data_dir);
    options.embedded = true;
    Ok(options)
}

fn storage_options(args: &ServerArgs) -> Result<bcs_storage::Options, ServerError> {
    let flags = [
        format!("--address={}", args.address),
        format!("--port={}", args.storage_port),
        format!("--metric-port={}", args.storage_metric_port),
    ];
    let mut options: bcs_storage::Options = load(&bcs_storage::spec(), &flags)?;
    options.ours.data_dir.clone_from(&args.data_dir);
    options.only_named_files = true;
    Ok(options)
}

/// Plain HTTP only, as for bcs-storage: the process has no certificate.
fn user_manager_options(args: &ServerArgs) -> Result<bcs_user_manager::Options, ServerError> {
    let flags = [
        format!("--address={}", args.address),
        format!("--insecure-address={}", args.address),
        format!("--insecure-port={}", args.user_manager_port),
        format!("--metric-port={}", args.user_manager_metric_port),
    ];
    let mut options: bcs_user_manager::Options = load(&bcs_user_manager::spec(), &flags)?;
    options.ours.data_dir.clone_from(&args.data_dir);
    options.embedded = true;
    Ok(options)
}

/// The embedded store, and no other instances.
fn cluster_manager_options(args: &ServerArgs) -> Result<bcs_cluster_manager::Options, ServerError> {
    let flags = [
        "bcs-cluster-manager".to_owned(),
        format!("-address={}", args.address),
        format!("-port={}", args.cluster_manager_grpc_port),
        format!("-httpport={}", args.cluster_manager_port),
        format!("-metricport={}", args.cluster_manager_metric_port),
        "-mongo_address=".to_owned(),
    ];
    let failed = |exit: config::Exit| ServerError::Options { program: "bcs-cluster-manager", reason: exit.stderr };
    let mut options = bcs_cluster_manager::Options::load(flags.into_iter().map(OsString::from)).map_err(failed)?;
    options.data_dir.clone_from(&args.data_dir);
    Ok(options)
}

/// Only with a Mesos cluster. Its ZooKeeper is also the one to register in: there is no other.
fn check_options(args: &ServerArgs) -> Result<Option<bcs_check::Options>, ServerError> {
    let (Some(servers), Some(cluster)) = (&args.mesos_zookeeper, &args.cluster) else { return Ok(None) };
    let flags = [
        format!("--address={}", args.address),
        format!("--metric-port={}", args.check_metric_port),
        format!("--mesos-zookeeper={servers}"),
        format!("--bcs-zookeeper={servers}"),
        format!("--cluster={cluster}"),
    ];
    load(&bcs_check::spec(), &flags).map(Some)
}

fn service_at(name: &str, address: Option<SocketAddr>, metrics: Option<SocketAddr>) -> ServiceAt {
    ServiceAt { name: name.to_owned(), scheme: "http".to_owned(), address, metrics }
}

/// A line of the greeting.
fn line(service: &ServiceAt) -> String {
    let mut line = format!("  {:<20}", service.name);
    if let Some(address) = service.address {
        line += &format!(" {}://{address}", service.scheme);
    }
    if let Some(metrics) = service.metrics {
        line += &format!("   metrics http://{metrics}/metrics");
    }
    line + "\n"
}

fn greeting(
    data_dir: &Path,
    running: &Running,
    certs: &CertFiles,
    storage: SocketAddr,
    admin: Option<&AdminToken>,
) -> String {
    let services: String = running.services.iter().map(line).collect();
    let console =
        running.console.map_or_else(String::new, |console| format!("  {:<20} http://{console}/\n", "console"));
    let admin = admin.map_or_else(String::new, |admin| {
        let value = if admin.is_new { format!(" (printed this once): {}", admin.token) } else { String::new() };
        format!("The token of the user admin is in {}{value}\n", admin.file.display())
    });
    let pod = format!(
        "http://{storage}/bcsstorage/v1/k8s/dynamic/namespace_resources/clusters/BCS-K8S-00000/namespaces/default/Pod/hello"
    );
    format!(
        "BCS is running, its data is in {}.\n\
         {console}{services}\n\
         {admin}\
         The certificate of bcs-api is signed by {}\n\n\
         Store a resource and read it back:\n\
         \x20 curl -X PUT -d '{{\"data\":{{\"kind\":\"Pod\",\"metadata\":{{\"name\":\"hello\"}}}}}}' {pod}\n\
         \x20 curl {pod}\n\
         \n\
         Ctrl-C stops it.\n",
        data_dir.display(),
        certs.ca.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args() -> ServerArgs {
        ServerArgs {
            data_dir: "somewhere".into(),
            address: "127.0.0.1".parse().unwrap(),
            api_port: 8443,
            api_insecure_port: None,
            api_metric_port: 0,
            storage_port: 50024,
            storage_metric_port: 0,
            user_manager_port: 8089,
            user_manager_metric_port: 0,
            cluster_manager_port: 8080,
            cluster_manager_grpc_port: 8081,
            cluster_manager_metric_port: 0,
            mesos_zookeeper: None,
            cluster: None,
            console_port: 0,
            check_metric_port: 43001,
            verbosity: 0,
        }
    }

    #[test]
    fn api_is_the_https_entry_and_plain_only_if_told() {
        let options = api_options(&args()).unwrap();
        assert!(options.embedded && options.zk.bcs_zookeeper.is_empty() && options.bke.mysql_dsn.is_empty());
        assert_eq!((options.service.address.as_str(), options.service.port), ("127.0.0.1", 8443));
        assert_eq!(options.service.insecure_address, "");
        let options = api_options(&ServerArgs { api_insecure_port: Some(0), ..args() }).unwrap();
        assert_eq!((options.service.insecure_address.as_str(), options.service.insecure_port), ("127.0.0.1", 0));
    }

    #[test]
    fn storage_is_embedded_whatever_lies_in_the_working_directory() {
        let options = storage_options(&args()).unwrap();
        assert_eq!((options.service.address.as_str(), options.service.port), ("127.0.0.1", 50024));
        assert_eq!(options.ours.data_dir, Path::new("somewhere"));
        assert!(options.only_named_files && options.database_config_file.is_empty());
    }

    #[test]
    fn user_manager_is_embedded_too() {
        let options = user_manager_options(&args()).unwrap();
        assert!(options.embedded && options.mysql_dsn.is_empty());
        assert_eq!((options.service.insecure_address.as_str(), options.service.insecure_port), ("127.0.0.1", 8089));
    }

    #[test]
    fn cluster_manager_is_embedded_too() {
        let options = cluster_manager_options(&args()).unwrap();
        assert!(options.embedded && options.etcd_endpoints.is_empty());
        assert_eq!((options.http_port, options.port, options.data_dir.as_path()), (8080, 8081, Path::new("somewhere")));
    }

    #[test]
    fn check_runs_only_with_a_mesos_cluster() {
        assert!(check_options(&args()).unwrap().is_none());
        let cluster = Some("BCS-MESOS-10001".to_owned());
        let with = ServerArgs { mesos_zookeeper: Some("zk:2181".into()), cluster, ..args() };
        let options = check_options(&with).unwrap().unwrap();
        assert_eq!((options.mesos_zookeeper.as_str(), options.zk.bcs_zookeeper.as_str()), ("zk:2181", "zk:2181"));
        assert_eq!((options.cluster.as_str(), options.metric.metric_port), ("BCS-MESOS-10001", 43001));
    }

    #[test]
    fn the_greeting_says_where_and_what_to_try() {
        let address = "127.0.0.1:50024".parse().unwrap();
        let console = Some("127.0.0.1:50080".parse().unwrap());
        let services = vec![service_at("bcs-storage", Some(address), None)];
        let running = Running { pid: 1, started: String::new(), console, services };
        let token = |is_new| AdminToken { token: "t0ken".into(), file: "data/admin-token".into(), is_new };
        let files = CertFiles::in_dir(Path::new("data/certs"));
        let text = greeting(Path::new("data"), &running, &files, address, Some(&token(true)));
        assert!(text.starts_with(
            "BCS is running, its data is in data.\n  console              http://127.0.0.1:50080/\n  bcs-storage          http://127.0.0.1:50024\n\n"
        ));
        assert!(text.contains(
            "curl -X PUT -d '{\"data\":{\"kind\":\"Pod\",\"metadata\":{\"name\":\"hello\"}}}' http://127.0.0.1:50024/"
        ));
        assert!(text.contains("in data/admin-token (printed this once): t0ken\n"));
        assert!(text.contains("\nThe certificate of bcs-api is signed by data/certs/bcs-ca.pem\n"));
        assert!(!greeting(Path::new("data"), &running, &files, address, Some(&token(false))).contains("t0ken"));
    }
}
