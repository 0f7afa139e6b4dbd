//! The federation's log and the private check: a naive model over random histories, and a real ministry's node.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domovoi::federation::charter::{Charter, CharterBody, FederationLog, VerifiedCharter};
use domovoi::node::layout::origin_hash;
use domovoi::registry::absence::AbsenceProof;
use domovoi::registry::body::KeyBytes;
use domovoi::registry::bucket_file::{BucketFile, FederationHead, SIZE_CLASS};
use domovoi::registry::ids::ChatNumber;
use domovoi::registry::link::{LinkDigest, canonical_link};
use domovoi::registry::link_map::{LinkStanding, Links, bucket_name};
use domovoi::registry::node_record::FederationCommit;
use domovoi::registry::signature::PublicKey;
use domovoi::registry::union_map::Union;
use domovoi::storage::keys;
use domovoi::tlog::note::NoteSigner;
use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::follow::{ministry, synced, until};
use super::node::{AUTHORITY, Around, Node, PASSPHRASE, Signer};
use super::regions::{self, MOSCOW, OBLAST, Region, TVER, pinned, sign_charter, text};

/// The union's root by the words of docs/protocol.md alone, from the leaves' names and values.
fn naive_root(regions: &[&Region]) -> [u8; 32] {
    let mut all = BTreeMap::<String, Vec<u8>>::new();
    let mut sorted = regions.to_vec();
    sorted.sort_by_key(|r| r.place.code);
    for region in sorted {
        for (name, value) in region.state.leaves() {
            let said = all.entry(name).or_default();
            said.extend(format!("{:02}", region.place.code).as_bytes());
            said.extend(value);
        }
    }
    let mut leaves: Vec<([u8; 32], [u8; 32])> = all
        .into_iter()
        .map(|(name, said)| {
            let key = Sha256::digest([b"domovoi map key v0\n", name.as_bytes()].concat()).into();
            (key, Sha256::digest([&b"domovoi union leaf v0\n"[..], &said].concat()).into())
        })
        .collect();
    leaves.sort();
    naive(&leaves, 0)
}

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

fn union_of(regions: &[&Region]) -> [u8; 32] {
    let mut union = Union::default();
    regions.iter().for_each(|r| union.add(&r.state));
    union.into_map().root()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn the_union_of_random_histories_is_the_naive_models(steps in prop::collection::vec((0usize..3, 1u8..7), 1..25)) {
        let places = [MOSCOW, OBLAST, TVER];
        let chain = pinned(&places);
        let mut all: Vec<Region> = places.iter().map(|p| Region::new(*p, &chain)).collect();
        for (n, (who, handle)) in steps.into_iter().enumerate() {
            // Buildings are numbered anew each time, links and MAX ids are few: regions claim the same ones.
            all[who].build(n, vec![]);
            let said = &all[who].state;
            let taken = domovoi::registry::state::View::chats_by_link(said, &regions::link(handle));
            if taken.is_empty() {
                all[who].chat(&[n], handle);
            }
            let [a, b, c] = &all[..] else { unreachable!() };
            prop_assert_eq!(union_of(&[a, b, c]), naive_root(&[a, b, c]));
            prop_assert_eq!(union_of(&[c, a, b]), union_of(&[a, b, c]));
        }
    }
}

#[test]
fn a_foreign_claim_changes_nothing_about_the_chat_that_was_there_first() {
    let chain = pinned(&[MOSCOW, OBLAST]);
    let (mut first, mut second) = (Region::new(MOSCOW, &chain), Region::new(OBLAST, &chain));
    first.build(1, vec![]);
    let incumbent = first.chat(&[1], 7);
    second.time = first.time + 10_000_000;
    second.build(2, vec![]);
    second.chat(&[2], 7);
    for order in [[&first, &second], [&second, &first]] {
        let mut links = Links::default();
        order.iter().for_each(|r| links.add(&r.state));
        let map = links.into_map();
        let bucket = map.bucket("-").unwrap();
        let claims = bucket.verify(&regions::link(7), 0, &map.root()).unwrap().unwrap();
        // By region, whoever is read first: 50 before 77.
        assert_eq!(claims.iter().map(|c| c.region.number()).collect::<Vec<_>>(), [50, 77]);
        assert!(claims.iter().all(|c| c.standing == LinkStanding::Official));
        let earliest = claims.iter().min_by_key(|c| c.since).unwrap();
        assert_eq!(earliest.chat, incumbent);
    }
}

