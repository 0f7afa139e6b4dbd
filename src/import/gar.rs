//! Apartment buildings of the state address register (ГАР): houses, address objects, both hierarchies, parameters.
//!
//! The lists of a region are gigabytes and are read one element at a time, some of them twice, in an order that lets
//! nothing be kept but what is needed: first which houses are apartment buildings, then these houses, then where they
//! stand, then their numbers. What is kept is bounded by the apartment buildings and streets of a region, by eight bytes
//! for each flat while flats are counted, and by one small entry for each house that a parameter calls an apartment building or not.
//!
//! **What counts as an apartment building** (docs/decisions/0017): a house that is actual on the day of the export, of a kind
//! that people live in (дом, здание, строение, корпус, владение, домовладение, литера), and that either has the parameter
//! «Многоквартирный дом» (19) or, where the parameter is missing, at least two actual flats (квартира). The second is only
//! likely, so its kind is recorded as unknown. Others are counted by reason and not listed: they are nine of ten.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::gar_files::{Files, List};
use super::houses::{Options, Snapshot};
use super::input::too_large;
use super::report::{self, Code, Outcome, Problem, Read};
use super::rows::HouseRow;
use crate::error::Result;
use crate::registry::address::AddressKey;
use crate::registry::body::BuildingKind;
use crate::registry::ids::{BuildingId, Oktmo};
use crate::registry::text::Text;

/// Most apartment buildings of a region.
const MAX_KEPT: usize = 1_000_000;
/// Most address objects (streets, villages, …) of a region.
const MAX_OBJECTS: usize = 5_000_000;
/// Most houses that the parameter 19 speaks of, and most flats.
const MAX_MARKED: usize = 50_000_000;
/// Most places above a house.
const MAX_DEPTH: usize = 16;

/// Types of parameters.
const POST_CODE: &str = "5";
const OKTMO: &str = "7";
const CADASTRAL: &str = "8";
const APARTMENT_BUILDING: &str = "19";
/// The type of apartments that are flats.
const FLAT: &str = "2";

/// Kinds of houses that may be apartment buildings, and what they are called where there is no dictionary.
const KINDS: [(&str, &str); 7] =
    [("1", "влд."), ("2", "д."), ("3", "двлд."), ("5", "зд."), ("7", "стр."), ("9", "литера"), ("10", "к.")];
/// What further numbers of a house are called where there is no dictionary.
const FURTHER: [(&str, &str); 4] = [("1", "к."), ("2", "стр."), ("3", "соор."), ("4", "литера")];

/// Columns of the report.
const COLUMNS: [&str; 7] = ["OBJECTID", "OBJECTGUID", "Адрес", "Квартир", "ОКТМО", "Кадастровый номер", "Индекс"];

/// A house that is kept, as far as it is known.
struct House {
    row: u64,
    object: u64,
    guid: Box<str>,
    /// «д. 5», «к. 2».
    number: Box<str>,
    kind: BuildingKind,
    flats: u32,
    oktmo: Param,
    cadastral: Param,
    post_code: Param,
}

/// The value of a parameter, and since when it has it.
#[derive(Default)]
struct Param {
    since: Box<str>,
    value: Box<str>,
}

/// A street, village, district, region.
struct Object {
    level: u8,
    name: Box<str>,
}

/// What a hierarchy says of the houses and objects that are kept.
#[derive(Default)]
struct Hierarchy {
    parents: HashMap<u64, u64>,
    oktmo: HashMap<u64, Box<str>>,
}

struct Reader<'f, 'a> {
    files: &'f Files<'a>,
    options: &'f Options,
    day: String,
    counted: BTreeMap<&'static str, u64>,
    refused: Vec<Read<HouseRow>>,
}

