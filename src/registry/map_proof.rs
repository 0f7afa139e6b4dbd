//! Proofs that a state map holds a value at a key, or holds none (docs/protocol.md, "Map proofs").
//!
//! The way down from the root to where a key would be: the hash of the other half at every inner node, and what stands at
//! the end: the key's own leaf, nothing, or the one leaf of another key that has this whole subtree to itself. For one
//! root and one key there is exactly one proof; what could be written otherwise is refused.

use serde::{Deserialize, Serialize};

use super::ids::RecordId;
use super::statemap::{Bytes32, EMPTY_ROOT, StateMap, bit, inner_hash, leaf_hash};
use super::strict::{List, some_object};
use crate::error::{Error, Result};

/// Bits of a key, and so the longest way down.
pub const MAX_DEPTH: usize = 256;

/// A proof for one key of one map. Decoded, not verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MapProof {
    /// Hashes of the halves not taken, from the root down.
    pub siblings: List<RecordId, MAX_DEPTH>,
    /// The leaf that stands where the key's own would be.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "some_object")]
    pub other: Option<OtherLeaf>,
}

/// A leaf of another key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OtherLeaf {
    /// Its key.
    pub key: RecordId,
    /// Its value.
    pub value: RecordId,
}

fn wrong(what: &str) -> Error {
    Error::refuse(
        "proof.map",
        format!("map proof: {what}"),
        "do not rely on this statement; fetch proof, commit and checkpoint again",
    )
}

impl MapProof {
    /// Proves what `map` holds at `key`. Cheap after [`StateMap::root`]; what was changed since then is hashed on the way.
    pub fn of(map: &StateMap, key: &Bytes32) -> MapProof {
        let (siblings, other) = map.way_down(key);
        MapProof {
            siblings: List(siblings.into_iter().map(RecordId).collect()),
            other: other.map(|(key, value)| OtherLeaf { key: RecordId(key), value: RecordId(value) }),
        }
    }

    /// Verifies that the map with this `root` holds `value` at `key`.
    ///
    /// # Errors
    /// `proof.map`.
    pub fn verify_member(&self, root: &Bytes32, key: &Bytes32, value: &Bytes32) -> Result<()> {
        if self.other.is_some() {
            return Err(wrong("it proves that the key is absent"));
        }
        self.climb(key, leaf_hash(key, value), root)
    }

    /// Verifies that the map with this `root` holds nothing at `key`.
    ///
    /// # Errors
    /// `proof.map`.
    pub fn verify_absent(&self, root: &Bytes32, key: &Bytes32) -> Result<()> {
        let end = match &self.other {
            None => EMPTY_ROOT,
            Some(other) => {
                let shares = |d: usize| bit(&other.key.0, d) == bit(key, d);
                if other.key.0 == *key || !(0..self.siblings.0.len().min(MAX_DEPTH)).all(shares) {
                    return Err(wrong("the other leaf does not stand on the way to the key"));
                }
                leaf_hash(&other.key.0, &other.value.0)
            }
        };
        self.climb(key, end, root)
    }

    /// From the end of the way up to the root.
    fn climb(&self, key: &Bytes32, end: Bytes32, root: &Bytes32) -> Result<()> {
        let siblings = &self.siblings.0;
        // The decoder has the same bound; a value made in the program may not.
        if siblings.len() > MAX_DEPTH {
            return Err(wrong("it is deeper than a key has bits"));
        }
        // A lone leaf stands as high as it can, and an empty subtree has no inner node.
        if siblings.last().is_some_and(|last| last.0 == EMPTY_ROOT) {
            return Err(wrong("it goes further down than the map does"));
        }
        let up = |below: Bytes32, (depth, sibling): (usize, &RecordId)| match bit(key, depth) {
            0 => inner_hash(&below, &sibling.0),
            _ => inner_hash(&sibling.0, &below),
        };
        match siblings.iter().enumerate().rev().fold(end, up) == *root {
            true => Ok(()),
            false => Err(wrong("it does not lead to the committed root")),
        }
    }
}

#[cfg(test)]
#[path = "map_proof_tests.rs"]
mod tests;
