//! A log of this node's own, fetched from the nodes that keep copies of it: the whole of it into an empty directory, or the
//! tail that is missing in one that is behind. The peer's hash tiles are proved first, so that each bundle is held against
//! proved hashes when it comes, and is verified and kept at once; an interrupted run goes on where it stopped.

use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::mpsc::{Receiver, channel};

use super::client::Peer;
use super::own_head::Keeper;
use super::round::{self, Arriving};
use super::take_in::{Hashed, Readers, Work, take_in};
use crate::error::{Error, Result};
use crate::node::charters::read_chain;
use crate::node::layout::Layout;
use crate::node::load::{load, ring_of, write_hot};
use crate::node::log_view::{LogView, Role};
use crate::storage::durable::{create_dir, read_optional, remove, remove_all, write_atomic};
use crate::storage::fence::{Age, Fence};
use crate::storage::index::{Applied, Index, IndexBatch};
use crate::storage::log_store::{LogReader, open_by_any};
use crate::storage::mirror_store::MirrorStore;
use crate::tlog::checkpoint::VerifiedCheckpoint;
use crate::tlog::note::VerifierKey;
use crate::tlog::tree;

/// Keeps no rows: the state goes into the hot file at the end, and the index is filled from that at the next start.
struct Unindexed;

impl Index for Unindexed {
    fn applied(&self) -> Result<Option<Applied>> {
        Ok(None)
    }
    fn write(&mut self, _: IndexBatch) -> Result<()> {
        Ok(())
    }
    fn load(&self, _: &mut dyn FnMut(&[u8], &[u8])) -> Result<()> {
        Ok(())
    }
    fn commits(&self) -> Result<Vec<(u64, u64)>> {
        Ok(Vec::new())
    }
    fn wipe(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Entries verified and applied at a time. Nobody reads meanwhile, so they may be more than a follower's: at the end of each
/// chunk, one of those who verify waits for the other.
const CHUNK: u64 = 8192;
/// Bundles that wait to be verified: a chunk of them, if they are no larger than usual.
const BUNDLES: usize = 32;
/// Bytes after which a chunk is full, however few its entries: several chunks are in memory at a time. Usual entries fill a
/// fifth of it.
const CHUNK_BYTES: usize = 32 << 20;

/// The log while it is fetched. Nobody else works on the directory meanwhile.
pub struct Rebuild {
    layout: Layout,
    /// What has been taken in.
    pub view: Arc<LogView>,
    work: Arc<Mutex<Work<Unindexed>>>,
}

/// Sees how far a [`Rebuild`] is.
pub struct Watch(LogReader);

impl Watch {
    /// Entries fetched, verified and kept.
    pub fn kept(&self) -> u64 {
        self.0.size()
    }
}

/// Chunks of the proved entries, as their bundles arrive.
struct Chunks(Receiver<Arriving>);

impl Iterator for Chunks {
    type Item = Result<Hashed>;

    fn next(&mut self) -> Option<Result<Hashed>> {
        let mut chunk = Hashed::default();
        while (chunk.entries.len() as u64) < CHUNK && chunk.entries.bytes() < CHUNK_BYTES {
            match self.0.blocking_recv() {
                Some(Ok((bundle, _share))) => {
                    chunk.entries.append(bundle.entries);
                    chunk.leaves.extend(bundle.leaves);
                }
                Some(Err(e)) => return Some(Err(e)),
                None => break,
            }
        }
        (!chunk.entries.is_empty()).then_some(Ok(chunk))
    }
}

impl Rebuild {
    /// Opens what is there of the log `origin` under the charters in `layout`.
    ///
    /// # Errors
    /// Those of the charters, of a mirror, and of the log's replay.
    pub fn open(layout: &Layout, origin: &str, progress: &mut dyn FnMut(u64, u64)) -> Result<Rebuild> {
        let chain = read_chain(layout)?;
        let charters = chain.of_log(origin)?;
        let keys: Vec<&VerifierKey> = charters.versions().iter().rev().map(|j| &j.log_key).collect();
        if layout.log().join("checkpoint").exists() {
            // The published head is where a log goes on from; what a run before this one appended is fetched again.
            remove(&layout.private().join("head"))?;
        }
        let mirror = MirrorStore::open(&layout.log(), &keys)?;
        let (state, replay) = load(&mirror.reader(), &mut Unindexed, &charters, progress)?;
        let ring = ring_of(&state);
        let view = Arc::new(LogView::new(Role::Followed, chain, mirror.reader(), state, replay.map));
        Ok(Rebuild {
            view,
            work: Arc::new(Mutex::new(Work { mirror, index: Unindexed, ring })),
            layout: layout.clone(),
        })
    }

    /// To look how far it is.
    pub fn watch(&self) -> Watch {
        Watch(self.view.reader.clone())
    }

    /// Size of the checkpoint that is taken in as a whole.
    pub fn published(&self) -> u64 {
        self.view.reader.served()
    }

    /// Without what was taken in under a checkpoint that nobody has all entries of: back to the published one.
    ///
    /// # Errors
    /// Those of [`Rebuild::open`].
    pub fn anew(self, origin: &str) -> Result<Rebuild> {
        let layout = self.layout;
        drop((self.view, self.work));
        if !layout.log().join("checkpoint").exists() {
            remove_all(&layout.log())?;
            remove(&layout.private().join("head"))?;
        }
        Rebuild::open(&layout, origin, &mut |_, _| {})
    }

    /// Takes in what `peer` has up to `head`, which is verified already; everything is held against hashes that lead to its
    /// root, and verified record by record.
    ///
    /// # Errors
    /// Those of a round.
    pub async fn take(&self, peer: &Peer, head: &VerifiedCheckpoint) -> Result<()> {
        let stored = self.view.reader.size();
        let size = head.checkpoint().size;
        if size < stored || size > stored.saturating_add(round::MAX_ROUND) {
            return Err(Error::refuse(
                "restore.range",
                format!("a head of {size} entries; {stored} are here"),
                "at most 4 M entries are fetched at a time: restore from a backup first",
            ));
        }
        let proved = round::proved(peer, (&self.view.reader, stored), head).await?;
        let (send, arriving) = channel(BUNDLES);
        tokio::spawn(round::proved_bundles(peer.clone(), (stored, size), Arc::new(proved), send));
        let (view, work, head) = (self.view.clone(), self.work.clone(), head.clone());
        tokio::task::spawn_blocking(move || take_in(&view, &mut work.lock(), Chunks(arriving), &head, Readers::Absent))
            .await
            .map_err(|e| Error::retry("sync.task", e.to_string(), "try again"))?
    }

    /// [`Rebuild::take`] from the first of these that has it; every one that has not is named.
    ///
    /// # Errors
    /// `restore.entries` where none has.
    pub async fn take_from(&self, keepers: &[&Keeper], head: &VerifiedCheckpoint) -> Result<String> {
        let mut why = Vec::new();
        for keeper in keepers {
            match self.take(&keeper.peer, head).await {
                Ok(()) => return Ok(keeper.name.clone()),
                Err(e) => {
                    tracing::warn!(peer = %keeper.name, error = %e, "the log could not be taken from this copy");
                    why.push(format!("{}: {e}", keeper.name));
                }
            }
        }
        Err(Error::retry(
            "restore.entries",
            format!("nobody gave the entries up to size {}: {}", head.checkpoint().size, why.join("; ")),
            "ask more nodes that keep copies of this log",
        ))
    }

    /// True where the log contains this head.
    ///
    /// # Errors
    /// Those of the files.
    pub fn contains(&self, head: &VerifiedCheckpoint) -> Result<bool> {
        let head = head.checkpoint();
        Ok(head.size <= self.view.reader.size() && tree::root(&self.view.reader, head.size)? == head.root)
    }

    /// What is published must contain the fenced head, which may have been signed.
    fn require(&self, fence: &Fence) -> Result<()> {
        match fence.size {
            0 => Ok(()),
            _ => self.work.lock().mirror.require(fence.size, fence.root),
        }
    }

    /// Ends the work: what the node that writes the log needs at its next start is there, and nothing else. The fence says that
    /// later heads may have been signed.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn finish(self) -> Result<()> {
        let (size, root) = self.view.reader.head();
        create_dir(&self.layout.index())?;
        write_hot(&self.layout.hot(), &self.view.state())?;
        Fence { size, root, age: Age::Restored }.write(&self.layout.fence())?;
        // Freeing a large state takes a while, and nobody need wait for it.
        let view = self.view;
        let _ = std::thread::Builder::new().spawn(move || drop(view));
        match Arc::try_unwrap(self.work) {
            Ok(work) => work.into_inner().mirror.hand_over(),
            Err(_) => Err(Error::stop("sync.task", "the log is still worked on", "report this as a defect")),
        }
    }
}

/// Brings a log that is behind up to the longest of these heads that somebody has the entries of. Its fence is of unknown age
/// from now on: this directory did not know what its own key had signed. Gives the new size.
///
/// # Errors
/// `restore.entries` where nobody has what is missing; those of a round; `mirror.root` where what is fenced here is no part of it.
pub async fn roll_forward(
    layout: &Layout,
    origin: &str,
    ahead: &[(Keeper, VerifiedCheckpoint)],
    progress: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<u64> {
    let fence = Fence::read(&layout.fence())?.unwrap_or(Fence::EMPTY);
    let mut rebuild = Rebuild::open(layout, origin, progress)?;
    Fence { age: Age::Restored, ..fence }.write(&layout.fence())?;
    rebuild.require(&fence)?;
    let mut refused = Error::retry("restore.entries", "nobody has a longer log", "ask more nodes");
    for (_, head) in ahead {
        let holds = |(keeper, h): &&(Keeper, VerifiedCheckpoint)| {
            keeper.has_copy() && h.checkpoint().size >= head.checkpoint().size
        };
        if head.checkpoint().size < rebuild.view.reader.size() {
            rebuild = rebuild.anew(origin)?;
        }
        let holders: Vec<&Keeper> = ahead.iter().filter(holds).map(|(keeper, _)| keeper).collect();
        match rebuild.take_from(&holders, head).await {
            Ok(from) => {
                let size = rebuild.view.reader.size();
                tracing::info!(size, from, "the log was behind what its key had signed, and was brought up to it");
                rebuild.finish()?;
                return Ok(size);
            }
            Err(e) => refused = e,
        }
    }
    Err(refused)
}

/// The highest head of the own log that somebody showed and nobody had the entries of: kept, since whoever showed it may not
/// be there next time.
pub struct Ahead<'l>(pub &'l Layout);

impl Ahead<'_> {
    fn path(&self) -> std::path::PathBuf {
        self.0.private().join("ahead")
    }
    /// The head, if its signature is by one of these keys.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn read(&self, keys: &[&VerifierKey]) -> Result<Option<VerifiedCheckpoint>> {
        let path = self.path();
        let note = read_optional(&path, super::client::limit::CHECKPOINT as u64)?;
        Ok(note.and_then(|note| open_by_any(&note, keys).ok()))
    }
    /// Keeps it.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn keep(&self, head: &VerifiedCheckpoint) -> Result<()> {
        create_dir(&self.0.private())?;
        write_atomic(&self.path(), head.note_text().as_bytes())
    }
}