/// Reads the apartment buildings of a region.
///
/// # Errors
/// `import.xml`, `import.gar`, `import.zip`, `import.too-large`.
pub fn read(files: &Files<'_>, options: &Options) -> Result<Snapshot> {
    let day = options.taken.to_string();
    let mut reader = Reader { files, options, day, counted: BTreeMap::new(), refused: Vec::new() };
    let marks = reader.marks()?;
    let flats = reader.flats()?;
    if marks.is_empty() && flats.is_empty() && !files.has(List::Apartments) {
        return Err(files.lacks(
            "it does not say which houses are apartment buildings: neither parameter 19 nor AS_APARTMENTS_….XML is there",
        ));
    }
    let mut houses = reader.houses(&marks, &flats)?;
    drop((marks, flats));
    let objects = reader.objects()?;
    let wanted: HashSet<u64> = houses.iter().map(|h| h.object).collect();
    let adm = reader.hierarchy(List::AdmHierarchy, &wanted, &objects)?;
    let mun = reader.hierarchy(List::MunHierarchy, &wanted, &objects)?;
    drop(wanted);
    reader.params(&mut houses)?;
    let mut reads = std::mem::take(&mut reader.refused);
    reads.extend(houses.into_iter().map(|house| reader.settle(house, &objects, &adm, &mun)));
    reads.sort_by_key(|r| r.row);
    let columns = COLUMNS.map(str::to_owned).to_vec();
    Ok(Snapshot { columns, format: super::format::Format::Gar, reads, counted: reader.counted })
}

impl Reader<'_, '_> {
    fn count(&mut self, code: &Code) {
        *self.counted.entry(code.code).or_default() += 1;
    }

    /// Whether something that holds from `start` until before `end` holds on the day; dates are written year first.
    fn holds(&self, start: &str, end: &str) -> bool {
        (start.is_empty() || date(start) <= self.day.as_str()) && (end.is_empty() || date(end) > self.day.as_str())
    }

    /// Which houses the parameter «Многоквартирный дом» is said of, and what it says.
    fn marks(&self) -> Result<HashMap<u64, bool>> {
        let mut marks = HashMap::new();
        let names = ["OBJECTID", "TYPEID", "VALUE", "STARTDATE", "ENDDATE"];
        self.files.each(List::HouseParams, names, |_, [object, kind, value, start, end]| {
            if kind == APARTMENT_BUILDING && self.holds(start, end) {
                let yes = matches!(value.trim().to_lowercase().as_str(), "1" | "true" | "да");
                insert(&mut marks, object, MAX_MARKED, yes)?;
            }
            Ok(())
        })?;
        Ok(marks)
    }

    /// How many actual flats each house has.
    fn flats(&self) -> Result<HashMap<u64, u32>> {
        let mut flats: Vec<u64> = Vec::new();
        let names = ["OBJECTID", "APARTTYPE", "ISACTUAL", "ISACTIVE", "STARTDATE", "ENDDATE"];
        self.files.each(List::Apartments, names, |_, [object, kind, actual, active, start, end]| {
            if kind == FLAT && yes(actual) && yes(active) && self.holds(start, end) {
                flats.extend(number(object));
            }
            if flats.len() > MAX_MARKED {
                return Err(too_large(format!("more than {MAX_MARKED} flats")));
            }
            Ok(())
        })?;
        flats.sort_unstable();
        flats.dedup();
        let mut counts: HashMap<u64, u32> = HashMap::new();
        if flats.is_empty() {
            return Ok(counts);
        }
        let names = ["OBJECTID", "PARENTOBJID", "ISACTIVE", "STARTDATE", "ENDDATE"];
        self.files.each(List::AdmHierarchy, names, |_, [object, parent, active, start, end]| {
            let (Some(object), Some(parent)) = (number(object), number(parent)) else { return Ok(()) };
            if yes(active) && self.holds(start, end) && flats.binary_search(&object).is_ok() {
                *counts.entry(parent).or_default() += 1;
            }
            Ok(())
        })?;
        Ok(counts)
    }

