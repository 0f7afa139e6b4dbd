//! Registers of organisations: Фонд развития территорий (`export-reestruo-…`), ГИС ЖКХ («Реестр поставщиков информации»).
//!
//! Of an organisation its numbers and its name are read, nothing else: directors, telephones, mail and addresses stand in
//! these files and do not leave this reader, not even in the report of refused rows. What numbers of one row say is that
//! they are one organisation's: the portal's profile id, by which exports of houses name it, beside ОГРН and ИНН.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};

use super::cells::{Columns, Synonyms, is_unknown, organisation_name};
use super::format::Format;
use super::houses::is_proprietor;
use super::input::Input;
use super::report::{self, Code, Outcome, Problem, Read};
use super::rows::OrganisationRow;
use super::table::{Limits, Row, Table};
use crate::error::{Error, Result};
use crate::registry::ids::OrgId;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Portal,
    Ogrn,
    Inn,
    Short,
    Full,
    Role,
    Kind,
}

const SYNONYMS: &Synonyms<Column> = &[
    (Column::Portal, &["id", "profile_id", "organisation_id", "organization_id", "id ук"]),
    // ОГРН, as the export of Фонд развития территорий spells it.
    (Column::Ogrn, &["ogrn", "orn", "огрн", "огрнип", "огрн огрнип", "огрн организации"]),
    (Column::Inn, &["inn", "инн", "инн организации"]),
    (Column::Short, &["name_short", "shortname", "сокращенное наименование", "краткое наименование"]),
    (
        Column::Full,
        &["name_full", "fullname", "полное наименование", "наименование", "наименование организации", "name"],
    ),
    (Column::Role, &["organizationrolename", "функция", "функции", "полномочия", "роль"]),
    (Column::Kind, &["organizationtype", "тип организации"]),
];

/// Columns of the report: what is read, and nothing else of the source.
const COLUMNS: [(Column, &str); 5] = [
    (Column::Portal, "profile_id"),
    (Column::Ogrn, "ОГРН"),
    (Column::Inn, "ИНН"),
    (Column::Short, "Сокращенное наименование"),
    (Column::Full, "Полное наименование"),
];

/// A register of organisations opened; iterates over its rows, one outcome for each that is not only counted.
pub struct Organisations<'a> {
    /// Columns of the report.
    pub columns: Vec<String>,
    /// What the source is.
    pub format: Format,
    /// Rows that are counted by code: organisations that manage nothing, branches.
    pub counted: BTreeMap<&'static str, u64>,
    table: Table<'a>,
    read: Columns<Column>,
    /// Which row an id stood in first, and a hash of its ids and name.
    seen: HashMap<OrgId, (u64, u64)>,
    hasher: RandomState,
}

