//! Attacks on the federation's charter: by whoever has some of its keys, an old key, or a place between two nodes.

use domovoi::federation::chain::{CharterChain, MAX_VERSIONS};
use domovoi::federation::charter::{Charter, CharterBody};
use domovoi::federation::evidence::{Evidence, Finding};
use domovoi::federation::keys::retire;
use domovoi::federation::roles::{
    AnnouncedKey, Cut, KeyRole, Quorums, RetireReason, RetiredKey, Standing, StandingStatus,
};
use domovoi::registry::body::{KeyBytes, List};
use domovoi::registry::envelope::{Envelope, TYP_CHARTER};
use domovoi::registry::ids::RecordId;
use domovoi::registry::signature::PublicKey;
use domovoi::registry::status_proof::Name;
use domovoi::tlog::cosignature::Cosigner;
use domovoi::tlog::leaf_hash;
use domovoi::tlog::note::NoteSigner;
use domovoi::tlog::tree::Frontier;
use ed25519_dalek::SigningKey;
use serde_json::json;

use crate::follow::{member, ministry, synced, until};
use crate::forge::{Peers, Served};
use crate::node::Node;
use crate::regions::*;

fn public(n: u8) -> KeyBytes {
    KeyBytes(PublicKey::of(&key(n)))
}

fn moscow(b: &mut CharterBody) -> &mut domovoi::federation::charter::Region {
    b.regions.0.iter_mut().find(|r| r.origin.as_str() == MOSCOW.origin()).unwrap()
}

/// The version after the newest, retired keys listed, not signed yet.
fn after(chain: &CharterChain, change: impl FnOnce(&mut CharterBody)) -> CharterBody {
    let mut body = chain.latest().charter().clone();
    (body.version, body.previous) = (body.version + 1, Some(chain.latest().sha256()));
    (body.exceptions, body.cuts) = (None, None);
    change(&mut body);
    retire(chain.latest().charter(), &mut body, |_| RetireReason::Replaced).unwrap();
    body
}

fn signed(body: &CharterBody, keys: &[SigningKey]) -> Vec<u8> {
    Charter::sign(body, &keys.iter().collect::<Vec<_>>()).unwrap()
}

fn refused(chain: &CharterChain, bytes: &[u8]) -> &'static str {
    let mut longer = chain.clone();
    let code = longer.advance(bytes).unwrap_err().code();
    assert_eq!(longer.latest().sha256(), chain.latest().sha256(), "what is refused changes nothing");
    code
}

fn log_line(n: u8) -> domovoi::registry::text::Text {
    text(&NoteSigner::new(MOSCOW.origin(), key(n)).unwrap().verifier().to_string())
}

/// New root keys 201, 202, 203 in the place of the old ones.
fn rolled_roots(chain: &CharterChain) -> CharterBody {
    after(chain, |b| b.root_keys = List(vec![public(201), public(202), public(203)]))
}

#[test]
fn a_rollover_signed_only_by_the_old_keys_is_refused() {
    let chain = pinned(&[MOSCOW, OBLAST]);
    let [a, b, c] = federation_keys();
    assert_eq!(refused(&chain, &signed(&rolled_roots(&chain), &[a, b, c])), "charter.threshold");
}

#[test]
fn a_rollover_signed_only_by_the_new_keys_is_refused() {
    let chain = pinned(&[MOSCOW, OBLAST]);
    let body = rolled_roots(&chain);
    assert_eq!(refused(&chain, &signed(&body, &[key(201), key(202), key(203)])), "charter.threshold");
    // With both thresholds it is good.
    let [a, b, _] = federation_keys();
    assert!(chain.clone().advance(&signed(&body, &[a, b, key(201), key(202)])).unwrap());
}

#[test]
fn a_version_cannot_be_skipped() {
    let chain = pinned(&[MOSCOW, OBLAST]);
    let second = advanced(&chain, |b| b.staleness_hours = 12);
    let third = next_charter(&second, |b| b.staleness_hours = 6);
    assert_eq!(refused(&chain, &third), "charter.sequence");
    // Nor by a version that names the pinned one and counts on.
    let mut body = after(&chain, |_| {});
    body.version = 3;
    assert_eq!(refused(&chain, &sign_charter(&body, &[0, 1])), "charter.sequence");
}

