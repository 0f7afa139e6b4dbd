//! A region, its node or a node that speaks about it shows something else than it should: to one follower, to two, or later.
//! `tests/it/follow.rs` has eleven more ways.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use domovoi::federation::chain::CharterChain;
use domovoi::federation::charter::Charter;
use domovoi::federation::evidence::{Evidence, FORK, FORMAT, Finding};
use domovoi::node::clock::Clock;
use domovoi::node::layout::{Layout, origin_hash};
use domovoi::storage::evidence_store::{MAX_FILES, MAX_PER_CODE, keep, list};
use serde_json::{Value, json};

use crate::answers::Ministry;
use crate::follow::{member, ministry, synced, until};
use crate::forge::{Change, Forge, Lie, Peers};
use crate::node::{Node, run_in};
use crate::restore::signed_by_region;
use crate::rules::generate::Run;

/// The node follows what the peers serve under `name`.
fn follow(node: &Node, peers: &Peers, name: &str, forge: &Forge) {
    let pin = Charter::open(&forge.charter).unwrap().sha256().to_string();
    let url = format!("{}/{name}", peers.url);
    node.run(&["follow", &url, "--name", name, "--charter-sha256", &pin]).json();
}

/// The node follows another real one, over TLS.
fn follow_node(node: &Node, other: &Node, name: &str) {
    let (ca, pin) = (other.certificate(), other.charter.clone().unwrap());
    let args = ["follow", &other.url(), "--name", name, "--charter-sha256", &pin, "--peer-ca", ca.to_str().unwrap()];
    node.run(&args).json();
}

/// A region of its own, which follows others every second.
fn region(code: &str, name: &str) -> Node {
    let mut node = Node::init(Some((code, crate::node::AUTHORITY, name)));
    node.args = vec!["--set".into(), "sync.interval_seconds=1".into()];
    node.start();
    node
}

/// `n` buildings of the forge in one batch, numbered from `from`.
fn grown(forge: &Forge, from: u64, n: u64) -> Forge {
    let mut grown = forge.clone();
    let signer = forge.operator.clone();
    grown.batch((from..from + n).map(|i| forge.building(&signer, i).1).collect(), Lie::None);
    grown
}

fn held(node: &Node, origin: &str) -> Option<Value> {
    member(node, origin)?["status"]["held"].as_object().map(|h| Value::Object(h.clone()))
}

fn size(node: &Node, origin: &str) -> u64 {
    member(node, origin).map_or(0, |m| m["freshness"]["size"].as_u64().unwrap())
}

/// The evidence a node holds a log with, saved to a file.
fn exported(node: &Node, origin: &str, charter: &[u8]) -> (String, String) {
    let name = held(node, origin).unwrap()["evidence"].as_str().unwrap().to_owned();
    let file = node.dir.path().join("evidence.json").to_str().unwrap().to_owned();
    node.run(&["evidence", "export", origin, &name, &file]).json();
    let pinned = node.dir.path().join("pinned.json").to_str().unwrap().to_owned();
    std::fs::write(&pinned, charter).unwrap();
    (file, pinned)
}

