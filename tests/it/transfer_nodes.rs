//! A transfer over real nodes: two regions of one federation, each with its own node, and ministries that follow them.

use domovoi::federation::chain::CharterChain;
use domovoi::federation::charter::{Charter, CharterBody, ExceptedEntry};
use domovoi::registry::body::{KeyBytes, List};
use domovoi::registry::ids::{ChatNumber, RecordId};
use domovoi::registry::signature::PublicKey;
use domovoi::tlog::leaf_hash;
use serde_json::{Value, json};

use super::follow::{member, ministry, synced, until};
use super::forge::{Forge, Lie, Peers};
use super::node::{AUTHORITY, Around, Node, Signer};
use super::regions::{federation_keys, sign_charter, text};

pub const OBLAST: &str = "ogrn:1025004249203";

/// Two regions under one charter, as a federation would have made it before their nodes first start.
pub fn federation() -> (Node, Node, CharterBody) {
    let nodes =
        [("77", AUTHORITY, "Мосжилинспекция"), ("50", OBLAST, "Госжилинспекция области")].map(|r| Node::init(Some(r)));
    let own = |n: &Node| Charter::open(&std::fs::read(n.data().join("charter.json")).unwrap()).unwrap();
    let mut body = own(&nodes[0]).charter().clone();
    body.name = text("Федерация");
    body.root_keys = List(federation_keys().iter().map(|k| KeyBytes(PublicKey::of(k))).collect());
    body.threshold = 2;
    body.regions = List(nodes.iter().map(|n| own(n).regions()[0].clone()).collect());
    let charter = sign_charter(&body, &[0, 1]);
    let pin = Charter::open(&charter).unwrap().sha256().to_string();
    let [mut a, mut b] = nodes;
    for node in [&mut a, &mut b] {
        std::fs::write(node.data().join("charter.json"), &charter).unwrap();
        node.charter = Some(pin.clone());
        node.start();
    }
    (a, b, body)
}

pub fn building(signer: &Signer, n: u64, oktmo: &str) -> Vec<u8> {
    let fields = json!({ "building": format!("reformagkh:{n}"), "address": format!("ул. Пограничная, д. {n}"),
        "oktmo": oktmo, "kind": "apartment" });
    signer.record("building.registered", fields, Around::default()).1
}

pub fn chat(signer: &Signer, n: u64) -> (ChatNumber, Vec<u8>) {
    let fields = json!({ "kind": "house", "title": format!("Дом {n}"), "buildings": [format!("reformagkh:{n}")],
        "owner": AUTHORITY, "max": format!("max:-{n}") });
    let (id, bytes) =
        signer.record("chat.registered", fields, Around { from: Some("2025-02-01"), ..Around::default() });
    (ChatNumber::derive("77".parse().unwrap(), &id.0), bytes)
}

pub fn follow(ministry: &Node, region: &Node, name: &str) {
    let (ca, pin) = (region.certificate(), region.charter.clone().unwrap());
    let ca = ca.to_str().unwrap();
    ministry.run(&["follow", &region.url(), "--name", name, "--charter-sha256", &pin, "--peer-ca", ca]).json();
}

fn size(node: &Node) -> u64 {
    node.api("node")["freshness"]["size"].as_u64().unwrap()
}

/// The first of the outcomes of a command that submits one record.
pub fn accepted(ran: super::node::Ran) -> String {
    let v = ran.json();
    assert_eq!(v[0]["outcome"], "accepted", "{v}");
    v[0]["id"].as_str().unwrap().to_owned()
}

pub fn today(shift: i64) -> String {
    let day = jiff::Zoned::now().with_time_zone(jiff::tz::TimeZone::UTC).date();
    day.checked_add(jiff::Span::new().days(shift)).unwrap().to_string()
}

/// State, owner and claims, as somebody who asks for the chat is told.
pub fn told(node: &Node, chat: &str) -> (String, String, Vec<String>) {
    let v = node.api(&format!("verify?chat={chat}"));
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let claims = v["chats"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| format!("{} {}", text(&c["freshness"]["log"]), text(&c["claim"])));
    (text(&v["state"]), text(&v["chats"][0]["owner"]), claims.collect())
}

