//! The node's own log on disk: the only writer of it, in steps that a crash cannot take apart.
//!
//! `stage` (journal) → `write_tiles` → `fence` → *the node signs* → `publish`. Each step is durable before it returns.
//! A crash before the journal is complete leaves nothing; after it, the next `open` goes on to the same head and hands it
//! back as [`Pending`], to be signed and published. Nothing is ever cut off.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::checkpoint_lines::CheckpointLines;
use super::durable::{create_dir, read_optional, remove, temp_of, write_atomic, write_many};
use super::edge::{Edge, on_disk, remove_partials};
use super::fence::{Age, Fence};
use super::journal::{Journal, Record};
use super::lock::Lock;
use super::reader::{MAX_CHECKPOINT, Published, parse_checkpoint, read_resource};
use super::repair::{repair, set_aside};
use crate::error::{Action, Error, Result};
use crate::tlog::Hash;
use crate::tlog::checkpoint::{Checkpoint, VerifiedCheckpoint};
use crate::tlog::hash::{leaf_hash, leaf_hashes};
use crate::tlog::note::{Note, NoteSignature, VerifierKey};
use crate::tlog::tile::{bundles_between, decode_bundle};
use crate::tlog::tree;

pub use super::reader::{Entries, LogReader, MAX_RANGE};

/// A batch on its way. Only the store makes one.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Staged {
    /// Entries of the log before the batch.
    pub old_size: u64,
    /// Entries of the log with it.
    pub new_size: u64,
    /// Root of the tree of `new_size` entries, to be signed once it is fenced.
    pub root: Hash,
}

/// A head that was made durable and fenced, and perhaps signed, but not published, before the last stop.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pending {
    /// Number of entries.
    pub size: u64,
    /// Root of the tree.
    pub root: Hash,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Staged,
    Written,
    Fenced,
}

/// The batch in progress.
#[derive(Debug)]
struct Work {
    old_size: u64,
    edge: Edge,
    files: Vec<(PathBuf, Cow<'static, [u8]>)>,
    step: Step,
}

/// The writer of a log.
pub struct LogStore {
    dir: PathBuf,
    fence_path: PathBuf,
    journal: Journal,
    fence: Fence,
    edge: Edge,
    work: Option<Work>,
    /// A write failed half-way: what is on disk is known again only after the next start.
    broken: bool,
    reader: LogReader,
    /// Whoever writes the checkpoint file holds this.
    turn: Arc<Mutex<()>>,
    _lock: Lock,
}

impl LogStore {
    /// Opens the log in `dir` (C2SP files only) with its journal, fence and lock in `private`; both are created if needed.
    /// Rolls an interrupted batch forward, including the fence; then [`LogStore::publish_pending`] is due. `keys` are the
    /// log's own, the one in force first: a damaged checkpoint is set aside, and the fenced head is pending, to be signed again as it was; damaged
    /// tiles on the right edge are computed again where entries lead to the signed root.
    ///
    /// Errors, all of which stop the node rather than risk a fork: `storage.locked`; `fence.lost`, `fence.form`,
    /// `fence.ahead`, `fence.behind`, `fence.fork`; `log.root`, `journal.root`, `journal.gap`; those of damaged files.
    pub fn open(dir: &Path, private: &Path, keys: &[&VerifierKey]) -> Result<(LogStore, Option<Pending>)> {
        Self::open_stopping(dir, private, keys).map_err(|e| e.with_action(Action::Stop))
    }

    fn open_stopping(dir: &Path, private: &Path, keys: &[&VerifierKey]) -> Result<(LogStore, Option<Pending>)> {
        create_dir(dir)?;
        create_dir(private)?;
        let lock = Lock::acquire(&private.join("lock"))?;
        let (fence_path, journal_path) = (private.join("fence"), private.join("journal"));
        remove(&temp_of(&dir.join("checkpoint")))?;
        remove(&temp_of(&fence_path))?;
        let checkpoint = own_checkpoint(dir, private, keys)?;
        let fence = match Fence::read(&fence_path)? {
            Some(fence) => fence,
            // The fence is the first file a new log gets.
            None if checkpoint.is_none() && !dir.join("tile").exists() && !journal_path.exists() => {
                Fence::EMPTY.write(&fence_path)?;
                Fence::EMPTY
            }
            None => return Err(fence_lost(&fence_path)),
        };
        let (journal, record) = Journal::open(&journal_path)?;
        let (size, root) = checkpoint.as_ref().map_or((0, Hash::EMPTY_TREE), |(c, _)| (c.size, c.root));
        let edge = whole_edge(dir, size, root, record.as_ref())?;
        let fence = lift_restored(dir, &fence_path, fence, &edge)?;
        let work = roll_forward(dir, &edge, record.as_ref(), &fence)?;
        check_fence(&fence, &edge, work.as_ref().map_or(&edge, |w| &w.edge), work.is_some())?;
        if let Some(record) = record.filter(|r| r.new_size == size) {
            remove_partials(dir, record.old_size, size);
        }
        let published = Published { size, root, served: size, checkpoint: checkpoint.map(|(_, note)| note) };
        let reader = LogReader::new(dir, published);
        let mut store = LogStore {
            dir: dir.to_owned(),
            fence_path,
            journal,
            fence,
            edge,
            work,
            broken: false,
            reader,
            turn: Arc::default(),
            _lock: lock,
        };
        let pending = store.finish_roll_forward()?;
        Ok((store, pending))
    }