    /// The houses that count.
    fn houses(&mut self, marks: &HashMap<u64, bool>, flats: &HashMap<u64, u32>) -> Result<Vec<House>> {
        let kinds = self.dictionary(List::HouseTypes, &KINDS)?;
        let further = self.dictionary(List::AddHouseTypes, &FURTHER)?;
        let mut houses: Vec<House> = Vec::new();
        let mut seen: HashSet<u64> = HashSet::new();
        let names = [
            "OBJECTID",
            "OBJECTGUID",
            "HOUSENUM",
            "ADDNUM1",
            "ADDNUM2",
            "HOUSETYPE",
            "ADDTYPE1",
            "ADDTYPE2",
            "ISACTUAL",
            "ISACTIVE",
            "STARTDATE",
            "ENDDATE",
        ];
        let files = self.files;
        files.each(
            List::Houses,
            names,
            |row, [object, guid, num, add1, add2, kind, type1, type2, actual, active, start, end]| {
                if !yes(actual) || !yes(active) || !self.holds(start, end) {
                    self.count(&report::GAR_OUTDATED);
                    return Ok(());
                }
                let Some(object) = number(object) else {
                    self.refused.push(refused(
                        row,
                        [object, guid, num],
                        &report::HOUSE_ID,
                        "OBJECTID",
                        "не число",
                        "no number",
                    ));
                    return Ok(());
                };
                let marked = marks.get(&object).copied();
                let count = flats.get(&object).copied().unwrap_or(0);
                let lived_in = kind.is_empty() || KINDS.iter().any(|(k, _)| *k == kind);
                let kept = match marked {
                    Some(true) if lived_in => Some(BuildingKind::Apartment),
                    None if lived_in && count > 1 => Some(BuildingKind::Untyped),
                    Some(true) => {
                        let (ru, en) = (
                            format!("вид здания {kind} не бывает многоквартирным домом"),
                            format!("kind {kind} is no apartment building"),
                        );
                        self.refused.push(refused(
                            row,
                            [&object.to_string(), guid, num],
                            &report::HOUSE_KIND,
                            "HOUSETYPE",
                            &ru,
                            &en,
                        ));
                        return Ok(());
                    }
                    Some(false) => None,
                    None if !lived_in => None,
                    None => {
                        self.count(&report::GAR_UNPROVEN);
                        return Ok(());
                    }
                };
                let Some(building) = kept else {
                    self.count(&report::HOUSE_KIND);
                    return Ok(());
                };
                if !seen.insert(object) {
                    self.count(&report::DUPLICATE);
                    return Ok(());
                }
                if houses.len() >= MAX_KEPT {
                    return Err(too_large(format!("more than {MAX_KEPT} apartment buildings")));
                }
                let label = |dictionary: &HashMap<Box<str>, Box<str>>, kind: &str, default: &str| {
                    dictionary.get(kind).map_or(default, |l| l).to_owned()
                };
                let mut number = format!("{} {num}", label(&kinds, kind, "д."));
                for (value, kind) in [(add1, type1), (add2, type2)] {
                    if !value.is_empty() {
                        number = format!("{number}, {} {value}", label(&further, kind, "к."));
                    }
                }
                houses.push(House {
                    row,
                    object,
                    guid: guid.to_lowercase().into(),
                    number: number.into(),
                    kind: building,
                    flats: count,
                    oktmo: Param::default(),
                    cadastral: Param::default(),
                    post_code: Param::default(),
                });
                Ok(())
            },
        )?;
        Ok(houses)
    }

    /// Short names by number, of the dictionary where there is one.
    fn dictionary(&self, list: List, known: &[(&str, &str)]) -> Result<HashMap<Box<str>, Box<str>>> {
        let mut names: HashMap<Box<str>, Box<str>> = known.iter().map(|&(k, n)| (k.into(), n.into())).collect();
        self.files.each(list, ["ID", "SHORTNAME"], |_, [id, name]| {
            if !name.is_empty() && name.len() < 40 && names.len() < 1000 {
                names.insert(id.into(), name.into());
            }
            Ok(())
        })?;
        Ok(names)
    }

    /// Streets, villages, districts.
    fn objects(&self) -> Result<HashMap<u64, Object>> {
        let mut objects = HashMap::new();
        let names = ["OBJECTID", "NAME", "TYPENAME", "LEVEL", "ISACTUAL", "ISACTIVE", "STARTDATE", "ENDDATE"];
        self.files.each(List::Objects, names, |_, [object, name, kind, level, actual, active, start, end]| {
            if yes(actual) && yes(active) && self.holds(start, end) {
                let dot = if kind.ends_with('.') || kind.contains('-') || kind.contains('/') { "" } else { "." };
                let named = if kind.is_empty() { name.to_owned() } else { format!("{kind}{dot} {name}") };
                let level = level.parse().unwrap_or(u8::MAX);
                insert(&mut objects, object, MAX_OBJECTS, Object { level, name: named.into() })?;
            }
            Ok(())
        })?;
        Ok(objects)
    }

