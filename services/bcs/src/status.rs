//! `bcs status`: whether the server of a data directory runs, and how its services are.

use std::error::Error;
use std::io::Write;
use std::path::Path;

use bcs_console::client::Client;
use bcs_console::{Readiness, readiness};
use thiserror::Error;

use crate::running;

#[derive(Debug, Error)]
enum StatusError {
    #[error("no server runs on {0}")]
    NotRunning(String),
    #[error("the server that was started on {0} (process {1}) does not answer")]
    Gone(String, u32),
    #[error("not everything is ready")]
    NotReady,
}

/// Prints one line a service. An error: there is no server, or not all of it is ready.
pub fn run(data_dir: &Path, stdout: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let name = data_dir.display().to_string();
    let running = running::read(data_dir)?.ok_or_else(|| StatusError::NotRunning(name.clone()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let found = runtime.block_on(async {
        let client = Client::new();
        let mut found = Vec::new();
        for service in &running.services {
            found.push((service, readiness(&client, service).await));
        }
        found
    });
    if found.iter().all(|(_, readiness)| readiness.is_none()) {
        return Err(StatusError::Gone(name, running.pid).into());
    }
    writeln!(stdout, "{name}: process {}, started at {}", running.pid, running.started)?;
    if let Some(console) = running.console {
        writeln!(stdout, "  {:<20} http://{console}/", "console")?;
    }
    for (service, readiness) in &found {
        let address = service.address.map_or_else(String::new, |address| format!("{}://{address}", service.scheme));
        writeln!(stdout, "  {:<20} {address:<30} {}", service.name, text(readiness.as_ref()))?;
    }
    match found.iter().all(|(_, readiness)| readiness.as_ref().is_some_and(|readiness| readiness.ready)) {
        true => Ok(()),
        false => Err(StatusError::NotReady.into()),
    }
}

fn text(readiness: Option<&Readiness>) -> String {
    let Some(readiness) = readiness else { return "does not answer".to_owned() };
    if readiness.ready {
        return "ready".to_owned();
    }
    let wrong = readiness.parts.iter().filter(|(_, state)| *state != "ok");
    let wrong: Vec<_> = wrong.map(|(part, state)| format!("{part}: {state}")).collect();
    format!("not ready ({})", wrong.join(", "))
}

#[cfg(test)]
mod tests {
    use bcs_console::ServiceAt;

    use super::*;
    use crate::running::{Announced, Running};

    #[test]
    fn says_what_is_wrong() {
        let parts = [("store".to_owned(), "no connection".to_owned()), ("queue".to_owned(), "ok".to_owned())];
        let readiness = Readiness { ready: false, parts: parts.into() };
        assert_eq!(text(Some(&readiness)), "not ready (store: no connection)");
        assert_eq!(text(None), "does not answer");
    }

    #[test]
    fn a_server_that_is_not_there_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let error = run(dir.path(), &mut Vec::new()).unwrap_err().to_string();
        assert!(error.starts_with("no server runs on "), "{error}");
        let service = ServiceAt { name: "bcs-storage".into(), scheme: "http".into(), address: None, metrics: None };
        let running = Running { pid: 7, started: String::new(), console: None, services: vec![service] };
        let _announced = Announced::new(dir.path(), &running).unwrap();
        let error = run(dir.path(), &mut Vec::new()).unwrap_err().to_string();
        assert!(error.ends_with("(process 7) does not answer"), "{error}");
    }
}