#[test]
fn a_region_that_shows_two_faces_is_found_by_nodes_that_compare_and_proved_to_anybody() {
    let peers = Peers::start();
    // Two logs that lie: one shows two trees of one size, the other two trees of different sizes.
    let bases: Vec<Forge> = [2, 3].iter().map(|n| grown(&Forge::new(*n), *n as u64 * 10_000, 300)).collect();
    let one: Vec<Forge> = bases.iter().map(|b| grown(b, 500, 1)).collect();
    let other = [grown(&bases[0], 600, 1), grown(&grown(&bases[1], 600, 1), 700, 20)];
    for (n, base) in bases.iter().enumerate() {
        for face in ["one", "other"] {
            peers.set(&format!("{face}-{n}"), base.served());
        }
    }
    let (mut a, mut b) = (region("77", "Мосжилинспекция"), region("69", "ГЖИ Тверской области"));
    follow_node(&a, &b, "tver");
    follow_node(&b, &a, "moscow");
    for (n, base) in bases.iter().enumerate() {
        follow(&a, &peers, &format!("one-{n}"), base);
        follow(&b, &peers, &format!("other-{n}"), base);
    }
    for node in [&mut a, &mut b] {
        node.kill();
        node.start();
    }
    for base in &bases {
        synced(&a, &base.origin, base.size());
        synced(&b, &base.origin, base.size());
    }
    // Neither node can see by itself that anything is wrong.
    for n in 0..2 {
        peers.set(&format!("one-{n}"), one[n].served());
        peers.set(&format!("other-{n}"), other[n].served());
    }
    for (n, base) in bases.iter().enumerate() {
        for (node, face) in [(&a, &one[n]), (&b, &other[n])] {
            let held = until("both nodes hold the log", || held(node, &base.origin));
            assert_eq!(held["code"], FORK, "{held}");
            // What was accepted before stays readable.
            assert!(size(node, &base.origin) >= base.size());
            let house = format!("/api/v1/buildings/reformagkh:{}", (n as u64 + 2) * 10_000 + 1);
            assert_eq!(node.get(&house).status, 200);
            let (file, charter) = exported(node, &base.origin, &face.charter);
            // Offline, by the charter alone; in words, and by the exit code.
            let empty = node.dir.path().join("nowhere");
            let said = run_in(&empty, &["--json", "evidence", "verify", &file, "--charter", &charter]).json();
            assert_eq!((&said["proved"], &said["result"]["finding"]), (&json!(true), &json!("split_view")), "{said}");
            let words = run_in(&empty, &["evidence", "verify", &file, "--charter", &charter]);
            assert!(words.ok && words.out.contains("Доказано") && words.out.contains(&base.origin), "{}", words.out);
            // Against another federation's charter it says nothing.
            let strange = a.data().join("charter.json").to_str().unwrap().to_owned();
            let refused = run_in(&empty, &["--json", "evidence", "verify", &file, "--charter", &strange]);
            assert_eq!(refused.code(), "evidence.origin");
        }
    }
    // A node that sees one face only is told by the evidence of another, which it verifies itself.
    let mut c = ministry();
    peers.set("third", one[0].served());
    follow(&c, &peers, "third", &bases[0]);
    follow_node(&c, &a, "moscow");
    c.start();
    let told = until("the third node is told", || held(&c, &bases[0].origin));
    assert_eq!(told["code"], FORK, "{told}");

    // Nothing new is accepted, also after a restart, and people are told.
    let before = size(&a, &bases[0].origin);
    peers.set("one-0", grown(&one[0], 800, 3).served());
    a.kill();
    a.start();
    until("the mirror is loaded", || member(&a, &bases[0].origin));
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!((size(&a, &bases[0].origin), &held(&a, &bases[0].origin).unwrap()["code"]), (before, &json!(FORK)));
    let page = String::from_utf8(a.get("/status").body).unwrap();
    assert!(page.contains("Остановлен") && page.contains("peer.fork-") && page.contains("ключ"), "{page}");
    assert!(String::from_utf8(a.get("/status?lang=en").body).unwrap().contains("Held."));
    let metrics = String::from_utf8(a.get("/metrics").body).unwrap();
    assert!(metrics.contains("follow_held{peer=\"one-0\"} 1"), "{metrics}");
    let listed = a.run(&["evidence", "list"]).json();
    assert_eq!(listed["evidence"].as_array().unwrap().iter().filter(|e| e["code"] == FORK).count(), 2, "{listed}");
    // The honest logs among them are on time.
    assert!(held(&a, b.signer("operator").origin.as_str()).is_none());
}

