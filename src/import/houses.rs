//! Snapshots of houses: Реформа ЖКХ in its dialects since 2014, Фонд развития территорий, ГИС ЖКХ, МинЖКХ, a region's own.
//!
//! The dialect is told by the names of the columns, so a new one is usually a synonym more. A row becomes a [`HouseRow`]
//! or is refused; a wrong year, date or number is left out with a warning, since the house stands without it. What is
//! called cadastral number on Реформа ЖКХ is that of the land plot, which several houses share: it identifies no house
//! and is not read. The date `LASTUPDATE` says when a row was written, not when it became true.

use std::collections::{BTreeMap, HashMap};

use sha2::{Digest, Sha256};

use super::cells::{
    Columns, Synonyms, day_within, form, form_by_name, is_unknown, organisation_name, turned, whole, without_label,
};
use super::format::Format;
use super::input::Input;
use super::premises::{Place, Premises};
use super::report::{self, Code, Outcome, Problem, Read};
use super::rows::{HouseRow, Tenure};
use super::table::{Limits, Row, Table};
use crate::error::{Error, Result};
use crate::registry::address::AddressKey;
use crate::registry::body::{BuildingKind, ManagementForm};
use crate::registry::ids::{BuildingId, OrgId, RegionCode};
use crate::registry::text::{Day, Text};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Portal,
    Gar,
    Gis,
    Cadastral,
    Address,
    Oktmo,
    Kind,
    Flats,
    FlatsAll,
    Year,
    Emergency,
    Updated,
    Org,
    OrgLink,
    OrgPortal,
    Ogrn,
    Inn,
    Since,
    Form,
    Demolished,
}

const SYNONYMS: &Synonyms<Column> = &[
    (Column::Portal, &["house_id", "id", "id дома", "номер дома на портале"]),
    (
        Column::Gar,
        &[
            "houseguid",
            "guid",
            "гар",
            "фиас",
            "код фиас",
            "guid дома",
            "objectguid",
            "глобальный уникальный идентификатор дома*",
            "fias_id",
        ],
    ),
    (Column::Gis, &["идентификационный код адреса дома*", "код дома гис жкх", "гис жкх"]),
    (Column::Cadastral, &["кадастровый номер", "кадастровый номер дома", "кадастровый номер здания"]),
    (Column::Address, &["address", "adress", "адрес", "адрес дома", "адрес мкд", "адрес ожф"]),
    (Column::Oktmo, &["oktmo", "октмо", "код октмо"]),
    (Column::Kind, &["house_type", "тип дома"]),
    (
        Column::Flats,
        &["room_count_live", "apts", "living_quarters_count", "количество квартир", "жилых помещений", "квартир"],
    ),
    (Column::FlatsAll, &["room_count", "quarters_count", "количество помещений"]),
    (
        Column::Year,
        &["exploitation_start_year", "year", "built_year", "год ввода в эксплуатацию", "год постройки", "год"],
    ),
    (Column::Emergency, &["avar", "is_alarm", "дом признан аварийным", "аварийный", "состояние"]),
    (Column::Updated, &["lastupdate", "дата обновления"]),
    (
        Column::Org,
        &["mgmt_company", "управляющая компания", "управляющая организация", "ук", "наименование организации*"],
    ),
    (Column::OrgLink, &["mgmt_company_link"]),
    (Column::OrgPortal, &["management_organization_id"]),
    (Column::Ogrn, &["ogrn", "огрн", "огрн организации*"]),
    (Column::Inn, &["inn", "инн", "инн организации*"]),
    (Column::Since, &["servicedate_start", "дата начала управления", "дата начала"]),
    (Column::Form, &["способ управления"]),
    (Column::Demolished, &["дата сноса объекта"]),
];

/// How to read a snapshot.
#[derive(Debug, Clone)]
pub struct Options {
    /// The importing region; rows whose address names another are refused.
    pub region: Option<RegionCode>,
    /// Day of the snapshot: no fact of it is later.
    pub taken: Day,
    /// Bounds.
    pub limits: Limits,
}

