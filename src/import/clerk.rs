//! The clerk's own tables: which chat is whose house's, and who manages a house since when.
//!
//! Columns are told by their names, in Russian or English, in any order; what else the table holds goes unread. A house is
//! named by an id or by its address, or, in a table that came back as a report, by the clerk's choice among candidates.
//! A join link is a key to a house: only its digest leaves this file.

use std::collections::HashMap;

use super::cells::{Columns, Synonyms, day_within, form, is_unknown, organisation_name};
use super::houses::is_proprietor;
use super::input::Input;
use super::report::{self, CHOICE_COLUMN, Code, Outcome, Problem, Read};
use super::rows::{ChatRow, ManagementRow, Place, Tenure};
use super::table::{Limits, Row, Table};
use crate::error::{Error, Result};
use crate::registry::address::{AddressKey, MAX_ADDRESS};
use crate::registry::body::ManagementForm;
use crate::registry::ids::{BuildingId, MaxChatId, OrgId};
use crate::registry::link::{LinkDigest, read_link};
use crate::registry::text::{Day, Text};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    Choice,
    Building,
    Portal,
    Address,
    Link,
    Chat,
    Title,
    Ogrn,
    Inn,
    OrgPortal,
    Org,
    Since,
    Form,
}

const PLACE: [(Column, &[&str]); 4] = [
    (Column::Choice, &[CHOICE_COLUMN, "choice"]),
    (
        Column::Building,
        &[
            "код дома",
            "id дома",
            "идентификатор дома",
            "building",
            "building_id",
            "houseguid",
            "гар",
            "фиас",
            "код фиас",
            "гис жкх",
            "кадастровый номер",
        ],
    ),
    (Column::Portal, &["house_id", "номер дома на портале", "реформа жкх"]),
    (Column::Address, &["адрес", "адрес дома", "адрес мкд", "дом", "address"]),
];

pub(super) const CHATS: &Synonyms<Column> = &[
    PLACE[0],
    PLACE[1],
    PLACE[2],
    PLACE[3],
    (
        Column::Link,
        &[
            "ссылка",
            "ссылка на чат",
            "ссылка приглашение",
            "приглашение",
            "link",
            "join link",
            "join_link",
            "url",
            "ссылка max",
        ],
    ),
    (
        Column::Chat,
        &["id чата", "чат", "номер чата", "номер чата max", "идентификатор чата", "chat", "chat id", "chat_id"],
    ),
    (Column::Title, &["название", "название чата", "наименование чата", "имя чата", "title", "chat title"]),
];

const MANAGEMENTS: &Synonyms<Column> = &[
    PLACE[0],
    PLACE[1],
    PLACE[2],
    PLACE[3],
    (Column::Ogrn, &["огрн", "огрн ук", "огрнип", "огрн огрнип", "ogrn"]),
    (Column::Inn, &["инн", "инн ук", "inn"]),
    (
        Column::OrgPortal,
        &["id ук", "код ук", "номер ук на портале", "organisation_id", "organization_id", "profile_id"],
    ),
    (
        Column::Org,
        &[
            "ук",
            "управляющая организация",
            "управляющая компания",
            "организация",
            "наименование",
            "наименование ук",
            "название ук",
            "organisation",
            "organization",
            "name",
        ],
    ),
    (Column::Since, &["дата", "дата начала", "дата начала управления", "управляет с", "с", "since", "from", "date"]),
    (Column::Form, &["форма", "форма управления", "способ управления", "form"]),
];

/// A clerk's table opened; iterates over its rows, one outcome for each.
pub struct Rows<'a, T> {
    /// Column names as written.
    pub columns: Vec<String>,
    table: Table<'a>,
    read: Columns<Column>,
    value: fn(&Reader<'_>, &mut Vec<Problem>) -> std::result::Result<T, Refused>,
    latest: Day,
    /// What rows said already.
    seen: HashMap<String, u64>,
}

/// Why is the last of the problems.
struct Refused;

struct Reader<'r> {
    columns: &'r Columns<Column>,
    row: &'r Row,
    latest: Day,
}

