//! The log's tree and notes against other people's implementations: Go's sumdb (by recorded vectors), ct-merkle,
//! tlog_tiles, signed_note, and the examples printed in the C2SP specifications.

use std::collections::HashMap;

use data_encoding::{BASE64, HEXLOWER};
use domovoi::error::{Error, Result};
use domovoi::tlog::checkpoint::Checkpoint;
use domovoi::tlog::hash::leaf_hashes;
use domovoi::tlog::note::{Note, NoteSigner, VerifierKey};
use domovoi::tlog::tile::{LogPath, TileId, encode_tile, tiles_between, tiles_of};
use domovoi::tlog::tree::{self, Frontier, TileSource, subtree_root};
use domovoi::tlog::{Hash, MAX_SIZE, leaf_hash, node_hash};
use ed25519_dalek::SigningKey;
use proptest::prelude::*;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// A tree kept as the widest tile of each place; narrower ones are its beginnings.
#[derive(Default)]
struct MemoryTree {
    size: u64,
    tiles: HashMap<(u8, u64), Vec<Hash>>,
}

impl MemoryTree {
    fn of(leaves: &[Hash]) -> Self {
        let mut tree = Self::default();
        tree.append(leaves);
        tree
    }

    fn append(&mut self, leaves: &[Hash]) -> tree::Grown {
        let grown = tree::grow(self, self.size, leaves).unwrap();
        self.size = grown.size;
        for (id, hashes) in &grown.tiles {
            self.tiles.insert((id.level, id.index), hashes.clone());
        }
        grown
    }
}

impl TileSource for MemoryTree {
    fn tile(&self, id: TileId) -> Result<Vec<Hash>> {
        let known = self.tiles.get(&(id.level, id.index)).and_then(|t| t.get(..usize::from(id.width)));
        known.map(<[Hash]>::to_vec).ok_or_else(|| Error::retry("test.no-tile", format!("{id}"), ""))
    }
}

fn entries(count: u64) -> Vec<Vec<u8>> {
    (0..count).map(|i| format!("entry {i}").into_bytes()).collect()
}

fn go() -> Value {
    serde_json::from_str(include_str!("../vectors/tlog-go.json")).unwrap()
}

fn list(value: &Value) -> &[Value] {
    let list = value.as_array().unwrap();
    assert!(!list.is_empty());
    list
}

fn hash(value: &Value) -> Hash {
    Hash::from_base64(value.as_str().unwrap()).unwrap()
}

