//! The charter chain: the pinned version and every one that was verified after it.
//!
//! A node starts from one pinned charter and walks forward, one version at a time; it never walks past a version that does
//! not verify, and never takes another version in the place of one it has. The chain gives each log its
//! [`Charters`]: a log adopts versions in its own time, and each of its entries is judged by the version it had adopted.

use super::charter::{Charter, MAX_CHARTER, Region, VerifiedCharter};
use super::roles::StandingStatus;
use crate::error::{Error, Result};
use crate::registry::envelope::{Envelope, TYP_CHARTER};
use crate::registry::jurisdiction::{Charters, LogCut};
use crate::tlog::Hash;

/// Most versions of a chain: whoever has the root keys must not fill a node's memory.
pub const MAX_VERSIONS: usize = 1024;

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
    /// `charter.conflict` for another charter of a version the chain has, `charter.versions` where it is full; those of [`VerifiedCharter::succeed`].
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
        if self.0.len() >= MAX_VERSIONS {
            return Err(Error::refuse(
                "charter.versions",
                format!("the chain has {MAX_VERSIONS} versions already"),
                "pin a newer version of the charter",
            ));
        }
        let next = self.latest().succeed(bytes)?;
        self.0.push(next);
        Ok(true)
    }
    /// True where a charter says of itself that it follows the newest version: a cheap look, before any signature.
    pub fn may_follow(&self, bytes: &[u8]) -> bool {
        let named = self.latest().sha256().to_string();
        let names = |payload: &[u8]| payload.windows(named.len()).any(|part| part == named.as_bytes());
        Envelope::parse(bytes, TYP_CHARTER, MAX_CHARTER).is_ok_and(|e| names(&e.payload))
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
        let charters = Charters::new(versions).ok_or_else(|| unknown_log(origin))?;
        Ok(charters.with_cuts(self.cuts_of(origin)))
    }
    /// Where the log with this origin was cut, oldest first.
    pub fn cuts_of(&self, origin: &str) -> Vec<LogCut> {
        let cut = |c: &VerifiedCharter| {
            let cut = c.charter().cut(origin)?;
            Some(LogCut { version: c.charter().version, size: cut.size, root: Hash(cut.root.0) })
        };
        self.0.iter().filter_map(cut).collect()
    }
    /// Refuses whatever is new of a log whose region the newest version suspends, has let go, or names no longer. What was
    /// accepted before stays.
    ///
    /// # Errors
    /// `region.suspended`.
    pub fn takes_part(&self, origin: &str) -> Result<()> {
        let charter = self.latest();
        let why = match charter.region_by_origin(origin).map(|r| &r.standing) {
            Some(None) => return Ok(()),
            Some(Some(s)) if s.status == StandingStatus::Suspended => format!("is suspended: {}", s.reason),
            Some(Some(s)) => format!("has left: {}", s.reason),
            None => "is in the charter no longer".into(),
        };
        Err(Error::isolate(
            "region.suspended",
            format!("by charter version {}, the region of the log «{origin}» {why}", charter.charter().version),
            "what was accepted before stays; a later version of the charter can take the region back",
        ))
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
