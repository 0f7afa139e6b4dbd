//! What the federation's charters say about one region's log: who may sign what and where, version by version.
//!
//! [`Jurisdiction`] is the word of one charter version; [`Charters`] are all versions a node has verified, oldest first. A
//! `charter.adopted` entry names the version that governs what follows it, so every entry is judged by the version in
//! force where it stands, also when the log is replayed years later. Federation makes these values; the rules only read
//! them.

use std::sync::Arc;

use super::ids::{OktmoPrefix, RecordId, RegionCode};
use super::signature::PublicKey;
use crate::error::{Action, Error, Result};
use crate::tlog::Hash;
use crate::tlog::note::VerifierKey;

/// What one charter version says about one region's log: who may sign what, and for which ОКТМО codes.
#[derive(Debug, Clone)]
pub struct Jurisdiction {
    /// Origin of the log.
    pub origin: Box<str>,
    /// The region.
    pub region: RegionCode,
    /// ОКТМО prefixes of the region.
    pub oktmo: Vec<OktmoPrefix>,
    /// Root keys of the region.
    pub root_keys: Vec<PublicKey>,
    /// How many of them must sign.
    pub root_threshold: usize,
    /// The key that signs commits.
    pub commit_key: PublicKey,
    /// The key that signs checkpoints.
    pub log_key: VerifierKey,
    /// Version of the charter this was taken from.
    pub charter_version: u64,
    /// Digest of that charter.
    pub charter_sha256: RecordId,
    /// Record versions that may appear.
    pub record_versions: Vec<u32>,
    /// Entries of this log that this version makes a no-op.
    pub exceptions: Vec<Exception>,
    /// The logs of the other regions.
    pub others: Arc<[Neighbour]>,
}

impl Jurisdiction {
    /// The log of another region.
    pub fn other(&self, origin: &str) -> Option<&Neighbour> {
        self.others.iter().find(|n| *n.origin == *origin)
    }
}

/// The federation's log: what is needed to verify what it has committed.
#[derive(Debug, Clone)]
pub struct FederationKeys {
    /// Origin of the log.
    pub origin: Box<str>,
    /// The key that signs checkpoints.
    pub log_key: VerifierKey,
    /// The key that signs commits.
    pub commit_key: PublicKey,
    /// Hours after which what a region said is stale.
    pub staleness_hours: u32,
    /// Version of the charter this was taken from.
    pub version: u64,
}

impl FederationKeys {
    /// [`FederationKeys::staleness_hours`] in milliseconds.
    pub fn limit_ms(&self) -> u64 {
        u64::from(self.staleness_hours) * 3_600_000
    }
}

/// Another region's log: what is needed to verify what it has committed.
#[derive(Debug, Clone)]
pub struct Neighbour {
    /// Origin of the log.
    pub origin: Box<str>,
    /// The region.
    pub region: RegionCode,
    /// The key that signs checkpoints.
    pub log_key: VerifierKey,
    /// The key that signs commits.
    pub commit_key: PublicKey,
}

/// An entry that is a no-op for everyone, because it should never have been in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exception {
    /// Index of the entry.
    pub index: u64,
    /// Its leaf hash.
    pub leaf: Hash,
}

/// Where a version decided a log's history: the log goes on from this head under that version's log key, and what the
/// keys of earlier versions signed beyond it is void.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogCut {
    /// The version that declares it.
    pub version: u64,
    /// Entries that stand.
    pub size: u64,
    /// Root of the tree over them.
    pub root: Hash,
}

impl LogCut {
    /// Refuses a checkpoint of `size` entries by the log key of `version`, where one of these cuts made it void.
    ///
    /// # Errors
    /// `log.cut`.
    pub fn check(cuts: &[LogCut], version: u64, size: u64) -> Result<()> {
        match cuts.iter().find(|c| c.version > version && size > c.size) {
            None => Ok(()),
            Some(cut) => Err(Error::refuse(
                "log.cut",
                format!(
                    "a checkpoint of {size} entries by a key from before charter version {}, which cut the log at {}",
                    cut.version, cut.size
                ),
                "it is void: get one that the log's present key has signed",
            )),
        }
    }
}

/// The charter chain as one log needs it: every verified version that names the log, oldest first, never none; and where
/// the log was cut.
#[derive(Debug, Clone)]
pub struct Charters(Vec<Jurisdiction>, Vec<LogCut>);

