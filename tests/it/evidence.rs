//! Evidence: the shared vectors, `tests/vectors/evidence.json` (files that prove something, with what, and files that must be
//! refused, with the stable code), and what a cut makes of it. Another implementation runs the file without anything of this one.
//!
//! To add a case, add a line and write the file anew: `EVIDENCE_BLESS=1 cargo nextest run -E 'test(evidence::vectors)'`.

use std::collections::HashMap;
use std::path::Path;

use data_encoding::BASE64;
use domovoi::federation::chain::CharterChain;
use domovoi::federation::charter::FederationLog;
use domovoi::federation::evidence::{Evidence, FORK, FORMAT, Finding, split};
use domovoi::federation::roles::{Cut, Witness};
use domovoi::registry::body::{Body, Building, BuildingKind, KeyBytes};
use domovoi::registry::ids::RecordId;
use domovoi::registry::node_record::{Commit, NodeRecord};
use domovoi::registry::signature::PublicKey;
use domovoi::registry::strict::List;
use domovoi::tlog::checkpoint::Checkpoint;
use domovoi::tlog::cosignature::Cosigner;
use domovoi::tlog::note::{Note, NoteSigner};
use domovoi::tlog::tile::TileId;
use domovoi::tlog::tree::{TileSource, consistency_proof, grow, inclusion_proof, root};
use domovoi::tlog::{Hash, leaf_hash};
use ed25519_dalek::SigningKey;
use serde_json::{Value, json};

use super::regions::*;

const FILE: &str = "tests/vectors/evidence.json";
const FEDERATION: &str = "log.example/federation";

/// A tree in memory.
struct Tree {
    leaves: Vec<Hash>,
    tiles: HashMap<(u8, u64), Vec<Hash>>,
}

struct Nothing;
impl TileSource for Nothing {
    fn tile(&self, id: TileId) -> domovoi::error::Result<Vec<Hash>> {
        panic!("{id:?} of an empty tree")
    }
}

impl TileSource for Tree {
    fn tile(&self, id: TileId) -> domovoi::error::Result<Vec<Hash>> {
        Ok(self.tiles[&(id.level, id.index)][..usize::from(id.width)].to_vec())
    }
}

impl Tree {
    fn of(leaves: &[Hash]) -> Tree {
        let grown = grow(&Nothing, 0, leaves).unwrap();
        let tiles = grown.tiles.into_iter().map(|(id, hashes)| ((id.level, id.index), hashes)).collect();
        Tree { leaves: leaves.to_vec(), tiles }
    }
    /// Leaves `0..size`; from `fork` on they are other ones.
    fn made(size: u64, fork: u64) -> Tree {
        let leaf = |i: u64| leaf_hash(format!("{i}{}", if i >= fork { " other" } else { "" }).as_bytes());
        Tree::of(&(0..size).map(leaf).collect::<Vec<_>>())
    }
    fn head(&self, origin: &str) -> Checkpoint {
        let size = self.leaves.len() as u64;
        Checkpoint { origin: origin.into(), size, root: root(self, size).unwrap() }
    }
}

fn signed(head: &Checkpoint, key: &SigningKey) -> String {
    head.sign(&NoteSigner::new(&*head.origin, key.clone()).unwrap()).unwrap()
}

fn file(origin: &str, code: &str, accepted: Option<String>, served: Option<String>) -> Evidence {
    Evidence {
        format: FORMAT.into(),
        origin: origin.into(),
        code: code.into(),
        detail: "as the node says".into(),
        seen_at: START,
        source: "https://node.example/".into(),
        accepted_checkpoint: accepted,
        served_checkpoint: served,
        proof: None,
    }
}

/// Evidence that two trees of a log, the smaller one first, are a split view.
fn split_view(small: &Tree, large: &Tree, origin: &str, keys: [&SigningKey; 2]) -> Evidence {
    let (a, b) = (small.head(origin), large.head(origin));
    let begun = root(large, a.size).unwrap();
    let path = consistency_proof(large, a.size, b.size).unwrap();
    let mut evidence = file(origin, FORK, Some(signed(&a, keys[0])), Some(signed(&b, keys[1])));
    evidence.proof = split(&a, &b, begun, &path).unwrap();
    assert!(evidence.proof.is_some());
    evidence
}

