//! The Merkle tree of RFC 6962, section 2.1: growing it, its root, its proofs.
//!
//! Nothing here keeps a whole tree. Hashes are read as tiles from a [`TileSource`]; only tiles that the given tree size
//! has are asked for, each as wide as it is at that size. A source need not be honest: what is computed from it is only
//! as good as the comparison with a signed root.

use std::collections::HashMap;

use rayon::prelude::*;

use super::MAX_SIZE;
use super::hash::{Hash, node_hash};
use super::tile::{TILE_WIDTH, TileId, hashes_at};
use crate::error::{Error, Result};

/// Where tiles come from: files, a peer, memory.
pub trait TileSource {
    /// The hashes of a tile, exactly `tile.width` of them.
    fn tile(&self, tile: TileId) -> Result<Vec<Hash>>;
}

impl<T: TileSource + ?Sized> TileSource for &T {
    fn tile(&self, tile: TileId) -> Result<Vec<Hash>> {
        (**self).tile(tile)
    }
}

/// The right edge of a tree: roots of its maximal complete subtrees, largest first. Enough to append and to give the
/// root, in at most 64 hashes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    nodes: Vec<Hash>,
}

impl Frontier {
    /// The frontier of the empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// The frontier of a stored tree of `size` entries. Reads at most 8 tiles, all of them at the right edge.
    ///
    /// Errors: `tree.size`, `tile.width`, and those of the source.
    pub fn from_tiles(source: &impl TileSource, size: u64) -> Result<Self> {
        let mut reader = Reader::new(source, size)?;
        let nodes = (0..63).rev().filter(|height| size >> height & 1 == 1);
        let nodes = nodes.map(|height| reader.node(height, (size >> height) - 1)).collect::<Result<_>>()?;
        Ok(Frontier { size, nodes })
    }

    /// Number of entries.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Root of the tree.
    pub fn root(&self) -> Hash {
        let mut nodes = self.nodes.iter().rev();
        let Some(last) = nodes.next() else { return Hash::EMPTY_TREE };
        nodes.fold(*last, |right, left| node_hash(left, &right))
    }

    /// Appends an entry by its leaf hash.
    pub fn push(&mut self, leaf: Hash) {
        // Each trailing 1 of the size is a complete subtree as tall as the one just made: they join.
        let joined = self.size.trailing_ones() as usize;
        let mut hash = leaf;
        for left in self.nodes.drain(self.nodes.len() - joined..).rev() {
            hash = node_hash(&left, &hash);
        }
        self.nodes.push(hash);
        self.size += 1;
    }
}

impl Extend<Hash> for Frontier {
    fn extend<T: IntoIterator<Item = Hash>>(&mut self, leaves: T) {
        leaves.into_iter().for_each(|leaf| self.push(leaf));
    }
}

/// Root over consecutive hashes of one level, as if they were the leaves: MTH of RFC 6962. The root over a full tile is
/// the hash that stands for it in the tile above.
pub fn subtree_root(hashes: &[Hash]) -> Hash {
    let mut frontier = Frontier { size: 0, nodes: Vec::with_capacity(16) };
    frontier.extend(hashes.iter().copied());
    frontier.root()
}

/// A tree after entries were appended: what [`grow`] gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grown {
    /// Root of the tree before, as its stored right edge gives it: to be compared with the head one believes in.
    pub old_root: Hash,
    /// Number of entries now.
    pub size: u64,
    /// Root of the tree now.
    pub root: Hash,
    /// Every tile that is new or wider than before, lowest level first.
    pub tiles: Vec<(TileId, Vec<Hash>)>,
}

