//! Cases about federation charters.

use domovoi::federation::charter::{Charter, CharterBody, FederationLog, RegionOfOne};
use domovoi::registry::body::{KeyBytes, List};
use domovoi::registry::envelope::{Envelope, TYP_CHARTER, TYP_RECORD};
use domovoi::registry::ids::RecordId;
use domovoi::registry::signature::PublicKey;
use domovoi::registry::text::{Millis, Text};
use domovoi::tlog::note::NoteSigner;
use ed25519_dalek::SigningKey;

use super::{Case, case};

const NOW: u64 = 1_790_000_000_000;

fn key(n: u8) -> SigningKey {
    SigningKey::from_bytes(&[n; 32])
}
fn public(n: u8) -> KeyBytes {
    KeyBytes(PublicKey::of(&key(n)))
}
fn text(s: &str) -> Text {
    Text::new(s).unwrap()
}
fn vkey(origin: &str, n: u8) -> Text {
    text(&NoteSigner::new(origin, key(n)).unwrap().verifier().to_string())
}

/// Moscow and Karelia, two of three root keys.
fn body() -> CharterBody {
    let one = RegionOfOne {
        code: "77".parse().unwrap(),
        name: text("город Москва"),
        oktmo: vec!["45".parse().unwrap()],
        authority: "ogrn:1027700132195".parse().unwrap(),
        root_key: PublicKey::of(&key(2)),
        commit_key: PublicKey::of(&key(3)),
        origin: "log.example/77".into(),
        log_vkey: vkey("log.example/77", 4).as_str().into(),
        url: "https://log.example/77".into(),
    };
    let mut body = Charter::open(&Charter::of_one(one, NOW, &key(1)).unwrap()).unwrap().charter().clone();
    body.root_keys = List(vec![public(11), public(12), public(13)]);
    body.threshold = 2;
    let mut karelia = body.regions.0[0].clone();
    karelia.code = "10".parse().unwrap();
    karelia.oktmo = List(vec!["86".parse().unwrap()]);
    karelia.origin = text("log.example/10");
    karelia.log_vkey = vkey("log.example/10", 5);
    karelia.root_keys = List(vec![public(6)]);
    karelia.commit_key = public(7);
    body.regions.0.push(karelia);
    body
}

fn federation_log() -> FederationLog {
    let origin = "log.example/federation";
    FederationLog {
        origin: text(origin),
        log_vkey: vkey(origin, 8),
        commit_key: public(9),
        url: text("https://federation.example"),
        cosigners: None,
    }
}

fn signed(body: &CharterBody, by: &[u8]) -> Vec<u8> {
    let keys: Vec<SigningKey> = by.iter().map(|n| key(*n)).collect();
    Charter::sign(body, &keys.iter().collect::<Vec<_>>()).unwrap()
}

/// A charter changed by `change`, signed by a threshold.
fn changed(name: &str, code: &str, change: fn(&mut CharterBody)) -> Case {
    let mut body = body();
    change(&mut body);
    case(name, "charter", signed(&body, &[11, 12]), code)
}

/// A charter whose JSON was changed as text, signed by a threshold.
fn json(name: &str, code: &str, from: &str, to: &str) -> Case {
    let payload = String::from_utf8(serde_json::to_vec(&body()).unwrap()).unwrap();
    assert!(payload.contains(from), "{payload}");
    let payload = payload.replacen(from, to, 1).into_bytes();
    case(name, "charter", Envelope::sign(payload, TYP_CHARTER, &[&key(11), &key(12)]), code)
}

/// A charter that is to follow a good one.
fn next(name: &str, code: &str, by: &[u8], change: fn(&mut CharterBody)) -> Case {
    let first = signed(&body(), &[11, 12]);
    let mut next = body();
    (next.version, next.previous) = (2, Some(Charter::open(&first).unwrap().sha256()));
    change(&mut next);
    case(name, "charter", signed(&next, by), code).with("previous", super::bytes_value(&first))
}

