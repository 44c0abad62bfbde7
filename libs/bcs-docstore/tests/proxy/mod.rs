//! A TCP proxy that can break what runs through it.
#![allow(clippy::unwrap_used, reason = "all of this is test code: a panic is a failed test")]

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

/// What the network does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// Passes everything on.
    Works,
    /// Ends connections and takes no new ones.
    Refuses,
    /// Keeps connections open and passes nothing on.
    Swallows,
}

/// A proxy in front of one address.
pub struct Proxy {
    address: SocketAddr,
    network: watch::Sender<Network>,
}

impl Proxy {
    /// Listens on a free port for connections to `target`; ends with its runtime.
    pub async fn start(target: &str, network: Network) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (network, state) = watch::channel(network);
        let target = target.to_owned();
        let tasks = TaskTracker::new();
        tasks.clone().spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tasks.spawn(pass_on(client, target.clone(), state.clone()));
            }
        });
        Self { address, network }
    }

    /// Where it listens.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Changes what happens to all connections, old and new.
    pub fn set(&self, network: Network) {
        self.network.send_replace(network);
    }
}

async fn pass_on(mut client: TcpStream, target: String, mut state: watch::Receiver<Network>) {
    if *state.borrow() == Network::Refuses {
        return;
    }
    if state.wait_for(|network| *network != Network::Swallows).await.is_err() {
        return;
    }
    let Ok(mut server) = TcpStream::connect(target).await else { return };
    loop {
        tokio::select! {
            _ = copy_bidirectional(&mut client, &mut server) => return,
            _ = state.wait_for(|network| *network != Network::Works) => {}
        }
        match state.wait_for(|network| *network != Network::Swallows).await.as_deref() {
            Ok(Network::Works) => {}
            _ => return,
        }
    }
}
