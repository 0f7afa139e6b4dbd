//! A log that was written well and then changed in one place: replay stops at the last good commit, with the right code,
//! and the state is that commit's.

use domovoi::registry::body::{Body, ChatKind};
use domovoi::registry::envelope::{Envelope, TYP_RECORD};
use domovoi::registry::ids::RecordId;
use domovoi::registry::node_record::{Commit, DecodedNodeRecord, NodeRecord};
use domovoi::registry::replay::Trust;
use domovoi::registry::state::State;
use domovoi::registry::text::Millis;
use ed25519_dalek::SigningKey;

use super::replay;
use super::world::*;

type Leaves = Vec<(String, [u8; 32])>;

/// Four commits; entries 0..12 are the first batch, then two records and a commit each. The leaves after each commit.
fn written() -> (World, Vec<Leaves>) {
    let mut w = World::with_authorities(1);
    let k = authority_key(0, 0);
    let mut states = vec![World::leaves(&State::new(jurisdiction(1))), World::leaves(&w.state)];
    for n in 0..3 {
        w.say(Body::BuildingRegistered(house(n, "45100000", vec![])), None, &[&k]);
        w.say(assigned(n, Some(company(n))), Some(day(1)), &[&k]);
        if n == 2 {
            w.say(Body::ChatRegistered(chat_over(0, &[2], ChatKind::House, 1)), Some(day(1)), &[&k]);
        }
        w.commit();
        states.push(World::leaves(&w.state));
    }
    (w, states)
}

fn commit_at(log: &[Vec<u8>], at: usize) -> Commit {
    match DecodedNodeRecord::decode(&log[at]).unwrap().record() {
        NodeRecord::Commit(c) => c.clone(),
        other => panic!("{other:?}"),
    }
}

/// Writes the commit at `at` anew, changed and signed with `key`.
fn recommit(log: &mut [Vec<u8>], at: usize, key: &SigningKey, change: impl FnOnce(&mut Commit)) {
    let mut commit = commit_at(log, at);
    change(&mut commit);
    log[at] = NodeRecord::Commit(commit).sign(key).unwrap().0;
}

/// The envelope at `at` with its payload changed and its signatures kept.
fn repay(log: &mut [Vec<u8>], at: usize, from: &str, to: &str) {
    let old = Envelope::parse(&log[at], TYP_RECORD, 1 << 14).unwrap();
    let payload = String::from_utf8(old.payload.clone()).unwrap().replace(from, to).into_bytes();
    assert_ne!(payload, old.payload);
    let mut new = Envelope::unsigned(payload, TYP_RECORD);
    new.signatures = old.signatures;
    log[at] = new.to_bytes();
}

#[test]
fn a_changed_log_stops_at_the_last_good_commit() {
    let (w, states) = written();
    // Entries of the second batch (after the second commit): register, assign, commit.
    let batch = w.roots[1].0 as usize;
    let (register, assign, commit) = (batch, batch + 1, batch + 2);
    type Change<'a> = Box<dyn Fn(&mut Vec<Vec<u8>>) + 'a>;
    let own = commit_key();
    let own = &own;
    let field = |change: fn(&mut Commit)| -> Change<'_> { Box::new(move |l| recommit(l, commit, own, change)) };
    let cases: Vec<(&str, &str, usize, Change<'_>)> = vec![
        ("nothing", "", 4, Box::new(|_| ())),
        ("a record's words", "signature.invalid", 2, Box::new(|l| repay(l, register, "Ленина", "Мира"))),
        (
            "a record of a later version",
            "record.version",
            2,
            Box::new(|l| repay(l, register, r#"{"v":0"#, r#"{"new":[1],"v":1"#)),
        ),
        ("a record that is no JSON", "record.payload", 2, Box::new(|l| repay(l, register, "{\"v\"", "{v"))),
        (
            "a signature",
            "signature.invalid",
            2,
            Box::new(|l| {
                let mut e = Envelope::parse(&l[assign], TYP_RECORD, 1 << 14).unwrap();
                e.signatures[0].1[40] ^= 1;
                l[assign] = e.to_bytes();
            }),
        ),
        ("a byte of the envelope", "envelope.malformed", 2, Box::new(|l| l[assign][2] ^= 1)),
        ("a record left out", "commit.field", 2, Box::new(|l| drop(l.remove(assign)))),
        ("two records swapped", "rule.stale", 2, Box::new(|l| l.swap(register, assign))),
        ("a record twice", "rule.known", 2, Box::new(|l| l[assign] = l[register].clone())),
        ("a record of an earlier batch", "rule.known", 2, Box::new(|l| l[assign] = l[assign - 3].clone())),
        (
            "an unknown signer",
            "rule.key.unknown",
            2,
            Box::new(|l| {
                l[assign] = w.entry(assigned(0, None), None, &[&key(250)]);
            }),
        ),
        (
            "a record of another log",
            "rule.log",
            2,
            Box::new(|l| {
                let mut draft = w.draft(assigned(1, None), None);
                draft.log = "test.example/log/78".into();
                l[assign] = World::sign(draft, &[&authority_key(0, 0)]);
            }),
        ),
        ("another root", "commit.root", 2, field(|c| c.root = RecordId([1; 32]))),
        ("the time of the commit before", "commit.field", 2, field(|c| c.time = Millis::new(START + 1000).unwrap())),
        ("a first entry too late", "commit.field", 2, field(|c| c.first += 1)),
        ("a size too large", "commit.field", 2, field(|c| c.size += 1)),
        ("another previous commit", "commit.field", 2, field(|c| c.previous = Some(RecordId([1; 32])))),
        ("no previous commit", "commit.field", 2, field(|c| c.previous = None)),
        ("another log's commit", "commit.field", 2, field(|c| c.log = "test.example/log/78".into())),
        ("a commit of a later version", "record.version", 2, field(|c| c.v = 1)),
        ("a charter not in force", "commit.charter", 2, field(|c| c.charter += 1)),
        ("a commit by another key", "commit.signature", 2, Box::new(|l| recommit(l, commit, &root_key(), |_| ()))),
        ("a commit left out", "commit.field", 2, Box::new(|l| drop(l.remove(commit)))),
        ("an end without a commit", "", 3, Box::new(|l| drop(l.pop()))),
        (
            "an adopted charter with another digest",
            "charter.adopted",
            0,
            Box::new(|l| {
                let mut a = adopted();
                a.sha256 = RecordId([8; 32]);
                l[0] = NodeRecord::Adopted(a).sign(own).unwrap().0;
            }),
        ),
        ("the charter adopted again", "charter.adopted", 2, Box::new(|l| l[assign] = l[0].clone())),
        (
            "no charter adopted",
            "commit.charter",
            0,
            Box::new(|l| {
                l.remove(0);
                recommit(l, w.roots[0].0 as usize - 2, own, |c| c.size -= 1);
            }),
        ),
    ];
    for (name, code, good, change) in cases {
        let mut log = w.log.clone();
        change(&mut log);
        for chunk in [1, 4, log.len()] {
            let (state, roots, result) = replay(&log, chunk, Trust::Verify);
            assert_eq!(result.err().map_or("", |e| e.code()), code, "{name}, in chunks of {chunk}");
            assert_eq!(roots, w.roots[..good], "{name}, in chunks of {chunk}");
            assert_eq!(World::leaves(&state), states[good], "{name}, in chunks of {chunk}");
        }
    }
}
