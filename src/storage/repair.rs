//! Repair of a log from what is redundant in it, with its signed head as the judge.
//!
//! Tiles follow from the entries, and every entry's hash stands in a tile. Where a bundle and its tile disagree, the one
//! is right with which the tree has the signed root. Then tiles are computed again, and damaged entries are looked for in
//! whatever copies there are: partial bundles of earlier sizes, the journal, another copy of the log. An entry is known by
//! its hash, so no source needs to be trusted.
//!
//! What cannot be restored is set aside, so that nobody is served something wrong: see [`set_aside`].

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::durable::{create_dir, parent_of, read_optional, sync_dir, write_error, write_many};
use super::edge::Edge;
use super::fence::{Age, Fence};
use super::journal::Record;
use super::reader::read_resource;
use crate::error::{Error, Result};
use crate::tlog::Hash;
use crate::tlog::hash::{leaf_hash, node_hash};
use crate::tlog::tile::{
    BundleId, LogPath, MAX_BUNDLE_LEN, TILE_WIDTH, TileId, decode_bundle, decode_tile, encode_bundle,
};
use crate::tlog::tree::subtree_root;

/// What a repair came to.
#[derive(Debug, Default)]
pub struct Repaired {
    /// Files that were written anew.
    pub written: Vec<LogPath>,
    /// Bundles of which at least one entry is nowhere to be found, and how many are.
    pub lost: Vec<(BundleId, usize)>,
}

/// Bundles and their tiles worked on at a time.
const GROUP: u64 = 16;
/// So many bundles may disagree with their tiles before the search for the right ones is given up.
const MAX_DOUBTS: usize = 10;
const WIDTH: u64 = TILE_WIDTH as u64;

/// Repairs the log in `dir`, of which a head of `size` entries with `root` is signed. `journalled` are entries that may be
/// needed; `other` is another copy of the log. Nobody else may write in `dir` meanwhile.
///
/// Errors: `repair.root` if nothing that is there leads to the root, `repair.unreadable` if a bundle and its tile are both
/// gone, those of the disk.
pub fn repair(dir: &Path, size: u64, root: Hash, journalled: &[Vec<u8>], other: Option<&Path>) -> Result<Repaired> {
    let log = Log { dir, size, journalled, other };
    let truth = log.truth(root)?;
    let mut done = Repaired::default();
    let (mut edge, mut group) = (Edge::empty(), 0);
    while group < truth.len() as u64 {
        let end = (group + GROUP).min(truth.len() as u64);
        let found = (group..end).into_par_iter().map(|index| log.piece(index, truth[index as usize]));
        let found = found.collect::<Result<Vec<_>>>()?;
        let mut files = Vec::new();
        for (index, piece) in (group..).zip(&found) {
            files.extend(piece.bundle.clone());
            done.lost.extend(piece.lost.and_then(|n| Some((BundleId::in_tree(index, size)?, n))));
        }
        let growth = edge.grow_hashes(&found.iter().flat_map(|p| p.leaves.clone()).collect::<Vec<_>>())?;
        for (path, bytes) in growth.files {
            // Tiles of widths that the tree has passed are not part of the log any more.
            let LogPath::Tile(tile) = path else { continue };
            if TileId::in_tree(tile.level, tile.index, size) == Some(tile)
                && read_resource(dir, path, size).ok().flatten().as_deref() != Some(&*bytes)
            {
                files.push((path, bytes.into_owned()));
            }
        }
        edge = growth.edge;
        done.written.extend(files.iter().map(|(path, _)| *path));
        write_many(&files.into_iter().map(|(path, bytes)| (dir.join(path.to_string()), bytes)).collect::<Vec<_>>())?;
        group = end;
    }
    Ok(done)
}

/// Which of the two a bundle's hashes are taken from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Entries,
    Tile,
}

/// Leaves of one bundle's place, and the bundle where it must be written anew.
struct Piece {
    leaves: Vec<Hash>,
    bundle: Option<(LogPath, Vec<u8>)>,
    lost: Option<usize>,
}

