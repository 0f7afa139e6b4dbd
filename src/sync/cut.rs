//! A log that the charter has cut (docs/protocol.md, "Cuts"): what a copy must contain, and when it has to be set aside.

use super::client::Peer;
use crate::error::{Error, Result};
use crate::registry::jurisdiction::{Charters, LogCut};
use crate::tlog::Hash;
use crate::tlog::note::VerifierKey;
use crate::tlog::tile::{LogPath, TileId, decode_tile};
use crate::tlog::tree::{self, Frontier, TileSource};

/// Checks that the tree of `stored` entries in `tiles`, grown by `leaves`, has each cut's root at the cut's size. Cuts within
/// what is stored were checked when that was taken in.
///
/// # Errors
/// `log.cut`.
pub fn check_cuts(charters: &Charters, tiles: &impl TileSource, stored: u64, leaves: &[Hash]) -> Result<()> {
    let size = stored + leaves.len() as u64;
    let mut cuts: Vec<&LogCut> = charters.cuts().filter(|c| c.size > stored && c.size <= size).collect();
    if cuts.is_empty() {
        return Ok(());
    }
    cuts.sort_by_key(|c| c.size);
    let mut tree = Frontier::from_tiles(tiles, stored)?;
    for cut in cuts {
        let from = (tree.size() - stored) as usize;
        tree.extend(leaves.iter().take((cut.size - stored) as usize).skip(from).copied());
        if tree.root() != cut.root {
            return Err(contradicts(cut, tree.root()));
        }
    }
    Ok(())
}

/// Holds a log that is read from its beginning against its cuts.
pub struct CutCheck {
    charters: Charters,
    tree: Frontier,
    found: Vec<Error>,
}

impl CutCheck {
    /// By these charters.
    pub fn new(charters: Charters) -> CutCheck {
        CutCheck { charters, tree: Frontier::new(), found: Vec::new() }
    }
    /// Takes the next entries.
    pub fn take(&mut self, entries: &[&[u8]]) {
        for leaf in crate::tlog::hash::leaf_hashes(entries) {
            self.tree.push(leaf);
            for cut in self.charters.cuts().filter(|c| c.size == self.tree.size()) {
                if self.tree.root() != cut.root {
                    self.found.push(contradicts(cut, self.tree.root()));
                }
            }
        }
    }
    /// What the whole log is, which has adopted `charter` and whose checkpoint of `size` entries `signed` tells the keys of.
    ///
    /// # Errors
    /// `log.cut`, `peer.log_key`.
    pub fn finish(mut self, charter: u64, size: u64, signed: impl Fn(&VerifierKey) -> bool) -> Result<()> {
        self.charters.check_signer(charter, size, signed)?;
        self.found.pop().map_or(Ok(()), Err)
    }
}

/// The log has another history than the cut decided.
pub fn contradicts(cut: &LogCut, root: Hash) -> Error {
    Error::isolate(
        "log.cut",
        format!(
            "at size {} the log has the root {root}; charter version {} decided for {}",
            cut.size, cut.version, cut.root
        ),
        "the log's node goes on with a history that was decided against: it must take the one of the charter",
    )
}

/// What a copy of `size` entries that has not adopted the cut's charter is, held against the cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// All of it stands, or nothing can be said yet because it is shorter.
    Stands,
    /// It goes on where the cut ends, or has another root there.
    Void,
}

/// Holds a copy against a cut that it does not know of.
///
/// # Errors
/// Those of the tiles.
pub fn standing(tiles: &impl TileSource, size: u64, cut: &LogCut) -> Result<Standing> {
    if size < cut.size {
        return Ok(Standing::Stands);
    }
    Ok(match size == cut.size && tree::root(tiles, size)? == cut.root {
        true => Standing::Stands,
        false => Standing::Void,
    })
}

/// True where the log that ends at the cut is proved to begin with something else than the copy of `size` entries with this
/// root, `size` being less than the cut's. The peer's hash tiles are believed only as far as the cut's root follows from them.
///
/// # Errors
/// Those of the peer; `log.cut` where it does not serve the log that the cut names.
pub async fn is_contradicted(peer: &Peer, size: u64, root: Hash, cut: LogCut) -> Result<bool> {
    let (peer, runtime) = (peer.clone(), tokio::runtime::Handle::current());
    let proved = move || {
        let tiles = PeerTiles { peer, runtime };
        let served = tree::root(&tiles, size)?;
        let proof = tree::consistency_proof(&tiles, size, cut.size)?;
        tree::verify_consistency(size, served, cut.size, cut.root, &proof).map_err(|_| contradicts(&cut, served))?;
        Ok(served != root)
    };
    tokio::task::spawn_blocking(proved)
        .await
        .map_err(|e| Error::retry("sync.task", e.to_string(), "see the log; the next round tries again"))?
}

/// Hash tiles of a peer's log, not verified by themselves. Not for the runtime's own threads.
struct PeerTiles {
    peer: Peer,
    runtime: tokio::runtime::Handle,
}

impl TileSource for PeerTiles {
    fn tile(&self, id: TileId) -> Result<Vec<Hash>> {
        let path = LogPath::Tile(id);
        let bytes = self.runtime.block_on(self.peer.log_file(path))?;
        decode_tile(&bytes, id.width).map_err(|e| e.at(path))
    }
}
