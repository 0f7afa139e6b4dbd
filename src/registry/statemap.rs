//! The state map: one hash for everything a region's log says at a commit (protocol.md, "Commit, state map, time").
//!
//! A sparse Merkle map. A key is the hash of a subject's name ([`map_key`]), a value the hash of that subject's facts.
//! Keys are read bit by bit, most significant bit of the first byte first. The hash of a subtree at depth d is
//!
//! | leaves below it | hash |
//! |---|---|
//! | none | SHA-256(0x12) |
//! | exactly one, at whatever depth | SHA-256(0x10 ‖ key ‖ value) |
//! | two or more | SHA-256(0x11 ‖ left ‖ right), of the two subtrees at d + 1 |
//!
//! So a lone leaf stands as high as it can, and above it there is one inner node for every bit that its key shares with
//! another: a node with an empty half is written out, not skipped. The shape, and with it the root, is a function of
//! the set of leaves alone. A leaf's hash covers its whole key, so the way down to it needs no proof of its own, and the
//! way down to an empty half or to another's leaf proves absence.
//!
//! Nodes lie in two arenas and name each other by 32-bit numbers: 64 bytes a leaf, 72 an inner node, about 1.44 inner
//! nodes a leaf, so four million leaves take 670 MB. An inner node holds the hashes of its two halves, so hashing it reads no
//! other node than those that were changed: in a large map, each of the others would be a wait for memory. Setting a leaf marks
//! the way down to it; the root hashes what is marked, once. Leaves are never removed, except by undoing a batch that turned
//! out to be wrong.

use super::multi_proof::{MultiProof, Stands};
use rayon::prelude::*;
use sha2::{Digest, Sha256};

/// A key of the map, a value, or a hash in it.
pub type Bytes32 = [u8; 32];

/// Root of a map without leaves: SHA-256(0x12).
pub const EMPTY_ROOT: Bytes32 = [
    0xf2, 0x99, 0x79, 0x1c, 0xdd, 0xd3, 0xd6, 0x66, 0x4f, 0x66, 0x70, 0x84, 0x28, 0x12, 0xef, 0x60, 0x53, 0xeb, 0x65,
    0x01, 0xbd, 0x62, 0x82, 0xa4, 0x76, 0xbb, 0xbf, 0x3e, 0xe9, 0x1e, 0x75, 0x0c,
];

const LEAF_TAG: u8 = 0x10;
const INNER_TAG: u8 = 0x11;
/// In place of a hash that is to be computed anew. No input of SHA-256 with this output is known.
const DIRTY: Bytes32 = [0; 32];
/// Below this number of changed leaves, spreading the hashing over cores costs more than it saves.
const PARALLEL_FROM: usize = 512;
/// Changed leaves that are hashed in one go: each go waits for all cores.
const TOGETHER: usize = 1 << 16;
/// Depth of the subtrees that are spread over the cores.
const PARALLEL_DEPTH: usize = 8;
/// Ways down that are walked side by side.
const ABREAST: usize = 32;

/// The key of a subject: SHA-256("domovoi map key v0\n" ‖ its name, such as `chat:…` or `building:…`).
pub fn map_key(subject: &str) -> Bytes32 {
    Sha256::new().chain_update(b"domovoi map key v0\n").chain_update(subject).finalize().into()
}

/// Hash of a leaf.
pub fn leaf_hash(key: &Bytes32, value: &Bytes32) -> Bytes32 {
    Sha256::new().chain_update([LEAF_TAG]).chain_update(key).chain_update(value).finalize().into()
}

/// Hash of an inner node.
pub fn inner_hash(left: &Bytes32, right: &Bytes32) -> Bytes32 {
    Sha256::new().chain_update([INNER_TAG]).chain_update(left).chain_update(right).finalize().into()
}

/// Bit number `depth` of a key; 0 goes left.
pub(super) fn bit(key: &Bytes32, depth: usize) -> usize {
    usize::from(key[depth / 8] >> (7 - depth % 8) & 1)
}

/// Number of a node: all ones is an empty subtree, the top bit tells a leaf from an inner node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ref(u32);

enum Node {
    Empty,
    Leaf(usize),
    Inner(usize),
}

impl Ref {
    const EMPTY: Ref = Ref(u32::MAX);
    const LEAF: u32 = 1 << 31;

