//! The shared vectors of the private check, `tests/vectors/bucket/vectors.json`: heads and buckets with what they answer, and
//! those that must be refused, with the stable code. Another implementation runs the file without anything of this one.
//!
//! To add a case, add a line to a table and write the file anew:
//! `BUCKET_BLESS=1 cargo nextest run -E 'test(bucket::)'`.

use std::collections::BTreeSet;
use std::path::Path;

use domovoi::federation::charter::{Charter, FederationLog};
use domovoi::registry::body::{KeyBytes, List};
use domovoi::registry::bucket_file::{BucketFile, FederationHead, bucket_to_ask};
use domovoi::registry::ids::{ChatNumber, RecordId, RegionCode};
use domovoi::registry::jurisdiction::FederationKeys;
use domovoi::registry::link::{LinkDigest, canonical_link};
use domovoi::registry::link_map::{LinkClaim, LinkMap, LinkStanding, Links, bucket_name};
use domovoi::registry::node_record::{FederationCommit, NodeRecord};
use domovoi::registry::signature::PublicKey;
use domovoi::registry::state_proof::Quoted;
use domovoi::tlog::checkpoint::Checkpoint;
use domovoi::tlog::note::NoteSigner;
use domovoi::tlog::tree::Frontier;
use domovoi::tlog::{Hash, leaf_hash};
use ed25519_dalek::SigningKey;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::regions::*;

mod refused;

const FILE: &str = "tests/vectors/bucket/vectors.json";
const ORIGIN: &str = "federation.example/log";
const HOUR: u64 = 3_600_000;
/// When the answers of the vectors are given: ten minutes after the commit.
const NOW: u64 = START + HOUR + 600_000;

fn log_key() -> NoteSigner {
    NoteSigner::new(ORIGIN, key(90)).unwrap()
}
fn commit_key() -> SigningKey {
    key(91)
}

fn charter() -> Vec<u8> {
    first_charter(&[MOSCOW, OBLAST], |body| {
        body.federation = Some(FederationLog {
            origin: text(ORIGIN),
            log_vkey: text(&log_key().verifier().to_string()),
            commit_key: KeyBytes(PublicKey::of(&commit_key())),
            url: text("https://federation.example"),
            cosigners: None,
        });
    })
}

fn pasted(n: u64) -> String {
    let token = data_encoding::BASE64URL_NOPAD.encode(&Sha256::digest(n.to_be_bytes()));
    format!("https://max.ru/join/{token}")
}
fn digest(n: u64) -> LinkDigest {
    LinkDigest::of_link(&canonical_link(&pasted(n)).unwrap())
}
fn region(code: u8) -> RegionCode {
    RegionCode::new(code).unwrap()
}
fn chat(n: u64) -> ChatNumber {
    ChatNumber::derive(region(77), &Sha256::digest(n.to_le_bytes()).into())
}

fn claim(code: u8, chat: ChatNumber, since: u64, standing: LinkStanding) -> LinkClaim {
    let owner = (standing != LinkStanding::Declared).then(|| ogrn(u64::from(code)));
    LinkClaim { region: region(code), chat, since, standing, owner }
}

const STANDINGS: [LinkStanding; 9] = [
    LinkStanding::Official,
    LinkStanding::Rotated,
    LinkStanding::OwnerSuspended,
    LinkStanding::Declared,
    LinkStanding::Suspended,
    LinkStanding::Closed,
    LinkStanding::Replaced,
    LinkStanding::Moved,
    LinkStanding::Void,
];

/// A link of every standing, one that two regions claim for two chats, one of a chat that went to another region.
fn few() -> LinkMap {
    let mut links = Links::default();
    for (n, standing) in (0..).zip(STANDINGS) {
        links.put(digest(n), claim(77, chat(n), 1_790_000_000 + n, standing));
    }
    links.put(digest(20), claim(77, chat(20), 1_790_000_020, LinkStanding::Official));
    links.put(digest(20), claim(50, chat(21), 1_790_000_400, LinkStanding::Official));
    links.put(digest(22), claim(77, chat(22), 1_790_000_022, LinkStanding::Moved));
    links.put(digest(22), claim(50, chat(22), 1_790_000_500, LinkStanding::Official));
    links.put(digest(23), claim(50, chat(23), 1_790_000_023, LinkStanding::Closed));
    links.put(digest(23), claim(77, chat(24), 1_790_000_600, LinkStanding::Declared));
    links.into_map()
}

/// Links enough for two buckets.
fn many() -> LinkMap {
    let mut links = Links::default();
    (0..300).for_each(|n| links.put(digest(n), claim(77, chat(n), 1_790_000_000 + n, LinkStanding::Official)));
    let map = links.into_map();
    assert_eq!(map.bits(), 1);
    map
}

