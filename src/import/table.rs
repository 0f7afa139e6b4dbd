//! Any table a clerk or a portal hands out, as rows of text.
//!
//! What a file is, its content says, not its name: XLSX, or CSV in UTF-8, UTF-16 or windows-1251 with `,` `;` `|` or tab
//! between cells, plain or packed (gzip, zip, tar, tar.gz; several CSV files in one archive are one table). The header is
//! found by the columns the caller knows: titles may stand above it, it may have two rows, and a row of column numbers may
//! follow. Rows are handed out as they are read: of a file of any size only one row is held.

use std::collections::VecDeque;

use super::input::{Input, Text, is_zip, too_large, unreadable};
use super::report::unshielded;
use super::text_source::{self, END, TextSource};
use super::workbook::{self, Workbook};
use crate::error::{Error, Result};
use crate::registry::ids::RegionCode;

/// Bounds on what is read.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Most bytes after unpacking.
    pub bytes: u64,
    /// Most times a file may grow in unpacking (beyond 16 MiB).
    pub ratio: u64,
    /// Most columns.
    pub columns: usize,
    /// Most bytes of a cell.
    pub cell: usize,
    /// Most rows.
    pub rows: u64,
}

impl Default for Limits {
    fn default() -> Self {
        // A whole country's rows, one a flat, have some tens of gigabytes; a region's are some millions.
        Limits { bytes: 128 << 30, ratio: 300, columns: 512, cell: 64 * 1024, rows: 30_000_000 }
    }
}

impl Limits {
    /// Checks a cell: its column (1-based) and bytes.
    pub(super) fn check_cell(&self, row: u64, column: usize, len: usize) -> Result<()> {
        if column > self.columns || len > self.cell {
            return Err(Error::refuse(
                "import.cell",
                format!(
                    "row {row}: {column} columns or a cell of {len} bytes; {} and {} are read",
                    self.columns, self.cell
                ),
                "look for a quote that is left open near that row",
            ));
        }
        Ok(())
    }
}

/// Rows looked at to find the header.
const HEADER_WITHIN: usize = 12;
/// Between the two rows of a header, where a column has a name in both.
pub const HEADER_JOIN: &str = " / ";
/// Most bytes of one CSV record.
const MAX_RECORD: u64 = 4 << 20;

/// A row: its number as a spreadsheet program counts (1-based, header and blank rows counted) and its cells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// 1-based.
    pub number: u64,
    /// Cells in the order of the columns, trimmed; blank ones at the end may be missing.
    pub cells: Vec<String>,
}

impl Row {
    fn is_blank(&self) -> bool {
        self.cells.iter().all(|c| c.trim().is_empty())
    }
}

enum Rows<'a> {
    Text(Box<TextRows<'a>>),
    Sheet(workbook::Rows),
}

/// A table opened: its columns, then (as an iterator) its rows. Blank rows are no rows.
pub struct Table<'a> {
    /// Column names as written, white space collapsed.
    pub columns: Vec<String>,
    ahead: VecDeque<Row>,
    rows: Rows<'a>,
    limits: Limits,
    count: u64,
    failed: bool,
    /// The header as it stands in the file, where it may come again with each part of an archive.
    repeats: Option<Vec<String>>,
}