    /// 2^31 nodes of a kind would be 128 GiB of leaves: memory ends before the numbers do.
    fn leaf(index: usize) -> Ref {
        Ref(Ref::LEAF | index as u32)
    }
    fn inner(index: usize) -> Ref {
        Ref(index as u32)
    }
    fn node(self) -> Node {
        match self {
            Ref::EMPTY => Node::Empty,
            Ref(n) if n & Ref::LEAF != 0 => Node::Leaf((n & !Ref::LEAF) as usize),
            Ref(n) => Node::Inner(n as usize),
        }
    }
}

#[derive(Debug, Clone)]
struct Leaf {
    key: Bytes32,
    value: Bytes32,
}

#[derive(Debug, Clone, Copy)]
struct Inner {
    /// Of the two subtrees below.
    hashes: [Bytes32; 2],
    children: [Ref; 2],
}

impl Inner {
    fn new(children: [Ref; 2]) -> Inner {
        Inner { hashes: [DIRTY; 2], children }
    }
    fn is_dirty(&self) -> bool {
        self.hashes.contains(&DIRTY)
    }
}

/// Where the hash of a subtree stands: an inner node, and which half of it.
type Place = (u32, u8);

/// What a batch changed, so that it can be undone: sizes of the arenas before, and old contents in order of change.
#[derive(Debug, Clone)]
struct Journal {
    /// A batch is open. The lists keep their memory for the next.
    open: bool,
    root: Ref,
    top: Bytes32,
    leaves: usize,
    inner: usize,
    values: Vec<(usize, Bytes32)>,
    nodes: Vec<(usize, Inner)>,
}

/// The map. See the page above.
#[derive(Debug, Clone)]
pub struct StateMap {
    root: Ref,
    /// Hash of the whole.
    top: Bytes32,
    leaves: Vec<Leaf>,
    inner: Vec<Inner>,
    /// Leaves set since the last root.
    changed: usize,
    journal: Journal,
}

impl Default for StateMap {
    fn default() -> Self {
        let (root, top) = (Ref::EMPTY, EMPTY_ROOT);
        let journal = Journal { open: false, root, top, leaves: 0, inner: 0, values: Vec::new(), nodes: Vec::new() };
        StateMap { root, top, leaves: Vec::new(), inner: Vec::new(), changed: 0, journal }
    }
}

impl StateMap {
    /// An empty map.
    pub fn new() -> StateMap {
        StateMap::default()
    }

    /// Makes room for about so many more leaves, so that setting them moves nothing.
    pub fn reserve(&mut self, leaves: usize) {
        self.leaves.reserve(leaves);
        self.inner.reserve(leaves + leaves / 2);
    }

    /// Number of leaves.
    pub fn len(&self) -> usize {
        self.leaves.len()
    }

    /// Whether there is no leaf.
    pub fn is_empty(&self) -> bool {
        self.leaves.is_empty()
    }

    /// The value at `key`.
    pub fn get(&self, key: &Bytes32) -> Option<Bytes32> {
        self.find(key).map(|leaf| self.leaves[leaf].value)
    }

    /// Every leaf, in no order that means anything.
    pub fn leaves(&self) -> impl Iterator<Item = (&Bytes32, &Bytes32)> {
        self.leaves.iter().map(|leaf| (&leaf.key, &leaf.value))
    }

    fn find(&self, key: &Bytes32) -> Option<usize> {
        let (mut at, mut depth) = (self.root, 0);
        loop {
            match at.node() {
                Node::Empty => return None,
                Node::Leaf(i) => return (self.leaves[i].key == *key).then_some(i),
                Node::Inner(i) => at = self.inner[i].children[bit(key, depth)],
            }
            depth += 1;
        }
    }

    /// Puts `value` at `key`, over what is there. One way down for both: a value that is there already is rare, and is hashed
    /// again.
    pub fn set(&mut self, key: Bytes32, value: Bytes32) {
        self.changed += 1;
        let (parent, depth, hash) = self.mark(&key);
        let there = parent.map_or(self.root, |node| self.inner[node].children[bit(&key, depth - 1)]);
        match there.node() {
            Node::Leaf(leaf) if self.leaves[leaf].key == key => {
                if self.journal.open && leaf < self.journal.leaves {
                    self.journal.values.push((leaf, self.leaves[leaf].value));
                }
                self.leaves[leaf].value = value;
            }
            _ => {
                self.leaves.push(Leaf { key, value });
                let grown = self.grown(there, hash, Ref::leaf(self.leaves.len() - 1), depth);
                match parent {
                    None => self.root = grown,
                    Some(node) => self.inner[node].children[bit(&key, depth - 1)] = grown,
                }
            }
        }
    }

