//! Replay: from the entries of a log to its state, commit by commit.
//!
//! Two steps, so that they can run at the same time on two cores: [`Preparer::prepare`] takes entries apart and verifies
//! their signatures (it needs no state but the charter in force), [`Replay::apply`] checks the rules, recomputes the root of
//! the state map at every `state.committed` and compares it with the committed one. What is wrong is refused with the index
//! of the entry; the state then stands at the last good commit and nothing of the bad batch is in it. An entry that a
//! charter of the chain excepts is passed over.

use std::sync::Arc;

use rayon::prelude::*;

use super::ids::RecordId;
use super::jurisdiction::Charters;
use super::node_record::{Adopted, Commit, DecodedNodeRecord, NodeRecord, VerifiedNodeRecord};
use super::record::{DecodedRecord, RECORD_VERSION};
use super::rules;
use super::signature::PublicKey;
use super::state::{Changes, State};
use super::statemap::StateMap;
use super::verify::{KeyRing, TOGETHER, VerifiedRecord, answers, verify_records};
use crate::error::{Error, Result};
use crate::tlog::{Hash, leaf_hash};

/// Most entries one batch of a log may hold, its commit included.
pub const MAX_BATCH: usize = 1 << 16;

/// An entry that has passed every check that needs no state.
#[derive(Debug)]
enum Prepared {
    Record(VerifiedRecord),
    /// A record that a charter makes a no-op, though its signatures verify: the rules must refuse it.
    Excepted(Box<VerifiedRecord>),
    /// An entry that a charter makes a no-op, and that is no verified record.
    Nothing,
    Adopted(Box<Adopted>, RecordId),
    Commit(Box<Commit>, RecordId),
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

/// Takes entries apart in the order of the log: it knows which charter governs the next one, and keys that may have signed
/// it.
#[derive(Debug)]
pub struct Preparer {
    charters: Arc<Charters>,
    charter: u64,
    trust: Trust,
}

enum Decoded {
    Verified(VerifiedRecord),
    /// Its signatures were not looked at, or one does not verify with the keys known so far: it may with one that the chunk
    /// grants.
    Record(DecodedRecord),
    Node(Box<DecodedNodeRecord>),
}

fn decode(entry: &[u8]) -> Result<Decoded> {
    // The protected header tells which of the two an entry is; the record form is by far the more frequent.
    match DecodedRecord::decode(entry) {
        Ok(record) => Ok(Decoded::Record(record)),
        Err(e) if e.code() == "envelope.header" => Ok(Decoded::Node(Box::new(DecodedNodeRecord::decode(entry)?))),
        Err(e) => Err(e),
    }
}

/// Takes some entries apart, and verifies those records that are signed with keys known so far. One job for both: the text that
/// was signed is there and gone again before it leaves the cache.
fn decode_and_verify<E: AsRef<[u8]>>(entries: &[E], ring: &KeyRing) -> Vec<Result<Decoded>> {
    let decoded: Vec<Result<Decoded>> = entries.iter().map(|e| decode(e.as_ref())).collect();
    let mut records = Vec::with_capacity(decoded.len());
    for entry in &decoded {
        if let Ok(Decoded::Record(record)) = entry {
            records.push(record);
        }
    }
    let mut answers = answers(&records, ring).into_iter();
    let verified = |entry| match entry {
        Ok(Decoded::Record(record)) if answers.next().is_some_and(|answer| answer.is_ok()) => {
            Ok(Decoded::Verified(VerifiedRecord::reread(record)))
        }
        other => other,
    };
    decoded.into_iter().map(verified).collect()
}

/// What becomes of one entry, as far as it can be told before all signatures of the chunk are verified.
enum Step {
    Record,
    /// One place further in the list of verified node entries.
    Node,
    Done(Prepared),
}

impl Preparer {
    /// For the entries that follow what `state` covers.
    pub fn after(state: &State, trust: Trust) -> Preparer {
        Preparer { charters: state.charters().clone(), charter: state.charter(), trust }
    }