#[test]
fn one_signer_is_not_counted_twice() {
    let chain = pinned(&[MOSCOW, OBLAST]);
    let body = after(&chain, |b| b.staleness_hours = 12);
    let one = sign_charter(&body, &[0]);
    assert_eq!(refused(&chain, &sign_charter(&body, &[0, 0])), "charter.threshold");
    // The same signature twice, under one key id or under the id of another holder.
    let mut twice = Envelope::parse(&one, TYP_CHARTER, 1 << 20).unwrap();
    let (kid, signature) = twice.signatures[0];
    twice.signatures.push((kid, signature));
    assert_eq!(refused(&chain, &twice.to_bytes()), "envelope.signature_order");
    let other = PublicKey::of(&federation_keys()[1]).thumb();
    twice.signatures[1] = (other, signature);
    twice.signatures.sort_by_key(|(kid, _)| kid.0);
    assert_eq!(refused(&chain, &twice.to_bytes()), "charter.threshold");
    // Nor is one key named twice as a root key.
    let body = after(&chain, |b| b.root_keys.0[1] = b.root_keys.0[0].clone());
    assert_eq!(refused(&chain, &sign_charter(&body, &[0, 2])), "charter.invalid");
}

/// Dates are the signer's own word: a charter that a retired key signs with a date of its time is not of that time.
#[test]
fn a_retired_root_key_with_old_dates_signs_nothing() {
    let chain = pinned(&[MOSCOW, OBLAST]);
    let [a, b, c] = federation_keys();
    let mut rolled = chain.clone();
    assert!(rolled.advance(&signed(&rolled_roots(&chain), &[a.clone(), b.clone(), key(201), key(202)])).unwrap());
    let backdated = after(&rolled, |x| (x.issued, x.expires) = (ms(START - 900_000), ms(START)));
    assert_eq!(refused(&rolled, &signed(&backdated, &[a.clone(), b.clone(), c.clone()])), "charter.threshold");
    // Another second version of that date is a conflict for whoever has the first, however it is dated.
    let other = after(&chain, |x| (x.staleness_hours, x.issued) = (1, ms(START - 900_000)));
    assert_eq!(refused(&rolled, &signed(&other, &[a, b, c])), "charter.conflict");
}

#[test]
fn an_endless_chain_of_versions_is_refused_at_its_limit() {
    let mut chain = pinned(&[MOSCOW]);
    while chain.versions().len() < MAX_VERSIONS {
        let bytes = next_charter(&chain, |_| {});
        assert!(chain.advance(&bytes).unwrap());
    }
    assert_eq!(refused(&chain, &next_charter(&chain, |_| {})), "charter.versions");
}

#[test]
fn a_ministry_that_signs_two_charters_of_one_version_moves_nobody_who_has_one() {
    let first = first_charter(&[MOSCOW, OBLAST], |_| {});
    let chain = CharterChain::pinned(&first).unwrap();
    let honest = next_charter(&chain, |b| b.staleness_hours = 12);
    let lie = next_charter(&chain, |b| b.staleness_hours = 13);
    let mut mine = chain.clone();
    assert!(mine.advance(&honest).unwrap());
    assert_eq!(refused(&mine, &lie), "charter.conflict");
    // What is built upon the other one does not follow the one that is there.
    let mut theirs = chain.clone();
    assert!(theirs.advance(&lie).unwrap());
    let third = next_charter(&theirs, |b| b.staleness_hours = 14);
    assert_eq!(refused(&mine, &third), "charter.sequence");

    // And over the wire: the follower keeps what it has, is held, and goes on when the right one is served.
    let log = Region::new(MOSCOW, &chain);
    let peers = Peers::start();
    peers.set("moscow", Served::of(first.clone(), log.checkpoint(), log.log.clone()));
    peers.set_charter("moscow", 2, honest);
    let mut node = ministry();
    let pin = chain.first().sha256().to_string();
    node.run(&["follow", &format!("{}/moscow", peers.url), "--name", "moscow", "--charter-sha256", &pin]).json();
    node.start();
    synced(&node, &MOSCOW.origin(), log.log.len() as u64);
    peers.set_charter("moscow", 3, third);
    let held = until("the lie is told", || {
        let held = member(&node, &MOSCOW.origin())?["status"]["held"].clone();
        (!held.is_null()).then_some(held)
    });
    assert_eq!(held["code"], "charter.sequence");
    peers.set_charter("moscow", 3, next_charter(&mine, |b| b.staleness_hours = 20));
    synced(&node, &MOSCOW.origin(), log.log.len() as u64);
}

