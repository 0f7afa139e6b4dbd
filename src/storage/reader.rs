//! What readers see of a log on disk: the published head and the files below it.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::durable::read_optional;
use crate::error::{Action, Error, Result};
use crate::tlog::Hash;
use crate::tlog::checkpoint::Checkpoint;
use crate::tlog::hash::leaf_hash;
use crate::tlog::note::Note;
use crate::tlog::tile::{BundleId, LogPath, MAX_BUNDLE_LEN, TILE_WIDTH, TileId, decode_bundle, decode_tile};
use crate::tlog::tree::TileSource;

/// Most entries given by one [`LogReader::entries`].
pub const MAX_RANGE: u64 = 65_536;
/// Most bytes of a checkpoint file.
pub(super) const MAX_CHECKPOINT: u64 = 64 * 1024;

/// A head and the checkpoint that is served with it.
#[derive(Debug, Clone)]
pub(super) struct Published {
    /// Entries that are there for this process.
    pub size: u64,
    /// Root of the tree of `size` entries.
    pub root: Hash,
    /// Size of the checkpoint: nothing beyond it is served. Less than `size` only in a mirror.
    pub served: u64,
    /// The checkpoint's signed note.
    pub checkpoint: Option<Arc<str>>,
}

impl Published {
    pub(super) const EMPTY: Published = Published { size: 0, root: Hash::EMPTY_TREE, served: 0, checkpoint: None };
}

/// Reads a published log. Cheap to clone; every call sees the head as of that moment, and what was once readable stays so.
/// Blocking: disk reads.
#[derive(Clone)]
pub struct LogReader(Arc<Shared>);

struct Shared {
    dir: PathBuf,
    published: ArcSwap<Published>,
}

impl LogReader {
    pub(super) fn new(dir: &Path, published: Published) -> LogReader {
        LogReader(Arc::new(Shared { dir: dir.to_owned(), published: ArcSwap::from_pointee(published) }))
    }
    /// Reads the log in `dir` as it is published at this moment, also while another process writes it: what was published
    /// stays readable. Nothing is verified and nothing is written.
    ///
    /// Errors: those of the checkpoint's form, `disk.read`, `disk.too-large`.
    pub fn open(dir: &Path) -> Result<LogReader> {
        let published = match read_checkpoint(dir)? {
            Some((c, note)) => Published { size: c.size, root: c.root, served: c.size, checkpoint: Some(note) },
            None => Published::EMPTY,
        };
        Ok(LogReader::new(dir, published))
    }
    pub(super) fn set(&self, published: Published) {
        self.0.published.store(Arc::new(published));
    }
    pub(super) fn published(&self) -> Arc<Published> {
        self.0.published.load_full()
    }
    /// Number of entries.
    pub fn size(&self) -> u64 {
        self.0.published.load().size
    }
    /// Size of the published checkpoint; in a mirror there may be more entries.
    pub fn served(&self) -> u64 {
        self.0.published.load().served
    }
    /// Size and root of the tree, of one moment.
    pub fn head(&self) -> (u64, Hash) {
        let published = self.0.published.load();
        (published.size, published.root)
    }
    /// The signed note of the published checkpoint; `None` before the first.
    pub fn checkpoint_text(&self) -> Option<Arc<str>> {
        self.0.published.load().checkpoint.clone()
    }

    /// The bytes of a resource as they are served: `None` for what the published checkpoint does not cover. A partial tile
    /// or bundle is given at any width up to the one published; what is on disk only wider is cut.
    ///
    /// Errors: `tile.missing` for a file that ought to be there, `tile.truncated`, `tile.trailing`, `bundle.truncated`,
    /// `bundle.trailing`, `disk.read`, `disk.too-large`.
    pub fn read(&self, path: LogPath) -> Result<Option<Vec<u8>>> {
        let published = self.0.published.load();
        let covered = match path {
            LogPath::Checkpoint => return Ok(published.checkpoint.as_ref().map(|c| c.as_bytes().to_vec())),
            LogPath::Tile(tile) => tile.within(published.served),
            LogPath::Bundle(bundle) => bundle.within(published.served),
        };
        if covered { self.resource(path, published.served).map(Some) } else { Ok(None) }
    }

    /// The entry of `index`, held against its hash in the tile.
    ///
    /// Errors: `entry.range` if there is none, `entry.damaged`, and those of [`LogReader::read`].
    pub fn entry(&self, index: u64) -> Result<Vec<u8>> {
        let size = self.size();
        let id = BundleId::in_tree(index / TILE_WIDTH as u64, size).ok_or_else(|| out_of_range(index, index, size))?;
        let bytes = self.resource(id.into(), size)?;
        let ranges = decode_bundle(&bytes, id.width).map_err(|e| e.at(id))?;
        let range = ranges.into_iter().nth((index % TILE_WIDTH as u64) as usize);
        let entry = range.map(|r| bytes[r].to_vec()).ok_or_else(|| out_of_range(index, index, size))?;
        if self.leaves(index..index + 1)? != [leaf_hash(&entry)] {
            return Err(self.damaged(index));
        }
        Ok(entry)
    }

