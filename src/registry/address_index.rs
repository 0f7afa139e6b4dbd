//! Finding a building by an address as somebody wrote it.

use std::collections::HashMap;

use super::address::{AddressKey, Place};
use super::ids::{BuildingId, RegionCode};
use super::regions;

/// Most candidates of an ambiguous answer.
pub const MAX_CANDIDATES: usize = 20;
/// Most suggestions when nothing fits.
pub const MAX_NEAREST: usize = 5;

/// A building that may be meant, with its address as registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The building.
    pub id: BuildingId,
    /// Its registered address.
    pub address: Box<str>,
}

/// Which building an address means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Match {
    /// Exactly one fits.
    One(BuildingId),
    /// Several fit; the first [`MAX_CANDIDATES`] of them.
    Many(Vec<Candidate>),
    /// None fits; at most [`MAX_NEAREST`] that come near, the nearest first.
    None(Vec<Candidate>),
}

struct Entry {
    id: BuildingId,
    address: Box<str>,
    key: AddressKey,
}

impl Entry {
    fn fitting(&self) -> Fitting<'_> {
        Fitting { id: &self.id, address: &self.address, key: &self.key }
    }
}

/// A building of the index.
#[derive(Debug, Clone, Copy)]
pub struct Fitting<'i> {
    /// The building.
    pub id: &'i BuildingId,
    /// Its address as it came.
    pub address: &'i str,
    /// Its address taken apart.
    pub key: &'i AddressKey,
}

/// The addresses of many buildings, taken apart once.
pub struct AddressIndex {
    entries: Vec<Entry>,
    /// Entries by street name; a street's own houses are few, so the rest is compared one by one.
    by_street: HashMap<Box<str>, Vec<u32>>,
}

impl AddressIndex {
    /// Takes the addresses in. The same building may come with several addresses.
    pub fn build<'a>(rows: impl IntoIterator<Item = (BuildingId, &'a str)>) -> AddressIndex {
        let mut index = AddressIndex { entries: Vec::new(), by_street: HashMap::new() };
        for (id, address) in rows {
            let key = AddressKey::parse(address);
            let Ok(number) = u32::try_from(index.entries.len()) else { break };
            index.by_street.entry(key.street.name.as_str().into()).or_default().push(number);
            index.entries.push(Entry { id, address: address.into(), key });
        }
        index
    }

    /// How many addresses it holds.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The building `address` means. A part that one side does not tell contradicts nothing; but where some buildings
    /// fit a told part exactly, those that only do not contradict it are left out.
    pub fn find(&self, address: &str) -> Match {
        let query = AddressKey::parse(address);
        let street = self.on_street(&query);
        let mut found: Vec<&Entry> =
            street.iter().copied().filter(|e| fits(&query, &e.key) && same_house(&query, &e.key)).collect();
        let exact: [fn(&AddressKey, &AddressKey) -> bool; 6] = [
            |q, e| q.house == e.house,
            |q, e| q.street.initials == e.street.initials,
            |q, e| q.street.kind.is_empty() || q.street.kind == e.street.kind,
            |q, e| {
                q.localities.is_empty() || q.localities.iter().map(|p| &p.name).eq(e.localities.iter().map(|p| &p.name))
            },
            |q, e| q.localities.iter().all(|p| e.localities.iter().any(|l| p.name == l.name && p.kind == l.kind)),
            |q, e| q.district.is_empty() || q.district == e.district,
        ];
        for same in exact {
            if found.iter().any(|e| same(&query, &e.key)) {
                found.retain(|e| same(&query, &e.key));
            }
        }
        found.sort_by(|a, b| a.id.cmp(&b.id));
        found.dedup_by(|a, b| a.id == b.id);
        match found.as_slice() {
            [] => Match::None(self.nearest(&query, street)),
            [one] => Match::One(one.id.clone()),
            many => Match::Many(candidates(many, MAX_CANDIDATES)),
        }
    }

    /// Every building of which `key` contradicts nothing, without preferring the one that fits best.
    pub fn fitting<'i>(&'i self, key: &AddressKey) -> Vec<Fitting<'i>> {
        let mut found = self.on_street(key);
        found.retain(|e| fits(key, &e.key) && same_house(key, &e.key));
        found.into_iter().map(Entry::fitting).collect()
    }

    /// Buildings that `key` may mean though it does not fit them: the same number of that street with another letter or
    /// корпус, or the same house in a street whose name differs by a letter or two.
    pub fn beside<'i>(&'i self, key: &AddressKey) -> Vec<Fitting<'i>> {
        let number = leading_number(&key.house.number);
        if number == 0 || key.street.name.is_empty() {
            return Vec::new();
        }
        let mut found = self.on_street(key);
        found
            .retain(|e| fits(key, &e.key) && leading_number(&e.key.house.number) == number && !same_house(key, &e.key));
        let similar = self.by_street.iter().filter(|(name, _)| distance(&key.street.name, name).is_some_and(|d| d > 0));
        let entries = similar.flat_map(|(_, numbers)| numbers).filter_map(|&n| self.entries.get(n as usize));
        found.extend(entries.filter(|e| fits(key, &e.key) && same_house(key, &e.key)));
        found.sort_by(|a, b| a.id.cmp(&b.id));
        found.into_iter().map(Entry::fitting).collect()
    }

    fn on_street(&self, query: &AddressKey) -> Vec<&Entry> {
        let numbers = self.by_street.get(query.street.name.as_str()).map(Vec::as_slice).unwrap_or_default();
        numbers.iter().filter_map(|&n| self.entries.get(n as usize)).collect()
    }

    /// The nearest numbers of the same street, else the same number in streets of a similar name.
    fn nearest<'a>(&'a self, query: &AddressKey, mut street: Vec<&'a Entry>) -> Vec<Candidate> {
        street.retain(|e| fits(query, &e.key));
        let number = |k: &AddressKey| leading_number(&k.house.number);
        if street.is_empty() && !query.street.name.is_empty() {
            let mut names: Vec<(usize, &str)> = (self.by_street.keys())
                .filter_map(|name| Some((distance(&query.street.name, name)?, name.as_ref())))
                .collect();
            names.sort_unstable();
            let similar = names.iter().take(MAX_NEAREST).filter_map(|(_, name)| self.by_street.get(*name)).flatten();
            street = similar.filter_map(|&n| self.entries.get(n as usize)).collect();
            street.retain(|e| number(&e.key) == number(query));
            // Stable: the most similar name stays first.
            street.dedup_by(|a, b| a.id == b.id);
        } else {
            let far = |e: &Entry| (number(&e.key).abs_diff(number(query)), e.key.house.flat(), e.id.clone());
            street.sort_by_cached_key(|e| far(e));
        }
        candidates(&street, MAX_NEAREST)
    }
}

