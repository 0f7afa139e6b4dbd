//! A naive model of the federation's two maps over random histories, written from the words of docs/protocol.md alone.

use std::collections::BTreeMap;

use domovoi::registry::link_map::{LinkStanding, Links};
use domovoi::registry::union_map::Union;
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use crate::regions::{self, MOSCOW, OBLAST, Region, TVER, pinned};

/// The union's root by the words of docs/protocol.md alone, from the leaves' names and values.
fn naive_root(regions: &[&Region]) -> [u8; 32] {
    let mut all = BTreeMap::<String, Vec<u8>>::new();
    let mut sorted = regions.to_vec();
    sorted.sort_by_key(|r| r.place.code);
    for region in sorted {
        for (name, value) in region.state.leaves() {
            let said = all.entry(name).or_default();
            said.extend(format!("{:02}", region.place.code).as_bytes());
            said.extend(value);
        }
    }
    let mut leaves: Vec<([u8; 32], [u8; 32])> = all
        .into_iter()
        .map(|(name, said)| {
            let key = Sha256::digest([b"domovoi map key v0\n", name.as_bytes()].concat()).into();
            (key, Sha256::digest([&b"domovoi union leaf v0\n"[..], &said].concat()).into())
        })
        .collect();
    leaves.sort();
    naive(&leaves, 0)
}

fn naive(leaves: &[([u8; 32], [u8; 32])], depth: usize) -> [u8; 32] {
    match leaves {
        [] => Sha256::digest([0x12]).into(),
        [(key, value)] => Sha256::digest([&[0x10][..], key, value].concat()).into(),
        _ => {
            let zero = |key: &[u8; 32]| key[depth / 8] & (0x80 >> (depth % 8)) == 0;
            let (left, right): (Vec<_>, Vec<_>) = leaves.iter().partition(|(key, _)| zero(key));
            Sha256::digest([&[0x11][..], &naive(&left, depth + 1), &naive(&right, depth + 1)].concat()).into()
        }
    }
}

fn union_of(regions: &[&Region]) -> [u8; 32] {
    let mut union = Union::default();
    regions.iter().for_each(|r| union.add(&r.state));
    union.into_map().root()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn the_union_of_random_histories_is_the_naive_models(steps in prop::collection::vec((0usize..3, 1u8..7), 1..25)) {
        let places = [MOSCOW, OBLAST, TVER];
        let chain = pinned(&places);
        let mut all: Vec<Region> = places.iter().map(|p| Region::new(*p, &chain)).collect();
        for (n, (who, handle)) in steps.into_iter().enumerate() {
            // Buildings are numbered anew each time, links and MAX ids are few: regions claim the same ones.
            all[who].build(n, vec![]);
            let said = &all[who].state;
            let taken = domovoi::registry::state::View::chats_by_link(said, &regions::link(handle));
            if taken.is_empty() {
                all[who].chat(&[n], handle);
            }
            let [a, b, c] = &all[..] else { unreachable!() };
            prop_assert_eq!(union_of(&[a, b, c]), naive_root(&[a, b, c]));
            prop_assert_eq!(union_of(&[c, a, b]), union_of(&[a, b, c]));
        }
    }
}

#[test]
fn a_foreign_claim_changes_nothing_about_the_chat_that_was_there_first() {
    let chain = pinned(&[MOSCOW, OBLAST]);
    let (mut first, mut second) = (Region::new(MOSCOW, &chain), Region::new(OBLAST, &chain));
    first.build(1, vec![]);
    let incumbent = first.chat(&[1], 7);
    second.time = first.time + 10_000_000;
    second.build(2, vec![]);
    second.chat(&[2], 7);
    for order in [[&first, &second], [&second, &first]] {
        let mut links = Links::default();
        order.iter().for_each(|r| links.add(&r.state));
        let map = links.into_map();
        let bucket = map.bucket("-").unwrap();
        let claims = bucket.verify(&regions::link(7), 0, &map.root()).unwrap().unwrap();
        // By region, whoever is read first: 50 before 77.
        assert_eq!(claims.iter().map(|c| c.region.number()).collect::<Vec<_>>(), [50, 77]);
        assert!(claims.iter().all(|c| c.standing == LinkStanding::Official));
        let earliest = claims.iter().min_by_key(|c| c.since).unwrap();
        assert_eq!(earliest.chat, incumbent);
    }
}
