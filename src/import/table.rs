//! Any table a region hands in, recognised by its bytes: gzip or plain; XLSX or text; UTF-8 (with or without BOM) or
//! windows-1251; separated by comma, semicolon, bar or tab. Bounded in bytes, rows, columns and cell size.

use std::collections::HashMap;
use std::io::Read;
use std::sync::Arc;

use crate::error::{Error, Result};

/// Largest table after decompression, in bytes.
pub const MAX_BYTES: u64 = 1 << 31;
/// Most rows.
pub const MAX_ROWS: usize = 5_000_000;
/// Most columns.
pub const MAX_COLUMNS: usize = 512;
/// Largest cell, in bytes.
pub const MAX_CELL: usize = 64 << 10;

/// A table read whole.
#[derive(Debug, Clone, Default)]
pub struct Table {
    /// Column names as the source writes them.
    pub columns: Arc<Vec<String>>,
    /// Rows under the header.
    pub rows: Vec<Row>,
    index: HashMap<String, usize>,
}

/// One row.
#[derive(Debug, Clone)]
pub struct Row {
    /// Its number in the source, 1-based, the header counted.
    pub number: u64,
    /// Its cells, one per column.
    pub cells: Vec<String>,
}

fn bad(code: &'static str, detail: impl Into<String>) -> Error {
    Error::refuse(code, detail, "save the table as XLSX or CSV (UTF-8) and import it again")
}

/// A column name without case, spaces and punctuation.
pub fn fold(name: &str) -> String {
    name.to_lowercase().replace('ё', "е").chars().filter(|c| c.is_alphanumeric()).collect()
}

/// Spellings of "not known" that sources use.
pub fn is_unknown(cell: &str) -> bool {
    let folded = fold(cell);
    matches!(
        folded.as_str(),
        "" | "незаполнено"
            | "нетданных"
            | "нд"
            | "неприсвоен"
            | "неприсвоено"
            | "неопределен"
            | "нет"
            | "неуказано"
            | "неизвестно"
            | "none"
            | "null"
    ) || (!cell.is_empty() && cell.chars().all(|c| matches!(c, '0' | '-' | '.' | ' ' | ',')))
}

impl Table {
    /// Reads a table from the bytes of a file.
    pub fn read(bytes: &[u8]) -> Result<Table> {
        if bytes.starts_with(&[0x1f, 0x8b]) {
            let mut plain = Vec::new();
            let mut unzip = flate2::read::MultiGzDecoder::new(bytes).take(MAX_BYTES + 1);
            unzip.read_to_end(&mut plain).map_err(|e| bad("import.gzip", format!("gzip: {e}")))?;
            if plain.len() as u64 > MAX_BYTES {
                return Err(bad("import.too_large", "the table is larger than 2 GiB when unpacked"));
            }
            return Table::plain(&plain);
        }
        Table::plain(bytes)
    }

    fn plain(bytes: &[u8]) -> Result<Table> {
        match bytes {
            [b'P', b'K', 3, 4, ..] => Table::xlsx(bytes),
            [0x1f, 0x8b, ..] => Err(bad("import.gzip", "gzip inside gzip")),
            _ => Table::text(bytes),
        }
    }

    fn xlsx(bytes: &[u8]) -> Result<Table> {
        use calamine::{Data, Reader, Xlsx};
        // A workbook is a zip: what it unpacks to is bounded by the reader's cell limit below, what it holds by this.
        if bytes.len() > 256 << 20 {
            return Err(bad("import.too_large", "the workbook is larger than 256 MiB"));
        }
        let failed = |e: calamine::XlsxError| bad("import.xlsx", format!("workbook: {e}"));
        let mut book: Xlsx<_> = Xlsx::new(std::io::Cursor::new(bytes)).map_err(failed)?;
        let sheet = book
            .worksheet_range_at(0)
            .ok_or_else(|| bad("import.xlsx", "the workbook has no sheet"))?
            .map_err(failed)?;
        let (top, _) = sheet.start().unwrap_or((0, 0));
        let text = |cell: &Data| match cell {
            Data::Empty | Data::Error(_) => String::new(),
            // Excel keeps ids as numbers; 77.0 is 77.
            Data::Float(f) if f.fract() == 0.0 && f.abs() < 9e15 => format!("{f:.0}"),
            Data::DateTime(d) if d.is_datetime() => {
                let (year, month, day, ..) = d.to_ymd_hms_milli();
                format!("{day:02}.{month:02}.{year}")
            }
            other => other.to_string(),
        };
        let rows = sheet
            .rows()
            .enumerate()
            .map(|(i, cells)| Ok(((u64::from(top) + i as u64 + 1), cells.iter().map(text).collect())));
        Table::build(rows)
    }

