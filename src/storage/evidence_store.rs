//! The folder of evidence beside a mirror: what is written there is never overwritten, and a flood of it fills no disk.

use std::path::Path;

use super::durable::{create_dir, read_bounded, write_atomic};
use crate::error::{Error, Result};
use crate::federation::evidence::{Evidence, FORK, MAX_EVIDENCE};

/// Files of one code that are kept of one log: whoever signs a new lie every minute shows nothing new by it.
pub const MAX_PER_CODE: usize = 8;
/// Files of all codes that are kept of one log. A fork is kept beyond that.
pub const MAX_FILES: usize = 64;

/// A file of evidence, as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its name.
    pub name: String,
    /// Its bytes.
    pub bytes: u64,
}

/// What a folder holds, by name; nothing where there is none.
pub fn list(folder: &Path) -> Vec<Kept> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let kept = entries.filter_map(|e| {
        let name = e.file_name().into_string().ok().filter(|n| is_name(n))?;
        Some(Kept { name, bytes: e.metadata().ok()?.len() })
    });
    let mut kept: Vec<Kept> = kept.collect();
    kept.sort_by(|a, b| a.name.cmp(&b.name));
    kept
}

/// A name is made by this node: a code, a digest, and nothing that leads out of the folder.
pub fn is_name(name: &str) -> bool {
    name.len() <= 128
        && name.ends_with(".json")
        && !name.starts_with('.')
        && !name.contains("..")
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
}

/// The bytes of a file.
///
/// # Errors
/// `evidence.not-found`.
pub fn read(folder: &Path, name: &str) -> Result<Vec<u8>> {
    let missing = || {
        Error::refuse("evidence.not-found", "there is no such evidence", "see «domovoi evidence list» for the names")
    };
    if !is_name(name) {
        return Err(missing());
    }
    read_bounded(&folder.join(name), MAX_EVIDENCE as u64).map_err(|_| missing())
}

/// Writes it under a name of its own and gives the name. The same evidence is written once; where there is enough of its
/// kind, the name is that of one that is kept already.
///
/// # Errors
/// `evidence.form`, those of the disk.
pub fn keep(folder: &Path, evidence: &Evidence) -> Result<String> {
    let bytes = evidence.encode()?;
    let stable = (&evidence.code, &evidence.accepted_checkpoint, &evidence.served_checkpoint, &evidence.proof);
    let digest = crate::tlog::leaf_hash(format!("{stable:?}").as_bytes()).to_string();
    let name = format!("{}-{}.json", evidence.code, &digest[..16]);
    create_dir(folder).map_err(|e| Error::retry("evidence.write", e.detail(), "make room or fix permissions"))?;
    let path = folder.join(&name);
    if path.exists() {
        return Ok(name);
    }
    let kept = list(folder);
    let mut alike = kept.iter().filter(|k| k.name.starts_with(&format!("{}-", evidence.code)));
    let first = alike.next().map(|k| k.name.clone());
    if first.is_some() && alike.count() + 1 >= MAX_PER_CODE {
        return Ok(first.unwrap_or(name));
    }
    if kept.len() >= MAX_FILES && evidence.code != FORK {
        return Err(Error::retry(
            "evidence.full",
            format!("{} holds {MAX_FILES} files", folder.display()),
            "copy them elsewhere with «domovoi evidence export», then empty the folder",
        ));
    }
    write_atomic(&path, &bytes)?;
    Ok(name)
}
