//! A verified copy of somebody else's log. The follower verifies entries against a signed checkpoint, then appends them
//! batch by batch, and publishes the checkpoint when all it covers is there; a log that breaks a rule stays at its last
//! good batch, with the checkpoint of an earlier round.
//!
//! The head file names the size and root that are there for this process, and the size an append in progress goes to: at
//! the next start, what that append left beyond the head is removed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::durable::{
    Pages, create_dir, read_optional, remove, temp_of, with_sum, without_sum, write_atomic, write_files,
};
use super::edge::{Edge, on_disk, remove_partials};
use super::journal::Record;
use super::lock::Lock;
use super::log_store::open_by_any;
use super::reader::{LogReader, MAX_CHECKPOINT, Published, parse_checkpoint};
use super::repair::{repair, set_aside};
use crate::error::{Action, Error, Result};
use crate::tlog::Hash;
use crate::tlog::checkpoint::Checkpoint;
use crate::tlog::hash::leaf_hashes;
use crate::tlog::note::VerifierKey;
use crate::tlog::tile::{LogPath, bundles_between, tiles_between};
use crate::tlog::tree;

/// The writer of a mirror.
pub struct MirrorStore {
    dir: PathBuf,
    head_path: PathBuf,
    floor_path: PathBuf,
    /// What was accepted before a damaged mirror was set aside; must be part of the log that is published next.
    floor: Option<Head>,
    edge: Edge,
    reader: LogReader,
    /// Sizes whose partial files wait for a checkpoint that covers the full ones.
    edges: Vec<u64>,
    broken: bool,
    _lock: Lock,
}

const TITLE: &str = "domovoi mirror 1";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Head {
    size: u64,
    root: Hash,
    /// Size that an append in progress goes to; `size` when none is.
    next: u64,
}

impl Head {
    const EMPTY: Head = Head { size: 0, root: Hash::EMPTY_TREE, next: 0 };
    fn to_text(self) -> String {
        with_sum(&format!("{TITLE}\n{}\n{}\n{}\n", self.size, self.root.to_base64(), self.next))
    }
    fn parse(bytes: &[u8]) -> Option<Head> {
        let mut lines = without_sum(bytes)?.split('\n').skip(1);
        let (size, root) = (lines.next()?.parse().ok()?, Hash::from_base64(lines.next()?).ok()?);
        let head = Head { size, root, next: lines.next()?.parse().ok()? };
        (head.to_text().as_bytes() == bytes && head.next >= head.size).then_some(head)
    }
}

impl MirrorStore {
    /// Opens or creates the mirror with its C2SP files in `dir`; its head and lock lie beside, in `dir/../private`. `keys` are
    /// the log's. Removes what an interrupted append left.
    ///
    /// Damage is repaired where the mirror itself allows it. Where not, the mirror is set aside in `private/damaged` and
    /// fetched anew, and what was accepted is remembered: a log that does not contain it is not published again.
    ///
    /// Errors: `storage.locked`, `mirror.size`, `mirror.root`, those of the disk.
    pub fn open(dir: &Path, keys: &[&VerifierKey]) -> Result<MirrorStore> {
        Self::open_stopping(dir, keys).map_err(|e| e.with_action(Action::Stop))
    }