struct Log<'l> {
    dir: &'l Path,
    size: u64,
    journalled: &'l [Vec<u8>],
    other: Option<&'l Path>,
}

impl Log<'_> {
    fn ids(&self, index: u64) -> Option<(BundleId, TileId)> {
        Some((BundleId::in_tree(index, self.size)?, TileId::in_tree(0, index, self.size)?))
    }

    /// Hashes of the entries in a bundle file, and hashes in a tile file; none where the file cannot be read.
    fn hashes(&self, index: u64) -> [Option<Vec<Hash>>; 2] {
        let Some((bundle, tile)) = self.ids(index) else { return [None, None] };
        let read = |path: LogPath| read_resource(self.dir, path, self.size).ok().flatten();
        let computed = read(bundle.into()).and_then(|bytes| {
            let places = decode_bundle(&bytes, bundle.width).ok()?;
            Some(places.into_iter().map(|place| leaf_hash(&bytes[place])).collect())
        });
        [computed, read(tile.into()).and_then(|bytes| decode_tile(&bytes, tile.width).ok())]
    }

    /// For every bundle, where its hashes are to be taken from so that the tree has the signed root.
    fn truth(&self, root: Hash) -> Result<Vec<Source>> {
        let bundles = self.size.div_ceil(WIDTH);
        let (mut truth, mut doubts) = (Vec::new(), Vec::new());
        let mut full: Vec<Hash> = Vec::new();
        let mut last: Vec<Hash> = Vec::new();
        for index in 0..bundles {
            let [computed, stored] = self.hashes(index);
            let (source, hashes) = match (computed, stored) {
                (Some(computed), Some(stored)) if computed != stored => {
                    doubts.push((index, computed.clone(), stored));
                    (Source::Entries, computed)
                }
                (Some(computed), _) => (Source::Entries, computed),
                (None, Some(stored)) => (Source::Tile, stored),
                (None, None) => return Err(unreadable(self.dir, self.ids(index))),
            };
            truth.push(source);
            if hashes.len() == TILE_WIDTH { full.push(subtree_root(&hashes)) } else { last = hashes }
        }
        if doubts.len() > MAX_DOUBTS {
            return Err(no_root(self.dir, root, doubts.len()));
        }
        for choice in 0u32..1 << doubts.len() {
            for (bit, (index, computed, stored)) in doubts.iter().enumerate() {
                let (source, hashes) =
                    if choice >> bit & 1 == 0 { (Source::Entries, computed) } else { (Source::Tile, stored) };
                truth[*index as usize] = source;
                if hashes.len() == TILE_WIDTH {
                    full[*index as usize] = subtree_root(hashes);
                } else {
                    last.clone_from(hashes);
                }
            }
            if tree_root(&full, &last) == root {
                return Ok(truth);
            }
        }
        Err(no_root(self.dir, root, doubts.len()))
    }

    fn piece(&self, index: u64, source: Source) -> Result<Piece> {
        let [computed, stored] = self.hashes(index);
        let Some((id, _)) = self.ids(index) else {
            return Ok(Piece { leaves: Vec::new(), bundle: None, lost: None });
        };
        match (source, computed, stored) {
            (Source::Entries, Some(leaves), _) => Ok(Piece { leaves, bundle: None, lost: None }),
            (Source::Tile, _, Some(leaves)) => {
                let known = self.copies(index);
                let entries: Vec<&[u8]> = leaves.iter().filter_map(|h| known.get(h).map(Vec::as_slice)).collect();
                let lost = leaves.len() - entries.len();
                let bundle = if lost == 0 { Some((id.into(), encode_bundle(&entries)?)) } else { None };
                Ok(Piece { leaves, bundle, lost: (lost > 0).then_some(lost) })
            }
            _ => Err(unreadable(self.dir, self.ids(index))),
        }
    }

    /// Every entry that some copy of the bundle has, by its hash.
    fn copies(&self, index: u64) -> HashMap<Hash, Vec<u8>> {
        let mut known: HashMap<Hash, Vec<u8>> = HashMap::new();
        for dir in [Some(self.dir), self.other].into_iter().flatten() {
            for width in 1..=TILE_WIDTH as u16 {
                let path = dir.join(LogPath::from(BundleId { index, width }).to_string());
                let Some(bytes) = read_optional(&path, MAX_BUNDLE_LEN as u64).ok().flatten() else { continue };
                known.extend(readable(&bytes).map(|entry| (leaf_hash(entry), entry.to_vec())));
            }
        }
        known.extend(self.journalled.iter().map(|entry| (leaf_hash(entry), entry.clone())));
        known
    }
}