    fn finish_roll_forward(&mut self) -> Result<Option<Pending>> {
        let Some(work) = &mut self.work else { return Ok(None) };
        write_many(&work.files)?;
        work.files.clear();
        let (size, root) = (work.edge.size, work.edge.root);
        // A restored fence stays one until somebody confirms it.
        if (self.fence.size, self.fence.root) != (size, root) {
            self.fence = Fence { size, root, age: Age::Known };
            self.fence.write(&self.fence_path)?;
        }
        work.step = Step::Fenced;
        Ok(Some(Pending { size, root }))
    }

    /// Reads the published log; stays valid after the store is dropped.
    pub fn reader(&self) -> LogReader {
        self.reader.clone()
    }

    /// The fence. [`Age::Restored`] until [`LogStore::confirm_restored`].
    pub fn fence_state(&self) -> Fence {
        self.fence
    }

    /// After a restore from a backup: `highest_known` is the word of the operator (who asked peers, mirrors and
    /// witnesses) that nobody saw a head of more entries. Does nothing where the fence's age is known.
    ///
    /// Errors: `fence.restored` without that word, or if the word names another size than the restored one.
    pub fn confirm_restored(&mut self, highest_known: Option<u64>) -> Result<()> {
        if self.fence.age == Age::Known {
            return Ok(());
        }
        let size = self.fence.size;
        if highest_known != Some(size) {
            let said = highest_known.map_or("nothing was said".to_owned(), |n| format!("a head of {n} was reported"));
            return Err(Error::stop(
                "fence.restored",
                format!("the log was restored from a backup of {size} entries; about later heads, {said}"),
                "ask peers, mirrors and witnesses for their highest head: if it is this size, confirm it; if it is larger, restore from a mirror",
            ));
        }
        let confirmed = Fence { age: Age::Known, ..self.fence };
        confirmed.write(&self.fence_path)?;
        self.fence = confirmed;
        Ok(())
    }

    /// Puts cosignatures on what is published.
    pub fn lines(&self) -> CheckpointLines {
        let (path, reader) = (self.dir.join("checkpoint"), self.reader.clone());
        CheckpointLines { path, reader, turn: self.turn.clone() }
    }

    /// Journals a batch. Each entry has at most 65 535 bytes. From here on it will be in the log.
    ///
    /// Errors: `stage.empty`, `stage.too-large`, `stage.entry-too-long`, `tree.size` (nothing happened); `fence.restored`,
    /// `store.order`, `store.broken`, `disk.write`.
    pub fn stage(&mut self, entries: Vec<Vec<u8>>) -> Result<Staged> {
        self.usable()?;
        if self.work.is_some() {
            return Err(out_of_order("a batch was staged before the last one was published"));
        }
        if self.fence.age == Age::Restored {
            return self.confirm_restored(None).and(Err(out_of_order("the restored fence is not confirmed")));
        }
        Record::check(&entries)?;
        let growth = self.edge.grow(&entries, &leaf_hashes(&entries), |_| None)?;
        let old_size = self.edge.size;
        let record = Record::encode(old_size, growth.edge.root, &entries)?;
        self.durably(|store| store.journal.write(&record))?;
        let staged = Staged { old_size, new_size: growth.edge.size, root: growth.edge.root };
        let files = on_disk(&self.dir, growth.files);
        self.work = Some(Work { old_size, edge: growth.edge, files, step: Step::Staged });
        Ok(staged)
    }

