//! One proof for several keys of one state map (docs/protocol.md, "Status proofs", "Way down").
//!
//! The part of the map that lies above the keys, from the root down, left before right. Where keys go, a letter says what
//! stands there; where none go, the hash of that half stands in the proof. What several keys share is written once. For
//! one root and one set of keys there is exactly one proof; what could be written otherwise is refused.
//!
//! | sign | what stands there | in the proof beside it |
//! |---|---|---|
//! | a number | so many inner nodes, one after another: of each its left half follows, then its right half | |
//! | `l` | the leaf of one of the keys, alone in this subtree | |
//! | `o` | the leaf of another key, alone in this subtree: the keys are absent | its key and its value |
//! | `e` | nothing: the keys are absent | |
//!
//! As a text: the signs, a space, and the hashes in Z85.

use std::fmt;
use std::iter::repeat_n;

use super::map_proof::MAX_DEPTH;
use super::statemap::{Bytes32, EMPTY_ROOT, StateMap, bit, inner_hash, leaf_hash};
use super::z85;
use crate::error::{Error, Result};

/// Most places and most hashes of one proof.
const MOST: usize = MAX_KEYS * MAX_DEPTH;
/// Most keys of one proof.
pub const MAX_KEYS: usize = 64;

/// What stands in a map where keys lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stands {
    /// An inner node.
    Inner,
    /// The leaf of one of the keys.
    Leaf,
    /// Another key's leaf.
    Other,
    /// Nothing.
    Empty,
}

/// A proof for several keys of one map. Decoded, not verified.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MultiProof {
    shape: Vec<Stands>,
    hashes: Vec<Bytes32>,
}

fn wrong(what: &str) -> Error {
    Error::refuse("proof.map", format!("map proof: {what}"), "do not rely on this statement; get the proof again")
}

impl MultiProof {
    /// Proves what `map` holds at `keys`, which are sorted and distinct. Cheap after [`StateMap::root`].
    pub fn of(map: &StateMap, keys: &[Bytes32]) -> MultiProof {
        let mut proof = MultiProof::default();
        map.ways_down(keys, &mut proof);
        proof
    }
    pub(super) fn stands(&mut self, what: Stands) {
        self.shape.push(what);
    }
    pub(super) fn hash(&mut self, hash: Bytes32) {
        self.hashes.push(hash);
    }
    /// Reads a proof in its only spelling.
    ///
    /// # Errors
    /// `proof.map` for signs or hashes that are none, and for more of either than [`MAX_KEYS`] keys can need.
    pub fn parse(text: &str) -> Result<MultiProof> {
        let (signs, hashes) = text.split_once(' ').ok_or_else(|| wrong("no signs, or no hashes"))?;
        let bytes = z85::decode(hashes).ok_or_else(|| wrong("the hashes are not in their one spelling"))?;
        let (hashes, rest) = bytes.as_chunks::<32>();
        if hashes.len() > MOST || !rest.is_empty() {
            return Err(wrong("more hashes than any has, or no whole number of them"));
        }
        Ok(MultiProof { shape: shape(signs)?, hashes: hashes.to_vec() })
    }

    /// Verifies that the map with this `root` holds at each key the value beside it, or nothing where none is beside it. The
    /// keys are sorted and distinct.
    ///
    /// # Errors
    /// `proof.map`.
    pub fn verify(&self, root: &Bytes32, keys: &[(Bytes32, Option<Bytes32>)]) -> Result<()> {
        if keys.is_empty() || keys.len() > MAX_KEYS || keys.windows(2).any(|w| w[0].0 >= w[1].0) {
            return Err(wrong("its keys are not sorted and distinct, or none"));
        }
        let mut way = Way { shape: self.shape.iter(), hashes: self.hashes.iter() };
        let computed = way.down(0, keys)?.hash;
        if way.shape.next().is_some() || way.hashes.next().is_some() {
            return Err(wrong("something is left over"));
        }
        match computed == *root {
            true => Ok(()),
            false => Err(wrong("it does not lead to the committed root")),
        }
    }
}

