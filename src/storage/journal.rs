//! The journal: one batch, written and synced before any tile of it, so that a crash in the middle rolls forward.
//!
//! The file holds the last staged batch only, at its beginning: a batch is staged after the one before it is published,
//! so the older is not needed any more. Writing over the same blocks is also the cheapest durable write there is. What
//! follows the record in the file is a remainder of a longer one and means nothing.
//!
//! ```text
//! "DMJ0" | u64 length of payload | SHA-256 of payload | payload
//! payload: u64 old size | u64 new size | 32-byte root at new size | (u16 length | entry)*     all big-endian
//! ```

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::durable::{parent_of, read_optional, sync_dir, write_error};
use crate::error::{Error, Result};
use crate::tlog::Hash;
use crate::tlog::tile::MAX_ENTRY_LEN;

/// Most entries of one batch.
pub const MAX_ENTRIES: usize = 1 << 19;
/// Most bytes of one batch's entries.
pub const MAX_BYTES: usize = 1 << 29;
/// A longer file is cut back when the next, shorter batch is written.
const KEEP: u64 = 4 << 20;
const MAGIC: &[u8; 4] = b"DMJ0";
const HEADER: usize = 4 + 8 + 32;
const FIXED: usize = 8 + 8 + 32;
const MAX_PAYLOAD: usize = FIXED + 2 * MAX_ENTRIES + MAX_BYTES;

/// A journalled batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Entries of the log before it.
    pub old_size: u64,
    /// Entries of the log with it.
    pub new_size: u64,
    /// Root of the tree of `new_size` entries.
    pub root: Hash,
    /// The entries themselves.
    pub entries: Vec<Vec<u8>>,
}

impl Record {
    /// Checks the bounds of a batch.
    ///
    /// Errors: `stage.empty`, `stage.too-large`, `stage.entry-too-long`.
    pub fn check(entries: &[impl AsRef<[u8]>]) -> Result<()> {
        let refuse = |code, detail| Err(Error::refuse(code, detail, "submit fewer or smaller records at a time"));
        if entries.is_empty() {
            return refuse("stage.empty", "a batch without entries".into());
        }
        let length = |e: &_| AsRef::<[u8]>::as_ref(e).len();
        if let Some(i) = entries.iter().position(|e| length(e) > MAX_ENTRY_LEN) {
            return refuse("stage.entry-too-long", format!("entry {i} of the batch has {} bytes", length(&entries[i])));
        }
        let total: usize = entries.iter().map(length).sum();
        if entries.len() > MAX_ENTRIES || total > MAX_BYTES {
            return refuse("stage.too-large", format!("a batch of {} entries, {total} bytes", entries.len()));
        }
        Ok(())
    }

    /// Bytes of the record.
    ///
    /// Errors: those of [`Record::check`].
    pub fn encode(old_size: u64, root: Hash, entries: &[Vec<u8>]) -> Result<Vec<u8>> {
        Self::check(entries)?;
        let total: usize = entries.iter().map(|e| e.len() + 2).sum();
        let mut bytes = vec![0; HEADER];
        bytes.reserve_exact(FIXED + total);
        bytes.extend_from_slice(&old_size.to_be_bytes());
        bytes.extend_from_slice(&old_size.saturating_add(entries.len() as u64).to_be_bytes());
        bytes.extend_from_slice(&root.0);
        for entry in entries {
            // `check` has seen that the length fits.
            bytes.extend_from_slice(&(entry.len() as u16).to_be_bytes());
            bytes.extend_from_slice(entry);
        }
        let payload = bytes.len() - HEADER;
        bytes[..4].copy_from_slice(MAGIC);
        bytes[4..12].copy_from_slice(&(payload as u64).to_be_bytes());
        let digest = Sha256::digest(&bytes[HEADER..]);
        bytes[12..HEADER].copy_from_slice(&digest);
        Ok(bytes)
    }

    /// Reads the record at the beginning of a journal. `None` where there is no complete one: then nothing was staged,
    /// or the write of it was cut short and never acknowledged.
    pub fn decode(journal: &[u8]) -> Option<Record> {
        let (magic, rest) = journal.split_first_chunk::<4>()?;
        let (length, rest) = rest.split_first_chunk::<8>()?;
        let (digest, rest) = rest.split_first_chunk::<32>()?;
        let length = usize::try_from(u64::from_be_bytes(*length)).ok().filter(|l| *l <= MAX_PAYLOAD)?;
        let payload = rest.get(..length)?;
        if magic != MAGIC || Sha256::digest(payload)[..] != digest[..] {
            return None;
        }
        let (old_size, rest) = payload.split_first_chunk::<8>()?;
        let (new_size, rest) = rest.split_first_chunk::<8>()?;
        let (root, mut rest) = rest.split_first_chunk::<32>()?;
        let (old_size, new_size) = (u64::from_be_bytes(*old_size), u64::from_be_bytes(*new_size));
        let mut entries = Vec::new();
        while !rest.is_empty() {
            let (length, tail) = rest.split_first_chunk::<2>()?;
            let (entry, tail) = tail.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
            entries.push(entry.to_vec());
            rest = tail;
        }
        let fits = !entries.is_empty() && new_size.checked_sub(old_size) == Some(entries.len() as u64);
        fits.then_some(Record { old_size, new_size, root: Hash(*root), entries })
    }
}

/// The open journal file.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
    length: u64,
}

impl Journal {
    /// Opens the journal, created if needed, and reads the batch in it.
    ///
    /// Errors: `disk.write`, `disk.read`, `disk.too-large`.
    pub fn open(path: &Path) -> Result<(Journal, Option<Record>)> {
        let found = read_optional(path, (HEADER + MAX_PAYLOAD) as u64)?;
        let open = OpenOptions::new().write(true).create(true).truncate(false).open(path);
        let file = open.map_err(|e| write_error(path, &e))?;
        if found.is_none() {
            sync_dir(parent_of(path))?;
        }
        let length = found.as_ref().map_or(0, |b| b.len() as u64);
        let record = found.as_deref().and_then(Record::decode);
        Ok((Journal { file, path: path.to_owned(), length }, record))
    }

    /// Puts an encoded record in the place of the last one, durably.
    ///
    /// Errors: `disk.write`.
    pub fn write(&mut self, record: &[u8]) -> Result<()> {
        let length = record.len() as u64;
        let mut write = || {
            if self.length > KEEP && length < self.length {
                self.file.set_len(length)?;
                self.length = length;
            }
            self.file.write_all_at(record, 0)?;
            self.length = self.length.max(length);
            self.file.sync_data()
        };
        write().map_err(|e| write_error(&self.path, &e))
    }
}
