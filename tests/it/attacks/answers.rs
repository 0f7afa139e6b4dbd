//! What is sent to a node, and what a peer's log holds: paths, records, keys, things passed off as others.

use std::sync::{Arc, Mutex};

use data_encoding::{BASE64, BASE64URL_NOPAD};
use domovoi::federation::charter::Charter;
use domovoi::registry::envelope::{Envelope, MAX_ENTRY, TYP_CHARTER, TYP_DOSSIER, TYP_NODE, TYP_RECORD, TYP_SNAPSHOT};
use domovoi::registry::node_record::DecodedNodeRecord;
use domovoi::registry::record::DecodedRecord;
use domovoi::registry::signature::PublicKey;
use domovoi::tlog::checkpoint::Checkpoint;
use domovoi::tlog::cosignature::{Cosigner, CosignerKey};
use domovoi::tlog::note::{Note, NoteSigner, VerifierKey};
use ed25519_dalek::{SigningKey, VerifyingKey};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::hostile::{Following, Hostile, connect, grant, honest};
use crate::forge::{Forge, Lie};
use crate::node::{Node, Signer, runtime};

/// Sends a request line as it is, which no client would, and reads the whole answer.
fn raw_get(node: &Node, path: &[u8]) -> String {
    runtime().block_on(async {
        let mut stream = connect(node, None).await;
        let request = [b"GET ", path, b" HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"].concat();
        stream.write_all(&request).await.unwrap();
        let mut answer = Vec::new();
        // A server that ends without a TLS farewell has still answered.
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    })
}

#[test]
fn no_path_parameter_leads_out_of_its_place() {
    let node = Node::moscow();
    let document = node.get("/api/v1/openapi.json").json();
    let routes: Vec<&String> = document["paths"].as_object().unwrap().keys().filter(|p| p.contains('{')).collect();
    assert!(routes.len() >= 8, "{routes:?}");
    let long = "a".repeat(10_000);
    let deep = "%2e%2e%2f".repeat(1000);
    let values: [&[u8]; 22] = [
        b"..",
        b"../../keys/log.pem",
        b"%2e%2e",
        b"%2e%2e/%2e%2e/FORMAT",
        b"..%2f..%2fkeys%2flog.pem",
        b"%2e%2e%2f%2e%2e%2fFORMAT",
        b"..\\..\\FORMAT",
        b"..%5c..%5cFORMAT",
        b"%c0%ae%c0%ae%c0%af",
        b".",
        b"%2f",
        b"//",
        b"%00",
        b"x%00y",
        b"%ff%fe",
        b"\xff\xfe",
        b"%",
        b"%zz",
        b"{id}",
        b"-1",
        long.as_bytes(),
        deep.as_bytes(),
    ];
    for route in &routes {
        for value in values {
            let mut path = Vec::new();
            let mut rest = route.as_str();
            while let Some((before, after)) = rest.split_once('{') {
                path.extend_from_slice(before.as_bytes());
                path.extend_from_slice(value);
                rest = after.split_once('}').unwrap().1;
            }
            path.extend_from_slice(rest.as_bytes());
            let answer = raw_get(&node, &path);
            let shown = String::from_utf8_lossy(&path[..path.len().min(120)]).into_owned();
            let status: u16 =
                answer.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or_else(|| panic!("{shown}: {answer}"));
            assert!((400..500).contains(&status), "{shown}: {answer}");
            assert!(!answer.contains("PRIVATE KEY") && !answer.contains("domovoi data"), "{shown}: {answer}");
        }
    }
    // A NUL itself is no request at all.
    assert!(raw_get(&node, b"/api/v1/chats/\0").starts_with("HTTP/1.1 400"));
    assert_eq!(node.get("/readyz").status, 200);
    assert!(!node.log().contains("panick"), "{}", node.log());
}

