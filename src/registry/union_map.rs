//! The union of several regions' state maps (docs/protocol.md, "Federation log").
//!
//! A leaf stands at every key at which any region has one; its value hashes what each of them has there, sorted by region.
//! So a proof that the union has nothing under a name says that no region has, and the whole is a function of the regions'
//! leaves alone.

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::ids::RegionCode;
use super::statemap::{Bytes32, StateMap};

const TAG: &[u8] = b"domovoi union leaf v0\n";

/// The value of a union leaf: SHA-256(tag ‖ for each region that has a leaf there, sorted: two digits ‖ value).
pub fn union_value(values: &[(RegionCode, Bytes32)]) -> Bytes32 {
    let mut hash = Sha256::new_with_prefix(TAG);
    for (region, value) in values {
        hash.update(region.to_string());
        hash.update(value);
    }
    hash.finalize().into()
}

/// Leaves of several regions, before they are one map.
#[derive(Debug, Default)]
pub struct Union(Vec<(Bytes32, RegionCode, Bytes32)>);

impl Union {
    /// Takes every leaf of a region's state map. Each region once.
    pub fn add(&mut self, region: RegionCode, map: &StateMap) {
        self.0.extend(map.leaves().map(|(key, value)| (*key, region, *value)));
    }

    /// The map of all that was added.
    pub fn into_map(mut self) -> StateMap {
        self.0.par_sort_unstable();
        let same: Vec<_> = self.0.chunk_by(|a, b| a.0 == b.0).collect();
        let leaf = |of_key: &&[(Bytes32, RegionCode, Bytes32)]| {
            let values: Vec<_> = of_key.iter().map(|(_, region, value)| (*region, *value)).collect();
            (of_key[0].0, union_value(&values))
        };
        let leaves: Vec<_> = same.par_iter().map(leaf).collect();
        drop(same);
        drop(self);
        leaves.into_iter().collect()
    }
}