#[test]
fn a_chat_moves_between_two_nodes_and_a_ministry_names_one_owner_all_the_way() {
    let (a, b, _) = federation();
    let (of_a, of_b) = (a.signer("operator"), b.signer("operator"));
    a.accept(&(1..=3).map(|n| building(&of_a, n, "45000000")).collect::<Vec<_>>());
    b.accept(&(1..=3).map(|n| building(&of_b, n, "46000000")).collect::<Vec<_>>());
    let chats: Vec<(ChatNumber, Vec<u8>)> = (1..=3).map(|n| chat(&of_a, n)).collect();
    a.accept(&chats.iter().map(|c| c.1.clone()).collect::<Vec<_>>());
    let numbers: Vec<String> = chats.iter().map(|c| c.0.to_string()).collect();
    let moved = numbers[0].as_str();

    let mut ministry = ministry();
    follow(&ministry, &a, "moscow");
    follow(&ministry, &b, "oblast");
    ministry.start();
    let both = |m: &Node| {
        synced(m, &of_a.origin, size(&a));
        synced(m, &of_b.origin, size(&b));
    };
    both(&ministry);
    let (log_a, log_b) = (&of_a.origin, &of_b.origin);
    assert_eq!(told(&ministry, moved), ("official".into(), AUTHORITY.into(), vec![format!("{log_a} holds")]));

    // Offered: still the old owner's, and locked.
    let until_day = today(10);
    let offer = |chat: &str| {
        accepted(a.run(&["transfer", "offer", chat, "--to", OBLAST, "--log", log_b, "--accept-before", &until_day]))
    };
    let offered = offer(moved);
    let amend = a.run(&["record", "chat.amended", &format!("chat={moved}"), "title=Другой"]);
    assert!(!amend.ok && amend.out.contains("rule.transfer.locked"), "{}", amend.out);
    both(&ministry);
    let v = ministry.api(&format!("chats/{moved}"));
    assert_eq!((&v["owner"], &v["offered"]["to"]), (&json!(AUTHORITY), &json!(OBLAST)));
    assert_eq!(told(&ministry, moved).0, "official");

    // Accepted: the new owner's, before anybody has released anything.
    let (ca_a, ca_b) = (a.certificate(), b.certificate());
    let (ca_a, ca_b) = (ca_a.to_str().unwrap(), ca_b.to_str().unwrap());
    let day = today(0);
    let accept = ["transfer", "accept", &offered, "--from", &a.url(), "--peer-ca", ca_a, "--effective-from", &day];
    accepted(b.run(&accept));
    both(&ministry);
    let now_b =
        ("transferred".to_owned(), OBLAST.to_owned(), vec![format!("{log_b} holds"), format!("{log_a} passed")]);
    assert_eq!(told(&ministry, moved), now_b);
    assert_eq!(ministry.api("verify?max=max:-1")["chats"][0]["owner"], OBLAST);
    assert_eq!(ministry.api(&format!("chats/{moved}"))["owner"], OBLAST);
    // As of the day before, the old owner is who owned it.
    let before = ministry.api(&format!("chats/{moved}?as_of={}", today(-1)));
    assert_eq!(before["owner"], AUTHORITY);

    // A ministry that reads the receiving region first, or only, is told the same: the acceptance carries the proof.
    let mut other = super::follow::ministry();
    follow(&other, &b, "oblast");
    other.start();
    synced(&other, log_b, size(&b));
    assert_eq!(told(&other, moved), ("transferred".into(), OBLAST.into(), vec![format!("{log_b} holds")]));
    other.kill();
    follow(&other, &a, "moscow");
    other.start();
    synced(&other, log_a, size(&a));
    assert_eq!(told(&other, moved), now_b);

    // Released: the leaving log says where it went; a second time there is nothing to release.
    let release = ["transfer", "release", moved, "--from", &b.url(), "--peer-ca", ca_b, "--effective-from", &day];
    accepted(a.run(&release));
    assert_eq!(a.run(&release).code(), "transfer.unknown");
    let at_a = told(&a, moved);
    assert_eq!((at_a.0.as_str(), at_a.1.as_str()), ("transferred", OBLAST));
    both(&ministry);
    assert_eq!(told(&ministry, moved), now_b);

    // Declined: the chat stays, and is free again.
    let second = offer(&numbers[1]);
    accepted(b.run(&["transfer", "decline", &second, "--from", &a.url(), "--peer-ca", ca_a]));
    let late = b.run(&["transfer", "accept", &second, "--from", &a.url(), "--peer-ca", ca_a, "--effective-from", &day]);
    assert!(!late.ok && late.out.contains("rule.transfer.settled"), "{}{}", late.out, late.err);
    accepted(a.run(&[
        "transfer",
        "release",
        &numbers[1],
        "--from",
        &b.url(),
        "--peer-ca",
        ca_b,
        "--effective-from",
        &day,
    ]));
    accepted(a.run(&["record", "chat.amended", &format!("chat={}", numbers[1]), "title=Дом 2а"]));
    both(&ministry);
    assert_eq!(told(&ministry, &numbers[1]).1, AUTHORITY);

    // Not answered: before the deadline there is no way back.
    offer(&numbers[2]);
    let early =
        a.run(&["transfer", "release", &numbers[2], "--from", &b.url(), "--peer-ca", ca_b, "--effective-from", &day]);
    assert!(!early.ok && early.out.contains("rule.transfer.early"), "{}{}", early.out, early.err);

    // Everything replays from nothing, at home and in the mirror.
    for node in [&a, &b] {
        let fsck = node.run(&["fsck"]).json();
        assert_eq!(fsck["state_root"], node.api("node")["state_root"]);
    }
    let before = ministry.api("federation");
    ministry.kill();
    let root = ministry.run(&["reindex", "--log", log_b]).json()["state_root"].clone();
    assert_eq!(root, b.api("node")["state_root"]);
    ministry.start();
    until("the mirrors are loaded", || member(&ministry, log_a).and(member(&ministry, log_b)));
    assert_eq!(before["members"].as_array().unwrap().len(), 2);
    assert_eq!(told(&ministry, moved), now_b);
}