    /// Takes `entries` (the first has index `first`) apart and verifies them. Keys granted in the chunk join the `ring`,
    /// which must know every key granted before it.
    pub fn prepare<E: AsRef<[u8]> + Sync>(&mut self, first: u64, entries: &[E], ring: &mut KeyRing) -> PreparedChunk {
        let known = &*ring;
        let decoded: Vec<Result<Decoded>> = match self.trust {
            Trust::Verify => {
                entries.par_chunks(TOGETHER).flat_map_iter(|some| decode_and_verify(some, known)).collect()
            }
            Trust::Reread => entries.par_iter().map(|e| decode(e.as_ref())).collect(),
        };
        let any_excepted = self.charters.has_exceptions();
        let mut steps = Vec::with_capacity(decoded.len());
        let (mut records, mut nodes) = (Vec::new(), Vec::new());
        let mut failure = None;
        for (i, (entry, bytes)) in decoded.into_iter().zip(entries).enumerate() {
            let index = first + i as u64;
            let step = match any_excepted.then(|| self.charters.excepted(index)).filter(|leaves| !leaves.is_empty()) {
                Some(leaves) => excepted(entry, bytes.as_ref(), &leaves, ring).map(Step::Done),
                None => entry.and_then(|d| match d {
                    Decoded::Verified(r) => {
                        ring.add_granted(r.record());
                        Ok(Step::Done(Prepared::Record(r)))
                    }
                    Decoded::Record(r) => {
                        ring.add_granted(&r.record);
                        records.push(r);
                        Ok(Step::Record)
                    }
                    Decoded::Node(n) => {
                        let key = self.governs(&n)?;
                        nodes.push((*n, key));
                        Ok(Step::Node)
                    }
                }),
            };
            match step {
                Ok(step) => steps.push(step),
                Err(e) => {
                    failure = Some(e.at(format!("entry {index}")));
                    break;
                }
            }
        }
        let verified: Vec<Result<VerifiedRecord>> = match self.trust {
            Trust::Verify => verify_records(records, ring),
            Trust::Reread => records.into_iter().map(|r| Ok(VerifiedRecord::reread(r))).collect(),
        };
        let nodes: Vec<Result<VerifiedNodeRecord>> = nodes.into_par_iter().map(|(n, key)| n.verify(&key)).collect();
        let (mut verified, mut nodes) = (verified.into_iter(), nodes.into_iter());
        let mut out = Vec::with_capacity(steps.len());
        for step in steps {
            let next = match step {
                Step::Done(prepared) => Some(Ok(prepared)),
                Step::Record => verified.next().map(|v| v.map(Prepared::Record)),
                Step::Node => nodes.next().map(|n| {
                    n.and_then(|n| match n.record {
                        NodeRecord::Adopted(a) => Ok(Prepared::Adopted(Box::new(a), n.id)),
                        NodeRecord::Commit(c) => Ok(Prepared::Commit(Box::new(c), n.id)),
                        NodeRecord::Regions(_) | NodeRecord::Federation(_) => Err(of_federation()),
                    })
                }),
            };
            match next {
                Some(Ok(p)) => out.push(p),
                Some(Err(e)) => {
                    failure = Some(e.at(format!("entry {}", first + out.len() as u64)));
                    break;
                }
                // As many answers as questions: there is no other way here.
                None => break,
            }
        }
        PreparedChunk { first, entries: out, failure }
    }

