//! Text, days and moments as records hold them: each type is its own check, so that a value of it is known to be good.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use unicode_normalization::{UnicodeNormalization, is_nfc};

use crate::error::{Error, Result};

/// Most characters of a [`Text`].
pub const MAX_TEXT: usize = 500;

/// Serde as a string, through `Display` and `FromStr`.
macro_rules! serde_as_string {
    ($($name:ty),+) => {$(
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
                struct Parse;
                impl serde::de::Visitor<'_> for Parse {
                    type Value = $name;
                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str(concat!("a string: ", stringify!($name)))
                    }
                    fn visit_str<E: serde::de::Error>(self, v: &str) -> std::result::Result<$name, E> {
                        v.parse().map_err(E::custom)
                    }
                }
                d.deserialize_str(Parse)
            }
        }
    )+};
}
pub(crate) use serde_as_string;

/// A line of text for people: NFC, 1 to 500 characters, no white space at its ends, no control, line-breaking,
/// direction-changing or zero-width-space characters. What is shown is what is stored.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Text(Box<str>);

/// Characters that change how the rest is shown, or are not shown at all.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

impl Text {
    /// Checks `s` and changes nothing.
    ///
    /// # Errors
    /// `text.nfc`, `text.control`, `text.length`.
    pub fn new(s: &str) -> Result<Text> {
        // Bytes first: at most four a character, so that nothing long is looked at.
        if s.len() > 4 * MAX_TEXT || s.chars().count() > MAX_TEXT || s.trim().is_empty() || s.trim() != s {
            return Err(Error::refuse(
                "text.length",
                format!("text of {} bytes is empty, longer than {MAX_TEXT} characters or has space at an end", s.len()),
                "write 1 to 500 characters without space at the ends",
            ));
        }
        if let Some(c) = s.chars().find(|&c| is_hidden(c)) {
            return Err(Error::refuse(
                "text.control",
                format!("text holds the invisible character U+{:04X}", c as u32),
                "remove line breaks, control and direction characters",
            ));
        }
        if !is_nfc(s) {
            return Err(Error::refuse("text.nfc", "text is not in Unicode form NFC", "normalise the text to NFC"));
        }
        Ok(Text(s.into()))
    }

