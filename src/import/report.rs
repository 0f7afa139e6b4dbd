//! The report of an import: what became of every row, and a table of what was refused that can be corrected and imported
//! again.

use std::path::Path;

use serde::Serialize;

use super::clerk::CHOICE;
use super::table::{Row, Table};
use crate::error::{Error, Result};

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Records were written for it.
    Imported,
    /// The register says so already.
    Unchanged,
    /// It was used, but a cell of it was left out.
    Warned,
    /// It was not used.
    Refused,
}

/// Something to be said of a row.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// Row of the source, 1-based.
    pub row: u64,
    /// What became of it.
    pub outcome: Outcome,
    /// Column.
    pub field: String,
    /// Stable code.
    pub code: &'static str,
    /// Reason.
    pub reason: String,
    /// Remedy.
    pub remedy: &'static str,
    /// Buildings it may mean.
    pub candidates: Vec<String>,
}

impl Finding {
    /// A finding about `row`.
    pub fn new(row: &Row, outcome: Outcome, field: &'static str, e: Error) -> Finding {
        Finding::at(row.number, outcome, field, &e, Vec::new())
    }
    /// A finding by row number.
    pub fn at(row: u64, outcome: Outcome, field: &str, e: &Error, candidates: Vec<String>) -> Finding {
        Finding {
            row,
            outcome,
            field: field.to_owned(),
            code: e.code(),
            reason: e.detail().to_owned(),
            remedy: e.remedy(),
            candidates,
        }
    }
}

/// The whole report.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// Rows of the source.
    pub rows: u64,
    /// Rows for which records were written.
    pub imported: u64,
    /// Rows the register said already.
    pub unchanged: u64,
    /// Rows that were refused.
    pub refused: u64,
    /// Records written, by type.
    pub records: std::collections::BTreeMap<String, u64>,
    /// Buildings of the register that the snapshot does not have.
    pub vanished: Vec<(String, String)>,
    /// Refusals and warnings.
    pub findings: Vec<Finding>,
    /// Batch, for `domovoi undo`.
    pub batch: String,
    /// True where nothing was written.
    pub dry_run: bool,
}

const HEAD: [&str; 6] = ["строка", "поле", "причина", "что сделать", "варианты", CHOICE];

impl Report {
    /// The refused rows with their original columns, then row, field, reason, remedy, candidates and an empty choice.
    fn refused_rows<'t>(&'t self, table: &'t Table) -> impl Iterator<Item = Vec<String>> + 't {
        let by_number: std::collections::HashMap<u64, &Row> = table.rows.iter().map(|r| (r.number, r)).collect();
        self.findings.iter().filter(|f| f.outcome == Outcome::Refused).map(move |f| {
            let mut cells: Vec<String> = by_number.get(&f.row).map(|r| r.cells.clone()).unwrap_or_default();
            cells.resize(table.columns.len(), String::new());
            // The report's own columns of an earlier round are written anew.
            let mut cells: Vec<String> = own_columns(table).map(|i| std::mem::take(&mut cells[i])).collect();
            cells.extend([
                f.row.to_string(),
                f.field.clone(),
                format!("[{}] {}", f.code, f.reason),
                f.remedy.to_owned(),
                f.candidates.join("; "),
                String::new(),
            ]);
            cells
        })
    }

    fn head(&self, table: &Table) -> Vec<String> {
        own_columns(table).map(|i| table.columns[i].clone()).chain(HEAD.map(String::from)).collect()
    }

    /// Writes the refused rows as CSV (`;`, UTF-8 with BOM, as spreadsheet programs expect it).
    pub fn write_csv(&self, table: &Table, path: &Path) -> Result<()> {
        let io = |e: String| {
            Error::refuse("report.write", format!("{}: {e}", path.display()), "choose a file that can be written")
        };
        let mut bytes = b"\xef\xbb\xbf".to_vec();
        let mut writer = csv::WriterBuilder::new().delimiter(b';').from_writer(&mut bytes);
        writer.write_record(self.head(table)).map_err(|e| io(e.to_string()))?;
        for row in self.refused_rows(table) {
            writer.write_record(row.iter().map(|c| harmless(c))).map_err(|e| io(e.to_string()))?;
        }
        writer.flush().map_err(|e| io(e.to_string()))?;
        drop(writer);
        std::fs::write(path, bytes).map_err(|e| io(e.to_string()))
    }

    /// Writes the refused rows as a workbook.
    pub fn write_xlsx(&self, table: &Table, path: &Path) -> Result<()> {
        let io = |e: rust_xlsxwriter::XlsxError| {
            Error::refuse("report.write", format!("{}: {e}", path.display()), "choose a file that can be written")
        };
        let mut book = rust_xlsxwriter::Workbook::new();
        let sheet = book.add_worksheet();
        for (column, name) in self.head(table).iter().enumerate() {
            sheet.write_string(0, column as u16, name).map_err(io)?;
        }
        // A sheet holds 1 048 576 rows; more refused rows than that stand in the CSV.
        for (i, row) in self.refused_rows(table).take(1_048_000).enumerate() {
            for (column, cell) in row.iter().enumerate() {
                sheet.write_string(i as u32 + 1, column as u16, cell).map_err(io)?;
            }
        }
        book.save(path).map_err(io)
    }
}

fn own_columns(table: &Table) -> impl Iterator<Item = usize> + '_ {
    let ours = HEAD.map(super::table::fold);
    (0..table.columns.len()).filter(move |i| !ours.contains(&super::table::fold(&table.columns[*i])))
}

/// A cell that a spreadsheet program would run as a formula gets an apostrophe.
fn harmless(cell: &str) -> String {
    match cell.as_bytes().first() {
        Some(b'=' | b'@') => format!("'{cell}"),
        Some(b'+' | b'-') if cell.parse::<f64>().is_err() => format!("'{cell}"),
        _ => cell.to_owned(),
    }
}
