//! Words of an address as terms of the index, for documents and queries alike.

use std::collections::{BTreeSet, HashMap};
use std::sync::LazyLock;

use tantivy::tokenizer::{Language, RawTokenizer, Stemmer, TextAnalyzer, TokenStream};

use crate::registry::address_words::{AddressWord, AddressWords, size_initial, size_word, type_words};

/// Shortest word that is recognised by its stem or with a letter wrong: of shorter ones too little would be left.
pub const SHORTEST: usize = 4;

/// The stem of a Russian word, by Snowball's rules; a word without Cyrillic stays what it is.
pub fn stem(word: &str) -> String {
    // Building it costs nothing beside what it does to a word.
    let mut analyzer = TextAnalyzer::builder(RawTokenizer::default()).filter(Stemmer::new(Language::Russian)).build();
    let mut stream = analyzer.token_stream(word);
    if stream.advance() { stream.token().text.clone() } else { word.to_owned() }
}

/// Types of places by every spelling, and by the stems of the long ones: «улице», «проспектом».
static TYPES: LazyLock<Types> = LazyLock::new(|| {
    let exact: HashMap<&str, Type> = type_words().map(|(word, name, street)| (word, Type { name, street })).collect();
    let long = exact.iter().filter(|(word, _)| word.chars().count() > SHORTEST && !word.contains(['-', '/']));
    let stems = long.map(|(word, kind)| (stem(word), *kind)).collect();
    (exact, stems)
});

type Types = (HashMap<&'static str, Type>, HashMap<String, Type>);

/// A type of place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Type {
    /// Canonical spelling; empty where the word may be several.
    pub name: &'static str,
    /// A street's type rather than a settlement's or a district's.
    pub street: bool,
}

/// What a word of a query may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meaning {
    /// Part of a name: it must be there.
    Name,
    /// A type: it is usual, often wrong, and sometimes the name itself («Набережная улица»).
    Type(Type),
    /// An initial, or a word of size that is often cut to one.
    Initial(char),
    /// Nothing: «на», «по», «дом».
    Noise,
}

/// What the word of a query may be.
pub fn meaning(word: &AddressWord) -> Meaning {
    let text = word.text.as_str();
    let mut chars = text.chars();
    if let (Some(c), None) = (chars.next(), chars.next()) {
        return match TYPES.0.get(text).filter(|t| t.street) {
            Some(kind) => Meaning::Type(*kind),
            None if c.is_ascii_digit() => Meaning::Name,
            None if "вуои".contains(c) && !word.shortened => Meaning::Noise,
            None => Meaning::Initial(c),
        };
    }
    if matches!(text, "на" | "по" | "во" | "из" | "дом" | "дома" | "доме" | "чат" | "чата" | "адрес" | "адресу")
    {
        return Meaning::Noise;
    }
    if let Some(kind) = TYPES.0.get(text).or_else(|| TYPES.1.get(&stem(text))) {
        return Meaning::Type(*kind);
    }
    size_initial(text).map_or(Meaning::Name, Meaning::Initial)
}

/// A name by which a whole street or place is known: its words' stems, sorted, sizes as initials.
pub fn name_key<'w>(words: impl IntoIterator<Item = &'w str>) -> String {
    let one = |w: &str| size_initial(w).map_or_else(|| stem(w), String::from);
    let mut words: Vec<String> = words.into_iter().map(one).collect();
    words.sort_unstable();
    words.join(" ")
}

/// Prefixes of keys: what sort of key it is.
pub mod key {
    /// Name of a street, by [`super::name_key`].
    pub const STREET: char = 's';
    /// Name of a place above it.
    pub const PLACE: char = 'p';
    /// Type of the street.
    pub const TYPE: char = 't';
    /// Initial in the street's name.
    pub const INITIAL: char = 'i';
    /// First number of the house.
    pub const NUMBER: char = 'n';
    /// The house, loosely.
    pub const LOOSE: char = 'l';
}

