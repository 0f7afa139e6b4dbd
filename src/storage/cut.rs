//! The own log at a cut (docs/protocol.md, "Cuts"): the charter decided that it goes on from an earlier head under a new key.
//!
//! What is there is set aside whole, never changed: the tree of the cut is written beside it from the same files, with a
//! checkpoint by the new key, and takes its place by one rename. A stop at any point leaves one of the two, and the next start
//! goes on. Which of them is there, the checkpoint's key tells.

use std::fs;
use std::path::Path;

use super::durable::{create_dir, read_optional, sync_dir, write_atomic, write_many};
use super::edge::{Edge, on_disk};
use super::fence::{Age, Fence};
use super::lock::Lock;
use super::log_store::open_by_any;
use super::reader::{MAX_CHECKPOINT, read_checkpoint, read_resource};
use super::repair::set_aside;
use crate::error::{Error, Result};
use crate::tlog::Hash;
use crate::tlog::note::VerifierKey;
use crate::tlog::tile::{LogPath, bundles_between, tiles_of};

/// Files written at a time.
const FILES: usize = 256;

/// Takes the log in `dir`, with its journal and fence in `private`, back to the head of `size` entries with this `root`, unless
/// one of `keys`, which came with the cut or later, has signed its checkpoint already. `checkpoint` is that head, signed by the
/// newest of them. True where something was done.
///
/// # Errors
/// `log.cut` where the files do not lead to that head; `storage.locked`; those of the disk.
pub fn cut_log(
    dir: &Path,
    private: &Path,
    (size, root): (u64, Hash),
    keys: &[&VerifierKey],
    checkpoint: &str,
) -> Result<bool> {
    create_dir(private)?;
    let _lock = Lock::acquire(&private.join("lock"))?;
    let fresh = dir.with_file_name("log.cut");
    if !dir.exists() && fresh.join("checkpoint").exists() {
        // Stopped between the two renames.
        rename(&fresh, dir)?;
    }
    let signed = read_optional(&dir.join("checkpoint"), MAX_CHECKPOINT)?;
    if signed.is_some_and(|note| open_by_any(&note, keys).is_ok()) {
        return Ok(false);
    }
    if fresh.exists() {
        set_aside(&fresh, private)?;
    }
    create_dir(&fresh)?;
    let there = read_checkpoint(dir).ok().flatten().map_or(size, |(c, _)| c.size.max(size));
    let mut files = Vec::new();
    let paths = tiles_of(size).map(LogPath::from).chain(bundles_between(0, size).map(LogPath::from));
    for path in paths {
        let bytes = read_resource(dir, path, there)?.ok_or_else(|| short(dir, size, &format!("{path} is missing")))?;
        files.push((path, bytes));
        if files.len() == FILES {
            write_many(&on_disk(&fresh, std::mem::take(&mut files)))?;
        }
    }
    write_many(&on_disk(&fresh, files))?;
    let found = Edge::load(&fresh, size).map_err(|e| short(dir, size, e.detail()))?.root;
    if found != root {
        return Err(short(dir, size, &format!("the root is {found}, the charter says {root}")));
    }
    write_atomic(&fresh.join("checkpoint"), checkpoint.as_bytes())?;
    for file in ["journal", "fence"] {
        let path = private.join(file);
        if path.exists() {
            set_aside(&path, private)?;
        }
    }
    Fence { size, root, age: Age::Known }.write(&private.join("fence"))?;
    let place = set_aside(dir, private)?;
    rename(&fresh, dir)?;
    tracing::warn!(size, set_aside = %place.display(), "the charter has cut this log: it goes on from there under its new key; what was there is set aside");
    Ok(true)
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to)
        .map_err(|e| Error::stop("disk.write", format!("{}: {e}", to.display()), "fix permissions or make room"))?;
    sync_dir(to.parent().unwrap_or(to))
}

fn short(dir: &Path, size: u64, why: &str) -> Error {
    Error::stop(
        "log.cut",
        format!(
            "{}: the charter cut the log at {size} entries, and the files there do not lead to it: {why}",
            dir.display()
        ),
        "restore the log from the others first: «domovoi restore --from-peers»",
    )
}
