//! A real ZooKeeper server, and a proxy in front of it that can cut connections and steal sessions.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use bcs_common::shutdown::Shutdown;
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::process::{Process, eventually, free_port, require};

const JAR: &str = "/usr/share/java/zookeeper.jar";
const START_LIMIT: Duration = Duration::from_secs(60);

/// One standalone server. Its shortest session timeout is 1 s.
pub struct ZooKeeperServer {
    directory: TempDir,
    port: u16,
    process: Option<Process>,
}

impl ZooKeeperServer {
    /// A server that does not run yet.
    pub fn stopped() -> Self {
        require("/usr/bin/java", "default-jre-headless");
        require(JAR, "libzookeeper-java");
        Self { directory: tempfile::tempdir().unwrap(), port: free_port(), process: None }
    }

    pub async fn started() -> Self {
        let mut server = Self::stopped();
        server.start().await;
        server
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Starts with the data of the last run and waits until it serves.
    pub async fn start(&mut self) {
        let directory = self.directory.path();
        let config = directory.join("zoo.cfg");
        let settings = format!(
            "tickTime=500\ndataDir={}\nclientPort={}\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\n",
            directory.join("data").display(),
            self.port
        );
        std::fs::write(&config, settings).unwrap();
        let mut command = Command::new("/usr/bin/java");
        command.args(["-Xmx64m", "-XX:TieredStopAtLevel=1", "-cp", JAR]);
        command.arg("org.apache.zookeeper.server.ZooKeeperServerMain").arg(&config);
        let mut process = Process::start(&mut command, directory);
        let address = self.address();
        eventually("ZooKeeper serves", START_LIMIT, async || {
            assert!(!process.has_exited(), "ZooKeeper has exited, see {}", directory.join("log").display());
            is_serving(&address).await.then_some(())
        })
        .await;
        self.process = Some(process);
    }

    pub fn stop(&mut self) {
        self.process = None;
    }
}

async fn is_serving(address: &str) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(b"srvr").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok::<_, std::io::Error>(answer.contains("Mode:"))
    };
    // A server that is just starting may take the question and never answer.
    timeout(Duration::from_secs(1), ask).await.is_ok_and(|answer| answer.unwrap_or(false))
}

/// Stands between a client and the server.
pub struct Proxy {
    address: String,
    is_open: watch::Sender<bool>,
    handshake: Arc<Mutex<Vec<u8>>>,
    server: String,
}

/// Length of the server's first message: length, protocol version, timeout, session id, password.
const HANDSHAKE: usize = 4 + 4 + 4 + 8 + 4 + 16;

impl Proxy {
    pub async fn start(server: &ZooKeeperServer, shutdown: &Shutdown) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (is_open, open) = watch::channel(true);
        let handshake = Arc::new(Mutex::new(Vec::new()));
        let proxy = Self { address, is_open, handshake: handshake.clone(), server: server.address() };
        let (server, connections) = (server.address(), shutdown.clone());
        shutdown.spawn("proxy", async move {
            while let Ok((client, _)) = listener.accept().await {
                let (server, mut open, handshake) = (server.clone(), open.clone(), handshake.clone());
                connections.spawn("proxied connection", async move {
                    if *open.borrow_and_update() {
                        tokio::select! {
                            _ = copy(client, &server, &handshake) => {}
                            _ = open.wait_for(|open| !open) => {}
                        }
                    }
                });
            }
        });
        proxy
    }

    pub fn address(&self) -> String {
        self.address.clone()
    }

    /// Cuts all connections and lets no new one through.
    pub fn cut(&self) {
        self.is_open.send_replace(false);
    }

    pub fn heal(&self) {
        self.is_open.send_replace(true);
    }

    /// Ends the session that was opened last through the proxy, by taking it over and closing it; false if it had
    /// ended before.
    pub async fn kill_session(&self) -> bool {
        let handshake = self.handshake.lock().clone();
        assert_eq!(handshake.len(), HANDSHAKE, "no session was opened yet");
        let (timeout, session) = (&handshake[8..12], &handshake[12..20]);
        let password = &handshake[20..HANDSHAKE];
        // Protocol version and last seen transaction are 0.
        let connect = [&[0; 12][..], timeout, session, password].concat();
        let close = [1_i32.to_be_bytes(), (-11_i32).to_be_bytes()].concat();
        // The owner is kept away meanwhile: it would take the session back.
        self.cut();
        let mut stream = TcpStream::connect(&self.server).await.unwrap();
        let taken_over = exchange(&mut stream, &connect).await;
        // Session id 0 means that there is no such session.
        let is_alive = taken_over[8..16] != [0; 8];
        if is_alive {
            exchange(&mut stream, &close).await;
        }
        self.heal();
        is_alive
    }
}

async fn exchange(stream: &mut TcpStream, message: &[u8]) -> Vec<u8> {
    stream.write_all(&u32::try_from(message.len()).unwrap().to_be_bytes()).await.unwrap();
    stream.write_all(message).await.unwrap();
    let mut answer = vec![0; stream.read_u32().await.unwrap() as usize];
    stream.read_exact(&mut answer).await.unwrap();
    answer
}

async fn copy(mut client: TcpStream, server: &str, handshake: &Mutex<Vec<u8>>) -> std::io::Result<()> {
    let mut server = TcpStream::connect(server).await?;
    let (mut from_server, mut to_server) = server.split();
    let (mut from_client, mut to_client) = client.split();
    let answers = async {
        let mut first = vec![0; HANDSHAKE];
        from_server.read_exact(&mut first).await?;
        to_client.write_all(&first).await?;
        *handshake.lock() = first;
        tokio::io::copy(&mut from_server, &mut to_client).await
    };
    tokio::select! {
        ended = answers => ended.map(|_| ()),
        ended = tokio::io::copy(&mut from_client, &mut to_server) => ended.map(|_| ()),
    }
}