    fn open_stopping(dir: &Path, keys: &[&VerifierKey]) -> Result<MirrorStore> {
        let private = dir.with_file_name("private");
        create_dir(dir)?;
        create_dir(&private)?;
        let lock = Lock::acquire(&private.join("lock"))?;
        let (head_path, floor_path) = (private.join("head"), private.join("floor"));
        remove(&temp_of(&head_path))?;
        remove(&temp_of(&dir.join("checkpoint")))?;
        let mut checkpoint = checkpoint_of(dir, &private, keys)?;
        let floor = read_head(&floor_path, &private)?;
        // A mirror without a head is new, or was restored from its C2SP files, or has a damaged one: the checkpoint is the
        // head then.
        let mut head = read_head(&head_path, &private)?.unwrap_or_else(|| {
            let there = checkpoint.as_ref().map(|(c, _)| Head { size: c.size, root: c.root, next: c.size });
            there.unwrap_or(Head::EMPTY)
        });
        if head.next > head.size {
            remove_beyond(dir, head)?;
            head.next = head.size;
            write_atomic(&head_path, head.to_text().as_bytes())?;
        }
        let mut floor = floor;
        let edge = match whole_edge(dir, head) {
            Ok(edge) => edge,
            Err(damage) => {
                let remembered = floor.filter(|f| f.size > head.size).unwrap_or(head);
                write_atomic(&floor_path, remembered.to_text().as_bytes())?;
                let place = set_aside(dir, &private)?;
                create_dir(dir)?;
                (floor, head, checkpoint) = (Some(remembered), Head::EMPTY, None);
                write_atomic(&head_path, head.to_text().as_bytes())?;
                tracing::error!(error = %damage, set_aside = %place.display(), "a mirror is damaged and is fetched anew");
                Edge::empty()
            }
        };
        let reader = LogReader::new(dir, Published { size: head.size, root: head.root, ..Published::EMPTY });
        let mut store = MirrorStore {
            dir: dir.to_owned(),
            head_path,
            floor_path,
            floor,
            edge,
            reader,
            edges: Vec::new(),
            broken: false,
            _lock: lock,
        };
        if let Some((checkpoint, note)) = checkpoint {
            store.check(&checkpoint)?;
            store.edges.push(checkpoint.size);
            store.show(checkpoint.size, note);
        }
        Ok(store)
    }

    /// What is published from now on must contain this head.
    ///
    /// Errors: `disk.write`.
    pub fn require(&mut self, size: u64, root: Hash) -> Result<()> {
        let head = Head { size, root, next: size };
        write_atomic(&self.floor_path, head.to_text().as_bytes())?;
        self.floor = Some(head);
        Ok(())
    }

    /// Removes what only a mirror has beside its files, so that the log can be opened by the node that writes it.
    ///
    /// Errors: `disk.write`.
    pub fn hand_over(self) -> Result<()> {
        remove(&self.head_path)?;
        remove(&self.floor_path)
    }

    /// Reads the mirror: all entries that were appended; `read` and the checkpoint only what is published.
    pub fn reader(&self) -> LogReader {
        self.reader.clone()
    }

    /// Appends entries that are verified already; durable, then visible, all or none.
    ///
    /// Errors: `stage.empty`, `stage.too-large`, `stage.entry-too-long`, `tree.size`, `store.broken`, `disk.write`.
    pub fn append(&mut self, entries: &[impl AsRef<[u8]> + Sync]) -> Result<()> {
        self.grow(entries, &leaf_hashes(entries), |_| None, Pages::Stay)
    }