/// Marks a directory in which a restore has begun and not ended.
pub fn marker(data: &Path) -> std::path::PathBuf {
    data.join("restoring")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::log_store::Entries;
    use crate::tlog::tile::{BundleId, encode_bundle};

    #[test]
    fn a_chunk_is_full_by_entries_or_by_bytes() {
        let sizes = |length: usize, bundles: u64| {
            let (send, arriving) = channel(bundles as usize);
            for index in 0..bundles {
                let bundle = encode_bundle(&vec![vec![b'x'; length]; 256]).unwrap();
                let mut entries = Entries::default();
                entries.push(bundle, BundleId { index, width: 256 }, &(0..u64::MAX)).unwrap();
                let share = Arc::new(tokio::sync::Semaphore::new(1)).try_acquire_owned().unwrap();
                send.try_send(Ok((Hashed { entries, leaves: Vec::new() }, share))).unwrap();
            }
            drop(send);
            Chunks(arriving).map(|chunk| chunk.unwrap().entries.len() as u64).collect::<Vec<_>>()
        };
        assert_eq!(sizes(1, 40), [CHUNK, 8 * 256]);
        // Three bundles of 15 MB are more than 32 MiB.
        assert_eq!(sizes(60_000, 4), [3 * 256, 256]);
    }
}