/// Opens a list of chats: house, and link or chat id, and title.
///
/// # Errors
/// Those of [`Table::open`]; `import.header` when columns are missing.
pub fn chats<'a>(input: impl Into<Input<'a>>, limits: &Limits) -> Result<Rows<'a, ChatRow>> {
    let needed = "a column of houses («Адрес» or «Код дома») and one of chats («Ссылка» or «ID чата»)";
    open(
        input.into(),
        limits,
        CHATS,
        Day::MAX,
        needed,
        |c| c.has(Column::Link) || c.has(Column::Chat),
        |reader, problems| {
            let place = reader.place(problems)?;
            let link = reader.link(problems)?;
            let max = reader.chat_id(problems)?;
            if link.is_none() && max.is_none() {
                let column = if reader.columns.has(Column::Link) { Column::Link } else { Column::Chat };
                return Err(reader.refuse(
                    problems,
                    &report::CHAT_EMPTY,
                    column,
                    "нет ни ссылки, ни номера чата",
                    "neither link nor chat id",
                ));
            }
            let title = match reader.columns.known(reader.row, Column::Title).map(Text::normalise) {
                Some(Err(_)) => {
                    return Err(reader.refuse(
                        problems,
                        &report::CHAT_TITLE,
                        Column::Title,
                        "название длиннее 500 знаков",
                        "the title is longer than 500 characters",
                    ));
                }
                title => title.and_then(Result::ok),
            };
            Ok(ChatRow { row: reader.row.number, place, link, max, title })
        },
    )
}

/// Opens a list of managements: house, organisation, first day, form. No day is later than `latest`: a new management is
/// known before it starts, so that is a day of the next year.
///
/// # Errors
/// Those of [`Table::open`]; `import.header` when columns are missing.
pub fn managements<'a>(input: impl Into<Input<'a>>, latest: Day, limits: &Limits) -> Result<Rows<'a, ManagementRow>> {
    let needed = "a column of houses («Адрес» or «Код дома») and one of organisations («ОГРН», «ИНН» or «Форма»)";
    let enough = |c: &Columns<Column>| {
        [Column::Ogrn, Column::Inn, Column::OrgPortal, Column::Org, Column::Form].iter().any(|&r| c.has(r))
    };
    open(input.into(), limits, MANAGEMENTS, latest, needed, enough, |reader, problems| {
        let place = reader.place(problems)?;
        let tenure = reader.tenure(problems)?;
        Ok(ManagementRow { row: reader.row.number, place, tenure })
    })
}

fn open<'a, T>(
    input: Input<'a>,
    limits: &Limits,
    synonyms: &'static Synonyms<Column>,
    latest: Day,
    needed: &str,
    enough: impl Fn(&Columns<Column>) -> bool,
    value: fn(&Reader<'_>, &mut Vec<Problem>) -> std::result::Result<T, Refused>,
) -> Result<Rows<'a, T>> {
    let table = Table::open(input, limits, &|names| Columns::count(names, synonyms))?;
    let columns = table.columns.clone();
    let read = Columns::of(&columns, synonyms);
    let place = [Column::Choice, Column::Building, Column::Portal, Column::Address].iter().any(|&r| read.has(r));
    if !place || !enough(&read) {
        let detail = format!(
            "the table lacks {needed}; it has «{}»",
            columns.join("», «").chars().take(300).collect::<String>()
        );
        return Err(Error::refuse(
            "import.header",
            detail,
            "name the columns as the manual lists them (docs/manual.ru.md, 5)",
        ));
    }
    Ok(Rows { columns, table, read, value, latest, seen: HashMap::new() })
}

impl<T: std::fmt::Debug + WithoutRow> Iterator for Rows<'_, T> {
    type Item = Result<Read<T>>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = match self.table.next()? {
            Ok(row) => row,
            Err(e) => return Some(Err(e)),
        };
        let mut problems = Vec::new();
        let reader = Reader { columns: &self.read, row: &row, latest: self.latest };
        let value = reader.whole(self.columns.len(), &mut problems).and_then(|()| (self.value)(&reader, &mut problems));
        let mut read = Read { row: row.number, cells: row.cells, value: None, outcome: Outcome::Refused, problems };
        let Ok(value) = value else { return Some(Ok(read)) };
        let print = value.said();
        if let Some(first) = self.seen.get(&print) {
            let (ru, en) = (format!("то же, что в строке {first}"), format!("the same as row {first}"));
            read.problems = vec![Problem::new(&report::DUPLICATE, "", ru, en)];
            read.outcome = Outcome::Unchanged;
        } else {
            self.seen.insert(print, read.row);
            read.outcome = if read.problems.is_empty() { Outcome::Imported } else { Outcome::Warned };
            read.value = Some(value);
        }
        Some(Ok(read))
    }
}

