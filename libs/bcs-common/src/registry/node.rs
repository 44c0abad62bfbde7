//! One registered instance as readers see it, and the order of instances.

use std::collections::BTreeMap;

use super::ServerInfo;

/// One registered instance of a service.
#[derive(Clone, PartialEq, Eq)]
pub struct Node {
    /// Name within its directory: the ZooKeeper node name or the etcd node id.
    pub name: String,
    /// Position in the order of registration; the oldest has the lowest.
    pub sequence: u64,
    /// The raw text the registry holds. It may contain tokens, so `Debug` leaves it out.
    pub data: String,
    /// What `data` says; none if it could not be read (the node still takes part in an election).
    pub info: Option<ServerInfo>,
    /// Metadata of an etcd node; empty elsewhere.
    pub metadata: BTreeMap<String, String>,
}

impl Node {
    /// A ZooKeeper node; none if its name carries no sequence number.
    pub(super) fn from_zookeeper(name: String, data: Vec<u8>) -> Option<Self> {
        let sequence = sequence(&name)?;
        let info = serde_json::from_slice(&data).ok();
        let data = String::from_utf8_lossy(&data).into_owned();
        Some(Self { name, sequence, data, info, metadata: BTreeMap::new() })
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node")
            .field("name", &self.name)
            .field("sequence", &self.sequence)
            .field("info", &self.info)
            .finish_non_exhaustive()
    }
}

/// Number of decimal digits ZooKeeper appends to a sequential node.
const SEQUENCE_DIGITS: usize = 10;

/// The sequence number of a ZooKeeper node: its last ten characters as a decimal number. Shorter names and names that
/// end otherwise, such as cluster ids in the same directory, have none (common.md 3.5).
pub fn sequence(name: &str) -> Option<u64> {
    let start = name.len().checked_sub(SEQUENCE_DIGITS).filter(|start| *start > 0)?;
    // `parse` alone would take a sign (check.md 9, Q19).
    name.get(start..).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()
}

/// What the names of all nodes of one registration have in common: all but the sequence number.
pub(super) fn protected_name(name: &str) -> &str {
    name.get(..name.len().saturating_sub(SEQUENCE_DIGITS)).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn orders_by_the_last_ten_characters() {
        let children = ["_c_..-10.0.0.20000000003", "short", "_c_..-10.0.0.10000000012", "BCS-MESOS-10001"];
        let mut nodes: Vec<Node> =
            children.iter().filter_map(|name| Node::from_zookeeper((*name).into(), Vec::new())).collect();
        nodes.sort_by_key(|node| node.sequence);
        let order: Vec<_> = nodes.iter().map(|node| (node.name.as_str(), node.sequence)).collect();
        assert_eq!(order, [("_c_..-10.0.0.20000000003", 3), ("_c_..-10.0.0.10000000012", 12)]);
    }

    #[test]
    fn a_name_of_only_ten_characters_has_no_sequence() {
        assert_eq!(sequence("0000000001"), None);
        assert_eq!(sequence("x0000000001"), Some(1));
        assert_eq!((sequence("x+000000001"), sequence("BCS-123456789")), (None, None));
    }

    #[test]
    fn a_node_with_unreadable_data_is_kept() {
        let node = Node::from_zookeeper("x0000000001".into(), b"not json".to_vec()).unwrap();
        assert_eq!((node.info, node.data.as_str()), (None, "not json"));
    }

    proptest! {
        #[test]
        fn any_name_is_read_or_dropped(name in "\\PC{0,40}") {
            if let Some(number) = sequence(&name) {
                let mut tail = name;
                let digits = tail.split_off(tail.len() - SEQUENCE_DIGITS);
                prop_assert_eq!(digits.parse::<u64>().unwrap(), number);
            }
        }
    }
}