    /// [`append`](Self::append) of entries whose leaf hashes are known, to a mirror that nobody reads yet: `leaves` is believed,
    /// and so is `full`, which gives the full bundle with an index where it is there already.
    ///
    /// Errors: as of `append`; `log.edge` where they are not as many.
    pub fn append_hashed<'b>(
        &mut self,
        entries: &[impl AsRef<[u8]>],
        leaves: &[Hash],
        full: impl Fn(u64) -> Option<&'b [u8]>,
    ) -> Result<()> {
        self.grow(entries, leaves, full, Pages::Go)
    }

    fn grow<'b>(
        &mut self,
        entries: &[impl AsRef<[u8]>],
        leaves: &[Hash],
        full: impl Fn(u64) -> Option<&'b [u8]>,
        pages: Pages,
    ) -> Result<()> {
        Record::check(entries)?;
        let growth = self.edge.grow(entries, leaves, full)?;
        let (old, new) = (&self.edge, &growth.edge);
        let before = Head { size: old.size, root: old.root, next: new.size };
        let after = Head { size: new.size, root: new.root, next: new.size };
        let (path, files) = (self.head_path.clone(), on_disk(&self.dir, growth.files));
        self.durably(|| {
            write_atomic(&path, before.to_text().as_bytes())?;
            write_files(&files, pages)?;
            write_atomic(&path, after.to_text().as_bytes())
        })?;
        self.edges.push(self.edge.size);
        self.edge = growth.edge;
        let published = Published { size: after.size, root: after.root, ..(*self.reader.published()).clone() };
        self.reader.set(published);
        Ok(())
    }

    /// Sets all of the mirror aside, in `private/damaged`, and begins with nothing: the log that is published next must contain
    /// the head of `size` entries with `root`. Gives the place.
    ///
    /// Errors: `store.broken`, `disk.write`.
    pub fn begin_anew(&mut self, size: u64, root: Hash) -> Result<PathBuf> {
        let private = self.dir.with_file_name("private");
        let (dir, head_path, floor_path) = (self.dir.clone(), self.head_path.clone(), self.floor_path.clone());
        let floor = Head { size, root, next: size };
        let mut place = PathBuf::new();
        self.durably(|| {
            write_atomic(&floor_path, floor.to_text().as_bytes())?;
            // Whatever of the two comes first: without its head, an empty mirror is a new one.
            write_atomic(&head_path, Head::EMPTY.to_text().as_bytes())?;
            place = set_aside(&dir, &private)?;
            create_dir(&dir)
        })?;
        (self.floor, self.edge, self.edges) = (Some(floor), Edge::empty(), Vec::new());
        self.reader.set(Published::EMPTY);
        Ok(place)
    }

    /// Puts a checkpoint, whose signature is verified already, in place: durable, then visible.
    ///
    /// Errors: `mirror.root` if the mirror's tree does not have its root, `mirror.size` if it is beyond the mirror,
    /// `mirror.rollback` if it is older than the published one, `store.broken`, `disk.write`.
    pub fn publish(&mut self, checkpoint_note: &str) -> Result<()> {
        let checkpoint = parse_checkpoint(checkpoint_note)?;
        let served = self.reader.published().served;
        if checkpoint.size < served {
            let detail = format!("a checkpoint of {} entries after one of {served}", checkpoint.size);
            return Err(Error::isolate(
                "mirror.rollback",
                detail,
                "the log went back: keep both checkpoints as evidence",
            ));
        }
        self.check(&checkpoint)?;
        self.check_floor(&checkpoint)?;
        let path = self.dir.join("checkpoint");
        self.durably(|| write_atomic(&path, checkpoint_note.as_bytes()))?;
        if self.floor.take().is_some() {
            remove(&self.floor_path)?;
        }
        self.show(checkpoint.size, Arc::from(checkpoint_note));
        for size in std::mem::take(&mut self.edges) {
            remove_partials(&self.dir, size, checkpoint.size);
        }
        // The edge that is served now may become a full tile later.
        self.edges.extend([checkpoint.size, self.edge.size]);
        Ok(())
    }

    fn show(&self, served: u64, note: Arc<str>) {
        self.reader.set(Published { served, checkpoint: Some(note), ..(*self.reader.published()).clone() });
    }

    /// Holds a checkpoint against the tiles that are there.
    fn check(&self, checkpoint: &Checkpoint) -> Result<()> {
        let have = self.edge.size;
        if checkpoint.size > have {
            let detail = format!("a checkpoint of {} entries, the mirror has {have}", checkpoint.size);
            return Err(Error::isolate(
                "mirror.size",
                detail,
                "fetch the entries first; if the mirror is damaged, remove it",
            ));
        }
        let root = if checkpoint.size == have { self.edge.root } else { tree::root(&self.reader, checkpoint.size)? };
        if root != checkpoint.root {
            let detail = format!(
                "at size {} the mirror has the root {root}, the checkpoint {}",
                checkpoint.size, checkpoint.root
            );
            return Err(Error::isolate(
                "mirror.root",
                detail,
                "the log has forked or the mirror is damaged: run «domovoi fsck» on it",
            ));
        }
        Ok(())
    }

    /// Holds a log that is fetched anew against what was accepted of it before.
    fn check_floor(&self, checkpoint: &Checkpoint) -> Result<()> {
        let Some(floor) = self.floor else { return Ok(()) };
        if checkpoint.size < floor.size {
            let detail = format!(
                "a checkpoint of {} entries; {} were accepted before the mirror was damaged",
                checkpoint.size, floor.size
            );
            return Err(Error::isolate(
                "mirror.rollback",
                detail,
                "the log went back: keep both checkpoints as evidence",
            ));
        }
        let root = if floor.size == self.edge.size { self.edge.root } else { tree::root(&self.reader, floor.size)? };
        if root != floor.root {
            let detail = format!(
                "at size {} the log fetched anew has the root {root}, accepted before was {}",
                floor.size, floor.root
            );
            return Err(Error::isolate(
                "mirror.root",
                detail,
                "the log has forked: what was accepted before is in private/damaged of the mirror",
            ));
        }
        Ok(())
    }

    fn durably(&mut self, write: impl FnOnce() -> Result<()>) -> Result<()> {
        if self.broken {
            let detail = format!("an earlier write to {} failed", self.dir.display());
            return Err(Error::stop("store.broken", detail, "look at the disk, then start the node again"));
        }
        self.broken = true;
        write()?;
        self.broken = false;
        Ok(())
    }
}

