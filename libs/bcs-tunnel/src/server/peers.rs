//! The mesh of replicas (common.md 7.6): every instance dials every other, tells it which agents it holds, and
//! connects to them on its behalf.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bcs_common::errors::chain;
use http::{HeaderMap, HeaderName, HeaderValue};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{Inner, NoSession};
use crate::client::{self, Dial, Stream};
use crate::handshake::{PEER_ID, TOKEN};
use crate::session::Opening;
use crate::websocket::connect::{ConnectError, Endpoint, connect};

/// Before every attempt: the other side must have discovered this instance too.
const BEFORE_DIAL: Duration = Duration::from_secs(2);
/// After a failure or the end of a session.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

/// Another instance.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Peer {
    /// Where it is, and what it calls itself: `host:port`.
    pub id: String,
    /// Whether it accepts over TLS.
    pub tls: bool,
}

/// The instances that are known, each with the switch of its dialing loop.
#[derive(Default)]
pub(super) struct Peers(HashMap<Peer, CancellationToken>);

impl Peers {
    pub fn knows(&self, id: &str) -> bool {
        self.0.keys().any(|peer| peer.id == id)
    }
}

pub(super) fn set(inner: &Arc<Inner>, peers: Vec<Peer>) {
    if peers.is_empty() || inner.options.peer_token.is_empty() {
        return;
    }
    let wanted: Vec<Peer> =
        peers.into_iter().filter(|peer| !peer.id.is_empty() && peer.id != inner.options.peer_id).collect();
    let mut known = inner.peers.lock();
    known.0.retain(|peer, stop| {
        let stays = wanted.contains(peer);
        if !stays {
            info!(peer = peer.id, "peer is gone");
            stop.cancel();
        }
        stays
    });
    for peer in wanted {
        known.0.entry(peer).or_insert_with_key(|peer| {
            info!(peer = peer.id, "new peer");
            let stop = inner.shutdown.token().child_token();
            inner.shutdown.spawn("tunnel peer", Arc::clone(inner).meet(peer.clone(), stop.clone()));
            stop
        });
    }
}

impl Inner {
    /// Dials a peer again and again, until it is gone.
    async fn meet(self: Arc<Self>, peer: Peer, stop: CancellationToken) {
        loop {
            let attempt = async {
                sleep(BEFORE_DIAL).await;
                self.metrics.peer_attempt(&peer.id);
                self.connect(&peer).await
            };
            let connected = tokio::select! {
                () = stop.cancelled() => return,
                connected = attempt => connected,
            };
            match connected {
                // Not cut by `stop`: a peer that left the registry may still be at work.
                Ok(io) => self.serve(&peer, io).await,
                // Normal while the other side has not discovered this instance.
                Err(error) => debug!(peer = peer.id, "no tunnel to the peer: {}", chain(&error)),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(AFTER_FAILURE) => {}
            }
        }
    }

    async fn serve(self: &Arc<Self>, peer: &Peer, io: impl Stream) {
        let session = client::session(&self.metrics, self.options.keep_alive);
        self.metrics.peer_connected(&peer.id);
        self.sessions.lock().add_listener(&session);
        info!(peer = peer.id, "tunnel to the peer begins");
        let dial = Arc::new(PeerDial(Arc::clone(self)));
        let stop = self.shutdown.token().child_token();
        let reason = client::run(io, Arc::clone(&session), dial, &self.shutdown, stop).await;
        self.sessions.lock().remove_listener(&session);
        warn!(peer = peer.id, "tunnel to the peer ended: {}", chain(&reason));
    }

    async fn connect(&self, peer: &Peer) -> Result<TokioIo<Upgraded>, ConnectError> {
        let mut headers = HeaderMap::new();
        for (name, text) in [(PEER_ID, &self.options.peer_id), (TOKEN, &self.options.peer_token)] {
            let value = HeaderValue::try_from(text).map_err(|_| ConnectError::Address(name.to_owned()))?;
            headers.insert(HeaderName::from_static(name), value);
        }
        let tls = match (peer.tls, &self.options.peer_tls) {
            (false, _) => None,
            (true, Some(tls)) => Some(Arc::clone(tls)),
            (true, None) => return Err(io::Error::other("no TLS configuration for peers").into()),
        };
        let endpoint = Endpoint { authority: &peer.id, path: self.options.peer_path };
        connect(endpoint, headers, tls, &self.shutdown).await
    }
}

/// Connects a peer to an agent of this instance: the network is `<client key>::<network>`.
struct PeerDial(Arc<Inner>);

#[async_trait]
impl Dial for PeerDial {
    fn allows(&self, _opening: &Opening) -> bool {
        true
    }

    async fn dial(&self, opening: &Opening) -> Result<Box<dyn Stream>, String> {
        let Some((key, network)) = opening.network.split_once("::") else {
            return Err(format!("invalid clientKey/proto: {}", opening.network));
        };
        // Never on to another peer: that could go round in circles.
        match self.0.dial_agent(key, network, &opening.address) {
            Some(stream) => Ok(Box::new(stream)),
            None => Err(NoSession { key: key.to_owned() }.to_string()),
        }
    }
}