/// What a row says, without where it says it.
trait WithoutRow {
    fn said(&self) -> String;
}
impl WithoutRow for ChatRow {
    fn said(&self) -> String {
        let ChatRow { row: _, place, link, max, title } = self;
        format!("{place:?}{link:?}{max:?}{title:?}")
    }
}
impl WithoutRow for ManagementRow {
    fn said(&self) -> String {
        let ManagementRow { row: _, place, tenure } = self;
        format!("{place:?}{tenure:?}")
    }
}

impl Reader<'_> {
    fn refuse(
        &self,
        problems: &mut Vec<Problem>,
        code: &'static Code,
        column: Column,
        ru: impl Into<String>,
        en: impl Into<String>,
    ) -> Refused {
        problems.push(Problem::new(code, self.columns.name(column), ru, en));
        Refused
    }

    fn whole(&self, width: usize, problems: &mut Vec<Problem>) -> std::result::Result<(), Refused> {
        let damaged = self.row.cells.iter().any(|c| c.contains('\u{fffd}'));
        let (code, ru, en) = if self.row.cells.iter().skip(width).any(|c| !is_unknown(c)) {
            (&report::CELLS, "ячеек больше, чем столбцов", "more cells than columns")
        } else if damaged {
            (&report::ENCODING, "строка испорчена перекодировкой", "the row was damaged by a wrong encoding")
        } else {
            return Ok(());
        };
        problems.push(Problem::new(code, "", ru, en));
        Err(Refused)
    }

    /// The house: the clerk's choice, else an id, else the address (which is kept beside an id).
    fn place(&self, problems: &mut Vec<Problem>) -> std::result::Result<Place, Refused> {
        let mut place = Place::default();
        for (column, code) in [
            (Column::Choice, &report::CHOICE),
            (Column::Building, &report::HOUSE_ID),
            (Column::Portal, &report::HOUSE_ID),
        ] {
            let Some(cell) = self.columns.known(self.row, column).filter(|_| place.building.is_none()) else {
                continue;
            };
            let id =
                if column == Column::Portal { BuildingId::new("reformagkh", cell).ok() } else { building_id(cell) };
            if id.is_none() {
                let shown: String = cell.chars().take(60).collect();
                return Err(self.refuse(
                    problems,
                    code,
                    column,
                    format!("«{shown}» — не код дома"),
                    format!("«{shown}» is no id of a building"),
                ));
            }
            place.building = id;
        }
        if let Some(address) = self.columns.known(self.row, Column::Address) {
            let shown: String = address.chars().take(80).collect();
            let key = AddressKey::parse(address);
            let (code, ru, en) = if address.chars().count() > MAX_ADDRESS {
                (
                    &report::HOUSE_ADDRESS,
                    "адрес длиннее 500 знаков".to_owned(),
                    "the address is longer than 500 characters".to_owned(),
                )
            } else if place.building.is_some() {
                place.address = Some(address.to_owned());
                return Ok(place);
            } else if key.is_flat() {
                (
                    &report::HOUSE_FLAT,
                    format!("«{shown}» — квартира, а не дом"),
                    format!("«{shown}» is a flat, not a house"),
                )
            } else if !key.has_house() {
                (
                    &report::HOUSE_NUMBER,
                    format!("в адресе «{shown}» нет номера дома"),
                    format!("«{shown}» has no house number"),
                )
            } else {
                place.address = Some(address.to_owned());
                return Ok(place);
            };
            return Err(self.refuse(problems, code, Column::Address, ru, en));
        }
        if place.building.is_none() {
            return Err(self.refuse(
                problems,
                &report::HOUSE_ADDRESS,
                Column::Address,
                "нет ни адреса, ни кода дома",
                "neither address nor id of the house",
            ));
        }
        Ok(place)
    }

    fn link(&self, problems: &mut Vec<Problem>) -> std::result::Result<Option<LinkDigest>, Refused> {
        let Some(cell) = self.columns.known(self.row, Column::Link) else { return Ok(None) };
        match read_link(cell) {
            Ok(link) => Ok(Some(LinkDigest::of_link(&link))),
            // The link itself is not repeated: a report travels by mail.
            Err(why) => Err(self.refuse(
                problems,
                &report::CHAT_LINK,
                Column::Link,
                format!("это не ссылка-приглашение чата MAX: {}", why.ru()),
                why.en(),
            )),
        }
    }

    fn chat_id(&self, problems: &mut Vec<Problem>) -> std::result::Result<Option<MaxChatId>, Refused> {
        let Some(cell) = self.columns.known(self.row, Column::Chat) else { return Ok(None) };
        let number = cell.strip_prefix("max:").unwrap_or(cell).replace(['−', '–'], "-");
        match number.parse::<i64>() {
            Ok(id) if id != 0 => Ok(Some(MaxChatId(id))),
            _ => {
                let shown: String = cell.chars().take(40).collect();
                Err(self.refuse(
                    problems,
                    &report::CHAT_ID,
                    Column::Chat,
                    format!("«{shown}» — не номер чата"),
                    format!("«{shown}» is no chat id"),
                ))
            }
        }
    }

    fn tenure(&self, problems: &mut Vec<Problem>) -> std::result::Result<Tenure, Refused> {
        let told = match self.columns.known(self.row, Column::Form) {
            None => None,
            Some(cell) => match form(cell) {
                Some(form) => Some(form),
                None => {
                    let shown: String = cell.chars().take(40).collect();
                    return Err(self.refuse(
                        problems,
                        &report::FORM,
                        Column::Form,
                        format!("неизвестная форма управления «{shown}»"),
                        format!("unknown form of management «{shown}»"),
                    ));
                }
            },
        };
        let mut organisation = None;
        for (column, schemes) in
            [(Column::Ogrn, &["ogrn", "ogrnip"][..]), (Column::Inn, &["inn"]), (Column::OrgPortal, &["reformagkh"])]
        {
            let Some(cell) = self.columns.known(self.row, column).filter(|_| organisation.is_none()) else { continue };
            organisation = organisation_id(cell, schemes);
            if organisation.is_none() {
                let shown: String = cell.chars().take(30).collect();
                let (ru, en) = (
                    format!("«{shown}»: неверное число цифр или контрольная цифра"),
                    format!("«{shown}»: wrong length or checksum"),
                );
                return Err(self.refuse(problems, &report::ORGANISATION, column, ru, en));
            }
        }
        let alone = matches!(told, Some(ManagementForm::Direct | ManagementForm::None));
        if organisation.is_none() && !alone {
            let column = if self.columns.has(Column::Ogrn) { Column::Ogrn } else { Column::Inn };
            return Err(self.refuse(
                problems,
                &report::ORGANISATION,
                column,
                "нет ОГРН или ИНН организации",
                "no ОГРН or ИНН of the organisation",
            ));
        }
        let since = match self.columns.known(self.row, Column::Since).map(|c| day_within(c, self.latest)) {
            Some(Err((ru, en))) => return Err(self.refuse(problems, &report::DATE, Column::Since, ru, en)),
            since => since.and_then(std::result::Result::ok),
        };
        let proprietor = organisation.as_ref().is_some_and(is_proprietor);
        let name = self.columns.known(self.row, Column::Org).and_then(|c| organisation_name(c, proprietor));
        Ok(Tenure { form: told.unwrap_or(ManagementForm::Unknown), organisation, name, since })
    }
}