fn witness() -> Cosigner {
    Cosigner::new("witness.example/w", key(230)).unwrap()
}

fn cosigned(note: &str, by: &Cosigner, time: u64) -> String {
    let mut note = Note::parse(note.as_bytes()).unwrap();
    let line = by.cosign(note.text(), time).unwrap();
    note.add_line(line).unwrap();
    note.to_string()
}

/// Moscow and Tver, with a log of the federation and a witness besides.
fn chain() -> CharterChain {
    let bytes = first_charter(&[MOSCOW, TVER], |body| {
        body.federation = Some(FederationLog {
            origin: text(FEDERATION),
            log_vkey: text(&NoteSigner::new(FEDERATION, key(231)).unwrap().verifier().to_string()),
            commit_key: KeyBytes(PublicKey::of(&key(232))),
            url: text("https://federation.example"),
            cosigners: None,
        });
        body.witnesses = Some(List(vec![Witness {
            name: text("Свидетель"),
            vkey: witness().verifier().clone().into(),
            url: text("https://witness.example"),
        }]));
    });
    CharterChain::pinned(&bytes).unwrap()
}

/// A record of a building, meant for the log of `place`.
fn record(place: Place, chain: &CharterChain) -> Vec<u8> {
    let region = Region::new(place, chain);
    let body = Body::BuildingRegistered(Building {
        building: building(1),
        address: text("ул. Пробная, д. 1"),
        oktmo: place.oktmo8().parse().unwrap(),
        kind: BuildingKind::Apartment,
        also: None,
        flats: None,
        year: None,
        emergency: None,
        applicability: None,
    });
    Region::sign(region.draft(body, None), &[&place.operator(0)])
}

/// Evidence against an entry in Moscow's log, with these keys.
fn entry(bytes: &[u8], code: &str, keys: &[SigningKey]) -> Evidence {
    let mut leaves: Vec<Hash> = (0..300u64).map(|i| leaf_hash(&i.to_be_bytes())).collect();
    leaves[200] = leaf_hash(bytes);
    let tree = Tree::of(&leaves);
    let mut evidence = file(&MOSCOW.origin(), code, None, Some(signed(&tree.head(&MOSCOW.origin()), &MOSCOW.log())));
    let path = inclusion_proof(&tree, 200, 300).unwrap();
    let keys = keys.iter().map(|k| BASE64.encode(k.verifying_key().as_bytes())).collect();
    evidence.proof = Some(domovoi::federation::evidence::Proof::Entry {
        index: 200,
        entry: BASE64.encode(bytes),
        path: List(path.iter().map(Hash::to_base64).collect()),
        keys: List(keys),
    });
    evidence
}

fn two_charters(first: &[u8], second: &[u8]) -> Evidence {
    let mut evidence = file(&MOSCOW.origin(), "charter.conflict", None, None);
    let text = |b: &[u8]| String::from_utf8(b.to_vec()).unwrap();
    evidence.proof = Some(domovoi::federation::evidence::Proof::Charters { first: text(first), second: text(second) });
    evidence
}

fn commit(key: &SigningKey, log: &str) -> Vec<u8> {
    let commit = Commit {
        v: 0,
        log: log.into(),
        first: 150,
        size: 201,
        time: ms(START),
        previous: None,
        charter: 1,
        root: RecordId([7; 32]),
    };
    NodeRecord::Commit(commit).sign(key).unwrap().0
}

/// A signature with one bit changed.
fn unsigned(entry: &[u8]) -> Vec<u8> {
    use domovoi::registry::envelope::{Envelope, TYP_RECORD};
    let mut envelope = Envelope::parse(entry, TYP_RECORD, 1 << 14).unwrap();
    envelope.signatures[0].1[40] ^= 1;
    envelope.to_bytes()
}

fn with(evidence: &Evidence, change: impl FnOnce(&mut Value)) -> String {
    let mut value = serde_json::to_value(evidence).unwrap();
    change(&mut value);
    value.to_string()
}