impl<'a> Organisations<'a> {
    /// Opens a register, and holds it to a format where one is given.
    ///
    /// # Errors
    /// Those of [`Table::open`]; `import.header` when numbers or names are missing; `import.format` when it is something else.
    pub fn open(input: impl Into<Input<'a>>, limits: &Limits, forced: Option<Format>) -> Result<Organisations<'a>> {
        let table = Table::open(input, limits, &|names| Columns::count(names, SYNONYMS))?;
        let recognised = Format::of_columns(&table.columns);
        let read = Columns::of(&table.columns, SYNONYMS);
        if matches!(recognised, Format::Portal | Format::Frt | Format::Gis | Format::Mingkh) {
            return Err(Error::refuse(
                "import.format",
                format!("the file was recognised as {recognised}: it lists houses, not organisations"),
                "import it with «domovoi import buildings»",
            ));
        }
        let format = recognised.settle(forced)?;
        let named = read.has(Column::Short) || read.has(Column::Full);
        if !named || !(read.has(Column::Ogrn) || read.has(Column::Inn)) {
            return Err(Error::refuse(
                "import.header",
                format!(
                    "the table lacks a column of names, or of ОГРН or ИНН; it has «{}»",
                    table.columns.join("», «").chars().take(300).collect::<String>()
                ),
                "name the columns «Наименование», «ОГРН», «ИНН»",
            ));
        }
        let columns = COLUMNS.map(|(_, name)| name.to_owned()).to_vec();
        Ok(Organisations {
            columns,
            format,
            counted: BTreeMap::new(),
            table,
            read,
            seen: HashMap::new(),
            hasher: RandomState::new(),
        })
    }

    /// The row, or why it is only counted.
    fn row(&mut self, row: &Row) -> std::result::Result<Read<OrganisationRow>, &'static Code> {
        let cells = COLUMNS.map(|(c, _)| self.read.raw(row, c).to_owned()).to_vec();
        let mut read = Read { row: row.number, cells, value: None, outcome: Outcome::Refused, problems: Vec::new() };
        hide(&mut read.cells);
        if row.cells.iter().skip(self.table.columns.len()).any(|c| !is_unknown(c)) {
            let (ru, en) = ("ячеек больше, чем столбцов", "more cells than columns");
            read.problems.push(Problem::new(&report::CELLS, "", ru, en));
            return Ok(read);
        }
        if read.cells.iter().any(|c| c.contains('\u{fffd}')) {
            let (ru, en) = ("строка испорчена перекодировкой", "the row was damaged by a wrong encoding");
            read.problems.push(Problem::new(&report::ENCODING, "", ru, en));
            return Ok(read);
        }
        if self.read.known(row, Column::Kind).is_some_and(is_branch) {
            return Err(&report::ORGANISATION_BRANCH);
        }
        if self.read.known(row, Column::Role).is_some_and(|roles| !manages(roles)) {
            return Err(&report::ORGANISATION_ROLE);
        }
        let ids = self.ids(row, &mut read.problems);
        // The portal's number alone names nobody: anybody can look up an ОГРН.
        if !ids.iter().any(|id| id.scheme() != "reformagkh") {
            if read.problems.is_empty() {
                let (ru, en) = ("нет ни ОГРН, ни ИНН", "neither ОГРН nor ИНН");
                read.problems.push(Problem::new(&report::ORGANISATION, self.read.name(Column::Ogrn), ru, en));
            }
            return Ok(read);
        }
        let proprietor = ids.iter().any(is_proprietor);
        let written = self.read.known(row, Column::Short).or_else(|| self.read.known(row, Column::Full));
        let name = written.and_then(|name| organisation_name(name, proprietor));
        let value = OrganisationRow { row: row.number, ids, name };
        let print = self.hasher.hash_one(format!("{:?}", (&value.ids, &value.name)));
        match value.ids.iter().find_map(|id| self.seen.get(id)) {
            Some((_, first)) if *first == print => return Err(&report::DUPLICATE),
            Some((first, _)) => read.problems.push(Problem::new(
                &report::CONFLICT,
                self.read.name(Column::Ogrn),
                format!("организация уже была в строке {first} с другими кодами или названием"),
                format!("the organisation stands in row {first} with other ids or another name"),
            )),
            None => {
                read.outcome = if read.problems.is_empty() { Outcome::Imported } else { Outcome::Warned };
                for id in &value.ids {
                    self.seen.insert(id.clone(), (row.number, print));
                }
                read.value = Some(value);
            }
        }
        Ok(read)
    }

    /// Every number of the row that is one; a wrong one is left out with a warning.
    fn ids(&self, row: &Row, problems: &mut Vec<Problem>) -> Vec<OrgId> {
        let mut ids = Vec::new();
        for column in [Column::Ogrn, Column::Inn, Column::Portal] {
            let Some(cell) = self.read.known(row, column) else { continue };
            let digits: String = cell.chars().filter(|c| !c.is_whitespace()).collect();
            let id = match column {
                Column::Ogrn if digits.len() == 15 => OrgId::new("ogrnip", &digits),
                Column::Ogrn => OrgId::new("ogrn", &digits),
                // A spreadsheet program drops a leading zero; the checksum tells whether it did.
                Column::Inn if matches!(digits.len(), 9 | 11) => OrgId::new("inn", &format!("0{digits}")),
                Column::Inn => OrgId::new("inn", &digits),
                _ => OrgId::new("reformagkh", &digits),
            };
            match id {
                Ok(id) => ids.push(id),
                // The first column of a table may be called «id» and hold anything.
                Err(_) if column == Column::Portal && self.format != Format::FrtOrganisations => {}
                Err(_) => {
                    let shown: String = digits.chars().take(20).collect();
                    let (ru, en) = (
                        format!("«{shown}»: неверное число цифр или контрольная цифра; не учтено"),
                        format!("«{shown}»: wrong length or checksum; left out"),
                    );
                    problems.push(Problem::new(&report::ORGANISATION, self.read.name(column), ru, en));
                }
            }
        }
        // Only this export's own id is the portal's.
        if self.format != Format::FrtOrganisations && self.read.name(Column::Portal) == "id" {
            ids.retain(|id| id.scheme() != "reformagkh");
        }
        ids
    }
}

impl Iterator for Organisations<'_> {
    type Item = Result<Read<OrganisationRow>>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let row = match self.table.next()? {
                Ok(row) => row,
                Err(e) => return Some(Err(e)),
            };
            match self.row(&row) {
                Ok(read) => return Some(Ok(read)),
                Err(code) => *self.counted.entry(code.code).or_default() += 1,
            }
        }
    }
}