/// A snapshot opened; iterates over its rows, in their order, one outcome for each. Of a source with a row for every flat it
/// gives the rows of houses, and counts the others.
pub struct Houses<'a> {
    /// Column names as written.
    pub columns: Vec<String>,
    /// What the source is.
    pub format: Format,
    /// Rows that are counted by code instead of given out one by one.
    pub counted: BTreeMap<&'static str, u64>,
    table: Table<'a>,
    read: Columns<Column>,
    options: Options,
    seen: HashMap<BuildingId, (u64, [u8; 32])>,
    premises: Premises,
}

/// A snapshot read whole: its houses, and what became of every row.
pub struct Snapshot {
    /// Column names as written.
    pub columns: Vec<String>,
    /// What the source is.
    pub format: Format,
    /// Rows that are given out one by one.
    pub reads: Vec<Read<HouseRow>>,
    /// Rows that are counted by code.
    pub counted: BTreeMap<&'static str, u64>,
}

impl<'a> Houses<'a> {
    /// Reads the rest.
    ///
    /// # Errors
    /// The first row that cannot be read.
    pub fn snapshot(mut self) -> Result<Snapshot> {
        let reads = (&mut self).collect::<Result<_>>()?;
        Ok(Snapshot { columns: self.columns, format: self.format, reads, counted: self.counted })
    }

    /// Opens a snapshot of any format.
    ///
    /// # Errors
    /// Those of [`Table::open`]; `import.header` when there is no column of addresses.
    pub fn open(input: impl Into<Input<'a>>, options: Options) -> Result<Houses<'a>> {
        Houses::open_as(input, options, None)
    }

    /// Opens a snapshot and holds it to a format.
    ///
    /// # Errors
    /// Those of [`Houses::open`]; `import.format` when it is something else.
    pub fn open_as(input: impl Into<Input<'a>>, options: Options, forced: Option<Format>) -> Result<Houses<'a>> {
        let knows = |names: &[String]| Columns::count(names, SYNONYMS);
        let table = Table::open_of(&input.into(), options.region, &options.limits, &knows)?;
        let columns = table.columns.clone();
        let read = Columns::of(&columns, SYNONYMS);
        let recognised = Format::of_columns(&columns);
        if recognised.is_organisations() {
            return Err(Error::refuse(
                "import.format",
                format!("the file was recognised as {recognised}: it lists organisations, not houses"),
                "import it with «domovoi import organisations»",
            ));
        }
        let format = recognised.settle(forced)?;
        if !read.has(Column::Address) {
            return Err(Error::refuse(
                "import.header",
                format!(
                    "no column holds addresses; there are «{}»",
                    columns.join("», «").chars().take(300).collect::<String>()
                ),
                "name the column «Адрес» or «ADDRESS»",
            ));
        }
        let (seen, counted) = (HashMap::new(), BTreeMap::new());
        Ok(Houses { columns, format, counted, table, read, options, seen, premises: Premises::new() })
    }

    fn row(&mut self, row: Row) -> Read<HouseRow> {
        let mut problems = Vec::new();
        let value = house(&self.read, &self.options, self.format, self.columns.len(), &row, &mut problems);
        let mut read = Read { row: row.number, cells: row.cells, value: None, outcome: Outcome::Refused, problems };
        let Ok(house) = value else { return read };
        let print = fingerprint(&house);
        match self.seen.get(&house.building) {
            Some((first, same)) if *same == print => {
                read.outcome = Outcome::Unchanged;
                let (ru, en) = (format!("то же, что в строке {first}"), format!("the same as row {first}"));
                read.problems = vec![Problem::new(&report::DUPLICATE, "", ru, en)];
            }
            Some((first, _)) => read.problems.push(self.conflict(&house.building, *first)),
            None => {
                read.outcome = if read.problems.is_empty() { Outcome::Imported } else { Outcome::Warned };
                self.seen.insert(house.building.clone(), (row.number, print));
                read.value = Some(house);
            }
        }
        read
    }

    fn conflict(&self, house: impl std::fmt::Display, first: u64) -> Problem {
        Problem::new(
            &report::CONFLICT,
            self.read.name(if self.format == Format::Gis { Column::Gis } else { Column::Portal }),
            format!("дом {house} уже был в строке {first} с другими сведениями"),
            format!("{house} stands in row {first} with other values"),
        )
    }

    /// A row of a source with a row for every flat; none when it is only counted.
    fn premise(&mut self, row: Row) -> Result<Option<Read<HouseRow>>> {
        const OF_THE_HOUSE: [Column; 9] = [
            Column::Gis,
            Column::Gar,
            Column::Address,
            Column::Oktmo,
            Column::Form,
            Column::Ogrn,
            Column::Org,
            Column::Kind,
            Column::Demolished,
        ];
        let said = OF_THE_HOUSE.map(|c| self.read.raw(&row, c));
        let house = said[..3].iter().find(|c| !is_unknown(c)).copied().unwrap_or_default();
        let code = match self.premises.place(row.number, house, &said)? {
            Place::First => {
                let read = self.row(row);
                // Private houses are nine of ten in such a source: nothing is to be corrected about them.
                let only_kind = read.problems.last().is_some_and(|p| *p.code == report::HOUSE_KIND);
                if read.outcome != Outcome::Refused || !only_kind {
                    return Ok(Some(read));
                }
                report::HOUSE_KIND.code
            }
            Place::Same => report::DUPLICATE.code,
            Place::Other(first) => {
                let problems = vec![self.conflict(house, first)];
                let number = row.number;
                return Ok(Some(Read {
                    row: number,
                    cells: row.cells,
                    value: None,
                    outcome: Outcome::Refused,
                    problems,
                }));
            }
            Place::OtherAgain => report::CONFLICT.code,
        };
        *self.counted.entry(code).or_default() += 1;
        Ok(None)
    }
}

impl Iterator for Houses<'_> {
    type Item = Result<Read<HouseRow>>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let row = match self.table.next()? {
                Ok(row) => row,
                Err(e) => return Some(Err(e)),
            };
            if self.format != Format::Gis {
                return Some(Ok(self.row(row)));
            }
            match self.premise(row) {
                Ok(Some(read)) => return Some(Ok(read)),
                Ok(None) => {}
                Err(e) => return Some(Err(e)),
            }
        }
    }
}