fn valid(chain: &CharterChain) -> Vec<(&'static str, Evidence)> {
    let (moscow, log) = (MOSCOW.origin(), MOSCOW.log());
    let of = |small: u64, large: u64, fork: u64| {
        split_view(&Tree::made(small, 1 << 40), &Tree::made(large, fork), &moscow, [&log, &log])
    };
    let mut twice = of(300, 300, 250);
    let by = witness();
    twice.accepted_checkpoint = twice.accepted_checkpoint.map(|n| cosigned(&n, &by, 1_790_000_000));
    twice.served_checkpoint = twice.served_checkpoint.map(|n| cosigned(&n, &by, 1_790_000_060));
    let mut turned = of(300, 1000, 100);
    std::mem::swap(&mut turned.accepted_checkpoint, &mut turned.served_checkpoint);
    let good = record(MOSCOW, chain);
    let rollback = file(
        &moscow,
        "peer.rollback",
        Some(signed(&Tree::made(40, 1 << 40).head(&moscow), &log)),
        Some(signed(&Tree::made(30, 1 << 40).head(&moscow), &log)),
    );
    let federation = split_view(&Tree::made(20, 1 << 40), &Tree::made(22, 19), FEDERATION, [&key(231), &key(231)]);
    let second = next_charter(chain, |_| {});
    let other = next_charter(chain, |body| body.name = text("Другая"));
    vec![
        ("two trees of one size", of(300, 300, 250)),
        ("two trees of different sizes", of(300, 1000, 299)),
        ("the smaller tree has 2^n entries", of(256, 700, 0)),
        ("the smaller tree has one entry", of(1, 2, 0)),
        ("the larger one was accepted first", turned),
        ("a witness cosigned both", twice),
        ("the federation's log", federation),
        ("a record of another log", entry(&record(TVER, chain), "rule.log", &[])),
        ("a false signature", entry(&unsigned(&good), "signature.invalid", &[MOSCOW.operator(0)])),
        ("an entry that is no envelope", entry(b"no envelope", "envelope.malformed", &[])),
        ("a commit by another key", entry(&commit(&MOSCOW.log(), &moscow), "commit.signature", &[])),
        (
            "a wrong state root, which only a replay shows",
            entry(&commit(&MOSCOW.commit(), &moscow), "commit.root", &[]),
        ),
        ("a broken rule, which only a replay shows", entry(&good, "rule.key.scope", &[])),
        ("a rollback, which only the node says", rollback.clone()),
        (
            "changed bytes, which nobody signed",
            Evidence { code: "peer.tile".into(), served_checkpoint: None, ..rollback },
        ),
        ("two charters of one version", two_charters(&second, &other)),
    ]
}

