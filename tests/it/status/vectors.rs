//! The shared vectors of status proofs, `tests/vectors/status/vectors.json`: proofs that verify, with what they say, and proofs
//! that must be refused, with the stable code. Another implementation runs the file without anything of this one.
//!
//! To add a case, add a line to a table and write the file anew:
//! `STATUS_BLESS=1 cargo nextest run -E 'test(status::vectors)'`.

use std::collections::BTreeSet;
use std::path::Path;

use domovoi::federation::chain::CharterChain;
use domovoi::node::proved::proved;
use domovoi::registry::record::Subject;
use domovoi::registry::status_proof::Name;
use domovoi::tlog::cosignature::CosignerKey;
use serde_json::{Value, json};

use super::refused::{forms, logs, maps, resigned};
use super::{addressed, chat, cosigned, cosigner, prove, scene, succession, verify};
use crate::charters::rolled;
use crate::regions::*;

const FILE: &str = "tests/vectors/status/vectors.json";

fn generated() -> Value {
    let mut s = scene();
    let good = addressed(&s.moscow, &chat(s.first)).to_string();
    let rolled = rolled(&s.chain);
    let names = [
        ("a chat", chat(s.first)),
        ("a link in force", Name::Link(link(1))),
        ("a link that was replaced", Name::Link(link(2))),
        ("a link that is not registered", Name::Link(link(99))),
        ("a building with a chat", Name::Subject(Subject::Building(building(1)))),
        ("a building that is not registered", Name::Subject(Subject::Building(building(9)))),
        ("an authority", Name::Subject(Subject::Authority(MOSCOW.authority(0)))),
        (
            "a key",
            Name::Subject(Subject::Key(domovoi::registry::signature::PublicKey::of(&MOSCOW.operator(0)).thumb())),
        ),
    ];
    let mut valid: Vec<(String, String)> =
        names.iter().map(|(title, name)| ((*title).to_owned(), prove(&s.moscow, name).to_string())).collect();
    valid.push(("a chat with its address".into(), good.clone()));
    valid.push(("a link with the address of its chat".into(), addressed(&s.moscow, &Name::Link(link(1))).to_string()));
    valid.push(("cosigned by two".into(), cosigned(&good, &[(1, 1_800_000_000), (2, 1_800_000_060)])));
    valid.push(("cosigned by somebody nobody asked for".into(), cosigned(&good, &[(7, 1_800_000_000)])));
    valid.push(("another region".into(), prove(&s.oblast, &Name::Link(link(3))).to_string()));
    let mut invalid = [forms(&good, &s), maps(&good, &s), logs(&good, &s)].concat();
    succession(&mut s);
    valid.push(("after a succession".into(), prove(&s.moscow, &chat(s.first)).to_string()));
    s.moscow.given(&rolled);
    (s.moscow.log_key, s.moscow.commit_key) = (key(111), key(112));
    s.moscow.adopt();
    valid.push(("under the keys of a later charter".into(), prove(&s.moscow, &chat(s.first)).to_string()));
    s.moscow.log_key = MOSCOW.log();
    invalid.push((
        "a retired log key under a later charter",
        "note.unsigned",
        prove(&s.moscow, &chat(s.first)).to_string(),
    ));
    s.moscow.log_key = key(111);
    let now = prove(&s.moscow, &chat(s.first)).to_string();
    invalid.push((
        "a retired commit key under a later charter",
        "commit.signature",
        resigned(&now, &MOSCOW.commit(), str::to_owned),
    ));

    let by = cosigners();
    let said = |(title, proof): &(String, String)| {
        let p = proved(&verify(proof, &rolled, &by).unwrap_or_else(|e| panic!("{title}: {e:?}")));
        json!({ "name": title, "proof": proof, "says": p })
    };
    json!({
        "about": "Status proofs (docs/protocol.md). All keys are published test keys. Verify each proof with the charters, oldest \
                  first and the first one pinned, and the cosigners' keys; a valid one says what stands beside it, an invalid \
                  one is refused with the code.",
        "charters": [charter(&first_charter(&[MOSCOW, OBLAST], |_| {})), charter(&later())],
        "cosigners": by.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "valid": valid.iter().map(said).collect::<Vec<_>>(),
        "invalid": invalid.iter().map(|(name, code, proof)| json!({ "name": name, "code": code, "proof": proof })).collect::<Vec<_>>(),
    })
}

fn charter(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The second charter: new keys for Moscow.
fn later() -> Vec<u8> {
    crate::charters::rolled_bytes(&pinned(&[MOSCOW, OBLAST]))
}

fn cosigners() -> Vec<CosignerKey> {
    [1, 2].map(|n| cosigner(n).verifier().clone()).to_vec()
}

#[test]
fn the_vectors_are_what_their_tables_make() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    let made = serde_json::to_string_pretty(&generated()).unwrap() + "\n";
    if std::env::var_os("STATUS_BLESS").is_some() {
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
    let text = |v: &Value| v.as_str().unwrap().to_owned();
    let charters: Vec<String> = list("charters").iter().map(text).collect();
    let mut chain = CharterChain::pinned(charters[0].as_bytes()).unwrap();
    charters[1..].iter().for_each(|c| assert!(chain.advance(c.as_bytes()).unwrap()));
    let by: Vec<CosignerKey> = list("cosigners").iter().map(|k| CosignerKey::parse(&text(k)).unwrap()).collect();
    for case in list("valid") {
        let p = verify(&text(&case["proof"]), &chain, &by).unwrap_or_else(|e| panic!("{}: {e:?}", case["name"]));
        assert_eq!(serde_json::to_value(proved(&p)).unwrap(), case["says"], "{}", case["name"]);
    }
    let (mut names, mut wrong) = (BTreeSet::new(), Vec::new());
    for case in list("invalid") {
        assert!(names.insert(text(&case["name"])), "{} stands twice", case["name"]);
        match verify(&text(&case["proof"]), &chain, &by) {
            Err(e) if e.code() == case["code"] => {}
            other => wrong.push(format!("{}: {} expected, {:?}", case["name"], case["code"], other.map(|_| ()))),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(names.len() >= 60, "{} cases", names.len());
}
