//! From disk to hot state: the index first, the log where the index is behind, absent or wrong.
//!
//! The index is believed only after the map rebuilt from its rows has the root that the log committed at that size. If
//! not, it is emptied and everything is replayed from the log; the state is the same either way.

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::registry::facts::Facts;
use crate::registry::ids::RecordId;
use crate::registry::jurisdiction::Charters;
use crate::registry::node_record::{Commit, DecodedNodeRecord, NodeRecord};
use crate::registry::record::Subject;
use crate::registry::replay::{Preparer, Replay, Trust};
use crate::registry::state::{Changes, Entry, Head, HistoryItem, State};
use crate::registry::statemap::{StateMap, map_key};
use crate::registry::verify::KeyRing;
use crate::storage::index::{Applied, Index, IndexBatch};
use crate::storage::log_store::LogReader;

/// Entries read from the log at a time.
pub const CHUNK: u64 = 16_384;

/// Rows of the index taken apart at a time.
const ROWS: usize = 8192;

/// Reports (done, total) entries.
pub type Progress<'p> = dyn FnMut(u64, u64) + 'p;

/// The row of a subject: number of records, each index and id, then the facts' frozen encoding.
pub fn encode_row(history: &[HistoryItem], facts: &[u8]) -> Vec<u8> {
    let mut row = Vec::with_capacity(4 + history.len() * 40 + facts.len());
    row.extend_from_slice(&(history.len() as u32).to_be_bytes());
    for h in history {
        row.extend_from_slice(&h.index.to_be_bytes());
        row.extend_from_slice(&h.id.0);
    }
    row.extend_from_slice(facts);
    row
}

/// Reads a row back.
pub fn decode_row(row: &[u8]) -> Result<Entry> {
    let bad = || Error::stop("index.row", "an index row is cut short", "run «domovoi reindex»");
    let (count, mut rest) = row.split_first_chunk::<4>().ok_or_else(bad)?;
    let count = u32::from_be_bytes(*count) as usize;
    let mut history = Vec::with_capacity(count.min(row.len() / 40));
    for _ in 0..count {
        let (index, after) = rest.split_first_chunk::<8>().ok_or_else(bad)?;
        let (id, after) = after.split_first_chunk::<32>().ok_or_else(bad)?;
        history.push(HistoryItem { index: u64::from_be_bytes(*index), id: RecordId(*id) });
        rest = after;
    }
    Ok(Entry { facts: Facts::decode(rest)?, history })
}

/// What the index must be told about a batch.
pub fn index_batch(changes: &Changes, commit: &Commit, size: u64) -> IndexBatch {
    let history = |s: &Subject| changes.subjects.get(s).map_or(&[][..], |e| e.history.as_slice());
    let row = |(s, facts): &(Subject, Vec<u8>)| (s.to_string().into_bytes(), encode_row(history(s), facts));
    let rows = changes.encoded.iter().map(row).collect();
    IndexBatch {
        applied: Applied { size, time_ms: commit.time.get(), root: commit.root.0 },
        rows,
        commits: vec![(size, commit.time.get())],
    }
}

/// Joins `next` to `batch`, so that many small commits cost one synced write. Later rows win.
pub fn join_batches(batch: &mut IndexBatch, next: IndexBatch) {
    batch.rows.extend(next.rows);
    batch.commits.extend(next.commits);
    batch.applied = next.applied;
}

/// The commit that ends at tree size `size`.
fn commit_at(reader: &LogReader, size: u64) -> Result<(Commit, RecordId)> {
    let wrong = || Error::stop("log.commit", format!("no state.committed ends at size {size}"), "run «domovoi fsck»");
    let entry = reader.entry(size.checked_sub(1).ok_or_else(wrong)?)?;
    let decoded = DecodedNodeRecord::decode(&entry)?;
    match decoded.record() {
        NodeRecord::Commit(c) => Ok((c.clone(), decoded.id())),
        NodeRecord::Adopted(_) => Err(wrong()),
    }
}