fn invalid(chain: &CharterChain) -> Vec<(&'static str, &'static str, String)> {
    let (moscow, log) = (MOSCOW.origin(), MOSCOW.log());
    let straight = 1 << 40;
    let fork = split_view(&Tree::made(300, straight), &Tree::made(1000, 299), &moscow, [&log, &log]);
    let unforked = Tree::made(1000, straight);
    let consistent = {
        let small = Tree::made(300, straight);
        let path = consistency_proof(&unforked, 300, 1000).unwrap();
        let mut e =
            file(&moscow, FORK, Some(signed(&small.head(&moscow), &log)), Some(signed(&unforked.head(&moscow), &log)));
        e.proof = Some(domovoi::federation::evidence::Proof::SplitView {
            root: small.head(&moscow).root.to_base64(),
            path: List(path.iter().map(Hash::to_base64).collect()),
        });
        e
    };
    let good = record(MOSCOW, chain);
    let called = |code| entry(&good, code, &[MOSCOW.operator(0)]);
    let second = next_charter(chain, |_| {});
    let one = chain.latest().charter().clone();
    let mut body = one.clone();
    (body.version, body.previous, body.name) = (2, Some(chain.latest().sha256()), text("Другая"));
    let by_one = domovoi::federation::charter::Charter::sign(
        &{
            let mut body = body.clone();
            body.threshold = 1;
            body
        },
        &[&federation_keys()[0]],
    )
    .unwrap();
    let again = sign_charter(
        &{
            let mut body = one.clone();
            (body.version, body.previous) = (2, Some(chain.latest().sha256()));
            body
        },
        &[0, 2],
    );
    let third = next_charter(
        &{
            let mut longer = chain.clone();
            longer.advance(&second).unwrap();
            longer
        },
        |_| {},
    );
    let changed = |at: &str| {
        with(&fork, |v| {
            let note = v[at].as_str().unwrap().replacen("1000", "1001", 1).replacen("\n300\n", "\n301\n", 1);
            v[at] = json!(note);
        })
    };
    let strange = split_view(&Tree::made(300, straight), &Tree::made(300, 1), &moscow, [&log, &TVER.log()]);
    vec![
        ("the accepted checkpoint changed", "evidence.unsigned", changed("accepted_checkpoint")),
        ("the served checkpoint changed", "evidence.unsigned", changed("served_checkpoint")),
        ("another log's key signed one of them", "evidence.unsigned", serde_json::to_string(&strange).unwrap()),
        ("the larger tree continues the smaller", "evidence.proof", serde_json::to_string(&consistent).unwrap()),
        (
            "another root than the path's",
            "evidence.proof",
            with(&fork, |v| v["proof"]["root"] = json!(Hash([9; 32]).to_base64())),
        ),
        (
            "a hash of the path left out",
            "evidence.proof",
            with(&fork, |v| drop(v["proof"]["path"].as_array_mut().unwrap().pop())),
        ),
        (
            "a hash too many",
            "evidence.proof",
            with(&fork, |v| v["proof"]["path"].as_array_mut().unwrap().push(json!(Hash([9; 32]).to_base64()))),
        ),
        (
            "more hashes than any path has",
            "evidence.form",
            with(&fork, |v| v["proof"]["path"] = json!(vec![Hash([9; 32]).to_base64(); 65])),
        ),
        ("a hash that is none", "evidence.form", with(&fork, |v| v["proof"]["root"] = json!("AA=="))),
        (
            "one checkpoint only",
            "evidence.form",
            with(&fork, |v| drop(v.as_object_mut().unwrap().remove("served_checkpoint"))),
        ),
        ("of a log that no charter names", "evidence.origin", with(&fork, |v| v["origin"] = json!("log.example/99"))),
        ("another log's name on it", "evidence.unsigned", with(&fork, |v| v["origin"] = json!(TVER.origin()))),
        ("a format that is not known", "evidence.form", with(&fork, |v| v["format"] = json!("domovoi evidence v2"))),
        ("a member that is not known", "evidence.form", with(&fork, |v| v["verdict"] = json!("guilty"))),
        ("a kind that is not known", "evidence.form", with(&fork, |v| v["proof"]["kind"] = json!("hearsay"))),
        ("an array in the place of the object", "evidence.form", "[\"domovoi evidence v1\"]".into()),
        (
            "a good signature called false",
            "evidence.proof",
            serde_json::to_string(&called("signature.invalid")).unwrap(),
        ),
        (
            "a record of this log called another's",
            "evidence.proof",
            serde_json::to_string(&called("rule.log")).unwrap(),
        ),
        (
            "a signature called false without its key",
            "evidence.proof",
            serde_json::to_string(&entry(&unsigned(&good), "signature.invalid", &[])).unwrap(),
        ),
        (
            "another index than the path's",
            "evidence.proof",
            with(&called("rule.key.scope"), |v| v["proof"]["index"] = json!(201)),
        ),
        (
            "a key that is no point",
            "evidence.form",
            with(&called("rule.key.scope"), |v| v["proof"]["keys"] = json!([BASE64.encode(&[2; 32])])),
        ),
        (
            "an entry that is no base64",
            "evidence.form",
            with(&called("rule.key.scope"), |v| v["proof"]["entry"] = json!("%")),
        ),
        (
            "one charter with two sets of signatures",
            "evidence.proof",
            serde_json::to_string(&two_charters(&second, &again)).unwrap(),
        ),
        ("charters of two versions", "evidence.proof", serde_json::to_string(&two_charters(&second, &third)).unwrap()),
        (
            "a charter that a threshold did not sign",
            "evidence.proof",
            serde_json::to_string(&two_charters(&second, &by_one)).unwrap(),
        ),
        (
            "charters of another federation",
            "evidence.proof",
            serde_json::to_string(&two_charters(&MOSCOW.own_charter(), &TVER.own_charter())).unwrap(),
        ),
    ]
}

