//! From disk to hot state: the hot file where the last stop was a clean one, else the index, and the log where that is
//! behind, absent or wrong.
//!
//! Hot file and index are believed only after the map rebuilt from their rows has the root that the log committed at that
//! size. If not, the index is emptied and everything is replayed from the log; the state is the same either way.

use std::io::Write;
use std::path::Path;
use std::sync::mpsc::sync_channel;

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::registry::facts::{Facts, leaf_value};
use crate::registry::ids::RecordId;
use crate::registry::jurisdiction::Charters;
use crate::registry::node_record::{Commit, DecodedNodeRecord, NodeRecord};
use crate::registry::record::Subject;
use crate::registry::replay::{Preparer, Replay, Trust};
use crate::registry::row::{push_row, split_row};
use crate::registry::state::{Changes, Entry, Head, State};
use crate::registry::statemap::{Bytes32, StateMap, map_key};
use crate::registry::verify::KeyRing;
use crate::storage::hot::{self, Block, Reading};
use crate::storage::index::{Applied, Index, IndexBatch};
use crate::storage::log_store::LogReader;

/// Entries read from the log at a time.
pub const CHUNK: u64 = 16_384;

/// Rows of the index taken apart at a time.
const ROWS: usize = 8192;
/// Rows of a block of the hot file, and blocks taken apart at a time.
const BLOCK_ROWS: usize = 1024;
const BLOCKS: u64 = 16;
/// Bytes of most rows.
const ROW: usize = 768;

/// Reports (done, total) entries.
pub type Progress<'p> = dyn FnMut(u64, u64) + 'p;

/// What the index must be told about a batch.
pub fn index_batch(changes: &mut Changes, commit: &Commit, size: u64) -> IndexBatch {
    IndexBatch {
        applied: Applied { size, time_ms: commit.time.get(), root: commit.root.0 },
        rows: changes.take_rows().into_iter().map(|(name, row)| (name.into_bytes(), row)).collect(),
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
        _ => Err(wrong()),
    }
}

/// A row taken apart: the subject with its facts and history, and its leaf of the state map.
type Restored = (Subject, Entry, (Bytes32, Bytes32));

/// The leaf is the hash of the facts as they are stored: a root that agrees then says that they are the signed ones.
fn restored(key: &[u8], row: &[u8]) -> Option<Restored> {
    let name = std::str::from_utf8(key).ok()?;
    let (history, facts) = split_row(row).ok()?;
    let entry = Entry { facts: Facts::decode(facts).ok()?, history };
    Some((name.parse().ok()?, entry, (map_key(name), leaf_value(facts))))
}

/// State and leaves of its map while rows are read back.
struct Loading {
    state: State,
    leaves: Vec<(Bytes32, Bytes32)>,
}

impl Loading {
    fn new(charters: &Charters) -> Loading {
        Loading { state: State::new(charters.clone()), leaves: Vec::new() }
    }
    fn take(&mut self, rows: Vec<Restored>) {
        for (subject, entry, leaf) in rows {
            self.state.restore_entry(subject, entry);
            self.leaves.push(leaf);
        }
    }
    /// State and map, if the log's own commit at `applied` agrees.
    fn finish(
        self,
        reader: &LogReader,
        applied: Applied,
        commits: Vec<(u64, u64)>,
    ) -> Result<Option<(State, StateMap)>> {
        let Loading { mut state, mut leaves } = self;
        let (commit, id) = commit_at(reader, applied.size)?;
        // What was stored may count an entry that a newer charter makes a no-op; the root of that commit cannot tell.
        let charters = state.charters();
        if !charters.knows(commit.charter) || charters.is_unattested(applied.size - 1, commit.charter) {
            return Ok(None);
        }
        leaves.par_extend(state.link_leaves().into_par_iter().map(|(name, value)| (map_key(&name), value)));
        let mut map: StateMap = leaves.into_iter().collect();
        if map.root() != commit.root.0 || commit.root.0 != applied.root {
            return Ok(None);
        }
        let head = Head { index: applied.size - 1, id, time: commit.time.get(), root: commit.root.0 };
        state.restore_head(head, commits, commit.charter);
        Ok(Some((state, map)))
    }
}

/// State and map as the index has them, if the log's own commit agrees.
fn from_index(reader: &LogReader, index: &impl Index, charters: &Charters) -> Result<Option<(State, StateMap)>> {
    let Some(applied) = index.applied()? else { return Ok(None) };
    if applied.size == 0 || applied.size > reader.size() {
        return Ok(None);
    }
    let mut loading = Loading::new(charters);
    let (mut intact, mut read) = (true, Vec::with_capacity(ROWS));
    let mut take = |read: &mut Vec<(Vec<u8>, Vec<u8>)>| {
        let rows: Option<Vec<Restored>> = read.par_iter().map(|(key, row)| restored(key, row)).collect();
        read.clear();
        rows.map(|rows| loading.take(rows)).is_some()
    };
    index.load(&mut |key, row| {
        read.push((key.to_vec(), row.to_vec()));
        if read.len() == ROWS {
            intact &= take(&mut read);
        }
    })?;
    intact &= take(&mut read);
    if !intact {
        return Ok(None);
    }
    loading.finish(reader, applied, index.commits()?)
}

