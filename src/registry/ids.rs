//! Identifiers of everything a record names (domain.md, "Identifiers").
//!
//! Each has one canonical spelling; parsing accepts that one only, so that two texts never mean the same thing. What
//! people write is brought into it by the importers and by [`canonical_link`].

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};

use super::regions;
use super::text::serde_as_string;
use crate::error::{Error, Result};

pub use super::link::{LinkDigest, canonical_link};

/// What a message shows of an input that may be long.
pub(super) fn shown(s: &str) -> String {
    s.chars().take(60).collect()
}

fn digits(s: &str, len: std::ops::RangeInclusive<usize>) -> bool {
    len.contains(&s.len()) && s.bytes().all(|b| b.is_ascii_digit())
}

/// Code of a subject of the federation, one of the 89 of [`regions`]; two digits in text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RegionCode(u8);

impl RegionCode {
    /// Checks that there is such a region.
    ///
    /// # Errors
    /// `region.unknown`.
    pub fn new(number: u8) -> Result<RegionCode> {
        regions::by_number(number).map(|r| r.code).ok_or_else(|| unknown_region(&number.to_string()))
    }
    /// For the table itself, which is what [`RegionCode::new`] asks.
    pub(super) fn in_table(number: u8) -> RegionCode {
        RegionCode(number)
    }
    /// The number.
    pub fn number(self) -> u8 {
        self.0
    }
    /// Its row of the table.
    pub fn region(self) -> Option<&'static regions::Region> {
        regions::by_number(self.0)
    }
}

fn unknown_region(s: &str) -> Error {
    Error::refuse(
        "region.unknown",
        format!("«{}» is no code of a region", shown(s)),
        "write two digits, 01 to 95, as in 77",
    )
}

impl fmt::Display for RegionCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}", self.0)
    }
}
impl fmt::Debug for RegionCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
impl FromStr for RegionCode {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self> {
        if !digits(s, 2..=2) {
            return Err(unknown_region(s));
        }
        RegionCode::new(s.parse().map_err(|_| unknown_region(s))?)
    }
}

/// `scheme:value` ids: one shared text, cheap to clone.
macro_rules! schemed {
    ($(#[$doc:meta])* $name:ident, $code:literal, $check:path, $remedy:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The id of `scheme` with `value`.
            ///
            /// # Errors
            #[doc = concat!("`", $code, "`.")]
            pub fn new(scheme: &str, value: &str) -> Result<Self> {
                if value.len() > 64 || scheme.len() > 16 {
                    return Err(Error::refuse($code, format!("id «{}» is too long", shown(value)), $remedy));
                }
                match $check(scheme, value) {
                    Ok(()) => Ok(Self(format!("{scheme}:{value}").into())),
                    Err(why) => Err(Error::refuse($code, format!("«{}:{}»: {why}", shown(scheme), shown(value)), $remedy)),
                }
            }
            /// The part before the colon.
            pub fn scheme(&self) -> &str {
                self.0.split_once(':').map_or("", |(scheme, _)| scheme)
            }
            /// The part after the first colon.
            pub fn value(&self) -> &str {
                self.0.split_once(':').map_or("", |(_, value)| value)
            }
            /// The whole id.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl FromStr for $name {
            type Err = Error;
            fn from_str(s: &str) -> Result<Self> {
                let (scheme, value) = s.split_once(':').unwrap_or((s, ""));
                Self::new(scheme, value)
            }
        }
    };
}

schemed!(
    /// A building: `gar:` (ФИАС/ГАР UUID, lower case), `gis:` (ГИС ЖКХ, 25 digits, `-`, 5 digits), `kad:` (cadastral
    /// number) or `reformagkh:` (Реформа ЖКХ).
    BuildingId, "building.id", check_building,
    "write gar:<uuid in lower case>, gis:<25 digits>-<5 digits>, kad:NN:NN:NNNNNNN:N or reformagkh:<digits>"
);
schemed!(
    /// An organisation or authority: `ogrn:`, `ogrnip:`, `inn:` (each with its checksum) or `reformagkh:`.
    OrgId, "organisation.id", check_org,
    "write ogrn:<13 digits>, ogrnip:<15 digits>, inn:<10 or 12 digits> or reformagkh:<digits>, and check the digits"
);

