//! House files of the Реформа ЖКХ portal, every dialect met so far, told apart by their columns: 2014 (`APTS`, links
//! `/organization/<id>`), 2016 and 2017 (`ROOM_COUNT_LIVE`, `SERVICEDATE_START`, links `/profile/<id>/`); and the house list
//! of dom.mingkh.ru (`Кадастровый номер`, `Код ОКТМО`), whose ids are another portal's.

use std::collections::{HashMap, HashSet};

use super::report::{Finding, Outcome};
use super::rows::{HouseRow, Tenure};
use super::table::{Row, Table};
use crate::error::Error;
use crate::registry::body::{BuildingKind, ManagementForm};
use crate::registry::ids::{BuildingId, Oktmo, OrgId};
use crate::registry::text::{Day, Text};

/// True where the columns are those of a house file.
pub fn recognises(table: &Table) -> bool {
    table.has("HOUSE_ID") && table.has("ADDRESS") && table.has("MGMT_COMPANY")
}

/// Rows that can be used, and what is to be said of the others (and, as warnings, of cells that were left out).
pub struct Houses {
    /// Houses, in the order of the source.
    pub rows: Vec<HouseRow>,
    /// Refusals and warnings.
    pub findings: Vec<Finding>,
    /// Every id the source names, those of refused rows included: what is refused is not gone.
    pub seen: HashSet<BuildingId>,
    /// The newest day on which the source says it updated a row.
    pub newest: Option<Day>,
}

/// A day as `DD.MM.YYYY`, also with a time behind it.
pub fn day(cell: &str) -> Option<Day> {
    let date = cell.split_whitespace().next()?;
    if let Ok(day) = date.parse::<Day>() {
        return Some(day);
    }
    let mut parts = date.split(['.', '/']);
    let (d, m, y) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    if parts.next().is_some() { None } else { Day::new(y, m, d).ok() }
}

/// The form of management that an organisation's name tells.
pub fn form_of(name: &str) -> ManagementForm {
    let upper = name.to_uppercase();
    let word = |w: &str| upper.split(|c: char| !c.is_alphanumeric()).any(|p| p == w);
    if word("ТСЖ") || word("ТСН") || upper.contains("ТОВАРИЩЕСТВО СОБСТВЕННИКОВ") {
        ManagementForm::OwnersAssociation
    } else if word("ЖСК")
        || word("ЖК") && upper.contains("КООПЕРАТИВ")
        || upper.contains("ЖИЛИЩНО-СТРОИТЕЛЬНЫЙ КООПЕРАТИВ")
    {
        ManagementForm::Cooperative
    } else if word("УК")
        || word("ООО")
        || word("ОАО")
        || word("АО")
        || word("ЗАО")
        || word("ГБУ")
        || word("ГУП")
        || word("МУП")
    {
        ManagementForm::Company
    } else {
        ManagementForm::Unknown
    }
}

/// An organisation's name without the name of a person: of a sole proprietor only the form is kept.
pub fn public_name(name: &str) -> Option<Text> {
    let upper = name.to_uppercase();
    let sole = upper.starts_with("ИП ")
        || upper.starts_with("ИП.")
        || upper.contains("ИНДИВИДУАЛЬНЫЙ ПРЕДПРИНИМАТЕЛЬ")
        || upper.ends_with(" ИП");
    let kept = if sole { "Индивидуальный предприниматель" } else { name };
    let short: String = kept.chars().take(400).collect();
    Text::normalise(&short).ok()
}

/// Reads a house file. `snapshot` is its day: later dates in it are mistakes.
pub fn read(table: &Table, snapshot: Option<Day>) -> Houses {
    let newest = table.rows.iter().filter_map(|r| table.cell(r, &["LASTUPDATE"]).and_then(day)).max();
    let last = snapshot.or(newest);
    let mut out =
        Houses { rows: Vec::with_capacity(table.rows.len()), findings: Vec::new(), seen: HashSet::new(), newest };
    let mut first: HashMap<BuildingId, usize> = HashMap::new();
    for row in &table.rows {
        out.seen.extend(table.cell(row, &["HOUSE_ID"]).and_then(|id| BuildingId::new("reformagkh", id).ok()));
        match house(table, row, last, &mut out.findings) {
            Err((field, e)) => out.findings.push(Finding::new(row, Outcome::Refused, field, e)),
            Ok(house) => match first.get(&house.building) {
                None => {
                    first.insert(house.building.clone(), out.rows.len());
                    out.rows.push(house);
                }
                Some(at) => {
                    let before = &out.rows[*at];
                    let (number, same) = (before.row, HouseRow { row: house.row, ..before.clone() } == house);
                    let e = Error::refuse(
                        "import.house.twice",
                        format!(
                            "{} stands in row {number} already{}",
                            house.building,
                            if same { "" } else { ", with other contents" }
                        ),
                        if same { "nothing needs to be done" } else { "keep the right one of the two rows" },
                    );
                    let outcome = if same { Outcome::Unchanged } else { Outcome::Refused };
                    out.findings.push(Finding::new(row, outcome, "HOUSE_ID", e));
                }
            },
        }
    }
    out
}

