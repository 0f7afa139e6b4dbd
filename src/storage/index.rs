//! The derived index in sled: rows, commits, and how far the log is applied. Everything in it can be rebuilt from the log.
//!
//! sled 0.34.7 is used in the only way that measured as durable: one writer; batch → `flush` → `fdatasync` of its `db`
//! file → only then `applied` moves on, in the same way. Values are cut to pieces, because sled puts large ones into files
//! that it never syncs. What goes wrong inside sled, panics included, ends here: the directory is set aside, an empty index
//! takes its place and the caller fills it from the log.
//!
//! The directory holds one numbered sub-directory per generation; the highest is in use. A new generation gets a new
//! path, so that threads of a broken sled cannot write into it.

use std::cell::Cell;
use std::fs::{self, File};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use super::durable::{create_dir, write_error};
use super::lock::Lock;
use crate::error::{Error, Result};

/// Up to where the log is in the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// Entries of the log that are applied; the last of them is a commit.
    pub size: u64,
    /// Time of that commit, Unix milliseconds.
    pub time_ms: u64,
    /// Root of the state map that it commits to.
    pub root: [u8; 32],
}

/// What one or more commits change in the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexBatch {
    /// Where the index stands with this batch.
    pub applied: Applied,
    /// Key and new value of each changed row; later ones win.
    pub rows: Vec<(Vec<u8>, Vec<u8>)>,
    /// Size and time of each commit.
    pub commits: Vec<(u64, u64)>,
}

/// What a node needs of an index.
pub trait Index {
    /// How far the log is applied; `None` in an empty index.
    fn applied(&self) -> Result<Option<Applied>>;
    /// Writes a batch durably. After a crash inside this call rows may be newer than `applied`, never older.
    fn write(&mut self, batch: IndexBatch) -> Result<()>;
    /// Gives every row, in no promised order.
    fn load(&self, row: &mut dyn FnMut(&[u8], &[u8])) -> Result<()>;
    /// Size and time of every commit, by size.
    fn commits(&self) -> Result<Vec<(u64, u64)>>;
    /// Empties the index; a broken one is set aside.
    fn wipe(&mut self) -> Result<()>;
}

/// Bytes of a piece of a value: a leaf of sled holds up to 16, and from 128 KiB on it would go to an unsynced file.
const PIECE: usize = 4096;
/// Longest key: its length is written in two bytes, and long keys would make large leaves.
const MAX_KEY: usize = 1024;
/// Largest row that is read back.
const MAX_ROW: usize = 64 << 20;
/// Page cache. Hot state lives in memory elsewhere; this serves start-up and writes.
const CACHE: u64 = 32 << 20;
/// Set-aside directories that are kept.
const KEPT_BROKEN: u32 = 3;

/// [`Index`] over sled.
pub struct SledIndex {
    dir: PathBuf,
    generation: u64,
    open: Option<Arc<Open>>,
    set_aside: Option<PathBuf>,
    /// Something of this generation could not be read: nothing more is asked of it, and it is set aside, not closed.
    failed: Cell<bool>,
    /// Starts in a row that ended while this generation was read.
    deaths: u64,
    _lock: Lock,
}

/// Names the generation while it is opened or read. Left behind by a start that ended meanwhile: see [`SledIndex::open`].
const OPENING: &str = "opening";
/// So many starts may end while a generation is read (a power cut, an impatient operator) before it is held responsible.
const PATIENCE: u64 = 2;

struct Open {
    db: sled::Db,
    rows: sled::Tree,
    commits: sled::Tree,
    meta: sled::Tree,
    file: File,
}

impl SledIndex {
    /// Opens or creates the index in `dir`. What sled cannot open is set aside as `<dir>.broken-N`, and an empty index is
    /// opened: see [`SledIndex::set_aside`]. So is what two starts in a row did not survive: damage may make sled ask for
    /// more memory than there is, which no error tells.
    ///
    /// Errors: `storage.locked`, `disk.write` where the disk is full or not even an empty index can be made.
    pub fn open(dir: &Path) -> Result<SledIndex> {
        create_dir(dir)?;
        let lock = Lock::acquire(&dir.join("lock"))?;
        let (generation, older) = generations(dir)?;
        // Removed only now, when no sled of an earlier process is at work in them.
        older.iter().for_each(|old| drop(fs::remove_dir_all(dir.join(old.to_string()))));
        let failed = Cell::new(false);
        let deaths = deaths(dir, generation);
        let mut index =
            SledIndex { dir: dir.to_owned(), generation, open: None, set_aside: None, failed, deaths, _lock: lock };
        if deaths >= PATIENCE {
            index.replace_broken(&broken("starts ended while it was read"))?;
            return Ok(index);
        }
        index.begin_reading();
        let opened = Open::at(&index.path());
        index.end_reading();
        match opened {
            Ok(open) => index.open = Some(Arc::new(open)),
            // A full disk says nothing about the index.
            Err(e) if e.code() == "disk.write" => return Err(e),
            Err(e) => index.replace_broken(&e)?,
        }
        Ok(index)
    }