    /// Entries of a range, at most [`MAX_RANGE`].
    ///
    /// Errors: `entry.range`, and those of [`LogReader::read`].
    pub fn entries(&self, range: Range<u64>) -> Result<Entries> {
        let size = self.size();
        if range.start > range.end || range.end > size || range.end - range.start > MAX_RANGE {
            return Err(out_of_range(range.start, range.end, size));
        }
        let mut out = Entries::default();
        let width = TILE_WIDTH as u64;
        for index in range.start / width..range.end.div_ceil(width) {
            let Some(id) = BundleId::in_tree(index, size) else { break };
            out.push(self.resource(id.into(), size)?, id, &range).map_err(|e| e.at(id))?;
        }
        Ok(out)
    }

    /// Leaf hashes of a range, from the tiles: an entry that has another one is not what was signed.
    ///
    /// Errors: as of [`LogReader::entries`].
    pub fn leaves(&self, range: Range<u64>) -> Result<Vec<Hash>> {
        let size = self.size();
        if range.start > range.end || range.end > size || range.end - range.start > MAX_RANGE {
            return Err(out_of_range(range.start, range.end, size));
        }
        let width = TILE_WIDTH as u64;
        let mut out = Vec::with_capacity((range.end - range.start) as usize);
        for index in range.start / width..range.end.div_ceil(width) {
            let Some(id) = TileId::in_tree(0, index, size) else { break };
            let hashes = (index * width..).zip(self.tile(id)?);
            out.extend(hashes.filter(|(at, _)| range.contains(at)).map(|(_, hash)| hash));
        }
        Ok(out)
    }

    /// The error for an entry that is not the one the log was signed with.
    pub fn damaged(&self, index: u64) -> Error {
        Error::stop(
            "entry.damaged",
            format!("{}: entry {index} is not the one that was signed", self.0.dir.join("tile/entries").display()),
            "stop the node and run «domovoi fsck --repair», with --from and a backup if it finds no copy of the entry",
        )
    }

    /// A resource of the tree of `size` entries, which must have been published once.
    pub(super) fn resource(&self, path: LogPath, size: u64) -> Result<Vec<u8>> {
        // While this runs, the tree may grow and its partial files give way to full ones: those are looked for too.
        // Nobody sent these bytes: what is wrong with them is damage here, and not the fault of whoever asks.
        let found = read_resource(&self.0.dir, path, size).map_err(|e| e.with_action(Action::Stop))?;
        found.ok_or_else(|| {
            Error::stop(
                "tile.missing",
                format!("{} is not in {}, though the log has it", path, self.0.dir.display()),
                "run «domovoi fsck» and restore the file from a mirror or a backup",
            )
        })
    }
}

/// Consecutive entries of a log, in the bundles they were read in: a copy of each would be an allocation of each.
#[derive(Debug, Default, Clone)]
pub struct Entries {
    bundles: Vec<Held>,
    /// Bundle and place of each entry.
    places: Vec<(usize, Range<usize>)>,
}

#[derive(Debug, Clone)]
struct Held {
    id: BundleId,
    bytes: Vec<u8>,
    /// None of its entries was left out.
    whole: bool,
}

impl Entries {
    /// Adds the entries of the bundle `id` whose indices lie in `wanted`.
    ///
    /// Errors: those of [`decode_bundle`].
    pub fn push(&mut self, bytes: Vec<u8>, id: BundleId, wanted: &Range<u64>) -> Result<()> {
        let (before, indices) = (self.places.len(), id.index * TILE_WIDTH as u64..);
        let places = indices.zip(decode_bundle(&bytes, id.width)?).filter(|(index, _)| wanted.contains(index));
        self.places.extend(places.map(|(_, place)| (self.bundles.len(), place)));
        self.bundles.push(Held { id, bytes, whole: self.places.len() - before == usize::from(id.width) });
        Ok(())
    }
    /// Adds those of `other`, which follow.
    pub fn append(&mut self, other: Entries) {
        let before = self.bundles.len();
        self.places.extend(other.places.into_iter().map(|(bundle, place)| (before + bundle, place)));
        self.bundles.extend(other.bundles);
    }
    /// Leaves the first `count` out.
    pub fn skip(&mut self, count: usize) {
        for (bundle, _) in self.places.drain(..count.min(self.places.len())) {
            self.bundles[bundle].whole = false;
        }
    }
    /// The full bundle with this index as it was read, where all its entries are among these.
    pub fn full_bundle(&self, index: u64) -> Option<&[u8]> {
        let held = self.bundles.iter().find(|b| b.whole && b.id.is_full() && b.id.index == index);
        held.map(|b| b.bytes.as_slice())
    }
    /// Number of entries.
    pub fn len(&self) -> usize {
        self.places.len()
    }
    /// Bytes of memory that the bundles take.
    pub fn bytes(&self) -> usize {
        self.bundles.iter().map(|b| b.bytes.len()).sum()
    }
    /// True where there is none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
    /// The entries, in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.places.iter().map(|(bundle, place)| &self.bundles[*bundle].bytes[place.clone()])
    }
    /// The entries as a slice of slices.
    pub fn all(&self) -> Vec<&[u8]> {
        self.iter().collect()
    }
}

