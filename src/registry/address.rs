//! Russian addresses in one comparable form.
//!
//! There is no single spelling of an address: «пр-т Ленина, д. 5, корп. 2», «Ленина проспект 5к2» and «г Петрозаводск
//! пр-кт Ленина д.5 кор.2» are one house. [`AddressKey`] takes any of them apart into region, district, localities,
//! street (type and name apart, names without order) and house; [`AddressIndex`] finds the building that is meant.
//! Nothing is guessed: what fits several buildings is answered with all of them.

use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;

pub use super::address_index::{AddressIndex, Candidate, Fitting, Match};
use super::address_tokens::{Token, fold};
use super::ids::RegionCode;
use super::regions;

/// What a part of an address is, by its type word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Region,
    District,
    Locality,
    Street,
}

/// Canonical type word, class, and the other spellings. Words are lower case, `ё` is `е`.
const TYPES: &[(&str, Class, &[&str])] = &[
    ("обл", Class::Region, &["область"]),
    ("респ", Class::Region, &["республика"]),
    ("край", Class::Region, &[]),
    ("ао", Class::Region, &[]),
    ("р-н", Class::District, &["район", "рн", "улус", "округ"]),
    ("г", Class::Locality, &["город", "гор"]),
    ("д", Class::Locality, &["деревня", "дер"]),
    ("с", Class::Locality, &["село"]),
    ("п", Class::Locality, &["поселок", "пос", "нп", "тер", "территория"]),
    ("пгт", Class::Locality, &["рп", "дп", "кп"]),
    ("х", Class::Locality, &["хутор"]),
    ("ст", Class::Locality, &["станция", "п/ст", "ж/д_ст", "рзд", "разъезд", "казарма", "ж/д_казарм"]),
    ("ст-ца", Class::Locality, &["станица"]),
    ("с/п", Class::Locality, &["с/с", "сельсовет"]),
    ("м", Class::Locality, &["местечко"]),
    ("ул", Class::Street, &["улица"]),
    ("пр-кт", Class::Street, &["пр-т", "просп", "проспект", "пркт"]),
    ("пр-д", Class::Street, &["проезд", "прд", "пр-зд"]),
    // Проспект or проезд: nobody can tell.
    ("", Class::Street, &["пр"]),
    ("пер", Class::Street, &["переулок"]),
    ("б-р", Class::Street, &["бульвар", "бул"]),
    ("ш", Class::Street, &["шоссе"]),
    ("наб", Class::Street, &["набережная"]),
    ("пл", Class::Street, &["площадь"]),
    ("туп", Class::Street, &["тупик"]),
    ("ал", Class::Street, &["аллея"]),
    ("линия", Class::Street, &["лин"]),
    ("тракт", Class::Street, &[]),
    ("дор", Class::Street, &["дорога"]),
    ("просек", Class::Street, &["просека"]),
    ("заезд", Class::Street, &[]),
    ("спуск", Class::Street, &[]),
    ("съезд", Class::Street, &[]),
    ("кв-л", Class::Street, &["квартал"]),
    ("мкр", Class::Street, &["микрорайон", "мкрн", "мкр-н", "мк-н", "м-н"]),
    ("городок", Class::Street, &[]),
    ("массив", Class::Street, &[]),
    ("снт", Class::Street, &[]),
];

static BY_WORD: LazyLock<HashMap<&str, (&str, Class)>> = LazyLock::new(|| {
    let rows = TYPES.iter().flat_map(|&(name, class, other)| {
        other.iter().copied().chain([name]).filter(|w| !w.is_empty()).map(move |word| (word, (name, class)))
    });
    rows.collect()
});

fn type_of(word: &str) -> Option<(&'static str, Class)> {
    BY_WORD.get(word).copied()
}

/// Whether the word is a type of place in one of its spellings.
pub(super) fn is_type(word: &str) -> bool {
    BY_WORD.contains_key(word)
}

/// Every spelling of a type of place, folded; its canonical spelling (empty where the word may be several); whether it is
/// a street's type.
pub fn type_words() -> impl Iterator<Item = (&'static str, &'static str, bool)> {
    BY_WORD.iter().map(|(&word, &(name, class))| (word, name, class == Class::Street))
}

/// Beginnings of the adjectives that stand for themselves by their first letter («Б. Садовая»).
pub(super) const SIZES: [&str; 5] = ["больш", "мал", "верхн", "нижн", "средн"];