    /// [`set`](Self::set) of many. The ways down to some of them are walked side by side first: one after the other, nearly
    /// every step of a large map would wait for memory.
    pub fn set_all(&mut self, leaves: &[(Bytes32, Bytes32)]) {
        for some in leaves.chunks(ABREAST) {
            let mut ways = [self.root; ABREAST];
            for depth in 0..256 {
                let mut deeper = false;
                for (at, (key, _)) in ways.iter_mut().zip(some) {
                    if let Node::Inner(i) = at.node() {
                        let (node, side) = (&self.inner[i], bit(key, depth));
                        // A node may lie on two lines of the cache.
                        std::hint::black_box(node.hashes[side][0]);
                        *at = node.children[side];
                        deeper = true;
                    }
                }
                if !deeper {
                    break;
                }
            }
            std::hint::black_box(ways);
            some.iter().for_each(|(key, value)| self.set(*key, *value));
        }
    }

    /// The subtree at `depth` of sorted, distinct leaves that all lie in it. At most 256 calls deep.
    fn of_sorted(&mut self, leaves: &[(Bytes32, Bytes32)], depth: usize) -> Ref {
        match leaves {
            [] => Ref::EMPTY,
            [(key, value)] => {
                self.leaves.push(Leaf { key: *key, value: *value });
                Ref::leaf(self.leaves.len() - 1)
            }
            _ => {
                let (left, right) = leaves.split_at(leaves.partition_point(|(key, _)| bit(key, depth) == 0));
                let children = [self.of_sorted(left, depth + 1), self.of_sorted(right, depth + 1)];
                self.inner.push(Inner::new(children));
                Ref::inner(self.inner.len() - 1)
            }
        }
    }

    /// Marks the way down to `key`: gives the last inner node on it, the depth of what is below, and the hash that had.
    fn mark(&mut self, key: &Bytes32) -> (Option<usize>, usize, Bytes32) {
        let (mut at, mut depth, mut last) = (self.root, 0, None);
        let mut hash = std::mem::replace(&mut self.top, DIRTY);
        while let Node::Inner(i) = at.node() {
            let node = &mut self.inner[i];
            // All was hashed when the journal was begun: a node with a mark was kept already.
            if self.journal.open && i < self.journal.inner && !node.is_dirty() {
                self.journal.nodes.push((i, *node));
            }
            let side = bit(key, depth);
            hash = std::mem::replace(&mut node.hashes[side], DIRTY);
            last = Some(i);
            at = node.children[side];
            depth += 1;
        }
        (last, depth, hash)
    }

    /// The subtree at `depth` of what is there, no inner node, with its hash, and a new leaf.
    fn grown(&mut self, there: Ref, hash: Bytes32, leaf: Ref, depth: usize) -> Ref {
        let (Node::Leaf(old), Node::Leaf(new)) = (there.node(), leaf.node()) else { return leaf };
        let (old_key, new_key) = (self.leaves[old].key, self.leaves[new].key);
        // Two keys that differ do so at some bit; the bits before it become inner nodes with an empty half.
        let parting = (depth..256).find(|&d| bit(&old_key, d) != bit(&new_key, d)).unwrap_or(255);
        let mut node = match bit(&new_key, parting) {
            0 => Inner { hashes: [DIRTY, hash], children: [leaf, there] },
            _ => Inner { hashes: [hash, DIRTY], children: [there, leaf] },
        };
        for above in (depth..parting).rev() {
            self.inner.push(node);
            let below = Ref::inner(self.inner.len() - 1);
            node = Inner::new(if bit(&new_key, above) == 0 { [below, Ref::EMPTY] } else { [Ref::EMPTY, below] });
        }
        self.inner.push(node);
        Ref::inner(self.inner.len() - 1)
    }

    /// The root. Hashes what was changed since the last call, on all cores where that is much.
    pub fn root(&mut self) -> Bytes32 {
        self.root_spread(None)
    }

