//! One round: fetch what is new in a peer's log, prove it, and hand it on.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use tokio::sync::mpsc::Sender;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinSet, spawn_blocking};

use super::client::Peer;
use super::take_in::{Hashed, Incoming};
use crate::error::{Action, Error, Result};
use crate::storage::log_store::{Entries, LogReader};
use crate::tlog::Hash;
use crate::tlog::checkpoint::{Checkpoint, VerifiedCheckpoint};
use crate::tlog::leaf_hash;
use crate::tlog::note::VerifierKey;
use crate::tlog::tile::{
    BundleId, LogPath, TILE_WIDTH, TileId, bundles_between, decode_bundle, decode_tile, encode_tile,
};
use crate::tlog::tree::{self, Grown, TileSource, consistency_proof, grow, root_over_bundles, subtree_root};

/// Entries of a full bundle, hashes of a full tile.
const WIDTH: u64 = TILE_WIDTH as u64;

/// Requests to one peer at a time.
pub const PARALLEL: usize = 8;

/// Most entries taken in one round; the next round goes on from there.
pub const MAX_ROUND: u64 = 4_000_000;

/// Fetches the peer's checkpoint and verifies its signature by one of these keys.
pub async fn checkpoint(peer: &Peer, keys: &[VerifierKey], origin: &str) -> Result<(VerifiedCheckpoint, Vec<u8>)> {
    let note = peer.log_file(LogPath::Checkpoint).await.map_err(|e| match e.code() {
        // A node that has just been set up has no checkpoint yet; that is not a damaged log.
        "peer.missing" => e.with_action(Action::Retry),
        _ => e,
    })?;
    open_checkpoint(&note, keys, origin).map(|verified| (verified, note))
}

/// Verifies a checkpoint's signature by one of these keys.
///
/// # Errors
/// Those of [`Checkpoint::open`]; `peer.charter` where there is no key.
pub fn open_checkpoint(note: &[u8], keys: &[VerifierKey], origin: &str) -> Result<VerifiedCheckpoint> {
    let mut refused =
        Error::refuse("peer.charter", "the charter names no key of this log", "pin the charter that does");
    for key in keys {
        match Checkpoint::open(note, key, origin) {
            Ok(verified) => return Ok(verified),
            Err(e) => refused = e,
        }
    }
    Err(refused.with_action(Action::Isolate))
}

/// Root of the first `size` entries of the peer's tree of `whole`, and the path that leads from there to the root of the
/// whole: read from its tiles, and as good as the comparison with a signed root.
///
/// # Errors
/// Those of the peer and of [`consistency_proof`].
pub async fn beginning(peer: &Peer, size: u64, whole: u64) -> Result<(Hash, Vec<Hash>)> {
    let mut tiles = Wanted { whole, have: HashMap::new(), next: Cell::new(None) };
    for _ in 0..MAX_TILES {
        let found = tree::root(&tiles, size).and_then(|root| Ok((root, consistency_proof(&tiles, size, whole)?)));
        let Some(id) = tiles.next.take() else { return found };
        let hashes = decode_tile(&peer.log_file(LogPath::Tile(id)).await?, id.width)?;
        tiles.have.insert((id.level, id.index), hashes);
    }
    Err(Error::stop("sync.task", "a path takes more tiles than any tree has", "report this as a defect"))
}

/// Tiles that two paths through a tree of any size go through: each level, on both sides, at both ends.
const MAX_TILES: usize = 64;

/// Tiles fetched so far, and the next one that is asked for.
struct Wanted {
    whole: u64,
    have: HashMap<(u8, u64), Vec<Hash>>,
    next: Cell<Option<TileId>>,
}

impl TileSource for Wanted {
    fn tile(&self, id: TileId) -> Result<Vec<Hash>> {
        if let Some(part) = self.have.get(&(id.level, id.index)).and_then(|h| h.get(..usize::from(id.width))) {
            return Ok(part.to_vec());
        }
        // As wide as the whole tree has it: what is asked for later may be wider.
        self.next.set(TileId::in_tree(id.level, id.index, self.whole));
        Err(Error::retry("peer.missing", format!("{} is not fetched yet", LogPath::Tile(id)), "fetch it"))
    }
}

