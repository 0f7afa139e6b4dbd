//! Taking in what a peer served and a checkpoint proves: record by record, chunk by chunk, into mirror, state and index.

use std::ops::Range;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};

use rayon::{ThreadPool, ThreadPoolBuilder};

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
    /// The bundle, where it is there whole: after a stop, a file of that name may hold anything.
    pub(super) fn left(&self, id: BundleId) -> Option<Vec<u8>> {
        self.read(id).ok().filter(|bytes| decode_bundle(bytes, id.width).is_ok())
    }
    /// Keeps a bundle. Not durable, nor whole at once: losing it costs a request.
    pub fn put(&self, id: BundleId, bytes: &[u8]) -> Result<()> {
        let io = |e: std::io::Error| {
            Error::retry("mirror.incoming", format!("{}: {e}", self.0.display()), "make room on the disk")
        };
        std::fs::create_dir_all(&self.0).map_err(io)?;
        std::fs::write(self.path(id), bytes).map_err(io)
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
/// Entries made durable at a time where there are no readers: enough that few waits for the disk remain.
const KEEP: u64 = 16_384;

/// Where signatures of others' records are verified. Not in the common pool: whoever applies a chunk, holding the state,
/// waits there for small jobs of its own, which would stand behind all the signatures of the next chunk. `None` where no
/// threads can be had; the common pool does it then.
static VERIFIERS: LazyLock<Option<ThreadPool>> =
    LazyLock::new(|| ThreadPoolBuilder::new().thread_name(|n| format!("verify-{n}")).build().ok());

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
    /// They become durable while the next chunks are applied, and no index is written.
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
    replay(view, work, fetched, readers)?;
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

/// Applies all of it. Threads of their own, and not jobs of a pool: what holds or takes the view's locks must never be one. A
/// worker that waits for parts of one job takes up another; were that to wait for the locks of whoever waits for the first,
/// both would wait for ever.
fn replay<I: Index + Send>(view: &LogView, work: &mut Work<I>, fetched: Fetched<'_>, readers: Readers) -> Result<()> {
    let preparer = Preparer::after(&view.state(), Trust::Verify);
    let Work { mirror, index, ring } = work;
    // All of them were fetched: that many there are.
    let missing = (fetched.size - fetched.stored) as usize;
    view.state_mut().reserve(0, missing);
    view.map_mut().reserve(missing);
    std::thread::scope(|scope| {
        // One chunk waits while the next is verified and the last one applied.
        let (send, chunks) = sync_channel(1);
        scope.spawn(move || fetched.prepare(preparer, ring, &send));
        let (mut chunks, mut replay) = (chunks.into_iter(), Replay::default());
        if readers == Readers::Present {
            return chunks
                .try_for_each(|chunk| apply(view, Some((&mut *mirror, &mut *index)), &mut replay, chunk?, fetched));
        }
        let (send, applied) = channel();
        let keeper = scope.spawn(move || fetched.keep_behind(mirror, &applied));
        let result = chunks.try_for_each(|chunk| {
            let applied = apply::<I>(view, None, &mut replay, chunk?, fetched);
            // Also where an entry was refused: state and mirror end at the same commit.
            let keeps = send.send(view.state().size());
            applied.and(keeps.map_err(|_| Error::stop("store.broken", "the log is not kept", "look at the disk")))
        });
        drop(send);
        keeper.join().unwrap_or_else(|panic| resume_unwind(panic)).and(result)
    })
}

/// The peer's note as it is served on: without false lines under the names of those who may cosign.
pub(super) fn published(view: &LogView, checkpoint: &VerifiedCheckpoint) -> Result<String> {
    Roster::of(&view.charter(), &view.origin).without_false(checkpoint.note()).map(|note| note.to_string())
}

/// Applies a chunk; what is good becomes durable in mirror and index, where they are given, the former before anybody sees it.
fn apply<I: Index>(
    view: &LogView,
    keep: Option<(&mut MirrorStore, &mut I)>,
    replay: &mut Replay,
    chunk: PreparedChunk,
    fetched: Fetched<'_>,
) -> Result<()> {
    let mut batch: Option<IndexBatch> = None;
    let (mirror, index) = keep.unzip();
    let result = {
        // The view has the map while nothing is applied. It is given back before anybody sees it.
        let (mut map, mut state) = (view.map_mut(), view.state_mut());
        std::mem::swap(&mut *map, &mut replay.map);
        let before = state.size();
        let result = replay.apply(&mut state, chunk, &mut |state, changes, commit, id, at| {
            if index.is_some() {
                let next = index_batch(&changes, commit, at + 1);
                match &mut batch {
                    Some(b) => join_batches(b, next),
                    None => batch = Some(next),
                }
            }
            state.absorb(changes, commit, id, at);
        });
        std::mem::swap(&mut *map, &mut replay.map);
        if let Some(mirror) = mirror {
            fetched.keep(mirror, before..state.size())?;
        }
        result
    };
    if let (Some(index), Some(batch)) = (index, batch) {
        index.write(batch)?;
    }
    result.map_err(|e| e.with_action(Action::Isolate))
}

impl Fetched<'_> {
    /// Verifies chunk after chunk and hands each over: up to the end or the first failure, or until nobody takes any more.
    fn prepare(&self, mut preparer: Preparer, ring: &mut KeyRing, to: &SyncSender<Result<PreparedChunk>>) {
        let mut at = self.stored;
        while at < self.size {
            let upto = self.size.min(at + STEP);
            let chunk = self.read(at..upto).map(|entries| {
                let mut verify = || preparer.prepare(at, &entries.all(), ring);
                match &*VERIFIERS {
                    Some(pool) => pool.install(verify),
                    None => verify(),
                }
            });
            let failed = chunk.is_err();
            if to.send(chunk).is_err() || failed {
                return;
            }
            at = upto;
        }
    }

    /// Makes what was applied up to each of these sizes durable, at least [`KEEP`] entries at a time, the rest at the end.
    fn keep_behind(&self, mirror: &mut MirrorStore, applied: &Receiver<u64>) -> Result<()> {
        let (mut kept, mut upto) = (self.stored, self.stored);
        for size in applied {
            upto = size;
            if upto - kept >= KEEP {
                self.keep(mirror, kept..upto)?;
                kept = upto;
            }
        }
        self.keep(mirror, kept..upto)
    }

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
        mirror.append(&self.read(range)?.all())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tlog::hash::leaf_hashes;
    use crate::tlog::tile::encode_bundle;
    use crate::tlog::tree::Frontier;

    #[test]
    fn what_was_applied_is_kept_by_many_and_the_rest_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let incoming = Incoming::new(dir.path().join("incoming"));
        let size = KEEP + 4000;
        let entries: Vec<Vec<u8>> = (0..size).map(|n| n.to_be_bytes().to_vec()).collect();
        for id in bundles_between(0, size) {
            let first = (id.index * 256) as usize;
            incoming.put(id, &encode_bundle(&entries[first..first + usize::from(id.width)]).unwrap()).unwrap();
        }
        let mut mirror = MirrorStore::open(&dir.path().join("log"), &[]).unwrap();
        let (send, applied) = channel();
        // The second is the first that is worth a wait for the disk; a chunk without a commit changes nothing.
        [5000, KEEP + 700, KEEP + 700, size].into_iter().for_each(|upto| send.send(upto).unwrap());
        drop(send);
        let fetched = Fetched { incoming: &incoming, stored: 0, size };
        fetched.keep_behind(&mut mirror, &applied).unwrap();
        let mut tree = Frontier::new();
        tree.extend(leaf_hashes(&entries));
        assert_eq!(mirror.reader().head(), (size, tree.root()));
        // Partial bundles stay until a checkpoint is published, and tell where the mirror has ended meanwhile.
        let ended = |at: u64| dir.path().join(format!("log/tile/entries/{:03}.p/{}", at / 256, at % 256)).exists();
        assert_eq!([5000, KEEP + 700, size].map(ended), [false, true, true]);
    }
}
