//! Buckets against a naive model, and against what must not be believed.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn digest(n: u32) -> LinkDigest {
    LinkDigest::of_link(&format!("https://max.ru/join/{n}"))
}

fn claim(region: u8, n: u32) -> LinkClaim {
    let region = RegionCode::new(region).unwrap();
    let record = Sha256::digest(n.to_be_bytes()).into();
    LinkClaim {
        region,
        chat: ChatNumber::derive(region, &record),
        since: 1_790_000_000 + u64::from(n),
        standing: LinkStanding::Official,
        owner: Some("ogrn:1027700132195".parse().unwrap()),
    }
}

fn map(links: impl IntoIterator<Item = (u8, u32)>) -> LinkMap {
    let mut out = Links::default();
    links.into_iter().for_each(|(region, n)| out.put(digest(n), claim(region, n)));
    out.into_map()
}

/// Root of the links by the words of docs/protocol.md alone: no map, no arenas.
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_set_of_claims_has_the_root_of_the_naive_model(
        claims in prop::collection::btree_set((1u8..5, 0u32..400), 0..700)
    ) {
        let mut by_link = BTreeMap::<[u8; 32], Vec<(u8, u32)>>::new();
        claims.iter().for_each(|&(region, n)| by_link.entry(digest(n).0).or_default().push((region, n)));
        let value = |said: &Vec<(u8, u32)>| {
            // The set is sorted by region already.
            let lines: String = said.iter().map(|&(region, n)| format!("{}\n", claim(region, n))).collect();
            <[u8; 32]>::from(Sha256::digest([b"domovoi link leaf v0\n", lines.as_bytes()].concat()))
        };
        let leaves: Vec<_> = by_link.iter().map(|(link, said)| (*link, value(said))).collect();
        // Handed in backwards: the order regions are read in is nothing.
        let map = map(claims.iter().rev().copied());
        prop_assert_eq!(map.root(), naive(&leaves, 0));
        prop_assert_eq!(map.len(), by_link.len());
    }
}

#[test]
fn every_link_is_found_in_its_bucket_and_every_other_is_proved_absent() {
    let map = map((0..3000).map(|n| (77, n)).chain((0..50).map(|n| (50, n))));
    assert_eq!(map.bits(), 4, "3000 links in 16 buckets of about 187");
    for n in 0..4000 {
        let bucket = map.bucket(&bucket_name(&digest(n), 4)).unwrap();
        assert!(bucket.links.len() >= MIN_LINKS);
        let found = bucket.verify(&digest(n), 4, &map.root()).unwrap();
        let expected = match n {
            0..50 => Some(vec![claim(50, n), claim(77, n)]),
            50..3000 => Some(vec![claim(77, n)]),
            _ => None,
        };
        assert_eq!(found.map(<[_]>::to_vec), expected, "link {n}");
    }
    for none in ["", "-", "010", "01010", "01x1", "0111\u{430}"] {
        assert!(map.bucket(none).is_none(), "{none:?} names no bucket");
    }
}

#[test]
fn few_links_are_one_bucket() {
    for count in [0, 1, 2, 127, 200] {
        let map = map((0..count).map(|n| (77, n)));
        assert_eq!(map.bits(), 0);
        let bucket = map.bucket("-").unwrap();
        assert_eq!(bucket.verify(&digest(0), 0, &map.root()).unwrap().is_some(), count > 0);
        assert_eq!(bucket.verify(&digest(9999), 0, &map.root()).unwrap(), None);
    }
}

#[test]
fn the_prefix_follows_the_number_of_links() {
    let mut last = 0;
    for count in [200, 600, 2000, 8000] {
        let map = map((0..count).map(|n| (77, n)));
        assert!(map.bits() >= last, "{count}");
        last = map.bits();
        let smallest = |bits: u32| {
            let mut held = vec![0; 1 << bits];
            (0..count).for_each(|n| held[number_of(&digest(n).0, bits)] += 1);
            *held.iter().min().unwrap()
        };
        assert!(last == 0 || smallest(last) >= MIN_LINKS, "{count}");
        assert!(smallest(last + 1) < MIN_LINKS, "{count}: one bit more would have been possible");
    }
    assert!(last > 3);
}

#[test]
fn a_bucket_that_was_changed_anywhere_is_refused() {
    let map = map((0..3000).map(|n| (77, n)));
    let link = digest(7);
    let good = map.bucket(&bucket_name(&link, 4)).unwrap();
    let refused = |change: &dyn Fn(&mut LinkBucket)| {
        let mut bad = good.clone();
        change(&mut bad);
        bad.verify(&link, 4, &map.root()).unwrap_err().code().to_owned()
    };
    let at = good.links.iter().position(|(l, _)| *l == link).unwrap();
    let other = (0..3000).map(digest).find(|d| bucket_name(d, 4) != bucket_name(&link, 4)).unwrap();
    assert_eq!(refused(&|b| drop(b.links.remove(at))), "bucket.root");
    assert_eq!(refused(&|b| drop(b.links.remove((at + 1) % b.links.len()))), "bucket.root");
    assert_eq!(refused(&|b| b.links[at].1[0].standing = LinkStanding::Closed), "bucket.root");
    assert_eq!(refused(&|b| b.links[at].1[0].since -= 1), "bucket.root");
    assert_eq!(refused(&|b| b.links[at].1[0].owner = None), "bucket.root");
    assert_eq!(refused(&|b| b.links[at].1.push(claim(78, 7))), "bucket.root");
    assert_eq!(refused(&|b| b.siblings[2][0] ^= 1), "bucket.root");
    assert_eq!(refused(&|b| b.siblings.swap(0, 1)), "bucket.root");
    assert_eq!(refused(&|b| b.links[at].1.clear()), "bucket.form");
    assert_eq!(refused(&|b| b.links.swap(0, 1)), "bucket.form");
    assert_eq!(refused(&|b| b.links.insert(at, b.links[at].clone())), "bucket.form");
    assert_eq!(refused(&|b| b.links.push((other, vec![claim(77, 1)]))), "bucket.form");
    assert_eq!(refused(&|b| b.siblings.truncate(3)), "bucket.form");
    assert_eq!(good.verify(&link, 4, &[0; 32]).unwrap_err().code(), "bucket.root");
    assert_eq!(good.verify(&other, 4, &map.root()).unwrap_err().code(), "bucket.form");
}

#[test]
fn a_claim_has_one_spelling() {
    let text = claim(77, 1).to_string();
    assert_eq!(text.parse::<LinkClaim>().unwrap(), claim(77, 1));
    let none = LinkClaim { owner: None, standing: LinkStanding::OwnerSuspended, ..claim(77, 1) };
    assert!(none.to_string().ends_with(" owner_suspended -"));
    assert_eq!(none.to_string().parse::<LinkClaim>().unwrap(), none);
    for bad in [
        text.replace("official", "Official"),
        text.replace(" 1790000001 ", " 01790000001 "),
        text.replace(" 1790000001 ", " +1790000001 "),
        format!("{text} "),
        text.to_lowercase(),
        text.replace("77 77", "7 77"),
    ] {
        assert_eq!(bad.parse::<LinkClaim>().unwrap_err().code(), "bucket.form", "{bad}");
    }
}