/// Words that say nothing about which place is meant.
pub(super) fn is_noise(word: &str) -> bool {
    matches!(word, "им" | "имени" | "россия" | "рф" | "российская" | "федерация" | "и")
}

/// One part of an address: its type where one is told, its name as sorted words, and what stands for a word left out
/// or shortened: «Б.» and «Большая» are both `б`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Canonical type; empty when none was told.
    pub(super) kind: &'static str,
    /// Sorted words of the name.
    pub(super) name: String,
    /// Initials and shortened adjectives, sorted.
    pub(super) initials: String,
    class: Option<Class>,
}

impl Place {
    /// Whether it is a town or village rather than a street in one.
    pub(super) fn is_locality(&self) -> bool {
        self.class == Some(Class::Locality)
    }
}

/// The house within its street.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct House {
    /// Number with letter and fraction: `57б`, `13/15`.
    pub(super) number: String,
    /// Корпус.
    pub(super) corpus: String,
    /// Строение.
    pub(super) building: String,
    /// Литера.
    pub(super) letter: String,
    /// Whatever else was written about it, sorted words.
    pub(super) extra: String,
}

impl House {
    /// The house with its parts run together, in which «5 лит. А», «5А» and «5 к. А» are the same.
    pub(super) fn flat(&self) -> String {
        format!("{}{}{}{}", self.number, self.corpus, self.letter, self.building).replace(' ', "")
    }
}

/// An address taken apart. Two spellings of one address have equal keys; a shorter one has fewer parts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddressKey {
    pub(super) region: String,
    pub(super) district: String,
    /// Towns, villages, quarters above the street.
    pub(super) localities: Vec<Place>,
    /// The street, or the locality itself where there are no streets.
    pub(super) street: Place,
    pub(super) house: House,
    flat: bool,
}

/// Most characters of an address looked at.
pub const MAX_ADDRESS: usize = 500;

impl AddressKey {
    /// Takes any text apart; what is beyond [`MAX_ADDRESS`] characters is not looked at.
    pub fn parse(address: &str) -> AddressKey {
        let tokens = fold(address);
        let start = house_start(&tokens);
        let mut key = AddressKey::default();
        let mut places = places(&tokens[..start]);
        // A lone «д.» in front of everything is a form's label, not a village.
        if let Some(first) = places.first_mut().filter(|p| p.kind == "д") {
            first.kind = "";
        }
        key.street = match places.iter().rposition(|p| p.class == Some(Class::Street)) {
            Some(at) => places.remove(at),
            None => match places.iter().rposition(|p| !matches!(p.class, Some(Class::Region | Class::District))) {
                Some(at) => places.remove(at),
                None => Place::default(),
            },
        };
        for place in places {
            match place.class {
                Some(Class::Region) => key.region = place.name,
                Some(Class::District) => key.district = place.name,
                _ if place.name == key.street.name => {}
                _ => key.localities.push(place),
            }
        }
        key.localities.sort_by(|a, b| a.name.cmp(&b.name));
        key.localities.dedup_by(|a, b| a.name == b.name);
        (key.house, key.flat) = house(&tokens[start..]);
        key
    }

    /// Whether a house is told at all.
    pub fn has_house(&self) -> bool {
        // In quarters houses are told apart by корпус alone: «кв-л. Грайвороново 90а, д. -, к. 3».
        let parts = [&self.house.number, &self.house.corpus, &self.house.building];
        parts.iter().any(|p| p.bytes().any(|b| b.is_ascii_digit()))
    }

    /// Whether a flat or other room is told: not a house but something in it.
    pub fn is_flat(&self) -> bool {
        self.flat
    }

    /// The region told, by name or by a city that is one («г. Москва»), if it is one of the 89.
    pub fn region(&self) -> Option<RegionCode> {
        if !self.region.is_empty() {
            return regions::by_name(&self.region);
        }
        let city =
            |p: &&Place| p.kind == "г" && matches!(p.name.as_str(), "москва" | "санкт-петербург" | "севастополь");
        self.localities.iter().find(city).and_then(|p| regions::by_name(&p.name))
    }
}

