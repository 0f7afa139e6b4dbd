//! Tiles and entry bundles: which exist, their paths and their bytes (C2SP tlog-tiles).
//!
//! A *tile* of level `l` holds up to 256 consecutive hashes, each over 256^l entries; an *entry bundle* holds up to 256
//! consecutive entries. Full ones never change; the last of each level may be partial and is named by its width.

use std::fmt;
use std::ops::Range;

use super::hash::Hash;
use super::{MAX_SIZE, decimal};
use crate::error::{Error, Result};

/// Hashes in a full tile, entries in a full bundle.
pub const TILE_WIDTH: usize = 256;
/// Bytes of the longest entry: its length is written in 16 bits.
pub const MAX_ENTRY_LEN: usize = u16::MAX as usize;
/// Bytes of the longest bundle: 256 entries of the longest kind.
pub const MAX_BUNDLE_LEN: usize = TILE_WIDTH * (2 + MAX_ENTRY_LEN);
/// The longest path this module writes is 47 bytes; anything longer is not looked at.
const MAX_PATH_LEN: usize = 64;
const FULL: u64 = TILE_WIDTH as u64;

/// A tile of hashes: `level` counted from the entries' hashes (0), `index` within the level, `width` in hashes, 1 to 256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TileId {
    /// Level: each hash stands for 256^level entries.
    pub level: u8,
    /// Position within the level.
    pub index: u64,
    /// Number of hashes; 256 for a full tile.
    pub width: u16,
}

/// A bundle of entries: `index`, and `width` in entries, 1 to 256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BundleId {
    /// Position: the bundle starts at entry `index * 256`.
    pub index: u64,
    /// Number of entries; 256 for a full bundle.
    pub width: u16,
}

impl TileId {
    /// Whether a tree of `size` entries has all hashes of this tile.
    pub fn within(&self, size: u64) -> bool {
        within(self.index, self.width, hashes_at(self.level, size))
    }

    /// The tile of `level` and `index` as wide as it is in a tree of `size` entries; `None` if it would be empty.
    pub fn in_tree(level: u8, index: u64, size: u64) -> Option<TileId> {
        width_at(index, hashes_at(level, size)).map(|width| TileId { level, index, width })
    }

    /// Whether the tile can change no more.
    pub fn is_full(&self) -> bool {
        usize::from(self.width) == TILE_WIDTH
    }
}

impl BundleId {
    /// Whether a tree of `size` entries has all entries of this bundle.
    pub fn within(&self, size: u64) -> bool {
        within(self.index, self.width, size)
    }

    /// The bundle of `index` as wide as it is in a tree of `size` entries; `None` if it would be empty.
    pub fn in_tree(index: u64, size: u64) -> Option<BundleId> {
        width_at(index, size).map(|width| BundleId { index, width })
    }

    /// Whether the bundle can change no more.
    pub fn is_full(&self) -> bool {
        usize::from(self.width) == TILE_WIDTH
    }
}

/// Number of hashes at `level` of a tree of `size` entries: only complete groups of 256^level count.
pub(super) fn hashes_at(level: u8, size: u64) -> u64 {
    size.checked_shr(8 * u32::from(level)).unwrap_or(0)
}

fn within(index: u64, width: u16, count: u64) -> bool {
    let end = index.checked_mul(FULL).and_then(|start| start.checked_add(u64::from(width)));
    width >= 1 && usize::from(width) <= TILE_WIDTH && end.is_some_and(|end| end <= count)
}

fn width_at(index: u64, count: u64) -> Option<u16> {
    let start = index.checked_mul(FULL)?;
    let width = count.checked_sub(start)?.min(FULL);
    // At most 256, so the cast keeps the value.
    (width > 0).then_some(width as u16)
}

/// Tiles to write when a tree grows from `old_size` to `new_size` entries, level by level; the last of a level may be
/// partial. Lazy, because a size may be a stranger's claim. Nothing if the tree does not grow.
pub fn tiles_between(old_size: u64, new_size: u64) -> impl Iterator<Item = TileId> {
    (0..8u8).flat_map(move |level| {
        changed(hashes_at(level, old_size), hashes_at(level, new_size))
            .filter_map(move |index| TileId::in_tree(level, index, new_size))
    })
}