type Check = std::result::Result<(), &'static str>;

fn check(ok: bool, why: &'static str) -> Check {
    if ok { Ok(()) } else { Err(why) }
}

fn portal_number(value: &str) -> bool {
    digits(value, 1..=12) && !value.starts_with('0')
}

fn check_building(scheme: &str, value: &str) -> Check {
    match scheme {
        "gar" => check(is_uuid(value), "not a UUID in lower case"),
        "gis" => check(
            value.split_once('-').is_some_and(|(a, b)| digits(a, 25..=25) && digits(b, 5..=5)),
            "a ГИС ЖКХ number is 25 digits, -, 5 digits",
        ),
        "kad" => {
            let lengths = [2..=2, 2..=2, 1..=7, 1..=12];
            let parts: Vec<&str> = value.split(':').collect();
            let ok = parts.len() == 4 && parts.iter().zip(lengths).all(|(p, len)| digits(p, len));
            check(ok, "a cadastral number is NN:NN:NNNNNNN:N")
        }
        "reformagkh" => check(portal_number(value), "1 to 12 digits, the first not 0"),
        _ => Err("unknown scheme"),
    }
}

fn is_uuid(value: &str) -> bool {
    value.len() == 36
        && value.bytes().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_digit() || (b'a'..=b'f').contains(&b),
        })
}

fn check_org(scheme: &str, value: &str) -> Check {
    match scheme {
        "ogrn" => check(digits(value, 13..=13) && remainder(value, 12, 11), "13 digits with a checksum"),
        "ogrnip" => check(digits(value, 15..=15) && remainder(value, 14, 13), "15 digits with a checksum"),
        "inn" => check(inn(value), "10 or 12 digits with a checksum"),
        "reformagkh" => check(portal_number(value), "1 to 12 digits, the first not 0"),
        _ => Err("unknown scheme"),
    }
}

/// ОГРН, ОГРНИП: the last digit is the number before it, mod `by`, mod 10.
fn remainder(value: &str, body: usize, by: u64) -> bool {
    let number: u64 = value[..body].parse().unwrap_or(0);
    number != 0 && value.as_bytes()[body] == b'0' + (number % by % 10) as u8
}

fn inn(value: &str) -> bool {
    const W: [u32; 11] = [3, 7, 2, 4, 10, 3, 5, 9, 4, 6, 8];
    if !(digits(value, 10..=10) || digits(value, 12..=12)) || value.bytes().all(|b| b == b'0') {
        return false;
    }
    let d: Vec<u32> = value.bytes().map(|b| u32::from(b - b'0')).collect();
    let control = |at: usize| {
        let weights = &W[W.len() - at..];
        d[at] == d.iter().zip(weights).map(|(d, w)| d * w).sum::<u32>() % 11 % 10
    };
    if d.len() == 10 { control(9) } else { control(10) && control(11) }
}

/// A string of at most 11 digits, left-aligned in a number so that order and prefixes are those of the text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Digits {
    aligned: u64,
    len: u8,
}

impl Digits {
    fn parse(s: &str) -> Option<Digits> {
        if !digits(s, 1..=11) {
            return None;
        }
        Some(Digits { aligned: s.parse::<u64>().ok()? * 10u64.pow(11 - s.len() as u32), len: s.len() as u8 })
    }
    fn prefix(self, len: u8) -> Option<Digits> {
        let unit = 10u64.pow(11u32.checked_sub(u32::from(len))?);
        (len <= self.len).then(|| Digits { aligned: self.aligned / unit * unit, len })
    }
}

impl fmt::Display for Digits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (len, unit) = (usize::from(self.len), 10u64.pow(11 - u32::from(self.len)));
        write!(f, "{:0len$}", self.aligned / unit)
    }
}