/// What stays of an address when order, types, labels and post code are left out: sorted words and numbers. Coarser than
/// [`AddressKey`]: it shows that two addresses may be one where nobody can tell type from name («Шоссе 1 Мая улица»).
pub fn bag(address: &str) -> String {
    let tokens = fold(address);
    let label = |w: &str| {
        type_of(w).is_some()
            || is_noise(w)
            || matches!(
                w,
                "пр" | "дом"
                    | "влд"
                    | "вл"
                    | "владение"
                    | "домовладение"
                    | "к"
                    | "кор"
                    | "корп"
                    | "корпус"
            )
            || matches!(w, "стр" | "строен" | "строение" | "лит" | "литер" | "литера" | "литеры" | "л")
    };
    let words = tokens.iter().filter(|t| !t.word().is_some_and(label)).filter_map(Token::text);
    let mut words: Vec<&str> = words.filter(|w| w.len() != 6 || !w.bytes().all(|b| b.is_ascii_digit())).collect();
    words.sort_unstable();
    words.join(" ")
}

/// The types of street an address names, sorted: «пер. Шоссе 1 Мая» names two.
pub fn street_types(address: &str) -> Vec<&'static str> {
    let tokens = fold(address);
    let types = tokens[..house_start(&tokens)].iter().filter_map(|t| type_of(t.word()?));
    let mut types: Vec<&str> = types.filter(|(_, class)| *class == Class::Street).map(|(name, _)| name).collect();
    types.sort_unstable();
    types
}

impl fmt::Display for AddressKey {
    /// The canonical form, for comparing and for logs; not for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}|{}|", self.region, self.district)?;
        for place in &self.localities {
            write!(f, "{} {},", place.kind, place.name)?;
        }
        let (street, house) = (&self.street, &self.house);
        write!(f, "|{} {} {}|", street.kind, street.name, street.initials)?;
        write!(f, "{}|{}|{}|{}|{}", house.number, house.corpus, house.building, house.letter, house.extra)
    }
}

/// Whether the word announces a house.
pub(super) fn is_label(token: &Token) -> bool {
    matches!(token.word(), Some("д" | "дом" | "влд" | "вл" | "владение" | "домовладение" | "двлд" | "зд" | "здание"))
}

/// Where the house begins: at the last «д.» or «дом» with a number; without one, at the earliest place from which
/// everything to the end reads as a house («ленина 5к2», «8 марта 5»).
pub(super) fn house_start(tokens: &[Token]) -> usize {
    // «165Д, к. 1», «21-д», «лит. Д»: a letter of a house, no label.
    let is_letter = |i: usize| {
        let before = tokens[..i].iter().rposition(|t| !t.is_any(".\""));
        before.is_some_and(|b| tokens[b].is_number() || tokens[b].is_any("-") || house_part(&tokens[b..]).is_some())
    };
    let value_after = |i: usize| tokens[i + 1..].iter().find(|t| !t.is_any(".№\"-~"));
    let labels = || (0..tokens.len()).rev().filter(|&i| is_label(&tokens[i]));
    let numbered = labels().find(|&i| value_after(i).is_some_and(Token::is_number));
    // «д. б/н», «д. -, к. 3», a label and nothing after it: there is a house, and it has no number.
    let numberless = || {
        labels().filter(|&i| !is_letter(i)).find(|&i| {
            value_after(i).is_none_or(|t| matches!(t.word(), Some("б/н" | "бн" | "без" | "нет")) || t.is_any(",("))
        })
    };
    if let Some(at) = numbered.or_else(numberless) {
        return at;
    }
    let suffix = (1..tokens.len()).find(|&i| {
        let starts = tokens[i].is_number() || house_part(&tokens[i..]).is_some();
        starts && !tokens[i - 1].is_any("-/") && reads_as_house(&tokens[i..])
    });
    suffix.unwrap_or(tokens.len())
}

/// Whether `tokens` are a house and nothing else.
pub(super) fn reads_as_house(tokens: &[Token]) -> bool {
    let (house, flat) = house(tokens);
    let numbers = tokens.iter().filter(|t| t.is_number()).count();
    let split = house.number.split('/').count();
    // A second bare number means that the first belongs to the name.
    let labels = tokens.iter().filter(|t| t.word().is_some_and(|w| w.chars().count() > 1 || "ксл".contains(w))).count();
    house.extra.is_empty() && (flat || numbers <= split + labels.max(1))
}