/// What a row says, without where it says it.
fn fingerprint(house: &HouseRow) -> [u8; 32] {
    let HouseRow { row: _, building, also, address, oktmo, kind, flats, year, emergency, tenure, updated } = house;
    let facts = format!("{:?}", (building, also, address, oktmo, kind, flats, year, emergency, tenure, updated));
    Sha256::digest(facts.as_bytes()).into()
}

/// Refused: why is the last of the problems.
struct Refused;

fn house(
    columns: &Columns<Column>,
    options: &Options,
    format: Format,
    width: usize,
    row: &Row,
    problems: &mut Vec<Problem>,
) -> std::result::Result<HouseRow, Refused> {
    let refuse = |problems: &mut Vec<Problem>, code: &'static Code, column: Column, ru: String, en: String| {
        problems.push(Problem::new(code, columns.name(column), ru, en));
        Refused
    };
    if row.cells.iter().skip(width).any(|c| !c.trim().is_empty()) {
        let (ru, en) = (format!("ячеек больше, чем столбцов ({width})"), format!("more cells than columns ({width})"));
        problems.push(Problem::new(&report::CELLS, "", ru, en));
        return Err(Refused);
    }
    let Some(written) = columns.known(row, Column::Address) else {
        return Err(refuse(
            problems,
            &report::HOUSE_ADDRESS,
            Column::Address,
            "нет адреса".into(),
            "no address".into(),
        ));
    };
    if written.contains('\u{fffd}') {
        let (ru, en) = ("адрес испорчен перекодировкой", "the address was damaged by a wrong encoding");
        return Err(refuse(problems, &report::ENCODING, Column::Address, ru.into(), en.into()));
    }
    // МинЖКХ writes street, house, town, region.
    let turned = if format == Format::Mingkh { turned(written) } else { without_label(written).to_owned() };
    let Ok(address) = Text::normalise(&turned) else {
        let (ru, en) = ("адрес длиннее 500 знаков", "the address is longer than 500 characters");
        return Err(refuse(problems, &report::HOUSE_ADDRESS, Column::Address, ru.into(), en.into()));
    };
    let kind = kind(columns, row, problems)?;
    let key = AddressKey::parse(address.as_str());
    if let (Some(ours), Some(theirs)) = (options.region, key.region())
        && ours != theirs
    {
        let (ru, en) =
            (format!("дом в регионе {theirs}, а не {ours}"), format!("the house is in region {theirs}, not {ours}"));
        return Err(refuse(problems, &report::REGION, Column::Address, ru, en));
    }
    if key.is_flat() {
        let (ru, en) = (format!("«{address}» — квартира, а не дом"), format!("«{address}» is a flat, not a house"));
        return Err(refuse(problems, &report::HOUSE_FLAT, Column::Address, ru, en));
    }
    if !key.has_house() {
        let (ru, en) = (format!("в адресе «{address}» нет номера дома"), format!("«{address}» has no house number"));
        return Err(refuse(problems, &report::HOUSE_NUMBER, Column::Address, ru, en));
    }
    if let Some(day) = columns.known(row, Column::Demolished).and_then(|c| day_within(c, options.taken).ok()) {
        let (ru, en) = (format!("дом снесён {day}"), format!("the house was demolished on {day}"));
        return Err(refuse(problems, &report::HOUSE_DEMOLISHED, Column::Demolished, ru, en));
    }
    let mut ids = ids(columns, format, row, problems).into_iter();
    let Some(building) = ids.next() else {
        let (ru, en) = ("нет кода дома", "no id of the house");
        return Err(refuse(problems, &report::HOUSE_ID, Column::Portal, ru.into(), en.into()));
    };
    let updated = columns.known(row, Column::Updated).and_then(|c| day_within(c, options.taken).ok());
    Ok(HouseRow {
        row: row.number,
        building,
        also: ids.collect(),
        address,
        oktmo: optional(
            columns,
            row,
            Column::Oktmo,
            &report::OKTMO,
            "код ОКТМО",
            "ОКТМО code",
            problems,
            |c| c.parse().ok(),
        ),
        kind,
        flats: flats(columns, row, problems),
        year: optional(columns, row, Column::Year, &report::YEAR, "год", "year", problems, |c| {
            whole(c)
                .and_then(|y| u16::try_from(y).ok())
                .filter(|y| (1500..=options.taken.date().year() as u16).contains(y))
        }),
        emergency: matches!(columns.raw(row, Column::Emergency).to_lowercase().as_str(), "да" | "аварийный")
            .then_some(updated.unwrap_or(options.taken)),
        tenure: tenure(columns, row, options, problems),
        updated,
    })
}

