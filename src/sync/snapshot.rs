//! The whole verified state of a node's own log, fetched and replayed: what `domovoi import` plans against.

use std::collections::HashMap;

use super::client::Peer;
use super::cut::check_cuts;
use super::round;
use crate::error::{Error, Result};
use crate::federation::chain::CharterChain;
use crate::node::load::ring_of;
use crate::registry::ids::RecordId;
use crate::registry::map_proof::MapProof;
use crate::registry::replay::{Preparer, Replay, Trust};
use crate::registry::state::State;
use crate::registry::state_proof::{Quoted, StateProof};
use crate::registry::statemap::{StateMap, map_key};
use crate::registry::strict::List;
use crate::tlog::note::{Note, VerifierKey};
use crate::tlog::tile::{BundleId, LogPath, TileId, bundles_between, decode_bundle};
use crate::tlog::tree::{TileSource, grow, inclusion_proof};
use crate::tlog::{Hash, leaf_hash};

/// Tiles of an empty tree.
struct NoTiles;

impl TileSource for NoTiles {
    fn tile(&self, id: TileId) -> Result<Vec<Hash>> {
        Err(Error::stop("tile.missing", format!("{} of an empty tree", LogPath::Tile(id)), "report this as a defect"))
    }
}

/// The tiles of a tree that was grown from nothing.
struct Tiles(HashMap<TileId, Vec<Hash>>);

impl TileSource for Tiles {
    fn tile(&self, id: TileId) -> Result<Vec<Hash>> {
        self.0.get(&id).cloned().ok_or_else(|| {
            Error::stop("tile.missing", format!("{} of a verified tree", LogPath::Tile(id)), "report this as a defect")
        })
    }
}

/// A log that was fetched and verified whole, at one signed checkpoint.
pub struct FetchedLog {
    /// Its state.
    pub state: State,
    map: StateMap,
    tiles: Tiles,
    leaves: Vec<Hash>,
    checkpoint: Vec<u8>,
    commit: Vec<u8>,
}

impl FetchedLog {
    /// Proves what the state holds, or does not hold, under `name`.
    ///
    /// # Errors
    /// `proof.quoted` where the checkpoint carries more signatures than a proof can hold.
    pub fn prove(&self, name: &str) -> Result<StateProof> {
        let size = self.leaves.len() as u64;
        let path = inclusion_proof(&self.tiles, size.saturating_sub(1), size)?;
        Ok(StateProof {
            size,
            checkpoint: Quoted::new(&self.checkpoint)?,
            commit: Quoted::new(&self.commit)?,
            path: List(path.into_iter().map(|h| RecordId(h.0)).collect()),
            map: MapProof::of(&self.map, &map_key(name)),
        })
    }

    /// Fetches an entry again, held against its leaf hash.
    pub async fn entry(&self, peer: &Peer, index: u64) -> Result<Vec<u8>> {
        let missing = || Error::refuse("peer.missing", format!("no entry {index} in the log"), "check the id");
        let bundle = BundleId::in_tree(index / 256, self.leaves.len() as u64).ok_or_else(missing)?;
        let bytes = peer.log_file(LogPath::Bundle(bundle)).await?;
        let mut ranges = decode_bundle(&bytes, bundle.width)?.into_iter();
        let entry = ranges.nth((index % 256) as usize).map(|r| bytes[r].to_vec()).ok_or_else(missing)?;
        match self.leaves.get(index as usize) == Some(&leaf_hash(&entry)) {
            true => Ok(entry),
            false => Err(Error::isolate(
                "peer.root",
                format!("{} serves another entry {index} than before", peer.url()),
                "run «domovoi fsck» on the node",
            )),
        }
    }
}

/// Fetches the log `origin` from `peer`, verifies every byte and gives its state.
pub async fn fetch_state(
    peer: &Peer,
    chain: &CharterChain,
    origin: &str,
    mut progress: impl FnMut(u64, u64),
) -> Result<FetchedLog> {
    let charters = chain.of_log(origin)?;
    let keys: Vec<VerifierKey> = charters.versions().iter().map(|j| j.log_key.clone()).collect();
    let (checkpoint, _) = round::checkpoint(peer, &keys, origin).await?;
    let size = checkpoint.checkpoint().size;
    let (mut state, mut replay) = (State::new(charters), Replay::default());
    let (mut preparer, mut ring) = (Preparer::after(&state, Trust::Verify), ring_of(&state));
    let mut commit = Vec::new();
    let mut leaves = Vec::with_capacity(size.min(1 << 20) as usize);
    let mut wanted = bundles_between(0, size);
    loop {
        let window: Vec<BundleId> = wanted.by_ref().take(16).collect();
        if window.is_empty() {
            break;
        }
        let mut running = tokio::task::JoinSet::new();
        for id in window.iter().copied() {
            let peer = peer.clone();
            running.spawn(async move { Ok::<_, Error>((id, peer.log_file(LogPath::Bundle(id)).await?)) });
        }
        let mut bundles = Vec::with_capacity(window.len());
        while let Some(done) = running.join_next().await {
            bundles.push(done.map_err(|e| Error::retry("peer.task", e.to_string(), "try again"))??);
        }
        bundles.sort_by_key(|(id, _)| id.index);
        let first = leaves.len() as u64;
        let mut entries = Vec::new();
        for (id, bytes) in &bundles {
            entries.extend(decode_bundle(bytes, id.width)?.into_iter().map(|r| bytes[r].to_vec()));
        }
        leaves.extend(crate::tlog::hash::leaf_hashes(&entries));
        let chunk = preparer.prepare(first, &entries, &mut ring);
        replay.apply(&mut state, chunk, &mut |s, changes, commit, id, at| s.absorb(changes, commit, id, at))?;
        commit = entries.pop().unwrap_or(commit);
        progress(leaves.len() as u64, size);
    }
    let grown = grow(&NoTiles, 0, &leaves)?;
    if grown.root != checkpoint.checkpoint().root || state.size() != size {
        return Err(Error::isolate(
            "peer.root",
            "the entries do not have the root of the signed checkpoint",
            "run «domovoi fsck» on the node",
        ));
    }
    let tiles = Tiles(grown.tiles.into_iter().collect());
    // The state's charter is known now: a key that an earlier one named signs nothing any more.
    state.charters().check_signer(state.charter(), size, |key| checkpoint.note().verify(key).is_ok())?;
    check_cuts(state.charters(), &NoTiles, 0, &leaves)?;
    // A record that quotes the checkpoint is judged by the log's own signature alone, and has little room.
    let own = checkpoint.note().signatures().iter().filter(|line| line.name == origin).cloned().collect();
    let note = Note::of(checkpoint.note().text(), own)?.to_string().into_bytes();
    Ok(FetchedLog { state, map: replay.map, tiles, leaves, checkpoint: note, commit })
}
