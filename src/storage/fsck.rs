//! The complete check of a log, from its files alone: checkpoint and signature, every bundle, every hash of every tile,
//! the root. Anybody can run it over a directory or, through [`FsckSource`], over a URL.

use std::ops::Range;
use std::path::PathBuf;

use rayon::prelude::*;

use super::durable::read_optional;
use super::edge::Edge;
use super::reader::{cut, max_len, parse_checkpoint, with_width};
use crate::error::{Action, Error, Result};
use crate::tlog::Hash;
use crate::tlog::checkpoint::Checkpoint;
use crate::tlog::hash::leaf_hash;
use crate::tlog::note::VerifierKey;
use crate::tlog::tile::{BundleId, LogPath, TILE_WIDTH, TileId, decode_bundle, decode_tile};
use crate::tlog::tree::subtree_root;

/// Where a log is read from. Called from several threads at once.
pub trait FsckSource: Sync {
    /// The bytes of a resource, `None` where there is none. More than `max` bytes are an error.
    fn read(&self, path: &LogPath, max: usize) -> Result<Option<Vec<u8>>>;
}

/// A directory of C2SP files.
pub struct DirSource(PathBuf);

impl DirSource {
    /// The log in `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> DirSource {
        DirSource(dir.into())
    }
}

impl FsckSource for DirSource {
    fn read(&self, path: &LogPath, max: usize) -> Result<Option<Vec<u8>>> {
        read_optional(&self.0.join(path.to_string()), max as u64)
    }
}

/// What a check found.
#[derive(Debug, Clone)]
pub struct Report {
    /// Origin, as the checkpoint names it.
    pub origin: String,
    /// Size, as the checkpoint names it.
    pub size: u64,
    /// Root, as the checkpoint names it.
    pub root: Hash,
    /// Entries read and hashed.
    pub entries: u64,
    /// Tiles read and compared.
    pub tiles: u64,
    /// What is wrong, each with its path. Empty: the log is whole.
    pub problems: Vec<Error>,
}

/// More problems are not listed: the log is beyond repair file by file, and a stranger's log must not fill the memory.
pub const MAX_PROBLEMS: usize = 100;
/// Bundles read at a time, while those read before are worked on; each may have 16 MiB.
const GROUP: u64 = 8;
const WIDTH: u64 = TILE_WIDTH as u64;

/// Gets the entries of a bundle in order, with the index of the first.
pub type OnEntries<'a> = dyn FnMut(u64, &[&[u8]]) -> Result<()> + 'a;

/// Checks the log of `source` completely and goes on after a problem where it can. `key` verifies the checkpoint, whose
/// origin must then be the key's name; without it the signature is not checked. `on_entries` gets every readable bundle's
/// entries in order with the index of the first; its errors are listed as problems. `progress` gets (done, total) entries.
///
/// Errors: only what keeps the source from answering at all ([`Action::Retry`]); everything else is a problem.
pub fn check(
    source: &dyn FsckSource,
    key: Option<&VerifierKey>,
    on_entries: &mut OnEntries<'_>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Report> {
    let mut report =
        Report { origin: String::new(), size: 0, root: Hash::EMPTY_TREE, entries: 0, tiles: 0, problems: Vec::new() };
    let Some(head) = checkpoint(source, key, &mut report)? else { return Ok(report) };
    (report.origin, report.size, report.root) = (head.origin, head.size, head.root);
    let size = head.size;
    let bundles = size.div_ceil(WIDTH);
    // The tree as far as it is known; `None` after a place where neither entries nor hashes could be read.
    let mut tree = Some(Edge::empty());
    let read = |from: u64| -> Result<Vec<Piece>> {
        (from..bundles.min(from + GROUP)).into_par_iter().map(|index| piece(source, index, size)).collect()
    };
    let (mut group, mut ready) = (0, read(0)?);
    while group < bundles && report.problems.len() < MAX_PROBLEMS {
        group += ready.len() as u64;
        let mut next = Ok(Vec::new());
        rayon::in_place_scope(|scope| {
            scope.spawn(|_| next = read(group));
            let leaves = ready.iter().map(|p| p.leaves.as_deref()).collect::<Option<Vec<_>>>().map(|l| l.concat());
            for piece in ready.drain(..) {
                report.problems.extend(piece.problems);
                report.tiles += u64::from(piece.tile_read);
                if let Some((bytes, places)) = piece.entries {
                    let entries: Vec<&[u8]> = places.into_iter().map(|place| &bytes[place]).collect();
                    report.entries += entries.len() as u64;
                    report.problems.extend(on_entries(piece.first, &entries).err());
                }
            }
            tree = match (tree.take(), leaves) {
                (Some(edge), Some(leaves)) => Some(upper_tiles(source, &edge, &leaves, size, &mut report)?),
                _ => None,
            };
            Ok(())
        })?;
        ready = next?;
        progress(size.min(group * WIDTH), size);
    }
    match tree {
        Some(edge) if group == bundles => {
            if edge.root != report.root {
                let detail =
                    format!("checkpoint: entries and tiles give the root {}, it says {}", edge.root, report.root);
                report.problems.push(problem("fsck.root", detail));
            }
        }
        _ => report
            .problems
            .push(problem("fsck.incomplete", format!("the root of {size} entries could not be computed"))),
    }
    report.problems.truncate(MAX_PROBLEMS + 1);
    Ok(report)
}

fn problem(code: &'static str, detail: String) -> Error {
    Error::refuse(code, detail, "restore the file from a mirror or a backup, then check again")
}