/// Appends `leaves` to a stored tree of `old_size` entries: gives the new root and all tiles to write.
///
/// Reads only the partial tiles of the old tree (at most 8), as wide as they are at `old_size`. Runs on all cores: not
/// to be called on an async reactor.
///
/// Errors: `tree.size` if the tree would be larger than 2^63 − 1, `tile.width`, and those of the source.
pub fn grow(source: &impl TileSource, old_size: u64, leaves: &[Hash]) -> Result<Grown> {
    let size = old_size.saturating_add(leaves.len() as u64);
    check_size(size)?;
    let (mut old_edge, mut edge, mut tiles) = (Vec::new(), Vec::new(), Vec::new());
    let mut added = leaves.to_vec();
    for level in 0..8u8 {
        let index = hashes_at(level, old_size) / TILE_WIDTH as u64;
        let kept = match TileId::in_tree(level, index, old_size) {
            Some(tile) => read_tile(source, tile)?,
            None => Vec::new(),
        };
        let mut hashes = kept.clone();
        hashes.append(&mut added);
        old_edge.push(kept);
        let full = hashes.len() / TILE_WIDTH;
        let partial = hashes.split_off(full * TILE_WIDTH);
        added = hashes.par_chunks(TILE_WIDTH).map(subtree_root).collect();
        let contents = hashes.chunks(TILE_WIDTH).map(<[Hash]>::to_vec).chain([partial.clone()]);
        let changed = hashes_at(level, size) > hashes_at(level, old_size);
        for (index, content) in (index..).zip(contents) {
            if changed && let Some(tile) = TileId::in_tree(level, index, size) {
                tiles.push((tile, content));
            }
        }
        edge.push(partial);
    }
    Ok(Grown { old_root: edge_root(&old_edge), size, root: edge_root(&edge), tiles })
}

/// Root of a tree, given the partial tile of every level, lowest first.
fn edge_root(edge: &[Vec<Hash>]) -> Hash {
    let mut right: Option<Hash> = None;
    for hashes in edge {
        let mut frontier = Frontier::new();
        frontier.extend(hashes.iter().copied());
        for left in frontier.nodes.iter().rev() {
            right = Some(right.map_or(*left, |right| node_hash(left, &right)));
        }
    }
    right.unwrap_or(Hash::EMPTY_TREE)
}

/// Root of a stored tree of `size` entries.
///
/// Errors: `tree.size`, `tile.width`, and those of the source.
pub fn root(source: &impl TileSource, size: u64) -> Result<Hash> {
    Ok(Frontier::from_tiles(source, size)?.root())
}

/// Root of a tree whose first `held` bundles are stored in full, and of whose further ones these are the [`subtree_root`]s
/// over their leaves, the last of them maybe a partial one. A tree splits between bundles wherever it has more than one, so
/// these stand for their leaves.
///
/// Errors: `tree.size`, `tile.width`, and those of the source.
pub fn root_over_bundles(source: &impl TileSource, held: u64, roots: &[Hash]) -> Result<Hash> {
    let stored = Frontier::from_tiles(source, held.saturating_mul(TILE_WIDTH as u64))?;
    let mut tree = Frontier { size: held, nodes: stored.nodes };
    tree.extend(roots.iter().copied());
    Ok(tree.root())
}