/// Bundles to write when a tree grows from `old_size` to `new_size` entries; the last may be partial.
pub fn bundles_between(old_size: u64, new_size: u64) -> impl Iterator<Item = BundleId> {
    changed(old_size, new_size).filter_map(move |index| BundleId::in_tree(index, new_size))
}

/// All tiles of a tree of `size` entries, the partial ones included.
pub fn tiles_of(size: u64) -> impl Iterator<Item = TileId> {
    tiles_between(0, size)
}

/// Indices of groups of 256 that get new members when a sequence grows.
fn changed(old: u64, new: u64) -> Range<u64> {
    if old < new { old / FULL..new.div_ceil(FULL) } else { 0..0 }
}

/// A resource of a log, named by its path below the log's prefix (C2SP tlog-tiles, "APIs").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogPath {
    /// `checkpoint`: the signed head.
    Checkpoint,
    /// `tile/<L>/<N>[.p/<W>]`: hashes.
    Tile(TileId),
    /// `tile/entries/<N>[.p/<W>]`: entries.
    Bundle(BundleId),
}

impl LogPath {
    /// Reads a path. Only the canonical spelling is taken, so that a resource has one name: levels 0 to 63, no spare
    /// zeroes, no empty leading groups, no leading slash. An index past the largest tree is refused.
    ///
    /// Errors: `tile.path`.
    pub fn parse(path: &str) -> Result<LogPath> {
        Self::parse_opt(path).ok_or_else(|| {
            let shown: String = path.chars().take(MAX_PATH_LEN).collect();
            Error::refuse(
                "tile.path",
                format!("{shown:?} is not a path of a tiled log"),
                "use checkpoint, tile/<L>/<N>[.p/<W>] or tile/entries/<N>[.p/<W>] as C2SP tlog-tiles spells them",
            )
        })
    }

    fn parse_opt(path: &str) -> Option<LogPath> {
        if path.len() > MAX_PATH_LEN {
            return None;
        }
        if path == "checkpoint" {
            return Some(LogPath::Checkpoint);
        }
        let (level, rest) = path.strip_prefix("tile/")?.split_once('/')?;
        let (number, width) = match rest.split_once(".p/") {
            Some((number, width)) => (number, decimal(width).filter(|w| (1..FULL).contains(w))?),
            None => (rest, FULL),
        };
        let (index, width) = (parse_index(number)?, width as u16);
        if level == "entries" {
            return Some(LogPath::Bundle(BundleId { index, width }));
        }
        let level = decimal(level).filter(|l| *l <= 63)? as u8;
        Some(LogPath::Tile(TileId { level, index, width }))
    }
}

/// `x001/x234/067` → 1234067.
fn parse_index(text: &str) -> Option<u64> {
    let (leading, last) = text.rsplit_once('/').map_or((None, text), |(leading, last)| (Some(leading), last));
    let mut index = 0u64;
    for (i, group) in leading.into_iter().flat_map(|l| l.split('/')).enumerate() {
        let value = three_digits(group.strip_prefix('x')?)?;
        if i == 0 && value == 0 {
            return None; // the same number has a shorter spelling
        }
        index = index.checked_mul(1000)?.checked_add(value)?;
    }
    index = index.checked_mul(1000)?.checked_add(three_digits(last)?)?;
    (index <= MAX_SIZE / FULL).then_some(index)
}

fn three_digits(group: &str) -> Option<u64> {
    let ok = group.len() == 3 && group.bytes().all(|b| b.is_ascii_digit());
    if ok { group.parse().ok() } else { None }
}

/// Writes the index in groups of three digits and the width of a partial resource.
fn write_index(f: &mut fmt::Formatter<'_>, index: u64, width: u16) -> fmt::Result {
    let mut scale = 1u64;
    while index / scale >= 1000 {
        scale *= 1000;
    }
    while scale > 1 {
        write!(f, "x{:03}/", index / scale % 1000)?;
        scale /= 1000;
    }
    write!(f, "{:03}", index % 1000)?;
    if usize::from(width) < TILE_WIDTH { write!(f, ".p/{width}") } else { Ok(()) }
}

