//! Real nodes cosign each other's logs: witness, mirror and verifier, on the published checkpoint, in proofs, and anew while
//! nothing happens.

use std::time::{Duration, Instant};

use domovoi::node::layout::origin_hash;
use domovoi::tlog::cosignature::CosignerKey;
use domovoi::tlog::note::Note;
use serde_json::{Value, json};

use crate::node::{Node, run_in};

fn until<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(found) = done() {
            return found;
        }
        assert!(Instant::now() < end, "not within half a minute: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub fn configure(node: &Node, more: &str) {
    let path = node.data().join("domovoi.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{text}\n{more}")).unwrap();
}

/// The public keys that `key cosigner` has made.
pub fn keys(node: &Node, name: &str) -> Vec<CosignerKey> {
    let made = run_in(&node.data(), &["--json", "key", "cosigner", "--name", name]).json();
    ["witness", "mirror", "verifier"]
        .iter()
        .map(|role| CosignerKey::parse(made[role].as_str().unwrap()).unwrap())
        .collect()
}

/// The configuration by which `node` cosigns.
pub fn entries(node: &Node, keys: &[CosignerKey]) -> String {
    let ca = node.certificate();
    let entry = |(kind, path, key): (&str, &str, &CosignerKey)| {
        format!(
            "[[cosigner]]\nkind = \"{kind}\"\nurl = \"{}{path}\"\nvkey = \"{key}\"\nca = \"{}\"\n",
            node.url(),
            ca.display()
        )
    };
    [("witness", "/witness", &keys[0]), ("mirror", "", &keys[1]), ("verifier", "", &keys[2])].map(entry).concat()
}

/// Times of the lines by these keys on a note, where all are there.
fn times(bytes: &[u8], keys: &[CosignerKey]) -> Option<Vec<u64>> {
    let note = Note::parse(bytes).unwrap();
    keys.iter().map(|key| key.time_of(&note).unwrap()).collect()
}

fn size_of(checkpoint: &[u8]) -> u64 {
    std::str::from_utf8(checkpoint).unwrap().lines().nth(1).unwrap().parse().unwrap()
}

fn follow(node: &Node, region: &Node) {
    let ca = region.certificate();
    let pin = region.charter.clone().unwrap();
    let args =
        ["follow", &region.url(), "--name", "moscow", "--charter-sha256", &pin, "--peer-ca", ca.to_str().unwrap()];
    node.run(&args).json();
}