/// Proof that the entry of `index` is in the tree of `size` entries: PATH of RFC 6962, section 2.1.1.
///
/// Errors: `tree.size`, `proof.range` if there is no such entry, `tile.width`, and those of the source.
pub fn inclusion_proof(source: &impl TileSource, index: u64, size: u64) -> Result<Vec<Hash>> {
    let mut reader = Reader::new(source, size)?;
    if index >= size {
        return Err(out_of_range(format!("no entry {index} in a tree of {size}")));
    }
    let (mut start, mut end) = (0, size);
    let mut proof = Vec::new();
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            proof.push(reader.range(middle, end)?);
            end = middle;
        } else {
            proof.push(reader.range(start, middle)?);
            start = middle;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// Proof that the tree of `new_size` entries begins with the tree of `old_size`: PROOF of RFC 6962, section 2.1.2.
/// Empty for an empty old tree and for equal sizes.
///
/// Errors: `tree.size`, `proof.range` if the old size is larger, `tile.width`, and those of the source.
pub fn consistency_proof(source: &impl TileSource, old_size: u64, new_size: u64) -> Result<Vec<Hash>> {
    let mut reader = Reader::new(source, new_size)?;
    if old_size > new_size {
        return Err(out_of_range(format!("a tree of {new_size} cannot begin with one of {old_size}")));
    }
    let mut proof = Vec::new();
    if old_size == 0 {
        return Ok(proof);
    }
    let (mut start, mut end) = (0, new_size);
    while old_size != end {
        let middle = start + split(end - start);
        if old_size <= middle {
            proof.push(reader.range(middle, end)?);
            end = middle;
        } else {
            proof.push(reader.range(start, middle)?);
            start = middle;
        }
    }
    // A subtree that starts at 0 is the old tree itself, whose root the verifier has.
    if start > 0 {
        proof.push(reader.range(start, end)?);
    }
    proof.reverse();
    Ok(proof)
}

/// Verifies that `leaf` is the entry of `index` in the tree of `size` entries with that `root` (RFC 9162, section
/// 2.1.3.2, which is for the tree of RFC 6962).
///
/// Errors: `proof.range`, `proof.length`, `proof.inclusion`.
pub fn verify_inclusion(leaf: Hash, index: u64, size: u64, proof: &[Hash], root: Hash) -> Result<()> {
    check_size(size)?;
    if index >= size {
        return Err(out_of_range(format!("no entry {index} in a tree of {size}")));
    }
    let (mut at, mut last) = (index, size - 1);
    let mut hash = leaf;
    for sibling in proof {
        if last == 0 {
            return Err(wrong_length("inclusion", proof));
        }
        if at & 1 == 1 || at == last {
            hash = node_hash(sibling, &hash);
            // On the right edge: climb over levels where the node has no sibling.
            let lone = if at & 1 == 1 { 0 } else { at.trailing_zeros() };
            (at, last) = shift(at, last, lone);
        } else {
            hash = node_hash(&hash, sibling);
        }
        (at, last) = shift(at, last, 1);
    }
    if last != 0 {
        return Err(wrong_length("inclusion", proof));
    }
    if hash != root {
        return Err(Error::refuse(
            "proof.inclusion",
            format!("the proof does not lead from entry {index} to root {root} of size {size}"),
            "do not rely on this entry; fetch entry, proof and checkpoint again",
        ));
    }
    Ok(())
}

/// Verifies that the tree of `new_size` entries begins with the tree of `old_size` (RFC 9162, section 2.1.4.2, which is
/// for the tree of RFC 6962). Two cases that the RFCs leave open: equal sizes need equal roots and an empty proof; every
/// tree begins with the empty one, whose root must be [`Hash::EMPTY_TREE`], again with an empty proof.
///
/// Errors: `proof.range`, `proof.length`, `proof.consistency`.
pub fn verify_consistency(old_size: u64, old_root: Hash, new_size: u64, new_root: Hash, proof: &[Hash]) -> Result<()> {
    check_size(new_size)?;
    if old_size > new_size {
        return Err(out_of_range(format!("a tree of {new_size} cannot begin with one of {old_size}")));
    }
    let inconsistent = || {
        Error::refuse(
            "proof.consistency",
            format!("size {new_size} root {new_root} is not shown to extend size {old_size} root {old_root}"),
            "keep the old head and both checkpoints: they may be evidence of a fork",
        )
    };
    if old_size == 0 || old_size == new_size {
        let expected = if old_size == 0 { Hash::EMPTY_TREE } else { new_root };
        if !proof.is_empty() {
            return Err(wrong_length("consistency", proof));
        }
        let new_is_sound = new_size > 0 || new_root == Hash::EMPTY_TREE;
        return if old_root == expected && new_is_sound { Ok(()) } else { Err(inconsistent()) };
    }
    let (mut at, mut last) = (old_size - 1, new_size - 1);
    (at, last) = shift(at, last, at.trailing_ones());
    // A complete old tree is its own first node: the proof leaves it out.
    let mut rest = proof.iter();
    let first = if old_size.is_power_of_two() { Some(&old_root) } else { rest.next() };
    let Some(first) = first else { return Err(wrong_length("consistency", proof)) };
    let (mut old_hash, mut new_hash) = (*first, *first);
    for sibling in rest {
        if last == 0 {
            return Err(wrong_length("consistency", proof));
        }
        if at & 1 == 1 || at == last {
            old_hash = node_hash(sibling, &old_hash);
            new_hash = node_hash(sibling, &new_hash);
            let lone = if at & 1 == 1 { 0 } else { at.trailing_zeros() };
            (at, last) = shift(at, last, lone);
        } else {
            new_hash = node_hash(&new_hash, sibling);
        }
        (at, last) = shift(at, last, 1);
    }
    if last != 0 {
        return Err(wrong_length("consistency", proof));
    }
    if old_hash != old_root || new_hash != new_root {
        return Err(inconsistent());
    }
    Ok(())
}

/// Both numbers shifted right; a shift by the whole width gives 0 instead of an overflow.
fn shift(a: u64, b: u64, by: u32) -> (u64, u64) {
    (a.checked_shr(by).unwrap_or(0), b.checked_shr(by).unwrap_or(0))
}

/// Largest power of two smaller than `n`, for `n` of 2 or more: where RFC 6962 splits a tree.
fn split(n: u64) -> u64 {
    1 << (n - 1).ilog2()
}

/// Reads subtree roots from tiles, each tile once.
struct Reader<'a, S> {
    source: &'a S,
    size: u64,
    tiles: HashMap<(u8, u64), Vec<Hash>>,
}

