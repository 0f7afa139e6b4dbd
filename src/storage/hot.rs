//! The hot file: the rows of the state as of a clean stop, so that the next start reads one file from beginning to end
//! instead of opening a data base. It can be thrown away at any time: whoever reads it believes it only where its head is
//! the log's head and the state map built from its rows has the root that the log committed; else the index or the log
//! itself is read. It is not synced: what a power cut leaves of it fails a digest.
//!
//! ```text
//! block: u32 length of payload | SHA-256 of payload | payload                              all big-endian
//! first payload:  "DMH0" | u64 size | u64 time | 32-byte root | u64 rows | u64 records | u64 blocks | (u64 size | u64 time)*
//! other payloads: (u16 length of key | key | u32 length of row | row)*     keys and rows as in the index
//! ```

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::durable::{temp_of, write_error};
use super::index::Applied;
use crate::error::Result;

const MAGIC: &[u8; 4] = b"DMH0";
/// Length of the first payload between magic and commits.
const FIXED: usize = 9 * 8;
/// Longest block that is read; a longer one is not this program's.
const MAX_BLOCK: usize = 256 << 20;

/// What the first block says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The commit whose state the rows are.
    pub applied: Applied,
    /// Number of rows.
    pub rows: u64,
    /// Number of records in the histories of all rows.
    pub records: u64,
    /// Size and time of every commit, by size.
    pub commits: Vec<(u64, u64)>,
}

/// A block, as it is to be written or as it was read: then [`Block::rows`] checks it.
pub struct Block {
    digest: [u8; 32],
    payload: Vec<u8>,
}

impl Block {
    /// Of a payload made with [`push_row`].
    pub fn of(payload: Vec<u8>) -> Block {
        Block { digest: Sha256::digest(&payload).into(), payload }
    }
    fn write(&self, out: &mut impl Write) -> std::io::Result<()> {
        out.write_all(&(self.payload.len() as u32).to_be_bytes())?;
        out.write_all(&self.digest)?;
        out.write_all(&self.payload)
    }
    fn checked(&self) -> Option<&[u8]> {
        (Sha256::digest(&self.payload)[..] == self.digest).then_some(&self.payload)
    }
    /// Key and value of each row; `None` where the block is damaged.
    pub fn rows(&self) -> Option<Vec<(&[u8], &[u8])>> {
        let (mut rest, mut rows) = (self.checked()?, Vec::new());
        while !rest.is_empty() {
            let (length, tail) = rest.split_first_chunk::<2>()?;
            let (key, tail) = tail.split_at_checked(u16::from_be_bytes(*length).into())?;
            let (length, tail) = tail.split_first_chunk::<4>()?;
            let (row, tail) = tail.split_at_checked(u32::from_be_bytes(*length) as usize)?;
            rows.push((key, row));
            rest = tail;
        }
        Some(rows)
    }
}

/// Appends a row to the payload of a block: what the two append. Keys are short names and rows bounded by the rules: neither
/// length overflows.
pub fn push_row(payload: &mut Vec<u8>, key: impl FnOnce(&mut Vec<u8>), row: impl FnOnce(&mut Vec<u8>)) {
    // Written where they stay, and their lengths afterwards: a million rows are not copied.
    let at = payload.len();
    payload.extend_from_slice(&[0; 2]);
    key(payload);
    let length = (payload.len() - at - 2) as u16;
    payload[at..at + 2].copy_from_slice(&length.to_be_bytes());
    let at = payload.len();
    payload.extend_from_slice(&[0; 4]);
    row(payload);
    let length = (payload.len() - at - 4) as u32;
    payload[at..at + 4].copy_from_slice(&length.to_be_bytes());
}

/// Replaces the hot file `path` by one of these blocks, `count` of them.
///
/// Errors: `disk.write`.
pub fn write(path: &Path, head: &Head, count: u64, blocks: impl Iterator<Item = Block>) -> Result<()> {
    let temp = temp_of(path);
    let write = || {
        let mut out = BufWriter::with_capacity(1 << 20, File::create(&temp)?);
        let Applied { size, time_ms, root } = head.applied;
        let mut first = [&MAGIC[..], &size.to_be_bytes(), &time_ms.to_be_bytes(), &root].concat();
        for number in [head.rows, head.records, count].into_iter().chain(head.commits.iter().flat_map(|c| [c.0, c.1])) {
            first.extend_from_slice(&number.to_be_bytes());
        }
        Block::of(first).write(&mut out)?;
        for block in blocks {
            block.write(&mut out)?;
        }
        out.flush()?;
        std::fs::rename(&temp, path)
    };
    write().map_err(|e| write_error(path, &e))
}

/// A hot file being read.
pub struct Reading {
    /// What it is of.
    pub head: Head,
    blocks: u64,
    file: File,
}

impl Reading {
    /// Opens a hot file; `None` where there is none, or none that can be read.
    pub fn open(path: &Path) -> Option<Reading> {
        let mut file = File::open(path).ok()?;
        let first = next(&mut file)?;
        let (fixed, commits) = first.checked()?.strip_prefix(MAGIC)?.split_at_checked(FIXED)?;
        let number = |bytes: &[u8], n: usize| Some(u64::from_be_bytes(*bytes.get(8 * n..)?.first_chunk()?));
        let (size, time_ms, root) = (number(fixed, 0)?, number(fixed, 1)?, fixed.get(16..48)?.try_into().ok()?);
        let (rows, records, blocks) = (number(fixed, 6)?, number(fixed, 7)?, number(fixed, 8)?);
        let commits = commits.chunks(16).map(|c| Some((number(c, 0)?, number(c, 1)?))).collect::<Option<_>>()?;
        let head = Head { applied: Applied { size, time_ms, root }, rows, records, commits };
        Some(Reading { head, blocks, file })
    }

    /// The next blocks, at most `most`; none at the end, `None` where the file ends early.
    pub fn next(&mut self, most: u64) -> Option<Vec<Block>> {
        let wanted = self.blocks.min(most);
        self.blocks -= wanted;
        (0..wanted).map(|_| next(&mut self.file)).collect()
    }
}

fn next(file: &mut File) -> Option<Block> {
    let mut frame = [0; 36];
    file.read_exact(&mut frame).ok()?;
    let (length, digest) = frame.split_first_chunk::<4>()?;
    let length = u32::from_be_bytes(*length) as usize;
    if length > MAX_BLOCK {
        return None;
    }
    let mut payload = Vec::new();
    // Grows with what is there, not with what a damaged length says.
    file.take(length as u64).read_to_end(&mut payload).ok()?;
    (payload.len() == length).then_some(Block { digest: digest.try_into().ok()?, payload })
}
