//! Replay: from the entries of a log to its state, commit by commit.
//!
//! Two steps, so that they can run at the same time on two cores: [`prepare`] takes entries apart and verifies their
//! signatures (it needs no state), [`Replay::apply`] checks the rules, recomputes the root of the state map at every
//! `state.committed` and compares it with the committed one. What is wrong is refused with the index of the entry; the
//! state then stands at the last good commit and nothing of the bad batch is in it.

use rayon::prelude::*;

use super::ids::RecordId;
use super::node_record::{Adopted, Commit, DecodedNodeRecord, NodeRecord, VerifiedNodeRecord};
use super::record::{DecodedRecord, RECORD_VERSION};
use super::rules;
use super::signature::PublicKey;
use super::state::{Changes, State};
use super::statemap::{StateMap, map_key};
use super::verify::{KeyRing, VerifiedRecord, verify_records};
use crate::error::{Error, Result};

/// Most entries one batch of a log may hold, its commit included.
pub const MAX_BATCH: usize = 1 << 16;

/// An entry that has passed every check that needs no state.
#[derive(Debug)]
enum Prepared {
    Record(VerifiedRecord),
    Adopted(Adopted, RecordId),
    Commit(Commit, RecordId),
}

/// Entries taken apart and verified, up to the first that failed.
#[derive(Debug)]
pub struct PreparedChunk {
    first: u64,
    entries: Vec<Prepared>,
    failure: Option<Error>,
}

/// How far signatures of records are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Somebody else's log: every signature is verified.
    Verify,
    /// This node's own verified copy, read back: what was verified before it was written is not verified again. Rules and
    /// state roots are checked all the same.
    Reread,
}

enum Decoded {
    Record(Box<DecodedRecord>),
    Node(VerifiedNodeRecord),
}

fn decode(entry: &[u8], commit_key: &PublicKey) -> Result<Decoded> {
    // The protected header tells which of the two an entry is; the record form is by far the more frequent.
    match DecodedRecord::decode(entry) {
        Ok(record) => Ok(Decoded::Record(Box::new(record))),
        Err(e) if e.code() == "envelope.header" => {
            Ok(Decoded::Node(DecodedNodeRecord::decode(entry)?.verify(commit_key)?))
        }
        Err(e) => Err(e),
    }
}

/// Takes `entries` (the first has index `first`) apart and verifies them. Keys granted in the chunk join the `ring`.
pub fn prepare<E: AsRef<[u8]> + Sync>(
    first: u64,
    entries: &[E],
    commit_key: &PublicKey,
    ring: &mut KeyRing,
    trust: Trust,
) -> PreparedChunk {
    let decoded: Vec<Result<Decoded>> = entries.par_iter().map(|e| decode(e.as_ref(), commit_key)).collect();
    let mut failure = None;
    let mut good = Vec::with_capacity(decoded.len());
    for (i, entry) in decoded.into_iter().enumerate() {
        match entry {
            Ok(d) => good.push(d),
            Err(e) => {
                failure = Some(e.at(format!("entry {}", first + i as u64)));
                break;
            }
        }
    }
    let mut records = Vec::with_capacity(good.len());
    let mut nodes = Vec::new();
    for (i, d) in good.into_iter().enumerate() {
        match d {
            Decoded::Record(r) => {
                ring.add_granted(&r.record);
                records.push(*r);
            }
            Decoded::Node(n) => nodes.push((i, n)),
        }
    }
    let total = records.len() + nodes.len();
    let verified: Vec<Result<VerifiedRecord>> = match trust {
        Trust::Verify => verify_records(records, ring),
        Trust::Reread => records.into_iter().map(|r| Ok(VerifiedRecord::reread(r))).collect(),
    };
    let (mut verified, mut nodes) = (verified.into_iter(), nodes.into_iter().peekable());
    let mut out = Vec::with_capacity(total);
    for i in 0..total {
        let next = match nodes.next_if(|(at, _)| *at == i) {
            Some((_, n)) => Ok(match n.record {
                NodeRecord::Adopted(a) => Prepared::Adopted(a, n.id),
                NodeRecord::Commit(c) => Prepared::Commit(c, n.id),
            }),
            None => match verified.next() {
                Some(v) => v.map(Prepared::Record),
                None => break,
            },
        };
        match next {
            Ok(p) => out.push(p),
            Err(e) => {
                failure = Some(e.at(format!("entry {}", first + i as u64)));
                break;
            }
        }
    }
    PreparedChunk { first, entries: out, failure }
}

/// The map that belongs to a state, and the entries read since the last commit.
#[derive(Debug, Default)]
pub struct Replay {
    /// The map.
    pub map: StateMap,
    pending: Vec<Prepared>,
}

/// What the owner of the state must do with each batch: absorb it, and whatever else it keeps beside it.
pub type OnCommit<'f> = dyn FnMut(&mut State, Changes, &Commit, RecordId, u64) + 'f;