impl TileSource for LogReader {
    fn tile(&self, tile: TileId) -> Result<Vec<Hash>> {
        let size = self.size();
        if !tile.within(size) {
            return Err(Error::refuse(
                "tile.range",
                format!("{tile} is not in a log of {size} entries"),
                "ask for less",
            ));
        }
        let bytes = self.resource(tile.into(), size)?;
        decode_tile(&bytes, tile.width).map_err(|e| e.at(tile))
    }
}

fn out_of_range(from: u64, to: u64, size: u64) -> Error {
    Error::refuse(
        "entry.range",
        format!("entries {from} to {to} of a log of {size}"),
        "ask for entries below the log's size, at most 65536 at a time",
    )
}

/// Most bytes of a resource's file.
pub(super) fn max_len(path: LogPath) -> u64 {
    match path {
        LogPath::Checkpoint => MAX_CHECKPOINT,
        LogPath::Tile(tile) => 32 * u64::from(tile.width),
        LogPath::Bundle(_) => MAX_BUNDLE_LEN as u64,
    }
}

/// The same tile or bundle with another width.
pub(super) fn with_width(path: LogPath, width: u16) -> LogPath {
    match path {
        LogPath::Checkpoint => path,
        LogPath::Tile(tile) => LogPath::Tile(TileId { width, ..tile }),
        LogPath::Bundle(bundle) => LogPath::Bundle(BundleId { width, ..bundle }),
    }
}

/// Reads a tile or bundle file, checked for its length. Where there is no file of that width, it is cut from the full
/// one or from the partial one of a tree of `size` entries.
pub(super) fn read_resource(dir: &Path, path: LogPath, size: u64) -> Result<Option<Vec<u8>>> {
    if let Some(bytes) = read_exact(dir, path)? {
        return Ok(Some(bytes));
    }
    let (width, edge) = match path {
        LogPath::Checkpoint => return Ok(None),
        LogPath::Tile(t) => (t.width, TileId::in_tree(t.level, t.index, size).map(|t| t.width)),
        LogPath::Bundle(b) => (b.width, BundleId::in_tree(b.index, size).map(|b| b.width)),
    };
    for wider in [Some(TILE_WIDTH as u16), edge].into_iter().flatten().filter(|w| *w > width) {
        let Some(bytes) = read_exact(dir, with_width(path, wider))? else { continue };
        return cut(path, bytes, wider).map(Some);
    }
    Ok(None)
}

/// The first part of a tile or bundle that is `wider` than `path` says.
pub(super) fn cut(path: LogPath, mut bytes: Vec<u8>, wider: u16) -> Result<Vec<u8>> {
    let end = match path {
        LogPath::Checkpoint => bytes.len(),
        LogPath::Tile(tile) => 32 * usize::from(tile.width),
        LogPath::Bundle(bundle) => {
            let places = decode_bundle(&bytes, wider).map_err(|e| e.at(with_width(path, wider)))?;
            places.get(usize::from(bundle.width).saturating_sub(1)).map_or(0, |place| place.end)
        }
    };
    bytes.truncate(end);
    Ok(bytes)
}

fn read_exact(dir: &Path, path: LogPath) -> Result<Option<Vec<u8>>> {
    let Some(bytes) = read_optional(&dir.join(path.to_string()), max_len(path))? else { return Ok(None) };
    let checked = match path {
        LogPath::Checkpoint => Ok(()),
        LogPath::Tile(tile) => decode_tile(&bytes, tile.width).map(drop),
        LogPath::Bundle(bundle) => decode_bundle(&bytes, bundle.width).map(drop),
    };
    checked.map_err(|e| e.at(path))?;
    Ok(Some(bytes))
}

/// Reads the checkpoint of a log directory: its head, and the note as it stands. The signature is not looked at.
pub(super) fn read_checkpoint(dir: &Path) -> Result<Option<(Checkpoint, Arc<str>)>> {
    let Some(bytes) = read_optional(&dir.join("checkpoint"), MAX_CHECKPOINT)? else { return Ok(None) };
    let text = String::from_utf8_lossy(&bytes);
    parse_checkpoint(&text).map(|c| Some((c, text.into()))).map_err(|e| e.at(dir.join("checkpoint").display()))
}

/// The head that a checkpoint's note names.
pub(super) fn parse_checkpoint(note: &str) -> Result<Checkpoint> {
    Checkpoint::parse(Note::parse(note.as_bytes())?.text())
}