/// Takes rows apart on all cores, puts them into the state and empties `rows`. False when one of them is damaged.
fn restore(state: &mut State, rows: &mut Vec<(Vec<u8>, Vec<u8>)>) -> bool {
    let read: Vec<Option<(Subject, Entry)>> = rows
        .par_iter()
        .map(|(key, row)| Some((std::str::from_utf8(key).ok()?.parse().ok()?, decode_row(row).ok()?)))
        .collect();
    rows.clear();
    let all = read.iter().all(Option::is_some);
    for (subject, entry) in read.into_iter().flatten() {
        state.restore_entry(subject, entry);
    }
    all
}

/// State and map as the index has them, if the log's own commit agrees.
fn from_index(reader: &LogReader, index: &impl Index, charters: &Charters) -> Result<Option<(State, StateMap)>> {
    let Some(applied) = index.applied()? else { return Ok(None) };
    if applied.size == 0 || applied.size > reader.size() {
        return Ok(None);
    }
    let (commit, id) = commit_at(reader, applied.size)?;
    // What the index holds may count an entry that a newer charter makes a no-op; the root of that commit cannot tell.
    if !charters.knows(commit.charter) || charters.is_unattested(applied.size - 1, commit.charter) {
        return Ok(None);
    }
    let mut state = State::new(charters.clone());
    let (mut intact, mut read) = (true, Vec::with_capacity(ROWS));
    index.load(&mut |key, row| {
        read.push((key.to_vec(), row.to_vec()));
        if read.len() == ROWS {
            intact &= restore(&mut state, &mut read);
        }
    })?;
    intact &= restore(&mut state, &mut read);
    let mut map = StateMap::new();
    for (name, value) in state.leaves() {
        map.set(map_key(&name), value);
    }
    if !intact || map.root() != commit.root.0 || commit.root.0 != applied.root {
        return Ok(None);
    }
    let head = Head { index: applied.size - 1, id, time: commit.time.get(), root: commit.root.0 };
    state.restore_head(head, index.commits()?, commit.charter);
    Ok(Some((state, map)))
}

/// Loads the state of the log behind `reader` and brings the index up to it.
pub fn load(
    reader: &LogReader,
    index: &mut impl Index,
    charters: &Charters,
    progress: &mut Progress<'_>,
) -> Result<(State, Replay)> {
    let indexed = match from_index(reader, index, charters) {
        // What sled cannot give is built anew like what it gives wrongly; as an error it would come back at every start.
        Err(e) if e.code() == "index.broken" => {
            tracing::error!(error = %e, "the index cannot be read");
            None
        }
        other => other?,
    };
    let (mut state, mut replay) = match indexed {
        Some((state, map)) => (state, Replay::resume(map)),
        None => {
            if reader.size() > 0 {
                tracing::warn!(origin = %charters.latest().origin, "the index is absent or does not agree with the log: rebuilding it");
            }
            index.wipe()?;
            (State::new(charters.clone()), Replay::default())
        }
    };
    // Signatures of what was verified before it was written are not verified again; those of an excepted entry are, since
    // it is excepted because it does not verify.
    let mut ring = match charters.has_exceptions() {
        true => ring_of(&state),
        false => KeyRing::default(),
    };
    let mut preparer = Preparer::after(&state, Trust::Reread);
    let total = reader.size();
    while replay.size(&state) < total {
        let first = replay.size(&state);
        let entries = reader.entries(first..total.min(first + CHUNK))?;
        let chunk = preparer.prepare(first, &entries, &mut ring);
        let mut batch: Option<IndexBatch> = None;
        replay.apply(&mut state, chunk, &mut |state, changes, commit, id, at| {
            let next = index_batch(&changes, commit, at + 1);
            match &mut batch {
                Some(b) => join_batches(b, next),
                None => batch = Some(next),
            }
            state.absorb(changes, commit, id, at);
        })?;
        if let Some(batch) = batch {
            index.write(batch)?;
        }
        progress(replay.size(&state), total);
    }
    if state.size() != total {
        return Err(Error::stop("log.commit", "the log does not end at a state.committed", "run «domovoi fsck»"));
    }
    Ok((state, replay))
}

/// The keys a state knows, for verifying what comes next.
pub fn ring_of(state: &State) -> KeyRing {
    let mut ring = KeyRing::default();
    for version in state.charters().versions() {
        version.root_keys.iter().for_each(|key| ring.add(key));
    }
    for (_, entry) in state.subjects() {
        if let Facts::Key(k) = &entry.facts {
            ring.add(&k.key.0);
        }
    }
    ring
}