/// A building id as people paste it: with its scheme, or bare where the form tells the scheme; «id — address» of a
/// report's candidates.
/// Bare digits are the number on the Реформа ЖКХ portal: no other scheme is digits alone.
pub(super) fn building_id(cell: &str) -> Option<BuildingId> {
    let word = cell.split_whitespace().next()?.to_lowercase();
    word.parse()
        .ok()
        .or_else(|| ["gar", "gis", "kad", "reformagkh"].iter().find_map(|scheme| BuildingId::new(scheme, &word).ok()))
}

/// An organisation's number; a spreadsheet program drops leading zeros, and the checksum tells whether it did.
fn organisation_id(cell: &str, schemes: &[&str]) -> Option<OrgId> {
    let digits: String = cell.chars().filter(|c| !c.is_whitespace()).collect();
    let digits = digits.rsplit_once(':').map_or(digits.as_str(), |(_, d)| d);
    schemes.iter().find_map(|scheme| {
        let padded = (*scheme == "inn" && matches!(digits.len(), 9 | 11)).then(|| format!("0{digits}"));
        OrgId::new(scheme, padded.as_deref().unwrap_or(digits)).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "AbCdEfGhIjKlMnOpQrStUvWxYz0123456789-_AbCdE";

    fn outcomes<T>(rows: &[Read<T>]) -> Vec<(Outcome, Vec<&str>)> {
        rows.iter().map(|r| (r.outcome, r.problems.iter().map(|p| p.code.code).collect())).collect()
    }

    #[test]
    fn chats_in_any_order_of_columns() {
        let text = format!(
            "Список чатов;;;;\nНазвание чата;Ссылка на чат;Адрес;ID чата;Код дома\n\
            Дом 5;max.ru/join/{TOKEN};ленина 5к2;;\n\
            Дом 6;;ленина 6;-7001;\n\
            Дом 6;;ленина 6;-7001;\n\
            Дом 7;https://mаx.ru/join/{TOKEN};ленина 7;;\n\
            Дом 8;;ленина 8;;\n\
            Дом 9;;ленина;-7;\n\
            Дом 9;;;-8;EA70561B-2A91-2E7B-BBE3-1FDEF7A880A3\n\
            Дом 9;;;x8;reformagkh:5\n\
            ;;;-9;\n"
        );
        let rows: Vec<_> = chats(text.as_bytes(), &Limits::default()).unwrap().map(Result::unwrap).collect();
        assert_eq!(
            outcomes(&rows),
            [
                (Outcome::Imported, vec![]),
                (Outcome::Imported, vec![]),
                (Outcome::Unchanged, vec!["import.duplicate"]),
                (Outcome::Refused, vec!["import.chat.link"]),
                (Outcome::Refused, vec!["import.chat.empty"]),
                (Outcome::Refused, vec!["import.house.number"]),
                (Outcome::Imported, vec![]),
                (Outcome::Refused, vec!["import.chat.id"]),
                (Outcome::Refused, vec!["import.house.address"]),
            ]
        );
        let first = rows[0].value.as_ref().unwrap();
        assert_eq!(first.link, Some(LinkDigest::of_link(&format!("https://max.ru/join/{TOKEN}"))));
        assert_eq!((first.row, first.place.address.as_deref()), (3, Some("ленина 5к2")));
        assert_eq!(rows[6].value.as_ref().unwrap().place.building.as_ref().unwrap().scheme(), "gar");
        assert!(
            rows[3].problems[0].reason_ru.contains("только похож") && !rows[3].problems[0].reason_en.contains(TOKEN)
        );
    }

    #[test]
    fn managements_with_numbers_checked() {
        let text = "Адрес,ОГРН,ИНН,УК,Дата начала,Форма\n\
            ленина 1,1027700132195,,ООО Дом,01.02.2026,УК\n\
            ленина 2,1027700132196,,ООО Дом,01.02.2026,УК\n\
            ленина 3,,7707083893,ООО Дом,2026-02-01,\n\
            ленина 4,,,,,непосредственное управление\n\
            ленина 5,,,ООО Дом,,УК\n\
            ленина 6,1027700132195,,ООО Дом,01.02.2060,УК\n\
            ленина 7,304500116000157,,ИП Иванов И.И.,01.02.2026,УК\n\
            ленина 8,1027700132195,,,,чудо\n";
        let latest = Day::parse("2027-01-01").unwrap();
        let rows: Vec<_> =
            managements(text.as_bytes(), latest, &Limits::default()).unwrap().map(Result::unwrap).collect();
        assert_eq!(
            outcomes(&rows),
            [
                (Outcome::Imported, vec![]),
                (Outcome::Refused, vec!["import.organisation"]),
                (Outcome::Imported, vec![]),
                (Outcome::Imported, vec![]),
                (Outcome::Refused, vec!["import.organisation"]),
                (Outcome::Refused, vec!["import.date"]),
                (Outcome::Imported, vec![]),
                (Outcome::Refused, vec!["import.form"]),
            ]
        );
        let named = rows[6].value.as_ref().unwrap().tenure.name.as_ref().unwrap();
        assert_eq!(named.as_str(), super::super::cells::SOLE_PROPRIETOR);
        assert_eq!(rows[0].value.as_ref().unwrap().tenure.form, ManagementForm::Company);
    }

    #[test]
    fn a_table_without_the_columns_says_which() {
        let refused = chats("Адрес;Этажей\nленина 1;5\n".as_bytes(), &Limits::default()).err().unwrap();
        assert_eq!(refused.code(), "import.header");
        assert!(refused.detail().contains("Этажей"), "{refused}");
    }

    #[test]
    fn excel_drops_leading_zeros() {
        let id = |cell: &str| organisation_id(cell, &["inn"]).map(|id| id.to_string());
        assert_eq!(id("105018502").as_deref(), Some("inn:0105018502"));
        assert_eq!(id("105018503"), None);
        assert_eq!(id("77 0708 3893").as_deref(), Some("inn:7707083893"));
    }
}