macro_rules! oktmo {
    ($(#[$doc:meta])* $name:ident, $lengths:pat, $code:literal, $remedy:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Digits);
        impl FromStr for $name {
            type Err = Error;
            fn from_str(s: &str) -> Result<Self> {
                match Digits::parse(s) {
                    Some(d) if matches!(d.len, $lengths) => Ok($name(d)),
                    _ => Err(Error::refuse($code, format!("«{}» is not ОКТМО", shown(s)), $remedy)),
                }
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

oktmo!(
    /// Where a building stands: 8 or 11 digits name a municipality or settlement, 2 or 3 only the region (the
    /// municipality is not known). There is no checksum.
    Oktmo, 2 | 3 | 8 | 11, "oktmo.invalid", "write 8 or 11 digits, or the region's prefix where the municipality is not known"
);
oktmo!(
    /// The beginning of ОКТМО codes an authority, key or region is responsible for: 2 to 11 digits.
    OktmoPrefix, 2..=11, "oktmo.prefix", "write 2 to 11 digits"
);

impl Oktmo {
    /// Whether it lies under `prefix`.
    pub fn starts_with(&self, prefix: &OktmoPrefix) -> bool {
        self.0.prefix(prefix.0.len) == Some(prefix.0)
    }
    /// Its first `len` digits, if it has so many.
    pub fn prefix(&self, len: u8) -> Option<OktmoPrefix> {
        self.0.prefix(len).filter(|d| d.len >= 2).map(OktmoPrefix)
    }
}

impl OktmoPrefix {
    /// Whether everything under `self` lies under `prefix` too.
    pub fn starts_with(&self, prefix: &OktmoPrefix) -> bool {
        self.0.prefix(prefix.0.len) == Some(prefix.0)
    }
}

/// 32 bytes, lower-case hexadecimal in text.
macro_rules! hex32 {
    ($name:ident, $code:literal) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut text = [0; 64];
                f.write_str(data_encoding::HEXLOWER.encode_mut_str(&self.0, &mut text))
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }
        impl FromStr for $name {
            type Err = Error;
            fn from_str(s: &str) -> Result<Self> {
                $crate::registry::ids::hex_32(s).map($name).ok_or_else(|| {
                    Error::refuse($code, "not 32 bytes in hexadecimal", "write 64 digits 0-9 and a-f in lower case")
                })
            }
        }
    };
}
pub(super) use hex32;

/// 64 lower-case hexadecimal digits as bytes.
pub(super) fn hex_32(s: &str) -> Option<[u8; 32]> {
    (s.len() == 64).then(|| HEXLOWER.decode(s.as_bytes()).ok()?.try_into().ok())?
}

/// Id of a record, or SHA-256 of a document; hexadecimal in text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordId(
    /// The digest.
    pub [u8; 32],
);
hex32!(RecordId, "record.id");

/// Thumbprint of a public key; 43 characters of unpadded base64url in text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyThumb(
    /// The digest.
    pub [u8; 32],
);

impl fmt::Display for KeyThumb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64URL_NOPAD.encode(&self.0))
    }
}
impl fmt::Debug for KeyThumb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
impl FromStr for KeyThumb {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self> {
        let bytes = if s.len() == 43 { BASE64URL_NOPAD.decode(s.as_bytes()).ok() } else { None };
        bytes.and_then(|b| b.try_into().ok()).map(KeyThumb).ok_or_else(|| {
            Error::refuse("key.id", "not a key id", "write the 43 characters of canonical unpadded base64url")
        })
    }
}

/// A chat's number in MAX, `max:-123` in text; groups are negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MaxChatId(
    /// The number.
    pub i64,
);

impl fmt::Display for MaxChatId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "max:{}", self.0)
    }
}
impl FromStr for MaxChatId {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self> {
        let id = s.strip_prefix("max:").filter(|n| n.len() <= 20).and_then(|n| n.parse().ok()).map(MaxChatId);
        // Written again it must be the same: no plus sign, no leading zero.
        id.filter(|id| id.0 != 0 && id.to_string() == s).ok_or_else(|| {
            Error::refuse(
                "chat.max_id",
                format!("«{}» is no chat id", shown(s)),
                "write max: and the number, as in max:-123",
            )
        })
    }
}

