use ed25519_dalek::SigningKey;

use super::*;
use crate::federation::charter::{Charter, CharterBody, FederationLog, RegionOfOne};
use crate::federation::roles::{CosignerVkey, Standing, StandingStatus, Witness};
use crate::registry::body::{KeyBytes, List};
use crate::registry::signature::PublicKey;
use crate::registry::text::{Millis, Text};
use crate::tlog::checkpoint::Checkpoint;
use crate::tlog::cosignature::Cosigner;
use crate::tlog::leaf_hash;
use crate::tlog::note::NoteSigner;

const NOW: u64 = 1_790_000_000_000;
const ORIGIN: &str = "log.example/77";

fn key(n: u8) -> SigningKey {
    SigningKey::from_bytes(&[n; 32])
}

fn text(s: &str) -> Text {
    Text::new(s).unwrap()
}

fn cosigner(name: &str, n: u8) -> Cosigner {
    Cosigner::new(name, key(n)).unwrap()
}

fn vkey(cosigner: &Cosigner) -> CosignerVkey {
    CosignerVkey::from(cosigner.verifier().clone())
}

/// The words of a node: witness with both kinds of key, mirror, verifier.
fn node(name: &str, n: u8) -> [Cosigner; 4] {
    [
        cosigner(&format!("{name}/witness"), n),
        Cosigner::of_seed(format!("{name}/witness-pq"), &[n; 32]).unwrap(),
        cosigner(&format!("{name}/mirror"), n + 1),
        cosigner(&format!("{name}/verifier"), n + 2),
    ]
}

fn named(node: &[Cosigner; 4]) -> Option<Cosigners> {
    let witness = List(vec![vkey(&node[0]), vkey(&node[1])]);
    Some(Cosigners { witness, mirror: Some(vkey(&node[2])), verifier: Some(vkey(&node[3])) })
}

/// Moscow, whose log it is, two other regions, the federation's node and an independent witness.
fn body() -> CharterBody {
    let one = RegionOfOne {
        code: "77".parse().unwrap(),
        name: text("город Москва"),
        oktmo: vec!["45".parse().unwrap()],
        authority: "ogrn:1027700132195".parse().unwrap(),
        root_key: PublicKey::of(&key(2)),
        commit_key: PublicKey::of(&key(3)),
        origin: ORIGIN.into(),
        log_vkey: NoteSigner::new(ORIGIN, key(4)).unwrap().verifier().to_string(),
        url: "https://log.example/77".into(),
    };
    let bytes = Charter::of_one_cosigning(one, named(&node("own", 100)), NOW, &key(1)).unwrap();
    let mut body = Charter::open(&bytes).unwrap().charter().clone();
    for (code, oktmo, n) in [("10", "86", 110u8), ("69", "28", 120)] {
        let mut region = body.regions.0[0].clone();
        region.code = code.parse().unwrap();
        region.oktmo = List(vec![oktmo.parse().unwrap()]);
        region.origin = text(&format!("log.example/{code}"));
        region.url = text(&format!("https://{code}.example/"));
        region.log_vkey = text(&NoteSigner::new(region.origin.as_str(), key(n + 5)).unwrap().verifier().to_string());
        region.root_keys = List(vec![KeyBytes(PublicKey::of(&key(n + 6)))]);
        region.commit_key = KeyBytes(PublicKey::of(&key(n + 7)));
        region.cosigners = named(&node(code, n));
        body.regions.0.push(region);
    }
    body.federation = Some(FederationLog {
        origin: text("federation.example"),
        log_vkey: text(&NoteSigner::new("federation.example", key(140)).unwrap().verifier().to_string()),
        commit_key: KeyBytes(PublicKey::of(&key(141))),
        url: text("https://federation.example"),
        cosigners: named(&node("federation", 142)),
    });
    body.witnesses = Some(List(vec![Witness {
        name: text("Независимый свидетель"),
        vkey: vkey(&cosigner("independent.example", 150)),
        url: text("https://independent.example/w/"),
    }]));
    body.quorums = Some(Quorums { witness: 2, mirror: 1, verifier: 1 });
    body
}

fn roster_of(body: &CharterBody, origin: &str) -> Roster {
    Roster::of(&Charter::open(&Charter::sign(body, &[&key(1)]).unwrap()).unwrap(), origin)
}

fn checkpoint() -> Note {
    let head = Checkpoint { origin: ORIGIN.into(), size: 1, root: leaf_hash(b"entry") };
    Note::parse(head.sign(&NoteSigner::new(ORIGIN, key(4)).unwrap()).unwrap().as_bytes()).unwrap()
}

fn lines(by: &[&Cosigner]) -> Vec<Line> {
    let note = checkpoint();
    let line = |c: &&Cosigner| Line { key: c.verifier().clone(), line: c.cosign(note.text(), 7).unwrap(), time: 7 };
    by.iter().map(line).collect()
}

fn names(note: &Note) -> Vec<&str> {
    note.signatures().iter().map(|line| line.name.as_str()).collect()
}