fn candidates(entries: &[&Entry], most: usize) -> Vec<Candidate> {
    entries.iter().take(most).map(|e| Candidate { id: e.id.clone(), address: e.address.clone() }).collect()
}

fn leading_number(s: &str) -> u32 {
    s.bytes().take_while(u8::is_ascii_digit).take(6).fold(0, |n, b| n * 10 + u32::from(b - b'0'))
}

/// Whether street and places of the two contradict each other nowhere.
fn fits(q: &AddressKey, e: &AddressKey) -> bool {
    let either = |a: &str, b: &str| a.is_empty() || b.is_empty() || a == b;
    let within =
        |a: &AddressKey, b: &AddressKey| a.localities.iter().all(|p| b.localities.iter().any(|l| l.name == p.name));
    either(&q.region, &e.region)
        && either(&q.district, &e.district)
        && either(q.street.kind, e.street.kind)
        && either(&q.street.initials, &e.street.initials)
        && (within(q, e) || within(e, q))
}

/// The same house, or the same with its parts written together.
fn same_house(q: &AddressKey, e: &AddressKey) -> bool {
    q.house == e.house
        || !q.house.number.is_empty()
            && q.house.extra == e.house.extra
            && q.house.flat() == e.house.flat()
            && {
                // Корпус 1 and строение 1 are two houses.
                (q.house.corpus.is_empty() || e.house.building.is_empty()) && (e.house.corpus.is_empty() || q.house.building.is_empty())
            // «5к2» is not 52: digits run together only with letters between.
            && digits_apart(q) == digits_apart(e)
            }
}

impl AddressKey {
    /// Whether the two are surely one address, given that both lie in `region` and how many digits of ОКТМО they are told to
    /// share (0, 8 or 11). All that tells a house from its namesakes must be told on both sides and be the same: street with
    /// its type, house with its parts, settlement. What may stay untold on one side: the region; the district of a town, or
    /// where ОКТМО says it; in Moscow, Saint Petersburg and Sevastopol the city; the settlement only where ОКТМО has it.
    pub fn is_surely(&self, other: &AddressKey, region: RegionCode, oktmo_digits: u8) -> bool {
        let federal = matches!(region.number(), 77 | 78 | 92);
        let places = |k: &AddressKey| -> Vec<(&'static str, String)> {
            let city = |p: &&Place| federal && p.kind == "г" && regions::by_name(&p.name) == Some(region);
            k.localities.iter().filter(|p| !city(p)).map(|p| (p.kind, p.name.clone())).collect()
        };
        let (mine, theirs) = (places(self), places(other));
        let town = !mine.is_empty() && mine.iter().all(|(kind, _)| *kind == "г");
        let settled = federal || oktmo_digits == 11 || !mine.is_empty() || self.street.is_locality();
        let district =
            federal || town || oktmo_digits >= 8 || self.district == other.district && !self.district.is_empty();
        self.has_house()
            && other.has_house()
            && !(self.is_flat() || other.is_flat())
            && !self.street.name.is_empty()
            && (&self.street.name, self.street.kind, &self.street.initials)
                == (&other.street.name, other.street.kind, &other.street.initials)
            && fits(self, other)
            // «44А» and «44, к. а» may be two houses.
            && self.house == other.house
            && mine == theirs
            && settled
            && district
    }
}

