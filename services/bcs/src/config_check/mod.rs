//! `bcs config check FILE --service NAME`: what a service would make of a config file, before it is started with it.
//!
//! First what the file says (the service's own loader reads it), then what this host makes of it: certificates, ports, and
//! whether every backend answers.

mod backends;
mod databases;
mod directory;
mod files;
mod ports;
mod report;
mod services;

use std::error::Error;
use std::io::Write;

use serde_json::Value;
use thiserror::Error;

use crate::cli::{ConfigCheckArgs, ServiceName};
use report::Report;
use services::Service;

#[derive(Debug, Error)]
enum CheckError {
    #[error("{0}")]
    Unusable(String),
    #[error("the service would not work with this configuration: {0} of the checks above failed")]
    Failed(usize),
}

/// Prints the report. An error: the service would not start, or would not work.
pub fn run(args: &ConfigCheckArgs, stdout: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let service = Service::of(args.service);
    let loaded = service.load(&args.file).map_err(CheckError::Unusable)?;
    let mut report = Report::default();
    report.good(format!("{} is readable for {}", args.file.display(), args.service.program()));
    for warning in &loaded.warnings {
        report.warning(warning.clone());
    }
    for problem in loaded.problems {
        report.failure(problem);
    }
    let values = Values(loaded.values);
    let mut plan = files::check(&service, &values, &mut report);
    if let Some(store) = loaded.store {
        databases::plan_store(store, &values, &mut plan, &mut report);
    }
    if !args.offline {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            ports::check(&service, &values, &mut report).await;
            backends::check(plan, &mut report).await;
        });
    }
    stdout.write_all(report.text().as_bytes())?;
    match report.failures() {
        0 => Ok(()),
        failures => Err(CheckError::Failed(failures).into()),
    }
}

/// The effective values: flags and defaults included, by the paths of the options.
struct Values(Value);

impl Values {
    fn get(&self, path: &str) -> Option<&Value> {
        path.split('.').try_fold(&self.0, |value, key| value.get(key))
    }

    /// A text; empty if there is none.
    fn text(&self, path: &str) -> &str {
        self.get(path).and_then(Value::as_str).unwrap_or_default()
    }

    fn number(&self, path: &str) -> u64 {
        self.get(path).and_then(Value::as_u64).unwrap_or_default()
    }

    fn is_on(&self, path: &str) -> bool {
        self.get(path).and_then(Value::as_bool).unwrap_or_default()
    }
}

impl ServiceName {
    /// The name of the program.
    fn program(self) -> &'static str {
        match self {
            Self::Api => "bcs-api",
            Self::Storage => "bcs-storage",
            Self::UserManager => "bcs-user-manager",
            Self::ClusterManager => "bcs-cluster-manager",
            Self::Check => "bcs-check",
        }
    }
}

#[cfg(test)]
mod tests;