/// Whoever was given another charter has a log that is refused here; what he says of the charter is heard all the same.
#[test]
fn two_charters_of_one_version_are_found_by_nodes_that_compare_and_proved_to_anybody() {
    let first = first_charter(&[MOSCOW, OBLAST], |_| {});
    let chain = CharterChain::pinned(&first).unwrap();
    let given = next_charter(&chain, |b| b.staleness_hours = 12);
    let other = next_charter(&chain, |b| b.staleness_hours = 13);
    let (mut mine, mut theirs) = (chain.clone(), chain.clone());
    assert!(mine.advance(&given).unwrap() && theirs.advance(&other).unwrap());
    let third = next_charter(&theirs, |b| b.staleness_hours = 14);
    assert!(theirs.advance(&third).unwrap());

    let peers = Peers::start();
    let (moscow, oblast) = (Region::new(MOSCOW, &chain), Region::new(OBLAST, &chain));
    peers.set("moscow", Served::of(first.clone(), moscow.checkpoint(), moscow.log.clone()).with_charter_head(&mine));
    peers.set_charter("moscow", 2, given.clone());
    let mut node = ministry();
    let pin = chain.first().sha256().to_string();
    let follow = |node: &Node, name: &str| {
        node.run(&["follow", &format!("{}/{name}", peers.url), "--name", name, "--charter-sha256", &pin]).json();
    };
    follow(&node, "moscow");
    node.start();
    synced(&node, &MOSCOW.origin(), moscow.log.len() as u64);
    node.stop();
    // The other region has gone on under the other charter: by a version, so that the digests of the newest say nothing.
    let served = Served::of(first, oblast.checkpoint(), oblast.log.clone()).with_charter_head(&theirs);
    peers.set("oblast", served);
    peers.set_charter("oblast", 2, other);
    peers.set_charter("oblast", 3, third);
    follow(&node, "oblast");
    node.start();
    let kept = until("the two charters are compared", || {
        let all = node.api("federation/evidence/list")["evidence"].as_array()?.clone();
        all.into_iter().find(|e| e["name"].as_str().is_some_and(|n| n.starts_with("charter.conflict-")))
    });
    let page = String::from_utf8(node.get("/status").body).unwrap();
    assert!(page.contains("два разных устава одной версии"), "{page}");
    assert!(String::from_utf8(node.get("/metrics").body).unwrap().contains("alarm{alarm=\"charters\"} 1"));
    let (log, name) = (kept["log"].as_str().unwrap(), kept["name"].as_str().unwrap());
    let file = node.get(&format!("/api/v1/federation/evidence?log={log}&name={name}")).body;
    let finding = Evidence::decode(&file).unwrap().verify(&chain).unwrap();
    assert!(matches!(finding, Finding::Charters { version: 2, .. }), "{finding:?}");
    // The log that was there first goes on.
    synced(&node, &MOSCOW.origin(), moscow.log.len() as u64);
}

#[test]
fn an_expired_charter_makes_answers_stale_and_voids_nothing() {
    let first = first_charter(&[MOSCOW], |b| b.expires = ms(START + 1));
    let chain = CharterChain::pinned(&first).unwrap();
    assert!(chain.latest().is_expired(START + 1) && !chain.latest().is_expired(START));
    // A log under it goes on, replays, and is proved; the next version is taken.
    let mut log = Region::new(MOSCOW, &chain);
    log.build(1, vec![]);
    let building = format!("building:{}", building(1));
    log.replays(&chain);
    let proof = crate::status::prove(&log, &building.parse::<Name>().unwrap());
    proof.verify(&chain.of_log(&MOSCOW.origin()).unwrap(), &[]).unwrap();
    let longer = advanced(&chain, |b| (b.issued, b.expires) = (ms(START + 2), ms(START + 1_000_000)));
    log.given(&longer);
    log.adopt();
    log.replays(&longer);
    let peers = Peers::start();
    peers.set("moscow", Served::of(first, log.checkpoint(), log.log.clone()));
    peers.set_charter(
        "moscow",
        2,
        next_charter(&chain, |b| (b.issued, b.expires) = (ms(START + 2), ms(START + 1_000_000))),
    );
    let mut node = ministry();
    let pin = chain.first().sha256().to_string();
    node.run(&["follow", &format!("{}/moscow", peers.url), "--name", "moscow", "--charter-sha256", &pin]).json();
    node.start();
    synced(&node, &MOSCOW.origin(), log.log.len() as u64);
    let told = node.api(&format!("buildings/{}", crate::regions::building(1)));
    assert_eq!(told["freshness"]["stale"], true, "{told}");
    assert_eq!(told["address"], "ул. Пограничная, д. 1");
}