    /// The commit key that must have signed this entry: that of the charter in force, which for a `charter.adopted` is the
    /// one it names. So a new key proves itself, and an old one, lost or stolen, cannot stand in its way.
    fn governs(&mut self, node: &DecodedNodeRecord) -> Result<PublicKey> {
        if let NodeRecord::Adopted(a) = node.record() {
            let named = self.charters.named(a.version, &a.sha256).ok_or_else(|| not_adopted(a))?;
            self.charter = named.charter_version;
            return Ok(named.commit_key.clone());
        }
        Ok(self.charters.in_force(self.charter).commit_key.clone())
    }
}

/// An entry that a charter makes a no-op: exactly that entry, and only because it does not verify. What does verify was
/// relied upon (a key it granted, an owner it named), and an exception moves no owner.
fn excepted(entry: Result<Decoded>, bytes: &[u8], leaves: &[Hash], ring: &KeyRing) -> Result<Prepared> {
    let leaf = leaf_hash(bytes);
    if leaves.iter().any(|l| *l != leaf) {
        return Err(not_excepted("the entry is not the one the charter means: its leaf hash is another"));
    }
    match entry {
        Ok(Decoded::Node(_)) => Err(not_excepted("an entry of the node itself can be no exception")),
        Ok(Decoded::Verified(verified)) => Ok(Prepared::Excepted(Box::new(verified))),
        Ok(Decoded::Record(r)) => match verify_records(vec![r], ring).pop() {
            Some(Ok(verified)) => Ok(Prepared::Excepted(Box::new(verified))),
            _ => Ok(Prepared::Nothing),
        },
        // A version this node does not know may be good: nobody here can tell.
        Err(e) if e.code() == "record.version" => Err(e),
        Err(_) => Ok(Prepared::Nothing),
    }
}

fn of_federation() -> Error {
    Error::refuse(
        "commit.federation",
        "an entry of the federation's log stands in a region's",
        "the node that wrote it is broken",
    )
}

fn not_excepted(what: &str) -> Error {
    Error::refuse(
        "charter.exception",
        format!("a charter's exception does not hold: {what}"),
        "ask the federation for a charter without this exception",
    )
}

/// The map that belongs to a state, and the entries read since the last commit.
#[derive(Debug, Default)]
pub struct Replay {
    /// The map.
    pub map: StateMap,
    keep_rows: bool,
    spread_from: Option<usize>,
    pending: Vec<Prepared>,
}

/// What the owner of the state must do with each batch: absorb it, and whatever else it keeps beside it.
pub type OnCommit<'f> = dyn FnMut(&mut State, Changes, &Commit, RecordId, u64) + 'f;

impl Replay {
    /// Goes on from the map of a state.
    pub fn resume(map: StateMap) -> Replay {
        Replay { map, ..Replay::default() }
    }
    /// For whoever has an index: the rows of each batch are kept when its facts are encoded ([`Changes::take_rows`]).
    pub fn with_rows(self) -> Replay {
        Replay { keep_rows: true, ..self }
    }
    /// For whoever verifies the next entries meanwhile: a commit of less than 4 096 changes is worked off by the thread that
    /// applies it. To spread it would save milliseconds, and cost those who are verifying more.
    pub fn beside_verifying(self) -> Replay {
        Replay { spread_from: Some(4096), ..self }
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
                Prepared::Commit(commit, id) => self.commit(state, &commit, id, on_commit)?,
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

    fn commit(&mut self, state: &mut State, commit: &Commit, id: RecordId, on_commit: &mut OnCommit<'_>) -> Result<()> {
        let index = self.size(state);
        check_commit(state, commit, index).map_err(|e| e.at(format!("entry {index}")))?;
        let changes = self.try_batch(state, commit)?;
        self.map.begin();
        self.map.set_all(&changes.leaves);
        let unattested = state.charters().is_unattested(index, commit.charter);
        if !unattested && self.map.root_spread(self.spread_from) != commit.root.0 {
            self.map.rollback();
            return Err(Error::refuse(
                "commit.root",
                format!("entry {index}: the committed state root is not the root of the state it commits"),
                "the log's node and this one disagree about the state; compare their versions",
            ));
        }
        self.map.commit();
        on_commit(state, changes, commit, id, index);
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
                Prepared::Excepted(verified) => {
                    if rules::check(&overlay, verified, commit.time.get()).is_ok() {
                        return Err(at(not_excepted("the record is good")));
                    }
                }
                Prepared::Nothing | Prepared::Commit(..) => {}
            }
        }
        if overlay.charter() != commit.charter || commit.charter == 0 {
            return Err(Error::refuse(
                "commit.charter",
                "the commit names a charter that is not in force",
                "adopt the charter first",
            ));
        }
        if !super::state::View::jurisdiction(&overlay).record_versions.contains(&commit.v) {
            return Err(Error::refuse(
                "commit.version",
                format!("commits of version {} are not switched on by charter {}", commit.v, commit.charter),
                "the log's node must be updated",
            ));
        }
        Ok(overlay.end(self.keep_rows, self.spread_from))
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

/// A log adopts the charters of its federation in order, each by its digest; it may leave some out.
pub fn check_adopted(overlay: &super::state::Overlay<'_>, adopted: &Adopted) -> Result<()> {
    let named = overlay.charters().named(adopted.version, &adopted.sha256);
    let fits = |j: &super::state::Jurisdiction| {
        adopted.v == RECORD_VERSION && adopted.log == j.origin && adopted.version > overlay.charter()
    };
    if named.is_some_and(fits) {
        return Ok(());
    }
    Err(not_adopted(adopted))
}

fn not_adopted(adopted: &Adopted) -> Error {
    Error::refuse(
        "charter.adopted",
        format!(
            "charter.adopted names version {}, which is not a later charter of the chain this node verified",
            adopted.version
        ),
        "fetch the charter chain and verify it",
    )
}
