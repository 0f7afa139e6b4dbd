//! What a cell says: the many spellings of "unknown", dates, numbers, names; and which column is which.

use jiff::civil::Date;

use super::table::{HEADER_JOIN, Row};
use crate::registry::body::ManagementForm;
use crate::registry::text::{Day, Text};

/// No management of a house is older: before, nobody but the state managed houses.
const FIRST_YEAR: i16 = 1991;

/// Whether the cell says that it says nothing.
pub fn is_unknown(cell: &str) -> bool {
    let folded = cell.trim().to_lowercase().replace('ё', "е");
    let words = folded.split_whitespace().collect::<Vec<_>>().join(" ");
    matches!(
        words.as_str(),
        "" | "не заполнено"
            | "незаполнено"
            | "нет данных"
            | "нет сведений"
            | "данные отсутствуют"
            | "отсутствует"
            | "не указано"
            | "не указан"
            | "не присвоен"
            | "не определен"
            | "не имеется"
            | "н.д."
            | "н/д"
            | "нд"
            | "нет"
            | "none"
            | "null"
            | "n/a"
    ) || words.chars().all(|c| matches!(c, '-' | '–' | '—' | '~' | '?' | '.'))
}

/// A day as people and portals write it: `05.04.2016`, `2016-04-05`, `5/4/2016`, with or without a time after it.
/// None when it is no day at all.
pub fn date(cell: &str) -> Option<Date> {
    let day = cell.split(|c: char| c.is_whitespace() || c == 'T' || c == ',').find(|w| !w.is_empty())?;
    let parts: Vec<&str> = day.trim_end_matches(['г', '.']).split(['.', '-', '/']).collect();
    let [a, b, c] = parts.as_slice() else { return None };
    if parts.iter().any(|p| p.is_empty() || p.len() > 4 || !p.bytes().all(|b| b.is_ascii_digit())) || b.len() > 2 {
        return None;
    }
    let (year, month, day) = if a.len() == 4 { (a, b, c) } else { (c, b, a) };
    if year.len() != 4 || day.len() > 2 {
        return None;
    }
    Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?).ok()
}

/// A day between 1991 and `latest`; otherwise why not (Russian, English).
pub fn day_within(cell: &str, latest: Day) -> Result<Day, (String, String)> {
    let shown: String = cell.chars().take(30).collect();
    let Some(date) = date(cell) else {
        return Err((format!("«{shown}» — не дата"), format!("«{shown}» is no date")));
    };
    if date.year() < FIRST_YEAR {
        return Err((
            format!("дата «{shown}» раньше {FIRST_YEAR} года"),
            format!("the date «{shown}» is before {FIRST_YEAR}"),
        ));
    }
    if date > latest.date() {
        return Err((format!("дата «{shown}» позже {latest}"), format!("the date «{shown}» is after {latest}")));
    }
    Day::new(date.year(), date.month(), date.day())
        .map_err(|_| (format!("«{shown}» — не дата"), format!("«{shown}» is no date")))
}

/// The day that a file's name says its content is of: `…-20260901.csv`, `… на 01-09-2026_1.csv`, `2026-09-01`.
pub fn day_of_name(path: &str) -> Option<Day> {
    let name = path.rsplit(['/', '\\']).next().unwrap_or(path);
    let found = name.split(|c: char| !c.is_ascii_digit() && !"-.".contains(c)).find_map(|word| {
        let word = word.trim_matches(['-', '.']);
        let compact = (word.len() == 8 && word.bytes().all(|b| b.is_ascii_digit()))
            .then(|| format!("{}-{}-{}", &word[..4], &word[4..6], &word[6..]));
        // «export-reestrmkd-61-20260901»: the last number is the day.
        let last = word.rsplit_once('-').map_or(word, |(_, last)| last);
        let last = (last.len() == 8).then(|| format!("{}-{}-{}", &last[..4], &last[4..6], &last[6..]));
        [compact, last, Some(word.to_owned())].into_iter().flatten().find_map(|text| date(&text))
    })?;
    let day = Day::new(found.year(), found.month(), found.day()).ok()?;
    (FIRST_YEAR..2100).contains(&found.year()).then_some(day)
}