    /// [`root`](Self::root); from so many changed leaves on they are spread over the cores, where the usual number is not right.
    pub(super) fn root_spread(&mut self, from: Option<usize>) -> Bytes32 {
        if self.changed >= from.unwrap_or(PARALLEL_FROM) {
            let mut tops = Vec::new();
            self.marked_at(self.root, 0, &mut tops);
            // Of a large map a few at a time: the hashes that wait to be written down stay a fraction of it.
            let at_a_time = (tops.len() * TOGETHER / self.changed).max(4 * rayon::current_num_threads());
            for some in tops.chunks(at_a_time) {
                let done: Vec<Vec<(Place, Bytes32)>> = some
                    .par_iter()
                    .map(|&(node, side)| {
                        let mut out = Vec::new();
                        self.half(node as usize, side.into(), &mut out);
                        out
                    })
                    .collect();
                self.write_down(done.into_iter().flatten());
            }
        }
        self.top = self.settle(self.root, self.top);
        self.changed = 0;
        self.top
    }

    fn write_down(&mut self, hashes: impl IntoIterator<Item = (Place, Bytes32)>) {
        for ((node, side), hash) in hashes {
            self.inner[node as usize].hashes[usize::from(side)] = hash;
        }
    }

    /// The marked halves at [`PARALLEL_DEPTH`].
    fn marked_at(&self, at: Ref, depth: usize, out: &mut Vec<Place>) {
        let Node::Inner(i) = at.node() else { return };
        let Inner { hashes, children } = &self.inner[i];
        for (side, _) in (0u8..).zip(hashes).filter(|(_, hash)| **hash == DIRTY) {
            match depth + 1 {
                PARALLEL_DEPTH => out.push((i as u32, side)),
                below => self.marked_at(children[usize::from(side)], below, out),
            }
        }
    }

    /// Hash of a subtree, where it is not known yet; those that had to be computed in it are written down at once. At most 256
    /// levels deep.
    fn settle(&mut self, at: Ref, known: Bytes32) -> Bytes32 {
        if known != DIRTY {
            return known;
        }
        match at.node() {
            Node::Empty => EMPTY_ROOT,
            Node::Leaf(i) => leaf_hash(&self.leaves[i].key, &self.leaves[i].value),
            Node::Inner(i) => {
                let Inner { hashes: [left, right], children } = self.inner[i];
                let hashes = [self.settle(children[0], left), self.settle(children[1], right)];
                self.inner[i].hashes = hashes;
                inner_hash(&hashes[0], &hashes[1])
            }
        }
    }

    /// [`settle`](Self::settle) for several threads at a time: those that had to be computed in it are put into `out`. At most 256
    /// levels deep.
    fn hash(&self, at: Ref, known: &Bytes32, out: &mut Vec<(Place, Bytes32)>) -> Bytes32 {
        if *known != DIRTY {
            return *known;
        }
        match at.node() {
            Node::Empty => EMPTY_ROOT,
            Node::Leaf(i) => leaf_hash(&self.leaves[i].key, &self.leaves[i].value),
            Node::Inner(i) => inner_hash(&self.half(i, 0, out), &self.half(i, 1, out)),
        }
    }

    /// Hash of one half of an inner node, as [`StateMap::hash`].
    fn half(&self, node: usize, side: usize, out: &mut Vec<(Place, Bytes32)>) -> Bytes32 {
        let Inner { hashes, children } = &self.inner[node];
        let hash = self.hash(children[side], &hashes[side], out);
        if hashes[side] == DIRTY {
            out.push(((node as u32, side as u8), hash));
        }
        hash
    }

    /// The hashes of the halves not taken on the way down to `key`, and the other leaf at its end, if one is there.
    pub(super) fn way_down(&self, key: &Bytes32) -> (Vec<Bytes32>, Option<(Bytes32, Bytes32)>) {
        let (mut at, mut siblings) = (self.root, Vec::new());
        while let Node::Inner(i) = at.node() {
            let side = bit(key, siblings.len());
            siblings.push(self.half(i, 1 - side, &mut Vec::new()));
            at = self.inner[i].children[side];
        }
        match at.node() {
            Node::Leaf(i) if self.leaves[i].key != *key => (siblings, Some((self.leaves[i].key, self.leaves[i].value))),
            _ => (siblings, None),
        }
    }

    /// What stands on the ways down to `keys`, sorted and distinct ([`MultiProof::of`]).
    pub(super) fn ways_down(&self, keys: &[Bytes32], proof: &mut MultiProof) {
        self.ways_below((self.root, &self.top), 0, keys, proof);
    }

