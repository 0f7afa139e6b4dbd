//! A ministry's node follows regions: real ones over TLS, and forged ones that serve what must not be believed.

use std::time::{Duration, Instant};

use domovoi::federation::charter::Charter;
use domovoi::node::layout::{Layout, origin_hash};
use domovoi::registry::envelope::{Envelope, TYP_RECORD};
use domovoi::tlog::tile::{LogPath, bundles_between, tiles_of};
use serde_json::{Value, json};

use super::api::chat;
use super::forge::{Change, Forge, Lie, Peers, Served};
use super::node::{AUTHORITY, Around, Node};

pub fn ministry() -> Node {
    let mut node = Node::init(None);
    node.args = vec!["--set".into(), "sync.interval_seconds=1".into()];
    node
}

/// Waits up to half a minute until `done` gives something.
pub fn until<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(found) = done() {
            return found;
        }
        assert!(Instant::now() < end, "not within half a minute: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// How the log stands with the ministry.
pub fn member(ministry: &Node, origin: &str) -> Option<Value> {
    let v = ministry.api("federation");
    v["members"].as_array().unwrap().iter().find(|m| m["freshness"]["log"] == origin).cloned()
}

/// Waits until a ministry has a log up to `size`, its checkpoint too: that is published last, and a kill before it only
/// means that the round is done again.
pub fn synced(ministry: &Node, origin: &str, size: u64) {
    let checkpoint = format!("/mirror/{}/checkpoint", domovoi::node::layout::origin_hash(origin));
    until(&format!("{origin} at size {size}"), || {
        let known = member(ministry, origin)?;
        let published = String::from_utf8(ministry.get(&checkpoint).body).ok()?;
        let whole = published.lines().nth(1).is_some_and(|n| n == size.to_string());
        (known["freshness"]["size"] == size && known["status"]["held"].is_null() && whole).then_some(())
    });
}

/// Without what is different by nature: where an answer comes from.
fn bare(mut v: Value) -> Value {
    fn strip(v: &mut Value) {
        match v {
            Value::Object(fields) => {
                fields.remove("freshness");
                fields.values_mut().for_each(strip);
            }
            Value::Array(items) => items.iter_mut().for_each(strip),
            _ => {}
        }
    }
    strip(&mut v);
    v
}

#[test]
fn a_followed_region_is_mirrored_whole_and_answered_for_when_it_is_down() {
    let mut region = Node::moscow();
    let signer = region.signer("operator");
    let buildings: Vec<Vec<u8>> = (1..=400).map(|n| signer.building(n).1).collect();
    region.accept(&buildings);
    let chats: Vec<_> = (1..=30).map(|n| chat(&signer, n, "2025-02-01")).collect();
    region.accept(&chats.iter().map(|c| c.2.clone()).collect::<Vec<_>>());
    let mut ministry = ministry();
    let ca = region.certificate();
    let ca = ca.to_str().unwrap();

    // Without the pin it says which charter it saw and follows nothing; a wrong pin is refused.
    assert_eq!(ministry.run(&["follow", &region.url(), "--peer-ca", ca]).code(), "follow.pin");
    let wrong = "0".repeat(64);
    let refused = ministry.run(&["follow", &region.url(), "--peer-ca", ca, "--charter-sha256", &wrong]);
    assert_eq!(refused.code(), "peer.charter_pin");
    let pin = region.charter.clone().unwrap();
    let follow = ["follow", &region.url(), "--name", "moscow", "--charter-sha256", &pin, "--peer-ca", ca];
    assert_eq!(ministry.run(&follow).json()["charter_sha256"], pin.as_str());
    assert_eq!(ministry.run(&follow).code(), "follow.known");
    ministry.start();
    let origin = signer.origin.clone();
    let size = |node: &Node| node.api("node")["freshness"]["size"].as_u64().unwrap();
    synced(&ministry, &origin, size(&region));

    // The mirror is the log to the byte, and the answers are the same.
    let mirror = format!("/mirror/{}", origin_hash(&origin));
    let same_files = |ministry: &Node, region: &Node| {
        let n = size(region);
        // The checkpoint is put in place last.
        let checkpoint = region.get("/log/checkpoint").body;
        until("the mirror's checkpoint", || {
            (ministry.get(&format!("{mirror}/checkpoint")).body == checkpoint).then_some(())
        });
        let files = tiles_of(n).map(LogPath::Tile).chain(bundles_between(0, n).map(LogPath::Bundle));
        for path in files.chain([LogPath::Checkpoint]) {
            let here = ministry.get(&format!("{mirror}/{path}"));
            assert_eq!(here.status, 200, "{path}");
            assert!(here.body == region.get(&format!("/log/{path}")).body, "{path} differs");
        }
    };
    same_files(&ministry, &region);
    let questions: Vec<String> = vec![
        format!("chats/{}", chats[0].1),
        format!("verify?chat={}", chats[5].1),
        "verify?building=reformagkh:7".into(),
        "verify?building=reformagkh:300".into(),
        "buildings/reformagkh:7?as_of=2025-01-01".into(),
        format!("authorities/{AUTHORITY}"),
        format!("history?subject=chat:{}", chats[3].1),
        "coverage".into(),
        format!("changes?log={origin}&after=100&limit=50"),
    ];
    let ask = |node: &Node| questions.iter().map(|q| bare(node.api(q))).collect::<Vec<_>>();
    let told = ask(&region);
    assert_eq!(ask(&ministry), told);
    let fsck =
        ministry.run(&["fsck", ministry.data().join("mirrors").join(origin_hash(&origin)).to_str().unwrap()]).json();
    assert_eq!(fsck["state_root"], region.api("node")["state_root"]);
    ministry.post("/api/v1/submit", signer.organisation(1).1).problem(422, "submit.no_log");

    // The region goes down: the ministry goes on, and says so; also after a restart of its own.
    region.kill();
    let down = |ministry: &Node| {
        let m = until("the region is reported down", || {
            member(ministry, &origin).filter(|m| m["status"]["last_error"].is_string())
        });
        assert!(m["status"]["last_error"].as_str().unwrap().contains("peer.unreachable"), "{m}");
        assert!(m["status"]["held"].is_null() && m["freshness"]["stale"] == false, "{m}");
        assert!(m["status"]["last_success"].is_u64(), "{m}");
    };
    down(&ministry);
    assert_eq!(ask(&ministry), told);
    ministry.kill();
    ministry.start();
    down(&ministry);
    assert_eq!(ask(&ministry), told);

    // And it resumes from where it was.
    region.start();
    let more: Vec<Vec<u8>> = (401..=700).map(|n| signer.building(n).1).collect();
    region.accept(&more);
    synced(&ministry, &origin, size(&region));
    same_files(&ministry, &region);
    assert_eq!(ask(&ministry), ask(&region));
    let table = ministry.run(&["follow"]).json();
    assert_eq!(table["members"][0]["status"]["name"], "moscow");
}

/// One way to cheat: its name, the code it is held with, and what is served.
struct Cheat {
    name: &'static str,
    code: &'static str,
    forge: Forge,
    bad: Served,
    good: Served,
}

/// The number of the only building in the batch that must not become visible.
fn hidden(n: usize) -> u64 {
    1000 + n as u64
}

fn cheat(n: usize, name: &'static str, code: &'static str) -> Cheat {
    let mut forge = Forge::new(n);
    let signer = forge.operator.clone();
    let mut records: Vec<Vec<u8>> = (1..=300).map(|i| forge.building(&signer, n as u64 * 10_000 + i).1).collect();
    let handle = json!({ "kind": "house", "title": "Дом", "buildings": [format!("reformagkh:{}", n * 10_000 + 1)],
        "owner": AUTHORITY, "max": format!("max:-{}", n + 1) });
    records.push(signer.record("chat.registered", handle, Around { from: Some("2025-01-01"), ..Around::default() }).1);
    let younger = forge.clone();
    forge.batch(records.clone(), Lie::None);
    let base = forge.clone();
    let next = forge.building(&signer, hidden(n)).1;
    forge.batch(vec![next.clone()], Lie::None);
    let good = forge.served();
    let lying = |batch: Vec<Vec<u8>>, lie| {
        let mut liar = base.clone();
        liar.batch(batch, lie);
        liar.served()
    };
    let changed = |change| {
        let mut served = good.clone();
        served.changed = Some(change);
        served
    };
    let bad = match name {
        "bundle" => changed(Change::Bundle),
        "tile" => changed(Change::Tile),
        "signature" => changed(Change::Signature),
        "record" => {
            let mut envelope = Envelope::parse(&next, TYP_RECORD, 1 << 14).unwrap();
            envelope.signatures[0].1[40] ^= 1;
            lying(vec![next, envelope_of(&forge, n, envelope)], Lie::None)
        }
        "scope" => lying(vec![next, forge.building(&forge.narrow, hidden(n) + 5000).1], Lie::None),
        "stranger" => {
            let mut stranger = signer.clone();
            stranger.key = domovoi::storage::keys::generate();
            lying(vec![next, forge.building(&stranger, hidden(n) + 5000).1], Lie::None)
        }
        "root" => lying(vec![next], Lie::Root),
        "commit" => lying(vec![next], Lie::CommitKey),
        "rollback" => younger.served(),
        "fork" => {
            let mut other = younger.clone();
            let last = records.len() - 1;
            records[last] = forge.building(&signer, hidden(n)).1;
            other.batch(records, Lie::None);
            assert_eq!(other.size(), base.size());
            other.served()
        }
        "fork-ahead" => {
            let mut other = younger.clone();
            let last = records.len() - 1;
            records[last] = forge.building(&signer, hidden(n)).1;
            other.batch(records, Lie::None);
            other.batch(vec![forge.building(&signer, hidden(n) + 5000).1], Lie::None);
            other.served()
        }
        "honest" => good.clone(),
        _ => unreachable!(),
    };
    Cheat { name, code, forge: base, bad, good }
}

/// A second record, well made but for its signature.
fn envelope_of(forge: &Forge, n: usize, pattern: Envelope) -> Vec<u8> {
    let (_, bytes) = forge.building(&forge.operator, hidden(n) + 5000);
    let mut envelope = Envelope::parse(&bytes, TYP_RECORD, 1 << 14).unwrap();
    envelope.signatures[0].1 = pattern.signatures[0].1;
    envelope.to_bytes()
}

#[test]
fn every_kind_of_cheating_is_held_at_the_last_good_commit_with_evidence() {
    let cases = [
        ("bundle", "peer.root"),
        ("tile", "peer.tile"),
        ("signature", "note.signature"),
        ("record", "signature.invalid"),
        ("scope", "rule.key.scope"),
        ("stranger", "rule.key.unknown"),
        ("root", "commit.root"),
        ("commit", "commit.signature"),
        ("rollback", "peer.rollback"),
        ("fork", "peer.fork"),
        ("fork-ahead", "peer.fork"),
        ("honest", ""),
    ];
    let cheats: Vec<Cheat> = cases.iter().enumerate().map(|(n, (name, code))| cheat(n, name, code)).collect();
    let peers = Peers::start();
    let mut ministry = ministry();
    for c in &cheats {
        peers.set(c.name, c.forge.served());
        let pin = Charter::open(&c.forge.charter).unwrap().sha256().to_string();
        let url = format!("{}/{}", peers.url, c.name);
        ministry.run(&["follow", &url, "--name", c.name, "--charter-sha256", &pin]).json();
    }
    ministry.start();
    for c in &cheats {
        synced(&ministry, &c.forge.origin, c.forge.size());
    }
    let ask = |n: usize| bare(ministry.api(&format!("verify?max=max:-{}", n + 1)));
    let told: Vec<Value> = (0..cheats.len()).map(ask).collect();
    assert!(told.iter().all(|v| v["state"] == "official"), "{told:?}");

    cheats.iter().for_each(|c| peers.set(c.name, c.bad.clone()));
    let is_hidden = |n: usize| ministry.get(&format!("/api/v1/buildings/reformagkh:{}", hidden(n))).status == 404;
    for (n, c) in cheats.iter().enumerate() {
        if c.code.is_empty() {
            // The honest one among them is on time.
            synced(&ministry, &c.forge.origin, c.forge.size() + 2);
            assert!(!is_hidden(n));
            continue;
        }
        let held = until(&format!("«{}» is held", c.name), || {
            let status = member(&ministry, &c.forge.origin)?["status"].clone();
            assert!(is_hidden(n), "what «{}» added is visible", c.name);
            (!status["held"].is_null()).then_some(status)
        });
        assert_eq!(held["held"]["code"], c.code, "«{}»: {held}", c.name);
        assert_eq!(held["held"]["size"], c.forge.size(), "«{}»: {held}", c.name);
        // The evidence is kept as a file and served; it holds what the peer signed.
        let name = held["held"]["evidence"].as_str().unwrap();
        let file = Layout::new(&ministry.data()).mirror(&c.forge.origin).evidence().join(name);
        let served = ministry.api(&format!("federation/evidence?log={}&name={name}", c.forge.origin));
        assert_eq!(serde_json::from_slice::<Value>(&std::fs::read(file).unwrap()).unwrap(), served);
        assert_eq!(served["code"], c.code);
        let checkpoint = served["accepted_checkpoint"].as_str().unwrap();
        assert_eq!(checkpoint.as_bytes(), c.forge.served().checkpoint);
        // What can be shown by signatures alone is shown.
        let shown = match c.name {
            "fork" | "fork-ahead" => json!("split_view"),
            "record" | "scope" | "stranger" | "root" | "commit" => json!("entry"),
            _ => Value::Null,
        };
        assert_eq!(served["proof"]["kind"], shown, "«{}»", c.name);
        let chain = domovoi::federation::chain::CharterChain::pinned(&c.forge.charter).unwrap();
        let evidence = domovoi::federation::evidence::Evidence::decode(served.to_string().as_bytes()).unwrap();
        let proved = evidence.verify(&chain).unwrap_or_else(|e| panic!("«{}»: {e}", c.name));
        assert_eq!(proved.is_proof(), ["fork", "fork-ahead", "record", "commit"].contains(&c.name), "{proved:?}");
        if c.name != "signature" {
            assert_eq!(served["served_checkpoint"].as_str().unwrap().as_bytes(), c.bad.checkpoint, "«{}»", c.name);
        }
    }
    for (n, c) in cheats.iter().enumerate().filter(|(_, c)| !c.code.is_empty()) {
        assert_eq!(ask(n), told[n], "«{}» changed an answer", c.name);
        assert!(is_hidden(n), "«{}»", c.name);
    }

    // After a restart they are still held; nothing bad was made durable.
    ministry.kill();
    ministry.start();
    for (n, c) in cheats.iter().enumerate().filter(|(_, c)| !c.code.is_empty()) {
        until("the mirrors are loaded", || member(&ministry, &c.forge.origin));
        let m = member(&ministry, &c.forge.origin).unwrap();
        assert_eq!(m["status"]["held"]["code"], c.code, "«{}»: {m}", c.name);
        assert_eq!(m["freshness"]["size"], c.forge.size(), "«{}»: {m}", c.name);
        assert_eq!(bare(ministry.api(&format!("verify?max=max:-{}", n + 1))), told[n], "«{}»", c.name);
    }

    // Honest again: the hold is lifted, what was hidden is there. Not so after a fork: who signed two trees once is not
    // believed again by itself.
    cheats.iter().for_each(|c| peers.set(c.name, c.good.clone()));
    for (n, c) in cheats.iter().enumerate().filter(|(_, c)| !c.name.starts_with("fork")) {
        synced(&ministry, &c.forge.origin, c.forge.size() + 2);
        let status = ministry.get(&format!("/api/v1/buildings/reformagkh:{}", hidden(n))).status;
        assert_eq!(status, 200, "«{}»", c.name);
    }
    for fork in cheats.iter().filter(|c| c.name.starts_with("fork")) {
        let m = member(&ministry, &fork.forge.origin).unwrap();
        assert_eq!(
            (&m["status"]["held"]["code"], &m["freshness"]["size"]),
            (&json!("peer.fork"), &json!(fork.forge.size()))
        );
    }
}