impl fmt::Display for TileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tile/{}/", self.level)?;
        write_index(f, self.index, self.width)
    }
}

impl fmt::Display for BundleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tile/entries/")?;
        write_index(f, self.index, self.width)
    }
}

impl fmt::Display for LogPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LogPath::Checkpoint => f.write_str("checkpoint"),
            LogPath::Tile(tile) => tile.fmt(f),
            LogPath::Bundle(bundle) => bundle.fmt(f),
        }
    }
}

impl From<TileId> for LogPath {
    fn from(tile: TileId) -> Self {
        LogPath::Tile(tile)
    }
}

impl From<BundleId> for LogPath {
    fn from(bundle: BundleId) -> Self {
        LogPath::Bundle(bundle)
    }
}

fn checked_width(width: usize) -> Result<usize> {
    if (1..=TILE_WIDTH).contains(&width) {
        return Ok(width);
    }
    Err(Error::refuse("tile.width", format!("a tile or bundle of {width} is not served"), "give a width of 1 to 256"))
}

/// Bytes of a tile: its hashes, one after another.
pub fn encode_tile(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

/// Reads a tile of exactly `width` hashes.
///
/// Errors: `tile.width`, `tile.truncated`, `tile.trailing`.
pub fn decode_tile(bytes: &[u8], width: u16) -> Result<Vec<Hash>> {
    let want = 32 * checked_width(usize::from(width))?;
    if bytes.len() != want {
        let code = if bytes.len() < want { "tile.truncated" } else { "tile.trailing" };
        return Err(Error::refuse(
            code,
            format!("tile of width {width} has {} bytes, not {want}", bytes.len()),
            "fetch the tile again",
        ));
    }
    let (hashes, _) = bytes.as_chunks::<32>();
    Ok(hashes.iter().map(|hash| Hash(*hash)).collect())
}

/// Bytes of a bundle: each entry after its length as a big-endian u16.
///
/// Errors: `tile.width` (none or more than 256 entries), `bundle.entry-too-long` (over 65 535 bytes).
pub fn encode_bundle(entries: &[impl AsRef<[u8]>]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    extend_bundle(&mut bytes, entries)?;
    Ok(bytes)
}

/// Adds entries to the bytes of a bundle.
///
/// Errors: as of [`encode_bundle`]; `bytes` is no bundle then.
pub fn extend_bundle(bytes: &mut Vec<u8>, entries: &[impl AsRef<[u8]>]) -> Result<()> {
    checked_width(entries.len())?;
    bytes.reserve_exact(entries.iter().map(|e| 2 + e.as_ref().len()).sum());
    for (i, entry) in entries.iter().map(AsRef::as_ref).enumerate() {
        let length = u16::try_from(entry.len()).map_err(|_| {
            Error::refuse(
                "bundle.entry-too-long",
                format!("entry {i} of the bundle has {} bytes", entry.len()),
                "keep entries within 65535 bytes",
            )
        })?;
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(entry);
    }
    Ok(())
}

/// Reads a bundle of exactly `width` entries; gives the place of each entry in `bytes`.
///
/// Errors: `tile.width`, `bundle.truncated`, `bundle.trailing`.
pub fn decode_bundle(bytes: &[u8], width: u16) -> Result<Vec<Range<usize>>> {
    let width = checked_width(usize::from(width))?;
    let mut entries = Vec::with_capacity(width);
    let mut at = 0usize;
    for i in 0..width {
        let range = bytes.get(at..).and_then(|rest| rest.first_chunk::<2>()).map(|length| {
            let start = at + 2;
            start..start + usize::from(u16::from_be_bytes(*length))
        });
        let range = range.filter(|range| range.end <= bytes.len()).ok_or_else(|| {
            Error::refuse(
                "bundle.truncated",
                format!("bundle ends inside entry {i} of {width}"),
                "fetch the bundle again",
            )
        })?;
        at = range.end;
        entries.push(range);
    }
    if at != bytes.len() {
        return Err(Error::refuse(
            "bundle.trailing",
            format!("bundle has {} bytes after its {width} entries", bytes.len() - at),
            "fetch the bundle again",
        ));
    }
    Ok(entries)
}