    /// Who stands below whom, for the houses and objects that are kept.
    fn hierarchy(&self, list: List, houses: &HashSet<u64>, objects: &HashMap<u64, Object>) -> Result<Hierarchy> {
        let mut found = Hierarchy::default();
        let names = ["OBJECTID", "PARENTOBJID", "OKTMO", "ISACTIVE", "STARTDATE", "ENDDATE"];
        self.files.each(list, names, |_, [object, parent, oktmo, active, start, end]| {
            let Some(object) = number(object) else { return Ok(()) };
            let house = houses.contains(&object);
            if !(house || objects.contains_key(&object)) || !yes(active) || !self.holds(start, end) {
                return Ok(());
            }
            if let Some(parent) = number(parent) {
                found.parents.insert(object, parent);
            }
            if house && !oktmo.is_empty() && oktmo.len() <= 11 {
                found.oktmo.insert(object, oktmo.into());
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// ОКТМО, cadastral number and post code of the houses that are kept.
    fn params(&self, houses: &mut [House]) -> Result<()> {
        let at: HashMap<u64, usize> = houses.iter().enumerate().map(|(i, h)| (h.object, i)).collect();
        let names = ["OBJECTID", "TYPEID", "VALUE", "STARTDATE", "ENDDATE"];
        self.files.each(List::HouseParams, names, |_, [object, kind, value, start, end]| {
            if !matches!(kind, POST_CODE | OKTMO | CADASTRAL) || value.len() > 60 || !self.holds(start, end) {
                return Ok(());
            }
            let Some(house) = number(object).and_then(|o| at.get(&o)).and_then(|&i| houses.get_mut(i)) else {
                return Ok(());
            };
            let param = match kind {
                POST_CODE => &mut house.post_code,
                OKTMO => &mut house.oktmo,
                _ => &mut house.cadastral,
            };
            // Of several that hold the latest counts.
            if param.value.is_empty() || date(start) > &*param.since {
                *param = Param { since: date(start).into(), value: value.trim().into() };
            }
            Ok(())
        })?;
        Ok(())
    }

    /// A house with its address, or why it has none.
    fn settle(
        &mut self,
        house: House,
        objects: &HashMap<u64, Object>,
        adm: &Hierarchy,
        mun: &Hierarchy,
    ) -> Read<HouseRow> {
        let mut problems = Vec::new();
        let places = above(house.object, objects, &adm.parents).or_else(|| above(house.object, objects, &mun.parents));
        let address = places.map(|mut places| {
            if !house.post_code.value.is_empty() {
                places.insert(0, house.post_code.value.to_string());
            }
            places.push(house.number.to_string());
            places.join(", ")
        });
        let oktmo_text = if house.oktmo.value.is_empty() {
            mun.oktmo.get(&house.object).map_or("", |o| o)
        } else {
            &house.oktmo.value
        };
        let flats = if house.flats == 0 { String::new() } else { house.flats.to_string() };
        let cells = [
            house.object.to_string(),
            house.guid.to_string(),
            address.clone().unwrap_or_else(|| house.number.to_string()),
            flats,
            oktmo_text.to_owned(),
            house.cadastral.value.to_string(),
            house.post_code.value.to_string(),
        ];
        let value = self.value(&house, address, oktmo_text, &mut problems);
        let outcome = match (&value, problems.is_empty()) {
            (None, _) => Outcome::Refused,
            (Some(_), true) => Outcome::Imported,
            (Some(_), false) => Outcome::Warned,
        };
        Read { row: house.row, cells: cells.to_vec(), value, outcome, problems }
    }

    fn value(
        &self,
        house: &House,
        address: Option<String>,
        oktmo: &str,
        problems: &mut Vec<Problem>,
    ) -> Option<HouseRow> {
        let mut wrong = |code, field: &str, ru: String, en: String| problems.push(Problem::new(code, field, ru, en));
        let Ok(building) = BuildingId::new("gar", &house.guid) else {
            let shown: String = house.guid.chars().take(50).collect();
            wrong(
                &report::HOUSE_ID,
                "OBJECTGUID",
                format!("«{shown}» — не код дома"),
                format!("«{shown}» is no id of a house"),
            );
            return None;
        };
        let address = match address.as_deref().map(Text::normalise) {
            Some(Ok(address)) => address,
            Some(Err(_)) => {
                wrong(
                    &report::HOUSE_ADDRESS,
                    "Адрес",
                    "адрес длиннее 500 знаков".into(),
                    "the address is longer than 500 characters".into(),
                );
                return None;
            }
            None => {
                wrong(
                    &report::HOUSE_ADDRESS,
                    "Адрес",
                    "дом не стоит ни на одной улице".into(),
                    "the house stands on no street".into(),
                );
                return None;
            }
        };
        let key = AddressKey::parse(address.as_str());
        if let (Some(ours), Some(theirs)) = (self.options.region, key.region())
            && ours != theirs
        {
            wrong(
                &report::REGION,
                "Адрес",
                format!("дом в регионе {theirs}, а не {ours}"),
                format!("the house is in region {theirs}, not {ours}"),
            );
            return None;
        }
        if !key.has_house() {
            wrong(
                &report::HOUSE_NUMBER,
                "Адрес",
                format!("в адресе «{address}» нет номера дома"),
                format!("«{address}» has no house number"),
            );
            return None;
        }
        let mut optional = |value: &str, code: &'static Code, field: &str, fits: bool| {
            if !value.is_empty() && !fits {
                let (ru, en) =
                    (format!("«{value}» не подходит; не учтено"), format!("«{value}» does not fit; left out"));
                wrong(code, field, ru, en);
            }
        };
        let kad = BuildingId::new("kad", &house.cadastral.value).ok();
        optional(&house.cadastral.value, &report::HOUSE_ID, "Кадастровый номер", kad.is_some());
        let code = oktmo.parse::<Oktmo>().ok();
        optional(oktmo, &report::OKTMO, "ОКТМО", code.is_some());
        Some(HouseRow {
            row: house.row,
            building,
            also: kad.into_iter().collect(),
            address,
            oktmo: code,
            kind: house.kind,
            flats: u16::try_from(house.flats).ok().filter(|&n| n > 0),
            year: None,
            emergency: None,
            tenure: None,
            updated: None,
        })
    }
}

/// The places a house stands in, the region first; none when it does not reach one, or stands beside everything.
fn above(house: u64, objects: &HashMap<u64, Object>, parents: &HashMap<u64, u64>) -> Option<Vec<String>> {
    let mut places: Vec<&Object> = Vec::new();
    let mut at = *parents.get(&house)?;
    while let Some(object) = objects.get(&at) {
        places.push(object);
        if places.len() > MAX_DEPTH {
            return None;
        }
        match parents.get(&at) {
            Some(&parent) if parent != 0 => at = parent,
            _ => break,
        }
    }
    places.reverse();
    // The region alone is no address.
    places.iter().any(|p| p.level > 1).then(|| places.iter().map(|p| p.name.to_string()).collect())
}

fn refused(
    row: u64,
    [object, guid, num]: [&str; 3],
    code: &'static Code,
    field: &str,
    ru: &str,
    en: &str,
) -> Read<HouseRow> {
    let cells = [object, guid, num].map(|c| c.chars().take(100).collect()).to_vec();
    let problems = vec![Problem::new(code, field, ru, en)];
    Read { row, cells, value: None, outcome: Outcome::Refused, problems }
}

fn insert<T>(map: &mut HashMap<u64, T>, object: &str, most: usize, value: T) -> Result<()> {
    if map.len() >= most {
        return Err(too_large(format!("more than {most} objects of one kind")));
    }
    if let Some(object) = number(object) {
        map.insert(object, value);
    }
    Ok(())
}

fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

fn yes(text: &str) -> bool {
    matches!(text, "1" | "true")
}

/// The day of a date that may have a time behind it.
fn date(text: &str) -> &str {
    text.get(..10).unwrap_or(text)
}
