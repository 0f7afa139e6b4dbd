//! Replay over a chain of charters: each entry is judged by the version in force where it stands; an exception makes one
//! entry a no-op and moves no owner; a record version that is not switched on, or not known, is not guessed at.

use domovoi::federation::chain::CharterChain;
use domovoi::federation::charter::{CharterBody, ExceptedEntry};
use domovoi::registry::body::*;
use domovoi::registry::envelope::{Envelope, TYP_RECORD};
use domovoi::registry::ids::RecordId;
use domovoi::registry::record::{DecodedRecord, Record};
use domovoi::registry::replay::Trust;
use domovoi::registry::rules;
use domovoi::registry::signature::PublicKey;
use domovoi::registry::state::View;
use domovoi::registry::verify::verify_records;
use domovoi::tlog::leaf_hash;
use domovoi::tlog::note::NoteSigner;
use ed25519_dalek::SigningKey;

use super::regions::*;

fn member(body: &mut CharterBody, place: Place) -> &mut domovoi::federation::charter::Region {
    body.regions.0.iter_mut().find(|r| r.origin.as_str() == place.origin()).unwrap()
}

fn named(n: u64) -> Body {
    Body::OrganisationNamed(OrganisationNamed { organisation: ogrn(n), name: text("Организация") })
}

fn house(n: usize, oktmo: &str) -> Body {
    Body::BuildingRegistered(Building {
        building: building(n),
        address: text("ул. Новая, д. 1"),
        oktmo: oktmo.parse().unwrap(),
        kind: BuildingKind::Apartment,
        also: None,
        flats: None,
        year: None,
        emergency: None,
        applicability: None,
    })
}

/// Version 2 changes everything a version can change of a region: root, log and commit keys, prefixes.
fn rolled(chain: &CharterChain) -> CharterChain {
    advanced(chain, |b| {
        let m = member(b, MOSCOW);
        m.root_keys = List(vec![KeyBytes(PublicKey::of(&key(110)))]);
        m.commit_key = KeyBytes(PublicKey::of(&key(112)));
        m.log_vkey = text(&NoteSigner::new(MOSCOW.origin(), key(111)).unwrap().verifier().to_string());
        m.oktmo = List(vec!["45".parse().unwrap(), "47".parse().unwrap()]);
    })
}

#[test]
fn a_log_of_several_charters_replays_from_nothing_each_entry_under_its_own() {
    let one = pinned(&[MOSCOW, OBLAST]);
    let mut r = Region::new(MOSCOW, &one);
    let k = MOSCOW.operator(0);
    let suspended = AuthoritySuspended { authority: MOSCOW.authority(1), reason: StandingReason::Decision };
    assert_eq!(r.try_say(house(1, "47111000"), None, &[&k]).unwrap_err().code(), "rule.oktmo.region");
    r.build(1, vec![]);

    let two = rolled(&one);
    r.given(&two);
    // Given, not adopted: the old one still governs.
    assert_eq!(r.state.charter(), 1);
    assert_eq!(r.try_say(house(2, "47111000"), None, &[&k]).unwrap_err().code(), "rule.oktmo.region");
    (r.log_key, r.commit_key) = (key(111), key(112));
    r.adopt();
    assert_eq!(r.state.charter(), 2);
    // The key that was granted for 45 is not good for 47; the new root grants another.
    let granted = KeyGranted {
        key: KeyBytes(PublicKey::of(&key(120))),
        authority: MOSCOW.authority(0),
        scopes: List(vec![text("*")]),
        oktmo: List(vec!["47".parse().unwrap()]),
        not_before: ms(0),
        not_after: ms(1 << 50),
    };
    let refused = r.try_say(Body::KeyGranted(granted.clone()), None, &[&MOSCOW.root()]).unwrap_err();
    assert_eq!(refused.code(), "rule.key.unknown", "the old root key is nobody's any more");
    // Nor is it for the authority, before that is responsible there.
    let beyond = r.try_say(Body::KeyGranted(granted.clone()), None, &[&key(110)]).unwrap_err();
    assert_eq!(beyond.code(), "rule.key.oktmo");
    let wider = AuthorityAmended {
        authority: MOSCOW.authority(0),
        name: text("ГЖИ"),
        oktmo: List(vec!["45".parse().unwrap(), "47".parse().unwrap()]),
        short_name: None,
        reinstated: None,
    };
    r.say(Body::AuthorityAmended(wider), None, &[&key(110)]);
    r.say(Body::KeyGranted(granted), None, &[&key(110)]);
    r.say(house(2, "47111000"), None, &[&key(120)]);
    r.say(Body::AuthoritySuspended(suspended), None, &[&key(110)]);

    // A third version takes the prefix away again: what was admitted stays, nothing new comes.
    let three = advanced(&two, |b| member(b, MOSCOW).oktmo = List(vec!["45".parse().unwrap()]));
    r.given(&three);
    r.adopt();
    assert_eq!(r.try_say(house(3, "47111000"), None, &[&key(120)]).unwrap_err().code(), "rule.oktmo.region");
    assert!(r.state.building(&building(2)).is_some());
    r.replays(&three);

    // With a shorter chain the log is good as far as that reaches, and no further.
    for (chain, charter) in [(&one, 1), (&two, 2)] {
        let (state, result) = r.replay(chain, Trust::Verify);
        let refused = result.unwrap_err();
        assert_eq!(refused.code(), "charter.adopted");
        assert_eq!(state.charter(), charter);
        assert!(state.size() > 0 && state.size() < r.state.size());
    }
    // A chain that begins later does not know what the log began with.
    let late = CharterChain::pinned(&next_charter(&one, |_| {})).unwrap();
    assert_eq!(r.replay(&late, Trust::Verify).1.unwrap_err().code(), "charter.adopted");
}