    fn ways_below(&self, (at, known): (Ref, &Bytes32), depth: usize, keys: &[Bytes32], proof: &mut MultiProof) {
        if keys.is_empty() {
            return proof.hash(self.hash(at, known, &mut Vec::new()));
        }
        match at.node() {
            Node::Empty => proof.stands(Stands::Empty),
            Node::Leaf(i) if keys.contains(&self.leaves[i].key) => proof.stands(Stands::Leaf),
            Node::Leaf(i) => {
                proof.stands(Stands::Other);
                proof.hash(self.leaves[i].key);
                proof.hash(self.leaves[i].value);
            }
            Node::Inner(i) => {
                proof.stands(Stands::Inner);
                let (left, right) = keys.split_at(keys.partition_point(|key| bit(key, depth) == 0));
                let Inner { hashes, children } = &self.inner[i];
                self.ways_below((children[0], &hashes[0]), depth + 1, left, proof);
                self.ways_below((children[1], &hashes[1]), depth + 1, right, proof);
            }
        }
    }

    /// Begins a batch that [`rollback`](Self::rollback) can undo. A batch still open is committed first.
    pub fn begin(&mut self) {
        // Clean before, so that a mark tells what this batch changed.
        self.root();
        self.commit();
        let journal = &mut self.journal;
        (journal.open, journal.root, journal.top) = (true, self.root, self.top);
        (journal.leaves, journal.inner) = (self.leaves.len(), self.inner.len());
    }

    /// Ends the open batch and keeps it. Without one, nothing happens.
    pub fn commit(&mut self) {
        self.journal.open = false;
        self.journal.values.clear();
        self.journal.nodes.clear();
    }

    /// Ends the open batch and undoes it. Without one, nothing happens.
    pub fn rollback(&mut self) {
        if !self.journal.open {
            return;
        }
        // Latest first, so that the oldest content is what stays.
        for (leaf, value) in self.journal.values.drain(..).rev() {
            self.leaves[leaf].value = value;
        }
        for (node, content) in self.journal.nodes.drain(..).rev() {
            self.inner[node] = content;
        }
        self.leaves.truncate(self.journal.leaves);
        self.inner.truncate(self.journal.inner);
        (self.root, self.top, self.journal.open) = (self.journal.root, self.journal.top, false);
        self.changed = 0;
    }
}

