//! Which of the known exports a file is: told by its content, or said by the clerk and then held to it.

use std::fmt;
use std::str::FromStr;

use super::cells::fold_name;
use crate::error::{Error, Result};

/// An export that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Реформа ЖКХ since 2014: `HOUSE_ID`, `MGMT_COMPANY`, …
    Portal,
    /// Фонд развития территорий, houses: `export-reestrmkd-…`.
    Frt,
    /// ГИС ЖКХ, objects of the housing stock, one row a flat.
    Gis,
    /// ГАР (ФИАС), XML.
    Gar,
    /// МинЖКХ (dom.mingkh.ru).
    Mingkh,
    /// Фонд развития территорий, organisations: `export-reestruo-…`.
    FrtOrganisations,
    /// ГИС ЖКХ, «Реестр поставщиков информации», or a copy of its organisations.
    GisOrganisations,
    /// Any other table, read by the names of its columns.
    Table,
}

/// Name on the command line, what it is, columns that tell it (all of them, folded; a `*` ends a beginning).
const KNOWN: &[(Format, &str, &str, &[&str])] = &[
    (
        Format::FrtOrganisations,
        "frt-organisations",
        "организации Фонда развития территорий (export-reestruo)",
        &["name_full", "orn"],
    ),
    (Format::GisOrganisations, "gis-organisations", "реестр организаций ГИС ЖКХ", &["огрн", "полное наименование"]),
    (
        Format::GisOrganisations,
        "gis-organisations",
        "реестр организаций ГИС ЖКХ",
        &["ogrn", "fullname", "organizationrolename"],
    ),
    (
        Format::Frt,
        "frt",
        "дома Фонда развития территорий (export-reestrmkd)",
        &["houseguid", "management_organization_id"],
    ),
    (Format::Gis, "gis", "объекты жилищного фонда ГИС ЖКХ", &["адрес ожф", "идентификационный код адреса дома*"]),
    (Format::Portal, "reformagkh", "дома портала «Реформа ЖКХ»", &["house_id", "address"]),
    (Format::Mingkh, "mingkh", "дома портала МинЖКХ", &["url", "адрес", "кадастровый номер"]),
    (Format::Gar, "gar", "ГАР (ФИАС), XML", &["objectguid*objectid"]),
    (Format::Table, "table", "таблица", &[]),
];

impl Format {
    /// What a table is, by its columns.
    pub fn of_columns(columns: &[String]) -> Format {
        let folded: Vec<String> = columns.iter().map(|c| fold_name(c)).collect();
        let has = |word: &&str| match word.strip_suffix('*') {
            Some(start) => folded.iter().any(|c| c.starts_with(start)),
            None => folded.iter().any(|c| c == word),
        };
        KNOWN.iter().find(|(.., words)| words.iter().all(has)).map_or(Format::Table, |(format, ..)| *format)
    }

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        KNOWN.iter().find(|(format, ..)| *format == self).map_or("table", |(_, name, ..)| name)
    }

    /// What it is, in Russian.
    pub fn title(self) -> &'static str {
        KNOWN.iter().find(|(format, ..)| *format == self).map_or("", |(_, _, title, _)| title)
    }

    /// Whether it lists organisations, not houses.
    pub fn is_organisations(self) -> bool {
        matches!(self, Format::FrtOrganisations | Format::GisOrganisations)
    }

    /// Settles what a table is read as: `forced` if the table can be that.
    ///
    /// # Errors
    /// `import.format` when the table is recognised as something else.
    pub fn settle(self, forced: Option<Format>) -> Result<Format> {
        match forced {
            None => Ok(self),
            Some(f) if f == self || f == Format::Table => Ok(f),
            Some(f) => Err(Error::refuse(
                "import.format",
                format!("the file was recognised as {self} and lacks the columns of {f}"),
                "leave --format out, or give the file that belongs to it",
            )),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(name: &str) -> Result<Format> {
        KNOWN.iter().find(|(_, known, ..)| *known == name).map(|(format, ..)| *format).ok_or_else(|| {
            let known: Vec<&str> = KNOWN.iter().map(|(_, name, ..)| *name).collect();
            Error::refuse(
                "import.format",
                format!("«{name}» is no known format; known are {}", known.join(", ")),
                "leave --format out, or give the file that belongs to it",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(columns: &str) -> Format {
        Format::of_columns(&columns.split(';').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn exports_are_told_by_their_columns() {
        assert_eq!(of("id;region_id;address;houseguid;management_organization_id"), Format::Frt);
        assert_eq!(of("id;subject_rf;name_full;name_short;inn;orn"), Format::FrtOrganisations);
        assert_eq!(of("Адрес ОЖФ;Идентификационный код адреса дома в ГИС ЖКХ;Код ОКТМО"), Format::Gis);
        assert_eq!(of("HOUSE_ID;ADDRESS;MGMT_COMPANY"), Format::Portal);
        assert_eq!(of("Адрес;ОГРН;Дата"), Format::Table);
        assert_eq!(of("Полное наименование;ОГРН;ИНН;Функция"), Format::GisOrganisations);
        for (format, name, ..) in KNOWN {
            assert_eq!(name.parse::<Format>().unwrap(), *format);
            assert_eq!(format.name(), *name);
        }
    }

    #[test]
    fn what_is_forced_must_fit() {
        assert_eq!(Format::Frt.settle(None).unwrap(), Format::Frt);
        assert_eq!(Format::Frt.settle(Some(Format::Table)).unwrap(), Format::Table);
        let refused = Format::Frt.settle(Some(Format::Gis)).unwrap_err();
        assert!(refused.code() == "import.format" && refused.detail().contains("recognised as frt"), "{refused}");
        assert_eq!("x".parse::<Format>().unwrap_err().code(), "import.format");
    }
}