const ORIGIN: &str = "federation.example/log";

/// Keys and charter of a federation's log in the ministry's data directory; `change` has the last word.
pub struct Founded {
    pub charter: std::path::PathBuf,
    pub verified: VerifiedCharter,
}

pub fn found(ministry: &Node, region: &Node, change: impl FnOnce(&mut CharterBody)) -> Founded {
    let folder = ministry.data().join("federation");
    std::fs::create_dir_all(folder.join("keys")).unwrap();
    let (log, commit) = (keys::generate(), keys::generate());
    keys::write_encrypted(&folder.join("keys/log.pem"), &log, &PASSPHRASE.into()).unwrap();
    keys::write_encrypted(&folder.join("keys/commit.pem"), &commit, &PASSPHRASE.into()).unwrap();
    std::fs::write(folder.join("origin"), ORIGIN).unwrap();
    let charter = Charter::open(&std::fs::read(region.data().join("charter.json")).unwrap()).unwrap();
    let mut body = charter.charter().clone();
    let founders = regions::federation_keys();
    body.name = text("Федерация");
    body.root_keys.0 = founders.iter().map(|k| KeyBytes(PublicKey::of(k))).collect();
    body.threshold = 2;
    body.federation = Some(FederationLog {
        origin: text(ORIGIN),
        log_vkey: text(&NoteSigner::new(ORIGIN, log).unwrap().verifier().to_string()),
        commit_key: KeyBytes(PublicKey::of(&commit)),
        url: text("https://federation.example"),
    });
    change(&mut body);
    let bytes = sign_charter(&body, &[0, 1]);
    std::fs::write(folder.join("charter.json"), &bytes).unwrap();
    Founded { charter: folder.join("charter.json"), verified: Charter::open(&bytes).unwrap() }
}

pub fn link(n: u64) -> String {
    let token = data_encoding::BASE64URL_NOPAD.encode(&Sha256::digest(n.to_be_bytes()));
    format!("https://max.ru/join/{token}")
}
pub fn digest(n: u64) -> LinkDigest {
    LinkDigest::of_link(&canonical_link(&link(n)).unwrap())
}

/// A building's chat with the link `n`.
pub fn chat(signer: &Signer, n: u64) -> (ChatNumber, Vec<u8>) {
    let fields = json!({ "kind": "house", "title": format!("Дом {n}"), "buildings": [format!("reformagkh:{n}")],
        "owner": AUTHORITY, "link": digest(n).to_string() });
    let (id, bytes) =
        signer.record("chat.registered", fields, Around { from: Some("2025-02-01"), ..Around::default() });
    (ChatNumber::derive("77".parse().unwrap(), &id.0), bytes)
}

/// A proxy on loopback that keeps the bytes of every request.
struct Recorder {
    url: String,
    seen: Arc<Mutex<Vec<Vec<u8>>>>,
}

fn recorder(upstream: Arc<Node>) -> Recorder {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let kept = seen.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let (mut request, mut byte) = (Vec::new(), [0]);
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
                request.push(byte[0]);
            }
            if request.is_empty() {
                continue;
            }
            let path = String::from_utf8_lossy(&request).split(' ').nth(1).unwrap().to_owned();
            kept.lock().unwrap().push(request);
            let answer = upstream.get(&path);
            let head = format!(
                "HTTP/1.1 {} X\r\ncontent-type: {}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                answer.status,
                answer.kind,
                answer.body.len()
            );
            let _ = stream.write_all(&[head.into_bytes(), answer.body].concat());
        }
    });
    Recorder { url, seen }
}

impl Recorder {
    /// What the command answers, and the bytes of all its requests.
    fn check(&self, node: &Node, charter: &std::path::Path, link: &str) -> (Value, Vec<u8>) {
        self.seen.lock().unwrap().clear();
        let charter = charter.to_str().unwrap();
        let ran = node.run(&["--node", &self.url, "verify", link, "--private", "--charter", charter]);
        (ran.json(), self.seen.lock().unwrap().concat())
    }
}

pub fn head(ministry: &Node, founded: &Founded) -> Option<(FederationHead, FederationCommit)> {
    let answer = ministry.get("/api/v1/verify/bucket");
    if answer.status == 404 {
        return None;
    }
    let head = FederationHead::decode(&answer.body).unwrap();
    let commit = head.verify(&founded.verified.federation().unwrap()).unwrap();
    Some((head, commit))
}