/// Errors that are about the log become problems; the others end the check.
fn listed<T>(result: Result<T>, path: LogPath, problems: &mut Vec<Error>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(e) if e.action() == Action::Retry => Err(e),
        Err(e) => {
            problems.push(e.at(path));
            Ok(None)
        }
    }
}

fn checkpoint(source: &dyn FsckSource, key: Option<&VerifierKey>, report: &mut Report) -> Result<Option<Checkpoint>> {
    let path = LogPath::Checkpoint;
    let read = source.read(&path, max_len(path) as usize);
    let Some(found) = listed(read, path, &mut report.problems)? else { return Ok(None) };
    let Some(note) = found else {
        report.problems.push(problem("fsck.missing", "checkpoint does not exist".into()));
        return Ok(None);
    };
    if let Some(key) = key {
        listed(Checkpoint::open(&note, key, key.name()), path, &mut report.problems)?;
    }
    let text = std::str::from_utf8(&note).map_err(|_| problem("note.form", "not text".into()));
    listed(text.and_then(parse_checkpoint), path, &mut report.problems)
}

/// A resource, cut from the full one where its partial file is gone (C2SP tlog-tiles allows to remove it then).
fn fetch(source: &dyn FsckSource, path: LogPath, width: u16, problems: &mut Vec<Error>) -> Result<Option<Vec<u8>>> {
    let full = TILE_WIDTH as u16;
    let read = || match source.read(&path, max_len(path) as usize)? {
        None if width < full => {
            let wide = with_width(path, full);
            source.read(&wide, max_len(wide) as usize)?.map(|bytes| cut(path, bytes, full)).transpose()
        }
        found => Ok(found),
    };
    let found = listed(read(), path, problems)?;
    if let Some(None) = found {
        problems.push(problem("fsck.missing", format!("{path} does not exist")));
    }
    Ok(found.flatten())
}

/// One bundle and its tile.
struct Piece {
    first: u64,
    /// The bundle and the places of its entries.
    entries: Option<(Vec<u8>, Vec<Range<usize>>)>,
    /// Hashes to go on with: of the entries, or of the tile where the entries are unreadable or proved wrong.
    leaves: Option<Vec<Hash>>,
    tile_read: bool,
    problems: Vec<Error>,
}

fn piece(source: &dyn FsckSource, index: u64, size: u64) -> Result<Piece> {
    let mut piece = Piece { first: index * WIDTH, entries: None, leaves: None, tile_read: false, problems: Vec::new() };
    let (Some(bundle), Some(tile)) = (BundleId::in_tree(index, size), TileId::in_tree(0, index, size)) else {
        return Ok(piece);
    };
    let problems = &mut piece.problems;
    let mut computed = None;
    if let Some(bytes) = fetch(source, bundle.into(), bundle.width, problems)?
        && let Some(places) = listed(decode_bundle(&bytes, bundle.width), bundle.into(), problems)?
    {
        computed = Some(places.iter().map(|place| leaf_hash(&bytes[place.clone()])).collect::<Vec<_>>());
        piece.entries = Some((bytes, places));
    }
    let mut stored = None;
    if let Some(bytes) = fetch(source, tile.into(), tile.width, problems)? {
        stored = listed(decode_tile(&bytes, tile.width), tile.into(), problems)?;
        piece.tile_read = stored.is_some();
    }
    piece.leaves = match (computed, stored) {
        (Some(computed), Some(stored)) if computed != stored => {
            let at = computed.iter().zip(&stored).position(|(a, b)| a != b).unwrap_or(0) as u64;
            // The tile above says which of the two is right.
            let above = match TileId::in_tree(1, index / WIDTH, size).filter(|_| tile.is_full()) {
                Some(parent) if parent.within(size) && index % WIDTH < u64::from(parent.width) => {
                    let mut ignored = Vec::new(); // reported when that tile itself is checked
                    let bytes = fetch(source, parent.into(), parent.width, &mut ignored)?;
                    bytes.and_then(|b| decode_tile(&b, parent.width).ok()).map(|h| h[(index % WIDTH) as usize])
                }
                _ => None,
            };
            let entries_wrong = above == Some(subtree_root(&stored));
            let (code, culprit) = match (entries_wrong, above == Some(subtree_root(&computed))) {
                (true, _) => ("fsck.entry", LogPath::from(bundle)),
                (_, true) => ("fsck.tile", LogPath::from(tile)),
                _ => ("fsck.entry", LogPath::from(bundle)),
            };
            let detail = format!("{culprit}: {bundle} and {tile} disagree from entry {} on", piece.first + at);
            piece.problems.push(problem(code, detail));
            Some(if entries_wrong { stored } else { computed })
        }
        (computed, stored) => computed.or(stored),
    };
    Ok(piece)
}

/// Grows the tree by the leaves of one group and compares the tiles above level 0 that are complete with it.
fn upper_tiles(source: &dyn FsckSource, edge: &Edge, leaves: &[Hash], size: u64, report: &mut Report) -> Result<Edge> {
    let growth = edge.grow_hashes(leaves)?;
    for (path, expected) in growth.files {
        let LogPath::Tile(tile) = path else { continue };
        let final_width = TileId::in_tree(tile.level, tile.index, size) == Some(tile);
        if tile.level == 0 || !final_width {
            continue;
        }
        if let Some(bytes) = fetch(source, path, tile.width, &mut report.problems)? {
            report.tiles += 1;
            if expected != bytes {
                report
                    .problems
                    .push(problem("fsck.tile", format!("{path} does not hold the hashes of the tiles below")));
            }
        }
    }
    Ok(growth.edge)
}