/// A value that may be missing; a wrong one is left out with a warning.
#[allow(clippy::too_many_arguments)]
fn optional<T>(
    columns: &Columns<Column>,
    row: &Row,
    column: Column,
    code: &'static Code,
    what_ru: &str,
    what_en: &str,
    problems: &mut Vec<Problem>,
    read: impl Fn(&str) -> Option<T>,
) -> Option<T> {
    let cell = columns.known(row, column)?;
    let value = read(cell);
    if value.is_none() {
        let shown: String = cell.chars().take(40).collect();
        let (ru, en) = (format!("«{shown}» — не {what_ru}; не учтено"), format!("«{shown}» is no {what_en}; left out"));
        problems.push(Problem::new(code, columns.name(column), ru, en));
    }
    value
}

fn flats(columns: &Columns<Column>, row: &Row, problems: &mut Vec<Problem>) -> Option<u16> {
    let column = if columns.known(row, Column::Flats).is_some() { Column::Flats } else { Column::FlatsAll };
    let read = |c: &str| whole(c).and_then(|n| u16::try_from(n).ok());
    // Zero means "not counted": there is no apartment building without flats.
    optional(columns, row, column, &report::NUMBER, "число квартир", "number of flats", problems, read)
        .filter(|&n| n > 0)
}

