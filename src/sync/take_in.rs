//! Taking in what a peer served and a checkpoint proves: record by record, chunk by chunk, into mirror, state and index.

use std::collections::VecDeque;
use std::ops::Range;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

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
use crate::tlog::Hash;
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
    /// Entries of this range of a log of which the bundles from `stored` up to `size` are there.
    pub(super) fn entries(&self, (stored, size): (u64, u64), range: Range<u64>) -> Result<Entries> {
        let mut out = Entries::default();
        let overlaps = |b: &BundleId| b.index * 256 < range.end && (b.index + 1) * 256 > range.start;
        for id in bundles_between(stored, size).filter(overlaps) {
            out.push(self.read(id)?, id, &range)?;
        }
        Ok(out)
    }
    /// All of these, chunk by chunk.
    pub(super) fn chunks(&self, stored: u64, size: u64) -> impl Iterator<Item = Result<Hashed>> + Send {
        let steps = (stored..size).step_by(STEP as usize);
        // They were read again since they were hashed: the mirror hashes what it keeps.
        let hashed = |entries| Hashed { entries, leaves: Vec::new() };
        steps.map(move |at| self.entries((stored, size), at..size.min(at + STEP)).map(hashed))
    }
    /// Removes what is there.
    pub fn clear(&self) {
        // Leftovers are fetched again or overwritten; failing to remove them harms nothing.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Entries that are proved to be those of a signed head, and the hashes of their leaves where these are known already.
#[derive(Default)]
pub struct Hashed {
    pub(super) entries: Entries,
    /// One an entry, or none at all.
    pub(super) leaves: Vec<Hash>,
}

/// Entries verified and applied at a time: few enough that readers wait some tens of milliseconds at most.
pub(super) const STEP: u64 = 4096;
/// Entries made durable at a time where there are no readers: enough that few waits for the disk remain.
const KEEP: u64 = 16_384;
/// Bytes that are made durable however few entries they are.
const KEEP_BYTES: usize = 32 << 20;
/// Chunks that may be applied meanwhile: they are in memory.
const BEHIND: usize = 4;

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

/// Verifies the proved entries up to `size` record by record, chunk by chunk as they come: signatures of the next chunk while
/// the rules of the last one are applied. At the first bad entry the log stays at the commit before it.
pub(super) fn take_in<I: Index + Send>(
    view: &LogView,
    work: &mut Work<I>,
    chunks: impl Iterator<Item = Result<Hashed>> + Send,
    checkpoint: &VerifiedCheckpoint,
    readers: Readers,
) -> Result<()> {
    let size = checkpoint.checkpoint().size;
    // All of them were proved: that many there are.
    let missing = size.saturating_sub(view.state().size());
    view.state_mut().reserve(0, missing as usize);
    view.map_mut().reserve(missing as usize);
    replay(view, work, chunks, readers)?;
    if view.state().size() != size {
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
    charters.check_signer(charter, size, |key| checkpoint.note().verify(key).is_ok())?;
    work.mirror.publish(&published(view, checkpoint)?)
}

/// Applies all of it. Threads of their own, and not jobs of a pool: what holds or takes the view's locks must never be one. A
/// worker that waits for parts of one job takes up another; were that to wait for the locks of whoever waits for the first,
/// both would wait for ever.
fn replay<I: Index + Send>(
    view: &LogView,
    work: &mut Work<I>,
    chunks: impl Iterator<Item = Result<Hashed>> + Send,
    readers: Readers,
) -> Result<()> {
    let preparer = (view.state().size(), Preparer::after(&view.state(), Trust::Verify));
    let Work { mirror, index, ring } = work;
    let unkept = Unkept { from: mirror.reader().size(), chunks: VecDeque::new() };
    std::thread::scope(|scope| {
        // Two chunks wait while the next is verified and the last one applied: neither side waits for the other's slow ones.
        let (send, prepared) = sync_channel(2);
        scope.spawn(move || prepare(chunks, preparer, ring, &send));
        let (mut prepared, mut replay) = (prepared.into_iter(), Replay::default().beside_verifying());
        if readers == Readers::Present {
            let mut unkept = unkept;
            replay = replay.with_rows();
            return prepared.try_for_each(|chunk| {
                let (chunk, entries) = chunk?;
                unkept.chunks.push_back(entries);
                apply(view, Some((&mut *mirror, &mut unkept, &mut *index)), &mut replay, chunk)
            });
        }
        // Where the disk is slower, applying waits for it: what is applied and not kept is in memory.
        let (send, applied) = sync_channel(BEHIND);
        let keeper = scope.spawn(move || keep_behind(mirror, unkept, &applied));
        let result = prepared.try_for_each(|chunk| {
            let (chunk, entries) = chunk?;
            let applied = apply::<I>(view, None, &mut replay, chunk);
            // Also where an entry was refused: state and mirror end at the same commit.
            let keeps = send.send((entries, view.state().size()));
            applied.and(keeps.map_err(|_| Error::stop("store.broken", "the log is not kept", "look at the disk")))
        });
        drop(send);
        keeper.join().unwrap_or_else(|panic| resume_unwind(panic)).and(result)
    })
}

/// Verifies chunk after chunk and hands each over: up to the end or the first failure, or until nobody takes any more.
fn prepare(
    chunks: impl Iterator<Item = Result<Hashed>>,
    (mut at, mut preparer): (u64, Preparer),
    ring: &mut KeyRing,
    to: &SyncSender<Result<(PreparedChunk, Hashed)>>,
) {
    for chunk in chunks {
        let prepared = chunk.map(|hashed| {
            let mut verify = || preparer.prepare(at, &hashed.entries.all(), ring);
            let chunk = match &*VERIFIERS {
                Some(pool) => pool.install(verify),
                None => verify(),
            };
            at += hashed.entries.len() as u64;
            (chunk, hashed)
        });
        let failed = prepared.is_err();
        if to.send(prepared).is_err() || failed {
            return;
        }
    }
}

/// Entries that are not in the mirror yet: it takes them up to a commit.
struct Unkept {
    /// Index of the first entry of the first chunk.
    from: u64,
    chunks: VecDeque<Hashed>,
}

impl Unkept {
    /// Appends the entries up to `upto` to the mirror, durably.
    fn keep(&mut self, mirror: &mut MirrorStore, upto: u64) -> Result<()> {
        let kept = mirror.reader().size();
        if upto <= kept {
            return Ok(());
        }
        let (before, count) = ((kept - self.from) as usize, (upto - kept) as usize);
        let entries = self.chunks.iter().flat_map(|chunk| chunk.entries.iter());
        let new: Vec<&[u8]> = entries.skip(before).take(count).collect();
        match self.chunks.iter().all(|chunk| chunk.leaves.len() == chunk.entries.len()) {
            true => {
                let leaves = self.chunks.iter().flat_map(|chunk| &chunk.leaves).copied();
                let leaves: Vec<Hash> = leaves.skip(before).take(count).collect();
                let full = |index| self.chunks.iter().find_map(|chunk| chunk.entries.full_bundle(index));
                mirror.append_hashed(&new, &leaves, full)?;
            }
            false => mirror.append(&new)?,
        }
        while let Some(chunk) = self.chunks.pop_front_if(|chunk| self.from + chunk.entries.len() as u64 <= upto) {
            self.from += chunk.entries.len() as u64;
        }
        Ok(())
    }
}

/// Keeps what was applied up to each of these sizes, at least [`KEEP`] entries or [`KEEP_BYTES`] at a time, the rest at the end.
fn keep_behind(mirror: &mut MirrorStore, mut unkept: Unkept, applied: &Receiver<(Hashed, u64)>) -> Result<()> {
    let (mut kept, mut upto) = (unkept.from, unkept.from);
    for (entries, size) in applied {
        unkept.chunks.push_back(entries);
        upto = size;
        let bytes = || unkept.chunks.iter().map(|chunk| chunk.entries.bytes()).sum::<usize>();
        if upto - kept >= KEEP || bytes() >= KEEP_BYTES {
            unkept.keep(mirror, upto)?;
            kept = upto;
        }
    }
    unkept.keep(mirror, upto)
}

/// The peer's note as it is served on: without false lines under the names of those who may cosign.
pub(super) fn published(view: &LogView, checkpoint: &VerifiedCheckpoint) -> Result<String> {
    Roster::of(&view.charter(), &view.origin).without_false(checkpoint.note()).map(|note| note.to_string())
}

/// Applies a chunk; what is good becomes durable in mirror and index, where they are given, the former before anybody sees it.
fn apply<I: Index>(
    view: &LogView,
    keep: Option<(&mut MirrorStore, &mut Unkept, &mut I)>,
    replay: &mut Replay,
    chunk: PreparedChunk,
) -> Result<()> {
    let mut batch: Option<IndexBatch> = None;
    let indexed = keep.is_some();
    // The view has the map while nothing is applied. It is given back before anybody sees it.
    let (mut map, mut state) = (view.map_mut(), view.state_mut());
    std::mem::swap(&mut *map, &mut replay.map);
    let result = replay.apply(&mut state, chunk, &mut |state, mut changes, commit, id, at| {
        if indexed {
            let next = index_batch(&mut changes, commit, at + 1);
            match &mut batch {
                Some(b) => join_batches(b, next),
                None => batch = Some(next),
            }
        }
        state.absorb(changes, commit, id, at);
    });
    std::mem::swap(&mut *map, &mut replay.map);
    if let Some((mirror, unkept, index)) = keep {
        unkept.keep(mirror, state.size())?;
        drop((map, state));
        if let Some(batch) = batch {
            index.write(batch)?;
        }
    }
    result.map_err(|e| e.with_action(Action::Isolate))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tlog::hash::{leaf_hash, leaf_hashes};
    use crate::tlog::tile::encode_bundle;
    use crate::tlog::tree::Frontier;

    #[test]
    fn what_was_applied_is_kept_by_many_and_the_rest_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let size = KEEP + 4000;
        let all: Vec<Vec<u8>> = (0..size).map(|n| n.to_be_bytes().to_vec()).collect();
        let entries = |range: Range<u64>| {
            let mut out = Entries::default();
            for id in bundles_between(range.start, range.end) {
                let first = (id.index * 256) as usize;
                let bundle = encode_bundle(&all[first..first + usize::from(id.width)]).unwrap();
                out.push(bundle, id, &range).unwrap();
            }
            let leaves = out.iter().map(leaf_hash).collect();
            Hashed { entries: out, leaves }
        };
        let mut mirror = MirrorStore::open(&dir.path().join("log"), &[]).unwrap();
        let (send, applied) = sync_channel(8);
        // The second is the first that is worth a wait for the disk; a chunk without a commit changes nothing.
        let chunks = [
            (0..5200, 5000),
            (5200..KEEP + 900, KEEP + 700),
            (KEEP + 900..size - 1, KEEP + 700),
            (size - 1..size, size),
        ];
        chunks.into_iter().for_each(|(range, upto)| send.send((entries(range), upto)).unwrap());
        drop(send);
        keep_behind(&mut mirror, Unkept { from: 0, chunks: VecDeque::new() }, &applied).unwrap();
        let mut tree = Frontier::new();
        tree.extend(leaf_hashes(&all));
        assert_eq!(mirror.reader().head(), (size, tree.root()));
        // Partial bundles stay until a checkpoint is published, and tell where the mirror has ended meanwhile.
        let ended = |at: u64| dir.path().join(format!("log/tile/entries/{:03}.p/{}", at / 256, at % 256)).exists();
        assert_eq!([5000, KEEP + 700, size].map(ended), [false, true, true]);
    }

    #[test]
    fn a_bundle_is_written_as_it_came_only_where_all_of_it_was_proved() {
        let all: Vec<Vec<u8>> = (0..600u64).map(|n| n.to_be_bytes().to_vec()).collect();
        let bundle = |index: usize, entries: &[Vec<u8>]| {
            let id = BundleId { index: index as u64, width: (entries.len() - index * 256).min(256) as u16 };
            (encode_bundle(&entries[index * 256..][..id.width.into()]).unwrap(), id)
        };
        // A peer's bundle whose beginning, which is here already, is another.
        let mut other = all.clone();
        other[..10].fill(b"other".to_vec());
        let (wanted, everything) = (10..600, 0..u64::MAX);
        for (range, skipped) in [(&wanted, 0), (&everything, 10)] {
            let dir = tempfile::tempdir().unwrap();
            let mut mirror = MirrorStore::open(&dir.path().join("log"), &[]).unwrap();
            mirror.append(&all[..10]).unwrap();
            let mut entries = Entries::default();
            for (bytes, id) in [bundle(0, &other), bundle(1, &all), bundle(2, &all)] {
                entries.push(bytes, id, range).unwrap();
            }
            entries.skip(skipped);
            assert_eq!([0, 1, 2].map(|n| entries.full_bundle(n).is_some()), [false, true, false]);
            assert_eq!(entries.full_bundle(1), Some(&*bundle(1, &all).0));
            let leaves = entries.iter().map(leaf_hash).collect();
            let mut unkept = Unkept { from: 10, chunks: [Hashed { entries, leaves }].into() };
            // In two steps, so that the first full bundle is begun and then completed.
            unkept.keep(&mut mirror, 300).unwrap();
            unkept.keep(&mut mirror, 600).unwrap();
            for (index, name) in ["000", "001", "002.p/88"].into_iter().enumerate() {
                let written = std::fs::read(dir.path().join("log/tile/entries").join(name)).unwrap();
                assert_eq!(written, bundle(index, &all).0, "{name}");
            }
            let mut tree = Frontier::new();
            tree.extend(leaf_hashes(&all));
            assert_eq!(mirror.reader().head(), (600, tree.root()));
        }
    }

    #[test]
    fn large_entries_do_not_wait_in_memory_until_they_are_many() {
        let dir = tempfile::tempdir().unwrap();
        let mut mirror = MirrorStore::open(&dir.path().join("log"), &[]).unwrap();
        let (send, applied) = sync_channel(8);
        let bundle = encode_bundle(&vec![vec![b'x'; 60_000]; 100]).unwrap();
        let per_chunk = bundle.len();
        // Parts of one bundle, so that where the mirror ended can be seen.
        for n in 0..8 {
            let mut entries = Entries::default();
            let id = BundleId { index: n, width: 100 };
            entries.push(bundle.clone(), id, &(n * 256..n * 256 + 100)).unwrap();
            send.send((Hashed { entries, leaves: Vec::new() }, (n + 1) * 100)).unwrap();
        }
        drop(send);
        let before = KEEP_BYTES.div_ceil(per_chunk) as u64 * 100;
        keep_behind(&mut mirror, Unkept { from: 0, chunks: VecDeque::new() }, &applied).unwrap();
        let ended = |at: u64| dir.path().join(format!("log/tile/entries/{:03}.p/{}", at / 256, at % 256)).exists();
        assert!(before < 800 && ended(before) && !ended(before - 100), "{before}");
    }
}