/// A whole number, with spaces between thousands or a zero fraction.
pub fn whole(cell: &str) -> Option<u64> {
    let compact: String = cell.chars().filter(|c| !c.is_whitespace()).collect();
    let digits = compact
        .split_once(['.', ','])
        .map_or(compact.as_str(), |(whole, rest)| if rest.bytes().all(|b| b == b'0') { whole } else { "" });
    (!digits.is_empty() && digits.len() <= 15 && digits.bytes().all(|b| b.is_ascii_digit()))
        .then(|| digits.parse().ok())?
}

/// What a sole proprietor is called here: his own name is never stored (domain.md, "Privacy rule").
pub const SOLE_PROPRIETOR: &str = "Индивидуальный предприниматель";

/// An organisation's name for the register; of a sole proprietor, or of what looks like a person, no name.
pub fn organisation_name(cell: &str, proprietor: bool) -> Option<Text> {
    let name = Text::normalise(cell).ok()?;
    let plain = name.as_str().to_lowercase();
    let words: Vec<&str> = plain.split(|c: char| !c.is_alphabetic()).filter(|w| !w.is_empty()).collect();
    let person = words.iter().any(|w| matches!(*w, "ип" | "чп" | "пбоюл" | "предприниматель"))
        || plain.contains("индивидуальный предприн")
        || words.iter().any(|w| {
            w.chars().count() > 5 && ["ович", "евич", "овна", "евна", "ична"].iter().any(|end| w.ends_with(end))
        }) && words.len() <= 4;
    if proprietor || person {
        Text::new(SOLE_PROPRIETOR).ok()
    } else {
        Text::normalise(&cyrillic_forms(name.as_str())).ok()
    }
}

/// «OOO» in Latin letters is «ООО»: the short words for legal forms in the letters they are meant in.
fn cyrillic_forms(name: &str) -> String {
    const FORMS: [&str; 14] =
        ["ООО", "ОАО", "ЗАО", "ПАО", "АО", "НАО", "ТСЖ", "ТСН", "ЖСК", "УК", "МУП", "ГУП", "МКУ", "МБУ"];
    let letter = |c: char| "ABCEHKMOPTXY".find(c).and_then(|i| "АВСЕНКМОРТХУ".chars().nth(i)).unwrap_or(c);
    let words = name.split_inclusive(|c: char| !c.is_alphanumeric()).map(|word| {
        let turned: String = word.chars().map(letter).collect();
        if FORMS.contains(&turned.trim_end_matches(|c: char| !c.is_alphanumeric())) { turned } else { word.to_owned() }
    });
    words.collect()
}

/// The form of management a word names; none when it names none.
pub(super) fn form(cell: &str) -> Option<ManagementForm> {
    let folded = cell.trim().to_lowercase().replace('ё', "е");
    let has = |words: &[&str]| words.iter().any(|w| folded.contains(w));
    Some(match folded.as_str() {
        "ук" | "уо" => ManagementForm::Company,
        "тсж" | "тсн" => ManagementForm::OwnersAssociation,
        "жск" | "жк" => ManagementForm::Cooperative,
        "direct" | "ну" => ManagementForm::Direct,
        "нет" | "не выбран" | "не управляется" => ManagementForm::None,
        _ if has(&["временн"]) => ManagementForm::Temporary,
        _ if has(&["застройщик"]) => ManagementForm::Developer,
        _ if has(&["непосредств"]) => ManagementForm::Direct,
        _ if has(&["товариществ", "тсж", "тсн"]) => ManagementForm::OwnersAssociation,
        _ if has(&["кооператив", "жск"]) => ManagementForm::Cooperative,
        _ if has(&["управляющ"]) => ManagementForm::Company,
        _ => return None,
    })
}

