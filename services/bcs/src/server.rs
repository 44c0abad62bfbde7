//! `bcs server`: all services in this process, everything they keep in one directory.

use std::error::Error;
use std::ffi::OsString;
use std::fmt;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use bcs_common::config::{self, Spec, group::LogOptions};
use bcs_common::http::envelope::Program;
use bcs_common::logs;
use bcs_common::registry::MemoryRegistry;
use bcs_common::shutdown::Shutdown;
use bcs_user_manager::AdminToken;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::cli::ServerArgs;

/// How long the services may take to end what they have begun.
const STOP_LIMIT: Duration = Duration::from_secs(5);

#[derive(Debug, Error)]
enum ServerError {
    #[error("the options of {program} are not usable: {reason}")]
    Options { program: &'static str, reason: String },
    #[error("bcs-storage cannot start")]
    Storage(#[source] bcs_storage::StartError),
    #[error("bcs-user-manager cannot start")]
    UserManager(#[source] bcs_user_manager::StartError),
    #[error("bcs-cluster-manager cannot start")]
    ClusterManager(#[source] bcs_cluster_manager::StartError),
    #[error("bcs-check cannot start")]
    Check(#[source] bcs_check::StartError),
}

/// Serves until a signal.
pub fn run(args: &ServerArgs, stdout: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let storage = storage_options(args)?;
    let user_manager = user_manager_options(args)?;
    let cluster_manager = cluster_manager_options(args)?;
    let check = check_options(args)?;
    let log = LogOptions { logtostderr: true, v: args.verbosity, ..storage.log.clone() };
    let _log = logs::init("bcs", &log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let shutdown = Shutdown::new();
        shutdown.listen_to_signals()?;
        let served = serve(args, &storage, &user_manager, &cluster_manager, check.as_ref(), &shutdown, stdout).await;
        if !shutdown.drain(STOP_LIMIT).await {
            tracing::warn!("stopped before everything was done");
        }
        served
    })
}

async fn serve(
    args: &ServerArgs,
    storage: &bcs_storage::Options,
    user_manager: &bcs_user_manager::Options,
    cluster_manager: &bcs_cluster_manager::Options,
    check: Option<&bcs_check::Options>,
    shutdown: &Shutdown,
    stdout: &mut impl Write,
) -> Result<(), Box<dyn Error>> {
    // The services find each other here; nothing outside of the process can.
    let registry = MemoryRegistry::new(shutdown.clone());
    let storage = bcs_storage::start(storage, Program::new("bcs-storage"), Some(&registry), shutdown)
        .await
        .map_err(ServerError::Storage)?;
    let user_manager =
        bcs_user_manager::start(user_manager, Some(&registry), shutdown).await.map_err(ServerError::UserManager)?;
    let cluster_manager = bcs_cluster_manager::start(cluster_manager, Some(&registry), shutdown)
        .await
        .map_err(ServerError::ClusterManager)?;
    let check = match check {
        Some(options) => Some(bcs_check::start(options, shutdown).await.map_err(ServerError::Check)?),
        None => None,
    };
    let mut services = vec![
        ServiceAt { name: "bcs-storage", address: Some(storage.address), metrics: storage.metric_address },
        ServiceAt {
            name: "bcs-user-manager",
            address: user_manager.insecure_address,
            metrics: user_manager.metric_address,
        },
        ServiceAt {
            name: "bcs-cluster-manager",
            address: Some(cluster_manager.http_address),
            metrics: cluster_manager.metric_address,
        },
    ];
    services.extend(check.as_ref().map(|check| ServiceAt {
        name: "bcs-check",
        address: None,
        metrics: check.metric_address,
    }));
    let text = greeting(&args.data_dir, &services, storage.address, user_manager.admin_token.as_ref());
    stdout.write_all(text.as_bytes())?;
    stdout.flush()?;
    shutdown.triggered().await;
    Ok(())
}

/// The options a service would have with these flags and no config file.
fn load<T: DeserializeOwned>(spec: &Spec, flags: &[String]) -> Result<T, ServerError> {
    let args = std::iter::once(OsString::from(spec.program)).chain(flags.iter().map(OsString::from));
    config::load(spec, args).map_err(|exit| ServerError::Options { program: spec.program, reason: exit.stderr })
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

/// A line of the greeting.
struct ServiceAt {
    name: &'static str,
    address: Option<SocketAddr>,
    metrics: Option<SocketAddr>,
}

impl fmt::Display for ServiceAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {:<20}", self.name)?;
        if let Some(address) = self.address {
            write!(f, " http://{address}")?;
        }
        if let Some(metrics) = self.metrics {
            write!(f, "   metrics http://{metrics}/metrics")?;
        }
        Ok(())
    }
}

fn greeting(data_dir: &Path, services: &[ServiceAt], storage: SocketAddr, admin: Option<&AdminToken>) -> String {
    let services: String = services.iter().map(|service| format!("{service}\n")).collect();
    let admin = admin.map_or_else(String::new, |admin| {
        let value = if admin.is_new { format!(" (printed this once): {}", admin.token) } else { String::new() };
        format!("The token of the user admin is in {}{value}\n", admin.file.display())
    });
    let pod = format!(
        "http://{storage}/bcsstorage/v1/k8s/dynamic/namespace_resources/clusters/BCS-K8S-00000/namespaces/default/Pod/hello"
    );
    format!(
        "BCS is running, its data is in {}.\n\
         {services}\n\
         {admin}\n\
         Store a resource and read it back:\n\
         \x20 curl -X PUT -d '{{\"data\":{{\"kind\":\"Pod\",\"metadata\":{{\"name\":\"hello\"}}}}}}' {pod}\n\
         \x20 curl {pod}\n\
         \n\
         Ctrl-C stops it.\n",
        data_dir.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args() -> ServerArgs {
        ServerArgs {
            data_dir: "somewhere".into(),
            address: "127.0.0.1".parse().unwrap(),
            storage_port: 50024,
            storage_metric_port: 0,
            user_manager_port: 8089,
            user_manager_metric_port: 0,
            cluster_manager_port: 8080,
            cluster_manager_grpc_port: 8081,
            cluster_manager_metric_port: 0,
            mesos_zookeeper: None,
            cluster: None,
            check_metric_port: 43001,
            verbosity: 0,
        }
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
        let storage = ServiceAt { name: "bcs-storage", address: Some(address), metrics: None };
        let token = |is_new| AdminToken { token: "t0ken".into(), file: "data/admin-token".into(), is_new };
        let text = greeting(Path::new("data"), &[storage], address, Some(&token(true)));
        assert!(
            text.starts_with("BCS is running, its data is in data.\n  bcs-storage          http://127.0.0.1:50024\n\n")
        );
        assert!(text.contains(
            "curl -X PUT -d '{\"data\":{\"kind\":\"Pod\",\"metadata\":{\"name\":\"hello\"}}}' http://127.0.0.1:50024/"
        ));
        assert!(text.contains("in data/admin-token (printed this once): t0ken\n"));
        assert!(!greeting(Path::new("data"), &[], address, Some(&token(false))).contains("t0ken"));
    }
}
