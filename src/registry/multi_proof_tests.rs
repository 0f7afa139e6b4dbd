use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::super::statemap::tests::key;
use super::*;

type Model = BTreeMap<Bytes32, Bytes32>;
type Leaves = [(Bytes32, Bytes32)];

fn split<T: Clone>(items: &[T], depth: usize, key: impl Fn(&T) -> &Bytes32) -> (Vec<T>, Vec<T>) {
    items.iter().cloned().partition(|i| bit(key(i), depth) == 0)
}

/// The hash of a subtree and the proof through it, from the definition alone.
fn expected(leaves: &Leaves, keys: &[Bytes32], depth: usize, shape: &mut String, hashes: &mut Vec<Bytes32>) -> Bytes32 {
    let lone = match leaves {
        [] => Some(('e', EMPTY_ROOT)),
        [(key, value)] => Some((if keys.contains(key) { 'l' } else { 'o' }, leaf_hash(key, value))),
        _ => None,
    };
    if let Some((letter, hash)) = lone {
        match (keys.is_empty(), letter) {
            (true, _) => hashes.push(hash),
            (false, 'o') => (shape.push('o'), hashes.extend([leaves[0].0, leaves[0].1])).1,
            (false, letter) => shape.push(letter),
        }
        return hash;
    }
    let (left, right) = split(leaves, depth, |(key, _)| key);
    let (lk, rk) = split(keys, depth, |key| key);
    if keys.is_empty() {
        let (mut s, mut h) = Default::default();
        let all = |side: &Leaves, s: &mut String, h: &mut Vec<Bytes32>| expected(side, &[], depth + 1, s, h);
        let hash = inner_hash(&all(&left, &mut s, &mut h), &all(&right, &mut s, &mut h));
        hashes.push(hash);
        return hash;
    }
    shape.push('i');
    let left = expected(&left, &lk, depth + 1, shape, hashes);
    inner_hash(&left, &expected(&right, &rk, depth + 1, shape, hashes))
}

/// Letters with the inner nodes counted.
fn counted(letters: &str) -> String {
    let mut signs = String::new();
    let mut inner = 0;
    for letter in letters.chars() {
        if letter == 'i' {
            inner += 1;
            continue;
        }
        if inner > 0 {
            signs += &inner.to_string();
        }
        inner = 0;
        signs.push(letter);
    }
    signs
}

fn world() -> impl Strategy<Value = (Model, BTreeSet<Bytes32>)> {
    (prop::collection::btree_map(key(), any::<[u8; 32]>(), 0..40), prop::collection::btree_set(key(), 1..8))
}

