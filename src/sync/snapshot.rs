//! The whole verified state of a node's own log, fetched and replayed: what `domovoi import` plans against.

use super::client::{Peer, limit};
use super::round;
use crate::error::{Error, Result};
use crate::federation::charter::{Charter, VerifiedCharter};
use crate::registry::replay::{Replay, Trust, prepare};
use crate::registry::state::State;
use crate::registry::verify::KeyRing;
use crate::tlog::Hash;
use crate::tlog::note::VerifierKey;
use crate::tlog::tile::{BundleId, LogPath, TileId, bundles_between, decode_bundle};
use crate::tlog::tree::{TileSource, grow};

/// Tiles of an empty tree.
struct NoTiles;

impl TileSource for NoTiles {
    fn tile(&self, id: TileId) -> Result<Vec<Hash>> {
        Err(Error::stop("tile.missing", format!("{} of an empty tree", LogPath::Tile(id)), "report this as a defect"))
    }
}

/// Fetches the log `origin` from `peer`, verifies every byte and gives its state.
pub async fn fetch_state(
    peer: &Peer,
    charter: &VerifiedCharter,
    origin: &str,
    mut progress: impl FnMut(u64, u64),
) -> Result<State> {
    let region = charter.region_by_origin(origin).ok_or_else(|| {
        Error::refuse("charter.origin", format!("the charter names no log «{origin}»"), "use that region's charter")
    })?;
    let jurisdiction = charter.jurisdiction(region);
    let commit_key = jurisdiction.commit_key.clone();
    let (checkpoint, _) = round::checkpoint(peer, &VerifierKey::parse(region.log_vkey.as_str())?, origin).await?;
    let size = checkpoint.checkpoint().size;
    let mut ring = KeyRing::default();
    jurisdiction.root_keys.iter().for_each(|k| ring.add(k));
    let (mut state, mut replay) = (State::new(jurisdiction), Replay::default());
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
        let chunk = prepare(first, &entries, &commit_key, &mut ring, Trust::Verify);
        replay.apply(&mut state, chunk, &mut |s, changes, commit, id, at| s.absorb(changes, commit, id, at))?;
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
    Ok(state)
}

/// The charter a node serves.
pub async fn fetch_charter_of(peer: &Peer) -> Result<VerifiedCharter> {
    let bytes = peer.get("api/v1/federation/charter", limit::CHARTER).await?;
    let missing =
        || Error::refuse("peer.charter", format!("{} serves no charter", peer.url()), "is this a domovoi node?");
    Charter::open(&bytes.ok_or_else(missing)?)
}
