use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::statemap::tests::key;
use super::*;

type Model = BTreeMap<Bytes32, Bytes32>;

/// What a proof must be, from the definition alone: split the leaves by bits until the way ends.
fn expected(leaves: &[(Bytes32, Bytes32)], key: &Bytes32) -> MapProof {
    fn hash(leaves: &[(Bytes32, Bytes32)], depth: usize) -> Bytes32 {
        match leaves {
            [] => EMPTY_ROOT,
            [(key, value)] => leaf_hash(key, value),
            _ => {
                let (left, right): (Vec<_>, Vec<_>) = leaves.iter().partition(|(k, _)| bit(k, depth) == 0);
                inner_hash(&hash(&left, depth + 1), &hash(&right, depth + 1))
            }
        }
    }
    let (mut here, mut siblings) = (leaves.to_vec(), Vec::new());
    while here.len() > 1 {
        let depth = siblings.len();
        let (mine, other): (Vec<_>, Vec<_>) = here.into_iter().partition(|(k, _)| bit(k, depth) == bit(key, depth));
        siblings.push(RecordId(hash(&other, depth + 1)));
        here = mine;
    }
    let other = here.first().filter(|(k, _)| k != key);
    let other = other.map(|(key, value)| OtherLeaf { key: RecordId(*key), value: RecordId(*value) });
    MapProof { siblings: List(siblings), other }
}

