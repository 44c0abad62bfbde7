//! `bcs status`: whether the server of a data directory runs, and how its services are.

use std::error::Error;
use std::io::{self, Write};
use std::path::Path;

use bcs_console::client::Client;
use bcs_console::{Readiness, ServiceAt, readiness};
use futures::future::join_all;
use thiserror::Error;

use crate::running;

#[derive(Debug, Error)]
enum StatusError {
    #[error("no server runs on {0}")]
    NotRunning(String),
    #[error("the server that was started on {0} (process {1}) does not answer")]
    Gone(String, u32),
    #[error("{0}")]
    Unreadable(String, #[source] io::Error),
    #[error("not everything is ready")]
    NotReady,
}

/// Prints one line a service. An error: there is no server, or not all of it is ready.
pub fn run(data_dir: &Path, stdout: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let name = data_dir.display().to_string();
    let unreadable = |source| StatusError::Unreadable(data_dir.join(running::FILE).display().to_string(), source);
    let running = running::read(data_dir).map_err(unreadable)?.ok_or_else(|| StatusError::NotRunning(name.clone()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let found = runtime.block_on(ask(&running.services));
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

/// Asks all of them at once: one that hangs takes its time, but not that of the others.
async fn ask(services: &[ServiceAt]) -> Vec<(&ServiceAt, Option<Readiness>)> {
    let client = &Client::new();
    join_all(services.iter().map(|service| async move { (service, readiness(client, service).await) })).await
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
    use bcs_common::errors::chain;

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

    #[test]
    fn a_damaged_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(running::FILE), "{").unwrap();
        let error = chain(&*run(dir.path(), &mut Vec::new()).unwrap_err());
        assert!(error.contains("/server.json: EOF while parsing"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn services_that_hang_are_waited_for_together() {
        // Connections are made, and nobody answers.
        let silent: Vec<_> = (0..3).map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let services: Vec<_> = silent
            .iter()
            .map(|listener| ServiceAt {
                name: "bcs-storage".into(),
                scheme: "http".into(),
                address: None,
                metrics: Some(listener.local_addr().unwrap()),
            })
            .collect();
        let one = tokio::time::Instant::now();
        ask(&services[..1]).await;
        let one = one.elapsed();
        let all = tokio::time::Instant::now();
        assert!(ask(&services).await.iter().all(|(_, readiness)| readiness.is_none()));
        assert!(one > std::time::Duration::ZERO && all.elapsed() < 2 * one, "{one:?} {:?}", all.elapsed());
    }
}
