//! The clerk's own table, by the names of its columns: chats (address or building id, link and/or chat id, title) and
//! managements (address or building id, organisation, date). A report that was corrected is such a table again.

use super::reformagkh::{day, form_of, public_name};
use super::report::{Finding, Outcome};
use super::rows::{ChatRow, ManagementRow, Place, Tenure};
use super::table::{Row, Table};
use crate::error::{Error, Result};
use crate::registry::body::ManagementForm;
use crate::registry::ids::{BuildingId, MaxChatId, OrgId};
use crate::registry::link::{LinkDigest, canonical_link};
use crate::registry::text::Text;

/// Column in which the clerk chooses among candidates.
pub const CHOICE: &str = "выбор";
const BUILDING: &[&str] =
    &["ID дома", "Идентификатор дома", "Дом ID", "building", "building id", "HOUSE_ID", "ФИАС", "GUID"];
const ADDRESS: &[&str] = &["Адрес", "Адрес дома", "address"];
const LINK: &[&str] = &["Ссылка", "Ссылка на чат", "link", "url"];
const CHAT: &[&str] = &["ID чата", "Идентификатор чата", "chat id", "max"];
const TITLE: &[&str] = &["Название", "Название чата", "title"];
const ORGANISATION: &[&str] = &["ОГРН", "ИНН", "ID организации", "ID УК", "organisation", "УК ID"];
const NAME: &[&str] = &["УК", "Управляющая организация", "Наименование УК", "Организация", "company", "name"];
const SINCE: &[&str] = &["Дата", "Дата начала", "Дата начала управления", "С какого дня", "since", "date"];
const FORM: &[&str] = &["Форма", "Форма управления", "form"];

/// The columns that a field of a finding may stand in; none where the field is a column's name itself.
pub fn names_of(field: &str) -> Option<&'static [&'static str]> {
    Some(match field {
        "building" => BUILDING,
        "address" => ADDRESS,
        "link" => LINK,
        "chat id" => CHAT,
        "title" => TITLE,
        "organisation" => ORGANISATION,
        "since" => SINCE,
        "form" => FORM,
        _ => return None,
    })
}

/// What the manual calls the column of a field.
pub fn manual_name(field: &str) -> &str {
    match field {
        "organisation" => "ОГРН/ИНН",
        _ => names_of(field).map_or(field, |names| names[0]),
    }
}