#[test]
fn a_charter_names_everybody_but_the_logs_own_node() {
    let roster = roster_of(&body(), ORIGIN);
    let urls: Vec<&str> = roster.members.iter().map(|m| m.witness_url.as_str()).collect();
    assert_eq!(
        urls,
        [
            "https://10.example/witness",
            "https://69.example/witness",
            "https://federation.example/witness",
            "https://independent.example/w"
        ]
    );
    assert_eq!(roster.members[0].node_url, "https://10.example");
    assert_eq!(roster.known(), Count { witness: 4, mirror: 3, verifier: 3 });
    assert_eq!(roster.quorums, Quorums { witness: 2, mirror: 1, verifier: 1 });
    assert_eq!(roster.members[0].keys().count(), 4);
    // The federation's log: all regions, and not its own node; also where that writes a region's log.
    assert_eq!(roster_of(&body(), "federation.example").known(), Count { witness: 4, mirror: 3, verifier: 3 });
    let mut shared = body();
    shared.federation.as_mut().unwrap().url = text("https://10.example/");
    assert_eq!(roster_of(&shared, "federation.example").known(), Count { witness: 3, mirror: 2, verifier: 2 });
    // Who is suspended has no voice; nor has a node whose own keys these are.
    let mut suspended = body();
    suspended.regions.0[1].standing = Some(Standing {
        status: StandingStatus::Suspended,
        since: Millis::new(NOW).unwrap(),
        reason: text("проверка"),
    });
    assert_eq!(roster_of(&suspended, ORIGIN).known().witness, 3);
    let own = node("69", 120).map(|c| c.verifier().clone());
    assert_eq!(roster.without(&own).known(), Count { witness: 3, mirror: 2, verifier: 2 });
    // Without all of it nothing is asked for.
    let mut bare = body();
    (bare.federation, bare.witnesses, bare.quorums) = (None, None, None);
    bare.regions.0.truncate(1);
    let roster = roster_of(&bare, ORIGIN);
    assert_eq!((roster.known(), roster.quorums.witness), (Count::default(), 0));
}

#[test]
fn a_witness_counts_once_and_only_with_a_good_line() {
    let (roster, [w, pq, mirror, verifier]) = (roster_of(&body(), ORIGIN), node("10", 110));
    let mut note = checkpoint();
    assert_eq!(roster.count(&note), Count::default());
    for line in lines(&[&w, &pq, &mirror, &verifier, &cosigner("stranger.example", 99), &node("own", 100)[0]]) {
        note.add_line(line.line).unwrap();
    }
    assert_eq!(roster.count(&note), Count { witness: 1, mirror: 1, verifier: 1 });
    // A mirror's key under a witness's name says nothing.
    let posing = cosigner("69/witness", 121);
    note.add_line(posing.cosign(note.text(), 7).unwrap()).unwrap();
    assert_eq!(roster.count(&note).witness, 1);
    // A false line under a known name and id is taken off, and nothing else is.
    let mut bent = node("69", 120)[0].cosign(note.text(), 7).unwrap();
    bent.signature[20] ^= 1;
    note.add_line(bent).unwrap();
    assert_eq!(roster.count(&note).witness, 1);
    let before = names(&note).len();
    let sound = roster.without_false(&note).unwrap();
    assert_eq!(names(&sound).len(), before - 1);
    assert!(names(&sound).contains(&"stranger.example"));
    assert_eq!(roster.without_false(&sound).unwrap(), sound);
}

#[test]
fn what_is_published_is_the_logs_line_then_enough_of_the_others_in_the_rosters_order() {
    let roster = roster_of(&body(), ORIGIN);
    let (a, b, f) = (node("10", 110), node("69", 120), node("federation", 142));
    let independent = cosigner("independent.example", 150);
    let all: Vec<&Cosigner> = [&independent, &f[0], &b[0], &a[0], &a[2], &b[2], &a[3]].into_iter().collect();
    let own = checkpoint();
    let log = own.signatures()[0].clone();
    let note = roster.note(own.text(), log.clone(), &lines(&all)).unwrap();
    assert_eq!(names(&note), [ORIGIN, "10/witness", "69/witness", "federation/witness", "10/mirror", "10/verifier"]);
    assert_eq!(roster.count(&note), Count { witness: 3, mirror: 1, verifier: 1 });
    // A larger quorum is met, and a stranger's line is not published.
    let mut more = roster.clone();
    more.quorums = Quorums { witness: 4, mirror: 2, verifier: 1 };
    let stranger = cosigner("stranger.example", 99);
    let with: Vec<&Cosigner> = all.iter().copied().chain([&stranger]).collect();
    let note = more.note(own.text(), log.clone(), &lines(&with)).unwrap();
    assert_eq!(more.count(&note), Count { witness: 4, mirror: 2, verifier: 1 });
    assert!(!names(&note).contains(&"stranger.example"));
    // Post-quantum lines stand beside the others as long as there is room: two of four thousand bytes, not three.
    let pq: Vec<&Cosigner> = [&a[0], &a[1], &b[0], &b[1], &f[0], &f[1], &a[2]].into_iter().collect();
    let note = roster.note(own.text(), log.clone(), &lines(&pq)).unwrap();
    assert_eq!(
        names(&note),
        [ORIGIN, "10/witness", "69/witness", "federation/witness", "10/mirror", "10/witness-pq", "69/witness-pq"]
    );
    assert!(note.to_string().len() <= MAX_CHECKPOINT_LEN);
    // A witness that has nothing but such a key counts with it.
    let note = roster.note(own.text(), log.clone(), &lines(&[&b[1]])).unwrap();
    assert_eq!((names(&note), roster.count(&note).witness), (vec![ORIGIN, "69/witness-pq"], 1));
    assert_eq!(names(&roster.note(own.text(), log, &[]).unwrap()), [ORIGIN]);
}
