//! The nodes of the task tree that are known, without their data (check.md 4.1).

use crate::engine::TaskKey;

/// Levels below the root: namespace, application, task group, task.
const TASK_DEPTH: u8 = 4;
/// Namespaces and applications: few, and everything below depends on them.
const APPLICATION_DEPTH: u8 = 2;

/// A node. Its number is used again for another one; the generation tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NodeId {
    number: u32,
    generation: u32,
}

impl NodeId {
    /// The key of a task, never used for another one.
    pub fn task_key(self) -> TaskKey {
        TaskKey(u64::from(self.generation) << 32 | u64::from(self.number))
    }
}

/// One node.
#[derive(Debug)]
pub(super) struct Node {
    name: Box<str>,
    parent: u32,
    depth: u8,
    /// Ordered by name.
    children: Vec<u32>,
    /// A watch tells of the next change.
    pub watched: bool,
    /// A request is queued or under way.
    pub busy: bool,
    /// It changed while a request was under way.
    pub again: bool,
    /// A task without checks, which is never read again.
    pub unchecked: bool,
}

impl Node {
    fn new(name: &str, parent: u32, depth: u8) -> Self {
        let name = name.into();
        Self { name, parent, depth, children: Vec::new(), watched: false, busy: false, again: false, unchecked: false }
    }

    /// A task has data to read; every other node has children to list.
    pub fn is_task(&self) -> bool {
        self.depth == TASK_DEPTH
    }

    /// A namespace, an application, or the root.
    pub fn is_high(&self) -> bool {
        self.depth <= APPLICATION_DEPTH
    }
}

/// What a new list of children means.
#[derive(Debug, Default)]
pub(super) struct Change {
    /// Children that were not known.
    pub added: Vec<NodeId>,
    /// Children that were known and still are there.
    pub kept: Vec<NodeId>,
    /// Tasks that are gone, at any depth.
    pub gone: Vec<TaskKey>,
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    node: Option<Node>,
}

/// All known nodes.
#[derive(Debug)]
pub(super) struct Nodes {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

impl Nodes {
    /// Only the root is known; its name is its path.
    pub fn new(root: &str) -> Self {
        Self { slots: vec![Slot { generation: 0, node: Some(Node::new(root, 0, 0)) }], free: Vec::new() }
    }

    pub fn root() -> NodeId {
        NodeId { number: 0, generation: 0 }
    }

    pub fn get(&self, id: NodeId) -> Option<&Node> {
        self.slots.get(id.number as usize).filter(|slot| slot.generation == id.generation)?.node.as_ref()
    }

    pub fn get_mut(&mut self, id: NodeId) -> Option<&mut Node> {
        self.slots.get_mut(id.number as usize).filter(|slot| slot.generation == id.generation)?.node.as_mut()
    }

    /// The path of a known node.
    pub fn path(&self, id: NodeId) -> Option<String> {
        let mut names = Vec::with_capacity(usize::from(TASK_DEPTH) + 1);
        let mut node = self.get(id)?;
        while node.depth > 0 {
            names.push(&*node.name);
            node = self.node(node.parent)?;
        }
        names.push(&*node.name);
        names.reverse();
        Some(names.join("/"))
    }

    /// How many there are, with the root.
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// All ids, from the one after `cursor` on and around.
    pub fn ids_after(&self, cursor: usize) -> impl Iterator<Item = (usize, NodeId)> {
        let count = self.slots.len();
        (1..=count).filter_map(move |step| {
            let place = (cursor + step) % count.max(1);
            Some((place, self.id(u32::try_from(place).ok()?)?))
        })
    }

    /// Nothing is watched and no request is under way any more.
    pub fn reset(&mut self) {
        for node in self.slots.iter_mut().filter_map(|slot| slot.node.as_mut()) {
            (node.watched, node.busy, node.again) = (false, false, false);
        }
    }

    /// Takes the names of a node's children.
    pub fn set_children(&mut self, id: NodeId, mut names: Vec<String>) -> Change {
        let mut change = Change::default();
        let Some(node) = self.get_mut(id) else { return change };
        let depth = node.depth + 1;
        let known = std::mem::take(&mut node.children);
        names.sort_unstable();
        names.dedup();
        let mut children = Vec::with_capacity(names.len());
        let mut known = known.into_iter().peekable();
        for name in names {
            // Both are in order: whatever is smaller is not in the new list.
            while let Some(old) = known.next_if(|old| self.name(*old) < Some(name.as_str())) {
                self.remove_subtree(old, &mut change.gone);
            }
            if let Some(old) = known.next_if(|old| self.name(*old) == Some(name.as_str())) {
                children.push(old);
                change.kept.extend(self.id(old));
            } else {
                let new = self.insert(Node::new(&name, id.number, depth));
                children.push(new.number);
                change.added.push(new);
            }
        }
        for old in known {
            self.remove_subtree(old, &mut change.gone);
        }
        if let Some(node) = self.get_mut(id) {
            node.children = children;
        }
        change
    }