#[test]
fn a_node_that_is_kept_back_at_an_old_head_notices_by_what_others_know() {
    let peers = Peers::start();
    let base = grown(&Forge::new(4), 1, 10);
    let newer = grown(&base, 100, 5);
    peers.set("old", base.served());
    peers.set("new", base.served());
    let mut a = region("77", "Мосжилинспекция");
    let mut b = region("69", "ГЖИ Тверской области");
    follow(&a, &peers, "old", &base);
    follow(&b, &peers, "new", &base);
    follow_node(&a, &b, "tver");
    for node in [&mut a, &mut b] {
        node.kill();
        node.start();
        synced(node, &base.origin, base.size());
    }
    assert_eq!(member(&a, &base.origin).unwrap()["standing"], "fine");
    peers.set("new", newer.served());
    let frozen = until("the freeze is noticed", || member(&a, &base.origin).filter(|m| m["standing"] == "frozen"));
    // Kept back is not caught lying: nothing is held, and the answers say how far they go.
    assert!(frozen["status"]["held"].is_null(), "{frozen}");
    assert_eq!(frozen["status"]["newer"]["size"], newer.size());
    assert_eq!(frozen["status"]["newer"]["url"], format!("{}/", b.url()));
    assert!(String::from_utf8(a.get("/status").body).unwrap().contains("Узел отстаёт"));
    peers.set("old", newer.served());
    until("it is fine again", || member(&a, &base.origin).filter(|m| m["standing"] == "fine"));
    assert_eq!(size(&a, &base.origin), newer.size());
}

#[test]
fn a_gap_a_missing_tile_and_a_partial_bundle_for_a_full_one_bring_nothing_in() {
    let peers = Peers::start();
    let mut node = ministry();
    let cases =
        [(Change::Gap, "peer.missing"), (Change::NoTiles, "peer.missing"), (Change::HalfBundle, "bundle.truncated")];
    let forges: Vec<(Forge, Forge, Change, &str)> = cases
        .iter()
        .enumerate()
        .map(|(n, (change, code))| {
            let base = grown(&Forge::new(5 + n), 1, 10);
            (base.clone(), grown(&base, 1000, 600), *change, *code)
        })
        .collect();
    for (n, (base, ..)) in forges.iter().enumerate() {
        peers.set(&format!("case-{n}"), base.served());
        follow(&node, &peers, &format!("case-{n}"), base);
    }
    node.start();
    for (base, ..) in &forges {
        synced(&node, &base.origin, base.size());
    }
    for (n, (_, next, change, _)) in forges.iter().enumerate() {
        let mut served = next.served();
        served.changed = Some(*change);
        peers.set(&format!("case-{n}"), served);
    }
    for (base, _, change, code) in &forges {
        let held = until("it is held", || held(&node, &base.origin));
        assert_eq!((held["code"].as_str().unwrap(), size(&node, &base.origin)), (*code, base.size()), "{change:?}");
    }
    for (n, (base, next, ..)) in forges.iter().enumerate() {
        peers.set(&format!("case-{n}"), next.served());
        synced(&node, &base.origin, next.size());
    }
}

#[test]
fn a_head_of_a_size_no_log_has_is_refused_and_locks_nobody_out_for_ever() {
    let peers = Peers::start();
    let base = grown(&Forge::new(8), 1, 10);
    peers.set("huge", base.served());
    let mut node = ministry();
    follow(&node, &peers, "huge", &base);
    node.start();
    synced(&node, &base.origin, base.size());
    for (n, size) in [
        "18446744073709551615",
        "18446744073709551616",
        "9223372036854775808",
        "9223372036854775807",
        "9223372036854775806",
    ]
    .iter()
    .enumerate()
    {
        let mut served = base.served();
        let root = data_encoding::BASE64.encode(&[n as u8; 32]);
        served.checkpoint = base.sign_text(&format!("{}\n{size}\n{root}\n", base.origin));
        peers.set("huge", served);
        let status = until("the head is refused", || {
            let status = member(&node, &base.origin)?["status"].clone();
            let said = status["last_error"].as_str()?;
            let named = said.contains("peer.too_far") || said.contains("checkpoint.size");
            named.then_some(status)
        });
        assert_eq!(self::size(&node, &base.origin), base.size(), "{status}");
        // Fast-forward, then recovery: the next honest head is taken as if nothing had been.
        peers.set("huge", grown(&base, 100 + n as u64, 1).served());
        if n == 4 {
            synced(&node, &base.origin, base.size() + 2);
        } else {
            peers.set("huge", base.served());
            until("it is fine again", || member(&node, &base.origin).filter(|m| m["standing"] == "fine"));
        }
    }
}

