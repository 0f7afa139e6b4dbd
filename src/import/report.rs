//! What became of every row, and the table of refused rows that goes back to the clerk.
//!
//! Nothing is dropped in silence: a report has one outcome for each row read. The refused rows go out with their own
//! columns as they came and, behind them, row, column, reason, what to do and candidates. The clerk corrects the cells,
//! or writes the id of a candidate under «выбор», and imports that same table again: the readers pass over the report's
//! columns.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::error::{Error, Result};
pub use crate::registry::address::Candidate;

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Taken over.
    Imported,
    /// Taken over without a value that was wrong.
    Warned,
    /// Says what is known already, or what another row said.
    Unchanged,
    /// Not taken over.
    Refused,
}

/// A kind of problem: stable code and what to do about it.
#[derive(Debug, PartialEq, Eq)]
pub struct Code {
    /// Stable code.
    pub code: &'static str,
    /// What to do, in Russian.
    pub remedy_ru: &'static str,
    /// What to do, in English.
    pub remedy_en: &'static str,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $ru:literal, $en:literal;)+) => {
        $($(#[$doc])* pub const $name: Code = Code { code: $code, remedy_ru: $ru, remedy_en: $en };)+
        /// Every code a row can be given.
        pub const CODES: &[Code] = &[$($name),+];
    };
}

codes! {
    /// Text that was decoded with losses.
    ENCODING = "import.encoding", "сохраните файл в UTF-8 и исправьте символы �", "save the file as UTF-8 and correct the characters �";
    /// More cells than columns.
    CELLS = "import.cells", "проверьте кавычки и разделители в строке", "check quotes and delimiters in the row";
    /// No id, or not one.
    HOUSE_ID = "import.house.id", "укажите код дома: ФИАС/ГАР (UUID), ГИС ЖКХ, кадастровый номер или номер на портале", "give an id of the building: ФИАС/ГАР UUID, ГИС ЖКХ, cadastral or portal number";
    /// No address, or not one.
    HOUSE_ADDRESS = "import.house.address", "впишите адрес дома", "write the address of the house";
    /// No number of a house.
    HOUSE_NUMBER = "import.house.number", "допишите номер дома", "add the number of the house";
    /// A flat, not a house.
    HOUSE_FLAT = "import.house.flat", "укажите дом, а не квартиру или помещение", "name the house, not a flat or room in it";
    /// Not an apartment building.
    HOUSE_KIND = "import.house.kind", "реестр ведёт только многоквартирные дома; если тип указан неверно, исправьте его", "the registry holds apartment buildings only; correct the type if it is wrong";
    /// A type nobody knows.
    HOUSE_KIND_UNKNOWN = "import.house.kind-unknown", "уточните тип дома", "name the type of the house";
    /// A house that no longer stands.
    HOUSE_DEMOLISHED = "import.house.demolished", "ничего делать не нужно; если дом стоит, исправьте дату сноса", "nothing is to be done; if the house stands, correct the date";
    /// A record of ГАР that is history.
    GAR_OUTDATED = "import.gar.outdated", "ничего делать не нужно", "nothing is to be done";
    /// A house that ГАР does not call an apartment building, and that has fewer than two flats there.
    GAR_UNPROVEN = "import.gar.unproven", "если дом многоквартирный, загрузите его из списка домов региона", "if it is an apartment building, import it from the region's list of houses";
    /// A house of another region.
    REGION = "import.region", "передайте строку региону, которому принадлежит дом", "hand the row to the region the house is in";
    /// The same row again.
    DUPLICATE = "import.duplicate", "ничего делать не нужно", "nothing is to be done";
    /// The same id with other values.
    CONFLICT = "import.conflict", "оставьте одну из строк", "keep one of the rows";
    /// Not a date, or an impossible one.
    DATE = "import.date", "впишите дату как ДД.ММ.ГГГГ", "write the date as DD.MM.YYYY";
    /// Not a year, or an impossible one.
    YEAR = "import.year", "впишите год четырьмя цифрами", "write the year with four digits";
    /// Not a number, or an impossible one.
    NUMBER = "import.number", "впишите целое число", "write a whole number";
    /// Not ОКТМО.
    OKTMO = "import.oktmo", "впишите код ОКТМО из 8 или 11 цифр", "write an ОКТМО code of 8 or 11 digits";
    /// No organisation, or not one.
    ORGANISATION = "import.organisation", "впишите ОГРН (13 цифр) или ИНН (10 цифр) и проверьте цифры", "write ОГРН (13 digits) or ИНН (10 digits) and check the digits";
    /// A branch of an organisation that stands for itself.
    ORGANISATION_BRANCH = "import.organisation.branch", "ничего делать не нужно: учитывается сама организация", "nothing is to be done: the organisation itself counts";
    /// An organisation that manages no houses.
    ORGANISATION_ROLE = "import.organisation.role", "ничего делать не нужно", "nothing is to be done";
    /// An organisation that the register does not mention.
    ORGANISATION_UNRELATED = "import.organisation.unrelated", "ничего делать не нужно; чтобы записать и такие организации, добавьте --all", "nothing is to be done; add --all to record such organisations too";
    /// A form of management nobody knows.
    FORM = "import.form", "впишите: УК, ТСЖ, ЖСК, непосредственное управление или застройщик", "write: УК, ТСЖ, ЖСК, direct management or developer";
    /// Neither link nor chat id.
    CHAT_EMPTY = "import.chat.empty", "впишите ссылку https://max.ru/join/… или номер чата", "write the link https://max.ru/join/… or the chat's number";
    /// A link that is none.
    CHAT_LINK = "import.chat.link", "скопируйте ссылку-приглашение из самого чата", "copy the invitation link from the chat itself";
    /// A chat id that is none.
    CHAT_ID = "import.chat.id", "впишите номер чата целым числом", "write the chat's number as a whole number";
    /// A title that is none.
    CHAT_TITLE = "import.chat.title", "сократите название до 500 знаков", "shorten the title to 500 characters";
    /// The choice names no building.
    CHOICE = "import.choice", "впишите в столбец «выбор» код одного из вариантов", "write the id of one of the candidates under «выбор»";
    /// A house the register has ended.
    HOUSE_GONE = "import.house.gone", "зарегистрируйте дом под другим кодом или отмените его выбытие", "register it under another id, or take its retirement back";
    /// The house has another official chat.
    CHAT_EXISTS = "import.chat.exists", "если ссылку сменили, измените чат; если это другой чат, замените прежний", "if the link was rotated, amend the chat; if this is another chat, replace the old one";
    /// The row makes no record.
    RECORD = "import.record", "исправьте строку и загрузите её снова", "correct the row and import it again";
    /// The node refused a record of the row.
    NODE = "import.refused", "исправьте строку и загрузите её снова", "correct the row and import it again";
    /// What the source says is older than what the register has.
    OLDER = "import.older", "ничего делать не нужно: в реестре уже более поздние сведения", "nothing is to be done: the register has later facts";
    /// Ids of one row belong to several houses.
    LINK_IDS = "import.link.ids", "впишите в «решение» код дома, которому принадлежат эти коды, или «другой»", "write the id of the house these ids belong to under «решение», or «other»";
    /// One id stands in several rows.
    LINK_SHARED = "import.link.shared", "впишите в «решение» код дома, которому принадлежит этот код, или «другой»", "write the id of the house this id belongs to under «решение», or «other»";
    /// The house has another id of that scheme.
    LINK_OTHER = "import.link.other", "если это тот же дом, впишите его код в «решение»; если нет — «другой»", "if it is the same house, write its id under «решение»; if not, «other»";
    /// Several houses fit the address, or several rows fit the house.
    LINK_SEVERAL = "import.link.several", "впишите в «решение» код нужного дома или «новый»", "write the id of the right house under «решение», or «new»";
    /// One house fits, but not certainly.
    LINK_UNSURE = "import.link.unsure", "если это тот же дом, впишите его код в «решение»; если нет — «новый»", "if it is the same house, write its id under «решение»; if not, «new»";
    /// A house that is nearly that one.
    LINK_NEAR = "import.link.near", "если это тот же дом, впишите его код в «решение»; если нет — «новый»", "if it is the same house, write its id under «решение»; if not, «new»";
    /// Two houses of the register with one address.
    LINK_TWIN = "import.link.twin", "если это один дом, впишите код того, который остаётся; если нет — «другой»", "if they are one house, write the id of the one that stays; if not, «other»";
    /// Perhaps one organisation under two ids.
    LINK_ORGANISATION = "import.link.organisation", "если это одна организация, впишите её прежний код в «решение»; если нет — «другой»", "if it is one organisation, write its earlier id under «решение»; if not, «other»";
    /// A decision that is none.
    LINK_DECISION = "import.link.decision", "впишите в «решение» код из столбца «кандидаты», «другой» или «новый»", "write an id of the candidates under «решение», «other» or «new»";
    /// Several buildings fit the address.
    PLACE_AMBIGUOUS = "import.place.ambiguous", "впишите в столбец «выбор» код нужного дома из столбца «варианты»", "write the id of the right candidate under «выбор»";
    /// No building fits the address.
    PLACE_UNKNOWN = "import.place.unknown", "исправьте адрес или впишите код дома в столбец «выбор»", "correct the address, or write the building's id under «выбор»";
}

/// What is wrong with a cell of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The column, as the table names it.
    pub field: String,
    /// Stable code and remedy.
    pub code: &'static Code,
    /// Why, in Russian.
    pub reason_ru: String,
    /// Why, in English.
    pub reason_en: String,
    /// Buildings that may be meant.
    pub candidates: Vec<Candidate>,
}

