//! Evidence: why a log is held, in a file that stands for itself and is never overwritten.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::storage::durable::{create_dir, write_atomic};

/// What is kept of a peer that did not verify.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Evidence {
    /// Says what this file is.
    pub kind: String,
    /// Origin of the log.
    pub origin: String,
    /// Stable code of the reason.
    pub code: String,
    /// The reason.
    pub detail: String,
    /// When it was seen, Unix milliseconds.
    pub seen_at: u64,
    /// The signed checkpoint that was accepted last.
    pub accepted_checkpoint: Option<String>,
    /// The signed checkpoint the peer served.
    pub served_checkpoint: Option<String>,
    /// The verifier key both are signed with.
    pub vkey: String,
}

impl Evidence {
    /// Writes it under a name of its own and gives the name. The same evidence is written once.
    pub fn keep(&self, folder: &Path) -> Result<String> {
        let json = serde_json::to_vec_pretty(self)
            .map_err(|e| Error::retry("evidence.encode", e.to_string(), "report this as a defect"))?;
        let stable = (&self.code, &self.detail, &self.accepted_checkpoint, &self.served_checkpoint);
        let digest = crate::tlog::leaf_hash(format!("{stable:?}").as_bytes()).to_string();
        let name = format!("{}-{}.json", self.code, &digest[..16]);
        create_dir(folder).map_err(|e| Error::retry("evidence.write", e.detail(), "make room or fix permissions"))?;
        let path = folder.join(&name);
        if !path.exists() {
            write_atomic(&path, &json)?;
        }
        Ok(name)
    }
}