#[test]
fn a_retired_key_never_comes_back_in_any_place() {
    let chain = pinned(&[MOSCOW, OBLAST]);
    let old = moscow(&mut chain.latest().charter().clone()).commit_key.clone();
    let second = advanced(&chain, |b| moscow(b).commit_key = public(150));
    assert_eq!(second.latest().charter().retired.as_ref().unwrap().0[0].key, old);
    let third = advanced(&second, |b| b.staleness_hours = 12);
    type Change<'c> = &'c dyn Fn(&mut CharterBody);
    let back: [(&str, Change); 5] = [
        ("charter.invalid", &|b| moscow(b).commit_key = old.clone()),
        ("charter.invalid", &|b| b.regions.0[1].commit_key = old.clone()),
        ("charter.invalid", &|b| b.root_keys.0.push(old.clone())),
        ("charter.invalid", &|b| {
            let key = AnnouncedKey {
                role: KeyRole::Commit,
                region: Some(b.regions.0[0].code),
                key: old.clone(),
                from: ms(0),
            };
            b.announced = Some(List(vec![key]));
        }),
        // Nor is it forgotten, to come back later, or called better than it was.
        ("charter.keys", &|b| b.retired = None),
    ];
    for (n, (code, change)) in back.iter().enumerate() {
        let mut body = after(&third, |_| {});
        change(&mut body);
        assert_eq!(refused(&third, &sign_charter(&body, &[0, 1])), *code, "case {n}");
    }
    let mut worse = after(&third, |_| {});
    worse.retired.as_mut().unwrap().0[0].reason = RetireReason::Compromised;
    let mut fourth = third.clone();
    assert!(fourth.advance(&sign_charter(&worse, &[0, 1])).unwrap(), "a reason can get worse");
    let mut better = after(&fourth, |_| {});
    better.retired.as_mut().unwrap().0[0].reason = RetireReason::Lost;
    assert_eq!(refused(&fourth, &sign_charter(&better, &[0, 1])), "charter.keys");
}

#[test]
fn keys_neither_leave_in_silence_nor_are_retired_by_slander_nor_come_before_their_time() {
    let chain = pinned(&[MOSCOW, OBLAST]);
    let commit = moscow(&mut chain.latest().charter().clone()).commit_key.clone();
    let mut silent = after(&chain, |b| moscow(b).commit_key = public(150));
    silent.retired = None;
    assert_eq!(refused(&chain, &sign_charter(&silent, &[0, 1])), "charter.keys");
    let retired = |key, version| RetiredKey {
        role: KeyRole::Commit,
        region: Some("77".parse().unwrap()),
        key,
        reason: RetireReason::Compromised,
        version,
    };
    let mut slander = after(&chain, |_| {});
    slander.retired = Some(List(vec![retired(public(199), 2)]));
    assert_eq!(refused(&chain, &sign_charter(&slander, &[0, 1])), "charter.keys");
    slander.retired = Some(List(vec![retired(commit, 2)]));
    assert_eq!(refused(&chain, &sign_charter(&slander, &[0, 1])), "charter.invalid", "it is in its place");
    // Announced for a day, and for a place.
    let announced = advanced(&chain, |b| {
        let key = AnnouncedKey {
            role: KeyRole::Commit,
            region: Some("77".parse().unwrap()),
            key: public(150),
            from: ms(START),
        };
        b.announced = Some(List(vec![key]));
    });
    let put = |issued: u64, place: fn(&mut CharterBody) -> &mut KeyBytes| {
        after(&announced, |b| {
            b.issued = ms(issued);
            *place(b) = public(150);
        })
    };
    assert_eq!(
        refused(&announced, &sign_charter(&put(START - 1, |b| &mut moscow(b).commit_key), &[0, 1])),
        "charter.keys"
    );
    assert_eq!(
        refused(&announced, &sign_charter(&put(START, |b| &mut b.regions.0[1].commit_key), &[0, 1])),
        "charter.keys"
    );
    let good = put(START, |b| &mut moscow(b).commit_key);
    assert!(good.announced.is_none());
    assert!(announced.clone().advance(&sign_charter(&good, &[0, 1])).unwrap());
}