impl Problem {
    /// A problem without candidates.
    pub fn new(code: &'static Code, field: &str, ru: impl Into<String>, en: impl Into<String>) -> Problem {
        Problem { field: field.to_owned(), code, reason_ru: ru.into(), reason_en: en.into(), candidates: Vec::new() }
    }
}

/// A row as read: the value where there is one, and everything found wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read<T> {
    /// Row of the source, 1-based.
    pub row: u64,
    /// Its cells as they came.
    pub cells: Vec<String>,
    /// What it says; none when refused or unchanged.
    pub value: Option<T>,
    /// What became of it so far.
    pub outcome: Outcome,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

impl<T> Read<T> {
    /// The row's line of a report; cells are kept only where they go back to the clerk.
    pub fn outcome(&self) -> RowOutcome {
        let cells = if self.outcome == Outcome::Refused { self.cells.clone() } else { Vec::new() };
        RowOutcome { row: self.row, outcome: self.outcome, problems: self.problems.clone(), cells }
    }

    /// Refuses the row, after it was read.
    pub fn refuse(&mut self, problem: Problem) {
        self.outcome = Outcome::Refused;
        self.value = None;
        self.problems.push(problem);
    }
}

/// What became of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowOutcome {
    /// Row of the source, 1-based.
    pub row: u64,
    /// What became of it.
    pub outcome: Outcome,
    /// Why.
    pub problems: Vec<Problem>,
    /// Its cells, where it was refused.
    pub cells: Vec<String>,
}

