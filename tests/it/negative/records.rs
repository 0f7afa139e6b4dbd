//! Cases about records and logs: made by the tables of `rules/refused.rs`, each against the same region.

use data_encoding::BASE64URL_NOPAD;
use domovoi::registry::body::Body;
use domovoi::registry::envelope::{Envelope, MAX_ENTRY, TYP_NODE};
use domovoi::registry::ids::RecordId;
use domovoi::registry::node_record::{Adopted, Commit, DecodedNodeRecord, FederationRegions, NodeRecord};
use domovoi::registry::text::Millis;
use serde_json::{Value, json};

use super::{Case, bare, case};
use crate::rules::refused::{self, Scene};
use crate::rules::world::*;

const CONTEXT: &str = "region-77.json";

/// Cases that need a longer log than a file should hold; `rules/refused.rs` runs them.
const LONG: &[&str] = &["too many periods"];

pub use crate::rules::refused::scene;

fn entry_text(entry: &[u8]) -> Value {
    String::from_utf8(entry.to_vec()).expect("an entry is text").into()
}

/// The region that all cases are about: what its charter says of it, and its log so far.
pub fn context(scene: &Scene) -> Value {
    let j = jurisdiction(1);
    let key = |k: &domovoi::registry::signature::PublicKey| Value::from(BASE64URL_NOPAD.encode(&k.to_bytes()));
    let oktmo: Vec<String> = j.oktmo.iter().map(ToString::to_string).collect();
    json!({
        "about": "A region: its jurisdiction as its charter has it, and its log, one entry a line of the list.",
        "jurisdiction": {
            "origin": j.origin, "region": j.region.to_string(), "oktmo": oktmo,
            "root_keys": j.root_keys.iter().map(key).collect::<Vec<_>>(), "root_threshold": j.root_threshold,
            "commit_key": key(&j.commit_key), "charter_version": j.charter_version,
            "charter_sha256": j.charter_sha256.to_string(),
        },
        "log": scene.w.log.iter().map(|e| entry_text(e)).collect::<Vec<_>>(),
    })
}

fn offered(scene: &Scene, name: &str, code: &str, make: impl Fn(&mut Scene) -> Vec<u8>) -> Case {
    let mut s = scene.clone();
    let entry = make(&mut s);
    assert_eq!(s.w.log.len(), scene.w.log.len(), "{name}: commits in between; name it in LONG");
    let before: Vec<Value> = s.w.pending.iter().map(|(e, _)| entry_text(e)).collect();
    let offered = case(name, "record", entry, code).with("context", CONTEXT).with("time", s.w.time());
    if before.is_empty() { offered } else { offered.with("before", before) }
}

fn of_table(scene: &Scene, table: &[refused::Case]) -> Vec<Case> {
    let fits = table.iter().filter(|(name, ..)| !LONG.contains(name));
    fits.map(|(name, code, make)| offered(scene, name, code, make)).collect()
}

pub fn envelopes(scene: &Scene) -> Vec<Case> {
    let mut cases = of_table(scene, refused::ENVELOPE);
    cases.insert(0, offered(scene, "a good record", "", |s| s.by(refused::register(12))));
    cases
}

pub fn payloads(scene: &Scene) -> Vec<Case> {
    of_table(scene, refused::PAYLOAD)
}

pub fn rules(scene: &Scene) -> Vec<Case> {
    of_table(scene, refused::RULES)
}

/// A log that goes on with a record and a commit, changed.
fn batch(scene: &Scene, name: &str, code: &str, change: impl FnOnce(&mut Vec<Vec<u8>>)) -> Case {
    let mut w = scene.w.clone();
    w.say(Body::BuildingRegistered(house(12, "45100000", vec![])), None, &[&scene.k]);
    w.commit();
    let mut entries = w.log.split_off(scene.w.log.len());
    change(&mut entries);
    let entries: Vec<Value> = entries.iter().map(|e| entry_text(e)).collect();
    bare(name, "log", code).with("context", CONTEXT).with("entries", entries)
}

/// The commit of the batch, changed and signed again.
fn commit(change: impl FnOnce(&mut Commit)) -> impl FnOnce(&mut Vec<Vec<u8>>) {
    move |entries| {
        let last = entries.last_mut().unwrap();
        let NodeRecord::Commit(mut c) = DecodedNodeRecord::decode(last).unwrap().record().clone() else { panic!() };
        change(&mut c);
        *last = NodeRecord::Commit(c).sign(&commit_key()).unwrap().0;
    }
}

/// The payload of the commit as text, changed and signed again.
fn commit_text(from: &'static str, to: &'static str) -> impl FnOnce(&mut Vec<Vec<u8>>) {
    move |entries| {
        let last = entries.last_mut().unwrap();
        let payload = Envelope::parse(last, TYP_NODE, MAX_ENTRY).unwrap().payload;
        let text = String::from_utf8(payload).unwrap();
        assert!(text.contains(from), "{text}");
        *last = Envelope::sign(text.replacen(from, to, 1).into_bytes(), TYP_NODE, &[&commit_key()]);
    }
}

