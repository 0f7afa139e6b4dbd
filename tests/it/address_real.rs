//! The address index over real files: every row must find itself, and the same house as another file spells it.

use std::collections::HashMap;

use domovoi::registry::address::{AddressIndex, Match};
use domovoi::registry::ids::BuildingId;

use crate::data;

fn id(number: &str) -> BuildingId {
    BuildingId::new("reformagkh", number).unwrap()
}

/// Shares of queries answered with the building alone, and with it among others.
fn rates(index: &AddressIndex, queries: &[(BuildingId, String)]) -> (f64, f64) {
    let (mut one, mut listed, mut shown) = (0, 0, 0);
    for (id, address) in queries {
        match index.find(address) {
            Match::One(found) if found == *id => one += 1,
            Match::Many(list) if list.iter().any(|c| c.id == *id) => listed += 1,
            other => {
                shown += 1;
                if shown <= 3 {
                    eprintln!("  missed {id} «{address}»: {other:?}");
                }
            }
        }
    }
    let all = queries.len() as f64;
    (f64::from(one) / all, f64::from(listed) / all)
}

fn addresses(name: &str) -> Option<Vec<(BuildingId, String)>> {
    let rows = data::rows(name)?;
    Some(rows.into_iter().map(|mut r| (id(&r["HOUSE_ID"]), r.remove("ADDRESS").unwrap())).collect())
}

#[test]
fn every_row_finds_itself() {
    for name in ["77_moscow_20170614.csv.gz", "10_karelia_20160920.csv.gz", "60_pskov_20161003.csv.gz"] {
        let Some(rows) = addresses(name) else { continue };
        let index = AddressIndex::build(rows.iter().map(|(id, a)| (id.clone(), a.as_str())));
        let (one, listed) = rates(&index, &rows);
        eprintln!("{name}: {} rows, itself alone {one:.4}, among others {listed:.4}", rows.len());
        // Among others: the portal holds many houses twice, as «15А» and «15 А».
        assert!(one + listed > 0.99 && one > 0.85, "{name}: {one} + {listed}");
    }
}

#[test]
fn dirty_rows_find_themselves() {
    let Some(rows) = data::rows("saratov_2015_dirty.csv") else { return };
    let rows: Vec<_> =
        rows.iter().filter(|r| r["adress"] != "none").map(|r| (id(&r["_num"]), r["adress"].clone())).collect();
    let index = AddressIndex::build(rows.iter().map(|(id, a)| (id.clone(), a.as_str())));
    let (one, listed) = rates(&index, &rows);
    eprintln!("saratov: {} rows, itself alone {one:.4}, among others {listed:.4}", rows.len());
    assert!(one + listed > 0.97, "{one} + {listed}");
}

/// The 2014 file spells «г Москва ул Мира д.5 кор.1», the 2017 one «г. Москва, ул. Мира, д. 5, к. 1»: ids tell which are
/// the same house.
#[test]
fn another_files_spelling_finds_the_house() {
    let (Some(old), Some(new)) = (addresses("77_moscow_20140323.csv.gz"), addresses("77_moscow_20170614.csv.gz"))
    else {
        return;
    };
    let known: HashMap<_, _> = new.iter().map(|(id, a)| (id.clone(), a.as_str())).collect();
    let index = AddressIndex::build(new.iter().map(|(id, a)| (id.clone(), a.as_str())));
    let both: Vec<_> = old.into_iter().filter(|(id, _)| known.contains_key(id)).collect();
    let (one, listed) = rates(&index, &both);
    eprintln!("2014 in 2017: {} houses, alone {one:.4}, among others {listed:.4}", both.len());
    assert!(one + listed > 0.95, "{one} + {listed}");
    // The address of a house that is really another one must never be taken for it: what is found alone is right.
    let wrong = both.iter().filter(|(id, a)| matches!(index.find(a), Match::One(found) if found != *id)).count();
    eprintln!("found another house alone: {wrong}");
    assert!((wrong as f64) < 0.02 * both.len() as f64, "{wrong}");
}
