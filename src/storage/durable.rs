//! Durable writes in one place: temp → fdatasync → rename → fsync of the directory.
//!
//! Temp names follow from the target's name (`.name.tmp`), so that repeating an interrupted write also replaces what the
//! first attempt left behind. Hence: one writer per path at a time.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// Where `path` is written before it is renamed.
pub(crate) fn temp_of(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.tmp"))
}

/// The error of a failed write: going on could lose what was to be kept.
pub(crate) fn write_error(path: &Path, e: &std::io::Error) -> Error {
    Error::stop(
        "disk.write",
        format!("{}: {e}", path.display()),
        "check free space, permissions and the health of the disk, then start again",
    )
}

/// What a failed reading of `path` is called: `disk.missing`, `disk.read`.
pub fn read_error(path: &Path, e: &std::io::Error) -> Error {
    if e.kind() == ErrorKind::NotFound {
        return Error::refuse("disk.missing", format!("{} does not exist", path.display()), "check the path");
    }
    Error::stop("disk.read", format!("{}: {e}", path.display()), "check permissions and the health of the disk")
}

/// Makes names in a directory durable.
///
/// Errors: `disk.write`.
pub fn sync_dir(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|d| d.sync_all()).map_err(|e| write_error(dir, &e))
}

/// Creates `dir` and its missing parents, each durable in its own parent.
///
/// Errors: `disk.write`.
pub fn create_dir(dir: &Path) -> Result<()> {
    if dir.as_os_str().is_empty() || dir.is_dir() {
        return Ok(());
    }
    let parent = dir.parent().unwrap_or(Path::new("."));
    create_dir(parent)?;
    match fs::create_dir(dir) {
        Err(e) if e.kind() != ErrorKind::AlreadyExists => return Err(write_error(dir, &e)),
        _ => {}
    }
    sync_dir(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })
}

/// What the system does with its copy of a file in memory once the file is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pages {
    /// Keeps it: others read the file soon.
    Stay,
    /// Gives it back: a gigabyte of files that nobody reads yet would drive out what others need.
    Go,
}

fn write_temp(path: &Path, bytes: &[u8], mode: Option<u32>, pages: Pages) -> Result<()> {
    let temp = temp_of(path);
    let write = || {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        if let Some(mode) = mode {
            use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
            let mut file = options.mode(mode).open(&temp)?;
            // A temp that was left behind may have been created with other permissions.
            file.set_permissions(fs::Permissions::from_mode(mode))?;
            file.write_all(bytes)?;
            return file.sync_data();
        }
        let mut file = options.open(&temp)?;
        file.write_all(bytes)?;
        file.sync_data()?;
        #[cfg(target_os = "linux")]
        if pages == Pages::Go {
            // No more than advice: where it is not taken, nothing is lost.
            let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
        }
        Ok(())
    };
    write().map_err(|e| write_error(&temp, &e))
}

fn rename(path: &Path) -> Result<()> {
    fs::rename(temp_of(path), path).map_err(|e| write_error(path, &e))
}

pub(crate) fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    }
}

/// Replaces `path` with `bytes`: afterwards, and after a crash at any moment, it holds either the old or the new
/// content as a whole. Its directory must exist.
///
/// Errors: `disk.write`.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    write_atomic_mode(path, bytes, None)
}

/// [`write_atomic`] for secrets: readable by the owner alone.
///
/// Errors: `disk.write`.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    write_atomic_mode(path, bytes, Some(0o600))
}

pub(crate) fn write_atomic_mode(path: &Path, bytes: &[u8], mode: Option<u32>) -> Result<()> {
    write_temp(path, bytes, mode, Pages::Stay)?;
    rename(path)?;
    sync_dir(parent_of(path))
}

/// Threads that write files at the same time.
const WRITERS: usize = 8;

