//! Taking in what a peer served and a checkpoint proves: record by record, chunk by chunk, into mirror, state and index.

use std::ops::Range;
use std::panic::resume_unwind;
use std::path::PathBuf;

use crate::error::{Action, Error, Result};
use crate::federation::roster::Roster;
use crate::node::load::{index_batch, join_batches};
use crate::node::log_view::LogView;
use crate::registry::replay::{PreparedChunk, Preparer, Replay, Trust};
use crate::registry::verify::KeyRing;
use crate::storage::durable::read_bounded;
use crate::storage::index::{Index, IndexBatch, SledIndex};
use crate::storage::log_store::Entries;
use crate::storage::mirror_store::MirrorStore;
use crate::tlog::checkpoint::VerifiedCheckpoint;
use crate::tlog::tile::{BundleId, bundles_between, decode_bundle};

/// Bundles fetched and not yet part of the mirror, as files, so that an interrupted round goes on where it stopped.
/// They prove nothing by themselves: all are hashed against the checkpoint in every round.
#[derive(Clone)]
pub struct Incoming(PathBuf);

impl Incoming {
    /// Below this folder, which is made where something is kept.
    pub fn new(folder: PathBuf) -> Incoming {
        Incoming(folder)
    }
    /// Bundles that are there.
    pub fn count(&self) -> u64 {
        std::fs::read_dir(&self.0).map_or(0, |names| names.count() as u64)
    }
    /// True where something is left of an earlier round.
    pub(super) fn exists(&self) -> bool {
        self.0.exists()
    }
    fn path(&self, id: BundleId) -> PathBuf {
        self.0.join(format!("{}-{}", id.index, id.width))
    }
    /// True where the bundle is there whole: after a power cut, a file of that name may hold anything.
    pub fn has(&self, id: BundleId) -> bool {
        self.read(id).is_ok_and(|bytes| decode_bundle(&bytes, id.width).is_ok())
    }
    /// Keeps a bundle. Not durable: losing it costs a request.
    pub fn put(&self, id: BundleId, bytes: &[u8]) -> Result<()> {
        let io = |e: std::io::Error| {
            Error::retry("mirror.incoming", format!("{}: {e}", self.0.display()), "make room on the disk")
        };
        std::fs::create_dir_all(&self.0).map_err(io)?;
        let temp = self.0.join(format!(".{}", id.index));
        std::fs::write(&temp, bytes).map_err(io)?;
        std::fs::rename(&temp, self.path(id)).map_err(io)
    }
    /// Reads a bundle back.
    pub fn read(&self, id: BundleId) -> Result<Vec<u8>> {
        read_bounded(&self.path(id), super::client::limit::BUNDLE as u64)
    }
    /// Removes what is there.
    pub fn clear(&self) {
        // Leftovers are fetched again or overwritten; failing to remove them harms nothing.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Entries verified and applied at a time: few enough that readers wait some tens of milliseconds at most.
const STEP: u64 = 4096;

/// What only the round in progress may touch.
pub(super) struct Work<I = SledIndex> {
    pub(super) mirror: MirrorStore,
    pub(super) index: I,
    pub(super) ring: KeyRing,
}

/// Whether anybody sees the log while it is taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Readers {
    /// A chunk's good commits become durable while the state is locked, so nothing is visible that is not durable.
    Present,
    /// They become durable while the next chunk is applied.
    Absent,
}

/// What one round has fetched and proved: the entries in `incoming` from `stored` up to `size`.
#[derive(Clone, Copy)]
pub(super) struct Fetched<'i> {
    pub(super) incoming: &'i Incoming,
    pub(super) stored: u64,
    pub(super) size: u64,
}

/// Verifies the proved entries record by record, chunk by chunk: signatures of the next chunk while the rules of the last
/// one are applied. At the first bad entry the log stays at the commit before it.
pub(super) fn take_in<I: Index + Send>(
    view: &LogView,
    work: &mut Work<I>,
    fetched: Fetched<'_>,
    checkpoint: &VerifiedCheckpoint,
    readers: Readers,
) -> Result<()> {
    let mut kept = fetched.stored;
    let replayed = replay(view, work, fetched, readers, &mut kept);
    if readers == Readers::Absent {
        // Also where an entry was refused: state and mirror end at the same commit.
        fetched.keep(&mut work.mirror, kept..view.state().size())?;
    }
    replayed?;
    if view.state().size() != fetched.size {
        return Err(Error::isolate(
            "commit.missing",
            "the checkpoint does not end at a state.committed",
            "the log's node is broken",
        ));
    }
    // Which charter is in force at its end is known only now: a key that an earlier one named signs nothing any more.
    let (charters, charter) = {
        let state = view.state();
        (state.charters().clone(), state.charter())
    };
    charters.check_signer(charter, fetched.size, |key| checkpoint.note().verify(key).is_ok())?;
    work.mirror.publish(&published(view, checkpoint)?)?;
    fetched.incoming.clear();
    Ok(())
}