impl Replay {
    /// Goes on from the map of a state.
    pub fn resume(map: StateMap) -> Replay {
        Replay { map, pending: Vec::new() }
    }
    /// Number of entries read so far, those after the last commit included.
    pub fn size(&self, state: &State) -> u64 {
        state.size() + self.pending.len() as u64
    }
    /// Applies a chunk. On an error the state stands at the last good commit, and what came after it is forgotten.
    pub fn apply(&mut self, state: &mut State, chunk: PreparedChunk, on_commit: &mut OnCommit<'_>) -> Result<()> {
        let result = self.apply_entries(state, chunk, on_commit);
        if result.is_err() {
            self.pending.clear();
        }
        result
    }

    fn apply_entries(&mut self, state: &mut State, chunk: PreparedChunk, on_commit: &mut OnCommit<'_>) -> Result<()> {
        if chunk.first != self.size(state) {
            return Err(Error::stop(
                "replay.order",
                format!("entries from {} on do not follow {}", chunk.first, self.size(state)),
                "report this as a defect",
            ));
        }
        for entry in chunk.entries {
            match entry {
                Prepared::Commit(commit, id) => self.commit(state, commit, id, on_commit)?,
                other => {
                    if self.pending.len() + 1 >= MAX_BATCH {
                        return Err(Error::refuse(
                            "commit.batch",
                            "more than 65536 entries without a commit",
                            "commit earlier",
                        ));
                    }
                    self.pending.push(other);
                }
            }
        }
        chunk.failure.map_or(Ok(()), Err)
    }

    fn commit(&mut self, state: &mut State, commit: Commit, id: RecordId, on_commit: &mut OnCommit<'_>) -> Result<()> {
        let index = self.size(state);
        check_commit(state, &commit, index).map_err(|e| e.at(format!("entry {index}")))?;
        let changes = self.try_batch(state, &commit)?;
        self.map.begin();
        for (name, value) in &changes.leaves {
            self.map.set(map_key(name), *value);
        }
        if self.map.root() != commit.root.0 {
            self.map.rollback();
            return Err(Error::refuse(
                "commit.root",
                format!("entry {index}: the committed state root is not the root of the state it commits"),
                "the log's node and this one disagree about the state; compare their versions",
            ));
        }
        self.map.commit();
        on_commit(state, changes, &commit, id, index);
        self.pending.clear();
        Ok(())
    }

    /// Rules 1–5 over the batch; the state is not touched.
    fn try_batch(&self, state: &State, commit: &Commit) -> Result<Changes> {
        let mut overlay = state.overlay();
        overlay.reserve(self.pending.len());
        for (i, entry) in self.pending.iter().enumerate() {
            let index = state.size() + i as u64;
            let at = |e: Error| e.at(format!("entry {index}"));
            match entry {
                Prepared::Record(verified) => {
                    let checked = rules::check(&overlay, verified, commit.time.get()).map_err(at)?;
                    overlay.apply(checked, index);
                }
                Prepared::Adopted(adopted, id) => {
                    check_adopted(&overlay, adopted).map_err(at)?;
                    overlay.adopt(adopted, *id, index);
                }
                Prepared::Commit(..) => {}
            }
        }
        if overlay.charter() != commit.charter || commit.charter == 0 {
            return Err(Error::refuse(
                "commit.charter",
                "the commit names a charter that is not in force",
                "adopt the charter first",
            ));
        }
        Ok(overlay.finish())
    }
}

fn check_commit(state: &State, commit: &Commit, index: u64) -> Result<()> {
    let wrong = |what: &str| {
        Err(Error::refuse("commit.field", format!("state.committed: {what}"), "the log's node wrote a wrong commit"))
    };
    let head = state.head();
    let jurisdiction = super::state::View::jurisdiction(state);
    if commit.v != RECORD_VERSION {
        return wrong("its version is not known to this node");
    }
    if commit.log != jurisdiction.origin {
        return wrong("it is for another log");
    }
    if commit.first != state.size() || commit.size != index + 1 {
        return wrong("first and size are not those of its batch");
    }
    if commit.previous != head.map(|h| h.id) {
        return wrong("it does not name the previous commit");
    }
    if head.is_some_and(|h| commit.time.get() <= h.time) {
        return wrong("its time is not after that of the previous commit");
    }
    Ok(())
}

/// A log adopts the charters of its federation in order, each by its digest.
pub fn check_adopted(overlay: &super::state::Overlay<'_>, adopted: &Adopted) -> Result<()> {
    let j = super::state::View::jurisdiction(overlay);
    let known = adopted.v == RECORD_VERSION
        && adopted.log == j.origin
        && adopted.version == j.charter_version
        && adopted.sha256 == j.charter_sha256
        && adopted.version > overlay.charter();
    if known {
        return Ok(());
    }
    Err(Error::refuse(
        "charter.adopted",
        format!("charter.adopted names version {}, which is not the charter this node verified", adopted.version),
        "fetch the charter chain and verify it",
    ))
}