/// Names in a report are names as they are stored: of a sole proprietor none.
fn hide(cells: &mut [String]) {
    let proprietor = cells[1..3].iter().any(|c| matches!(c.bytes().filter(u8::is_ascii_digit).count(), 11 | 12 | 15));
    for (cell, (column, _)) in cells.iter_mut().zip(COLUMNS) {
        if matches!(column, Column::Short | Column::Full) && !cell.is_empty() {
            *cell = organisation_name(cell, proprietor).map_or_else(String::new, |name| name.to_string());
        }
    }
}

/// Whether one of the roles is to manage houses.
fn manages(roles: &str) -> bool {
    let folded = roles.to_lowercase();
    ["управляющ", "товариществ", "тсж", "тсн", "кооператив", "собственник"].iter().any(|w| folded.contains(w))
}

/// Whether the kind is a branch: `A` in the register's own words (L is a legal person).
fn is_branch(kind: &str) -> bool {
    let folded = kind.to_lowercase();
    folded == "a" || folded.contains("обособленн") || folded.contains("филиал")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Vec<Read<OrganisationRow>>, BTreeMap<&'static str, u64>) {
        let mut opened = Organisations::open(text.as_bytes(), &Limits::default(), None).unwrap();
        let rows = (&mut opened).map(Result::unwrap).collect();
        (rows, opened.counted)
    }

    fn ids(read: &Read<OrganisationRow>) -> Vec<String> {
        read.value.iter().flat_map(|v| &v.ids).map(ToString::to_string).collect()
    }

    #[test]
    fn numbers_of_a_row_are_one_organisations() {
        let text = "id;subject_rf;name_full;name_short;name_employee;inn;orn;phone\n\
            8866701;Ростовская область;Полное;\"ТСЖ \"\"Прогресс\"\"\";Иванов Иван Иванович;6102017830;1036102003618;+7 900\n\
            8866702;Ростовская область;Полное;Имя;Директор;6102017831;1036102003618;1\n\
            8866703;Ростовская область;ИП Петров П.П.;;Петров;500100732259;304500116000157;1\n\
            8866704;Ростовская область;Имя;;Директор;;;1\n\
            8866701;Ростовская область;Полное;\"ТСЖ \"\"Прогресс\"\"\";Другой;6102017830;1036102003618;2\n";
        let (rows, counted) = read(text);
        assert_eq!(ids(&rows[0]), ["ogrn:1036102003618", "inn:6102017830", "reformagkh:8866701"]);
        assert_eq!(rows[0].value.as_ref().unwrap().name.as_ref().unwrap().as_str(), "ТСЖ \"Прогресс\"");
        let codes: Vec<Vec<&str>> = rows.iter().map(|r| r.problems.iter().map(|p| p.code.code).collect()).collect();
        assert_eq!(codes[1], ["import.organisation", "import.conflict"], "wrong ИНН, and the ОГРН of the first row");
        assert_eq!(
            rows[2].value.as_ref().unwrap().name.as_ref().unwrap().as_str(),
            super::super::cells::SOLE_PROPRIETOR
        );
        assert_eq!((codes[3].as_slice(), rows[3].outcome), (&["import.organisation"][..], Outcome::Refused));
        assert_eq!(counted, BTreeMap::from([("import.duplicate", 1)]));
        let all = format!("{rows:?}");
        for person in ["Иванов", "Петров", "Директор", "+7 900", "Другой"] {
            assert!(!all.contains(person), "{person} is in {all}");
        }
    }

    #[test]
    fn who_manages_nothing_is_counted() {
        let text = "Полное наименование,Сокращенное наименование,ОГРН,ИНН,Функция,Тип организации\n\
            Общество,ООО УК,1027700132195,7707083893,Управляющая организация | Расчетный центр,L\n\
            Общество,ООО Вода,1037739010891,,Ресурсоснабжающая организация,L\n\
            Общество,Филиал,1027700132195,7707083893,Управляющая организация,Обособленное подразделение\n";
        let (rows, counted) = read(text);
        assert_eq!((rows.len(), ids(&rows[0]).len()), (1, 2));
        assert_eq!(counted, BTreeMap::from([("import.organisation.branch", 1), ("import.organisation.role", 1)]));
    }

    #[test]
    fn houses_are_no_organisations() {
        let houses = "HOUSE_ID;ADDRESS;OGRN\n1;ул. Мира, д. 1;1027700132195\n";
        let refused = Organisations::open(houses.as_bytes(), &Limits::default(), None).err().unwrap();
        assert_eq!(refused.code(), "import.format");
        let lacks = Organisations::open("ОГРН;Город\n1;2\n".as_bytes(), &Limits::default(), None).err().unwrap();
        assert_eq!(lacks.code(), "import.header");
    }
}