#[test]
fn commits_dated_in_the_future_make_no_answer_fresher() {
    let peers = Peers::start();
    let base = grown(&Forge::new(9), 1, 10);
    let mut fast = base.clone();
    // As far as the deadlines of records let it run.
    fast.set_time(domovoi::node::now_ms() + 50 * 60_000);
    let fast = grown(&fast, 100, 1);
    peers.set("fast", base.served());
    let mut node = ministry();
    follow(&node, &peers, "fast", &base);
    node.start();
    synced(&node, &base.origin, base.size());
    peers.set("fast", fast.served());
    synced(&node, &base.origin, fast.size());
    let m = member(&node, &base.origin).unwrap();
    let now = domovoi::node::now_ms();
    assert!(
        m["freshness"]["committed_at"].as_u64().unwrap() > now && m["freshness"]["seen_at"].as_u64().unwrap() <= now
    );
    assert!(String::from_utf8(node.get("/status").body).unwrap().contains("часы того узла спешат"));
    // With nothing but the region's own dates to go by, the age is unknown, not zero.
    node.kill();
    let status = Layout::new(&node.data()).mirror(&base.origin).data().join("status.json");
    std::fs::remove_file(status).unwrap();
    peers.set("fast", Forge::new(10).served());
    node.start();
    let m = until("the mirror is loaded", || member(&node, &base.origin));
    assert_eq!(m["freshness"]["stale"], true, "{m}");
}

#[test]
fn a_clock_that_goes_back_makes_no_answer_fresh_and_stops_nothing() {
    const DAY: u64 = 86_400_000;
    let world = Run::new().w;
    let now = Arc::new(AtomicU64::new(domovoi::node::now_ms()));
    let counted = Arc::new(AtomicU64::new(0));
    let (date, count) = (now.clone(), counted.clone());
    let clock =
        Clock::of(move || date.load(Ordering::SeqCst), move || Duration::from_millis(count.load(Ordering::SeqCst)));
    let pass = |ms: i64, of_the_date: i64| {
        counted.fetch_add(ms as u64, Ordering::SeqCst);
        now.store(now.load(Ordering::SeqCst).wrapping_add_signed(of_the_date), Ordering::SeqCst);
    };
    let ministry = Ministry::at(&[(&world, 0)], clock.clone());
    let followed = ministry.node.followed().remove(0);
    let freshness = || ministry.node.freshness(&followed.view);
    followed.status.write().round(&clock, 1, false, None);
    assert!(!freshness().stale);
    // Two days pass, and the date is set back by two: the answer is two days old all the same.
    pass(2 * DAY as i64, 0);
    assert!(freshness().stale && freshness().age_seconds >= 2 * 86_400);
    // The next round is believed by the new date, which is the earlier one.
    pass(0, -(DAY as i64));
    followed.status.write().round(&clock, 1, false, None);
    assert!(!freshness().stale);
    pass(2 * DAY as i64, 2 * DAY as i64);
    assert!(freshness().stale);
    // After a restart nothing was counted: a last success later than the date tells no age.
    followed.status.write().heard = None;
    followed.status.write().last_success = Some(now.load(Ordering::SeqCst) + 3_600_000);
    assert!(freshness().stale);
}

