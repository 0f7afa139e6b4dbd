//! Entries a node writes itself, signed with the log's commit key: `charter.adopted` and `state.committed` in a region's log
//! (protocol.md, "Commit, state map, time"), `federation.regions` and `federation.committed` in the federation's.

use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};

use super::envelope::{Envelope, MAX_PROOF_ENTRY, TYP_NODE, record_id};
use super::ids::{RecordId, RegionCode};
use super::record::unknown_version;
use super::signature::{PublicKey, strict_ok};
use super::strict::{List, from_object, number, objects};
use super::text::Millis;
use crate::error::{Error, Result};

/// `charter.adopted`: which charter governs what follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adopted {
    /// Record version.
    pub v: u32,
    /// Origin of the log.
    pub log: Box<str>,
    /// Version of the charter.
    pub version: u64,
    /// Its SHA-256.
    pub sha256: RecordId,
}

/// `state.committed`: ends a batch. State is defined only here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Commit {
    /// Record version.
    pub v: u32,
    /// Origin of the log.
    pub log: Box<str>,
    /// Index of the batch's first entry.
    pub first: u64,
    /// Tree size with this entry, so its index is one less.
    pub size: u64,
    /// Unix milliseconds, strictly increasing.
    pub time: Millis,
    /// Id of the previous commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<RecordId>,
    /// Version of the charter in force.
    pub charter: u64,
    /// Root of the state map, hex.
    pub root: RecordId,
}

/// A followed region as the federation's log has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegionHead {
    /// The region.
    pub region: RegionCode,
    /// Size of its log.
    #[serde(deserialize_with = "number")]
    pub size: u64,
    /// Root of its state map there.
    pub root: RecordId,
    /// Time of that commit.
    pub time: Millis,
    /// When its node last answered and all verified.
    pub seen: Millis,
}

/// `federation.regions`: what the commit that follows it covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FederationRegions {
    /// Record version.
    pub v: u32,
    /// Origin of the federation's log.
    pub log: Box<str>,
    /// Followed regions, sorted.
    #[serde(deserialize_with = "objects")]
    pub regions: List<RegionHead, 100>,
}

/// `federation.committed`: what all followed regions say together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FederationCommit {
    /// Record version.
    pub v: u32,
    /// Origin of the federation's log.
    pub log: Box<str>,
    /// Tree size with this entry, so its index is one less.
    #[serde(deserialize_with = "number")]
    pub size: u64,
    /// Unix milliseconds, strictly increasing.
    pub time: Millis,
    /// Id of the previous commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<RecordId>,
    /// Version of the charter in force.
    #[serde(deserialize_with = "number")]
    pub charter: u64,
    /// Id of the `federation.regions` just before it.
    pub regions: RecordId,
    /// The earliest `seen` of those; absent where no region is followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest: Option<Millis>,
    /// Regions of the charter that are not among them, sorted.
    pub missing: List<RegionCode, 100>,
    /// Root of the union map.
    pub root: RecordId,
    /// Root of the link map.
    pub links: RecordId,
    /// Number of its leaves.
    #[serde(deserialize_with = "number")]
    pub count: u64,
    /// Bits of a digest that name its bucket.
    pub bits: u32,
}

/// What a node writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum NodeRecord {
    /// See [`Adopted`].
    #[serde(rename = "charter.adopted")]
    Adopted(Adopted),
    /// See [`Commit`].
    #[serde(rename = "state.committed")]
    Commit(Commit),
    /// See [`FederationRegions`]. Only in the federation's log.
    #[serde(rename = "federation.regions")]
    Regions(FederationRegions),
    /// See [`FederationCommit`]. Only in the federation's log.
    #[serde(rename = "federation.committed")]
    Federation(FederationCommit),
}

impl NodeRecord {
    /// Signs it: the exact bytes of the entry, and its id.
    pub fn sign(&self, key: &SigningKey) -> Result<(Vec<u8>, RecordId)> {
        let payload = serde_json::to_vec(self)
            .map_err(|e| Error::stop("node_record.encode", e.to_string(), "report this as a defect"))?;
        let id = record_id(&payload);
        Ok((Envelope::sign(payload, TYP_NODE, &[key]), id))
    }
    /// What the payload of an entry says.
    ///
    /// # Errors
    /// `record.version`, `record.payload`.
    pub fn read(payload: &[u8]) -> Result<NodeRecord> {
        if let Some(e) = unknown_version(payload) {
            return Err(e);
        }
        from_object(payload).map_err(|e| {
            Error::refuse("record.payload", format!("node record: {e}"), "see the field list in docs/protocol.md")
        })
    }
}

/// A node's entry, taken apart and not verified.
#[derive(Debug, Clone)]
pub struct DecodedNodeRecord {
    envelope: Envelope,
    record: NodeRecord,
}

/// A node's entry whose signature by the region's commit key has been verified, singly and strictly.
#[derive(Debug, Clone)]
pub struct VerifiedNodeRecord {
    /// Its id.
    pub id: RecordId,
    /// What it says.
    pub record: NodeRecord,
}

impl DecodedNodeRecord {
    /// Takes the exact bytes of an entry apart.
    pub fn decode(entry: &[u8]) -> Result<Self> {
        let envelope = Envelope::parse(entry, TYP_NODE, MAX_PROOF_ENTRY)?;
        let record = NodeRecord::read(&envelope.payload)?;
        Ok(DecodedNodeRecord { envelope, record })
    }
    /// Its id.
    pub fn id(&self) -> RecordId {
        self.envelope.id()
    }
    /// What it says, unverified.
    pub fn record(&self) -> &NodeRecord {
        &self.record
    }
    /// Verifies that exactly the commit key signed it.
    pub fn verify(self, commit_key: &PublicKey) -> Result<VerifiedNodeRecord> {
        let good = match self.envelope.signatures.as_slice() {
            [(kid, signature)] if *kid == commit_key.thumb() => {
                strict_ok(commit_key, &self.envelope.signing_input(kid), signature)
            }
            _ => false,
        };
        if !good {
            return Err(Error::refuse(
                "commit.signature",
                "a node's entry is not signed by the region's commit key alone",
                "compare the commit key with the charter",
            ));
        }
        Ok(VerifiedNodeRecord { id: self.envelope.id(), record: self.record })
    }
}