fn holds(proof: &MapProof, root: &Bytes32, key: &Bytes32, value: Option<&Bytes32>) -> bool {
    match value {
        Some(value) => proof.verify_member(root, key, value).is_ok(),
        None => proof.verify_absent(root, key).is_ok(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Over random histories of a map, with batches undone: every proof is the one of the definition, says what the map
    /// says and nothing else.
    #[test]
    fn proofs_agree_with_the_model(
        steps in prop::collection::vec((key(), 0u8..4, 0u8..12), 0..80),
        asked in prop::collection::vec(key(), 1..8),
    ) {
        let (mut map, mut model, mut before) = (StateMap::new(), Model::new(), None);
        for (key, value, what) in steps {
            match what {
                0 => {
                    map.begin();
                    before = Some(model.clone());
                }
                1 => {
                    map.rollback();
                    model = before.take().unwrap_or(model);
                }
                2 => {
                    map.commit();
                    before = None;
                }
                3 => {
                    map.root();
                }
                _ => {
                    map.set(key, [value; 32]);
                    model.insert(key, [value; 32]);
                }
            }
        }
        // A proof does not need the hashes to be up to date.
        let early: Vec<MapProof> = asked.iter().map(|k| MapProof::of(&map, k)).collect();
        let root = map.root();
        let leaves: Vec<_> = model.iter().map(|(k, v)| (*k, *v)).collect();
        for (key, early) in asked.iter().chain(model.keys()).zip(early.iter().map(Some).chain(std::iter::repeat(None))) {
            let proof = MapProof::of(&map, key);
            prop_assert_eq!(&proof, &expected(&leaves, key));
            if let Some(early) = early {
                prop_assert_eq!(&proof, early);
            }
            let value = model.get(key);
            prop_assert!(holds(&proof, &root, key, value));
            // Not the opposite, not another value, not another key, not another root.
            let opposite = if value.is_some() { None } else { Some(&[1; 32]) };
            prop_assert!(!holds(&proof, &root, key, opposite));
            prop_assert!(proof.verify_member(&root, key, &[9; 32]).is_err());
            let mut other = *key;
            other[31] ^= 1;
            prop_assert!(model.contains_key(&other) || proof.verify_member(&root, &other, &[1; 32]).is_err());
            let mut wrong = root;
            wrong[0] ^= 1;
            prop_assert!(!holds(&proof, &wrong, key, value));
            // It survives its encoding, and that has one spelling.
            let json = serde_json::to_string(&proof).unwrap();
            prop_assert_eq!(&serde_json::from_str::<MapProof>(&json).unwrap(), &proof);
        }
    }

    /// One proof for one root and key: whatever is changed in it, it proves nothing any more.
    #[test]
    fn a_changed_proof_is_refused(
        leaves in prop::collection::btree_map(key(), any::<[u8; 32]>(), 1..40),
        asked in key(),
        at in any::<prop::sample::Index>(),
        flip in 1u8..=255,
        how in 0u8..7,
    ) {
        let mut map: StateMap = leaves.iter().map(|(k, v)| (*k, *v)).collect();
        let root = map.root();
        let good = MapProof::of(&map, &asked);
        let mut bad = good.clone();
        let siblings = &mut bad.siblings.0;
        match how {
            0 if !siblings.is_empty() => {
                let i = at.index(siblings.len());
                siblings[i].0[usize::from(flip) % 32] ^= flip;
            }
            1 if !siblings.is_empty() => drop(siblings.remove(at.index(siblings.len()))),
            2 => siblings.insert(at.index(siblings.len() + 1), RecordId([flip; 32])),
            3 => siblings.push(RecordId(EMPTY_ROOT)),
            4 if siblings.len() > 1 => {
                let i = at.index(siblings.len() - 1);
                siblings.swap(i, i + 1);
            }
            5 => match &mut bad.other {
                Some(other) => other.value.0[usize::from(flip) % 32] ^= flip,
                None => bad.other = Some(OtherLeaf { key: RecordId([flip; 32]), value: RecordId([flip; 32]) }),
            },
            6 => bad.other = bad.other.take().xor(Some(OtherLeaf { key: RecordId(asked), value: RecordId([flip; 32]) })),
            _ => {}
        }
        let value = leaves.get(&asked);
        prop_assert_eq!(holds(&bad, &root, &asked, value), bad == good);
        // Nor does it prove the opposite.
        let opposite = if value.is_some() { None } else { Some(&[flip; 32]) };
        prop_assert!(!holds(&bad, &root, &asked, opposite));
    }
}

#[test]
fn the_edges_are_proved_and_what_is_too_deep_is_refused() {
    let empty = StateMap::new();
    let none = MapProof::of(&empty, &[5; 32]);
    assert_eq!(none, MapProof { siblings: List(Vec::new()), other: None });
    none.verify_absent(&EMPTY_ROOT, &[5; 32]).unwrap();
    // Two keys that differ in the last bit: the way is as long as it can be.
    let (mut a, mut b) = ([7; 32], [7; 32]);
    (a[31], b[31]) = (0, 1);
    let mut map: StateMap = [(a, [1; 32]), (b, [2; 32])].into_iter().collect();
    let proof = MapProof::of(&map, &a);
    assert_eq!(proof.siblings.0.len(), MAX_DEPTH);
    proof.verify_member(&map.root(), &a, &[1; 32]).unwrap();
    let mut deeper = proof.clone();
    deeper.siblings.0.push(RecordId([1; 32]));
    assert_eq!(deeper.verify_member(&map.root(), &a, &[1; 32]).unwrap_err().code(), "proof.map");
    assert_eq!(deeper.verify_absent(&map.root(), &a).unwrap_err().code(), "proof.map");
    // The decoder has the same bound, and takes no member twice, none that is unknown, no array for an object.
    let json = serde_json::to_string(&deeper).unwrap();
    assert!(serde_json::from_str::<MapProof>(&json).is_err());
    for bad in [
        r#"{"siblings":[],"other":null}"#,
        r#"{"siblings":[],"siblings":[]}"#,
        r#"{"siblings":[],"colour":1}"#,
        r#"{"siblings":["00"]}"#,
        r#"{"siblings":[],"other":["0000000000000000000000000000000000000000000000000000000000000000","0000000000000000000000000000000000000000000000000000000000000000"]}"#,
    ] {
        assert!(serde_json::from_str::<MapProof>(bad).is_err(), "{bad}");
    }
}
