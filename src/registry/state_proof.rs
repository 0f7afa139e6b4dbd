//! Proofs of what another region's log has committed (docs/protocol.md, "State proofs").
//!
//! A signed checkpoint, the `state.committed` entry at its last index with the path that leads from it to the checkpoint's
//! root, and a map proof under the root that commit names. It stands for itself: the keys are those the charter in force
//! gives that log, and nothing else is asked of anybody.

use serde::{Deserialize, Serialize};

use super::envelope::MAX_ENTRY;
use super::ids::RecordId;
use super::jurisdiction::Neighbour;
use super::map_proof::MapProof;
use super::node_record::{Commit, DecodedNodeRecord, NodeRecord};
use super::statemap::map_key;
use super::strict::{List, number, object};
use crate::error::{Error, Result};
use crate::tlog::checkpoint::Checkpoint;
use crate::tlog::tree::verify_inclusion;
use crate::tlog::{Hash, leaf_hash};

/// Exact bytes of another signed thing inside a body, as text: an entry or a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Quoted(Box<str>);

impl Quoted {
    /// Takes an entry or a checkpoint. No longer than an ordinary entry, and text.
    ///
    /// # Errors
    /// `proof.quoted`.
    pub fn new(bytes: &[u8]) -> Result<Quoted> {
        match std::str::from_utf8(bytes) {
            Ok(text) if (1..=MAX_ENTRY).contains(&text.len()) => Ok(Quoted(text.into())),
            _ => Err(Error::refuse(
                "proof.quoted",
                format!("what is embedded has {} bytes, or is not text", bytes.len()),
                "embed an ordinary entry or a checkpoint, at most 16384 bytes",
            )),
        }
    }
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl<'de> Deserialize<'de> for Quoted {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
        Quoted::new(text.as_bytes()).map_err(serde::de::Error::custom)
    }
}

/// What a log's state map says about one name at a commit. Decoded, not verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateProof {
    /// Size of the tree the checkpoint is of.
    #[serde(deserialize_with = "number")]
    pub size: u64,
    /// The signed checkpoint.
    pub checkpoint: Quoted,
    /// The `state.committed` entry at index size − 1.
    pub commit: Quoted,
    /// Path from that entry to the checkpoint's root, RFC 6962 §2.1.1.
    pub path: List<RecordId, 64>,
    /// From the leaf, or from where it would be, to the root the commit names.
    #[serde(deserialize_with = "object")]
    pub map: MapProof,
}

/// A commit that a log has signed twice over: with its log key and with its commit key. Made only by
/// [`StateProof::verify`].
#[derive(Debug)]
pub struct ProvedState<'p> {
    commit: Commit,
    map: &'p MapProof,
}

impl StateProof {
    /// Verifies everything but the map proof: that `log`, by the keys the charter gives it, committed this state.
    ///
    /// # Errors
    /// Those of checkpoint, envelope, commit and path; `proof.state` where they do not belong together.
    pub fn verify(&self, log: &Neighbour) -> Result<ProvedState<'_>> {
        let checkpoint = Checkpoint::open(self.checkpoint.as_bytes(), &log.log_key, &log.origin)?;
        let head = checkpoint.checkpoint();
        let entry = DecodedNodeRecord::decode(self.commit.as_bytes())?.verify(&log.commit_key)?;
        let NodeRecord::Commit(commit) = entry.record else { return Err(apart("the last entry is not a commit")) };
        if head.size != self.size || commit.size != self.size || *commit.log != *log.origin {
            return Err(apart("checkpoint and commit are not of one log at one size"));
        }
        let last = self.size.checked_sub(1).ok_or_else(|| apart("the log is empty"))?;
        let path: Vec<Hash> = self.path.0.iter().map(|h| Hash(h.0)).collect();
        verify_inclusion(leaf_hash(self.commit.as_bytes()), last, self.size, &path, head.root)?;
        Ok(ProvedState { commit, map: &self.map })
    }
}

impl ProvedState<'_> {
    /// Time of the commit, Unix milliseconds.
    pub fn time(&self) -> u64 {
        self.commit.time.get()
    }
    /// Verifies that the state holds `value` under `name`.
    ///
    /// # Errors
    /// `proof.map`.
    pub fn holds(&self, name: &str, value: &[u8; 32]) -> Result<()> {
        self.map.verify_member(&self.commit.root.0, &map_key(name), value)
    }
    /// Verifies that the state holds nothing under `name`.
    ///
    /// # Errors
    /// `proof.map`.
    pub fn lacks(&self, name: &str) -> Result<()> {
        self.map.verify_absent(&self.commit.root.0, &map_key(name))
    }
}

fn apart(what: &str) -> Error {
    Error::refuse("proof.state", format!("state proof: {what}"), "fetch proof, commit and checkpoint again")
}
