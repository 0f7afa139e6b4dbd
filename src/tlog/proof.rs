//! Proof that an entry is in a log, in one text that verifies offline (C2SP tlog-proof): index, path, checkpoint.
//!
//! ```text
//! c2sp.org/tlog-proof@v1
//! extra <base64>            only where there is any; nothing signs it
//! index 14
//! <base64 hash>             one a line, from the leaf's sibling up
//!
//! <checkpoint, with its signatures and cosignatures>
//! ```
//!
//! [`TlogProof`] is decoded, not verified. [`TlogProof::verify`] says that the entry is in the tree of a checkpoint that
//! the log's key signed; which cosigners one asks for is up to whoever relies on it.

use std::fmt;

use data_encoding::BASE64;

use super::checkpoint::{Checkpoint, MAX_CHECKPOINT_LEN, VerifiedCheckpoint};
use super::decimal;
use super::hash::Hash;
use super::note::VerifierKey;
use super::tree::verify_inclusion;
use crate::error::{Error, Result};

/// First line of every proof.
const HEADER: &str = "c2sp.org/tlog-proof@v1";
/// Hashes of the longest path: a tree has fewer than 2^63 entries.
pub const MAX_PATH: usize = 63;
/// Bytes of the longest extra data.
pub const MAX_EXTRA_LEN: usize = 16 * 1024;
/// Bytes of the longest proof.
pub const MAX_PROOF_LEN: usize = 64 + MAX_EXTRA_LEN * 4 / 3 + 32 + MAX_PATH * 45 + 1 + MAX_CHECKPOINT_LEN;

/// A proof as its text says it. Decoded, not verified. `Display` writes it as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlogProof {
    /// Data of the application that no signature covers.
    pub extra: Option<Vec<u8>>,
    /// Index of the entry.
    pub index: u64,
    /// Path from the leaf's sibling to the child of the root, RFC 6962 §2.1.1.
    pub path: Vec<Hash>,
    /// The signed checkpoint, exactly.
    pub checkpoint: String,
}

impl TlogProof {
    /// Reads a proof in its only spelling. Nothing is verified.
    ///
    /// # Errors
    /// `proof.too-long`, `proof.form` (with the line at fault).
    pub fn parse(text: &str) -> Result<TlogProof> {
        if text.len() > MAX_PROOF_LEN {
            return Err(Error::refuse(
                "proof.too-long",
                format!("a proof of {} bytes", text.len()),
                "a proof of one entry has a few kilobytes; get it again",
            ));
        }
        let (head, checkpoint) = text.split_once("\n\n").ok_or_else(|| bad("it has no empty line"))?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(HEADER) {
            return Err(bad("its first line is not c2sp.org/tlog-proof@v1"));
        }
        let extra = match lines.next_if(|line| line.starts_with("extra ")) {
            None => None,
            Some(line) => {
                let bytes = BASE64.decode(&line.as_bytes()["extra ".len()..]).ok();
                Some(bytes.filter(|b| b.len() <= MAX_EXTRA_LEN).ok_or_else(|| bad("extra is not canonical base64"))?)
            }
        };
        let index = lines.next().and_then(|line| line.strip_prefix("index ")).and_then(decimal);
        let index = index.ok_or_else(|| bad("it has no canonical index"))?;
        let path: Vec<Hash> = lines
            .take(MAX_PATH + 1)
            .map(|line| Hash::from_base64(line).map_err(|_| bad("a line of the path is not a hash")))
            .collect::<Result<_>>()?;
        if path.len() > MAX_PATH {
            return Err(bad("its path is longer than that of any tree"));
        }
        Ok(TlogProof { extra, index, path, checkpoint: checkpoint.to_owned() })
    }

    /// Verifies that the entry whose leaf hash is `leaf` is in the log of `key`, whose name is its origin.
    ///
    /// # Errors
    /// Those of [`Checkpoint::open`] and [`verify_inclusion`].
    pub fn verify(&self, leaf: Hash, key: &VerifierKey) -> Result<VerifiedCheckpoint> {
        let verified = Checkpoint::open(self.checkpoint.as_bytes(), key, key.name())?;
        let head = verified.checkpoint();
        verify_inclusion(leaf, self.index, head.size, &self.path, head.root)?;
        Ok(verified)
    }
}

impl fmt::Display for TlogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", BASE64.encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        for hash in &self.path {
            writeln!(f, "{}", hash.to_base64())?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}

fn bad(what: &str) -> Error {
    Error::refuse("proof.form", format!("tlog-proof: {what}"), "get the proof again, unchanged")
}
