//! One log as this node knows it: its state in memory and its tiles on disk, whether the node writes it or follows it.

use std::time::Duration;

use parking_lot::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::resemblance::Looks;
use crate::error::{Error, Result};
use crate::federation::chain::CharterChain;
use crate::federation::charter::VerifiedCharter;
use crate::registry::facts::evolve;
use crate::registry::ids::RegionCode;
use crate::registry::record::{DecodedRecord, Record, Subject};
use crate::registry::state::{Entry, Head, HistoryItem, State, View};
use crate::registry::statemap::StateMap;
use crate::registry::status_proof::{Name, StatusProof};
use crate::registry::text::{Day, Millis};
use crate::storage::checkpoint_lines::CheckpointLines;
use crate::storage::log_store::LogReader;
use crate::tlog::checkpoint::Checkpoint;
use crate::tlog::hash::leaf_hash;
use crate::tlog::note::Note;
use crate::tlog::proof::TlogProof;
use crate::tlog::tree::inclusion_proof;

/// How often a proof is begun anew because the log moved on.
const PROVE_ATTEMPTS: usize = 100;
/// How long to wait for the checkpoint of what was just committed.
const PROVE_PAUSE: Duration = Duration::from_millis(10);

/// Whether the node writes the log or follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The node's own log.
    Own,
    /// Another region's, verified entry by entry.
    Followed,
}

/// One log: what the charter says of it, its state, its tiles.
pub struct LogView {
    /// Own or followed.
    pub role: Role,
    /// Origin of the log.
    pub origin: String,
    /// The region.
    pub region: RegionCode,
    /// Published tiles, entries, checkpoint.
    pub reader: LogReader,
    chain: RwLock<CharterChain>,
    map: RwLock<StateMap>,
    state: RwLock<State>,
    /// Whoever reads the whole state, for seconds, holds this: a writer then waits here, and not in the lock itself, where
    /// it would stop every short reader behind it.
    long: Mutex<()>,
    looks: Mutex<Looks>,
    /// Puts cosignatures on the checkpoint of an own log.
    lines: Option<CheckpointLines>,
}

/// "As of" and "known at": true on that day, recorded by then.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct When {
    /// The day the answer is about.
    pub as_of: Option<Day>,
    /// Only what was recorded by this time, Unix milliseconds.
    pub known_at: Option<Millis>,
}

impl When {
    /// True where the current facts answer.
    pub fn is_now(&self) -> bool {
        self.as_of.is_none() && self.known_at.is_none()
    }
}

/// One record of a subject's history, read back from the log.
pub struct HistoryRecord {
    /// Its index.
    pub index: u64,
    /// Commit time, Unix milliseconds.
    pub time: u64,
    /// What it says.
    pub record: Record,
    /// Key ids of its signatures.
    pub signers: Vec<crate::registry::ids::KeyThumb>,
}