pub fn logs(scene: &Scene) -> Vec<Case> {
    let adopted = |change: fn(&mut Adopted)| {
        let mut a = adopted();
        a.version += 1;
        change(&mut a);
        NodeRecord::Adopted(a).sign(&commit_key()).unwrap().0
    };
    let new = |name: &str, code: &str, entries: Vec<Vec<u8>>| {
        let entries: Vec<Value> = entries.iter().map(|e| entry_text(e)).collect();
        bare(name, "log", code).with("context", CONTEXT).with("from", "start").with("entries", entries)
    };
    let first = scene.w.log[0].clone();
    let good = scene.w.log[..scene.w.roots[0].0 as usize].to_vec();
    vec![
        batch(scene, "a good batch", "", |_| ()),
        new("a good beginning", "", good.clone()),
        batch(scene, "log: a wrong root", "commit.root", commit(|c| c.root.0[0] ^= 1)),
        batch(scene, "log: a wrong first", "commit.field", commit(|c| c.first += 1)),
        batch(scene, "log: a wrong size", "commit.field", commit(|c| c.size += 1)),
        batch(scene, "log: another log's commit", "commit.field", commit(|c| c.log = "test.example/log/78".into())),
        batch(scene, "log: time stands still", "commit.field", |e| {
            let NodeRecord::Commit(before) =
                DecodedNodeRecord::decode(scene.w.log.last().unwrap()).unwrap().record().clone()
            else {
                panic!()
            };
            commit(|c| c.time = before.time)(e);
        }),
        batch(scene, "log: time goes back", "commit.field", commit(|c| c.time = Millis::new(1).unwrap())),
        batch(scene, "log: another previous commit", "commit.field", commit(|c| c.previous = Some(RecordId([9; 32])))),
        batch(scene, "log: no previous commit", "commit.field", commit(|c| c.previous = None)),
        batch(scene, "log: a commit of the federation's log in a region's", "commit.federation", |entries| {
            let regions = FederationRegions { v: 0, log: "test.example/log/77".into(), regions: Default::default() };
            *entries.last_mut().unwrap() = NodeRecord::Regions(regions).sign(&commit_key()).unwrap().0;
        }),
        batch(scene, "log: a charter that is not in force", "commit.charter", commit(|c| c.charter += 1)),
        batch(scene, "log: a commit of a later version", "record.version", commit_text(r#""v":0"#, r#""v":1"#)),
        batch(scene, "log: an unknown member of a commit", "record.payload", commit_text(r#""v":0"#, r#""v":0,"w":0"#)),
        batch(scene, "log: a member of a commit twice", "record.payload", commit_text(r#""v":0"#, r#""v":0,"v":0"#)),
        batch(scene, "log: a commit without a root", "record.payload", commit_text(r#","root":"#, r#","root2":"#)),
        batch(
            scene,
            "log: a type that a node does not write",
            "record.payload",
            commit_text("state.committed", "state.undone"),
        ),
        batch(scene, "log: a commit by somebody else's key", "commit.signature", |e| {
            let c = DecodedNodeRecord::decode(e.last().unwrap()).unwrap().record().clone();
            *e.last_mut().unwrap() = c.sign(&root_key()).unwrap().0;
        }),
        batch(scene, "log: a commit with two signatures", "commit.signature", |e| {
            let payload = Envelope::parse(e.last().unwrap(), TYP_NODE, MAX_ENTRY).unwrap().payload;
            *e.last_mut().unwrap() = Envelope::sign(payload, TYP_NODE, &[&commit_key(), &root_key()]);
        }),
        batch(scene, "log: a commit whose signature was changed", "commit.signature", |e| {
            let mut envelope = Envelope::parse(e.last().unwrap(), TYP_NODE, MAX_ENTRY).unwrap();
            envelope.signatures[0].1[0] ^= 1;
            *e.last_mut().unwrap() = envelope.to_bytes();
        }),
        batch(scene, "log: a record whose signature was changed", "signature.invalid", |e| {
            let mut envelope = Envelope::parse(&e[0], domovoi::registry::envelope::TYP_RECORD, MAX_ENTRY).unwrap();
            envelope.signatures[0].1[0] ^= 1;
            e[0] = envelope.to_bytes();
        }),
        batch(scene, "log: a record that the rules refuse", "rule.known", |e| e[0] = scene.w.log[3].clone()),
        batch(scene, "log: a record twice in a batch", "rule.known", |e| {
            e.insert(0, e[0].clone());
            commit(|c| c.size += 1)(e);
        }),
        batch(scene, "log: an entry that is none", "envelope.malformed", |e| e[0] = b"{}".to_vec()),
        batch(scene, "log: an entry of another typ", "envelope.header", |e| {
            e[0] = Envelope::sign(b"{}".to_vec(), domovoi::registry::envelope::TYP_CHARTER, &[&commit_key()]);
        }),
        batch(scene, "log: the charter adopted again", "charter.adopted", |e| e[0] = first.clone()),
        batch(scene, "log: a charter nobody signed", "charter.adopted", |e| e[0] = adopted(|_| ())),
        new("log: another charter than the region's", "charter.adopted", {
            let mut l = good.clone();
            l[0] = adopted(|a| (a.version, a.sha256) = (a.version - 1, RecordId([8; 32])));
            l
        }),
        new("log: no charter adopted", "commit.field", good[1..].to_vec()),
        new("log: a commit over nothing adopted", "commit.charter", {
            let commit = NodeRecord::Commit(Commit {
                v: 0,
                log: ORIGIN.into(),
                first: 0,
                size: 1,
                time: Millis::new(START).unwrap(),
                previous: None,
                charter: 3,
                root: RecordId([0; 32]),
            });
            vec![commit.sign(&commit_key()).unwrap().0]
        }),
    ]
}