/// Records that are none, of each class; each signed as it should be wherever a signature has a place.
fn no_records(signer: &Signer) -> Vec<(&'static str, Vec<u8>)> {
    let (_, good) = signer.organisation(77);
    let payload = String::from_utf8(Envelope::parse(&good, TYP_RECORD, MAX_ENTRY).unwrap().payload).unwrap();
    let signed = |payload: &[u8]| Envelope::sign(payload.to_vec(), TYP_RECORD, &[&signer.key]);
    let replaced = |from: &str, to: &str| {
        assert!(payload.contains(from), "{from} is not in {payload}");
        signed(payload.replacen(from, to, 1).as_bytes())
    };
    let mut bytes = payload.clone().into_bytes();
    let at = payload.find("ООО").unwrap();
    bytes[at] = 0xff;
    let invalid = signed(&bytes);
    bytes[at] = 0;
    let nul = signed(&bytes);
    let issued = payload.split("\"issued_at\":").nth(1).unwrap().split([',', '}']).next().unwrap();
    let number = |n: &str| replaced(&format!("\"issued_at\":{issued}"), &format!("\"issued_at\":{n}"));
    let nested = format!("{}1{}", "[".repeat(4000), "]".repeat(4000));
    let mut surrogate = good.clone();
    surrogate[3] = 0xed;
    vec![
        ("NUL bytes", vec![0; 64]),
        ("NUL in a text", nul),
        ("NUL escaped in a text", replaced("ООО", "\\u0000")),
        ("empty payload", signed(b"")),
        ("empty object", signed(b"{}")),
        ("truncated envelope", good[..good.len() / 2].to_vec()),
        ("truncated by one byte", good[..good.len() - 1].to_vec()),
        ("truncated payload", signed(&payload.as_bytes()[..payload.len() - 1])),
        ("one byte too many", [&good[..], b" "].concat()),
        ("nested arrays", replaced("\"ООО «77»\"", &nested)),
        ("nested objects", signed("{\"a\":".repeat(2000).as_bytes())),
        ("huge exponent", number("1e999")),
        ("beyond 2^53", number("9007199254740993")),
        ("beyond 2^64", number("99999999999999999999999")),
        ("a fraction", number("1.5")),
        ("negative", number("-1")),
        ("duplicate member", replaced("{", "{\"v\":0,")),
        ("duplicate member of the body", replaced("\"name\":", "\"name\":\"Другое\",\"name\":")),
        ("unknown member", replaced("{", "{\"colour\":1,")),
        ("invalid UTF-8", invalid),
        ("invalid UTF-8 envelope", surrogate),
        ("not in NFC", replaced("ООО", "и\u{306}")),
        ("too long", signed(replaced_text(&payload).as_bytes())),
    ]
}

fn replaced_text(payload: &str) -> String {
    payload.replacen("ООО", &"О".repeat(MAX_ENTRY), 1)
}

#[test]
fn what_is_no_record_is_refused_when_submitted_and_stops_nothing_beside_it() {
    let node = Node::moscow();
    let signer = node.signer("operator");
    let size = || node.api("node")["freshness"]["size"].as_u64().unwrap();
    let before = size();
    let bad = no_records(&signer);
    for (class, record) in &bad {
        let outcomes = node.submit(std::slice::from_ref(record));
        assert_eq!(outcomes.len(), 1, "{class}");
        assert_eq!(outcomes[0]["outcome"], "refused", "{class}: {}", outcomes[0]);
        assert!(outcomes[0]["code"].as_str().is_some_and(|c| !c.is_empty()), "{class}: {}", outcomes[0]);
    }
    node.post("/api/v1/submit", Vec::new()).problem(422, "submit.count");
    node.post("/api/v1/submit", b"\n\n\n".to_vec()).problem(422, "submit.count");
    assert_eq!(size(), before, "something of it is in the log");
    // All of them around a good one: that one is taken.
    let mut all: Vec<Vec<u8>> = bad.into_iter().map(|(_, record)| record).collect();
    all.insert(5, signer.organisation(78).1);
    let outcomes = node.submit(&all);
    let taken: Vec<usize> = (0..outcomes.len()).filter(|n| outcomes[*n]["outcome"] == "accepted").collect();
    assert_eq!(taken, [5]);
    assert_eq!(size(), before + 2);
}