impl<'a, S: TileSource> Reader<'a, S> {
    fn new(source: &'a S, size: u64) -> Result<Self> {
        check_size(size)?;
        Ok(Reader { source, size, tiles: HashMap::new() })
    }

    /// Root over entries `start..end`, where `start` is a multiple of the smallest power of two ≥ `end - start`.
    fn range(&mut self, mut start: u64, end: u64) -> Result<Hash> {
        // Complete subtrees from left to right, then joined from the right.
        let mut nodes = Vec::new();
        while start < end {
            let height = (end - start).ilog2();
            nodes.push(self.node(height, start >> height)?);
            start += 1 << height;
        }
        let joined = nodes.into_iter().rev().reduce(|right, left| node_hash(&left, &right));
        Ok(joined.unwrap_or(Hash::EMPTY_TREE))
    }

    /// Root of the complete subtree over entries `index << height .. (index + 1) << height`.
    fn node(&mut self, height: u32, index: u64) -> Result<Hash> {
        let (level, inner) = ((height / 8) as u8, height % 8);
        let first = index << inner;
        let (tile, offset) = (first / TILE_WIDTH as u64, (first % TILE_WIDTH as u64) as usize);
        let hashes = match self.tiles.entry((level, tile)) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(vacant) => {
                let id = TileId::in_tree(level, tile, self.size)
                    .ok_or_else(|| out_of_range(format!("no tile {level}/{tile} in a tree of {}", self.size)))?;
                vacant.insert(read_tile(self.source, id)?)
            }
        };
        let part = hashes.get(offset..offset + (1 << inner));
        part.map(subtree_root)
            .ok_or_else(|| out_of_range(format!("no node {index} at height {height} in a tree of {}", self.size)))
    }
}

fn read_tile(source: &impl TileSource, tile: TileId) -> Result<Vec<Hash>> {
    let hashes = source.tile(tile)?;
    if hashes.len() == usize::from(tile.width) {
        return Ok(hashes);
    }
    Err(Error::refuse(
        "tile.width",
        format!("{tile} was answered with {} hashes instead of {}", hashes.len(), tile.width),
        "fetch the tile again",
    ))
}

fn check_size(size: u64) -> Result<()> {
    if size <= MAX_SIZE {
        return Ok(());
    }
    Err(Error::refuse("tree.size", format!("a tree of {size} entries is too large"), "sizes end at 2^63 - 1"))
}

fn out_of_range(detail: String) -> Error {
    Error::refuse("proof.range", detail, "ask for an index below the size, and an old size not above the new one")
}

fn wrong_length(what: &str, proof: &[Hash]) -> Error {
    Error::refuse(
        "proof.length",
        format!("{what} proof of {} hashes does not fit the sizes", proof.len()),
        "check that the proof belongs to these sizes and this index",
    )
}