#[test]
fn a_cut_by_a_key_that_was_there_before_is_refused() {
    let chain = pinned(&[MOSCOW, OBLAST]);
    let cut =
        |origin: String, size| Cut {
            origin: text(&origin), size, root: RecordId([1; 32]), reason: text("развилка")
        };
    let with = |cuts: Vec<Cut>, key: Option<u8>| {
        after(&chain, |b| {
            b.cuts = Some(List(cuts));
            if let Some(n) = key {
                moscow(b).log_vkey = log_line(n);
            }
        })
    };
    assert_eq!(refused(&chain, &sign_charter(&with(vec![cut(MOSCOW.origin(), 5)], None), &[0, 1])), "charter.cut");
    assert_eq!(refused(&chain, &sign_charter(&with(vec![cut(OBLAST.origin(), 5)], Some(150)), &[0, 1])), "charter.cut");
    let good = sign_charter(&with(vec![cut(MOSCOW.origin(), 5)], Some(150)), &[0, 1]);
    let mut longer = chain.clone();
    assert!(longer.advance(&good).unwrap());
    // A key of two versions ago is retired: it cannot come with a cut either.
    let again = after(&longer, |b| {
        b.cuts = Some(List(vec![cut(MOSCOW.origin(), 3)]));
        moscow(b).log_vkey = moscow(&mut chain.latest().charter().clone()).log_vkey.clone();
    });
    assert_eq!(refused(&longer, &sign_charter(&again, &[0, 1])), "charter.invalid");
    for bad in [
        vec![cut(MOSCOW.origin(), 5), cut(MOSCOW.origin(), 6)],
        vec![cut("log.example/99".into(), 5)],
        vec![cut(MOSCOW.origin(), 1 << 53)],
    ] {
        assert_eq!(refused(&chain, &sign_charter(&with(bad, Some(150)), &[0, 1])), "charter.invalid");
    }
}

#[test]
fn what_an_old_key_signed_beyond_a_cut_is_void_in_status_proofs() {
    let chain = pinned(&[MOSCOW, OBLAST]);
    let mut log = Region::new(MOSCOW, &chain);
    log.build(1, vec![]);
    let head = (log.log.len() as u64, root_of(&log.log));
    let name: Name = format!("building:{}", building(1)).parse().unwrap();
    let at_the_cut = crate::status::prove(&log, &name);
    let mut stolen = log.clone();
    stolen.build(2, vec![]);
    let beyond = crate::status::prove(&stolen, &name);
    let cut = advanced(&chain, |b| {
        moscow(b).log_vkey = log_line(150);
        b.cuts = Some(List(vec![Cut {
            origin: text(&MOSCOW.origin()),
            size: head.0,
            root: head.1,
            reason: text("украден ключ"),
        }]));
    });
    let verify = |proof: &domovoi::registry::status_proof::StatusProof| {
        proof.verify(&cut.of_log(&MOSCOW.origin()).unwrap(), &[]).map(drop).map_err(|e| e.code())
    };
    assert_eq!(verify(&at_the_cut), Ok(()), "what stands before the cut stays proved");
    assert_eq!(verify(&beyond), Err("log.cut"));
    // The log goes on from the cut under the new key.
    log.given(&cut);
    log.log_key = key(150);
    log.adopt();
    log.build(3, vec![]);
    assert_eq!(verify(&crate::status::prove(&log, &name)), Ok(()));
    // A proof quoted in another region's record is by the key of the version in force there: the old one's are refused.
    let quoted = stolen.prove(&name.to_string());
    let neighbour =
        |c: &CharterChain| c.latest().jurisdiction(&OBLAST.origin()).unwrap().other(&MOSCOW.origin()).unwrap().clone();
    quoted.verify(&neighbour(&chain)).unwrap();
    assert_eq!(quoted.verify(&neighbour(&cut)).unwrap_err().code(), "note.unsigned");
}

fn root_of(entries: &[Vec<u8>]) -> RecordId {
    let mut tree = Frontier::new();
    tree.extend(entries.iter().map(|e| leaf_hash(e)));
    RecordId(tree.root().0)
}

