//! Backup of a running node and its restore.
//!
//! A backup is a plain directory: the log as C2SP files under `log/`, as of one published checkpoint, the other files
//! under their names, and a `MANIFEST` that `sha256sum -c` can check too. The manifest is written last: without it a
//! backup is not one. Journal and fence are not copied; the restored fence says that a later head may have been signed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::durable::{create_dir, read_bounded, write_atomic, write_many, write_private};
use super::fence::{Age, Fence};
use super::format;
use super::fsck::{self, DirSource};
use super::log_store::LogReader;
use super::reader::{max_len, read_checkpoint};
use crate::error::{Error, Result};
use crate::tlog::Hash;
use crate::tlog::tile::{LogPath, bundles_between, tiles_of};

const MANIFEST: &str = "MANIFEST";
/// The federation's log and its files, a backup in the backup, and its manifest.
const FEDERATION: &str = "federation";
const PART: &str = "federation/MANIFEST";
const MAX_MANIFEST: u64 = 256 << 20;
/// Largest file beside the log's own.
const MAX_FILE: u64 = 64 << 20;
/// Files written at a time.
const CHUNK: usize = 32;

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Entries of the log.
    pub size: u64,
    /// Root of the log.
    pub root: Hash,
    /// Files, the manifest not counted.
    pub files: u64,
    /// Bytes of the files.
    pub bytes: u64,
}

/// Copies the log as of its checkpoint of this moment, and `extra` files under their relative names, to the empty or absent
/// directory `out`; then reads all of it back and verifies it. The node may go on writing meanwhile.
///
/// Errors: `backup.not-empty`, `backup.name`, those of [`verify`], of the files, and of the disk.
pub fn backup(log: &LogReader, extra: &[(String, PathBuf)], out: &Path) -> Result<Report> {
    backup_with(log, extra, None, out)
}

/// [`backup`] of a node that writes a federation's log too: that one and its files are a backup of their own in
/// `federation/`, whose manifest the outer one lists.
///
/// # Errors
/// Those of [`backup`].
pub fn backup_with(
    log: &LogReader,
    extra: &[(String, PathBuf)],
    federation: Option<(&LogReader, &[(String, PathBuf)])>,
    out: &Path,
) -> Result<Report> {
    must_be_empty(out, "backup.not-empty")?;
    create_dir(out)?;
    let mut manifest = String::new();
    let mut add = |name: &str, bytes: &[u8]| {
        manifest.push_str(&format!("{}  {name}\n", HEXLOWER.encode(&Sha256::digest(bytes))));
    };
    if let Some((log, extra)) = federation {
        backup_with(log, extra, None, &out.join(FEDERATION))?;
        add(PART, &read_bounded(&out.join(PART), MAX_MANIFEST)?);
    }
    let published = log.published();
    let size = published.served;
    let mut paths = tiles_of(size).map(LogPath::from).chain(bundles_between(0, size).map(LogPath::from)).peekable();
    while paths.peek().is_some() {
        let mut files = Vec::with_capacity(CHUNK);
        for path in paths.by_ref().take(CHUNK) {
            let (name, bytes) = (format!("log/{path}"), log.resource(path, size)?);
            add(&name, &bytes);
            files.push((out.join(name), bytes));
        }
        write_many(&files)?;
    }
    if let Some(note) = &published.checkpoint {
        add("log/checkpoint", note.as_bytes());
        create_dir(&out.join("log"))?;
        write_atomic(&out.join("log/checkpoint"), note.as_bytes())?;
    }
    for (name, path) in extra {
        if !is_plain(name) || name.starts_with("log/") || name.starts_with("private/") || name == format::FILE {
            return Err(Error::refuse(
                "backup.name",
                format!("«{name}» is not a name for a backup's file"),
                "give a relative path",
            ));
        }
        let bytes = read_bounded(path, MAX_FILE)?;
        add(name, &bytes);
        install(&out.join(name), &bytes, is_private(path))?;
    }
    add(format::FILE, format::TEXT.as_bytes());
    format::create(out)?;
    write_atomic(&out.join(MANIFEST), manifest.as_bytes())?;
    verify(out)
}

/// Verifies a backup: every file against the manifest, the log against its checkpoint's root. The checkpoint's signature
/// is the node's business when it opens the data.
///
/// Errors: `backup.manifest`, `backup.changed`, `format.unknown`, `backup.log`, and those of the disk.
pub fn verify(dir: &Path) -> Result<Report> {
    verify_one(dir, true)
}

/// `whole`: a backup in it may be looked for.
fn verify_one(dir: &Path, whole: bool) -> Result<Report> {
    let mut report = Report { size: 0, root: Hash::EMPTY_TREE, files: 0, bytes: 0 };
    let names = read_manifest(dir)?;
    for (name, digest) in &names {
        let bytes = read_bounded(&dir.join(name), max_of(name))?;
        if Sha256::digest(&bytes)[..] != digest[..] {
            let detail = format!("{} is not what was backed up", dir.join(name).display());
            return Err(Error::refuse("backup.changed", detail, "this backup is damaged: use another one"));
        }
        report.files += 1;
        report.bytes += bytes.len() as u64;
    }
    format::check(dir)?;
    if whole && has_federation(&names) {
        let part = verify_one(&dir.join(FEDERATION), false)?;
        report.files += part.files;
        report.bytes += part.bytes;
    }
    if names.iter().any(|(name, _)| name == "log/checkpoint") {
        let found = fsck::check(&DirSource::new(dir.join("log")), None, &mut |_, _| Ok(()), &mut |_, _| {})?;
        if let Some(first) = found.problems.first() {
            let detail =
                format!("the log in {} has {} problem(s), first: {first}", dir.display(), found.problems.len());
            return Err(Error::refuse("backup.log", detail, "run «domovoi fsck» on the node; use another backup"));
        }
        (report.size, report.root) = (found.size, found.root);
    }
    Ok(report)
}

