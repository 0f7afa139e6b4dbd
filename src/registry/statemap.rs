//! The state map: a sparse Merkle map over SHA-256 (protocol.md, "Commit, state map, time").
//!
//! Shape: an empty subtree has the hash [`EMPTY`]; a subtree with exactly one leaf *is* that leaf's hash, at whatever
//! depth; a subtree with two leaves or more is an inner node over its halves by the key's bit at that depth, most
//! significant bit first, also where one half is empty. So the root is a function of the set of leaves alone.
//!
//! Leaf = SHA-256(0x10 ‖ key ‖ value), inner = SHA-256(0x11 ‖ left ‖ right), empty = SHA-256(0x12). A leaf's hash covers its
//! whole key. Leaves are never removed; a batch that turns out wrong is rolled back as a whole.

use sha2::{Digest, Sha256};

const LEAF: u8 = 0x10;
const INNER: u8 = 0x11;
const KEY_TAG: &[u8] = b"domovoi map key v0\n";

/// Hash of an empty subtree: SHA-256(0x12).
pub fn empty() -> [u8; 32] {
    Sha256::digest([0x12]).into()
}

/// The key of a leaf: SHA-256 of a tag and its name, for example `chat:77-…` or `link:<digest>`.
pub fn map_key(name: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(KEY_TAG);
    hash.update(name);
    hash.finalize().into()
}

/// Hash of a leaf.
pub fn leaf_hash(key: &[u8; 32], value: &[u8; 32]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update([LEAF]);
    hash.update(key);
    hash.update(value);
    hash.finalize().into()
}

/// Hash of an inner node.
pub fn inner_hash(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update([INNER]);
    hash.update(left);
    hash.update(right);
    hash.finalize().into()
}

/// A child: nothing, an inner node, or a leaf; 31 bits of index and one that tells which, so 2^31 of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Child(u32);

const NOTHING: Child = Child(u32::MAX);
const LEAF_BIT: u32 = 1 << 31;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Node {
    Nothing,
    Inner(usize),
    Leaf(usize),
}

impl Child {
    fn node(self) -> Node {
        match self {
            NOTHING => Node::Nothing,
            Child(n) if n & LEAF_BIT != 0 => Node::Leaf((n & !LEAF_BIT) as usize),
            Child(n) => Node::Inner(n as usize),
        }
    }
    fn inner(index: usize) -> Child {
        Child(index as u32)
    }
    fn leaf(index: usize) -> Child {
        Child(index as u32 | LEAF_BIT)
    }
}

/// 40 bytes: a hash and two children.
#[derive(Debug, Clone)]
struct Inner {
    hash: [u8; 32],
    children: [Child; 2],
}

/// 64 bytes.
#[derive(Debug, Clone)]
struct Leaf {
    key: [u8; 32],
    value: [u8; 32],
}

/// How to take one `set` of the open batch back.
#[derive(Debug, Clone)]
enum Undo {
    Value(usize, [u8; 32]),
    /// The leaf was new; where it was hung and what hung there before.
    Grown {
        parent: Option<(usize, usize)>,
        before: Child,
        inner_len: usize,
    },
}

/// The map, in memory: about 110 bytes a leaf.
#[derive(Debug, Clone)]
pub struct StateMap {
    inner: Vec<Inner>,
    leaves: Vec<Leaf>,
    top: Child,
    /// Inner nodes whose hash is stale. A stale node's ancestors are stale too.
    stale: Vec<bool>,
    undo: Option<Vec<Undo>>,
}

impl Default for StateMap {
    fn default() -> Self {
        StateMap { inner: Vec::new(), leaves: Vec::new(), top: NOTHING, stale: Vec::new(), undo: None }
    }
}

fn bit(key: &[u8; 32], depth: usize) -> usize {
    usize::from(key[depth / 8] >> (7 - depth % 8) & 1)
}

impl StateMap {
    /// An empty map.
    pub fn new() -> StateMap {
        StateMap::default()
    }
    /// Number of leaves.
    pub fn len(&self) -> usize {
        self.leaves.len()
    }
    /// True without leaves.
    pub fn is_empty(&self) -> bool {
        self.leaves.is_empty()
    }
    /// The value at a key.
    pub fn get(&self, key: &[u8; 32]) -> Option<[u8; 32]> {
        let mut at = self.top;
        for depth in 0..256 {
            match at.node() {
                Node::Inner(i) => at = self.inner[i].children[bit(key, depth)],
                _ => break,
            }
        }
        match at.node() {
            Node::Leaf(l) if self.leaves[l].key == *key => Some(self.leaves[l].value),
            _ => None,
        }
    }
    /// Begins a batch that can be rolled back.
    pub fn begin(&mut self) {
        self.undo = Some(Vec::new());
    }
    /// Ends a batch for good.
    pub fn commit(&mut self) {
        self.undo = None;
    }
    /// Takes back everything set since [`StateMap::begin`].
    pub fn rollback(&mut self) {
        for step in self.undo.take().into_iter().flatten().rev() {
            match step {
                Undo::Value(leaf, value) => {
                    self.leaves[leaf].value = value;
                    let key = self.leaves[leaf].key;
                    self.mark(&key);
                }
                Undo::Grown { parent, before, inner_len } => {
                    if let Some(leaf) = self.leaves.pop() {
                        match parent {
                            Some((node, side)) => self.inner[node].children[side] = before,
                            None => self.top = before,
                        }
                        self.inner.truncate(inner_len);
                        self.stale.truncate(inner_len);
                        self.mark(&leaf.key);
                    }
                }
            }
        }
    }

