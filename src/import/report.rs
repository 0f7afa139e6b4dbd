//! The report of an import: what became of every row, and a table of what was refused that can be corrected and imported
//! again.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::clerk::{self, CHOICE};
use super::table::{Row, Table};
use crate::error::{Error, Result, russian};

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
    /// Stable code; the node's own where the node refused a record of the row.
    pub code: String,
    /// Reason, in English.
    pub reason: String,
    /// Remedy, in English.
    pub remedy: String,
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
            code: e.code().to_owned(),
            reason: e.detail().to_owned(),
            remedy: e.remedy().to_owned(),
            candidates,
        }
    }
    /// A refusal by the node, whose code may be one that this program does not know.
    pub fn by_node(row: u64, e: &NodeRefusal) -> Finding {
        Finding {
            row,
            outcome: Outcome::Refused,
            field: String::new(),
            // A refusal without a code is still a refusal.
            code: if e.code.is_empty() { "cli.refused".to_owned() } else { e.code.clone() },
            reason: e.detail.clone(),
            remedy: e.remedy.clone(),
            candidates: Vec::new(),
        }
    }
    /// Code and reason as people read them; the particulars stay English.
    pub fn reason_in(&self, language: Language) -> String {
        match (language, russian(&self.code)) {
            (Language::Russian, Some((what, _))) => format!("[{}] {what} ({})", self.code, self.reason),
            _ => format!("[{}] {}", self.code, self.reason),
        }
    }
    /// What to do.
    pub fn remedy_in(&self, language: Language) -> &str {
        match (language, russian(&self.code)) {
            (Language::Russian, Some((_, remedy))) => remedy,
            _ => &self.remedy,
        }
    }
    /// The column: as the table names it, or else as the manual does. Empty where the node refused, which knows no columns.
    pub fn column<'t>(&'t self, table: &'t Table, language: Language) -> &'t str {
        let Some(names) = clerk::names_of(&self.field) else { return &self.field };
        match (table.column(names), language) {
            (Some(column), _) => column,
            (None, Language::Russian) => clerk::manual_name(&self.field),
            (None, Language::English) => &self.field,
        }
    }
}

/// Language of a report's texts; its headings are Russian in either, as a corrected report is read again by them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// Russian.
    Russian,
    /// English.
    English,
}

/// Why the node refused a record, as it answered.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct NodeRefusal {
    /// Stable code.
    #[serde(default)]
    pub code: String,
    /// Thing and reason, in English.
    #[serde(default)]
    pub detail: String,
    /// What to do, in English.
    #[serde(default)]
    pub remedy: String,
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
    fn refused_rows<'t>(&'t self, table: &'t Table, language: Language) -> impl Iterator<Item = Vec<String>> + 't {
        let by_number: std::collections::HashMap<u64, &Row> = table.rows.iter().map(|r| (r.number, r)).collect();
        self.findings.iter().filter(|f| f.outcome == Outcome::Refused).map(move |f| {
            let mut cells: Vec<String> = by_number.get(&f.row).map(|r| r.cells.clone()).unwrap_or_default();
            cells.resize(table.columns.len(), String::new());
            // The report's own columns of an earlier round are written anew.
            let mut cells: Vec<String> = own_columns(table).map(|i| std::mem::take(&mut cells[i])).collect();
            cells.extend([
                f.row.to_string(),
                f.column(table, language).to_owned(),
                f.reason_in(language),
                f.remedy_in(language).to_owned(),
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
    pub fn write_csv(&self, table: &Table, path: &Path, language: Language) -> Result<()> {
        let io = |e: String| {
            Error::refuse("report.write", format!("{}: {e}", path.display()), "choose a file that can be written")
        };
        let mut bytes = b"\xef\xbb\xbf".to_vec();
        let mut writer = csv::WriterBuilder::new().delimiter(b';').from_writer(&mut bytes);
        writer.write_record(self.head(table)).map_err(|e| io(e.to_string()))?;
        for row in self.refused_rows(table, language) {
            writer.write_record(row.iter().map(|c| harmless(c))).map_err(|e| io(e.to_string()))?;
        }
        writer.flush().map_err(|e| io(e.to_string()))?;
        drop(writer);
        std::fs::write(path, bytes).map_err(|e| io(e.to_string()))
    }

    /// Writes the refused rows as a workbook.
    pub fn write_xlsx(&self, table: &Table, path: &Path, language: Language) -> Result<()> {
        let io = |e: rust_xlsxwriter::XlsxError| {
            Error::refuse("report.write", format!("{}: {e}", path.display()), "choose a file that can be written")
        };
        let mut book = rust_xlsxwriter::Workbook::new();
        let sheet = book.add_worksheet();
        for (column, name) in self.head(table).iter().enumerate() {
            sheet.write_string(0, column as u16, name).map_err(io)?;
        }
        // A sheet holds 1 048 576 rows; more refused rows than that stand in the CSV.
        for (i, row) in self.refused_rows(table, language).take(1_048_000).enumerate() {
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

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str = "import.address.unknown";

    fn cells(report: &Report, table: &Table, language: Language) -> Vec<String> {
        let row = report.refused_rows(table, language).next().unwrap();
        row[table.columns.len()..][..4].to_vec()
    }

    #[test]
    fn a_refused_row_says_column_reason_and_remedy_in_the_language_asked_for() {
        let table = Table::read("Адрес дома;Ссылка\nНигде;x\n".as_bytes()).unwrap();
        let error = Error::refuse(CODE, "no building has the address «Нигде»", "correct the address");
        let mut report = Report::default();
        report.findings.push(Finding::new(&table.rows[0], Outcome::Refused, "address", error));
        let (what, remedy) = russian(CODE).unwrap();
        let reason = format!("[{CODE}] {what} (no building has the address «Нигде»)");
        assert_eq!(cells(&report, &table, Language::Russian), ["2", "Адрес дома", reason.as_str(), remedy]);
        let reason = format!("[{CODE}] no building has the address «Нигде»");
        let english = cells(&report, &table, Language::English);
        assert_eq!(english, ["2", "Адрес дома", reason.as_str(), "correct the address"]);
    }

    #[test]
    fn a_column_the_table_lacks_is_called_as_in_the_manual() {
        let table = Table::read("Адрес;x\nНигде;x\n".as_bytes()).unwrap();
        let finding = |field| Finding::at(2, Outcome::Refused, field, &Error::refuse(CODE, "", ""), Vec::new());
        for (field, name) in [("building", "ID дома"), ("organisation", "ОГРН/ИНН"), ("HOUSE_ID", "HOUSE_ID"), ("", "")]
        {
            assert_eq!(finding(field).column(&table, Language::Russian), name);
        }
        assert_eq!(finding("chat id").column(&table, Language::English), "chat id");
    }

    #[test]
    fn a_refusal_by_the_node_keeps_the_nodes_code() {
        let answer = r#"{"outcome":"refused","code":"rule.building.retired","detail":"d","remedy":"r"}"#;
        let finding = Finding::by_node(7, &serde_json::from_str(answer).unwrap());
        assert_eq!((finding.row, finding.code.as_str()), (7, "rule.building.retired"));
        assert_eq!(finding.remedy_in(Language::Russian), "укажите дом, которым он стал");
        assert_eq!(Finding::by_node(7, &NodeRefusal::default()).code, "cli.refused");
    }
}
