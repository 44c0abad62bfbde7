//! A process that listens: ready when it answers, and startable again on the same port with the same data.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::process::Process;
use crate::wait::eventually;
use crate::workdir::WorkDir;

/// How long a server may take until it answers. Far more than any needs on an idle machine.
const START: Duration = Duration::from_secs(90);

/// How long a server may take to end after SIGTERM.
const STOP: Duration = Duration::from_secs(30);

/// When a daemon counts as started.
#[derive(Clone, Copy, Debug)]
pub enum Ready {
    /// Its port accepts connections.
    Listens,
    /// It answers `to` (sent first, may be empty) with something that `with` accepts.
    Answers {
        /// The bytes to send.
        to: &'static [u8],
        /// Whether the first bytes of the answer are good.
        with: fn(&[u8]) -> bool,
    },
}

/// A started server process with its directory.
pub struct Daemon {
    name: String,
    // Before the directory: the process must be gone when its files are removed.
    process: Process,
    command: Box<dyn Fn(&Path) -> Command + Send + Sync>,
    address: SocketAddr,
    ready: Ready,
    dir: WorkDir,
}

impl Daemon {
    /// Starts the process that `command` makes (it gets the directory) and waits until it is ready at `address`.
    ///
    /// # Panics
    /// When it ends before or is not ready in time; the end of its log is printed.
    pub async fn start(
        name: &str,
        dir: WorkDir,
        address: SocketAddr,
        ready: Ready,
        command: impl Fn(&Path) -> Command + Send + Sync + 'static,
    ) -> Self {
        let process = Process::spawn(name, command(dir.path()), dir.path());
        let mut daemon = Self { name: name.to_owned(), process, command: Box::new(command), address, ready, dir };
        daemon.until_ready().await;
        daemon
    }

    /// Starts it again after [`Self::stop`] or [`Self::kill`], with the same command and directory, and waits until it
    /// is ready. A running one is killed first.
    pub async fn start_again(&mut self) {
        self.start_again_unready();
        self.until_ready().await;
    }

    /// As [`Self::start_again`], without waiting.
    pub fn start_again_unready(&mut self) {
        self.process.kill();
        self.process = Process::spawn(&self.name, (self.command)(self.dir.path()), self.dir.path());
    }

    /// Waits until it is ready.
    pub async fn until_ready(&mut self) {
        let Self { name, process, address, ready, .. } = self;
        let what = format!("{name} is ready at {address}");
        eventually(&what, START, async || {
            if let Some(status) = process.exit_status() {
                panic!("{name} ended early, {status}");
            }
            is_ready(*address, *ready).await
        })
        .await;
    }

    /// Asks it to end with SIGTERM and waits for that; how it ended, and how long it took.
    pub async fn stop(&mut self) -> (ExitStatus, Duration) {
        let start = Instant::now();
        self.process.terminate();
        let status = self.process.exited(STOP).await;
        (status, start.elapsed())
    }

    /// Ends it at once (`kill -9`).
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its directory.
    pub fn dir(&self) -> &WorkDir {
        &self.dir
    }

    /// The process: output, memory, files, signals.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

async fn is_ready(address: SocketAddr, ready: Ready) -> bool {
    let Ok(mut stream) = TcpStream::connect(address).await else {
        return false;
    };
    match ready {
        Ready::Listens => true,
        Ready::Answers { to, with } => {
            let mut answer = [0; 256];
            let exchange = async {
                stream.write_all(to).await?;
                stream.read(&mut answer).await
            };
            // A server that accepts too early may never answer this connection: ask again on a new one.
            match tokio::time::timeout(Duration::from_secs(2), exchange).await {
                Ok(Ok(length)) => with(&answer[..length]),
                _ => false,
            }
        }
    }
}