    /// Marks the inner nodes above `key` stale.
    fn mark(&mut self, key: &[u8; 32]) {
        let mut at = self.top;
        for depth in 0..256 {
            let Node::Inner(i) = at.node() else { break };
            self.stale[i] = true;
            at = self.inner[i].children[bit(key, depth)];
        }
    }

    fn hang(&mut self, parent: Option<(usize, usize)>, child: Child) {
        match parent {
            Some((node, side)) => self.inner[node].children[side] = child,
            None => self.top = child,
        }
    }

    fn new_inner(&mut self) -> usize {
        self.inner.push(Inner { hash: [0; 32], children: [NOTHING; 2] });
        self.stale.push(true);
        self.inner.len() - 1
    }

    /// Sets a leaf. Hashes are brought up to date by [`StateMap::root`].
    pub fn set(&mut self, key: [u8; 32], value: [u8; 32]) {
        let mut parent = None;
        let mut at = self.top;
        let mut depth = 0;
        while let Node::Inner(i) = at.node() {
            self.stale[i] = true;
            let side = bit(&key, depth);
            parent = Some((i, side));
            at = self.inner[i].children[side];
            depth += 1;
        }
        if let Node::Leaf(l) = at.node()
            && self.leaves[l].key == key
        {
            if let Some(undo) = &mut self.undo {
                undo.push(Undo::Value(l, self.leaves[l].value));
            }
            self.leaves[l].value = value;
            return;
        }
        if let Some(undo) = &mut self.undo {
            undo.push(Undo::Grown { parent, before: at, inner_len: self.inner.len() });
        }
        let new = Child::leaf(self.leaves.len());
        self.leaves.push(Leaf { key, value });
        let Node::Leaf(old) = at.node() else {
            self.hang(parent, new);
            return;
        };
        // Two leaves where one was: inner nodes down to the bit at which their keys part.
        let other = self.leaves[old].key;
        loop {
            let node = self.new_inner();
            self.hang(parent, Child::inner(node));
            let (mine, theirs) = (bit(&key, depth), bit(&other, depth));
            if mine != theirs {
                self.inner[node].children[mine] = new;
                self.inner[node].children[theirs] = at;
                return;
            }
            parent = Some((node, mine));
            depth += 1;
        }
    }

    /// The root; rehashes what changed since the last call, once.
    pub fn root(&mut self) -> [u8; 32] {
        self.rehash();
        self.hash_of(self.top)
    }

    fn hash_of(&self, child: Child) -> [u8; 32] {
        match child.node() {
            Node::Nothing => empty(),
            Node::Leaf(l) => leaf_hash(&self.leaves[l].key, &self.leaves[l].value),
            Node::Inner(i) => self.inner[i].hash,
        }
    }

    /// Post-order over stale nodes, without recursion: an attacker who grinds keys with long common prefixes deepens
    /// the tree, never the stack.
    fn rehash(&mut self) {
        let Node::Inner(top) = self.top.node() else { return };
        if !self.stale[top] {
            return;
        }
        let mut stack = vec![(top, false)];
        while let Some((i, children_done)) = stack.pop() {
            if children_done {
                let [left, right] = self.inner[i].children;
                self.inner[i].hash = inner_hash(&self.hash_of(left), &self.hash_of(right));
                self.stale[i] = false;
                continue;
            }
            stack.push((i, true));
            for child in self.inner[i].children {
                if let Node::Inner(c) = child.node()
                    && self.stale[c]
                {
                    stack.push((c, false));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// The definition, word for word.
    fn naive(leaves: &[([u8; 32], [u8; 32])], depth: usize) -> [u8; 32] {
        match leaves {
            [] => empty(),
            [(k, v)] => leaf_hash(k, v),
            _ => {
                let (right, left): (Vec<_>, Vec<_>) = leaves.iter().partition(|(k, _)| bit(k, depth) == 1);
                inner_hash(&naive(&left, depth + 1), &naive(&right, depth + 1))
            }
        }
    }

    /// Keys that share long prefixes, so that chains with empty siblings occur.
    fn key() -> impl Strategy<Value = [u8; 32]> {
        (0u8..4, 0usize..32, any::<u8>()).prop_map(|(a, at, b)| {
            let mut key = [0; 32];
            key[0] = a << 6;
            key[at] ^= b;
            key
        })
    }

    proptest! {
        #[test]
        fn root_agrees_with_the_definition_and_rollback_restores(
            batches in prop::collection::vec((prop::collection::vec((key(), any::<u8>()), 0..12), any::<bool>()), 0..12)
        ) {
            let mut map = StateMap::new();
            let mut model: BTreeMap<[u8; 32], [u8; 32]> = BTreeMap::new();
            for (batch, keep) in batches {
                let before = map.root();
                let mut trial = model.clone();
                map.begin();
                for (k, v) in batch {
                    map.set(k, [v; 32]);
                    trial.insert(k, [v; 32]);
                }
                let leaves: Vec<_> = trial.iter().map(|(k, v)| (*k, *v)).collect();
                prop_assert_eq!(map.root(), naive(&leaves, 0));
                if keep {
                    map.commit();
                    model = trial;
                } else {
                    map.rollback();
                    prop_assert_eq!(map.root(), before);
                }
                prop_assert_eq!(map.len(), model.len());
                for (k, v) in &model {
                    prop_assert_eq!(map.get(k), Some(*v));
                }
            }
        }
    }
}