#[test]
fn a_node_and_its_followers_walk_the_charter_chain() {
    let (mut a, b, first) = federation();
    let signer = a.signer("operator");
    a.accept(&[building(&signer, 1, "45000000")]);
    let mut ministry = ministry();
    follow(&ministry, &a, "moscow");
    ministry.start();
    synced(&ministry, &signer.origin, size(&a));

    // The next version gives the region a second prefix. It lies in the data directory, and is adopted at the next start.
    let mut chain = CharterChain::pinned(&sign_charter(&first, &[0, 1])).unwrap();
    let mut second = first.clone();
    (second.version, second.previous) = (2, Some(chain.latest().sha256()));
    let moscow = second.regions.0.iter_mut().find(|r| r.origin.as_str() == signer.origin).unwrap();
    moscow.oktmo.0.push("47".parse().unwrap());
    let bytes = sign_charter(&second, &[1, 2]);
    assert!(chain.advance(&bytes).unwrap());
    a.stop();
    std::fs::create_dir_all(a.data().join("charters")).unwrap();
    std::fs::write(a.data().join("charters/2.json"), &bytes).unwrap();
    a.start();
    assert_eq!(a.get("/api/v1/federation/charters/2").body, bytes);
    a.get("/api/v1/federation/charters/3").problem(404, "charter.not-found");
    assert_eq!(a.api("node")["charter_sha256"], chain.latest().sha256().to_string());
    synced(&ministry, &signer.origin, size(&a));
    let mirror = domovoi::node::layout::Layout::new(&ministry.data()).mirror(&signer.origin);
    assert_eq!(std::fs::read(mirror.charters().join("2.json")).unwrap(), bytes);

    // What only the second version allows is taken, followed, and replayed from nothing by everybody.
    let root = a.signer("region-root");
    let key = domovoi::storage::keys::generate();
    let public = data_encoding::BASE64URL_NOPAD.encode(key.verifying_key().as_bytes());
    let enrolled = a.api(&format!("subjects/last?subject=authority:{AUTHORITY}"))["last_record"].clone();
    let wider = json!({ "authority": AUTHORITY, "name": "Инспекция", "oktmo": ["45", "47"] });
    let around = Around { prev: Some(enrolled.as_str().unwrap().parse().unwrap()), ..Around::default() };
    a.accept(&[root.record("authority.amended", wider, around).1]);
    let granted = json!({ "key": public, "authority": AUTHORITY, "scopes": ["*"], "oktmo": ["47"],
        "not_before": 0, "not_after": domovoi::node::now_ms() + 3_600_000 });
    a.accept(&[root.record("key.granted", granted, Around::default()).1]);
    let there = Signer { key, origin: signer.origin.clone() };
    a.accept(&[building(&there, 2, "47000000")]);
    synced(&ministry, &signer.origin, size(&a));
    assert_eq!(a.run(&["fsck"]).json()["state_root"], a.api("node")["state_root"]);
    ministry.kill();
    let reindexed = ministry.run(&["reindex", "--log", &signer.origin]).json();
    assert_eq!(reindexed["state_root"], a.api("node")["state_root"]);
    a.stop();
    assert_eq!(a.run(&["reindex"]).json()["same_as_before"], true);

    // A file that does not verify, or another charter of that version, stops the node: it does not go on under the old one.
    let mut forged = second.clone();
    forged.staleness_hours += 1;
    for (bytes, code) in [
        (Charter::sign(&forged, &[&federation_keys()[0]]).unwrap(), "charter.threshold"),
        (sign_charter(&first, &[0, 1]), "charter.sequence"),
    ] {
        std::fs::write(a.data().join("charters/2.json"), bytes).unwrap();
        assert!(a.start_or_say().is_err());
        assert!(a.log().contains(code), "{code}: {}", a.log());
    }
    // A backup takes the chain with it.
    std::fs::write(a.data().join("charters/2.json"), &bytes).unwrap();
    let copy = a.dir.path().join("copy");
    a.run(&["backup", copy.to_str().unwrap()]).json();
    assert_eq!(std::fs::read(copy.join("charters/2.json")).unwrap(), bytes);
    drop(b);
}