#[test]
fn the_log_goes_on_from_another_nodes_copy_while_its_own_node_is_down() {
    let (mut origin_node, mut keeper) = (region("77", "Мосжилинспекция"), region("69", "ГЖИ Тверской области"));
    let signer = origin_node.signer("operator");
    origin_node.accept(&(1..=300).map(|n| signer.building(n).1).collect::<Vec<_>>());
    follow_node(&keeper, &origin_node, "moscow");
    let mut reader = ministry();
    follow_node(&reader, &origin_node, "moscow");
    follow_node(&reader, &keeper, "tver");
    keeper.kill();
    keeper.start();
    reader.start();
    let size_of = |node: &Node| node.api("node")["freshness"]["size"].as_u64().unwrap();
    synced(&reader, &signer.origin, size_of(&origin_node));
    // The reader is away while the region says more, and the region is gone when it comes back.
    reader.kill();
    origin_node.accept(&(301..=900).map(|n| signer.building(n).1).collect::<Vec<_>>());
    let whole = size_of(&origin_node);
    synced(&keeper, &signer.origin, whole);
    origin_node.kill();
    reader.start();
    let m = until("the copy is read", || member(&reader, &signer.origin).filter(|m| m["freshness"]["size"] == whole));
    until("the reader says whose copy it is", || {
        let m = member(&reader, &signer.origin)?;
        (m["status"]["via"]["url"] == format!("{}/", keeper.url())).then_some(())
    });
    assert!(m["status"]["held"].is_null(), "{m}");
    assert_eq!(reader.get("/api/v1/buildings/reformagkh:900").status, 200);
    let page = String::from_utf8(reader.get("/status").body).unwrap();
    assert!(page.contains("Читается копия узла") && page.contains("Нет связи"), "{page}");
    // Anybody can check the copy whole where it lies.
    let ca = keeper.certificate();
    let checked = run_in(
        &keeper.dir.path().join("nowhere"),
        &[
            "--json",
            "--ca",
            ca.to_str().unwrap(),
            "fsck",
            &signer.origin,
            "--mirror",
            &keeper.url(),
            "--vkey",
            std::fs::read_to_string(origin_node.data().join("log.vkey")).unwrap().trim(),
        ],
    );
    assert_eq!(checked.json()["size"], whole, "{}", checked.err);
    // The region is there again: it is its own word that counts.
    origin_node.start();
    until("the region is heard", || member(&reader, &signer.origin).filter(|m| m["status"]["via"].is_null()));
}

#[test]
fn a_lying_copy_is_refused_and_harms_nothing() {
    let peers = Peers::start();
    let base = grown(&Forge::new(11), 1, 300);
    let next = grown(&base, 1000, 300);
    let foreign = grown(&Forge::new(12), 1, 700);
    let mut changed = next.served();
    changed.changed = Some(Change::Bundle);
    let mut tiles = foreign.served();
    tiles.checkpoint = next.served().checkpoint;
    // A changed byte, another log's tiles under this log's head, another log's head; an honest one comes last.
    let copies = [changed, tiles, foreign.served(), next.served()];
    let mut node = ministry();
    peers.set("region", base.served());
    follow(&node, &peers, "region", &base);
    let keepers: Vec<Forge> = (0..copies.len()).map(|n| grown(&Forge::new(2 + n), 1, 5)).collect();
    for (n, keeper) in keepers.iter().enumerate() {
        let name = format!("keeper-{n}");
        // The copies become known when the region is gone.
        peers.set(&name, keeper.served());
        follow(&node, &peers, &name, keeper);
    }
    node.start();
    synced(&node, &base.origin, base.size());
    for keeper in &keepers {
        synced(&node, &keeper.origin, keeper.size());
    }
    peers.remove("region");
    for (n, (keeper, copy)) in keepers.iter().zip(&copies).enumerate() {
        peers.set(&format!("keeper-{n}"), keeper.served().with_copy(&base.origin, copy));
    }
    // The liars are asked first; what they leave behind is no hindrance to the honest copy, nor to the region itself.
    let m = until("the honest copy is read", || {
        member(&node, &base.origin).filter(|m| m["freshness"]["size"] == next.size() && !m["status"]["via"].is_null())
    });
    assert_eq!(m["status"]["via"]["url"], format!("{}/keeper-3/", peers.url), "{m}");
    assert!(m["status"]["held"].is_null(), "{m}");
    let log = node.log();
    assert!(log.matches("a copy of a log is of no use").count() >= 3, "{log}");
    for code in ["peer.root", "note.unsigned"] {
        assert!(log.contains(code), "{code}: {log}");
    }
    for keeper in &keepers {
        assert!(held(&node, &keeper.origin).is_none(), "a bad copy is no fault of its keeper's own log");
    }
    let more = grown(&next, 2000, 1);
    peers.set("region", more.served());
    synced(&node, &base.origin, more.size());
}