pub fn cases() -> Vec<Case> {
    let invalid = "charter.invalid";
    let good = String::from_utf8(signed(&body(), &[11, 12])).unwrap();
    vec![
        case("a good charter", "charter", &good, ""),
        changed("a charter with a federation log", "", |b| b.federation = Some(federation_log())),
        changed("charter: a federation log called like a region's", invalid, |b| {
            let origin = "log.example/77";
            b.federation = Some(FederationLog { origin: text(origin), log_vkey: vkey(origin, 8), ..federation_log() });
        }),
        changed("charter: a federation log with another log's key", invalid, |b| {
            b.federation = Some(FederationLog { log_vkey: vkey("log.example/10", 8), ..federation_log() });
        }),
        changed("charter: a federation log with a region's commit key", invalid, |b| {
            b.federation = Some(FederationLog { commit_key: public(7), ..federation_log() });
        }),
        changed("charter: a federation log without a key", "vkey.form", |b| {
            b.federation = Some(FederationLog { log_vkey: text("log.example/federation"), ..federation_log() });
        }),
        case("charter: surplus bytes", "charter", format!("{good}\n"), "envelope.malformed"),
        case(
            "charter: the typ of a record",
            "charter",
            Envelope::sign(b"{}".to_vec(), TYP_RECORD, &[&key(11)]),
            "envelope.header",
        ),
        case("charter: a megabyte and a byte", "charter", vec![b'x'; (1 << 20) + 1], "envelope.too_large"),
        case("charter: one of two signatures", "charter", signed(&body(), &[11]), "charter.threshold"),
        case("charter: signed by strangers", "charter", signed(&body(), &[21, 22]), "charter.threshold"),
        case("charter: a stranger beside a root", "charter", signed(&body(), &[11, 21]), "charter.threshold"),
        case(
            "charter: a changed signature",
            "charter",
            {
                let mut e = Envelope::parse(good.as_bytes(), TYP_CHARTER, 1 << 20).unwrap();
                e.signatures[0].1[0] ^= 1;
                e.to_bytes()
            },
            "charter.threshold",
        ),
        changed("charter: an unknown format", "charter.format", |b| b.format = 1),
        changed("charter: version 0", invalid, |b| b.version = 0),
        changed("charter: version 2^53", invalid, |b| (b.version, b.previous) = (1 << 53, Some(RecordId([1; 32])))),
        changed("charter: a first version with a predecessor", invalid, |b| b.previous = Some(RecordId([1; 32]))),
        changed("charter: a second version without one", invalid, |b| b.version = 2),
        changed("charter: expired when issued", invalid, |b| b.expires = b.issued),
        changed("charter: a threshold of 0", invalid, |b| b.threshold = 0),
        changed("charter: a threshold beyond its keys", invalid, |b| b.threshold = 4),
        changed("charter: a threshold no envelope holds", invalid, |b| {
            b.root_keys = List((31..51).map(public).collect());
            b.threshold = 9;
        }),
        changed("charter: a root key twice", invalid, |b| b.root_keys = List(vec![public(11), public(12), public(11)])),
        changed("charter: no root keys", invalid, |b| b.root_keys = List(vec![])),
        changed("charter: no staleness limit", invalid, |b| b.staleness_hours = 0),
        changed("charter: no record versions", invalid, |b| b.record_versions = List(vec![])),
        changed("charter: a region twice", invalid, |b| b.regions.0[1].code = b.regions.0[0].code),
        changed("charter: a log twice", invalid, |b| {
            b.regions.0[1].origin = b.regions.0[0].origin.clone();
            b.regions.0[1].log_vkey = vkey("log.example/77", 5);
        }),
        changed("charter: a commit key that is a root key", invalid, |b| b.regions.0[0].commit_key = public(2)),
        changed("charter: a region's root key that is the federation's", invalid, |b| {
            b.regions.0[0].root_keys = List(vec![public(11)])
        }),
        changed("charter: two regions with one commit key", invalid, |b| b.regions.0[1].commit_key = public(3)),
        changed("charter: a region's threshold of 0", invalid, |b| b.regions.0[0].root_threshold = 0),
        changed("charter: a region's threshold beyond its keys", invalid, |b| b.regions.0[0].root_threshold = 2),
        changed("charter: a region without prefixes", invalid, |b| b.regions.0[0].oktmo = List(vec![])),
        changed("charter: one prefix in two regions", invalid, |b| {
            b.regions.0[1].oktmo = List(vec!["45".parse().unwrap()])
        }),
        changed("charter: a prefix within another region's", invalid, |b| {
            b.regions.0[1].oktmo = List(vec!["45100".parse().unwrap()])
        }),
        changed("charter: a log key named otherwise", invalid, |b| b.regions.0[0].log_vkey = vkey("log.example/78", 4)),
        changed("charter: a log key that is none", "vkey.form", |b| b.regions.0[0].log_vkey = text("key")),
        json("charter: an unknown member", invalid, r#""format":0"#, r#""format":0,"x":0"#),
        json("charter: a member twice", invalid, r#""format":0"#, r#""format":0,"format":0"#),
        json("charter: a region that is none", invalid, r#""code":"77""#, r#""code":"96""#),
        json("charter: an authority with a wrong checksum", invalid, "1027700132195", "1027700132194"),
        json("charter: bytes after the object", invalid, r#"{"format":0"#, r#"{} {"format":0"#),
        next("a good second charter", "", &[11, 12], |_| ()),
        next("charter: a version left out", "charter.sequence", &[11, 12], |b| b.version = 3),
        next("charter: the same version again", "charter.sequence", &[11, 12], |b| (b.version, b.previous) = (1, None)),
        next("charter: another predecessor", "charter.sequence", &[11, 12], |b| b.previous = Some(RecordId([1; 32]))),
        next("charter: signed only by the new roots", "charter.threshold", &[14, 15], |b| {
            b.root_keys = List(vec![public(14), public(15)])
        }),
        next("charter: signed only by the old roots", "charter.threshold", &[11, 12], |b| {
            b.root_keys = List(vec![public(14), public(15)])
        }),
        next("charter: a second one that contradicts itself", invalid, &[11, 12], |b| {
            b.expires = Millis::new(1).unwrap()
        }),
    ]
}