fn generated() -> Value {
    let chain = chain();
    let charter = String::from_utf8(first_charter_bytes()).unwrap();
    let valid: Vec<Value> = valid(&chain)
        .into_iter()
        .map(|(title, e)| {
            let finding = e.verify(&chain).unwrap_or_else(|err| panic!("{title}: {err}"));
            json!({ "title": title, "file": serde_json::to_string(&e).unwrap(), "proved": finding.is_proof(), "finding": finding })
        })
        .collect();
    let invalid: Vec<Value> = invalid(&chain)
        .into_iter()
        .map(|(title, code, text)| {
            let refused = Evidence::decode(text.as_bytes()).and_then(|e| e.verify(&chain));
            assert_eq!(refused.map_err(|e| e.code()), Err(code), "{title}");
            json!({ "title": title, "file": text, "code": code })
        })
        .collect();
    json!({ "about": "Evidence (docs/protocol.md). All keys are published test keys. Verify each file with the charter, which is \
pinned; a valid one leads to what stands beside it, an invalid one is refused with the code.",
        "charters": [charter], "valid": valid, "invalid": invalid })
}

fn first_charter_bytes() -> Vec<u8> {
    // The chain keeps no bytes; the charter is made the same way each time.
    let chain = chain();
    sign_charter(chain.first().charter(), &[0, 1])
}

#[test]
fn vectors_are_what_the_code_computes_and_refuses() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    let generated = generated();
    if std::env::var_os("EVIDENCE_BLESS").is_some() {
        std::fs::write(&path, format!("{}\n", serde_json::to_string_pretty(&generated).unwrap())).unwrap();
    }
    let kept: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert!(kept == generated, "{FILE} is out of date: see the head of this file");
    assert!(kept["valid"].as_array().unwrap().len() >= 12 && kept["invalid"].as_array().unwrap().len() >= 12);
    // And as another implementation would run it.
    let chain = CharterChain::pinned(kept["charters"][0].as_str().unwrap().as_bytes()).unwrap();
    for case in kept["valid"].as_array().unwrap() {
        let evidence = Evidence::decode(case["file"].as_str().unwrap().as_bytes()).unwrap();
        assert_eq!(
            serde_json::to_value(evidence.verify(&chain).unwrap()).unwrap(),
            case["finding"],
            "{}",
            case["title"]
        );
    }
}

#[test]
fn what_each_file_proves_is_said_about_the_right_one() {
    let chain = chain();
    let found: HashMap<&str, Finding> =
        valid(&chain).into_iter().map(|(t, e)| (t, e.verify(&chain).unwrap())).collect();
    let Finding::SplitView { cosigners, keys, .. } = &found["a witness cosigned both"] else { panic!() };
    assert_eq!(cosigners, &[witness().verifier().to_string()]);
    assert!(keys.len() == 1 && keys[0].starts_with(&MOSCOW.origin()));
    let Finding::SplitView { cosigners, .. } = &found["two trees of one size"] else { panic!() };
    assert!(cosigners.is_empty(), "who signed nothing is not accused");
    assert!(matches!(found["a wrong state root, which only a replay shows"], Finding::Entry { confirmed: false, .. }));
    assert!(matches!(found["a false signature"], Finding::Entry { confirmed: true, .. }));
    assert_eq!(found["a rollback, which only the node says"], Finding::Rollback { accepted: 40, served: 30 });
    let Finding::Charters { version, signers } = &found["two charters of one version"] else { panic!() };
    assert_eq!((*version, signers.len()), (2, 2));
    // A cosigner who put his name under one branch only is not accused.
    let (_, mut once) = valid(&chain).remove(0);
    once.served_checkpoint = once.served_checkpoint.map(|n| cosigned(&n, &witness(), 1));
    let Finding::SplitView { cosigners, .. } = once.verify(&chain).unwrap() else { panic!() };
    assert!(cosigners.is_empty());
}