fn none() -> RecordId {
    RecordId([7; 32])
}

/// What the commit over a map says; `change` has the last word.
fn commit_of(map: &LinkMap, size: u64, change: impl FnOnce(&mut FederationCommit)) -> FederationCommit {
    let mut commit = FederationCommit {
        v: 0,
        log: ORIGIN.into(),
        size,
        time: ms(START + HOUR),
        previous: Some(none()),
        charter: 1,
        regions: none(),
        oldest: Some(ms(START)),
        missing: List(Vec::new()),
        root: none(),
        links: RecordId(map.root()),
        count: map.len() as u64,
        bits: map.bits(),
    };
    change(&mut commit);
    commit
}

/// The head of a log whose last entry this is, after `before` others.
fn head_over(entry: &[u8], before: u64, signer: &NoteSigner) -> FederationHead {
    let mut leaves: Vec<Hash> = (0..before).map(|n| leaf_hash(&n.to_be_bytes())).collect();
    leaves.push(leaf_hash(entry));
    let mut tree = Frontier::new();
    tree.extend(leaves.clone());
    let origin = signer.verifier().name().to_owned();
    let note = Checkpoint { origin, size: tree.size(), root: tree.root() }.sign(signer).unwrap();
    FederationHead {
        size: tree.size(),
        checkpoint: Quoted::new(note.as_bytes()).unwrap(),
        commit: Quoted::new(entry).unwrap(),
        path: List(path_of_the_last(&leaves)),
    }
}

fn head(map: &LinkMap, change: impl FnOnce(&mut FederationCommit)) -> FederationHead {
    let commit = commit_of(map, 14, change);
    head_over(&NodeRecord::Federation(commit).sign(&commit_key()).unwrap().0, 13, &log_key())
}

fn bucket(map: &LinkMap, link: u64, change: impl FnOnce(&mut FederationCommit)) -> String {
    let name = bucket_name(&digest(link), map.bits());
    String::from_utf8(BucketFile::encode(&head(map, change), map, &name).unwrap()).unwrap()
}

fn keys() -> FederationKeys {
    Charter::open(&charter()).unwrap().federation().unwrap()
}

fn bytes_of(case: &Value, what: &str) -> Vec<u8> {
    match case[format!("{what}_hex")].as_str() {
        Some(hex) => data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap(),
        None => case[what].as_str().unwrap().as_bytes().to_vec(),
    }
}

fn answer(case: &Value, keys: &FederationKeys) -> domovoi::error::Result<Value> {
    let link = LinkDigest::of_link(&canonical_link(case["link"].as_str().unwrap())?);
    let a = BucketFile::decode(&bytes_of(case, "bucket"))?.answer(keys, &link, case["now"].as_u64().unwrap())?;
    let said = |c: &LinkClaim| {
        json!({ "region": c.region.to_string(), "chat": c.chat.to_string(), "since": c.since * 1000, "standing": c.standing,
            "owner": c.owner.as_ref().map(ToString::to_string) })
    };
    Ok(json!({
        "state": a.state, "claim": a.claim.as_ref().map(said), "disputed_by": a.disputed_by.iter().map(said).collect::<Vec<_>>(),
        "covered": a.covered, "stale": a.stale, "badge": a.badge,
        "missing": a.missing.iter().map(ToString::to_string).collect::<Vec<_>>(),
    }))
}

/// Decodes and verifies a head; gives the bucket to ask for.
fn ask(case: &Value, keys: &FederationKeys) -> domovoi::error::Result<String> {
    let link = LinkDigest::of_link(&canonical_link(case["link"].as_str().unwrap())?);
    bucket_to_ask(&FederationHead::decode(&bytes_of(case, "head"))?, keys, &link)
}