/// The log forks; the follower is held. The charter cuts it before the fork; the follower sets aside what it has and goes on
/// with the history that was decided for, and with no other.
#[test]
fn a_forked_log_goes_on_after_a_cut_and_only_as_the_cut_says() {
    let first = first_charter(&[MOSCOW, OBLAST], |_| {});
    let chain = CharterChain::pinned(&first).unwrap();
    let mut base = Region::new(MOSCOW, &chain);
    base.build(1, vec![]);
    let head = (base.log.len() as u64, root_of(&base.log));
    let (mut one, mut two) = (base.clone(), base.clone());
    one.build(2, vec![]);
    two.build(3, vec![]);
    let peers = Peers::start();
    let serve = |log: &Region| peers.set("moscow", Served::of(first.clone(), log.checkpoint(), log.log.clone()));
    serve(&one);
    let mut node = ministry();
    let pin = chain.first().sha256().to_string();
    node.run(&["follow", &format!("{}/moscow", peers.url), "--name", "moscow", "--charter-sha256", &pin]).json();
    node.start();
    let origin = MOSCOW.origin();
    synced(&node, &origin, one.log.len() as u64);
    let held = |code: &str| {
        until(&format!("it is held for {code}"), || {
            let held = member(&node, &origin)?["status"]["held"].clone();
            (held["code"] == code).then_some(())
        });
    };
    serve(&two);
    held("peer.fork");
    // One of the two alone changes nothing.
    serve(&one);
    std::thread::sleep(std::time::Duration::from_millis(2500));
    held("peer.fork");

    let second = next_charter(&chain, |b| {
        moscow(b).log_vkey = log_line(150);
        b.cuts =
            Some(List(vec![Cut {
                origin: text(&origin), size: head.0, root: head.1, reason: text("две истории")
            }]));
    });
    let mut cut = chain.clone();
    assert!(cut.advance(&second).unwrap());
    let serve = |log: &Region| {
        peers.set("moscow", Served::of(first.clone(), log.checkpoint(), log.log.clone()));
        peers.set_charter("moscow", 2, second.clone());
    };
    // The old key goes on with its history: void.
    one.build(4, vec![]);
    serve(&one);
    let refused = |what: &str| {
        until(&format!("it is refused: {what}"), || {
            let m = member(&node, &origin)?;
            m["status"]["last_error"].as_str().is_some_and(|e| e.contains("log.cut") && e.contains(what)).then_some(())
        });
    };
    refused("before charter version 2");
    held("peer.fork");
    assert_eq!(node.get(&format!("/api/v1/buildings/{}", building(2))).status, 200, "what was accepted stays readable");
    // The new key with a history that does not contain the cut's head: refused as well.
    let mut wrong = Region::new(MOSCOW, &chain);
    wrong.build(9, vec![]);
    assert_eq!(wrong.log.len() as u64, head.0);
    wrong.given(&cut);
    wrong.log_key = key(150);
    wrong.adopt();
    serve(&wrong);
    until("what was void is set aside", || (member(&node, &origin)?["freshness"]["size"] == 0).then_some(()));
    refused("decided for");
    // The log as the charter decided.
    base.given(&cut);
    base.log_key = key(150);
    base.adopt();
    base.build(5, vec![]);
    serve(&base);
    synced(&node, &origin, base.log.len() as u64);
    assert_eq!(node.get(&format!("/api/v1/buildings/{}", building(5))).status, 200);
    assert_eq!(node.get(&format!("/api/v1/buildings/{}", building(2))).status, 404);
    // The files of what was decided against are still there.
    let mirror = domovoi::node::layout::Layout::new(&node.data()).mirror(&origin);
    let aside = std::fs::read_dir(mirror.private().join("damaged")).unwrap().flatten().map(|e| e.path());
    let kept: Vec<_> = aside.filter(|p| p.join("checkpoint").exists()).collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    // Also for whoever begins now, and after a restart.
    let mut fresh = ministry();
    fresh.run(&["follow", &format!("{}/moscow", peers.url), "--name", "moscow", "--charter-sha256", &pin]).json();
    fresh.start();
    synced(&fresh, &origin, base.log.len() as u64);
    node.kill();
    node.start();
    synced(&node, &origin, base.log.len() as u64);
}

