//! The right edge of a log, kept in memory: the partial tile of every level and the partial bundle. A tree grows from
//! these alone, without reading a file.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use super::reader::read_resource;
use crate::error::{Error, Result};
use crate::tlog::Hash;
use crate::tlog::hash::leaf_hashes;
use crate::tlog::tile::{
    BundleId, LogPath, TILE_WIDTH, TileId, decode_bundle, decode_tile, encode_tile, extend_bundle,
};
use crate::tlog::tree::{TileSource, grow};

const LEVELS: u8 = 8;
const WIDTH: u64 = TILE_WIDTH as u64;

/// Partial tiles, partial bundle and root of a tree.
#[derive(Debug, Clone)]
pub(super) struct Edge {
    pub size: u64,
    pub root: Hash,
    /// One a level; empty where the level ends with a full tile.
    tiles: Vec<Vec<Hash>>,
    /// Entries of the partial bundle, encoded.
    bundle: Vec<u8>,
}

/// What a growing log has to write, and its edge afterwards.
#[derive(Debug)]
pub(super) struct Growth<'b> {
    pub edge: Edge,
    pub files: Vec<(LogPath, Cow<'b, [u8]>)>,
}

impl TileSource for Edge {
    fn tile(&self, tile: TileId) -> Result<Vec<Hash>> {
        let edge = edge_tile(tile.level, self.size);
        let hashes = self.tiles.get(usize::from(tile.level)).filter(|_| edge == Some(tile));
        hashes.cloned().ok_or_else(|| {
            Error::stop(
                "tile.range",
                format!("{tile} is not on the edge of a tree of {}", self.size),
                "report this as a defect",
            )
        })
    }
}

/// The partial tile at the end of a level.
fn edge_tile(level: u8, size: u64) -> Option<TileId> {
    TileId::in_tree(level, (size >> (8 * level)) / WIDTH, size)
}

impl Edge {
    pub(super) fn empty() -> Edge {
        Edge { size: 0, root: Hash::EMPTY_TREE, tiles: vec![Vec::new(); LEVELS.into()], bundle: Vec::new() }
    }

    /// Reads the edge of the tree of `size` entries and computes its root. The partial bundle is held against its tile.
    ///
    /// Errors: `tile.missing`, `bundle.mismatch`, and those of the files.
    pub(super) fn load(dir: &Path, size: u64) -> Result<Edge> {
        let missing = |path: LogPath| {
            let detail = format!("{path} is not in {}, though the log has {size} entries", dir.display());
            Error::stop("tile.missing", detail, "run «domovoi fsck» and restore the file from a mirror or a backup")
        };
        let mut edge = Edge { size, ..Edge::empty() };
        for level in 0..LEVELS {
            if let Some(id) = edge_tile(level, size) {
                let bytes = read_resource(dir, id.into(), size)?.ok_or_else(|| missing(id.into()))?;
                edge.tiles[usize::from(level)] = decode_tile(&bytes, id.width).map_err(|e| e.at(id))?;
            }
        }
        if let Some(id) = BundleId::in_tree(size / WIDTH, size) {
            edge.bundle = read_resource(dir, id.into(), size)?.ok_or_else(|| missing(id.into()))?;
            let entries: Vec<&[u8]> =
                decode_bundle(&edge.bundle, id.width)?.into_iter().map(|r| &edge.bundle[r]).collect();
            if leaf_hashes(&entries) != edge.tiles[0] {
                return Err(Error::stop(
                    "bundle.mismatch",
                    format!("{id} in {} does not hold the entries whose hashes its tile has", dir.display()),
                    "run «domovoi fsck» and restore the file from a mirror or a backup",
                ));
            }
        }
        edge.root = grow(&edge, size, &[])?.old_root;
        Ok(edge)
    }