/// The numbers of a house, one by one.
fn digits_apart(k: &AddressKey) -> Vec<String> {
    let h = &k.house;
    [&h.number, &h.corpus, &h.letter, &h.building]
        .iter()
        .flat_map(|s| s.split(|c: char| !c.is_ascii_digit()).filter(|d| !d.is_empty()).map(str::to_owned))
        .collect()
}

/// Edit distance of two names, if it is at most two and less than half of the shorter.
fn distance(a: &str, b: &str) -> Option<usize> {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let most = (a.len().min(b.len()) / 2).min(2);
    if a.len().abs_diff(b.len()) > most {
        return None;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let cost = corner + usize::from(x != y);
            corner = row[j + 1];
            row[j + 1] = cost.min(corner + 1).min(row[j] + 1);
        }
        if row.iter().all(|&d| d > most) {
            return None;
        }
    }
    row.last().copied().filter(|&d| d <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(rows: &[&'static str]) -> AddressIndex {
        let id = |i: usize| BuildingId::new("reformagkh", &(i + 1).to_string()).unwrap();
        AddressIndex::build(rows.iter().enumerate().map(|(i, a)| (id(i), *a)))
    }

    /// Values of the ids found: `=1` one, `~1 2` many, `?3` nearest.
    fn find(index: &AddressIndex, query: &str) -> String {
        let list = |c: Vec<Candidate>| c.iter().map(|c| c.id.value().to_owned()).collect::<Vec<_>>().join(" ");
        match index.find(query) {
            Match::One(id) => format!("={}", id.value()),
            Match::Many(c) => format!("~{}", list(c)),
            Match::None(c) => format!("?{}", list(c)),
        }
    }

    #[test]
    fn loose_spellings_find_the_house() {
        let ix = index(&[
            "г. Петрозаводск, пр-кт. Ленина, д. 5, к. 2",
            "г. Петрозаводск, пр-кт. Ленина, д. 5",
            "г. Петрозаводск, ул. Мира, д. 7, лит. А",
            "р-н. Сегежский, г. Сегежа, ул. Мира, д. 7А",
            "г. Петрозаводск, пр-кт. Ленина, д. 52",
            "р-н. Сегежский, д. Заборовье, д. 10",
            "г. Петрозаводск, ул. Садовая, д. 1",
            "г. Петрозаводск, ул. Садовая Б., д. 1",
        ]);
        assert_eq!(find(&ix, "ленина 5к2"), "=1");
        assert_eq!(find(&ix, "Петрозаводск, Ленина проспект, 5"), "=2");
        assert_eq!(find(&ix, "ленина 52"), "=5");
        assert_eq!(find(&ix, "пер. Ленина 5"), "?1 2", "another type: suggested, not taken");
        assert_eq!(find(&ix, "Сегежа, Мира, 7а"), "=4");
        assert_eq!(find(&ix, "г. Петрозаводск, Мира, 7а"), "=3");
        assert_eq!(find(&ix, "Заборовье, 10"), "=6");
        assert_eq!(find(&ix, "садовая 1"), "=7");
        assert_eq!(find(&ix, "Большая Садовая 1"), "=8");
        assert_eq!(find(&ix, "Ленина 6"), "?2 1 5");
        assert_eq!(find(&ix, "пр. Ленена, 5"), "?1 2");
        assert_eq!(find(&ix, ""), "?");
    }

    #[test]
    fn what_fits_several_lists_them_all() {
        let ix = index(&[
            "г. А-ск, ул. Ленина, д. 5",
            "р-н. Б-ский, г. В-ск, ул. Ленина, д. 5",
            "г. А-ск, пр-кт. Ленина, д. 5",
            "г. А-ск, ул. Ленина, д. 5",
        ]);
        assert_eq!(find(&ix, "Ленина 5"), "~1 2 3 4");
        assert_eq!(find(&ix, "ул Ленина 5"), "~1 2 4");
        assert_eq!(find(&ix, "г. А-ск, ул Ленина 5"), "~1 4");
        assert_eq!(find(&ix, "В-ск, Ленина 5"), "=2");
    }

    #[test]
    fn corpus_and_building_are_two_houses() {
        let ix = index(&["ул. Мира, д. 5, к. 1", "ул. Мира, д. 5, стр. 1"]);
        assert_eq!(find(&ix, "Мира 5с1"), "=2");
        assert_eq!(find(&ix, "Мира 5к1"), "=1");
        assert_eq!(find(&ix, "Мира 5"), "?1 2");
    }
}
