//! `bcs-check probe`: one attempt from the command line, with everything it saw.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::net::{SocketAddr, SocketAddrV4, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bcs_common::config::Exit;
use bcs_common::tls::{self, ClientTls, Verify};

use crate::definition::{Definition, HttpTarget, Inert, Kind, Readiness, Timing};
use crate::probe::{Prober, Seen};

/// Exit codes: the target is unhealthy; the command line is bad.
const UNHEALTHY: u8 = 1;
const BAD_USAGE: u8 = 2;

const USAGE: &str = "usage: bcs-check probe [--timeout SECONDS] [--header NAME:VALUE]... URL\n\
    URL is http://HOST:PORT/PATH, https://HOST:PORT/PATH or tcp://HOST:PORT; HOST has an IPv4 address.\n\
    Makes one attempt as bcs-check would, without verifying certificates. Exit code 0: healthy, 1: unhealthy.\n";

/// Runs the command. `args` are those after `probe`.
pub fn run(args: impl Iterator<Item = OsString>) -> Exit {
    let args = args.map(|arg| arg.to_string_lossy().into_owned()).collect::<Vec<_>>();
    if args.iter().any(|arg| arg == "--help" || arg == "-h") {
        return Exit { stdout: USAGE.to_owned(), ..Exit::default() };
    }
    let definition = match parse(args.into_iter()) {
        Ok(definition) => definition,
        Err(error) => return Exit::failure(BAD_USAGE, format!("{error}\n{USAGE}")),
    };
    match attempt(&definition) {
        Ok((seen, taken)) => report(&definition, &seen, taken),
        Err(error) => Exit::failure(UNHEALTHY, format!("cannot probe: {error}")),
    }
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Definition, String> {
    let (mut timeout, mut headers, mut url) = (Duration::from_secs(20), BTreeMap::new(), None);
    while let Some(arg) = args.next() {
        let (name, value) = match arg.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name.to_owned(), Some(value.to_owned())),
            _ => (arg, None),
        };
        let mut value = || value.clone().or_else(|| args.next()).ok_or_else(|| format!("{name} needs a value"));
        match name.as_str() {
            "--timeout" => {
                let seconds = value()?.parse().ok().filter(|seconds| *seconds > 0.0 && *seconds <= 86400.0);
                timeout = Duration::from_secs_f64(seconds.ok_or("--timeout is no number of seconds")?);
            }
            "--header" => {
                let header = value()?;
                let (name, value) = header.split_once(':').ok_or("--header is not NAME:VALUE")?;
                headers.insert(name.trim().to_owned(), value.trim().to_owned());
            }
            flag if flag.starts_with('-') => return Err(format!("unknown flag: {flag}")),
            _ if url.is_some() => return Err("more than one URL".to_owned()),
            _ => url = Some(name),
        }
    }
    definition(&url.ok_or("no URL")?, headers, timeout)
}

fn definition(url: &str, headers: BTreeMap<String, String>, timeout: Duration) -> Result<Definition, String> {
    let (scheme, rest) = url.split_once("://").ok_or_else(|| format!("{url} has no scheme"))?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = (rest.get(..end).unwrap_or_default(), rest.get(end..).unwrap_or_default());
    let kind = match scheme {
        "http" | "https" => Kind::Http(HttpTarget { scheme: scheme.to_owned(), path: path.to_owned(), headers }),
        "tcp" => Kind::Tcp,
        other => return Err(format!("unknown scheme {other}")),
    };
    let authority = match scheme {
        "http" if !authority.contains(':') => format!("{authority}:80"),
        "https" if !authority.contains(':') => format!("{authority}:443"),
        _ => authority.to_owned(),
    };
    let address = ipv4(&authority)?;
    Ok(Definition {
        index: 0,
        task: "".into(),
        kind,
        ip: address.ip().to_string(),
        port: address.port().into(),
        timing: Timing { grace: Duration::ZERO, interval: timeout, timeout },
        inert: Inert::default(),
        readiness: Readiness::Ready(address),
    })
}

/// The address, or that of the host name.
fn ipv4(authority: &str) -> Result<SocketAddrV4, String> {
    let found = authority.to_socket_addrs().map_err(|error| format!("{authority}: {error}"))?;
    let mut ipv4 = found.filter_map(|address| match address {
        SocketAddr::V4(address) => Some(address),
        SocketAddr::V6(_) => None,
    });
    ipv4.next().ok_or_else(|| format!("{authority} has no IPv4 address, as tasks have"))
}

fn attempt(definition: &Definition) -> Result<(Seen, Duration), String> {
    let unverified = ClientTls { verify: Some(Verify::None), ..ClientTls::default() };
    let config = tls::client_config(&unverified, &[]).map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let begin = Instant::now();
    let seen = runtime.block_on(Prober::new(Arc::clone(&config)).attempt(definition));
    Ok((seen, begin.elapsed()))
}

fn report(definition: &Definition, seen: &Seen, taken: Duration) -> Exit {
    let mut stdout = String::new();
    for hop in &seen.hops {
        // Writing to a text cannot fail.
        let _ = writeln!(stdout, "GET {} from {}: {}", hop.path_and_query, hop.authority, hop.status);
    }
    let verdict = if seen.state.healthy { "healthy" } else { "unhealthy" };
    let (kind, milliseconds) = (definition.kind.name(), taken.as_secs_f64() * 1e3);
    let _ = writeln!(stdout, "{kind} {verdict} after {milliseconds:.1} ms: {}", seen.state.message);
    Exit { code: if seen.state.healthy { 0 } else { UNHEALTHY }, stdout, stderr: String::new() }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn run_with(args: &[&str]) -> Exit {
        run(args.iter().map(OsString::from))
    }

    #[test]
    fn says_what_it_saw() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("tcp://{}", listener.local_addr().unwrap());
        for url in [&url, &url.replace("127.0.0.1", "localhost")] {
            let exit = run_with(&["--timeout", "5", url]);
            assert_eq!(exit.code, 0, "{exit:?}");
            assert!(exit.stdout.starts_with("REMOTE_TCP healthy after "), "{exit:?}");
        }
        drop(listener);
        let exit = run_with(&[&url, "--timeout=5"]);
        assert!(exit.code == 1 && exit.stdout.contains("connect: connection refused"), "{exit:?}");
    }

    #[test]
    fn refuses_bad_command_lines() {
        for args in [
            &[][..],
            &["x"],
            &["ftp://1.2.3.4:1"],
            &["tcp://[::1]:1"],
            &["tcp://1.2.3.4"],
            &["--nope", "tcp://1.2.3.4:1"],
            &["--timeout", "x", "tcp://1.2.3.4:1"],
            &["tcp://1.2.3.4:1", "tcp://1.2.3.4:1"],
            &["--header"],
        ] {
            assert_eq!(run_with(args).code, 2, "{args:?}");
        }
        assert_eq!(run_with(&["--help"]).code, 0);
    }
}