/// Writes many files at the price of few synchronisations: all temps, then all names, then each directory once. Missing
/// directories are created. Not atomic as a whole: repeat it after a crash.
///
/// Errors: `disk.write`.
pub fn write_many<B: AsRef<[u8]> + Sync>(files: &[(PathBuf, B)]) -> Result<()> {
    write_files(files, Pages::Stay)
}

/// [`write_many`], and what becomes of the system's copies.
pub(super) fn write_files<B: AsRef<[u8]> + Sync>(files: &[(PathBuf, B)], pages: Pages) -> Result<()> {
    let mut dirs: Vec<&Path> = files.iter().map(|(path, _)| parent_of(path)).collect();
    dirs.sort_unstable();
    dirs.dedup();
    dirs.iter().try_for_each(|dir| create_dir(dir))?;
    // Concurrent fdatasyncs share journal commits of the file system; a few files are not worth waking other threads. Not jobs
    // of the pool: its workers are there to compute, and whoever waits for the disk keeps one of them from that.
    let write = |files: &[(PathBuf, B)]| {
        files.iter().try_for_each(|(path, bytes)| write_temp(path, bytes.as_ref(), None, pages))
    };
    let mut groups = files.chunks(files.len().div_ceil(WRITERS).max(4));
    let own = groups.next().unwrap_or_default();
    std::thread::scope(|scope| {
        // Where there is no thread to be had, this one does it.
        let begin = |group| std::thread::Builder::new().spawn_scoped(scope, move || write(group)).map_err(|_| group);
        let running: Vec<_> = groups.map(begin).collect();
        let finish = |begun: std::result::Result<std::thread::ScopedJoinHandle<'_, _>, _>| match begun {
            Ok(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
            Err(group) => write(group),
        };
        let done = write(own);
        running.into_iter().map(finish).fold(done, Result::and)
    })?;
    files.iter().try_for_each(|(path, _)| rename(path))?;
    dirs.iter().try_for_each(|dir| sync_dir(dir))
}

/// A small text with a line after it that holds its SHA-256, so that a damaged one does not pass for another.
pub(super) fn with_sum(text: &str) -> String {
    format!("{text}{}\n", HEXLOWER.encode(&Sha256::digest(text.as_bytes())))
}

/// The text that [`with_sum`] was given, if nothing of it has changed.
pub(super) fn without_sum(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    let end = text.strip_suffix('\n')?.rfind('\n')? + 1;
    (with_sum(&text[..end]) == text).then(|| &text[..end])
}

/// Reads a whole file of at most `max` bytes.
///
/// Errors: `disk.missing`, `disk.too-large`, `disk.read`.
pub fn read_bounded(path: &Path, max: u64) -> Result<Vec<u8>> {
    let file = File::open(path).map_err(|e| read_error(path, &e))?;
    let expected = file.metadata().map_err(|e| read_error(path, &e))?;
    let mut bytes = Vec::with_capacity(expected.len().min(max) as usize + 1);
    file.take(max.saturating_add(1)).read_to_end(&mut bytes).map_err(|e| read_error(path, &e))?;
    if bytes.len() as u64 > max {
        return Err(Error::refuse(
            "disk.too-large",
            format!("{} is larger than {max} bytes", path.display()),
            "this is not the file that belongs there: restore it",
        ));
    }
    Ok(bytes)
}

/// [`read_bounded`], `None` where there is no such file.
///
/// Errors: `disk.too-large`, `disk.read`.
pub fn read_optional(path: &Path, max: u64) -> Result<Option<Vec<u8>>> {
    match read_bounded(path, max) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.code() == "disk.missing" => Ok(None),
        Err(e) => Err(e),
    }
}

/// Removes a folder and what is in it, if it is there.
///
/// Errors: `disk.write`.
pub fn remove_all(path: &Path) -> Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(write_error(path, &e)),
        _ => Ok(()),
    }
}

/// Removes a file where there is one. Not durable: what must not come back is to be removed again at the next start.
///
/// Errors: `disk.write`.
pub fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(write_error(path, &e)),
        _ => Ok(()),
    }
}