impl<'a> Table<'a> {
    /// Opens a file. `knows` says how many columns of a header the caller knows; the row with most of them is the header.
    ///
    /// # Errors
    /// `import.header` when no row has a known column; `import.format`, `import.gzip`, `import.zip`, `import.tar`,
    /// `import.xlsx`, `import.too-large`, `import.cell` when the file cannot be read.
    pub fn open(input: impl Into<Input<'a>>, limits: &Limits, knows: &dyn Fn(&[String]) -> usize) -> Result<Table<'a>> {
        Table::open_of(&input.into(), None, limits, knows)
    }

    /// The same; of an archive whose files name regions, only those of `region` are read.
    ///
    /// # Errors
    /// Those of [`Table::open`].
    pub fn open_of(
        input: &Input<'a>,
        region: Option<RegionCode>,
        limits: &Limits,
        knows: &dyn Fn(&[String]) -> usize,
    ) -> Result<Table<'a>> {
        let head = input.head(512)?;
        foreign_format(&head)?;
        if is_zip(&head)
            && let Some(book) = Workbook::open(input, limits)?
        {
            let mut why = no_header(&[]);
            for sheet in book.sheets() {
                match Table::open_rows(Rows::Sheet(book.rows(sheet)), false, limits, knows) {
                    Ok(table) => return Ok(table),
                    Err(e) if e.code() == "import.header" => why = e,
                    Err(e) => return Err(e),
                }
            }
            return Err(why);
        }
        let text = Text::of(input, region)?;
        Table::open_rows(Rows::Text(TextRows::open(&text, limits, knows)?), text.is_joined(), limits, knows)
    }

    fn open_rows(
        rows: Rows<'a>,
        joined_parts: bool,
        limits: &Limits,
        knows: &dyn Fn(&[String]) -> usize,
    ) -> Result<Table<'a>> {
        let mut table = Table {
            columns: Vec::new(),
            ahead: VecDeque::new(),
            rows,
            limits: limits.clone(),
            count: 0,
            failed: false,
            repeats: None,
        };
        while table.ahead.len() < HEADER_WITHIN {
            match table.read()? {
                Some(row) => table.ahead.push_back(row),
                None => break,
            }
        }
        let known: Vec<usize> = table.ahead.iter().map(|r| knows(&names(&r.cells))).collect();
        let best = known.iter().copied().max().unwrap_or(0);
        let Some(at) = known.iter().position(|&k| k == best && best > 0) else {
            return Err(no_header(table.ahead.front().map(|r| r.cells.as_slice()).unwrap_or_default()));
        };
        // A header of two rows: the names of groups above, or below, the row with most names.
        let mut choice = (best, at, at, names(&table.ahead[at].cells));
        for upper in [at.checked_sub(1), Some(at)].into_iter().flatten() {
            let Some(lower) = table.ahead.get(upper + 1) else { continue };
            // A name that stands over several columns leaves cells beside it empty; in a row of data every name has its cell.
            if !stands_over(&table.ahead[upper].cells, &lower.cells) {
                continue;
            }
            let joined = joined(&table.ahead[upper].cells, &lower.cells);
            let count = knows(&joined);
            if count > choice.0 && known[upper] + known[upper + 1] >= count {
                choice = (count, upper, upper + 1, joined);
            }
        }
        table.columns = choice.3;
        if joined_parts {
            table.repeats = table.ahead.get(choice.2).map(|r| r.cells.clone());
        }
        table.ahead.drain(..=choice.2);
        if table.ahead.front().is_some_and(|r| r.cells.len() == table.columns.len() && is_numbering(&r.cells)) {
            table.ahead.pop_front();
        }
        Ok(table)
    }

    fn read(&mut self) -> Result<Option<Row>> {
        loop {
            let row = match &mut self.rows {
                Rows::Text(rows) => rows.read(&self.limits)?,
                Rows::Sheet(rows) => rows.next().transpose()?,
            };
            match row {
                Some(row) if row.is_blank() => {}
                Some(mut row) => {
                    for cell in &mut row.cells {
                        if cell.trim().len() != cell.len() {
                            *cell = cell.trim().to_owned();
                        }
                    }
                    return Ok(Some(row));
                }
                None => return Ok(None),
            }
        }
    }
}

