//! `bcs server`: all services in this process, everything they keep in one directory.

use std::error::Error;
use std::ffi::OsString;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use bcs_common::config::{self, group::LogOptions};
use bcs_common::http::envelope::Program;
use bcs_common::logs;
use bcs_common::registry::MemoryRegistry;
use bcs_common::shutdown::Shutdown;
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
}

/// Serves until a signal.
pub fn run(args: &ServerArgs, stdout: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let storage = storage_options(args)?;
    let log = LogOptions { logtostderr: true, v: args.verbosity, ..storage.log.clone() };
    let _log = logs::init("bcs", &log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let shutdown = Shutdown::new();
        shutdown.listen_to_signals()?;
        let served = serve(args, &storage, &shutdown, stdout).await;
        if !shutdown.drain(STOP_LIMIT).await {
            tracing::warn!("stopped before everything was done");
        }
        served
    })
}

async fn serve(
    args: &ServerArgs,
    storage: &bcs_storage::Options,
    shutdown: &Shutdown,
    stdout: &mut impl Write,
) -> Result<(), Box<dyn Error>> {
    // The services find each other here; nothing outside of the process can.
    let registry = MemoryRegistry::new(shutdown.clone());
    let storage = bcs_storage::start(storage, Program::new("bcs-storage"), Some(&registry), shutdown)
        .await
        .map_err(ServerError::Storage)?;
    stdout.write_all(greeting(&args.data_dir, storage.address, storage.metric_address).as_bytes())?;
    stdout.flush()?;
    shutdown.triggered().await;
    Ok(())
}

/// The options bcs-storage would have with these flags and no config file.
fn storage_options(args: &ServerArgs) -> Result<bcs_storage::Options, ServerError> {
    let flags = [
        OsString::from("bcs-storage"),
        format!("--address={}", args.address).into(),
        format!("--port={}", args.storage_port).into(),
        format!("--metric-port={}", args.storage_metric_port).into(),
    ];
    let mut options: bcs_storage::Options = config::load(&bcs_storage::spec(), flags.into_iter())
        .map_err(|exit| ServerError::Options { program: "bcs-storage", reason: exit.stderr })?;
    options.ours.data_dir.clone_from(&args.data_dir);
    options.only_named_files = true;
    Ok(options)
}

fn greeting(data_dir: &Path, storage: SocketAddr, metrics: Option<SocketAddr>) -> String {
    let metrics = metrics.map_or_else(String::new, |address| format!(", metrics at http://{address}/metrics"));
    let pod = format!(
        "http://{storage}/bcsstorage/v1/k8s/dynamic/namespace_resources/clusters/BCS-K8S-00000/namespaces/default/Pod/hello"
    );
    format!(
        "BCS is running, its data is in {}.\n\
         \x20 bcs-storage   http://{storage}{metrics}\n\
         \n\
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
    fn the_greeting_says_where_and_what_to_try() {
        let text = greeting(Path::new("data"), "127.0.0.1:50024".parse().unwrap(), None);
        assert!(text.starts_with("BCS is running, its data is in data.\n  bcs-storage   http://127.0.0.1:50024\n"));
        assert!(text.contains(
            "curl -X PUT -d '{\"data\":{\"kind\":\"Pod\",\"metadata\":{\"name\":\"hello\"}}}' http://127.0.0.1:50024/"
        ));
    }
}