/// Корпус, строение, литера, room: which part of a house the word announces. One letter announces only with a value.
pub(super) fn house_part(tokens: &[Token]) -> Option<Part> {
    let part = match tokens.first()?.word()? {
        "к" | "кор" | "корп" | "корпус" => Part::Corpus,
        "с" | "стр" | "строен" | "строение" => Part::Building,
        "лит" | "литер" | "литера" | "литеры" | "л" => Part::Letter,
        "кв" | "квартира" | "оф" | "офис" | "пом" | "помещение" | "комн" | "комната" => {
            Part::Room
        }
        _ => return None,
    };
    let short = tokens[0].word().is_some_and(|w| w.chars().count() == 1);
    let dotted = tokens.get(1).is_some_and(|t| t.is_any("."));
    let value = tokens[1..].iter().find(|t| !t.is_any(".№\"-"));
    if part == Part::Room {
        return value.is_some_and(Token::is_number).then_some(part);
    }
    (!short || dotted && value.is_some() || value.is_some_and(Token::is_number)).then_some(part)
}

/// A part of a house.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Number,
    Corpus,
    Building,
    Letter,
    Room,
}

/// Reads the house; the second value is whether a room in it is told.
pub(super) fn house(tokens: &[Token]) -> (House, bool) {
    let (mut house, mut flat) = (House::default(), false);
    let mut extra: Vec<&str> = Vec::new();
    let (mut part, mut depth, mut join) = (Part::Number, 0u32, "");
    for (i, token) in tokens.iter().enumerate() {
        if token.is_any("(") {
            depth += 1;
        } else if token.is_any(")") {
            depth = depth.saturating_sub(1);
        } else if depth > 0 {
            extra.extend(token.text());
        } else if let Some(next) = house_part(&tokens[i..]) {
            (part, join) = (next, "");
            flat |= next == Part::Room;
        } else if token.is_any("/_\\") {
            join = "/";
        } else if token.is_any("-") {
            join = "-";
        } else if token.is_any(",") {
            join = ",";
        } else if let Some(text) = token.text() {
            let letter = text.chars().count() == 1 && !token.is_number();
            let value = match part {
                Part::Number => &mut house.number,
                Part::Corpus => &mut house.corpus,
                Part::Building => &mut house.building,
                Part::Letter => &mut house.letter,
                Part::Room => continue,
            };
            if is_label(token) && value.is_empty() && part == Part::Number {
                continue;
            }
            let ends_in_digit = value.ends_with(|c: char| c.is_ascii_digit());
            if value.is_empty() && (token.is_number() || part != Part::Number) {
                value.push_str(text);
            } else if letter && ends_in_digit && join != "," {
                // «40 А», «9-А» and «9/А» are 40а and 9а.
                value.push_str(text);
            } else if !value.is_empty() && (token.is_number() || letter) && !join.is_empty() {
                value.push_str(join);
                value.push_str(text);
            } else {
                extra.push(text);
            }
            join = "";
        }
    }
    extra.sort_unstable();
    house.extra = extra.join(" ");
    (house, flat)
}

/// Cuts what stands before the house into places.
fn places(tokens: &[Token]) -> Vec<Place> {
    let (mut out, mut open, mut depth) = (Vec::new(), Draft::default(), 0u32);
    for (i, token) in tokens.iter().enumerate() {
        if token.is_any("(") {
            depth += 1;
        } else if token.is_any(")") {
            depth = depth.saturating_sub(1);
        } else if depth > 0 {
            // «Вольная Горка (Вольногорский с/с)»: a remark.
        } else if token.is_any(",;") {
            open.close(&mut out);
        } else if let Some((kind, class)) = token.word().and_then(type_of) {
            open.type_word(&mut out, (kind, class), token, tokens, i);
        } else if let Some(text) = token.text() {
            // Six digits are a post code.
            let post_code = token.is_number() && text.len() == 6;
            if !is_noise(text) && !post_code {
                open.words.push(text.to_owned());
            }
        }
    }
    open.close(&mut out);
    out
}

