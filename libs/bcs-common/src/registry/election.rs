//! Leader election among the registered instances of one module (common.md 3.8).
//!
//! The lowest sequence wins. An instance compares its own node name with the first node, not the node data as the
//! original did: two instances with equal address, host name and process id would both lead.

use tokio::sync::watch;

use super::node::protected_name;
use super::{Node, Registration, RegistrationState};

/// The part an instance plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It leads: it does the work.
    Master,
    /// Another instance leads.
    Slave,
    /// The instance is not in the list: it must not work.
    Unknown,
}

impl Role {
    /// `master`, `slave` or `unknown`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::Slave => "slave",
            Self::Unknown => "unknown",
        }
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The role of the instance that is registered as `own` (none while it is not) among `nodes`, in any order.
///
/// A node that the instance left behind in a lost session counts for it as long as it exists: to all others it leads.
pub fn role(own: Option<&str>, nodes: &[Node]) -> Role {
    let Some(own) = own else { return Role::Unknown };
    if !nodes.iter().any(|node| node.name == own) {
        return Role::Unknown;
    }
    // Equal sequences exist only across directories; the name decides so that all instances agree.
    let first = nodes.iter().min_by_key(|node| (node.sequence, node.name.as_str()));
    if first.is_some_and(|node| protected_name(&node.name) == protected_name(own)) { Role::Master } else { Role::Slave }
}

/// Watches an own registration and the list of nodes, and tells every change of the role.
#[derive(Debug)]
pub struct Election {
    registration: watch::Receiver<RegistrationState>,
    nodes: watch::Receiver<Vec<Node>>,
    role: Role,
}

impl Election {
    /// An election among `nodes`, which must be the nodes of the directory of `registration`.
    pub fn new(registration: &Registration, nodes: watch::Receiver<Vec<Node>>) -> Self {
        Self { registration: registration.state(), nodes, role: Role::Unknown }
    }

    /// The role as of the last change.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Waits until the role differs from [`Election::role`] and returns the new one; none once the registration has
    /// ended. Safe to cancel.
    pub async fn changed(&mut self) -> Option<Role> {
        loop {
            let role = self.current();
            if role != self.role {
                self.role = role;
                return Some(role);
            }
            tokio::select! {
                changed = self.registration.changed() => changed.ok()?,
                changed = self.nodes.changed() => changed.ok()?,
            }
        }
    }

    fn current(&mut self) -> Role {
        let nodes = self.nodes.borrow_and_update();
        match &*self.registration.borrow_and_update() {
            RegistrationState::Registered(own) => role(Some(own), &nodes),
            _ => role(None, &nodes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(names: &[&str]) -> Vec<Node> {
        // Equal data on purpose: it must not decide.
        names.iter().filter_map(|name| Node::from_zookeeper((*name).into(), b"{}".to_vec())).collect()
    }

    #[test]
    fn table() {
        let cases: &[(Option<&str>, &[&str], Role)] = &[
            (Some("a0000000001"), &["a0000000001"], Role::Master),
            (Some("a0000000001"), &["a0000000001", "b0000000002"], Role::Master),
            (Some("b0000000002"), &["a0000000001", "b0000000002"], Role::Slave),
            // The sequence decides, neither the name nor the position.
            (Some("z0000000003"), &["a0000000012", "z0000000003"], Role::Master),
            (Some("a0000000012"), &["a0000000012", "z0000000003"], Role::Slave),
            // Cluster ids live in the same directory.
            (Some("a0000000007"), &["BCS-MESOS-10001", "a0000000007"], Role::Master),
            // A node of its own that a lost session has left behind.
            (Some("a0000000007"), &["a0000000001", "a0000000007"], Role::Master),
            (Some("a0000000007"), &["a0000000001", "b0000000002", "a0000000007"], Role::Master),
            (Some("a0000000007"), &["b0000000001", "a0000000002", "a0000000007"], Role::Slave),
            (Some("a0000000007"), &["a0000000001"], Role::Unknown),
            (Some("a0000000001"), &["b0000000002"], Role::Unknown),
            (Some("a0000000001"), &[], Role::Unknown),
            (None, &["a0000000001"], Role::Unknown),
        ];
        for (own, names, expected) in cases {
            assert_eq!(role(*own, &nodes(names)), *expected, "{own:?} among {names:?}");
        }
    }

    #[tokio::test]
    async fn tells_each_change_of_the_role_once() {
        let (state, registration) = watch::channel(RegistrationState::Pending);
        let (list, receiver) = watch::channel(nodes(&["a0000000001"]));
        let mut election = Election { registration, nodes: receiver, role: Role::Unknown };

        list.send_replace(nodes(&["a0000000001", "b0000000002"]));
        state.send_replace(RegistrationState::Registered("b0000000002".into()));
        assert_eq!(election.changed().await, Some(Role::Slave));
        list.send_replace(nodes(&["b0000000002", "c0000000003"]));
        assert_eq!(election.changed().await, Some(Role::Master));
        state.send_replace(RegistrationState::Failed("session lost".into()));
        assert_eq!(election.changed().await, Some(Role::Unknown));
        assert_eq!(election.role().as_str(), "unknown");
        drop(state);
        assert_eq!(election.changed().await, None);
    }
}
