//! The row of a subject, as the index and the hot file have it: number of records, each one's index and id, then the frozen
//! encoding of the facts.

use super::facts::Facts;
use super::ids::RecordId;
use super::record::Subject;
use super::state::{Entry, HistoryItem};
use crate::error::{Error, Result};

/// Bytes that most rows fit in, so that writing one does not move it again and again.
const ROW: usize = 1024;

/// Appends the row of `entry`; gives where its facts begin in `out`.
pub fn push_row(out: &mut Vec<u8>, entry: &Entry) -> usize {
    out.extend_from_slice(&(entry.history.len() as u32).to_be_bytes());
    for h in &entry.history {
        out.extend_from_slice(&h.index.to_be_bytes());
        out.extend_from_slice(&h.id.0);
    }
    let facts = out.len();
    entry.facts.encode_into(out);
    facts
}

/// The name of a subject, its row, and where its facts begin in that.
pub(super) fn row_of(subject: &Subject, entry: &Entry) -> (String, Vec<u8>, usize) {
    let mut row = Vec::with_capacity(ROW);
    let facts = push_row(&mut row, entry);
    (subject.to_string(), row, facts)
}

/// Reads a row back.
///
/// # Errors
/// `index.row`, and those of [`Facts::decode`].
pub fn decode_row(row: &[u8]) -> Result<Entry> {
    let (history, facts) = split_row(row)?;
    Ok(Entry { facts: Facts::decode(facts)?, history })
}

/// The history of a row, and the encoding of its facts.
///
/// # Errors
/// `index.row`.
pub fn split_row(row: &[u8]) -> Result<(Vec<HistoryItem>, &[u8])> {
    let bad = || Error::stop("index.row", "an index row is cut short", "run «domovoi reindex»");
    let (count, mut rest) = row.split_first_chunk::<4>().ok_or_else(bad)?;
    let count = u32::from_be_bytes(*count) as usize;
    let mut history = Vec::with_capacity(count.min(row.len() / 40));
    for _ in 0..count {
        let (index, after) = rest.split_first_chunk::<8>().ok_or_else(bad)?;
        let (id, after) = after.split_first_chunk::<32>().ok_or_else(bad)?;
        history.push(HistoryItem { index: u64::from_be_bytes(*index), id: RecordId(*id) });
        rest = after;
    }
    Ok((history, rest))
}