#[test]
fn keys_of_another_version_sign_nothing() {
    let one = pinned(&[MOSCOW, OBLAST]);
    let two = rolled(&one);
    let changed = |keys: [SigningKey; 2], adopt_by: SigningKey| {
        let mut r = Region::new(MOSCOW, &one);
        r.given(&two);
        r.commit_key = adopt_by;
        r.adopt();
        [_, r.commit_key] = keys;
        r.say(named(1), None, &[&MOSCOW.operator(0)]);
        r.replay(&two, Trust::Verify).1.map_err(|e| e.code())
    };
    let (old, new) = (MOSCOW.commit(), key(112));
    assert_eq!(changed([new.clone(), new.clone()], new.clone()), Ok(()));
    assert_eq!(changed([old.clone(), old.clone()], new.clone()), Err("commit.signature"));
    // The old key cannot bring the new charter in.
    assert_eq!(changed([new.clone(), new.clone()], old.clone()), Err("commit.signature"));
    // And the new key signs nothing before it.
    let mut r = Region::empty(MOSCOW, &one);
    r.commit_key = new;
    r.adopt();
    assert_eq!(r.replay(&two, Trust::Verify).1.unwrap_err().code(), "commit.signature");
    // Who may sign the next checkpoint: the version in force and later ones, never an earlier one.
    let charters = two.of_log(&MOSCOW.origin()).unwrap();
    let names = |from| charters.log_keys(from).map(|k| k.verifying_key().to_bytes()).collect::<Vec<_>>();
    let (first, second) = (MOSCOW.log().verifying_key().to_bytes(), key(111).verifying_key().to_bytes());
    assert_eq!((names(1), names(2)), (vec![first, second], vec![second]));
}

#[test]
fn a_chain_takes_the_next_version_only_and_no_second_one() {
    let one = pinned(&[MOSCOW, OBLAST]);
    let mut chain = one.clone();
    let second = next_charter(&one, |b| b.staleness_hours = 12);
    assert!(chain.advance(&second).unwrap());
    // The same version, signed by another threshold, is the same charter.
    let body = chain.latest().charter().clone();
    let elsewhere = sign_charter(&body, &[0, 2]);
    assert_ne!(elsewhere, second);
    assert!(!chain.advance(&elsewhere).unwrap());
    // Another charter of that version is a conflict, an earlier or later one out of order.
    let other = next_charter(&one, |b| b.staleness_hours = 13);
    assert_eq!(chain.advance(&other).unwrap_err().code(), "charter.conflict");
    let fourth = advanced(&chain, |_| {});
    let fourth = next_charter(&fourth, |_| {});
    assert_eq!(chain.advance(&fourth).unwrap_err().code(), "charter.sequence");
    // A log that adopted one of two signature sets replays under the other.
    let mut r = Region::new(MOSCOW, &one);
    r.given(&chain);
    r.adopt();
    let mut same = one.clone();
    same.advance(&elsewhere).unwrap();
    r.replays(&same);
}