    /// Where a broken index was put by this value; to be shown to the operator.
    pub fn set_aside(&self) -> Option<&Path> {
        self.set_aside.as_deref()
    }

    fn path(&self) -> PathBuf {
        self.dir.join(self.generation.to_string())
    }

    fn begin_reading(&self) {
        // Not being able to say so is no reason to stop.
        let _ = fs::write(self.dir.join(OPENING), format!("{} {}", self.generation, self.deaths + 1));
    }

    fn end_reading(&self) {
        let _ = fs::remove_file(self.dir.join(OPENING));
    }

    /// Remembers that something failed inside sled.
    fn noted<T>(&self, result: Result<T>) -> Result<T> {
        if result.is_err() {
            self.failed.set(true);
        }
        result
    }

    /// Closes sled. Dropping one that failed, or cannot write any more, may panic or wait for ever: it is left alone.
    fn close(&mut self) {
        let Some(open) = self.open.take() else { return };
        if self.failed.get() || open.sync().is_err() {
            std::mem::forget(open);
        } else {
            let _ = guarded(|| {
                drop(open);
                Ok(())
            });
        }
    }

    fn replace_broken(&mut self, why: &Error) -> Result<()> {
        std::mem::forget(self.open.take());
        let broken = self.path();
        if broken.exists() {
            let place = (1u32..).map(|n| self.dir.with_extension(format!("broken-{n}"))).find(|p| !p.exists());
            let place = place.unwrap_or_else(|| self.dir.with_extension("broken"));
            fs::rename(&broken, &place).map_err(|e| write_error(&broken, &e))?;
            forget_oldest(&self.dir);
            tracing::error!(error = %why, set_aside = %place.display(), "the index is broken; it will be rebuilt from the log");
            self.set_aside = Some(place);
        }
        self.next_generation()
    }

    fn next_generation(&mut self) -> Result<()> {
        self.end_reading();
        self.failed.set(false);
        self.deaths = 0;
        self.generation += 1;
        // An empty index has nothing that could be damaged: it is the disk.
        self.open = Some(Arc::new(Open::at(&self.path()).map_err(|e| {
            Error::stop(
                "disk.write",
                e.detail(),
                "check free space, permissions and the health of the disk, then start again",
            )
        })?));
        Ok(())
    }

    fn get(&self) -> Result<&Arc<Open>> {
        self.open.as_ref().ok_or_else(|| broken("the index is closed after a failure"))
    }
}

impl Drop for SledIndex {
    fn drop(&mut self) {
        self.close();
    }
}

impl SledIndex {
    fn read_applied(&self) -> Result<Option<Applied>> {
        let open = self.get()?;
        let Some(value) = guarded(|| open.meta.get("applied"))? else { return Ok(None) };
        let read = || {
            let (size, rest) = value.split_first_chunk::<8>()?;
            let (time_ms, root) = rest.split_first_chunk::<8>()?;
            Some(Applied {
                size: u64::from_be_bytes(*size),
                time_ms: u64::from_be_bytes(*time_ms),
                root: root.try_into().ok()?,
            })
        };
        read().map(Some).ok_or_else(|| broken("«applied» is not in its form"))
    }