#[test]
fn what_a_cut_made_void_accuses_nobody_and_what_it_left_standing_still_does() {
    let (one, moscow, straight) = (chain(), MOSCOW.origin(), 1 << 40);
    let two = advanced(&one, |body| {
        let vkey = NoteSigner::new(&*moscow, key(111)).unwrap().verifier().to_string();
        body.regions.0.iter_mut().find(|r| r.origin.as_str() == moscow).unwrap().log_vkey = text(&vkey);
        body.cuts = Some(List(vec![Cut {
            origin: text(&moscow),
            size: 250,
            root: RecordId(Tree::made(250, straight).head(&moscow).root.0),
            reason: text("Журнал раздвоился"),
        }]));
    });
    let (log, new) = (MOSCOW.log(), key(111));
    // The old key went on beyond the cut, the new one goes on from it.
    let decided = split_view(&Tree::made(300, straight), &Tree::made(400, 250), &moscow, [&log, &new]);
    assert_eq!(decided.verify(&two).map_err(|e| e.code()), Err("evidence.cut"));
    assert_eq!(decided.verify(&one).map_err(|e| e.code()), Err("evidence.unsigned"));
    // What the old key signed up to the cut stands, and the new one must continue it.
    let broken = split_view(&Tree::made(200, straight), &Tree::made(400, 100), &moscow, [&log, &new]);
    let Finding::SplitView { keys, .. } = broken.verify(&two).unwrap() else { panic!() };
    assert_eq!(keys.len(), 2);
    // That the old key signed two trees stays proved, cut or not.
    let old = split_view(&Tree::made(300, straight), &Tree::made(400, 250), &moscow, [&log, &log]);
    assert!(old.verify(&one).unwrap().is_proof() && old.verify(&two).unwrap().is_proof());
}

#[test]
fn a_file_is_read_back_and_one_that_is_too_large_is_none() {
    let chain = chain();
    for (name, evidence) in valid(&chain) {
        assert_eq!(Evidence::decode(&evidence.encode().unwrap()).unwrap(), evidence, "{name}");
    }
    let endless = vec![b' '; domovoi::federation::evidence::MAX_EVIDENCE + 1];
    assert_eq!(Evidence::decode(&endless).unwrap_err().code(), "evidence.form");
}

#[test]
fn an_entrys_keys_are_those_of_its_signatures_that_are_known() {
    use domovoi::federation::evidence::keys_of;
    use domovoi::registry::verify::KeyRing;
    let good = record(MOSCOW, &chain());
    let mut ring = KeyRing::default();
    assert!(keys_of(&good, &ring).0.is_empty() && keys_of(b"no record", &ring).0.is_empty());
    let operator = MOSCOW.operator(0);
    ring.add(&PublicKey::of(&operator));
    assert_eq!(keys_of(&good, &ring).0, [BASE64.encode(operator.verifying_key().as_bytes())]);
}

#[test]
fn a_key_that_several_versions_name_is_one_key_and_a_nodes_own_entries_are_judged_by_its_commit_key() {
    use domovoi::registry::node_record::{Adopted, FederationCommit, FederationRegions};
    let chain = chain();
    let longer = advanced(&chain, |_| {});
    let log = MOSCOW.log();
    let fork = split_view(&Tree::made(300, 1 << 40), &Tree::made(300, 7), &MOSCOW.origin(), [&log, &log]);
    assert!(matches!(fork.verify(&longer).unwrap(), Finding::SplitView { keys, .. } if keys.len() == 1));
    let adopted = |log: &str, key: &SigningKey| {
        let (version, sha256) = (1, chain.latest().sha256());
        let adopted = Adopted { v: 0, log: log.into(), version, sha256 };
        NodeRecord::Adopted(adopted).sign(key).unwrap().0
    };
    let confirmed = |bytes: &[u8], code: &str| match entry(bytes, code, &[]).verify(&longer) {
        Ok(Finding::Entry { confirmed, .. }) => confirmed,
        other => panic!("{other:?}"),
    };
    assert!(confirmed(&adopted(&MOSCOW.origin(), &log), "commit.signature"));
    assert!(confirmed(&adopted(&TVER.origin(), &MOSCOW.commit()), "commit.field"));
    assert!(!confirmed(&adopted(&MOSCOW.origin(), &MOSCOW.commit()), "charter.adopted"));
    // What only the federation's log has is of another log, too.
    let regions = FederationRegions { v: 0, log: FEDERATION.into(), regions: List(Vec::new()) };
    let (bytes, id) = NodeRecord::Regions(regions).sign(&MOSCOW.commit()).unwrap();
    assert!(confirmed(&bytes, "commit.field"));
    let together = FederationCommit {
        v: 0,
        log: FEDERATION.into(),
        size: 2,
        time: ms(START),
        previous: None,
        charter: 1,
        regions: id,
        oldest: None,
        missing: List(Vec::new()),
        root: RecordId([7; 32]),
        links: RecordId([7; 32]),
        count: 0,
        bits: 0,
    };
    assert!(confirmed(&NodeRecord::Federation(together).sign(&MOSCOW.commit()).unwrap().0, "commit.field"));
}
