//! The charter chain: the pinned version and every one that was verified after it.
//!
//! A node starts from one pinned charter and walks forward, one version at a time; it never walks past a version that does
//! not verify, and never takes another version in the place of one it has. The chain gives each log its
//! [`Charters`]: a log adopts versions in its own time, and each of its entries is judged by the version it had adopted.

use super::charter::{Charter, Region, VerifiedCharter};
use crate::error::{Error, Result};
use crate::registry::jurisdiction::Charters;

/// Verified charters, each the successor of the one before. Never empty.
#[derive(Debug, Clone)]
pub struct CharterChain(Vec<VerifiedCharter>);

impl CharterChain {
    /// A chain that begins with a charter that is trusted because it is pinned.
    ///
    /// # Errors
    /// Those of [`Charter::open`].
    pub fn pinned(bytes: &[u8]) -> Result<CharterChain> {
        Ok(CharterChain(vec![Charter::open(bytes)?]))
    }
    /// Walks one version forward. True where it is new; the version the chain has already is nothing new.
    ///
    /// # Errors
    /// `charter.conflict` for another charter of a version the chain has; those of [`VerifiedCharter::succeed`].
    pub fn advance(&mut self, bytes: &[u8]) -> Result<bool> {
        // Each version must carry good signatures of its own root keys, whatever comes of it.
        let next = Charter::open(bytes)?;
        if let Some(held) = self.version(next.charter().version) {
            return match held.sha256() == next.sha256() {
                true => Ok(false),
                false => Err(Error::refuse(
                    "charter.conflict",
                    format!("another charter of version {} is in the chain already", next.charter().version),
                    "the federation's root keys signed two: ask its office which one holds",
                )),
            };
        }
        let next = self.latest().succeed(bytes)?;
        self.0.push(next);
        Ok(true)
    }
    /// The pinned charter.
    pub fn first(&self) -> &VerifiedCharter {
        &self.0[0]
    }
    /// The newest version.
    pub fn latest(&self) -> &VerifiedCharter {
        &self.0[self.0.len() - 1]
    }
    /// A version of the chain.
    pub fn version(&self, version: u64) -> Option<&VerifiedCharter> {
        self.0.iter().find(|c| c.charter().version == version)
    }
    /// All versions, oldest first.
    pub fn versions(&self) -> &[VerifiedCharter] {
        &self.0
    }
    /// What the versions say about one log.
    ///
    /// # Errors
    /// `charter.origin` where none names it.
    pub fn of_log(&self, origin: &str) -> Result<Charters> {
        let versions = self.0.iter().filter_map(|c| c.jurisdiction(origin)).collect();
        Charters::new(versions).ok_or_else(|| unknown_log(origin))
    }
    /// The newest version's word on the region whose log has this origin.
    ///
    /// # Errors
    /// `charter.origin` where it names none.
    pub fn region(&self, origin: &str) -> Result<&Region> {
        self.latest().region_by_origin(origin).ok_or_else(|| unknown_log(origin))
    }
}

fn unknown_log(origin: &str) -> Error {
    Error::refuse(
        "charter.origin",
        format!("the charter names no log «{origin}»"),
        "pin the charter that does, or restore charter.json",
    )
}