    /// Writes the tiles and bundles of the batch.
    ///
    /// Errors: `store.order`, `store.broken`, `disk.write`.
    pub fn write_tiles(&mut self, staged: &Staged) -> Result<()> {
        let files = std::mem::take(&mut self.work_at(staged, Step::Staged)?.files);
        self.durably(|_| write_many(&files))?;
        self.advance(Step::Written);
        Ok(())
    }

    /// Moves the signing fence to the batch's head; afterwards that head, and no other, may be signed. The new tree
    /// extends the fenced one by construction: it was grown from the edge that has the fenced root.
    ///
    /// Errors: `fence.fork` if the fence is not at the head the batch grew from, `store.order`, `store.broken`,
    /// `disk.write`.
    pub fn fence(&mut self, staged: &Staged) -> Result<()> {
        self.work_at(staged, Step::Written)?;
        if (self.fence.size, self.fence.root, self.fence.age) != (self.edge.size, self.edge.root, Age::Known) {
            return Err(fork(&self.fence, &self.edge));
        }
        let fence = Fence { size: staged.new_size, root: staged.root, age: Age::Known };
        self.durably(|store| fence.write(&store.fence_path))?;
        self.fence = fence;
        self.advance(Step::Fenced);
        Ok(())
    }

    /// Puts the signed checkpoint of the batch in place, durably, then shows it to readers.
    ///
    /// Errors: `publish.head` if the note is not about the batch's head, those of the note's form, `store.order`,
    /// `store.broken`, `disk.write`.
    pub fn publish(&mut self, staged: Staged, checkpoint_note: &str) -> Result<()> {
        self.work_at(&staged, Step::Fenced)?;
        self.publish_work(checkpoint_note)
    }

    /// [`LogStore::publish`] for what [`LogStore::open`] rolled forward.
    ///
    /// Errors: as there.
    pub fn publish_pending(&mut self, pending: Pending, checkpoint_note: &str) -> Result<()> {
        match &self.work {
            Some(w) if (w.edge.size, w.edge.root, w.step) == (pending.size, pending.root, Step::Fenced) => {}
            _ => return Err(out_of_order("there is no such pending head")),
        }
        self.publish_work(checkpoint_note)
    }

    fn publish_work(&mut self, note: &str) -> Result<()> {
        self.usable()?;
        if self.fence.age == Age::Restored {
            return self.confirm_restored(None);
        }
        let head = parse_checkpoint(note)?;
        let Some(work) = self.work.take_if(|w| (w.edge.size, w.edge.root) == (head.size, head.root)) else {
            let detail =
                format!("the checkpoint to publish is of size {}, root {}, which was not staged", head.size, head.root);
            return Err(Error::stop("publish.head", detail, "report this as a defect"));
        };
        let turn = self.turn.clone();
        let _turn = turn.lock();
        self.durably(|store| write_atomic(&store.dir.join("checkpoint"), note.as_bytes()))?;
        let size = work.edge.size;
        let published = Published { size, root: work.edge.root, served: size, checkpoint: Some(Arc::from(note)) };
        self.edge = work.edge;
        self.reader.set(published);
        remove_partials(&self.dir, work.old_size, size);
        Ok(())
    }

    fn usable(&self) -> Result<()> {
        if self.broken {
            let detail = format!("an earlier write to {} failed", self.dir.display());
            return Err(Error::stop(
                "store.broken",
                detail,
                "look at the disk, then start the node again: it will roll forward",
            ));
        }
        Ok(())
    }

    /// After a failed write (or a failed fsync, which may have dropped the data) only a restart tells what is on disk.
    fn durably(&mut self, write: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        self.usable()?;
        self.broken = true;
        write(self)?;
        self.broken = false;
        Ok(())
    }

    fn work_at(&mut self, staged: &Staged, step: Step) -> Result<&mut Work> {
        self.usable()?;
        let this = (staged.old_size, staged.new_size, staged.root);
        let work = self.work.as_mut().filter(|w| w.step == step && (w.old_size, w.edge.size, w.edge.root) == this);
        work.ok_or_else(|| out_of_order("the steps stage, write_tiles, fence, publish were not taken in this order"))
    }