#[test]
fn one_bad_entry_holds_a_followed_log_until_a_charter_excepts_it() {
    let mut forge = Forge::new(20);
    let signer = forge.operator.clone();
    forge.batch(vec![forge.building(&signer, 20_001).1], Lie::None);
    let good = forge.size();
    let peers = Peers::start();
    peers.set("region", forge.served());
    let mut ministry = ministry();
    let pin = Charter::open(&forge.charter).unwrap().sha256().to_string();
    ministry.run(&["follow", &format!("{}/region", peers.url), "--name", "region", "--charter-sha256", &pin]).json();
    ministry.start();
    synced(&ministry, &forge.origin, good);

    // Signed by a key of another scope; the log goes on after it.
    let bad = forge.building(&forge.narrow, 20_002).1;
    forge.batch(vec![bad.clone()], Lie::None);
    forge.batch(vec![forge.building(&signer, 20_003).1], Lie::None);
    peers.set("region", forge.served());
    let held = until("the log is held", || {
        let m = member(&ministry, &forge.origin)?;
        (!m["status"]["held"].is_null()).then_some(m)
    });
    assert_eq!((&held["status"]["held"]["code"], &held["freshness"]["size"]), (&json!("rule.key.scope"), &json!(good)));
    // Whoever is answered from it is told.
    let told = ministry.api("buildings/reformagkh:20001");
    assert_eq!(told["freshness"]["held"], "rule.key.scope");
    assert_eq!(ministry.get("/api/v1/buildings/reformagkh:20003").status, 404);

    // An exception of the wrong entry helps nobody; the right one lets the log go on without the bad record.
    let chain = CharterChain::pinned(&forge.charter).unwrap();
    let charter = |leaf: RecordId| {
        let mut body = chain.latest().charter().clone();
        (body.version, body.previous) = (2, Some(chain.latest().sha256()));
        body.exceptions = Some(List(vec![ExceptedEntry { origin: text(&forge.origin), index: good, leaf }]));
        forge.sign_charter(&body)
    };
    peers.set_charter("region", 2, charter(RecordId(leaf_hash(&bad).0)));
    synced(&ministry, &forge.origin, forge.size());
    assert_eq!(ministry.get("/api/v1/buildings/reformagkh:20002").status, 404);
    assert_eq!(ministry.get("/api/v1/buildings/reformagkh:20003").status, 200);
    let told = ministry.api("buildings/reformagkh:20001");
    assert!(told["freshness"]["held"].is_null());
    let roots = |m: &Node| m.run(&["reindex", "--log", &forge.origin]).json()["state_root"].clone();
    ministry.kill();
    let root = roots(&ministry);
    assert_eq!(root, roots(&ministry));
    ministry.start();
    until("the mirror is loaded", || member(&ministry, &forge.origin));
    assert_eq!(ministry.get("/api/v1/buildings/reformagkh:20002").status, 404);
    assert_eq!(ministry.get("/api/v1/buildings/reformagkh:20003").status, 200);
}