impl Charters {
    /// The versions of a chain that name the log. `None` where there is none, or where they are not in order.
    pub fn new(versions: Vec<Jurisdiction>) -> Option<Charters> {
        let rising =
            versions.windows(2).all(|w| w[0].charter_version < w[1].charter_version && w[0].origin == w[1].origin);
        (!versions.is_empty() && rising).then_some(Charters(versions, Vec::new()))
    }
    /// The same with the log's cuts, oldest first.
    pub fn with_cuts(self, cuts: Vec<LogCut>) -> Charters {
        Charters(self.0, cuts)
    }
    /// Heads that the log must contain: of each cut, unless a later one goes back behind it.
    pub fn cuts(&self) -> impl Iterator<Item = &LogCut> {
        let behind = |c: &LogCut| self.1.iter().any(|later| later.version > c.version && later.size < c.size);
        self.1.iter().filter(move |c| !behind(c))
    }
    /// The newest cut that a log does not know of yet, having adopted `charter` last.
    pub fn pending_cut(&self, charter: u64) -> Option<&LogCut> {
        self.1.last().filter(|c| c.version > charter)
    }
    /// Refuses a checkpoint of `size` entries that is signed by the log key of `version`, where a later version cut the log
    /// below that size.
    ///
    /// # Errors
    /// `log.cut`.
    pub fn stands(&self, version: u64, size: u64) -> Result<()> {
        LogCut::check(&self.1, version, size)
    }
    /// Checks that a key signed which may sign a checkpoint of `size` entries of a log that has adopted `charter`.
    ///
    /// # Errors
    /// `log.cut` where only keys did whose signatures a cut has made void, `peer.log_key` where none did.
    pub fn check_signer(&self, charter: u64, size: u64, signed: impl Fn(&VerifierKey) -> bool) -> Result<()> {
        let mut refused = Error::isolate(
            "peer.log_key",
            "the checkpoint is signed by a key of an earlier charter than the log has adopted",
            "the log's node is broken, or somebody has its old key",
        );
        for j in self.signers(charter).filter(|j| signed(&j.log_key)) {
            match self.stands(j.charter_version, size) {
                Ok(()) => return Ok(()),
                Err(e) => refused = e.with_action(Action::Isolate),
            }
        }
        Err(refused)
    }
    /// Versions whose log key may sign a checkpoint of a log that has adopted `charter`: that one and later ones, never an
    /// earlier one, whose key may be in wrong hands.
    pub fn signers(&self, charter: u64) -> impl Iterator<Item = &Jurisdiction> {
        let from = self.in_force(charter).charter_version;
        self.0.iter().filter(move |j| j.charter_version >= from)
    }
    /// The version in force where the log has adopted `version` last; before the first adoption, the oldest.
    pub fn in_force(&self, version: u64) -> &Jurisdiction {
        self.0.iter().find(|j| j.charter_version == version).unwrap_or(&self.0[0])
    }
    /// The newest version.
    pub fn latest(&self) -> &Jurisdiction {
        &self.0[self.0.len() - 1]
    }
    /// Every version, oldest first.
    pub fn versions(&self) -> &[Jurisdiction] {
        &self.0
    }
    /// The charter that a `charter.adopted` entry names.
    pub fn named(&self, version: u64, sha256: &RecordId) -> Option<&Jurisdiction> {
        self.0.iter().find(|j| j.charter_version == version && j.charter_sha256 == *sha256)
    }
    /// True where `version` is one of the chain.
    pub fn knows(&self, version: u64) -> bool {
        self.0.iter().any(|j| j.charter_version == version)
    }
    /// Leaf hashes the entry at `index` must have, where a version makes it a no-op: one, unless charters contradict
    /// each other, and then no entry can have them all.
    pub fn excepted(&self, index: u64) -> Vec<Hash> {
        let all = self.0.iter().flat_map(|j| &j.exceptions);
        all.filter(|e| e.index == index).map(|e| e.leaf).collect()
    }
    /// True where any version makes an entry a no-op.
    pub fn has_exceptions(&self) -> bool {
        self.0.iter().any(|j| !j.exceptions.is_empty())
    }
    /// True where an entry below `size` is a no-op by a version that the log, having adopted `charter` last, had not
    /// adopted yet. The log's node may then have counted that entry, so the roots it committed are not compared until it
    /// adopts that version; nobody's state depends on them.
    pub fn is_unattested(&self, size: u64, charter: u64) -> bool {
        let (adopted, later): (Vec<&Jurisdiction>, Vec<_>) = self.0.iter().partition(|j| j.charter_version <= charter);
        let known = |e: &Exception| adopted.iter().any(|j| j.exceptions.iter().any(|k| k.index == e.index));
        later.iter().flat_map(|j| &j.exceptions).any(|e| e.index < size && !known(e))
    }
    /// Keys of [`Charters::signers`].
    pub fn log_keys(&self, charter: u64) -> impl Iterator<Item = &VerifierKey> {
        self.signers(charter).map(|j| &j.log_key)
    }
}

impl From<Jurisdiction> for Charters {
    fn from(one: Jurisdiction) -> Charters {
        Charters(vec![one], Vec::new())
    }
}
