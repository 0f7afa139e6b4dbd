//! What is typed, as a query over the index: a score says how much of it fits, in steps, so that nothing that fits less
//! comes before what fits more.
//!
//! Per word: written the same, the same in another case, begun (the last one, or one cut short with a full stop), a letter
//! wrong. For the house: the same, the same but for which part is which, one begun so, another of the same number. A
//! house weighs more than the words together may differ by: «ленина 5к2» finds 5к2 before 5к1, and 5 before 15.

use tantivy::Term;
use tantivy::query::{BooleanQuery, ConstScoreQuery, DisjunctionMaxQuery, FuzzyTermQuery, Occur, Query, TermQuery};
use tantivy::schema::{Field, IndexRecordOption};

use super::terms::{Meaning, SHORTEST, key, meaning, name_key, stem};
use crate::error::{Error, Result};
use crate::registry::address_words::{AddressWord, HouseForms, Reading, readings};

/// Longest query, bytes.
pub const MAX_QUERY: usize = 512;
/// Most words and numbers of a query; what a search costs grows with them.
pub const MAX_WORDS: usize = 20;
/// Longest word that is looked for, characters.
const MAX_WORD: usize = 40;
/// Most words of a name that is looked for as a whole.
const MAX_NAME: usize = 4;

/// Points. A word fits in one of these ways.
const SAME: f32 = 30.0;
const STEM: f32 = 28.0;
const BEGUN: f32 = 20.0;
const WRONG: f32 = 8.0;
/// The street or place is called so, and nothing else.
const STREET: f32 = 12.0;
const PLACE: f32 = 6.0;
const TYPE: f32 = 4.0;
const INITIAL: f32 = 10.0;
/// The house: exactly, loosely, begun with more than a number, of the same number, of a number that begins so.
const HOUSE: [f32; 5] = [200.0, 160.0, 120.0, 100.0, 40.0];
/// A house where houses do not usually stand says less than a word that fits.
const GUESSED: f32 = 0.1;

/// How far a search goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effort {
    /// All words as they are.
    Strict,
    /// A letter of each may be wrong, or two swapped.
    Fuzzy,
    /// Besides, one word of three or more may be missing.
    Loose,
}

/// The fields of the index that a query looks into.
#[derive(Debug, Clone, Copy)]
pub struct Fields {
    /// Words and stems.
    pub words: Field,
    /// Keys.
    pub keys: Field,
    /// Houses, exactly.
    pub house: Field,
}

/// A query, taken apart.
#[derive(Debug, Clone)]
pub struct AddressQuery {
    readings: Vec<Reading>,
    /// The last word may be unfinished.
    open: bool,
}

impl AddressQuery {
    /// Takes apart what was typed. Any text will do; all of its signs are plain text.
    ///
    /// # Errors
    /// `search.long` for more than [`MAX_QUERY`] bytes or [`MAX_WORDS`] words.
    pub fn parse(text: &str) -> Result<AddressQuery> {
        const REMEDY: &str = "give town, street and house alone";
        if text.len() > MAX_QUERY {
            let what = format!("a query of {} bytes; at most {MAX_QUERY} are read", text.len());
            return Err(Error::refuse("search.long", what, REMEDY));
        }
        let mut readings = readings(text);
        let words = readings.iter().map(|r| r.words.len()).max().unwrap_or(0);
        if words > MAX_WORDS {
            let what = format!("{words} words; at most {MAX_WORDS} are looked for");
            return Err(Error::refuse("search.long", what, REMEDY));
        }
        readings.iter_mut().for_each(|r| r.words.retain(|w| meaning(w) != Meaning::Noise));
        readings.retain(|r| !r.words.is_empty());
        Ok(AddressQuery { readings, open: text.ends_with(char::is_alphanumeric) })
    }

    /// True where nothing is asked that a building could be found by.
    pub fn is_empty(&self) -> bool {
        self.readings.is_empty()
    }

    /// The query over the index; of several readings the one counts that fits best.
    pub fn over(&self, fields: Fields, effort: Effort) -> Box<dyn Query> {
        let last = self.readings.first().and_then(|r| r.words.last()).map(|w| w.text.clone()).filter(|_| self.open);
        best(self.readings.iter().map(|r| Build { fields, effort, last: last.as_deref() }.reading(r)).collect())
    }
}

struct Build<'q> {
    fields: Fields,
    effort: Effort,
    /// The word that is still being typed.
    last: Option<&'q str>,
}

fn is_number(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit())
}

fn best(of: Vec<Box<dyn Query>>) -> Box<dyn Query> {
    Box::new(DisjunctionMaxQuery::new(of))
}

fn term(field: Field, text: &str, score: f32) -> Box<dyn Query> {
    let term = TermQuery::new(Term::from_field_text(field, text), IndexRecordOption::Basic);
    Box::new(ConstScoreQuery::new(Box::new(term), score))
}