    fn advance(&mut self, step: Step) {
        if let Some(work) = &mut self.work {
            work.step = step;
        }
    }
}

/// Opens a checkpoint by the first of these keys that signed it. The charter may have named others when it was made.
pub fn open_by_any(note: &[u8], keys: &[&VerifierKey]) -> Result<VerifiedCheckpoint> {
    let mut refused = Error::refuse("note.signature", "no key of the log is named", "restore charter.json");
    for key in keys {
        match Checkpoint::open(note, key, key.name()) {
            Ok(verified) => return Ok(verified),
            Err(e) => refused = e,
        }
    }
    Err(refused)
}

/// The log's own checkpoint. One that is damaged is set aside: the fence says what it was, and signing that again gives
/// the same bytes. One of another log, without a line by a key of this one, is not damaged: then something is in the wrong
/// place.
fn own_checkpoint(dir: &Path, private: &Path, keys: &[&VerifierKey]) -> Result<Option<(Checkpoint, Arc<str>)>> {
    let path = dir.join("checkpoint");
    let Some(note) = read_optional(&path, MAX_CHECKPOINT)? else { return Ok(None) };
    let key =
        keys.first().ok_or_else(|| Error::stop("log.origin", "no key of the log is named", "restore charter.json"))?;
    match open_by_any(&note, keys) {
        Ok(verified) => Ok(Some((verified.checkpoint().clone(), verified.note_text().into()))),
        Err(e) => {
            if let Some(other) = of_another_log(&note, keys) {
                return Err(Error::stop(
                    "log.origin",
                    format!("{} is of the log «{other}», this node writes «{}»", path.display(), key.name()),
                    "put the log back that belongs to this node; if the file is merely damaged, «domovoi fsck --repair» sets it aside",
                ));
            }
            let place = set_aside(&path, private)?;
            tracing::error!(error = %e, set_aside = %place.display(), "the checkpoint is damaged; the fenced head is signed again as it was");
            Ok(None)
        }
    }
}

/// The origin of a whole checkpoint that no key of these is said to have signed: another log's.
fn of_another_log(note: &[u8], keys: &[&VerifierKey]) -> Option<String> {
    let note = Note::parse(note).ok()?;
    let ours = |line: &NoteSignature| keys.iter().any(|k| line.name == k.name() && line.key_id == k.key_id());
    let origin = Checkpoint::parse(note.text()).ok()?.origin;
    (!note.signatures().iter().any(ours) && keys.iter().all(|k| origin != k.name())).then_some(origin)
}

/// The right edge of the log, whose root must be the signed one. Damaged tiles are computed again from the entries, and
/// entries are taken from earlier files and the journal, if that leads to the root.
fn whole_edge(dir: &Path, size: u64, root: Hash, journal: Option<&Record>) -> Result<Edge> {
    let load = || {
        let edge = Edge::load(dir, size)?;
        if edge.root == root {
            return Ok(edge);
        }
        let detail = format!(
            "the tiles in {} have the root {} at size {size}, the checkpoint says {root}",
            dir.display(),
            edge.root
        );
        Err(Error::stop("log.root", detail, "run «domovoi fsck» and restore what it names from a mirror or a backup"))
    };
    load().or_else(|damage| {
        let journalled = journal.map_or(&[][..], |r| &r.entries);
        match repair(dir, size, root, journalled, None) {
            Ok(done) => {
                let files: Vec<String> = done.written.iter().map(ToString::to_string).collect();
                tracing::error!(error = %damage, files = files.join(", "), "the log was damaged; these files were made anew from what is redundant");
                load()
            }
            Err(e) => {
                tracing::error!(error = %e, "the damaged log could not be repaired from itself");
                Err(damage)
            }
        }
    })
}

/// The batch that was under way at the last stop: from the journal, or, where that is gone but the fence moved on already,
/// from the tiles, which are durable before the fence moves.
fn roll_forward(dir: &Path, edge: &Edge, record: Option<&Record>, fence: &Fence) -> Result<Option<Work>> {
    let ahead = record.filter(|r| r.new_size > edge.size);
    if let Some(record) = ahead.filter(|r| r.old_size == edge.size) {
        let growth = edge.grow(&record.entries, &leaf_hashes(&record.entries), |_| None)?;
        if growth.edge.root != record.root {
            let detail =
                format!("the journalled batch gives the root {}, intended was {}", growth.edge.root, record.root);
            return Err(Error::stop(
                "journal.root",
                detail,
                "run «domovoi fsck»; restore the log from a mirror or a backup",
            ));
        }
        let files = on_disk(dir, growth.files);
        return Ok(Some(Work { old_size: edge.size, edge: growth.edge, files, step: Step::Staged }));
    }
    if fence.size > edge.size {
        let edge_at_fence = edge_from_files(dir, edge, fence).map_err(|e| {
            Error::stop(
                "fence.ahead",
                format!(
                    "a head of {} entries was signed or about to be, the log has {} and no journal or tiles lead there ({e})",
                    fence.size, edge.size
                ),
                "do not remove the fence: restore the log from a mirror that has this head, or cut the log key over in the charter",
            )
        })?;
        return Ok(Some(Work { old_size: edge.size, edge: edge_at_fence, files: Vec::new(), step: Step::Staged }));
    }
    match ahead {
        Some(r) => {
            let detail =
                format!("the journal goes from {} to {}, the log has {} entries", r.old_size, r.new_size, edge.size);
            Err(Error::stop("journal.gap", detail, "journal and log are not of one time: restore them together"))
        }
        None => Ok(None),
    }
}

/// The edge at the fenced size, if the entries on disk lead to the fenced root.
fn edge_from_files(dir: &Path, from: &Edge, fence: &Fence) -> Result<Edge> {
    let mut grown = from.clone();
    let mut leaves = Vec::new();
    for id in bundles_between(from.size, fence.size) {
        let bytes = read_resource(dir, id.into(), fence.size)?;
        let bytes = bytes.ok_or_else(|| Error::stop("tile.missing", format!("{id} is missing"), ""))?;
        let places = decode_bundle(&bytes, id.width)?;
        let known = from.size.saturating_sub(id.index.saturating_mul(256)) as usize;
        leaves.extend(places.into_iter().skip(known).map(|place| leaf_hash(&bytes[place])));
        if leaves.len() >= 65_536 {
            grown = grown.grow_hashes(&std::mem::take(&mut leaves))?.edge;
        }
    }
    grown = grown.grow_hashes(&leaves)?.edge;
    let edge = Edge::load(dir, fence.size)?;
    if grown.root != fence.root || edge.root != fence.root {
        return Err(Error::stop("log.root", format!("entries give the root {}, tiles {}", grown.root, edge.root), ""));
    }
    Ok(edge)
}

/// A log of unknown age that was brought up to a later signed head from mirrors has a fence of before. It is moved up where
/// the log contains what it fenced; its age stays unknown.
fn lift_restored(dir: &Path, path: &Path, fence: Fence, edge: &Edge) -> Result<Fence> {
    if fence.age == Age::Known || fence.size >= edge.size {
        return Ok(fence);
    }
    let published = Published { size: edge.size, root: edge.root, ..Published::EMPTY };
    if tree::root(&LogReader::new(dir, published), fence.size)? != fence.root {
        return Err(fork(&fence, edge));
    }
    let lifted = Fence { size: edge.size, root: edge.root, age: Age::Restored };
    lifted.write(path)?;
    Ok(lifted)
}

/// Holds the fence against the published head and the head that will be published next.
fn check_fence(fence: &Fence, published: &Edge, next: &Edge, pending: bool) -> Result<()> {
    let at = |edge: &Edge| fence.size == edge.size && fence.root == edge.root;
    // A fence that was made anew from the journal stands at the pending head; one from a backup has no journal beside it.
    if fence.age == Age::Restored && pending && !at(next) {
        let detail = "a batch is journalled beside a fence that came out of a backup";
        return Err(Error::stop("fence.restored", detail, "restore the backup into an empty directory"));
    }
    if at(next) || (pending && at(published)) {
        return Ok(());
    }
    if fence.size > next.size {
        return Err(Error::stop(
            "fence.ahead",
            format!("a head of {} entries was signed or about to be, log and journal reach {}", fence.size, next.size),
            "do not remove the fence: restore the log from a mirror that has this head, or cut the log key over in the charter",
        ));
    }
    if fence.size < published.size {
        return Err(Error::stop(
            "fence.behind",
            format!("the fence is at {} entries, a checkpoint of {} is published", fence.size, published.size),
            "the fence is older than the log: restore both from one backup",
        ));
    }
    Err(fork(fence, if fence.size == next.size { next } else { published }))
}

fn fork(fence: &Fence, edge: &Edge) -> Error {
    Error::stop(
        "fence.fork",
        format!(
            "the fence is at size {} root {}, the log at size {} root {}",
            fence.size, fence.root, edge.size, edge.root
        ),
        "signing would fork the log: restore it from a mirror that has the fenced head",
    )
}

fn fence_lost(path: &Path) -> Error {
    Error::stop(
        "fence.lost",
        format!("{} is missing, but the log is not empty", path.display()),
        "the last signed head is unknown: stop the node and run «domovoi fsck --repair», which makes the fence anew if the journal is whole; otherwise restore from a backup, or cut the log key over in the charter",
    )
}

fn out_of_order(detail: &str) -> Error {
    Error::stop("store.order", detail, "report this as a defect")
}