fn asked(model: &Model, keys: &BTreeSet<Bytes32>) -> Vec<(Bytes32, Option<Bytes32>)> {
    keys.iter().map(|k| (*k, model.get(k).copied())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_proof_is_that_of_the_definition_and_verifies((model, keys) in world()) {
        let mut map: StateMap = model.iter().map(|(k, v)| (*k, *v)).collect();
        let leaves: Vec<_> = model.iter().map(|(k, v)| (*k, *v)).collect();
        let list: Vec<Bytes32> = keys.iter().copied().collect();
        let (mut shape, mut hashes) = Default::default();
        let root = expected(&leaves, &list, 0, &mut shape, &mut hashes);
        prop_assert_eq!(map.root(), root);
        let proof = MultiProof::of(&map, &list);
        let text = proof.to_string();
        let (signs, spelled) = text.split_once(' ').unwrap();
        prop_assert_eq!(counted(&shape), signs);
        prop_assert_eq!(z85::decode(spelled).unwrap(), hashes.concat());
        prop_assert_eq!(&MultiProof::parse(&text).unwrap(), &proof);
        prop_assert!(proof.verify(&root, &asked(&model, &keys)).is_ok());
    }

    /// Another value, an absent key said to be there, a key there said to be absent, another root: each is refused.
    #[test]
    fn nothing_else_verifies((model, keys) in world(), at in any::<prop::sample::Index>(), other in any::<[u8; 32]>()) {
        let mut map: StateMap = model.iter().map(|(k, v)| (*k, *v)).collect();
        let (root, list) = (map.root(), keys.iter().copied().collect::<Vec<_>>());
        let proof = MultiProof::of(&map, &list);
        let mut lie = asked(&model, &keys);
        let at = at.index(lie.len());
        lie[at].1 = Some(other).filter(|o| lie[at].1 != Some(*o));
        prop_assert_eq!(proof.verify(&root, &lie).unwrap_err().code(), "proof.map");
        lie[at].1 = match model.get(&lie[at].0) { Some(_) => None, None => Some(other) };
        prop_assert!(proof.verify(&root, &lie).is_err());
        prop_assert!(proof.verify(&other, &asked(&model, &keys)).is_err());
    }

    /// Any change of letters or hashes is refused.
    #[test]
    fn a_changed_proof_is_refused((model, keys) in world(), at in any::<prop::sample::Index>(), what in 0..5) {
        let mut map: StateMap = model.iter().map(|(k, v)| (*k, *v)).collect();
        let (root, list) = (map.root(), keys.iter().copied().collect::<Vec<_>>());
        let good = MultiProof::of(&map, &list);
        let mut bad = good.clone();
        let place = at.index(good.shape.len());
        match what {
            0 => bad.shape[place] = [Stands::Inner, Stands::Leaf, Stands::Other, Stands::Empty][at.index(4)],
            1 => drop(bad.shape.remove(place)),
            2 => bad.shape.insert(place, good.shape[place]),
            3 => bad.hashes.push([3; 32]),
            _ => match bad.hashes.len() {
                0 => bad.hashes.push(EMPTY_ROOT),
                n => drop(bad.hashes.remove(at.index(n))),
            },
        }
        prop_assert!(bad == good || bad.verify(&root, &asked(&model, &keys)).is_err());
    }
}

#[test]
fn a_leaf_stands_as_high_as_it_can() {
    let (key, value) = ([0; 32], [1; 32]);
    let low = inner_hash(&leaf_hash(&key, &value), &EMPTY_ROOT);
    let proof = MultiProof { shape: vec![Stands::Inner, Stands::Leaf], hashes: vec![EMPTY_ROOT] };
    assert!(proof.verify(&low, &[(key, Some(value))]).unwrap_err().detail().contains("further down"));
    let deep = MultiProof { shape: vec![Stands::Inner; 300], hashes: vec![[9; 32]; 300] };
    assert!(deep.verify(&low, &[(key, None)]).unwrap_err().detail().contains("deeper"));
    assert!(MultiProof::default().verify(&EMPTY_ROOT, &[]).is_err());
}

/// What is read is written again as it was; all else is refused, before much is made of it.
#[test]
fn a_text_has_one_spelling() {
    let hash = z85::encode(&[7; 32]);
    for good in [" ", "e ", "1le ", "300 ", "12l3oe "] {
        let text = format!("{good}{hash}");
        assert_eq!(MultiProof::parse(&text).unwrap().to_string(), text);
    }
    let most = format!("{MOST} ");
    assert_eq!(MultiProof::parse(&most).unwrap().shape.len(), MOST);
    let many = z85::encode(&vec![0; 32 * (MOST + 1)]);
    let (more, sum) = (format!("{} ", MOST + 1), format!("{MOST}e "));
    let huge = format!("{} ", "9".repeat(40));
    for bad in ["", "e", "x ", "i ", "0l ", "01l ", "l0 ", "+1 ", "\u{661}l ", "e 0", "e  ", &more, &sum, &huge] {
        assert_eq!(MultiProof::parse(bad).unwrap_err().code(), "proof.map", "{bad}");
    }
    assert!(MultiProof::parse(&format!("e {}", &hash[..20])).is_err());
    assert!(MultiProof::parse(&format!("e {many}")).unwrap_err().detail().contains("more hashes"));
}