/// What became of a table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Column names of the source.
    pub columns: Vec<String>,
    /// One for each row that is given out one by one.
    pub rows: Vec<RowOutcome>,
    /// Rows that are only counted, by code: of some sources they are millions and nothing is to be done about them.
    pub counted: BTreeMap<&'static str, u64>,
}

/// Counts of a report.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Rows read.
    pub rows: u64,
    /// Rows by outcome.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// Problems by code.
    pub problems: BTreeMap<&'static str, u64>,
}

/// Columns the report adds; the readers pass over them, but for the last.
pub const REPORT_COLUMNS: [&str; 6] = ["строка", "поле", "причина", "что сделать", "варианты", CHOICE_COLUMN];
/// The field of what no single cell is to blame for.
pub const WHOLE_ROW: &str = "вся строка";
/// Where the clerk writes the building that is meant.
pub const CHOICE_COLUMN: &str = "выбор";
/// Most characters of a cell of XLSX.
const MAX_XLSX_CELL: usize = 32_000;
/// Most rows of a sheet, less the header.
const MAX_XLSX_ROWS: usize = 1_048_575;

impl Report {
    /// Counts by outcome and by code.
    pub fn summary(&self) -> Summary {
        let mut summary = Summary { rows: self.rows.len() as u64, ..Summary::default() };
        for row in &self.rows {
            *summary.outcomes.entry(row.outcome).or_default() += 1;
            for problem in &row.problems {
                *summary.problems.entry(problem.code.code).or_default() += 1;
            }
        }
        for (&code, &n) in &self.counted {
            let outcome = if code == DUPLICATE.code { Outcome::Unchanged } else { Outcome::Refused };
            summary.rows += n;
            *summary.outcomes.entry(outcome).or_default() += n;
            *summary.problems.entry(code).or_default() += n;
        }
        summary
    }