    fn read_rows(&self, row: &mut dyn FnMut(&[u8], &[u8])) -> Result<()> {
        let open = self.get()?;
        let mut pieces = open.rows.iter();
        let mut value = Vec::new();
        // Pieces of a row follow one another; the first says how long the whole is.
        let (mut key, mut left, mut next) = (Vec::new(), 0usize, 0u16);
        while let Some((stored, piece)) = guarded(|| pieces.next().transpose())? {
            let (name, number) = stored.split_last_chunk::<2>().ok_or_else(|| broken("a row's key is too short"))?;
            let (number, piece) = (u16::from_be_bytes(*number), &piece[..]);
            let piece = if number == 0 {
                if left > 0 {
                    return Err(broken("a row is incomplete"));
                }
                let (total, first) = piece.split_first_chunk::<4>().ok_or_else(|| broken("a row is cut short"))?;
                (left, next) = (u32::from_be_bytes(*total) as usize, 0);
                key = name.to_vec();
                value.clear();
                if left > MAX_ROW {
                    return Err(broken("a row is too long"));
                }
                first
            } else if name != key || number != next {
                return Err(broken("a row is incomplete"));
            } else if left == 0 {
                next += 1;
                continue; // was part of the row when it was longer
            } else {
                piece
            };
            left = left.checked_sub(piece.len()).ok_or_else(|| broken("a row is longer than it says"))?;
            value.extend_from_slice(piece);
            next = next.saturating_add(1);
            if left == 0 {
                row(key.get(2..).unwrap_or_default(), &value);
            }
        }
        if left > 0 { Err(broken("the last row is incomplete")) } else { Ok(()) }
    }

    fn read_commits(&self) -> Result<Vec<(u64, u64)>> {
        let open = self.get()?;
        let mut items = open.commits.iter();
        let mut commits = Vec::new();
        while let Some((size, time)) = guarded(|| items.next().transpose())? {
            let number = |b: &[u8]| {
                <[u8; 8]>::try_from(b).map(u64::from_be_bytes).map_err(|_| broken("a commit is not in its form"))
            };
            commits.push((number(&size)?, number(&time)?));
        }
        Ok(commits)
    }
}

impl Index for SledIndex {
    fn applied(&self) -> Result<Option<Applied>> {
        self.noted(self.read_applied())
    }

    fn write(&mut self, batch: IndexBatch) -> Result<()> {
        let written = self.get().and_then(|open| write_in_time(open.clone(), batch));
        let result = written.map_err(|e| e.at(self.path().display()));
        if result.as_ref().is_err_and(|e| e.code() != "index.row-size") {
            // Nothing more is asked of a sled that failed once; `wipe` or the next start replaces it.
            std::mem::forget(self.open.take());
        }
        result
    }

    fn load(&self, row: &mut dyn FnMut(&[u8], &[u8])) -> Result<()> {
        self.begin_reading();
        let result = self.noted(self.read_rows(row));
        self.end_reading();
        result
    }

    fn commits(&self) -> Result<Vec<(u64, u64)>> {
        self.noted(self.read_commits())
    }

    fn wipe(&mut self) -> Result<()> {
        if self.failed.get() || self.open.is_none() {
            return self.replace_broken(&broken("it could not be read or written"));
        }
        // Also where it looks empty: damage can look like that, and what is written there would not be found again.
        // The old generation is removed at the next start.
        self.close();
        self.next_generation()
    }
}

impl Open {
    fn at(path: &Path) -> Result<Open> {
        let opened = guarded(|| {
            // No flusher thread: whatever is written is flushed by `write`, in its order.
            let db = sled::Config::new().path(path).cache_capacity(CACHE).flush_every_ms(None).open()?;
            let (rows, commits, meta) = (db.open_tree("rows")?, db.open_tree("commits")?, db.open_tree("meta")?);
            meta.get("applied")?;
            db.flush()?;
            Ok((db, rows, commits, meta))
        });
        let (db, rows, commits, meta) = opened.map_err(|e| e.at(path.display()))?;
        let synced = || {
            let file = File::open(path.join("db"))?;
            file.sync_all()?;
            for name in ["conf", "", ".."] {
                File::open(path.join(name))?.sync_all()?;
            }
            Ok(file)
        };
        match synced() {
            Ok(file) => Ok(Open { db, rows, commits, meta, file }),
            Err(e) => {
                std::mem::forget((db, rows, commits, meta)); // as in `close`
                Err(io_error(path, &e))
            }
        }
    }

    fn write(&self, batch: &IndexBatch) -> Result<()> {
        let mut rows = sled::Batch::default();
        for (key, value) in &batch.rows {
            if key.len() > MAX_KEY || value.len() > MAX_ROW {
                let detail = format!("a row with a key of {} and a value of {} bytes", key.len(), value.len());
                return Err(Error::stop("index.row-size", detail, "report this as a defect"));
            }
            let mut head = (value.len() as u32).to_be_bytes().to_vec();
            let (first, rest) = value.split_at(value.len().min(PIECE - 4));
            head.extend_from_slice(first);
            rows.insert(piece_key(key, 0), head);
            for (number, piece) in (1u16..).zip(rest.chunks(PIECE)) {
                rows.insert(piece_key(key, number), piece);
            }
        }
        let mut commits = sled::Batch::default();
        for (size, time) in &batch.commits {
            commits.insert(&size.to_be_bytes(), &time.to_be_bytes());
        }
        guarded(|| self.rows.apply_batch(rows).and_then(|()| self.commits.apply_batch(commits)))?;
        self.sync()?;
        let Applied { size, time_ms, root } = batch.applied;
        let applied = [&size.to_be_bytes()[..], &time_ms.to_be_bytes(), &root].concat();
        guarded(|| self.meta.insert("applied", applied))?;
        self.sync()
    }