#[test]
fn a_chain_keeps_its_pinned_charter_and_names_what_it_does_not_know() {
    let one = pinned(&[MOSCOW, OBLAST]);
    // The second version leaves a region out: its log keeps what the first said, and no newer word on it is found.
    let two = advanced(&one, |b| b.regions.0.retain(|r| r.code == MOSCOW.member().code));
    assert_eq!(two.first().sha256(), one.latest().sha256());
    assert_eq!(two.versions().iter().map(|c| c.charter().version).collect::<Vec<_>>(), [1, 2]);
    assert!(two.version(3).is_none());
    let (moscow, oblast) = (MOSCOW.origin(), OBLAST.origin());
    assert_eq!(two.of_log(&moscow).unwrap().latest().charter_version, 2);
    assert_eq!(two.of_log(&oblast).unwrap().latest().charter_version, 1);
    assert_eq!(two.region(&moscow).unwrap().origin.as_str(), moscow);
    assert_eq!(two.region(&oblast).unwrap_err().code(), "charter.origin");
    assert_eq!(two.of_log("log.example/none").unwrap_err().code(), "charter.origin");
    assert!(CharterChain::pinned(b"{}").is_err());
}

/// A log with one bad entry at `index`, which its node counted (`counted`) or not, and what came after it.
struct Spoiled {
    chain: CharterChain,
    log: Region,
    index: u64,
    leaf: RecordId,
}

/// Writes `entry` though the rules refuse it, in a batch of its own.
fn spoil(mut log: Region, chain: CharterChain, entry: Vec<u8>) -> Spoiled {
    let (index, leaf) = (log.state.size(), RecordId(leaf_hash(&entry).0));
    let changes = log.state.overlay().finish();
    log.close(vec![entry], changes);
    log.say(named(50), None, &[&MOSCOW.operator(0)]);
    Spoiled { chain, log, index, leaf }
}

fn unsigned_house(log: &Region) -> Vec<u8> {
    // Signed by a key that nobody granted.
    Region::sign(log.draft(house(9, "45111000"), None), &[&key(199)])
}

fn excepting(s: &Spoiled, change: impl Fn(&mut ExceptedEntry)) -> CharterChain {
    let mut e = ExceptedEntry { origin: text(&MOSCOW.origin()), index: s.index, leaf: s.leaf };
    change(&mut e);
    advanced(&s.chain, |b| b.exceptions = Some(List(vec![e])))
}

#[test]
fn one_bad_entry_holds_the_log_until_a_charter_excepts_it() {
    let chain = pinned(&[MOSCOW, OBLAST]);
    let log = Region::new(MOSCOW, &chain);
    let bad = unsigned_house(&log);
    let before = log.state.size();
    let mut s = spoil(log, chain, bad);
    let (state, result) = s.log.replay(&s.chain, Trust::Verify);
    assert_eq!((result.unwrap_err().code(), state.size()), ("rule.key.unknown", before));
    let excepted = excepting(&s, |_| {});
    s.log.replays_with(&excepted, &s);
    // The log's node adopts it and goes on; everybody replays all of it, and the old chain still stops where it did.
    s.log.given(&excepted);
    s.log.adopt();
    s.log.say(named(51), None, &[&MOSCOW.operator(0)]);
    s.log.replays(&excepted);
    assert_eq!(s.log.replay(&s.chain, Trust::Verify).1.unwrap_err().code(), "rule.key.unknown");
    assert!(s.log.state.building(&building(9)).is_none());
}

impl Region {
    fn replays_with(&self, chain: &CharterChain, s: &Spoiled) {
        let (state, result) = self.replay(chain, Trust::Verify);
        result.unwrap();
        assert_eq!(state.size(), s.log.state.size());
        assert!(state.building(&building(9)).is_none());
    }
}

