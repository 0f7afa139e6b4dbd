//! The 89 subjects of the federation: code, names, ОКТМО prefixes, time zone (domain.md, "Identifiers").
//!
//! The table is a fact of geography, compiled in: it tells a region code from a typing error and gives a default
//! jurisdiction. Which prefixes a region may sign for in fact is said by the federation charter.
//!
//! ОКТМО prefixes have two digits, but three where one two-digit group is shared (11: Архангельская область and the
//! Ненецкий округ; 71: Тюменская область and its two округа), so that no prefix of one region begins another's.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::ids::{Oktmo, OktmoPrefix, RegionCode};

/// One subject of the federation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    /// Two-digit code.
    pub code: RegionCode,
    /// ISO 3166-2 code, where there is one.
    pub iso: Option<&'static str>,
    /// Full name in Russian.
    pub name_ru: &'static str,
    /// ОКТМО prefixes; the first is that of the region as a whole ("municipality not known").
    pub oktmo: Vec<OktmoPrefix>,
    /// Offset of the region's main time zone from UTC, hours.
    pub utc_offset_hours: i8,
    /// Federal district, where there is one.
    pub federal_district: Option<&'static str>,
}

static TABLE: &str = include_str!("regions.csv");

static REGIONS: LazyLock<Vec<Region>> = LazyLock::new(|| TABLE.lines().skip(1).filter_map(row).collect());

static BY_PREFIX: LazyLock<HashMap<OktmoPrefix, RegionCode>> =
    LazyLock::new(|| REGIONS.iter().flat_map(|r| r.oktmo.iter().map(|&p| (p, r.code))).collect());

/// Reads a row; the table is ours, and a test says that every row is read.
fn row(line: &'static str) -> Option<Region> {
    let mut cells = line.split(';');
    let mut cell = || cells.next();
    let filled = |s: &'static str| (!s.is_empty()).then_some(s);
    Some(Region {
        code: RegionCode::in_table(cell()?.parse().ok()?),
        iso: filled(cell()?),
        name_ru: cell()?,
        oktmo: cell()?.split(' ').map(|p| p.parse().ok()).collect::<Option<_>>()?,
        utc_offset_hours: cell()?.parse().ok()?,
        federal_district: filled(cell()?),
    })
}

/// All 89 regions, by code.
pub fn all() -> &'static [Region] {
    &REGIONS
}

/// The region with this number, if it is one of the 89.
pub fn by_number(number: u8) -> Option<&'static Region> {
    REGIONS.binary_search_by_key(&number, |r| r.code.number()).ok().map(|i| &REGIONS[i])
}

/// The region a municipality lies in: the longest prefix decides. None when no region has it, or when the two digits
/// are shared by several.
pub fn of_oktmo(oktmo: &Oktmo) -> Option<RegionCode> {
    (2..=3).rev().find_map(|n| oktmo.prefix(n).and_then(|p| BY_PREFIX.get(&p).copied()))
}

static BY_NAME: LazyLock<Vec<(Vec<String>, RegionCode)>> =
    LazyLock::new(|| REGIONS.iter().map(|r| (name_words(r.name_ru), r.code)).collect());

fn name_words(name: &str) -> Vec<String> {
    let apart = |c: char| !c.is_alphabetic() && c != '-';
    name.to_lowercase().replace('ё', "е").split(apart).filter(|w| w.chars().count() > 1).map(str::to_owned).collect()
}

/// The region whose name has all these words («псковская», «карелия», «Республика Карелия»), if it is only one.
pub fn by_name(name: &str) -> Option<RegionCode> {
    let words = name_words(name);
    let mut fit = BY_NAME.iter().filter(|(own, _)| !words.is_empty() && words.iter().all(|w| own.contains(w)));
    match (fit.next(), fit.next()) {
        (Some((_, code)), None) => Some(*code),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_whole_and_prefixes_are_disjoint() {
        assert_eq!(TABLE.lines().count() - 1, 89);
        assert_eq!(all().len(), 89);
        assert!(all().windows(2).all(|w| w[0].code < w[1].code));
        let prefixes: Vec<_> =
            all().iter().flat_map(|r| r.oktmo.iter().map(move |p| (p.to_string(), r.code))).collect();
        for (i, (a, _)) in prefixes.iter().enumerate() {
            for (b, _) in &prefixes[i + 1..] {
                assert!(!a.starts_with(b.as_str()) && !b.starts_with(a.as_str()), "{a} and {b} overlap");
            }
        }
        assert_eq!(all().iter().filter(|r| r.iso.is_none()).count(), 4);
    }

    #[test]
    fn names_tell_regions() {
        let of = |s: &str| by_name(s).map(|c| c.number());
        assert_eq!(of("псковская"), Some(60));
        assert_eq!(of("Карелия"), Some(10));
        assert_eq!(of("томская"), Some(70));
        assert_eq!(of("москва"), Some(77));
        assert_eq!(of("область"), None);
        assert_eq!(of(""), None);
        assert!(all().iter().all(|r| by_name(r.name_ru) == Some(r.code)));
    }

    #[test]
    fn shared_prefixes_are_told_apart() {
        let of = |s: &str| of_oktmo(&s.parse().unwrap()).map(|c| c.number());
        assert_eq!(of("11701000"), Some(29));
        assert_eq!(of("11811000"), Some(83));
        assert_eq!(of("71701000"), Some(72));
        assert_eq!(of("71876000"), Some(86));
        assert_eq!(of("71958000"), Some(89));
        assert_eq!(of("45301000"), Some(77));
        assert_eq!(of("45"), Some(77));
        assert_eq!(of("11"), None);
        assert_eq!(of("02"), None);
        assert_eq!(by_number(77).unwrap().name_ru, "город Москва");
        assert!(by_number(80).is_none());
    }
}