/// Applies all of it. `kept` is how far the mirror has it, where nobody sees the log.
fn replay<I: Index + Send>(
    view: &LogView,
    work: &mut Work<I>,
    fetched: Fetched<'_>,
    readers: Readers,
    kept: &mut u64,
) -> Result<()> {
    let mut preparer = Preparer::after(&view.state(), Trust::Verify);
    let Work { mirror, index, ring } = work;
    let mut replay = Replay::default();
    let mut ready: Option<PreparedChunk> = None;
    let mut at = fetched.stored;
    loop {
        let upto = fetched.size.min(at + STEP);
        let current = ready.take();
        let prepared = || -> Result<Option<PreparedChunk>> {
            let entries = fetched.read(at..upto)?;
            Ok((!entries.is_empty()).then(|| preparer.prepare(at, &entries.all(), ring)))
        };
        let applied_to = view.state().size();
        let unkept = *kept..applied_to;
        let (now, behind) = match readers {
            Readers::Present => (Some(&mut *mirror), None),
            Readers::Absent => (None, Some(&mut *mirror)),
        };
        // A thread of its own, and not `rayon::join`: what holds or takes the view's locks must never be a job of the pool.
        // A worker that waits for parts of one job takes up another; were that to wait for the locks of whoever waits for
        // the first, both would wait for ever.
        let (next, keeping, applied) = std::thread::scope(|scope| {
            let next = scope.spawn(prepared);
            let keeping = behind.map(|mirror| scope.spawn(move || fetched.keep(mirror, unkept)));
            let applied = current.map_or(Ok(()), |chunk| apply(view, now, index, &mut replay, chunk, fetched));
            let next = next.join().unwrap_or_else(|panic| resume_unwind(panic));
            (next, keeping.map_or(Ok(()), |t| t.join().unwrap_or_else(|panic| resume_unwind(panic))), applied)
        });
        keeping?;
        *kept = applied_to;
        applied?;
        ready = next?;
        if ready.is_none() {
            return Ok(());
        }
        at = upto;
    }
}

/// The peer's note as it is served on: without false lines under the names of those who may cosign.
pub(super) fn published(view: &LogView, checkpoint: &VerifiedCheckpoint) -> Result<String> {
    Roster::of(&view.charter(), &view.origin).without_false(checkpoint.note()).map(|note| note.to_string())
}

/// Applies a chunk; with a mirror, what is good becomes durable there before anybody sees it.
fn apply(
    view: &LogView,
    mirror: Option<&mut MirrorStore>,
    index: &mut impl Index,
    replay: &mut Replay,
    chunk: PreparedChunk,
    fetched: Fetched<'_>,
) -> Result<()> {
    let mut batch: Option<IndexBatch> = None;
    let result = {
        // The view has the map while nothing is applied. It is given back before anybody sees it.
        let (mut map, mut state) = (view.map_mut(), view.state_mut());
        std::mem::swap(&mut *map, &mut replay.map);
        let before = state.size();
        let result = replay.apply(&mut state, chunk, &mut |state, changes, commit, id, at| {
            let next = index_batch(&changes, commit, at + 1);
            match &mut batch {
                Some(b) => join_batches(b, next),
                None => batch = Some(next),
            }
            state.absorb(changes, commit, id, at);
        });
        std::mem::swap(&mut *map, &mut replay.map);
        if let Some(mirror) = mirror {
            fetched.keep(mirror, before..state.size())?;
        }
        result
    };
    if let Some(batch) = batch {
        index.write(batch)?;
    }
    result.map_err(|e| e.with_action(Action::Isolate))
}

impl Fetched<'_> {
    /// Entries of this range out of the bundles.
    pub(super) fn read(&self, range: Range<u64>) -> Result<Entries> {
        let mut out = Entries::default();
        let overlaps = |b: &BundleId| b.index * 256 < range.end && (b.index + 1) * 256 > range.start;
        for id in bundles_between(self.stored, self.size).filter(overlaps) {
            out.push(self.incoming.read(id)?, id, &range)?;
        }
        Ok(out)
    }

    /// Appends entries that were applied to the mirror, durably.
    fn keep(&self, mirror: &mut MirrorStore, range: Range<u64>) -> Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        mirror.append(self.read(range)?.iter().map(<[u8]>::to_vec).collect())
    }
}