/// The checkpoint, if its signature is the log's; a damaged one is set aside, the next round brings another.
fn checkpoint_of(dir: &Path, private: &Path, keys: &[&VerifierKey]) -> Result<Option<(Checkpoint, Arc<str>)>> {
    let path = dir.join("checkpoint");
    let Some(note) = read_optional(&path, MAX_CHECKPOINT)? else { return Ok(None) };
    match open_by_any(&note, keys) {
        Ok(verified) => Ok(Some((verified.checkpoint().clone(), verified.note_text().into()))),
        Err(e) => {
            let place = set_aside(&path, private)?;
            tracing::error!(error = %e, set_aside = %place.display(), "a mirror's checkpoint is damaged; the next round fetches one");
            Ok(None)
        }
    }
}

/// Reads a head file; a damaged one is set aside.
fn read_head(path: &Path, private: &Path) -> Result<Option<Head>> {
    let Some(bytes) = read_optional(path, 256)? else { return Ok(None) };
    let head = Head::parse(&bytes);
    if head.is_none() {
        let place = set_aside(path, private)?;
        tracing::error!(set_aside = %place.display(), "a head file of a mirror is damaged; its checkpoint stands in for it");
    }
    Ok(head)
}

/// The right edge of the tree of `head`, repaired from the entries where tiles are damaged.
fn whole_edge(dir: &Path, head: Head) -> Result<Edge> {
    let load = || match Edge::load(dir, head.size)? {
        edge if edge.root == head.root => Ok(edge),
        _ => Err(damaged("mirror.root", dir, "the tiles do not have the mirror's root")),
    };
    load().or_else(|damage| match repair(dir, head.size, head.root, &[], None) {
        Ok(done) => {
            tracing::error!(error = %damage, files = done.written.len(), "a mirror was damaged; tiles were made anew from its entries");
            load()
        }
        Err(_) => Err(damage),
    })
}

/// Removes exactly the files that an append from `head.size` to `head.next` writes: none of them is part of the tree of
/// `head.size`.
fn remove_beyond(dir: &Path, head: Head) -> Result<()> {
    if head.next - head.size > super::journal::MAX_ENTRIES as u64 {
        return Err(damaged("mirror.head", dir, "the append in progress is longer than any append"));
    }
    let tiles = tiles_between(head.size, head.next).map(LogPath::from);
    for path in tiles.chain(bundles_between(head.size, head.next).map(LogPath::from)) {
        let path = dir.join(path.to_string());
        remove(&path)?;
        remove(&temp_of(&path))?;
    }
    Ok(())
}

fn damaged(code: &'static str, path: &Path, what: &str) -> Error {
    Error::stop(
        code,
        format!("{}: {what}", path.display()),
        "remove the damaged mirror's directory: it is fetched and verified again",
    )
}