/// What a building is found by.
pub struct Document {
    /// Words as they are and their stems.
    pub words: BTreeSet<String>,
    /// Keys, each with its prefix.
    pub keys: BTreeSet<String>,
    /// The house as exactly as it is told.
    pub house: Option<String>,
    /// Numbers of the house, for the order of equals: 2 before 10, 5 before 5к1.
    pub order: u64,
}

/// The terms of an address in `region`, whose name addresses often leave out.
pub fn document(address: &str, region: &str) -> Document {
    let parts = AddressWords::of(address);
    let region = AddressWords::of(region);
    let (mut words, mut keys) = (BTreeSet::new(), BTreeSet::new());
    let places = parts.places.iter().chain([&region.other]);
    for word in parts.street.iter().chain(&parts.other).chain(places.clone().flatten()) {
        match meaning(&AddressWord { text: word.clone(), shortened: false }) {
            Meaning::Initial(c) => words.extend(size_word(c).map(str::to_owned)),
            Meaning::Noise => {}
            _ => drop(words.insert(stem(word))),
        }
        words.insert(word.clone());
    }
    let key = |sort: char, text: &str| format!("{sort}{text}");
    keys.insert(key(key::STREET, &name_key(parts.street.iter().map(String::as_str))));
    keys.extend(places.map(|p| key(key::PLACE, &name_key(p.iter().map(String::as_str)))));
    keys.insert(key(key::TYPE, parts.street_type));
    let initial = |w: &String| size_initial(w).or_else(|| w.chars().next().filter(|_| w.chars().count() == 1));
    keys.extend(parts.street.iter().filter_map(initial).map(|c| key(key::INITIAL, &c.to_string())));
    let mut order = 0;
    if let Some(house) = &parts.house {
        keys.insert(key(key::NUMBER, &house.number));
        keys.insert(key(key::LOOSE, &house.loose));
        let mut numbers = house.loose.split(|c: char| !c.is_ascii_digit()).filter(|n| !n.is_empty());
        let mut next = || numbers.next().map_or(0, |n| n.parse().unwrap_or(u64::MAX).min(0xffff));
        let first = next();
        // A letter comes after the bare number: 5, 5а, 5к1.
        let letter = house.loose.chars().any(char::is_alphabetic);
        order = first << 33 | u64::from(letter) << 16 | next() << 17 | next();
    }
    Document { words, keys, house: parts.house.map(|h| h.exact), order }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Meaning {
        meaning(&AddressWord { text: text.into(), shortened: false })
    }

    #[test]
    fn words_are_known_in_every_case() {
        assert_eq!(stem("ленина"), stem("ленину"));
        assert_eq!(stem("ордынка"), stem("ордынке"));
        let street = |name| Meaning::Type(Type { name, street: true });
        assert_eq!(of("улице"), street("ул"));
        assert_eq!(of("проспектом"), street("пр-кт"));
        assert_eq!(of("пр-т"), street("пр-кт"));
        assert_eq!(of("ш"), street("ш"));
        assert_eq!(of("городе"), Meaning::Type(Type { name: "г", street: false }));
        assert_eq!(of("ленина"), Meaning::Name);
        assert_eq!(of("большой"), Meaning::Initial('б'));
        assert_eq!(of("на"), Meaning::Noise);
        assert_eq!(name_key(["садовая", "б"]), name_key(["большой", "садовой"]));
    }

    #[test]
    fn houses_in_their_natural_order() {
        let order = |house: &str| document(&format!("ул. Мира, д. {house}"), "").order;
        let houses = ["2", "5", "5а", "5, к. 1", "5, к. 2", "5, к. 10", "10", "10/2", "52"];
        let orders: Vec<u64> = houses.iter().map(|h| order(h)).collect();
        assert!(orders.is_sorted() && orders.iter().collect::<BTreeSet<_>>().len() == orders.len(), "{orders:?}");
    }
}
