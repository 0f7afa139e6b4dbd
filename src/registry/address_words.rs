//! An address as words to search by: what [`super::address`] takes apart, without deciding which building is meant.
//!
//! A registered address has one reading, its [`AddressKey`]. What somebody types has several: «8 марта» is a street or the
//! eighth house of one, «5к2 ленина» begins with the house. [`readings`] gives them all and says which are mere guesses.

use super::address::{AddressKey, House, SIZES, house, house_part, house_start, is_label, is_noise, reads_as_house};
use super::address_tokens::{Token, fold};

pub use super::address::type_words;

/// Most tokens of a query that are looked at for a house in the middle.
const MAX_TOKENS: usize = 64;

/// A word or a number, folded: lower case, `ё` as `е`, Latin lookalikes as Cyrillic. Words with a hyphen are cut at it, but
/// for the types of places («пр-т»).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressWord {
    /// The word.
    pub text: String,
    /// A full stop follows: it may be cut short.
    pub shortened: bool,
}

/// A house in three spellings, from the strictest to the loosest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HouseForms {
    /// Parts by their signs: `5к2`, `7а`, `12/18к2с1`.
    pub exact: String,
    /// Parts without telling which they are: `5.2` for «5к2», «5/2» and «5 стр. 2».
    pub loose: String,
    /// The first number: `5`.
    pub number: String,
}

/// One way to read what was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// Words that say where the house is.
    pub words: Vec<AddressWord>,
    /// The house, where one is told.
    pub house: Option<HouseForms>,
    /// The house stands where houses do not usually stand: before the street.
    pub guessed: bool,
}

/// A registered address as words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressWords {
    /// Words of the street's name, initials among them: «Садовая Б.» is `садовая`, `б`.
    pub street: Vec<String>,
    /// Canonical type of the street; empty when none is told.
    pub street_type: &'static str,
    /// Words of each place above the street: settlement, district, region.
    pub places: Vec<Vec<String>>,
    /// Whatever else stands in it.
    pub other: Vec<String>,
    /// The house, where one is told.
    pub house: Option<HouseForms>,
}

impl AddressWords {
    /// Takes an address apart.
    pub fn of(address: &str) -> AddressWords {
        let key = AddressKey::parse(address);
        let initials = key.street.initials.chars().map(String::from);
        let place = |p: &super::address::Place| words_of(&p.name).chain(p.initials.chars().map(String::from)).collect();
        let mut places: Vec<Vec<String>> = key.localities.iter().map(place).collect();
        places.extend([&key.district, &key.region].map(|name| words_of(name).collect()));
        places.retain(|p: &Vec<String>| !p.is_empty());
        // What a person copies from it must find it again, whatever the key makes of it.
        let own = readings(address).into_iter().next();
        let other = own.iter().flat_map(|r| &r.words).map(|w| w.text.clone());
        AddressWords {
            street: words_of(&key.street.name).chain(initials).collect(),
            street_type: key.street.kind,
            places,
            other: other.collect(),
            house: own.and_then(|r| r.house).or_else(|| forms(&key.house)),
        }
    }
}

/// Every way to read `text`, the likeliest first; none where it says nothing. Total: any text is read.
pub fn readings(text: &str) -> Vec<Reading> {
    let tokens = without_remarks(fold(text));
    let start = house_start(&tokens);
    let (last, _) = house(&tokens[start..]);
    let labelled = tokens.get(start).is_some_and(is_label);
    let mut out = Vec::new();
    let house_at_end = forms(&last);
    let mut push = |words: Vec<AddressWord>, house: Option<HouseForms>, guessed| {
        if !words.is_empty() || house.is_some() {
            out.push(Reading { words, house, guessed });
        }
    };
    let told = house_at_end.is_some();
    let mut before = words(&tokens[..start]);
    before.extend(words_of(&last.extra).map(|text| AddressWord { text, shortened: false }));
    push(before, house_at_end, false);
    if !told && let Some((from, to)) = house_inside(&tokens) {
        let mut around = words(&tokens[..from]);
        around.extend(words(&tokens[to..]));
        push(around, forms(&house(&tokens[from..to]).0), from == 0);
    }
    if told && !labelled {
        push(words(&tokens), None, false);
    }
    out
}

/// The initial that stands for a word of size, as [`AddressKey`] has it: `б` for «большая», «Большой», «больш».
pub fn size_initial(word: &str) -> Option<char> {
    const ENDINGS: &str = " ая ой ую ое ого ому ом ые ых ым ыми ий ый ие их им ими яя ей юю ее его ему ем ";
    let size = SIZES
        .iter()
        .find(|s| word.strip_prefix(**s).is_some_and(|end| end.is_empty() || ENDINGS.contains(&format!(" {end} "))))?;
    // «мал» alone is no size.
    (word.chars().count() > 3).then(|| size.chars().next()).flatten()
}

/// The beginning of the word of size that this initial may stand for.
pub fn size_word(initial: char) -> Option<&'static str> {
    SIZES.iter().copied().find(|s| s.starts_with(initial))
}

fn without_remarks(tokens: Vec<Token>) -> Vec<Token> {
    let mut depth = 0u32;
    let outside = |t: &Token| {
        match t {
            Token::Sign('(') => depth += 1,
            Token::Sign(')') => depth = depth.saturating_sub(1),
            _ => return depth == 0,
        }
        false
    };
    tokens
        .into_iter()
        .filter({
            let mut outside = outside;
            move |t| outside(t)
        })
        .collect()
}