#[test]
fn a_link_is_checked_without_saying_which() {
    const CHATS: u64 = 340;
    let region = Node::moscow();
    let signer = region.signer("operator");
    region.accept(&(1..=CHATS + 1).map(|n| signer.building(n).1).collect::<Vec<_>>());
    let chats: Vec<_> = (1..=CHATS).map(|n| chat(&signer, n)).collect();
    region.accept(&chats.iter().map(|c| c.1.clone()).collect::<Vec<_>>());
    let mut node = ministry();
    let founded = found(&node, &region, |_| {});
    let (ca, pin) = (region.certificate(), region.charter.clone().unwrap());
    let follow =
        ["follow", &region.url(), "--name", "moscow", "--charter-sha256", &pin, "--peer-ca", ca.to_str().unwrap()];
    node.run(&follow).json();
    node.start();
    let size = |node: &Node| node.api("node")["freshness"]["size"].as_u64().unwrap();
    synced(&node, &signer.origin, size(&region));
    let whole = |node: &Node, count: u64| {
        until("the federation's log covers the region", || head(node, &founded).filter(|(_, c)| c.count == count))
    };
    let (_, commit) = whole(&node, CHATS);
    assert_eq!((commit.bits, commit.missing.0.len()), (1, 0), "340 links in two buckets");
    let node = Arc::new(node);
    let recorder = recorder(node.clone());

    // The same bytes for every chat of a bucket, for links that nobody registered, too; other bytes for the other bucket.
    let of_bucket =
        |name: &str, from: u64| (from..).filter(|n| bucket_name(&digest(*n), 1) == name).take(4).collect::<Vec<_>>();
    let mut asked = BTreeMap::new();
    for name in ["0", "1"] {
        for n in of_bucket(name, 1).into_iter().chain(of_bucket(name, CHATS + 100)) {
            let (answer, bytes) = recorder.check(&node, &founded.charter, &link(n));
            assert!(!bytes.is_empty());
            match n <= CHATS {
                true => {
                    assert_eq!(answer["state"], "official", "{answer}");
                    assert_eq!(answer["claim"]["chat"], chats[n as usize - 1].0.to_string());
                    assert_eq!((&answer["claim"]["owner"], &answer["badge"]), (&json!(AUTHORITY), &json!(true)));
                }
                false => assert_eq!((&answer["state"], &answer["badge"]), (&json!("not_registered"), &json!(false))),
            }
            assert_eq!(asked.entry(name).or_insert_with(|| bytes.clone()), &bytes, "link {n}");
        }
    }
    assert_ne!(asked["0"], asked["1"]);

    // Registered nowhere, whatever it is: one proof, for that name alone and while it is young.
    let charter = founded.charter.to_str().unwrap();
    let absent_chat = "77-0000-0000-0000";
    for what in [absent_chat, "reformagkh:404", "@nobody", &link(9999)] {
        let proved = node.run(&["verify", what, "--nowhere", "--charter", charter]).json();
        assert_eq!((&proved["state"], &proved["missing"]), (&json!("not_registered"), &json!([])), "{what}");
    }
    for what in [&chats[4].0.to_string(), "reformagkh:7", &link(3)] {
        assert_eq!(node.run(&["verify", what, "--nowhere", "--charter", charter]).code(), "union.present", "{what}");
    }
    let proof = node.get(&format!("/api/v1/verify/absence?name=chat:{absent_chat}")).body;
    let proof = AbsenceProof::decode(&proof).unwrap();
    let keys = founded.verified.federation().unwrap();
    let state = |name: &str, at: u64| proof.verify(&keys, name, at).map(|u| u.state);
    let time = domovoi::node::now_ms();
    assert_eq!(state(&format!("chat:{absent_chat}"), time).unwrap(), "not_registered");
    assert_eq!(state(&format!("chat:{absent_chat}"), time + 25 * 3_600_000).unwrap(), "stale");
    for other in ["reformagkh:7", "reformagkh:8"].map(|b| format!("building:{b}")) {
        assert_eq!(state(&other, time).unwrap_err().code(), "proof.map");
    }

    // A bucket is padded, says the same again, and is refused when a byte of it is changed.
    let (signed, _) = head(&node, &founded).unwrap();
    let path = format!("/api/v1/verify/bucket/{}/0", signed.size);
    let bytes = node.get(&path).body;
    assert_eq!(bytes.len() % SIZE_CLASS, 0);
    assert!(node.get(&path).body == bytes);
    let (log, now) = (founded.verified.federation().unwrap(), domovoi::node::now_ms());
    let n = of_bucket("0", 1)[0];
    let answer = |bytes: &[u8], at: u64| BucketFile::decode(bytes).and_then(|b| b.answer(&log, &digest(n), at));
    assert_eq!(answer(&bytes, now).unwrap().state, "official");
    for at in (0..bytes.len()).step_by(23) {
        let mut bad = bytes.clone();
        bad[at] ^= 1;
        assert!(answer(&bad, now).is_err(), "byte {at}: {}", String::from_utf8_lossy(&bad[at.saturating_sub(40)..=at]));
    }
    // An old answer says so: no badge, and nothing is called unregistered.
    let late = now + 25 * 3_600_000;
    let old = answer(&bytes, late).unwrap();
    assert_eq!((old.state, old.badge, old.stale), ("official", false, true));
    let absent = of_bucket("0", CHATS + 100)[0];
    let decoded = BucketFile::decode(&bytes).unwrap();
    assert_eq!(decoded.answer(&log, &digest(absent), now).unwrap().state, "not_registered");
    assert_eq!(decoded.answer(&log, &digest(absent), late).unwrap().state, "stale");
    for wrong in
        [format!("/api/v1/verify/bucket/{}/0", signed.size + 2), format!("/api/v1/verify/bucket/{}/00", signed.size)]
    {
        node.get(&wrong).problem(404, "bucket.not-found");
    }

    // An idle federation writes nothing; a change makes one commit, which continues the log.
    let mirror = format!("/mirror/{}/checkpoint", origin_hash(ORIGIN));
    let checkpoint = node.get(&mirror).body;
    std::thread::sleep(Duration::from_secs(3));
    assert!(node.get(&mirror).body == checkpoint, "nothing has changed");
    region.accept(&[chat(&signer, CHATS + 1).1]);
    let (next, after) = whole(&node, CHATS + 1);
    assert_eq!(next.size, signed.size + 2);
    assert!(after.time.get() > commit.time.get() && after.root != commit.root && after.links != commit.links);
}