#[test]
fn a_gossiper_can_speak_ill_of_nobody() {
    let peers = Peers::start();
    let base = grown(&Forge::new(14), 1, 10);
    let victim = grown(&base, 100, 2);
    let gossiper = grown(&Forge::new(15), 1, 2);
    peers.set("victim", victim.served());
    peers.set("gossiper", gossiper.served());
    let mut node = ministry();
    follow(&node, &peers, "victim", &victim);
    follow(&node, &peers, "gossiper", &gossiper);
    node.start();
    synced(&node, &victim.origin, victim.size());
    let text = |size: u64| format!("{}\n{size}\n{}\n", victim.origin, data_encoding::BASE64.encode(&[9; 32]));
    // Another key's signature; a good one over other words; an old head, which is honest; a head that nobody can follow up.
    let strange = String::from_utf8(gossiper.sign_text(&text(victim.size()))).unwrap();
    let good = String::from_utf8(victim.served().checkpoint).unwrap();
    let swapped = good.replacen(&format!("\n{}\n", victim.size()), &format!("\n{}\n", victim.size() + 2), 1);
    let old = String::from_utf8(base.served().checkpoint).unwrap();
    let head = |checkpoint: &str| json!({ "origin": victim.origin, "checkpoint": checkpoint, "own": false });
    let forged = evidence_of(&victim.origin, &good, &strange);
    let with_file = |file: Vec<u8>| {
        let mut served = gossiper.served();
        let mut told = head(&good);
        told["evidence"] = json!("peer.fork-0123456789abcdef.json");
        served = served.with_heads(&json!([told]));
        served.extra.insert("api/v1/federation/evidence".into(), file);
        served
    };
    // Evidence that is true of another log: two heads of the gossiper's own key.
    let two = [1u8, 2].map(|n| {
        let root = data_encoding::BASE64.encode(&[n; 32]);
        String::from_utf8(gossiper.sign_text(&format!("{}\n5\n{root}\n", gossiper.origin))).unwrap()
    });
    let other_log = evidence_of(&gossiper.origin, &two[0], &two[1]);
    let many: Vec<Value> = (0..10_000).map(|_| head(&good)).collect();
    let lies = [
        gossiper.served().with_heads(&json!([head(&strange), head(&swapped), head(&old), head("nonsense"), head("")])),
        gossiper.served().with_heads(&json!(many)),
        gossiper.served().with_heads(&json!([head(&"x".repeat(4 << 20))])),
        gossiper.served().with_heads(&json!("no list")),
        with_file(forged),
        with_file(other_log),
        with_file(vec![b'['; 1 << 20]),
        with_file(b"{}".to_vec()),
    ];
    for lie in lies {
        let asked = node.log().matches("could not be compared").count();
        peers.set("gossiper", lie);
        // Each lie is told for as long as it takes to be heard at least once.
        until("the lie is heard", || (node.log().matches("could not be compared").count() > asked).then_some(()))
    }
    let m = member(&node, &victim.origin).unwrap();
    assert!(m["status"]["held"].is_null() && m["standing"] == "fine", "{m}");
    assert!(list(&Layout::new(&node.data()).mirror(&victim.origin).evidence()).is_empty());
    let more = grown(&victim, 300, 1);
    peers.set("victim", more.served());
    synced(&node, &victim.origin, more.size());
    assert_eq!(member(&node, &gossiper.origin).unwrap()["status"]["held"], Value::Null);
}