    /// `flush` alone issues `sync_file_range`, which a power cut does not respect.
    fn sync(&self) -> Result<()> {
        guarded(|| self.db.flush())?;
        self.file.sync_data().map_err(|e| broken(&format!("fdatasync: {e}")))
    }
}

/// Where a write of sled fails in one of its own threads, the one that waits for it may never hear of that: while a write
/// takes longer than this, sled is asked whether it has failed.
const ASK_AFTER: Duration = Duration::from_secs(2);

/// Writes a batch on a thread that can be left behind.
fn write_in_time(open: Arc<Open>, batch: IndexBatch) -> Result<()> {
    let (done, waiting) = sync_channel(1);
    let worker = open.clone();
    let work = move || drop(done.send(worker.write(&batch)));
    let spawned = std::thread::Builder::new().name("sled".into()).spawn(work);
    spawned.map_err(|e| {
        Error::stop("thread.spawn", format!("no thread for the index: {e}"), "raise the limit of threads")
    })?;
    loop {
        match waiting.recv_timeout(ASK_AFTER) {
            Ok(result) => return result,
            // After a failure sled takes nothing more.
            Err(RecvTimeoutError::Timeout) => drop(guarded(|| open.meta.insert("asked", &[]))?),
            Err(RecvTimeoutError::Disconnected) => return Err(broken("its thread ended")),
        }
    }
}

/// Length, key, number of the piece: keys of any bytes, pieces in order.
fn piece_key(key: &[u8], number: u16) -> Vec<u8> {
    [&(key.len() as u16).to_be_bytes()[..], key, &number.to_be_bytes()].concat()
}

/// Runs what happens inside sled: its errors and panics become `index.broken`.
fn guarded<T>(work: impl FnOnce() -> sled::Result<T>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(sled::Error::Io(e))) => Err(io_error(Path::new("sled"), &e)),
        Ok(Err(e)) => Err(broken(&e.to_string())),
        Err(_) => Err(broken("a panic inside sled")),
    }
}

/// An error of the file system that is not about this file is the operator's matter; any other makes the index broken.
fn io_error(path: &Path, e: &std::io::Error) -> Error {
    use std::io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    if matches!(e.kind(), StorageFull | QuotaExceeded | ReadOnlyFilesystem | PermissionDenied) {
        return write_error(path, e);
    }
    broken(&e.to_string()).at(path.display())
}

fn broken(detail: &str) -> Error {
    Error::retry(
        "index.broken",
        format!("the index failed: {detail}"),
        "start again, or run «domovoi reindex»: the log is not affected",
    )
}

/// Starts in a row that ended while the generation was read.
fn deaths(dir: &Path, generation: u64) -> u64 {
    let said = fs::read_to_string(dir.join(OPENING)).unwrap_or_default();
    let (of, deaths) = said.split_once(' ').unwrap_or_default();
    if of == generation.to_string() { deaths.parse().unwrap_or(0) } else { 0 }
}

/// The highest generation in `dir` (0 if there is none) and the others.
fn generations(dir: &Path) -> Result<(u64, Vec<u64>)> {
    let io = |e: std::io::Error| write_error(dir, &e);
    let mut found = Vec::new();
    for item in fs::read_dir(dir).map_err(io)? {
        found.extend(item.map_err(io)?.file_name().to_str().and_then(|name| name.parse::<u64>().ok()));
    }
    found.sort_unstable();
    let last = found.pop().unwrap_or(0);
    Ok((last, found))
}

/// Removes the oldest set-aside directory where there are too many, so that a failing disk does not fill up.
fn forget_oldest(dir: &Path) {
    let place = |n: u32| dir.with_extension(format!("broken-{n}"));
    let present: Vec<u32> = (1..=KEPT_BROKEN + 1).filter(|n| place(*n).exists()).collect();
    if present.len() > KEPT_BROKEN as usize {
        let _ = fs::remove_dir_all(place(1));
        for n in 2..=KEPT_BROKEN + 1 {
            let _ = fs::rename(place(n), place(n - 1));
        }
    }
}
