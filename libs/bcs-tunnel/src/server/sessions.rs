//! Which sessions there are.

use std::collections::HashMap;
use std::sync::Arc;

use crate::frame::Kind;
use crate::session::Session;

/// Who is at the far end of an accepted session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Agent,
    Peer,
}

/// All sessions of a tunnel server, the oldest of each key first.
#[derive(Default)]
pub(super) struct Sessions {
    agents: HashMap<String, Vec<Arc<Session>>>,
    peers: HashMap<String, Vec<Arc<Session>>>,
    /// Sessions that were dialled to peers: these are told which agents there are.
    listeners: Vec<Arc<Session>>,
}

impl Sessions {
    pub fn add(&mut self, origin: Origin, session: &Arc<Session>) {
        self.of(origin).entry(session.key.clone()).or_default().push(Arc::clone(session));
        if origin == Origin::Agent {
            self.announce(Kind::AddClient, session);
        }
    }

    pub fn remove(&mut self, origin: Origin, session: &Arc<Session>) {
        let all = self.of(origin);
        if let Some(sessions) = all.get_mut(&session.key) {
            sessions.retain(|other| !Arc::ptr_eq(other, session));
            if sessions.is_empty() {
                all.remove(&session.key);
            }
        }
        if origin == Origin::Agent {
            self.announce(Kind::RemoveClient, session);
        }
    }

    fn of(&mut self, origin: Origin) -> &mut HashMap<String, Vec<Arc<Session>>> {
        match origin {
            Origin::Agent => &mut self.agents,
            Origin::Peer => &mut self.peers,
        }
    }

    fn announce(&self, kind: Kind, session: &Session) {
        for listener in &self.listeners {
            listener.announce(kind, &session.key, session.session_key);
        }
    }

    /// Tells `listener` about all agents, now and later.
    pub fn add_listener(&mut self, listener: &Arc<Session>) {
        for session in self.agents.values().flatten() {
            listener.announce(Kind::AddClient, &session.key, session.session_key);
        }
        self.listeners.push(Arc::clone(listener));
    }

    pub fn remove_listener(&mut self, listener: &Arc<Session>) {
        self.listeners.retain(|other| !Arc::ptr_eq(other, listener));
    }

    /// Whether an agent serves the key, here or at a peer.
    pub fn has(&self, key: &str) -> bool {
        self.agents.contains_key(key) || self.peer_for(key).is_some()
    }

    /// Whether there is an agent, or a peer that may have some.
    pub fn has_any(&self) -> bool {
        !self.agents.is_empty() || !self.peers.is_empty()
    }

    /// The sessions of a key, the oldest first.
    pub fn agents(&self, key: &str) -> impl Iterator<Item = &Arc<Session>> {
        self.agents.get(key).into_iter().flatten()
    }

    /// A peer that announced the key.
    pub fn peer_for(&self, key: &str) -> Option<Arc<Session>> {
        self.peers.values().flatten().find(|peer| peer.reaches(key)).cloned()
    }
}