fn kind(
    columns: &Columns<Column>,
    row: &Row,
    problems: &mut Vec<Problem>,
) -> std::result::Result<BuildingKind, Refused> {
    let Some(cell) = columns.known(row, Column::Kind) else { return Ok(BuildingKind::Untyped) };
    let folded = cell.to_lowercase();
    if folded.contains("многокварт") || folded == "мкд" {
        Ok(BuildingKind::Apartment)
    } else if folded.contains("общежит") {
        Ok(BuildingKind::Dormitory)
    } else if folded.contains("специализированн") {
        // The housing stock's legal standing, not a kind of building.
        Ok(BuildingKind::Untyped)
    } else if ["блокированн", "индивидуальн", "нежил", "садов", "частн"].iter().any(|w| folded.contains(w))
        || matches!(folded.as_str(), "жилой дом" | "жилой")
    {
        let (ru, en) = (format!("«{cell}» — не многоквартирный дом"), format!("«{cell}» is no apartment building"));
        problems.push(Problem::new(&report::HOUSE_KIND, columns.name(Column::Kind), ru, en));
        Err(Refused)
    } else {
        let shown: String = cell.chars().take(60).collect();
        let (ru, en) = (format!("неизвестный тип дома «{shown}»"), format!("unknown type of house «{shown}»"));
        problems.push(Problem::new(&report::HOUSE_KIND_UNKNOWN, columns.name(Column::Kind), ru, en));
        Ok(BuildingKind::Untyped)
    }
}

/// Every id of the house, the one the source itself keys by first.
fn ids(columns: &Columns<Column>, format: Format, row: &Row, problems: &mut Vec<Problem>) -> Vec<BuildingId> {
    let mut ids: Vec<BuildingId> = Vec::new();
    let sources =
        [(Column::Portal, "reformagkh"), (Column::Gar, "gar"), (Column::Gis, "gis"), (Column::Cadastral, "kad")];
    // The cadastral number of a row for a flat is the flat's.
    let of_the_house = |column: &Column| format != Format::Gis || *column != Column::Cadastral;
    for (column, scheme) in sources.into_iter().filter(|(c, _)| of_the_house(c)) {
        let cell = columns.known(row, column).unwrap_or_default();
        // Several GUIDs may stand in one cell; a column called FIAS may hold 0 or 1.
        for value in cell
            .split([';', '|', ',', '\n'])
            .map(str::trim)
            .filter(|v| !is_unknown(v) && (column != Column::Gar || v.len() > 2))
        {
            match BuildingId::new(scheme, &value.to_lowercase()) {
                Ok(id) if ids.len() < 16 && !ids.contains(&id) => ids.push(id),
                Ok(_) => {}
                Err(_) => {
                    let shown: String = value.chars().take(50).collect();
                    let (ru, en) = (
                        format!("«{shown}» — не код дома; не учтено"),
                        format!("«{shown}» is no id of a house; left out"),
                    );
                    problems.push(Problem::new(&report::HOUSE_ID, columns.name(column), ru, en));
                }
            }
        }
    }
    ids
}

fn tenure(columns: &Columns<Column>, row: &Row, options: &Options, problems: &mut Vec<Problem>) -> Option<Tenure> {
    let (ogrn, inn) = (columns.known(row, Column::Ogrn), columns.known(row, Column::Inn));
    let portal = columns.known(row, Column::OrgPortal).or_else(|| portal_number(columns.known(row, Column::OrgLink)?));
    let id = |scheme: &str, value: &str| OrgId::new(scheme, value).ok();
    let by_number = ogrn
        .and_then(|n| id(if n.len() == 15 { "ogrnip" } else { "ogrn" }, n))
        .or_else(|| inn.and_then(|n| id("inn", n)));
    if by_number.is_none()
        && let Some((wrong, column)) = ogrn.map(|n| (n, Column::Ogrn)).or(inn.map(|n| (n, Column::Inn)))
    {
        let shown: String = wrong.chars().take(20).collect();
        let (ru, en) =
            (format!("«{shown}»: неверные цифры; не учтено"), format!("«{shown}» fails its checksum; left out"));
        problems.push(Problem::new(&report::ORGANISATION, columns.name(column), ru, en));
    }
    let organisation = by_number.or_else(|| portal.and_then(|n| id("reformagkh", n)));
    let proprietor = organisation.as_ref().is_some_and(is_proprietor);
    let name = columns.known(row, Column::Org).and_then(|c| organisation_name(c, proprietor));
    let told = columns.known(row, Column::Form).and_then(form);
    let by_name = || form_by_name(name.as_ref().map(Text::as_str).unwrap_or_default());
    let (form, organisation) = match (told, organisation) {
        // Whoever is named beside it works for the owners.
        (Some(ManagementForm::Direct), _) => (ManagementForm::Direct, None),
        (Some(ManagementForm::None) | None, Some(organisation)) => (by_name(), Some(organisation)),
        (Some(form), Some(organisation)) => (form, Some(organisation)),
        (_, None) => {
            if name.is_some() && ogrn.or(inn).is_none() {
                let (ru, en) = ("организация без номера; не учтена", "an organisation without a number; left out");
                problems.push(Problem::new(&report::ORGANISATION, columns.name(Column::Org), ru, en));
            }
            return None;
        }
    };
    let since = columns.known(row, Column::Since).and_then(|cell| match day_within(cell, options.taken) {
        Ok(day) => Some(day),
        Err((ru, en)) => {
            let field = columns.name(Column::Since);
            problems.push(Problem::new(&report::DATE, field, format!("{ru}; не учтена"), format!("{en}; left out")));
            None
        }
    });
    Some(Tenure { form, organisation, name, since })
}