/// An association or cooperative says in its name what it is; of others the source does not tell.
pub(super) fn form_by_name(name: &str) -> ManagementForm {
    let folded = name.to_lowercase();
    let first = folded.split(|c: char| !c.is_alphabetic()).find(|w| !w.is_empty()).unwrap_or_default();
    match first {
        "тсж" | "тсн" | "товарищество" => ManagementForm::OwnersAssociation,
        "жск" | "жк" | "жилищный" if first != "жилищный" || folded.contains("кооператив") => {
            ManagementForm::Cooperative
        }
        _ => ManagementForm::Unknown,
    }
}

/// Takes the form's own «д. » away that some rows have in front of the whole address.
pub(super) fn without_label(address: &str) -> &str {
    let Some(rest) = address.strip_prefix("д. ") else { return address };
    let first = rest.split([' ', '.', ',']).next().unwrap_or_default().to_lowercase();
    let whole = [
        "г",
        "город",
        "обл",
        "респ",
        "край",
        "р-н",
        "п",
        "пос",
        "поселок",
        "посёлок",
        "пгт",
        "ул",
        "улица",
        "пр-кт",
        "пр",
    ];
    if whole.contains(&first.as_str()) { rest } else { address }
}

/// «улица, дом, город, область» in the order everybody else writes.
pub(super) fn turned(address: &str) -> String {
    match address.split(", ").collect::<Vec<_>>().as_slice() {
        [street, house, town, region] => format!("{region}, г. {town}, {street}, д. {house}"),
        _ => address.to_owned(),
    }
}

/// Which columns hold what, by the names a table gives them.
pub struct Columns<R> {
    found: Vec<(R, usize)>,
    names: Vec<String>,
}

/// Names of a column by meaning, in lower case with single spaces; one that ends in `*` is a beginning.
pub type Synonyms<R> = [(R, &'static [&'static str])];