/// Somebody has a region's log key, or runs a second copy of its node: what others were shown tells the region itself.
#[test]
fn a_head_that_a_node_did_not_sign_under_its_own_key_is_told_to_its_people() {
    let peers = Peers::start();
    let gossiper = grown(&Forge::new(16), 1, 2);
    let mut node = region("77", "Мосжилинспекция");
    let (origin, size) = (node.signer("operator").origin, node.api("node")["freshness"]["size"].as_u64().unwrap());
    node.stop();
    let forged = String::from_utf8(signed_by_region(&node, &origin, size, [7; 32])).unwrap();
    let head = json!({ "origin": origin, "checkpoint": forged, "own": false });
    peers.set("gossiper", gossiper.served().with_heads(&json!([head])));
    follow(&node, &peers, "gossiper", &gossiper);
    node.start();
    let kept = until("the second head is told", || {
        let all = node.api("federation/evidence/list")["evidence"].as_array()?.clone();
        all.into_iter().find_map(|e| e["name"].as_str().filter(|n| n.starts_with("own.fork-")).map(str::to_owned))
    });
    let file = node.get(&format!("/api/v1/federation/evidence?log={origin}&name={kept}")).body;
    let chain = CharterChain::pinned(&std::fs::read(node.data().join("charter.json")).unwrap()).unwrap();
    let finding = Evidence::decode(&file).unwrap().verify(&chain).unwrap();
    assert!(matches!(finding, Finding::SplitView { .. }), "{finding:?}");
    assert!(String::from_utf8(node.get("/status").body).unwrap().contains("Ключом этого узла подписывает кто-то ещё"));
    assert!(String::from_utf8(node.get("/metrics").body).unwrap().contains("alarm{alarm=\"doubled\"} 1"));
}

/// A file that claims that two checkpoints of one size are a split view.
fn evidence_of(origin: &str, accepted: &str, served: &str) -> Vec<u8> {
    let root = served.lines().nth(2).unwrap();
    let file = json!({ "format": FORMAT, "origin": origin, "code": FORK, "detail": "it lies", "seen_at": 1, "source": "nowhere",
        "accepted_checkpoint": accepted, "served_checkpoint": served,
        "proof": { "kind": "split_view", "root": root, "path": [] } });
    file.to_string().into_bytes()
}