/// The entries of a damaged bundle as far as their lengths lead.
fn readable(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (length, tail) = rest.split_first_chunk::<2>()?;
        let (entry, tail) = tail.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        rest = tail;
        Some(entry)
    })
}

/// Roots of the perfect subtrees that hashes of one level make, the largest first.
fn peaks(mut hashes: &[Hash]) -> Vec<Hash> {
    let mut peaks = Vec::new();
    while !hashes.is_empty() {
        let (now, later) = hashes.split_at(1 << hashes.len().ilog2());
        peaks.push(subtree_root(now));
        hashes = later;
    }
    peaks
}

/// Root of a tree from the roots of its full tiles and the leaves of its partial one.
fn tree_root(full: &[Hash], last: &[Hash]) -> Hash {
    let peaks = peaks(full).into_iter().chain(peaks(last)).collect::<Vec<_>>();
    peaks.into_iter().rev().reduce(|right, left| node_hash(&left, &right)).unwrap_or(Hash::EMPTY_TREE)
}

fn unreadable(dir: &Path, ids: Option<(BundleId, TileId)>) -> Error {
    let what = ids.map_or(String::new(), |(bundle, tile)| format!("{bundle} and {tile}"));
    Error::stop(
        "repair.unreadable",
        format!("{what} in {} can both not be read", dir.display()),
        "restore both from a backup or a mirror, then run «domovoi fsck --repair» again",
    )
}

fn no_root(dir: &Path, root: Hash, doubts: usize) -> Error {
    Error::stop(
        "repair.root",
        format!(
            "{doubts} bundles in {} disagree with their tiles, and no choice leads to the signed root {root}",
            dir.display()
        ),
        "restore the log from a backup or a mirror that has this head",
    )
}

/// A fence that is damaged or lost, made anew where journal and checkpoint leave one head only that can have been signed:
/// a batch is journalled before it is fenced, so nothing beyond the journal was. It says that it was restored, and the node
/// signs nothing before somebody has confirmed the head, since the whole directory may be older than the log.
///
/// `published` is the head of the checkpoint, whose signature has been checked. `None`: the journal does not say enough.
///
/// Errors: `disk.write`.
pub fn fence(path: &Path, published: (u64, Hash), journal: Option<&Record>) -> Result<Option<Fence>> {
    let last = match journal {
        Some(r) if (r.new_size, r.root) == published || r.old_size == published.0 => (r.new_size, r.root),
        None if published.0 == 0 => published,
        _ => return Ok(None),
    };
    let fence = Fence { size: last.0, root: last.1, age: Age::Restored };
    fence.write(path)?;
    Ok(Some(fence))
}

/// Moves a damaged file out of the way, into `damaged/` below `private`, under a name that was not there yet.
///
/// Errors: `disk.write`.
pub fn set_aside(path: &Path, private: &Path) -> Result<PathBuf> {
    let folder = private.join("damaged");
    create_dir(&folder)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let free = (1u32..).map(|n| folder.join(format!("{name}.{n}"))).find(|p| !p.exists());
    let place = free.unwrap_or_else(|| folder.join(&name));
    fs::rename(path, &place).map_err(|e| write_error(path, &e))?;
    sync_dir(&folder)?;
    sync_dir(parent_of(path))?;
    Ok(place)
}
