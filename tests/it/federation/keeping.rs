//! What keeps the federation's log: kills in the middle of a step, backups, a changed charter, and the check of all of it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use domovoi::federation::charter::{Charter, RegionOfOne};
use domovoi::node::layout::Layout;
use domovoi::node::read_charter;
use domovoi::registry::ids::RecordId;
use domovoi::registry::node_record::{DecodedNodeRecord, NodeRecord};
use domovoi::registry::signature::PublicKey;
use domovoi::storage::keys;
use domovoi::storage::log_store::{LogReader, LogStore};
use domovoi::tlog::checkpoint::Checkpoint;
use domovoi::tlog::leaf_hash;
use domovoi::tlog::note::NoteSigner;
use domovoi::tlog::tree::Frontier;
use rand::RngExt;
use serde_json::{Value, json};

use super::{ORIGIN, chat, follow, found, head, link};
use crate::follow::{ministry, synced, until};
use crate::node::{AUTHORITY, Node, PASSPHRASE};
use crate::regions::{START, TVER, key, text};

/// A region with these many houses and no chat.
fn region(houses: u64) -> (Node, crate::node::Signer) {
    let region = Node::moscow();
    let signer = region.signer("operator");
    region.accept(&(1..=houses).map(|n| signer.building(n).1).collect::<Vec<_>>());
    (region, signer)
}

fn fsck(node: &Node) -> Value {
    node.run(&["fsck"]).json()
}