/// The registry's own permanent number of a chat: region and 60 bits of the id of the record that registered it,
/// `77-ABCD-EFGH-JKMN` in text (Crockford's base32, which has no I, L, O, U).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChatNumber {
    region: RegionCode,
    bits: u64,
}

const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

impl ChatNumber {
    /// The number of the chat brought into being by the record `record` in the log of `region`.
    pub fn derive(region: RegionCode, record: &[u8; 32]) -> ChatNumber {
        let first = record[..8].iter().fold(0u64, |n, &b| n << 8 | u64::from(b));
        ChatNumber { region, bits: first >> 4 }
    }
    /// The region whose log it was registered in.
    pub fn region(self) -> RegionCode {
        self.region
    }
}

impl fmt::Display for ChatNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.region, f)?;
        // At once: these are written by the million.
        let mut text = *b"-0000-0000-0000";
        for (i, digit) in text.iter_mut().filter(|c| **c == b'0').enumerate() {
            *digit = CROCKFORD[(self.bits >> (55 - 5 * i) & 31) as usize];
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}
impl fmt::Debug for ChatNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
impl FromStr for ChatNumber {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self> {
        let bad = || {
            let detail = format!("«{}» is no chat number", shown(s));
            Error::refuse("chat.number", detail, "write the region and twelve characters, as in 77-ABCD-EFGH-JKMN")
        };
        let b = s.as_bytes();
        if b.len() != 17 || !s.is_ascii() || [2, 7, 12].iter().any(|&i| b[i] != b'-') {
            return Err(bad());
        }
        let mut bits = 0;
        for &c in b[3..].iter().filter(|&&c| c != b'-') {
            bits = bits << 5 | CROCKFORD.iter().position(|&d| d == c).ok_or_else(bad)? as u64;
        }
        let number = ChatNumber { region: s[..2].parse()?, bits };
        // A dash too many shifts the digits: what is written again must be what was read.
        if number.to_string() == s { Ok(number) } else { Err(bad()) }
    }
}