impl Table<'_> {
    /// Whether the row is the header again, as it stands above each file of an archive.
    fn is_header_again(&self, row: &Row) -> Result<bool> {
        let Some(header) = &self.repeats else { return Ok(false) };
        if *header == row.cells {
            return Ok(true);
        }
        let same = row.cells.iter().filter(|c| !c.is_empty() && header.contains(c)).count();
        if same > 1 && same * 2 >= header.len() {
            return Err(Error::refuse(
                "import.header",
                format!("row {}: a file of the archive has other columns than the first", row.number),
                "unpack the archive and import its files one by one",
            ));
        }
        Ok(false)
    }

    fn next_row(&mut self) -> Result<Option<Row>> {
        loop {
            let row = match self.ahead.pop_front() {
                Some(row) => row,
                None => match self.read()? {
                    Some(row) => row,
                    None => return Ok(None),
                },
            };
            if self.is_header_again(&row)? {
                continue;
            }
            self.count += 1;
            if self.count > self.limits.rows {
                return Err(too_large(format!("more than {} rows", self.limits.rows)));
            }
            return Ok(Some(row));
        }
    }
}

impl Iterator for Table<'_> {
    type Item = Result<Row>;

    /// The next row. After an error there are no more.
    fn next(&mut self) -> Option<Result<Row>> {
        if self.failed {
            return None;
        }
        let row = self.next_row();
        self.failed = !matches!(row, Ok(Some(_)));
        row.transpose()
    }
}

/// Formats that are recognised in order to say what to do with them.
fn foreign_format(head: &[u8]) -> Result<()> {
    const LISTS: [&str; 6] = ["<houses", "<addressobjects", "<params", "<items", "<apartments", "<housetypes"];
    let start = String::from_utf8_lossy(&head[..head.len().min(128)]).to_lowercase();
    let start = start.trim_start_matches(['\u{feff}', ' ', '\n', '\r']);
    let markup = ["<!doctype html", "<html", "<?xml"].iter().any(|s| start.starts_with(s));
    if LISTS.iter().any(|list| start.contains(list)) {
        return Err(Error::refuse(
            "import.format",
            "the file is a list of ГАР alone",
            "give the zip of ГАР as it is published, or the folder with all lists of one region",
        ));
    }
    let what = match head {
        [] => "empty",
        [0xd0, 0xcf, 0x11, 0xe0, ..] => "an old Excel workbook (.xls)",
        [b'%', b'P', b'D', b'F', ..] => "a PDF document",
        _ if markup => "a web page or XML",
        _ => return Ok(()),
    };
    Err(Error::refuse("import.format", format!("the file is {what}"), "save the table as .xlsx or .csv"))
}

fn no_header(first: &[String]) -> Error {
    let seen: Vec<String> = first.iter().take(8).map(|c| c.chars().take(30).collect()).collect();
    Error::refuse(
        "import.header",
        format!("no row among the first {HEADER_WITHIN} names a known column; the first is «{}»", seen.join("», «")),
        "name the columns as the manual lists them (docs/manual.ru.md, 5)",
    )
}

