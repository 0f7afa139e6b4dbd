//! One round: fetch what is new in a peer's log, prove it, and hand it on.

use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use tokio::sync::mpsc::Sender;
use tokio::task::{JoinError, JoinSet, spawn_blocking};

use super::client::Peer;
use super::take_in::Incoming;
use crate::error::{Action, Error, Result};
use crate::tlog::Hash;
use crate::tlog::checkpoint::{Checkpoint, VerifiedCheckpoint};
use crate::tlog::leaf_hash;
use crate::tlog::note::VerifierKey;
use crate::tlog::tile::{BundleId, LogPath, TileId, bundles_between, decode_bundle, decode_tile, encode_tile};
use crate::tlog::tree::{self, Grown, TileSource, consistency_proof, grow};

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
        place(&mut leaves, stored, id.index * 256, hashes);
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

/// Hashes of the leaves from `stored` up to `size`, as the peer's tiles have them: good for something once they are proved.
pub async fn leaves(peer: &Peer, stored: u64, size: u64) -> Result<Vec<Hash>> {
    let mut wanted = (stored / 256..size.div_ceil(256)).filter_map(|index| TileId::in_tree(0, index, size));
    let mut leaves = vec![Hash::EMPTY_TREE; (size - stored) as usize];
    let mut running = JoinSet::new();
    loop {
        for id in wanted.by_ref().take(PARALLEL - running.len()) {
            let peer = peer.clone();
            running.spawn(async move { Ok::<_, Error>((id, peer.log_file(LogPath::Tile(id)).await?)) });
        }
        let Some(done) = running.join_next().await else { return Ok(leaves) };
        let (id, bytes) = done.map_err(|e| Error::retry("peer.task", e.to_string(), "try again"))??;
        let hashes = decode_tile(&bytes, id.width).map_err(|e| e.at(id).with_action(Action::Isolate))?;
        place(&mut leaves, stored, id.index * 256, hashes);
    }
}

/// Puts the hashes of a tile or bundle, whose first leaf is `first`, among those from `stored` on.
fn place(leaves: &mut [Hash], stored: u64, first: u64, hashes: Vec<Hash>) {
    for (index, hash) in (first..).zip(hashes) {
        if let Some(place) = index.checked_sub(stored).and_then(|n| leaves.get_mut(n as usize)) {
            *place = hash;
        }
    }
}

/// A bundle on its way, or why there is none.
pub type Arriving = Result<(BundleId, Vec<u8>)>;

/// Fetches the bundles from `stored` up to `size` and hands each over in their order, held against the hashes of its leaves,
/// which are proved: until the first that is not as it should be, or until nobody takes any more.
pub async fn proved_bundles(peer: Peer, (stored, size): (u64, u64), leaves: Arc<Vec<Hash>>, to: Sender<Arriving>) {
    let mut wanted = bundles_between(stored, size);
    let mut running = VecDeque::new();
    loop {
        for id in wanted.by_ref().take(PARALLEL - running.len()) {
            running.push_back(tokio::spawn(proved_bundle(peer.clone(), id, stored, leaves.clone())));
        }
        let Some(next) = running.pop_front() else { return };
        let bundle = next.await.unwrap_or_else(|e| Err(Error::retry("peer.task", e.to_string(), "try again")));
        let failed = bundle.is_err();
        if to.send(bundle).await.is_err() || failed {
            return running.iter().for_each(tokio::task::JoinHandle::abort);
        }
    }
}

async fn proved_bundle(peer: Peer, id: BundleId, stored: u64, leaves: Arc<Vec<Hash>>) -> Arriving {
    let bytes = peer.log_file(LogPath::Bundle(id)).await?;
    let checked = spawn_blocking(move || {
        let entries = decode_bundle(&bytes, id.width);
        let entries = entries.map_err(|e| e.at(LogPath::Bundle(id)).with_action(Action::Isolate))?;
        let proved = (id.index * 256..).zip(entries).all(|(index, entry)| match index.checked_sub(stored) {
            Some(n) => leaves.get(n as usize).is_some_and(|leaf| *leaf == leaf_hash(&bytes[entry])),
            None => true,
        });
        match proved {
            true => Ok((id, bytes)),
            false => Err(Error::isolate(
                "peer.root",
                format!("{} does not hold the entries of the signed checkpoint", LogPath::Bundle(id)),
                "the peer's copy is damaged; its operator should run «domovoi fsck»",
            )),
        }
    });
    checked.await.map_err(|e| Error::retry("peer.task", e.to_string(), "try again"))?
}

/// Proves that the log of `size` entries with the new `leaves` has the checkpoint's root: nothing fetched was changed,
/// and the new tree begins with the one accepted before.
pub fn prove(tiles: &impl TileSource, stored: u64, leaves: &[Hash], checkpoint: &VerifiedCheckpoint) -> Result<Grown> {
    let grown = grow(tiles, stored, leaves)?;
    let wanted = checkpoint.checkpoint();
    if grown.size != wanted.size || grown.root != wanted.root {
        return Err(Error::isolate(
            "peer.root",
            format!(
                "{}: the entries up to {} do not have the root of the signed checkpoint, or do not extend what was accepted before",
                wanted.origin, wanted.size
            ),
            "the peer serves changed bytes or has forked; the evidence holds the checkpoint",
        ));
    }
    Ok(grown)
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