#[test]
fn a_log_is_cosigned_by_who_saw_keeps_and_replayed_it_and_anew_while_it_stands_still() {
    let mut region = Node::init(Some(("77", crate::node::AUTHORITY, "Мосжилинспекция")));
    region.start();
    let origin = region.signer("operator").origin;
    let mut ministry = Node::init(None);
    ministry.args = vec!["--set".into(), "sync.interval_seconds=1".into()];
    let by = keys(&ministry, "ministry.example");
    follow(&ministry, &region);
    ministry.start();
    region.stop();
    configure(&region, &entries(&ministry, &by));
    let usual = ["sync.interval_seconds=1", "cosign.interval_seconds=2"];
    region.args = usual.iter().flat_map(|set| ["--set".to_owned(), set.to_string()]).collect();
    region.start();

    // All three are on the checkpoint of the founding records, the log's own line first.
    let cosigned = || {
        until("three cosignatures", || {
            let note = region.get("/log/checkpoint").body;
            times(&note, &by).map(|times| (note, times))
        })
    };
    let (note, first) = cosigned();
    let lines: Vec<String> = Note::parse(&note).unwrap().signatures().iter().map(|l| l.name.clone()).collect();
    assert_eq!(
        lines,
        [origin.as_str(), "ministry.example/witness", "ministry.example/mirror", "ministry.example/verifier"]
    );
    // Nothing is published, and yet they are made anew.
    until("newer cosignatures of the same head", || {
        let (again, times) = cosigned();
        assert_eq!(size_of(&again), size_of(&note));
        times.iter().zip(&first).all(|(new, old)| new > old).then_some(())
    });

    // A new head is cosigned, and the ministry's copy has the lines too.
    let signer = region.signer("operator");
    region.accept(&(1..=3).map(|n| signer.building(n).1).collect::<Vec<_>>());
    let size = region.api("node")["freshness"]["size"].as_u64().unwrap();
    until("the new head is cosigned", || {
        let (note, _) = cosigned();
        (size_of(&note) == size).then_some(())
    });
    let copy = format!("/mirror/{}/checkpoint", origin_hash(&origin));
    until("the copy's lines", || {
        let note = ministry.get(&copy).body;
        (size_of(&note) == size && times(&note, &by).is_some()).then_some(())
    });

    // A proof from the region and one from the ministry name the witness.
    for node in [&region, &ministry] {
        let proof = until("a proof with the witness's line", || {
            let proof = node.get("/api/v1/proofs/building:reformagkh:2");
            let text = String::from_utf8(proof.body.clone()).unwrap();
            (proof.status == 200 && text.contains("ministry.example/witness")).then_some(text)
        });
        let path = node.dir.path().join("proof.txt");
        std::fs::write(&path, proof).unwrap();
        let charter = region.data().join("charter.json");
        let args = [
            "verify",
            path.to_str().unwrap(),
            "--charter",
            charter.to_str().unwrap(),
            "--cosigner",
            &by[0].to_string(),
        ];
        let verified: Value = node.run(&args).json();
        assert_eq!(verified["cosigned"][0][0], "ministry.example/witness", "{verified}");
    }
    // The region's own charter names nobody, so nobody counts.
    let counted = region.api("node")["cosigned"].clone();
    assert_eq!(counted["witness"], json!({ "signed": 0, "needed": 0, "known": 0 }));

    // With the ministry down the log goes on, and is cosigned as soon as it is back.
    ministry.kill();
    region.accept(&[signer.building(4).1]);
    let size = region.api("node")["freshness"]["size"].as_u64().unwrap();
    assert!(times(&region.get("/log/checkpoint").body, &by).is_none());
    ministry.start();
    until("cosigned again", || {
        let (note, _) = cosigned();
        (size_of(&note) == size).then_some(())
    });
}

#[test]
fn the_federations_log_is_cosigned_by_the_regions_that_its_charter_names() {
    let mut region = Node::init(Some(("77", crate::node::AUTHORITY, "Мосжилинспекция")));
    region.start();
    let mut ministry = Node::init(None);
    ministry.args = ["sync.interval_seconds=1", "cosign.interval_seconds=2"]
        .iter()
        .flat_map(|set| ["--set".to_owned(), set.to_string()])
        .collect();
    follow(&ministry, &region);
    let origin = "federation.example/log";
    ministry.run(&["federation", "found", "--origin", origin, "--name", "Федерация"]).json();
    // The region stands under a charter of its own, which does not know the federation's log: its operator names it.
    let vkey = std::fs::read_to_string(ministry.data().join("federation/log.vkey")).unwrap();
    region.stop();
    configure(&region, &format!("[[witness_log]]\nvkey = \"{}\"\n", vkey.trim()));
    region.start();
    ministry.start();
    let witness = std::fs::read_to_string(region.data().join("keys/witness.vkey")).unwrap();
    let witness = CosignerKey::parse(witness.trim()).unwrap();
    let path = format!("/mirror/{}/checkpoint", origin_hash(origin));
    let cosigned = |at_least: u64| {
        until("the region's line on the federation's log", || {
            let answer = ministry.get(&path);
            let size = (answer.status == 200).then(|| size_of(&answer.body))?;
            let time = Note::parse(&answer.body).ok().and_then(|note| witness.time_of(&note).unwrap())?;
            (size >= at_least).then_some((size, time))
        })
    };
    let (size, time) = cosigned(1);
    // The signed head that clients of the private check verify bears it too.
    let head = until("the head with the line", || {
        let head = ministry.get("/api/v1/verify/bucket");
        let head = String::from_utf8(head.body).unwrap();
        head.contains(witness.name()).then_some(head)
    });
    assert!(head.contains(origin), "{head}");
    until("anew while nothing changes", || (cosigned(size).1 > time).then_some(()));
    let signer = region.signer("operator");
    region.accept(&[signer.building(1).1]);
    cosigned(size + 1);
}
