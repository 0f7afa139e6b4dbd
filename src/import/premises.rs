//! Tables with a row for every flat: the house is taken from its first row, the others are counted.
//!
//! Rows of one house may lie anywhere in the file. Of each house some forty bytes are kept, of its rows nothing: what is
//! remembered is a hash of the cells that speak of the house.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, RandomState};

use super::input::too_large;
use crate::error::Result;

/// Most houses of a file: three times those of the largest region, private ones included.
const MAX_HOUSES: usize = 6_000_000;

/// What a row is among those of its house.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The first.
    First,
    /// Says of the house what the first said.
    Same,
    /// Says something else of the house than the row with this number did.
    Other(u64),
    /// The same, not for the first time.
    OtherAgain,
}

/// The houses seen so far.
pub(super) struct Premises {
    seen: HashMap<u128, Seen>,
    /// Keyed at random, so that nobody can write a file whose houses fall together.
    hashers: [RandomState; 2],
}

struct Seen {
    said: u64,
    /// What another row said of the house; nothing yet when it is the same as `said`.
    other: u64,
    row: u64,
}

impl Premises {
    pub(super) fn new() -> Premises {
        Premises { seen: HashMap::new(), hashers: [RandomState::new(), RandomState::new()] }
    }

    /// Takes note of a row: the house it names (empty when it names none) and the cells that speak of the house.
    ///
    /// # Errors
    /// `import.too-large` when there are more houses than any region has.
    pub(super) fn place(&mut self, row: u64, house: &str, said: &[&str]) -> Result<Place> {
        if house.is_empty() {
            return Ok(Place::First);
        }
        let [a, b] = &self.hashers;
        let key = u128::from(a.hash_one(house)) << 64 | u128::from(b.hash_one(house));
        let said = a.hash_one(said);
        if self.seen.len() >= MAX_HOUSES {
            return Err(too_large(format!("more than {MAX_HOUSES} houses")));
        }
        Ok(match self.seen.entry(key) {
            Entry::Vacant(v) => {
                v.insert(Seen { said, other: said, row });
                Place::First
            }
            Entry::Occupied(mut o) => {
                let seen = o.get_mut();
                if seen.said == said {
                    Place::Same
                } else if seen.other == seen.said {
                    seen.other = said;
                    Place::Other(seen.row)
                } else {
                    Place::OtherAgain
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_a_house_may_lie_anywhere() {
        let mut premises = Premises::new();
        let mut place = |row, house, said: &[&str]| premises.place(row, house, said).unwrap();
        assert_eq!(place(2, "a", &["x", "y"]), Place::First);
        assert_eq!(place(3, "b", &["x", "y"]), Place::First);
        assert_eq!(place(4, "a", &["x", "y"]), Place::Same);
        assert_eq!(place(5, "a", &["xy", ""]), Place::Other(2));
        assert_eq!(place(6, "a", &["z"]), Place::OtherAgain);
        assert_eq!(place(7, "a", &["x", "y"]), Place::Same);
        assert_eq!(place(8, "", &["x"]), Place::First);
        assert_eq!(place(9, "", &["x"]), Place::First, "a house without a name is nobody's second row");
    }
}