#[test]
fn kill_9_in_a_step_forks_nothing_and_the_bucket_of_every_head_can_be_had() {
    const ROUNDS: u64 = 8;
    let (region, signer) = region(ROUNDS);
    let mut node = ministry();
    follow(&node, &region, "moscow");
    let founded = found(&node, &[]);
    node.start();
    let mut seen = BTreeMap::<u64, String>::new();
    for round in 1..=ROUNDS {
        region.accept(&[chat(&signer, round).1]);
        let end = Instant::now() + Duration::from_millis(rand::rng().random_range(100..1800));
        while Instant::now() < end {
            if let Some((head, _)) = head(&node, &founded) {
                let bucket = node.get(&format!("/api/v1/verify/bucket/{}/-", head.size));
                assert_eq!(bucket.status, 200, "the head of size {} has no bucket", head.size);
                let checkpoint = String::from_utf8(head.checkpoint.as_bytes().to_vec()).unwrap();
                assert_eq!(seen.entry(head.size).or_insert_with(|| checkpoint.clone()), &checkpoint);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        node.kill();
        if round % 3 == 0 {
            // Also while it starts, when it rolls forward what the last kill left.
            node.spawn();
            std::thread::sleep(Duration::from_millis(rand::rng().random_range(0..400)));
            node.kill();
        }
        node.start();
    }
    let (last, _) = until("all chats are covered", || head(&node, &founded).filter(|(_, c)| c.count == ROUNDS));
    assert!(last.size >= *seen.keys().max().unwrap());
    node.stop();
    // Every checkpoint that was ever served is of one log.
    let reader = LogReader::open(&Layout::new(&node.data()).federation().log()).unwrap();
    let (mut tree, mut roots) = (Frontier::new(), BTreeMap::new());
    for index in 0..reader.size() {
        tree.extend([leaf_hash(&reader.entry(index).unwrap())]);
        roots.insert(index + 1, tree.root());
    }
    let log = founded.verified.federation().unwrap();
    for (size, checkpoint) in &seen {
        let signed = Checkpoint::open(checkpoint.as_bytes(), &log.log_key, ORIGIN).unwrap();
        assert_eq!((signed.checkpoint().size, signed.checkpoint().root), (*size, roots[size]), "size {size}");
    }
    let checked = fsck(&node);
    assert_eq!((&checked["size"], &checked["recomputed"]), (&json!(last.size), &json!(true)), "{checked}");
}

#[test]
fn a_changed_charter_brings_a_right_commit_and_is_walked_to() {
    let (region, signer) = region(1);
    region.accept(&[chat(&signer, 1).1]);
    let mut node = ministry();
    follow(&node, &region, "moscow");
    let tver = node.dir.path().join("tver.json");
    std::fs::write(&tver, TVER.own_charter()).unwrap();
    let founded = found(&node, &[tver.to_str().unwrap()]);
    node.start();
    let (before, commit) = until("a first commit", || head(&node, &founded).filter(|(_, c)| c.count == 1));
    assert_eq!(commit.missing.0.iter().map(ToString::to_string).collect::<Vec<_>>(), ["69"]);
    assert_eq!(node.run(&["federation", "amend", "--drop", "01"]).code(), "federation.region");
    let amended = node.run(&["federation", "amend", "--drop", "69", "--new-commit-key", "--new-log-key"]).json();
    assert_eq!((&amended["version"], &amended["regions"]), (&json!(2), &json!(["77"])));
    node.kill();
    node.start();
    let keys = read_charter(std::path::Path::new(amended["charter"].as_str().unwrap())).unwrap().federation().unwrap();
    let of_now = || {
        let bytes = node.get("/api/v1/verify/bucket").body;
        let head = domovoi::registry::bucket_file::FederationHead::decode(&bytes).ok()?;
        head.verify(&keys).ok().map(|commit| (head, commit))
    };
    let (after, commit) = until("a commit under the new charter", of_now);
    assert_eq!((after.size, commit.charter, commit.missing.0.len()), (before.size + 2, 2, 0));
    assert!(after.verify(&founded.verified.federation().unwrap()).is_err(), "the old keys sign nothing any more");
    // Whoever has the first version walks to the second.
    let charter = founded.charter.to_str().unwrap();
    let ask = |n: u64| node.run(&["verify", &link(n), "--private", "--charter", charter]).json()["state"].clone();
    assert_eq!((ask(1), ask(2)), (json!("official"), json!("not_registered")));
    node.stop();
    let checked = fsck(&node);
    assert_eq!((&checked["steps"], &checked["recomputed"]), (&json!(2), &json!(true)), "{checked}");
}

#[test]
fn a_log_under_keys_that_the_charter_does_not_name_is_not_covered() {
    let (region, signer) = region(1);
    let mut node = ministry();
    let other = RegionOfOne {
        code: "77".parse().unwrap(),
        name: text("Москва"),
        oktmo: vec!["45".parse().unwrap()],
        authority: AUTHORITY.parse().unwrap(),
        root_key: PublicKey::of(&key(1)),
        commit_key: PublicKey::of(&key(2)),
        origin: signer.origin.clone(),
        log_vkey: NoteSigner::new(signer.origin.clone(), key(3)).unwrap().verifier().to_string(),
        url: "https://other.example".into(),
    };
    let file = node.dir.path().join("other.json");
    std::fs::write(&file, Charter::of_one(other, START, &key(4)).unwrap()).unwrap();
    let founded = found(&node, &[file.to_str().unwrap()]);
    follow(&node, &region, "moscow");
    node.start();
    let size = region.api("node")["freshness"]["size"].as_u64().unwrap();
    synced(&node, &signer.origin, size);
    until("the warning", || node.log().contains("federation amend").then_some(()));
    assert!(head(&node, &founded).is_none(), "nothing can be committed of it");
    // The next version takes the keys from the region's own charter, as it is followed.
    node.run(&["federation", "amend"]).json();
    node.kill();
    node.start();
    let bytes = until("a head", || Some(node.get("/api/v1/verify/bucket")).filter(|a| a.status == 200)).body;
    let commit: Value = serde_json::from_slice(&bytes).unwrap();
    assert!(commit["size"] == 2, "{commit}");
}

#[test]
fn a_backup_has_the_federations_log_and_a_restored_one_signs_nothing_without_a_word() {
    let (region, signer) = region(2);
    region.accept(&[chat(&signer, 1).1]);
    let mut node = ministry();
    follow(&node, &region, "moscow");
    let founded = found(&node, &[]);
    node.start();
    let (before, _) = until("a first commit", || head(&node, &founded).filter(|(_, c)| c.count == 1));
    let copy = node.dir.path().join("copy");
    node.run(&["backup", copy.to_str().unwrap()]).json();
    node.stop();

    // A changed byte of the part is found before anything is installed.
    let entries = copy.join("federation/log/checkpoint");
    let good = std::fs::read(&entries).unwrap();
    std::fs::write(&entries, [&good[..], b"x"].concat()).unwrap();
    let mut restored = Node::over(tempfile::tempdir().unwrap(), node.port);
    assert_eq!(restored.run(&["restore", copy.to_str().unwrap()]).code(), "backup.changed");
    assert!(!restored.data().exists());
    std::fs::write(&entries, good).unwrap();
    restored.run(&["restore", copy.to_str().unwrap()]).json();

    assert!(restored.start_or_say().is_err());
    assert!(restored.log().contains("fence.restored"), "{}", restored.log());
    let word = |size: u64| vec!["--confirm-restored-federation-head".to_owned(), size.to_string()];
    restored.args = [node.args.clone(), word(before.size + 2)].concat();
    assert!(restored.start_or_say().is_err(), "somebody has seen a longer log");
    restored.args = [node.args.clone(), word(before.size)].concat();
    restored.start();
    let (again, _) = until("the maps are there again", || head(&restored, &founded));
    assert_eq!(again, before);
    region.accept(&[chat(&signer, 2).1]);
    let (after, _) = until("it goes on", || head(&restored, &founded).filter(|(_, c)| c.count == 2));
    assert_eq!(after.size, before.size + 2);
    restored.stop();
    assert_eq!(fsck(&restored)["recomputed"], true);
}

#[test]
fn a_wrong_root_is_found_by_whoever_has_the_regions_logs_and_not_repeated() {
    let (region, signer) = region(1);
    region.accept(&[chat(&signer, 1).1]);
    let mut node = ministry();
    follow(&node, &region, "moscow");
    let founded = found(&node, &[]);
    node.start();
    until("a first commit", || head(&node, &founded).filter(|(_, c)| c.count == 1));
    node.stop();
    assert_eq!(fsck(&node)["recomputed"], true);

    // The node's own keys sign a step that says something else.
    let layout = Layout::new(&node.data()).federation();
    let read = |role: &str| keys::read(&layout.key(role), &PASSPHRASE.into()).unwrap();
    let (log, commit_key) = (NoteSigner::new(ORIGIN, read("log")).unwrap(), read("commit"));
    let named = founded.verified.federation().unwrap();
    let (mut store, _) = LogStore::open(&layout.log(), &layout.private(), &[&named.log_key]).unwrap();
    let entry = |index: u64| DecodedNodeRecord::decode(&store.reader().entry(index).unwrap()).unwrap();
    let (regions, commit) = (entry(0), entry(1));
    let NodeRecord::Federation(mut lie) = commit.record().clone() else { panic!() };
    let (first, _) = regions.record().sign(&commit_key).unwrap();
    (lie.previous, lie.size, lie.root) = (Some(commit.id()), 4, RecordId([7; 32]));
    lie.time = domovoi::registry::text::Millis::new(lie.time.get() + 1).unwrap();
    let (second, _) = NodeRecord::Federation(lie).sign(&commit_key).unwrap();
    let staged = store.stage(vec![first, second]).unwrap();
    store.write_tiles(&staged).unwrap();
    store.fence(&staged).unwrap();
    let checkpoint = Checkpoint { origin: ORIGIN.into(), size: staged.new_size, root: staged.root };
    store.publish(staged, &checkpoint.sign(&log).unwrap()).unwrap();
    drop(store);

    let ran = node.run(&["fsck"]);
    assert_eq!(ran.code(), "fsck.problems");
    let said: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(said["problems"][0]["code"], "union.root", "{said}");
    // Without the regions' logs the steps alone are checked, and it says so.
    let alone = layout.data().to_str().unwrap().to_owned();
    let said = node.run(&["fsck", &alone]).json();
    assert_eq!((&said["steps"], &said["recomputed"], &said["problems"]), (&json!(2), &json!(false), &json!([])));

    // The node notices at its next start, and a right step follows.
    node.start();
    until("a right commit", || head(&node, &founded).filter(|(h, _)| h.size == 6));
    node.stop();
    assert_eq!(fsck(&node)["recomputed"], true);
}