fn names(cells: &[String]) -> Vec<String> {
    cells.iter().map(|c| c.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

/// Whether some column is named in the lower row only.
fn stands_over(upper: &[String], lower: &[String]) -> bool {
    let blank = |i: usize| upper.get(i).is_none_or(|c| c.trim().is_empty());
    lower.iter().enumerate().any(|(i, c)| !c.trim().is_empty() && blank(i))
}

/// One header of two rows. A name above stands over the unnamed cells to its right too.
fn joined(upper: &[String], lower: &[String]) -> Vec<String> {
    let (upper, lower) = (names(upper), names(lower));
    let mut over = "";
    (0..upper.len().max(lower.len()))
        .map(|i| {
            let own = upper.get(i).map(String::as_str).unwrap_or_default();
            if !own.is_empty() {
                over = own;
            }
            match lower.get(i).map(String::as_str).unwrap_or_default() {
                "" => own.to_owned(),
                below if over.is_empty() => below.to_owned(),
                below => format!("{over}{HEADER_JOIN}{below}"),
            }
        })
        .collect()
}

/// «1 | 2 | 3 | 4» under a header.
fn is_numbering(cells: &[String]) -> bool {
    cells.len() >= 3 && cells.iter().enumerate().all(|(i, c)| c.parse() == Ok(i + 1))
}

/// Rows of a text table.
struct TextRows<'a> {
    reader: csv::Reader<TextSource<'a>>,
    record: csv::StringRecord,
    /// Line ends inside cells so far, by which lines and rows differ.
    inside: u64,
}

impl<'a> TextRows<'a> {
    fn open(text: &Text<'a>, limits: &Limits, knows: &dyn Fn(&[String]) -> usize) -> Result<Box<TextRows<'a>>> {
        let survey = text_source::survey(text, limits)?;
        let delimiter = delimiter(&survey.head, knows);
        let reader = builder(delimiter).from_reader(survey.open(text, MAX_RECORD, limits)?);
        Ok(Box::new(TextRows { reader, record: csv::StringRecord::new(), inside: 0 }))
    }

    fn read(&mut self, limits: &Limits) -> Result<Option<Row>> {
        let line = self.reader.position().line();
        let more = self.reader.read_record(&mut self.record).map_err(|e| {
            let row = line - self.inside.min(line);
            match e.into_kind() {
                csv::ErrorKind::Io(e) => unreadable(e).at(format!("row {row}")),
                other => Error::refuse(
                    "import.cell",
                    format!("row {row}: {other:?}"),
                    "look for a quote that is left open near that row",
                ),
            }
        })?;
        if !more || self.record.iter().eq([END.encode_utf8(&mut [0; 1]) as &str]) {
            return Ok(None);
        }
        self.reader.get_mut().next_record();
        let within: usize = self.record.iter().map(|c| c.bytes().filter(|&b| b == b'\n').count()).sum();
        self.inside += within as u64;
        // The source ends every line, so a record ends where a line does.
        let number = self.reader.position().line().saturating_sub(1 + self.inside);
        let longest = self.record.iter().map(str::len).max().unwrap_or(0);
        limits.check_cell(number, self.record.len(), longest)?;
        if self.record.iter().any(|c| c.contains(END)) {
            // The lines of such a cell do not end a record, the last as little as the others.
            let detail = format!("row {}: a quote is open to the end of the file", number + 1);
            return Err(Error::refuse("import.cell", detail, "look for a quote that is left open near that row"));
        }
        Ok(Some(Row { number, cells: self.record.iter().map(unshielded).collect() }))
    }
}

fn builder(delimiter: u8) -> csv::ReaderBuilder {
    let mut builder = csv::ReaderBuilder::new();
    // Exports with | do not quote: a quote there is a quote.
    builder
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        .quoting(delimiter != b'|')
        .terminator(csv::Terminator::Any(b'\n'));
    builder
}

/// The sign that cuts the header into most columns the caller knows; among equals, that which cuts the first rows into most
/// cells, evenly. Cells alone do not tell: addresses have more commas than rows have cells.
fn delimiter(head: &str, knows: &dyn Fn(&[String]) -> usize) -> u8 {
    let known = |d: u8| {
        let mut reader = builder(d).from_reader(head.as_bytes());
        let rows = reader.records().map_while(std::result::Result::ok).take(HEADER_WITHIN);
        rows.map(|r| knows(&names(&r.iter().map(str::to_owned).collect::<Vec<_>>()))).max().unwrap_or(0)
    };
    let score = |d: u8| {
        let mut counts = std::collections::BTreeMap::new();
        let mut reader = builder(d).from_reader(head.as_bytes());
        let mut all = 0u64;
        // The last record may be cut off by the end of the sample, so it is not counted.
        let lengths: Vec<usize> =
            reader.records().map_while(std::result::Result::ok).take(60).map(|r| r.len()).collect();
        let whole = lengths.len().saturating_sub(usize::from(lengths.len() > 1));
        for &n in &lengths[..whole] {
            *counts.entry(n).or_insert(0u64) += 1;
            all += 1;
        }
        let even = counts.iter().filter(|(n, _)| **n > 1).max_by_key(|(n, k)| **k * **n as u64);
        even.map_or(0, |(&n, &k)| n as u64 * k * k * 1000 / all.max(1) / all.max(1))
    };
    [b';', b'\t', b'|', b','].into_iter().rev().max_by_key(|&d| (known(d), score(d))).unwrap_or(b',')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn knows(names: &[String]) -> usize {
        names.iter().filter(|n| n.split(HEADER_JOIN).any(|n| matches!(n, "id" | "адрес" | "ИНН" | "ОГРН"))).count()
    }

    fn read(bytes: &[u8]) -> (Vec<String>, Vec<(u64, Vec<String>)>) {
        let table = Table::open(bytes, &Limits::default(), &knows).unwrap();
        (table.columns.clone(), table.map(|r| r.map(|r| (r.number, r.cells)).unwrap()).collect())
    }

    #[test]
    fn delimiters_encodings_and_line_ends() {
        let want = vec![
            (2, vec!["1".to_owned(), "ул. Мира, д. 1".to_owned()]),
            (3, vec!["2".to_owned(), "ул. \"Мира\"".to_owned()]),
        ];
        let quoted = "id;адрес\r\n1;\"ул. Мира, д. 1\"\r\n2;\"ул. \"\"Мира\"\"\"";
        let texts = [
            quoted.to_owned(),
            quoted.replace("\r\n", "\n"),
            quoted.replace("\r\n", "\r"),
            quoted.replace(';', "\t"),
            quoted.replace(';', ","),
        ];
        for text in &texts {
            for bytes in [
                text.clone().into_bytes(),
                format!("\u{feff}{text}").into_bytes(),
                WINDOWS_1251_ENCODE(text),
                text.encode_utf16().fold(vec![0xff, 0xfe], |mut v, c| {
                    v.extend(c.to_le_bytes());
                    v
                }),
            ] {
                assert_eq!(read(&bytes), (vec!["id".to_owned(), "адрес".to_owned()], want.clone()), "{text:?}");
            }
        }
        let piped = "id|адрес\n1|ул. Мира, д. 1\n2|ул. \"Мира\"\n";
        assert_eq!(read(piped.as_bytes()).1, want);
    }

    #[test]
    fn commas_of_addresses_are_no_delimiters() {
        let rows: String = (1..20).map(|i| format!("{i};обл. Ростовская, г. Азов, ул. Мира, д. {i};1990\n")).collect();
        let (columns, rows) = read(format!("id;адрес;год\n{rows}").as_bytes());
        assert_eq!((columns.len(), rows.len(), rows[0].1.len()), (3, 19, 3));
    }

    #[allow(non_snake_case)]
    fn WINDOWS_1251_ENCODE(s: &str) -> Vec<u8> {
        encoding_rs::WINDOWS_1251.encode(s).0.into_owned()
    }

    #[test]
    fn rows_are_numbered_as_a_spreadsheet_does() {
        let text = "\n\nСписок домов,,\nid,адрес,x\n\n1,\"две\r\nстроки\",\n,,\n2,б\n";
        let (columns, rows) = read(text.as_bytes());
        assert_eq!(columns, ["id", "адрес", "x"]);
        assert_eq!(rows.iter().map(|r| r.0).collect::<Vec<_>>(), [6, 8]);
        assert_eq!(rows[0].1[1], "две\nстроки");
    }

    #[test]
    fn headers_of_two_rows_and_numbering() {
        let text = "Дом;;Организация;\nid;адрес;ИНН;ОГРН\n1;2;3;4\n7;ул. Мира;5;6\n";
        let (columns, rows) = read(text.as_bytes());
        assert_eq!(columns, ["id", "адрес", "ИНН", "ОГРН"]);
        assert_eq!(rows, [(4, ["7", "ул. Мира", "5", "6"].map(str::to_owned).to_vec())]);
        let text = "id;адрес;Организация;\n;;ИНН;ОГРН\n7;ул. Мира;5;6\n";
        let (columns, rows) = read(text.as_bytes());
        assert_eq!(columns, ["id", "адрес", "Организация / ИНН", "Организация / ОГРН"]);
        assert_eq!(rows.len(), 1);
    }

    #[test]
    fn bounds_are_kept() {
        let code = |bytes: &[u8], limits: &Limits| match Table::open(bytes, limits, &knows) {
            Err(e) => e.code(),
            Ok(table) => table.filter_map(Result::err).next().map_or("fine", |e| e.code()),
        };
        let limits = Limits::default();
        let open_quote = format!("id,адрес\n1,\"{}", "x,y\n".repeat(100_000));
        assert_eq!(code(open_quote.as_bytes(), &limits), "import.cell");
        assert_eq!(code(format!("id,адрес\n1,{}\n", "x".repeat(70_000)).as_bytes(), &limits), "import.cell");
        assert_eq!(code(format!("id,{}\n", ",".repeat(600)).as_bytes(), &limits), "import.cell");
        assert_eq!(code(b"id,a\n5,6\n7,8\n", &Limits { rows: 1, ..limits.clone() }), "import.too-large");
        assert_eq!(code(b"id,a\n5,6\n7,8\n", &Limits { bytes: 5, ..limits.clone() }), "import.too-large");
        for (bytes, want) in [
            (&b"a,b\n1,2\n"[..], "import.header"),
            (b"", "import.format"),
            (b"%PDF-1.4", "import.format"),
            (b"<html>", "import.format"),
            (&[0xd0, 0xcf, 0x11, 0xe0, 1], "import.format"),
            (b"PK\x03\x04zzz", "import.xlsx"),
            (&[0x1f, 0x8b, 8, 0, 0], "import.gzip"),
        ] {
            assert_eq!(code(bytes, &limits), want);
        }
    }

    #[test]
    fn a_packed_flood_is_refused() {
        use std::io::Write;
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gz.write_all(b"id,x\n").unwrap();
        for _ in 0..64 {
            gz.write_all(&vec![b'1'; 1 << 20]).unwrap();
        }
        let packed = gz.finish().unwrap();
        let refused = Table::open(&packed, &Limits::default(), &knows).err().unwrap();
        assert_eq!(refused.code(), "import.too-large");
    }

    #[test]
    fn workbooks_are_read() {
        let mut book = rust_xlsxwriter::Workbook::new();
        book.add_worksheet().write_string(0, 0, "nothing here").unwrap();
        let sheet = book.add_worksheet();
        let date = rust_xlsxwriter::Format::new().set_num_format("dd.mm.yyyy");
        sheet.write_string(1, 0, "id").unwrap().write_string(1, 1, "адрес").unwrap().write_string(1, 2, "с").unwrap();
        sheet.write_number(3, 0, 1027700132195.0).unwrap().write_string(3, 1, " ул. Мира ").unwrap();
        sheet.write_number_with_format(3, 2, 42370.0, &date).unwrap();
        let bytes = book.save_to_buffer().unwrap();
        let (columns, rows) = read(&bytes);
        assert_eq!(columns, ["id", "адрес", "с"]);
        assert_eq!(rows, [(4, ["1027700132195", "ул. Мира", "2016-01-01"].map(str::to_owned).to_vec())]);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(mut bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400), start in 0usize..5) {
            let starts: [&[u8]; 5] = [b"", b"id,\n", b"PK\x03\x04", &[0x1f, 0x8b, 8], &[0xff, 0xfe]];
            bytes.splice(0..0, starts[start].iter().copied());
            if let Ok(table) = Table::open(&bytes, &Limits::default(), &knows) {
                table.for_each(drop);
            }
        }
    }
}