    /// Forgets a node and all below it; returns the tasks among them. Of the root only what is below it.
    pub fn remove(&mut self, id: NodeId) -> Vec<TaskKey> {
        if id == Self::root() {
            return self.set_children(id, Vec::new()).gone;
        }
        let mut gone = Vec::new();
        let Some(parent) = self.get(id).map(|node| node.parent) else { return gone };
        if let Some(parent) = self.slots.get_mut(parent as usize).and_then(|slot| slot.node.as_mut()) {
            parent.children.retain(|child| *child != id.number);
        }
        self.remove_subtree(id.number, &mut gone);
        gone
    }

    fn remove_subtree(&mut self, number: u32, gone: &mut Vec<TaskKey>) {
        let mut left = vec![number];
        while let Some(number) = left.pop() {
            let Some(id) = self.id(number) else { continue };
            let Some(slot) = self.slots.get_mut(number as usize) else { continue };
            let Some(node) = slot.node.take() else { continue };
            slot.generation = slot.generation.wrapping_add(1);
            self.free.push(number);
            if node.is_task() {
                gone.push(id.task_key());
            }
            left.extend(node.children);
        }
    }

    fn insert(&mut self, node: Node) -> NodeId {
        if let Some(number) = self.free.pop()
            && let Some(slot) = self.slots.get_mut(number as usize)
        {
            slot.node = Some(node);
            return NodeId { number, generation: slot.generation };
        }
        // Far fewer nodes fit into memory.
        let number = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        self.slots.push(Slot { generation: 0, node: Some(node) });
        NodeId { number, generation: 0 }
    }

    fn node(&self, number: u32) -> Option<&Node> {
        self.slots.get(number as usize)?.node.as_ref()
    }

    fn name(&self, number: u32) -> Option<&str> {
        self.node(number).map(|node| &*node.name)
    }

    fn id(&self, number: u32) -> Option<NodeId> {
        let slot = self.slots.get(number as usize)?;
        slot.node.is_some().then_some(NodeId { number, generation: slot.generation })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    /// A tree with one namespace, application and group, and these tasks.
    fn tree(tasks: &[&str]) -> (Nodes, NodeId, Change) {
        let mut nodes = Nodes::new("/a");
        let mut id = Nodes::root();
        for name in ["ns", "app", "group"] {
            id = nodes.set_children(id, names(&[name])).added[0];
        }
        let change = nodes.set_children(id, names(tasks));
        (nodes, id, change)
    }

    #[test]
    fn paths_and_levels() {
        let (nodes, group, change) = tree(&["t1"]);
        assert_eq!(nodes.path(change.added[0]).unwrap(), "/a/ns/app/group/t1");
        assert!(nodes.get(change.added[0]).unwrap().is_task() && !nodes.get(group).unwrap().is_task());
    }

    #[test]
    fn differences_of_lists() {
        let (mut nodes, group, first) = tree(&["t3", "t1", "t2"]);
        assert_eq!(first.added.len(), 3);
        let second = nodes.set_children(group, names(&["t0", "t3", "t2", "t4"]));
        assert_eq!((second.added.len(), second.kept.len()), (2, 2));
        assert_eq!(second.gone, [first.added[0].task_key()]);
    }

    #[test]
    fn a_parent_takes_its_tasks_along_and_numbers_are_not_mistaken() {
        let (mut nodes, group, change) = tree(&["t1", "t2"]);
        let keys: BTreeSet<_> = change.added.iter().map(|id| id.task_key()).collect();
        let gone: BTreeSet<_> = nodes.remove(Nodes::root()).into_iter().collect();
        assert_eq!(gone, keys);
        assert_eq!((nodes.len(), nodes.path(group)), (1, None));
        let ns = nodes.set_children(Nodes::root(), names(&["ns"])).added[0];
        assert!(!keys.contains(&ns.task_key()));
        assert!(nodes.get(change.added[0]).is_none() && nodes.remove(change.added[1]).is_empty());
    }

    proptest! {
        #[test]
        fn the_children_are_those_of_the_last_list(lists in prop::collection::vec(prop::collection::btree_set("[a-e]{1,2}", 0..12), 1..12)) {
            let (mut nodes, group, _) = tree(&[]);
            let mut known = BTreeSet::new();
            for list in lists {
                let change = nodes.set_children(group, list.iter().cloned().collect());
                prop_assert_eq!(change.added.len(), list.difference(&known).count());
                prop_assert_eq!(change.gone.len(), known.difference(&list).count());
                let paths: BTreeSet<_> = change.added.iter().chain(&change.kept).map(|id| nodes.path(*id).unwrap()).collect();
                let expected: BTreeSet<_> = list.iter().map(|name| format!("/a/ns/app/group/{name}")).collect();
                prop_assert_eq!(paths, expected);
                known = list;
            }
            prop_assert_eq!(nodes.len(), 4 + known.len());
        }
    }
}