/// A forged log behind a server, and a follower of it that has taken in its beginning.
struct Lying {
    forge: Forge,
    now: Arc<Mutex<crate::forge::Served>>,
    following: Following,
}

impl Lying {
    fn new(n: usize) -> Lying {
        let forge = Forge::new(n);
        let now = Arc::new(Mutex::new(forge.served()));
        let serve = now.clone();
        let server = Hostile::start(move |path| honest(serve.lock().unwrap().answer(&path[1..])));
        let following = Following::of(&forge, &server.url);
        assert_eq!(following.round(), Ok(()));
        Lying { forge, now, following }
    }

    /// Serves the log with these entries at its end, under a good checkpoint; gives the code with which it is held.
    fn with(&self, entries: Vec<Vec<u8>>) -> String {
        let mut longer = self.forge.clone();
        longer.write(entries);
        *self.now.lock().unwrap() = longer.served();
        let told = self.following.round().expect_err("it was taken");
        assert_eq!(self.following.held().as_deref(), Some(told.as_str()));
        assert_eq!(self.following.size(), self.forge.size());
        told
    }

    /// Goes on honestly.
    fn goes_on(&mut self) {
        let signer = self.forge.operator.clone();
        let next = self.forge.building(&signer, 4711).1;
        self.forge.batch(vec![next], Lie::None);
        *self.now.lock().unwrap() = self.forge.served();
        assert_eq!(self.following.round(), Ok(()));
        assert_eq!((self.following.size(), self.following.held()), (self.forge.size(), None));
    }
}

#[test]
fn what_is_no_record_in_a_peers_log_holds_that_log_at_its_last_good_commit() {
    let mut peer = Lying::new(7);
    let bad = no_records(&peer.forge.operator);
    for (class, record) in bad.into_iter().chain([("empty", Vec::new())]) {
        let code = peer.with(vec![record]);
        assert!(!code.starts_with("peer.") && !code.starts_with("sync."), "{class}: {code}");
    }
    peer.goes_on();
}

/// The order of the group, little-endian.
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

/// The same signature with S + L: what a lax verifier takes as well.
fn malleated(signature: &mut [u8]) {
    let mut carry = 0u16;
    for (byte, order) in signature[32..].iter_mut().zip(ORDER) {
        carry += u16::from(*byte) + u16::from(order);
        *byte = carry as u8;
        carry >>= 8;
    }
}

/// The note with its last signature line changed.
fn resigned(note: &str, change: impl Fn(&mut Vec<u8>)) -> String {
    let (text, line) = note.trim_end().rsplit_once(' ').unwrap();
    let mut bytes = BASE64.decode(line.as_bytes()).unwrap();
    change(&mut bytes);
    format!("{text} {}\n", BASE64.encode(&bytes))
}