    /// The refused rows, header first. Columns of an earlier report are replaced, not added to.
    fn refused(&self) -> impl Iterator<Item = Vec<String>> {
        let own: Vec<usize> = (0..self.columns.len()).filter(|&i| !is_report_column(&self.columns[i])).collect();
        let header = own.iter().map(|&i| self.columns[i].clone()).chain(REPORT_COLUMNS.map(str::to_owned)).collect();
        let rows = self.rows.iter().filter(|r| r.outcome == Outcome::Refused).map(move |r| {
            let cells = own.iter().map(|&i| r.cells.get(i).cloned().unwrap_or_default());
            let join = |f: fn(&Problem) -> String| {
                let mut all: Vec<String> = r.problems.iter().map(f).filter(|s| !s.is_empty()).collect();
                all.dedup();
                all.join("; ")
            };
            let candidates = r.problems.iter().flat_map(|p| &p.candidates).map(|c| format!("{} — {}", c.id, c.address));
            let added = [
                r.row.to_string(),
                join(|p| p.field.clone()),
                join(|p| p.reason_ru.clone()),
                join(|p| p.code.remedy_ru.to_owned()),
                candidates.collect::<Vec<_>>().join("\n"),
                String::new(),
            ];
            cells.chain(added).collect()
        });
        std::iter::once(header).chain(rows)
    }

    /// The refused rows as CSV for a spreadsheet program.
    pub fn to_csv(&self) -> Result<Vec<u8>> {
        csv_table(self.refused())
    }

    /// The refused rows as a workbook of text cells.
    pub fn to_xlsx(&self) -> Result<Vec<u8>> {
        xlsx_table(self.refused())
    }
}

/// A table as CSV for a spreadsheet program: UTF-8 with BOM, `;`.
pub fn csv_table(rows: impl Iterator<Item = Vec<String>>) -> Result<Vec<u8>> {
    let mut out = csv::WriterBuilder::new().delimiter(b';').flexible(true).from_writer(b"\xef\xbb\xbf".to_vec());
    for row in rows {
        out.write_record(row.iter().map(|c| shielded(c))).map_err(unwritable)?;
    }
    out.into_inner().map_err(unwritable)
}

/// A table as a workbook of text cells.
pub fn xlsx_table(rows: impl Iterator<Item = Vec<String>>) -> Result<Vec<u8>> {
    let mut book = rust_xlsxwriter::Workbook::new();
    let sheet = book.add_worksheet();
    for (r, row) in rows.take(MAX_XLSX_ROWS).enumerate() {
        for (c, cell) in row.iter().enumerate() {
            let (Ok(r), Ok(c)) = (u32::try_from(r), u16::try_from(c)) else { continue };
            let short: String = cell.chars().take(MAX_XLSX_CELL).collect();
            sheet.write_string(r, c, short).map_err(unwritable)?;
        }
    }
    book.save_to_buffer().map_err(unwritable)
}

/// Whether a column was added by a report.
pub fn is_report_column(name: &str) -> bool {
    REPORT_COLUMNS.contains(&name.trim().to_lowercase().as_str())
}

fn unwritable(e: impl std::fmt::Display) -> Error {
    Error::refuse("import.report", format!("the report cannot be written: {e}"), "import fewer rows at once")
}

/// A cell that a spreadsheet program would run as a formula is shown as text instead.
fn shielded(cell: &str) -> String {
    if cell.starts_with(['=', '+', '@', '\t']) || cell.starts_with('-') && !is_number(cell) {
        format!("'{cell}")
    } else {
        cell.to_owned()
    }
}

fn is_number(cell: &str) -> bool {
    cell.trim_start_matches('-').bytes().all(|b| b.is_ascii_digit())
}

/// Takes back what [`Report::to_csv`] did to a cell.
pub(super) fn unshielded(cell: &str) -> String {
    match cell.strip_prefix('\'') {
        Some(rest) if shielded(rest).len() != rest.len() => rest.to_owned(),
        _ => cell.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_and_say_what_to_do() {
        for (i, code) in CODES.iter().enumerate() {
            assert!(code.code.starts_with("import.") && !code.remedy_ru.is_empty() && !code.remedy_en.is_empty());
            assert!(CODES[..i].iter().all(|c| c.code != code.code), "{}", code.code);
        }
    }

    #[test]
    fn formulas_become_text_and_come_back() {
        for cell in ["=1+1", "+7", "@x", "-x", "-", "-12", "'x", "", "ул. Мира"] {
            assert_eq!(unshielded(&shielded(cell)), cell);
        }
        assert_eq!(shielded("=1"), "'=1");
        assert_eq!(shielded("-123"), "-123", "a chat id stays a number");
    }
}
