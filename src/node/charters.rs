//! The charter chain on disk: `charter.json` is the pinned version, `charters/<version>.json` each one after it.
//!
//! A file counts only as far as the chain verifies: reading begins at the pinned version and takes the next ones in order
//! until one is not there. A file that is there and does not verify is refused, not passed over: the node must not go on
//! under an older charter than its operator was given.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use super::layout::Layout;
use crate::error::{Error, Result};
use crate::federation::chain::CharterChain;
use crate::federation::charter::MAX_CHARTER;
use crate::storage::durable::{create_dir, read_bounded, read_optional, write_atomic};

fn next_file(layout: &Layout, version: u64) -> PathBuf {
    layout.charters().join(format!("{version}.json"))
}

/// Reads the chain of a data directory, or of a mirror.
///
/// # Errors
/// Those of the charters, with the file's name; `charter.conflict` where `charters/` skips or repeats a version.
pub fn read_chain(layout: &Layout) -> Result<CharterChain> {
    let pinned = layout.charter();
    let mut chain =
        CharterChain::pinned(&read_bounded(&pinned, MAX_CHARTER as u64)?).map_err(|e| e.at(pinned.display()))?;
    loop {
        let path = next_file(layout, chain.latest().charter().version + 1);
        let Some(bytes) = read_optional(&path, MAX_CHARTER as u64)? else { break };
        if !chain.advance(&bytes).map_err(|e| e.at(path.display()))? {
            return Err(Error::refuse(
                "charter.sequence",
                format!("{} does not hold the version it is named by", path.display()),
                "name each file by the version it holds",
            ));
        }
    }
    Ok(chain)
}

/// The exact bytes of a version of the chain: of the pinned one, or of one after it.
pub fn read_version(layout: &Layout, chain: &CharterChain, version: u64) -> Result<Option<Vec<u8>>> {
    match version == chain.first().charter().version {
        true => read_optional(&layout.charter(), MAX_CHARTER as u64),
        false if chain.version(version).is_some() => read_optional(&next_file(layout, version), MAX_CHARTER as u64),
        false => Ok(None),
    }
}

/// Keeps the newest version of a chain, just verified, durably.
pub fn keep_latest(layout: &Layout, chain: &CharterChain, bytes: &[u8]) -> Result<()> {
    create_dir(&layout.charters())?;
    write_atomic(&next_file(layout, chain.latest().charter().version), bytes)
}

/// Charter files that were verified, by the hash of their bytes: a version of a large federation takes milliseconds to verify,
/// and anybody may ask for one at any time.
#[derive(Default)]
pub struct VerifiedFiles(Mutex<HashMap<PathBuf, Verified>>);

#[derive(Clone, Copy)]
struct Verified {
    sha256: [u8; 32],
    version: u64,
}

impl VerifiedFiles {
    /// The exact bytes of a version of the chain in a data directory; of the pinned one where none is named. A file that is
    /// not the one that was verified is verified again, with its whole chain.
    ///
    /// # Errors
    /// Those of [`read_chain`].
    pub fn read(&self, layout: &Layout, version: Option<u64>) -> Result<Option<Vec<u8>>> {
        let Some(pinned) = read_optional(&layout.charter(), MAX_CHARTER as u64)? else { return Ok(None) };
        if let Some(first) = self.known(&layout.charter(), &pinned) {
            if version.is_none_or(|wanted| wanted == first) {
                return Ok(Some(pinned));
            }
            let path = next_file(layout, version.unwrap_or(first));
            let Some(bytes) = read_optional(&path, MAX_CHARTER as u64)? else { return Ok(None) };
            if self.known(&path, &bytes) == version {
                return Ok(Some(bytes));
            }
        }
        let chain = read_chain(layout)?;
        let first = chain.first().charter().version;
        let version = version.unwrap_or(first);
        let read = read_version(layout, &chain, version)?;
        if read_version(layout, &chain, first)?.as_ref() == Some(&pinned) {
            self.remember(&layout.charter(), &pinned, first);
        }
        if let Some(bytes) = read.as_ref().filter(|_| version != first) {
            self.remember(&next_file(layout, version), bytes, version);
        }
        Ok(read)
    }

    fn known(&self, path: &Path, bytes: &[u8]) -> Option<u64> {
        let known = self.0.lock().get(path).copied()?;
        (known.sha256 == <[u8; 32]>::from(Sha256::digest(bytes))).then_some(known.version)
    }

    fn remember(&self, path: &Path, bytes: &[u8], version: u64) {
        let verified = Verified { sha256: Sha256::digest(bytes).into(), version };
        self.0.lock().insert(path.to_owned(), verified);
    }
}