#[test]
fn any_kind_of_bad_entry_can_be_excepted_undecodable_ones_too() {
    let chain = pinned(&[MOSCOW, OBLAST]);
    let log = Region::new(MOSCOW, &chain);
    let k = MOSCOW.operator(0);
    let forged = {
        let mut e =
            Envelope::parse(&Region::sign(log.draft(house(9, "45111000"), None), &[&k]), TYP_RECORD, 1 << 14).unwrap();
        e.signatures[0].1[7] ^= 1;
        e.to_bytes()
    };
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("envelope.malformed", b"not an entry at all".to_vec()),
        ("signature.invalid", forged),
        ("rule.oktmo.region", Region::sign(log.draft(house(9, "46111000"), None), &[&k])),
        (
            "record.type",
            Envelope::sign(
                br#"{"v":0,"type":"chat.eaten","log":"l","issued_at":0,"submit_before":0,"body":{}}"#.to_vec(),
                TYP_RECORD,
                &[&k],
            ),
        ),
    ];
    for (expected, bad) in cases {
        let s = spoil(log.clone(), chain.clone(), bad);
        assert_eq!(s.log.replay(&s.chain, Trust::Verify).1.unwrap_err().code(), expected);
        let longer = excepting(&s, |_| {});
        s.log.replays_with(&longer, &s);
        // Also for a node that reads its own copy back and verifies no other signature.
        let (state, result) = s.log.replay(&longer, Trust::Reread);
        result.unwrap();
        assert!(state.building(&building(9)).is_none(), "{expected}");
    }
}

#[test]
fn an_exception_of_another_entry_or_another_log_changes_nothing() {
    let chain = pinned(&[MOSCOW, OBLAST]);
    let log = Region::new(MOSCOW, &chain);
    let bad = unsigned_house(&log);
    let s = spoil(log, chain, bad);
    let refused =
        |change: &dyn Fn(&mut ExceptedEntry)| s.log.replay(&excepting(&s, change), Trust::Verify).1.unwrap_err().code();
    assert_eq!(refused(&|e| e.leaf.0[0] ^= 1), "charter.exception");
    assert_eq!(refused(&|e| e.index -= 1), "charter.exception", "a commit is no exception");
    assert_eq!(refused(&|e| e.index += 100), "rule.key.unknown");
    assert_eq!(refused(&|e| e.origin = text(&OBLAST.origin())), "rule.key.unknown");
    // An exception of a log that no region has, or one named twice, makes no charter.
    for double in [false, true] {
        let mut body = s.chain.latest().charter().clone();
        (body.version, body.previous) = (2, Some(s.chain.latest().sha256()));
        let origin = if double { MOSCOW.origin() } else { "log.example/99".into() };
        let e = ExceptedEntry { origin: text(&origin), index: s.index, leaf: s.leaf };
        body.exceptions = Some(List(if double { vec![e.clone(), e] } else { vec![e] }));
        let refused = s.chain.clone().advance(&sign_charter(&body, &[0, 1])).unwrap_err();
        assert_eq!(refused.code(), "charter.invalid");
    }
}

#[test]
fn an_exception_cannot_move_an_owner_nor_anything_else_that_was_good() {
    let chain = pinned(&[MOSCOW, OBLAST]);
    let mut log = Region::new(MOSCOW, &chain);
    let grant = log.log.len() as u64 - 2;
    log.build(1, vec![]);
    let chat = log.chat(&[1], 7);
    let (a, b) = (MOSCOW.operator(0), MOSCOW.operator(1));
    let moved = OwnershipTransferred { chat, from: MOSCOW.authority(0), to: MOSCOW.authority(1) };
    log.say(Body::OwnershipTransferred(moved), Some(day("2026-09-10")), &[&a, &b]);
    log.say(named(60), None, &[&b]);
    // Neither the transfer, nor the key that signed it, nor any other good record.
    let records: Vec<u64> =
        (0..log.log.len() as u64).filter(|i| DecodedRecord::decode(&log.log[*i as usize]).is_ok()).collect();
    assert!(records.contains(&grant));
    for index in records {
        let leaf = RecordId(leaf_hash(&log.log[index as usize]).0);
        let e = ExceptedEntry { origin: text(&MOSCOW.origin()), index, leaf };
        let longer = advanced(&chain, |b| b.exceptions = Some(List(vec![e])));
        for trust in [Trust::Verify, Trust::Reread] {
            let (state, result) = log.replay(&longer, trust);
            assert_eq!(result.unwrap_err().code(), "charter.exception", "entry {index}");
            assert!(state.size() <= index, "entry {index}");
        }
    }
}

