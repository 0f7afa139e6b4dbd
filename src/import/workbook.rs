//! XLSX workbooks as rows of text, within limits.
//!
//! A workbook is a zip of XML and may unpack to anything, so it is unpacked once beforehand, counting; then cells are
//! read one by one, never as a rectangle, whose size the file could make up. A sheet is read by a thread of its own that is
//! a few batches of rows ahead: the register of the whole country has two hundred thousand rows, and they are never all here.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use calamine::{DataRef, Reader, Xlsx};

use super::archive;
use super::input::{Input, too_large, unreadable};
use super::table::{Limits, Row};
use crate::error::{Error, Result};

/// Most bytes of a workbook, packed.
const MAX_PACKED: u64 = 256 << 20;
/// Most bytes a workbook may unpack to.
const MAX_UNPACKED: u64 = 1 << 30;
/// Most sheets looked at.
const MAX_SHEETS: usize = 16;
/// Most bytes of a row.
const MAX_ROW: usize = 1 << 20;
/// Rows handed over at once.
const BATCH: usize = 256;

/// A workbook, unpacked once and found to be within bounds.
pub(super) struct Workbook {
    bytes: Arc<[u8]>,
    sheets: Vec<String>,
    limits: Limits,
}

fn refuse(why: impl std::fmt::Display) -> Error {
    Error::refuse(
        "import.xlsx",
        format!("the workbook cannot be read: {why}"),
        "open it in a spreadsheet program and save it as .xlsx or .csv",
    )
}

impl Workbook {
    /// Opens a zip; none when it is no workbook.
    ///
    /// # Errors
    /// `import.xlsx`, `import.zip`, `import.too-large`.
    pub(super) fn open(input: &Input<'_>, limits: &Limits) -> Result<Option<Workbook>> {
        // Most of what begins like a zip and is broken is somebody's workbook.
        let entries = archive::entries(input).map_err(|e| refuse(e.detail()))?;
        if !entries.iter().any(|e| e.name == "xl/workbook.xml") {
            return Ok(None);
        }
        let mut left = MAX_UNPACKED.min(limits.bytes);
        for entry in &entries {
            let part = archive::open(input, entry)?;
            let n =
                std::io::copy(&mut std::io::Read::take(part, left + 1), &mut std::io::sink()).map_err(unreadable)?;
            left = left
                .checked_sub(n)
                .ok_or_else(|| too_large(format!("the workbook unpacks to more than {MAX_UNPACKED} bytes")))?;
        }
        let bytes: Arc<[u8]> = input.whole(MAX_PACKED)?.into();
        let sheets = guarded(|| Ok(open(&bytes)?.sheet_names().into_iter().take(MAX_SHEETS).collect()))?;
        Ok(Some(Workbook { bytes, sheets, limits: limits.clone() }))
    }

    /// Names of the sheets.
    pub(super) fn sheets(&self) -> &[String] {
        &self.sheets
    }

    /// The rows of a sheet.
    pub(super) fn rows(&self, sheet: &str) -> Rows {
        let (sender, receiver) = sync_channel(4);
        let (bytes, name, limits) = (self.bytes.clone(), sheet.to_owned(), self.limits.clone());
        std::thread::spawn(move || {
            if let Err(e) = guarded(|| read(&bytes, &name, &limits, &sender)) {
                // Nobody listens any more: then nobody needs to know.
                let _ = sender.send(Err(e));
            }
        });
        Rows { receiver, batch: Vec::new().into_iter() }
    }
}

/// Rows as they come from the thread that reads them; after an error there are no more.
pub(super) struct Rows {
    receiver: Receiver<Result<Vec<Row>>>,
    batch: std::vec::IntoIter<Row>,
}

impl Iterator for Rows {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Result<Row>> {
        loop {
            if let Some(row) = self.batch.next() {
                return Some(Ok(row));
            }
            match self.receiver.recv() {
                Ok(Ok(batch)) => self.batch = batch.into_iter(),
                Ok(Err(e)) => return Some(Err(e)),
                Err(_) => return None,
            }
        }
    }
}

/// The XML reader is other people's code over other people's files: a panic in it is a refusal.
fn guarded<T>(read: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Err(refuse("its parts contradict each other")))
}

fn open(bytes: &[u8]) -> Result<Xlsx<Cursor<&[u8]>>> {
    Xlsx::new(Cursor::new(bytes)).map_err(refuse)
}

fn read(bytes: &[u8], name: &str, limits: &Limits, out: &SyncSender<Result<Vec<Row>>>) -> Result<()> {
    let mut book = open(bytes)?;
    let mut cells = match book.worksheet_cells_reader(name) {
        Ok(cells) => cells,
        // A sheet of diagrams has no cells.
        Err(calamine::XlsxError::NotAWorksheet(_)) => return Ok(()),
        Err(e) => return Err(refuse(e)),
    };
    let (mut rows, mut latest): (Vec<Row>, u64) = (Vec::new(), 0);
    while let Some(cell) = cells.next_cell().map_err(refuse)? {
        let value = text(cell.get_value());
        if value.trim().is_empty() {
            continue;
        }
        let (row, column) = cell.get_position();
        let (number, column) = (u64::from(row) + 1, column as usize);
        limits.check_cell(number, column + 1, value.len())?;
        if latest > number {
            return Err(refuse(format!("row {number} stands after a later one")));
        }
        if latest < number {
            if rows.len() >= BATCH && out.send(Ok(std::mem::take(&mut rows))).is_err() {
                return Ok(());
            }
            rows.push(Row { number, cells: Vec::new() });
            latest = number;
        }
        let Some(last) = rows.last_mut() else { continue };
        if last.cells.len() <= column {
            last.cells.resize(column + 1, String::new());
        }
        // One shared text may stand in every cell of a row.
        if last.cells.iter().map(String::len).sum::<usize>() > MAX_ROW {
            return Err(too_large(format!("row {number} has more than {MAX_ROW} bytes")));
        }
        last.cells[column] = value;
    }
    let _ = out.send(Ok(rows));
    Ok(())
}

/// A cell as a person sees it.
fn text(value: &DataRef<'_>) -> String {
    match value {
        DataRef::String(s) => s.clone(),
        DataRef::SharedString(s) => (*s).to_owned(),
        DataRef::Int(n) => n.to_string(),
        // Display of f64 has no exponent: a 13-digit number stays one.
        DataRef::Float(n) if n.is_finite() && n.abs() < 1e18 => n.to_string(),
        DataRef::Bool(b) => if *b { "да" } else { "нет" }.to_owned(),
        DataRef::DateTime(d) if d.is_datetime() && (1.0..2_958_466.0).contains(&d.as_f64()) => {
            let (year, month, day, ..) = d.to_ymd_hms_milli();
            format!("{year:04}-{month:02}-{day:02}")
        }
        DataRef::DateTimeIso(s) => s.split('T').next().unwrap_or_default().to_owned(),
        DataRef::Float(_) | DataRef::DateTime(_) | DataRef::DurationIso(_) | DataRef::Error(_) | DataRef::Empty => {
            String::new()
        }
    }
}