/// Fetches the entries from `stored` up to `size` into `incoming`, at most [`PARALLEL`] bundles at a time, and gives
/// the hash of each leaf. What an earlier, interrupted round left in `incoming` is not fetched again.
pub async fn bundles(peer: &Peer, stored: u64, size: u64, incoming: &Incoming) -> Result<Vec<Hash>> {
    let mut wanted = bundles_between(stored, size);
    let mut leaves = vec![Hash::EMPTY_TREE; (size - stored) as usize];
    let mut running = JoinSet::new();
    loop {
        for id in wanted.by_ref().take(PARALLEL - running.len()) {
            running.spawn(bundle(peer.clone(), id, incoming.clone()));
        }
        let Some(done) = running.join_next().await else { return Ok(leaves) };
        let fetched = done.map_err(|e| Error::retry("peer.task", e.to_string(), "try again"))??;
        let Bundle { id, hashes, new } = fetched;
        // Here and not in the tasks: one that was given up may still run, and what it wrote would not be what was hashed.
        if let Some(bytes) = new {
            incoming.put(id, &bytes)?;
        }
        for (index, hash) in (id.index * WIDTH..).zip(hashes) {
            if let Some(place) = index.checked_sub(stored).and_then(|n| leaves.get_mut(n as usize)) {
                *place = hash;
            }
        }
    }
}

/// A bundle with the hashes of its leaves, and its bytes where it was not there.
struct Bundle {
    id: BundleId,
    hashes: Vec<Hash>,
    new: Option<Vec<u8>>,
}

/// Fetches one bundle, if it is not there, and hashes its leaves.
async fn bundle(peer: Peer, id: BundleId, incoming: Incoming) -> Result<Bundle> {
    let task = |e: JoinError| Error::retry("peer.task", e.to_string(), "try again");
    let left = spawn_blocking(move || incoming.left(id)).await.map_err(task)?;
    let (bytes, there) = match left {
        Some(bytes) => (bytes, true),
        None => (peer.log_file(LogPath::Bundle(id)).await?, false),
    };
    let hashed = spawn_blocking(move || {
        let entries = decode_bundle(&bytes, id.width);
        let entries = entries.map_err(|e| e.at(LogPath::Bundle(id)).with_action(Action::Isolate))?;
        let hashes = entries.into_iter().map(|entry| leaf_hash(&bytes[entry])).collect();
        Ok(Bundle { id, hashes, new: (!there).then_some(bytes) })
    });
    hashed.await.map_err(task)?
}

/// What the bundles of a log must hash to, from the first that is not stored in full on.
pub struct Proved {
    /// Index of that one.
    first: u64,
    /// How many of its entries are stored.
    held: usize,
    /// The root over the leaves of each.
    roots: Vec<Hash>,
}

/// Fetches what proves the bundles from `stored` up to `size`, the entries of `head`, before any of them: the peer's tiles of
/// level 1, which have a hash for each full bundle, and those of level 0 at both ends, where a bundle is not full, there or here.
/// With what is `stored` here they must have the root of the head. A peer whose log has grown since must give tiles as wide as
/// they were at the head.
///
/// # Errors
/// `peer.root` where they have another, or what is stored is no part of it or longer; those of the peer and of the files.
pub async fn proved(peer: &Peer, (reader, stored): (&LogReader, u64), head: &VerifiedCheckpoint) -> Result<Proved> {
    let wanted = head.checkpoint();
    if wanted.size < stored {
        return Err(not_the_root(wanted));
    }
    let (first, last) = (stored / WIDTH, wanted.size / WIDTH);
    let held = reader.leaves(first * WIDTH..stored)?;
    let level = (first / WIDTH..last.div_ceil(WIDTH)).filter(|_| first < last).map(|index| (1, index));
    let ends = (!held.is_empty() && first < last).then_some((0, first)).into_iter().chain([(0, last)]);
    let mut ids = level.chain(ends).filter_map(|(level, index)| TileId::in_tree(level, index, wanted.size));
    let (mut tiles, mut running) = (BTreeMap::new(), JoinSet::new());
    loop {
        for id in ids.by_ref().take(PARALLEL - running.len()) {
            let peer = peer.clone();
            running.spawn(async move { Ok::<_, Error>((id, peer.log_file(LogPath::Tile(id)).await?)) });
        }
        let Some(done) = running.join_next().await else { break };
        let (id, bytes) = done.map_err(|e| Error::retry("peer.task", e.to_string(), "try again"))??;
        let hashes = decode_tile(&bytes, id.width).map_err(|e| e.at(id).with_action(Action::Isolate))?;
        tiles.insert((id.level, id.index), hashes);
    }
    let bundles = tiles.range((1, 0)..).flat_map(|((_, index), hashes)| (index * WIDTH..).zip(hashes));
    let mut roots: Vec<Hash> = bundles.filter(|(bundle, _)| *bundle >= first).map(|(_, root)| *root).collect();
    roots.extend(tiles.get(&(0, last)).map(|leaves| subtree_root(leaves)));
    let begins = |leaves: &Vec<Hash>| roots.first() == Some(&subtree_root(leaves)) && leaves.starts_with(&held);
    if !tiles.get(&(0, first)).is_none_or(begins) || root_over_bundles(reader, first, &roots)? != wanted.root {
        return Err(not_the_root(wanted));
    }
    Ok(Proved { first, held: held.len(), roots })
}