#[test]
fn forged_evidence_proves_nothing_and_evidence_says_of_which_log_it_is() {
    let (victim, other) = (grown(&Forge::new(6), 1, 4), grown(&Forge::new(7), 1, 4));
    let text = |forge: &Forge, n: u8| {
        let root = data_encoding::BASE64.encode(&[n; 32]);
        String::from_utf8(forge.sign_text(&format!("{}\n5\n{root}\n", forge.origin))).unwrap()
    };
    let chain = |f: &Forge| domovoi::federation::chain::CharterChain::pinned(&f.charter).unwrap();
    let (mine, others) = (chain(&victim), chain(&other));
    let verify = |bytes: &[u8], chain| Evidence::decode(bytes).and_then(|e| e.verify(chain));
    let good = evidence_of(&victim.origin, &text(&victim, 1), &text(&victim, 2));
    assert!(matches!(verify(&good, &mine), Ok(Finding::SplitView { smaller: 5, larger: 5, .. })));
    assert_eq!(verify(&good, &others).unwrap_err().code(), "evidence.origin");
    // Its origin exchanged, or its heads signed by somebody else.
    let exchanged = evidence_of(&other.origin, &text(&victim, 1), &text(&victim, 2));
    assert_eq!(verify(&exchanged, &others).unwrap_err().code(), "evidence.unsigned");
    let foreign = evidence_of(&victim.origin, &text(&victim, 1), &text(&other, 2));
    assert_eq!(verify(&foreign, &mine).unwrap_err().code(), "evidence.unsigned");
    // One head is no contradiction.
    let same = evidence_of(&victim.origin, &text(&victim, 1), &text(&victim, 1));
    assert_eq!(verify(&same, &mine).unwrap_err().code(), "evidence.proof");
    // Any changed byte is noticed, or changes only what the node said in its own words.
    let mut refused = 0;
    for at in 0..good.len() {
        let mut changed = good.clone();
        changed[at] ^= 1;
        match verify(&changed, &mine) {
            Err(_) => refused += 1,
            Ok(finding) => assert!(matches!(finding, Finding::SplitView { smaller: 5, larger: 5, .. }), "byte {at}"),
        }
    }
    assert!(refused > good.len() / 2, "{refused} of {}", good.len());
}

#[test]
fn a_flood_of_evidence_fills_no_disk() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("evidence");
    let evidence = |code: &str, n: usize| Evidence {
        format: FORMAT.into(),
        origin: "flood.example/1".into(),
        code: code.into(),
        detail: "a lie".into(),
        seen_at: n as u64,
        source: "nowhere".into(),
        accepted_checkpoint: None,
        served_checkpoint: Some(format!("lie {n} of {code}")),
        proof: None,
    };
    let first = keep(&folder, &evidence("peer.root", 0)).unwrap();
    let bytes = std::fs::read(folder.join(&first)).unwrap();
    for n in 0..200 {
        keep(&folder, &evidence("peer.root", n)).unwrap();
    }
    assert_eq!(list(&folder).len(), MAX_PER_CODE);
    let refused = (0..100).filter(|n| keep(&folder, &evidence(&format!("rule.x{n}"), 0)).is_err()).count();
    assert!(refused > 0 && list(&folder).len() <= MAX_FILES, "{refused}");
    // A fork is kept even then, and what was kept first is what it was.
    let fork = keep(&folder, &evidence(FORK, 7)).unwrap();
    assert!(fork.starts_with("peer.fork-") && folder.join(&fork).exists());
    assert_eq!(std::fs::read(folder.join(&first)).unwrap(), bytes);
    assert!(list(&folder).iter().map(|k| k.bytes).sum::<u64>() < 1 << 20);
}

#[test]
fn a_copy_is_served_under_its_origins_hash_and_nothing_else_is() {
    let peers = Peers::start();
    let base = grown(&Forge::new(8), 1, 300);
    peers.set("one", base.served());
    let mut node = ministry();
    follow(&node, &peers, "one", &base);
    node.start();
    synced(&node, &base.origin, base.size());
    let hash = origin_hash(&base.origin);
    for path in
        ["checkpoint", "tile/0/000", "tile/entries/000", "tile/0/001.p/1", "tile/entries/001.p/7", "tile/1/000.p/1"]
    {
        assert_eq!(node.get(&format!("/mirror/{hash}/{path}")).status, 200, "{path}");
    }
    for path in [
        "tile/0/000.p/256",
        "tile/0/0",
        "tile/0/002",
        "tile/2/000",
        "tile/0/001.p/0",
        "../charter.json",
        "private/head",
        "status.json",
    ] {
        assert_eq!(node.get(&format!("/mirror/{hash}/{path}")).status, 404, "{path}");
    }
    assert_eq!(node.get(&format!("/mirror/{}/checkpoint", hash.to_uppercase())).status, 404);
    let heads = node.api("federation/heads");
    assert_eq!(heads["heads"][0]["origin"], base.origin.as_str(), "{heads}");
}