    /// Makes text of what a person or a table wrote: NFC, invisible characters and runs of white space become one space.
    ///
    /// # Errors
    /// `text.length` when nothing is left, or too much.
    pub fn normalise(s: &str) -> Result<Text> {
        let mut out = String::new();
        for c in s.nfc().take(64 * 1024) {
            if is_hidden(c) || c.is_whitespace() {
                if !out.is_empty() && !out.ends_with(' ') {
                    out.push(' ');
                }
            } else {
                out.push(c);
            }
        }
        Text::new(out.trim_end())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for Text {
    type Err = Error;
    fn from_str(s: &str) -> Result<Text> {
        Text::new(s)
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// A calendar day, 1900-01-01 to 2200-12-31, without a time zone: the day as the region's people write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Day(jiff::civil::Date);

impl Day {
    /// The first day there is.
    pub const MIN: Day = Day(jiff::civil::Date::constant(1900, 1, 1));
    /// The last day there is.
    pub const MAX: Day = Day(jiff::civil::Date::constant(2200, 12, 31));

    /// The day `year-month-day`.
    ///
    /// # Errors
    /// `day.invalid`: no such day, or beyond the range.
    pub fn new(year: i16, month: i8, day: i8) -> Result<Day> {
        match jiff::civil::Date::new(year, month, day) {
            Ok(d) if (Day::MIN.0..=Day::MAX.0).contains(&d) => Ok(Day(d)),
            _ => Err(bad_day(&format!("{year}-{month}-{day}"))),
        }
    }

    /// Reads `YYYY-MM-DD`, and nothing else.
    ///
    /// # Errors
    /// `day.invalid`.
    pub fn parse(s: &str) -> Result<Day> {
        let b = s.as_bytes();
        if b.len() != 10 || b[4] != b'-' || b[7] != b'-' {
            return Err(bad_day(s));
        }
        let number = |range: std::ops::Range<usize>| {
            b[range].iter().try_fold(0i16, |n, c| c.is_ascii_digit().then(|| n * 10 + i16::from(c - b'0')))
        };
        match (number(0..4), number(5..7), number(8..10)) {
            (Some(y), Some(m), Some(d)) => Day::new(y, m as i8, d as i8),
            _ => Err(bad_day(s)),
        }
    }

    /// The day at the Unix moment `ms` (milliseconds) where clocks are `utc_offset_hours` ahead of UTC. Moments beyond
    /// the range give its last day.
    pub fn of_ms(ms: u64, utc_offset_hours: i8) -> Day {
        let local = i64::try_from(ms / 1000).unwrap_or(i64::MAX).saturating_add(i64::from(utc_offset_hours) * 3600);
        match jiff::Timestamp::from_second(local) {
            Ok(t) => Day(t.to_zoned(jiff::tz::TimeZone::UTC).date().clamp(Day::MIN.0, Day::MAX.0)),
            Err(_) => Day::MAX,
        }
    }

    /// The day after, if there is one.
    pub fn next(self) -> Option<Day> {
        self.0.tomorrow().ok().filter(|d| *d <= Day::MAX.0).map(Day)
    }

    /// The day before, if there is one.
    pub fn previous(self) -> Option<Day> {
        self.0.yesterday().ok().filter(|d| *d >= Day::MIN.0).map(Day)
    }

    /// The calendar date.
    pub fn date(self) -> jiff::civil::Date {
        self.0
    }
}

fn bad_day(s: &str) -> Error {
    let shown: String = s.chars().take(40).collect();
    Error::refuse("day.invalid", format!("«{shown}» is no day of 1900 to 2200"), "write the day as YYYY-MM-DD")
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // At once: these are written by the million.
        let (year, month, day) = (self.0.year() as u16, self.0.month() as u16, self.0.day() as u16);
        let (mut text, digit) = (*b"0000-00-00", |number: u16| b'0' + (number % 10) as u8);
        let digits = [year / 1000, year / 100, year / 10, year, month / 10, month, day / 10, day].map(digit);
        text.iter_mut().filter(|c| **c == b'0').zip(digits).for_each(|(place, digit)| *place = digit);
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl FromStr for Day {
    type Err = Error;
    fn from_str(s: &str) -> Result<Day> {
        Day::parse(s)
    }
}

serde_as_string!(Text, Day);

/// A moment: milliseconds since the Unix epoch, at most 2^53 − 1 so that every JSON reader reads the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Millis(u64);

impl Millis {
    /// The last moment there is.
    pub const MAX: Millis = Millis((1 << 53) - 1);

    /// Checks the range.
    ///
    /// # Errors
    /// `millis.range`.
    pub fn new(ms: u64) -> Result<Millis> {
        if ms > Millis::MAX.0 {
            return Err(Error::refuse("millis.range", format!("{ms} ms is beyond 2^53-1"), "send Unix milliseconds"));
        }
        Ok(Millis(ms))
    }

    /// Unix milliseconds.
    pub fn get(self) -> u64 {
        self.0
    }

    /// The moment `ms` milliseconds later, at most [`Millis::MAX`].
    pub fn plus(self, ms: u64) -> Millis {
        Millis(self.0.saturating_add(ms).min(Millis::MAX.0))
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        Millis::new(u64::deserialize(d)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn code(s: &str) -> &'static str {
        Text::new(s).unwrap_err().code()
    }

    #[test]
    fn text_is_checked() {
        assert_eq!(Text::new("Дом на Ленина, 5").unwrap().as_str(), "Дом на Ленина, 5");
        assert_eq!(code(""), "text.length");
        assert_eq!(code(" x"), "text.length");
        assert_eq!(code(&"я".repeat(501)), "text.length");
        assert!(Text::new(&"я".repeat(500)).is_ok());
        assert_eq!(code("a\nb"), "text.control");
        assert_eq!(code("a\u{202e}b"), "text.control");
        assert_eq!(code("и\u{306}"), "text.nfc");
        assert_eq!(Text::normalise(" \u{feff}и\u{306} \n\u{a0} дом\t").unwrap().as_str(), "й дом");
        assert!(serde_json::from_str::<Text>("\"a\\u0000\"").is_err());
        assert_eq!(serde_json::from_str::<Text>("\"\\u0434\"").unwrap().as_str(), "д");
    }

    #[test]
    fn days_are_strict() {
        assert_eq!(Day::parse("2024-02-29").unwrap().to_string(), "2024-02-29");
        for bad in [
            "2023-02-29",
            "1899-12-31",
            "2201-01-01",
            "2024-2-29",
            "2024-02-29 ",
            "+024-02-29",
            "20240229",
            "дддд0",
            "",
        ] {
            assert!(Day::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(Day::of_ms(1_704_067_199_999, 0).to_string(), "2023-12-31");
        assert_eq!(Day::of_ms(1_704_067_199_999, 3).to_string(), "2024-01-01");
        assert_eq!(Day::of_ms(u64::MAX, 3), Day::MAX);
        assert_eq!(Day::MAX.next(), None);
        assert_eq!(Day::parse("2024-02-28").unwrap().next().unwrap().to_string(), "2024-02-29");
        assert_eq!(serde_json::to_string(&Day::parse("2024-02-29").unwrap()).unwrap(), "\"2024-02-29\"");
    }

    #[test]
    fn millis_fit_a_double() {
        assert_eq!(serde_json::from_str::<Millis>("9007199254740991").unwrap(), Millis::MAX);
        for bad in ["9007199254740992", "-1", "1.0", "1e3", "\"1\""] {
            assert!(serde_json::from_str::<Millis>(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn normalised_text_is_text(s in "\\PC{0,600}|.{0,40}") {
            if let Ok(t) = Text::normalise(&s) {
                prop_assert_eq!(Text::new(t.as_str()).unwrap(), t);
            }
        }
        #[test]
        fn day_parsing_never_panics(s in ".{0,12}") {
            if let Ok(d) = Day::parse(&s) {
                prop_assert_eq!(d.to_string(), s);
            }
        }
    }
}