/// What one region claims of another's chat without a chain that the other's log confirms: the chat stays with whom it was,
/// the claim is shown.
#[test]
fn a_claim_without_a_valid_chain_downgrades_nothing_and_is_shown_as_disputed() {
    use super::forge::Served;
    use super::regions::{MOSCOW, OBLAST, TVER, first_charter};
    use super::transfer::Border;
    let mut honest = Border::new();
    let mut other = Border { leaving: honest.leaving.clone(), receiving: honest.receiving.clone(), chat: honest.chat };
    // The leaving node signs two logs: in one the chat is offered, and accepted on that; the other it serves.
    let offer = other.offer();
    other.accept(&offer).unwrap();
    for n in 20..23 {
        honest.leaving.build(n, vec![]);
    }
    // The receiving region also registers, later, a chat of its own with another chat's id.
    honest.leaving.build(2, vec![]);
    let incumbent = honest.leaving.chat(&[2], 9);
    other.receiving.time = honest.leaving.time + 1_000_000;
    other.receiving.build(3, vec![]);
    let copycat = other.receiving.chat(&[3], 9);

    let charter = first_charter(&[MOSCOW, OBLAST, TVER], |_| {});
    let pin = Charter::open(&charter).unwrap().sha256().to_string();
    let (peers, mut ministry) = (Peers::start(), ministry());
    for (name, region) in [("leaving", &honest.leaving), ("receiving", &other.receiving)] {
        peers.set(name, Served::of(charter.clone(), region.checkpoint(), region.log.clone()));
        let url = format!("{}/{name}", peers.url);
        ministry.run(&["follow", &url, "--name", name, "--charter-sha256", &pin]).json();
    }
    ministry.start();
    synced(&ministry, &honest.leaving.origin(), honest.leaving.state.size());
    synced(&ministry, &other.receiving.origin(), other.receiving.state.size());
    let (a, b) = (honest.leaving.origin(), other.receiving.origin());
    // These logs are of another time: an answer is fresh from the end of the first round on.
    for log in [&a, &b] {
        until("a whole round", || member(&ministry, log).filter(|m| m["status"]["last_success"].is_u64()));
    }
    let owner = MOSCOW.authority(0).to_string();
    let both = vec![format!("{a} holds"), format!("{b} disputed")];
    assert_eq!(told(&ministry, &honest.chat.to_string()), ("official".into(), owner.clone(), both.clone()));
    assert_eq!(ministry.api(&format!("chats/{}", honest.chat))["owner"], owner);
    let v = ministry.api("verify?max=max:-9");
    assert_eq!((&v["state"], &v["chats"][0]["chat"]), (&json!("official"), &json!(incumbent)), "{v}");
    assert_eq!((&v["chats"][1]["chat"], &v["chats"][1]["claim"]), (&json!(copycat), &json!("disputed")));
    // Who asks for the claim by its own number is told, and shown what it disputes.
    let asked = told(&ministry, &copycat.to_string());
    assert_eq!((asked.0, asked.2), ("disputed".into(), vec![format!("{b} disputed"), format!("{a} holds")]));
    // Without the fork in sight, the same acceptance is good.
    let mut fresh = super::follow::ministry();
    let url = format!("{}/receiving", peers.url);
    fresh.run(&["follow", &url, "--name", "receiving", "--charter-sha256", &pin]).json();
    fresh.start();
    synced(&fresh, &b, other.receiving.state.size());
    assert_eq!(told(&fresh, &honest.chat.to_string()).2, vec![format!("{b} holds")]);
}
