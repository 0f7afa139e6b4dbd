//! Proof that no followed region's log has anything under a name (docs/protocol.md, "Registered nowhere").

use serde::{Deserialize, Serialize};

use super::bucket_file::{FederationHead, Unknown};
use super::jurisdiction::FederationKeys;
use super::map_proof::MapProof;
use super::statemap::map_key;
use super::status_proof::Name;
use super::strict::{from_object, object};
use crate::error::{Error, Result};

/// The union map holds nothing under a name. Decoded, not verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AbsenceProof {
    /// What is signed.
    #[serde(deserialize_with = "object")]
    pub head: FederationHead,
    /// The way down to where the name would be.
    #[serde(deserialize_with = "object")]
    pub map: MapProof,
}

impl AbsenceProof {
    /// Reads one.
    ///
    /// # Errors
    /// `absence.form`.
    pub fn decode(json: &[u8]) -> Result<AbsenceProof> {
        from_object(json).map_err(|e| {
            Error::refuse("absence.form", format!("proof of absence: {e}"), "fetch it again; do not rely on this one")
        })
    }

    /// Verifies that no covered region has `name`, and says whether that is all and young enough to be called
    /// "registered nowhere". `now` in Unix milliseconds. A name has one spelling: nothing stands at any other, which would
    /// prove what is registered absent.
    ///
    /// # Errors
    /// Those of [`FederationHead::verify`]; `proof.map`.
    pub fn verify(&self, log: &FederationKeys, name: &Name, now: u64) -> Result<Unknown> {
        let commit = self.head.verify(log)?;
        self.map.verify_absent(&commit.root.0, &map_key(&name.to_string()))?;
        Ok(Unknown::of(&commit, log, now))
    }
}