impl FromIterator<(Bytes32, Bytes32)> for StateMap {
    /// Of two values with one key the later holds.
    fn from_iter<I: IntoIterator<Item = (Bytes32, Bytes32)>>(leaves: I) -> StateMap {
        let mut leaves: Vec<(Bytes32, Bytes32)> = leaves.into_iter().collect();
        // Sorted, the map grows from left to right, each node once. The sort is stable; what it keeps first is removed.
        leaves.par_sort_by(|a, b| b.0.cmp(&a.0));
        leaves.reverse();
        leaves.dedup_by(|next, kept| next.0 == kept.0);
        let mut map = StateMap::new();
        map.reserve(leaves.len());
        (map.root, map.top) = (map.of_sorted(&leaves, 0), DIRTY);
        map.changed = leaves.len();
        map
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    type Model = BTreeMap<Bytes32, Bytes32>;

    /// The table at the head of this file, word for word.
    fn model_root(leaves: &[(&Bytes32, &Bytes32)], depth: usize) -> Bytes32 {
        match leaves {
            [] => Sha256::digest([0x12]).into(),
            [(key, value)] => Sha256::digest([&[0x10][..], *key, *value].concat()).into(),
            _ => {
                let zero = |key: &Bytes32| key[depth / 8] & (0x80 >> (depth % 8)) == 0;
                let (left, right): (Vec<_>, Vec<_>) = leaves.iter().partition(|(key, _)| zero(key));
                let halves = [model_root(&left, depth + 1), model_root(&right, depth + 1)].concat();
                Sha256::digest([&[0x11][..], &halves].concat()).into()
            }
        }
    }

    fn root_of(model: &Model) -> Bytes32 {
        model_root(&model.iter().collect::<Vec<_>>(), 0)
    }

    /// Few distinct keys, many of them with long common beginnings.
    pub fn key() -> impl Strategy<Value = Bytes32> {
        prop_oneof![
            any::<[u8; 32]>(),
            any::<u8>().prop_map(|b| map_key(&format!("chat:{b}"))),
            (0usize..256, any::<bool>()).prop_map(|(at, ones)| {
                let mut key = if ones { [0xff; 32] } else { [0; 32] };
                key[at / 8] ^= 0x80 >> (at % 8);
                key
            }),
            (0u8..4).prop_map(|last| {
                let mut key = [7; 32];
                key[31] = last;
                key
            }),
        ]
    }

    #[derive(Debug, Clone)]
    enum Step {
        Set(Bytes32, u8),
        Root,
        Begin,
        Commit,
        Rollback,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            12 => (key(), 0u8..4).prop_map(|(key, value)| Step::Set(key, value)),
            2 => Just(Step::Root),
            2 => Just(Step::Begin),
            1 => Just(Step::Commit),
            2 => Just(Step::Rollback),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn histories_agree_with_the_model(steps in prop::collection::vec(step(), 0..120)) {
            let (mut map, mut model, mut before) = (StateMap::new(), Model::new(), None);
            for step in steps {
                match step {
                    Step::Set(key, value) => {
                        map.set(key, [value; 32]);
                        model.insert(key, [value; 32]);
                    }
                    Step::Root => prop_assert_eq!(map.root(), root_of(&model)),
                    Step::Begin => {
                        map.begin();
                        before = Some(model.clone());
                    }
                    Step::Commit => {
                        map.commit();
                        before = None;
                    }
                    Step::Rollback => {
                        map.rollback();
                        model = before.take().unwrap_or(model);
                        prop_assert_eq!(map.root(), root_of(&model));
                    }
                }
                prop_assert_eq!(map.len(), model.len());
            }
            prop_assert_eq!(map.root(), root_of(&model));
            for (key, value) in &model {
                prop_assert_eq!(map.get(key), Some(*value));
            }
            prop_assert_eq!(map.get(&[0xa5; 32]), model.get(&[0xa5; 32]).copied());
        }

        #[test]
        fn order_does_not_matter(leaves in prop::collection::btree_map(key(), any::<[u8; 32]>(), 0..60).prop_flat_map(|m| {
            Just(m.into_iter().collect::<Vec<_>>()).prop_shuffle()
        })) {
            let mut one: StateMap = leaves.iter().copied().collect();
            let mut other = StateMap::new();
            leaves.iter().for_each(|(key, value)| other.set(*key, *value));
            prop_assert_eq!(one.root(), other.root());
            let mut together = StateMap::new();
            together.set_all(&leaves);
            prop_assert_eq!((one.root(), one.len()), (together.root(), together.len()));
            let mut twice: StateMap = leaves.iter().map(|(k, _)| (*k, [0; 32])).chain(leaves.iter().copied()).collect();
            prop_assert_eq!((one.root(), one.len()), (twice.root(), twice.len()));
            prop_assert_eq!(one.root(), root_of(&leaves.into_iter().collect()));
        }
    }

    #[test]
    fn empty_root_is_its_hash() {
        assert_eq!(StateMap::new().root(), <Bytes32>::from(Sha256::digest([0x12])));
    }

    #[test]
    fn hashing_on_many_cores_gives_the_same_root() {
        let leaf = |i: u32| (map_key(&format!("building:{i}")), map_key(&i.to_string()));
        let mut map: StateMap = (0..5000).map(leaf).collect();
        let mut model: Model = (0..5000).map(leaf).collect();
        assert_eq!(map.root(), root_of(&model));
        let before = map.root();
        map.begin();
        for i in 4000..9000 {
            map.set(leaf(i).0, [1; 32]);
            model.insert(leaf(i).0, [1; 32]);
        }
        assert_eq!(map.root(), root_of(&model));
        map.rollback();
        assert_eq!((map.root(), map.len()), (before, 5000));
    }

    #[test]
    fn nodes_are_as_small_as_the_head_of_this_file_says() {
        assert_eq!((size_of::<Leaf>(), size_of::<Inner>()), (64, 72));
        let map: StateMap = (0..20_000u32).map(|i| (map_key(&i.to_string()), [0; 32])).collect();
        let per_leaf = map.inner.len() as f64 / map.leaves.len() as f64;
        assert!((1.3..1.6).contains(&per_leaf), "{per_leaf}");
    }

    /// Fixed for format version 0; docs/protocol.md gives the same.
    #[test]
    fn vector() {
        let mut map: StateMap =
            ["chat:a", "chat:b", "building:c"].map(|s| (map_key(s), map_key(""))).into_iter().collect();
        assert_eq!(
            data_encoding::HEXLOWER.encode(&map.root()),
            "cd3757ca9eed7eb50a9fd45caed89ed1513fcba026885da05a395bef1a771bc0"
        );
    }
}