    /// Appends entries, none longer than a bundle can hold, with the hashes of their leaves. `full` gives the bundle with an
    /// index where it is there already, all of it; the others are written together from their entries.
    ///
    /// Errors: `bundle.entry-too-long`, `tree.size`, `log.edge`.
    pub(super) fn grow<'b>(
        &self,
        entries: &[impl AsRef<[u8]>],
        leaves: &[Hash],
        full: impl Fn(u64) -> Option<&'b [u8]>,
    ) -> Result<Growth<'b>> {
        if entries.len() != leaves.len() {
            let detail = format!("{} entries and {} leaf hashes", entries.len(), leaves.len());
            return Err(Error::stop("log.edge", detail, "report this as a defect"));
        }
        let grown = self.grow_hashes(leaves)?;
        let (mut edge, mut files) = (grown.edge, grown.files);
        edge.bundle = self.bundle.clone();
        let (mut index, mut rest) = (self.size / WIDTH, entries);
        while !rest.is_empty() {
            let held = if index == self.size / WIDTH { (self.size % WIDTH) as usize } else { 0 };
            let (now, later) = rest.split_at(rest.len().min(TILE_WIDTH - held));
            let id = BundleId { index, width: (held + now.len()) as u16 };
            let there = full(index).filter(|_| id.is_full());
            if there.is_none() {
                extend_bundle(&mut edge.bundle, now)?;
            }
            let written = if id.is_full() { std::mem::take(&mut edge.bundle) } else { edge.bundle.clone() };
            files.push((id.into(), there.map_or(Cow::Owned(written), Cow::Borrowed)));
            (index, rest) = (index + 1, later);
        }
        Ok(Growth { edge, files })
    }

    /// Appends leaf hashes: tiles only; the bundle of the new edge stays empty.
    pub(super) fn grow_hashes(&self, leaves: &[Hash]) -> Result<Growth<'static>> {
        let grown = grow(self, self.size, leaves)?;
        if grown.old_root != self.root {
            return Err(Error::stop(
                "log.edge",
                "the edge in memory does not have the log's root",
                "start the node again",
            ));
        }
        let mut tiles = self.tiles.clone();
        for (level, kept) in (0u8..).zip(tiles.iter_mut()) {
            match edge_tile(level, grown.size) {
                None => kept.clear(),
                // A tile that is not among the grown ones has not changed.
                Some(id) => {
                    if let Some((_, hashes)) = grown.tiles.iter().rev().find(|(t, _)| *t == id) {
                        kept.clone_from(hashes);
                    }
                }
            }
        }
        let files = grown.tiles.iter().map(|(id, hashes)| (LogPath::from(*id), encode_tile(hashes).into())).collect();
        Ok(Growth { edge: Edge { size: grown.size, root: grown.root, tiles, bundle: Vec::new() }, files })
    }
}

/// Files of a growth below `dir`.
pub(super) fn on_disk<B>(dir: &Path, files: Vec<(LogPath, B)>) -> Vec<(PathBuf, B)> {
    files.into_iter().map(|(path, bytes)| (dir.join(path.to_string()), bytes)).collect()
}

/// Removes the partial files on the edge of the tree of `old_size`, where the full ones are published in the tree of
/// `published`. Not durable, and repeated at the next start: leftovers harm nobody.
pub(super) fn remove_partials(dir: &Path, old_size: u64, published: u64) {
    let mut dirs: Vec<LogPath> = Vec::new();
    for id in (0..LEVELS).filter_map(|level| edge_tile(level, old_size)) {
        let full = TileId { width: TILE_WIDTH as u16, ..id };
        if full.within(published) {
            dirs.push(full.into());
        }
    }
    if let Some(id) = BundleId::in_tree(old_size / WIDTH, old_size) {
        let full = BundleId { width: TILE_WIDTH as u16, ..id };
        if full.within(published) {
            dirs.push(full.into());
        }
    }
    for path in dirs {
        let dir = dir.join(format!("{path}.p"));
        if let Err(e) = std::fs::remove_dir_all(&dir)
            && e.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(dir = %dir.display(), error = %e, "old partial tiles could not be removed");
        }
    }
}