type Bad = (&'static str, Error);

fn house(table: &Table, row: &Row, last: Option<Day>, findings: &mut Vec<Finding>) -> Result<HouseRow, Bad> {
    let refuse = |field, code, detail: String, remedy| Err((field, Error::refuse(code, detail, remedy)));
    let id = table.cell(row, &["HOUSE_ID"]).unwrap_or("");
    let Ok(building) = BuildingId::new("reformagkh", id) else {
        return refuse(
            "HOUSE_ID",
            "import.house.id",
            format!("«{}» is no house id", cut(id)),
            "fill in the number from the portal",
        );
    };
    let address = table.cell(row, &["ADDRESS"]).unwrap_or("");
    let Ok(address) = Text::normalise(address) else {
        return refuse(
            "ADDRESS",
            "import.house.address",
            "the address is missing or too long".into(),
            "fill in the address",
        );
    };
    let kind = match table.cell(row, &["HOUSE_TYPE"]) {
        None => BuildingKind::Untyped,
        Some(t) => match t.to_lowercase() {
            t if t.starts_with("многоквартирный") => BuildingKind::Apartment,
            t if t.starts_with("общежитие") || t.starts_with("специализированный") => {
                BuildingKind::Dormitory
            }
            t => {
                return refuse(
                    "HOUSE_TYPE",
                    "import.house.kind",
                    format!("«{}» is no apartment building", cut(&t)),
                    "nothing needs to be done; if the kind is wrong, correct it",
                );
            }
        },
    };
    let mut warn = |field: &'static str, code, detail: String, remedy| {
        findings.push(Finding::new(row, Outcome::Warned, field, Error::refuse(code, detail, remedy)));
    };
    let mut number = |names: &[&str], field: &'static str, low: u32, high: u32| {
        let cell = table.cell(row, names)?;
        match cell.replace(',', ".").parse::<f64>() {
            Ok(n) if n.fract() == 0.0 && (f64::from(low)..=f64::from(high)).contains(&n) => Some(n as u16),
            Ok(0.0) => None,
            _ => {
                warn(
                    field,
                    "import.house.number",
                    format!("{field} «{}» is not within {low}–{high} and was left out", cut(cell)),
                    "correct the number",
                );
                None
            }
        }
    };
    let newest_year = last.map_or(2200, |d| d.date().year().unsigned_abs() + 5);
    let year = number(&["YEAR"], "YEAR", 1700, u32::from(newest_year));
    let flats = number(&["ROOM_COUNT_LIVE", "APTS"], "ROOM_COUNT_LIVE", 1, 5000);
    Ok(HouseRow {
        row: row.number,
        building,
        also: table.cell(row, &["CADNO", "CAD_NO"]).and_then(|c| BuildingId::new("kad", c).ok()).into_iter().collect(),
        address,
        oktmo: table.cell(row, &["Код ОКТМО"]).and_then(|o| o.parse::<Oktmo>().ok()),
        kind,
        flats,
        year,
        emergency: None,
        tenure: tenure(table, row, last, findings),
        updated: table.cell(row, &["LASTUPDATE"]).and_then(day),
    })
}

fn tenure(table: &Table, row: &Row, last: Option<Day>, findings: &mut Vec<Finding>) -> Option<Tenure> {
    let mut warn = |field: &'static str, code, detail: String, remedy| {
        findings.push(Finding::new(row, Outcome::Warned, field, Error::refuse(code, detail, remedy)));
    };
    let link = table.cell(row, &["MGMT_COMPANY_LINK"]);
    let name = table.cell(row, &["MGMT_COMPANY"]);
    let Some(link) = link else {
        if let Some(name) = name {
            warn(
                "MGMT_COMPANY_LINK",
                "import.organisation.id",
                format!("«{}» has no id and was left out", cut(name)),
                "fill in the link to its profile",
            );
        }
        return None;
    };
    let id = link.trim_end_matches('/').rsplit('/').next().unwrap_or("");
    let Ok(organisation) = OrgId::new("reformagkh", id) else {
        warn(
            "MGMT_COMPANY_LINK",
            "import.organisation.id",
            format!("«{}» holds no profile number", cut(link)),
            "fill in the link to its profile",
        );
        return None;
    };
    let since = table.cell(row, &["SERVICEDATE_START"]).and_then(|cell| {
        let found = day(cell).filter(|d| last.is_none_or(|l| *d <= l));
        // Before 1991 there were no management companies: such dates are the building's, or mistyped.
        let found = found.filter(|d| d.date().year() >= 1991);
        if found.is_none() {
            warn(
                "SERVICEDATE_START",
                "import.date.range",
                format!("«{}» is no day between 1991 and the snapshot and was left out", cut(cell)),
                "correct the date",
            );
        }
        found
    });
    Some(Tenure {
        form: name.map_or(ManagementForm::Unknown, form_of),
        organisation: Some(organisation),
        name: name.and_then(public_name),
        since,
    })
}

fn cut(s: &str) -> String {
    s.chars().take(80).collect()
}