    fn text(bytes: &[u8]) -> Result<Table> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        if bytes.contains(&0) {
            return Err(bad("import.binary", "the file holds zero bytes: it is no text table"));
        }
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => std::borrow::Cow::Borrowed(text),
            // Every byte string is windows-1251; the header check says whether it made sense.
            Err(_) => encoding_rs::WINDOWS_1251.decode_without_bom_handling(bytes).0,
        };
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(delimiter(&text))
            .has_headers(false)
            .flexible(true)
            .from_reader(text.as_bytes());
        let mut line = 0;
        let rows = std::iter::from_fn(|| {
            let mut record = csv::StringRecord::new();
            match reader.read_record(&mut record) {
                Ok(false) => None,
                Ok(true) => {
                    line += 1;
                    Some(Ok((line, record.iter().map(str::to_owned).collect())))
                }
                Err(e) => Some(Err(bad("import.csv", format!("table: {e}")))),
            }
        });
        Table::build(rows)
    }

    fn build(rows: impl Iterator<Item = Result<(u64, Vec<String>)>>) -> Result<Table> {
        let mut table = Table::default();
        let mut header: Option<Vec<String>> = None;
        for row in rows {
            let (number, cells) = row?;
            let cells: Vec<String> = cells.into_iter().map(|c| clean(&c)).collect();
            if cells.len() > MAX_COLUMNS || cells.iter().any(|c| c.len() > MAX_CELL) || table.rows.len() >= MAX_ROWS {
                return Err(bad(
                    "import.too_large",
                    format!("row {number}: too many columns or rows, or a cell above 64 KiB"),
                ));
            }
            if cells.iter().all(String::is_empty) {
                continue;
            }
            match &header {
                None => header = Some(cells),
                Some(h) => {
                    let mut cells = cells;
                    cells.resize(h.len().max(cells.len()), String::new());
                    table.rows.push(Row { number, cells });
                }
            }
        }
        let columns = header.ok_or_else(|| bad("import.empty", "the table is empty"))?;
        for (i, name) in columns.iter().enumerate() {
            // A repeated name means the first column of that name.
            table.index.entry(fold(name)).or_insert(i);
        }
        table.columns = Arc::new(columns);
        Ok(table)
    }

    /// True where the table has a column of that name.
    pub fn has(&self, name: &str) -> bool {
        self.index.contains_key(&fold(name))
    }

    /// The first of `names` that the table has, as the table writes it.
    pub fn column(&self, names: &[&str]) -> Option<&str> {
        let column = names.iter().find_map(|n| self.index.get(&fold(n)))?;
        self.columns.get(*column).map(String::as_str)
    }

    /// The cell of `row` in the first of `names` that the table has; unknown spellings are none.
    pub fn cell<'r>(&self, row: &'r Row, names: &[&str]) -> Option<&'r str> {
        let column = names.iter().find_map(|n| self.index.get(&fold(n)))?;
        row.cells.get(*column).map(String::as_str).filter(|c| !is_unknown(c))
    }
}

/// One line, no double spaces: newlines inside quotes are layout, not content.
fn clean(cell: &str) -> String {
    cell.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The separator that occurs most in the first lines outside quotes.
fn delimiter(text: &str) -> u8 {
    let mut counts = [(b',', 0u32), (b';', 0), (b'|', 0), (b'\t', 0)];
    let mut quoted = false;
    for byte in text.bytes().take(4096) {
        if byte == b'"' {
            quoted = !quoted;
        }
        if byte == b'\n' && !quoted && counts.iter().any(|(_, n)| *n > 0) {
            break;
        }
        for (c, n) in &mut counts {
            *n += u32::from(*c == byte && !quoted);
        }
    }
    counts.into_iter().max_by_key(|(c, n)| (*n, *c == b',')).map_or(b',', |(c, _)| c)
}