/// A person's numbers: a sole proprietor's, who has no name here.
pub(super) fn is_proprietor(id: &OrgId) -> bool {
    id.scheme() == "ogrnip" || id.scheme() == "inn" && id.value().len() == 12
}

/// The number at the end of `…/organization/<id>` or `…/profile/<id>/`: one space of ids.
fn portal_number(link: &str) -> Option<&str> {
    let (before, number) = link.trim_end_matches('/').rsplit_once('/')?;
    (before.ends_with("/organization") || before.ends_with("/profile")).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<Read<HouseRow>> {
        let options = Options {
            region: RegionCode::new(10).ok(),
            taken: Day::parse("2016-09-20").unwrap(),
            limits: Limits::default(),
        };
        Houses::open(text.as_bytes(), options).unwrap().map(Result::unwrap).collect()
    }

    fn codes(read: &Read<HouseRow>) -> Vec<&str> {
        read.problems.iter().map(|p| p.code.code).collect()
    }

    const HEAD: &str = "HOUSE_ID;ADDRESS;YEAR;LASTUPDATE;SERVICEDATE_START;HOUSE_TYPE;MGMT_COMPANY;MGMT_COMPANY_LINK;AVAR;ROOM_COUNT;ROOM_COUNT_LIVE\n";

    #[test]
    fn a_good_row_says_everything() {
        let rows = read(&format!(
            "{HEAD}7960045;Респ. Карелия, г. Сегежа, ул. 8 Марта, д. 1;1996;03.04.2016 в 14:13;01.08.2010;Многоквартирный дом;\"ТСЖ \"\"Мир\"\"\";http://www.reformagkh.ru/mymanager/profile/6927817/;Да;1 005;104\n"
        ));
        let house = rows[0].value.as_ref().unwrap();
        assert_eq!((rows[0].outcome, rows[0].row), (Outcome::Imported, 2));
        assert_eq!(house.building.to_string(), "reformagkh:7960045");
        assert_eq!((house.kind, house.flats, house.year), (BuildingKind::Apartment, Some(104), Some(1996)));
        assert_eq!(house.emergency.unwrap().to_string(), "2016-04-03");
        let tenure = house.tenure.as_ref().unwrap();
        assert_eq!(tenure.organisation.as_ref().unwrap().to_string(), "reformagkh:6927817");
        assert_eq!(
            (tenure.form, tenure.since.unwrap().to_string()),
            (ManagementForm::OwnersAssociation, "2010-08-01".to_owned())
        );
    }

    #[test]
    fn what_is_wrong_is_refused_or_left_out() {
        let tail = "1990;;;;;;;;\n";
        let cases = [
            (
                "1;г. Сегежа, ул. Мира, д. 1;192;;01.01.0001;;ООО Дом;/profile/5/;;;",
                vec!["import.year", "import.date"],
                Outcome::Warned,
            ),
            ("2;обл. Томская, г. Томск, ул. Мира, д. 1;1990;;;;;;;;", vec!["import.region"], Outcome::Refused),
            ("3;г. Сегежа, ул. Мира;1990;;;;;;;;", vec!["import.house.number"], Outcome::Refused),
            ("4;г. Сегежа, ул. Мира, д. 1, кв. 2;1990;;;;;;;;", vec!["import.house.flat"], Outcome::Refused),
            (
                "5;г. Сегежа, ул. Мира, д. 2;1990;;;Жилой дом блокированной застройки;;;;;",
                vec!["import.house.kind"],
                Outcome::Refused,
            ),
            ("6;none;6 557 ед.;;;;;;;;", vec!["import.house.address"], Outcome::Refused),
            (";г. Сегежа, ул. Мира, д. 3;1990;;;;;;;;", vec!["import.house.id"], Outcome::Refused),
            ("7;г. Сегежа, ул. Мира, д. 4;1990;;;;;;;;;;;лишнее", vec!["import.cells"], Outcome::Refused),
            (
                "8;г. Сегежа, ул. Мира, д. 5;1990;;20.09.2017;;ООО Дом;/profile/5/;;;",
                vec!["import.date"],
                Outcome::Warned,
            ),
        ];
        let text = cases.iter().fold(HEAD.to_owned(), |t, (row, ..)| format!("{t}{row}\n"));
        let rows = read(&text);
        assert_eq!(rows.len(), cases.len());
        for (row, (_, want, outcome)) in rows.iter().zip(&cases) {
            assert_eq!((&codes(row), row.outcome), (want, *outcome), "{:?}", row.cells);
            assert_eq!(row.value.is_some(), *outcome == Outcome::Warned);
        }
        let text = format!("{HEAD}9;ул. Мира, д. 1;{tail}9;ул. Мира, д. 1;{tail}9;ул. Мира, д. 2;{tail}");
        let rows = read(&text);
        assert_eq!(
            rows.iter().map(|r| r.outcome).collect::<Vec<_>>(),
            [Outcome::Imported, Outcome::Unchanged, Outcome::Refused]
        );
        assert_eq!(codes(&rows[2]), ["import.conflict"]);
        assert!(rows[2].problems[0].reason_ru.contains("строке 2"));
    }

    #[test]
    fn a_proprietor_has_no_name() {
        let rows = read(&format!("{HEAD}1;ул. Мира, д. 1;;;;;ИП Иванов И.И.;/organization/77;;;\n"));
        let tenure = rows[0].value.as_ref().unwrap().tenure.as_ref().unwrap();
        assert_eq!(tenure.name.as_ref().unwrap().as_str(), super::super::cells::SOLE_PROPRIETOR);
        assert_eq!(tenure.organisation.as_ref().unwrap().to_string(), "reformagkh:77");
    }

    #[test]
    fn gis_export_has_a_row_per_room() {
        let text = "Адрес ОЖФ|Идентификационный код адреса дома в ГИС ЖКХ|Глобальный уникальный идентификатор дома по ФИАС|Код ОКТМО|Способ управления|ОГРН организации, осуществляющей управление домом|Наименование организации, осуществляющей управление домом|Тип дома|№ помещения\n\
            Респ. Карелия, г. Сегежа, ул. Мира, д. 1|7745000000000000000000000-00001|EA70561B-2A91-2E7B-BBE3-1FDEF7A880A3;e8923b56-67b7-46ad-9f07-f27a96812eb5|86645101|УО|1027700132195|АО \"Дом\"|Многоквартирный|1\n\
            Респ. Карелия, г. Сегежа, ул. Мира, д. 1|7745000000000000000000000-00001|EA70561B-2A91-2E7B-BBE3-1FDEF7A880A3;e8923b56-67b7-46ad-9f07-f27a96812eb5|86645101|УО|1027700132195|АО \"Дом\"|Многоквартирный|2\n";
        let rows = read(text);
        let house = rows[0].value.as_ref().unwrap();
        assert_eq!(house.building.to_string(), "gar:ea70561b-2a91-2e7b-bbe3-1fdef7a880a3");
        assert_eq!(house.also.len(), 2);
        let tenure = house.tenure.as_ref().unwrap();
        assert_eq!(
            (tenure.form, tenure.organisation.as_ref().unwrap().as_str()),
            (ManagementForm::Company, "ogrn:1027700132195")
        );
        assert_eq!(rows.len(), 1, "the second row is counted");
    }
}
