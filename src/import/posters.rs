//! The clerk's list of chats, read for their posters: the only reader that hands out links in full, as a type that cannot be
//! printed. Columns are those of [`super::clerk::chats`].

use zeroize::Zeroize;

use super::cells::Columns;
use super::clerk::{CHATS, Column, building_id};
use super::input::Input;
use super::table::{Limits, Table};
use crate::error::{Error, Result};
use crate::registry::ids::BuildingId;
use crate::registry::secret_link::SecretLink;

/// A row of the list.
#[derive(Debug)]
pub struct PosterRow {
    /// Row of the source, 1-based.
    pub row: u64,
    /// The house as the table names it, for reports; empty where it does not, or where a link stands there.
    pub place: String,
    /// The link, and the building where the row gives its id.
    pub value: Result<(SecretLink, Option<BuildingId>)>,
}

/// Longest name of a house in a report, in characters.
const MAX_PLACE: usize = 120;

/// Reads the list.
///
/// # Errors
/// Those of [`Table::open`] and of its rows; `import.header` when there is no column of links. What is wrong with one row stands in
/// its `value`: `poster.link`, `poster.house`.
pub fn read<'a>(input: impl Into<Input<'a>>, limits: &Limits) -> Result<Vec<PosterRow>> {
    let table = Table::open(input, limits, &|names| Columns::count(names, CHATS))?;
    let columns = Columns::of(&table.columns, CHATS);
    if !columns.has(Column::Link) {
        return Err(Error::refuse(
            "import.header",
            "the table lacks a column of links («Ссылка»)",
            "name the columns as the manual lists them (docs/manual.ru.md, 5)",
        ));
    }
    let mut rows = Vec::new();
    for row in table {
        let mut row = row?;
        let id = columns.known(&row, Column::Building);
        let place = columns.known(&row, Column::Address).or(id).unwrap_or_default();
        let place = if place.contains("/join/") { String::new() } else { place.chars().take(MAX_PLACE).collect() };
        let house = match id.map(building_id) {
            Some(None) => {
                Err(Error::refuse("poster.house", "the id of the house is none", "correct it, or leave the cell empty"))
            }
            found => Ok(found.flatten()),
        };
        let link = SecretLink::parse(columns.known(&row, Column::Link).unwrap_or_default())
            .map_err(|why| Error::refuse("poster.link", why.en(), "copy the link from the chat itself"));
        rows.push(PosterRow { row: row.number, place, value: link.and_then(|link| Ok((link, house?))) });
        row.cells.zeroize();
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_read_and_never_shown() {
        let token = "AbCdEfGhIjKlMnOpQrStUvWxYz0123456789-_AbCdE";
        let text = format!(
            "Адрес;ID дома;Ссылка\nг. Кемь, д. 1;reformagkh:1;max.ru/join/{token}\nг. Кемь, д. 2;;\n\
             г. Кемь, д. 3;;https://max.ru/join/{token}x-\nhttps://max.ru/join/{token};x;max.ru/join/{token}\n"
        );
        let rows = read(text.as_bytes(), &Limits::default()).unwrap();
        let (link, house) = rows[0].value.as_ref().unwrap();
        assert_eq!(*link, SecretLink::parse(&format!("max.ru/join/{token}")).unwrap());
        assert_eq!(house.as_ref().unwrap().to_string(), "reformagkh:1");
        let codes: Vec<&str> = rows.iter().filter_map(|r| r.value.as_ref().err()).map(Error::code).collect();
        assert_eq!(codes, ["poster.link", "poster.link", "poster.house"]);
        assert_eq!((rows[1].row, rows[1].place.as_str(), rows[3].place.as_str()), (3, "г. Кемь, д. 2", ""));
        assert!(!format!("{rows:?}").contains(&token[..20]));
        assert_eq!(read(&b"address;id\n1;2\n"[..], &Limits::default()).unwrap_err().code(), "import.header");
    }
}