/// State and map as the hot file `path` has them: only where it is of the log's last commit.
///
/// Errors: those of the log. What is wrong with the hot file is no error: the index is there.
pub fn from_hot(path: &Path, reader: &LogReader, charters: &Charters) -> Result<Option<(State, Replay)>> {
    let Some(mut reading) = Reading::open(path).filter(|r| r.head.applied.size == reader.size()) else {
        return Ok(None);
    };
    let mut loading = Loading::new(charters);
    // No more than the log can have, whatever a file says.
    let most = |n: u64| n.min(reader.size()) as usize;
    loading.state.reserve(most(reading.head.rows), most(reading.head.records));
    loading.leaves.reserve(2 * most(reading.head.rows));
    let decode = |blocks: Vec<Block>| -> Option<Vec<Vec<Restored>>> {
        let rows = |block: Block| block.rows()?.into_iter().map(|(key, row)| restored(key, row)).collect();
        blocks.into_par_iter().map(rows).collect()
    };
    let mut ready: Vec<Vec<Restored>> = Vec::new();
    loop {
        let Some(blocks) = reading.next(BLOCKS) else { return Ok(None) };
        let last = blocks.is_empty();
        let (decoded, ()) = rayon::join(|| decode(blocks), || ready.drain(..).for_each(|rows| loading.take(rows)));
        match decoded {
            None => return Ok(None),
            Some(_) if last => break,
            Some(rows) => ready = rows,
        }
    }
    let (applied, commits) = (reading.head.applied, std::mem::take(&mut reading.head.commits));
    Ok(loading.finish(reader, applied, commits)?.map(|(state, map)| (state, Replay::resume(map))))
}

/// Writes the hot file `path` of `state`, unless it is there already.
///
/// Errors: `disk.write`.
pub fn write_hot(path: &Path, state: &State) -> Result<()> {
    let Some(head) = state.head() else { return Ok(()) };
    let applied = Applied { size: state.size(), time_ms: head.time, root: head.root };
    if Reading::open(path).is_some_and(|r| r.head.applied == applied) {
        return Ok(());
    }
    let entries: Vec<(&Subject, &Entry)> = state.subjects().collect();
    let records = entries.iter().map(|(_, e)| e.history.len() as u64).sum();
    let head = hot::Head { applied, rows: entries.len() as u64, records, commits: state.commits().to_vec() };
    let block = |entries: &[(&Subject, &Entry)]| {
        let mut payload = Vec::with_capacity(entries.len() * ROW);
        for (subject, entry) in entries {
            // Writing to memory has no way to fail.
            let key = |out: &mut Vec<u8>| drop(write!(out, "{subject}"));
            hot::push_row(&mut payload, key, |out| _ = push_row(out, entry));
        }
        Block::of(payload)
    };
    let blocks = entries.len().div_ceil(BLOCK_ROWS) as u64;
    // As in fsck: a job of the pool makes the next ones while this thread writes the last; there is no thread to be had or not.
    rayon::in_place_scope(|scope| {
        let (send, made) = sync_channel(BLOCKS as usize);
        scope.spawn(move |_| {
            let waves = entries.chunks(BLOCK_ROWS * BLOCKS as usize);
            let mut made = waves.flat_map(|wave| wave.par_chunks(BLOCK_ROWS).map(block).collect::<Vec<_>>());
            // Whoever writes has given up: there is nobody to tell.
            let _ = made.try_for_each(|block| send.send(block));
        });
        hot::write(path, &head, blocks, made.into_iter())
    })
}

/// Brings an index that was not read to where the hot file `path` is, from which the state was loaded: nothing to do where
/// it stands there already.
///
/// Errors: those of the index; `index.hot` where the hot file has gone since.
pub fn follow_hot(path: &Path, index: &mut impl Index) -> Result<()> {
    let gone = || Error::retry("index.hot", "the hot file cannot be read any more", "run «domovoi reindex»");
    let mut reading = Reading::open(path).ok_or_else(gone)?;
    let applied = reading.head.applied;
    if index.applied().is_ok_and(|a| a == Some(applied)) {
        return Ok(());
    }
    tracing::warn!("the index does not stand where the state does: filling it anew");
    index.wipe()?;
    let mut batch = IndexBatch { applied, rows: Vec::new(), commits: std::mem::take(&mut reading.head.commits) };
    loop {
        let blocks = reading.next(BLOCKS).ok_or_else(gone)?;
        if blocks.is_empty() {
            return index.write(batch);
        }
        // Not applied before the last row is in: a stop in between leaves an index that is not believed.
        let unfinished = Applied { size: 0, ..applied };
        let before = IndexBatch { applied: unfinished, rows: std::mem::take(&mut batch.rows), commits: Vec::new() };
        if !before.rows.is_empty() {
            index.write(before)?;
        }
        for block in &blocks {
            let rows = block.rows().ok_or_else(gone)?;
            batch.rows.extend(rows.into_iter().map(|(key, row)| (key.to_vec(), row.to_vec())));
        }
    }
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
    replay = replay.with_rows();
    let mut preparer = Preparer::after(&state, Trust::Reread);
    let total = reader.size();
    while replay.size(&state) < total {
        let first = replay.size(&state);
        let entries = reader.entries(first..total.min(first + CHUNK))?;
        let chunk = preparer.prepare(first, &entries.all(), &mut ring);
        let mut batch: Option<IndexBatch> = None;
        replay.apply(&mut state, chunk, &mut |state, mut changes, commit, id, at| {
            let next = index_batch(&mut changes, commit, at + 1);
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