/// Bytes of bundles that may wait for whoever takes them, however few they are. The longest bundle fits in.
pub const WAITING: usize = 32 << 20;

/// New entries of a bundle on their way, with their share of [`WAITING`], or why there are none.
pub type Arriving = Result<(Hashed, OwnedSemaphorePermit)>;

/// Fetches the bundles from `stored` up to `size` and hands the new entries over in their order, each bundle held against the
/// proved root over its leaves: until the first that is not as it should be, or until nobody takes any more.
pub async fn proved_bundles(peer: Peer, (stored, size): (u64, u64), proved: Arc<Proved>, to: Sender<Arriving>) {
    let mut wanted = bundles_between(stored, size);
    let (mut running, room) = (VecDeque::new(), Arc::new(Semaphore::new(WAITING)));
    loop {
        for id in wanted.by_ref().take(PARALLEL - running.len()) {
            running.push_back(tokio::spawn(proved_bundle(peer.clone(), id, proved.clone())));
        }
        let Some(next) = running.pop_front() else { return };
        let bundle = next.await.unwrap_or_else(|e| Err(Error::retry("peer.task", e.to_string(), "try again")));
        let arriving = match bundle {
            // Never closed, and no bundle is longer.
            Ok(bundle) => match room.clone().acquire_many_owned(bundle.entries.bytes().min(WAITING) as u32).await {
                Ok(share) => Ok((bundle, share)),
                Err(e) => Err(Error::retry("peer.task", e.to_string(), "try again")),
            },
            Err(e) => Err(e),
        };
        let failed = arriving.is_err();
        if to.send(arriving).await.is_err() || failed {
            return running.iter().for_each(tokio::task::JoinHandle::abort);
        }
    }
}

async fn proved_bundle(peer: Peer, id: BundleId, proved: Arc<Proved>) -> Result<Hashed> {
    let bytes = peer.log_file(LogPath::Bundle(id)).await?;
    let checked = spawn_blocking(move || {
        let mut entries = Entries::default();
        let pushed = entries.push(bytes, id, &(0..u64::MAX));
        pushed.map_err(|e| e.at(LogPath::Bundle(id)).with_action(Action::Isolate))?;
        let mut leaves: Vec<Hash> = entries.iter().map(leaf_hash).collect();
        let root = id.index.checked_sub(proved.first).and_then(|n| proved.roots.get(n as usize));
        if root != Some(&subtree_root(&leaves)) {
            return Err(Error::isolate(
                "peer.root",
                format!("{} does not hold the entries of the signed checkpoint", LogPath::Bundle(id)),
                "the peer's copy is damaged; its operator should run «domovoi fsck»",
            ));
        }
        if id.index == proved.first {
            entries.skip(proved.held);
            leaves.drain(..proved.held.min(leaves.len()));
        }
        Ok(Hashed { entries, leaves })
    });
    checked.await.map_err(|e| Error::retry("peer.task", e.to_string(), "try again"))?
}

/// Proves that the log of `size` entries with the new `leaves` has the checkpoint's root: nothing fetched was changed,
/// and the new tree begins with the one accepted before.
pub fn prove(tiles: &impl TileSource, stored: u64, leaves: &[Hash], checkpoint: &VerifiedCheckpoint) -> Result<Grown> {
    let grown = grow(tiles, stored, leaves)?;
    let wanted = checkpoint.checkpoint();
    if grown.size != wanted.size || grown.root != wanted.root {
        return Err(not_the_root(wanted));
    }
    Ok(grown)
}

fn not_the_root(wanted: &Checkpoint) -> Error {
    Error::isolate(
        "peer.root",
        format!(
            "{}: the entries up to {} do not have the root of the signed checkpoint, or do not extend what was accepted before",
            wanted.origin, wanted.size
        ),
        "the peer serves changed bytes or has forked; the evidence holds the checkpoint",
    )
}

/// Compares the hash tiles that the peer serves with those that follow from its entries.
pub async fn tiles(peer: &Peer, grown: &[(TileId, Vec<Hash>)]) -> Result<()> {
    for window in grown.chunks(PARALLEL) {
        let mut running = JoinSet::new();
        for (id, hashes) in window {
            let (peer, id, expected) = (peer.clone(), *id, encode_tile(hashes));
            running.spawn(async move {
                let served = peer.log_file(LogPath::Tile(id)).await?;
                if served == expected {
                    return Ok(());
                }
                let what = format!("{} does not hold the hashes of its entries", LogPath::Tile(id));
                Err(Error::isolate(
                    "peer.tile",
                    what,
                    "the peer's copy is damaged; its operator should run «domovoi fsck»",
                ))
            });
        }
        while let Some(done) = running.join_next().await {
            done.map_err(|e| Error::retry("peer.task", e.to_string(), "try again"))??;
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "round_tests.rs"]
mod tests;