/// A place being read.
#[derive(Default)]
struct Draft {
    kind: Option<(&'static str, Class)>,
    words: Vec<String>,
}

impl Draft {
    fn type_word(
        &mut self,
        out: &mut Vec<Place>,
        found: (&'static str, Class),
        token: &Token,
        tokens: &[Token],
        at: usize,
    ) {
        let word = token.word().unwrap_or_default();
        let short = word.chars().count() == 1;
        let rest = &tokens[at + 1..];
        let names_follow = rest
            .iter()
            .find(|t| !t.is_any("."))
            .is_some_and(|t| t.is_number() || t.word().is_some_and(|w| type_of(w).is_none() || w.chars().count() == 1));
        let after_initial = at > 1
            && tokens[at - 1].is_any(".")
            && tokens[at - 2].word().is_some_and(|w| w.chars().count() == 1)
            && (self.words.last().is_some_and(|w| w.chars().count() == 1));
        let street_type_follows = rest
            .iter()
            .find(|t| !t.is_any("."))
            .and_then(Token::word)
            .is_some_and(|w| w.chars().count() > 1 && type_of(w).is_some_and(|(_, class)| class == Class::Street));
        let adjective = self.words.last().is_some_and(|w| ["ая", "ий", "ый", "ой"].iter().any(|end| w.ends_with(end)));
        if short && (after_initial || self.kind.is_some() && self.words.is_empty() && names_follow) && word != "г" {
            // «ул. С.Перовской», «им Шевченко Т.Г.»
            self.words.push(word.to_owned());
        } else if short && (after_initial || !self.words.is_empty() && street_type_follows) {
            // «Никитская М. улица»: half of a name.
            self.words.push(word.to_owned());
        } else if self.words.is_empty() && !names_follow && found.0 != "ул" && word.chars().count() >= 5 {
            // «ул. Набережная», «Набережная улица»: nothing else is there to be the name.
            self.words.push(word.to_owned());
        } else if self.words.is_empty() {
            // «д. г Белая Калитва», «д. Ул. Светлая»: the later type is the true one.
            self.kind = Some(found);
        } else if self.kind.is_none()
            && (!names_follow || adjective && matches!(found.1, Class::Region | Class::District))
        {
            self.kind = Some(found);
            self.close(out);
        } else if names_follow && !(short && self.kind.is_some_and(|(_, class)| class == Class::Street)) {
            self.close(out);
            self.kind = Some(found);
        } else if self.kind.is_some_and(|(kind, _)| kind == "ул") && !short {
            // «ул. Суоярвское шоссе»
            self.kind = Some(found);
        } else {
            self.words.push(word.to_owned());
        }
    }

    fn close(&mut self, out: &mut Vec<Place>) {
        let draft = std::mem::take(self);
        let (mut names, mut initials) = (Vec::new(), Vec::new());
        for word in draft.words {
            let size = SIZES.iter().find(|s| {
                word.strip_prefix(**s)
                    .is_some_and(|end| matches!(end, "ая" | "ой" | "ое" | "ий" | "ый" | "яя" | "ее" | "ие"))
            });
            match (word.chars().next(), size) {
                (Some(c), Some(_)) => initials.push(c),
                (Some(c), None) if !c.is_ascii_digit() && word.chars().count() == 1 => initials.push(c),
                _ => names.push(word),
            }
        }
        if names.is_empty() {
            // «ул. Большая», «б-р. Малый»: the adjective is the name.
            names.extend(initials.drain(..).map(String::from));
        }
        if names.is_empty() {
            return;
        }
        names.sort_unstable();
        initials.sort_unstable();
        let (kind, class) = draft.kind.map_or(("", None), |(kind, class)| (kind, Some(class)));
        out.push(Place { kind, name: names.join(" "), initials: initials.into_iter().collect(), class });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(a: &str, b: &str) {
        assert_eq!(AddressKey::parse(a).to_string(), AddressKey::parse(b).to_string(), "{a} / {b}");
    }

    #[test]
    fn spellings_of_one_address_are_one() {
        same("г. Москва, б-р. Коптевский, д. 11А", "г Москва б-р Коптевский д.11а");
        same("г. Москва, ул. Академическая Б., д. 6, к. 1", "Москва г, Большая Академическая улица, дом № 6, корпус 1");
        same("г. Саратов ул. им Радищева А.Н. д. 23А", "город Саратов, улица Радищева А.Н., 23 \"а\"");
        same("пр-т Ленина, д. 5, корп. 2", "Ленина проспект 5к2");
        same("ш Загородное д.10 кор.10", "Загородное шоссе, 10 корпус 10");
        same("ул. 8 Марта, д. 2 а", "8 марта ул., 2А");
        same(
            "обл. Псковская, р-н. Островский, д. Гривы, ул. Школьная, д. 5",
            "Псковская область, Островский район, дер. Гривы, ул Школьная 5",
        );
        same("ул. 1-я Волгоградская, д. 2Б", "Волгоградская 1-я улица, 2 Б");
        same("ул. Королёва, д. 57_1, стр. 2", "ул Королева 57/1 строение 2");
        same("ул. Лeнинa, д. 5B", "ул. Ленина, д. 5в");
        same("д. г Белая Калитва ул Энгельса д.40", "г. Белая Калитва, ул. Энгельса, д. 40");
        same("ул. Суоярвское шоссе, д. 57", "Суоярвское ш., 57");
        same("ш. Дмитровское, д. 165Д, к. 1", "Дмитровское шоссе 165д к1");
        same("п. Рускеала, ул. Школьная, д. 21-д", "п. Рускеала, Школьная ул., дом 21 Д");
        same("ул. Дальняя, д. 20, лит. Д", "ул Дальняя 20 литера Д");
        same("ул. Набережная, д. 4", "Набережная улица 4");
        same("ул. Никитская М., д. 10", "Никитская М. улица, д. 10");
        same("185000, Россия, г. Петрозаводск, ул. Мира, 1", "г. Петрозаводск, ул. Мира, д. 1");
    }

    #[test]
    fn different_houses_stay_different() {
        for (a, b) in [
            ("ул. Мира, д. 5", "ул. Мира, д. 5а"),
            ("ул. Мира, д. 5, к. 1", "ул. Мира, д. 5, стр. 1"),
            ("ул. Мира, д. 13/15", "ул. Мира, д. 13"),
            ("ул. Мира, д. 5 (дубль 1)", "ул. Мира, д. 5"),
            ("ул. Мира, д. 5", "пер. Мира, д. 5"),
            ("г. А, ул. Мира, д. 5", "г. Б, ул. Мира, д. 5"),
            ("ул. Парковая 1-я, д. 5", "ул. Парковая 2-я, д. 5"),
            ("ул. Садовая Большая, д. 1", "ул. Садовая, д. 1"),
            ("д. Родина, ул. Набережная, д. 4", "д. Родина, д. 4"),
            ("ул. Мира, д. 29 литера В", "ул. Мира, д. 29 литера Б"),
        ] {
            assert_ne!(AddressKey::parse(a).to_string(), AddressKey::parse(b).to_string(), "{a} / {b}");
        }
    }

    #[test]
    fn parts_are_told_apart() {
        let key = AddressKey::parse("обл. Вологодская, г. Вологда, ул. Ветка Пристань");
        assert!(!key.has_house() && !key.is_flat());
        assert_eq!(key.region().map(|r| r.number()), Some(35));
        assert_eq!(AddressKey::parse("г. Москва, ул. Мира, д. 1").region().map(|r| r.number()), Some(77));
        assert_eq!(AddressKey::parse("обл. Псковская, д. Москва, д. 1").region().map(|r| r.number()), Some(60));
        assert_eq!(AddressKey::parse("ул. Мира, д. 1").region(), None);
        assert!(AddressKey::parse("г. Бабаево, ул. Пушкина, д. 67, кв. 2").is_flat());
        assert!(!AddressKey::parse("кв-л. 5, д. 67").is_flat());
        assert!(!AddressKey::parse("ул. Лесная, д. б/н").has_house());
        assert!(!AddressKey::parse("ул. Лесная, д. -").has_house());
        assert!(!AddressKey::parse("д. Тунгуда, д. без номера").has_house());
        assert!(AddressKey::parse("кв-л. Грайвороново 90а, д. -, к. 3").has_house());
        assert!(AddressKey::parse("ул. Советская, д. 70, стр. жилой дом").has_house());
        assert!(!AddressKey::parse("ул. Киргетова, д. 23а, стр. офис").is_flat());
        assert!(AddressKey::parse("п. Поросозеро, стр. 347").has_house());
        assert_eq!(AddressKey::parse("ленина 5к2").house.corpus, "2");
        assert_eq!(AddressKey::parse("ул. Мира, д. 5, лит. А,Б,В").house.letter, "а,б,в");
        let key = AddressKey::parse("обл. Псковская, р-н. Островский, д. Заборовье, д. 10");
        assert_eq!((key.street.kind, key.street.name.as_str(), key.house.number.as_str()), ("д", "заборовье", "10"));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_taken_apart(s in "[а-яА-Яa-z0-9 .,/()\"№_-]{0,80}|\\PC{0,60}") {
            let key = AddressKey::parse(&s);
            proptest::prop_assert_eq!(AddressKey::parse(&s), key);
        }
    }
}