impl LogView {
    /// Puts a loaded state, its map and its tiles together.
    pub fn new(role: Role, chain: CharterChain, reader: LogReader, state: State, map: StateMap) -> LogView {
        let (origin, region) = (state.jurisdiction().origin.to_string(), state.jurisdiction().region);
        LogView {
            role,
            origin,
            region,
            reader,
            chain: RwLock::new(chain),
            map: RwLock::new(map),
            state: RwLock::new(state),
            long: Mutex::new(()),
            looks: Mutex::default(),
            lines: None,
        }
    }
    /// For the writer of an own log: lets cosignatures be put on its checkpoint.
    pub(super) fn with_lines(self, lines: CheckpointLines) -> LogView {
        LogView { lines: Some(lines), ..self }
    }
    /// Puts a note with more signatures in the place of an own log's checkpoint; false where the log has moved on. Blocking.
    ///
    /// # Errors
    /// Those of [`CheckpointLines::replace`].
    pub(super) fn replace_checkpoint(&self, note: &str) -> Result<bool> {
        self.lines.as_ref().map_or(Ok(false), |lines| lines.replace(note))
    }
    /// The charter chain the log is verified under.
    pub fn chain(&self) -> CharterChain {
        self.chain.read().clone()
    }
    /// Its newest charter.
    pub fn charter(&self) -> VerifiedCharter {
        self.chain.read().latest().clone()
    }
    /// For the follower: puts a longer chain in place.
    pub(crate) fn set_chain(&self, chain: CharterChain) {
        *self.chain.write() = chain;
    }
    /// The state as of the last commit, held still while it is looked at.
    pub fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read()
    }
    /// True while the writer holds the state: whoever reads it now waits, some tens of milliseconds at most.
    pub fn is_being_written(&self) -> bool {
        self.state.is_locked_exclusive()
    }
    /// For the one writer of this view: the sequencer or the follower.
    pub(crate) fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        let _turn = self.long.lock();
        self.state.write()
    }
    /// Reads the whole state, however long that takes; short readers are not held up by a writer that waits for it. `read`
    /// must not wait for the thread pool.
    pub fn read_whole<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        let _turn = self.long.lock();
        read(&self.state.read())
    }
    /// Looks of its titles and bots; taken before the state.
    pub(super) fn looks(&self) -> MutexGuard<'_, Looks> {
        self.looks.lock()
    }
    /// Reads map and state of one and the same commit, however long that takes; short readers are not held up by a writer
    /// that waits for it. `read` must not wait for the thread pool.
    pub fn read_both<T>(&self, read: impl FnOnce(&StateMap, &State) -> T) -> T {
        // A writer holds the map until the state has caught up with it.
        let map = self.map.read();
        let _turn = self.long.lock();
        read(&map, &self.state.read())
    }
    /// For the follower: the lock itself, so that a replay can work on the state outside of readers' sight.
    pub fn head(&self) -> Option<Head> {
        self.state.read().head()
    }
    /// For the one writer: the map, which is ahead of the state until the batch is absorbed. Who needs both takes the map
    /// first.
    pub(crate) fn map_mut(&self) -> RwLockWriteGuard<'_, StateMap> {
        self.map.write()
    }

    /// Proves what the log says about one thing at its newest commit. May read the disk and wait: not for the reactor, and not
    /// while the caller holds the state.
    ///
    /// # Errors
    /// `proof.moved` where the log has no commit under a signed checkpoint, or moves on faster than a proof is made;
    /// `status.form` where nothing can be proved about `about`.
    pub fn prove(&self, about: &Name, addresses: bool) -> Result<StatusProof> {
        self.prove_with(about, addresses, |_| ()).map(|(proof, ())| proof)
    }

    /// [`LogView::prove`], and what `also` finds in the map of the very same commit; the writer waits meanwhile.
    pub(super) fn prove_with<T>(
        &self,
        about: &Name,
        addresses: bool,
        also: impl Fn(&StateMap) -> T,
    ) -> Result<(StatusProof, T)> {
        for _ in 0..PROVE_ATTEMPTS {
            // A writer holds the map until log, checkpoint and state have caught up with it, so under it they agree. A follower
            // publishes the checkpoint of a round at its end, after its last commit; until then there is nothing to prove from.
            let map = self.map.read();
            let Some((head, note)) = self.head().zip(self.reader.checkpoint_text()) else { break };
            let size = head.index + 1;
            if Note::parse(note.as_bytes()).and_then(|n| Checkpoint::parse(n.text()))?.size == size {
                let commit = self.reader.entry(head.index)?;
                let path = inclusion_proof(&self.reader, head.index, size)?;
                let tlog = TlogProof { extra: None, index: head.index, path, checkpoint: note.to_string() };
                let proof = StatusProof::of(&self.state.read(), &map, about, addresses, &commit, tlog)?;
                return Ok((proof, also(&map)));
            }
            drop(map);
            std::thread::sleep(PROVE_PAUSE);
        }
        Err(Error::retry(
            "proof.moved",
            format!("the log {} is just being written or read", self.origin),
            "ask again in a few seconds",
        ))
    }
    /// Offset of the region's civil time from UTC, hours.
    pub fn utc_offset(&self) -> i8 {
        self.region.region().map_or(3, |r| r.utc_offset_hours)
    }
    /// The civil day of a commit time in this region.
    pub fn day_of(&self, time_ms: u64) -> Day {
        Day::of_ms(time_ms, self.utc_offset())
    }

    /// The records of a subject, oldest first, at most `limit` of them beginning at position `from`.
    pub fn history(&self, subject: &Subject, from: usize, limit: usize) -> Result<Vec<HistoryRecord>> {
        let items: Vec<(HistoryItem, u64)> = {
            let state = self.state();
            let entry = state.entry(subject).ok_or_else(|| unknown(subject))?;
            let picked = entry.history.iter().skip(from).take(limit);
            picked.map(|h| (*h, state.time_of(h.index).unwrap_or(0))).collect()
        };
        items.into_iter().map(|(item, time)| self.record(item, time)).collect()
    }

    /// The record that the history names, and no other: its id is the hash of what was signed.
    pub(super) fn record(&self, item: HistoryItem, time: u64) -> Result<HistoryRecord> {
        let index = item.index;
        let decoded = DecodedRecord::decode(&self.reader.entry(index)?).ok().filter(|d| d.record.id == item.id);
        let decoded = decoded.ok_or_else(|| self.reader.damaged(index))?;
        let signers = decoded.envelope.signatures.iter().map(|(kid, _)| *kid).collect();
        Ok(HistoryRecord { index, time, record: *decoded.record, signers })
    }

    /// Records of the log by index, the node's own entries left out.
    pub fn records(&self, range: std::ops::Range<u64>) -> Result<Vec<HistoryRecord>> {
        let entries = self.reader.entries(range.clone())?;
        let leaves = self.reader.leaves(range.clone())?;
        for ((index, entry), leaf) in range.clone().zip(entries.iter()).zip(leaves) {
            if leaf_hash(entry) != leaf {
                return Err(self.reader.damaged(index));
            }
        }
        let state = self.state();
        let mut out = Vec::with_capacity(entries.len());
        for (index, entry) in range.zip(entries.iter()) {
            match DecodedRecord::decode(entry) {
                Ok(d) => out.push(HistoryRecord {
                    index,
                    time: state.time_of(index).unwrap_or(0),
                    signers: d.envelope.signatures.iter().map(|(kid, _)| *kid).collect(),
                    record: *d.record,
                }),
                // charter.adopted and state.committed say nothing about a subject.
                Err(e) if e.code() == "envelope.header" => {}
                Err(e) => return Err(e.at(format!("entry {index}"))),
            }
        }
        Ok(out)
    }

    /// Facts of a subject as of a day, as known at a time: the fold of its records recorded by then, of those that were
    /// effective by that day. A registration without a day is about a thing that was there before it was written down.
    pub fn entry_when(&self, subject: &Subject, when: When) -> Result<Option<Entry>> {
        if when.is_now() {
            return Ok(self.state().entry(subject).cloned());
        }
        let Some(entry) = self.state().entry(subject).cloned() else { return Ok(None) };
        let chat = if let Subject::Chat(c) = subject { Some(*c) } else { None };
        let (mut facts, mut history) = (None, Vec::new());
        for item in entry.history {
            let time = self.state().time_of(item.index).unwrap_or(0);
            if when.known_at.is_some_and(|t| time > t.get()) {
                break;
            }
            let found = self.record(item, time)?;
            let effective = match (found.record.effective_from, when.as_of) {
                (Some(from), Some(day)) => from <= day,
                _ => true,
            };
            if effective {
                facts = evolve(facts, chat, &found.record);
                history.push(item);
            }
        }
        Ok(facts.map(|facts| Entry { facts, history }))
    }
}

/// The error for a subject this log does not have.
pub fn unknown(subject: &Subject) -> Error {
    Error::refuse(
        "lookup.unknown",
        format!("this log has nothing about {subject}"),
        "check the id, or ask another region's node",
    )
}
