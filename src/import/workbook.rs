//! XLSX workbooks (and a zip of one CSV) as rows of text, within limits.
//!
//! A workbook is a zip of XML and may unpack to anything, so it is unpacked once beforehand, counting; then cells are
//! read one by one, never as a rectangle, whose size the file could make up.

use std::io::{Cursor, Read};

use calamine::{DataRef, Reader, Xlsx};
use zip::ZipArchive;

use super::table::{Limits, Row};
use crate::error::{Error, Result};

/// Most bytes a workbook may unpack to.
const MAX_UNPACKED: u64 = 512 << 20;
/// Most entries of the zip.
const MAX_ENTRIES: usize = 2_000;
/// Most cells, empty ones before a filled one counted, over all rows of a sheet.
const MAX_CELLS: usize = 20_000_000;

/// What a zip turned out to be.
pub(super) enum Packed {
    /// Sheets of a workbook: name, rows.
    Sheets(Vec<(String, Vec<Row>)>),
    /// The one text table in it.
    Text(Vec<u8>),
}

fn refuse(why: impl std::fmt::Display) -> Error {
    Error::refuse(
        "import.xlsx",
        format!("the workbook cannot be read: {why}"),
        "open it in a spreadsheet program and save it as .xlsx or .csv",
    )
}

/// Reads a zip.
pub(super) fn read(bytes: &[u8], limits: &Limits) -> Result<Packed> {
    // The XML reader is other people's code over other people's files: a panic in it is a refusal.
    std::panic::catch_unwind(|| unguarded(bytes, limits))
        .unwrap_or_else(|_| Err(refuse("its parts contradict each other")))
}

fn unguarded(bytes: &[u8], limits: &Limits) -> Result<Packed> {
    let mut zip = ZipArchive::new(Cursor::new(bytes)).map_err(refuse)?;
    if zip.len() > MAX_ENTRIES {
        return Err(refuse(format!("{} parts, at most {MAX_ENTRIES} are read", zip.len())));
    }
    let names: Vec<String> =
        zip.file_names().map(|n| n.map(|n| n.into_owned())).collect::<std::result::Result<_, _>>().map_err(refuse)?;
    let most = MAX_UNPACKED.min(limits.bytes);
    if !names.iter().any(|n| n == "xl/workbook.xml") {
        let mut tables = names.iter().filter(|n| n.to_lowercase().ends_with(".csv"));
        let (Some(name), None) = (tables.next(), tables.next()) else {
            return Err(refuse("neither an .xlsx workbook nor a zip of one .csv"));
        };
        let mut text = Vec::new();
        zip.by_name(name).map_err(refuse)?.take(most + 1).read_to_end(&mut text).map_err(refuse)?;
        if text.len() as u64 > most {
            return Err(too_large(most));
        }
        return Ok(Packed::Text(text));
    }
    let mut left = most;
    for i in 0..zip.len() {
        let part = zip.by_index(i).map_err(refuse)?;
        let n = std::io::copy(&mut part.take(left + 1), &mut std::io::sink()).map_err(refuse)?;
        left = left.checked_sub(n).ok_or_else(|| too_large(most))?;
    }
    let mut book = Xlsx::new(Cursor::new(bytes)).map_err(refuse)?;
    let mut sheets = Vec::new();
    for name in book.sheet_names().into_iter().take(16) {
        let rows = sheet(&mut book, &name, limits)?;
        if !rows.is_empty() {
            sheets.push((name, rows));
        }
    }
    Ok(Packed::Sheets(sheets))
}

fn too_large(most: u64) -> Error {
    Error::refuse(
        "import.too-large",
        format!("the file unpacks to more than {most} bytes"),
        "split the file into smaller ones",
    )
}

fn sheet(book: &mut Xlsx<Cursor<&[u8]>>, name: &str, limits: &Limits) -> Result<Vec<Row>> {
    let mut cells = match book.worksheet_cells_reader(name) {
        Ok(cells) => cells,
        // A sheet of diagrams has no cells.
        Err(calamine::XlsxError::NotAWorksheet(_)) => return Ok(Vec::new()),
        Err(e) => return Err(refuse(e)),
    };
    let (mut rows, mut held, mut size): (Vec<Row>, usize, u64) = (Vec::new(), 0, 0);
    while let Some(cell) = cells.next_cell().map_err(refuse)? {
        let value = text(cell.get_value());
        if value.trim().is_empty() {
            continue;
        }
        let (row, column) = cell.get_position();
        let number = u64::from(row) + 1;
        if rows.last().is_some_and(|r| r.number > number) {
            return Err(refuse(format!("row {number} stands after a later one")));
        }
        if rows.last().is_none_or(|r| r.number < number) {
            rows.push(Row { number, cells: Vec::new() });
        }
        let Some(last) = rows.last_mut() else { continue };
        let column = column as usize;
        limits.check_cell(number, column + 1, value.len())?;
        if last.cells.len() <= column {
            held += column + 1 - last.cells.len();
            last.cells.resize(column + 1, String::new());
        }
        size += value.len() as u64;
        // One shared text may stand in every cell: what is held counts, not what is stored.
        if rows.len() as u64 > limits.rows || held > MAX_CELLS || size > limits.bytes.min(MAX_UNPACKED) {
            return Err(too_large(MAX_UNPACKED));
        }
        if let Some(place) = rows.last_mut().and_then(|r| r.cells.get_mut(column)) {
            *place = value;
        }
    }
    Ok(rows)
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