type Bad = (&'static str, Error);

fn refuse<T>(
    field: &'static str,
    code: &'static str,
    detail: String,
    remedy: &'static str,
) -> std::result::Result<T, Bad> {
    Err((field, Error::refuse(code, detail, remedy)))
}

fn has_any(table: &Table, names: &[&str]) -> bool {
    names.iter().any(|n| table.has(n))
}

/// A building id as a clerk writes it: with its scheme, or a bare UUID, or a bare portal number.
fn building_id(text: &str) -> Result<BuildingId> {
    let text = text.trim();
    // A candidate copied from the report is followed by its address.
    let id = text.split_whitespace().next().unwrap_or("");
    match id {
        _ if id.contains(':') && !id.contains("://") => id.parse().or_else(|_| BuildingId::new("kad", id)),
        _ if id.len() == 36 => BuildingId::new("gar", &id.to_lowercase()),
        _ if id.len() == 31 => BuildingId::new("gis", id),
        _ => BuildingId::new("reformagkh", id),
    }
}

fn place(table: &Table, row: &Row) -> std::result::Result<Place, Bad> {
    let chosen = table.cell(row, &[CHOICE]).or_else(|| table.cell(row, BUILDING));
    let building = match chosen.map(building_id) {
        Some(Ok(id)) => Some(id),
        Some(Err(e)) => return Err(("building", e)),
        None => None,
    };
    Ok(Place { building, address: table.cell(row, ADDRESS).map(|a| a.chars().take(500).collect()) })
}

fn read<T>(table: &Table, one: impl Fn(&Table, &Row) -> std::result::Result<T, Bad>) -> (Vec<T>, Vec<Finding>) {
    let (mut rows, mut findings) = (Vec::with_capacity(table.rows.len()), Vec::new());
    for row in &table.rows {
        match one(table, row) {
            Ok(r) => rows.push(r),
            Err((field, e)) => findings.push(Finding::new(row, Outcome::Refused, field, e)),
        }
    }
    (rows, findings)
}

fn needs(table: &Table, groups: &[(&[&str], &str)]) -> Result<()> {
    match groups.iter().find(|(names, _)| !has_any(table, names)) {
        None => Ok(()),
        Some((names, what)) => Err(Error::refuse(
            "import.columns",
            format!("the table has no column for {what} (for example «{}»)", names[0]),
            "name the column as the manual says",
        )),
    }
}

/// Reads a list of chats.
pub fn chats(table: &Table) -> Result<(Vec<ChatRow>, Vec<Finding>)> {
    needs(table, &[(&[ADDRESS, BUILDING].concat(), "the building"), (&[LINK, CHAT].concat(), "the chat")])?;
    Ok(read(table, |table, row| {
        let link = match table.cell(row, LINK).map(canonical_link) {
            Some(Ok(link)) => Some(LinkDigest::of_link(&link)),
            Some(Err(e)) => return Err(("link", e)),
            None => None,
        };
        let max =
            match table.cell(row, CHAT).map(|c| format!("max:{}", c.trim_start_matches("max:")).parse::<MaxChatId>()) {
                Some(Ok(max)) => Some(max),
                Some(Err(e)) => return Err(("chat id", e)),
                None => None,
            };
        if link.is_none() && max.is_none() {
            return refuse(
                "link",
                "import.chat.handle",
                "the row has neither a link nor a chat id".into(),
                "fill in one of them",
            );
        }
        let title = table.cell(row, TITLE).map(Text::normalise).transpose().map_err(|e| ("title", e))?;
        Ok(ChatRow { row: row.number, place: place(table, row)?, link, max, title })
    }))
}

/// Reads a list of managements.
pub fn managements(table: &Table) -> Result<(Vec<ManagementRow>, Vec<Finding>)> {
    needs(
        table,
        &[
            (&[ADDRESS, BUILDING].concat(), "the building"),
            (&[ORGANISATION, FORM].concat(), "the organisation"),
            (SINCE, "the day"),
        ],
    )?;
    Ok(read(table, |table, row| {
        let cell = table.cell(row, SINCE).unwrap_or("");
        let Some(since) = day(cell) else {
            return refuse(
                "since",
                "import.date",
                format!("«{}» is no date", cell.chars().take(40).collect::<String>()),
                "write DD.MM.YYYY",
            );
        };
        let name = table.cell(row, NAME);
        let organisation = match table.cell(row, ORGANISATION).map(org_id) {
            Some(Ok(id)) => Some(id),
            Some(Err(e)) => return Err(("organisation", e)),
            None => None,
        };
        let form = match table.cell(row, FORM).map(super::table::fold) {
            None => name.map_or(ManagementForm::Unknown, form_of),
            Some(f) => match f.as_str() {
                "ук" | "управляющаяорганизация" | "company" => ManagementForm::Company,
                "тсж" | "тсн" | "ownersassociation" => ManagementForm::OwnersAssociation,
                "жск" | "жк" | "cooperative" => ManagementForm::Cooperative,
                "непосредственное" | "непосредственноеуправление" | "direct" => {
                    ManagementForm::Direct
                }
                "временная" | "временнаяук" | "temporary" => ManagementForm::Temporary,
                "застройщик" | "developer" => ManagementForm::Developer,
                "нетуправления" | "nobody" => ManagementForm::None,
                _ => {
                    return refuse(
                        "form",
                        "import.form",
                        "the form of management is not known".into(),
                        "write УК, ТСЖ, ЖСК, непосредственное, временная, застройщик",
                    );
                }
            },
        };
        let nobody = matches!(form, ManagementForm::Direct | ManagementForm::None);
        if nobody != organisation.is_none() {
            return refuse(
                "organisation",
                "import.organisation.missing",
                "this form of management needs an organisation's id, or must have none".into(),
                "fill in ОГРН or ИНН, or correct the form",
            );
        }
        let tenure = Tenure { form, organisation, name: name.and_then(public_name), since: Some(since) };
        Ok(ManagementRow { row: row.number, place: place(table, row)?, tenure })
    }))
}

/// An organisation's id as a clerk writes it: with its scheme, or bare digits that their number and checksum tell apart.
fn org_id(text: &str) -> Result<OrgId> {
    let text = text.trim();
    match (text.contains(':'), text.len()) {
        (true, _) => text.parse(),
        (false, 13) => OrgId::new("ogrn", text),
        (false, 15) => OrgId::new("ogrnip", text),
        (false, 10 | 12) => OrgId::new("inn", text),
        (false, _) => OrgId::new("reformagkh", text),
    }
}