/// What the signs say.
fn shape(signs: &str) -> Result<Vec<Stands>> {
    let mut shape = Vec::new();
    let mut rest = signs;
    while let Some(sign) = rest.chars().next() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, after) = rest.split_at(digits.max(sign.len_utf8()));
        let (stands, times) = match sign {
            '1'..='9' => (Stands::Inner, number.parse().unwrap_or(usize::MAX)),
            'l' => (Stands::Leaf, 1),
            'o' => (Stands::Other, 1),
            'e' => (Stands::Empty, 1),
            _ => return Err(wrong("an unknown sign, or a number that begins with a nought")),
        };
        if times > MOST - shape.len() {
            return Err(wrong("more places than any has"));
        }
        shape.extend(repeat_n(stands, times));
        rest = after;
    }
    Ok(shape)
}

impl fmt::Display for MultiProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for run in self.shape.chunk_by(|a, b| a == b) {
            match run.first() {
                Some(Stands::Inner) => write!(f, "{}", run.len())?,
                Some(Stands::Leaf) => f.write_str(&"l".repeat(run.len()))?,
                Some(Stands::Other) => f.write_str(&"o".repeat(run.len()))?,
                Some(Stands::Empty) => f.write_str(&"e".repeat(run.len()))?,
                None => {}
            }
        }
        write!(f, " {}", z85::encode(&self.hashes.concat()))
    }
}

/// A subtree on the way down, as computed.
struct Subtree {
    hash: Bytes32,
    /// A lone leaf or nothing: it would not stand below an empty half.
    lone: bool,
}

struct Way<'p> {
    shape: std::slice::Iter<'p, Stands>,
    hashes: std::slice::Iter<'p, Bytes32>,
}

impl Way<'_> {
    fn hash(&mut self) -> Result<Bytes32> {
        self.hashes.next().copied().ok_or_else(|| wrong("a hash is missing"))
    }

    /// The hash of the subtree at `depth` that `keys` lead to. At most 256 calls deep.
    fn down(&mut self, depth: usize, keys: &[(Bytes32, Option<Bytes32>)]) -> Result<Subtree> {
        if keys.is_empty() {
            let hash = self.hash()?;
            return Ok(Subtree { hash, lone: hash == EMPTY_ROOT });
        }
        let held = || keys.iter().filter_map(|(key, value)| Some((key, value.as_ref()?)));
        let hash = match self.shape.next().ok_or_else(|| wrong("a letter is missing"))? {
            Stands::Inner => return self.halves(depth, keys),
            Stands::Leaf => match (held().next(), held().nth(1)) {
                (Some((key, value)), None) => leaf_hash(key, value),
                _ => return Err(wrong("a leaf stands where not exactly one of the keys is")),
            },
            Stands::Other | Stands::Empty if held().next().is_some() => {
                return Err(wrong("the leaf of a key is not there"));
            }
            Stands::Other => {
                let (key, value) = (self.hash()?, self.hash()?);
                let shares = |d: usize| bit(&key, d) == bit(&keys[0].0, d);
                if keys.iter().any(|(k, _)| *k == key) || !(0..depth).all(shares) {
                    return Err(wrong("the other leaf does not stand on the way to the key"));
                }
                leaf_hash(&key, &value)
            }
            Stands::Empty => EMPTY_ROOT,
        };
        Ok(Subtree { hash, lone: true })
    }

    fn halves(&mut self, depth: usize, keys: &[(Bytes32, Option<Bytes32>)]) -> Result<Subtree> {
        if depth >= MAX_DEPTH {
            return Err(wrong("it is deeper than a key has bits"));
        }
        let (left, right) = keys.split_at(keys.partition_point(|(key, _)| bit(key, depth) == 0));
        let (left, right) = (self.down(depth + 1, left)?, self.down(depth + 1, right)?);
        // A lone leaf stands as high as it can, and an empty subtree has no inner node.
        if (left.lone && right.hash == EMPTY_ROOT) || (right.lone && left.hash == EMPTY_ROOT) {
            return Err(wrong("it goes further down than the map does"));
        }
        Ok(Subtree { hash: inner_hash(&left.hash, &right.hash), lone: false })
    }
}

#[cfg(test)]
#[path = "multi_proof_tests.rs"]
mod tests;
