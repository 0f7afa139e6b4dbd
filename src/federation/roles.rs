//! What a charter says beside who takes part: who cosigns, how many must, who is suspended, which keys come and went, and
//! where a log was cut.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::registry::body::{KeyBytes, List};
use crate::registry::ids::{RecordId, RegionCode};
use crate::registry::strict::words;
use crate::registry::text::{Millis, Text, serde_as_string};
use crate::tlog::cosignature::CosignerKey;

/// The vkey line of a cosigner, read once and kept as it was written: its only spelling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CosignerVkey(CosignerKey, Box<str>);

impl CosignerVkey {
    /// The key.
    pub fn key(&self) -> &CosignerKey {
        &self.0
    }
    /// The line.
    pub fn as_str(&self) -> &str {
        &self.1
    }
}

impl FromStr for CosignerVkey {
    type Err = Error;
    fn from_str(text: &str) -> Result<CosignerVkey> {
        CosignerKey::parse(text).map(|key| CosignerVkey(key, text.into()))
    }
}

impl From<CosignerKey> for CosignerVkey {
    fn from(key: CosignerKey) -> CosignerVkey {
        let text = key.to_string().into();
        CosignerVkey(key, text)
    }
}

impl fmt::Display for CosignerVkey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.1)
    }
}

serde_as_string!(CosignerVkey);

/// With which keys a node cosigns other logs: vkey lines of distinct names, so that nobody is taken to have said more than
/// he did (docs/protocol.md, "Three kinds of cosigner").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cosigners {
    /// Saw an append-only log. One key of Ed25519, and one of ML-DSA-44 where the node has it.
    pub witness: List<CosignerVkey, 2>,
    /// Holds a durable copy and serves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<CosignerVkey>,
    /// Replayed every record and got the committed root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verifier: Option<CosignerVkey>,
}

/// A witness that is no node of the federation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Witness {
    /// Who runs it, for people.
    pub name: Text,
    /// Its key, a vkey line.
    pub vkey: CosignerVkey,
    /// Where it takes checkpoints: the URL before `/add-checkpoint`.
    pub url: Text,
}

/// How many cosignatures of each kind make a checkpoint good. A node's own never count for its own log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quorums {
    /// Witnesses.
    pub witness: u32,
    /// Mirrors.
    pub mirror: u32,
    /// Verifiers.
    pub verifier: u32,
}

words!(
    /// Whether a region takes part.
    StandingStatus {
        /// For the time being nothing new of it is accepted.
        Suspended,
        /// It has left; what it said stays verifiable.
        Withdrawn,
    }
);

/// Why and since when a region's log is not followed any further.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Standing {
    /// Suspended or withdrawn.
    pub status: StandingStatus,
    /// Since when, Unix milliseconds.
    pub since: Millis,
    /// Why, for people.
    pub reason: Text,
}

words!(
    /// What a key is for.
    KeyRole {
        /// Signs charters.
        FederationRoot,
        /// Decides for a region.
        RegionRoot,
        /// Signs checkpoints.
        Log,
        /// Signs commits.
        Commit,
        /// Cosigns as a witness.
        Witness,
        /// Cosigns as a mirror.
        Mirror,
        /// Cosigns as a verifier.
        Verifier,
    }
);

words!(
    /// Why a key left its place.
    RetireReason {
        /// Its time was over.
        Replaced,
        /// Nobody has it any more.
        Lost,
        /// Somebody has it who should not.
        Compromised,
    }
);

/// A key that is to take a place in a later version: announced, so that everybody has it before it signs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnnouncedKey {
    /// Its place.
    pub role: KeyRole,
    /// The region; absent: of the federation itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<RegionCode>,
    /// The public key.
    pub key: KeyBytes,
    /// Not before this time, Unix milliseconds.
    pub from: Millis,
}

/// A key that has left its place. It stays listed: what it signed stays verifiable, and it never comes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetiredKey {
    /// Its place.
    pub role: KeyRole,
    /// The region; absent: of the federation itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<RegionCode>,
    /// The public key.
    pub key: KeyBytes,
    /// Why.
    pub reason: RetireReason,
    /// Version that no longer names it.
    pub version: u64,
}

/// Where a log's history was decided: the log goes on from this head under a key that the same version names anew, and
/// whatever the keys of earlier versions signed beyond it is void (docs/protocol.md, "The log never forks"). Given for a log
/// whose fence is lost, and for one that has forked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cut {
    /// Origin of the log.
    pub origin: Text,
    /// Entries that stand.
    pub size: u64,
    /// Root of the tree over them.
    pub root: RecordId,
    /// Why, for people.
    pub reason: Text,
}