fn generated() -> Value {
    let (few, many, keys) = (few(), many(), keys());
    let nothing = Links::default().into_map();
    let plain = bucket(&few, 0, |_| {});
    let absent = bucket(&few, 0, |c| c.missing = List(vec![region(1), region(50)]));
    let uncovered = bucket(&few, 0, |c| c.oldest = None);
    let (left, right) =
        ((0..).find(|n| digest(*n).0[0] < 128).unwrap(), (0..).find(|n| digest(*n).0[0] >= 128).unwrap());
    let mut valid = Vec::new();
    let mut put = |name: &str, bucket: &str, link: u64, now: u64| {
        valid.push(json!({ "name": name, "bucket": bucket, "link": pasted(link), "now": now }));
    };
    for (n, standing) in (0..).zip(STANDINGS) {
        put(&format!("{standing:?}"), &plain, n, NOW);
    }
    put("two regions, two chats", &plain, 20, NOW);
    put("a chat that went to another region", &plain, 22, NOW);
    put("declared later than closed", &plain, 23, NOW);
    put("registered nowhere", &plain, 99, NOW);
    put("an official chat, a day late", &plain, 0, START + 26 * HOUR);
    put("registered nowhere, a day late", &plain, 99, START + 26 * HOUR);
    put("the last moment of a badge", &plain, 0, START + 25 * HOUR);
    put("the last moment of an absence", &plain, 99, START + 24 * HOUR);
    put("a clock that is behind", &plain, 0, START);
    put("registered nowhere that is covered", &absent, 99, NOW);
    put("registered, while others are not covered", &absent, 0, NOW);
    put("no region is followed", &uncovered, 99, NOW);
    put("no links at all", &bucket(&nothing, 0, |_| {}), 0, NOW);
    put("the left of two buckets", &bucket(&many, left, |_| {}), left, NOW);
    put("the right of two buckets", &bucket(&many, right, |_| {}), right, NOW);
    for case in &mut valid {
        case["says"] = answer(case, &keys).unwrap_or_else(|e| panic!("{}: {e:?}", case["name"]));
    }
    let said = |head: &FederationHead| serde_json::to_string(head).unwrap();
    let mut heads = vec![
        json!({ "name": "one bucket", "head": said(&head(&few, |_| {})), "link": pasted(0) }),
        json!({ "name": "two buckets, the left", "head": said(&head(&many, |_| {})), "link": pasted(left) }),
        json!({ "name": "two buckets, the right", "head": said(&head(&many, |_| {})), "link": pasted(right) }),
        json!({ "name": "a log of one entry", "link": pasted(0), "head": said(&{
            let commit = commit_of(&few, 1, |c| c.previous = None);
            head_over(&NodeRecord::Federation(commit).sign(&commit_key()).unwrap().0, 0, &log_key())
        }) }),
    ];
    for case in &mut heads {
        case["asks"] = json!(ask(case, &keys).unwrap_or_else(|e| panic!("{}: {e:?}", case["name"])));
    }
    json!({
        "about": "The private check (docs/protocol.md, 9.6). All keys are published test keys. A head that is valid asks for the \
                  bucket beside it. A bucket that is valid answers about the link, at the moment now (Unix milliseconds), what \
                  stands beside it; an invalid one is refused with the code. What ends in _hex are bytes that are no text.",
        "charter": String::from_utf8(charter()).unwrap(),
        "heads": heads,
        "buckets": valid,
        "invalid_heads": refused::heads(&few),
        "invalid_buckets": refused::buckets(&few, &many),
    })
}

#[test]
fn the_vectors_are_what_their_tables_make() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    let made = serde_json::to_string_pretty(&generated()).unwrap() + "\n";
    if std::env::var_os("BUCKET_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &made).unwrap();
    }
    assert!(std::fs::read_to_string(&path).unwrap() == made, "write the vectors anew: see the head of this file");
}

/// From the file alone, as another implementation does it.
#[test]
fn the_vectors_hold() {
    let bytes = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE)).unwrap();
    let v: Value = serde_json::from_slice(&bytes).unwrap();
    let list = |key: &str| v[key].as_array().unwrap().clone();
    let keys = Charter::open(v["charter"].as_str().unwrap().as_bytes()).unwrap().federation().unwrap();
    let (mut names, mut wrong) = (BTreeSet::new(), Vec::new());
    let mut compare = |case: &Value, expected: Result<Value, &str>, got: domovoi::error::Result<Value>| {
        assert!(names.insert(case["name"].as_str().unwrap().to_owned()), "{} stands twice", case["name"]);
        match (&expected, &got) {
            (Ok(a), Ok(b)) if a == b => {}
            (Err(code), Err(e)) if *code == e.code() => {}
            _ => wrong.push(format!("{}: {expected:?} expected, {got:?}", case["name"])),
        }
    };
    list("heads").iter().for_each(|c| compare(c, Ok(c["asks"].clone()), ask(c, &keys).map(|a| json!(a))));
    list("buckets").iter().for_each(|c| compare(c, Ok(c["says"].clone()), answer(c, &keys)));
    let (heads, buckets) = (list("invalid_heads"), list("invalid_buckets"));
    heads.iter().for_each(|c| compare(c, Err(c["code"].as_str().unwrap()), ask(c, &keys).map(|a| json!(a))));
    buckets.iter().for_each(|c| compare(c, Err(c["code"].as_str().unwrap()), answer(c, &keys)));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(heads.len() + buckets.len() >= 60, "{} and {}", heads.len(), buckets.len());
}

#[test]
fn a_bucket_has_a_bound_before_it_is_read() {
    let long = bucket(&few(), 0, |_| {}).replacen("\"pad\":\"", &format!("\"pad\":\"{}", " ".repeat(1 << 20)), 1);
    assert_eq!(BucketFile::decode(long.as_bytes()).unwrap_err().code(), "bucket.form");
}