#[test]
fn a_restart_goes_on_with_the_same_log_and_a_missing_region_is_named() {
    let region = Node::moscow();
    let signer = region.signer("operator");
    region.accept(&[signer.building(1).1, chat(&signer, 1).1]);
    let mut node = ministry();
    // A second region that nobody follows.
    let founded = found(&node, &region, |body| body.regions.0.push(TVER.member()));
    let (ca, pin) = (region.certificate(), region.charter.clone().unwrap());
    let follow =
        ["follow", &region.url(), "--name", "moscow", "--charter-sha256", &pin, "--peer-ca", ca.to_str().unwrap()];
    node.run(&follow).json();
    node.start();
    let (before, commit) = until("a first commit", || head(&node, &founded).filter(|(_, c)| c.count == 1));
    assert_eq!(commit.missing.0.iter().map(ToString::to_string).collect::<Vec<_>>(), ["69"]);
    let charter = founded.charter.to_str().unwrap();
    let verify = |node: &Node, n: u64| node.run(&["verify", &link(n), "--private", "--charter", charter]);
    assert_eq!(verify(&node, 1).json()["state"], "official");
    let unknown = verify(&node, 2).json();
    assert_eq!((&unknown["state"], &unknown["missing"]), (&json!("region_not_connected"), &json!(["69"])));
    assert_eq!(node.run(&["verify", &link(1), "--private"]).code(), "cli.charter");
    let nowhere = |node: &Node, what: &str| node.run(&["verify", what, "--nowhere", "--charter", charter]);
    assert_eq!(nowhere(&node, "reformagkh:404").json()["state"], "region_not_connected");
    assert_eq!(nowhere(&node, "reformagkh:1").code(), "union.present");
    let alone = region.data().join("charter.json");
    let refused = node.run(&["verify", &link(1), "--private", "--charter", alone.to_str().unwrap()]);
    assert_eq!(refused.code(), "cli.federation");

    // Killed, not stopped: what was signed is what is served again, and the maps are computed again.
    node.kill();
    node.start();
    let again = until("the maps are there again", || head(&node, &founded));
    assert_eq!((&again.0, &again.1), (&before, &commit));
    assert_eq!(verify(&node, 1).json()["state"], "official");

    // Without its fence it does not sign again.
    node.kill();
    std::fs::remove_file(node.data().join("federation/private/fence")).unwrap();
    assert!(node.start_or_say().is_err());
    assert!(node.log().contains("fence.lost"), "{}", node.log());
}