/// Points of small order, and spellings of y that are not reduced.
fn bad_points() -> Vec<[u8; 32]> {
    let hex = |text: &str| <[u8; 32]>::try_from(data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap()).unwrap();
    vec![
        hex("0100000000000000000000000000000000000000000000000000000000000000"),
        hex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
        hex("0000000000000000000000000000000000000000000000000000000000000000"),
        hex("0000000000000000000000000000000000000000000000000000000000000080"),
        hex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
        hex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85"),
        hex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
        hex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa"),
        hex("0100000000000000000000000000000000000000000000000000000000000080"),
        hex("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
        hex("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
        hex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"),
    ]
}

#[test]
fn malleable_signatures_and_weak_keys_are_refused_everywhere() {
    let mut peer = Lying::new(8);
    // In a peer's log: a record, and the checkpoint.
    let signer = peer.forge.operator.clone();
    let malleable = |entry: &[u8], typ| {
        let mut envelope = Envelope::parse(entry, typ, MAX_ENTRY).unwrap();
        malleated(&mut envelope.signatures[0].1);
        envelope.to_bytes()
    };
    let record = malleable(&peer.forge.building(&signer, 9).1, TYP_RECORD);
    assert_eq!(peer.with(vec![record]), "signature.invalid");
    let mut longer = peer.forge.clone();
    longer.batch(vec![longer.building(&signer, 9).1], Lie::None);
    let mut served = longer.served();
    let note = String::from_utf8(served.checkpoint.clone()).unwrap();
    served.checkpoint = resigned(&note, |bytes| malleated(&mut bytes[4..])).into_bytes();
    *peer.now.lock().unwrap() = served;
    assert_eq!(peer.following.round(), Err("note.signature".into()));
    peer.goes_on();
    // A charter.
    let charter = malleable_charter(&peer.forge.charter);
    assert_eq!(Charter::open(&charter).unwrap_err().code(), "charter.threshold");
    // A submission.
    let node = Node::moscow();
    let record = malleable(&node.signer("operator").organisation(5).1, TYP_RECORD);
    assert_eq!(node.submit(&[record])[0]["code"], "signature.invalid");

    // Keys of small order, and keys not in their one spelling, are no keys: in a record, in a charter, of a log, of a witness.
    let (_, granted) = grant(&node.signer("region-root"));
    let payload = String::from_utf8(Envelope::parse(&granted, TYP_RECORD, MAX_ENTRY).unwrap().payload).unwrap();
    let good = payload.split("\"key\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let text = String::from_utf8(Envelope::parse(&peer.forge.charter, TYP_CHARTER, 1 << 20).unwrap().payload).unwrap();
    let root: Value = serde_json::from_str(&text).unwrap();
    let root = root["root_keys"][0].as_str().unwrap_or_else(|| panic!("{root}")).to_owned();
    for point in bad_points() {
        let spelt = BASE64URL_NOPAD.encode(&point);
        assert!(PublicKey::from_bytes(&point).is_err(), "{spelt}");
        let weak =
            Envelope::sign(payload.replace(&good, &spelt).into_bytes(), TYP_RECORD, &[&node.signer("region-root").key]);
        assert_eq!(node.submit(&[weak])[0]["outcome"], "refused", "{spelt}");
        let charter =
            Envelope::sign(text.replace(&root, &spelt).into_bytes(), TYP_CHARTER, &[&SigningKey::from_bytes(&[9; 32])]);
        assert!(Charter::open(&charter).is_err(), "{spelt}");
        if let Ok(key) = VerifyingKey::from_bytes(&point) {
            assert!(
                VerifierKey::new("log.example/01", key).is_err() && CosignerKey::new("witness", key).is_err(),
                "{spelt}"
            );
        }
    }
}

fn malleable_charter(charter: &[u8]) -> Vec<u8> {
    let mut envelope = Envelope::parse(charter, TYP_CHARTER, 1 << 20).unwrap();
    malleated(&mut envelope.signatures[0].1);
    envelope.to_bytes()
}

#[test]
fn no_signed_thing_passes_for_another() {
    let mut peer = Lying::new(9);
    let signer = peer.forge.operator.clone();
    let served = peer.forge.served();
    let node_entry = peer.forge.entries().last().unwrap().clone();
    let record = peer.forge.building(&signer, 5).1;
    let key = SigningKey::from_bytes(&[3; 32]);
    let payload = Envelope::parse(&record, TYP_RECORD, MAX_ENTRY).unwrap().payload;
    let things: Vec<(&str, Vec<u8>)> = vec![
        ("record", record.clone()),
        ("commit", node_entry.clone()),
        ("charter", peer.forge.charter.clone()),
        ("checkpoint", served.checkpoint.clone()),
        ("dossier", Envelope::sign(payload.clone(), TYP_DOSSIER, &[&key])),
        ("snapshot", Envelope::sign(payload.clone(), TYP_SNAPSHOT, &[&key])),
        (
            "evidence",
            serde_json::json!({ "kind": "domovoi evidence v0: a log that did not verify", "origin": "x" })
                .to_string()
                .into_bytes(),
        ),
    ];
    // Each reader takes its own and nothing else.
    for (name, bytes) in &things {
        assert_eq!(DecodedRecord::decode(bytes).is_ok(), *name == "record", "{name} as a record");
        assert_eq!(DecodedNodeRecord::decode(bytes).is_ok(), *name == "commit", "{name} as a commit");
        assert_eq!(Charter::open(bytes).is_ok(), *name == "charter", "{name} as a charter");
        assert_eq!(Note::parse(bytes).is_ok(), *name == "checkpoint", "{name} as a note");
        for typ in [TYP_RECORD, TYP_NODE, TYP_CHARTER, TYP_DOSSIER, TYP_SNAPSHOT] {
            let own = matches!(
                (*name, typ),
                ("record", TYP_RECORD)
                    | ("commit", TYP_NODE)
                    | ("charter", TYP_CHARTER)
                    | ("dossier", TYP_DOSSIER)
                    | ("snapshot", TYP_SNAPSHOT)
            );
            assert_eq!(Envelope::parse(bytes, typ, 1 << 20).is_ok(), own, "{name} as {typ}");
        }
    }
    // Submitted, all but the record are refused before their signatures matter.
    let node = Node::moscow();
    for (name, bytes) in things.iter().filter(|(name, _)| !matches!(*name, "record" | "checkpoint")) {
        assert_eq!(node.submit(std::slice::from_ref(bytes))[0]["outcome"], "refused", "{name}");
    }
    // A record of another log, honestly signed.
    assert_eq!(node.submit(std::slice::from_ref(&record))[0]["outcome"], "refused");
    // In a peer's log: a charter, a checkpoint, evidence, another log's commit, its own commit again.
    let other = Forge::new(10).entries().last().unwrap().clone();
    for (name, bytes) in things.iter().filter(|(name, _)| *name != "record") {
        let code = peer.with(vec![bytes.clone()]);
        assert!(!code.starts_with("peer."), "{name}: {code}");
    }
    assert!(!peer.with(vec![other]).starts_with("peer."));
    // A signature under the same payload but of another type.
    let mut moved = Envelope::parse(&record, TYP_RECORD, MAX_ENTRY).unwrap();
    let as_charter =
        Envelope::parse(&Envelope::sign(payload, TYP_CHARTER, &[&signer.key]), TYP_CHARTER, MAX_ENTRY).unwrap();
    moved.signatures[0].1 = as_charter.signatures[0].1;
    assert_eq!(peer.with(vec![moved.to_bytes()]), "signature.invalid");
    peer.goes_on();

    // A note's signature is no cosignature, a cosignature no note's signature, though the key be the same.
    let text = Checkpoint { origin: "log.example/99".into(), size: 5, root: domovoi::tlog::leaf_hash(b"x") }.to_text();
    let (log, witness) =
        (NoteSigner::new("log.example/99", key.clone()).unwrap(), Cosigner::new("log.example/99", key).unwrap());
    let signed = Note::sign(text.clone(), &log).unwrap();
    assert!(!matches!(witness.verifier().time_of(&signed), Ok(Some(_))));
    let line = witness.cosign(&text, 1_700_000_000).unwrap();
    let mut cosigned =
        Note::sign(text.clone(), &NoteSigner::new("other", SigningKey::from_bytes(&[4; 32])).unwrap()).unwrap();
    cosigned.add_line(line).unwrap();
    assert!(cosigned.verify(log.verifier()).is_err());
    assert_eq!(witness.verifier().time_of(&cosigned).unwrap(), Some(1_700_000_000));
    // The text of a cosignature's message as a note of its own.
    assert!(Checkpoint::parse(&format!("cosignature/v1\ntime 1700000000\n{text}")).is_err());
}