fn words(tokens: &[Token]) -> Vec<AddressWord> {
    let mut out = Vec::new();
    for (i, token) in tokens.iter().enumerate() {
        let Some(text) = token.text().filter(|t| !is_noise(t)) else { continue };
        // Six digits are a post code.
        if token.is_number() && text.len() == 6 {
            continue;
        }
        let dotted = tokens.get(i + 1).is_some_and(|t| t.is_any("."));
        let before = out.len();
        out.extend(words_of(text).map(|text| AddressWord { text, shortened: false }));
        if let Some(last) = out.get_mut(before..).and_then(<[_]>::last_mut) {
            last.shortened = dotted;
        }
    }
    out
}

/// Words apart, at spaces and hyphens; a type of place stays whole.
fn words_of(name: &str) -> impl Iterator<Item = String> + '_ {
    name.split(' ').flat_map(|word| {
        let whole = super::address::is_type(word);
        word.split(move |c| !whole && matches!(c, '-' | '/' | '_')).filter(|w| !w.is_empty()).map(str::to_owned)
    })
}

/// The last run of tokens that reads as a house, with words after it.
fn house_inside(tokens: &[Token]) -> Option<(usize, usize)> {
    let tokens = tokens.get(..MAX_TOKENS).unwrap_or(tokens);
    let belongs = |i: usize| {
        let single = tokens[i].word().is_some_and(|w| w.chars().count() == 1);
        let initial = single && tokens.get(i + 1).is_some_and(|t| t.is_any("."));
        tokens[i].is_number() || tokens[i].is_any("/-_№.") || single && !initial || house_part(&tokens[i..]).is_some()
    };
    let (mut found, mut at) = (None, 0);
    while at < tokens.len() {
        let begins = tokens[at].is_number() && !(at > 0 && tokens[at - 1].is_any("-/"));
        let run = if begins { (at..tokens.len()).take_while(|&i| belongs(i)).count() } else { 0 };
        match (at + 1..=at + run).rev().find(|&to| reads_as_house(&tokens[at..to])) {
            Some(to) => {
                found = Some((at, to));
                at = to;
            }
            None => at += 1,
        }
    }
    found
}

fn forms(house: &House) -> Option<HouseForms> {
    let part = |sign: &str, value: &str| match value.is_empty() {
        true => String::new(),
        false => format!("{sign}{}", value.replace(' ', "")),
    };
    let (corpus, building) = (part("к", &house.corpus), part("с", &house.building));
    let exact = format!("{}{}{corpus}{building}", house.number.replace(' ', ""), house.letter.replace(' ', ""));
    let mut loose = String::new();
    for value in [&house.number, &house.letter, &house.corpus, &house.building] {
        let mut apart = true;
        for c in value.chars() {
            if !c.is_alphanumeric() {
                apart = true;
                continue;
            }
            if apart && c.is_ascii_digit() && loose.ends_with(|l: char| l.is_ascii_digit()) {
                loose.push('.');
            }
            apart = false;
            loose.push(c);
        }
    }
    let number = loose.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
    (!loose.is_empty()).then_some(HouseForms { exact, loose, number })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Readings as «words | exact loose», guesses marked.
    fn shown(text: &str) -> Vec<String> {
        let house = |h: &HouseForms| format!("{} {}", h.exact, h.loose);
        let one = |r: &Reading| {
            let words: Vec<&str> = r.words.iter().map(|w| w.text.as_str()).collect();
            let guess = if r.guessed { "?" } else { "" };
            format!("{}|{}{guess}", words.join(" "), r.house.as_ref().map_or(String::new(), house))
        };
        readings(text).iter().map(one).collect()
    }

    #[test]
    fn what_is_typed_is_read_in_every_way_it_may_be_meant() {
        assert_eq!(shown("ленина 5к2"), ["ленина|5к2 5.2", "ленина 5 к 2|"]);
        assert_eq!(shown("пр-т Ленина, д. 5, корп. 2"), ["пр-т ленина|5к2 5.2"]);
        assert_eq!(shown("проспект ленина 5/2"), ["проспект ленина|5/2 5.2", "проспект ленина 5 2|"]);
        assert_eq!(shown("5к2 ленина"), ["5 к 2 ленина|", "ленина|5к2 5.2?"]);
        assert_eq!(shown("8 марта"), ["8 марта|", "марта|8 8?"]);
        assert_eq!(shown("8 марта 5")[0], "8 марта|5 5");
        assert_eq!(shown("Ленина 5 к 2 Петрозаводск")[1], "ленина петрозаводск|5к2 5.2");
        assert_eq!(shown("дом 5 по улице ленина"), ["ленина по улице|5 5"]);
        assert_eq!(shown("185000, Санкт-Петербург, Мира 7 лит. А (двор)")[0], "санкт петербург мира|7а 7а");
        assert_eq!(shown("мира 5 корп а")[0], "мира|5ка 5а");
        assert_eq!(shown("ул С.Перовской 5")[0], "ул с перовской|5 5");
        assert!(shown("").is_empty() && shown("👍 — ((").is_empty());
    }

    #[test]
    fn a_registered_address_gives_its_parts() {
        let words = AddressWords::of("Респ. Карелия, р-н. Кемский, г. Кемь, ул. Садовая Б., д. 12/18, к. 2");
        assert_eq!(words.street, ["садовая", "б"]);
        assert_eq!(words.street_type, "ул");
        assert_eq!(words.places, [vec!["кемь"], vec!["кемский"], vec!["карелия"]]);
        assert_eq!(words.house.unwrap().exact, "12/18к2");
    }

    #[test]
    fn sizes_in_every_form() {
        for word in ["большая", "большой", "большую", "больш"] {
            assert_eq!(size_initial(word), Some('б'), "{word}");
        }
        assert_eq!(size_initial("нижней"), Some('н'));
        assert_eq!(size_initial("большевистская"), None);
        assert_eq!(size_initial("мал"), None);
        assert_eq!(size_word('в'), Some("верхн"));
    }
}