serde_as_string!(RegionCode, BuildingId, OrgId, Oktmo, OktmoPrefix, RecordId, KeyThumb, MaxChatId, ChatNumber);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round<T: FromStr + fmt::Display + serde::Serialize + serde::de::DeserializeOwned + PartialEq + fmt::Debug>(
        s: &str,
    ) where
        T::Err: fmt::Debug,
    {
        let value: T = s.parse().unwrap();
        assert_eq!(value.to_string(), s);
        let json = serde_json::to_string(&value).unwrap();
        assert_eq!(json, format!("{s:?}"));
        assert_eq!(serde_json::from_str::<T>(&json).unwrap(), value);
    }

    #[test]
    fn canonical_spellings_round_trip() {
        round::<RegionCode>("07");
        round::<BuildingId>("gar:0c5b2444-70a0-4932-980c-b4dc0d3f02b5");
        round::<BuildingId>("gis:7745000000000000000000000-00001");
        round::<BuildingId>("kad:77:01:0001001:1234");
        round::<BuildingId>("reformagkh:7000001");
        round::<OrgId>("ogrn:1027700132195");
        round::<OrgId>("inn:7707083893");
        round::<OrgId>("inn:500100732259");
        round::<OrgId>("ogrnip:304500116000157");
        round::<Oktmo>("01");
        round::<Oktmo>("118");
        round::<Oktmo>("01701000");
        round::<Oktmo>("01701000001");
        round::<OktmoPrefix>("0170");
        round::<MaxChatId>("max:-9223372036854775808");
        round::<KeyThumb>("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
        round::<RecordId>(&"0a".repeat(32));
        round::<ChatNumber>("77-ABCD-EFGH-JKMN");
    }

    #[test]
    fn other_spellings_are_refused() {
        for s in ["7", "00", "80", "96", "+7", "777"] {
            assert!(s.parse::<RegionCode>().is_err(), "{s}");
        }
        for s in [
            "gar:0C5B2444-70A0-4932-980C-B4DC0D3F02B5",
            "gar:0c5b244470a04932980cb4dc0d3f02b5",
            "gis:774500000000000000000000-00001",
            "kad:77:01:00010011:1",
            "kad:77:01:1",
            "reformagkh:07",
            "reformagkh:",
            "x:1",
            "",
            ":",
        ] {
            assert!(s.parse::<BuildingId>().is_err(), "{s}");
        }
        for s in
            ["ogrn:1027700132196", "inn:7707083894", "inn:500100732258", "inn:0000000000", "ogrn:0000000000000", "inn:"]
        {
            assert!(s.parse::<OrgId>().is_err(), "{s}");
        }
        for s in ["1", "1234", "123456789", "123456789012", "4a"] {
            assert!(s.parse::<Oktmo>().is_err(), "{s}");
        }
        for s in ["max:0", "max:+1", "max:01", "-1", "max:", "max:9223372036854775808"] {
            assert!(s.parse::<MaxChatId>().is_err(), "{s}");
        }
        for s in ["77-abcd-EFGH-JKMN", "77-ABCI-EFGH-JKMN", "80-ABCD-EFGH-JKMN", "77ABCDEFGHJKMN", "77-ABC--EFGH-JKMN"]
        {
            assert!(s.parse::<ChatNumber>().is_err(), "{s}");
        }
        assert!("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB".parse::<KeyThumb>().is_err(), "trailing bits");
        assert!("0A".repeat(32).parse::<RecordId>().is_err());
    }

    #[test]
    fn oktmo_prefixes() {
        let code: Oktmo = "11801000".parse().unwrap();
        let p = |s: &str| s.parse::<OktmoPrefix>().unwrap();
        assert!(code.starts_with(&p("11")) && code.starts_with(&p("118")) && code.starts_with(&p("11801000")));
        assert!(!code.starts_with(&p("117")) && !code.starts_with(&p("11801000001")));
        assert!(p("118").starts_with(&p("11")) && !p("11").starts_with(&p("118")));
        assert_eq!(code.prefix(3), Some(p("118")));
        let order: Vec<OktmoPrefix> = ["01", "011", "02", "11", "118"].map(p).to_vec();
        assert!(order.is_sorted());
    }

    #[test]
    fn chat_number_takes_the_first_sixty_bits() {
        let mut id = [0xff; 32];
        id[7] = 0xf0;
        assert_eq!(ChatNumber::derive(RegionCode::new(77).unwrap(), &id).to_string(), "77-ZZZZ-ZZZZ-ZZZZ");
        let id = [0x08, 0x42, 0x10, 0, 0, 0, 0, 0x0f].iter().copied().chain([0; 24]).collect::<Vec<u8>>();
        assert_eq!(
            ChatNumber::derive(RegionCode::new(1).unwrap(), &id.try_into().unwrap()).to_string(),
            "01-1111-0000-0000"
        );
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_is_canonical(s in "(max:|gar:|gis:|kad:|inn:|ogrn:|77-)?[-0-9a-zA-Z:я]{0,40}") {
            fn same<T: FromStr + fmt::Display>(s: &str) -> bool {
                s.parse::<T>().map_or(true, |v| v.to_string() == s)
            }
            prop_assert!(same::<RegionCode>(&s) && same::<BuildingId>(&s) && same::<OrgId>(&s) && same::<Oktmo>(&s));
            prop_assert!(same::<OktmoPrefix>(&s) && same::<MaxChatId>(&s) && same::<ChatNumber>(&s) && same::<KeyThumb>(&s));
        }
        #[test]
        fn chat_numbers_round_trip(id in any::<[u8; 32]>()) {
            let number = ChatNumber::derive(RegionCode::new(77).unwrap(), &id);
            prop_assert_eq!(number.to_string().parse::<ChatNumber>().unwrap(), number);
        }
    }
}
