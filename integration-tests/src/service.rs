//! The BCS programs under test.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::net::TcpStream;

use crate::daemon::{Daemon, Ready};
use crate::http::Client;
use crate::ports::Port;
use crate::process::{Process, command};
use crate::wait::eventually;
use crate::workdir::{WorkDir, programs};

/// How long a program that is expected to end by itself may take, and one that starts to open all its ports.
const RUN: Duration = Duration::from_secs(30);

/// The config file's name in the working directory.
const CONFIG: &str = "config.json";

/// How to start a program: its config, files, arguments and environment. It runs in a directory of its own.
///
/// `${KEY}` in files and arguments is the number of the port with that config key.
pub struct ServiceSpec {
    program: String,
    config: Option<Map<String, Value>>,
    port_keys: Vec<String>,
    files: Vec<(String, String)>,
    args: Vec<String>,
    env: Vec<(String, String)>,
}

impl ServiceSpec {
    /// The program of that name from cargo's target directory.
    pub fn new(program: &str) -> Self {
        Self {
            program: program.to_owned(),
            config: None,
            port_keys: Vec::new(),
            files: Vec::new(),
            args: Vec::new(),
            env: Vec::new(),
        }
    }

    /// Gives it a config file, named by the argument `-f`: `config`, on top of an address (127.0.0.1), the claimed
    /// ports and logs that go to standard error too.
    ///
    /// # Panics
    /// When `config` is not an object.
    pub fn config(mut self, config: &Value) -> Self {
        self.config = Some(config.as_object().unwrap().clone());
        self
    }

    /// Claims one free port for each of these config keys. The service counts as started when the first one accepts
    /// connections.
    pub fn ports(mut self, keys: &[&str]) -> Self {
        self.port_keys = keys.iter().map(ToString::to_string).collect();
        self
    }

    /// Puts a file into its working directory.
    pub fn file(mut self, name: &str, content: impl Into<String>) -> Self {
        self.files.push((name.to_owned(), content.into()));
        self
    }

    /// Adds arguments, after `-f config.json`.
    pub fn args(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(ToString::to_string));
        self
    }

    /// Sets a variable of its environment, which is else nearly empty.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts it and waits until its first port accepts connections.
    ///
    /// # Panics
    /// When the program is not built, ends early, or does not listen in time; the end of its log is printed.
    pub async fn start(self) -> Service {
        let (dir, ports) = self.prepare();
        let (_, first) = ports.first().expect("a service that listens has a port");
        let (name, address) = (self.program.clone(), first.address());
        let make = self.command(&ports);
        let daemon = Daemon::start(&name, dir, address, Ready::Listens, make).await;
        Service { daemon, ports }
    }

    /// Runs it to its end, for programs and configs that do not stay.
    ///
    /// # Panics
    /// When the program is not built or does not end in time.
    pub async fn output(self) -> Output {
        let (dir, ports) = self.prepare();
        let make = self.command(&ports);
        let mut process = Process::spawn(&self.program, make(dir.path()), dir.path());
        let status = process.exited(RUN).await;
        let [stdout, stderr] = process.output();
        Output { code: status.code(), stdout, stderr }
    }

    /// Its directory with its files, and its ports by config key.
    fn prepare(&self) -> (WorkDir, Vec<(String, Port)>) {
        let ports: Vec<_> = self.port_keys.iter().map(|key| (key.clone(), Port::claim())).collect();
        let dir = WorkDir::new(&self.program);
        // The services do not make the directory of their logs, as the original.
        std::fs::create_dir(dir.path().join("logs")).unwrap();
        for (name, content) in &self.files {
            dir.write(name, with_ports(content, &ports));
        }
        if let Some(config) = &self.config {
            let mut all = json!({"address": "127.0.0.1", "log_dir": "logs", "alsologtostderr": true});
            let keys = all.as_object_mut().unwrap();
            keys.extend(ports.iter().map(|(key, port)| (key.clone(), port.number().into())));
            keys.extend(config.clone());
            dir.write(CONFIG, all.to_string());
        }
        (dir, ports)
    }

    fn command(&self, ports: &[(String, Port)]) -> impl Fn(&Path) -> Command + use<> {
        let program = programs().join(&self.program);
        assert!(program.exists(), "{} is not built: run cargo build --workspace --bins", program.display());
        let mut args = Vec::new();
        if self.config.is_some() {
            args.extend(["-f".to_owned(), CONFIG.to_owned()]);
        }
        args.extend(self.args.iter().map(|arg| with_ports(arg, ports)));
        let env = self.env.clone();
        move |dir| {
            let mut command = command(&program, dir);
            command.args(&args).envs(env.iter().cloned());
            command
        }
    }
}

fn with_ports(text: &str, ports: &[(String, Port)]) -> String {
    ports
        .iter()
        .fold(text.to_owned(), |text, (key, port)| text.replace(&format!("${{{key}}}"), &port.number().to_string()))
}

/// What a program that ended left.
#[derive(Debug)]
pub struct Output {
    /// The exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// A running service.
pub struct Service {
    daemon: Daemon,
    ports: Vec<(String, Port)>,
}

impl Service {
    /// The base URL of the first port, without TLS.
    pub fn url(&self) -> String {
        format!("http://{}", self.daemon.address())
    }

    /// The base URL of the first port, with TLS. The host is a name, as certificates want it.
    pub fn https_url(&self) -> String {
        format!("https://localhost:{}", self.daemon.address().port())
    }

    /// A client of the first port, without TLS.
    pub fn client(&self) -> Client {
        Client::new(&self.url())
    }

    /// A client of its metrics. Services open that port last, so this waits until it takes connections.
    ///
    /// # Panics
    /// When no port was claimed for it, or it stays closed.
    pub async fn metrics(&self) -> Client {
        let port = self.ports.iter().find(|(key, _)| ["metric_port", "metricport"].contains(&key.as_str()));
        let address = port.expect("a port is claimed for the metrics").1.address();
        eventually("the metrics are served", RUN, async || TcpStream::connect(address).await.is_ok()).await;
        Client::new(&format!("http://{address}"))
    }

    /// The port claimed for a config key.
    ///
    /// # Panics
    /// When none was claimed for it.
    pub fn port(&self, key: &str) -> u16 {
        let port = self.ports.iter().find(|(own, _)| own == key);
        port.unwrap_or_else(|| panic!("no port was claimed for {key}")).1.number()
    }

    /// Its working directory.
    pub fn dir(&self) -> &WorkDir {
        self.daemon.dir()
    }

    /// Stops it with SIGTERM; how long that took.
    ///
    /// # Panics
    /// When it does not end in time, or with another exit code than 0.
    pub async fn stop(&mut self) -> Duration {
        let (status, took) = self.daemon.stop().await;
        assert_eq!(status.code(), Some(0), "exit after SIGTERM: {status}");
        took
    }

    /// The daemon: kill it, start it again on the same ports, directory and config; its process with output, memory
    /// and files.
    pub fn daemon(&mut self) -> &mut Daemon {
        &mut self.daemon
    }
}