/// The node that wrote the bad entry had counted it, so its roots say so; from the adoption on they must not.
#[test]
fn roots_that_count_an_excepted_entry_are_not_compared_until_the_charter_is_adopted() {
    let chain = pinned(&[MOSCOW, OBLAST]);
    let mut s = {
        let mut log = Region::new(MOSCOW, &chain);
        let revoked = KeyRevoked {
            key: PublicKey::of(&MOSCOW.operator(1)).thumb(),
            reason: RevokeReason::Compromised,
            suspect_from: None,
        };
        log.say(Body::KeyRevoked(revoked), None, &[&MOSCOW.root()]);
        let bad = Region::sign(log.draft(house(9, "45111000"), None), &[&MOSCOW.operator(1)]);
        let (index, leaf) = (log.state.size(), RecordId(leaf_hash(&bad).0));
        // The defect: applied without the rules' consent.
        let changes = {
            let mut other = Region::new(MOSCOW, &chain);
            let decoded = DecodedRecord::decode(&bad).unwrap();
            let verified = verify_records(vec![decoded], &other.ring).remove(0).unwrap();
            other.time = log.time;
            let mut overlay = other.state.overlay();
            let checked = rules::check(&overlay, &verified, other.time).unwrap();
            overlay.apply(checked, index);
            overlay.finish()
        };
        log.close(vec![bad], changes);
        log.say(named(50), None, &[&MOSCOW.operator(0)]);
        Spoiled { chain, log, index, leaf }
    };
    assert!(s.log.state.building(&building(9)).is_some());
    assert_eq!(s.log.replay(&s.chain, Trust::Verify).1.unwrap_err().code(), "rule.key.revoked");
    let longer = excepting(&s, |_| {});
    let (state, result) = s.log.replay(&longer, Trust::Verify);
    result.unwrap();
    assert!(state.building(&building(9)).is_none());
    assert_ne!(leaves_of(&state), leaves_of(&s.log.state));
    // The node goes on as if nothing had happened, adopts, and still counts it: that is refused.
    let mut stubborn = s.log.clone();
    stubborn.given(&longer);
    stubborn.adopt();
    assert_eq!(stubborn.replay(&longer, Trust::Verify).1.unwrap_err().code(), "commit.root");
    // It replays its log under the new chain first, as a node does when it starts, and is believed again.
    s.log.state = state;
    s.log.map =
        s.log.state.leaves().map(|(name, value)| (domovoi::registry::statemap::map_key(&name), value)).collect();
    s.log.adopt();
    s.log.say(named(51), None, &[&MOSCOW.operator(0)]);
    s.log.replays(&longer);
}

#[test]
fn a_record_version_that_is_not_switched_on_is_refused_and_an_unknown_one_ends_the_reading() {
    let one = pinned(&[MOSCOW, OBLAST]);
    let mut r = Region::new(MOSCOW, &one);
    r.say(named(1), None, &[&MOSCOW.operator(0)]);
    // Version 0 is switched off: a record of it is known to this node, and may not appear.
    let off = advanced(&one, |b| b.record_versions = List(vec![1]));
    let mut later = r.clone();
    later.given(&off);
    later.adopt();
    assert_eq!(later.try_say(named(2), None, &[&MOSCOW.operator(0)]).unwrap_err().code(), "rule.version");
    assert_eq!(later.replay(&off, Trust::Verify).1.unwrap_err().code(), "commit.version");
    // A version that is switched on and not known here: the log stands at the last good commit, and nobody guesses.
    let both = advanced(&one, |b| b.record_versions = List(vec![0, 1]));
    r.given(&both);
    r.adopt();
    let before = r.state.size();
    let (_, payload) = Record::encode(r.draft(named(3), None)).unwrap();
    let payload = String::from_utf8(payload)
        .unwrap()
        .replace(r#""v":0"#, r#""v":1"#)
        .replace(r#""body""#, r#""colour":7,"body""#);
    let newer = Envelope::sign(payload.into_bytes(), TYP_RECORD, &[&MOSCOW.operator(0)]);
    let s = spoil(r, both.clone(), newer);
    let (state, result) = s.log.replay(&both, Trust::Verify);
    assert_eq!((result.unwrap_err().code(), state.size()), ("record.version", before));
    // Nor can it be excepted here: it may be good.
    let longer = excepting(&s, |_| {});
    let (state, result) = s.log.replay(&longer, Trust::Verify);
    assert_eq!((result.unwrap_err().code(), state.size()), ("record.version", before));
}