/// Verifies the backup in `dir` and installs it in the empty or absent directory `data`. The fence is marked as restored:
/// the node will sign nothing until somebody says that no later head is known. The index is rebuilt from the log.
///
/// Errors: `restore.not-empty`, those of [`verify`] and of the disk.
pub fn restore(dir: &Path, data: &Path) -> Result<Report> {
    must_be_empty(data, "restore.not-empty")?;
    let report = verify(dir)?;
    if has_federation(&read_manifest(dir)?) {
        restore_one(&dir.join(FEDERATION), &data.join(FEDERATION))?;
    }
    restore_one(dir, data)?;
    Ok(report)
}

fn has_federation(names: &[(String, Vec<u8>)]) -> bool {
    names.iter().any(|(name, _)| name == PART)
}

fn restore_one(dir: &Path, data: &Path) -> Result<()> {
    create_dir(data)?;
    let names = read_manifest(dir)?;
    let has = |wanted: &str| names.iter().any(|(name, _)| name == wanted);
    // A node that only follows others has no log of its own and signs nothing.
    let signs = has("origin") || has("log/checkpoint") || !has("domovoi.toml");
    for (name, digest) in names {
        // The format file makes a data directory of it, so it comes last.
        if name == format::FILE || name == PART {
            continue;
        }
        let from = dir.join(&name);
        let bytes = read_bounded(&from, max_of(&name))?;
        if Sha256::digest(&bytes)[..] != digest[..] {
            let detail = format!("{} changed while it was restored", from.display());
            return Err(Error::refuse("backup.changed", detail, "remove what was restored and use another backup"));
        }
        install(&data.join(&name), &bytes, is_private(&from))?;
    }
    if signs {
        let head = read_checkpoint(&data.join("log"))?.map_or((0, Hash::EMPTY_TREE), |(c, _)| (c.size, c.root));
        let private = data.join("private");
        create_dir(&private)?;
        Fence { size: head.0, root: head.1, age: Age::Restored }.write(&private.join("fence"))?;
    }
    format::create(data)
}

fn install(path: &Path, bytes: &[u8], private: bool) -> Result<()> {
    create_dir(path.parent().unwrap_or(Path::new(".")))?;
    if private { write_private(path, bytes) } else { write_atomic(path, bytes) }
}

/// Files that only their owner could read stay so.
fn is_private(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|m| m.permissions().mode() & 0o077 == 0)
}

fn max_of(name: &str) -> u64 {
    if name == PART {
        return MAX_MANIFEST;
    }
    name.strip_prefix("log/").and_then(|p| LogPath::parse(p).ok()).map_or(MAX_FILE, max_len)
}

fn must_be_empty(dir: &Path, code: &'static str) -> Result<()> {
    let empty = match fs::read_dir(dir) {
        Ok(mut items) => items.next().is_none(),
        Err(e) => e.kind() == std::io::ErrorKind::NotFound,
    };
    if empty {
        Ok(())
    } else {
        Err(Error::refuse(code, format!("{} is not an empty directory", dir.display()), "name a new directory"))
    }
}

/// A relative path that stays below where it is joined, and fits on a line of the manifest.
fn is_plain(name: &str) -> bool {
    let normal = Path::new(name).components().all(|c| matches!(c, Component::Normal(_)));
    normal
        && !name.is_empty()
        && name.len() <= 512
        && name != MANIFEST
        && !name.chars().any(|c| c.is_control() || c == '\\')
}

fn read_manifest(dir: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let path = dir.join(MANIFEST);
    let bad = |what: &str| {
        let detail = format!("{}: {what}", path.display());
        Error::refuse("backup.manifest", detail, "this is not a complete backup of domovoi: use another one")
    };
    let bytes = read_bounded(&path, MAX_MANIFEST)
        .map_err(|e| if e.code() == "disk.missing" { bad("does not exist") } else { e })?;
    let text = String::from_utf8(bytes).map_err(|_| bad("not text"))?;
    let mut names = Vec::new();
    for line in text.strip_suffix('\n').ok_or_else(|| bad("cut short"))?.split('\n') {
        let (digest, name) = line.split_once("  ").ok_or_else(|| bad("a line without a name"))?;
        let digest =
            HEXLOWER.decode(digest.as_bytes()).ok().filter(|d| d.len() == 32).ok_or_else(|| bad("not a SHA-256"))?;
        if !is_plain(name) || name.starts_with("private/") {
            return Err(bad("a name that leads elsewhere"));
        }
        names.push((name.to_owned(), digest));
    }
    if !names.iter().any(|(name, _)| name == format::FILE) {
        return Err(bad("it does not list FORMAT"));
    }
    Ok(names)
}