/// A column name in lower case, single spaces, without signs.
pub(super) fn fold_name(name: &str) -> String {
    let folded: String = name
        .to_lowercase()
        .chars()
        .map(|c| {
            if c == 'ё' {
                'е'
            } else if c.is_alphanumeric() || c == '_' {
                c
            } else {
                ' '
            }
        })
        .collect();
    folded.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn meaning<R: Copy>(name: &str, synonyms: &Synonyms<R>) -> Option<R> {
    let of = |name: &str| {
        let folded = fold_name(name);
        let fits = |s: &&str| match s.strip_suffix('*') {
            Some(start) => folded.starts_with(start),
            None => folded == **s,
        };
        synonyms.iter().find(|(_, words)| words.iter().any(fits)).map(|(role, _)| *role)
    };
    // Of a header of two rows the lower name is the nearer one.
    of(name).or_else(|| name.rsplit(HEADER_JOIN).find_map(of))
}

impl<R: Copy + PartialEq> Columns<R> {
    /// Reads a header.
    pub fn of(names: &[String], synonyms: &Synonyms<R>) -> Columns<R> {
        let found = names.iter().enumerate().filter_map(|(i, n)| Some((meaning(n, synonyms)?, i))).collect();
        Columns { found, names: names.to_vec() }
    }

    /// How many different meanings a header has: what finds the header among the first rows.
    pub fn count(names: &[String], synonyms: &Synonyms<R>) -> usize {
        let columns = Columns::of(names, synonyms);
        columns
            .found
            .iter()
            .enumerate()
            .filter(|(i, (role, _))| columns.found[..*i].iter().all(|(r, _)| r != role))
            .count()
    }

    /// Whether any column holds it.
    pub fn has(&self, role: R) -> bool {
        self.found.iter().any(|(r, _)| *r == role)
    }

    /// The cell of the first such column, known or not; empty when there is none.
    pub fn raw<'r>(&self, row: &'r Row, role: R) -> &'r str {
        let mut cells = self.cells(row, role);
        cells.next().unwrap_or_default()
    }

    /// The first cell of such columns that says something.
    pub fn known<'r>(&self, row: &'r Row, role: R) -> Option<&'r str> {
        self.cells(row, role).find(|c| !is_unknown(c))
    }

    fn cells<'r>(&self, row: &'r Row, role: R) -> impl Iterator<Item = &'r str> {
        self.found.iter().filter(move |(r, _)| *r == role).filter_map(|(_, i)| row.cells.get(*i)).map(|c| c.trim())
    }

    /// The name of the column as the table writes it, for messages.
    pub fn name(&self, role: R) -> &str {
        self.found.iter().find(|(r, _)| *r == role).map_or("", |(_, i)| &self.names[*i])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_in_every_spelling() {
        for s in [
            "",
            " ",
            "Не заполнено",
            "Незаполнено",
            "нет данных",
            "-",
            "—",
            "н.д.",
            "Не присвоен",
            "Не определён",
            "Нет",
            "не  имеется",
        ] {
            assert!(is_unknown(s), "{s}");
        }
        for s in ["0", "Да", "нет-нет", "5"] {
            assert!(!is_unknown(s), "{s}");
        }
    }

    #[test]
    fn dates_as_written() {
        let shown = |s: &str| date(s).map(|d| d.to_string());
        for s in ["05.04.2016", "2016-04-05", "5/4/2016", "05.04.2016 в 06:24", "05.04.2016г.", "2016-04-05T00:00:00"]
        {
            assert_eq!(shown(s).as_deref(), Some("2016-04-05"), "{s}");
        }
        for s in ["", "121-053", "32.01.2016", "05.04.16", "2016", "05.2016", "один.два.три", "1.1.1.1"] {
            assert_eq!(shown(s), None, "{s}");
        }
        let today = Day::parse("2017-06-14").unwrap();
        assert!(day_within("01.01.0001", today).unwrap_err().0.contains("раньше 1991"));
        assert!(day_within("15.06.2017", today).unwrap_err().0.contains("позже 2017-06-14"));
        assert_eq!(day_within("14.06.2017", today).unwrap(), today);
    }

    #[test]
    fn days_of_names() {
        for name in [
            "export-reestrmkd-61-20260901.csv",
            "дом/Сведения по ОЖФ Тюменская область на 01-09-2026_1.csv",
            "AS_HOUSES_20260901_8843bf87-c334-4411-ae45-81b575e2fa6f.XML",
            "Реестр поставщиков информации от 2026-09-01.xlsx",
            "77_moscow_20260901.csv.gz",
        ] {
            assert_eq!(day_of_name(name).map(|d| d.to_string()).as_deref(), Some("2026-09-01"), "{name}");
        }
        for name in ["дома.csv", "20261301.csv", "12345678.csv", "export-61.csv", ""] {
            assert_eq!(day_of_name(name), None, "{name}");
        }
    }

    #[test]
    fn whole_numbers() {
        assert_eq!(whole("1 063"), Some(1063));
        assert_eq!(whole("5.0"), Some(5));
        assert_eq!(whole("7,00"), Some(7));
        for s in ["", "-1", "5.5", "6 557 ед.", "1e3", "9999999999999999"] {
            assert_eq!(whole(s), None, "{s}");
        }
    }

    #[test]
    fn people_have_no_name_here() {
        let name = |s: &str| organisation_name(s, false).unwrap().to_string();
        for s in [
            "ИП Иванов И.И.",
            "ИП [ФИО удалено]",
            "Индивидуальный предприниматель Иванова А. А.",
            "«ИП Петров»",
            "Иванов Пётр Сергеевич",
        ] {
            assert_eq!(name(s), SOLE_PROPRIETOR, "{s}");
        }
        assert_eq!(name("ООО  \"УК Дом\""), "ООО \"УК Дом\"");
        assert_eq!(name("ТСЖ \"Липецк\""), "ТСЖ \"Липецк\"");
        // Latin O, A, T, C.
        assert_eq!(name("OOO УК \"Стадионный\""), "ООО УК \"Стадионный\"");
        assert_eq!(name("TCЖ-7, AО «OOH»"), "ТСЖ-7, АО «OOH»", "other Latin words stay");
        assert_eq!(organisation_name("Сидоров", true).unwrap().as_str(), SOLE_PROPRIETOR);
    }
}