#[test]
fn a_suspended_region_brings_nothing_new_until_it_is_taken_back() {
    let first = first_charter(&[MOSCOW, OBLAST], |_| {});
    let chain = CharterChain::pinned(&first).unwrap();
    let mut log = Region::new(MOSCOW, &chain);
    log.build(1, vec![]);
    let accepted = log.log.len() as u64;
    let peers = Peers::start();
    let mut charters: Vec<Vec<u8>> = Vec::new();
    let serve = |log: &Region, charters: &[Vec<u8>]| {
        peers.set("moscow", Served::of(first.clone(), log.checkpoint(), log.log.clone()));
        charters.iter().enumerate().for_each(|(n, c)| peers.set_charter("moscow", n as u64 + 2, c.clone()));
    };
    serve(&log, &charters);
    let mut node = ministry();
    let pin = chain.first().sha256().to_string();
    node.run(&["follow", &format!("{}/moscow", peers.url), "--name", "moscow", "--charter-sha256", &pin]).json();
    node.start();
    let origin = MOSCOW.origin();
    synced(&node, &origin, accepted);
    let standing = Standing { status: StandingStatus::Suspended, since: ms(START), reason: text("проверка") };
    let suspending = next_charter(&chain, |b| moscow(b).standing = Some(standing));
    let suspended = {
        let mut c = chain.clone();
        assert!(c.advance(&suspending).unwrap());
        c
    };
    charters.push(suspending);
    log.build(2, vec![]);
    serve(&log, &charters);
    until("the region is suspended", || {
        let held = member(&node, &origin)?["status"]["held"].clone();
        (held["code"] == "region.suspended").then_some(())
    });
    let m = member(&node, &origin).unwrap();
    assert_eq!((&m["freshness"]["size"], &m["status"]["held"]["evidence"]), (&json!(accepted), &json!("")), "{m}");
    assert_eq!(node.get(&format!("/api/v1/buildings/{}", building(1))).status, 200);
    assert_eq!(node.get(&format!("/api/v1/buildings/{}", building(2))).status, 404);
    charters.push(next_charter(&suspended, |b| moscow(b).standing = None));
    serve(&log, &charters);
    synced(&node, &origin, log.log.len() as u64);
    assert_eq!(node.get(&format!("/api/v1/buildings/{}", building(2))).status, 200);
}

#[test]
fn a_quorum_that_a_logs_own_node_would_have_to_fill_is_no_charter() {
    use domovoi::federation::roles::{CosignerVkey, Cosigners};
    let line = |name: &str, n: u8| CosignerVkey::from(Cosigner::new(name, key(n)).unwrap().verifier().clone());
    let witnesses = |b: &mut CharterBody, quorum: u32| {
        for (r, n) in b.regions.0.iter_mut().zip([160, 161]) {
            let witness = line(&format!("{}/witness", r.origin), n);
            r.cosigners = Some(Cosigners { witness: List(vec![witness]), mirror: None, verifier: None });
        }
        b.quorums = Some(Quorums { witness: quorum, mirror: 0, verifier: 0 });
    };
    let chain = pinned(&[MOSCOW, OBLAST]);
    assert!(chain.clone().advance(&next_charter(&chain, |b| witnesses(b, 1))).unwrap());
    assert_eq!(refused(&chain, &next_charter(&chain, |b| witnesses(b, 2))), "charter.invalid");
    // Nor does one that is suspended count.
    let suspended = next_charter(&chain, |b| {
        witnesses(b, 1);
        let standing =
            Standing { status: StandingStatus::Suspended, since: ms(START), reason: text("проверка") };
        b.regions.0[1].standing = Some(standing);
    });
    assert_eq!(refused(&chain, &suspended), "charter.invalid");
    // One key in two roles, one name for two keys, a log's key among the cosigners'.
    let twice = |n: u8, name: &str| {
        next_charter(&chain, |b| {
            witnesses(b, 1);
            let mirror = Some(line(name, n));
            b.regions.0[0].cosigners.as_mut().unwrap().mirror = mirror;
        })
    };
    assert!(chain.clone().advance(&twice(170, "a/mirror")).unwrap());
    for bad in [
        twice(160, "a/mirror"),
        twice(MOSCOW.seed + 1, "a/mirror"),
        twice(170, &format!("{}/witness", OBLAST.origin())),
    ] {
        assert_eq!(refused(&chain, &bad), "charter.invalid");
    }
}