/// Terms that begin so, or that differ from it by `wrong` letters.
fn like(field: Field, text: &str, wrong: u8, begun: bool, score: f32) -> Box<dyn Query> {
    let term = Term::from_field_text(field, text);
    let query =
        if begun { FuzzyTermQuery::new_prefix(term, wrong, true) } else { FuzzyTermQuery::new(term, wrong, true) };
    Box::new(ConstScoreQuery::new(Box::new(query), score))
}

impl Build<'_> {
    fn key(&self, sort: char, text: &str, score: f32) -> Box<dyn Query> {
        term(self.fields.keys, &format!("{sort}{text}"), score)
    }

    fn reading(&self, reading: &Reading) -> Box<dyn Query> {
        let (mut must, mut may, mut numbers) = (Vec::new(), Vec::new(), Vec::new());
        for word in &reading.words {
            match meaning(word) {
                Meaning::Name if is_number(&word.text) => numbers.push(self.word(word)),
                Meaning::Name => must.push(self.word(word)),
                Meaning::Type(kind) => {
                    let mut any = vec![self.word(word)];
                    if kind.street && !kind.name.is_empty() {
                        any.push(self.key(key::TYPE, kind.name, TYPE));
                    }
                    may.push(best(any));
                }
                Meaning::Initial(c) => {
                    may.push(best(vec![self.word(word), self.key(key::INITIAL, &c.to_string(), INITIAL)]));
                }
                Meaning::Noise => {}
            }
        }
        if must.is_empty() && numbers.is_empty() {
            // Nothing but types and initials: «набережная 4», «малая 5».
            must = std::mem::take(&mut may);
        }
        let names = must.len();
        let needed = if self.effort == Effort::Loose && names > 2 { names - 1 } else { names };
        // A number is never left out: it may be the house.
        let mut clauses: Vec<(Occur, Box<dyn Query>)> = numbers.into_iter().map(|q| (Occur::Must, q)).collect();
        if names > 0 {
            let wanted = must.into_iter().map(|q| (Occur::Should, q)).collect();
            clauses.push((Occur::Must, Box::new(BooleanQuery::with_minimum_required_clauses(wanted, needed))));
        }
        if let Some(house) = &reading.house {
            clauses.push((Occur::Must, self.house(house, if reading.guessed { GUESSED } else { 1.0 })));
        }
        clauses.extend(may.into_iter().chain(self.names(&reading.words)).map(|q| (Occur::Should, q)));
        Box::new(BooleanQuery::new(clauses))
    }

    fn word(&self, word: &AddressWord) -> Box<dyn Query> {
        let field = self.fields.words;
        let text: String = word.text.chars().take(MAX_WORD).collect();
        let length = text.chars().count();
        let mut any = vec![term(field, &text, SAME)];
        if is_number(&text) {
            return best(any);
        }
        let stem = stem(&text);
        any.push(term(field, &stem, STEM));
        let last = self.last == Some(word.text.as_str());
        if (last || word.shortened) && length > 1 {
            any.push(like(field, &text, 0, true, BEGUN));
        }
        if self.effort > Effort::Strict && length >= SHORTEST {
            any.push(like(field, &text, 1, false, WRONG));
            if last && length > SHORTEST {
                any.push(like(field, &text, 1, true, WRONG - 2.0));
            }
            if stem.chars().count() >= SHORTEST {
                any.push(like(field, &stem, 1, false, WRONG - 1.0));
            }
        }
        best(any)
    }

    /// Words that stand together may be the whole name of a street or place.
    fn names(&self, words: &[AddressWord]) -> Vec<Box<dyn Query>> {
        let parts: Vec<&str> =
            words.iter().filter(|w| !matches!(meaning(w), Meaning::Type(_))).map(|w| w.text.as_str()).collect();
        let (mut streets, mut places) = (Vec::new(), Vec::new());
        for size in 1..=MAX_NAME.min(parts.len()) {
            for run in parts.windows(size) {
                let name = name_key(run.iter().copied());
                streets.push(self.key(key::STREET, &name, STREET));
                places.push(self.key(key::PLACE, &name, PLACE));
            }
        }
        [streets, places].into_iter().filter(|q| !q.is_empty()).map(best).collect()
    }

    fn house(&self, house: &HouseForms, weight: f32) -> Box<dyn Query> {
        let begun = if house.exact.bytes().all(|b| b.is_ascii_digit()) { HOUSE[4] } else { HOUSE[2] };
        let mut any = vec![
            term(self.fields.house, &house.exact, HOUSE[0] * weight),
            self.key(key::LOOSE, &house.loose, HOUSE[1] * weight),
            like(self.fields.house, &house.exact, 0, true, begun * weight),
        ];
        if !house.number.is_empty() {
            any.push(self.key(key::NUMBER, &house.number, HOUSE[3] * weight));
        }
        best(any)
    }
}