/// Go writes an empty proof as `[]`.
fn proof(value: &Value) -> Vec<Hash> {
    value["proof"].as_array().unwrap().iter().map(hash).collect()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

#[test]
fn go_roots_tiles_and_proofs() {
    let go = go();
    let leaves = leaf_hashes(&entries(70_000));
    let tree = MemoryTree::of(&leaves);

    let mut frontier = Frontier::new();
    for vector in list(&go["roots"]) {
        let size = number(&vector["size"]);
        frontier.extend(leaves[frontier.size() as usize..size as usize].iter().copied());
        assert_eq!(frontier.root(), hash(&vector["root"]), "pushed to {size}");
        assert_eq!(tree::root(&tree, size).unwrap(), hash(&vector["root"]), "tiles of {size}");
        assert_eq!(Frontier::from_tiles(&tree, size).unwrap(), frontier);
    }

    let vectors = list(&go["tiles"]);
    assert_eq!(vectors.len(), tiles_of(70_000).count());
    for (vector, id) in vectors.iter().zip(tiles_of(70_000)) {
        assert_eq!(vector["path"], id.to_string());
        let bytes = encode_tile(&tree.tile(id).unwrap());
        assert_eq!(vector["sha256"], HEXLOWER.encode(&Sha256::digest(bytes)), "{id}");
    }

    for vector in list(&go["inclusion"]) {
        let (index, size) = (number(&vector["index"]), number(&vector["size"]));
        let made = tree::inclusion_proof(&tree, index, size).unwrap();
        assert_eq!(made, proof(vector), "{index} in {size}");
        let root = tree::root(&tree, size).unwrap();
        tree::verify_inclusion(leaves[index as usize], index, size, &made, root).unwrap();
    }
    for vector in list(&go["consistency"]) {
        let (old, new) = (number(&vector["old"]), number(&vector["new"]));
        let made = tree::consistency_proof(&tree, old, new).unwrap();
        assert_eq!(made, proof(vector), "{old} to {new}");
        let (old_root, new_root) = (tree::root(&tree, old).unwrap(), tree::root(&tree, new).unwrap());
        tree::verify_consistency(old, old_root, new, new_root, &made).unwrap();
    }
}

#[test]
fn go_names_the_same_tiles_to_write() {
    for vector in list(&go()["growth"]) {
        let (old, new) = (number(&vector["old"]), number(&vector["new"]));
        let ours: Vec<_> = tiles_between(old, new).map(|id| id.to_string()).collect();
        let theirs: Vec<_> = vector["tiles"].as_array().unwrap().iter().map(|t| t.as_str().unwrap()).collect();
        assert_eq!(ours, theirs, "{old} to {new}");
        for path in theirs {
            let parsed = LogPath::parse(path).unwrap();
            assert_eq!(parsed.to_string(), path);
            let LogPath::Tile(id) = parsed else { panic!("{path} is a tile") };
            assert!(id.within(new) && !id.within(old), "{path}");
        }
    }
}

#[test]
fn go_notes_are_signed_read_and_refused_alike() {
    let go = go();
    let keys = list(&go["keys"]);
    let signers: Vec<NoteSigner> = keys
        .iter()
        .map(|key| {
            let seed = HEXLOWER.decode(key["seed"].as_str().unwrap().as_bytes()).unwrap();
            let key_pair = SigningKey::from_bytes(&seed.try_into().unwrap());
            NoteSigner::new(key["name"].as_str().unwrap(), key_pair).unwrap()
        })
        .collect();
    for (signer, key) in signers.iter().zip(keys) {
        let vkey = key["vkey"].as_str().unwrap();
        assert_eq!(signer.verifier().to_string(), vkey);
        assert_eq!(&VerifierKey::parse(vkey).unwrap(), signer.verifier());
    }

    for vector in list(&go["notes"]) {
        let (text, note) = (vector["text"].as_str().unwrap(), vector["note"].as_str().unwrap());
        let by: Vec<&NoteSigner> = list(&vector["signers"]).iter().map(|i| &signers[number(i) as usize]).collect();
        let mut ours = Note::sign(text, by[0]).unwrap();
        for signer in &by[1..] {
            ours.add_signature(signer).unwrap();
        }
        assert_eq!(ours.to_string(), note);
        let read = Note::parse(note.as_bytes()).unwrap();
        assert_eq!(read, ours);
        assert_eq!(read.text(), text);
        for signer in by {
            read.verify(signer.verifier()).unwrap();
        }
    }

    for vector in list(&go["refused"]) {
        let note = BASE64.decode(vector["note"].as_str().unwrap_or_default().as_bytes()).unwrap();
        assert!(Note::open(&note, signers[0].verifier()).is_err(), "{}", vector["name"]);
    }

    // The last note is the head of the whole tree, in the form that sumdb and C2SP share.
    let head = list(&go["notes"]).last().unwrap()["note"].as_str().unwrap();
    let open = Checkpoint::open(head.as_bytes(), signers[0].verifier(), "go.sum database tree").unwrap();
    let last = list(&go["roots"]).last().unwrap();
    assert_eq!((open.checkpoint().size, open.checkpoint().root), (number(&last["size"]), hash(&last["root"])));
    assert_eq!(open.note_text(), head);
    assert_eq!(open.note().signatures().len(), 3);
}

#[test]
fn examples_of_the_specifications() {
    let key = VerifierKey::parse("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k").unwrap();
    let note = "This is an example message.\n\n\
        — example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";
    assert_eq!(Note::open(note.as_bytes(), &key).unwrap().text(), "This is an example message.\n");

    let note = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
        — example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n";
    let text = Note::parse(note.as_bytes()).unwrap().text().to_owned();
    let head = Checkpoint::parse(&text).unwrap();
    assert_eq!((head.origin.as_str(), head.size), ("example.com/behind-the-sofa", 20_852_163));
    assert_eq!(head.to_text(), text);

    let note = "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned è subito sera.\n\n\
        — quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n";
    assert_eq!(Note::parse(note.as_bytes()).unwrap().text().lines().count(), 4);

    let tile = TileId { level: 0, index: 1_234_067, width: 256 };
    assert_eq!(tile.to_string(), "tile/0/x001/x234/067");
    let partial: Vec<_> = tiles_of(70_000).filter(|t| !t.is_full()).map(|t| (t.level, t.width)).collect();
    assert_eq!(partial, [(0, 112), (1, 17), (2, 1)]);
    let of_256: Vec<_> = tiles_of(256).map(|t| (t.level, t.width)).collect();
    assert_eq!(of_256, [(0, 256), (1, 1)]);
}

#[test]
fn signed_note_crate_reads_ours_and_we_read_its() {
    use signed_note::{Note as Theirs, StandardSigner, StandardVerifier, VerifierList};
    let seed = [7; 32];
    let ours = NoteSigner::new("реестр.example/77", SigningKey::from_bytes(&seed)).unwrap();
    let vkey = ours.verifier().to_string();
    let id = vkey.split('+').nth(1).unwrap();
    let skey = format!("PRIVATE+KEY+реестр.example/77+{id}+{}", BASE64.encode(&[&[1], &seed[..]].concat()));
    let theirs = StandardSigner::new(&skey).unwrap();

    let note = Note::sign("текст\n\nи ещё\n", &ours).unwrap().to_string();
    let known = VerifierList::new(vec![Box::new(StandardVerifier::new(&vkey).unwrap())]);
    let (verified, unverified) = Theirs::from_bytes(note.as_bytes()).unwrap().verify(&known).unwrap();
    assert_eq!((verified.len(), unverified.len()), (1, 0));

    let mut made = Theirs::new("текст\n\nи ещё\n".as_bytes(), &[]).unwrap();
    made.add_sigs(&[&theirs]).unwrap();
    assert_eq!(made.to_bytes(), note.as_bytes());
}

#[test]
fn ct_merkle_crate_makes_the_same_roots_and_proofs() {
    let entries = entries(70);
    let leaves = leaf_hashes(&entries);
    let tree = MemoryTree::of(&leaves);
    let mut theirs = ct_merkle::mem_backed_tree::MemoryBackedTree::<Sha256, Vec<u8>>::new();
    for size in 1..=70u64 {
        theirs.push(entries[size as usize - 1].clone());
        let root = tree::root(&tree, size).unwrap();
        assert_eq!(root.0[..], theirs.root().as_bytes()[..]);
        for index in 0..size {
            let proof = tree::inclusion_proof(&tree, index, size).unwrap();
            assert_eq!(encode_tile(&proof), theirs.prove_inclusion(index as usize).as_bytes());
            tree::verify_inclusion(leaves[index as usize], index, size, &proof, root).unwrap();
            // No entry passes for its neighbour, in no other place, in no tree of other size.
            let other = leaves[(index as usize + 1) % leaves.len()];
            assert!(tree::verify_inclusion(other, index, size, &proof, root).is_err());
            assert!(tree::verify_inclusion(leaves[index as usize], index ^ 1, size, &proof, root).is_err());
        }
        for old in 1..=size {
            let proof = tree::consistency_proof(&tree, old, size).unwrap();
            assert_eq!(encode_tile(&proof), theirs.prove_consistency((size - old) as usize).as_bytes());
            let old_root = tree::root(&tree, old).unwrap();
            tree::verify_consistency(old, old_root, size, root, &proof).unwrap();
            assert!(tree::verify_consistency(old, leaf_hash(b"x"), size, root, &proof).is_err());
            assert!(tree::verify_consistency(old, old_root, size, leaf_hash(b"x"), &proof).is_err());
        }
    }
}

/// A tree of equal entries, of any size, kept as one hash per level.
struct UniformTree {
    by_height: Vec<Hash>,
}

impl UniformTree {
    fn new(leaf: Hash) -> Self {
        let by_height = std::iter::successors(Some(leaf), |h| Some(node_hash(h, h))).take(64).collect();
        UniformTree { by_height }
    }

    /// RFC 6962, section 2.1, as it is written there.
    fn mth(&self, size: u64) -> Hash {
        match size {
            0 => Hash::EMPTY_TREE,
            n if n.is_power_of_two() => self.by_height[n.ilog2() as usize],
            n => node_hash(&self.by_height[n.ilog2() as usize], &self.mth(n - (1 << n.ilog2()))),
        }
    }
}

impl TileSource for UniformTree {
    fn tile(&self, id: TileId) -> Result<Vec<Hash>> {
        Ok(vec![self.by_height[8 * usize::from(id.level)]; usize::from(id.width)])
    }
}

#[test]
fn largest_trees_do_not_overflow() {
    let leaf = leaf_hash(b"same");
    let tree = UniformTree::new(leaf);
    for size in [1 << 32, (1 << 56) + 1, (1 << 62) - 1, (1 << 62) + 255, MAX_SIZE - 1, MAX_SIZE] {
        let root = tree::root(&tree, size).unwrap();
        assert_eq!(root, tree.mth(size), "{size}");
        for index in [0, 1, size / 3, size / 2, size - 2, size - 1] {
            let proof = tree::inclusion_proof(&tree, index, size).unwrap();
            tree::verify_inclusion(leaf, index, size, &proof, root).unwrap();
        }
        for old in [0, 1, 255, 1 << 31, size / 3, size - 1, size] {
            let proof = tree::consistency_proof(&tree, old, size).unwrap();
            tree::verify_consistency(old, tree.mth(old), size, root, &proof).unwrap();
        }
    }
    let grown = tree::grow(&tree, MAX_SIZE - 300, &[leaf; 300]).unwrap();
    assert_eq!((grown.old_root, grown.root), (tree.mth(MAX_SIZE - 300), tree.mth(MAX_SIZE)));
    for result in [
        tree::grow(&tree, MAX_SIZE, &[leaf]).map(drop),
        tree::grow(&tree, u64::MAX, &[leaf]).map(drop),
        tree::root(&tree, MAX_SIZE + 1).map(drop),
        tree::inclusion_proof(&tree, 0, u64::MAX).map(drop),
        tree::consistency_proof(&tree, 1, u64::MAX).map(drop),
        tree::verify_inclusion(leaf, 0, u64::MAX, &[], leaf),
        tree::verify_consistency(1, leaf, u64::MAX, leaf, &[]),
    ] {
        assert_eq!(result.unwrap_err().code(), "tree.size");
    }
}

#[test]
fn wrong_proofs_are_refused_by_name() {
    let leaves = leaf_hashes(&entries(300));
    let tree = MemoryTree::of(&leaves);
    let (root, old_root) = (tree::root(&tree, 300).unwrap(), tree::root(&tree, 77).unwrap());
    let good = tree::inclusion_proof(&tree, 200, 300).unwrap();
    let check = |index, size, proof: &[Hash]| {
        tree::verify_inclusion(leaves[200], index, size, proof, root).map_err(|e| e.code().to_owned())
    };
    assert_eq!(check(200, 300, &good), Ok(()));
    assert_eq!(check(201, 300, &good), Err("proof.inclusion".into()));
    assert_eq!(check(300, 300, &good), Err("proof.range".into()));
    assert_eq!(check(0, 0, &[]), Err("proof.range".into()));
    assert_eq!(check(200, 300, &good[1..]), Err("proof.length".into()));
    assert_eq!(check(200, 300, &[&good[..], &good[..1]].concat()), Err("proof.length".into()));
    assert_eq!(check(200, 300, &[root; 100]), Err("proof.length".into()));

    let good = tree::consistency_proof(&tree, 77, 300).unwrap();
    let check = |old, new, proof: &[Hash]| {
        tree::verify_consistency(old, old_root, new, root, proof).map_err(|e| e.code().to_owned())
    };
    assert_eq!(check(77, 300, &good), Ok(()));
    assert_eq!(check(79, 300, &good), Err("proof.consistency".into()));
    assert_eq!(check(301, 300, &good), Err("proof.range".into()));
    assert_eq!(check(77, 300, &[]), Err("proof.length".into()));
    assert_eq!(check(77, 300, &good[1..]), Err("proof.length".into()));
    assert_eq!(check(77, 300, &[&good[..], &good[..1]].concat()), Err("proof.length".into()));
    assert_eq!(check(300, 300, &[]), Err("proof.consistency".into()));
    assert_eq!(check(0, 300, &[]), Err("proof.consistency".into()));
    let empty = Hash::EMPTY_TREE;
    tree::verify_consistency(0, empty, 300, root, &[]).unwrap();
    tree::verify_consistency(0, empty, 0, empty, &[]).unwrap();
    assert_eq!(tree::verify_consistency(0, empty, 0, root, &[]).unwrap_err().code(), "proof.consistency");
    assert_eq!(tree::verify_consistency(0, empty, 300, root, &good).unwrap_err().code(), "proof.length");

    assert_eq!(tree::inclusion_proof(&tree, 300, 300).unwrap_err().code(), "proof.range");
    assert_eq!(tree::consistency_proof(&tree, 301, 300).unwrap_err().code(), "proof.range");
    struct Short;
    impl TileSource for Short {
        fn tile(&self, id: TileId) -> Result<Vec<Hash>> {
            Ok(vec![Hash::EMPTY_TREE; usize::from(id.width) - 1])
        }
    }
    assert_eq!(tree::root(&Short, 300).unwrap_err().code(), "tile.width");
    assert_eq!(tree::grow(&Short, 300, &leaves).unwrap_err().code(), "tile.width");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// However a tree grows, step by step or at once, it is the same tree.
    #[test]
    fn growing_in_steps(steps in prop::collection::vec(0u64..700, 0..8)) {
        let leaves = leaf_hashes(&entries(steps.iter().sum()));
        let (mut tree, mut frontier) = (MemoryTree::default(), Frontier::new());
        for step in steps {
            let old = tree.size;
            let new = &leaves[old as usize..(old + step) as usize];
            let grown = tree.append(new);
            prop_assert_eq!(grown.old_root, frontier.root());
            frontier.extend(new.iter().copied());
            prop_assert_eq!((grown.size, grown.root), (frontier.size(), frontier.root()));
            prop_assert!(grown.tiles.iter().map(|t| t.0).eq(tiles_between(old, grown.size)));
            prop_assert!(grown.tiles.iter().all(|(id, hashes)| hashes.len() == usize::from(id.width)));
            let proof = tree::consistency_proof(&tree, old, grown.size).unwrap();
            tree::verify_consistency(old, grown.old_root, grown.size, grown.root, &proof).unwrap();
        }
        prop_assert_eq!(tree.tiles, MemoryTree::of(&leaves).tiles);
        prop_assert_eq!(subtree_root(&leaves), frontier.root());
    }

    /// The crate's tiles to publish are ours, in the same order.
    #[test]
    fn tlog_tiles_crate_names_the_same_tiles(old in 0u64..1 << 56, more in 0u64..100_000) {
        let new = (old + more).min((1 << 56) - 1);
        let theirs = tlog_tiles::Tile::new_tiles(8, old, new);
        let ours: Vec<TileId> = tiles_between(old, new).collect();
        prop_assert_eq!(theirs.len(), ours.len());
        for (their, our) in theirs.iter().zip(ours) {
            prop_assert_eq!(their.path(), our.to_string().replacen("tile/", "tile/8/", 1));
        }
    }

    /// Whatever checkpoint text we take, the crate takes for the same; what it refuses, we refuse.
    #[test]
    fn tlog_tiles_crate_reads_the_same_checkpoints(
        origin in "[a-z+ я]{0,6}", size in "0{0,2}[0-9]{0,20}", root in prop::array::uniform32(any::<u8>()),
        tail in prop::sample::select(vec!["\n", "", "\n\n", "\nextension\n", " \n"])
    ) {
        let text = format!("{origin}\n{size}\n{}{tail}", Hash(root).to_base64());
        let theirs = tlog_tiles::Checkpoint::from_bytes(text.as_bytes());
        match (Checkpoint::parse(&text), theirs) {
            (Ok(our), Ok(their)) => {
                prop_assert_eq!((our.origin.as_str(), our.size), (their.origin(), their.size()));
                prop_assert_eq!(our.root.0, their.hash().0);
                prop_assert_eq!(our.to_text(), text);
            }
            (Ok(_), Err(_)) => prop_assert!(false, "only we take {text:?}"),
            (Err(e), Ok(their)) => {
                // What the specification permits and we do not.
                let known = !their.extension().is_empty() || their.size() > MAX_SIZE || their.size() == 0;
                prop_assert!(known, "only we refuse {text:?}: {e}");
            }
            (Err(_), Err(_)) => {}
        }
    }
}
